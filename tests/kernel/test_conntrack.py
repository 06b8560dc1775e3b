"""Connections of addresses that are free again are forgotten, and no others."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from driverapi import Controller
from driverapi._native import Batch, NetlinkSocket
from driverapi.dataplane import conntrack
from driverapi.dataplane.conntrack import Conntrack

RULES = "table inet tracks { chain out { type filter hook output priority 0; ct state new accept; }; }"


@pytest.fixture
def tracked() -> Iterator[None]:
    """The namespace of the test tracks connections."""
    nft = shutil.which("nft")
    if nft is None:
        if os.environ.get("DRIVERAPI_REQUIRE_KERNEL") == "1":
            pytest.fail("nft is not here: install nftables")
        pytest.skip("nft is not here: install nftables")
    with NetlinkSocket() as route:
        batch = Batch()
        batch.set_link(1, up=True)
        assert route.execute(batch).ok
    subprocess.run([nft, "-f", "-"], input=RULES.encode(), check=True)
    yield
    subprocess.run([nft, "delete", "table", "inet", "tracks"], check=True)
    left = Conntrack()
    left.forget([socket.inet_aton(f"127.0.{net}.{number}") for net in (0, 1) for number in range(1, 40)])
    left.close()


def connect(source: str, target: str) -> None:
    """Send one datagram, so that its connection is tracked."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        udp.bind((source, 0))
        udp.sendto(b"x", (target, 9))


def known() -> set[str]:
    """The addresses that tracked connections have."""
    asked = Conntrack()
    found: set[str] = set()
    for type, body in asked._ask(conntrack._GET, 0, conntrack._REQUEST | conntrack._DUMP):
        if type == conntrack._SUBSYSTEM:
            sides = dict(conntrack._attributes(body))
            for side, end in conntrack._SIDES:
                ip = conntrack._address(sides[side], end)
                found.add(socket.inet_ntop(socket.AF_INET if len(ip) == 4 else socket.AF_INET6, ip))
    asked.close()
    return found


@pytest.mark.parametrize("few", [conntrack.FEW, 0])
@pytest.mark.usefixtures("tracked")
def test_those_addresses_and_no_others(monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr(conntrack, "FEW", few)
    for number in range(1, 7):
        connect(f"127.0.0.{number}", f"127.0.1.{number}")
    table = Conntrack()
    assert table._entries() >= 6
    table.forget([socket.inet_aton("127.0.0.2"), socket.inet_aton("127.0.1.4")])
    left = known()
    assert not left & {"127.0.0.2", "127.0.1.2", "127.0.0.4", "127.0.1.4"}
    assert left >= {f"127.0.{net}.{number}" for net in (0, 1) for number in (1, 3, 5, 6)}
    table.close()
    table.forget([socket.inet_aton("127.0.0.1")])  # closed: nothing, and no error
    assert "127.0.0.1" in known()


ZONED = """table ip zoned {
    chain first { type filter hook output priority -300; ip daddr 127.0.1.21 ct zone set 7; };
    chain turned { type nat hook output priority -100; ip daddr 127.0.1.22 dnat to 127.0.1.23; };
}"""


@pytest.mark.parametrize("few", [conntrack.FEW, 0])
@pytest.mark.usefixtures("tracked")
def test_connections_in_zones_and_behind_a_translation(monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    """A published port's connection knows the sandbox by its answer alone."""
    monkeypatch.setattr(conntrack, "FEW", few)
    subprocess.run(["nft", "-f", "-"], input=ZONED.encode(), check=True)
    try:
        connect("127.0.0.21", "127.0.1.21")
        connect("127.0.0.22", "127.0.1.22")
        connect("127.0.0.24", "127.0.1.24")
        assert known() >= {"127.0.1.21", "127.0.1.22", "127.0.1.23", "127.0.1.24"}
        table = Conntrack()
        table.forget([socket.inet_aton("127.0.1.21"), socket.inet_aton("127.0.1.23")])
        table.close()
        left = known()
    finally:
        subprocess.run(["nft", "delete", "table", "ip", "zoned"], check=True)
    assert not left & {"127.0.1.21", "127.0.1.22", "127.0.1.23"}
    assert "127.0.1.24" in left


@pytest.mark.parametrize("driver", ["bridge", "routed"])
@pytest.mark.parametrize("count", [1, 20])
@pytest.mark.usefixtures("tracked")
def test_who_leaves_leaves_no_connections(tmp_path: Path, driver: str, count: int) -> None:
    with Controller(run_dir=tmp_path) as ctl:
        net = ctl.create_network(driver, "web", ipv4="10.77.0.0/24", ipv6="fd77::/64")
        stays, *go = net.attach(count + 1)
        for endpoint in (stays, *go):
            info = endpoint.info()["interfaces"][0]
            connect("10.77.0.1", info["address"].split("/")[0])
            connect("fd77::1", info["address_ipv6"].split("/")[0])
        mine = {ip.split("/")[0] for ip in list(stays.info()["interfaces"][0].values())[3:5]}
        gone = {
            socket.inet_ntop(socket.AF_INET if len(ip) == 4 else socket.AF_INET6, ip)
            for one in go
            for _, ip in one._taken
        }
        assert gone <= known()
        net.detach(go)
        assert known() & gone == set()
        assert mine <= known()

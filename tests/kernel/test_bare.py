"""Drivers host and null on the real kernel: the host's namespace is left alone, the other one has lo alone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from pyroute2 import IPRoute, NetNS

from _fastnet.netns import identity
from _fastnet.socket import NetlinkSocket
from tests.kernel.test_state import Place

HOST = f"/proc/{os.getpid()}/ns/net"


@pytest.fixture
def place(tmp_path: Path, host: NetlinkSocket) -> Place:
    return Place(tmp_path)


def picture() -> object:
    """All of the host's links, addresses and routes."""
    with IPRoute() as ip:
        return (
            [(link["index"], link.get("ifname"), link["flags"], link.get("operstate")) for link in ip.get_links()],
            [(one["index"], one.get("address"), one["prefixlen"]) for one in ip.get_addr()],
            [(one.get("dst"), one["dst_len"], one.get("oif")) for one in ip.get_routes()],
        )


def test_the_host_is_left_alone(place: Place, same_descriptors: None) -> None:
    before = picture()
    ctl = place.start()
    net = ctl.create_network("host", "host")
    endpoints = net.attach(3, strict=True)
    box = ctl.create_sandbox("box", host=True)
    net.create_endpoint("ep").join(box)
    for endpoint in (*endpoints, net.endpoint("ep")):
        assert endpoint.sandbox is not None
        assert identity(endpoint.sandbox.key) == identity(HOST)
    assert picture() == before
    place.kill()
    assert picture() == before
    ctl = place.start()
    assert ctl.restored is not None
    assert not ctl.restored.mended
    assert len(ctl.network("host").endpoints) == 4
    assert identity(ctl.sandbox("box").key) == identity(HOST)
    place.clear()
    assert picture() == before


def test_a_sandbox_with_lo_alone(place: Place) -> None:
    ctl = place.start()
    net = ctl.create_network("null", "nothing")
    [endpoint] = net.attach(1, strict=True)
    assert endpoint.sandbox is not None
    key = endpoint.sandbox.key
    assert identity(key) != identity(HOST)

    def look() -> None:
        with NetNS(key, flags=0) as inside:
            [lo] = inside.get_links()
            assert (lo.get("ifname"), lo["flags"] & 1) == ("lo", 1)
            assert {one.get("address") for one in inside.get_addr()} == {"127.0.0.1", "::1"}
            assert not inside.get_default_routes()
        for target, reached in (("127.0.0.1", True), ("::1", True), ("10.0.0.1", False)):
            command = ["nsenter", f"--net={key}", "ping", "-c1", "-W1", "-q", target]
            assert (not subprocess.run(command, check=False, capture_output=True).returncode) is reached

    look()
    place.kill()
    place.start()
    look()
    place.clear()
    assert not Path(key).exists()

"""An address that comes with another MAC than it had is announced; one with the same is not."""

from __future__ import annotations

import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from driverapi import Controller
from driverapi._native import socket_in
from driverapi.dataplane import announce

ETH_P_ALL, ARP, IPV6 = 3, 0x0806, 0x86DD
FIRST, SECOND = "02:00:00:00:00:01", "02:00:00:00:00:02"


@contextmanager
def listener(key: str) -> Iterator[socket.socket]:
    """A socket that hears every frame that comes into a sandbox."""
    with socket.socket(fileno=socket_in(key, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))) as heard:
        heard.settimeout(1.0)
        yield heard


def in_sandbox(key: str, *command: str) -> str:
    arguments = ["nsenter", f"--net={key}", *command]
    return subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=20).stdout


def announced(heard: socket.socket) -> set[tuple[str, str]]:
    """What was said of addresses, until it is quiet: (address, MAC)."""
    said = set()
    while True:
        try:
            frame = heard.recv(2048)
        except TimeoutError:
            return said
        [kind] = struct.unpack_from("!H", frame, 12)
        if kind == ARP and frame[28:32] == frame[38:42]:  # gratuitous: of oneself, to oneself
            said.add((socket.inet_ntop(socket.AF_INET, frame[28:32]), frame[22:28].hex(":")))
        elif kind == IPV6 and frame[20] == socket.IPPROTO_ICMPV6 and frame[54] == 136:
            assert frame[58] & 0x20, "it must override what is remembered"
            said.add((socket.inet_ntop(socket.AF_INET6, frame[62:78]), frame[80:86].hex(":")))


@pytest.mark.parametrize("proc", [True, False])
@pytest.mark.parametrize(("mac", "said"), [(SECOND, {("10.77.0.9", SECOND), ("fd77::9", SECOND)}), (FIRST, set())])
def test_another_mac_is_announced(
    tmp_path: Path, mac: str, said: set[tuple[str, str]], proc: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bytes] = []
    if proc:  # then the kernel sends, and nobody else
        monkeypatch.setattr(announce, "_advertise", lambda *_: sent.append(b"by hand"))
    else:
        monkeypatch.setattr(announce, "_notify_ipv6", lambda *_: False)
    with Controller(run_dir=tmp_path) as ctl:
        net = ctl.create_network("bridge", "web", ipv4="10.77.0.0/24", ipv6="fd77::/64")
        [neighbour] = net.attach(1)
        assert neighbour.sandbox is not None
        box = ctl.create_sandbox("box")
        endpoint = net.create_endpoint("one", ipv4="10.77.0.9", ipv6="fd77::9", mac=FIRST)
        endpoint.join(box)
        endpoint.leave()
        endpoint.delete()
        with listener(neighbour.sandbox.key) as heard:
            assert announced(heard) == set()
            again = net.create_endpoint("two", ipv4="10.77.0.9", ipv6="fd77::9", mac=mac)
            again.join(box)
            assert announced(heard) == said
            assert not sent
        entries = in_sandbox(box.key, "ip", "neigh", "show", "nud", "permanent")
        assert sorted(line.split()[0] for line in entries.splitlines()) == ["10.77.0.1", "fd77::1"]
        assert in_sandbox(box.key, "cat", "/proc/sys/net/ipv6/conf/eth0/ndisc_notify") == "0\n"
        assert in_sandbox(box.key, "cat", "/proc/sys/net/ipv4/conf/eth0/arp_notify") == "0\n"
        again.leave()


def test_an_address_that_an_earlier_process_had_given_is_announced(tmp_path: Path) -> None:
    """Its MAC was drawn, and nobody knows it any more, but the sandboxes that had spoken to it."""
    state = tmp_path / "state.db"
    with Controller(state=state, run_dir=tmp_path / "run") as ctl:
        ctl.create_network("bridge", "four", ipv4="10.77.0.0/24").attach(1)
        net = ctl.create_network("bridge", "web", ipv6="fd77::/64")
        lasting, gone = net.attach(2, strict=True)
        assert lasting.sandbox is not None
        key, ip = lasting.sandbox.key, str(gone.interfaces[0].address_ipv6.ip)
        in_sandbox(key, "ping", "-c1", "-W2", ip)
        net.detach([gone])
    with Controller(state=state) as ctl:
        net = ctl.network("web")
        [again] = net.attach(1, strict=True)
        assert str(again.interfaces[0].address_ipv6.ip) == ip
        in_sandbox(key, "ping", "-c1", "-W2", ip)
        four = ctl.network("four")
        assert [one._info._announce for one in four.attach(2)] == [False, False]  # with the MAC that each address had
        for one in (net, four):
            one.detach(one.endpoints)
            one.delete()


def test_an_address_that_nobody_had_is_not_announced(tmp_path: Path) -> None:
    with Controller(run_dir=tmp_path) as ctl:
        net = ctl.create_network("bridge", "web", ipv4="10.77.0.0/24")
        [neighbour] = net.attach(1)
        assert neighbour.sandbox is not None
        with listener(neighbour.sandbox.key) as heard:
            net.attach(2)
            assert announced(heard) == set()

"""The stream of events on the kernel: links that others take away, addresses that others use, and our own doings."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from _fastnet.batch import Batch
from _fastnet.netns import socket_in
from _fastnet.socket import NetlinkSocket
from driverapi import Controller, Endpoint
from driverapi.dataplane import monitor as module
from driverapi.dataplane.monitor import LinuxMonitor
from driverapi.streams.stream import AddressConflict, EndpointDown, EndpointUp, LinkBack, LinkLost, Stream, StreamEvent

pytestmark = pytest.mark.usefixtures("same_descriptors")


@pytest.fixture
def ctl(tmp_path: Path, host: NetlinkSocket) -> Iterator[Controller]:
    with Controller(run_dir=tmp_path) as made:
        yield made


def drained(stream: Stream) -> list[StreamEvent]:
    found = []
    while (event := stream.get(0.2)) is not None:
        found.append(event)
    return found


def host_link(ctl: Controller, endpoint: Endpoint) -> tuple[int, str]:
    (one,) = ctl._lifecycle.endpoint(endpoint.id).realised.interfaces
    return one.host_index, one.host_name


def inside(endpoint: Endpoint, *command: str) -> None:
    assert endpoint.sandbox is not None
    subprocess.run(["nsenter", f"--net={endpoint.sandbox.key}", *command], check=True, capture_output=True)


@pytest.mark.parametrize("driver", ["bridge", "routed"])
def test_a_link_that_somebody_takes_away(ctl: Controller, host: NetlinkSocket, driver: str) -> None:
    net = ctl.create_network(driver, "web", ipv4="10.5.0.0/24")
    before, other = net.attach(2, strict=True)
    with ctl.events() as stream:
        after = net.attach(1, strict=True)[0]
        assert [type(one) for one in drained(stream)] == [EndpointUp]
        for endpoint in (before, after):
            index, name = host_link(ctl, endpoint)
            began = time.time()
            batch = Batch()
            batch.delete_link(index)
            assert host.execute(batch).ok
            event = stream.get(10)
            assert isinstance(event, LinkLost)
            assert (event.network, event.endpoint, event.link, event.index, event.gone) == (
                "web",
                endpoint.name,
                name,
                index,
                True,
            )
            assert endpoint.sandbox is not None
            assert event.sandbox == endpoint.sandbox.key
            assert event.at - began < 1
        net.detach([before, other, after])
        assert {type(one) for one in drained(stream)} == {EndpointDown}


@pytest.mark.parametrize("late", [False, True])
def test_a_bridge_that_somebody_takes_away(
    ctl: Controller, host: NetlinkSocket, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """Its endpoints are told of, those of another network are not; later, where messages were lost."""
    net, other = (ctl.create_network("bridge", name, ipv4=f"10.5.{at}.0/24") for at, name in enumerate(("web", "x")))
    some = net.attach(2, strict=True)
    other.attach(1, strict=True)
    with ctl.events() as stream:
        if late:
            monkeypatch.setattr(LinuxMonitor, "_take_link", lambda *_: None)
        batch = Batch()
        batch.delete_link(ctl._lifecycle.endpoint(some[0].id).realised.interfaces[0].master)
        assert host.execute(batch).ok
        if late:
            assert drained(stream) == []
            ctl._hub._monitor._resync()  # type: ignore[union-attr]
        events = [stream.get(10), stream.get(10)]
        assert sorted((one.endpoint, one.gone) for one in events) == sorted((one.name, False) for one in some)  # type: ignore[attr-defined]
        assert drained(stream) == []
        net.detach(some)
        assert [type(one) for one in drained(stream)] == [EndpointDown] * 2


def test_a_link_without_its_carrier(ctl: Controller, host: NetlinkSocket) -> None:
    net = ctl.create_network("bridge", "web", ipv4="10.5.0.0/24")
    (endpoint,) = net.attach(1, strict=True)
    index, name = host_link(ctl, endpoint)
    with ctl.events() as stream:
        for switch in (
            lambda up: host.execute(_switch(index, up)),
            lambda up: inside(endpoint, "ip", "link", "set", "eth0", "up" if up else "down"),
        ):
            for up in (False, True):
                switch(up)
                event = stream.get(10)
                assert isinstance(event, LinkBack if up else LinkLost)
                assert (event.endpoint, event.link) == (endpoint.name, name)
        assert drained(stream) == []


def _switch(index: int, up: bool) -> Batch:
    batch = Batch()
    batch.set_link(index, up=up)
    return batch


def test_a_link_that_somebody_renames(ctl: Controller, host: NetlinkSocket) -> None:
    net = ctl.create_network("bridge", "web", ipv4="10.5.0.0/24")
    (endpoint,) = net.attach(1, strict=True)
    index, name = host_link(ctl, endpoint)
    with ctl.events() as stream:
        batch = _switch(index, False)
        batch.set_link(index, new_name="theirs")
        batch.set_link(index, up=True)
        assert host.execute(batch).ok
        assert {one.link for one in drained(stream)} <= {name, "theirs"}  # type: ignore[attr-defined]
        batch = Batch()
        batch.delete_link(index)
        assert host.execute(batch).ok
        event = stream.get(10)
        assert isinstance(event, LinkLost)
        assert (event.endpoint, event.link, event.gone) == (endpoint.name, "theirs", True)


@pytest.mark.parametrize("driver", ["bridge", "routed"])
def test_our_own_doings_are_no_loss(ctl: Controller, driver: str) -> None:
    net = ctl.create_network(driver, "web", ipv4="10.5.0.0/16", ipv6="fd05::/64")
    with ctl.events() as stream:
        for _ in range(2):
            endpoints = net.attach(120, strict=True)
            net.detach(endpoints)
        kinds = [type(one) for one in drained(stream)]
        assert kinds.count(EndpointUp) == kinds.count(EndpointDown) == 240
        assert len(kinds) == 480
        net.delete()
        assert drained(stream) == []
        assert ctl._hub._places == ctl._hub._gateways == {}, "nothing is kept of what is gone"


def test_messages_that_are_lost(ctl: Controller, host: NetlinkSocket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROOM", 1)  # the least that the kernel gives
    resyncs: list[int] = []
    resync = LinuxMonitor._resync
    monkeypatch.setattr(LinuxMonitor, "_resync", lambda self: (resyncs.append(1), resync(self))[1])
    net = ctl.create_network("bridge", "web", ipv4="10.5.0.0/24")
    lost, kept = net.attach(2, strict=True)
    with ctl.events() as stream:
        resyncs.clear()
        with ctl._hub._lock:  # the reader of messages waits
            threads = [threading.Thread(target=_churn, args=(host, number)) for number in range(1)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            batch = Batch()
            batch.delete_link(host_link(ctl, lost)[0])
            assert host.execute(batch).ok
        event = stream.get(10)
        assert isinstance(event, LinkLost)
        assert event.endpoint == lost.name
        assert drained(stream) == []
        assert resyncs
        assert kept.sandbox is not None


def _churn(host: NetlinkSocket, number: int) -> None:
    for round in range(60):
        batch = Batch()
        name = f"x{number}-{round}"
        batch.add_bridge(name)
        batch.delete_link(name=name)
        host.execute(batch)


def _send(endpoint: Endpoint, frame: bytes) -> None:
    assert endpoint.sandbox is not None
    descriptor = socket_in(endpoint.sandbox.key, socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    with socket.socket(fileno=descriptor) as out:
        out.bind(("eth0", 0))
        out.send(frame)


def _arp(mac: bytes, sender: bytes, target: bytes) -> bytes:
    return b"\xff" * 6 + mac + b"\x08\x06\0\1\x08\0\6\4\0\1" + mac + sender + bytes(6) + target


def _advertisement(mac: bytes, target: bytes) -> bytes:
    body = struct.pack("!BBHI", 136, 0, 0, 0x20000000) + target + b"\2\1" + mac
    everybody = b"\xff\2" + bytes(13) + b"\1"
    source = b"\xfe\x80" + bytes(13) + b"\7"
    pseudo = source + everybody + struct.pack("!II", len(body), 58)
    total = sum(struct.unpack(f"!{(len(pseudo) + len(body)) // 2}H", pseudo + body))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    body = body[:2] + struct.pack("!H", ~total & 0xFFFF) + body[4:]
    header = struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + source + everybody
    return b"\x33\x33\0\0\0\1" + mac + b"\x86\xdd" + header + body


@pytest.mark.parametrize("driver", ["bridge", "routed"])
def test_an_address_that_somebody_else_says_he_has(ctl: Controller, driver: str) -> None:
    net = ctl.create_network(driver, "web", ipv4="10.5.0.0/24", ipv6="fd05::/64")
    victim, thief = net.attach(2, strict=True)
    if driver == "routed":
        thief = victim  # nobody else is on its link
    ipv4, ipv6 = (one.ip for one in victim.interfaces[0].packed_addresses)
    mac = b"\2\0\0\0\0\x77"
    with ctl.events() as stream:
        _send(thief, _arp(mac, bytes([10, 5, 0, 250]), bytes([10, 5, 0, 1])))  # nobody's
        assert victim._mac is not None
        _send(victim, _arp(victim._mac, ipv4, bytes([10, 5, 0, 1])))  # his own
        for frame, seen in (
            (_arp(mac, ipv4, ipv4), "arp"),
            (_arp(mac[:-1] + b"\x78", bytes(4), ipv4), "arp"),  # a probe (RFC 5227)
            (_advertisement(mac, ipv6), "nd"),
        ):
            _send(thief, frame)
            event = stream.get(10)
            assert isinstance(event, AddressConflict)
            assert (event.endpoint, event.seen) == (victim.name, seen)
            assert event.mac in ("02:00:00:00:00:77", "02:00:00:00:00:78")
        _send(thief, _arp(mac, ipv4, ipv4))  # told already
        assert drained(stream) == []
        _send(thief, _arp(mac, bytes([10, 5, 0, 1]), bytes([10, 5, 0, 250])))
        _send(thief, _advertisement(mac, b"\xfd\x05" + bytes(13) + b"\1"))
        gateways = [stream.get(10), stream.get(10)]
        assert [(one.endpoint, one.address, one.seen) for one in gateways] == [  # type: ignore[union-attr]
            ("", "10.5.0.1", "arp"),
            ("", "fd05::1", "nd"),
        ]


def test_an_address_that_fails_its_check(ctl: Controller) -> None:
    net = ctl.create_network("bridge", "web", ipv6="fd05::/64")
    victim, thief = net.attach(2, strict=True)
    taken = str(victim.interfaces[0].packed_address_ipv6).partition("/")[0]
    with ctl.events() as stream:
        inside(thief, "sysctl", "-qw", "net.ipv6.conf.eth0.accept_dad=1", "net.ipv6.conf.eth0.dad_transmits=1")
        inside(thief, "ip", "-6", "addr", "add", f"{taken}/64", "dev", "eth0")
        seen: dict[str, Any] = {}
        with contextlib.suppress(StopIteration):
            for _ in range(4):
                event = stream.get(10)
                assert isinstance(event, AddressConflict)
                seen[event.seen] = event
                if "dad" in seen:
                    break
        assert (seen["dad"].endpoint, seen["dad"].address, seen["dad"].mac) == (thief.name, taken, None)


def test_it_begins_with_the_first_reader_and_ends_with_the_last(ctl: Controller) -> None:
    def listening() -> int:
        return sum(thread.name == "driverapi-monitor" for thread in threading.enumerate())

    descriptors = len(os.listdir("/proc/self/fd"))
    assert not listening()
    for _ in range(3):
        with ctl.events(), ctl.events():
            assert listening() == 1
        assert not listening()
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_reader_that_closes_while_others_work(ctl: Controller) -> None:
    net = ctl.create_network("bridge", "web", ipv4="10.5.0.0/24")
    faults: list[BaseException] = []

    def run(step: Callable[[], object]) -> None:
        try:
            for _ in range(15):
                step()
        except BaseException as fault:
            faults.append(fault)

    def read() -> None:
        with ctl.events(size=4) as stream:
            stream.get(0.01)

    steps = [read, read, lambda: net.detach(net.attach(4))]
    threads = [threading.Thread(target=run, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    assert not faults

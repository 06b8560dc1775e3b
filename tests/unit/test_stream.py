"""The stream of events, over a dataplane in memory: who is told what, a slow reader, and that nothing stays."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from driverapi import Controller, aio, errors
from driverapi.drivers.null import NullDriver
from driverapi.plan import BridgeLink
from driverapi.streams.discovery import Node
from driverapi.streams.stream import (
    EndpointDown,
    EndpointUp,
    LinkBack,
    LinkLost,
    NodeDiscovered,
    NodeGone,
    Overflow,
    PoolNearlyFull,
    PoolRelieved,
    Stream,
    StreamEvent,
)
from driverapi.testing import FakeDataplane


@pytest.fixture
def plane() -> FakeDataplane:
    return FakeDataplane()


@pytest.fixture
def ctl(plane: FakeDataplane) -> Iterator[Controller]:
    with Controller(dataplane=plane) as made:
        yield made


def drained(stream: Stream) -> list[StreamEvent]:
    found = []
    while (event := stream.get(0)) is not None:
        found.append(event)
    return found


def told(events: list[StreamEvent]) -> list[tuple[str, str]]:
    return [(type(one).__name__, getattr(one, "endpoint", "")) for one in events]


def test_up_and_down(ctl: Controller) -> None:
    net, box = ctl.create_network("bridge", "web", ipv4="10.0.0.0/24"), ctl.create_sandbox("box")
    before = net.create_endpoint("before")
    with ctl.events() as stream:
        endpoint = net.create_endpoint("ep")
        endpoint.join(box)
        before.join(ctl.create_sandbox("other"))
        key = box.key
        endpoint.leave()
        endpoint.delete()
        first, *rest = drained(stream)
        assert isinstance(first, EndpointUp)
        assert (first.network, first.endpoint, first.id, first.sandbox) == ("web", "ep", endpoint.id, key)
        assert abs(first.at - time.time()) < 60
        assert told(rest) == [("EndpointUp", "before"), ("EndpointDown", "ep")]
        assert isinstance(rest[-1], EndpointDown)
        assert rest[-1].sandbox == key
        with pytest.raises(dataclasses.FrozenInstanceError):
            first.network = "x"  # type: ignore[misc]
    assert stream.closed


def test_a_join_that_fails_is_nothing(ctl: Controller, plane: FakeDataplane) -> None:
    net, box = ctl.create_network("bridge", "web", ipv4="10.0.0.0/24"), ctl.create_sandbox("box")
    endpoint = net.create_endpoint("ep")
    plane.faults[endpoint.id] = errors.KernelError("no", 28)
    with ctl.events() as stream:
        with pytest.raises(errors.KernelError):
            endpoint.join(box)
        assert drained(stream) == []


def test_bulk_and_warm(ctl: Controller) -> None:
    net = ctl.create_network("bridge", "web", ipv4="10.0.0.0/24")
    with ctl.events() as stream:
        ctl.warm(net, 2)
        assert drained(stream) == []  # nobody's yet
        endpoints = net.attach(5, strict=True)
        up = drained(stream)
        assert sorted(told(up)) == sorted(("EndpointUp", one.name) for one in endpoints)
        net.detach(endpoints)
        assert sorted(told(drained(stream))) == sorted(("EndpointDown", one.name) for one in endpoints)


def test_links(ctl: Controller, plane: FakeDataplane) -> None:
    net = ctl.create_network("bridge", "web", ipv4="10.0.0.0/24")
    first, second = net.attach(2, strict=True)  # before anybody reads
    with ctl.events() as stream:
        hub = plane.hub
        assert hub is not None
        (one,), (two,) = (plane.host_links(plane.endpoints[endpoint.id]) for endpoint in (first, second))
        hub.link_gone(one.index, "another's")
        hub.link_gone(4242, "eth0")
        hub.link_state(two.index, two.name, carrier=True)  # as it was
        assert drained(stream) == []
        hub.link_gone(one.index, one.name)
        hub.link_gone(one.index, one.name)
        hub.link_state(two.index, two.name, carrier=False)
        hub.link_state(two.index, two.name, carrier=False)
        hub.link_state(two.index, two.name, carrier=True)
        lost, down, back = drained(stream)
        assert isinstance(lost, LinkLost)
        assert (lost.endpoint, lost.link, lost.index, lost.gone) == (first.name, one.name, one.index, True)
        assert isinstance(down, LinkLost)
        assert (down.endpoint, down.gone) == (second.name, False)
        assert isinstance(back, LinkBack)
        hub.resync({1: ("bridge", True), two.index: (two.name, True)})
        assert drained(stream) == []
        hub.resync({})
        assert told(drained(stream)) == [("LinkLost", second.name)]
        net.detach([first, second])
        hub.link_gone(two.index, two.name)
        assert {type(event) for event in drained(stream)} == {EndpointDown}
    assert plane.hub is None


def test_a_link_that_went_before_its_endpoint_was_known(ctl: Controller, plane: FakeDataplane) -> None:
    net, box = ctl.create_network("bridge", "web", ipv4="10.0.0.0/24"), ctl.create_sandbox("box")
    endpoint = net.create_endpoint("ep")
    realise = plane.realise

    def go(*arguments: Any) -> Any:
        made = realise(*arguments)
        (link,) = plane.host_links(made[0])
        assert plane.hub is not None
        plane.hub.link_gone(link.index, link.name)
        return made

    plane.realise = go  # type: ignore[method-assign]
    with ctl.events() as stream:
        endpoint.join(box)
        assert told(drained(stream)) == [("EndpointUp", "ep"), ("LinkLost", "ep")]


def test_conflicts_are_told_once(ctl: Controller, plane: FakeDataplane) -> None:
    net = ctl.create_network("bridge", "web", ipv4="10.0.0.0/24")
    (endpoint,) = net.attach(1, strict=True)
    interface = endpoint.interfaces[0]
    (ip,) = [one.ip for one in interface.packed_addresses]
    mac, other = interface.packed_mac, b"\2\0\0\0\0\7"
    assert mac is not None
    with ctl.events() as stream:
        hub = plane.hub
        assert hub is not None
        hub.address_seen(1, ip, mac, "arp")
        hub.address_seen(1, bytes([10, 0, 0, 99]), other, "arp")
        hub.address_seen(77, ip, other, "arp")  # on another network
        assert drained(stream) == []
        for _ in range(3):
            hub.address_seen(1, ip, other, "arp")
        (conflict,) = drained(stream)
        assert (conflict.endpoint, conflict.address, conflict.mac, conflict.seen) == (  # type: ignore[attr-defined]
            endpoint.name,
            "10.0.0.2",
            "02:00:00:00:00:07",
            "arp",
        )
        gateway = bytes([10, 0, 0, 1])
        own = next(link.mac for link in plane.networks[net.id].links if isinstance(link, BridgeLink))
        for _ in range(2):
            hub.address_seen(1, gateway, own, "arp")
            hub.address_seen(77, gateway, other, "arp")  # on another network
            hub.address_seen(1, gateway, other, "arp")
        (conflict,) = drained(stream)
        assert (conflict.network, conflict.endpoint, conflict.address) == ("web", "", "10.0.0.1")  # type: ignore[attr-defined]
        (link,) = plane.host_links(plane.endpoints[endpoint.id])
        hub.address_failed([link.index], b"\xfd" + bytes(15))
        (failed,) = drained(stream)
        assert (failed.address, failed.mac, failed.seen) == ("fd00::", None, "dad")  # type: ignore[attr-defined]


def test_pools(ctl: Controller) -> None:
    net = ctl.create_network("bridge", "web", ipv4="10.0.0.0/28")
    with ctl.events() as stream:
        endpoints = [net.create_endpoint(str(number)) for number in range(12)]
        (full,) = drained(stream)
        assert isinstance(full, PoolNearlyFull)
        assert (full.network, full.pool, full.used, full.size) == ("web", "local/10.0.0.0/28", 13, 14)
        net.leases.take("vm-1")
        endpoints[0].delete()
        assert drained(stream) == []
        ctl.gc([])
        endpoints[1].delete()
        assert isinstance(drained(stream)[0], PoolRelieved)
        for number in range(3):
            net.leases.take("vm", f"10.0.0.{number + 2}") if number < 2 else net.leases.take("vm")
        assert isinstance(drained(stream)[0], PoolNearlyFull)


def test_what_was_nearly_full_before_is_told_at_once(ctl: Controller) -> None:
    net = ctl.create_network("bridge", "web", ipv4="10.0.0.0/28")
    net.attach(13)
    with ctl.events() as stream:
        assert [type(one) for one in drained(stream)] == [PoolNearlyFull]


def test_a_slow_reader(ctl: Controller) -> None:
    with ctl.events(size=3) as slow, ctl.events() as fast:
        for number in range(6):
            ctl.discover_new("x", number)
        assert [one.data for one in drained(fast)] == list(range(6))  # type: ignore[attr-defined]
        first = slow.get(0)
        assert isinstance(first, NodeDiscovered)
        ctl.discover_new("x", 6)
        second, third, overflow = drained(slow)
        assert [second.data, third.data] == [1, 2]  # type: ignore[attr-defined]
        assert isinstance(overflow, Overflow)
        assert overflow.lost == 4
        ctl.discover_new("x", 7)
        assert [one.data for one in drained(slow)] == [7]  # type: ignore[attr-defined]


def test_after_an_overflow_there_is_room_for_more(ctl: Controller) -> None:
    with ctl.events(size=2) as slow:
        for number in range(3):
            ctl.discover_new("x", number)
        assert [slow.get(0).data, slow.get(0).data] == [0, 1]  # type: ignore[union-attr]
        ctl.discover_new("x", 3)
        overflow, event = drained(slow)
        assert isinstance(overflow, Overflow)
        assert overflow.lost == 1
        assert event.data == 3  # type: ignore[attr-defined]


def test_sizes_that_cannot_be(ctl: Controller) -> None:
    for size in (0, -1, True, "7", 2_000_000):
        with pytest.raises(errors.InvalidError, match="size"):
            ctl.events(size)  # type: ignore[arg-type]
    assert not ctl._hub.active


def test_iterating_ends_with_the_controller(plane: FakeDataplane) -> None:
    ctl = Controller(dataplane=plane)
    net = ctl.create_network("bridge", "web", ipv4="10.0.0.0/24")
    stream = ctl.events()
    found: list[StreamEvent] = []
    reader = threading.Thread(target=lambda: found.extend(stream))
    reader.start()
    net.attach(2)
    ctl.close()
    reader.join(30)
    assert not reader.is_alive()
    assert [type(one) for one in found[:2]] == [EndpointUp, EndpointUp]
    assert stream.closed
    assert list(stream) == []
    stream.close()
    with pytest.raises(errors.ClosedError):
        ctl.events()


def test_waiting_has_an_end(ctl: Controller) -> None:
    with ctl.events() as stream:
        began = time.monotonic()
        assert stream.get(0.02) is None
        assert time.monotonic() - began >= 0.015


def test_nobody_reads_nothing_is_done(ctl: Controller, plane: FakeDataplane, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise AssertionError("somebody was told")

    for verb in ("publish", "came_up", "went_down", "_look_at_pools"):
        monkeypatch.setattr(type(ctl._hub), verb, refuse)
    net = ctl.create_network("bridge", "web", ipv4="10.0.0.0/28")
    net.detach(net.attach(12))
    assert plane.hub is None


class Finder(NullDriver):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str, Any]] = []

    def discover_new(self, kind: str, data: Any) -> None:
        self.found.append(("new", kind, data))

    def discover_delete(self, kind: str, data: Any) -> None:
        self.found.append(("gone", kind, data))


class Broken(Finder):
    def discover_new(self, kind: str, data: Any) -> None:
        raise RuntimeError("no such cluster")


def test_drivers_are_told_of_machines(ctl: Controller) -> None:
    finder, broken = Finder(), Broken()
    ctl.registry.register("broken", broken)
    ctl.registry.register("finder", finder)
    node = Node("10.0.0.5")
    assert (node.address, node.bind_address, node.is_self) == ("10.0.0.5", "10.0.0.5", False)
    with ctl.events() as stream:
        with pytest.raises(errors.BulkError, match="1 drivers failed") as caught:
            ctl.discover_new("node", node)
        assert "no such cluster" in str(caught.value.exceptions[0])
        ctl.discover_delete("node", node)
        assert finder.found == [("new", "node", node), ("gone", "node", node)]
        assert broken.found == [("gone", "node", node)]
        assert [type(one) for one in drained(stream)] == [NodeDiscovered, NodeGone]
        for kind, data in (("", 1), (7, 1), ("node", "10.0.0.5")):
            with pytest.raises(errors.InvalidError):
                ctl.discover_new(kind, data)  # type: ignore[arg-type]
        with pytest.raises(errors.InvalidError, match="address of a node"):
            Node("nonsense")
        assert drained(stream) == []


def test_for_asyncio(plane: FakeDataplane) -> None:
    async def run() -> None:
        async with aio.Controller(dataplane=plane) as ctl:
            net = await ctl.create_network("bridge", "web", ipv4="10.0.0.0/24")
            found: list[StreamEvent] = []
            enough = asyncio.Event()

            async def read(events: Any) -> None:
                async for event in events:
                    found.append(event)
                    if len(found) == 8:
                        enough.set()

            async with ctl.events() as events:
                with pytest.raises(errors.ClosedError):
                    await events.__aenter__()
                reader = asyncio.create_task(read(events))
                endpoints = await net.attach(3)
                await net.detach(endpoints)
                await ctl.discover_new("node", Node("10.0.0.5"))
                await ctl.discover_delete("node", Node("10.0.0.5"))
                await asyncio.wait_for(enough.wait(), 30)
            await asyncio.wait_for(reader, 10)
            assert [type(one) for one in found] == [
                *[EndpointUp] * 3,
                *[EndpointDown] * 3,
                NodeDiscovered,
                NodeGone,
            ]
            unread = ctl.events()
            with pytest.raises(errors.ClosedError):
                await anext(unread)
            async with ctl.events() as last:
                reader = asyncio.create_task(read(last))
                await ctl.close()
                await asyncio.wait_for(reader, 10)

    asyncio.run(run())

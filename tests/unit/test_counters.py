"""Counters of interfaces, over a dataplane in memory."""

from __future__ import annotations

import asyncio
import struct
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driverapi import Controller, InterfaceStatistics, aio, errors
from driverapi.testing import FakeDataplane
from tests.support import World


@given(st.lists(st.integers(0, (1 << 64) - 1), min_size=8, max_size=25))
def test_they_stand_where_the_kernel_writes_them(numbers: list[int]) -> None:
    seen = InterfaceStatistics.of(struct.pack(f"={len(numbers)}Q", *numbers))
    rx_packets, tx_packets, rx_bytes, tx_bytes, rx_errors, tx_errors, rx_dropped, tx_dropped = numbers[:8]
    assert (seen.rx_bytes, seen.rx_packets, seen.rx_errors, seen.rx_dropped) == (
        rx_bytes,
        rx_packets,
        rx_errors,
        rx_dropped,
    )
    assert (seen.tx_bytes, seen.tx_packets, seen.tx_errors, seen.tx_dropped) == (
        tx_bytes,
        tx_packets,
        tx_errors,
        tx_dropped,
    )
    other = InterfaceStatistics.of_peer(struct.pack("=8Q", *numbers[:8]))
    swapped = [numbers[at ^ 1] for at in range(8)]
    assert other == InterfaceStatistics.of(struct.pack("=8Q", *swapped))


def test_of_an_endpoint_a_sandbox_and_a_network(world: World) -> None:
    one, two = (world.ctl.create_network("bridge", name, ipv4=f"10.{at}.0.0/24") for at, name in enumerate(("a", "b")))
    box = world.ctl.create_sandbox("box")
    first, second = one.create_endpoint("first"), two.create_endpoint("second")
    one.create_endpoint("idle")
    first.join(box)
    second.join(box)
    some = InterfaceStatistics(rx_bytes=7, tx_packets=3)
    world.dataplane.counted[first.id] = some
    assert first.statistics() == {"eth0": some}
    assert box.statistics() == {"eth0": some, "eth1": InterfaceStatistics()}
    assert one.statistics() == {"first": {"eth0": some}}
    assert two.statistics() == {"second": {"eth1": InterfaceStatistics()}}


def test_what_has_none_says_so(world: World) -> None:
    net = world.ctl.create_network("bridge", "web", ipv4="10.1.0.0/24")
    endpoint, box = net.create_endpoint("one"), world.ctl.create_sandbox("box")
    with pytest.raises(errors.NotJoinedError, match="'one' has not joined"):
        endpoint.statistics()
    endpoint.join(box)
    lost = world.dataplane.endpoints.pop(endpoint.id)
    with pytest.raises(errors.NotFoundError, match="'one': its interfaces are gone"):
        endpoint.statistics()
    assert net.statistics() == box.statistics() == {}
    world.dataplane.endpoints[endpoint.id] = lost
    endpoint.leave()
    endpoint.delete()
    with pytest.raises(errors.NoEndpointError):
        endpoint.statistics()


class Plain:
    """A dataplane without counters."""

    def __init__(self) -> None:
        self._inner = FakeDataplane()

    def __getattr__(self, name: str) -> Any:
        if name == "counters":
            raise AttributeError(name)
        return getattr(self._inner, name)


def test_a_dataplane_need_not_count() -> None:
    with Controller(dataplane=cast("Any", Plain())) as ctl:
        net = ctl.create_network("bridge", "web", ipv4="10.1.0.0/24")
        [endpoint] = net.attach(1)
        with pytest.raises(errors.NotImplementedYetError, match="no counters"):
            endpoint.statistics()


def test_asyncio_has_them_too() -> None:
    async def main() -> None:
        async with aio.Controller(dataplane=FakeDataplane()) as ctl:
            net = await ctl.create_network("bridge", "web", ipv4="10.77.0.0/16")
            [endpoint] = await net.attach(1)
            assert endpoint.sandbox is not None
            none = {"eth0": InterfaceStatistics()}
            assert await endpoint.statistics() == await endpoint.sandbox.statistics() == none
            assert await net.statistics() == {endpoint.name: none}

    asyncio.run(main())

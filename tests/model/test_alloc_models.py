"""Native allocation types against their slow twins, step by step."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from _fastnet.bitmap import Bitmap
from _fastnet.errors import NotTaken, Taken
from _fastnet.iflist import InterfaceList
from _fastnet.ippool import IPPool
from _fastnet.macpool import MACPool
from tests.model.twins import BitmapTwin, InterfaceTwin, MACTwin, PoolTwin

# Around every border that the layout has: words, the first dense sizes, what is always dense, levels.
BORDERS = (0, 63, 64, 65, 511, 512, 513, 4095, 4096, 4097, 8192, 2**18, 2**32, 2**63, 2**64)
SIZES = st.one_of(
    st.integers(1, 130),
    st.sampled_from(BORDERS[1:]),
    st.integers(4000, 20000),
    st.integers(2**40, 2**64),
)

PREFIXES = [
    "10.0.0.0/8",
    "10.1.0.0/24",
    "10.1.0.4/30",
    "10.1.0.4/31",
    "10.1.0.4/32",
    "0.0.0.0/0",
    "255.255.0.0/16",
    "fd00::/64",
    "fd00::/48",
    "::/0",
    "fd00::/120",
    "fd00::4/127",
    "fd00::4/128",
    "ffff:ffff:ffff:ffff::/64",
    "ffff::ff80/121",
    "2001:db8::/65",
]


def ip_text(address: int, version: int) -> str:
    return str(IPv4Address(address) if version == 4 else IPv6Address(address))


def near_borders(size: int) -> st.SearchStrategy[int]:
    return st.one_of(
        st.integers(0, size - 1),
        st.builds(
            lambda border, step: max(0, min(size - 1, border + step)),
            st.sampled_from(BORDERS),
            st.integers(-70, 70),
        ),
        st.integers(max(0, size - 130), size - 1),
    )


def same(native: Callable[[], object], twin: Callable[[], object]) -> object:
    """Do one thing in both: the same result, or an error of the same class."""
    try:
        wanted = twin()
    except (ValueError, LookupError) as error:
        with pytest.raises(type(error)):
            native()
        return None
    got = native()
    if isinstance(wanted, list):
        got = list(got)  # type: ignore[call-overload]
    assert got == wanted
    return got


class BitmapMachine(RuleBasedStateMachine):
    @initialize(size=SIZES)
    def begin(self, size: int) -> None:
        self.native = Bitmap(size)
        self.twin = BitmapTwin(size)

    @rule()
    def allocate(self) -> None:
        same(self.native.allocate, self.twin.allocate)

    @rule()
    def allocate_next(self) -> None:
        same(self.native.allocate_next, self.twin.allocate_next)

    @rule(count=st.one_of(st.integers(0, 200), st.integers(0, 9000)))
    def allocate_many(self, count: int) -> None:
        if self.twin.size < 2**20 and count > 200:
            count = min(count, self.twin.free + 1)
        same(lambda: self.native.allocate_many(count), lambda: self.twin.allocate_many(count))

    @rule(data=st.data())
    def reserve(self, data: st.DataObject) -> None:
        ordinal = data.draw(near_borders(self.twin.size))
        same(lambda: self.native.reserve(ordinal), lambda: self.twin.reserve(ordinal))

    @rule(data=st.data(), run=st.integers(1, 200))
    def reserve_run(self, data: st.DataObject, run: int) -> None:
        start = data.draw(near_borders(self.twin.size))
        for ordinal in range(start, min(start + run, self.twin.size)):
            same(partial(self.native.reserve, ordinal), partial(self.twin.reserve, ordinal))

    @rule(data=st.data())
    def move_cursor(self, data: st.DataObject) -> None:
        """Leave one free, far out: the serial search has to find it or wrap around."""
        ordinal = data.draw(near_borders(self.twin.size))
        if ordinal in self.twin.taken:
            same(lambda: self.native.release(ordinal), lambda: self.twin.release(ordinal))
            same(self.native.allocate_next, self.twin.allocate_next)

    @precondition(lambda self: self.twin.taken)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        taken = sorted(self.twin.taken)
        ordinal = taken[data.draw(st.integers(0, len(taken) - 1))]
        same(lambda: self.native.release(ordinal), lambda: self.twin.release(ordinal))

    @rule(data=st.data())
    def release_any(self, data: st.DataObject) -> None:
        ordinal = data.draw(near_borders(self.twin.size))
        same(lambda: self.native.release(ordinal), lambda: self.twin.release(ordinal))

    @precondition(lambda self: self.twin.taken)
    @rule(
        data=st.data(),
        spoil=st.sampled_from(["", "", "", "twice", "free", "outside"]),
        step=st.integers(1, 7),
    )
    def release_many(self, data: st.DataObject, spoil: str, step: int) -> None:
        taken = sorted(self.twin.taken)
        start = data.draw(st.integers(0, len(taken) - 1))
        chosen = taken[start::step]
        if spoil == "twice":
            chosen.append(chosen[0])
        elif spoil == "free":
            chosen.append(data.draw(near_borders(self.twin.size)))
        elif spoil == "outside":
            chosen.append(self.twin.size)
        same(lambda: self.native.release_many(chosen), lambda: self.twin.release_many(chosen))

    @rule(ordinal=st.one_of(st.integers(), st.just(2**64), st.just(-1)))
    def outside(self, ordinal: int) -> None:
        if not 0 <= ordinal < self.twin.size:
            same(lambda: self.native.reserve(ordinal), lambda: self.twin.reserve(ordinal))
            same(lambda: self.native.release(ordinal), lambda: self.twin.release(ordinal))
            assert ordinal not in self.native

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "twin"):
            return
        assert self.native.size == self.twin.size
        assert self.native.free == self.twin.free
        assert len(self.native) == len(self.twin.taken)
        for ordinal in self.twin.taken:
            assert ordinal in self.native
        for border in BORDERS:
            assert (border in self.native) == (border in self.twin.taken)

    @invariant()
    def bounded(self) -> None:
        """The docstring's promise, with every far ordinal alone in its word."""
        if hasattr(self, "twin"):
            self.most = max(getattr(self, "most", 0), len(self.twin.taken))
            assert self.native.nbytes <= 400 + 520 + (43 + 17) * self.most + 128


class PoolMachine(RuleBasedStateMachine):
    @initialize(prefix=st.sampled_from(PREFIXES), data=st.data())
    def begin(self, prefix: str, data: st.DataObject) -> None:
        network = ip_network(prefix)
        self.first = int(network.network_address)
        host = network.max_prefixlen - network.prefixlen
        self.span = 2 ** min(host, 64)
        spans = [self.draw_span(data, host) for _ in range(data.draw(st.integers(0, 5)))]
        part = self.draw_span(data, host) if data.draw(st.booleans()) else None
        if part and part[0] >> 64 != part[1] >> 64:
            part = None
        seconds = data.draw(st.sampled_from([0, 0, 2, 10]))
        self.twin = PoolTwin(self.first, host, network.version, part, self.apart(spans), seconds)
        if self.twin.size == 0:
            spans, part = [], None
            self.twin = PoolTwin(self.first, host, network.version, quarantine=seconds)
        text = [f"{ip_text(low, network.version)}-{ip_text(high, network.version)}" for low, high in spans]
        self.native = IPPool(
            prefix,
            range=part and f"{ip_text(part[0], network.version)}-{ip_text(part[1], network.version)}",
            exclude=text,
            quarantine=seconds,
            clock=lambda: self.twin.now,
        )

    def draw_span(self, data: st.DataObject, host: int) -> tuple[int, int]:
        """A span of the prefix: near its ends, or anywhere."""
        most = 2**host - 1
        near = st.one_of(st.integers(0, min(most, 300)), st.integers(max(0, most - 300), most), st.integers(0, most))
        low, high = sorted((data.draw(near), data.draw(near)))
        return self.first + low, self.first + high

    @staticmethod
    def apart(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """The same addresses, each in one span only."""
        left: list[tuple[int, int]] = []
        for low, high in sorted(spans):
            low = max(low, left[-1][1] + 1 if left else low)
            if low <= high:
                left.append((low, high))
        return left

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        self.twin.now += seconds

    @precondition(lambda self: self.twin.queue)
    @rule(data=st.data())
    def want_one_that_waits(self, data: st.DataObject) -> None:
        address = data.draw(st.sampled_from(sorted(one for one, _ in self.twin.queue)))
        same(lambda: self.native.reserve(address), lambda: self.twin.reserve(address))
        if data.draw(st.booleans()):
            same(lambda: self.native.release(address), lambda: self.twin.release(address))

    @precondition(lambda self: self.twin.free <= 600)
    @rule(leave=st.integers(0, 3))
    def nearly_exhaust(self, leave: int) -> None:
        count = max(0, self.twin.free - leave)
        same(lambda: self.native.allocate_many(count), lambda: self.twin.allocate_many(count))

    def draw_address(self, data: st.DataObject) -> int:
        if data.draw(st.booleans()):
            return self.first + data.draw(st.integers(-2, 40))
        if self.twin.part and data.draw(st.booleans()):
            return data.draw(st.sampled_from(self.twin.part)) + data.draw(st.integers(-3, 3))
        return self.first + data.draw(st.integers(max(0, self.span - 80), self.span + 2))

    @rule()
    def allocate(self) -> None:
        same(self.native.allocate, self.twin.allocate)

    @rule()
    def allocate_next(self) -> None:
        same(self.native.allocate_next, self.twin.allocate_next)

    @rule(count=st.integers(0, 300))
    def allocate_many(self, count: int) -> None:
        same(lambda: self.native.allocate_many(count), lambda: self.twin.allocate_many(count))

    @rule(data=st.data())
    def reserve(self, data: st.DataObject) -> None:
        address = self.draw_address(data)
        same(lambda: self.native.reserve(address), lambda: self.twin.reserve(address))

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        address = self.draw_address(data)
        same(lambda: self.native.release(address), lambda: self.twin.release(address))

    @rule(data=st.data(), spoilt=st.booleans(), count=st.integers(0, 100))
    def release_many(self, data: st.DataObject, spoilt: bool, count: int) -> None:
        chosen = sorted(self.twin.taken())[:count]
        if spoilt:
            chosen.append(self.draw_address(data))
        same(lambda: self.native.release_many(chosen), lambda: self.twin.release_many(chosen))

    @rule(count=st.integers(0, 100))
    def give_and_take_back(self, count: int) -> None:
        if count <= self.twin.free:
            given = same(lambda: self.native.allocate_many(count), lambda: self.twin.allocate_many(count))
            same(lambda: self.native.release_many(given), lambda: self.twin.release_many(given))

    @rule()
    def through_bytes(self) -> None:
        """The restored one goes on instead."""
        self.native = IPPool.restore(self.native.snapshot(), clock=lambda: self.twin.now)

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "twin"):
            return
        taken = self.twin.taken()
        assert (self.native.size, self.native.free) == (self.twin.size, self.twin.free)
        assert len(self.native) == len(taken)
        assert self.native.quarantined == len(self.twin.waiting())
        for address in taken:
            assert address in self.native
        for step in range(-2, 3):
            assert (self.first + step in self.native) == (self.first + step in taken)
            assert (self.first + self.span + step in self.native) == (self.first + self.span + step in taken)


class MACMachine(RuleBasedStateMachine):
    @initialize(seed=st.integers(0, 2**64 - 1))  # a draw that does not repeat would confuse hypothesis
    def begin(self, seed: int) -> None:
        self.native = MACPool(seed)
        self.twin = MACTwin()

    @rule()
    def allocate(self) -> None:
        mac = self.native.allocate()
        assert mac >> 40 == 2
        assert mac >> 32 != 0x0242
        self.twin.take(mac)

    @rule(ipv4=st.one_of(st.integers(0, 300), st.integers(0, 2**32 - 1)), packed=st.booleans())
    def derive(self, ipv4: int, packed: bool) -> None:
        mac = 0x0242 << 32 | ipv4
        try:
            self.twin.take(mac)
        except Taken:
            with pytest.raises(Taken):
                self.native.derive(ipv4)
        else:
            assert self.native.derive(ipv4.to_bytes(4, "big") if packed else ipv4) == mac.to_bytes(6, "big")

    @rule(mac=st.one_of(st.integers(0, 600), st.integers(0, 2**49), st.integers(0x024200000000, 0x0242000000FF)))
    def reserve(self, mac: int) -> None:
        same(lambda: self.native.reserve(mac), lambda: self.twin.reserve(mac))

    @rule(count=st.integers(0, 40))
    def allocate_many(self, count: int) -> None:
        for mac in self.native.allocate_many(count):
            assert mac >> 40 == 2
            self.twin.take(mac)

    @precondition(lambda self: self.twin.held)
    @rule(data=st.data(), spoil=st.sampled_from(["", "", "twice", "free"]))
    def release_many(self, data: st.DataObject, spoil: str) -> None:
        held = sorted(self.twin.held)
        chosen = held[data.draw(st.integers(0, len(held) - 1)) :: 2]
        if spoil:
            chosen.append(chosen[0] if spoil == "twice" else max(held) + 1)
        same(lambda: self.native.release_many(chosen), lambda: self.twin.release_many(chosen))

    @precondition(lambda self: self.twin.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        mac = data.draw(st.sampled_from(sorted(self.twin.held)))
        self.twin.release(mac)
        self.native.release(mac)
        with pytest.raises(NotTaken):
            self.native.release(mac)

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "twin"):
            return
        assert len(self.native) == len(self.twin.held)
        for mac in self.twin.held:
            assert mac in self.native


class InterfaceMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.native = InterfaceList()
        self.twin = InterfaceTwin()

    @rule(
        number=st.one_of(st.integers(0, 60), st.integers(0, 2**31 - 1)),
        mac=st.none() | st.binary(min_size=6, max_size=6),
        ipv4=st.none() | st.binary(min_size=4, max_size=4),
        ipv6=st.none() | st.binary(min_size=16, max_size=16),
    )
    def append(self, number: int, mac: bytes | None, ipv4: bytes | None, ipv6: bytes | None) -> None:
        same(
            lambda: self.native.append(number, mac, ipv4, ipv6=ipv6),
            lambda: self.twin.append(number, mac, ipv4, ipv6),
        )

    @rule(count=st.integers(1, 40), step=st.sampled_from([-3, -1, 1, 5]))
    def append_run(self, count: int, step: int) -> None:
        """Ids in other orders than the rows': the index has to answer."""
        for number in range(1000, 1000 + count * step, step):
            same(partial(self.native.append, number), partial(self.twin.append, number, None, None, None))

    @precondition(lambda self: self.twin.rows)
    @rule(
        data=st.data(),
        mac=st.binary(min_size=6, max_size=6),
        ipv4=st.binary(min_size=4, max_size=4),
        ipv6=st.binary(min_size=16, max_size=16),
        lengths=st.tuples(st.integers(0, 32), st.integers(0, 128)),
    )
    def fill(self, data: st.DataObject, mac: bytes, ipv4: bytes, ipv6: bytes, lengths: tuple[int, int]) -> None:
        row = data.draw(st.integers(0, len(self.twin.rows) - 1))
        self.native.set_mac(row, mac)
        self.native.set_ipv4(row, ipv4, lengths[0])
        self.native.set_ipv6(row, ipv6, lengths[1])
        self.twin.rows[row][1:] = [mac, ipv4, lengths[0], ipv6, lengths[1]]

    @rule(number=st.one_of(st.integers(0, 60), st.integers(900, 1300)))
    def find(self, number: int) -> None:
        assert self.native.find(number) == self.twin.find(number)

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "twin"):
            return
        n = self.native
        got = [[n.id(r), n.mac(r), n.ipv4(r), n.ipv4_prefix(r), n.ipv6(r), n.ipv6_prefix(r)] for r in range(len(n))]
        assert got == self.twin.rows


# DRIVERAPI_LONG=1: 1,000 runs of each machine instead of 60, up to 50 steps in each, 178,000 when they were counted;
# one of them alone: -k TestPool. With the 2,000 runs of test_bitmap_ranges.py there are some 260,000.
LONG = os.environ.get("DRIVERAPI_LONG", "") not in ("", "0")
PROFILE = settings(max_examples=1000 if LONG else 60, stateful_step_count=50 if LONG else 40, deadline=None)

TestBitmap = BitmapMachine.TestCase
TestBitmap.settings = PROFILE
TestPool = PoolMachine.TestCase
TestPool.settings = PROFILE
TestMAC = MACMachine.TestCase
TestMAC.settings = PROFILE
TestInterfaces = InterfaceMachine.TestCase
TestInterfaces.settings = PROFILE

"""Peer of family ``alloc``: a pool over ``bitarray``, as a good programmer would write it.

A bit per address, C loops that look for a zero a word at a time, and a hint below which nothing
is free, so that the search does not begin at the start. It stays a scan: where the lowest
free address is far from the hint, it takes as long as the way there.
"""

from __future__ import annotations

from array import array
from ipaddress import ip_address, ip_network
from itertools import islice, repeat
from typing import Any

from bitarray import bitarray

from driverapi.bench.alloc import LOW, PoolTask
from driverapi.bench.task import WrongResultError

__all__ = ["BitPool", "Bulk", "Churn", "Full", "Hot", "Random", "Single", "Text"]


class BitPool:
    """First-free allocation of numbers from ``first`` on."""

    __slots__ = ("_bits", "_first", "_hint")

    def __init__(self, first: int, size: int) -> None:
        self._bits = bitarray(size)
        self._bits.setall(0)
        self._first = first
        self._hint = 0

    def allocate(self) -> int:
        """Give out the lowest free number."""
        position = self._bits.find(0, self._hint)
        if position < 0:
            raise LookupError("all are taken")
        self._bits[position] = 1
        self._hint = position + 1
        return self._first + position

    def allocate_many(self, count: int) -> array[int]:
        """Give out many at once: a run where there is one, else each zero in turn."""
        bits = self._bits
        start = bits.find(0, self._hint)
        if start >= 0 and bits.find(1, start, start + count) < 0 and start + count <= len(bits):
            bits[start : start + count] = 1
            self._hint = start + count
            return array("Q", range(self._first + start, self._first + start + count))
        found = list(islice(bits.search(0, self._hint), count))
        if len(found) < count:
            raise LookupError("not so many are free")
        bits[found] = 1
        self._hint = found[-1] + 1
        return array("Q", [self._first + one for one in found])

    def release(self, number: int) -> None:
        """Take one back."""
        position = number - self._first
        if not self._bits[position]:
            raise LookupError("it is not taken")
        self._bits[position] = 0
        if position < self._hint:
            self._hint = position

    def fill(self, count: int) -> None:
        """Take the lowest ones."""
        self._bits[:count] = 1
        self._hint = count

    @property
    def taken(self) -> int:
        """How many are taken."""
        return self._bits.count(1)


class _Bits(PoolTask):
    def setup(self) -> None:
        """Make a fresh pool of the usable addresses."""
        network = ip_network(self.prefix)
        self.pool = BitPool(int(network.network_address) + 1, network.num_addresses - 2)

    def number(self, address: Any) -> int:
        """Return the number."""
        return int(address)


class Single(_Bits):
    """One call per number."""

    def run(self) -> None:
        """Draw."""
        allocate = self.pool.allocate
        self.given = [allocate() for _ in repeat(None, self.units)]


class Text(_Bits):
    """One call per number, made into text by ``ipaddress``."""

    def run(self) -> None:
        """Draw."""
        allocate = self.pool.allocate
        self.given = [str(ip_address(allocate())) for _ in repeat(None, self.units)]

    def number(self, address: str) -> int:
        """Return the number."""
        return int(ip_address(address))


class Bulk(_Bits):
    """All at once, into an array."""

    def setup(self) -> None:
        """Make a fresh pool."""
        super().setup()
        self.have_memory()

    def run(self) -> None:
        """Draw."""
        self.given = self.pool.allocate_many(self.units)


class Churn(_Bits):
    """Release a random taken number, then allocate."""

    def setup(self) -> None:
        """Fill a fresh pool and draw what shall be released."""
        self.hold()
        self.order = self.victims()

    def hold(self) -> None:
        """Hold the pool, filled."""
        super().setup()
        self.pool.fill(self.parameters["filled"])

    def run(self) -> None:
        """Release and draw."""
        allocate, release = self.pool.allocate, self.pool.release
        for number in self.order:
            release(number)
            allocate()

    def check(self) -> None:
        """Raise unless as many are taken as before."""
        if self.pool.taken != self.parameters["filled"]:
            raise WrongResultError(f"{self.pool.taken} numbers are taken")


class Full(_Bits):
    """Every address taken at once; only the pool is kept."""

    def run(self) -> None:
        """Take all; as with ours the addresses are made, and dropped."""
        self.pool.allocate_many(self.units)

    def hold(self) -> None:
        """Hold the pool, full."""
        self.setup()
        self.pool.fill(self.units)

    def check(self) -> None:
        """Raise unless all are taken."""
        if self.pool.taken != self.units:
            raise WrongResultError(f"{self.pool.taken} numbers are taken")


class Random(Churn):
    """The same over bare ordinals."""

    def setup(self) -> None:
        """Fill a fresh pool and draw what shall be released."""
        self.hold()
        self.order = self.ordinals()

    def hold(self) -> None:
        """Hold the pool, filled."""
        self.pool = BitPool(0, self.parameters["size"])
        self.pool.fill(self.parameters["filled"])


class Hot(_Bits):
    """Allocate and release; as with ours the first thousand are taken."""

    def setup(self) -> None:
        """Make a fresh pool."""
        self.pool = BitPool(0, self.parameters["size"])
        self.pool.fill(LOW)

    def run(self) -> None:
        """Take and give back."""
        allocate, release = self.pool.allocate, self.pool.release
        for _ in repeat(None, self.units):
            release(allocate())

    def check(self) -> None:
        """Raise unless no more are taken than before."""
        if self.pool.taken != LOW:
            raise WrongResultError(f"{self.pool.taken} numbers are taken")

"""Peer of family ``alloc``: netaddr's ``IPSet`` of what is free.

It keeps CIDR blocks, so it is small and a whole range comes and goes at once; taking a
single address out splits a block and is costly. It therefore does fewer units than its
peers where it works one by one: from a fresh set, which is its best case.
"""

from __future__ import annotations

from typing import Any

import netaddr

from driverapi.bench.alloc import PoolTask
from driverapi.bench.task import Parameters, WrongResultError

__all__ = ["Bulk", "Churn", "New", "Single", "Text"]

_SINGLE_UNITS = 500


class _Free(PoolTask):
    def setup(self) -> None:
        """Make a fresh set of usable addresses."""
        network = netaddr.IPNetwork(self.prefix)
        self.free = netaddr.IPSet(netaddr.IPRange(network.first + 1, network.last - (network.version == 4)))
        self.size = self.free.size

    def number(self, address: Any) -> int:
        """Return the number."""
        return int(address)

    def address(self, number: int) -> netaddr.IPAddress:
        """Return the address."""
        return netaddr.IPAddress(number)

    def allocate(self) -> netaddr.IPAddress:
        """Take the lowest free address."""
        address = next(iter(self.free))
        self.free.remove(address)
        return address

    def allocate_many(self, count: int) -> list[netaddr.IPAddress]:
        """Take the lowest free addresses, a range at a time."""
        given: list[netaddr.IPAddress] = []
        taken: list[netaddr.IPRange] = []
        for free in self.free.iter_ipranges():
            last = min(free.last, free.first + count - len(given) - 1)
            taken.append(netaddr.IPRange(free.first, last))
            given += taken[-1]
            if len(given) == count:
                break
        for one in taken:
            self.free.remove(one)
        return given


class _Single(_Free):
    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__(parameters, seed)
        self.units = min(self.units, _SINGLE_UNITS)

    def hold(self) -> None:
        """Hold a set and as many addresses as the others: at once, for it comes to the same."""
        self.given = ()
        self.setup()
        self.given = self.allocate_many(self.parameters["count"])


class Single(_Single):
    """One call per address."""

    def run(self) -> None:
        """Draw."""
        self.given = [self.allocate() for _ in range(self.units)]


class Text(_Single):
    """One call per address, and its text."""

    def run(self) -> None:
        """Draw."""
        self.given = [str(self.allocate()) for _ in range(self.units)]

    def number(self, address: str) -> int:
        """Return the number."""
        return int(netaddr.IPAddress(address))


class Churn(_Single):
    """Release a random taken address, then allocate."""

    def setup(self) -> None:
        """Fill a fresh set and draw what shall be released."""
        self.hold()
        self.order = self.victims()

    def hold(self) -> None:
        """Hold the set, filled: a range is taken out at once."""
        super().setup()
        first = netaddr.IPNetwork(self.prefix).first + 1
        self.free.remove(netaddr.IPRange(first, first + self.parameters["filled"] - 1))

    def run(self) -> None:
        """Release and draw."""
        for address in self.order:
            self.free.add(address)
            self.allocate()

    def check(self) -> None:
        """Raise unless as many are taken as before."""
        taken = self.size - self.free.size
        if taken != self.parameters["filled"]:
            raise WrongResultError(f"{taken} addresses are taken")


class Bulk(_Free):
    """All at once."""

    def run(self) -> None:
        """Draw."""
        self.given = self.allocate_many(self.units)


class New(_Free):
    """A set of all that is usable."""

    def run(self) -> None:
        """Make sets, each in the other's place."""
        for _ in range(self.units):
            super().setup()

    def check(self) -> None:
        """Raise unless something is free."""
        if not self.free:
            raise WrongResultError("nothing is free in a fresh set")

    def hold(self) -> None:
        """Hold one set."""
        super().setup()

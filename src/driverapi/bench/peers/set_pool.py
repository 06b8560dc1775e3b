"""What people write around an address library: a cursor, a set, a heap.

The fair form of it. The short form seen in the wild, ``next(a for a in network.hosts() if a
not in taken)``, takes time in proportion to what is taken, for each address.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import islice
from typing import Any

from driverapi.bench.alloc import PoolTask
from driverapi.bench.task import WrongResultError

__all__ = ["Bulk", "Churn", "New", "SetPool", "SetPoolTask", "Single", "Text"]


class SetPool:
    """First-free allocation in constant time (logarithmic after a release)."""

    def __init__(self, hosts: Iterator[Any]) -> None:
        self._fresh = hosts
        self._freed: list[Any] = []
        self.taken: set[Any] = set()

    def allocate(self) -> Any:
        """Give out the lowest free address."""
        address = heappop(self._freed) if self._freed else next(self._fresh)
        self.taken.add(address)
        return address

    def allocate_many(self, count: int) -> list[Any]:
        """Give out many at once."""
        recycled = [heappop(self._freed) for _ in range(min(count, len(self._freed)))]
        given = recycled + list(islice(self._fresh, count - len(recycled)))
        self.taken.update(given)
        return given

    def release(self, address: Any) -> None:
        """Take one back; ``KeyError`` where it is not taken."""
        self.taken.remove(address)
        heappush(self._freed, address)


class SetPoolTask(PoolTask):
    """A set pool over some library's addresses."""

    pool: SetPool

    def hosts(self) -> Iterator[Any]:
        """Iterate over the usable addresses of the prefix."""
        raise NotImplementedError

    def setup(self) -> None:
        """Make a fresh pool."""
        self.pool = SetPool(self.hosts())

    def number(self, address: Any) -> int:
        """Return the number."""
        return int(address)


class Single(SetPoolTask):
    """One call per address."""

    def run(self) -> None:
        """Draw."""
        allocate = self.pool.allocate
        self.given = [allocate() for _ in range(self.units)]


class Text(SetPoolTask):
    """One call per address, and its text."""

    def run(self) -> None:
        """Draw."""
        allocate = self.pool.allocate
        self.texts = [str(allocate()) for _ in range(self.units)]

    def check(self) -> None:
        """Raise as the others do, and unless the text is of the same addresses."""
        self.given = sorted(self.pool.taken)
        super().check()
        if self.texts != [str(address) for address in self.given]:
            raise WrongResultError("the text is not that of the addresses")


class Churn(SetPoolTask):
    """Release a random taken address, then allocate."""

    def setup(self) -> None:
        """Fill a fresh pool."""
        super().setup()
        self.pool.allocate_many(self.parameters["filled"])
        self.order = self.victims()

    def hold(self) -> None:
        """Hold the pool, filled."""
        super().setup()
        self.pool.allocate_many(self.parameters["filled"])

    def run(self) -> None:
        """Release and draw."""
        allocate, release = self.pool.allocate, self.pool.release
        for address in self.order:
            release(address)
            allocate()

    def check(self) -> None:
        """Raise unless as many are taken as before."""
        if len(self.pool.taken) != self.parameters["filled"]:
            raise WrongResultError(f"{len(self.pool.taken)} addresses are taken")


class Bulk(SetPoolTask):
    """All at once."""

    def run(self) -> None:
        """Draw."""
        self.given = self.pool.allocate_many(self.units)


class New(SetPoolTask):
    """A pool, nothing taken."""

    def run(self) -> None:
        """Make pools, each in the other's place."""
        for _ in range(self.units):
            self.pool = SetPool(self.hosts())

    def check(self) -> None:
        """Raise unless nothing is taken."""
        if self.pool.taken:
            raise WrongResultError("a fresh pool has something taken")

    def hold(self) -> None:
        """Hold one pool."""
        self.setup()

"""Family ``alloc``: addresses out of one prefix. Ours, and what all contenders share."""

from __future__ import annotations

import random
from ipaddress import ip_address, ip_network
from itertools import repeat
from mmap import MADV_HUGEPAGE, PAGESIZE, mmap
from typing import Any

from driverapi.bench.task import Parameters, Task, WrongResultError

__all__ = [
    "LOW",
    "OursBulk",
    "OursChurn",
    "OursFull",
    "OursNew",
    "OursOneByOne",
    "OursQuarantine",
    "OursSingle",
    "OursText",
    "OursUnquarantined",
    "PoolTask",
]


LOW = 1_000
"""So many are taken before a bare ordinal is drawn: below, CPython has some ints ready-made."""


class PoolTask(Task):
    """Addresses are drawn and must be distinct addresses of the prefix."""

    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__(parameters, seed)
        self.prefix: str = parameters.get("prefix", "")
        self.given: Any = ()

    def number(self, address: Any) -> int:
        """Return an address of this contender's kind as a number."""
        raise NotImplementedError

    def check(self) -> None:
        """Raise unless all are distinct addresses of the prefix, and none is missing."""
        network = ip_network(self.prefix)
        low = int(network.network_address)
        numbers = {self.number(address) for address in self.given}
        if len(self.given) != self.units or len(numbers) != self.units:
            raise WrongResultError(f"{len(numbers)} distinct addresses where {self.units} were asked for")
        if min(numbers) <= low or max(numbers) >= low + network.num_addresses:
            raise WrongResultError(f"an address that is none of {self.prefix} was given")

    def address(self, number: int) -> Any:
        """Return a number as an address of this contender's kind."""
        return number

    def victims(self) -> list[Any]:
        """Return which of the taken addresses go back, one per step: drawn before the clock runs.

        The lowest ones are taken, and everybody here gives out the lowest that is free: that is
        the one that has just come back, so the same is taken after each step.
        """
        low = int(ip_network(self.prefix).network_address) + 1
        return [self.address(low + one) for one in self.ordinals()]

    def ordinals(self) -> list[int]:
        """Return which of the taken ordinals go back, where there is no prefix."""
        return random.Random(self.seed).choices(range(self.parameters["filled"]), k=self.units)  # noqa: S311 - no secret

    def hold(self) -> None:
        """Hold a fresh pool and what it gave."""
        self.given = ()
        self.setup()
        self.run()

    def have_memory(self) -> None:
        """Where the row is about much memory, write as much and give it back.

        A virtual machine's host may have taken free memory away, and takes milliseconds to bring a huge page
        back: so much that nothing else would be measured. Page faults of this machine's own stay on the clock.
        """
        self.given = ()
        if size := self.parameters.get("memory", 0):
            with mmap(-1, size) as room:
                room.madvise(MADV_HUGEPAGE)
                room[::PAGESIZE] = bytes(len(range(0, size, PAGESIZE)))


class _Ours(PoolTask):
    """Ours: ``IPPool``."""

    def setup(self) -> None:
        """Make a fresh pool."""
        from driverapi._native import IPPool

        self.pool = IPPool(self.prefix)

    def number(self, address: int | str) -> int:
        """Return the number."""
        return address if isinstance(address, int) else int(ip_address(address))


class OursSingle(_Ours):
    """``allocate()`` once per address."""

    def run(self) -> None:
        """Draw."""
        allocate = self.pool.allocate
        self.given = [allocate() for _ in repeat(None, self.units)]


class OursText(_Ours):
    """``allocate_text()`` once per address."""

    def run(self) -> None:
        """Draw."""
        allocate = self.pool.allocate_text
        self.given = [allocate() for _ in repeat(None, self.units)]


class OursChurn(_Ours):
    """``release`` of a random taken address, then ``allocate``, in a pool that is filled so far."""

    def __init__(self, parameters: Parameters, seed: int) -> None:
        # More of them than the peers do: a round of ours would be over before it is measured.
        super().__init__({**parameters, "count": parameters["count"] * 20}, seed)
        self.order = self.victims()

    def setup(self) -> None:
        """Fill a fresh pool."""
        super().setup()
        self.pool.allocate_many(self.parameters["filled"])

    def hold(self) -> None:
        """Hold the pool, filled."""
        self.setup()

    def run(self) -> None:
        """Release and draw."""
        pool = self.pool
        allocate, release = pool.allocate, pool.release
        for address in self.order:
            release(address)
            allocate()

    def check(self) -> None:
        """Raise unless as many are taken as before."""
        taken = len(self.pool)
        if not self.parameters["filled"] <= taken <= self.parameters["filled"] + 3:  # the reserved may count
            raise WrongResultError(f"{taken} addresses are taken where {self.parameters['filled']} should be")


class OursBulk(_Ours):
    """``allocate_many`` once."""

    def setup(self) -> None:
        """Make a fresh pool."""
        super().setup()
        self.have_memory()

    def run(self) -> None:
        """Draw."""
        self.given = self.pool.allocate_many(self.units)


class OursOneByOne(_Ours):
    """``allocate()`` once per address, nothing kept: the single call that bulk is held against."""

    def run(self) -> None:
        """Draw."""
        allocate = self.pool.allocate
        for _ in repeat(None, self.units):
            allocate()

    def check(self) -> None:
        """Raise unless all were taken."""
        if len(self.pool) < self.units:
            raise WrongResultError(f"{len(self.pool)} addresses are taken, not {self.units}")


class OursFull(_Ours):
    """Every address of the prefix taken at once; only the pool is kept."""

    def run(self) -> None:
        """Draw."""
        self.pool.allocate_many(self.units)

    def check(self) -> None:
        """Raise unless nothing is free."""
        if self.pool.free:
            raise WrongResultError(f"{self.pool.free} addresses are free")


class OursNew(_Ours):
    """``IPPool(prefix)``, nothing taken."""

    def run(self) -> None:
        """Make pools, each in the other's place."""
        from driverapi._native import IPPool

        prefix = self.prefix
        for _ in repeat(None, self.units):
            self.pool = IPPool(prefix)

    def check(self) -> None:
        """Raise unless there is a pool."""
        if not self.pool.free:
            raise WrongResultError("there is no free address in a fresh pool")

    def hold(self) -> None:
        """Hold one pool."""
        del self.pool
        self.setup()


class OursUnquarantined(_Ours):
    """``allocate()`` where many were released, without quarantine."""

    def make(self) -> Any:
        """Return a fresh pool."""
        from driverapi._native import IPPool

        return IPPool(self.prefix)

    def setup(self) -> None:
        """Take and release many."""
        self.pool = self.make()
        self.pool.release_many(self.pool.allocate_many(self.parameters["released"]))

    def run(self) -> None:
        """Draw."""
        allocate = self.pool.allocate
        self.given = [allocate() for _ in repeat(None, self.units)]

    def hold(self) -> None:
        """Hold the pool and what was released."""
        self.given = ()
        self.setup()


class OursQuarantine(OursUnquarantined):
    """The same where a released address rests for an hour."""

    def make(self) -> Any:
        """Return a fresh pool that remembers who left when."""
        from driverapi._native import IPPool

        return IPPool(self.prefix, quarantine=3600.0)

    def check(self) -> None:
        """Raise, too, if an address that rests was given."""
        super().check()
        low = int(ip_network(self.prefix).network_address)
        if min(self.given) <= low + self.parameters["released"]:
            raise WrongResultError("an address that was just released was given again")

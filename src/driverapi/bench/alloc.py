"""Family ``alloc``: addresses out of one prefix. Ours, and what all contenders share."""

from __future__ import annotations

import random
from ipaddress import ip_address, ip_network
from itertools import repeat
from typing import Any

from driverapi.bench.task import Parameters, Task, WrongResultError

__all__ = ["OursBulk", "OursChurn", "OursSingle", "OursText", "PoolTask"]


class PoolTask(Task):
    """Addresses are drawn and must be distinct addresses of the prefix."""

    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__(parameters, seed)
        self.prefix: str = parameters["prefix"]
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

    def victims(self, addresses: list[Any]) -> list[Any]:
        """Return which of the taken addresses go back, one per step: drawn before the clock runs.

        Each is released once only, so the same list is right for a contender that gives
        released addresses out again at once and for one that does not.
        """
        return random.Random(self.seed).sample(addresses, self.units)  # noqa: S311 - no secret


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
    """``release`` of a random taken address, then ``allocate``, in a pool that is nearly full."""

    def setup(self) -> None:
        """Fill a fresh pool and draw what shall be released."""
        super().setup()
        self.order = self.victims(list(self.pool.allocate_many(self.parameters["filled"])))

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

    def run(self) -> None:
        """Draw."""
        self.given = self.pool.allocate_many(self.units)

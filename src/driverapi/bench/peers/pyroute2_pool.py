"""Peer of family ``alloc``: pyroute2's ``AddrPool``, numbers between two bounds.

It knows nothing of addresses: numbers come out, and one call gives one number.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from pyroute2.common import AddrPool

from driverapi.bench.alloc import PoolTask
from driverapi.bench.task import Parameters, WrongResultError

__all__ = ["Bulk", "Churn", "New", "Single", "Text"]


_CELLS = 64
"""So many may be looked through without doing fewer steps."""


class _Numbers(PoolTask):
    def setup(self) -> None:
        """Make a fresh pool of the usable addresses."""
        network = ip_network(self.prefix)
        last = int(network.broadcast_address) - (network.version == 4)
        self.pool = AddrPool(minaddr=int(network.network_address) + 1, maxaddr=last)

    def number(self, address: Any) -> int:
        """Return the number."""
        return int(address)


class Single(_Numbers):
    """One call per number."""

    def run(self) -> None:
        """Draw."""
        alloc = self.pool.alloc
        self.given = [alloc() for _ in range(self.units)]


class Bulk(Single):
    """The same: it has no bulk call."""


class Text(_Numbers):
    """One call per number, made into text by ``ipaddress``."""

    def run(self) -> None:
        """Draw."""
        alloc = self.pool.alloc
        self.given = [str(ip_address(alloc())) for _ in range(self.units)]

    def number(self, address: str) -> int:
        """Return the number."""
        return int(ip_address(address))


class Churn(_Numbers):
    """Free a random taken number, then take one.

    It looks through its cells of 64 from the first on, so it does fewer steps the more is taken.
    Its cells are filled by hand: a call for each would take time in proportion to the square.
    """

    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__(parameters, seed)
        self.units = max(100, min(self.units, _CELLS * 64 * self.units // max(1, parameters["filled"])))

    def setup(self) -> None:
        """Fill a fresh pool and draw what shall be freed."""
        self.hold()
        self.order = self.victims()

    def hold(self) -> None:
        """Hold the pool, filled."""
        super().setup()
        cells, rest = divmod(self.parameters["filled"], self.pool.cell_size)
        self.pool.addr_map = [0] * cells + [self.pool.cell ^ ((1 << rest) - 1)]

    def run(self) -> None:
        """Free and draw."""
        alloc, free = self.pool.alloc, self.pool.free
        last = 0
        for number in self.order:
            free(number)
            last = alloc()
        self.given = [last]

    def check(self) -> None:
        """Raise unless the number just freed came out: all below it are taken."""
        if self.given != [self.order[-1]]:
            raise WrongResultError(f"{self.given} was given, not the number just freed")


class New(_Numbers):
    """A pool, nothing taken."""

    def run(self) -> None:
        """Make pools, each in the other's place."""
        network = ip_network(self.prefix)
        first, last = int(network.network_address) + 1, int(network.broadcast_address)
        for _ in range(self.units):
            self.pool = AddrPool(minaddr=first, maxaddr=last)

    def check(self) -> None:
        """Raise unless the first number comes out."""
        if self.pool.alloc() != self.pool.minaddr:
            raise WrongResultError("the first number of a fresh pool is not the first")

    def hold(self) -> None:
        """Hold one pool."""
        super().setup()

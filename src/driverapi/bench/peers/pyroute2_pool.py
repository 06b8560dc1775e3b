"""Peer of family ``alloc``: pyroute2's ``AddrPool``, numbers between two bounds.

It knows nothing of addresses: numbers come out, and one call gives one number.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from pyroute2.common import AddrPool

from driverapi.bench.alloc import PoolTask
from driverapi.bench.task import WrongResultError

__all__ = ["Bulk", "Churn", "Single", "Text"]


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
    """Free a random taken number, then take one."""

    def setup(self) -> None:
        """Fill a fresh pool and draw what shall be freed."""
        super().setup()
        self.order = self.victims([self.pool.alloc() for _ in range(self.parameters["filled"])])

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

"""Peer of family ``alloc``: netaddr's addresses and a set."""

from __future__ import annotations

from collections.abc import Iterator

import netaddr

from driverapi.bench.peers import set_pool

__all__ = ["Bulk", "Churn", "New", "Single", "Text"]


class _Hosts(set_pool.SetPoolTask):
    def hosts(self) -> Iterator[netaddr.IPAddress]:
        """Iterate over the usable addresses of the prefix."""
        return iter(netaddr.IPNetwork(self.prefix).iter_hosts())

    def address(self, number: int) -> netaddr.IPAddress:
        """Return the address."""
        return netaddr.IPAddress(number)


class Single(_Hosts, set_pool.Single):
    """One call per address."""


class Text(_Hosts, set_pool.Text):
    """One call per address, and its text."""


class Churn(_Hosts, set_pool.Churn):
    """Release a random taken address, then allocate."""


class Bulk(_Hosts, set_pool.Bulk):
    """All at once."""


class New(_Hosts, set_pool.New):
    """A pool, nothing taken."""

"""Peer of family ``alloc``: the standard library's ``ipaddress`` and a set."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from driverapi.bench.peers import set_pool

__all__ = ["Bulk", "Churn", "New", "Single", "Text"]


class _Hosts(set_pool.SetPoolTask):
    def hosts(self) -> Iterator[IPv4Address | IPv6Address]:
        """Iterate over the usable addresses of the prefix."""
        return iter(ip_network(self.prefix).hosts())

    def address(self, number: int) -> IPv4Address | IPv6Address:
        """Return the address."""
        return ip_address(number)


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

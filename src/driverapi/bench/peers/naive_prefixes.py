"""Peers of family ``ipam``: prefixes in a list, and a look at all of them, as it is often written."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Any

from driverapi.bench.ipam import GivenTask, PrefixTask, wholes
from driverapi.bench.task import Parameters

__all__ = ["IpaddressBySize", "IpaddressGiven", "NetaddrBySize", "NetaddrGiven", "NetaddrSetBySize"]


class _BySize(PrefixTask):
    """The next candidate is kept: only the check looks at all. It does fewer, as each costs more than the last."""

    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__({**parameters, "count": parameters["naive"]}, seed)

    def setup(self) -> None:
        """Take nothing."""
        self.given = []

    def candidates(self) -> Iterator[Any]:
        """Iterate over all prefixes of the length, in order."""
        raise NotImplementedError

    def overlaps(self, one: Any, other: Any) -> bool:
        """Tell whether two prefixes share an address."""
        raise NotImplementedError

    def run(self) -> None:
        """Request."""
        given, candidates, overlaps = self.given, self.candidates(), self.overlaps
        for _ in range(self.units):
            given.append(next(one for one in candidates if not any(overlaps(one, other) for other in given)))


class IpaddressBySize(_BySize):
    """``ipaddress``: ``subnets`` and ``overlaps``."""

    def candidates(self) -> Iterator[IPv4Network]:
        """Iterate."""
        for whole in wholes():
            yield from IPv4Network(whole).subnets(new_prefix=self.length)

    def overlaps(self, one: IPv4Network, other: IPv4Network) -> bool:
        """Ask one."""
        return one.overlaps(other)


class NetaddrBySize(_BySize):
    """``netaddr``: ``subnet`` and ``in``."""

    def candidates(self) -> Iterator[Any]:
        """Iterate."""
        from netaddr import IPNetwork

        for whole in wholes():
            yield from IPNetwork(whole).subnet(self.length)

    def overlaps(self, one: Any, other: Any) -> bool:
        """Ask both."""
        return one in other or other in one


class NetaddrSetBySize(PrefixTask):
    """``netaddr.IPSet`` of what is free: no look at all of them, a cut out of a block."""

    def setup(self) -> None:
        """Have all free."""
        from netaddr import IPSet

        self.free = IPSet(wholes())
        self.given = []

    def run(self) -> None:
        """Request."""
        free, length = self.free, self.length
        for _ in range(self.units):
            block = next(one for one in free.iter_cidrs() if one.prefixlen <= length)
            first = next(block.subnet(length))
            free.remove(first)
            self.given.append(first)


class _Given(GivenTask):
    """It does fewer."""

    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__({**parameters, "count": parameters["naive"]}, seed)


class IpaddressGiven(_Given):
    """``ipaddress``: ``overlaps`` with each."""

    def setup(self) -> None:
        """Fill a list."""
        self.taken = [IPv4Network(prefix) for prefix in self.there]

    def take(self, prefix: str) -> bool:
        """Take it and give it back."""
        wanted = IPv4Network(prefix)
        if any(wanted.overlaps(other) for other in self.taken):
            return False
        self.taken.append(wanted)
        self.taken.pop()
        return True


class NetaddrGiven(_Given):
    """``netaddr``: ``in`` with each."""

    def setup(self) -> None:
        """Fill a list."""
        from netaddr import IPNetwork

        self._network = IPNetwork
        self.taken = [IPNetwork(prefix) for prefix in self.there]

    def take(self, prefix: str) -> bool:
        """Take it and give it back."""
        wanted = self._network(prefix)
        if any(wanted in other or other in wanted for other in self.taken):
            return False
        self.taken.append(wanted)
        self.taken.pop()
        return True

"""Which endpoint of a network has which address: an engine that has forgotten an endpoint gives its address again."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from typing import Final, final

from driverapi import errors
from driverapi.addresses import Address, format_ip
from driverapi.plan import NetworkPlan
from driverapi.store.data import NetworkData

__all__ = ["Claims", "check_inside"]

_NOBODY: Final[dict[bytes, str]] = {}


@final
class Claims:
    """Endpoints by network and address.

    Thread safety: all methods.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders: dict[str, dict[bytes, str]] = {}  # network: address: endpoint
        self._held: dict[tuple[str, str], set[bytes]] = {}  # network and endpoint: addresses

    def in_the_way(self, network: str, endpoint: str, ips: Iterable[bytes]) -> list[str]:
        """Return who else has one of these addresses."""
        with self._lock:
            return self._others(network, endpoint, ips)

    def _others(self, network: str, endpoint: str, ips: Iterable[bytes]) -> list[str]:
        holders = self._holders.get(network, _NOBODY)
        return list(dict.fromkeys(one for ip in ips if (one := holders.get(ip, endpoint)) != endpoint))

    def take(self, network: str, endpoint: str, ips: Collection[bytes]) -> None:
        """Have an endpoint have these addresses too, beside those that it has: all or none.

        Raises
        ------
        errors.AddressTakenError
            Another one has one of them.
        """
        with self._lock:
            for ip in ips:
                for other in self._others(network, endpoint, (ip,)):
                    raise errors.AddressTakenError(
                        f"address {format_ip(ip)} is that of endpoint {other[:12]} on network {network[:12]}; "
                        "delete that, or choose another address"
                    )
            self._add(network, endpoint, ips)

    def keep(self, network: str, endpoint: str, ips: Collection[bytes]) -> None:
        """Have an endpoint have these addresses and no others; what another one has stays that one's."""
        with self._lock:
            self._drop(network, endpoint)
            others = self._holders.get(network, _NOBODY)
            self._add(network, endpoint, [ip for ip in ips if ip not in others])

    def forget(self, network: str, endpoint: str) -> None:
        """Have an endpoint have none."""
        with self._lock:
            self._drop(network, endpoint)

    def _add(self, network: str, endpoint: str, ips: Collection[bytes]) -> None:
        if ips:
            self._holders.setdefault(network, {}).update(dict.fromkeys(ips, endpoint))
            self._held.setdefault((network, endpoint), set()).update(ips)

    def _drop(self, network: str, endpoint: str) -> None:
        for ip in self._held.pop((network, endpoint), ()):
            del self._holders[network][ip]
        if not self._holders.get(network, True):
            del self._holders[network]


def check_inside(
    network: NetworkData, plan: NetworkPlan | None, addresses: Collection[Address], *, alone: bool = False
) -> None:
    """Refuse addresses that cannot be those of an endpoint; a network without prefixes says nothing of them.

    Parameters
    ----------
    alone : bool
        They must come without the prefix of the network.

    Raises
    ------
    errors.InvalidError
        One is outside of the prefixes, or comes twice, or with a prefix.
    errors.AddressTakenError
        One is the gateway's, on a link of the network's own.
    """
    if len({one.ip for one in addresses}) != len(addresses):
        raise errors.InvalidError(f"an address comes twice: {', '.join(map(str, addresses))}")
    prefixes = [Address(one.ip, one.length) for one in network.prefixes]
    links = () if plan is None else plan.links
    gateways = {address.ip for link in links for address in getattr(link, "addresses", ())}
    for one in addresses:
        if prefixes and not any(one.ip in prefix for prefix in prefixes):
            raise errors.InvalidError(
                f"address {one} is outside of the network's prefixes: {', '.join(map(str, prefixes))}"
            )
        if alone and one.prefix != one.bits:
            raise errors.InvalidError(
                f"address {one} has a prefix, and stands alone on its link: give {Address(one.ip, one.bits)}"
            )
        if one.ip in gateways:
            raise errors.AddressTakenError(f"address {format_ip(one.ip)} is the network's gateway; choose another")

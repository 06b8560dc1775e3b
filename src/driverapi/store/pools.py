"""The address pools that a state has: how much of each is in use, and who has which address."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from driverapi._native import IPPool
from driverapi.addresses import Address, format_ip, format_mac
from driverapi.ipam.contract import PoolId
from driverapi.store.contract import Kind, Record, State
from driverapi.store.data import EndpointData, LeaseData, NetworkData, PrefixData, decode

__all__ = ["AddressView", "PoolView", "pools_of"]


@dataclass(frozen=True, slots=True)
class AddressView:
    """An address that is not free.

    Attributes
    ----------
    what : str
        ``gateway``, ``endpoint``, ``lease``; ``quarantine`` of one that an endpoint had until lately; ``excluded`` of
        one that nobody may have.
    owner : str or None
        Name of the endpoint, owner of the lease.
    """

    address: str
    what: str
    owner: str | None = None
    mac_address: str | None = None


@dataclass(frozen=True, slots=True)
class PoolView:
    """A pool.

    Attributes
    ----------
    id : str
        ``SPACE/POOL[/SUBPOOL]``.
    network, ipam : str
        Names of whose it is, and of who gives its addresses.
    size : int
        Addresses that endpoints may have without asking for them.
    taken : int
        How many are in use: of gateways, endpoints and leases, those that were asked for outside of the subpool too.
    resting : int
        How many are in quarantine.
    utilisation : float
        Part of the size that is in use, 0.0 to 1.0.
    addresses : tuple of AddressView
        In their order.
    """

    id: str
    network: str
    ipam: str
    size: int
    taken: int
    resting: int
    utilisation: float
    addresses: tuple[AddressView, ...] = ()

    def document(self, *, addresses: bool = False) -> dict[str, Any]:
        """Return it as plain data, with stable keys."""
        found = asdict(self)
        found["addresses"] = list(found["addresses"])
        if not addresses:
            del found["addresses"]
        return found


def pools_of(records: Iterable[Record]) -> list[PoolView]:
    """Return the pools of all networks, in the order of the networks' names."""
    networks: list[tuple[str, NetworkData]] = []
    of: dict[str, list[tuple[bytes, AddressView]]] = {}
    for record in records:
        if record.data is None:
            continue
        if record.kind is Kind.NETWORK:
            networks.append((record.id, decode(record.data, NetworkData)))
        elif record.kind is Kind.LEASE:
            lease = decode(record.data, LeaseData)
            seen = AddressView(format_ip(lease.ip), "lease", lease.owner, _mac(lease.mac))
            of.setdefault(record.network, []).append((lease.ip, seen))
        elif record.kind is Kind.ENDPOINT:
            data = decode(record.data, EndpointData)
            what = "quarantine" if record.state is State.RESTING else "endpoint"
            for one in data.interfaces:
                for ip in (one.ipv4, one.ipv6):
                    if ip is not None:
                        seen = AddressView(format_ip(ip), what, data.name, _mac(one.mac))
                        of.setdefault(record.network, []).append((ip, seen))
    found = []
    for id, network in sorted(networks, key=lambda one: one[1].name):
        found += [_pool(network, one, of.get(id, ())) for one in network.prefixes]
    return found


def _mac(mac: bytes | None) -> str | None:
    return None if mac is None else format_mac(mac)


def _pool(network: NetworkData, data: PrefixData, seen: Iterable[tuple[bytes, AddressView]]) -> PoolView:
    prefix = Address(data.ip, data.length)
    part = None if data.within is None else Address(*data.within)
    by_ip: dict[bytes, AddressView] = {ip: AddressView(format_ip(ip), "excluded") for ip in data.exclude}
    for ip, one in seen:
        if ip in prefix and (one.what != "quarantine" or ip not in by_ip):  # given again: there was no other
            by_ip[ip] = one
    if data.gateway is not None:
        by_ip[data.gateway] = AddressView(format_ip(data.gateway), "gateway")
    whats = [(one.what, part is None or ip in part) for ip, one in by_ip.items()]
    taken = [inside for what, inside in whats if what not in ("quarantine", "excluded")]
    size = IPPool(str(prefix), range=None if part is None else str(part), exclude=data.exclude).size
    return PoolView(
        data.pool or str(PoolId(network.space, prefix, part)),
        network.name,
        network.ipam,
        size,
        len(taken),
        sum(what == "quarantine" for what, _ in whats),
        sum(taken) / size if size else 1.0,
        tuple(by_ip[ip] for ip in sorted(by_ip)),
    )

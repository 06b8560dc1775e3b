"""Leases: addresses of a network for somebody who has no endpoint of it, a virtual machine say, or a service.

A lease has an owner, any text. It is kept in the state, ends when it is released, with its network, or by ``gc``
(:meth:`driverapi.Controller.gc`) when its owner is no more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from driverapi import errors
from driverapi.addresses import format_ip, format_mac, parse_ip, parse_mac, parse_prefix
from driverapi.control.gate import changes, reads
from driverapi.control.pooling import give_pools_back
from driverapi.ipam.asking import ask
from driverapi.ipam.contract import IPAM, KeepsLeases, Lease
from driverapi.store.contract import Kind, Record, State

if TYPE_CHECKING:
    from driverapi.addresses import IPLike, MACLike
    from driverapi.controller import Controller
    from driverapi.network import Network

__all__ = ["AddressLease", "Leases", "collect", "end_leases"]


@dataclass(frozen=True, slots=True)
class AddressLease:
    """An address of a network that is somebody's.

    Attributes
    ----------
    network : str
        Its name.
    address : str
        With the length of the prefix: ``10.0.0.5/16``.
    owner : str
        Whose.
    mac : str or None
        For which MAC address.
    """

    network: str
    address: str
    owner: str
    mac: str | None = None


@final
class Leases:
    """The leases of one network; ``network.leases``.

    Notes
    -----
    Thread safety: all methods.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._gate = network._gate

    @changes
    def take(
        self, owner: str, address: IPLike | None = None, *, mac: MACLike | None = None, version: int | None = None
    ) -> AddressLease:
        """Take an address for an owner.

        Parameters
        ----------
        owner : str
            Printable text of 1 to 255 characters; he may have several.
        address : address, optional
            A certain one. By default the one that ``mac`` had last of this network, or the next that is free.
        version : int, optional
            4 or 6, where the network has both and no address says it; by default IPv4 if there is.

        Raises
        ------
        errors.InvalidError
            The owner is none, the address is outside of the network, or it has no such prefix.
        errors.AddressTakenError, errors.AddressesExhaustedError
            The address is in use; none is left.
        errors.NotImplementedYetError
            The network's IPAM keeps no leases.
        """
        network = self._network
        network._check_there()
        ip = None if address is None else parse_ip(address)
        packed = None if mac is None else parse_mac(mac)
        if ip is not None:
            version = 4 if len(ip) == 4 else 6
        elif version is None:
            version = min(network._pools, default=4)
        pool = network._pools.get(version) if isinstance(version, int) else None
        if pool is None:
            raise errors.InvalidError(f"network {network.name!r} has no IPv{version} prefix to lease from")
        ipam, store = _keeper(network), network._controller._store
        with network._controller._leasing:
            network._check_there()  # still: who deletes it waits from here on
            lease = ask(ipam.lease, pool.id, owner, wanted=ip, mac=packed)
            try:
                if store.keeps:
                    store.put([_record(network, lease)])
            except BaseException:
                ask(network._addressing.ipam.release_addresses, pool.id, [lease.address.ip])
                raise
        network._addressing.changed()
        return _told(network, lease)

    @changes
    def release(self, what: AddressLease | IPLike) -> None:
        """End a lease: the one that :meth:`take` gave, or that of an address, with the length of its prefix or without.

        Raises
        ------
        errors.InvalidError
            It is no address.
        errors.NotFoundError
            There is none, or its network is another.
        """
        network = self._network
        if isinstance(what, AddressLease) and what.network != network.name:
            raise errors.NotFoundError(f"network {network.name!r} has no lease {what}")
        ip = parse_prefix(what.address if isinstance(what, AddressLease) else what).ip
        with network._controller._leasing:
            for lease in _leases_of(network):
                if lease.address.ip == ip:
                    network._controller._store.put([], [_id(network, lease)])
                    ask(network._addressing.ipam.release_addresses, lease.pool, [ip])
                    network._addressing.changed()
                    return
        raise errors.NotFoundError(f"network {network.name!r} has no lease of {format_ip(ip)}")

    @reads
    def _all(self) -> list[AddressLease]:
        return [_told(self._network, lease) for lease in _leases_of(self._network)]

    def __iter__(self) -> Iterator[AddressLease]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return f"<Leases of {self._network.name!r}, {len(self)}>"


def collect(controller: Controller, owners: Collection[str]) -> list[AddressLease]:
    """End the leases of all but these owners, on all networks: in one transaction of the state; return them."""
    if isinstance(owners, str) or not isinstance(owners, Collection):
        raise errors.InvalidError(f"gc takes the owners that live as a collection of text, not {owners!r}")
    wrong = next((one for one in owners if not isinstance(one, str)), None)
    if wrong is not None:
        raise errors.InvalidError(f"owner {wrong!r} is not text")
    living = frozenset(owners)
    with controller._leasing:
        dead = [
            (network, lease)
            for network in controller.networks
            for lease in _leases_of(network)
            if lease.owner not in living
        ]
        if not dead:
            return []
        controller._store.put([], [_id(network, lease) for network, lease in dead])
        pools: dict[int, tuple[Any, set[str]]] = {}
        for network, lease in dead:
            ipam: IPAM = network._addressing.ipam
            pools.setdefault(id(ipam), (ipam, set()))[1].add(lease.pool)
        for keeper, some in pools.values():
            ask(keeper.gc, living, some)
    for network in {id(network): network for network, _ in dead}.values():
        network._addressing.changed()
    return [_told(network, lease) for network, lease in dead]


def end_leases(network: Network) -> None:
    """Give back the pools of a network that is gone, and have the state forget its leases."""
    with network._controller._leasing:
        with suppress(errors.NotFoundError):  # an earlier call gave its pools back
            gone = [_id(network, lease) for lease in _leases_of(network)]
            if gone:
                network._controller._store.owe(gone=gone)
        give_pools_back(network)


def _keeper(network: Network) -> KeepsLeases:
    ipam: Any = network._addressing.ipam
    if not isinstance(ipam, KeepsLeases):
        raise errors.NotImplementedYetError(
            f"IPAM {network.ipam!r} of network {network.name!r} keeps no leases; create an endpoint instead"
        )
    return ipam


def _leases_of(network: Network) -> list[Lease]:
    ipam: Any = network._addressing.ipam
    if not isinstance(ipam, KeepsLeases):
        return []
    found: list[Lease] = []
    for pool in list(network._pools.values()):
        with suppress(errors.NotFoundError):  # the network was deleted just now
            found += ask(ipam.leases, pool.id)
    return found


def _told(network: Network, lease: Lease) -> AddressLease:
    mac = None if lease.mac is None else format_mac(lease.mac)
    return AddressLease(network.name, str(lease.address), lease.owner, mac)


def _id(network: Network, lease: Lease) -> str:
    return f"lease {network.id} {format_ip(lease.address.ip)}"


def _record(network: Network, lease: Lease) -> Record:
    from driverapi.store.data import LeaseData, encode

    data = encode(LeaseData(lease.owner, lease.address.ip, lease.address.prefix, lease.mac))
    return Record(_id(network, lease), network.id, State.CREATED, kind=Kind.LEASE, data=data)

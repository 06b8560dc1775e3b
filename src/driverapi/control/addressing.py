"""Addresses of a network's endpoints: who gets which, and that each comes back once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, ParamSpec

from driverapi import errors
from driverapi.addresses import Address
from driverapi.api import Origin
from driverapi.events import emit, of_fault
from driverapi.ipam.asking import ask, ask_address, ask_addresses, ask_by_mac
from driverapi.ipam.contract import IPAM, ByMAC, KnowsPools, Pool

if TYPE_CHECKING:
    from driverapi.endpoint import Endpoint
    from driverapi.ports.spec import PortSpec

__all__ = ["Addressing", "Wanted", "catch"]

P = ParamSpec("P")

REMEMBERED: Final = 65_536
"""Free addresses of a network whose last MAC is remembered."""

DOUBTED: Final = 60.0
"""Seconds after a restart in which neighbours may remember what no process does: an entry is used for up to 45 without
asking (RFC 4861, 6.3.2: 30, half as much again at most), and for some 8 until it is given up."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for one endpoint; addresses and MAC packed."""

    name: str
    ipv4: bytes | None = None
    ipv6: bytes | None = None
    mac: bytes | None = None
    origin: Origin | None = None
    options: Mapping[str, Any] | None = None
    warm: bool = False
    joins: bool = False  # a join follows in the same call
    ports: Sequence[PortSpec] = ()  # to publish


def _is_derived(endpoint: Endpoint) -> bool:
    """Tell whether an endpoint's MAC is that of its IPv4 address, so that whoever had that had the same."""
    mac = endpoint._mac
    return mac is not None and any(ip == mac[2:] for _, ip in endpoint._taken)


class Addressing:
    """The pools of one network and the addresses that its endpoints have of them.

    Attributes
    ----------
    pools, gateways : dict
        By IP version; filled when the network is made.
    ipam : IPAM
        Who gives them.
    gives : bool
        Whether endpoints that bring no addresses are given some: the driver wants it.
    changed : callable
        Told when addresses were taken or given back.

    Notes
    -----
    Thread safety: all methods.
    """

    def __init__(self, ipam: IPAM, network: str) -> None:
        self.ipam = ipam
        self._network = network
        self.pools: dict[int, Pool] = {}
        self.gateways: dict[int, Address] = {}
        self.gives = False
        self.changed: Callable[[], object] = lambda: None
        self._released = threading.Condition()
        self._remembered: dict[bytes, bytes] = {}  # of free addresses: the MAC that they had last
        self._doubted = 0.0  # until then an earlier process may have given what is free to others
        self._parting: set[tuple[str, bytes]] = set()  # addresses of endpoints that are being deleted

    def assign(self, endpoints: Sequence[Endpoint], wanted: Sequence[Wanted], alive: Sequence[int]) -> None:
        """Put the given interface into each list: wanted addresses, or the next that are free."""
        due = [position for position in alive if endpoints[position].origin is not Origin.EMPTY]
        chosen: dict[int, dict[int, Address]] = {position: {} for position in due}
        for version in (4, 6):
            rest = []
            for position in due:
                endpoint = endpoints[position]
                mac = wanted[position].mac
                if _pick(wanted[position], version) is not None:
                    catch(endpoint, self._take_wanted, endpoint, wanted[position], version, chosen[position])
                elif not self.gives or endpoint.origin is not Origin.GIVEN or endpoint.error is not None:
                    continue
                elif mac is not None and version in self.pools and isinstance(self.ipam, ByMAC):
                    catch(endpoint, self._take_by_mac, endpoint, mac, version, chosen[position])
                else:
                    rest.append(position)
            if version in self.pools:
                self._take_free(
                    [endpoints[position] for position in rest],
                    version,
                    [chosen[position] for position in rest],
                )
        for position in due:
            if endpoints[position].error is None:
                ipv4, ipv6 = chosen[position].get(4), chosen[position].get(6)
                endpoints[position]._info._append(0, wanted[position].mac, ipv4, ipv6)
        self.changed()

    def _take_wanted(self, endpoint: Endpoint, wanted: Wanted, version: int, chosen: dict[int, Address]) -> None:
        ip = _pick(wanted, version)
        assert ip is not None
        pool = self.pools.get(version)
        if pool is None:
            if self.gives:
                raise errors.InvalidError(
                    f"network {self._network!r} has no IPv{version} prefix; leave ipv{version} out"
                )
            chosen[version] = Address(ip, len(ip) * 8)
            return
        chosen[version] = ask_address(self.ipam, pool, ip)
        endpoint._taken.append((pool.id, ip))
        if wanted.mac is not None and isinstance(self.ipam, ByMAC):
            ask(self.ipam.remember_mac, pool.id, wanted.mac, ip)

    def take_again(self, pool: str, ip: bytes, mac: bytes | None) -> None:
        """Take an address that an earlier process had given, and have its MAC remembered."""
        if isinstance(self.ipam, KnowsPools):
            ask(self.ipam.know_address, pool, ip)
        else:
            ask(self.ipam.request_address, pool, ip)
        if mac is not None and isinstance(self.ipam, ByMAC):
            ask(self.ipam.remember_mac, pool, mac, ip)
        self._doubted = time.monotonic() + DOUBTED

    def _take_by_mac(self, endpoint: Endpoint, mac: bytes, version: int, chosen: dict[int, Address]) -> None:
        """Take the address that a MAC had last, if it is free, else the next."""
        pool = self.pools[version]
        chosen[version] = ask_by_mac(self.ipam, pool, mac)
        endpoint._taken.append((pool.id, chosen[version].ip))

    def _take_free(self, endpoints: Sequence[Endpoint], version: int, chosen: Sequence[dict[int, Address]]) -> None:
        """Take the next free addresses; where the pool has too few, the last endpoints fail."""
        ipam, pool = self.ipam, self.pools[version]
        addresses: list[Address] = []
        while endpoints and not addresses:
            try:
                addresses = ask_addresses(ipam, pool, len(endpoints))
            except errors.AddressesExhaustedError as error:
                free = max(0, min(ask(ipam.free, pool.id), len(endpoints) - 1))
                for endpoint in endpoints[free:]:
                    endpoint.error = errors.AddressesExhaustedError(str(error))
                endpoints = endpoints[:free]
            except errors.DriverAPIError as error:
                for endpoint in endpoints:
                    endpoint.error = error
                return
        for endpoint, address, slot in zip(endpoints, addresses, chosen, strict=False):
            endpoint._taken.append((pool.id, address.ip))
            slot[version] = address

    def lacking(self, count: int) -> int:
        """Return how many addresses the pools have too few to give endpoints of that number one each."""
        free = [ask(self.ipam.free, pool.id) for pool in self.pools.values()] if self.gives else []
        return max((count - one for one in free), default=0)

    def use(self, pool: Pool) -> tuple[int, int] | None:
        """Return how many addresses a pool has to give, and how many of these are free; None where nobody can tell.

        Of an IPAM that does not say how many it has (a method ``use``), all of the prefix are counted.
        """
        use = getattr(self.ipam, "use", None)
        try:
            if use is None:
                return 1 << (pool.prefix.bits - pool.prefix.prefix), ask(self.ipam.free, pool.id)
            seen = ask(use, pool.id)
            return seen.size, seen.free
        except (errors.DriverAPIError, AttributeError):  # it went just now, or is not to be asked
            return None

    def recall(self, endpoints: Sequence[Endpoint]) -> None:
        """Note of new endpoints whether neighbours may remember another MAC of an address."""
        doubted = time.monotonic() < self._doubted
        if not self._remembered and not doubted:
            return
        with self._released:
            for endpoint in endpoints:
                for _, ip in endpoint._taken:
                    before = self._remembered.pop(ip, None)
                    if before != endpoint._mac if before is not None else doubted and not _is_derived(endpoint):
                        endpoint._info._announce = True

    def record_chosen(self, endpoint: Endpoint) -> None:
        """Take the addresses that the driver chose itself; a conflict raises."""
        for interface in endpoint._info.interfaces:
            for address in interface.packed_addresses:
                pool = self.pools.get(address.version)
                if pool is not None:
                    self._take_certain(pool.id, address.ip)
                    endpoint._taken.append((pool.id, address.ip))

    def _take_certain(self, pool: str, ip: bytes) -> None:
        """Take an address; one whose endpoint is being deleted is waited for.

        The driver knows that it is free as soon as it has deleted the endpoint, the pool a little later.
        """
        try:
            ask(self.ipam.request_address, pool, ip)
        except errors.AddressTakenError:
            with self._released:
                self._released.wait_for(lambda: (pool, ip) not in self._parting)
            ask(self.ipam.request_address, pool, ip)

    @contextmanager
    def parting(self, endpoints: Sequence[Endpoint]) -> Iterator[None]:
        """Let others wait for the addresses of endpoints that are being deleted."""
        with self._released:
            parting = {taken for endpoint in endpoints for taken in endpoint._taken}
            self._parting |= parting
        try:
            yield
        finally:
            with self._released:
                self._parting -= parting
                self._released.notify_all()

    def release(self, endpoints: Sequence[Endpoint]) -> None:
        """Give back what endpoints that are gone have, each address once."""
        taken: dict[str, list[bytes]] = {}
        with self._released:
            for endpoint in endpoints:
                mac = endpoint._mac if endpoint._taken else None
                for pool, ip in endpoint._taken:
                    taken.setdefault(pool, []).append(ip)
                    if mac is not None:
                        self._remembered[ip] = mac
                endpoint._taken = []
            for ip in list(self._remembered)[: max(0, len(self._remembered) - REMEMBERED)]:
                del self._remembered[ip]  # the oldest
        for pool, addresses in taken.items():
            try:
                ask(self.ipam.release_addresses, pool, addresses)
            except errors.DriverAPIError as fault:  # the endpoints are gone all the same
                emit("ipam.not_released", network_name=self._network, count=len(addresses), **of_fault(fault))
        if taken:
            self.changed()


def _pick(wanted: Wanted, version: int) -> bytes | None:
    return wanted.ipv4 if version == 4 else wanted.ipv6


def catch(endpoint: Endpoint, step: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
    """Run one endpoint's step; its failure is its own."""
    try:
        step(*args, **kwargs)
    except errors.DriverAPIError as error:
        endpoint.error = error

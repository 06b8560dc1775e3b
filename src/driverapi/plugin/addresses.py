"""The verbs of ``IpamDriver``: pools and addresses for a Docker engine, out of any IPAM of this package.

An engine that starts again asks again for the pools and addresses that it has, by name (``RequiresRequestReplay``).
So each has an age: what was given before the last start of the engine may be asked for once more by whoever names it.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, final

import msgspec

from driverapi import errors, labels
from driverapi.addresses import Address, format_ip, parse_network, parse_prefix
from driverapi.control.pooling import ipam_wishes
from driverapi.ipam.wishes import in_use
from driverapi.plugin.turns import Made, Recent
from driverapi.plugin.wire import EMPTY, AddressRequest, PoolRequest, read
from driverapi.store.contract import Kind, Record, State
from driverapi.store.data import decode, encode

if TYPE_CHECKING:
    from driverapi.dataplane.contract import Dataplane
    from driverapi.ipam.contract import IPAM
    from driverapi.store.contract import Store

__all__ = ["SPACE", "AddressVerbs"]

SPACE: Final = "driverapi"
"""The one address space; what is local to a host and what is a cluster's is the same to it."""

_TYPE: Final = "RequestAddressType"  # libnetwork's ipamapi
_GATEWAY: Final = labels.PREFIX + "gateway"


class _Wishes(msgspec.Struct, array_like=True, frozen=True):
    """What the user of a pool wants of it besides its prefix (``--ipam-opt``)."""

    serial: bool = False
    space: str = ""
    options: dict[str, Any] = {}

    @classmethod
    def of(cls, given: Mapping[str, Any] | None) -> _Wishes:
        serial, space, rest = ipam_wishes(given, serial=False)
        return cls(serial, space if labels.IPAM_SPACE in labels.normalise(given) else "", rest)

    def arguments(self, within: Address | None) -> dict[str, Any]:
        """Return what was asked for, and nothing else: not every IPAM has it."""
        asked = {"within": within, "serial": self.serial, "space": self.space, "options": self.options}
        return {name: value for name, value in asked.items() if value}


@dataclass(eq=False, slots=True)
class _Given:
    """An address that the engine has."""

    age: int
    at: float  # time.monotonic() when it was given; 0 of what an earlier process gave
    ended: float | None = None  # when its endpoint was deleted: it is to be given back


@dataclass(eq=False, slots=True)
class _Held:
    """A pool that the engine has."""

    id: str  # of the IPAM
    prefix: Address
    within: Address | None
    age: int
    addresses: dict[bytes, _Given] = field(default_factory=dict)


@final
class AddressVerbs:
    """Answers the verbs; each takes the body of a request and returns the document of the answer.

    Parameters
    ----------
    alone : bool
        Addresses are given without the prefix of their pool (/32, /128), but for gateways.

    Notes
    -----
    Pools have ids of the form ``PREFIX`` or ``PREFIX,PART``: the same prefix has the same id after a restart.

    Thread safety: all methods.
    """

    def __init__(self, ipam: IPAM, dataplane: Dataplane, store: Store, *, alone: bool = False) -> None:
        self._ipam = ipam
        self._alone = alone
        self._dataplane = dataplane
        self._store = store
        self._lock = threading.Lock()
        self._pools: dict[str, _Held] = {}
        self._gone = Recent()
        self._age = 0

    @property
    def verbs(self) -> Mapping[str, Callable[[bytes], Any]]:
        """The verbs by name."""
        return {
            "GetCapabilities": self._capabilities,
            "GetDefaultAddressSpaces": self._spaces,
            "RequestPool": self._request_pool,
            "ReleasePool": self._release_pool,
            "RequestAddress": self._request_address,
            "ReleaseAddress": self._release_address,
        }

    def begin_again(self) -> None:
        """Take note that the engine has started: what it had it may ask for once more."""
        with self._lock:
            self._age += 1

    @staticmethod
    def _capabilities(body: bytes) -> dict[str, Any]:
        return {"RequiresMACAddress": False, "RequiresRequestReplay": True}

    @staticmethod
    def _spaces(body: bytes) -> dict[str, Any]:
        return {"LocalDefaultAddressSpace": SPACE, "GlobalDefaultAddressSpace": SPACE}

    # --- pools ------------------------------------------------------------------------------------

    def _request_pool(self, body: bytes) -> dict[str, Any] | Made:
        request = read(body, PoolRequest)
        if request.address_space not in (None, "", SPACE):
            raise errors.InvalidError(f"AddressSpace {request.address_space!r} is unknown; it is {SPACE!r}")
        version = 6 if request.v6 else 4
        prefix = _prefix(request.pool, "Pool")
        within = _prefix(request.sub_pool, "SubPool")
        wishes, size = _Wishes.of(request.options), None
        if prefix is not None and request.v6 is not None and prefix.version != version:
            raise errors.InvalidError(f"Pool {request.pool!r} is not IPv{version}; V6 says {request.v6}")
        if prefix is not None and prefix.prefix and not any(prefix.ip):  # 0.0.0.0/24: any of that length
            version, size = prefix.version, prefix.prefix
            prefix = None
        if prefix is None and within is not None:
            raise errors.InvalidError("SubPool is a part of a Pool: give that too")
        with self._lock:
            if prefix is not None:
                id = _pool_id(prefix, within)
                held = self._pools.get(id)
                if held is not None and held.age < self._age:
                    held.age = self._age
                    return {"PoolID": id, "Pool": str(held.prefix), "Data": EMPTY}
            # Only where we choose: a prefix that a user wants is his business.
            avoid = in_use(self._dataplane) if prefix is None else ()
            asked = wishes.arguments(within) | ({} if size is None else {"size": size})
            pool = self._ipam.request_pool(prefix, version=version, avoid=avoid, **asked)
            id = _pool_id(pool.prefix, within)
            self._pools[id] = _Held(pool.id, pool.prefix, within, self._age)
            try:
                data = encode(wishes)
                self._store.put([Record(_pool_record(id), id, State.CREATED, kind=Kind.POOL, data=data)])
            except BaseException:
                del self._pools[id]
                self._ipam.release_pool(pool.id)
                raise
            self._gone.discard(id)
        answer = {"PoolID": id, "Pool": str(pool.prefix), "Data": EMPTY}
        return Made(answer, lambda: self._release(id))

    def _release_pool(self, body: bytes) -> dict[str, Any]:
        request = read(body, PoolRequest)
        with self._lock:
            if request.pool_id in self._gone:
                return EMPTY
            held = self._held(request.pool_id)
        self._release(_pool_id(held.prefix, held.within))
        return EMPTY

    def _release(self, id: str) -> None:
        with self._lock:
            held = self._pools.get(id)
            if held is None:
                return
            self._ipam.release_pool(held.id)
            del self._pools[id]
            self._gone.add(id)
            self._store.owe(gone=[_pool_record(id), *(_address_record(id, ip) for ip in held.addresses)])

    def _held(self, id: str | None) -> _Held:
        held = self._pools.get(id or "")
        if held is None:
            raise errors.NotFoundError(f"no address pool {(id or '')[:80]!r}")
        return held

    def listed(self) -> list[dict[str, Any]]:
        """Return the pools: id, and how many addresses of each the engine has."""
        with self._lock:
            return [{"PoolID": id, "Addresses": len(held.addresses)} for id, held in self._pools.items()]

    # --- addresses --------------------------------------------------------------------------------

    def _request_address(self, body: bytes) -> dict[str, Any] | Made:
        request = read(body, AddressRequest)
        wanted = parse_prefix(request.address, "Address").ip if request.address else None
        with self._lock:
            held = self._held(request.pool_id)
            before = None if wanted is None else held.addresses.get(wanted)
            if wanted is None:
                address = self._ipam.request_addresses(held.id, 1)[0]
            elif before is not None and before.age < self._age:
                address = Address(wanted, held.prefix.prefix)
            else:
                address = self._ipam.request_address(held.id, wanted)
            known = held.addresses.get(address.ip)
            if known is not None:
                known.age = self._age
                self._go_on(_pool_id(held.prefix, held.within), address.ip, known)
            else:
                held.addresses[address.ip] = _Given(self._age, time.monotonic())
                id = _pool_id(held.prefix, held.within)
                try:
                    self._store.put([Record(_address_record(id, address.ip), id, State.CREATED, kind=Kind.ADDRESS)])
                except BaseException:
                    del held.addresses[address.ip]
                    self._ipam.release_addresses(held.id, [address.ip])
                    raise
        gateway = (request.options or {}).get(_TYPE) == _GATEWAY
        told = Address(address.ip, address.bits) if self._alone and not gateway else address
        answer = {"Address": str(told), "Data": EMPTY}
        return answer if known is not None else Made(answer, lambda: self.forget(held.prefix, address.ip))

    def _release_address(self, body: bytes) -> dict[str, Any]:
        request = read(body, AddressRequest)
        if not request.address:
            raise errors.InvalidError("Address is missing")
        ip = parse_prefix(request.address, "Address").ip
        with self._lock:
            if request.pool_id in self._gone:
                return EMPTY
            held = self._held(request.pool_id)
            self._ipam.release_addresses(held.id, [ip])  # one that is not taken is passed over
            if held.addresses.pop(ip, None) is not None:
                self._store.owe(gone=[_address_record(_pool_id(held.prefix, held.within), ip)])
        return EMPTY

    def forget(self, prefix: Address, ip: bytes, given_by: float = math.inf) -> None:
        """Have an address free that the engine will not give back.

        Parameters
        ----------
        given_by : float
            ``time.monotonic()``: what was given later is somebody else's by now.
        """
        with self._lock:
            for id, held in self._pools.items():
                given = held.addresses.get(ip) if held.prefix == prefix else None
                if given is not None:
                    if given.at <= given_by:
                        del held.addresses[ip]
                        self._ipam.release_addresses(held.id, [ip])
                        self._store.owe(gone=[_address_record(id, ip)])
                    return

    # --- what is to be given back, and may never be ---------------------------------------------

    def ended(self, prefix: Address, ip: bytes, given_by: float) -> None:
        """Take note that the endpoint is deleted that has an address: the engine gives it back next, if it lives."""
        self._mark(prefix, ip, given_by, ended=True)

    def taken_up(self, prefix: Address, ip: bytes) -> None:
        """Take note that an endpoint has an address."""
        self._mark(prefix, ip, math.inf, ended=False)

    def _mark(self, prefix: Address, ip: bytes, given_by: float, *, ended: bool) -> None:
        with self._lock:
            for id, held in self._pools.items():
                given = held.addresses.get(ip) if held.prefix == prefix else None
                if given is None:
                    continue
                if not ended:
                    self._go_on(id, ip, given)
                elif given.at <= given_by:
                    given.ended = time.monotonic()
                    self._store.owe([Record(_address_record(id, ip), id, State.DELETING, kind=Kind.ADDRESS)])
                return

    def _go_on(self, id: str, ip: bytes, given: _Given) -> None:
        """Have an address be in use after all; called with the lock held."""
        if given.ended is not None:
            given.ended, given.at = None, time.monotonic()
            self._store.owe([Record(_address_record(id, ip), id, State.CREATED, kind=Kind.ADDRESS)])

    def reap(self, before: float) -> bool:
        """Have addresses free whose endpoints were deleted before a time; tell whether there are some of later."""
        with self._lock:
            ended = [
                (held.prefix, ip, given.ended)
                for held in self._pools.values()
                for ip, given in held.addresses.items()
                if given.ended is not None
            ]
        for prefix, ip, at in ended:
            if at <= before:
                self.forget(prefix, ip, before)
        return any(at > before for *_, at in ended)

    # --- after a restart --------------------------------------------------------------------------

    def take_back(self, records: list[Record]) -> None:
        """Have again what an earlier process gave."""
        with self._lock:
            for record in records:
                if record.kind is Kind.POOL:
                    prefix, _, part = record.network.partition(",")
                    whole, within = parse_network(prefix), parse_network(part) if part else None
                    wishes = _Wishes() if record.data is None else decode(record.data, _Wishes)
                    pool = self._ipam.request_pool(whole, version=whole.version, **wishes.arguments(within))
                    self._pools[record.network] = _Held(pool.id, pool.prefix, within, self._age)
            for record in records:
                held = self._pools.get(record.network)
                if record.kind is Kind.ADDRESS and held is not None:
                    ip = parse_prefix(record.id.rpartition(" ")[2]).ip
                    self._ipam.request_address(held.id, ip)
                    ended = time.monotonic() if record.state is State.DELETING else None
                    held.addresses[ip] = _Given(self._age, 0.0, ended)


def _prefix(text: str | None, what: str) -> Address | None:
    """Return a prefix; host bits are the engine's way of saying what the user wrote."""
    return parse_prefix(text, what).network if text else None


def _pool_id(prefix: Address, within: Address | None) -> str:
    return str(prefix) if within is None else f"{prefix},{within}"


def _pool_record(id: str) -> str:
    return f"pool {id}"


def _address_record(id: str, ip: bytes) -> str:
    return f"address {id} {format_ip(ip)}"

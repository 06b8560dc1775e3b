"""The built-in IPAM: the address spaces of this process, pools in native bitmaps."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, final

from driverapi import errors, labels
from driverapi._native import Excluded, Exhausted, IPPool, NotTaken, OutOfRange, Reserved, Taken
from driverapi.addresses import Address, format_ip, parse_network
from driverapi.ipam.contract import SPACES, Avoid, Lease, Pool, PoolId
from driverapi.ipam.space import FreeSpace, PrefixIndex

__all__ = ["SPACE", "DefaultIPAM", "PoolUse"]

SPACE: Final = "local"

REMEMBERED: Final = 65_536
"""MAC addresses of a pool whose address is remembered; beyond, the one that asked longest ago is forgotten."""

# libnetwork's own lists: 172.17.0.0/16 … 172.31.0.0/16, then 192.168.0.0/16 cut into /20; 10.0.0.0/8 cut into /24
# for networks that span machines.
_DEFAULT_POOLS: Final[Mapping[str, Sequence[tuple[str, int]]]] = {
    "local": (*[(f"172.{second}.0.0/16", 16) for second in range(17, 32)], ("192.168.0.0/16", 20)),
    "global": (("10.0.0.0/8", 24),),
}

_KEYED: Final = 16
"""Bits of an address by which a default prefix is found."""

_UNIQUE_LOCAL: Final = 64
"""Length of a default IPv6 prefix: a subnet of a /48 of our own (RFC 4193)."""


def _unusable() -> dict[int, PrefixIndex]:
    """Return what no interface of a sandbox can have, or could have to no use, by IP version."""
    found = {4: PrefixIndex(32), 6: PrefixIndex(128)}
    for text, what in (
        ("0.0.0.0/8", "'this network' (RFC 1122)"),
        ("127.0.0.0/8", "loopback (RFC 1122)"),
        ("224.0.0.0/4", "multicast (RFC 5771)"),
        ("240.0.0.0/4", "reserved (RFC 1112, class E)"),
        ("::/96", "unspecified, loopback and IPv4-compatible (RFC 4291)"),
        ("::ffff:0.0.0.0/96", "IPv4-mapped (RFC 4291)"),
        ("ff00::/8", "multicast (RFC 4291)"),
    ):
        prefix = parse_network(text)
        found[prefix.version].add(_first(prefix), prefix.prefix, f"{prefix} is {what}")
    return found


def _first(prefix: Address) -> int:
    return int.from_bytes(prefix.ip, "big")


_UNUSABLE: Final = _unusable()


@dataclass(frozen=True, slots=True)
class PoolUse:
    """How much of a pool is in use.

    Attributes
    ----------
    size : int
        Addresses that endpoints may have without asking for them.
    free : int
        How many of them could be given now.
    taken, resting : int
        How many are in use, those that were asked for outside of the pool's part included; how many are in quarantine.
    """

    id: str
    prefix: Address
    owner: str
    size: int
    taken: int
    resting: int
    free: int = 0


@dataclass(eq=False, slots=True)
class _Taken:
    """A pool that is in use."""

    id: str
    space: str
    prefix: Address
    part: Address | None
    pool: IPPool
    owner: str = ""
    serial: bool = False
    family: list[_Taken] = field(default_factory=list)  # all pools that share the prefix by parts
    wished: set[bytes] = field(default_factory=set)  # what was asked for by address; all of the family have it
    leases: dict[bytes, tuple[str, bytes | None]] = field(default_factory=dict)
    macs: dict[bytes, bytes] = field(default_factory=dict)  # MAC to the address that it had last

    def exhausted(self, count: int) -> errors.AddressesExhaustedError:
        return errors.AddressesExhaustedError(
            f"{self.part or self.prefix} has {self.pool.free} free addresses, {count} are wanted; "
            f"delete endpoints or use a larger {'prefix' if self.part is None else 'ip_range'}"
        )

    def give(self, count: int) -> list[Address]:
        """Take the lowest that are free, or of a serial pool the next after the last; all or none."""
        length = self.prefix.prefix
        if self.serial:
            return [Address(one, length) for one in self._next(count)]
        try:
            taken = self.pool.allocate_many(count)
        except Exhausted:
            raise self.exhausted(count) from None
        return [Address(taken.packed(position), length) for position in range(count)]

    def _next(self, count: int) -> list[bytes]:
        taken: list[int] = []
        try:
            for _ in range(count):
                taken.append(self.pool.allocate_next())  # noqa: PERF401 - what was taken goes back
        except Exhausted:
            self.pool.release_many(taken)
            raise self.exhausted(count) from None
        return [one.to_bytes(len(self.prefix.ip), "big") for one in taken]

    def take(self, wanted: bytes) -> Address:
        """Take a given address, of all pools that share the prefix."""
        prefix = self.prefix
        if wanted not in prefix:
            raise errors.InvalidError(f"address {format_ip(wanted)} is outside of the network's prefix {prefix}")
        took: list[IPPool] = []
        try:
            for one in self.family or (self,):
                one.pool.reserve(wanted)
                took.append(one.pool)
        except (Reserved, Taken, OutOfRange) as error:
            for pool in took:
                pool.release(wanted)
            raise self._why(wanted, error) from None
        if self.part is not None:
            self.wished.add(wanted)
        return Address(wanted, prefix.prefix)

    def _why(self, wanted: bytes, error: Exception) -> errors.DriverAPIError:
        text = format_ip(wanted)
        if isinstance(error, Excluded):
            return errors.InvalidError(f"address {text} is excluded from {self.prefix} (aux_addresses); choose another")
        if isinstance(error, Reserved):
            return errors.InvalidError(f"address {text} stands for all of {self.prefix}; no endpoint may have it")
        if isinstance(error, Taken):
            lease = next((one.leases[wanted] for one in self.family or (self,) if wanted in one.leases), None)
            whose = "" if lease is None else f": it is leased to {lease[0]!r}"
            return errors.AddressTakenError(f"address {text} is in use on {self.prefix}{whose}; choose another or none")
        return errors.InvalidError(f"address {text} cannot be given: {error}")

    def put_back(self, address: bytes) -> None:
        """Give an address back; one that is not taken is passed over."""
        if address in self.wished:
            for other in self.family:
                _release(other.pool, address)
            self.wished.discard(address)
        elif not any(address in other.wished for other in self.family):  # else another pool has it
            _release(self.pool, address)
        self.leases.pop(address, None)

    def remember(self, mac: bytes, address: bytes) -> None:
        self.macs.pop(mac, None)
        self.macs[mac] = address
        if len(self.macs) > REMEMBERED:
            del self.macs[next(iter(self.macs))]

    def use(self) -> PoolUse:
        pool = self.pool
        return PoolUse(self.id, self.prefix, self.owner, pool.size, len(pool), pool.quarantined, pool.free)

    def lease_of(self, address: bytes) -> Lease:
        owner, mac = self.leases[address]
        return Lease(self.id, Address(address, self.prefix.prefix), owner, mac)


@final
class DefaultIPAM:
    """Pools by prefix; no two of them overlap, of whatever space, unless somebody says that they may.

    A MAC address gets the address again that it had last of a pool, as long as nobody else has it: of the 65,536
    MAC addresses that asked last, over restarts of those whose endpoints or leases there are or are in quarantine.

    Two pools of one prefix that each have a part of it (``within``), and are allowed to overlap, share it: their parts
    must be apart, and what one gave the other does not. Other pools that overlap know nothing of each other.

    Parameters
    ----------
    quarantine : float
        Seconds for which an address that was given back is not given again, unless there is no other; then the one
        that was given back first.

    Raises
    ------
    errors.InvalidError
        The quarantine is no number of seconds from 0 to 10**9.

    Notes
    -----
    Thread safety: all methods.
    """

    def __init__(self, quarantine: float = 0.0) -> None:
        if isinstance(quarantine, bool) or not isinstance(quarantine, int | float) or not 0 <= quarantine <= 1e9:
            raise errors.InvalidError(f"quarantine {quarantine!r} is not a number of seconds from 0 to 10**9")
        self._quarantine = float(quarantine)
        self._lock = threading.Lock()
        self._pools: dict[str, _Taken] = {}
        self._in_use = {4: PrefixIndex(32), 6: PrefixIndex(128)}
        self._parts: dict[tuple[str, Address], list[_Taken]] = {}  # those that share a prefix
        self._wholes: dict[tuple[str, int], list[tuple[FreeSpace, int]]] = {}  # of spaces that were asked for
        self._near: dict[tuple[int, bytes], FreeSpace] = {}  # the same by length and first two bytes of addresses

    # --- pools ----------------------------------------------------------------------------------

    def request_pool(
        self,
        prefix: Address | None = None,
        *,
        version: int = 4,
        size: int | None = None,
        within: Address | None = None,
        exclude: Sequence[bytes] = (),
        serial: bool = False,
        avoid: Sequence[Avoid] = (),
        allow_overlap: bool = False,
        owner: str = "",
        space: str = SPACE,
        options: Mapping[str, Any] | None = None,
        known: str = "",
    ) -> Pool:
        """Take a pool: that prefix, or the first default one that is free.

        Parameters
        ----------
        known : str
            The id that it had in an earlier process: it has that again. Beyond the contract.
        """
        if space not in SPACES:
            raise errors.InvalidError(f"no address space {space!r}; there are {' and '.join(SPACES)}")
        if options:
            name = next(iter(options))
            hint = labels.nearest(name, (labels.IPAM_SERIAL, labels.IPAM_SPACE)) or "; leave it out"
            raise errors.InvalidError(f"the built-in IPAM knows no option {name!r}{hint}")
        with self._lock:
            if prefix is None:
                prefix = self._default(space, version, size, avoid)
            else:
                _check_usable(prefix)
                if not allow_overlap:
                    self._check_free(prefix, avoid)
            if exclude:
                for ip in exclude:
                    if ip not in prefix:
                        raise errors.InvalidError(f"excluded address {format_ip(ip)} is outside of {prefix}")
            if within is not None and not (
                within.version == prefix.version and within.ip in prefix and within.prefix >= prefix.prefix
            ):
                raise errors.InvalidError(f"ip_range {within} is no part of {prefix}")
            sharing = self._parts.get((space, prefix), []) if within is not None else []
            for other in sharing:
                if within is not None and other.part is not None and other.part.overlaps(within):
                    raise errors.ConflictError(
                        f"ip_range {within} overlaps {other.part}, which {other.owner or 'a pool'} has of {prefix} "
                        "too; choose a part that is free"
                    )
            text = str(prefix)
            try:
                pool = IPPool(
                    text,
                    range=None if within is None else str(within),
                    exclude=exclude,
                    quarantine=self._quarantine,
                )
            except ValueError as error:
                raise errors.InvalidError(f"prefix {prefix}: {error}") from error
            id = known or (f"{space}/{text}" if within is None else str(PoolId(space, prefix, within)))
            number = 1
            while id in self._pools:  # two that may overlap
                number += 1
                id = str(PoolId(space, prefix, within, number))
            self._add(_Taken(id, space, prefix, within, pool, owner, serial), sharing)
            return Pool(id, prefix)

    def _add(self, made: _Taken, sharing: Sequence[_Taken]) -> None:
        if made.part is not None:
            for other in sharing:
                for address in other.wished:
                    with contextlib.suppress(Excluded):  # nobody can ask for it here
                        made.pool.reserve(address)
            made.family = self._parts.setdefault((made.space, made.prefix), [])
            made.family.append(made)
        self._pools[made.id] = made
        self._mark(made.prefix, 1)
        self._in_use[made.prefix.version].add(_first(made.prefix), made.prefix.prefix, made.id)

    def release_pool(self, pool: str) -> None:
        """Give a pool back."""
        with self._lock:
            found = self._get(pool)
            del self._pools[pool]
            if found.family:
                found.family.remove(found)
                for address in found.wished:
                    for other in found.family:
                        _release(other.pool, address)
                if not found.family:
                    del self._parts[found.space, found.prefix]
            self._mark(found.prefix, -1)
            self._in_use[found.prefix.version].remove(_first(found.prefix), found.prefix.prefix, pool)

    def _mark(self, prefix: Address, uses: int) -> None:
        """Have the default prefixes that a pool lies in, or that lie in it, know of it."""
        length = prefix.prefix
        if length >= _KEYED:
            near = self._near.get((len(prefix.ip), prefix.ip[:2]))
            if near is not None:
                near.mark(_first(prefix), length, uses)
            return
        for one in {one for (size, _), one in self._near.items() if size == len(prefix.ip)}:
            one.mark(_first(prefix), length, uses)

    def _come_near(self, one: FreeSpace) -> None:
        """Have a default prefix be found by the first two bytes of addresses in it: no two of them share those."""
        ip, free = one.whole.ip, max(0, _KEYED - one.whole.prefix)
        first = int.from_bytes(ip[:2], "big")
        for key in range(first, first + (1 << free)):
            self._near[len(ip), key.to_bytes(2, "big")] = one

    def _check_free(self, prefix: Address, avoid: Iterable[Avoid]) -> None:
        text = self._in_use[prefix.version].overlapping(_first(prefix), prefix.prefix)
        if text is not None:
            taken = self._pools[text]
            raise errors.ConflictError(
                f"{prefix} overlaps {taken.owner or 'a pool'} {taken.prefix}; "
                "choose another prefix, or allow the overlap"
            )
        for one in avoid:
            if one.prefix.version == prefix.version and one.prefix.overlaps(prefix):
                raise errors.ConflictError(
                    f"{prefix} overlaps {one.what} {one.prefix}; choose another prefix, or allow the overlap"
                )

    def _default(self, space: str, version: int, size: int | None, avoid: Sequence[Avoid]) -> Address:
        wholes = self._wholes.get((space, version)) or self._open(space, version)
        bits = 32 if version == 4 else 128
        if size is not None and not (lowest := min(one.whole.prefix for one, _ in wholes)) <= size <= bits - 1:
            raise errors.InvalidError(
                f"no default IPv{version} prefix of length {size}: {lowest} to {bits - 1} can be had"
            )
        spans = sorted(
            (first, first + (1 << bits - one.prefix.prefix))
            for one in avoid
            if one.prefix.version == version
            for first in (_first(one.prefix.network),)
        )
        for space_of, length in wholes:
            wanted = length if size is None else size
            found = space_of.find(wanted, spans) if space_of.largest <= wanted else None
            if found is not None:
                return Address(found.to_bytes(bits // 8, "big"), wanted)
        raise errors.AddressesExhaustedError(
            "all default prefixes are in use; give one, such as "
            + ("'10.77.0.0/16'" if version == 4 else "'fd77::/64'")
        )

    def _open(self, space: str, version: int) -> list[tuple[FreeSpace, int]]:
        """Have the default prefixes of a space; of IPv6 all have the same, drawn once (RFC 4193, section 3.2)."""
        if version == 4:
            made = [(FreeSpace(parse_network(text)), length) for text, length in _DEFAULT_POOLS[space]]
            self._wholes[space, 4] = made
        else:
            ours = Address(b"\xfd" + secrets.token_bytes(5) + bytes(10), 48)
            made = [(FreeSpace(ours), _UNIQUE_LOCAL)]
            for one in SPACES:
                self._wholes[one, 6] = made
        for whole, _ in made:
            for taken in self._pools.values():
                if taken.prefix.version == version:
                    whole.mark(_first(taken.prefix), taken.prefix.prefix)
            self._come_near(whole)
        return made

    # --- addresses ------------------------------------------------------------------------------

    def request_addresses(self, pool: str, count: int) -> list[Address]:
        """Take that many addresses, the lowest that are free."""
        with self._lock:
            return self._get(pool).give(count)

    def request_address(self, pool: str, wanted: bytes) -> Address:
        """Take a given address."""
        with self._lock:
            return self._get(pool).take(wanted)

    def request_by_mac(self, pool: str, mac: bytes) -> Address:
        """Take an address for a MAC: the one that it had last of this pool, if that is free, else the next."""
        with self._lock:
            return self._of_mac(self._get(pool), mac)

    @staticmethod
    def _of_mac(found: _Taken, mac: bytes) -> Address:
        before = found.macs.get(mac)
        given: Address | None = None
        if before is not None:
            try:
                given = found.take(before)
            except errors.AddressTakenError:
                given = None
        if given is None:
            given = found.give(1)[0]
        found.remember(mac, given.ip)
        return given

    def remember_mac(self, pool: str, mac: bytes, address: bytes) -> None:
        """Take note that a MAC has, or had, an address."""
        with self._lock:
            self._get(pool).remember(mac, address)

    def release_addresses(self, pool: str, addresses: Sequence[bytes]) -> None:
        """Give addresses back; one outside of the pool is an ``InvalidError``, and then none is given back."""
        with self._lock:
            found = self._get(pool)
            for address in addresses:
                if address not in found.prefix:
                    raise errors.InvalidError(
                        f"address {format_ip(address)} is outside of the pool's prefix {found.prefix}"
                    )
            for address in addresses:
                found.put_back(address)

    def free(self, pool: str) -> int:
        """Return how many addresses could be given."""
        with self._lock:
            return self._get(pool).pool.free

    def use(self, pool: str) -> PoolUse:
        """Return what is in use of a pool."""
        with self._lock:
            return self._get(pool).use()

    def pools(self) -> list[PoolUse]:
        """Return what is in use of each pool."""
        with self._lock:
            return [one.use() for one in self._pools.values()]

    # --- leases ---------------------------------------------------------------------------------

    def lease(self, pool: str, owner: str, *, wanted: bytes | None = None, mac: bytes | None = None) -> Lease:
        """Take an address for an owner: a given one, the one that a MAC had, or the next that is free."""
        if not isinstance(owner, str) or not owner or len(owner) > 255 or not owner.isprintable():
            raise errors.InvalidError(f"owner {owner!r} must be printable text of 1 to 255 characters")
        with self._lock:
            found = self._get(pool)
            if wanted is not None:
                given = found.take(wanted)
                if mac is not None:
                    found.remember(mac, wanted)
            elif mac is not None:
                given = self._of_mac(found, mac)
            else:
                given = found.give(1)[0]
            found.leases[given.ip] = owner, mac
            return found.lease_of(given.ip)

    def leases(self, pool: str | None = None) -> list[Lease]:
        """Return the leases of a pool, or of all."""
        with self._lock:
            chosen = self._pools.values() if pool is None else [self._get(pool)]
            return [one.lease_of(address) for one in chosen for address in one.leases]

    def gc(self, owners: Collection[str], pools: Collection[str] | None = None) -> list[Lease]:
        """End the leases of all but these owners, in these pools or in all, in one step; return them."""
        if isinstance(owners, str):
            raise errors.InvalidError(f"gc takes the owners that live as a collection of text, not {owners!r}")
        living = frozenset(owners)
        with self._lock:
            chosen = self._pools.values() if pools is None else [self._get(pool) for pool in pools]
            dead = [
                (one, one.lease_of(address))
                for one in chosen
                for address, (owner, _) in one.leases.items()
                if owner not in living
            ]
            for one, lease in dead:
                one.put_back(lease.address.ip)
        return [lease for _, lease in dead]

    def _get(self, pool: str) -> _Taken:
        try:
            return self._pools[pool]
        except KeyError:
            raise errors.NotFoundError(f"no address pool {pool!r}") from None


def _release(pool: IPPool, address: bytes) -> None:
    """Give an address back to a pool; one that is not taken, or that it excludes, is passed over."""
    with contextlib.suppress(NotTaken, Excluded):
        pool.release(address)


def _check_usable(prefix: Address) -> None:
    why = _UNUSABLE[prefix.version].overlapping(_first(prefix), prefix.prefix)
    if why is not None:
        raise errors.InvalidError(
            f"prefix {prefix}: {why}, no endpoint can have it; choose another, such as "
            + ("'10.77.0.0/16'" if prefix.version == 4 else "'fd77::/64'")
        )

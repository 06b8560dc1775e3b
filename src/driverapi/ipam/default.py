"""The built-in IPAM: one address space of this process, pools in native bitmaps."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from driverapi import errors
from driverapi._native import Exhausted, IPPool, NotTaken, OutOfRange, Reserved, Taken
from driverapi.addresses import Address, format_ip, parse_network
from driverapi.ipam.contract import Avoid, Pool

__all__ = ["DefaultIPAM", "PoolUse"]

SPACE: Final = "local"

# libnetwork's own list: 172.17.0.0/16 … 172.31.0.0/16, then 192.168.0.0/16 cut into /20.
_DEFAULT_POOLS: Final = (
    *[(f"172.{second}.0.0/16", 16) for second in range(17, 32)],
    ("192.168.0.0/16", 20),
)

# What no interface of a sandbox can have, or could have to no use.
_UNUSABLE: Final = tuple(
    (parse_network(prefix), what)
    for prefix, what in (
        ("0.0.0.0/8", "'this network' (RFC 1122)"),
        ("127.0.0.0/8", "loopback (RFC 1122)"),
        ("224.0.0.0/4", "multicast (RFC 5771)"),
        ("240.0.0.0/4", "reserved (RFC 1112, class E)"),
        ("::/96", "unspecified, loopback and IPv4-compatible (RFC 4291)"),
        ("::ffff:0.0.0.0/96", "IPv4-mapped (RFC 4291)"),
        ("ff00::/8", "multicast (RFC 4291)"),
    )
)


@dataclass(frozen=True, slots=True)
class PoolUse:
    """How much of a pool is in use.

    Attributes
    ----------
    size : int
        Addresses that endpoints may have.
    taken, resting : int
        How many of them are in use, and in quarantine.
    """

    id: str
    prefix: Address
    owner: str
    size: int
    taken: int
    resting: int


@dataclass(frozen=True, slots=True)
class _Taken:
    """A pool that is in use."""

    prefix: Address
    pool: IPPool
    owner: str = ""
    serial: bool = False


@final
class DefaultIPAM:
    """Pools by prefix; no two of them overlap.

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
        self._unique: Address | None = None

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
    ) -> Pool:
        """Take a pool: that prefix, or the first default one that is free."""
        with self._lock:
            if prefix is None:
                prefix = self._default(version, size, avoid)
            else:
                _check_usable(prefix)
                if not allow_overlap:
                    self._check_free(prefix, avoid)
            for ip in exclude:
                if ip not in prefix:
                    raise errors.InvalidError(f"excluded address {format_ip(ip)} is outside of {prefix}")
            if within is not None and not (within.version == prefix.version and within.ip in prefix):
                raise errors.InvalidError(f"ip_range {within} is no part of {prefix}")
            try:
                pool = IPPool(
                    str(prefix),
                    range=None if within is None else str(within),
                    exclude=exclude,
                    quarantine=self._quarantine,
                )
            except ValueError as error:
                raise errors.InvalidError(f"prefix {prefix}: {error}") from error
            id = f"{SPACE}/{prefix}" if within is None else f"{SPACE}/{prefix}/{within}"
            number = 1
            while id in self._pools:  # two that may overlap
                number += 1
                id = f"{SPACE}/{prefix}#{number}"
            self._pools[id] = _Taken(prefix, pool, owner, serial)
            return Pool(id, prefix)

    def _check_free(self, prefix: Address, avoid: Sequence[Avoid]) -> None:
        for taken in self._pools.values():
            if taken.prefix.overlaps(prefix):
                raise errors.ConflictError(
                    f"{prefix} overlaps {taken.owner or 'a pool'} {taken.prefix}; "
                    "choose another prefix, or allow the overlap"
                )
        for one in avoid:
            if one.prefix.version == prefix.version and one.prefix.overlaps(prefix):
                raise errors.ConflictError(
                    f"{prefix} overlaps {one.what} {one.prefix}; choose another prefix, or allow the overlap"
                )

    def _default(self, version: int, size: int | None, avoid: Sequence[Avoid]) -> Address:
        taken = [one.prefix for one in self._pools.values()] + [one.prefix for one in avoid]
        taken = [one for one in taken if one.version == version]
        if version == 6:
            pools = [(self._unique_local(), 64)]
        else:
            pools = [(parse_network(text), length) for text, length in _DEFAULT_POOLS]
        lowest = min(whole.prefix for whole, _ in pools)
        if size is not None and not lowest <= size <= pools[0][0].bits - 1:
            raise errors.InvalidError(
                f"no default IPv{version} prefix of length {size}: {lowest} to {pools[0][0].bits - 1} can be had"
            )
        for whole, length in pools:
            found = _first_free(whole, length if size is None else size, taken)
            if found is not None:
                return found
        raise errors.AddressesExhaustedError(
            "all default prefixes are in use; give one, such as "
            + ("'10.77.0.0/16'" if version == 4 else "'fd77::/64'")
        )

    def _unique_local(self) -> Address:
        """Return a /48 of our own, drawn once (RFC 4193, section 3.2)."""
        if self._unique is None:
            self._unique = Address(b"\xfd" + secrets.token_bytes(5) + bytes(10), 48)
        return self._unique

    def release_pool(self, pool: str) -> None:
        """Give a pool back."""
        with self._lock:
            self._get(pool)
            del self._pools[pool]

    def request_addresses(self, pool: str, count: int) -> list[Address]:
        """Take that many addresses, the lowest that are free."""
        with self._lock:
            found = self._get(pool)
            prefix, addresses = found.prefix, found.pool
            if found.serial:
                return self._next(found, count)
            try:
                taken = addresses.allocate_many(count)
            except Exhausted:
                raise errors.AddressesExhaustedError(
                    f"{prefix} has {addresses.free} free addresses, {count} are wanted; "
                    "delete endpoints or use a larger prefix"
                ) from None
        return [Address(taken.packed(position), prefix.prefix) for position in range(count)]

    def request_address(self, pool: str, wanted: bytes) -> Address:
        """Take a given address."""
        with self._lock:
            found = self._get(pool)
            prefix, addresses = found.prefix, found.pool
            if wanted not in prefix:
                raise errors.InvalidError(f"address {format_ip(wanted)} is outside of the network's prefix {prefix}")
            try:
                addresses.reserve(wanted)
            except Reserved:
                raise errors.InvalidError(
                    f"address {format_ip(wanted)} stands for all of {prefix}; no endpoint may have it"
                ) from None
            except Taken:
                raise errors.AddressTakenError(
                    f"address {format_ip(wanted)} is in use on {prefix}; choose another or none"
                ) from None
            except OutOfRange as error:
                raise errors.InvalidError(f"address {format_ip(wanted)} cannot be given: {error}") from None
        return Address(wanted, prefix.prefix)

    def release_addresses(self, pool: str, addresses: Sequence[bytes]) -> None:
        """Give addresses back; one outside of the pool is an ``InvalidError``, and then none is given back."""
        with self._lock:
            found = self._get(pool)
            prefix, taken = found.prefix, found.pool
            for address in addresses:
                if address not in prefix:
                    raise errors.InvalidError(f"address {format_ip(address)} is outside of the pool's prefix {prefix}")
            for address in addresses:
                with contextlib.suppress(NotTaken):
                    taken.release(address)

    def free(self, pool: str) -> int:
        """Return how many addresses could be given."""
        with self._lock:
            return self._get(pool).pool.free

    def pools(self) -> list[PoolUse]:
        """Return what is in use of each pool."""
        with self._lock:
            return [
                PoolUse(id, one.prefix, one.owner, one.pool.size, len(one.pool), one.pool.quarantined)
                for id, one in self._pools.items()
            ]

    @staticmethod
    def _next(found: _Taken, count: int) -> list[Address]:
        """Take the next after the last, all or none."""
        taken: list[int] = []
        length = len(found.prefix.ip)
        try:
            for _ in range(count):
                taken.append(found.pool.allocate_next())  # noqa: PERF401 - what was taken goes back
        except Exhausted:
            found.pool.release_many(taken)
            raise errors.AddressesExhaustedError(
                f"{found.prefix} has {found.pool.free} free addresses, {count} are wanted; "
                "delete endpoints or use a larger prefix"
            ) from None
        return [Address(one.to_bytes(length, "big"), found.prefix.prefix) for one in taken]

    def _get(self, pool: str) -> _Taken:
        try:
            return self._pools[pool]
        except KeyError:
            raise errors.NotFoundError(f"no address pool {pool!r}") from None


def _first_free(whole: Address, length: int, taken: Sequence[Address]) -> Address | None:
    """Return the first prefix of a length in a whole that overlaps nothing; None where there is none."""
    if length < whole.prefix:
        return None
    step = 1 << whole.bits - length
    at = int.from_bytes(whole.ip, "big")
    end = at + (1 << whole.bits - whole.prefix)
    spans = sorted(
        (first, first + (1 << one.bits - one.prefix))
        for one in taken
        if one.overlaps(whole)
        for first in (int.from_bytes(one.network.ip, "big"),)
    )
    for first, last in spans:
        if at + step <= first:
            break
        at = max(at, (last + step - 1) // step * step)
    return Address(at.to_bytes(len(whole.ip), "big"), length) if at + step <= end else None


def _check_usable(prefix: Address) -> None:
    for unusable, what in _UNUSABLE:
        if unusable.overlaps(prefix):
            raise errors.InvalidError(
                f"prefix {prefix}: {unusable} is {what}, no endpoint can have it; choose another, such as "
                + ("'10.77.0.0/16'" if prefix.version == 4 else "'fd77::/64'")
            )

"""The built-in IPAM: one address space of this process, pools in native bitmaps."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from typing import Final, final

from driverapi import errors
from driverapi._native import Exhausted, IPPool, NotTaken, OutOfRange, Reserved, Taken
from driverapi.addresses import Address, format_ip, parse_network
from driverapi.ipam.contract import Pool

__all__ = ["DefaultIPAM"]

SPACE: Final = "local"

# libnetwork's own list: 172.17.0.0/16 … 172.31.0.0/16, then 192.168.0.0/16 cut into /20.
_DEFAULT_POOLS: Final = tuple(
    [f"172.{second}.0.0/16" for second in range(17, 32)] + [f"192.168.{third}.0/20" for third in range(0, 256, 16)]
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
        self._pools: dict[str, tuple[Address, IPPool]] = {}

    def request_pool(self, prefix: Address | None = None, *, version: int = 4, avoid: Sequence[Address] = ()) -> Pool:
        """Take a pool: that prefix, or the first default one that is free."""
        with self._lock:
            if prefix is None:
                prefix = self._default(version, avoid)
            else:
                _check_usable(prefix)
                for taken, _ in self._pools.values():
                    if taken.overlaps(prefix):
                        raise errors.ConflictError(
                            f"{prefix} overlaps {taken}, which another network has; choose another prefix"
                        )
            try:
                pool = IPPool(str(prefix), quarantine=self._quarantine)
            except ValueError as error:
                raise errors.InvalidError(f"prefix {prefix}: {error}") from error
            id = f"{SPACE}/{prefix}"
            self._pools[id] = (prefix, pool)
            return Pool(id, prefix)

    def _default(self, version: int, avoid: Sequence[Address]) -> Address:
        if version != 4:
            raise errors.InvalidError("there is no default IPv6 prefix; give one, such as 'fd77::/64'")
        taken = [prefix for prefix, _ in self._pools.values()] + [one for one in avoid if one.version == 4]
        for text in _DEFAULT_POOLS:
            prefix = parse_network(text)
            if not any(prefix.overlaps(one) for one in taken):
                return prefix
        raise errors.AddressesExhaustedError("all default prefixes are in use; give one, such as '10.77.0.0/16'")

    def release_pool(self, pool: str) -> None:
        """Give a pool back."""
        with self._lock:
            self._get(pool)
            del self._pools[pool]

    def request_addresses(self, pool: str, count: int) -> list[Address]:
        """Take that many addresses, the lowest that are free."""
        with self._lock:
            prefix, addresses = self._get(pool)
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
            prefix, addresses = self._get(pool)
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
            prefix, taken = self._get(pool)
            for address in addresses:
                if address not in prefix:
                    raise errors.InvalidError(f"address {format_ip(address)} is outside of the pool's prefix {prefix}")
            for address in addresses:
                with contextlib.suppress(NotTaken):
                    taken.release(address)

    def free(self, pool: str) -> int:
        """Return how many addresses could be given."""
        with self._lock:
            return self._get(pool)[1].free

    def _get(self, pool: str) -> tuple[Address, IPPool]:
        try:
            return self._pools[pool]
        except KeyError:
            raise errors.NotFoundError(f"no address pool {pool!r}") from None


def _check_usable(prefix: Address) -> None:
    for unusable, what in _UNUSABLE:
        if unusable.overlaps(prefix):
            raise errors.InvalidError(
                f"prefix {prefix}: {unusable} is {what}, no endpoint can have it; choose another, such as "
                + ("'10.77.0.0/16'" if prefix.version == 4 else "'fd77::/64'")
            )

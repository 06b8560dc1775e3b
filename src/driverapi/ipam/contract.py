"""What an IPAM is: pools of addresses in, addresses out (libnetwork: ``ipamapi.Ipam``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from driverapi.addresses import Address

__all__ = ["IPAM", "Pool"]


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool that was given.

    Attributes
    ----------
    id : str
        ``SPACE/PREFIX``; the handle of all that follows.
    prefix : Address
        Host bits zero.
    """

    id: str
    prefix: Address


class IPAM(Protocol):
    """Gives addresses out of pools. Single is many of one.

    Thread safety: all methods.
    """

    def request_pool(self, prefix: Address | None = None, *, version: int = 4, avoid: Sequence[Address] = ()) -> Pool:
        """Take a pool: that prefix, or the first default one that is free.

        Parameters
        ----------
        avoid : sequence of Address
            Prefixes that a default pool must not overlap: the host's routes.

        Raises
        ------
        errors.InvalidError
            No endpoint can have its addresses: loopback, multicast, reserved.
        errors.ConflictError
            It overlaps a pool that is in use.
        errors.AddressesExhaustedError
            No default pool is free.
        """

    def release_pool(self, pool: str) -> None:
        """Give a pool back; a second time is an error."""

    def request_addresses(self, pool: str, count: int) -> list[Address]:
        """Take that many addresses, all or none.

        Raises
        ------
        errors.AddressesExhaustedError
            Fewer are free.
        """

    def request_address(self, pool: str, wanted: bytes) -> Address:
        """Take a given address.

        Raises
        ------
        errors.InvalidError
            It is outside of the pool, or no host may have it.
        errors.AddressTakenError
            It is in use.
        """

    def release_addresses(self, pool: str, addresses: Sequence[bytes]) -> None:
        """Give addresses back; one that is not taken is passed over."""

    def free(self, pool: str) -> int:
        """Return how many addresses could be given."""

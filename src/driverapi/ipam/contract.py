"""What an IPAM is: pools of addresses in, addresses out (libnetwork: ``ipamapi.Ipam``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from driverapi.addresses import Address

__all__ = ["IPAM", "Avoid", "Pool"]


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


@dataclass(frozen=True, slots=True)
class Avoid:
    """A prefix that is in use elsewhere.

    Attributes
    ----------
    what : str
        What has it, as errors say: ``the host's route``, ``the host's name server``.
    """

    prefix: Address
    what: str


class IPAM(Protocol):
    """Gives addresses out of pools. Single is many of one.

    Thread safety: all methods.
    """

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
        """Take a pool: that prefix, or the first default one that is free.

        Parameters
        ----------
        version : int
            4 or 6: of a default pool.
        size : int, optional
            Length in bits of the prefix of a default pool, as 24.
        within : Address, optional
            A part of the pool: addresses are given from there, but any may be asked for.
        exclude : sequence of bytes
            Addresses, packed, that are never given, and cannot be asked for.
        serial : bool
            Give the next after the last that was given, and not the lowest that is free.
        avoid : sequence of Avoid
            What is in use elsewhere: the host's routes, its name servers.
        allow_overlap : bool
            A given prefix may overlap what is in use: what that leads to is its user's business.
        owner : str
            Whose it is, as errors of others will say: ``network 'web'``.

        Raises
        ------
        errors.InvalidError
            No endpoint can have its addresses: loopback, multicast, reserved; ``within`` is no part of it, or an
            excluded address not in it.
        errors.ConflictError
            It overlaps what is in use; the text names that.
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

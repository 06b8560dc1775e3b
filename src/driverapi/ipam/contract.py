"""What an IPAM is: pools of addresses in, addresses out (libnetwork: ``ipamapi.Ipam``)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self, runtime_checkable

from driverapi import errors
from driverapi.addresses import Address, parse_network

__all__ = ["IPAM", "SPACES", "Avoid", "ByMAC", "GivesGateways", "KeepsLeases", "KnowsPools", "Lease", "Pool", "PoolId"]

SPACES: Final = ("local", "global")
"""Address spaces: of this machine's networks, and of those that span several
(libnetwork: ``LocalDefault``, ``GlobalDefault``)."""


@dataclass(frozen=True, slots=True)
class PoolId:
    """What the text of a pool's id says: ``SPACE/POOL[/SUBPOOL]``, as ``local/10.0.0.0/16/10.0.8.0/24``.

    Attributes
    ----------
    part : Address or None
        The subpool: where addresses are given from.
    number : int
        Which of several pools of that prefix, where an overlap was allowed; the text ends in ``#2`` then.
    """

    space: str
    prefix: Address
    part: Address | None = None
    number: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read it.

        Raises
        ------
        errors.InvalidError
            It is none.
        """
        words = text.split("/") if isinstance(text, str) else []
        if words and (len(words) not in (3, 5) or not words[0]):
            words = []
        if not words:
            raise errors.InvalidError(f"pool {text!r} is not SPACE/POOL[/SUBPOOL], such as 'local/10.0.0.0/16'")
        words[-1], mark, number = words[-1].partition("#")
        if mark and not (number.isascii() and number.isdigit() and 1 < int(number[:9]) == int(number)):
            raise errors.InvalidError(f"pool {text!r}: {number!r} is not a number from 2 on")
        prefix = parse_network("/".join(words[1:3]), "pool")
        part = parse_network("/".join(words[3:]), "subpool") if len(words) == 5 else None
        if part is not None and (part.ip not in prefix or part.prefix < prefix.prefix):
            raise errors.InvalidError(f"pool {text!r}: {part} is no part of {prefix}")
        return cls(words[0], prefix, part, int(number) if mark else 1)

    def __str__(self) -> str:
        """Return the text."""
        text = f"{self.space}/{self.prefix}" if self.part is None else f"{self.space}/{self.prefix}/{self.part}"
        return text if self.number == 1 else f"{text}#{self.number}"


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool that was given.

    Attributes
    ----------
    id : str
        ``SPACE/POOL[/SUBPOOL]``; the handle of all that follows. An IPAM of others may have text of its own.
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


@dataclass(frozen=True, slots=True)
class Lease:
    """An address that is somebody's.

    Attributes
    ----------
    owner : str
        Whose: any text that he is known by.
    mac : bytes or None
        For which MAC address.
    """

    pool: str
    address: Address
    owner: str
    mac: bytes | None = None


class IPAM(Protocol):
    """Gives addresses out of pools. Single is many of one.

    Of the arguments of ``request_pool`` only ``prefix``, ``version``, ``avoid`` and ``owner`` always come, the others
    where somebody asked for them: an IPAM that cannot do one leaves it out. One of others is found by its name in the
    entry points ``driverapi.ipams``; it has the methods below, and may have those of :class:`ByMAC` and
    :class:`KeepsLeases`. :class:`driverapi.testing.IPAMConformance` tells whether it does as it should. With an
    attribute ``gives_addresses`` that is false it has no pools, and endpoints bring their addresses or have none.

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
        space: str = "local",
        options: Mapping[str, Any] | None = None,
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
        space : str
            Address space; of the built-in IPAM one of :data:`SPACES`. Prefixes of different spaces may not
            overlap either: the sandboxes of one machine can meet both.
        options : mapping, optional
            What this IPAM alone understands (``ipam_options`` of ``create_network``).

        Raises
        ------
        errors.InvalidError
            No endpoint can have its addresses: loopback, multicast, reserved; ``within`` is no part of it, or an
            excluded address not in it; no such space; an option is unknown or wrong.
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
        """Give addresses back, and end their leases; one that is not taken is passed over."""

    def free(self, pool: str) -> int:
        """Return how many addresses could be given."""


@runtime_checkable
class ByMAC(Protocol):
    """An IPAM that gives a MAC address the IP address that it had.

    Thread safety: all methods.
    """

    def request_by_mac(self, pool: str, mac: bytes) -> Address:
        """Take an address for a MAC: the one that it had last of this pool, if that is free, else the next."""

    def remember_mac(self, pool: str, mac: bytes, address: bytes) -> None:
        """Take note that a MAC has, or had, an address: known from before a restart, or because it was asked for."""


@runtime_checkable
class GivesGateways(Protocol):
    """An IPAM that is to know which address is a gateway.

    Thread safety: all methods.
    """

    def request_gateway(self, pool: str, wanted: bytes | None) -> Address:
        """Take the gateway of a pool, that one or any; it is given back with the pool."""


@runtime_checkable
class KnowsPools(Protocol):
    """An IPAM whose pools are there still when a controller starts again on its state: it is told of them, not asked.

    None of these methods does I/O.

    Thread safety: all methods.
    """

    def know_pool(
        self,
        id: str,
        prefix: Address,
        *,
        within: Address | None = None,
        exclude: Sequence[bytes] = (),
        serial: bool = False,
        space: str = "local",
        options: Mapping[str, Any] | None = None,
    ) -> Pool:
        """Take note of a pool that it gave, by the id that it gave it."""

    def know_gateway(self, pool: str, ip: bytes) -> Address:
        """Take note of the gateway of a pool."""

    def know_address(self, pool: str, ip: bytes) -> None:
        """Take note of an address that is somebody's."""


@runtime_checkable
class KeepsLeases(Protocol):
    """An IPAM whose addresses may have an owner, by whom they can be found and given back.

    Thread safety: all methods.
    """

    def lease(self, pool: str, owner: str, *, wanted: bytes | None = None, mac: bytes | None = None) -> Lease:
        """Take an address for an owner: a given one, the one that a MAC had, or the next that is free.

        Raises
        ------
        errors.InvalidError, errors.AddressTakenError, errors.AddressesExhaustedError
            The owner is no text; as ``request_address`` and ``request_addresses``.
        """

    def leases(self, pool: str | None = None) -> list[Lease]:
        """Return the leases of a pool, or of all."""

    def gc(self, owners: Collection[str], pools: Collection[str] | None = None) -> list[Lease]:
        """End the leases of all but these owners, in these pools or in all, in one step; return them.

        Addresses without an owner stay.
        """

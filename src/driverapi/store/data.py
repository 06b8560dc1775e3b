"""What a record says of its thing, as bytes: MessagePack, typed, an array for each class.

Fields are only ever added at the end, with a default; anything else needs a new ``SCHEMA``.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from driverapi import errors
from driverapi.api import Origin
from driverapi.dataplane.contract import Ownership
from driverapi.store.contract import Kind, Record, State

__all__ = [
    "EndpointData",
    "EndpointMade",
    "InterfaceData",
    "LeaseData",
    "NetworkData",
    "NetworkMade",
    "PortData",
    "PrefixData",
    "RestingMade",
    "SandboxData",
    "check_options",
    "check_records",
    "decode",
    "encode",
    "one_of",
]


class PrefixData(msgspec.Struct, array_like=True, frozen=True):
    """One prefix of a network, packed, its gateway, and the address space that an engine named with it."""

    ip: bytes
    length: int
    gateway: bytes | None
    within: tuple[bytes, int] | None = None
    exclude: list[bytes] = []
    serial: bool = False
    space: str = ""
    pool: str = ""  # its id, of an IPAM that knows its pools again


class NetworkData(msgspec.Struct, array_like=True, frozen=True):
    """What a network is."""

    name: str
    type: str
    prefixes: list[PrefixData]
    options: dict[str, Any]
    ipam: str = "default"
    space: str = "local"
    ipam_options: dict[str, Any] = {}
    plugins: list[str] = []  # which of "driver" and "ipam" is a Docker plugin that was found by its name


class LeaseData(msgspec.Struct, array_like=True, frozen=True):
    """An address of a network that is somebody's, packed."""

    owner: str
    ip: bytes
    length: int
    mac: bytes | None = None


class NetworkMade(msgspec.Struct, array_like=True, frozen=True):
    """What its driver wants to be told again, and what the dataplane made."""

    memory: dict[str, Any]
    realised: Any


class InterfaceData(msgspec.Struct, array_like=True, frozen=True):
    """One interface of an endpoint, packed."""

    id: int
    mac: bytes | None
    ipv4: bytes | None
    ipv4_length: int
    ipv6: bytes | None
    ipv6_length: int


class PortData(msgspec.Struct, array_like=True, frozen=True):
    """A published port, packed."""

    protocol: str
    host: bytes
    host_port: int
    ip: bytes
    port: int


class EndpointData(msgspec.Struct, array_like=True, frozen=True):
    """What an endpoint is."""

    name: str
    origin: str
    interfaces: list[InterfaceData]
    options: dict[str, Any]
    ports: list[PortData] = []


class EndpointMade(msgspec.Struct, array_like=True, frozen=True):
    """Which sandbox it joined, by its name, and how, what the dataplane made, and what its driver is told again."""

    sandbox: str
    options: dict[str, Any]
    realised: Any
    memory: dict[str, Any] = {}


class RestingMade(msgspec.Struct, array_like=True, frozen=True):
    """When an endpoint went whose addresses are in quarantine: seconds since 1970."""

    at: float


class SandboxData(msgspec.Struct, array_like=True, frozen=True):
    """What a sandbox is.

    Attributes
    ----------
    ownership : str
        Value of an ``Ownership``.
    made : bool
        A bulk call made it for an endpoint, and nobody asked for it by itself.
    files : tuple of (str, mapping) or None
        The directory of its files, and what they shall say: arguments of a ``Services``.
    """

    name: str
    key: str
    ownership: str
    made: bool = False
    files: tuple[str, dict[str, Any]] | None = None


T = TypeVar("T")
E = TypeVar("E", bound=enum.Enum)

_encoder = msgspec.msgpack.Encoder()
_decoders: dict[type, msgspec.msgpack.Decoder[Any]] = {}

encode = _encoder.encode


def decode(data: bytes | None, kind: type[T]) -> T:
    """Read what :func:`encode` wrote.

    Raises
    ------
    errors.StateDamagedError
        It is none of that kind.
    """
    decoder = _decoders.setdefault(kind, msgspec.msgpack.Decoder(kind))
    try:
        return decoder.decode(data or b"")  # type: ignore[no-any-return]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise errors.StateDamagedError(f"the state has what is no {kind.__name__}: {error}") from error


def one_of(kind: type[E], value: str) -> E:
    """Return the member of a value that was read, as :func:`decode` does."""
    try:
        return kind(value)
    except ValueError as error:
        raise errors.StateDamagedError(f"the state has what is no {kind.__name__}: {error}") from error


def check_records(records: Iterable[Record]) -> None:
    """See that all that was read says something.

    Raises
    ------
    errors.StateDamagedError
        One does not.
    """
    for record in records:
        if record.kind is Kind.NETWORK:
            _check(record.data, NetworkData)
            _check(record.made, NetworkMade)
        elif record.kind is Kind.ENDPOINT:
            data = _check(record.data, EndpointData)
            if data is not None:
                one_of(Origin, data.origin)
            _check(record.made, RestingMade if record.state is State.RESTING else EndpointMade)
        elif record.kind is Kind.SANDBOX:
            sandbox = _check(record.data, SandboxData)
            if sandbox is not None:
                one_of(Ownership, sandbox.ownership)
        elif record.kind is Kind.LEASE:
            _check(record.data, LeaseData)


def _check(data: bytes | None, kind: type[T]) -> T | None:
    return decode(data, kind) if data else None


def check_options(options: Mapping[str, Any], what: str) -> None:
    """See that options can be kept.

    Raises
    ------
    errors.InvalidError
        A value is neither text, number, truth value, bytes nor a list or mapping of such.
    """
    for name, value in options.items():
        try:
            again = msgspec.msgpack.decode(_encoder.encode(value))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise errors.InvalidError(f"{what}: option {name!r} cannot be kept in a state: {error}") from None
        if again != value:
            raise errors.InvalidError(
                f"{what}: option {name!r} cannot be kept in a state as {type(value).__name__}; "
                "use text, numbers, lists and mappings"
            )

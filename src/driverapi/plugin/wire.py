"""The documents of Docker's plugin protocol, both generations, and how errors are told in it.

Published: ``docs/remote.md`` and ``docs/ipam.md`` of libnetwork. Unknown fields are passed over, ``null`` is as
good as nothing, and what has another type than it should is an ``InvalidError`` that says where.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

import msgspec

from driverapi import errors
from driverapi.errors import Kind

__all__ = [
    "CONTENT_TYPE",
    "EMPTY",
    "MAX_BODY",
    "AddressRequest",
    "DiscoveryRequest",
    "EndpointInterface",
    "EndpointRequest",
    "IPData",
    "NetworkRequest",
    "PoolRequest",
    "check_id",
    "check_key",
    "encode",
    "read",
    "refusal",
    "status_of",
]

CONTENT_TYPE: Final = b"application/vnd.docker.plugins.v1.2+json"

MAX_BODY: Final = 1 << 20
"""Bytes that the body of a request may have; the engine's own have a few thousand."""

EMPTY: Final[dict[str, Any]] = {}
"""Answer of a verb that has nothing to tell."""

_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,255}")
_WORDS: Final = {"id": "ID", "ipv4": "IPv4", "ipv6": "IPv6"}

_STATUS: Final = {
    Kind.INVALID: 400,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.EXHAUSTED: 507,
    Kind.FORBIDDEN: 403,
    Kind.UNSUPPORTED: 501,
    Kind.INTERNAL: 500,
}

T = TypeVar("T")


def _on_the_wire(name: str) -> str:
    return "".join(_WORDS.get(word, word.capitalize()) for word in name.split("_"))


class _Document(msgspec.Struct, rename=_on_the_wire, omit_defaults=True, frozen=True):
    """A document, or a part of one."""


class IPData(_Document, frozen=True):
    """One prefix of a network, as the engine's IPAM gave it."""

    address_space: str | None = None
    pool: str | None = None
    gateway: str | None = None
    aux_addresses: dict[str, str | None] | None = None


class EndpointInterface(_Document, frozen=True):
    """An interface of an endpoint; only the seed's generation has an ``ID``."""

    id: int | None = msgspec.field(default=None, name="ID")
    address: str | None = None
    address_ipv6: str | None = None
    mac_address: str | None = None


class NetworkRequest(_Document, frozen=True):
    """What is asked about a network."""

    network_id: str | None = None
    options: dict[str, Any] | None = None
    ipv4_data: list[IPData] | None = None
    ipv6_data: list[IPData] | None = None


class DiscoveryRequest(_Document, frozen=True):
    """What an engine has discovered, or lost: a node of its cluster, say."""

    discovery_type: int | None = None
    discovery_data: dict[str, Any] | None = None


class EndpointRequest(_Document, frozen=True):
    """What is asked about an endpoint."""

    network_id: str | None = None
    endpoint_id: str | None = None
    interface: EndpointInterface | None = None
    interfaces: list[EndpointInterface] | None = None
    sandbox_key: str | None = None
    options: dict[str, Any] | None = None


class PoolRequest(_Document, frozen=True):
    """What is asked about a pool of addresses."""

    address_space: str | None = None
    pool: str | None = None
    sub_pool: str | None = None
    pool_id: str | None = None
    options: dict[str, str | None] | None = None
    v6: bool | None = None


class AddressRequest(_Document, frozen=True):
    """What is asked about an address of a pool."""

    pool_id: str | None = None
    address: str | None = None
    options: dict[str, str | None] | None = None


_encoder: Final = msgspec.json.Encoder(enc_hook=str)
_decoders: Final[dict[type, msgspec.json.Decoder[Any]]] = {
    kind: msgspec.json.Decoder(kind)
    for kind in (NetworkRequest, EndpointRequest, DiscoveryRequest, PoolRequest, AddressRequest)
}

encode = _encoder.encode


def read(body: bytes, kind: type[T]) -> T:
    """Read the body of a request that changes something, or asks about a thing.

    Raises
    ------
    errors.InvalidError
        It is empty, as when an engine asks again whose connection was cut; it is no JSON, or a field has another type.
    """
    if not body.strip():
        raise errors.InvalidError("the request has no body: nothing was done; send it again, whole")
    try:
        return _decoders[kind].decode(body)  # type: ignore[no-any-return]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise errors.InvalidError(f"the body of the request is not what it should be: {error}") from None


def check_id(id: str | None, what: str) -> str:
    """Return an id that is one: 1 to 255 letters, digits and ``_.:-``."""
    if not id or not _ID.fullmatch(id):
        shown = "is missing" if not id else f"{id[:80]!r} is none: it has 1 to 255 letters, digits and '_.:-'"
        raise errors.InvalidError(f"{what} {shown}")
    return id


def check_key(key: str | None) -> str:
    """Return the key of a sandbox: a path, which need not exist here."""
    if not key or "\0" in key or len(key) > 4095:
        raise errors.InvalidError(f"SandboxKey {(key or '')[:80]!r} is not the path of a network namespace")
    return key


def status_of(error: Exception) -> int:
    """Return the HTTP status of an error, by its kind."""
    return _STATUS[error.kind] if isinstance(error, errors.DriverAPIError) else 500


def refusal(error: Exception, *, ipam: bool) -> bytes:
    """Return the body that tells an error.

    With a status other than 200 the engine reads ``Err`` of both kinds of verbs; ``Error`` is the key of IPAM verbs.
    ``Kind`` is ours: a client of this package makes the same error of it.
    """
    kind = error.kind if isinstance(error, errors.DriverAPIError) else Kind.INTERNAL
    text = str(error) or type(error).__name__
    document = {"Err": text, "Kind": kind.value}
    if ipam:
        document["Error"] = text
    return encode(document)

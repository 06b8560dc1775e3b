"""What plugins answer, both generations of the protocol, and the errors of this package that come of refusals."""

from __future__ import annotations

import functools
from typing import Any, Final, TypeVar, get_args

import msgspec

from driverapi import errors
from driverapi.errors import Kind
from driverapi.plugin.wire import EndpointInterface

__all__ = [
    "Activated",
    "AddressAnswer",
    "Capabilities",
    "EndpointAnswer",
    "GatewayAnswer",
    "IpamCapabilities",
    "JoinAnswer",
    "Nothing",
    "OperInfo",
    "PoolAnswer",
    "Refusal",
    "Spaces",
    "read",
    "refusal_of",
]

_GONE: Final = ("Join", "Leave", "DeleteEndpoint", "EndpointOperInfo")

_KINDS: Final = {
    400: Kind.INVALID,
    403: Kind.FORBIDDEN,
    404: Kind.NOT_FOUND,
    409: Kind.CONFLICT,
    501: Kind.UNSUPPORTED,
    507: Kind.EXHAUSTED,
}

_ERRORS: Final[dict[Kind, type[errors.DriverAPIError]]] = {
    Kind.INVALID: errors.InvalidError,
    Kind.NOT_FOUND: errors.NotFoundError,
    Kind.CONFLICT: errors.ConflictError,
    Kind.UNSUPPORTED: errors.NotImplementedYetError,
}

_OF_VERB: Final[dict[tuple[str, Kind], type[errors.DriverAPIError]]] = {
    ("NetworkDriver.DeleteNetwork", Kind.NOT_FOUND): errors.NoNetworkError,
    ("NetworkDriver.CreateEndpoint", Kind.NOT_FOUND): errors.NoNetworkError,
    **{(f"NetworkDriver.{verb}", Kind.NOT_FOUND): errors.NoEndpointError for verb in _GONE},
    ("IpamDriver.RequestPool", Kind.EXHAUSTED): errors.AddressesExhaustedError,
    ("IpamDriver.RequestAddress", Kind.EXHAUSTED): errors.AddressesExhaustedError,
    ("IpamDriver.RequestAddress", Kind.CONFLICT): errors.AddressTakenError,
}

T = TypeVar("T")


class Nothing(msgspec.Struct, frozen=True):
    """The answer of a verb that has nothing to tell."""


class Activated(msgspec.Struct, frozen=True, rename="pascal"):
    """What a plugin is."""

    implements: list[str] | None = None


class Capabilities(msgspec.Struct, frozen=True, rename="pascal"):
    """What a network plugin can do."""

    scope: str | None = None
    connectivity_scope: str | None = None
    gw_alloc_checker: bool | None = None


class GatewayAnswer(msgspec.Struct, frozen=True):
    """Of which family a network needs no gateway's address."""

    skip_ipv4: bool | None = msgspec.field(default=None, name="SkipIPv4")
    skip_ipv6: bool | None = msgspec.field(default=None, name="SkipIPv6")


class IpamCapabilities(msgspec.Struct, frozen=True):
    """What an IPAM plugin wants."""

    requires_mac: bool | None = msgspec.field(default=None, name="RequiresMACAddress")
    requires_replay: bool | None = msgspec.field(default=None, name="RequiresRequestReplay")


class Spaces(msgspec.Struct, frozen=True, rename="pascal"):
    """The address spaces of an IPAM plugin."""

    local_default_address_space: str | None = None
    global_default_address_space: str | None = None


class EndpointAnswer(msgspec.Struct, frozen=True, rename="pascal"):
    """What a plugin has filled of an endpoint; the seed's generation has a list."""

    interface: EndpointInterface | None = None
    interfaces: list[EndpointInterface] | None = None


class InterfaceName(msgspec.Struct, frozen=True, rename="pascal"):
    """Which link of the host is an interface, and its name in the sandbox."""

    src_name: str | None = None
    dst_prefix: str | None = None
    dst_name: str | None = None


class StaticRoute(msgspec.Struct, frozen=True, rename="pascal"):
    """A route; of type 0 it has a next hop, of type 1 it is on the link."""

    destination: str
    route_type: int | None = None
    next_hop: str | None = None


class JoinAnswer(msgspec.Struct, frozen=True):
    """What a plugin declares of an endpoint in a sandbox; the seed's generation has a list of names."""

    interface_name: InterfaceName | None = msgspec.field(default=None, name="InterfaceName")
    interface_names: list[InterfaceName] | None = msgspec.field(default=None, name="InterfaceNames")
    gateway: str | None = msgspec.field(default=None, name="Gateway")
    gateway_ipv6: str | None = msgspec.field(default=None, name="GatewayIPv6")
    static_routes: list[StaticRoute] | None = msgspec.field(default=None, name="StaticRoutes")
    hosts_path: str | None = msgspec.field(default=None, name="HostsPath")
    resolv_conf_path: str | None = msgspec.field(default=None, name="ResolvConfPath")


class OperInfo(msgspec.Struct, frozen=True, rename="pascal"):
    """Operational data of an endpoint."""

    value: dict[str, Any] | None = None


class PoolAnswer(msgspec.Struct, frozen=True, rename="pascal"):
    """A pool that was given."""

    pool: str
    pool_id: str = msgspec.field(name="PoolID")
    data: dict[str, str | None] | None = None


class AddressAnswer(msgspec.Struct, frozen=True, rename="pascal"):
    """An address that was given, with its prefix."""

    address: str


class Refusal(msgspec.Struct, frozen=True):
    """A plugin's no.

    Attributes
    ----------
    kind : Kind
        What it says; of a plugin that says none, what its status means.
    told : bool
        Whether it says what kind of error it is: plugins of other makers say 500 to everything.
    missing : bool
        It seems to have no such verb.
    """

    status: int
    text: str
    kind: Kind
    told: bool
    missing: bool = False

    def error(self, plugin: str, verb: str) -> errors.DriverAPIError:
        """Return the error of this package."""
        text = f"plugin {plugin!r}: {verb}: {self.text}"
        made = _OF_VERB.get((verb, self.kind)) or _ERRORS.get(self.kind)
        return errors.PluginRefusedError(text, self.kind) if made is None else made(text)


class _Error(msgspec.Struct, frozen=True):
    err: str | None = msgspec.field(default=None, name="Err")
    error: str | None = msgspec.field(default=None, name="Error")
    kind: str | None = msgspec.field(default=None, name="Kind")


def _decode(body: bytes, kind: type[T]) -> T:
    return msgspec.convert(_spelled(msgspec.json.decode(body), kind), kind)


def _spelled(told: Any, kind: Any) -> Any:
    """Return a document with its names as they are spelled here.

    Go, which engines are written in, takes them in any case, so there are plugins that say ``err`` (``encoding/json``).
    """
    if isinstance(told, list):
        return [_spelled(one, kind) for one in told]
    if not isinstance(told, dict):
        return told
    fields = _fields(kind)
    made = {}
    for key, value in told.items():
        name, inner = fields.get(key.lower(), (key, None))
        if name == key or name not in told:  # what is spelled as here goes first
            made[name] = value if inner is None else _spelled(value, inner)
    return made


@functools.cache
def _fields(kind: Any) -> dict[str, tuple[str, Any]]:
    """Return the fields of a document: each by its name in small letters, and what documents are in it."""
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return {}
    return {one.encode_name.lower(): (one.encode_name, _inner(one.type)) for one in msgspec.structs.fields(kind)}


def _inner(kind: Any) -> Any:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    return next(filter(None, map(_inner, get_args(kind))), None)


def refusal_of(status: int, body: bytes) -> Refusal | None:
    """Return what a plugin refused, if it did: only 200 is success, and not with an error in it."""
    try:
        said = _decode(body, _Error)
        text = said.err or said.error or ""
        named = said.kind
    except (ValueError, RecursionError):
        text, named = body[:200].decode("utf-8", "replace").strip(), None
        if status == 200:
            return None  # what it should be will be said
    if status == 200 and not text:
        return None
    told = named in Kind._value2member_map_
    kind = Kind(named) if told else _KINDS.get(status, Kind.INTERNAL)
    shown = text[:1000] or "(it does not say why)"
    return Refusal(
        status,
        shown if status == 200 else f"{shown} (status {status})",
        kind,
        told or status in _KINDS,
        status == 404 and not told,
    )


def read(body: bytes, kind: type[T]) -> T:
    """Read the body of an answer.

    Raises
    ------
    ValueError
        It is empty, no JSON, or has what it should not have; unknown fields are passed over.
    """
    if not body.strip():
        raise ValueError("it is empty")
    if body.strip() == b"null":
        body = b"{}"
    try:
        return _decode(body, kind)
    except RecursionError:
        raise ValueError("it is nested too deep") from None

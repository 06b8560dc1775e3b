"""What is to be published, as users write it: text, the engine's port bindings, or :class:`PortSpec`.

Text is as of ``docker run --publish``: ``[HOST:][HOSTPORT:]PORT[/PROTOCOL]``, where a port may be a range.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, runtime_checkable

from driverapi import errors
from driverapi._native import plain_ports
from driverapi.addresses import Address, format_ip, parse_ip
from driverapi.plan import MAX_PORT, PROTOCOLS, PairLink, PortMap, PortWish

__all__ = [
    "LinksEndpoints",
    "PortLike",
    "PortPolicy",
    "PortSpec",
    "PublishesPorts",
    "check_host",
    "parse_plain",
    "parse_ports",
    "spec_of",
    "wishes_of",
]

_TEXT: Final = re.compile(
    r"(?:(?P<host>\[[^]]*\]|[^:\[\]]*):)?(?:(?P<outer>[0-9-]*):)?(?P<inner>[0-9-]+)(?:/(?P<protocol>[A-Za-z]+))?"
)
_NAMES: Final[Mapping[int, str]] = {number: name for name, number in PROTOCOLS.items()}
_ANY: Final = {4: bytes(4), 6: bytes(16)}
_LOOPBACK6: Final = bytes(15) + b"\1"
_MAPPED: Final = bytes(10) + b"\xff\xff"  # RFC 4291, 2.5.5.2


class PortSpec(NamedTuple):
    """A port of a sandbox, and where on the host it is wanted.

    Attributes
    ----------
    port : int
        Of the sandbox, 1…65535.
    protocol : str
        ``"tcp"``, ``"udp"`` or ``"sctp"``.
    host : bytes or None
        Address of the host, packed; None for each address of it, of the families that the endpoint has.
    host_port, host_port_end : int
        The first free port from one to the other; 0 for one that the kernel would choose.
    """

    port: int
    protocol: str = "tcp"
    host: bytes | None = None
    host_port: int = 0
    host_port_end: int = 0

    def __str__(self) -> str:
        """Return it as :func:`parse_ports` reads it."""
        host = "" if self.host is None else f"{_bracketed(format_ip(self.host))}:"
        outer = f"{self.host_port}" if self.host_port else ""
        if self.host_port_end > self.host_port:
            outer += f"-{self.host_port_end}"
        return f"{host}{outer}{':' if host or outer else ''}{self.port}/{self.protocol}"


PortLike: TypeAlias = "str | int | PortSpec | Mapping[str, Any]"


@dataclass(frozen=True, slots=True)
class PortPolicy:
    """What a driver says of the ports of one of its networks.

    Attributes
    ----------
    binding : tuple of bytes
        Address of the host for ports that name none, packed, at most one of a family.
    families : tuple of int
        Those (4, 6) whose ports can be published.
    direct : tuple of int
        Those whose sandboxes are reached at their own addresses: a published port is opened there.
    refused : str
        Why none can be; empty where some can.
    """

    binding: tuple[bytes, ...] = ()
    families: tuple[int, ...] = (4, 6)
    direct: tuple[int, ...] = ()
    refused: str = ""


@runtime_checkable
class PublishesPorts(Protocol):
    """A driver whose endpoints' ports can be published on the host. Optional."""

    def port_policy(self, network_id: str) -> PortPolicy:
        """Say where the ports of a network go.

        Raises
        ------
        errors.NoNetworkError
            It has none of that id.
        """


@runtime_checkable
class LinksEndpoints(Protocol):
    """A driver that lets some endpoints of a network that is shut reach others. Optional."""

    def pairs(self, network_id: str, endpoint_id: str, options: Mapping[str, Any]) -> Sequence[PairLink]:
        """Return whose ports are reached by whom, by the options of a join that has been declared."""


def parse_ports(given: PortLike | Iterable[PortLike] | None) -> list[PortSpec]:
    """Read what is to be published.

    Examples
    --------
    >>> [str(one) for one in parse_ports(["8080:80", "127.0.0.1:53:53/udp", "9000-9001:1-2"])]
    ['8080:80/tcp', '127.0.0.1:53:53/udp', '9000:1/tcp', '9001:2/tcp']

    Raises
    ------
    errors.InvalidError
        It cannot be understood; the text says how it is written.
    """
    if given.__class__ is str:
        return _parse_text(given)
    if given is None:
        return []
    if isinstance(given, PortSpec):
        return [_checked(given, given)]
    if isinstance(given, bool):
        raise errors.InvalidError(f"published port {given!r} is no port; write '8080:80/tcp'")
    if isinstance(given, str | int):
        return _parse_text(str(given))
    if isinstance(given, Mapping):
        return _parse_mapping(given)
    if isinstance(given, bytes) or not isinstance(given, Iterable):
        raise errors.InvalidError(f"published ports {given!r} are none; write '8080:80/tcp', or a list of such")
    return [spec for one in given for spec in parse_ports(one)]


def check_host(host: bytes, what: str) -> None:
    """See that what is sent to an address of a host can be translated.

    Parameters
    ----------
    host : bytes
        Packed.
    what : str
        How an error begins.

    Raises
    ------
    errors.InvalidError
        It is one that no packet filter can translate; the text says which to use instead.
    """
    if len(host) == 4:
        if host[0] >= 224:  # RFC 1112, RFC 919
            raise errors.InvalidError(f"{what}: {format_ip(host)} is no address of one host; use one of the host's own")
        return
    name = format_ip(host)
    if host == _LOOPBACK6:
        raise errors.InvalidError(
            f"{what}: nothing reaches a sandbox through [{name}]: the kernel has no route_localnet for IPv6; use "
            "127.0.0.1, another IPv6 address of the host, or [::] for all of them"
        )
    if host.startswith(_MAPPED):
        raise errors.InvalidError(f"{what}: [{name}] is an IPv4 address in disguise; write {format_ip(host[12:])}")
    if host[0] == 0xFF or (host[0] == 0xFE and host[1] & 0xC0 == 0x80):  # RFC 4291, 2.7 and 2.5.6
        kind = "a multicast address" if host[0] == 0xFF else "a link-local address, which each link has for itself"
        raise errors.InvalidError(f"{what}: [{name}] is {kind}; use another IPv6 address of the host")


def spec_of(port: PortMap) -> PortSpec:
    """Return what names a published port, to take it away."""
    number = port.host_port
    return PortSpec(port.port, port.protocol, port.host, number, number)


def wishes_of(specs: Iterable[PortSpec], addresses: Iterable[Address], policy: PortPolicy, what: str) -> list[PortWish]:
    """Return what a dataplane is asked for an endpoint of these addresses.

    Raises
    ------
    errors.InvalidError
        The endpoint has no address that the port could lead to.
    """
    if policy.refused:
        raise errors.NotImplementedYetError(f"{what}: its ports cannot be published: {policy.refused}")
    targets: dict[int, bytes] = {}
    for address in addresses:
        if address.version in policy.families:
            targets.setdefault(address.version, address.ip)
    binding = {4 if len(ip) == 4 else 6: ip for ip in policy.binding}
    wishes = []
    found: dict[bytes | None, tuple[tuple[bytes, bytes], ...]] = {}  # by the host's address
    for spec in specs:
        port, protocol, host, low, high = spec
        places = found.get(host)
        if places is None:
            families = targets if host is None else {4 if len(host) == 4 else 6: host}
            places = found[host] = tuple(
                (
                    targets[family] if family in policy.direct else host or binding.get(family) or _ANY[family],
                    targets[family],
                )
                for family in families
                if family in targets
            )
            if not places:
                raise errors.InvalidError(
                    f"{what}: port {spec} cannot be published: the endpoint has no "
                    f"{'address' if host is None else f'IPv{next(iter(families))} address'} that it could lead to"
                )
        wishes.append(tuple.__new__(PortWish, (protocol, places, port, low, high)))  # as PortWish(…), at half the cost
    return wishes


def parse_plain(text: object) -> PortSpec | None:
    """Read ``HOSTPORT:PORT``, as most are written; None where it is another text, or none that is understood."""
    both = plain_ports(text)
    if not both:
        return None
    host_port = both >> 16
    return tuple.__new__(
        PortSpec, (both & 0xFFFF, "tcp", None, host_port, host_port)
    )  # as PortSpec(…), at half the cost


def _parse_text(text: str) -> list[PortSpec]:
    plain = parse_plain(text)
    if plain is not None:
        return [plain]
    found = _TEXT.fullmatch(text.strip())
    if found is None:
        raise _unreadable(text)
    host: str | None = found["host"]
    outer: str | None = found["outer"]
    if outer is None and host is not None and re.fullmatch(r"[0-9-]+", host):
        host, outer = None, host  # HOSTPORT:PORT
    first, last = _range(found["inner"], text)
    low, high = _range(outer, text) if outer else (0, 0)
    spec = PortSpec(
        first,
        (found["protocol"] or "tcp").lower(),
        parse_ip(host.strip("[]"), f"published port {text!r}") if host else None,
        low,
        high,
    )
    if first == last:
        return [_checked(spec, text)]
    if low and high - low != last - first:
        raise errors.InvalidError(f"published ports {text!r}: the two ranges differ in length")
    return [
        _checked(spec._replace(port=first + step, host_port=low and low + step, host_port_end=low and low + step), text)
        for step in range(last - first + 1)
    ]


def _range(text: str, whole: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    if not (first.isdigit() and (last.isdigit() if dash else True)) or len(text) > 11:
        raise _unreadable(whole)
    low, high = int(first), int(last or first)
    if low > high:
        raise errors.InvalidError(f"published ports {whole!r}: {low}-{high} is no range")
    if high > MAX_PORT:
        raise errors.InvalidError(f"published port {whole!r}: {high} is not a port (1…{MAX_PORT})")
    return low, high


def _parse_mapping(given: Mapping[str, Any]) -> list[PortSpec]:
    """Read one of libnetwork's ``types.PortBinding``, or the engine's ``PortBindings`` (port to where it goes)."""
    named = {str(name).lower(): value for name, value in given.items()}
    if "port" in named:
        protocol = named.get("proto", named.get("protocol", "tcp"))
        host = named.get("hostip") or None
        low = _number(named.get("hostport") or 0, given)
        return [
            _checked(
                PortSpec(
                    _number(named["port"], given),
                    _NAMES.get(protocol, str(protocol)) if isinstance(protocol, int) else str(protocol).lower(),
                    None if host is None else parse_ip(host, f"published port {given!r}"),
                    low,
                    _number(named.get("hostportend") or low, given),
                ),
                given,
            )
        ]
    found = []
    for port, places in given.items():
        inner, _, protocol = str(port).partition("/")
        if not isinstance(places, list | tuple | None):
            raise _unreadable(given)
        for place in places or [{}]:
            if not isinstance(place, Mapping):
                raise _unreadable(given)
            again = {str(name).lower(): value for name, value in place.items()}
            outer = str(again.get("hostport") or "")
            host = str(again.get("hostip") or "")
            text = f"{_bracketed(host)}:{outer}:{inner}" if host else f"{outer}:{inner}" if outer else inner
            found += _parse_text(f"{text}/{protocol or 'tcp'}")
    return found


def _number(value: object, whole: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 6:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _unreadable(whole)
    return value


def _checked(spec: PortSpec, whole: object) -> PortSpec:
    if spec.protocol not in PROTOCOLS:
        raise errors.InvalidError(
            f"published port {whole!s}: protocol {spec.protocol!r} is none of {', '.join(PROTOCOLS)}"
        )
    if not 1 <= spec.port <= MAX_PORT:
        raise errors.InvalidError(f"published port {whole!s}: {spec.port} is not a port (1…{MAX_PORT})")
    end = spec.host_port_end or spec.host_port
    if not 0 <= spec.host_port <= end <= MAX_PORT or (end and not spec.host_port):
        raise errors.InvalidError(
            f"published port {whole!s}: {spec.host_port}-{end} are no ports of the host (1…{MAX_PORT})"
        )
    if spec.host:
        check_host(spec.host, f"published port {whole!s}")
    return spec if spec.host_port_end == end else spec._replace(host_port_end=end)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _unreadable(given: object) -> errors.InvalidError:
    return errors.InvalidError(
        f"published port {given!r} cannot be understood; write [HOST:][HOSTPORT:]PORT[/PROTOCOL], "
        "as '8080:80', '127.0.0.1:53:53/udp' or '8000-8010:80-90'"
    )

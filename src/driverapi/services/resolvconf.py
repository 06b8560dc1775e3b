"""``/etc/resolv.conf`` as text (resolv.conf(5)): read, filtered, built. Nothing here does I/O.

What is built ends in a line that has the hash of all above it: so a file that its user has edited is known, also by
a later process, and is left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from driverapi import errors
from driverapi._native import pack_ip
from driverapi.addresses import format_ip, parse_ip
from driverapi.services.hosts import is_hostname

__all__ = ["FALLBACK", "ResolvConf", "build", "check_options", "check_search", "check_servers", "filtered", "is_ours"]
__all__ += ["parse"]

FALLBACK: Final = ("8.8.8.8", "8.8.4.4", "2001:4860:4860::8888", "2001:4860:4860::8844")
"""Name servers of who has none that can be reached from a sandbox, unless others are named: of IPv4, if it has that."""

_SEAL: Final = "# driverapi: as long as this is the hash of what is above, it may be written anew: sha256 "
_LOOPBACK: Final = bytes(15) + b"\1"
_MAPPED: Final = bytes(10) + b"\xff\xff"


@dataclass(frozen=True, slots=True)
class ResolvConf:
    """What a resolver is told.

    Attributes
    ----------
    nameservers : tuple of str
        Addresses; of IPv6 perhaps with a zone (``fe80::1%eth0``).
    search : tuple of str
        Domains that are tried behind a name without dots.
    options : tuple of str
        As ``"ndots:2"``.
    """

    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def parse(text: str) -> ResolvConf:
    """Read a file. Of ``search`` and ``domain`` the last line counts; what is no name server is passed over."""
    servers: list[str] = []
    search: tuple[str, ...] = ()
    options: list[str] = []
    for line in text.split("\n"):
        words = line.split()
        if not words or words[0][0] in "#;":
            continue
        key, values = words[0], words[1:]
        if key == "nameserver" and values and _packed(values[0]) is not None:
            servers.append(values[0])
        elif key == "search":
            search = tuple(values)
        elif key == "domain":
            search = tuple(values[:1])
        elif key == "options":
            options += values
    return ResolvConf(tuple(servers), search, tuple(options))


def filtered(conf: ResolvConf, *, ipv6: bool, ipv4: bool = True, fallback: Sequence[str] = FALLBACK) -> ResolvConf:
    """Leave out the name servers that a sandbox cannot reach; where none is left, take others.

    Left out are those of the host's loopback (127.0.0.0/8, ``::1``, and the unspecified address, which means the
    same), those with a zone, which names a link of the host, and those of a family that the sandbox has not.

    Parameters
    ----------
    ipv6, ipv4 : bool
        The sandbox has an address of it.
    fallback : sequence of str
        The others: those of IPv4, for who has none those of IPv6; all of them, if there are none of that family.
    """
    servers = tuple(one for one in conf.nameservers if _is_reachable(one, ipv4=ipv4, ipv6=ipv6))
    if not servers:
        servers = tuple(one for one in fallback if (":" in one) is not ipv4) or tuple(fallback)
    return replace(conf, nameservers=servers)


def build(conf: ResolvConf) -> str:
    """Make a file."""
    lines = [f"nameserver {one}\n" for one in conf.nameservers]
    if conf.search:
        lines.append(f"search {' '.join(conf.search)}\n")
    if conf.options:
        lines.append(f"options {' '.join(conf.options)}\n")
    return seal("".join(lines))


def seal(text: str) -> str:
    """Add the line that tells whether it was edited since."""
    return f"{text}{_SEAL}{_hash(text)}\n"


def is_ours(text: str) -> bool:
    """Tell whether a file is as it was built."""
    above, found, said = text.rpartition(_SEAL)
    return bool(found) and said == f"{_hash(above)}\n"


def check_servers(given: object, what: str) -> tuple[str, ...]:
    """Return name servers as text.

    Raises
    ------
    errors.InvalidError
        One is no IP address.
    """
    return tuple(format_ip(parse_ip(one, what)) for one in _several(given, what))


def check_search(given: object, what: str) -> tuple[str, ...]:
    """Return search domains; ``"."`` alone says that there shall be none."""
    found = []
    for one in _several(given, what):
        if one != "." and not (isinstance(one, str) and is_hostname(one.removesuffix("."))):
            raise errors.InvalidError(f"{what} {one!r} is no domain, such as 'example.org', nor '.' for none")
        found.append(str(one))
    if "." in found and len(found) > 1:
        raise errors.InvalidError(f"{what}: '.' means none; leave it, or the others, out")
    return tuple(found)


def check_options(given: object, what: str) -> tuple[str, ...]:
    """Return options of the resolver."""
    found = []
    for one in _several(given, what):
        if not isinstance(one, str) or not one.isascii() or not one.isprintable() or " " in one or not one:
            raise errors.InvalidError(f"{what} {one!r} is no option, such as 'ndots:2'")
        found.append(one)
    return tuple(found)


def _several(given: object, what: str) -> tuple[object, ...]:
    if isinstance(given, str | bytes) or not isinstance(given, Sequence):
        raise errors.InvalidError(f"{what}: {given!r} is no sequence; write [{given!r}]")
    return tuple(given)


def _hash(text: str) -> str:
    import hashlib  # late: few have files

    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _packed(word: str) -> bytes | None:
    try:
        return pack_ip(word.partition("%")[0])
    except ValueError:
        return None


def _is_reachable(server: str, *, ipv4: bool, ipv6: bool) -> bool:
    ip = _packed(server)
    if ip is None or "%" in server:
        return False
    if len(ip) == 16 and ip.startswith(_MAPPED):
        ip = ip[12:]
    if len(ip) == 4:
        return ipv4 and ip[0] != 127 and any(ip)
    return ipv6 and any(ip) and ip != _LOOPBACK

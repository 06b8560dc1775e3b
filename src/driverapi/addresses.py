"""Addresses inside the package: packed bytes; and what users may write for them.

Every argument of the package that is an address takes text, ``ipaddress`` or ``netaddr``
objects and packed bytes. Inside, an address is ``bytes`` in network order (4 or 16 of them,
6 for a MAC): that is what the kernel takes, and making nothing else keeps a bulk call fast.
netaddr is imported only when somebody asks for one of its objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from driverapi import errors
from driverapi._native import ip_text, mac_text, pack_ip, pack_mac

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
    from typing import TypeAlias

    import netaddr

    IPLike: TypeAlias = str | bytes | IPv4Address | IPv6Address | netaddr.IPAddress
    PrefixLike: TypeAlias = (
        "str | Address | IPv4Network | IPv6Network | IPv4Interface | IPv6Interface | netaddr.IPNetwork"
    )
    MACLike: TypeAlias = str | bytes | netaddr.EUI

__all__ = [
    "Address",
    "format_ip",
    "format_mac",
    "parse_ip",
    "parse_ip_of",
    "parse_mac",
    "parse_network",
    "parse_prefix",
]


@dataclass(frozen=True, slots=True)
class Address:
    """An IP address with the length of its prefix.

    Attributes
    ----------
    ip : bytes
        Network order, 4 bytes (IPv4) or 16 (IPv6).
    prefix : int
        Length in bits, 0…32 or 0…128.
    """

    ip: bytes
    prefix: int

    @property
    def version(self) -> Literal[4, 6]:
        """4 or 6."""
        return 4 if len(self.ip) == 4 else 6

    @property
    def bits(self) -> int:
        """Bits of an address of this family: 32 or 128."""
        return len(self.ip) * 8

    @property
    def network(self) -> Address:
        """The prefix that this address lies in, host bits zero."""
        shift = self.bits - self.prefix
        value = int.from_bytes(self.ip, "big") >> shift << shift
        return Address(value.to_bytes(len(self.ip), "big"), self.prefix)

    def __contains__(self, ip: bytes) -> bool:
        """Tell whether the packed address lies in this prefix."""
        if len(ip) != len(self.ip):
            return False
        differing = int.from_bytes(ip, "big") ^ int.from_bytes(self.ip, "big")
        return differing >> (self.bits - self.prefix) == 0

    def overlaps(self, other: Address) -> bool:
        """Tell whether the two prefixes share an address."""
        shorter, longer = sorted((self, other), key=lambda one: one.prefix)
        return longer.ip in shorter

    def __str__(self) -> str:
        """``10.0.0.1/16``."""
        return f"{format_ip(self.ip)}/{self.prefix}"

    def to_netaddr(self) -> netaddr.IPNetwork:
        """Make the ``netaddr`` object of the same address and prefix."""
        import netaddr

        return netaddr.IPNetwork((int.from_bytes(self.ip, "big"), self.prefix), version=self.version)


def format_ip(ip: bytes) -> str:
    """Text of a packed address (RFC 5952 for IPv6)."""
    return ip_text(ip)


def format_mac(mac: bytes) -> str:
    """``02:42:0a:00:00:02``."""
    return mac_text(mac)


def _wrong(what: str, value: object, want: str) -> errors.InvalidError:
    return errors.InvalidError(f"{what} {value!r} is not {want}")


def parse_ip(value: Any, what: str = "address") -> bytes:
    """Packed form of what a user wrote for an IP address.

    Raises
    ------
    errors.InvalidError
        Named by ``what``; for all that is no address, one with a prefix included.
    """
    if type(value) is bytes and len(value) in (4, 16):
        return value
    if isinstance(value, str):
        try:
            return pack_ip(value)
        except ValueError:
            raise _wrong(what, value, "an IP address, such as '10.0.0.2' or 'fd00::2'") from None
    packed = value if isinstance(value, bytes) else getattr(value, "packed", None)
    if isinstance(packed, bytes) and len(packed) in (4, 16) and _prefix_length(value) is None:
        return packed
    raise _wrong(what, value, "an IP address (text, ipaddress, netaddr or packed bytes)")


def parse_ip_of(version: int, value: Any, what: str = "address") -> bytes:
    """Packed form of an IP address of one family.

    Raises
    ------
    errors.InvalidError
        As :func:`parse_ip`; it is of the other family.
    """
    ip = parse_ip(value, what)
    if len(ip) != (4 if version == 4 else 16):
        raise _wrong(what, format_ip(ip), f"an IPv{version} address")
    return ip


def _prefix_length(value: object) -> int | None:
    """Length of the prefix of an ``ipaddress`` or ``netaddr`` object that has one."""
    bits = getattr(value, "prefixlen", None)  # networks
    if bits is None:
        bits = getattr(getattr(value, "network", None), "prefixlen", None)  # ipaddress's interfaces
    return None if bits is None else int(bits)


def parse_prefix(value: Any, what: str = "address") -> Address:
    """Address with prefix of what a user wrote; without one, the whole address (/32, /128)."""
    if isinstance(value, Address):
        return value
    if isinstance(value, str):
        text, slash, length = value.partition("/")
        ip = parse_ip(text, what)
        if not slash:
            return Address(ip, len(ip) * 8)
        if not (length.isascii() and length.isdigit()) or len(length) > 3 or int(length) > len(ip) * 8:
            raise _wrong(what, value, f"a prefix: its length must be 0…{len(ip) * 8}")
        return Address(ip, int(length))
    bits = _prefix_length(value)
    if bits is None:
        ip = parse_ip(value, what)
        return Address(ip, len(ip) * 8)
    inner = getattr(value, "ip", None)
    ip = parse_ip(getattr(value, "network_address", None) if inner is None else inner, what)
    return Address(ip, bits)


def parse_network(value: Any, what: str = "prefix", version: int = 0) -> Address:
    """Prefix of a network: host bits must be zero, so that one network has one name.

    Parameters
    ----------
    version : int
        4 or 6 where the caller wants that family, 0 for either.
    """
    whole = not isinstance(value, Address)
    if whole:
        whole = "/" not in value if isinstance(value, str) else _prefix_length(value) is None
    if whole:
        raise _wrong(what, value, "a prefix, such as '10.77.0.0/16' or 'fd77::/64'")
    prefix = parse_prefix(value, what)
    if version and prefix.version != version:
        raise _wrong(what, str(value), f"an IPv{version} prefix")
    if int.from_bytes(prefix.ip, "big") & ((1 << (prefix.bits - prefix.prefix)) - 1):
        raise errors.InvalidError(f"{what} {prefix} has host bits set; write {prefix.network}")
    return prefix


def parse_mac(value: Any, what: str = "MAC address") -> bytes:
    """Six bytes of what a user wrote: text with ``:`` or ``-``, ``netaddr.EUI``, or bytes.

    Raises
    ------
    errors.InvalidError
        For all that is no MAC of 48 bits, and for one that no interface may have
        (multicast, all zero).
    """
    mac: object
    if isinstance(value, str):
        try:
            mac = pack_mac(value)
        except ValueError:
            mac = None
    else:
        mac = value if isinstance(value, bytes) else getattr(value, "packed", None)
    if not isinstance(mac, bytes) or len(mac) != 6:
        raise _wrong(what, value, "a MAC address, such as '02:42:0a:00:00:02'")
    if mac[0] & 1 or not any(mac):
        raise _wrong(what, format_mac(mac), "a unicast MAC address: no interface may have it")
    return mac

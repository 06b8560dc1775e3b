"""What options say of a network's prefixes: which families it has, and the seed's ``FixedCIDR`` and its like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from driverapi import errors, labels
from driverapi.addresses import format_ip, parse_ip, parse_ip_of, parse_network, parse_prefix

if TYPE_CHECKING:
    from collections.abc import Mapping

    from driverapi.addresses import IPLike, PrefixLike

__all__ = ["prefixes_asked"]

_ANY_IPV4: Final = "0.0.0.0/20"
_ANY_IPV6: Final = "::/64"


def prefixes_asked(
    options: Mapping[str, Any],
    ipv4: PrefixLike | None,
    ipv6: PrefixLike | None,
    gateway: IPLike | None,
    gateway_ipv6: IPLike | None,
    ip_range: PrefixLike | Sequence[PrefixLike],
) -> tuple[PrefixLike | None, PrefixLike | None, IPLike | None, IPLike | None, list[PrefixLike]]:
    """Return the arguments of ``create_network`` with what the options add to them.

    ``enable_ipv6`` asks for any free prefix where none is given, and for one of IPv4 beside it unless ``enable_ipv4``
    is false. ``FixedCIDR`` and ``FixedCIDRv6`` are an ``ip_range``, ``DefaultGatewayIPv4`` and ``DefaultGatewayIPv6``
    the gateways, ``AddressIPv4`` the IPv4 prefix and its gateway in one.

    Raises
    ------
    errors.InvalidError
        The value of an option is none, or something else was said before.
    """
    ranges: list[Any] = list(ip_range) if isinstance(ip_range, list | tuple) else [ip_range]
    for name, version in labels.FIXED.items():
        if _is_given(options, name):
            ranges.append(parse_network(options[name], f"option {name!r}", version))
    gateways = {4: gateway, 6: gateway_ipv6}
    if _is_given(options, labels.ADDRESS):
        what = f"option {labels.ADDRESS!r}"
        address = parse_prefix(options[labels.ADDRESS], what)
        if address.version != 4 or address.prefix == address.bits:
            raise errors.InvalidError(f"{what}: {options[labels.ADDRESS]!r} is not an address such as '10.77.0.1/16'")
        if ipv4 is None:
            ipv4 = address.network
        elif parse_network(ipv4, "ipv4", 4) != address.network:
            raise errors.InvalidError(f"{what} has prefix {address.network}, ipv4 says {ipv4}; leave one out")
        gateways[4] = _agreed(gateways[4], address.ip, what)
    for name, version in labels.GATEWAYS.items():
        if _is_given(options, name):
            what = f"option {name!r}"
            gateways[version] = _agreed(gateways[version], parse_ip_of(version, options[name], what), what)
    if ipv6 is None and labels.as_bool(labels.ENABLE_IPV6, options.get(labels.ENABLE_IPV6, False)):
        ipv6 = _ANY_IPV6
        if ipv4 is None and labels.as_bool(labels.ENABLE_IPV4, options.get(labels.ENABLE_IPV4, True)):
            ipv4 = _ANY_IPV4
    return ipv4, ipv6, gateways[4], gateways[6], ranges


def _is_given(options: Mapping[str, Any], name: str) -> bool:
    return options.get(name) not in (None, "")


def _agreed(before: IPLike | None, ip: bytes, what: str) -> bytes:
    """Return a gateway that nobody has said otherwise of before: the bridge has its address."""
    if before is not None and parse_ip(before, "gateway") != ip:
        raise errors.InvalidError(
            f"{what}: the gateway is {format_ip(parse_ip(before, 'gateway'))} already, which {format_ip(ip)} is not; "
            f"leave one out (where another machine is the gateway: {labels.BRIDGE_INHIBIT_IPV4!r})"
        )
    return ip

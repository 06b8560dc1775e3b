"""What options say of a network's prefixes: which families it has, and the seed's ``FixedCIDR``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from driverapi import labels
from driverapi.addresses import parse_network

if TYPE_CHECKING:
    from collections.abc import Mapping

    from driverapi.addresses import PrefixLike

__all__ = ["prefixes_asked"]

_ANY_IPV4: Final = "0.0.0.0/20"
_ANY_IPV6: Final = "::/64"


def prefixes_asked(
    options: Mapping[str, Any],
    ipv4: PrefixLike | None,
    ipv6: PrefixLike | None,
    ip_range: PrefixLike | Sequence[PrefixLike],
) -> tuple[PrefixLike | None, PrefixLike | None, list[PrefixLike]]:
    """Return the arguments of ``create_network`` with what the options add to them.

    ``enable_ipv6`` asks for any free prefix where none is given, and for one of IPv4 beside it unless ``enable_ipv4``
    is false. ``FixedCIDR`` and ``FixedCIDRv6`` are an ``ip_range``.

    Raises
    ------
    errors.InvalidError
        The value of an option is none.
    """
    ranges: list[Any] = list(ip_range) if isinstance(ip_range, list | tuple) else [ip_range]
    for name, version in labels.FIXED.items():
        given = options.get(name)
        if given is not None and given != "":
            ranges.append(parse_network(given, f"option {name!r}", version))
    if ipv6 is None and labels.as_bool(labels.ENABLE_IPV6, options.get(labels.ENABLE_IPV6, False)):
        ipv6 = _ANY_IPV6
        if ipv4 is None and labels.as_bool(labels.ENABLE_IPV4, options.get(labels.ENABLE_IPV4, True)):
            ipv4 = _ANY_IPV4
    return ipv4, ipv6, ranges

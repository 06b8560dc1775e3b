"""What driver ``bridge`` asks of the packet filter: masquerading, and where published ports are.

Network options:

``bridge.enable_ip_masquerade``  what leaves for elsewhere has an address of the host's (default: false)
``host_ipv4``                    that address, of IPv4; by default that of the link it leaves by
``bridge.host_binding_ipv4``     address of the host for ports that name none (default: all that it has)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from driverapi import errors, labels
from driverapi.addresses import parse_ip
from driverapi.api import IPAMData, Options
from driverapi.plan import NetworkRules
from driverapi.portspec import PortPolicy

__all__ = ["RULE_OPTIONS", "policy_of", "rules_of"]

RULE_OPTIONS: Final = (labels.BRIDGE_MASQUERADE, labels.HOST_IPV4, labels.BRIDGE_HOST_BINDING_IPV4)


def rules_of(options: Options, data: Sequence[IPAMData]) -> NetworkRules:
    """Return what a network of these options and prefixes needs."""
    prefixes = tuple(one.pool for one in data)
    masquerade = labels.as_bool(labels.BRIDGE_MASQUERADE, options.get(labels.BRIDGE_MASQUERADE, False))
    source = _ipv4(options, labels.HOST_IPV4)
    if source and not masquerade:
        raise errors.InvalidError(f"option {labels.HOST_IPV4!r} needs {labels.BRIDGE_MASQUERADE!r}")
    if source and not any(prefix.version == 4 for prefix in prefixes):
        raise errors.InvalidError(f"option {labels.HOST_IPV4!r}: the network has no IPv4 prefix")
    return NetworkRules(prefixes, tuple(prefix.version for prefix in prefixes) if masquerade else (), source)


def policy_of(options: Options, *, internal: bool) -> PortPolicy:
    """Return where ports of a network of these options are published."""
    refused = "the network is internal" if internal else ""
    return PortPolicy(_ipv4(options, labels.BRIDGE_HOST_BINDING_IPV4), refused=refused)


def _ipv4(options: Options, name: str) -> tuple[bytes, ...]:
    """Return the address that an option has, or nothing."""
    given = options.get(name)
    if given in (None, ""):
        return ()
    ip = parse_ip(given, f"option {name!r}")
    if len(ip) != 4:
        raise errors.InvalidError(f"option {name!r}: {given!r} is not an IPv4 address")
    return (ip,)

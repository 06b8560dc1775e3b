"""What driver ``bridge`` asks of the packet filter: a network without any of these options has no rules.

``bridge.gateway_mode_ipv4``, ``bridge.gateway_mode_ipv6``
    ``nat``              what leaves for elsewhere has an address of the host's; from there, published ports alone
                         are reached
    ``nat-unprotected``  the same, and who has a route to the sandboxes reaches all of them
    ``routed``           sandboxes are seen, and reached, at their own addresses: their published ports and ICMP
    ``isolated``         the bridge has no address of that family; only where the network is internal
``bridge.enable_ip_masquerade``
    As mode ``nat``; false takes the host's address away from it. Default: false, unless the mode is one of NAT.
``host_ipv4``, ``host_ipv6``
    The host's address that traffic leaves under; by default that of the link it leaves by.
``bridge.host_binding_ipv4``
    Address of the host for ports that name none; by default all that it has.
``bridge.trusted_host_interfaces``
    Names of links of the host, ``:`` between them: who comes in by one reaches the sandboxes, and all of their ports,
    at their own addresses, although the mode is ``nat`` or ``routed``. The link may come later.
``bridge.enable_icc``
    False: sandboxes do not reach each other, but by links (``ChildEndpoints``) and published ports.
``internal``
    Nothing is forwarded to the network or from it.
``driverapi.guard``
    True: what a sandbox sends under a MAC address, or an address, that is not its own is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from driverapi import errors, labels
from driverapi.addresses import format_ip, parse_ip
from driverapi.api import IPAMData, Options
from driverapi.plan import NetworkRules, check_link_name
from driverapi.ports.spec import PortPolicy, check_host

__all__ = ["MODES", "RULE_OPTIONS", "modes_of", "policy_of", "rules_of"]

MODES: Final = ("nat", "nat-unprotected", "routed", "isolated")

_MODE: Final = {4: labels.BRIDGE_GATEWAY_MODE_IPV4, 6: labels.BRIDGE_GATEWAY_MODE_IPV6}
_SOURCE: Final = {4: labels.HOST_IPV4, 6: labels.HOST_IPV6}
_LOOPBACK6: Final = bytes(15) + b"\1"

RULE_OPTIONS: Final = (
    *_MODE.values(),
    labels.BRIDGE_MASQUERADE,
    *_SOURCE.values(),
    labels.BRIDGE_HOST_BINDING_IPV4,
    labels.BRIDGE_TRUSTED,
    labels.BRIDGE_ENABLE_ICC,
    labels.GUARD,
)


def modes_of(options: Options, data: Sequence[IPAMData], *, internal: bool) -> dict[int, str]:
    """Return the gateway mode of each family that the network has; empty where none was asked for."""
    found = {}
    masquerade = options.get(labels.BRIDGE_MASQUERADE)
    versions = {one.pool.version for one in data}
    for version, name in _MODE.items():
        mode = options.get(name) or ""
        if mode and mode not in MODES:
            raise errors.InvalidError(f"option {name!r}: {mode!r} is not one of {', '.join(MODES)}")
        if mode and version not in versions:
            raise errors.InvalidError(f"option {name!r}: the network has no IPv{version} prefix")
        if mode == "isolated" and not internal:
            raise errors.InvalidError(
                f"option {name!r}: mode 'isolated' is for internal networks; give {labels.INTERNAL!r} too"
            )
        if not mode and masquerade is not None and labels.as_bool(labels.BRIDGE_MASQUERADE, masquerade):
            mode = "nat"
        found[version] = mode
    return {version: found[version] for version in versions}


def rules_of(options: Options, data: Sequence[IPAMData], *, internal: bool, forwards: bool = False) -> NetworkRules:
    """Return what a network of these options and prefixes needs.

    Parameters
    ----------
    forwards : bool
        The driver is configured to have the host forward IPv4.
    """
    modes = modes_of(options, data, internal=internal)
    masquerade = labels.as_bool(labels.BRIDGE_MASQUERADE, options.get(labels.BRIDGE_MASQUERADE, True))
    translated = tuple(
        version for version, mode in modes.items() if mode.startswith("nat") and masquerade and not internal
    )
    source = tuple(ip for version in _SOURCE for ip in _source(options, version, translated))
    return NetworkRules(
        prefixes=tuple(one.pool for one in data),
        masquerade=translated,
        source=source,
        binding=_binding(options),
        protected=tuple(version for version, mode in modes.items() if mode in ("nat", "routed") and not internal),
        pinged=tuple(version for version, mode in modes.items() if mode == "routed" and not internal),
        trusted=_trusted(options, internal=internal),
        internal=internal,
        shut=not labels.as_bool(labels.BRIDGE_ENABLE_ICC, options.get(labels.BRIDGE_ENABLE_ICC, True)),
        guard=labels.as_bool(labels.GUARD, options.get(labels.GUARD, False)),
        forwards=forwards and not internal and any(one.pool.version == 4 for one in data),
        # Who does without the host's address has thought of elsewhere too.
        begins=tuple(
            version for version, mode in modes.items() if (mode or labels.BRIDGE_MASQUERADE in options) and not internal
        ),
    )


def policy_of(options: Options, data: Sequence[IPAMData], *, internal: bool) -> PortPolicy:
    """Return where ports of a network of these options are published."""
    modes = modes_of(options, data, internal=internal)
    return PortPolicy(
        _binding(options),
        direct=tuple(version for version, mode in modes.items() if mode == "routed"),
        refused="the network is internal" if internal else "",
    )


def _trusted(options: Options, *, internal: bool) -> tuple[str, ...]:
    """Return the names of links by which all of a sandbox is reached."""
    name = labels.BRIDGE_TRUSTED
    words = labels.as_words(name, options.get(name) or (), ":")
    names = tuple(dict.fromkeys(check_link_name(one, f"option {name!r}") for one in words))
    if names and internal:
        raise errors.InvalidError(
            f"option {name!r}: nothing is forwarded to an internal network; leave it out, or {labels.INTERNAL!r}"
        )
    return names


def _source(options: Options, version: int, translated: Sequence[int]) -> tuple[bytes, ...]:
    """Return the address that traffic of a family is to leave under, or nothing."""
    name = _SOURCE[version]
    source = _address(options, name, version)
    if source and version not in translated:
        raise errors.InvalidError(
            f"option {name!r} is the address that IPv{version} leaves under: it needs gateway mode 'nat'"
        )
    for ip in source:
        if not any(ip) or ip == _LOOPBACK6 or (version == 4 and ip[0] == 127):
            raise errors.InvalidError(
                f"option {name!r}: no answer comes back to {format_ip(ip)}; use an address of one of the host's links, "
                "or leave it out for that of the link which traffic leaves by"
            )
        check_host(ip, f"option {name!r}")
    return source


def _binding(options: Options) -> tuple[bytes, ...]:
    """Return the address of the host for ports that name none, or nothing."""
    name = labels.BRIDGE_HOST_BINDING_IPV4
    if options.get(name) not in (None, ""):
        check_host(parse_ip(options[name], f"option {name!r}"), f"option {name!r}")  # of [::1] it has more to say
    return _address(options, name, 4)


def _address(options: Options, name: str, version: int) -> tuple[bytes, ...]:
    """Return the address that an option has, or nothing."""
    given = options.get(name)
    if given in (None, ""):
        return ()
    ip = parse_ip(given, f"option {name!r}")
    if len(ip) != (4 if version == 4 else 16):
        raise errors.InvalidError(f"option {name!r}: {given!r} is not an IPv{version} address")
    return (ip,)

"""Names of options and labels, both generations, and their text made into values.

libnetwork's first labels were ``io.docker.network.*``, today's are ``com.docker.network.*``:
both are read, the later is written. A value that comes as text (a label, a command line) is
parsed by what the option is; a value of the right type is taken as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from driverapi import errors

__all__ = [
    "ADDRESS",
    "BRIDGE_DEFAULT",
    "BRIDGE_ENABLE_ICC",
    "BRIDGE_GATEWAY_MODE_IPV4",
    "BRIDGE_GATEWAY_MODE_IPV6",
    "BRIDGE_HOST_BINDING_IPV4",
    "BRIDGE_INHIBIT_IPV4",
    "BRIDGE_MASQUERADE",
    "BRIDGE_NAME",
    "BRIDGE_TRUSTED",
    "ENABLE_IPV4",
    "ENABLE_IPV6",
    "ENDPOINT_EXPOSED_PORTS",
    "ENDPOINT_IFNAME",
    "ENDPOINT_MAC",
    "ENDPOINT_ROUTES",
    "ENDPOINT_SYSCTLS",
    "FIXED",
    "FORWARDING",
    "GATEWAYS",
    "GENERIC",
    "GUARD",
    "GW_PRIORITY",
    "HOST_IPV4",
    "HOST_IPV6",
    "IFACE_PREFIX",
    "INTERNAL",
    "IPAM_DATA",
    "IPAM_SERIAL",
    "IPAM_SPACE",
    "IPVLAN_FLAG",
    "IPVLAN_MODE",
    "MACVLAN_MODE",
    "MEMORY",
    "MTU",
    "OURS",
    "PARENT",
    "PORT_MAP",
    "RATE_IN",
    "RATE_OUT",
    "SEED_NAMES",
    "SERVED",
    "as_bool",
    "as_int",
    "as_rate",
    "as_word",
    "as_words",
    "canonical",
    "nearest",
    "normalise",
]

PREFIX: Final = "com.docker.network."
OLD_PREFIX: Final = "io.docker.network."

GENERIC: Final = PREFIX + "generic"
"""Under it the engine nests the ``-o`` options of a network."""

OURS: Final = "driverapi."
"""How our own names begin: an unknown one is an error."""

IPAM_DATA: Final = OURS + "ipam_data"
"""The prefixes of a network: a tuple of :class:`driverapi.api.IPAMData`. Ours; never on the wire."""

IPAM_SPACE: Final = OURS + "ipam.space"
"""In which address space the pools of a network are: ``local`` or ``global``. Ours, of ``ipam_options``."""

MEMORY: Final = OURS + "memory"
"""What a driver chose for a network before a restart (:class:`driverapi.api.RemembersNetwork`). Ours."""

FORWARDING: Final = OURS + "forwarding"
"""What a routed network switches on so that its sandboxes reach each other. Ours."""

RATE_IN: Final = OURS + "rate_in"
"""Bits per second that a sandbox gets at most: a number, or text as ``10mbit``. Ours."""
RATE_OUT: Final = OURS + "rate_out"
"""Bits per second that a sandbox sends at most. Ours."""

GUARD: Final = OURS + "guard"
"""Sandboxes of a bridge network send under their own addresses alone. Ours."""

MTU: Final = PREFIX + "driver.mtu"
IFACE_PREFIX: Final = PREFIX + "container_iface_prefix"
INTERNAL: Final = PREFIX + "internal"
PORT_MAP: Final = PREFIX + "portmap"
IPAM_SERIAL: Final = PREFIX + "ipam.serial"
HOST_IPV4: Final = PREFIX + "host_ipv4"
HOST_IPV6: Final = PREFIX + "host_ipv6"
ENABLE_IPV4: Final = PREFIX + "enable_ipv4"
ENABLE_IPV6: Final = PREFIX + "enable_ipv6"

BRIDGE_NAME: Final = PREFIX + "bridge.name"
BRIDGE_MASQUERADE: Final = PREFIX + "bridge.enable_ip_masquerade"
BRIDGE_ENABLE_ICC: Final = PREFIX + "bridge.enable_icc"
BRIDGE_GATEWAY_MODE_IPV4: Final = PREFIX + "bridge.gateway_mode_ipv4"
BRIDGE_GATEWAY_MODE_IPV6: Final = PREFIX + "bridge.gateway_mode_ipv6"
BRIDGE_HOST_BINDING_IPV4: Final = PREFIX + "bridge.host_binding_ipv4"
BRIDGE_INHIBIT_IPV4: Final = PREFIX + "bridge.inhibit_ipv4"
BRIDGE_DEFAULT: Final = PREFIX + "bridge.default_bridge"
BRIDGE_TRUSTED: Final = PREFIX + "bridge.trusted_host_interfaces"

ENDPOINT_MAC: Final = PREFIX + "endpoint.macaddress"
ENDPOINT_EXPOSED_PORTS: Final = PREFIX + "endpoint.exposedports"
ENDPOINT_IFNAME: Final = PREFIX + "endpoint.ifname"
ENDPOINT_SYSCTLS: Final = PREFIX + "endpoint.sysctls"
ENDPOINT_ROUTES: Final = PREFIX + "endpoint.routes"
GW_PRIORITY: Final = PREFIX + "endpoint.gw_priority"

SERVED: Final = frozenset({ENDPOINT_SYSCTLS, ENDPOINT_ROUTES, GW_PRIORITY})
"""What is done for the endpoints of every driver (:mod:`driverapi.control.joining`): no driver need know of it."""

PARENT: Final = "parent"
"""The host's link that a macvlan or ipvlan network is on. Today's libnetwork has these names without a prefix."""
MACVLAN_MODE: Final = "macvlan_mode"
IPVLAN_MODE: Final = "ipvlan_mode"
IPVLAN_FLAG: Final = "ipvlan_flag"

_BARE: Final[Mapping[str, str]] = {PREFIX + one: one for one in (PARENT, MACVLAN_MODE, IPVLAN_MODE, IPVLAN_FLAG)}
"""Names that are read with a prefix too."""

FIXED: Final[Mapping[str, int]] = {"FixedCIDR": 4, "FixedCIDRv6": 6}
"""The seed's names for the part of a prefix that addresses are given from, and their families."""

ADDRESS: Final = "AddressIPv4"
"""The seed's name for the bridge's address with the length of the network's prefix: both in one."""

GATEWAYS: Final[Mapping[str, int]] = {"DefaultGatewayIPv4": 4, "DefaultGatewayIPv6": 6}
"""The seed's names for the gateways of a network, and their families."""

SEED_NAMES: Final[Mapping[str, str]] = {
    "BridgeName": BRIDGE_NAME,
    "EnableIPMasquerade": BRIDGE_MASQUERADE,
    "EnableICC": BRIDGE_ENABLE_ICC,
    "Mtu": MTU,
    "DefaultBindingIP": BRIDGE_HOST_BINDING_IPV4,
    "MacAddress": ENDPOINT_MAC,
    "ExposedPorts": ENDPOINT_EXPOSED_PORTS,
    "PortBindings": PORT_MAP,
    "EnableIPv6": ENABLE_IPV6,
}
"""The names that the seed's own code gave its options (a struct's fields), and what they are now."""

MIN_RATE, MAX_RATE = 8_000, 10**12
_RATE: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)(|bit|kbit|mbit|gbit|tbit)")
_UNITS: Final = {"": 1, "bit": 1, "kbit": 10**3, "mbit": 10**6, "gbit": 10**9, "tbit": 10**12}

_TRUE: Final = frozenset({"1", "t", "true", "y", "yes", "on"})
_FALSE: Final = frozenset({"0", "f", "false", "n", "no", "off"})


def canonical(name: str) -> str:
    """Today's name of an option of either generation; other names as they are."""
    if name.startswith(OLD_PREFIX):
        name = PREFIX + name.removeprefix(OLD_PREFIX)
    if name in _BARE:
        return _BARE[name]
    return SEED_NAMES.get(name, name)


def normalise(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Copy with today's names; what is nested under ``GENERIC`` is lifted to the top.

    Raises
    ------
    errors.InvalidError
        The options are no mapping of text, or one option comes under two names with two values.
    """
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise errors.InvalidError(f"options must be a mapping of label to value, not {type(options).__name__}")
    flat: dict[str, Any] = {}
    for given, value in options.items():
        if not isinstance(given, str):
            raise errors.InvalidError(f"option name {given!r} is not text")
        name = canonical(given)
        pairs = normalise(value) if name == GENERIC else {name: value}
        for key, one in pairs.items():
            if key in flat and flat[key] != one:
                raise errors.InvalidError(f"option {key!r} is given twice, as {flat[key]!r} and {one!r}")
            flat[key] = one
    return flat


def nearest(name: str, known: Iterable[str], least: float = 0.6) -> str:
    """Return what an error about an unknown name adds: the known one that is most like it, if one is.

    A name without dots is compared with the last words of labels too.
    """
    import difflib  # late: few have slips

    lowered = {one.lower(): one for one in known}
    if "." not in name:
        lowered = {one.rpartition(".")[2]: full for one, full in lowered.items()} | lowered
    found = difflib.get_close_matches(name.lower(), lowered, 1, least)
    return f"; did you mean {lowered[found[0]]!r}?" if found else ""


def as_bool(name: str, value: object) -> bool:
    """Value of a bool option: a bool, or its text (``"true"``, ``"0"`` …)."""
    if isinstance(value, bool):
        return value
    text = value.strip().lower() if isinstance(value, str) else None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise errors.InvalidError(f"option {name!r}: {value!r} is not a truth value; write true or false")


def as_word(name: str, value: object, allowed: Sequence[str]) -> str:
    """Value of an option that is one of some words; the first of them where nothing is said."""
    if value is None or value == "":
        return allowed[0]
    if not isinstance(value, str) or value not in allowed:
        raise errors.InvalidError(f"option {name!r}: {value!r} is not one of {', '.join(allowed)}")
    return value


def as_words(name: str, value: object, separator: str) -> tuple[str, ...]:
    """Value of an option that is several words: a sequence of them, or text with a separator between them."""
    words = value.split(separator) if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not all(isinstance(one, str) for one in words):
        raise errors.InvalidError(f"option {name!r}: {value!r} is not text, words with {separator!r} between them")
    return tuple(one.strip() for one in words if one.strip())


def as_int(name: str, value: object, low: int, high: int) -> int:
    """Value of a number option within ``low``…``high``, or its decimal text."""
    number = value
    if isinstance(value, str):
        digits = value.strip()
        number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 12 else None
    if isinstance(number, bool) or not isinstance(number, int) or not low <= number <= high:
        raise errors.InvalidError(f"option {name!r}: {value!r} is not a number from {low} to {high}")
    return number


def as_rate(name: str, value: object) -> int:
    """Bits per second, 0 for no limit: a number, or text with a unit (``"10mbit"``, ``"1.5gbit"``, ``"800kbit"``)."""
    found = _RATE.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    if found is not None:
        rate = int(float(found[1]) * _UNITS[found[2]])
    elif isinstance(value, int) and not isinstance(value, bool):
        rate = value
    else:
        rate = -1
    if rate != 0 and not MIN_RATE <= rate <= MAX_RATE:
        raise errors.InvalidError(
            f"option {name!r}: {value!r} is no rate; write bits per second, as '10mbit', from 8kbit to 1tbit"
        )
    return rate

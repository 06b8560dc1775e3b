"""What driver ``bridge`` makes of options that it does not act upon: none is passed over in silence."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable, Mapping
from typing import Final

from driverapi import errors, labels
from driverapi.api import Options

__all__ = ["check_configuration", "check_options"]

log = logging.getLogger(__name__)

# Truth values that are what this version does anyway; the other one is refused, for the reason given.
_RULES: Final = "it needs packet filter rules, which this version does not make"
_ONLY: Final[Mapping[str, tuple[bool, str]]] = {
    labels.BRIDGE_MASQUERADE: (False, _RULES),
    labels.BRIDGE_ENABLE_ICC: (True, _RULES),
    labels.BRIDGE_INHIBIT_IPV4: (False, "the bridge has its gateway address, unless the network is internal"),
    labels.BRIDGE_DEFAULT: (False, "no network is a default one here"),
    "EnableIPTables": (False, _RULES),
    "AllowNonDefaultBridge": (True, "a bridge may have any name here"),
}
_CONFIGURATION: Final[Mapping[str, tuple[bool, str]]] = {
    "EnableIPForwarding": (False, "this version sets no sysctl of the host: set net.ipv4.ip_forward yourself"),
    "EnableIPTables": _ONLY["EnableIPTables"],
}

# Options that this version cannot honour, and what to use instead. Empty, they ask for nothing.
_REFUSED: Final[Mapping[str, str]] = {
    labels.BRIDGE_GATEWAY_MODE_IPV4: _RULES,
    labels.BRIDGE_GATEWAY_MODE_IPV6: _RULES,
    labels.BRIDGE_HOST_BINDING_IPV4: _RULES,
    labels.BRIDGE_TRUSTED: _RULES,
    labels.HOST_IPV4: _RULES,
    labels.PORT_MAP: _RULES,
    labels.ENDPOINT_SYSCTLS: "sysctls of a sandbox are not in this version",
    "AddressIPv4": "use create_network(ipv4=…, gateway=…): the bridge has the gateway's address",
    "DefaultGatewayIPv4": "use create_network(gateway=…)",
    "DefaultGatewayIPv6": "use create_network(gateway_ipv6=…)",
    "FixedCIDR": "a range inside of the prefix is not in this version; use create_network(ipv4=…)",
    "FixedCIDRv6": "a range inside of the prefix is not in this version; use create_network(ipv6=…)",
    "ParentEndpoints": "endpoints of one network reach each other without links",
    "ChildEndpoints": "endpoints of one network reach each other without links",
}
_FAMILIES: Final[Mapping[str, int]] = {labels.ENABLE_IPV4: 4, labels.ENABLE_IPV6: 6}

_KNOWN: Final = frozenset(
    {labels.BRIDGE_NAME, labels.MTU, labels.IFACE_PREFIX, labels.INTERNAL}
    | {labels.ENDPOINT_IFNAME, labels.ENDPOINT_MAC, labels.ENDPOINT_EXPOSED_PORTS}
    | {*_ONLY, *_CONFIGURATION, *_REFUSED, *_FAMILIES}
)


def check_options(options: Options, acted_upon: Iterable[str] = (), versions: Iterable[int] | None = None) -> None:
    """Refuse the options that cannot be honoured, and those without a dot that nobody knows.

    Labels of others pass. Labels of ``com.docker.network`` that are not acted upon here pass with a warning.

    Parameters
    ----------
    acted_upon : iterable of str
        What the caller reads itself.
    versions : iterable of int, optional
        The families that the network has, 4 and 6; None where it is not a network's creation.

    Raises
    ------
    errors.NotImplementedYetError
        The option asks for what this version does not do; the text says what to use instead.
    errors.InvalidError
        The name has no dot and is unknown; the text names the nearest known one.
    """
    acted_upon = set(acted_upon)
    for name, value in options.items():
        if name in acted_upon:
            continue
        if name in _ONLY:
            _check_truth(name, value, _ONLY[name])
        elif name in _REFUSED:
            if value not in (None, "", b"", [], (), {}):
                raise _not_yet(name, value, _REFUSED[name])
        elif name in _FAMILIES and versions is not None:
            version = _FAMILIES[name]
            has = version in versions
            use = f"the network has an IPv{version} prefix" if has else f"use create_network(ipv{version}=…)"
            _check_truth(name, value, (has, use))
        elif "." not in name:
            raise _unknown(name)
        elif name.startswith(labels.PREFIX):
            log.warning("bridge: option %r is ignored here%s", name, "" if name in _KNOWN else _nearest(name))


def check_configuration(options: Options) -> None:
    """Refuse what :meth:`driverapi.Driver.config` cannot take: all but what the driver does anyway.

    Raises
    ------
    errors.NotImplementedYetError, errors.InvalidError
        As :func:`check_options`; here every unknown name is refused.
    """
    for name, value in options.items():
        if name not in _CONFIGURATION:
            raise _unknown(name)
        _check_truth(name, value, _CONFIGURATION[name])


def _check_truth(name: str, value: object, rule: tuple[bool, str]) -> None:
    only, why = rule
    if labels.as_bool(name, value) is not only:
        raise _not_yet(name, value, why)


def _not_yet(name: str, value: object, why: str) -> errors.NotImplementedYetError:
    return errors.NotImplementedYetError(f"option {name!r}: {value!r} cannot be had: {why}; leave the option out")


def _unknown(name: str) -> errors.InvalidError:
    return errors.InvalidError(f"the bridge driver knows no option {name!r}{_nearest(name)}")


def _nearest(name: str) -> str:
    """Name the known option that is most like it, in either generation's names."""
    known = {one.lower(): one for one in _KNOWN.union(labels.SEED_NAMES)}
    found = difflib.get_close_matches(name.lower(), known, 1)
    return f"; did you mean {known[found[0]]!r}?" if found else ""

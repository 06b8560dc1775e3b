"""What a plugin is told: the package's options and addresses in the form in which an engine writes them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

from driverapi import errors, labels
from driverapi.addresses import format_mac, parse_ip, parse_mac
from driverapi.api import EndpointInfo, InterfaceInfo, IPAMData, Options
from driverapi.plan import PortMap
from driverapi.ports.external import bindings_of
from driverapi.ports.spec import parse_ports

__all__ = ["PORTS", "endpoint_options", "interface", "interfaces", "network", "port_options", "published", "text_of"]

_TOP: Final = (labels.ENABLE_IPV4, labels.ENABLE_IPV6, labels.INTERNAL)
"""Options of a network that are not under ``generic``, and are truth values."""

PORTS: Final = (labels.PORT_MAP, labels.ENDPOINT_EXPOSED_PORTS)
_PROTOCOLS: Final = {"tcp": 6, "udp": 17, "sctp": 132}  # IANA
_SPACE: Final = "LocalDefault"


def network(network_id: str, options: Options) -> dict[str, Any]:
    """Return the request for a network."""
    prefixes: Sequence[IPAMData] = options.get(labels.IPAM_DATA, ())
    return {
        "NetworkID": network_id,
        "Options": network_options({labels.ENABLE_IPV6: any(one.pool.version == 6 for one in prefixes), **options}),
        "IPv4Data": [_prefix(one) for one in prefixes if one.pool.version == 4],
        "IPv6Data": [_prefix(one) for one in prefixes if one.pool.version == 6],
    }


def network_options(options: Options) -> dict[str, Any]:
    """Return the options of a network: a user's are nested."""
    told: dict[str, Any] = {}
    generic = {}
    for name, value in options.items():
        if name in _TOP:
            told[name] = labels.as_bool(name, value)
        elif not name.startswith(labels.OURS):
            generic[name] = text_of(value)
    told[labels.GENERIC] = generic
    return told


def _prefix(one: IPAMData) -> dict[str, Any]:
    aux = {name: str(address) for name, address in one.aux}
    told: dict[str, Any] = {"AddressSpace": _SPACE, "Pool": str(one.pool), "AuxAddresses": aux}
    if one.gateway is not None:
        told["Gateway"] = str(one.gateway)
    return told


def text_of(value: object) -> object:
    """Return an option of a user's as text: plugins read a map of text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def endpoint_options(options: Options) -> dict[str, Any]:
    """Return the options of an endpoint; what this package does for every driver is left out."""
    told: dict[str, Any] = {}
    for name, value in options.items():
        if name in labels.SERVED or name in PORTS or name.startswith(labels.OURS):
            continue
        if name == labels.ENDPOINT_MAC:
            value = base64.b64encode(parse_mac(value, f"option {name!r}")).decode()
        told[name] = value
    return told | port_options(options)


def port_options(options: Options) -> dict[str, Any]:
    """Return the options that are about ports: those that are published, and, with these, those that are exposed."""
    told: dict[str, Any] = {}
    exposed = _exposed(options.get(labels.ENDPOINT_EXPOSED_PORTS, ()))
    bindings = bindings_of(parse_ports(options.get(labels.PORT_MAP)))
    if bindings:
        told[labels.PORT_MAP] = bindings
        for one in bindings:
            port = {"Proto": one["Proto"], "Port": one["Port"]}
            if port not in exposed:
                exposed.append(port)
    if exposed:
        told[labels.ENDPOINT_EXPOSED_PORTS] = exposed
    return told


def _exposed(value: object) -> list[Any]:
    """Return exposed ports as the engine writes them; of text, ``80/tcp,53/udp``."""
    given = [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value
    if not isinstance(given, Sequence):
        raise errors.InvalidError(f"option {labels.ENDPOINT_EXPOSED_PORTS!r}: {value!r} is neither text nor a sequence")
    told = []
    for one in given:
        if isinstance(one, Mapping):
            told.append(dict(one))
            continue
        port, _, protocol = str(one).strip().partition("/")
        number = _PROTOCOLS.get(protocol or "tcp")
        if number is None or not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
            raise errors.InvalidError(f"option {labels.ENDPOINT_EXPOSED_PORTS!r}: {one!r} is not PORT/PROTOCOL")
        told.append({"Proto": number, "Port": int(port)})
    return told


def published(told: object) -> list[PortMap]:
    """Read the port bindings of a plugin's operational data.

    Raises
    ------
    errors.DriverAPIError
        They are none, or do not say which port of the host it is.
    """
    if not isinstance(told, list):
        raise errors.InvalidError(f"{told!r:.80} is no list of port bindings")
    found = []
    for one in told:
        (spec,) = parse_ports(one) if isinstance(one, Mapping) and "Port" in one else (None,)
        if spec is None or not spec.host_port:
            raise errors.InvalidError(f"{one!r:.160} is no binding of a port of the host")
        ip = parse_ip(one.get("IP") or "", "IP")
        found.append(PortMap(spec.protocol, spec.host or bytes(len(ip)), spec.host_port, ip, spec.port))
    return found


def interface(info: EndpointInfo) -> dict[str, Any] | None:
    """Return the one interface of an endpoint, in today's form; None where the plugin is to make it."""
    return _interface(info.interfaces[0]) if info.interfaces else None


def interfaces(info: EndpointInfo) -> list[dict[str, Any]]:
    """Return the interfaces of an endpoint, in the seed's form; one without any address is none."""
    return [{"ID": one.id, **_interface(one)} for one in info.interfaces if one.packed_mac or one.packed_addresses]


def _interface(one: InterfaceInfo) -> dict[str, Any]:
    mac = one.packed_mac
    return {
        "Address": str(one.packed_address or ""),
        "AddressIPv6": str(one.packed_address_ipv6 or ""),
        "MacAddress": "" if mac is None else format_mac(mac),
    }

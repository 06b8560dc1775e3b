"""What requests say, as drivers are told it, and what drivers said, as engines are told: documents in, documents out.

Both generations of the protocol: an endpoint has one ``Interface``, or a list of them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, Final

from driverapi import errors, labels
from driverapi.addresses import Address, format_ip, format_mac, parse_mac, parse_prefix
from driverapi.api import EndpointInfo, InterfaceInfo, IPAMData, JoinInfo, Origin
from driverapi.lifecycle.records import EndpointRecord
from driverapi.plugin.wire import EndpointInterface, EndpointRequest, IPData, NetworkRequest
from driverapi.store.data import NetworkData, PrefixData

__all__ = ["copied", "data_of", "endpoint_options", "filled_of", "info_of", "joined_of", "network_options"]

_DNS: Final = labels.PREFIX + "endpoint.dnsservers"  # for the engine's own resolver
_ROUTE_BY_HOP: Final = 0  # libnetwork's types.NEXTHOP
_ROUTE_ON_LINK: Final = 1  # types.CONNECTED

_Interfaces = tuple[tuple[bytes | None, Address | None, Address | None], ...]


def network_options(request: NetworkRequest) -> dict[str, Any]:
    """Return what a driver is told of a network.

    Raises
    ------
    errors.InvalidError
        A prefix or a gateway is none, or an option is one of ours that nobody else may give.
    """
    options = labels.normalise(request.options)
    _check_ours(options)
    families = (("IPv4Data", request.ipv4_data, 4), ("IPv6Data", request.ipv6_data, 6))
    options[labels.IPAM_DATA] = tuple(
        one
        for what, many, version in families
        for given in many or ()
        if (one := _prefix_of(given, what, version)) is not None
    )
    return options


def data_of(request: NetworkRequest, id: str, type: str, options: dict[str, Any]) -> NetworkData:
    """Return what a network is: what is kept of it, and what a second request for it must be the same as."""
    given = {one.pool: one for one in options[labels.IPAM_DATA]}
    prefixes = []
    for one in (*(request.ipv4_data or ()), *(request.ipv6_data or ())):
        prefix = given.get(parse_prefix(one.pool, "Pool")) if one.pool else None
        if prefix is not None:
            gateway = None if prefix.gateway is None else prefix.gateway.ip
            prefixes.append(PrefixData(prefix.pool.ip, prefix.pool.prefix, gateway, space=one.address_space or ""))
    plain = {name: value for name, value in options.items() if name != labels.IPAM_DATA}
    return NetworkData(id[:12], type, prefixes, plain)


def _check_ours(options: Mapping[str, Any]) -> None:
    for name in (labels.IPAM_DATA, labels.MEMORY):
        if name in options:
            raise errors.InvalidError(f"option {name!r} is this package's own; leave it out")


def _prefix_of(given: IPData, what: str, version: int) -> IPAMData | None:
    """Return one prefix; None for that of the IPAM ``null``, which is none."""
    pool = _address(given.pool, f"{what}: Pool", version)
    gateway = _address(given.gateway, f"{what}: Gateway", version)
    if pool is None or not pool.prefix:
        return None
    if pool != pool.network:
        raise errors.InvalidError(f"{what}: Pool {given.pool!r} has host bits; the prefix is {pool.network}")
    if gateway is not None and gateway.ip not in pool:
        raise errors.InvalidError(f"{what}: Gateway {given.gateway!r} is outside of {pool}")
    return IPAMData(pool, None if gateway is None else Address(gateway.ip, pool.prefix))


def _address(text: str | None, what: str, version: int) -> Address | None:
    if not text:
        return None
    address = parse_prefix(text, what)
    if address.version != version:
        raise errors.InvalidError(f"{what} {text!r} is not IPv{version}")
    return address


def endpoint_options(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the options that concern a driver: what is empty, or the engine's own, is left out."""
    options = labels.normalise(given)
    _check_ours(options)
    options.pop(_DNS, None)
    if not options.get(labels.ENDPOINT_EXPOSED_PORTS):
        options.pop(labels.ENDPOINT_EXPOSED_PORTS, None)
    return options


def info_of(request: EndpointRequest, options: dict[str, Any]) -> tuple[EndpointInfo, _Interfaces]:
    """Return the interfaces that the engine gives, as a driver is shown them, and as they were given."""
    given = request.interfaces if request.interfaces is not None else [request.interface or EndpointInterface()]
    mac = _mac_option(options.pop(labels.ENDPOINT_MAC, None))
    rows: list[tuple[bytes | None, Address | None, Address | None]] = []
    for one in given:
        hardware = parse_mac(one.mac_address, "MacAddress") if one.mac_address else mac if len(given) == 1 else None
        ipv4 = _address(one.address, "Address", 4)
        rows.append((hardware, ipv4, _address(one.address_ipv6, "AddressIPv6", 6)))
    if not any(field is not None for row in rows for field in row):
        return EndpointInfo(Origin.EMPTY), ()
    info = EndpointInfo(Origin.GIVEN)
    for number, (one, row) in enumerate(zip(given, rows, strict=True)):
        info._append(number if one.id is None else one.id, *row)
    return info, tuple(
        (parse_mac(one.mac_address, "MacAddress") if one.mac_address else None, ipv4, ipv6)
        for one, (_, ipv4, ipv6) in zip(given, rows, strict=True)
    )


def copied(info: EndpointInfo) -> EndpointInfo:
    """Return the interfaces of an endpoint to be given to its driver once more, whoever chose them."""
    copy = EndpointInfo(Origin.GIVEN if info.interfaces else info.origin)
    for one in info.interfaces:
        copy._append(one.id, one.packed_mac, one.packed_address, one.packed_address_ipv6)
    return copy


def _mac_option(value: object) -> bytes | None:
    """Return the MAC address of an option: base64 of six bytes, as Go's encoder makes of bytes, or text."""
    if value in (None, ""):
        return None
    if isinstance(value, str) and len(value) == 8:
        try:
            return base64.b64decode(value, validate=True)
        except binascii.Error:
            pass
    return parse_mac(value, f"option {labels.ENDPOINT_MAC!r}")


def filled_of(request: EndpointRequest, interfaces: Sequence[InterfaceInfo], given: _Interfaces) -> dict[str, Any]:
    """Return the answer to ``CreateEndpoint``: only what the driver has filled.

    Raises
    ------
    errors.DriverFaultError
        It made several interfaces, and today's protocol has one.
    """
    told = []
    for number, one in enumerate(interfaces):
        mac, ipv4, ipv6 = given[number] if given else (None, None, None)
        filled: dict[str, Any] = {}
        if mac is None and one.packed_mac is not None:
            filled["MacAddress"] = format_mac(one.packed_mac)
        if ipv4 is None and one.packed_address is not None:
            filled["Address"] = str(one.packed_address)
        if ipv6 is None and one.packed_address_ipv6 is not None:
            filled["AddressIPv6"] = str(one.packed_address_ipv6)
        told.append((one.id, filled))
    if request.interfaces is not None:
        # That generation takes no list back where it gave one.
        return {"Interfaces": None if given else [{"ID": id, **filled} for id, filled in told]}
    if len(told) > 1:
        raise errors.DriverFaultError(f"the driver made {len(told)} interfaces; an endpoint has one in this protocol")
    return {"Interface": told[0][1] or None if told else None}


def joined_of(record: EndpointRecord, in_list: bool | None) -> dict[str, Any]:
    """Return the answer to ``Join``; in both forms where a restart has forgotten which was asked for."""
    join = record.join
    assert join is not None
    names = []
    for one in join._names:
        source = record.realised.names.get(one.id) if record.realised is not None else None
        if source is not None:
            prefix = one._name.rstrip("0123456789") or "eth" if one._exact else one._name
            told = {"SrcName": source, "DstPrefix": prefix}
            if one._exact:
                told["DstName"] = one._name
            names.append((one.id, told))
    routes = [
        {"Destination": str(Address(hop, len(hop) * 8)), "RouteType": _ROUTE_ON_LINK} for hop in _beyond(record, join)
    ]
    default = False
    for route in join._routes:
        default = default or not route.destination.prefix
        told_route: dict[str, Any] = {"Destination": str(route.destination)}
        if route.gateway is None:
            told_route["RouteType"] = _ROUTE_ON_LINK
        else:
            told_route |= {"RouteType": _ROUTE_BY_HOP, "NextHop": format_ip(route.gateway)}
        routes.append(told_route)
    answer: dict[str, Any] = {
        "Gateway": join.gateway or "",
        "GatewayIPv6": join.gateway_ipv6 or "",
        "StaticRoutes": routes,
        # Else the engine adds an interface of its own to a sandbox that has no way out.
        "DisableGatewayService": not (join.gateway or join.gateway_ipv6 or default),
    }
    if in_list is not False:
        answer["InterfaceNames"] = [{"DstName": f"{told['DstPrefix']}{id}", **told} for id, told in names]
        answer |= {"HostsPath": join.hosts_path or "", "ResolvConfPath": join.resolv_conf_path or ""}
    if not in_list:
        if len(names) > 1:
            raise errors.DriverFaultError(f"the driver named {len(names)} interfaces; this protocol has one")
        answer["InterfaceName"] = names[0][1] if names else None
    return answer


def _beyond(record: EndpointRecord, join: JoinInfo) -> list[bytes]:
    """Return the next hops that no prefix of the endpoint's has: an engine takes none that it has no route to."""
    hops = [join._gateway, join._gateway_ipv6, *(route.gateway for route in join._routes)]
    known = [address for one in record.info.interfaces for address in one.packed_addresses]
    known += [route.destination for route in join._routes if route.gateway is None]
    return list(dict.fromkeys(hop for hop in hops if hop is not None and not any(hop in one for one in known)))

"""Driver ``bridge``: sandboxes on a Linux bridge, a veth pair each (seed: ``drivers/bridge``).

It declares and does no I/O: the dataplane makes the bridge from :meth:`BridgeDriver.network_plan`
and the pairs from what :meth:`BridgeDriver.join` says.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, final

from driverapi import errors, labels
from driverapi._native import MACPool, Taken
from driverapi.addresses import Address, format_ip, format_mac
from driverapi.api import Driver, EndpointInfo, IPAMData, JoinInfo, Options, Origin
from driverapi.drivers.bridge_options import check_configuration, check_options
from driverapi.plan import MAX_MTU, BridgeLink, NetworkPlan, VethLink, check_link_name

__all__ = ["BridgeDriver"]

log = logging.getLogger(__name__)

MIN_MTU: Final = 68
"""ETH_MIN_MTU; the least that IPv4 can work with (RFC 791)."""
MIN_MTU_IPV6: Final = 1280
"""IPV6_MIN_MTU (RFC 8200, section 5): below it the kernel takes IPv6 off the link."""

_BRIDGE: Final = "bridge"  # the bridge's name inside the network's plan

_NETWORK: Final = (labels.BRIDGE_NAME, labels.MTU, labels.IFACE_PREFIX, labels.INTERNAL)
_ENDPOINT: Final = (labels.ENDPOINT_IFNAME, labels.ENDPOINT_MAC, labels.ENDPOINT_EXPOSED_PORTS)


@dataclass(slots=True)
class _Bridge:
    """One network."""

    name: str
    exact: bool
    mac: bytes
    mtu: int
    prefix: str
    internal: bool
    gateways: tuple[Address, ...]
    macs: MACPool
    endpoints: dict[str, _Endpoint] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Endpoint:
    mac: bytes
    name: str | None


@final
class BridgeDriver(Driver):
    """Many networks, each a bridge of its own; IPv4, IPv6 or both.

    Network options: ``bridge.name``, ``driver.mtu``, ``container_iface_prefix``, ``internal``
    (no gateway). Endpoint options: ``endpoint.ifname``. Published ports and masquerading need
    rules that this version does not make: asking for them is an error, and so is any other
    option that cannot be honoured (:mod:`driverapi.drivers.bridge_options`).

    Thread safety: all methods.
    """

    requires_ipam = True

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._networks: dict[str, _Bridge] = {}

    def type(self) -> str:
        """Return ``"bridge"``."""
        return "bridge"

    def config(self, options: Options) -> None:
        """Take the seed's driver options where their values are what this driver does anyway."""
        check_configuration(options)

    def create_network(self, network_id: str, options: Options) -> None:
        """Keep what the bridge shall be; the plan is made of it."""
        data: tuple[IPAMData, ...] = options.get(labels.IPAM_DATA, ())
        check_options(options, _NETWORK, {one.pool.version for one in data})
        if not data:
            raise errors.InvalidError("a bridge network needs an IPv4 or an IPv6 prefix")
        for one in data:
            if one.pool.prefix == one.pool.bits:
                raise errors.InvalidError(
                    f"prefix {one.pool} has one address; a bridge network needs one for its gateway and one for each "
                    f"endpoint: use a /{one.pool.bits - 1} or shorter"
                )
        gateways = tuple(one.gateway for one in data if one.gateway is not None)
        lowest = MIN_MTU_IPV6 if any(one.pool.version == 6 for one in data) else MIN_MTU
        mtu = labels.as_int(labels.MTU, options.get(labels.MTU, 0), 0, MAX_MTU)
        if 0 < mtu < lowest:
            raise errors.InvalidError(
                f"option {labels.MTU!r}: {mtu} is too small, this network needs at least {lowest} bytes"
            )
        name = options.get(labels.BRIDGE_NAME)
        macs = MACPool()
        bridge = _Bridge(
            name=_BRIDGE if name is None else check_link_name(name, f"option {labels.BRIDGE_NAME!r}"),
            exact=name is not None,
            mac=_mac_for(macs, gateways),
            mtu=mtu,
            prefix=check_link_name(
                options.get(labels.IFACE_PREFIX, "eth"), f"option {labels.IFACE_PREFIX!r}", limit=12
            ),
            internal=labels.as_bool(labels.INTERNAL, options.get(labels.INTERNAL, False)),
            gateways=gateways,
            macs=macs,
        )
        with self._lock:
            if network_id in self._networks:
                raise errors.NetworkExistsError(f"network {network_id} exists already")
            self._networks[network_id] = bridge

    def network_plan(self, network_id: str) -> NetworkPlan:
        """Return the bridge with its gateway addresses."""
        bridge = self._network(network_id)
        return NetworkPlan((BridgeLink(bridge.name, bridge.mac, bridge.mtu, bridge.gateways, bridge.exact),))

    def delete_network(self, network_id: str) -> None:
        """Forget the network; the dataplane takes the bridge away."""
        with self._lock:
            bridge = self._networks.get(network_id)
            if bridge is None:
                raise errors.NoNetworkError(f"the bridge driver has no network {network_id}")
            if bridge.endpoints:
                raise errors.BusyError(f"network {network_id} has {len(bridge.endpoints)} endpoints; delete them first")
            del self._networks[network_id]

    def create_endpoint(self, network_id: str, endpoint_id: str, info: EndpointInfo, options: Options) -> None:
        """Fill the MAC address where it is empty: 02:42 and the IPv4 address, or drawn."""
        bridge = self._network(network_id)
        check_options(options, _ENDPOINT)
        if len(info.interfaces) != 1:
            raise errors.InvalidError(
                f"a bridge endpoint has one interface with its addresses given, not {len(info.interfaces)}"
            )
        interface = info.interfaces[0]
        name = options.get(labels.ENDPOINT_IFNAME)
        if name is not None:
            check_link_name(name, f"option {labels.ENDPOINT_IFNAME!r}")
        with self._lock:
            if endpoint_id in bridge.endpoints:
                raise errors.EndpointExistsError(f"endpoint {endpoint_id} exists already")
            mac = interface.packed_mac
            if mac is None:
                addresses = interface.packed_addresses
                mac = _mac_for(bridge.macs, addresses)
                if info.origin is not Origin.NOTICED:  # what lives elsewhere is only remembered
                    interface.set_mac_address(mac)
            else:
                try:
                    bridge.macs.reserve(mac)
                except Taken:
                    raise errors.AddressTakenError(f"MAC address {format_mac(mac)} is in use on this network") from None
            bridge.endpoints[endpoint_id] = _Endpoint(mac, name)

    def delete_endpoint(self, network_id: str, endpoint_id: str) -> None:
        """Give the MAC address back."""
        bridge = self._network(network_id)
        with self._lock:
            bridge.macs.release(self._endpoint(bridge, endpoint_id).mac)
            del bridge.endpoints[endpoint_id]

    def endpoint_oper_info(self, network_id: str, endpoint_id: str) -> Mapping[str, Any]:
        """Return the MAC address under its label."""
        return {labels.ENDPOINT_MAC: format_mac(self._endpoint(self._network(network_id), endpoint_id).mac)}

    def join(self, network_id: str, endpoint_id: str, sandbox_key: str, info: JoinInfo, options: Options) -> None:
        """Declare the pair, the gateways and the gateways' permanent neighbour entries."""
        check_options(options)
        bridge = self._network(network_id)
        endpoint = self._endpoint(bridge, endpoint_id)
        for interface in info.interface_names:
            link = VethLink(master=bridge.name, mtu=bridge.mtu, pin_neighbours=bool(bridge.gateways))
            interface.set_link(link, prefix=bridge.prefix, name=endpoint.name)
        for gateway in bridge.gateways:
            info.add_neighbour(gateway.ip, bridge.mac)
            if bridge.internal:
                continue
            if gateway.version == 4:
                info.set_gateway(gateway.ip)
            else:
                info.set_gateway_ipv6(gateway.ip)

    def leave(self, network_id: str, endpoint_id: str) -> None:
        """Check that the endpoint is known; the dataplane takes the pair away."""
        self._endpoint(self._network(network_id), endpoint_id)

    def _network(self, network_id: str) -> _Bridge:
        try:
            return self._networks[network_id]
        except KeyError:
            raise errors.NoNetworkError(f"the bridge driver has no network {network_id}") from None

    @staticmethod
    def _endpoint(bridge: _Bridge, endpoint_id: str) -> _Endpoint:
        try:
            return bridge.endpoints[endpoint_id]
        except KeyError:
            raise errors.NoEndpointError(f"the network has no endpoint {endpoint_id}") from None


def _mac_for(macs: MACPool, addresses: tuple[Address, ...]) -> bytes:
    """Derive a MAC from the IPv4 address, as libnetwork does, or draw one."""
    for address in addresses:
        if address.version == 4:
            try:
                return macs.derive(address.ip)
            except Taken:  # by a MAC that a user chose
                log.debug("the MAC derived from %s is in use, drawing one", format_ip(address.ip))
    return macs.allocate_packed()

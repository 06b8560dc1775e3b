"""Driver ``routed``: no bridge; each endpoint is a route of the host (libnetwork has none like it).

It declares and does no I/O. A sandbox's address stands alone on its link (/32, /128), and all
that it sends goes to the gateway, which is the host end of its pair: permanent neighbour entries
at both ends, so there is no ARP and no ND. Nothing is shared but the host's routing table, so
there is no limit of ports and no flooding, and an endpoint costs the kernel least.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

from driverapi import errors, labels
from driverapi.api import JoinInfo, Options
from driverapi.drivers.bridge_options import NO_PACKET_FILTER, REFUSED
from driverapi.drivers.options import Rules
from driverapi.drivers.pairs import PairDriver, PairNetwork
from driverapi.plan import GatewayLink, NetworkPlan, VethLink

__all__ = ["RoutedDriver"]

_GATEWAY: Final = "gateway"  # the link's name inside the network's plan
_NO_BRIDGE: Final = "a routed network has no bridge"
_FORWARDING: Final[Mapping[str, bool]] = {"devices": True, "none": False}

_RULES: Final = Rules(
    driver="routed",
    known=frozenset(
        {labels.FORWARDING, labels.MTU, labels.IFACE_PREFIX, labels.INTERNAL, *labels.FIXED, *labels.GATEWAYS}
        | {labels.ENDPOINT_IFNAME, labels.ENDPOINT_MAC, labels.ENDPOINT_EXPOSED_PORTS}
        | {labels.RATE_IN, labels.RATE_OUT}
    ),
    only={
        labels.BRIDGE_MASQUERADE: (False, NO_PACKET_FILTER),
        labels.BRIDGE_ENABLE_ICC: (True, NO_PACKET_FILTER),
    },
    configuration={},
    refused={
        **REFUSED,
        labels.BRIDGE_NAME: _NO_BRIDGE,
        labels.BRIDGE_INHIBIT_IPV4: _NO_BRIDGE,
        labels.BRIDGE_DEFAULT: _NO_BRIDGE,
        labels.ADDRESS: "use create_network(ipv4=…, gateway=…)",
    },
)


@dataclass(slots=True)
class _Routed(PairNetwork):
    """One network."""

    forward: bool = True


@final
class RoutedDriver(PairDriver[_Routed]):
    """Many networks, each a prefix that the host routes; IPv4, IPv6 or both.

    Network options: ``driver.mtu``, ``container_iface_prefix``, ``internal`` (a route to the
    network's prefixes, no default route) and ``driverapi.forwarding``: ``devices`` (the default)
    switches forwarding on for what comes in by host ends (what answers from beyond the host comes in
    elsewhere: see :mod:`driverapi.dataplane.forwarding`), ``none`` switches nothing on: then
    sandboxes reach their gateway, and what ``net.ipv4.ip_forward`` and
    ``net.ipv6.conf.all.forwarding`` of the host let them reach. Endpoint options:
    ``endpoint.ifname``, ``driverapi.rate_in`` and ``rate_out``.
    What cannot be honoured is refused, as driver ``bridge`` does.

    Thread safety: all methods.
    """

    lone_addresses = True
    rules = _RULES
    endpoint_options = (*PairDriver.endpoint_options, labels.RATE_IN, labels.RATE_OUT)

    def type(self) -> str:
        """Return ``"routed"``."""
        return "routed"

    def _make(self, options: Options) -> _Routed:
        network = self._common(options, (labels.FORWARDING,))
        forwarding = options.get(labels.FORWARDING, "devices")
        if not isinstance(forwarding, str) or forwarding not in _FORWARDING:
            raise errors.InvalidError(
                f"option {labels.FORWARDING!r}: {forwarding!r} is not one of {', '.join(_FORWARDING)}"
            )
        return _Routed(
            network.data,
            network.mac,
            network.mtu,
            network.prefix,
            network.internal,
            network.macs,
            forward=_FORWARDING[forwarding],
        )

    def network_plan(self, network_id: str) -> NetworkPlan:
        """Return the link that has the gateway addresses."""
        network = self._network(network_id)
        return NetworkPlan((GatewayLink(_GATEWAY, network.mac, network.gateways, network.forward),))

    def join(self, network_id: str, endpoint_id: str, sandbox_key: str, info: JoinInfo, options: Options) -> None:
        """Declare the pair, and the routes by the gateways, whose neighbour entries are permanent."""
        self.rules.check(options)
        network = self._network(network_id)
        endpoint = self._endpoint(network, endpoint_id)
        for interface in info.interface_names:
            link = VethLink(mtu=network.mtu, gateway=_GATEWAY, rate_in=endpoint.rate_in, rate_out=endpoint.rate_out)
            interface.set_link(link, prefix=network.prefix, name=endpoint.name)
        for gateway in network.gateways:
            info.add_neighbour(gateway.ip, network.mac)
            # Also where there is a default route: another network's endpoint may have the sandbox's.
            info.add_static_route(gateway.network, gateway.ip)
            if network.internal:
                continue
            if gateway.version == 4:
                info.set_gateway(gateway.ip)
            else:
                info.set_gateway_ipv6(gateway.ip)

"""Driver ``bridge``: sandboxes on a Linux bridge, a veth pair each (seed: ``drivers/bridge``).

It declares and does no I/O: the dataplane makes the bridge from :meth:`BridgeDriver.network_plan`
and the pairs from what :meth:`BridgeDriver.join` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, final

from driverapi import errors, labels
from driverapi.addresses import Address
from driverapi.api import JoinInfo, Options
from driverapi.drivers.bridge_options import BRIDGE_RULES, IP_FORWARDING
from driverapi.drivers.bridge_rules import RULE_OPTIONS, modes_of, policy_of, rules_of
from driverapi.drivers.pairs import PairDriver, PairNetwork
from driverapi.plan import BridgeLink, NetworkPlan, NetworkRules, PairLink, VethLink, check_link_name
from driverapi.ports.spec import PortPolicy

__all__ = ["BridgeDriver"]

_LINKS: Final = ("ChildEndpoints", "ParentEndpoints")
_BRIDGE: Final = "bridge"  # the bridge's name inside the network's plan


@dataclass(slots=True)
class _Bridge(PairNetwork):
    """One network."""

    name: str = _BRIDGE
    exact: bool = False
    rules: NetworkRules = field(default_factory=NetworkRules)
    policy: PortPolicy = field(default_factory=PortPolicy)
    bare: tuple[int, ...] = ()  # families of which the network has no gateway
    inhibit_ipv4: bool = False

    @property
    def own(self) -> tuple[Address, ...]:
        """Addresses of the bridge."""
        bare = (*self.bare, 4) if self.inhibit_ipv4 else self.bare
        return tuple(one for one in self.gateways if one.version not in bare)


@final
class BridgeDriver(PairDriver[_Bridge]):
    """Many networks, each a bridge of its own; IPv4, IPv6 or both.

    Network options: ``bridge.name``, ``driver.mtu``, ``container_iface_prefix``, ``internal``
    (no gateway), and those that need packet filter rules: see :mod:`driverapi.drivers.bridge_rules`.
    Endpoint options: ``endpoint.ifname``, ``portmap``, ``driverapi.rate_in`` and ``rate_out``
    (bandwidth limits). Options of a join: ``ChildEndpoints`` and ``ParentEndpoints``, ids of
    endpoints whose exposed ports are reached although sandboxes do not reach each other. An
    option that cannot be honoured is an error (:mod:`driverapi.drivers.bridge_options`).

    Thread safety: all methods.
    """

    rules = BRIDGE_RULES
    engine_options: Mapping[str, Any] = {labels.BRIDGE_MASQUERADE: True}  # as an engine's own bridge networks have it
    endpoint_options = (*PairDriver.endpoint_options, labels.PORT_MAP, labels.RATE_IN, labels.RATE_OUT)

    def __init__(self) -> None:
        super().__init__()
        self._forwards = False

    def type(self) -> str:
        """Return ``"bridge"``."""
        return "bridge"

    def config(self, options: Options) -> None:
        """Take the seed's driver options: ``EnableIPForwarding``, of networks to come; others have one value."""
        super().config({name: value for name, value in options.items() if name != IP_FORWARDING})
        if IP_FORWARDING in options:
            self._forwards = labels.as_bool(IP_FORWARDING, options[IP_FORWARDING])

    def _make(self, options: Options) -> _Bridge:
        network = self._common(options, (labels.BRIDGE_NAME, labels.BRIDGE_INHIBIT_IPV4, labels.ADDRESS, *RULE_OPTIONS))
        name = options.get(labels.BRIDGE_NAME) or None
        return _Bridge(
            network.data,
            network.mac,
            network.mtu,
            network.prefix,
            network.internal,
            network.macs,
            name=_BRIDGE if name is None else check_link_name(name, f"option {labels.BRIDGE_NAME!r}"),
            exact=name is not None,
            rules=rules_of(options, network.data, internal=network.internal, forwards=self._forwards),
            policy=policy_of(options, network.data, internal=network.internal),
            bare=tuple(
                version
                for version, mode in modes_of(options, network.data, internal=network.internal).items()
                if mode == "isolated"
            ),
            inhibit_ipv4=labels.as_bool(labels.BRIDGE_INHIBIT_IPV4, options.get(labels.BRIDGE_INHIBIT_IPV4, False)),
        )

    def port_policy(self, network_id: str) -> PortPolicy:
        """Say where ports of a network are published."""
        return self._network(network_id).policy

    def network_plan(self, network_id: str) -> NetworkPlan:
        """Return the bridge with its gateway addresses."""
        bridge = self._network(network_id)
        return NetworkPlan((BridgeLink(bridge.name, bridge.mac, bridge.mtu, bridge.own, bridge.exact),), bridge.rules)

    def join(self, network_id: str, endpoint_id: str, sandbox_key: str, info: JoinInfo, options: Options) -> None:
        """Declare the pair, the gateways and the gateways' permanent neighbour entries."""
        self.rules.check(options, _LINKS)
        self.pairs(network_id, endpoint_id, options)
        bridge = self._network(network_id)
        endpoint = self._endpoint(bridge, endpoint_id)
        for interface in info.interface_names:
            link = VethLink(
                master=bridge.name,
                mtu=bridge.mtu,
                pin_neighbours=bool(bridge.own),
                rate_in=endpoint.rate_in,
                rate_out=endpoint.rate_out,
            )
            interface.set_link(link, prefix=bridge.prefix, name=endpoint.name)
        for gateway in bridge.own:
            info.add_neighbour(gateway.ip, bridge.mac)
        for gateway in bridge.gateways:
            if bridge.internal:
                continue
            if gateway.version == 4:
                info.set_gateway(gateway.ip)
            else:
                info.set_gateway_ipv6(gateway.ip)

    def pairs(self, network_id: str, endpoint_id: str, options: Options) -> list[PairLink]:
        """Return whose exposed ports are reached although their network is shut, by the links of a join."""
        bridge = self._network(network_id)
        endpoint = self._endpoint(bridge, endpoint_id)
        found = []
        for name in _LINKS:
            given = options.get(name) or ()
            if isinstance(given, str) or not isinstance(given, Sequence):
                raise errors.InvalidError(f"option {name!r}: {given!r} is no list of ids of endpoints")
            for id in given:
                other = self._endpoint(bridge, id)
                asking, asked = (endpoint, other) if name == "ChildEndpoints" else (other, endpoint)
                found += [
                    PairLink(source.ip, target.ip, *port)
                    for source in asking.addresses
                    for target in asked.addresses
                    if source.version == target.version
                    for port in asked.ports
                ]
        return found if bridge.rules.shut else []

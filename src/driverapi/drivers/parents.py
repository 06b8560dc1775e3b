"""What the drivers ``macvlan`` and ``ipvlan`` have in common: sandboxes on a link of the host, the parent."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from driverapi import labels
from driverapi.api import JoinInfo, Options
from driverapi.drivers.bridge_options import NO_PACKET_FILTER, REFUSED
from driverapi.drivers.options import Rules
from driverapi.drivers.pairs import PairDriver, PairNetwork
from driverapi.plan import Link, NetworkPlan, ParentLink, check_link_name

__all__ = ["PARENT", "ParentDriver", "ParentNetwork", "parent_rules"]

PARENT: Final = "parent"  # the link's name inside the network's plan


@dataclass(slots=True)
class ParentNetwork(PairNetwork):
    """One network.

    Attributes
    ----------
    parent : str or None
        Name of the host's link; None: the network is connected to nothing, and so internal.
    mode : str
        As the kernel's documentation calls it.
    """

    parent: str | None = None
    mode: str = ""


P = TypeVar("P", bound=ParentNetwork)


class ParentDriver(PairDriver[P]):
    """Networks on parents.

    Thread safety: all methods.
    """

    shares_prefixes = True

    def has_gateway(self, options: Options) -> bool:
        """Tell whether there is one beyond the parent: not where the network is internal."""
        internal = options.get(labels.INTERNAL, False)
        return bool(options.get(labels.PARENT)) and not labels.as_bool(labels.INTERNAL, internal)

    def _on_parent(self, options: Options, *more: str) -> ParentNetwork:
        """Read what both have; the derived class reads ``more`` itself."""
        network = self._common(options, (labels.PARENT, *more))
        parent = options.get(labels.PARENT) or None
        return ParentNetwork(
            network.data,
            network.mac,
            network.mtu,
            network.prefix,
            network.internal or parent is None,
            network.macs,
            parent=None if parent is None else check_link_name(parent, f"option {labels.PARENT!r}"),
        )

    def _beside(self, network: P) -> list[P]:
        """Return the other networks on the same parent."""
        if network.parent is None:
            return []
        return [one for one in self._networks.values() if one.parent == network.parent]

    def network_plan(self, network_id: str) -> NetworkPlan:
        """Return the parent: the host's link, a VLAN of it, or a link that is connected to nothing."""
        network = self._network(network_id)
        return NetworkPlan((ParentLink(PARENT, network.mac, network.parent, self.type(), network.mtu),))

    def join(self, network_id: str, endpoint_id: str, sandbox_key: str, info: JoinInfo, options: Options) -> None:
        """Declare the link on the parent, and the default routes unless the network is internal."""
        self.rules.check(options)
        network = self._network(network_id)
        endpoint = self._endpoint(network, endpoint_id)
        for interface in info.interface_names:
            interface.set_link(self._link(network), prefix=network.prefix, name=endpoint.name)
        if not network.internal:
            self._route(network, info)

    def _route(self, network: P, info: JoinInfo) -> None:
        """Declare the default routes: by the gateways, which are machines beyond the parent."""
        for gateway in network.gateways:
            if gateway.version == 4:
                info.set_gateway(gateway.ip)
            else:
                info.set_gateway_ipv6(gateway.ip)

    @abstractmethod
    def _link(self, network: P) -> Link:
        """Return what an endpoint of the network has for a link."""


def parent_rules(driver: str, *own: str) -> Rules:
    """Make what such a driver says to options."""
    no_bridge = f"the {driver} driver makes no bridge"
    refused: Mapping[str, str] = {
        **REFUSED,
        labels.BRIDGE_NAME: f"{no_bridge}; name the host's link with {labels.PARENT!r}",
        labels.BRIDGE_INHIBIT_IPV4: no_bridge,
        labels.BRIDGE_DEFAULT: no_bridge,
        labels.PORT_MAP: "its sandboxes are on the parent's network with addresses of their own",
        labels.ADDRESS: "use create_network(ipv4=…, gateway=…)",
    }
    return Rules(
        driver=driver,
        known=frozenset(
            {labels.PARENT, labels.MTU, labels.IFACE_PREFIX, labels.INTERNAL, *labels.FIXED, *labels.GATEWAYS, *own}
            | {labels.ENDPOINT_IFNAME, labels.ENDPOINT_MAC, labels.ENDPOINT_EXPOSED_PORTS}
        ),
        only={
            labels.BRIDGE_MASQUERADE: (False, NO_PACKET_FILTER),
            labels.BRIDGE_ENABLE_ICC: (True, NO_PACKET_FILTER),
        },
        configuration={},
        refused=refused,
    )

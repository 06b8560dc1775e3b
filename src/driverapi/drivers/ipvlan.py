"""Driver ``ipvlan``: sandboxes that share the MAC address of a link of the host (libnetwork: ``drivers/ipvlan``).

It declares and does no I/O. The links are born in the sandboxes; the host has no end of them, and
no bridge. What the kernel does not pass is traffic between the host itself and the sandboxes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from driverapi import errors, labels
from driverapi.addresses import format_mac
from driverapi.api import InterfaceInfo, JoinInfo, Options, Origin
from driverapi.drivers.parents import PARENT, ParentDriver, ParentNetwork, parent_rules
from driverapi.plan import IPVLAN_FLAGS, IPVLAN_MODES, IpvlanLink

__all__ = ["IpvlanDriver"]


@dataclass(slots=True)
class _Ipvlan(ParentNetwork):
    """One network."""

    flag: str = "bridge"


@final
class IpvlanDriver(ParentDriver[_Ipvlan]):
    """Many networks, each on a parent; IPv4, IPv6 or both.

    Network options: ``parent``, ``ipvlan_mode`` (l2, l3, l3s), ``ipvlan_flag`` (bridge, private,
    vepa), ``driver.mtu``, ``container_iface_prefix``, ``internal`` (no default route). Without a
    parent the network is connected to nothing, and internal. A parent that is called
    ``LINK.NUMBER`` and is not there is made, as the VLAN of that number. Endpoint options:
    ``endpoint.ifname``; a MAC address is refused, as all have the parent's.

    With modes l3 and l3s there is no gateway: the default route is the link itself, and who else
    is to reach the sandboxes needs a route to the host. The kernel has one mode and one flag for
    each parent: networks that share it must agree.

    Thread safety: all methods.
    """

    rules = parent_rules("ipvlan", labels.IPVLAN_MODE, labels.IPVLAN_FLAG)

    def type(self) -> str:
        """Return ``"ipvlan"``."""
        return "ipvlan"

    def _make(self, options: Options) -> _Ipvlan:
        network = self._on_parent(options, labels.IPVLAN_MODE, labels.IPVLAN_FLAG)
        return _Ipvlan(
            network.data,
            network.mac,
            network.mtu,
            network.prefix,
            network.internal,
            network.macs,
            parent=network.parent,
            mode=labels.as_word(labels.IPVLAN_MODE, options.get(labels.IPVLAN_MODE), IPVLAN_MODES),
            flag=labels.as_word(labels.IPVLAN_FLAG, options.get(labels.IPVLAN_FLAG), IPVLAN_FLAGS),
        )

    def has_gateway(self, options: Options) -> bool:
        """Tell whether there is one beyond the parent: not with modes l3 and l3s, which route by the link itself."""
        return super().has_gateway(options) and options.get(labels.IPVLAN_MODE) in (None, "", "l2")

    def _check_beside(self, network: _Ipvlan) -> None:
        for other in self._beside(network):
            if (network.mode, network.flag) != (other.mode, other.flag):
                raise errors.ConflictError(
                    f"parent {network.parent!r} has an ipvlan network with mode {other.mode} and flag {other.flag} "
                    f"already, and the kernel has one of each for a parent; {network.mode} and {network.flag} need "
                    "another parent"
                )

    def _take_mac(self, network: _Ipvlan, interface: InterfaceInfo, origin: Origin) -> bytes | None:
        if interface.packed_mac is not None and origin is not Origin.NOTICED:
            raise errors.InvalidError(
                f"MAC address {format_mac(interface.packed_mac)} cannot be had: on an ipvlan network all have the "
                "parent's; leave it out"
            )
        return None

    def _route(self, network: _Ipvlan, info: JoinInfo) -> None:
        if network.mode == "l2":
            super()._route(network, info)
            return
        for one in network.data:
            info.add_static_route("0.0.0.0/0" if one.pool.version == 4 else "::/0")

    def _link(self, network: _Ipvlan) -> IpvlanLink:
        return IpvlanLink(PARENT, network.mode, network.flag, network.mtu)

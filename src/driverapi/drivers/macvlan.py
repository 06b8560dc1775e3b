"""Driver ``macvlan``: MAC addresses of their own on a link of the host (libnetwork: ``drivers/macvlan``).

It declares and does no I/O. The links are born in the sandboxes; the host has no end of them, and
no bridge. What the kernel does not pass is traffic between the host itself and the sandboxes.
"""

from __future__ import annotations

from typing import Final, final

from driverapi import errors, labels
from driverapi.addresses import format_mac
from driverapi.api import EndpointInfo, InterfaceInfo, Options, Origin
from driverapi.drivers.parents import PARENT, ParentDriver, ParentNetwork, parent_rules
from driverapi.plan import MACVLAN_MODES, MacvlanLink

__all__ = ["MacvlanDriver"]

_PASSTHRU: Final = "passthru"


@final
class MacvlanDriver(ParentDriver[ParentNetwork]):
    """Many networks, each on a parent; IPv4, IPv6 or both.

    Network options: ``parent``, ``macvlan_mode`` (bridge, private, vepa, passthru), ``driver.mtu``,
    ``container_iface_prefix``, ``internal`` (no default route). Without a parent the network is
    connected to nothing, and internal. A parent that is called ``LINK.NUMBER`` and is not there is
    made, as the VLAN of that number. Endpoint options: ``endpoint.ifname``.

    Networks may share a parent, but for one with mode passthru: it is alone there, has one
    endpoint, and that has the parent's MAC address.

    Thread safety: all methods.
    """

    rules = parent_rules("macvlan", labels.MACVLAN_MODE)

    def type(self) -> str:
        """Return ``"macvlan"``."""
        return "macvlan"

    def _make(self, options: Options) -> ParentNetwork:
        network = self._on_parent(options, labels.MACVLAN_MODE)
        network.mode = labels.as_word(labels.MACVLAN_MODE, options.get(labels.MACVLAN_MODE), MACVLAN_MODES)
        return network

    def _check_beside(self, network: ParentNetwork) -> None:
        for other in self._beside(network):
            if _PASSTHRU in (network.mode, other.mode):
                raise errors.ConflictError(
                    f"parent {network.parent!r} has a macvlan network already, and one with mode passthru shares its "
                    "parent with none; use another parent"
                )

    def _check_room(self, network: ParentNetwork, info: EndpointInfo) -> None:
        if network.mode != _PASSTHRU or info.origin is Origin.NOTICED:
            return
        if any(not one.elsewhere for one in network.endpoints.values()):
            raise errors.BusyError("a macvlan network with mode passthru has one endpoint, and there it is already")

    def _take_mac(self, network: ParentNetwork, interface: InterfaceInfo, origin: Origin) -> bytes | None:
        if network.mode != _PASSTHRU or origin is Origin.NOTICED:
            return super()._take_mac(network, interface, origin)
        if interface.packed_mac is not None:
            raise errors.InvalidError(
                f"MAC address {format_mac(interface.packed_mac)} cannot be had: with mode passthru an endpoint has "
                "the parent's; leave it out"
            )
        return None

    def _link(self, network: ParentNetwork) -> MacvlanLink:
        return MacvlanLink(PARENT, network.mode, network.mtu)

"""The host's side of routed endpoints: the link with the gateway addresses, routes, forwarding.

The switches are those of :mod:`driverapi.dataplane.forwarding`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from driverapi._native import Batch
from driverapi.dataplane.contract import Ownership
from driverapi.dataplane.kernel import ADDR_GEN_NONE, Interface, Kernel, LinuxRealised
from driverapi.plan import GatewayLink

__all__ = ["dress_gateway", "forward_ipv6", "put_host_routes", "strip_gateway"]

METRIC_MARK: Final = 0x64760000
"""The upper half of the metric of our routes that end prefixes; the instance id stands in the lower."""


def dress_gateway(batch: Batch, kernel: Kernel, index: int, link: GatewayLink) -> None:
    """Append what gives the gateway's link its addresses, and the prefixes an end.

    The addresses stand alone: a route to the prefix over this link would have the host look
    for neighbours where there are none.
    """
    batch.set_link(index, addr_gen_mode=ADDR_GEN_NONE)
    batch.set_link(index, up=True)
    for address in link.addresses:
        batch.add_address(index, address.ip, address.bits)
        batch.add_route(address.network.ip, address.prefix, type="blackhole", metric=_metric(kernel))


def strip_gateway(batch: Batch, kernel: Kernel, link: GatewayLink) -> None:
    """Append what takes the routes away that would outlive the link."""
    for address in link.addresses:
        batch.delete_route(address.network.ip, address.prefix, metric=_metric(kernel))


def _metric(kernel: Kernel) -> int:
    """Return the metric of the routes that end prefixes: it says whose they are, and any other route goes first."""
    return METRIC_MARK | kernel.instance.number


def forward_ipv6(kernel: Kernel, interfaces: Sequence[Interface]) -> None:
    """Have IPv6 forwarded which comes in by host ends, where the host does not do so anyway."""
    due = [
        interface
        for interface in interfaces
        if interface.gateway is not None and interface.gateway.forward
        if any(address.version == 6 for address in interface.plan.addresses)
    ]
    if due and not kernel.forwarding.for_all():
        for interface in due:
            kernel.forwarding.switch_on(interface.host_name)


def put_host_routes(batch: Batch, job: LinuxRealised, owners: list[LinuxRealised | None]) -> None:
    """Route the addresses of an endpoint to its host ends, with permanent neighbour entries.

    Both go with the host ends. The endpoint is entered as the owner of each message. A foreign sandbox has no permanent
    entry for its gateway: its host end has the gateway's addresses too, and answers for them (to ND the link that has
    the address does, to ARP too where ``arp_ignore`` is set).
    """
    foreign = job.netns.ownership is Ownership.FOREIGN
    for interface in job.interfaces:
        if interface.gateway is None:
            continue
        sources = {len(address.ip): address.ip for address in interface.gateway.addresses}
        for address in interface.plan.addresses:
            batch.add_neighbour(interface.host_index, address.ip, interface.plan.mac or b"")
            batch.add_route(address.ip, address.bits, index=interface.host_index, source=sources.get(len(address.ip)))
            owners += [job, job]
        for address in interface.gateway.addresses if foreign else ():
            batch.add_address(interface.host_index, address.ip, address.bits)
            owners.append(job)

"""Routes of sandboxes, and which endpoint has the default route where several meet."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence

from driverapi import errors
from driverapi._native import Batch
from driverapi.dataplane.failures import first_failure
from driverapi.dataplane.kernel import GONE, Interface, LinuxRealised
from driverapi.dataplane.sandboxes import LinuxNetns
from driverapi.events import emit, of_fault
from driverapi.plan import Neighbour, Route

__all__ = [
    "claim_gateway",
    "displace",
    "give_gateways",
    "neighbours_inside",
    "pass_gateways_on",
    "put_route",
    "towards",
]


def neighbours_inside(job: LinuxRealised) -> Iterator[tuple[Interface, Neighbour]]:
    """Give the permanent entries of an endpoint's sandbox, each with its interface.

    Not those for a bridge that is somebody else's: it has another MAC address than the plan says.
    """
    for neighbour in job.plan.neighbours:
        interface = towards(job, neighbour.ip)
        if interface.star is None or interface.star.instead_of != neighbour.mac:
            yield interface, neighbour


def towards(job: LinuxRealised, ip: bytes) -> Interface:
    """Return the interface whose prefix holds an address, else the first."""
    for interface in job.interfaces:
        if any(ip in address for address in interface.plan.addresses):
            return interface
    if not job.interfaces:
        raise errors.InvalidError(f"{job.what}: routes and neighbours need an interface with a link")
    return job.interfaces[0]


def put_route(batch: Batch, job: LinuxRealised, route: Route) -> None:
    """Append a route; a gateway that no prefix holds is taken to be on the link."""
    hop = route.gateway if route.gateway is not None else route.destination.ip
    interface = towards(job, hop)
    reached = any(hop in address for address in interface.plan.addresses)
    batch.add_route(
        route.destination.ip,
        route.destination.prefix,
        gateway=route.gateway,
        index=interface.index,
        on_link=route.on_link or (route.gateway is not None and not reached),
    )


def claim_gateway(job: LinuxRealised, route: Route) -> tuple[bool, tuple[LinuxRealised, Route] | None]:
    """Queue for the sandbox's default route: the endpoint of the highest priority has it, of equals the first.

    The caller holds ``job.netns.routing`` until the route is set.

    Returns
    -------
    bool
        Whether this endpoint shall have it.
    (LinuxRealised, Route) or None
        Who has it until then.
    """
    before = _holder(job.netns, route)
    job.netns.gateways.append((job, route))
    holder = _holder(job.netns, route)
    return holder is not None and holder[0] is job, before


def displace(batch: Batch, before: tuple[LinuxRealised, Route]) -> None:
    """Append the deletion of a default route that another endpoint shall have."""
    job, route = before
    interface = towards(job, route.gateway or route.destination.ip)
    batch.delete_route(route.destination.ip, route.destination.prefix, gateway=route.gateway, index=interface.index)


def pass_gateways_on(jobs: Sequence[LinuxRealised]) -> None:
    """Give default routes that go with endpoints to the next that wait for them in the sandboxes."""
    leavers: dict[LinuxNetns, list[LinuxRealised]] = {}
    for job in jobs:
        if job.netns.gateways:
            leavers.setdefault(job.netns, []).append(job)
    for netns, leaving in leavers.items():
        with netns.routing:
            routes = {route.destination: route for _, route in netns.gateways}.values()
            held = [route for route in routes if (holder := _holder(netns, route)) and holder[0] in leaving]
            netns.gateways[:] = [entry for entry in netns.gateways if entry[0] not in leaving]
            for route in held:
                heir = _holder(netns, route)
                if heir is not None:
                    _inherit(*heir)


def give_gateways(netns: LinuxNetns) -> None:
    """Give the default routes of a sandbox to those who should have them, where they do not."""
    with netns.routing:
        for route in {route.destination: route for _, route in netns.gateways}.values():
            holder = _holder(netns, route)
            if holder is not None:
                _inherit(*holder)


def _inherit(heir: LinuxRealised, route: Route) -> None:
    try:
        socket = heir.netns.use().socket
    except errors.NoSandboxError:
        return  # the namespace is gone, and its routes with it
    except errors.KernelError as error:
        emit("route.not_passed_on", sandbox=heir.netns.key, **of_fault(error))
        return
    try:
        batch = Batch()
        put_route(batch, heir, route)
        refused = first_failure(heir.what, socket, batch, (errno.EEXIST, *GONE))
    finally:
        heir.netns.rest()
    if refused is not None:
        emit("route.not_passed_on", sandbox=heir.netns.key, **of_fault(refused))


def _holder(netns: LinuxNetns, route: Route) -> tuple[LinuxRealised, Route] | None:
    """Return who of those that want it has a default route: the highest priority, of equals the first."""
    return max(
        (entry for entry in netns.gateways if entry[1].destination == route.destination),
        key=lambda entry: entry[0].plan.priority,
        default=None,
    )

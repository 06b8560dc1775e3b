"""The settings of one chunk: inside each sandbox, then those of the host, in one call without the GIL.

Meanwhile the thread that makes the next namespaces has the interpreter for itself.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Sequence

from driverapi._native import Answers, Batch, NetlinkSocket, execute_many
from driverapi.dataplane.contract import Ownership
from driverapi.dataplane.failures import failure, refusals
from driverapi.dataplane.groups import COMMON
from driverapi.dataplane.kernel import ADDR_GEN_NONE, GONE, Interface, Kernel, LinuxRealised, attempt, pinned
from driverapi.dataplane.multicast import forget_multicast
from driverapi.dataplane.routed import put_host_routes
from driverapi.dataplane.routes import claim_gateway, displace, neighbours_inside, put_route
from driverapi.plan import MoveLink

__all__ = ["configure", "settle_carriers"]

_EXISTS = (errno.EEXIST,)


class _Programme:
    """Batches in the order in which they are carried out, each with who has asked for it."""

    def __init__(self) -> None:
        self.jobs: list[LinuxRealised] = []
        self.sockets: list[NetlinkSocket] = []
        self.batches: list[Batch] = []
        self.done: list[tuple[int, ...]] = []  # error numbers that mean that there was nothing to do

    def add(self, job: LinuxRealised, batch: Batch, done: tuple[int, ...] = ()) -> None:
        if len(batch):
            self.jobs.append(job)
            self.sockets.append(job.use().socket)
            self.batches.append(batch)
            self.done.append(done)

    def note(self, answers: Sequence[Answers]) -> None:
        """Enter the first refusal of each batch as the failure of who has asked for it."""
        for position, answer in enumerate(answers):
            if answer.ok:
                continue
            job = self.jobs[position]
            for error in refusals(self.sockets[position], self.batches[position], answer).values():
                if error.errno not in self.done[position]:
                    job.fail(failure(job.what, error))
                    break


def configure(kernel: Kernel, group: int, jobs: Sequence[LinuxRealised]) -> None:
    """Set up everything inside the namespaces, bring the host ends up, pin and route addresses.

    What fails inside a namespace fails its endpoint; the host ends of a chunk come up together or not at all.
    """
    with _routing([job for job in jobs if job.error is None]):
        programme = _Programme()
        for job in jobs:
            attempt(job, _put_inside, job, programme)
        host = Batch()
        born = [interface for job in jobs for interface in job.interfaces if interface.there and interface.host_index]
        if born:
            _put_up(host, kernel, group, born)
        owners: list[LinuxRealised | None] = [None] * len(host)  # None: everybody
        for job in jobs:
            if job.error is None:
                for interface, address in pinned(job):
                    interface.pins = True
                    host.add_neighbour(interface.master, address.ip, interface.plan.mac or b"")
                    owners.append(job)
                put_host_routes(host, job, owners)
        sockets = [*programme.sockets, kernel.host, kernel.host]
        *inside, outside, _ = execute_many(sockets, [*programme.batches, host, forget_multicast(born)])
        programme.note(inside)
    if outside.ok:
        return
    for position, error in refusals(kernel.host, host, outside).items():
        owner = owners[position]
        if owner is not None:
            owner.fail(failure(owner.what, error))
            continue
        for job in jobs:
            job.error = job.error or failure(job.what, error)


@contextlib.contextmanager
def _routing(jobs: Sequence[LinuxRealised]) -> Iterator[None]:
    """Hold the default routes of all the sandboxes, in the order of their paths: no two chunks block each other."""
    held = []
    try:
        for _, netns in sorted({job.netns.key: job.netns for job in jobs}.items()):
            netns.routing.acquire()
            held.append(netns)
        yield
    finally:
        for netns in held:
            netns.routing.release()


def _put_inside(job: LinuxRealised, programme: _Programme) -> None:
    """Append what one endpoint needs in its namespace: one batch, so one sendmsg."""
    netns = job.netns
    if netns.ownership in (Ownership.HOST, Ownership.FOREIGN):
        return
    owned = netns.ownership is Ownership.OWNED
    batch = Batch(1024)
    if owned:
        batch.set_link(1, up=True)  # lo has index 1 in every namespace (LOOPBACK_IFINDEX)
    for interface in job.interfaces:
        plan, index = interface.plan, interface.index
        if not isinstance(plan.link, MoveLink):
            if not any(one.name == "addr_gen_mode" for one in job.plan.sysctls):  # else its user has said it
                batch.set_link(index, addr_gen_mode=ADDR_GEN_NONE)
            batch.set_link(index, up=True)
        else:
            batch.set_link(index, up=True, mac=plan.mac)
        for address in plan.addresses:
            batch.add_address(index, address.ip, address.prefix)
    for interface, neighbour in neighbours_inside(job):
        batch.add_neighbour(interface.index, neighbour.ip, neighbour.mac)
    due = []
    displaced = Batch(0)
    last = []
    for route in job.plan.routes:
        if route.destination.prefix:
            put_route(batch, job, route)
        else:
            last.append(route)
    for route in last:
        mine, before = claim_gateway(job, route)
        if mine:
            due.append(route)
            if before is not None:
                displace(displaced, before)
    defaults = batch if owned and not len(displaced) else Batch(256)
    for route in due:
        put_route(defaults, job, route)
    programme.add(job, batch)
    programme.add(job, displaced, GONE)
    if defaults is not batch:
        # A default route that its owner has set in a namespace of his stays as it is.
        programme.add(job, defaults, () if owned else _EXISTS)


def _put_up(batch: Batch, kernel: Kernel, group: int, born: Sequence[Interface]) -> None:
    """Append what brings the host ends up: without a link-local address, by their group, then one by one.

    With such an address, the cost of an endpoint grows with their number; brought up by group, each link is also
    told of a change, and IPv6 walks over all routes for that.
    """
    routed = [interface for interface in born if interface.gateway is not None and interface.gateway.forward]
    if group == COMMON:  # the numbers ran out: the group has links of others in it
        for interface in born:
            batch.set_link(interface.host_index, addr_gen_mode=ADDR_GEN_NONE)
            if interface in routed:
                batch.set_link_ipv4(interface.host_index, forwarding=1)
            batch.set_link(interface.host_index, up=True)
        return
    number = kernel.groups.value(group)
    if len(routed) == len(born):
        batch.set_link_ipv4(group=number, forwarding=1)
    else:
        for interface in routed:
            batch.set_link_ipv4(interface.host_index, forwarding=1)
    batch.set_link(group=number, addr_gen_mode=ADDR_GEN_NONE)
    for interface in born:
        batch.set_link(interface.host_index, up=True)


def settle_carriers(kernel: Kernel, jobs: Sequence[LinuxRealised]) -> None:
    """Have the kernel take note, now, that the links have a carrier.

    It does so by itself a moment later (``linkwatch``); until then an end, or the bridge, may drop what it is given. To
    look a link up does it at once (``linkwatch_sync_dev`` in ``rtnl_getlink``, Linux 6.8). For the last chunk of a
    call: the others have had their moment. What is answered is of no interest.
    """
    sockets, batches = [], []
    host = Batch()
    bridges = set()
    for job in jobs:
        if job.netns.ownership is Ownership.FOREIGN:
            continue
        for interface in job.interfaces:
            if interface.there and interface.host_index:
                inside = Batch(64)
                inside.get_link(interface.index)
                sockets.append(job.use().socket)
                batches.append(inside)
                host.get_link(interface.host_index)
                bridges.add(interface.bridge)
    for bridge in bridges - {0}:  # after its ports: it has a carrier when one of them has
        host.get_link(bridge)
    if sockets:
        execute_many([*sockets, kernel.host], [*batches, host])

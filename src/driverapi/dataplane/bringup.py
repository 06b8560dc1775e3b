"""Endpoints up: the plans of one chunk made into as few netlink messages as there can be.

One chunk of endpoints goes like this; its links share a group::

    host socket      RTM_NEWNSID, n of        numbers of the namespaces: see numbers.py
                     RTM_NEWLINK veth, n of   peer born in its namespace, named, MAC set, host end enslaved
                     RTM_NEWLINK macvlan      or ipvlan: the whole link is born there, see parents.py
    each namespace   lo up, link up, addresses, permanent neighbours, routes     one sendmsg
    host socket      RTM_NEWLINK by group     no link-local address
                     RTM_SETLINK up, n of     one by one: see configure.py
                     RTM_NEWNEIGH, n of       the permanent entries of the master
                     RTM_NEWROUTE, n of       and, where there is none, the routes to the host ends

The host ends come up last, in one batch: both ends have a carrier only then, and the kernel
tells so (``linkwatch``) for all of a chunk together. The other way round it does for each pair,
and takes its global lock for that, while the next sandbox waits.

Nothing is moved (but what a driver made itself) and nothing is looked up: names and ifindexes
are chosen here. Where a chosen one is taken, by somebody else in an existing namespace, the
namespace is looked at and others are chosen, a few times.
"""

from __future__ import annotations

import errno
import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, final

from driverapi import errors
from driverapi._native import Batch, NetlinkError
from driverapi.dataplane.announce import announce
from driverapi.dataplane.configure import configure, settle_carriers
from driverapi.dataplane.contract import Ownership, Work
from driverapi.dataplane.kernel import TRIES, Interface, Kernel, LinuxRealised, attempt, link, rest
from driverapi.dataplane.limits import limit
from driverapi.dataplane.numbers import number_namespaces
from driverapi.dataplane.parents import put_inside
from driverapi.dataplane.routed import forward_ipv6
from driverapi.dataplane.rules import enter_rules
from driverapi.dataplane.sandboxes import LinuxNetns
from driverapi.dataplane.star import enter_stars
from driverapi.dataplane.sysctls import set_sysctls
from driverapi.dataplane.teardown import take_away
from driverapi.plan import InterfacePlan, IpvlanLink, MacvlanLink, MoveLink, VethLink

__all__ = ["BringUp"]

_AGAIN: Final = (errno.EEXIST, errno.EBUSY, errno.ENOBUFS)
"""Refusals after which a link is asked for again, with other names: what is taken, or what was lost and not done."""


def _host_mac(interface: Interface) -> bytes | None:
    """Return the MAC address of the host end; None leaves it to the kernel.

    A bridge whose address nobody has set has the lowest of its ports', and forgets all its neighbours, permanent ones
    too, when that changes (net/ipv4/arp.c, NETDEV_CHANGEADDR): ours are above all that are likely.
    """
    if interface.gateway is not None:
        return interface.gateway.mac
    if interface.star is not None and interface.star.instead_of is not None:
        return b"\xfe\xff" + secrets.token_bytes(4)
    return None


@final
class BringUp:
    """One chunk of endpoints on their way up.

    Thread safety: none; each call makes its own.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._group = kernel.groups.take()

    def run(self, works: Sequence[Work], *, last: bool) -> list[LinuxRealised | Exception]:
        """Bring the endpoints up; those that fail are undone and answered by their error.

        Those of the last chunk of a call can send at once when this returns.
        """
        jobs: list[LinuxRealised] = []
        try:
            for work in works:
                assert isinstance(work.netns, LinuxNetns)
                job = LinuxRealised(work.plan, work.netns, order=self._kernel.orders.take())
                jobs.append(job)
                attempt(job, self._choose, job)
            number_namespaces(self._kernel, jobs)
            self._make_links(jobs)
            for job in jobs:
                attempt(job, forward_ipv6, self._kernel, job.interfaces)
                attempt(job, self._move_in, job)
                if job.netns.ownership is not Ownership.FOREIGN:  # there the engine sets them
                    attempt(job, set_sysctls, job)
            enter_rules(self._kernel, jobs)
            configure(self._kernel, self._group, jobs)
            limit(self._kernel, jobs)
            enter_stars(job for job in jobs if job.error is None)
            if last:
                settle_carriers(self._kernel, [job for job in jobs if job.error is None])
            announce(self._kernel, jobs)
        except BaseException:
            take_away(self._kernel, jobs)
            raise
        else:
            take_away(self._kernel, [job for job in jobs if job.error is not None])
        finally:
            self._kernel.groups.give_back(self._group)
            rest(jobs)
        return [job if job.error is None else job.error for job in jobs]

    def _choose(self, job: LinuxRealised) -> None:
        """Choose names and indexes for the endpoint's links."""
        if job.netns.ownership is Ownership.HOST:
            if job.plan.interfaces or job.plan.routes or job.plan.sysctls:
                raise errors.ConflictError(f"{job.what}: nothing is made in the host's own namespace; use a sandbox")
            return
        foreign = job.netns.ownership is Ownership.FOREIGN
        if not foreign:
            job.use()
        for plan in job.plan.interfaces:
            interface = Interface(plan, self._name(job, plan), held=not foreign)
            job.interfaces.append(interface)
            if isinstance(plan.link, MacvlanLink | IpvlanLink):
                self._choose_indexes(job, interface)
                interface.master = self._kernel.masters.get((job.plan.network, plan.link.parent), 0)
                if not interface.master:
                    raise errors.InvalidError(
                        f"{job.what}: {plan.link.parent!r} is no parent of the network's plan, or one that is lost"
                    )
            elif isinstance(plan.link, VethLink):
                self._choose_indexes(job, interface)
                interface.group = self._group
                interface.host_name = self._kernel.instance.link_name("e")
                if plan.link.master is not None:
                    self._choose_port(job, interface, plan.link.master)
                if plan.link.gateway is not None:
                    interface.gateway = self._kernel.gateways.get((job.plan.network, plan.link.gateway))
                    if interface.gateway is None:
                        raise errors.InvalidError(
                            f"{job.what}: gateway {plan.link.gateway!r} is no gateway of the network's plan"
                        )

    def _choose_port(self, job: LinuxRealised, interface: Interface, master: str) -> None:
        """Choose a port of the network's bridge, or of one that it is joined to."""
        kernel = self._kernel
        interface.star = kernel.stars.get((job.plan.network, master))
        if interface.star is None:
            raise errors.InvalidError(f"{job.what}: master {master!r} is no bridge of the network's plan")
        interface.master = kernel.masters[job.plan.network, master]
        interface.bridge = interface.star.take_port()
        if interface.plan.mac is None:  # a star must know it
            interface.plan = replace(interface.plan, mac=b"\x02" + secrets.token_bytes(5))

    def _name(self, job: LinuxRealised, plan: InterfacePlan) -> str:
        if job.netns.ownership is Ownership.FOREIGN:  # its name on the host
            return plan.link.source if isinstance(plan.link, MoveLink) else self._kernel.instance.link_name("p")
        try:
            return job.netns.take_name(plan.name, exact=plan.exact)
        except errors.ConflictError:
            if job.netns.ownership is not Ownership.EXISTING:
                raise
        job.look()  # whose it was may be gone
        return job.netns.take_name(plan.name, exact=plan.exact)

    def _choose_indexes(self, job: LinuxRealised, interface: Interface) -> None:
        foreign = job.netns.ownership is Ownership.FOREIGN
        interface.index = self._kernel.instance.link_index() if foreign else job.netns.take_index()
        if isinstance(interface.plan.link, VethLink):
            interface.host_index = self._kernel.instance.link_index()

    def _put_link(self, batch: Batch, job: LinuxRealised, interface: Interface) -> None:
        if not isinstance(interface.plan.link, VethLink):
            put_inside(batch, job, interface, self._kernel.groups.value(interface.group))
            interface.there = True
            return
        batch.add_veth(
            interface.host_name,
            interface.name,
            index=interface.host_index,
            peer_index=interface.index,
            namespace=-1 if job.netns.ownership is Ownership.FOREIGN else job.use().fileno(),
            mac=_host_mac(interface),
            peer_mac=interface.plan.mac,
            master=interface.bridge,
            mtu=interface.plan.link.mtu,
            group=self._kernel.groups.value(interface.group),
        )
        interface.there = True

    def _make_links(self, jobs: Sequence[LinuxRealised]) -> None:
        batch = Batch()
        asked = []
        for job in jobs:
            if job.error is None:
                for interface in job.interfaces:
                    if not isinstance(interface.plan.link, MoveLink):
                        attempt(job, self._put_link, batch, job, interface)
                        if interface.there:
                            asked.append((job, interface))
        if not asked:
            return
        self._kernel.groups.add(self._group, [interface.host_index for _, interface in asked if interface.host_index])
        answers = self._kernel.host.execute(batch)
        if answers.ok:
            return
        for position, (job, interface) in enumerate(asked):
            error = answers.error(position)
            if error is not None:
                attempt(job, self._settle, job, interface, error)

    def _settle(self, job: LinuxRealised, interface: Interface, error: NetlinkError) -> None:
        """Deal with a link that was refused, or whose answer was lost."""
        for _ in range(TRIES):
            if error.errno == errno.ENOBUFS and self._is_there(job, interface):
                return
            self._kernel.groups.discard(interface.group, [interface.host_index])
            interface.there = False
            if error.errno == errno.EXFULL and interface.star is not None:
                interface.star.refuse_port(interface.bridge)
                interface.bridge = 0
                interface.bridge = interface.star.take_port()
            elif error.errno not in _AGAIN:
                break
            self._choose_again(job, interface)
            if interface.host_index:
                self._kernel.groups.add(interface.group, [interface.host_index])
            batch = Batch()
            self._put_link(batch, job, interface)
            refused = self._kernel.host.execute(batch).error(0)
            if refused is None:
                return
            error = refused
        self._kernel.groups.discard(interface.group, [interface.host_index])
        interface.there = False
        if error.errno == errno.ENODEV and not isinstance(interface.plan.link, VethLink):
            raise errors.KernelError(f"{job.what}: {error.operation}: the parent is gone", errno.ENODEV) from error
        if error.errno == errno.EBUSY and not isinstance(interface.plan.link, VethLink):
            raise errors.KernelConflictError(
                f"{job.what}: {error.operation}: the parent is in use: it is a port of a bridge or bond, "
                "or has links of another kind or mode on it; use another parent",
                errno.EBUSY,
            ) from error
        raise error

    def _is_there(self, job: LinuxRealised, interface: Interface) -> bool:
        """Look up a link whose answer was lost: by our index, which must have our name."""
        if not isinstance(interface.plan.link, VethLink):
            foreign = job.netns.ownership is Ownership.FOREIGN
            inside = link(self._kernel.host if foreign else job.use().socket, index=interface.index)
            return inside is not None and inside.name == interface.name
        found = link(self._kernel.host, index=interface.host_index)
        return found is not None and found.name == interface.host_name

    def _choose_again(self, job: LinuxRealised, interface: Interface) -> None:
        """Somebody has the name or an index: look at the namespace, choose others."""
        if interface.held:
            interface.held = False
            job.netns.give_back(interface.name, interface.index)
            job.look()
            interface.name = job.netns.take_name(interface.plan.name, exact=interface.plan.exact)
            interface.held = True
        else:
            interface.name = self._name(job, interface.plan)
        if isinstance(interface.plan.link, VethLink):
            interface.host_name = self._kernel.instance.link_name("e")
        self._choose_indexes(job, interface)

    def _move_in(self, job: LinuxRealised) -> None:
        """Move links that a driver made itself: slow, and only for them."""
        for interface in job.interfaces:
            plan = interface.plan.link
            if not isinstance(plan, MoveLink):
                continue
            found = link(self._kernel.host, name=plan.source)
            if found is None:
                raise errors.NotFoundError(f"{job.what}: there is no link {plan.source!r} to move into the sandbox")
            if job.netns.ownership is Ownership.FOREIGN:
                interface.index = found.index
                continue
            namespace = job.use()
            batch = Batch()
            batch.set_link(found.index, namespace=namespace.fileno(), new_name=interface.name)
            interface.there = True
            error = self._kernel.host.execute(batch).error(0)
            if error is not None and error.errno != errno.ENOBUFS:
                interface.there = False
                raise error
            moved = link(namespace.socket, name=interface.name)
            if moved is None:
                interface.there = False
                raise errors.KernelError(f"{job.what}: link {plan.source!r} was moved and is not there")
            interface.index = moved.index

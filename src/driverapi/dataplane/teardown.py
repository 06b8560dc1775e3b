"""Endpoints down: the undo of everything that ``bringup`` does, whole or of any part of it."""

from __future__ import annotations

from collections.abc import Sequence

from driverapi import errors
from driverapi._native import Batch, NetlinkError
from driverapi.dataplane.contract import CHUNK
from driverapi.dataplane.failures import carry_out, failure, first_failure
from driverapi.dataplane.groups import COMMON
from driverapi.dataplane.kernel import GONE, Interface, Kernel, LinuxRealised, link, named
from driverapi.dataplane.parents import delete_inside
from driverapi.dataplane.routes import pass_gateways_on
from driverapi.dataplane.rules import leave_rules
from driverapi.dataplane.star import leave_stars
from driverapi.plan import MoveLink, VethLink

__all__ = ["take_away"]

_Member = tuple[LinuxRealised, Interface]


def take_away(kernel: Kernel, jobs: Sequence[LinuxRealised]) -> None:
    """Take away whatever part of the endpoints is in the kernel.

    What is gone already is passed over; what the kernel refuses becomes the error of the
    endpoint, or a note of the error that it has.
    """
    for job in jobs:
        try:
            _move_out(kernel, job)
        except NetlinkError as error:
            job.fail(failure(job.what, error))
        except Exception as fault:  # the others go on
            job.fail(named(job.what, fault))
    _unpin(kernel, jobs)
    leave_stars(jobs)
    delete_inside(kernel, jobs)
    _delete_veths(
        kernel,
        [
            (job, interface)
            for job in jobs
            for interface in job.interfaces
            if interface.there and isinstance(interface.plan.link, VethLink)
        ],
    )
    leave_rules(kernel, jobs)
    for job in jobs:
        for interface in job.interfaces:
            if not interface.there and interface.held:
                interface.held = False
                job.netns.give_back(interface.name, interface.index)
            if not interface.there and interface.star is not None and interface.star.is_free(interface):
                interface.star.return_port(interface.bridge)
                interface.bridge = 0
    pass_gateways_on([job for job in jobs if not any(interface.there for interface in job.interfaces)])


def _move_out(kernel: Kernel, job: LinuxRealised) -> None:
    """Move a driver's own links back to the host, under their own names."""
    for interface in job.interfaces:
        if not interface.there or not isinstance(interface.plan.link, MoveLink):
            continue
        try:
            socket = job.netns.use().socket
        except errors.NoSandboxError:
            interface.there = False  # the namespace is gone, and the link with it
            continue
        try:
            # An interrupt may have come before its index was known.
            found = link(socket, name=interface.name)
            if found is not None:
                batch = Batch()
                batch.set_link(found.index, up=False)
                batch.set_link(found.index, namespace=kernel.home, new_name=interface.plan.link.source)
                refused = first_failure(job.what, socket, batch, GONE)
                job.fail(refused)
                interface.there = refused is not None
            else:
                interface.there = False
        finally:
            job.netns.rest()


def _unpin(kernel: Kernel, jobs: Sequence[LinuxRealised]) -> None:
    """Delete the masters' permanent neighbour entries: they would outlive the endpoints."""
    batch = Batch()
    owners = []
    for job in jobs:
        for interface in job.interfaces:
            if interface.pins:
                for address in interface.plan.addresses:
                    batch.delete_neighbour(interface.master, address.ip)
                    owners.append((job, interface))
    if owners:
        refused = carry_out(kernel.host, batch)  # an interrupt that comes here leaves them to be deleted again
        for _, interface in owners:
            interface.pins = False
        for position, error in refused.items():
            if error.errno not in GONE:
                job, interface = owners[position]
                interface.pins = True
                job.fail(failure(job.what, error))


def _delete_veths(kernel: Kernel, members: Sequence[_Member]) -> None:
    """Delete links with as few deletions as may be: each waits for the kernel's grace periods once, however many go.

    A group of which all goes, goes as one; of the others each part is put into a group made for them.
    """
    groups: dict[int, list[_Member]] = {}
    for member in members:
        groups.setdefault(member[1].group, []).append(member)
    parted: list[_Member] = []
    for number, some in groups.items():
        astray = any(interface.astray for _, interface in some)
        if not astray and kernel.groups.is_whole(number, [interface.host_index for _, interface in some]):
            batch = Batch()
            batch.delete_link(group=kernel.groups.value(number))
            error = carry_out(kernel.host, batch).get(0)
            for member in some:
                _settle(kernel, member, error)
        else:
            parted += some
    for at in range(0, len(parted), CHUNK):
        _delete_parted(kernel, parted[at : at + CHUNK])


def _delete_parted(kernel: Kernel, members: Sequence[_Member]) -> None:
    """Delete links of any groups: by one group made for them, or one by one where there is none left."""
    groups = kernel.groups
    batch = Batch()
    fresh = groups.take() if len(members) > 1 else COMMON
    if fresh == COMMON:
        for _, interface in members:
            batch.delete_link(interface.host_index)
        refused = carry_out(kernel.host, batch)
        for position, member in enumerate(members):
            _settle(kernel, member, refused.get(position))
        return
    # Until all is answered, each may be in either: neither number is given to others, or deleted as a whole.
    groups.add(fresh, [interface.host_index for _, interface in members])
    for _, interface in members:
        interface.astray += (fresh,)
        batch.set_link(interface.host_index, new_group=groups.value(fresh))
    refused = carry_out(kernel.host, batch)
    deletion = Batch()  # by itself: a change that was lost, and is sent again, must come before it
    deletion.delete_link(group=groups.value(fresh))
    failed = carry_out(kernel.host, deletion).get(0)
    for position, member in enumerate(members):
        _settle(kernel, member, refused.get(position, failed))


def _settle(kernel: Kernel, member: _Member, error: NetlinkError | None) -> None:
    job, interface = member
    if error is not None and error.errno not in GONE:
        job.fail(failure(job.what, error))
        return
    for number in (interface.group, *interface.astray):
        kernel.groups.discard(number, [interface.host_index])
        kernel.groups.give_back(number)
    interface.there = False
    interface.group = COMMON
    interface.astray = ()

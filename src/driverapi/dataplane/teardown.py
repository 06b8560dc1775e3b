"""Endpoints down: the undo of everything that ``bringup`` does, whole or of any part of it."""

from __future__ import annotations

from collections.abc import Sequence

from driverapi import errors
from driverapi._native import Batch
from driverapi.dataplane.failures import first_failure
from driverapi.dataplane.groups import COMMON
from driverapi.dataplane.kernel import GONE, Interface, Kernel, LinuxRealised, link, pinned
from driverapi.dataplane.routes import pass_gateways_on
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
        except Exception as fault:  # the others go on
            job.fail(fault)
    _unpin(kernel, jobs)
    leave_stars(jobs)
    groups: dict[int, list[_Member]] = {}
    for job in jobs:
        for interface in job.interfaces:
            if interface.there and isinstance(interface.plan.link, VethLink):
                groups.setdefault(interface.group, []).append((job, interface))
    for group, members in groups.items():
        _delete_veths(kernel, group, members)
    for job in jobs:
        for interface in job.interfaces:
            if not interface.there:
                job.netns.give_back(interface.name, interface.index)
                if interface.star is not None and interface.bridge:
                    interface.star.return_port(interface.bridge)
                    interface.bridge = 0
    pass_gateways_on(jobs)


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
        for interface, address in pinned(job):
            batch.delete_neighbour(interface.master, address.ip)
            owners.append(job)
    if not owners:
        return
    refused = first_failure("delete neighbours", kernel.host, batch, GONE)
    if refused is not None:
        for job in owners:
            job.fail(refused)


def _delete_veths(kernel: Kernel, number: int, members: Sequence[_Member]) -> None:
    """Delete the links of one group: as one where all of it goes, else by a group made for them.

    One deletion waits for the kernel's grace periods once, however many links it takes.
    """
    groups = kernel.groups
    indexes = [interface.host_index for _, interface in members]
    batch = Batch()
    fresh = COMMON
    if groups.is_whole(number, indexes):
        batch.delete_link(group=groups.value(number))
    elif len(indexes) == 1 or (fresh := groups.take()) == COMMON:
        for index in indexes:
            batch.delete_link(index)
    else:
        for index in indexes:
            batch.set_link(index, new_group=groups.value(fresh))
        batch.delete_link(group=groups.value(fresh))
    refused = first_failure("delete links", kernel.host, batch, GONE)
    groups.discard(number, indexes)
    groups.give_back(number)
    if refused is None:
        groups.give_back(fresh)
    else:  # which of the two groups they are in is not known: from now on each goes by itself
        groups.add(COMMON, indexes)
    for job, interface in members:
        interface.there = refused is not None
        interface.group = COMMON
        job.fail(refused)

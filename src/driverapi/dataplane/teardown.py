"""Endpoints down: the undo of everything that ``bringup`` does, whole or of any part of it."""

from __future__ import annotations

from collections.abc import Sequence

from driverapi import errors
from driverapi._native import Batch, NetlinkError
from driverapi.dataplane.failures import carry_out, failure, first_failure
from driverapi.dataplane.groups import COMMON
from driverapi.dataplane.kernel import GONE, Interface, Kernel, LinuxRealised, link, named
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
        except NetlinkError as error:
            job.fail(failure(job.what, error))
        except Exception as fault:  # the others go on
            job.fail(named(job.what, fault))
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
                interface.pins = False
                for address in interface.plan.addresses:
                    batch.delete_neighbour(interface.master, address.ip)
                    owners.append((job, interface))
    if owners:
        for position, error in carry_out(kernel.host, batch).items():
            if error.errno not in GONE:
                job, interface = owners[position]
                interface.pins = True
                job.fail(failure(job.what, error))


def _delete_veths(kernel: Kernel, number: int, members: Sequence[_Member]) -> None:
    """Delete the links of one group: as one where all of it goes, else by a group made for them.

    One deletion waits for the kernel's grace periods once, however many links it takes.
    """
    groups = kernel.groups
    indexes = [interface.host_index for _, interface in members]
    batch = Batch()
    fresh = number
    if groups.is_whole(number, indexes):
        batch.delete_link(group=groups.value(number))
        decisive = [0] * len(indexes)
    elif len(indexes) == 1 or (fresh := groups.take()) == COMMON:
        fresh = number
        for index in indexes:
            batch.delete_link(index)
        decisive = list(range(len(indexes)))
    else:
        for index in indexes:
            batch.set_link(index, new_group=groups.value(fresh))
        batch.delete_link(group=groups.value(fresh))
        decisive = [len(indexes)] * len(indexes)
    refused = carry_out(kernel.host, batch)
    for position, (job, interface) in enumerate(members):
        index = interface.host_index
        error = refused.get(position) if fresh != number else None
        if error is None:  # it is in the group that was deleted
            error = refused.get(decisive[position])
            groups.discard(number, [index])
            if error is not None and error.errno not in GONE:
                groups.add(fresh, [index])
                interface.group = fresh
        if error is None or error.errno in GONE:
            groups.discard(number, [index])
            interface.there = False
            interface.group = COMMON
        else:
            job.fail(failure(job.what, error))
    groups.give_back(number)
    groups.give_back(fresh)

"""Rules of single endpoints, on networks that need some for each: before they can send, and away with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from driverapi import errors
from driverapi.dataplane.firewall.firewall import Member
from driverapi.dataplane.kernel import Kernel, LinuxRealised

__all__ = ["enter_rules", "leave_rules", "members"]


def members(kernel: Kernel, jobs: Iterable[LinuxRealised]) -> Iterator[Member]:
    """Give the endpoints that need rules of their own."""
    for job in jobs:
        rules = kernel.rules.get(job.plan.network)
        if rules is None or not (rules.each or job.plan.pairs):
            continue
        for interface in job.interfaces:
            if interface.there and interface.host_index and interface.plan.mac is not None:
                addresses = [address.ip for address in interface.plan.addresses]
                yield rules, job.plan, interface.host_index, interface.plan.mac, addresses


def enter_rules(kernel: Kernel, jobs: Sequence[LinuxRealised]) -> None:
    """Have rules for endpoints whose links are there and down, in one transaction: if it is refused, all fail."""
    if not kernel.rules:
        return
    due = [job for job in jobs if job.error is None]
    wanted = list(members(kernel, due))
    if not wanted:
        return
    try:
        kernel.firewall.enter(wanted)
    except errors.DriverAPIError as error:
        owners = {plan.owner for _, plan, *_ in wanted}
        for job in due:
            if job.plan.owner in owners:
                job.error = error


def leave_rules(kernel: Kernel, jobs: Sequence[LinuxRealised]) -> None:
    """Undo of :func:`enter_rules`, for endpoints whose links are gone."""
    if not kernel.rules:
        return
    gone = [one.host_index for job in jobs for one in job.interfaces if one.host_index and not one.there]
    try:
        kernel.firewall.leave(gone)
    except errors.DriverAPIError as error:
        for job in jobs:
            job.fail(error)

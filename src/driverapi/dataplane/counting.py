"""Counters of endpoints' interfaces: of one from inside its sandbox, of many in one dump of the host's links.

A veth pair counts every packet on both ends, so the host's end tells what its sandbox has sent and received. Only what
the sandbox's own end drops in sending is counted there alone (``veth_xmit``).
"""

from __future__ import annotations

from collections.abc import Sequence

from driverapi import errors
from driverapi._native import LinkRecord, NetlinkError
from driverapi.counters import InterfaceStatistics
from driverapi.dataplane.contract import Ownership
from driverapi.dataplane.failures import failure
from driverapi.dataplane.kernel import Interface, Kernel, LinuxRealised, link, named

__all__ = ["count"]

FEW = 8
"""Endpoints up to which each host end is looked up by itself; beyond, all links of the host are read at once."""

_Counted = dict[int, InterfaceStatistics]


def count(kernel: Kernel, jobs: Sequence[LinuxRealised], *, inside: bool) -> list[_Counted | Exception]:
    """Return the counters of endpoints, by ids of interfaces; or why there are none.

    Parameters
    ----------
    inside : bool
        Ask inside the sandboxes, wherever that can be; else on the host, wherever there is an end.
    """
    found: dict[int, LinkRecord] = {}
    if not inside and len(jobs) > FEW:
        try:
            found = {one.index: one for one in kernel.host.dump_links()}
        except NetlinkError as error:
            refused = failure("read the host's links", error)
            return [refused] * len(jobs)
    answers: list[_Counted | Exception] = []
    for job in jobs:
        try:
            answers.append({one.plan.id: _count_one(kernel, job, one, found, inside=inside) for one in job.interfaces})
        except NetlinkError as error:
            answers.append(failure(job.what, error))
        except Exception as error:
            answers.append(named(job.what, error))
    return answers


def _count_one(
    kernel: Kernel, job: LinuxRealised, interface: Interface, found: dict[int, LinkRecord], *, inside: bool
) -> InterfaceStatistics:
    foreign = job.netns.ownership is Ownership.FOREIGN
    if interface.host_index and (foreign or not inside):
        seen = found.get(interface.host_index) if found else link(kernel.host, index=interface.host_index)
        return InterfaceStatistics.of_peer(_stats(seen, job, interface))
    if foreign:
        raise errors.NotFoundError(f"{job.what}: {interface.name!r} is in a sandbox that others keep")
    socket = job.netns.use().socket
    try:
        return InterfaceStatistics.of(_stats(link(socket, index=interface.index), job, interface))
    finally:
        job.netns.rest()


def _stats(seen: LinkRecord | None, job: LinuxRealised, interface: Interface) -> bytes:
    if seen is None or not seen.stats64:
        raise errors.NotFoundError(f"{job.what}: its interface {interface.name!r} is gone")
    return seen.stats64

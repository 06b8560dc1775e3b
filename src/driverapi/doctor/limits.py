"""Limits of the kernel that controllers meet, and how much of each is used."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from driverapi._native import NetlinkSocket
from driverapi.leftovers import namespace_mounts

__all__ = ["NEAR", "Limit", "limits"]

NEAR: Final = 0.8
"""The part of a limit from which on it is said to be near."""

# linux/neighbour.h: entries that do not count for gc_thresh3
_EXEMPT: Final = 0x80 | 0x40  # NUD_PERMANENT, NUD_NOARP


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit.

    Attributes
    ----------
    used, most : int
        How much is used now, and how much may be.
    meaning : str
        What happens beyond it.
    """

    name: str
    used: int
    most: int
    meaning: str

    @property
    def near(self) -> bool:
        """Whether more than :data:`NEAR` of it is used."""
        return self.used > self.most * NEAR


def limits() -> list[Limit]:
    """Return the limits that can be read here; those of the calling thread's network namespace, and of the user."""
    with NetlinkSocket() as netlink:
        neighbours = [one for one in netlink.dump_neighbours() if not one.state & _EXEMPT]
        masters: dict[int, int] = {}
        links = netlink.dump_links()
    for link in links:
        if link.master:
            masters[link.master] = masters.get(link.master, 0) + 1
    kinds = {link.index: link.kind for link in links}
    ports = max((count for index, count in masters.items() if kinds.get(index) == "bridge"), default=0)
    found = []
    for family, number in (("ipv4", 2), ("ipv6", 10)):
        most = _number(f"/proc/sys/net/{family}/neigh/default/gc_thresh3")
        if most is not None:
            used = sum(one.family == number for one in neighbours)
            meaning = "neighbours are no more found (all namespaces share the table)"
            found.append(Limit(f"net.{family}.neigh.default.gc_thresh3", used, most, meaning))
    backlog = _number("/proc/sys/net/core/netdev_max_backlog")
    if backlog is not None:
        found.append(Limit("net.core.netdev_max_backlog", ports, backlog, "part of each flood of a bridge is dropped"))
    namespaces = _number("/proc/sys/user/max_net_namespaces")
    if namespaces is not None:
        found.append(
            Limit("user.max_net_namespaces", len(namespace_mounts("")), namespaces, "no further sandbox can be made")
        )
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft > 0:
        used = len(os.listdir("/proc/self/fd"))
        found.append(
            Limit("descriptors of a process (ulimit -n)", used, soft, "bulk calls take smaller steps, then fail")
        )
    threads = _number("/proc/sys/kernel/threads-max")
    if threads is not None:
        running = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
        found.append(Limit("kernel.threads-max", running, threads, "no thread and no process can be started"))
    return found + _cgroup()


def _cgroup() -> list[Limit]:
    """Return the bound on processes of our own control group, where it has one (cgroup v2)."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    where = next((line[3:] for line in lines if line.startswith("0::")), "/")
    directory = Path("/sys/fs/cgroup") / where.lstrip("/")
    used, most = _number(f"{directory}/pids.current"), _number(f"{directory}/pids.max")
    if used is None or most is None:  # "max" is no number
        return []
    return [Limit("pids.max of the control group", used, most, "no thread and no process can be started")]


def _number(path: str) -> int | None:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):
        return None

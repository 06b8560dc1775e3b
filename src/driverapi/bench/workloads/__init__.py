"""The one table of workloads: what is measured, and against whom. A file per family.

To add a workload, add a row in its family's file and its tasks: ours in the module of the
family, a peer's in ``peers``. Runner, command line, report and ``benchmarks/`` take it from here.
"""

from __future__ import annotations

from driverapi.bench.task import Workload
from driverapi.bench.workloads import alloc, bringup, churn, decode, docker, encode, iflist, ipam, ports, services

__all__ = ["DEFAULT_FAMILIES", "FAMILIES", "find", "workloads"]

FAMILIES = ("alloc", "ipam", "iflist", "encode", "decode", "bringup", "churn", "docker", "services", "ports")
DEFAULT_FAMILIES = ("alloc", "ipam", "iflist", "encode", "decode")
"""Families that take a minute or so each; some rows need namespaces, and say so where they cannot be had."""


def workloads() -> tuple[Workload, ...]:
    """Return every workload, in the order of the tables."""
    return (
        *alloc.rows(),
        *ipam.rows(),
        *iflist.rows(),
        *encode.rows(),
        *decode.rows(),
        *bringup.rows(),
        *churn.rows(),
        *docker.rows(),
        *services.rows(),
        *ports.rows(),
    )


def find(family: str, name: str) -> Workload:
    """Return one workload; ``KeyError`` where there is none."""
    for one in workloads():
        if (one.family, one.name) == (family, name):
            return one
    raise KeyError(f"no workload {name!r} in family {family!r}")

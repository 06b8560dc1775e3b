"""The one table of workloads: what is measured, and against whom. A file per family.

To add a workload, add a row in its family's file and its tasks: ours in the module of the
family, a peer's in ``peers``. Runner, command line, report and ``benchmarks/`` take it from here.
"""

from __future__ import annotations

from driverapi.bench.task import Workload
from driverapi.bench.workloads import alloc, bringup, encode

__all__ = ["DEFAULT_FAMILIES", "FAMILIES", "find", "workloads"]

FAMILIES = ("alloc", "encode", "bringup")
DEFAULT_FAMILIES = ("alloc", "encode")
"""Families that take seconds, not minutes, and need no privilege at all."""


def workloads() -> tuple[Workload, ...]:
    """Return every workload, in the order of the tables."""
    return (*alloc.rows(), *encode.rows(), *bringup.rows())


def find(family: str, name: str) -> Workload:
    """Return one workload; ``KeyError`` where there is none."""
    for one in workloads():
        if (one.family, one.name) == (family, name):
            return one
    raise KeyError(f"no workload {name!r} in family {family!r}")

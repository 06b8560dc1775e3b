"""Benchmarks: the same work done by this package and by what one would use instead.

One table of workloads (:mod:`~driverapi.bench.workloads`), one runner
(:mod:`~driverapi.bench.runner`) that keeps each contender in a process of its own and lets
them take turns, so that a drift of the machine meets all of them. Results are plain data.

The peers' programs are part of the package and not of ``benchmarks/``: ``driverapi bench``
must find them in an installed wheel. Nothing here is imported by the package itself.
"""

from __future__ import annotations

from driverapi.bench.runner import run
from driverapi.bench.task import OURS, Contender, Task, Workload, WrongResultError
from driverapi.bench.workloads import DEFAULT_FAMILIES, FAMILIES, find, workloads

__all__ = [
    "DEFAULT_FAMILIES",
    "FAMILIES",
    "OURS",
    "Contender",
    "Task",
    "Workload",
    "WrongResultError",
    "find",
    "run",
    "workloads",
]

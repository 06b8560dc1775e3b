"""The workloads of ``driverapi.bench`` under pytest-benchmark.

Each contender does its rounds in a worker process of its own, as with ``driverapi bench``: a
bring-up must not touch pytest's own namespaces, and peers shall not share a heap. The worker
holds the clock; pytest-benchmark is told the seconds per unit, so that contenders whose
rounds differ in size stand side by side.
"""

from __future__ import annotations

from time import perf_counter

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from driverapi.bench import Workload, workloads
from driverapi.bench.runner import Skipped, WorkerProcess


class WorkerClock:
    """A clock that stands still in a round, but for what the worker has measured."""

    def __init__(self) -> None:
        self.shows: float | None = None

    def __call__(self) -> float:
        """Return the time; outside of rounds that of an ordinary clock."""
        return perf_counter() if self.shows is None else self.shows


CLOCK = WorkerClock()


def pairs(family: str) -> list[object]:
    """Return (workload, contender) of a family, named so that ``-k`` can pick them."""
    return [
        pytest.param(
            workload,
            contender.name,
            id=f"{workload.name}-{contender.name}",
            marks=pytest.mark.benchmark(group=f"{family}: {workload.name}, per {workload.unit}", timer=CLOCK),
        )
        for workload in workloads()
        if workload.family == family
        for contender in workload.contenders
    ]


def measure(benchmark: BenchmarkFixture, workload: Workload, contender: str, *, quick: bool) -> None:
    """Measure one contender at one workload."""
    try:
        worker = WorkerProcess(workload, contender, quick=quick)
    except Skipped as reason:
        pytest.skip(f"{contender}: {reason}")

    def setup() -> None:
        worker.ask("setup")
        CLOCK.shows = 0.0

    def work() -> None:
        CLOCK.shows = worker.ask("run")["run"] / worker.units

    def finish() -> None:
        CLOCK.shows = None
        worker.ask("finish")

    with worker:
        benchmark.name = contender
        benchmark.extra_info |= {"units": worker.units, "unit": workload.unit, "version": worker.version}
        try:
            benchmark.pedantic(
                work,
                setup=setup,
                teardown=finish,
                rounds=workload.quick_rounds if quick else workload.rounds,
                warmup_rounds=workload.warm_up,
            )
        finally:
            CLOCK.shows = None

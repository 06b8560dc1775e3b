"""The switch for a short run, and the fixture of the benchmarks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import shared
from driverapi.bench import Workload


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switch."""
    parser.addoption("--bench-quick", action="store_true", help="small workloads, few rounds")


@pytest.fixture
def measure(benchmark: BenchmarkFixture, request: pytest.FixtureRequest) -> Callable[[Workload, str], None]:
    """Return what measures one contender at one workload."""
    return partial(shared.measure, benchmark, quick=bool(request.config.getoption("--bench-quick")))

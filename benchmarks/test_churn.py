"""Many endpoints up and down on a real kernel: ours, the kernel floor, and everything one would use instead."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.shared import pairs
from driverapi.bench import Workload


@pytest.mark.parametrize(("workload", "contender"), pairs("churn"))
def test_churn(measure: Callable[[Workload, str], None], workload: Workload, contender: str) -> None:
    """One contender at one workload; its work is checked after each round."""
    measure(workload, contender)

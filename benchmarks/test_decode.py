"""Dumps of the kernel: ours, pyroute2, ip -json."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.shared import pairs
from driverapi.bench import Workload


@pytest.mark.parametrize(("workload", "contender"), pairs("decode"))
def test_decode(measure: Callable[[Workload, str], None], workload: Workload, contender: str) -> None:
    """One contender at one workload; its work is checked after each round."""
    measure(workload, contender)

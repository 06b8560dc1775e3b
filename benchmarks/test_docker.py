"""A plugin's requests a second, and what one costs ``docker run``: ours, a bare server, the engine's own bridge."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.shared import pairs
from driverapi.bench import Workload


@pytest.mark.parametrize(("workload", "contender"), pairs("docker"))
def test_docker(measure: Callable[[Workload, str], None], workload: Workload, contender: str) -> None:
    """One contender at one workload; its work is checked after each round."""
    measure(workload, contender)

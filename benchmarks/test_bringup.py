"""Sandboxes brought up on a real kernel: ours and pyroute2 in three ways."""

from __future__ import annotations

import pytest
from conftest import Measure, pairs

from driverapi.bench import Workload


@pytest.mark.parametrize(("workload", "contender"), pairs("bringup"))
def test_bringup(measure: Measure, workload: Workload, contender: str) -> None:
    """One contender at one workload; its work is checked after each round."""
    measure(workload, contender)

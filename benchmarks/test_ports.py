"""Published ports: ours, iptables by calls, and nft by one file."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.shared import pairs
from driverapi.bench import Workload


@pytest.mark.parametrize(("workload", "contender"), pairs("ports"))
def test_ports(measure: Callable[[Workload, str], None], workload: Workload, contender: str) -> None:
    """One contender at one workload; its work is checked after each round."""
    measure(workload, contender)

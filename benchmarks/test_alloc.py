"""Addresses out of a prefix: ours, ipaddress, netaddr, pyroute2's AddrPool, bitarray."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.shared import pairs
from driverapi.bench import Workload


@pytest.mark.parametrize(("workload", "contender"), pairs("alloc"))
def test_alloc(measure: Callable[[Workload, str], None], workload: Workload, contender: str) -> None:
    """One contender at one workload; its work is checked after each round."""
    measure(workload, contender)

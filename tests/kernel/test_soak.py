"""Bursts up and down for a while: nothing grows. ``DRIVERAPI_SOAK`` says for how many seconds: 60, 1800."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from driverapi import Controller

SECONDS = float(os.environ.get("DRIVERAPI_SOAK", "6"))


def used() -> tuple[int, int]:
    """Return the open descriptors and the kilobytes of resident memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return len(os.listdir("/proc/self/fd")), pages * os.sysconf("SC_PAGE_SIZE") // 1024


@pytest.mark.parametrize("driver", ["bridge", "routed"])
def test_descriptors_and_memory_stay_flat(driver: str) -> None:
    with Controller() as ctl:
        network = ctl.create_network(driver, "net", ipv4="10.77.0.0/16")
        start = time.monotonic()
        while time.monotonic() < start + max(min(SECONDS / 3, 10), 1):  # pools, caches and the allocator fill
            network.detach(network.attach(100, strict=True))
        descriptors, memory = used()
        while time.monotonic() < start + SECONDS:
            network.detach(network.attach(100, strict=True))
            assert used()[0] == descriptors
        assert used()[1] < memory + 4096

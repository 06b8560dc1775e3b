"""Bursts up and down for a while: descriptors, memory, the kernel's memory and the state's files stay as they are.

``DRIVERAPI_SOAK`` says for how many seconds, of which the first 10 are not looked at; without it, for 6::

    DRIVERAPI_SOAK=60 pytest tests/kernel/test_soak.py
    DRIVERAPI_SOAK=1800 pytest tests/kernel/test_soak.py
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from driverapi import Controller
from driverapi.bench import probe
from driverapi.bench.namespaces import Sentinel

SECONDS = float(os.environ.get("DRIVERAPI_SOAK", "6"))
FIRST = max(min(SECONDS / 3, 10), 1)
"""Seconds in which pools, caches and allocators fill."""

OURS, KERNELS = 4096, 32768
"""Kilobytes that are no growth; of the kernel's, others on the machine have a part."""

DISK = 4096 + 256
"""Kilobytes that a state of few endpoints may have: SQLite's log begins anew after 1000 pages of 4 KiB."""


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def kernels() -> int:
    """Return the kilobytes of slab that cannot be reclaimed, and of memory of each CPU."""
    told = dict(re.findall(r"(\w+): +(\d+)", Path("/proc/meminfo").read_text()))
    return int(told["SUnreclaim"]) + int(told.get("Percpu", 0))


def settled(figure: Callable[[], int], most: int) -> int:
    """Return a figure when it is no more than that, or what it is after some seconds: the kernel frees late."""
    deadline = time.monotonic() + 10
    while (found := figure()) > most and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def size_of(state: Path) -> int:
    """Return the kilobytes of a state's files on the disk."""
    return sum(one.stat().st_size for one in state.parent.glob(f"{state.name}*")) // 1024


@pytest.mark.parametrize("keeps", [False, True], ids=["", "state"])
@pytest.mark.parametrize("driver", ["bridge", "routed"])
def test_nothing_grows(driver: str, keeps: bool, tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    with Controller(state=state if keeps else None, run_dir=tmp_path / "run") as ctl:
        network = ctl.create_network(driver, "net", ipv4="10.77.0.0/16")
        links = probe.host_links()

        def bursts(until: float) -> None:
            while time.monotonic() < until:
                network.detach(network.attach(100, strict=True))
                opened.add(descriptors())
            Sentinel().wait(links)  # and its namespaces are gone

        start = time.monotonic()
        opened: set[int] = set()
        bursts(start + FIRST)
        opened = {descriptors()}
        memory, kernel = resident(), kernels()
        bursts(start + SECONDS)
        assert len(opened) == 1, f"open descriptors: {opened}"
        assert resident() <= memory + OURS
        assert size_of(state) <= DISK, "the state grows with what was"
        assert settled(kernels, kernel + KERNELS) <= kernel + KERNELS
        network.delete()

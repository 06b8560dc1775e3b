"""Processes that churn are killed at random moments; the next controller finds the truth, and nothing is over.

``DRIVERAPI_CRASH_KILLS`` says how many (100 by default), ``DRIVERAPI_CRASH_SEED`` with which seed::

    DRIVERAPI_CRASH_KILLS=1000 pytest -s tests/crash/test_crash.py

At the end there is a report, printed and, where ``ARTIFACTS`` names a directory, in ``crash.json`` there.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from _fastnet.socket import NetlinkSocket
from driverapi.leftovers import take_inventory, wait_until_drained
from tests.crash.killing import Killing

KILLS = int(os.environ.get("DRIVERAPI_CRASH_KILLS", "100"))
SEED = int(os.environ.get("DRIVERAPI_CRASH_SEED", "20261125"))
ENOUGH = 5
"""Faults after which a run ends."""

pytestmark = pytest.mark.usefixtures("private_kernel")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory, in memory where that can be: each start waits for a disk a few times."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as directory:
        yield Path(directory)


def test_killed_at_random_moments(place: Path, host: NetlinkSocket, same_descriptors: None) -> None:
    before = take_inventory(str(place))
    killing = Killing(place, SEED)
    try:
        while killing.kills < KILLS and len(killing.faults) < ENOUGH:
            killing.once()
        report = killing.report()
        killing.clear()
    finally:
        killing.close()
    text = json.dumps(report, indent=2)
    print(text)
    if directory := os.environ.get("ARTIFACTS"):
        Path(directory, "crash.json").write_text(text + "\n")
    assert killing.faults == []
    assert report["kills"] == KILLS
    assert report["calls reported done"] > KILLS
    assert report["found and mended"]["starts that mended"] > KILLS // 20, "nothing was under way"
    assert not wait_until_drained(before, str(place), 20)
    assert list((place / "run").iterdir()) == []

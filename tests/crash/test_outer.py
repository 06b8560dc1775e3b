"""As on a machine of its own: in an outer network and mount namespace a churner is killed, and the doctor comes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.test_doctor import CHURN

pytestmark = pytest.mark.usefixtures("private_kernel")


class Outer:
    """A network and a mount namespace, alive as long as a process that only waits."""

    def __init__(self) -> None:
        # It tells when it is there: before, its namespaces are still ours.
        command = ["unshare", "-n", "-m", "--propagation", "private", "sh", "-c", "echo there; exec cat"]
        self.holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.holder.stdout is not None
        assert self.holder.stdout.readline() == b"there\n"

    def inside(self, *command: str) -> list[str]:
        return ["nsenter", f"--target={self.holder.pid}", "--net", "--mount", "--", *command]

    def count(self) -> tuple[int, int]:
        """Return how many links and namespaces' mounts there are."""
        links = subprocess.run(self.inside("ip", "-j", "link"), check=True, capture_output=True)
        mounts = Path(f"/proc/{self.holder.pid}/mountinfo").read_text().splitlines()
        return len(json.loads(links.stdout)), sum(" nsfs " in line for line in mounts)

    def end(self) -> None:
        assert self.holder.stdin is not None
        assert self.holder.stdout is not None
        self.holder.stdin.close()
        self.holder.stdout.close()
        self.holder.wait(10)


@pytest.fixture
def outer() -> Iterator[Outer]:
    made = Outer()
    try:
        yield made
    finally:
        made.end()


def doctor(outer: Outer, run: Path, *options: str, status: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "driverapi", "doctor", "--json", f"--run-dir={run}", *options]
    environment = {**os.environ, "DRIVERAPI_STATE": str(run.parent / "none.db")}
    done = subprocess.run(outer.inside(*command), capture_output=True, check=False, env=environment)
    assert done.returncode == status, (done.stdout, done.stderr)
    document: dict[str, Any] = json.loads(done.stdout)
    assert document["ok"] is (status == 0)
    return document


def churn_and_kill(outer: Outer, run: Path, state: Path | None) -> None:
    """Run a churner there, and kill it with -9 when it has brought things up."""
    child = subprocess.Popen(
        outer.inside(sys.executable, "-c", CHURN, str(state or ""), str(run)), stdout=subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(0.2)
        assert doctor(outer, run, "--no-probe", status=0)["instances"][0]["owner"] == "process"
    finally:
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        child.stdout.close()  # type: ignore[union-attr]


def test_killed_with_state_and_mended(outer: Outer, tmp_path: Path) -> None:
    run, state = tmp_path / "run", tmp_path / "state.db"
    before = outer.count()
    churn_and_kill(outer, run, state)
    left = doctor(outer, run, status=1)
    assert "unclean" in {one["kind"] for one in left["findings"]}
    [instance] = left["instances"]
    assert instance["links"] > 0
    assert instance["namespaces"] > 0

    mended = doctor(outer, run, "--fix", "--no-probe", status=0)  # what was half-done goes, what was done stays
    assert mended["fixed"]
    assert mended["found"] == left["findings"]
    after = doctor(outer, run, "--no-probe", status=0)
    assert after["findings"] == []
    assert after["instances"][0]["links"] > 0

    for path in tmp_path.glob("state.db*"):  # without its state nobody owns the rest
        path.unlink()
    left = doctor(outer, run, "--no-probe", status=1)
    assert [one["kind"] for one in left["findings"]] == ["orphan"]
    assert doctor(outer, run, "--fix", "--no-probe", status=0)["fixed"]
    last = doctor(outer, run, "--no-probe", status=0)
    assert (last["findings"], last["instances"]) == ([], [])
    assert list(run.iterdir()) == []
    assert outer.count() == before


def test_killed_without_state_and_taken_away(outer: Outer, tmp_path: Path) -> None:
    run = tmp_path / "run"
    before = outer.count()
    churn_and_kill(outer, run, None)
    [finding] = doctor(outer, run, "--no-probe", status=1)["findings"]
    assert finding["kind"] == "orphan"
    assert outer.count() > before
    doctor(outer, run, "--fix", "--no-probe", status=0)
    last = doctor(outer, run, "--no-probe", status=0)
    assert (last["findings"], last["instances"]) == ([], [])
    assert outer.count() == before

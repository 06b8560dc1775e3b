"""The floor program of the benchmarks: it compiles without a warning, and does what it says."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

SOURCES = Path(__file__).parents[2] / "benchmarks" / "floor"


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    program = tmp_path_factory.mktemp("floor") / "floor"
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-pthread"]
    subprocess.run([compiler, *flags, "-o", program, *SOURCES.glob("*.c")], check=True, timeout=60)
    return program


def run(*command: str | Path) -> dict[str, Any]:
    done = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.mark.parametrize("mode", ["bridge", "routed"])
@pytest.mark.parametrize("how", [(), ("--single",), ("--down", "netns")])
def test_up_and_down(floor: Path, mode: str, how: tuple[str, ...]) -> None:
    found = run(floor, mode, "70", *how)
    assert found["mode"] == mode
    assert found["endpoints"] == 70
    assert found["curve"][-1][0] == 70
    assert 0 < found["curve"][0][1] < found["up"]
    assert 0 < found["down"] <= found["drained"]


def test_bursts(floor: Path) -> None:
    found = run(floor, "routed", "--soak", "1", "--burst", "20")
    assert found["endpoints"] % 20 == 0
    assert found["per_second"] > 0


def test_bad_arguments_are_refused(floor: Path) -> None:
    for arguments in ([], ["vlan"], ["bridge", "0"], ["bridge", "--chunk"]):
        refused = subprocess.run([floor, *arguments], capture_output=True, text=True, timeout=10)
        assert refused.returncode == 1
        assert refused.stderr.startswith("floor: ")

"""The checks that CI makes of results can fail."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CHECK = Path(__file__).parents[2] / ".ci" / "check_results.py"


def check(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(CHECK), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def junit(file: Path, cases: str) -> Path:
    file.write_text(f'<testsuites><testsuite name="pytest">{cases}</testsuite></testsuites>')
    return file


UNIT = '<testcase classname="tests.unit.test_a" name="test_one"><skipped/></testcase>'
KERNEL = '<testcase classname="tests.kernel.test_bridge" name="test_up"/>'
SKIPPED = '<testcase classname="tests.kernel.test_bridge.TestX" name="test_down"><skipped/></testcase>'


def test_kernel_tests_that_ran_will_do(tmp_path: Path) -> None:
    done = check("tests", junit(tmp_path / "r.xml", UNIT + KERNEL))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("cases", "reason"), [(UNIT, "no test of tests.kernel"), (KERNEL + SKIPPED, "TestX::test_down")]
)
def test_kernel_tests_that_did_not_run_will_not(tmp_path: Path, cases: str, reason: str) -> None:
    done = check("tests", junit(tmp_path / "r.xml", cases))
    assert done.returncode != 0
    assert reason in done.stderr


GOOD: dict[str, Any] = {
    "endpoints": 9,
    "driver": "bridge",
    "phases": {"bring up": {"seconds": 1.5, "per_second": 6.0}},
    "reachable": 9,
    "left": {"links": 0, "namespaces": 0, "addresses": 0},
}


def test_a_good_demo(tmp_path: Path) -> None:
    file = tmp_path / "demo.json"
    file.write_text(json.dumps(GOOD))
    done = check("demo", file, 9)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "",
        json.dumps(GOOD) + "\nmore",
        json.dumps(GOOD | {"reachable": 8}),
        json.dumps(GOOD | {"endpoints": 8}),
        json.dumps(GOOD | {"left": {"links": 1, "namespaces": 0, "addresses": 0}}),
        json.dumps(GOOD | {"left": {}}),
        json.dumps(GOOD | {"phases": {"bring up": {"seconds": 1.5}}}),
    ],
)
def test_a_demo_that_will_not_do(tmp_path: Path, text: str) -> None:
    file = tmp_path / "demo.json"
    file.write_text(text)
    assert check("demo", file, 9).returncode != 0

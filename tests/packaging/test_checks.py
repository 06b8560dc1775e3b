"""The checks that CI makes of results can fail."""

from __future__ import annotations

import json
import runpy
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


UNIT = '<testcase classname="tests.unit.test_a" name="test_one"/>'
KERNEL = '<testcase classname="tests.kernel.test_bridge" name="test_up"/>'
SKIPPED = '<testcase classname="tests.kernel.test_bridge.TestX" name="test_down"><skipped/></testcase>'
WHOLE_MODULE = '<testcase classname="" name="tests.typing.test_typing"><skipped/></testcase>'
RAN = ("--ran", "tests.kernel")


@pytest.mark.parametrize(
    ("cases", "may_skip"),
    [
        (UNIT + KERNEL, []),
        (KERNEL + SKIPPED, ["tests.kernel.test_bridge.TestX::test_down"]),
        (KERNEL + WHOLE_MODULE, ["tests.typing.test_typing"]),
    ],
)
def test_tests_that_ran_will_do(tmp_path: Path, cases: str, may_skip: list[str]) -> None:
    done = check("tests", junit(tmp_path / "r.xml", cases), *RAN, *(f"--may-skip={name}" for name in may_skip))
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in may_skip)


@pytest.mark.parametrize(
    ("cases", "may_skip", "reason"),
    [
        (UNIT, [], "no test of tests.kernel"),
        (UNIT + SKIPPED, ["tests.kernel.test_bridge.TestX::test_down"], "no test of tests.kernel"),
        (KERNEL + SKIPPED, [], "TestX::test_down"),
        (KERNEL + SKIPPED, ["test_down"], "TestX::test_down"),
        (KERNEL + WHOLE_MODULE, [], "tests.typing.test_typing"),
    ],
)
def test_tests_that_did_not_run_will_not(tmp_path: Path, cases: str, may_skip: list[str], reason: str) -> None:
    done = check("tests", junit(tmp_path / "r.xml", cases), *RAN, *(f"--may-skip={name}" for name in may_skip))
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


def bench_row(**ratios: float | None) -> dict[str, Any]:
    """A row of bring-up; ``None`` stands for a peer that was skipped."""
    wanted = {"pyroute2": 10.0, "pyroute2_nofork": 4.0, "pyroute2_plain": 50.0} | ratios
    peers = {
        name.replace("_", "-"): {"skipped": "not installed", "ratio": None} if ratio is None else {"ratio": ratio}
        for name, ratio in wanted.items()
        if ratio != -1
    }
    return {"family": "bringup", "workload": "up, IPv4", "ours": {"median": 1e-3}, "peers": peers}


def check_bench(file: Path, *rows: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    file.write_text(json.dumps({"rows": rows}))
    return check("bench", file, "bringup")


def test_a_good_benchmark(tmp_path: Path) -> None:
    down = bench_row(pyroute2=0.5) | {"workload": "down, IPv4"}  # of the teardown nothing is asked
    done = check_bench(tmp_path / "b.json", bench_row(), down)
    assert done.returncode == 0, done.stderr
    assert "pyroute2-plain 50.0x" in done.stdout


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "bringup: no row"),
        ([bench_row() | {"ours": {"error": "it broke"}}], "it broke"),
        ([bench_row(pyroute2=-1)], "pyroute2 is not there"),
        ([bench_row(pyroute2_plain=None)], "pyroute2-plain has no ratio: not installed"),
        ([bench_row(pyroute2=1.9)], "1.90 times faster than pyroute2,"),
        ([bench_row(pyroute2_nofork=1.9)], "1.90 times faster than pyroute2-nofork,"),
        ([bench_row(pyroute2_plain=5.9)], "5.90 times faster than pyroute2-plain,"),
    ],
)
def test_a_benchmark_that_will_not_do(tmp_path: Path, rows: list[dict[str, Any]], reason: str) -> None:
    done = check_bench(tmp_path / "b.json", *rows)
    assert done.returncode != 0
    assert reason in done.stderr


def test_the_peers_that_ci_expects_are_those_that_there_are() -> None:
    from driverapi.bench import OURS, workloads

    names: dict[str, set[str]] = {}
    for one in workloads():
        names.setdefault(one.family, set()).update(who.name for who in one.contenders if not who.reference)
    for family in names.values():
        family.remove(OURS)
    assert names == runpy.run_path(str(CHECK))["PEERS"]

"""Family ``churn`` of the benchmarks: everyone makes the same, and *down* is over when it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from driverapi.bench import Workload, WrongResultError, find, probe, workloads
from driverapi.bench.churn import Ours
from driverapi.bench.namespaces import Sentinel, drop_namespaces, make_namespaces
from driverapi.bench.runner import Skipped, WorkerProcess
from driverapi.dataplane import star

_BRIDGE = "up, bridge, 1000 at once"
_ROWS = [
    _BRIDGE,
    "up, routed, 1000 at once",
    "up, sandboxes exist, 1000 at once",
    "one from the warm pool, beside a teardown, one every 2 ms",
    "one attach, bridge, beside a teardown of 1000",
    "up and down, routed, 100 at once, 60 s",
]


def pairs() -> list[object]:
    """Return (workload, contender), each contender in one workload of each kind."""
    return [
        pytest.param(find("churn", row), one.name, id=f"{row.partition(' at once')[0]}-{one.name}")
        for row in _ROWS
        for one in find("churn", row).contenders
        if row == _BRIDGE or not one.name.startswith("docker")  # an engine takes a second
    ]


@pytest.mark.parametrize(("workload", "contender"), pairs())
def test_contender(workload: Workload, contender: str) -> None:
    """Its worker reads back and pings what it has made, and waits until it is gone; the second round begins afresh."""
    try:
        with WorkerProcess(workload, contender, quick=True) as worker:
            for _ in range(2):
                told = worker.ask("round")
                assert told["run"] > 0
                assert told["teardown"] > 0
    except Skipped as reason:
        pytest.skip(f"{contender}: {reason}")


def test_bridges_that_many_need_stay_until_the_network_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(star, "PORTS", 2)
    before = probe.host_links()
    task = Ours({"driver": "bridge", "count": 5}, 1)
    task.setup()
    task.run()
    task.check()
    assert probe.host_links() > before + 1 + task.units + 1  # its bridge, the endpoints, the sentinel
    task.teardown()
    task.settle()
    task._controller.close()
    assert probe.host_links() == before


def test_every_contender_is_tried() -> None:
    tried = {one.name for row in _ROWS for one in find("churn", row).contenders}
    assert tried == {one.name for row in workloads() if row.family == "churn" for one in row.contenders}


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    return [str(tmp_path / str(number)) for number in range(3)]


def test_namespaces_for_others(paths: list[str]) -> None:
    here = os.stat("/proc/self/ns/net")
    make_namespaces(paths)
    assert len({os.stat(one).st_ino for one in (*paths, "/proc/self/ns/net")}) == 4
    with pytest.raises(WrongResultError) as caught:
        probe.check_sandboxes(paths[:1], [])
    assert "lo is down" not in str(caught.value)
    drop_namespaces(paths)
    assert not any(os.path.exists(one) for one in paths)
    assert os.path.samestat(here, os.stat("/proc/self/ns/net"))


def test_sentinel_goes_after_those_before_it(paths: list[str]) -> None:
    """A namespace that somebody still holds keeps its link, and it is waited for."""
    before = probe.host_links()
    sentinel = Sentinel()
    assert probe.host_links() == before + 1
    sentinel.wait(before)
    assert probe.host_links() == before
    kept, dropped = Sentinel(), Sentinel()
    with pytest.raises(WrongResultError, match="1 links are left"):
        dropped.wait(before, seconds=0.3)
    kept.wait(before)

"""The benchmark runner: its arithmetic, who takes part, and the shape of its document."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from driverapi.bench import (
    DEFAULT_FAMILIES,
    FAMILIES,
    OURS,
    Contender,
    Task,
    Workload,
    WrongResultError,
    find,
    run,
    runner,
    worker,
    workloads,
)
from driverapi.bench.alloc import PoolTask
from driverapi.bench.runner import WorkerProcess
from driverapi.bench.stats import details, ratio, summarise, verdict
from driverapi.bench.task import CannotTakePartError, Target
from driverapi.bench.words import verdict_word


class TestStatistics:
    def test_figures_are_per_unit(self) -> None:
        figure = summarise([4.0, 2.0, 12.0], units=4)
        assert figure["rounds"] == [1.0, 0.5, 3.0]
        assert (figure["median"], figure["min"], figure["max"]) == (1.0, 0.5, 3.0)
        assert figure["per_second"] == 1.0
        assert figure["units"] == 4

    def test_contenders_with_rounds_of_other_sizes_compare(self) -> None:
        assert ratio(summarise([1.0], 1000), summarise([1.0], 100))["ratio"] == pytest.approx(10)

    def test_ratio_above_one_says_that_ours_is_faster(self) -> None:
        ours, peer = summarise([1.0], 1), summarise([3.0], 1)
        assert ratio(ours, peer)["ratio"] == 3.0
        assert ratio(peer, ours)["ratio"] == pytest.approx(1 / 3)

    def test_ratio_is_between_neighbouring_rounds(self) -> None:
        """A machine that is ten times slower in one round is so for both: the ratio stays."""
        ours, peer = summarise([1.0, 10.0, 1.0], 1), summarise([2.0, 20.0, 2.5], 1)
        assert ratio(ours, peer) == {"ratio": 2.0, "ratio_min": 2.0, "ratio_max": 2.5}

    def test_marks_are_medians_of_their_places(self) -> None:
        told = details([{"marks": [1.0, 5.0]}, {"marks": [3.0, 4.0]}, {"marks": [2.0, 9.0]}, {}])
        assert told == {"marks": [2.0, 5.0]}

    def test_half_of_the_samples_and_99_of_100(self) -> None:
        told = details([{"samples": list(range(51))}, {"samples": list(range(51, 101))}])
        assert told == {"p50": 50, "p99": 99, "samples": 101}

    def test_rounds_that_tell_nothing_more(self) -> None:
        assert details([{"run": 1.0}]) == {}

    def test_nothing_cannot_be_summarised(self) -> None:
        with pytest.raises(ValueError, match="no round"):
            summarise([], 1)
        with pytest.raises(ValueError, match="0 units"):
            summarise([1.0], 0)


class TestTargets:
    OURS = {  # noqa: RUF012 - read only
        "median": 2e-9,
        "memory": {"held": 3_000, "peak": 4_000},
        "marks": [9.0, 2.0, 2.5, 3.0],
        "p50": 1e-6,
        "p99": 3e-6,
    }
    PEERS = {"floor": {"ratio": 0.8, "memory": {"held": 1_000, "peak": 1_000}}}  # noqa: RUF012

    @pytest.mark.parametrize(
        ("of", "limit", "measured", "met"),
        [
            ("seconds", 2e-9, 2e-9, True),
            ("seconds", 1e-9, 2e-9, False),
            ("times slower", 1.25, 1.25, True),
            ("times slower", 1.2, 1.25, False),
            ("times faster", 0.8, 0.8, True),
            ("times faster", 0.9, 0.8, False),
            ("bytes", 3_000, 3_000, True),
            ("bytes", 2_999, 3_000, False),
            ("bytes each", 20, 20, True),
            ("bytes each", 19, 20, False),
            ("growth", 1.5, 1.5, True),
            ("growth", 1.4, 1.5, False),
            ("p50", 1e-6, 1e-6, True),
            ("p99", 1e-6, 3e-6, False),
        ],
    )
    def test_met_or_missed(self, of: str, limit: float, measured: float, met: bool) -> None:
        said = verdict(Target("it", of, limit, "floor", each=100), self.OURS, self.PEERS)
        assert said["measured"] == pytest.approx(measured)
        assert said["met"] is met

    @pytest.mark.parametrize("of", ["seconds", "times slower", "times faster", "bytes", "bytes each", "growth", "p99"])
    def test_what_was_not_measured_is_neither(self, of: str) -> None:
        said = verdict(Target("it", of, 1, "floor"), {"error": "it broke"}, {"floor": {"ratio": None}})
        assert (said["measured"], said["met"]) == (None, None)

    def test_of_nothing_known(self) -> None:
        with pytest.raises(ValueError, match="parsecs"):
            verdict(Target("it", "parsecs", 1), self.OURS, self.PEERS)

    def test_every_target_names_a_contender(self) -> None:
        for workload in workloads():
            for target in (*workload.targets, *workload.teardown_targets):
                assert target.of in {"seconds", "bytes", "growth", "p50", "p99"} or workload.contender(target.against)
                assert workload.memory or not target.of.startswith("bytes")
                verdict(target, self.OURS, {target.against: self.PEERS["floor"]})


class TestTable:
    def test_names_are_unique_and_ours_comes_first(self) -> None:
        table = workloads()
        assert len({(one.family, one.name) for one in table}) == len(table)
        for one in table:
            names = [contender.name for contender in one.contenders]
            assert names[0] == OURS
            assert len(set(names)) == len(names)

    def test_every_family_has_workloads(self) -> None:
        assert {one.family for one in workloads()} == set(FAMILIES)
        assert set(DEFAULT_FAMILIES) < set(FAMILIES)

    @pytest.mark.parametrize("workload", workloads(), ids=lambda one: f"{one.family}-{one.name}")
    def test_every_task_loads(self, workload: Workload) -> None:
        for contender in workload.contenders:
            assert issubclass(contender.load(), Task)

    def test_quick_parameters_are_laid_over(self) -> None:
        workload = find("alloc", "IPv4 single")
        assert workload.given(quick=True)["count"] < workload.given(quick=False)["count"]
        assert workload.given(quick=True)["prefix"] == workload.given(quick=False)["prefix"]

    def test_unknown_names(self) -> None:
        with pytest.raises(KeyError, match="no workload 'x'"):
            find("alloc", "x")
        with pytest.raises(KeyError, match="no contender 'x'"):
            find("alloc", "IPv4 single").contender("x")


class Given(PoolTask):
    """Gives out what it is told to."""

    def __init__(self, *given: int) -> None:
        super().__init__({"prefix": "10.0.0.0/24", "count": 2}, 1)
        self.given = given

    def run(self) -> None:
        """Nothing."""

    def number(self, address: int) -> int:
        """Return the address."""
        return address


class TestCheck:
    def test_right(self) -> None:
        Given(0x0A000001, 0x0A0000FE).check()

    @pytest.mark.parametrize(
        "given",
        [(0x0A000001,), (0x0A000001, 0x0A000001), (0x0A000000, 0x0A000001), (0x0A000001, 0x0A000100)],
        ids=["missing", "twice", "the network's", "outside"],
    )
    def test_wrong(self, given: tuple[int, ...]) -> None:
        with pytest.raises(WrongResultError):
            Given(*given).check()


FAKE_WORKER = """
import json, sys

name, log, behaviour, seconds = sys.argv[1:]
if behaviour == "skips":
    print(json.dumps({"skipped": "it is not installed"}), flush=True)
    sys.exit(0)
print(json.dumps({"ready": True, "units": 10, "version": "1.0"}), flush=True)
for line in sys.stdin:
    with open(log, "a") as turns:
        turns.write(name + " ")
    if behaviour == "is wrong":
        print(json.dumps({"error": "WrongResultError: two and two are five"}), flush=True)
        sys.exit(1)
    if behaviour == "dies":
        print("last words", file=sys.stderr, flush=True)
        sys.exit(7)
    if line.strip() == "memory":
        print(json.dumps({"held": 100, "peak": 200}), flush=True)
    else:
        print(json.dumps({"run": float(seconds), "teardown": 2 * float(seconds)}), flush=True)
"""

Behave = Callable[..., Workload]


@pytest.fixture
def behave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Behave:
    """Return what makes a workload whose contenders are processes that behave as told."""
    script = tmp_path / "worker.py"
    script.write_text(FAKE_WORKER)

    def make(contenders: dict[str, tuple[str, float]], **more: Any) -> Workload:
        def command(workload: Workload, contender: str, *, quick: bool, seed: int) -> list[str]:
            behaviour, seconds = contenders[contender]
            return [sys.executable, str(script), contender, str(tmp_path / "turns"), behaviour, str(seconds)]

        monkeypatch.setattr(runner, "worker_command", command)
        them = tuple(Contender(name, "none:None") for name in contenders)
        return Workload("alloc", "fake", "thing", them, {"count": 10}, **more)

    return make


class TestRunner:
    def test_contenders_take_turns(self, behave: Behave, tmp_path: Path) -> None:
        runner.run_workload(behave({OURS: ("works", 1.0), "peer": ("works", 2.0)}, rounds=3, warm_up=0))
        assert (tmp_path / "turns").read_text().split() == [OURS, "peer"] * 3

    def test_warm_up_is_thrown_away(self, behave: Behave, tmp_path: Path) -> None:
        (row,) = runner.run_workload(behave({OURS: ("works", 1.0)}, rounds=3, warm_up=2))
        assert len((tmp_path / "turns").read_text().split()) == 5
        assert row["ours"]["rounds"] == [0.1] * 3

    def test_the_machine_rests_before_each_round(self, behave: Behave, monkeypatch: pytest.MonkeyPatch) -> None:
        rests: list[float] = []
        monkeypatch.setattr(runner, "sleep", rests.append)
        workload = behave({OURS: ("works", 1.0), "peer": ("works", 2.0)}, rounds=2, quick_rounds=1, rest=0.5)
        runner.run_workload(workload)
        assert rests == [0.5] * 6  # warm-up included
        runner.run_workload(workload, quick=True)
        runner.run_workload(behave({OURS: ("works", 1.0)}, rounds=2))
        assert rests == [0.5] * 6

    def test_row(self, behave: Behave) -> None:
        (row,) = runner.run_workload(behave({OURS: ("works", 1.0), "peer": ("works", 4.0)}))
        assert (row["family"], row["workload"], row["unit"]) == ("alloc", "fake", "thing")
        assert row["ours"]["per_second"] == pytest.approx(10)
        assert row["peers"]["peer"]["ratio"] == pytest.approx(4)
        assert row["peers"]["peer"]["version"] == "1.0"

    def test_teardown_is_a_row_of_its_own(self, behave: Behave) -> None:
        up, down = runner.run_workload(behave({OURS: ("works", 1.0)}, teardown="fake, down"))
        assert (up["workload"], down["workload"]) == ("fake", "fake, down")
        assert (up["ours"]["median"], down["ours"]["median"]) == (0.1, 0.2)

    def test_missing_peer_is_named_and_skipped(self, behave: Behave) -> None:
        them = {OURS: ("works", 1.0), "gone": ("skips", 0.0), "peer": ("works", 2.0)}
        (row,) = runner.run_workload(behave(them))
        assert row["peers"]["gone"] == {"skipped": "it is not installed", "ratio": None}
        assert row["peers"]["peer"]["ratio"] == pytest.approx(2)

    @pytest.mark.parametrize(("how", "says"), [("is wrong", "two and two are five"), ("dies", "status 7.*last words")])
    def test_failing_peer_has_the_reason_and_no_figure(self, behave: Behave, how: str, says: str) -> None:
        them = {OURS: ("works", 1.0), "bad": (how, 0.0), "peer": ("works", 2.0)}
        (row,) = runner.run_workload(behave(them))
        assert re.search(says, row["peers"]["bad"].pop("error"))
        assert row["peers"]["bad"] == {"ratio": None}
        assert row["peers"]["peer"]["ratio"] == pytest.approx(2)

    def test_without_ours_there_is_no_ratio(self, behave: Behave) -> None:
        (row,) = runner.run_workload(behave({OURS: ("is wrong", 0.0), "peer": ("works", 2.0)}))
        assert list(row["ours"]) == ["error"]
        assert row["peers"]["peer"]["ratio"] is None
        assert row["peers"]["peer"]["median"] == pytest.approx(0.2)

    def test_memory_is_no_round(self, behave: Behave) -> None:
        (row,) = runner.run_workload(behave({OURS: ("works", 1.0), "peer": ("works", 2.0)}, rounds=3, memory=True))
        assert row["ours"]["memory"] == row["peers"]["peer"]["memory"] == {"held": 100, "peak": 200}
        assert len(row["ours"]["rounds"]) == 3

    def test_targets(self, behave: Behave) -> None:
        target = Target("at least thrice", "times faster", 3, "peer")
        (row,) = runner.run_workload(behave({OURS: ("works", 1.0), "peer": ("works", 2.0)}, targets=(target,)))
        assert row["targets"] == [verdict(target, row["ours"], row["peers"])]
        assert row["targets"][0]["met"] is False

    @pytest.mark.parametrize(("quick", "less"), [(True, {"count": 1}), (True, {}), (False, {"count": 1})])
    def test_a_target_of_a_quick_run_says_so(self, behave: Behave, quick: bool, less: dict[str, int]) -> None:
        target = Target("at least thrice", "times faster", 3, "peer")
        chosen = behave({OURS: ("works", 1.0), "peer": ("works", 2.0)}, targets=(target,), quick=less)
        (row,) = runner.run_workload(chosen, quick=quick)
        said = row["targets"][0]
        assert said.get("reduced", False) is (quick and bool(less))
        assert verdict_word(said) == ("missed on less work" if quick and less else "missed")

    def test_without_peers(self, behave: Behave, tmp_path: Path) -> None:
        (row,) = runner.run_workload(behave({OURS: ("works", 1.0), "peer": ("works", 2.0)}), peers=False)
        assert row["peers"] == {}
        assert set((tmp_path / "turns").read_text().split()) == {OURS}

    def test_yardsticks_are_no_peers(self, behave: Behave, tmp_path: Path) -> None:
        workload = behave({OURS: ("works", 1.0), "floor": ("works", 0.5), "peer": ("works", 2.0)})
        ours, floor, peer = workload.contenders
        workload = replace(workload, contenders=(ours, replace(floor, reference=True), peer))
        (row,) = runner.run_workload(workload, peers=False)
        assert list(row["peers"]) == ["floor"]

    def test_quick_runs_leave_the_thorough_out(self, behave: Behave, monkeypatch: pytest.MonkeyPatch) -> None:
        workload = behave({OURS: ("works", 1.0)})
        table = (workload, replace(workload, name="long", thorough=True))
        monkeypatch.setattr(runner, "workloads", lambda: table)
        names = [[row["workload"] for row in run({"alloc"}, quick=quick)["rows"]] for quick in (True, False)]
        assert names == [["fake"], ["fake", "long"]]

    def test_processes_are_gone_afterwards(self, behave: Behave) -> None:
        workload = behave({OURS: ("works", 1.0), "bad": ("dies", 0.0)})
        worker = WorkerProcess(workload, OURS)
        worker.close()
        worker.close()
        assert worker.pid > 0
        with pytest.raises(ProcessLookupError):
            os.kill(worker.pid, 0)


class TestWorker:
    def test_peer_that_is_not_installed(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(worker, "find_spec", lambda name: None)
        assert worker.main(["alloc", "netaddr+set"]) == 0
        assert json.loads(capsys.readouterr().out) == {"skipped": "netaddr is not installed"}

    def test_contender_that_cannot_take_part(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def cannot(contender: Contender) -> type[Task]:
            raise CannotTakePartError("the moon is not full")

        monkeypatch.setattr(Contender, "load", cannot)
        assert worker.main(["alloc", "netaddr+set"]) == 0
        assert json.loads(capsys.readouterr().out) == {"skipped": "the moon is not full"}

    def test_who_holds_the_clock(self) -> None:
        """What the task tells goes before what the worker measured, and its parts are passed on."""

        class Elsewhere(Task):
            def run(self) -> float:
                self.marks, self.samples = [1.0], [2.0]
                return 100.0

            def teardown(self) -> float:
                return 200.0

        told = worker._Rounds(Elsewhere({"count": 1}, 1)).round()
        assert told == {"run": 100.0, "marks": [1.0], "samples": [2.0], "teardown": 200.0}

    def test_failure_is_said_and_shown(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(worker, "_serve", lambda task, commands: 1 / 0)
        assert worker.main(["alloc", "ipaddress+set", "--quick"]) == 1
        out, err = capsys.readouterr()
        assert json.loads(out.splitlines()[-1]) == {"error": "ZeroDivisionError: division by zero"}
        assert "Traceback" in err

    def test_unknown_contender(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            worker.main(["alloc", "nobody"])
        assert "no contender 'nobody'" in capsys.readouterr().err

    def test_rounds_of_its_own_accord(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert worker.main(["alloc", "ipaddress+set", "--quick", "--rounds", "2"]) == 0
        ready, *rounds = map(json.loads, capsys.readouterr().out.splitlines())
        assert ready["ready"] is True
        assert [set(one) for one in rounds] == [{"run", "teardown"}] * 2
        assert all(one["run"] > 0 for one in rounds)


@pytest.mark.parametrize("kind", ["Veth", "Address", "Route"])
def test_all_encode_the_same_messages(kind: str) -> None:
    """What ours and both peers encode, pyroute2 decodes to the same meaning."""
    from pyroute2.netlink.rtnl.marshal import MarshalRtnl

    from driverapi.bench import encode
    from driverapi.bench.peers import pyroute2_encode

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            left_out = {"header", "__align", "event", "state"}
            return {key: plain(one) for key, one in value.items() if key not in left_out}
        if type(value).__name__ == "nla_slot":
            return value.name, plain(value.value)
        if isinstance(value, (list, tuple)):
            return sorted((plain(one) for one in value), key=repr)
        return value

    def decoded(task: Task) -> list[Any]:
        task.setup()
        task.run()
        task.check()
        data = bytes(getattr(task, "batch", None) or getattr(task, "buffer"))  # noqa: B009 - of two kinds
        task.teardown()
        return [plain(message) for message in MarshalRtnl().parse(data)]

    given = {"count": encode.BATCH}
    classes = (
        getattr(encode, f"Ours{kind}"),
        getattr(pyroute2_encode, f"Message{kind}"),
        getattr(pyroute2_encode, f"Batch{kind}"),
    )
    ours, message, batch = (decoded(one(given, 1)) for one in classes)
    assert len(ours) == encode.BATCH
    assert ours == message
    assert message == batch


def test_quick_run_is_one_document_of_plain_data() -> None:
    told: list[str] = []
    workload = find("alloc", "IPv4 single")
    result = json.loads(json.dumps(run(only=[workload], quick=True, progress=told.append)))
    assert {"python", "kernel", "cpus"} <= set(result["machine"])
    (row,) = result["rows"]
    assert {"family", "workload", "unit", "parameters", "ours", "peers", "targets"} <= set(row)
    assert set(row["peers"]) == {one.name for one in workload.contenders[1:]}
    for figure in (row["ours"], *row["peers"].values()):
        assert 0 < figure["min"] <= figure["median"] <= figure["max"]
        assert len(figure["rounds"]) == workload.quick_rounds
    for figure in row["peers"].values():
        assert figure["ratio_min"] <= figure["ratio"] <= figure["ratio_max"]
    assert f"alloc: IPv4 single: {OURS}, round 1 of 2" in told


class TestCommand:
    def test_document(self, behave: Behave, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("click")
        from click.testing import CliRunner

        from driverapi.cli.bench import bench

        workload = behave({OURS: ("works", 1.0), "gone": ("skips", 0.0), "peer": ("works", 2.0)})
        monkeypatch.setattr(runner, "workloads", lambda: (workload,))
        answer = CliRunner().invoke(bench, ["--json", "--quick", "--only", "alloc"])
        assert answer.exit_code == 0
        assert json.loads(answer.stdout)["rows"][0]["peers"]["peer"]["ratio"] == pytest.approx(2)

    def test_report(self, behave: Behave, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        pytest.importorskip("click")
        from click.testing import CliRunner

        from driverapi.cli.bench import bench

        workload = behave({OURS: ("works", 1.0), "peer": ("works", 2.0)})
        monkeypatch.setattr(runner, "workloads", lambda: (workload,))
        first, second = tmp_path / "first", tmp_path / "second"
        answer = CliRunner().invoke(bench, ["--json", "--report", str(first)])
        assert answer.exit_code == 0
        assert json.loads((first / "results.json").read_text()) == json.loads(answer.stdout)
        # Of the record the same page comes, and nothing is measured.
        monkeypatch.setattr(runner, "run", None)
        answer = CliRunner().invoke(bench, ["--from", str(first / "results.json"), "--report", str(second)])
        assert answer.exit_code == 0
        assert (first / "index.html").read_text() == (second / "index.html").read_text()

    def test_a_record_that_is_none(self, tmp_path: Path) -> None:
        pytest.importorskip("click")
        from click.testing import CliRunner

        from driverapi.cli.bench import bench

        file = tmp_path / "it.json"
        file.write_text('{"rows": []}')
        answer = CliRunner().invoke(bench, ["--from", str(file)])
        assert answer.exit_code == 2
        assert "no document of driverapi bench" in answer.output

    def test_table(self, behave: Behave, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("click")
        from click.testing import CliRunner

        from driverapi.cli.bench import bench

        workload = behave({OURS: ("works", 1e-5), "gone": ("skips", 0.0), "peer": ("works", 2e-5)})
        monkeypatch.setattr(runner, "workloads", lambda: (workload,))
        answer = CliRunner().invoke(bench, [])
        assert answer.exit_code == 0
        assert "1.00 M/s" in answer.stdout
        assert "2.00x" in answer.stdout
        assert "gone: skipped: it is not installed" in answer.stdout

    def test_failure_is_the_exit_status(self, behave: Behave, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("click")
        from click.testing import CliRunner

        from driverapi.cli.bench import bench

        workload = behave({OURS: ("works", 1.0), "bad": ("is wrong", 0.0)})
        monkeypatch.setattr(runner, "workloads", lambda: (workload,))
        assert CliRunner().invoke(bench, ["--json"]).exit_code == 1

    def test_unknown_family(self) -> None:
        pytest.importorskip("click")
        from click.testing import CliRunner

        from driverapi.cli.bench import bench

        answer = CliRunner().invoke(bench, ["--only", "alloc,nope"])
        assert answer.exit_code == 2
        assert "no family nope" in answer.output

"""Runs workloads: each contender in a process of its own, all of them taking turns.

The processes of one workload live side by side; while one does a round, the others wait on
their standard input. So rounds go A B C A B C, and a machine that grows warm or busy does so
for all of them; a ratio is taken between rounds that were neighbours.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import sleep
from types import TracebackType
from typing import Any, Self

from driverapi.bench.stats import Figure, details, ratio, summarise, verdict
from driverapi.bench.task import OURS, Workload
from driverapi.bench.workloads import DEFAULT_FAMILIES, workloads

__all__ = ["Skipped", "WorkerFailedError", "WorkerProcess", "machine", "run", "run_workload"]

Progress = Callable[[str], None]

_WARMING = "warming up"


def worker_command(workload: Workload, contender: str, *, quick: bool, seed: int) -> list[str]:
    """Return the command line of one contender's process."""
    command = [sys.executable, "-m", "driverapi.bench.worker", workload.family, contender]
    command += ["--workload", workload.name, "--seed", str(seed), "--serve"]
    return command + ["--quick"] * quick


class Skipped(Exception):  # noqa: N818 - not an error
    """The contender cannot take part here; the text says why."""


class WorkerFailedError(RuntimeError):
    """A worker died, failed at its work, or said something that is none of its words."""


class WorkerProcess:
    """A contender's process, serving rounds.

    Thread safety: one thread at a time.

    Raises
    ------
    Skipped
        The contender is not installed, or not permitted.
    WorkerFailedError
        It died, or its work was wrong; the text says how.
    """

    def __init__(self, workload: Workload, contender: str, *, quick: bool = False, seed: int = 1) -> None:
        self.name = f"{workload.family}/{workload.name}/{contender}"
        # A file, not a pipe: nobody reads it while the worker works.
        self._stderr = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115 - closed by close()
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            worker_command(workload, contender, quick=quick, seed=seed),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            env=os.environ | {"PYTHONHASHSEED": str(seed)},  # sets iterate alike in every run
        )
        try:
            ready = self._answer()
            if "skipped" in ready:
                raise Skipped(ready["skipped"])
            self.units: int = ready["units"]
            self.version: str = ready["version"]
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if isinstance(answer, dict) and "error" not in answer:
            return answer
        if isinstance(answer, dict):
            self._process.wait()
            reason = answer["error"]
        else:
            self._process.kill()
            self._process.wait()
            self._stderr.seek(0)
            said = self._stderr.read().strip().splitlines()
            reason = f"the worker died (status {self._process.returncode}): {(said or [line.strip()])[-1]}"
        raise WorkerFailedError(f"{self.name}: {reason}")

    def ask(self, verb: str) -> dict[str, Any]:
        """Have it do ``round``, or ``setup``, ``run``, ``finish``, ``memory``; return its figures."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # the answer, which is none then, says why
            self._process.stdin.write(verb + "\n")
            self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the process; twice is no error."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                with suppress(BrokenPipeError):
                    pipe.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stderr.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()


def _cpu() -> str:
    """Return the processor's name, as the kernel tells it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    from driverapi import __version__

    return {
        "driverapi": __version__,
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "cpu": _cpu(),
        "cpus": len(os.sched_getaffinity(0)),
        "root": os.geteuid() == 0,
    }


@dataclass(slots=True)
class _Entry:
    """What came of one contender."""

    rounds: list[dict[str, Any]] = field(default_factory=list)
    units: int = 0
    version: str = ""
    memory: dict[str, int] = field(default_factory=dict)
    out: dict[str, str] = field(default_factory=dict)
    """``{"skipped": reason}`` or ``{"error": reason}`` where it gave no figures."""

    def figure(self, phase: str) -> Figure | None:
        """Return its figures of one phase, or None."""
        return None if self.out else summarise([one[phase] for one in self.rounds], self.units)


def _row(workload: Workload, name: str, phase: str, entries: dict[str, _Entry], *, quick: bool) -> dict[str, Any]:
    ours = entries[OURS].figure(phase)
    figures: dict[str, dict[str, Any]] = {}
    for who, entry in entries.items():
        contender = workload.contender(who)
        figure = entry.figure(phase)
        told: dict[str, Any] = {"about": contender.about} if contender.about else {}
        if phase == "run":
            told |= details(entry.rounds)
            told |= {"memory": entry.memory} if entry.memory else {}
        if who == OURS:
            figures[who] = {**(figure or entry.out), **told}
            continue
        if contender.reference:
            told["reference"] = True
        if figure is None:
            figures[who] = {**entry.out, "ratio": None, **told}
        else:
            compared: dict[str, Any] = {"ratio": None} if ours is None else {**ratio(ours, figure)}
            figures[who] = {**figure, **compared, "version": entry.version, **told}
    mine = figures.pop(OURS)
    reduced = quick and workload.given(True) != workload.given(False)
    targets = workload.targets if phase == "run" else workload.teardown_targets
    return {
        "family": workload.family,
        "workload": name,
        "unit": workload.unit,
        "about": workload.about,
        "parameters": workload.given(quick),
        "series": workload.series if phase == "run" else workload.teardown_series,
        "at": workload.at if phase == "run" or workload.teardown_series else "",
        "ours": mine,
        "peers": figures,
        "targets": [{**verdict(one, mine, figures), **({"reduced": True} if reduced else {})} for one in targets],
    }


def run_workload(
    workload: Workload,
    *,
    quick: bool = False,
    peers: bool = True,
    seed: int = 1,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Run one workload and return its rows: one, or two where the teardown is a result too.

    A contender that cannot take part (``skipped``) or that fails (``error``) is in the row
    with the reason; the others go on.
    """
    entries: dict[str, _Entry] = {}
    running: dict[str, WorkerProcess] = {}
    rounds = workload.quick_rounds if quick else workload.rounds
    try:
        for contender in workload.contenders:
            if not (peers or contender.name == OURS or contender.reference):
                continue
            entry = entries[contender.name] = _Entry()
            try:
                worker = WorkerProcess(workload, contender.name, quick=quick, seed=seed)
            except Skipped as reason:
                entry.out["skipped"] = str(reason)
            except WorkerFailedError as error:
                entry.out["error"] = str(error)
            else:
                running[contender.name] = worker
                entry.units, entry.version = worker.units, worker.version

        def turn(verb: str, said: str) -> None:
            """Have each contender do it, one after the other; who fails is out."""
            for who, worker in list(running.items()):
                if progress is not None:
                    progress(f"{workload.family}: {workload.name}: {who}, {said}")
                if workload.rest and not quick:
                    sleep(workload.rest)
                try:
                    answer = worker.ask(verb)
                except WorkerFailedError as error:
                    entries[who].out["error"] = str(error)
                    running.pop(who).close()
                else:
                    if verb == "memory":
                        entries[who].memory = answer
                    elif said != _WARMING:
                        entries[who].rounds.append(answer)

        for _ in range(workload.warm_up):
            turn("round", _WARMING)
        for number in range(1, rounds + 1):
            turn("round", f"round {number} of {rounds}")
        if workload.memory:
            turn("memory", "its memory")
    finally:
        for worker in running.values():
            worker.close()
    rows = [_row(workload, workload.name, "run", entries, quick=quick)]
    if workload.teardown:
        rows.append(_row(workload, workload.teardown, "teardown", entries, quick=quick))
    return rows


def run(
    families: Collection[str] = DEFAULT_FAMILIES,
    *,
    quick: bool = False,
    peers: bool = True,
    seed: int = 1,
    progress: Progress | None = None,
    only: Iterable[Workload] | None = None,
) -> dict[str, Any]:
    """Run families of workloads and return one document of plain data.

    Parameters
    ----------
    families : collection of str
        Of :data:`~driverapi.bench.workloads.FAMILIES`.
    quick : bool
        Small ones, for a look or a smoke test; the ratios are rough.
    peers : bool
        False runs ours and yardsticks only.
    seed : int
        Of every random choice.
    progress : callable, optional
        Told in a line what is going on.
    only : iterable of Workload, optional
        Run these, whatever their family.

    Returns
    -------
    dict
        ``{"machine": …, "date": …, "quick": …, "seed": …, "rows": [{"family", "workload", "unit",
        "about", "parameters", "series", "at", "ours": FIGURE, "peers": {NAME: FIGURE with
        "ratio"}, "targets": […]}]}``. A figure is seconds per unit (``median``, ``min``, ``max``,
        ``rounds``), ``per_second``, ``units`` of a round, and where it was measured ``memory``, the
        bytes ``held`` at the end and at the ``peak``; where cost grows ``marks``, the seconds per
        unit of each part of a round; where single units count ``p50`` and ``p99``. A ratio above 1
        says how many times faster ours is. Who did not take part has ``skipped`` with the reason,
        who failed has ``error``, and no figure. ``"reference": true`` marks what is no alternative
        but a yardstick. A target has its words, the ``limit``, what was ``measured`` and whether it
        is ``met``; ``"reduced": true`` where a quick run measured it on less work.
    """
    table = (one for one in workloads() if one.family in families and not (quick and one.thorough))
    chosen = list(only) if only is not None else list(table)
    rows: list[dict[str, Any]] = []
    for workload in chosen:
        rows += run_workload(workload, quick=quick, peers=peers, seed=seed, progress=progress)
    return {
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "seed": seed,
        "rows": rows,
    }

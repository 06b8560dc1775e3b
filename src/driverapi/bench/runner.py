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
from types import TracebackType
from typing import Any, Self

from driverapi.bench.stats import Figure, ratio, summarise
from driverapi.bench.task import OURS, Workload
from driverapi.bench.workloads import DEFAULT_FAMILIES, workloads

__all__ = ["Skipped", "WorkerFailedError", "WorkerProcess", "machine", "run", "run_workload"]

Progress = Callable[[str], None]


class Skipped(Exception):  # noqa: N818 - not an error
    """The contender cannot take part here; the text says why."""


class WorkerFailedError(RuntimeError):
    """A worker died, or said something that is none of its words."""


class WorkerProcess:
    """A contender's process, serving rounds.

    Thread safety: one thread at a time.

    Raises
    ------
    Skipped
        The contender is not installed, or not permitted.
    WorkerFailedError
        It died; the text ends with what it wrote to its standard error.
    """

    def __init__(self, workload: Workload, contender: str, *, quick: bool = False, seed: int = 1) -> None:
        self.name = f"{workload.family}/{workload.name}/{contender}"
        command = [sys.executable, "-m", "driverapi.bench.worker", workload.family, contender]
        command += ["--workload", workload.name, "--seed", str(seed), "--serve"]
        # A file, not a pipe: nobody reads it while the worker works.
        self._stderr = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115 - closed by close()
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command + ["--quick"] * quick,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            # The worker must find what we found, and hash alike in every run.
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONHASHSEED": str(seed)},
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

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101 - for the type checker
        line = self._process.stdout.readline()
        try:
            answer = json.loads(line)
            if isinstance(answer, dict):
                return answer
        except ValueError:
            pass
        self._process.kill()
        self._process.wait()
        self._stderr.seek(0)
        said = self._stderr.read().strip()[-2000:]
        raise WorkerFailedError(f"{self.name}: the worker failed (status {self._process.returncode}): {line.strip()}{said}")

    def ask(self, verb: str) -> dict[str, Any]:
        """Have it do ``round``, or ``setup``, ``run``, ``finish``; return its seconds."""
        assert self._process.stdin is not None  # noqa: S101 - for the type checker
        try:
            self._process.stdin.write(verb + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer, which is none, says why
        return self._answer()

    def close(self) -> None:
        """End the process; twice is no error."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass
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


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    from driverapi import __version__

    return {
        "driverapi": __version__,
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "root": os.geteuid() == 0,
    }


def _row(
    workload: Workload,
    name: str,
    phase: str,
    seconds: dict[str, list[dict[str, float]]],
    about: dict[str, dict[str, Any]],
    skipped: dict[str, str],
) -> dict[str, Any]:
    figures: dict[str, Figure] = {
        who: summarise([one[phase] for one in rounds], about[who]["units"]) for who, rounds in seconds.items()
    }
    ours = figures.get(OURS)
    peers: dict[str, dict[str, Any]] = {}
    for who, figure in figures.items():
        if who != OURS:
            peers[who] = {**figure, "version": about[who]["version"]}
            peers[who] |= ratio(ours, figure) if ours is not None else {"ratio": None}
    for who, reason in skipped.items():
        if who != OURS:
            peers[who] = {"skipped": reason, "ratio": None}
    mine: dict[str, Any] = dict(ours) if ours is not None else {"skipped": skipped.get(OURS, "it did not run")}
    return {"family": workload.family, "workload": name, "unit": workload.unit, "ours": mine, "peers": peers}


def run_workload(
    workload: Workload, *, quick: bool = False, peers: bool = True, seed: int = 1, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Run one workload and return its rows: one, or two where the teardown is a result too.

    A contender that cannot take part, or that fails, is in the row with the reason; the
    others go on.
    """
    tell = progress or (lambda _: None)
    running: dict[str, WorkerProcess] = {}
    seconds: dict[str, list[dict[str, float]]] = {}
    about: dict[str, dict[str, Any]] = {}
    skipped: dict[str, str] = {}

    def drop(who: str, reason: str) -> None:
        skipped[who] = reason
        seconds.pop(who, None)
        if who in running:
            running.pop(who).close()

    try:
        for contender in workload.contenders if peers else workload.contenders[:1]:
            try:
                worker = WorkerProcess(workload, contender.name, quick=quick, seed=seed)
            except (Skipped, WorkerFailedError) as reason:
                drop(contender.name, str(reason))
                continue
            running[contender.name] = worker
            about[contender.name] = {"units": worker.units, "version": worker.version}
        rounds = workload.quick_rounds if quick else workload.rounds
        for number in range(workload.warm_up + rounds):
            for who, worker in list(running.items()):
                tell(f"{workload.family} · {workload.name} · {who} · {max(0, number - workload.warm_up + 1)}/{rounds}")
                try:
                    answer = worker.ask("round")
                except WorkerFailedError as reason:
                    drop(who, str(reason))
                    continue
                if number >= workload.warm_up:
                    seconds.setdefault(who, []).append(answer)
    finally:
        for worker in running.values():
            worker.close()
    rows = [_row(workload, workload.name, "run", seconds, about, skipped)]
    if workload.teardown:
        rows.append(_row(workload, workload.teardown, "teardown", seconds, about, skipped))
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
        False runs ours alone.
    seed : int
        Of every random choice.
    progress : callable, optional
        Told in a line what is going on.
    only : iterable of Workload, optional
        Run these, whatever their family.

    Returns
    -------
    dict
        ``{"machine": …, "quick": …, "seed": …, "rows": [{"family", "workload", "unit",
        "ours": FIGURE, "peers": {NAME: FIGURE with "ratio"}}]}``. A figure is seconds per unit
        (``median``, ``min``, ``max``, ``rounds``), ``per_second`` and ``units`` of a round. A
        ratio above 1 says how many times faster ours is. Who did not take part has ``skipped``
        with the reason, and no figure.
    """
    chosen = list(only) if only is not None else [one for one in workloads() if one.family in families]
    rows: list[dict[str, Any]] = []
    for workload in chosen:
        rows += run_workload(workload, quick=quick, peers=peers, seed=seed, progress=progress)
    return {"machine": machine(), "quick": quick, "seed": seed, "rows": rows}

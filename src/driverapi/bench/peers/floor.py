"""Yardstick of family ``churn``: the kernel floor, ``benchmarks/floor``.

A C program with a message list of its own; it makes its own namespaces and holds its own clock. It is compiled here,
from the checkout: an installed wheel does not have it.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from shutil import which
from typing import Any

from driverapi.bench.task import CannotTakePartError, Parameters, Task

__all__ = ["Bursts", "Floor"]

_SOURCES = "benchmarks/floor"
_VARIABLE = "DRIVERAPI_BENCH_FLOOR"


def _sources() -> Path:
    """Find it: where the variable says, in a checkout that we stand in, or in that which we were imported from."""
    if told := os.environ.get(_VARIABLE):
        return Path(told)
    for root in (Path.cwd(), Path(__file__).parents[4]):
        if (root / _SOURCES).is_dir():
            return root / _SOURCES
    raise CannotTakePartError(f"{_SOURCES} is not here: run in a checkout, or set {_VARIABLE} to its path")


def _compiled(sources: Path) -> str:
    compiler = which("cc") or which("gcc")
    if compiler is None:
        raise CannotTakePartError("there is no C compiler")
    # The worker's /run is a tmpfs of its own, which goes with it.
    program = f"{tempfile.mkdtemp(dir='/run')}/floor"
    command = [compiler, "-O2", "-pthread", "-o", program, *map(str, sorted(sources.glob("*.c")))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
    return program


class Floor(Task):
    """One process for each burst; *up* and *down* are what it says of them."""

    arguments: tuple[str, ...] = ()

    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__(parameters, seed)
        self._driver: str = parameters["driver"]
        burst = parameters.get("burst") or self.units
        # Where the cost of the k-th is wanted, one process makes all: its own curve tells.
        self._curve = bool(parameters.get("curve"))
        self._burst = self.units if self._curve else burst
        self._step = burst
        self._program = _compiled(_sources())

    def _once(self) -> dict[str, Any]:
        command = [self._program, self._driver, str(self._burst), *self.arguments]
        if self._curve:
            command += ["--chunk", str(self._step)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise OSError(done.stderr.strip())
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    def run(self) -> float:
        """Bring all up, and down."""
        told = [self._once() for _ in range(self.units // self._burst)]
        self._down: float = sum(one["drained"] for one in told)
        if self._curve:
            before, self.marks = (0, 0.0), []
            for reached, seconds in told[0]["curve"]:
                self.marks.append((seconds - before[1]) / (reached - before[0]))
                before = (reached, seconds)
        up: float = sum(one["up"] for one in told)
        return up

    def teardown(self) -> float:
        """Say what it took: it is done."""
        return self._down


class Bursts(Floor):
    """Bursts up and down for a while, everything on one thread."""

    def run(self) -> float:
        """Do bursts for as long as was asked; the seconds are those of one."""
        self.arguments = ("--single", "--burst", str(self.units), "--soak", str(self.parameters["seconds"]))
        self._down = self.units / float(self._once()["per_second"])  # up and down are one
        return self._down

"""One contender in a process of its own: ``python -m driverapi.bench.worker FAMILY CONTENDER``.

Everything goes over standard input and output, a JSON document a line. First comes
``{"ready": …}``, or ``{"skipped": REASON}`` where the contender cannot take part. With
``--rounds N`` it does N rounds of its own accord, a line for each; with ``--serve`` it reads
commands: ``round`` (all of one round), its parts ``setup``, ``run`` and ``finish``, or
``memory`` (a round off the clock that counts bytes). A failure is ``{"error": …}``, the
last line; the traceback goes to standard error.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import traceback
import tracemalloc
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from shutil import which
from time import perf_counter
from typing import Any

from driverapi.bench.task import CannotTakePartError, Task, Workload
from driverapi.bench.workloads import FAMILIES, find, workloads

__all__ = ["main"]


class _Rounds:
    """Runs the parts of a round in order and keeps their seconds."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def setup(self) -> dict[str, Any]:
        """Prepare; garbage of the preparation shall not be collected on the clock."""
        self._task.setup()
        gc.collect()
        return {}

    def run(self) -> dict[str, Any]:
        """Do the work on the clock.

        The collector rests, as in timeit: that favours who makes many objects.
        """
        run = self._task.run
        gc.disable()
        try:
            begin = perf_counter()
            told = run()
            took = perf_counter() - begin
        finally:
            gc.enable()
        answer: dict[str, Any] = {"run": took if told is None else told}
        more = {"marks": self._task.marks, "samples": self._task.samples}
        return answer | {key: value for key, value in more.items() if value}

    def finish(self) -> dict[str, Any]:
        """Check and take down."""
        self._task.check()
        begin = perf_counter()
        told = self._task.teardown()
        took = perf_counter() - begin
        self._task.settle()
        return {"teardown": took if told is None else told}

    def memory(self) -> dict[str, Any]:
        """Do a round under tracemalloc: bytes held at its end, and at the most on the way.

        It counts what goes through Python's allocators, raw ones included, which is where our
        native core, bitarray and all of the pure Python get their memory. It is exact for the
        smallest thing, which resident pages are not. The clock does not run: tracing is slow.
        """
        self._task.setup()
        gc.collect()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            self._task.hold()
            gc.collect()
            held, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self._task.teardown()
        self._task.settle()
        return {"held": held - before, "peak": peak - before}

    def round(self) -> dict[str, Any]:
        """Do one round."""
        return self.setup() | self.run() | self.finish()


def _say(document: dict[str, Any]) -> None:
    print(json.dumps(document), flush=True)


def _version(module: str) -> str:
    try:
        return version(module or "driverapi")
    except PackageNotFoundError:
        return ""


def _serve(task: Task, commands: Iterable[str]) -> None:
    rounds = _Rounds(task)
    verbs = {
        "setup": rounds.setup,
        "run": rounds.run,
        "finish": rounds.finish,
        "round": rounds.round,
        "memory": rounds.memory,
    }
    for line in commands:
        verb = line.strip()
        if verb not in verbs:
            raise ValueError(f"the worker knows {', '.join(verbs)}, not {verb!r}")
        _say(verbs[verb]())


def _enter_private() -> str:
    """Enter namespaces of our own; return why that is impossible, or nothing."""
    from driverapi._private import enter_private_namespaces

    try:
        enter_private_namespaces()
    except OSError as error:
        return f"no private namespaces: {error}"
    return ""


def _workload(family: str, name: str) -> Workload:
    if name:
        return find(family, name)
    return next(one for one in workloads() if one.family == family)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one contender; 0 also where it was skipped, 1 where it failed."""
    parser = argparse.ArgumentParser(prog="python -m driverapi.bench.worker", description="Run one contender.")
    parser.add_argument("family", choices=FAMILIES)
    parser.add_argument("contender")
    parser.add_argument("--workload", default="", help="name of the workload (default: the family's first)")
    parser.add_argument("--quick", action="store_true", help="a small one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--serve", action="store_true", help="read commands from standard input")
    given = parser.parse_args(argv)
    try:
        workload = _workload(given.family, given.workload)
        contender = workload.contender(given.contender)
    except KeyError as error:
        parser.error(str(error.args[0]))
    if contender.needs and find_spec(contender.needs) is None:
        _say({"skipped": f"{contender.needs} is not installed"})
        return 0
    if contender.command and which(contender.command) is None:
        _say({"skipped": f"there is no program {contender.command}"})
        return 0
    # Before any thread exists, and before a peer is imported: it may start one.
    if workload.private and (reason := _enter_private()):
        _say({"skipped": reason})
        return 0
    try:
        task = contender.load()(workload.given(given.quick), given.seed)
        _say({"ready": True, "pid": os.getpid(), "units": task.units, "version": _version(contender.needs)})
        _serve(task, sys.stdin if given.serve else ["round"] * given.rounds)
    except CannotTakePartError as reason:
        _say({"skipped": str(reason)})
    except Exception as error:
        traceback.print_exc()
        _say({"error": f"{type(error).__name__}: {error}"})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

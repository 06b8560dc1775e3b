"""The other side of a churner: makes it, kills it, and checks what the next controller finds."""

from __future__ import annotations

import fcntl
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from _fastnet.netns import create, drop
from driverapi import Controller, errors
from tests.crash.verbs import Ledger, facts
from tests.crash.whole import KINDS, wrong_in_books, wrong_in_kernel

__all__ = ["Churners", "Killing"]

_ROOT = Path(__file__).parents[2]
_PIPE_SIZE = 1 << 20


class Churners:
    """Makes processes that churn, of one that has loaded all that they need."""

    def __init__(self) -> None:
        self._reports, end = os.pipe()
        with_size = fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
        assert with_size == _PIPE_SIZE
        os.set_blocking(self._reports, False)
        self._maker = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.churner", str(end)],
            cwd=_ROOT,
            pass_fds=[end],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        os.close(end)
        self._torn = b""

    def start(self, order: dict[str, Any]) -> int:
        """Make one; return its number."""
        self._torn = b""
        assert self._maker.stdin is not None
        print(json.dumps(order), file=self._maker.stdin, flush=True)
        return int(self._line())

    def end(self, pid: int) -> int:
        """Kill it, and return how it ended."""
        os.kill(pid, signal.SIGKILL)
        return int(self._line())

    def _line(self) -> str:
        assert self._maker.stdout is not None
        line = self._maker.stdout.readline()
        assert line, "the maker of churners has ended"
        return line

    def reports(self, timeout: float = 0.0) -> list[dict[str, Any]]:
        """Return what was told since; waits for the first of it."""
        select.select([self._reports], [], [], timeout)
        while True:
            try:
                found = os.read(self._reports, _PIPE_SIZE)
            except BlockingIOError:
                break
            self._torn += found
            if not found:
                break
        *lines, self._torn = self._torn.split(b"\n")  # the last was not told whole: it is no report
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        assert self._maker.stdin is not None
        assert self._maker.stdout is not None
        self._maker.stdin.close()
        self._maker.wait(30)
        self._maker.stdout.close()
        os.close(self._reports)


class Killing:
    """Churners one after the other on one state, each killed at a moment that the seed chooses."""

    def __init__(self, directory: Path, seed: int, *, durability: str = "normal") -> None:
        self.state = directory / "state.db"
        self.run_dir = directory / "run"
        self.seed = seed
        self.durability = durability
        self.dice = random.Random(seed)
        self.theirs = [str(directory / f"theirs-{number}") for number in range(3)]
        self._open = create(self.theirs)
        assert not any(isinstance(one, OSError) for one in self._open)
        self.ledger = Ledger()
        self.churners = Churners()
        self.kills = self.starts = 0
        self.faults: list[str] = []
        self.found: Counter[str] = Counter()
        self.verbs: Counter[str] = Counter()  # under way when it was killed
        self.slowest = 0.0

    @property
    def order(self) -> dict[str, Any]:
        return {
            "seed": self.dice.randrange(1 << 30),
            "state": str(self.state),
            "run_dir": str(self.run_dir),
            "durability": self.durability,
            "limits": {"theirs": self.theirs},
        }

    def once(self) -> None:
        """Have one churn, kill it, start again, and check all."""
        self._check(self.kill())

    def kill(self) -> str:
        """Have one churn, kill it, and read what it had told."""
        words = f"kill {self.kills}"
        pid = self.churners.start(self.order)
        reports: list[dict[str, Any]] = []
        if self.dice.random() < 0.1:
            time.sleep(self.dice.uniform(0, 0.03))  # in its start, or just after
        else:
            deadline = time.monotonic() + 30
            while not any("ready" in one or "fault" in one for one in reports):
                assert time.monotonic() < deadline, "a churner does not start"
                reports += self.churners.reports(1)
            time.sleep(self.dice.uniform(0.005, 0.3) if self.dice.random() < 0.3 else self.dice.uniform(0.005, 0.1))
        status = self.churners.end(pid)
        self.kills += 1
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            self._wrong(words, [f"start: a churner ended by itself, {status}"])
        self._read(words, reports + self.churners.reports())
        return words

    def _read(self, words: str, reports: list[dict[str, Any]]) -> None:
        for report in reports:
            [(what, told)] = report.items()
            if what == "ready":
                self.starts += 1
                if told:
                    self._wrong(words, [f"mended twice: {told}"])
            elif what == "intend":
                self.ledger.intend(told)
            elif what == "done":
                self.ledger.done(told)
            elif what == "failed":
                self._wrong(words, [f"verb: {told}"])
            else:
                self._wrong(words, [f"start: {told}"])
        self.verbs[self.ledger.under_way["verb"] if self.ledger.under_way else "start, or between"] += 1

    def _check(self, words: str) -> None:
        try:
            ctl = Controller(state=self.state, run_dir=self.run_dir, durability=self.durability)
        except errors.DriverAPIError as error:
            self._wrong(words, [f"start: {error!r} {getattr(error, '__notes__', '')}"])
            raise
        self.starts += 1
        try:
            found = ctl.restored
            assert found is not None
            self.slowest = max(self.slowest, found.seconds)
            for name in ("rebuilt", "down", "gone"):
                self.found[name] += len(getattr(found, name))
            for name in ("undone", "finished"):
                self.found[name] += getattr(found, name)
            for name in ("links", "namespaces", "routes", "neighbours"):
                self.found[f"swept {name}"] += getattr(found.swept, name)
            self.found["starts that mended"] += found.mended
            wrong = self.ledger.check(facts(ctl)) + wrong_in_books(ctl)
            boxes, pings = (1000, 3) if self.kills % 10 == 0 else (10, 1)
            run_dir = str(self.run_dir)
            wrong += wrong_in_kernel(ctl, run_dir, self.theirs, self.dice, sandboxes=boxes, pings=pings)
            if found.down or found.rebuilt:  # nobody took anything away from it
                wrong.append(f"reported: {found.down} are down, {found.rebuilt} were rebuilt")
            self._wrong(words, wrong)
        finally:
            ctl.close()

    def _wrong(self, words: str, lines: list[str]) -> None:
        self.faults += [f"{line} ({words})" for line in lines]

    def clear(self) -> None:
        """Take all away, by the verbs."""
        with Controller(state=self.state, run_dir=self.run_dir) as ctl:
            for network in ctl.networks:
                ctl.warm(network, 0)
                network.detach(network.endpoints)
                network.delete()
            for box in ctl.sandboxes:
                box.delete()
            self._wrong("the end", wrong_in_books(ctl))

    def close(self) -> None:
        self.churners.close()
        for one in self._open:
            one.close()
        drop(self.theirs)

    def report(self) -> dict[str, Any]:
        """All figures of a run, and zeros."""
        faults = Counter(next((kind for kind in KINDS if line.startswith(kind)), "start") for line in self.faults)
        return {
            "seed": self.seed,
            "durability": self.durability,
            "kills": self.kills,
            "starts": self.starts,
            "calls reported done": self.ledger.calls,
            "killed in": dict(self.verbs.most_common()),
            "found and mended": dict(self.found),
            "slowest start, ms": round(self.slowest * 1000, 1),
            "state, bytes": self.state.stat().st_size,
            "told": self.faults,
            "faults": {kind: faults[kind] for kind in KINDS},
        }

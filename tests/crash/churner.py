"""A process that churns until it is killed, and says before each call what it is about, and after it what has changed.

Run as a program it makes such processes: it has loaded all that they need, and has no threads. For each line
that it reads (an order, in JSON) it forks one, and tells its number, and when it has ended, how. They tell of
themselves on a pipe, whose descriptor is the program's argument, a line of JSON for each thing.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
import traceback
from typing import Any

import driverapi.dataplane.linux
import driverapi.drivers.bridge
import driverapi.drivers.routed
import driverapi.lifecycle.restore
import driverapi.store.data
import driverapi.store.sqlite  # noqa: F401  # loaded before the fork: each start is the shorter
from driverapi import Controller, errors
from tests.crash.verbs import VERBS, Call, Limits, facts

LIFE = 20.0
"""Seconds after which one ends by itself: who was to kill it is gone."""


def churn(order: dict[str, Any], reports: int) -> None:
    """Start a controller on the state of the order, and call verbs that a seed chooses."""

    def say(what: str, told: Any) -> None:
        line = json.dumps({what: told}).encode() + b"\n"
        while line:
            line = line[os.write(reports, line) :]

    until = time.monotonic() + LIFE
    dice = random.Random(order["seed"])
    limits = Limits(**order["limits"])
    try:
        ctl = Controller(state=order["state"], run_dir=order["run_dir"], durability=order["durability"])
        assert ctl.restored is not None
        say("ready", repr(ctl.restored) if ctl.restored.mended else "")
        choosers = [chooser for chooser, _ in VERBS.values()]
        weights = [weight for _, weight in VERBS.values()]
        while time.monotonic() < until:
            call = dice.choices(choosers, weights)[0](ctl, dice, limits)
            if call is None:
                continue
            before = facts(ctl)
            say("intend", call.intent)
            _carry_out(call, say)
            after = facts(ctl)
            changed: dict[str, Any] = dict.fromkeys(before.keys() - after.keys())
            changed.update((key, value) for key, value in after.items() if before.get(key) != value)
            say("done", changed)
    except BaseException:
        say("fault", traceback.format_exc())


def _carry_out(call: Call, say: Any) -> None:
    try:
        call.do()
    except errors.BulkError as error:
        say("failed", f"{call.name}: {error}: {error.exceptions[0]!r}")
    except errors.DriverAPIError as error:
        say("failed", f"{call.name}: {error!r}")


def main() -> None:
    reports = int(sys.argv[1])
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            try:
                churn(json.loads(line), reports)
            finally:
                os._exit(0)
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(status, flush=True)


if __name__ == "__main__":
    main()

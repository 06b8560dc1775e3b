"""What being watched costs: a bulk attach of 1000 with metrics or log records against without, in pairs.

    python -m benchmarks.watching [--kernel] [--what metrics|log] [--rounds 25]

The dataplane is the one in memory, so that nothing hides the cost; with ``--kernel`` it is Linux, in private
namespaces. The order within a pair changes from pair to pair, and the median of the ratios is printed.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import statistics
import tempfile
import time
from contextlib import ExitStack
from typing import Any

ENDPOINTS = 1000


def measure(kernel: bool, what: str, rounds: int) -> dict[str, Any]:
    if kernel:
        from driverapi._private import enter_private_namespaces

        enter_private_namespaces()  # before any thread is there
    from prometheus_client import CollectorRegistry

    from driverapi import Controller, metrics
    from driverapi.testing import FakeDataplane

    registry = CollectorRegistry()
    package = logging.getLogger("driverapi")
    package.addHandler(logging.NullHandler())
    package.propagate = False  # records are made, and go nowhere

    with ExitStack() as stack:
        run_dir = stack.enter_context(tempfile.TemporaryDirectory())
        ctl = stack.enter_context(Controller(run_dir=run_dir) if kernel else Controller(dataplane=FakeDataplane()))
        net = ctl.create_network("bridge", "net", ipv4="10.77.0.0/16")

        def once(watched: bool) -> float:
            if what == "metrics":
                (metrics.watch if watched else metrics.unwatch)(ctl, registry)
            else:
                package.setLevel(logging.INFO if watched else logging.WARNING)
            gc.collect()
            gc.disable()
            began = time.perf_counter()
            endpoints = net.attach(ENDPOINTS, strict=True)
            seconds = time.perf_counter() - began
            gc.enable()
            net.detach(endpoints)
            return seconds

        once(True)
        ratios, without = [], []
        for number in range(rounds):
            pair = {watched: once(watched) for watched in ((True, False) if number % 2 else (False, True))}
            ratios.append(pair[True] / pair[False])
            without.append(pair[False])
    lower, median, upper = statistics.quantiles(ratios, n=4)
    return {
        "what": what,
        "dataplane": "linux" if kernel else "fake",
        "pairs": rounds,
        "seconds_without": round(statistics.median(without), 5),
        "ratio": {"median": round(median, 4), "quartiles": [round(lower, 4), round(upper, 4)]},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", action="store_true")
    parser.add_argument("--what", choices=("metrics", "log"), default="metrics")
    parser.add_argument("--rounds", type=int, default=25)
    chosen = parser.parse_args()
    print(json.dumps(measure(chosen.kernel, chosen.what, chosen.rounds)))

"""What state costs: bulk and single calls with a state against without, in pairs; and how long a restore takes.

    python -m benchmarks.state [--driver bridge|routed] [--durability normal] [--rounds 11] [--directory DIR]

On Linux, in private namespaces; the order within a pair changes from pair to pair. The state stands in
DIR (default: a temporary directory), which decides what an fsync costs.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

ENDPOINTS = 1000
SINGLES = 20
SETTLE = 0.4
"""Seconds after a teardown, for the kernel to end what it does by itself."""


def measure(driver: str, durability: str, rounds: int, directory: Path) -> dict[str, Any]:
    from driverapi._private import enter_private_namespaces

    enter_private_namespaces()  # before any thread is there
    from driverapi import Controller

    def start(kept: bool) -> Controller:
        return Controller(state=directory / "state.db", durability=durability) if kept else Controller()

    def once(kept: bool) -> dict[str, float]:
        ctl = start(kept)
        try:
            net = ctl.create_network(driver, "net", ipv4="10.77.0.0/16")
            net.detach(net.attach(SINGLES, strict=True))
            time.sleep(SETTLE)
            gc.collect()
            began = time.perf_counter()
            endpoints = net.attach(ENDPOINTS, strict=True)
            up = time.perf_counter()
            restored = 0.0
            if kept:
                ctl.close()
                again = time.perf_counter()
                ctl = start(kept)
                restored = time.perf_counter() - again
                assert ctl.restored is not None
                assert ctl.restored.joined == ENDPOINTS
                assert not ctl.restored.mended
                net = ctl.network("net")
                endpoints = net.endpoints
            down = time.perf_counter()
            net.detach(endpoints)
            gone = time.perf_counter()
            time.sleep(SETTLE)
            singles = []
            for _ in range(SINGLES):
                at = time.perf_counter()
                [one] = net.attach(1, strict=True)
                singles.append(time.perf_counter() - at)
                net.detach([one])
            net.delete()
            return {
                "up": up - began,
                "down": gone - down,
                "single": statistics.median(singles),
                "restore": restored,
            }
        finally:
            ctl.close()

    once(True)
    pairs = []
    for number in range(rounds):
        order = (True, False) if number % 2 else (False, True)
        pairs.append({kept: once(kept) for kept in order})
    figures: dict[str, Any] = {}
    for what in ("up", "down", "single"):
        lower, median, upper = statistics.quantiles([pair[True][what] / pair[False][what] for pair in pairs], n=4)
        without = statistics.median(pair[False][what] for pair in pairs)
        figures[what] = {
            "ratio": round(median, 4),
            "quartiles": [round(lower, 4), round(upper, 4)],
            "seconds_without": round(without, 6),
        }
    figures["restore"] = {"seconds": round(statistics.median(pair[True]["restore"] for pair in pairs), 4)}
    return {"driver": driver, "durability": durability, "endpoints": ENDPOINTS, "pairs": rounds, **figures}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--driver", choices=("bridge", "routed"), default="bridge")
    parser.add_argument("--durability", choices=("full", "normal", "none"), default="normal")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--directory", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.directory) as directory:
        print(json.dumps(measure(chosen.driver, chosen.durability, chosen.rounds, Path(directory))))

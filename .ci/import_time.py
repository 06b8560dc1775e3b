"""Prints what ``import driverapi`` costs over Python's own start; run with the venv's Python."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

LIMIT_MS = 60.0


def start(code: str) -> float:
    """Return milliseconds from start to end of an interpreter that runs ``code``."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return (time.perf_counter() - began) * 1e3


def main() -> None:
    start("import driverapi")  # once to have the byte code written
    pairs = [(start("pass"), start("import driverapi")) for _ in range(15)]
    bare = statistics.median(pair[0] for pair in pairs)
    extra = statistics.median(pair[1] - pair[0] for pair in pairs)
    print(f"import driverapi: {extra:.1f} ms (limit {LIMIT_MS:.0f}), Python itself {bare:.1f} ms")
    if extra > LIMIT_MS:
        sys.exit("import driverapi is too slow; see python -X importtime -c 'import driverapi'")


if __name__ == "__main__":
    main()

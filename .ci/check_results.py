"""Checks what the tests and the demo reported; exits with the reason if it is not enough.

``check_results.py tests JUNIT_XML``          kernel tests ran, and none was skipped
``check_results.py demo JSON ENDPOINTS``      every endpoint reachable, nothing left behind
"""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

MUST_RUN = "tests.kernel"


def check_tests(report: Path) -> str:
    cases = list(ElementTree.parse(report).iter("testcase"))
    kernel = [case for case in cases if case.get("classname", "").startswith(MUST_RUN)]
    skipped = [f"{case.get('classname')}::{case.get('name')}" for case in kernel if case.find("skipped") is not None]
    if not kernel:
        raise SystemExit(f"no test of {MUST_RUN} ran at all")
    if skipped:
        raise SystemExit("kernel tests were skipped:\n  " + "\n  ".join(skipped))
    return f"{len(cases)} tests, {len(kernel)} of them on the kernel, none of those skipped"


def check_demo(report: Path, endpoints: int) -> str:
    text = report.read_text()
    document = json.loads(text)  # one document: anything after it is an error
    wanted = {
        "endpoints": endpoints,
        "reachable": endpoints,
        "left": {"links": 0, "namespaces": 0, "addresses": 0},
    }
    got = {key: document.get(key) for key in wanted}
    if got != wanted:
        raise SystemExit(f"demo: got {got}, wanted {wanted}\n{text}")
    phases = document["phases"]
    for name, phase in phases.items():
        if phase.keys() < {"seconds", "per_second"}:
            raise SystemExit(f"demo: phase {name!r} lacks its figures: {phase}")
    times = ", ".join(f"{name} {phase['seconds']:.2f} s" for name, phase in phases.items())
    return f"{endpoints} reachable, nothing left ({times})"


if __name__ == "__main__":
    if sys.argv[1] == "tests":
        print(check_tests(Path(sys.argv[2])))
    else:
        print(check_demo(Path(sys.argv[2]), int(sys.argv[3])))

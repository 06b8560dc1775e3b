"""Checks what tests, demo and benchmarks reported; exits with the reason if it is not enough.

``check_results.py tests JUNIT_XML --ran PACKAGE --may-skip TEST``
    tests of each package ran, and none was skipped but those named
``check_results.py demo JSON ENDPOINTS``
    every endpoint reachable, nothing left behind
``check_results.py bench JSON FAMILY...``
    each family has rows, each row has ours and the peers, and we are not slower than we should be

Standard library only: it runs where the package is not installed.
"""

from __future__ import annotations

import argparse
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Who must be in the rows of a family (not every peer can do every row). Kept apart from
# driverapi.bench.workloads: a peer that is lost there by mistake is missed here.
PEERS = {
    "alloc": {"ipaddress+set", "netaddr+set", "netaddr.IPSet", "pyroute2.AddrPool", "bitarray"},
    "ipam": {"ipaddress", "netaddr", "netaddr.IPSet"},
    "iflist": {"dataclass", "netaddr objects", "ipaddress objects"},
    "encode": {"pyroute2", "pyroute2.IPBatch", "ip -batch"},
    "decode": {"pyroute2", "ip -json"},
    "bringup": {"pyroute2", "pyroute2-nofork", "pyroute2-plain"},
    "churn": {"pyroute2", "pyroute2-nofork", "pyroute2-plain", "ip -batch"}
    | {"CNI", "netavark", "netavark-internal", "docker", "docker-own"},
    "docker": {"http.server", "docker"},
    "ports": {"nft -f", "iptables", "iptables-legacy"},
    "services": {"rewrite", "append"},
}
# How many times faster bringing up must be. Loose, for a short run on a busy machine: what is
# aimed at (and measured by a full run) stands in the second column.
FLOORS = {"pyroute2": (2.0, 4.0), "pyroute2-nofork": (2.0, 4.0), "pyroute2-plain": (6.0, 12.0)}


def check_tests(report: Path, packages: Sequence[str], may_skip: Sequence[str]) -> str:
    ran: dict[str, int] = dict.fromkeys(packages, 0)
    wrong: list[str] = []
    passed_over: list[str] = []
    cases = list(ElementTree.parse(report).iter("testcase"))
    for case in cases:
        # A module that was skipped as a whole has no class name.
        name = "::".join(filter(None, (case.get("classname"), case.get("name"))))
        if case.find("skipped") is not None:
            (passed_over if name in may_skip else wrong).append(name)
        else:
            for package in packages:
                ran[package] += name.startswith(package + ".")
    absent = [package for package, number in ran.items() if not number]
    if absent:
        raise SystemExit(f"no test of {', '.join(absent)} ran at all")
    if wrong:
        raise SystemExit("tests were skipped:\n  " + "\n  ".join(wrong))
    parts = [f"{len(cases)} tests", *(f"{number} of {package}" for package, number in ran.items())]
    return ", ".join([*parts, f"skipped: {', '.join(passed_over) or 'none'}"])


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


def check_bench(report: Path, families: Sequence[str]) -> str:
    rows: list[dict[str, Any]] = json.loads(report.read_text())["rows"]
    wrong = [f"{family}: no row" for family in families if not any(row["family"] == family for row in rows)]
    for family in families:
        there = {name for row in rows if row["family"] == family for name in row["peers"]}
        wrong += [f"{family}: {name} is not there" for name in sorted(PEERS[family] - there)]
    said: list[str] = []
    for row in rows:
        where = f"{row['family']}, {row['workload']}"
        ours, peers = row["ours"], row["peers"]
        if not ours.get("median", 0) > 0:
            wrong.append(f"{where}: no figure of ours: {ours}")
        wrong += [
            f"{where}: {name} has no ratio: {figure.get('error') or figure.get('skipped') or figure}"
            for name, figure in peers.items()
            if not (figure.get("ratio") or 0) > 0
        ]
        ratios = {name: figure["ratio"] for name, figure in peers.items() if figure.get("ratio")}
        said.append(f"{where}: " + ", ".join(f"{name} {ratio:.1f}x" for name, ratio in ratios.items()))
        if row["family"] == "bringup" and row["workload"].startswith("up"):
            wrong += [
                f"{where}: {ratios[name]:.2f} times faster than {name}, not {floor:g} (aimed at: {aim:g})"
                for name, (floor, aim) in FLOORS.items()
                if ratios.get(name, floor) < floor
            ]
    if wrong:
        raise SystemExit("bench:\n  " + "\n  ".join(wrong))
    if "bringup" in families:
        floors = ", ".join(f"{name} {floor:g}x (aim {aim:g}x)" for name, (floor, aim) in FLOORS.items())
        said.append(f"up must be at least: {floors}")
    return "\n".join(said)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Check what tests, demo or benchmarks reported.")
    kinds = parser.add_subparsers(dest="kind", required=True)
    tests, demo, bench = (kinds.add_parser(kind) for kind in ("tests", "demo", "bench"))
    for kind in (tests, demo, bench):
        kind.add_argument("report", type=Path)
    tests.add_argument("--ran", action="append", required=True, metavar="PACKAGE")
    tests.add_argument("--may-skip", action="append", default=[], metavar="TEST")
    demo.add_argument("endpoints", type=int)
    bench.add_argument("families", nargs="+", choices=PEERS, metavar="FAMILY")
    given = parser.parse_args(arguments)
    if given.kind == "tests":
        print(check_tests(given.report, given.ran, given.may_skip))
    elif given.kind == "demo":
        print(check_demo(given.report, given.endpoints))
    else:
        print(check_bench(given.report, given.families))


if __name__ == "__main__":
    main()

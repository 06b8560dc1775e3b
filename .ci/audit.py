"""Looks up known vulnerabilities of what the core install brings, with pip-audit; findings fail, no answer does not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, distribution


def brought(name: str, found: dict[str, str]) -> dict[str, str]:
    """Return name and version of what a distribution needs, extras left out, through all of them."""
    for line in distribution(name).requires or ():
        needed, _, marker = line.partition(";")
        if "extra" in marker:
            continue
        package = re.split(r"[^A-Za-z0-9._-]", needed.strip(), maxsplit=1)[0]
        if package in found:
            continue
        try:
            found[package] = distribution(package).version
        except PackageNotFoundError:  # of another platform or Python
            continue
        brought(package, found)
    return found


def main() -> int:
    pinned = [f"{name}=={version}" for name, version in sorted(brought("driverapi", {}).items())]
    print("looked up:", *pinned)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write("\n".join(pinned) + "\n")
        requirements.flush()
        command = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--progress-spinner=off"]
        command += ["--format=json", "--timeout=15", "--requirement", requirements.name]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        except subprocess.TimeoutExpired:
            print("NOT CHECKED: the advisory service does not answer")
            return 0
    try:
        answer = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        last = done.stderr.strip().splitlines()[-1:] or ["no answer"]
        if "No module named" in last[0] or "usage:" in done.stderr:
            print(f"pip-audit does not run: {last[0]}")
            return 2
        print(f"NOT CHECKED: the advisory service does not answer ({last[0][:200]})")
        return 0
    passed_over = [f"{one['name']}: {one['skip_reason']}" for one in answer if "skip_reason" in one]
    findings = [(one["name"], one["version"], bug) for one in answer for bug in one.get("vulns", ())]
    for name, version, bug in findings:
        print(f"{name} {version}: {bug['id']}, fixed in {', '.join(bug['fix_versions']) or 'no version'}")
    if passed_over:
        print("NOT CHECKED:", *passed_over)
    print(f"{len(findings)} known vulnerabilities in {len(answer) - len(passed_over)} of {len(answer)} packages")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())

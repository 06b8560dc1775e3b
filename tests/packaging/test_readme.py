"""What the README tells people to paste is what CI runs."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CI = (ROOT / ".ci" / "run").read_text()


def ci_reads(number: int) -> str:
    """Return the command that ``.ci/run`` gets when it asks for the README's n-th."""
    command = [sys.executable, str(ROOT / ".ci" / "readme_command.py"), str(number)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def fenced(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_every_page_is_in_its_list() -> None:
    listed = re.findall(r"\(docs/(\w+\.md)\)", README.partition("\n## Pages\n")[2].partition("\n## ")[0])
    assert sorted(listed) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


def test_two_commands_and_no_third() -> None:
    assert len(fenced("sh")) == 2
    assert [ci_reads(1), ci_reads(2)] == fenced("sh")


@pytest.mark.parametrize(("number", "ends"), [(1, ".venv/bin/driverapi demo"), (2, ".venv/bin/python -m pytest")])
def test_each_is_one_line_that_stands_alone(number: int, ends: str) -> None:
    command = ci_reads(number)
    assert command.count("\n") == 1
    steps = command.strip().split(" && ")
    assert steps[0] == "python3 -m venv .venv"
    assert steps[-1] == ends
    for step in steps:
        assert "sudo" not in shlex.split(step)


def test_ci_runs_the_readme_and_has_no_copy() -> None:
    for number, variable in ((1, "demo"), (2, "tests")):
        assert f"{variable}=$(python3 .ci/readme_command.py {number})" in CI
        assert f'bash -euo pipefail -c "${variable}"' in CI
        assert ci_reads(number).strip() not in CI


def test_ci_is_executable() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_extras_exist() -> None:
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    asked = set(re.findall(r"'\.\[(\w+)\]'", README))
    assert {"cli", "test", "dev"} <= asked
    assert asked <= extras.keys()


def test_python_blocks_are_python() -> None:
    blocks = fenced("python")
    assert blocks
    for block in blocks:
        ast.parse(block)


def test_versions_agree() -> None:
    import tomllib
    from importlib.metadata import PackageNotFoundError, version

    import driverapi

    said = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert driverapi.__version__ == said
    assert f"## {said}" in (ROOT / "CHANGELOG.md").read_text()
    try:
        assert version("driverapi") == said
    except PackageNotFoundError:
        assert not os.environ.get("CI"), "built in place: right for development, not for CI"


def test_actions_are_pinned() -> None:
    uses = [
        line.strip()
        for file in (ROOT / ".github" / "workflows").glob("*.yml")
        for line in file.read_text().splitlines()
        if "uses:" in line
    ]
    assert uses
    for line in uses:
        assert re.fullmatch(r"- uses: [\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line

"""The look-up of vulnerabilities: findings fail, an advisory service that does not answer does not."""

from __future__ import annotations

import json
import runpy
import subprocess
from pathlib import Path
from typing import Any

import pytest

AUDIT = Path(__file__).parents[2] / ".ci" / "audit.py"
CLEAN = {"name": "netaddr", "version": "1", "vulns": []}
BUG = {"name": "msgspec", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}
UNKNOWN = {"name": "pyroute2", "skip_reason": "not found"}


def audit(monkeypatch: pytest.MonkeyPatch, stdout: str, stderr: str = "", code: int = 0) -> int:
    script = runpy.run_path(str(AUDIT), run_name="audit")

    def answer(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        assert "--no-deps" in command
        return subprocess.CompletedProcess(command, code, stdout, stderr)

    monkeypatch.setattr(subprocess, "run", answer)
    result = script["main"]()
    assert isinstance(result, int)
    return result


def said(*dependencies: dict[str, Any]) -> str:
    return json.dumps({"dependencies": dependencies, "fixes": []})


def test_what_the_core_install_brings() -> None:
    script = runpy.run_path(str(AUDIT), run_name="audit")
    assert {"netaddr", "pyroute2", "msgspec"} <= set(script["brought"]("driverapi", {}))
    assert "click" not in script["brought"]("driverapi", {})


def test_nothing_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(monkeypatch, said(CLEAN)) == 0
    assert "0 known vulnerabilities in 1 of 1 packages" in capsys.readouterr().out


def test_a_finding_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(monkeypatch, said(CLEAN, BUG), code=1) == 1
    assert "msgspec 1: PYSEC-1, fixed in 2" in capsys.readouterr().out


def test_no_answer_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(monkeypatch, "", "Traceback …\nConnectionError: no route to host", 1) == 0
    assert "NOT CHECKED" in capsys.readouterr().out
    assert audit(monkeypatch, said(CLEAN, UNKNOWN)) == 0
    assert "NOT CHECKED: pyroute2: not found" in capsys.readouterr().out


def test_a_tool_that_does_not_run_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    assert audit(monkeypatch, "", "python: No module named pip_audit", 1) == 2

"""Our messages mean what the iproute2 installed here sends, and what it sent when ``tests/golden`` was captured."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.golden.iproute2 import CASES, FILE
from tests.golden.meaning import meaning, ours

CAPTURE = """
import json
from driverapi._private import enter_private_namespaces
from tests.golden.iproute2 import captured
enter_private_namespaces()
print(json.dumps({command: raw.hex() for command, raw in captured().items()}))
"""


@pytest.mark.skipif(
    not all(map(shutil.which, ("ip", "bridge", "strace"))), reason="ip, bridge and strace are not all installed"
)
def test_what_is_installed_sends_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CAPTURE],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[2],
    )
    if "PTRACE" in done.stderr or "ptrace" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    live = {command: meaning(bytes.fromhex(raw)) for command, raw in json.loads(done.stdout).items()}
    golden = json.loads(FILE.read_text())
    for command, verb, args, kwargs in CASES:
        assert live[command] == meaning(bytes.fromhex(golden[command])), command
        assert live[command] == meaning(ours(verb, args, kwargs)), command

"""The types that users get: good code passes ``mypy --strict``, wrong code does not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy", reason="mypy is in the dev extra, not in the test extra")

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def mypy(*files: Path, cwd: Path) -> str:
    """Return what mypy says of files that use the package as these tests import it."""
    import driverapi

    home = Path(driverapi.__file__).parents[1]
    environment = {name: value for name, value in os.environ.items() if name != "MYPYPATH"}
    if home.name != "site-packages":  # where mypy looks by itself
        environment["MYPYPATH"] = str(home)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={cwd / 'cache'}"]
    done = subprocess.run(
        [*command, *map(str, files)], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr or done.stdout
    # Errors within the package are not the user's, and mypy reports none of an installed one.
    return "\n".join(line for line in done.stdout.splitlines() if not line.startswith(str(home)))


def test_user_code_passes(tmp_path: Path) -> None:
    said = mypy(HERE / "user_code.py", cwd=tmp_path)
    assert not re.search(r"user_code\.py:\d+: error", said), said


def test_the_readme_passes(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    file = tmp_path / "readme.py"
    # A first plugin need not annotate; what it does is checked nevertheless.
    loose = "# mypy: allow-untyped-defs, allow-untyped-calls, check-untyped-defs\n"
    file.write_text(loose + "\n".join(blocks))
    said = mypy(file, cwd=tmp_path)
    assert "readme.py" not in said, said


WRONG = {
    'net.attach("ten")': "arg-type",
    "net.create_endpoint(1)": "arg-type",
    'ctl.create_network("bridge", "web", "10.0.0.0/8")': "call-arg|misc",
    "ep.join('container-1')": "arg-type",
    "ep.interfaces[0].id = 3": "misc",
    "Bitmap('8')": "arg-type",
    "IPPool(10)": "arg-type",
    "Batch().add_veth('a')": "call-arg",
    "Batch().add_veth('a', 'b', mtu='big')": "arg-type",
    "class Mine(Driver):\n        pass\n    Mine()": "abstract",
    "class Mine(Bitmap):\n        pass": "misc",
    "DriverRegistry().register('x', object())": "arg-type",
}


def test_wrong_code_does_not(tmp_path: Path) -> None:
    head = [
        "from _fastnet import Batch, Bitmap, IPPool",
        "from driverapi import Controller, Driver, DriverRegistry, Endpoint, Network",
    ]
    files = []
    for number, code in enumerate(WRONG):
        body = f"def use(ctl: Controller, net: Network, ep: Endpoint) -> None:\n    {code}\n"
        files.append(tmp_path / f"wrong_{number}.py")
        files[-1].write_text("\n".join([*head, body]))
    said = mypy(*files, cwd=tmp_path)
    for number, (code, kind) in enumerate(WRONG.items()):
        assert re.search(rf"wrong_{number}\.py:\d+: error: .*\[({kind})\]", said), f"{code}\n{said}"

"""The README's way from an empty file to ``docker run --network``: that very text."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docker.conftest import Host, until

README = (Path(__file__).parents[2] / "README.md").read_text()
SECTION = README.partition("## A Docker network plugin")[2].partition("\n## ")[0]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", SECTION, re.DOTALL)


def test_it_is_short() -> None:
    [program] = blocks("python")
    assert len(program.splitlines()) < 40


def test_from_an_empty_file_to_docker_run(plain: Host, tmp_path: Path) -> None:
    [program], [console] = blocks("python"), blocks("console")
    (tmp_path / "cable.py").write_text(program)
    install, *commands = console.splitlines()
    assert install == "pip install 'driverapi[plugin]' && python cable.py &"
    inside = plain.engine.process
    # As on the engine's machine: /run is the engine's; /proc is that of our processes, and of /var/lib nothing is kept.
    mounts = 'mount -t proc proc /proc && mount -t tmpfs -o mode=755 tmpfs /var/lib && cd "$1" && exec "$2" cable.py'
    start = ["nsenter", f"--net=/proc/{inside}/ns/net", f"--mount=/proc/{inside}/ns/mnt", "unshare", "--mount"]
    start += ["sh", "-c", mounts, "cable", str(tmp_path), sys.executable]
    socket = Path(f"/proc/{inside}/root/run/docker/plugins/cable.sock")
    docker = os.environ | {"DOCKER_HOST": f"unix://{plain.engine.socket}"}
    with subprocess.Popen(start) as plugin:
        try:
            assert until(socket.exists)
            said = [subprocess.run(shlex.split(line), capture_output=True, text=True, env=docker) for line in commands]
            assert [one.returncode for one in said] == [0, 0], said
            assert len(commands) == 2
            assert re.search(r"inet 172\.\d+\.0\.2/16", said[1].stdout)
            assert "ether 02:00:ac:" in said[1].stdout
            plain.engine.request("DELETE", "/networks/demo")
        finally:
            plugin.terminate()
        assert plugin.wait(30) == 0
    assert not socket.exists()


def test_the_service_is_one() -> None:
    """Where systemd can check it."""
    unit = Path(__file__).parents[2] / "examples" / "plugin" / "driverapi.service"
    text = unit.read_text()
    for needed in ("ExecStart=/opt/driverapi/bin/driverapi serve", "Before=docker.service", "Restart=always"):
        assert needed in text
    try:
        done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    except FileNotFoundError:
        return
    complaints = [line for line in done.stderr.splitlines() if "is not executable" not in line and unit.name in line]
    assert complaints == []


@pytest.fixture(autouse=True)
def _no_output(capfd: pytest.CaptureFixture[str]) -> None:
    del capfd

"""The files of sandboxes on the real kernel: used by a resolver, found again, and gone with all else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from driverapi import Controller, Sandbox, Services
from driverapi.doctor import examine, mend
from driverapi.leftovers import take_inventory, wait_until_drained
from driverapi.services import hosts

DUAL = {"ipv4": "10.77.0.0/20", "ipv6": "fd77::/64"}

INSIDE = 'mount --make-rprivate / && mount --bind "$1" /etc/hosts && shift && exec "$@"'

STATE = """
import sys
from driverapi import Controller, Services
ctl = Controller(state=sys.argv[1], run_dir=sys.argv[2])
net = ctl.create_network("bridge", "web", ipv4="10.77.0.0/20")
net.create_endpoint("one").join(ctl.create_sandbox("box", services=Services(hostname="me")))
net.create_endpoint("two").join(ctl.create_sandbox("peer"))
ctl.create_sandbox("lost", services=True)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Path]:
    before = take_inventory(str(tmp_path))
    yield tmp_path / "run"
    assert not wait_until_drained(before, str(tmp_path), 20)


def inside(box: Sandbox, *command: str) -> str:
    """Run a command in a sandbox, its file mounted over ``/etc/hosts``."""
    arguments = [f"--net={box.key}", "unshare", "--mount", "sh", "-c", INSIDE, "sh", box.hosts_path or "", *command]
    return subprocess.run(["nsenter", *arguments], check=True, capture_output=True, text=True, timeout=20).stdout


def test_a_resolver_in_the_sandbox_finds_itself_and_its_peers(run: Path) -> None:
    with Controller(run_dir=run) as ctl:
        net = ctl.create_network("bridge", "web", **DUAL)
        box = ctl.create_sandbox("box", services=Services(hostname="me", domain="example.org"))
        peer = ctl.create_sandbox("peer", services=True)
        net.create_endpoint("one", ipv4="10.77.0.11", ipv6="fd77::11").join(box)
        net.create_endpoint("two", ipv4="10.77.0.12", ipv6="fd77::12").join(peer)
        net.create_endpoint("two2", ipv4="10.77.0.13", ipv6="fd77::13").join(ctl.create_sandbox("third"))
        box.refresh()
        assert inside(box, "getent", "ahostsv4", "two").split()[0] == "10.77.0.12"
        assert inside(box, "getent", "ahostsv6", "two.web").split()[0] == "fd77::12"
        assert inside(box, "getent", "ahostsv4", "peer").split()[0] == "10.77.0.12"
        assert inside(box, "getent", "hosts", "10.77.0.11").split()[1:3] == ["me.example.org", "me"]
        assert "1 received" in inside(box, "ping", "-c", "1", "-W", "2", "two2")
        directory = Path(box.hosts_path or "").parent
        assert ctl._instance is not None
        assert directory.parent == ctl._instance.directory / "files"
        assert examine(run).healthy
        net.detach(net.endpoints)
        box.delete()
        assert not directory.exists()
    assert os.listdir(run) == []


def test_a_burst_is_one_write(run: Path) -> None:
    with Controller(run_dir=run) as ctl:
        net = ctl.create_network("bridge", "web", **DUAL)
        box = ctl.create_sandbox("box", services=True)
        net.create_endpoint("one").join(box)
        assert box._files is not None
        box.refresh()
        time.sleep(0.2)
        before = box._files.writes
        endpoints = net.attach(100, strict=True)
        until = time.monotonic() + 5
        while ctl._files._thread is not None and time.monotonic() < until:
            time.sleep(0.01)
        assert hosts.lookup(Path(box.hosts_path or "").read_text(), endpoints[-1].name)
        assert box._files.writes == before + 1


def test_after_a_kill_they_are_there_again_and_what_nobody_has_is_not(run: Path, tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    child = subprocess.Popen([sys.executable, "-c", STATE, state, run], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()  # type: ignore[union-attr]
        child.stdin.close()  # type: ignore[union-attr]
    assert [one.kind for one in examine(run).findings] == ["unclean"]
    with Controller(state=state, run_dir=run) as ctl:
        assert ctl._instance is not None
        place = ctl._instance.directory / "files"
        assert len(os.listdir(place)) == 2
        box = ctl.sandbox("box")
        text = Path(box.hosts_path or "").read_text()
        assert hosts.lookup(text, "me") == ["10.77.0.2"]
        assert hosts.lookup(text, "two") == ["10.77.0.3"]
        ctl.sandbox("lost").delete()
        (place / "0123").mkdir()
    assert examine(run).healthy
    with Controller(state=state, run_dir=run) as ctl:
        assert os.listdir(place) == [Path(ctl.sandbox("box").hosts_path or "").parent.name]
        net = ctl.network("web")
        net.detach(net.endpoints)
        net.delete()
        for one in ctl.sandboxes:
            one.delete()
    assert os.listdir(run) == []


def test_doctor_takes_them_away_with_what_nobody_owns(run: Path, tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    child = subprocess.Popen([sys.executable, "-c", STATE, state, run], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()  # type: ignore[union-attr]
        child.stdin.close()  # type: ignore[union-attr]
    state.unlink()
    report = examine(run)
    assert [one.kind for one in report.findings] == ["orphan"]
    mend(report)
    assert examine(run).healthy
    assert os.listdir(run) == []

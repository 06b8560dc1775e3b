"""``EnableIPForwarding``: the machine's switch is on as long as a network wants it, and all is as before afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from driverapi import Controller, doctor, errors
from driverapi.dataplane.forwarding import Forwarding
from driverapi.dataplane.ipforward import HostForwarding
from tests.kernel.traffic import ask, beyond, no_tables, place, run, server

WISH = {"bridge": {"EnableIPForwarding": True}}
CONF = Path("/proc/sys/net/ipv4/conf")


@pytest.fixture(autouse=True)
def _private() -> Iterator[None]:
    with no_tables():  # which sees that the switch is off afterwards
        yield


@pytest.fixture
def devices() -> Iterator[None]:
    """One device of others that forwards by itself, and one that does not."""
    run("ip", "link", "add", "fwd0", "type", "veth", "peer", "name", "not0")
    (CONF / "fwd0/forwarding").write_text("1")
    yield
    assert told() == {"fwd0": 1, "not0": 0, "default": 0, "all": 0}
    run("ip", "link", "del", "fwd0")


def told() -> dict[str, int]:
    return {name: int((CONF / name / "forwarding").read_text()) for name in ("fwd0", "not0", "default", "all")}


def on() -> bool:
    return Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "1"


def test_it_is_on_as_long_as_a_network_wants_it(
    tmp_path: Path, devices: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with Controller(run_dir=tmp_path, driver_options=WISH) as ctl:
        assert not on()
        ctl.create_network("bridge", "six", ipv6="fd77::/64")
        ctl.create_network("bridge", "in", ipv4="10.79.0.0/24", options={"com.docker.network.internal": True})
        assert not on()  # neither would have anything of it
        one, other = (ctl.create_network("bridge", name, ipv4="0.0.0.0/24") for name in ("one", "other"))
        assert on()
        one.delete()
        assert on()
        other.delete()
        assert on()  # links of ours are left, which would have to forward by themselves
        for name in ("six", "in"):
            ctl.network(name).delete()
        assert not on()
        ctl.create_network("bridge", "again", ipv4="10.80.0.0/24")
        assert on()
    said = [one.option for one in caplog.records if getattr(one, "event", "") == "host.forwarding"]  # type: ignore[attr-defined]
    assert said == [f"net.ipv4.ip_forward={value}" for value in (1, 0, 1, 0)]
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(shutil.which("nft") is None, reason="nft is not installed")
def test_ports_are_reached_from_elsewhere_with_it() -> None:
    with Controller(driver_options=WISH) as ctl, beyond(ctl.create_sandbox("outside").key) as outside:
        (CONF / "out0/forwarding").write_text("0")
        (one,) = ctl.create_network("bridge", "web", ipv4="10.77.0.0/24").attach(1, publish="8080:80")
        with server(place(one), 80):
            assert ask("192.0.2.1", 8080, where=outside) == "192.0.2.2"


def test_what_was_on_before_stays_on(tmp_path: Path) -> None:
    switch = Path("/proc/sys/net/ipv4/ip_forward")
    switch.write_text("1")
    try:
        with Controller(run_dir=tmp_path, driver_options=WISH) as ctl:
            ctl.create_network("bridge", "web", ipv4="10.77.0.0/24").delete()
            assert on()
        assert os.listdir(tmp_path) == []
    finally:
        switch.write_text("0")


def test_networks_of_other_controllers_keep_it_on(tmp_path: Path, devices: None) -> None:
    """One that wants it, and one that does not, and would lose its own forwarding with it."""
    with Controller(run_dir=tmp_path) as other:
        routed = other.create_network("routed", "routed", ipv4="10.78.0.0/24")
        routed.attach(1, strict=True)
        with Controller(run_dir=tmp_path, driver_options=WISH) as ctl:
            ctl.create_network("bridge", "web", ipv4="10.77.0.0/24")
        assert on()
        with Controller(run_dir=tmp_path, driver_options=WISH) as ctl:
            ctl.create_network("bridge", "web", ipv4="10.77.0.0/24").delete()
        routed.detach(routed.endpoints)
        routed.delete()
        assert not on()


def test_a_network_on_a_bridge_of_others_keeps_it_on(tmp_path: Path) -> None:
    """That bridge has no mark of ours, by which the links of other controllers are known."""
    run("ip", "link", "add", "others0", "type", "bridge")
    base = tmp_path / "run"
    try:
        with Controller(run_dir=base, driver_options=WISH) as other:
            there = {"com.docker.network.bridge.name": "others0"}
            borrowing = other.create_network("bridge", "borrowing", ipv4="10.78.0.0/24", options=there)
            with Controller(run_dir=base, driver_options=WISH) as ctl:
                ctl.create_network("bridge", "web", ipv4="10.77.0.0/24").delete()
            assert on()
            assert doctor.examine(base).healthy
            borrowing.delete()
            assert not on()
    finally:
        run("ip", "link", "del", "others0")
    assert os.listdir(base) == []


def test_what_is_owed_is_of_one_namespace_and_none_that_has_its_number_later(tmp_path: Path) -> None:
    """Such numbers come again as soon as they are free; cookies (SO_NETNS_COOKIE) do not."""
    with Controller(run_dir=tmp_path, driver_options=WISH) as ctl:
        ctl.create_network("bridge", "web", ipv4="10.77.0.0/24")
        with socket.socket(socket.AF_UNIX) as asking:
            cookie = int.from_bytes(asking.getsockopt(socket.SOL_SOCKET, 71, 8), sys.byteorder)
        assert f"forwarding-{cookie:x}" in os.listdir(tmp_path)


KILLED = """
import os, signal, sys
from driverapi import Controller
run_dir, state = sys.argv[1:]
ctl = Controller(run_dir=run_dir, state=state or None, driver_options={"bridge": {"EnableIPForwarding": True}})
ctl.create_network("bridge", "web", ipv4="10.77.0.0/24")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("state", ["", "state.db"])
def test_after_a_kill(tmp_path: Path, devices: None, state: str) -> None:
    path = str(tmp_path / state) if state else ""
    base = tmp_path / "run"
    done = subprocess.run([sys.executable, "-c", KILLED, str(base), path], timeout=30, check=False)
    assert done.returncode == -signal.SIGKILL
    assert on()
    if not state:
        doctor.mend(doctor.examine(base))
    else:
        with Controller(state=path) as ctl:  # without the wish: but its link is there
            assert on()
            ctl.network("web").delete()
    assert not on()
    assert doctor.examine(base).healthy


class Killed(BaseException):
    pass


@pytest.mark.parametrize("step", ["written", "on", "off"])
@pytest.mark.parametrize("mender", ["next", "doctor"])
def test_killed_between_its_steps(
    tmp_path: Path, devices: None, monkeypatch: pytest.MonkeyPatch, step: str, mender: str
) -> None:
    base = tmp_path / "run"
    base.mkdir(mode=0o700)
    switch_all = Forwarding.switch_all

    def dying(self: Forwarding, *, on: bool) -> None:
        if step == "written" or (step == "on") is on:
            if step != "written":
                switch_all(self, on=on)
            raise Killed
        switch_all(self, on=on)

    forwarding = Forwarding()
    with Controller(run_dir=base) as ctl, monkeypatch.context() as patch:  # of which nothing is in the kernel
        host = HostForwarding(base, forwarding, ctl._dataplane._kernel.host)  # type: ignore[attr-defined]
        patch.setattr(Forwarding, "switch_all", dying)

        def live() -> None:
            host.want("net")
            host.unwant("net")

        with pytest.raises(Killed):
            live()
    forwarding.close()
    if mender == "doctor":
        report = doctor.examine(base)
        assert [(one.kind, one.instance) for one in report.findings] == [("orphan", "")]
        assert doctor.mend(report) == ["net.ipv4.ip_forward is as it was"]
    else:
        with Controller(run_dir=base) as ctl:
            ctl.create_network("bridge", "web", ipv4="10.77.0.0/24").delete()
    assert doctor.examine(base).healthy
    assert os.listdir(base) == []


def test_what_cannot_be_written_makes_nothing(tmp_path: Path) -> None:
    run("mount", "--bind", "/proc/sys", "/proc/sys")
    try:
        run("mount", "-o", "remount,bind,ro", "/proc/sys")
        before: Any = run("ip", "-o", "link")
        with Controller(run_dir=tmp_path, driver_options=WISH) as ctl:
            with pytest.raises(errors.NoPermissionError, match=r"ip_forward: Read-only.*leave EnableIPForwarding out"):
                ctl.create_network("bridge", "web", ipv4="10.77.0.0/24")
            assert ctl.networks == []
            assert run("ip", "-o", "link") == before
    finally:
        run("umount", "/proc/sys")
    assert os.listdir(tmp_path) == []

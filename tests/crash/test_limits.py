"""No room, no descriptors, no memory, a clock that goes back: calls fail cleanly, and afterwards all is whole."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from _fastnet.socket import NetlinkSocket
from driverapi import Controller, errors
from driverapi.leftovers import take_inventory, wait_until_drained
from driverapi.testing import FakeDataplane
from tests.crash.verbs import facts
from tests.crash.whole import wrong_in_books, wrong_in_kernel
from tests.kernel.test_state import DUAL, Place

pytestmark = pytest.mark.usefixtures("private_kernel")


@pytest.fixture
def place(tmp_path: Path, host: NetlinkSocket, private_kernel: None) -> Iterator[Place]:
    """A place whose state is on a small file system of its own."""
    run, disk = str(tmp_path / "run"), tmp_path / "disk"
    before = take_inventory(run)
    disk.mkdir(mode=0o700)
    _mount("-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", str(disk))
    found = Place(tmp_path)
    (tmp_path / "state.db").symlink_to("nowhere")  # no test is to use it
    found.start = lambda **more: _start(found, disk, tmp_path / "run", more)  # type: ignore[method-assign]
    try:
        yield found
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
    assert not wait_until_drained(before, run, 20)
    assert list((tmp_path / "run").iterdir()) == []


def _start(place: Place, disk: Path, run: Path, more: dict[str, Any]) -> Controller:
    place.open = Controller(state=disk / "state.db", run_dir=run, **more)
    return place.open


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True, capture_output=True)


def check(ctl: Controller, run_dir: Path) -> None:
    """The kernel is as the controller has it."""
    assert wrong_in_kernel(ctl, str(run_dir), (), random.Random(1), sandboxes=100, pings=1) == []


def check_again(place: Place, run_dir: Path) -> Controller:
    """Kill it and start again: nothing is to be mended, and all is as it was."""
    assert place.open is not None
    before = facts(place.open)
    assert wrong_in_books(place.open) == []
    place.kill()
    ctl = place.start()
    assert ctl.restored is not None
    assert not ctl.restored.mended, ctl.restored
    assert facts(ctl) == before
    check(ctl, run_dir)
    return ctl


def tried(call: Callable[[], object], *allowed: type[Exception]) -> bool:
    """Call; tell whether it was done. What it raises must be one of ours."""
    try:
        call()
    except errors.BulkError as error:
        if not all(isinstance(one, allowed) for one in error.exceptions):
            raise
        return False
    except allowed:
        return False
    return True


# --- the disk --------------------------------------------------------------------------------------


@contextlib.contextmanager
def full(disk: Path, room: int) -> Iterator[None]:
    """Leave that many bytes of a file system free, for the time of a block."""
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        usage = os.statvfs(disk)
        os.posix_fallocate(file.fileno(), 0, max(usage.f_bavail * usage.f_frsize - room, 1))
    yield
    ballast.unlink()


def _with_room(ctl: Controller, room: int, disk: Path, run: Path) -> list[bool]:
    """Call verbs with so much room on the disk; give which were done. What failed has changed nothing."""
    web = ctl.network("web")
    calls: list[Callable[[], object]] = [
        lambda: web.attach(30, strict=True),
        lambda: web.endpoint("idle").join(ctl.create_sandbox("box")),
        lambda: ctl.create_network("routed", "lan", ipv4="10.9.0.0/24"),
        lambda: web.detach(web.endpoints[:10]),
        lambda: web.create_endpoint("more"),
        lambda: ctl.create_sandbox("third").delete(),
    ]
    done = []
    with full(disk, room):
        for call in calls:
            before = facts(ctl)
            done.append(tried(call, errors.StateError))
            if not done[-1]:
                assert before.keys() <= facts(ctl).keys()
            check(ctl, run)
    web.create_endpoint("after").delete()
    return done


def test_full_disk(place: Place, tmp_path: Path) -> None:
    """However much room is left: what is reported as failed was not done, and goes through when there is room."""
    disk, run = tmp_path / "disk", tmp_path / "run"
    ctl = place.start()
    web = ctl.create_network("bridge", "web", **DUAL)
    web.attach(30, strict=True)
    web.create_endpoint("idle")
    done: list[bool] = []
    for room in (0, 8192, 16384, 32768, 65536, 131072, 262144):
        done += _with_room(ctl, room, disk, run)
        ctl = check_again(place, run)
        web = ctl.network("web")
        for endpoint in web.endpoints:
            if endpoint.name == "idle" and endpoint.sandbox is not None:
                endpoint.leave()
        web.detach([one for one in web.endpoints if one.name == "more"])
        for box in ctl.sandboxes:
            if not box.endpoints:
                box.delete()
        for network in ctl.networks:
            if network is not web:
                network.delete()
    assert len(set(done)) == 2
    assert done.count(False) > 10
    place.clear()


def test_full_disk_at_the_start(place: Place, tmp_path: Path) -> None:
    disk, run = tmp_path / "disk", tmp_path / "run"
    ctl = place.start()
    ctl.create_network("bridge", "web", **DUAL).attach(10, strict=True)
    before = facts(ctl)
    place.kill()
    with full(disk, 0), pytest.raises(errors.StateError):
        place.start()
    ctl = place.start()
    assert ctl.restored is not None
    assert not ctl.restored.mended, ctl.restored
    assert facts(ctl) == before
    check(ctl, run)
    place.clear()


def test_read_only(place: Place, tmp_path: Path) -> None:
    disk, run = tmp_path / "disk", tmp_path / "run"
    ctl = place.start()
    ctl.create_network("bridge", "web", **DUAL).attach(10, strict=True)
    before = facts(ctl)
    place.kill()
    _mount("-o", "remount,ro", str(disk))
    with pytest.raises(errors.StateError):
        place.start()
    _mount("-o", "remount,rw", str(disk))
    ctl = place.start()
    assert ctl.restored is not None
    assert not ctl.restored.mended, ctl.restored
    assert facts(ctl) == before
    check(ctl, run)
    place.clear()


# --- descriptors and memory ------------------------------------------------------------------------


@contextlib.contextmanager
def few_descriptors(count: int) -> Iterator[None]:
    """Let the process open no more than that many further descriptors, for the time of a block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    hogs: list[int] = []
    highest = max(map(int, os.listdir("/proc/self/fd")))
    while not hogs or hogs[-1] < highest + count + 1:
        hogs.append(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
    while count and hogs[-1] >= highest:
        if len(hogs) <= count:
            break
        os.close(hogs[-count])
        del hogs[-count]
        count -= 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(hogs) + 1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for hog in hogs:
            os.close(hog)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 8, 13])
def test_few_descriptors(place: Place, tmp_path: Path, count: int) -> None:
    run = tmp_path / "run"
    ctl = place.start()
    web = ctl.create_network("bridge", "web", **DUAL)
    web.attach(10, strict=True)
    web.create_endpoint("idle")
    allowed = (errors.KernelError, errors.StateError)
    with few_descriptors(count):
        for call in (
            lambda: web.attach(20, strict=True),
            lambda: web.endpoint("idle").join(ctl.create_sandbox("box")),
            lambda: ctl.create_network("routed", "lan", ipv4="10.9.0.0/24", ipv6="fd09::/64"),
            lambda: web.detach(web.endpoints[:5]),
        ):
            tried(call, *allowed)
    check(ctl, run)
    ctl.create_sandbox("after").delete()
    check_again(place, run)
    place.kill()
    with few_descriptors(count):
        started = tried(place.start, *allowed, errors.DriverAPIError)
    if not started:
        place.start()
    ctl = place.open  # type: ignore[assignment]
    assert ctl.restored is not None
    assert not ctl.restored.mended, ctl.restored
    check(ctl, run)
    place.clear()


_LITTLE_MEMORY = """
import logging, resource, sys
from pathlib import Path
from driverapi import Controller, errors

room = int(sys.argv[3])
logging.disable()
ctl = Controller(state=sys.argv[1], run_dir=sys.argv[2])
web = ctl.network("web")
boxes = [ctl.create_sandbox(f"box-{number}") for number in range(50)]
print("ready", flush=True)
resource.setrlimit(resource.RLIMIT_AS, (int(Path("/proc/self/statm").read_text().split()[0]) * 4096, -1))
hogs = []
for size in (1 << 20, 1 << 16, 4000):
    try:
        while True:
            hogs.append(bytes(size))
    except MemoryError:
        pass
del hogs[-room:]
for _ in range(3):
    for call in (
        lambda: web.attach(boxes, strict=True), lambda: ctl.create_network("routed", "lan").delete(),
        lambda: web.attach(60), lambda: web.detach(web.endpoints[10:]),
    ):
        try:
            call()
        except (MemoryError, errors.DriverAPIError):
            pass
sys.stdin.read()
"""


@pytest.mark.parametrize("room", [8, 32, 64, 100, 200])
def test_little_memory(place: Place, tmp_path: Path, room: int) -> None:
    """The process has no more memory than so many pieces: whatever comes of it, the next one finds all whole.

    CPython itself may wait, or go round, for ever when it finds none for an error or a thread: it is killed then.
    """
    root, disk = Path(__file__).parents[2], tmp_path / "disk"
    _mount("-o", "remount,size=32m", str(disk))  # it is not to be full, too
    ctl = place.start()
    kept = ctl.create_network("bridge", "web", **DUAL).attach(10, strict=True)
    before = facts(ctl)
    assert len(kept) == 10
    ctl.close()
    with subprocess.Popen(
        [sys.executable, "-c", _LITTLE_MEMORY, str(disk / "state.db"), str(tmp_path / "run"), str(room)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    ) as child:  # fmt: skip
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        time.sleep(0.7)
        child.kill()
        child.wait()
    ctl = place.start()
    assert before.items() <= facts(ctl).items()
    assert wrong_in_books(ctl) == []
    check(ctl, tmp_path / "run")
    check_again(place, tmp_path / "run")
    place.clear()


# --- the clock -------------------------------------------------------------------------------------


@pytest.mark.parametrize("moved", [-3600.0, -30.0, 30.0, 3600.0])
def test_the_clock_is_set_between_two_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: float) -> None:
    """Addresses rest for no longer than their quarantine, whatever the clock says, and are not given twice."""
    plane, clock = FakeDataplane(), time.time
    ctl = Controller(state=tmp_path / "state.db", dataplane=plane, quarantine=60)
    web = ctl.create_network("bridge", "web", ipv4="10.1.0.0/29")
    kept = web.attach(2, strict=True)
    resting = web.attach(2, strict=True)
    before = {str(one.interfaces[0].address) for one in kept}
    web.detach(resting)
    ctl.close()
    monkeypatch.setattr(time, "time", lambda: clock() + moved)
    for _ in range(2):
        ctl = Controller(state=tmp_path / "state.db", dataplane=plane, quarantine=60)
        web = ctl.network("web")
        assert {str(one.interfaces[0].address) for one in web.endpoints} == before
        rows = len(ctl._store.records())
        assert rows == (1 + 2 + 2) + (2 if moved == 30 else 0), "what rests is known for its time"
        ctl.close()
    ctl = Controller(state=tmp_path / "state.db", dataplane=plane, quarantine=60)
    more = ctl.network("web").attach(3, strict=True)  # there are no others: those that rest are given too
    assert len(before | {str(one.interfaces[0].address) for one in more}) == 5
    ctl.close()

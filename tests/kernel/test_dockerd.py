"""The Docker engine of tests and benchmarks: it works, and nothing of it stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from driverapi.bench import WrongResultError, dockerd, probe
from driverapi.bench.dockerd import Engine, EngineError

if dockerd.missing():
    pytest.skip(dockerd.missing(), allow_module_level=True)


def traces() -> set[str]:
    """Return what engines have left: directories, control groups, processes, keys."""
    found = {str(one) for one in Path("/tmp").glob("engine-*")}
    found |= {str(one) for pattern in ("driverapi-*", "*/driverapi-*") for one in Path("/sys/fs/cgroup").glob(pattern)}
    found |= {str(one) for one in Path("/etc/docker").glob("*")}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if b"/engine-" in command:
            found.add(command.replace(b"\0", b" ").decode())
    return found


def until(true: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Wait for it."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def clean() -> Iterator[None]:
    before = traces()
    yield
    assert until(lambda: traces() <= before), traces() - before


def test_a_container_on_its_network(clean: None) -> None:
    """In a network of its own; a sandbox of it is a path for us."""
    links = probe.host_links()
    with Engine() as engine:
        engine.import_busybox()
        engine.create_network("other", IPAM={"Config": [{"Subnet": "10.66.0.0/24"}]})
        box = engine.run("box", network="other")
        told = engine.endpoint("box", "other")
        assert told["IPAddress"] == "10.66.0.2"
        probe.check_sandboxes([box.netns], [told["Gateway"]], addresses=[told["IPAddress"]])
        engine.disconnect("other", "box")
        with pytest.raises(WrongResultError):
            probe.check_sandboxes([box.netns], [told["Gateway"]])
        with pytest.raises(EngineError, match=r"404.*nobody"):
            engine.connect("other", "nobody")
        assert probe.host_links() == links
    engine.close()


def test_in_our_network(clean: None) -> None:
    """In a process with a network of its own: the engine's packet filter stays in the namespace that it is given."""
    program = """
from driverapi._private import enter_private_namespaces
enter_private_namespaces()
from driverapi.bench import probe
from driverapi.bench.dockerd import Engine
links = probe.host_links()
with Engine(share_network=True):
    assert probe.host_links() == links + 1  # docker0
# The namespace is ours and stays, and so does the bridge.
assert probe.host_links() == links + 1
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_it_does_not_start(clean: None) -> None:
    with pytest.raises(EngineError, match=r"did not start.*no-such-flag"):
        Engine(arguments=("--no-such-flag",))


def test_the_machines_network_is_refused(clean: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getppid", os.getpid)
    with pytest.raises(ValueError, match="the machine's own network"):
        Engine(share_network=True)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_dies_with_its_owner(clean: None, how: signal.Signals) -> None:
    """Containers and their shims too."""
    before = traces()
    program = """
import time
from driverapi.bench.dockerd import Engine
engine = Engine()
engine.import_busybox()
engine.run("box")
print("up", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        assert len(traces() - before) > 3
        owner.send_signal(how)
        owner.wait(30)

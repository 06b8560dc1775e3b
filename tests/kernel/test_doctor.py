"""``driverapi doctor`` on what killed processes leave: it lists that, mends it, and finds nothing then."""

from __future__ import annotations

import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from _fastnet.batch import Batch
from _fastnet.socket import NetlinkSocket
from driverapi import Controller
from driverapi.bench.dockerd import _Connection
from driverapi.doctor import examine, mend, probe
from driverapi.leftovers import take_inventory, wait_until_drained

CHURN = """
import sys
from driverapi import Controller
state, run_dir = sys.argv[1:]
ctl = Controller(state=state or None, run_dir=run_dir)
nets = [ctl.create_network(driver, driver, ipv4="0.0.0.0/22", ipv6="::/64") for driver in ("bridge", "routed")]
nets[0].attach(3)
ctl.warm(nets[0], 3, wait=False)
print("ready", flush=True)
while True:
    for net in nets:
        some = net.attach(15)
        net.detach(some[1:])
"""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Path]:
    before = take_inventory(str(tmp_path))
    yield tmp_path / "run"
    assert not wait_until_drained(before, str(tmp_path), 20)


def killed(seed: int, run: Path, state: Path | None) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHURN, "" if state is None else str(state), str(run)], stdout=subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(random.Random(seed).uniform(0.0, 0.3))
        report = examine(run)
        [own] = [one for one in report.instances if one.pid == child.pid]
        assert own.owner == "process"
        assert own.id not in {one.instance for one in report.findings}
        assert child.poll() is None
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()  # type: ignore[union-attr]


def doctor(run: Path, *options: str, status: int = 0) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "driverapi", "doctor", "--json", "--no-probe", f"--run-dir={run}", *options],
        capture_output=True,
        check=False,
    )
    assert done.returncode == status, (done.stdout, done.stderr)
    document: dict[str, Any] = json.loads(done.stdout)
    assert document["ok"] is (status == 0)
    return document


@pytest.mark.parametrize("seed", range(5))
def test_what_a_killed_process_left(run: Path, seed: int) -> None:
    with Controller(run_dir=run) as living:
        kept = living.create_network("bridge", "kept", ipv4="10.99.0.0/24").attach(2, strict=True)
        killed(seed, run, None)
        found = doctor(run, status=1)
        [finding] = found["findings"]
        assert finding["kind"] == "orphan"
        [left] = [one for one in found["instances"] if one["id"] == finding["instance"]]
        assert left["owner"] == "nobody"
        assert left["links"] > 6
        assert left["namespaces"] > 3
        fixed = doctor(run, "--fix")
        assert len(fixed["fixed"]) == 1
        assert fixed["found"] == [finding]
        after = doctor(run)
        assert [one["owner"] for one in after["instances"]] == ["process"]
        assert [os.path.exists(one.sandbox.key) for one in kept if one.sandbox] == [True, True]
    assert list(run.iterdir()) == []


@pytest.mark.parametrize("seed", range(5))
def test_what_a_killed_process_with_state_left(run: Path, tmp_path: Path, seed: int) -> None:
    state = tmp_path / "state.db"
    killed(seed, run, state)
    found = doctor(run, status=1)
    assert "unclean" in {one["kind"] for one in found["findings"]}
    assert [one["owner"] for one in found["instances"]] == ["state"]
    fixed = doctor(run, "--fix")
    assert len(fixed["fixed"]) == 1
    after = doctor(run)
    assert [(one["owner"], one["clean"]) for one in after["instances"]] == [("state", True)]
    with Controller(state=state) as ctl:
        assert ctl.restored is not None
        assert not ctl.restored.mended
        assert ctl.restored.joined >= 3
        for network in ctl.networks:
            network.detach(network.endpoints)
            network.delete()
        assert ctl.sandboxes == []
    assert list(run.iterdir()) == []


def test_a_state_at_rest_that_differs(run: Path, tmp_path: Path, host: NetlinkSocket) -> None:
    state = tmp_path / "state.db"
    with Controller(state=state, run_dir=run) as ctl:
        ctl.create_network("bridge", "web", ipv4="10.1.0.0/24").attach(3, strict=True)
        instance = ctl._instance
        assert instance is not None
    assert examine(run).healthy
    [victim, *_] = [link.index for link in host.dump_links() if link.name.startswith(f"dv{instance.id}e")]
    batch = Batch()
    batch.delete_link(victim)
    batch.add_bridge(f"dv{instance.id}bff", group=instance.group(3))
    batch.add_bridge("dv-theirs", group=5)
    assert host.execute(batch).ok
    report = examine(run)
    [finding] = report.findings
    assert finding.kind == "differs"
    assert f"({victim}) is not there" in finding.what
    assert f"link dv{instance.id}bff" in finding.what
    [line] = mend(report)
    assert "1 down" in line
    assert examine(run).healthy
    assert "dv-theirs" in {link.name for link in host.dump_links()}
    with Controller(state=state) as ctl:
        network = ctl.network("web")
        network.detach(network.endpoints)
        network.delete()
        [parted] = ctl.sandboxes  # that of the endpoint that was lost
        parted.delete()
    batch.clear()
    batch.delete_link(name="dv-theirs")
    assert host.execute(batch).ok


COMERS = """
import sys
from driverapi import Controller
state, run_dir = sys.argv[1:]
print("ready", flush=True)
while True:
    with Controller(state=state, run_dir=run_dir) as ctl:
        net = ctl.create_network("routed", "short", ipv4="10.5.0.0/24")
        net.attach(5)
    with Controller(state=state) as ctl:
        net = ctl.network("short")
        net.detach(net.endpoints)
        net.delete()
    with Controller(run_dir=run_dir) as ctl:
        ctl.create_network("bridge", "brief", ipv4="10.6.0.0/24").attach(5)
"""


def test_nothing_is_wrong_while_controllers_come_and_go(run: Path, tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    command = [sys.executable, "-c", COMERS, str(state), str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            until = time.monotonic() + 8
            looks = 0
            while looks < 40 and time.monotonic() < until:
                report = examine(run, [state] if state.exists() else [])
                assert report.findings == []
                assert mend(report) == []
                looks += bool(report.instances)
            assert looks > 5, "it was never there: nothing was tested"
            assert child.poll() is None
        finally:
            child.kill()
    doctor(run, "--fix")
    if state.exists():
        with Controller(state=state) as ctl:
            for network in ctl.networks:
                network.detach(network.endpoints)
                network.delete()


def test_looking_changes_nothing(run: Path, tmp_path: Path, host: NetlinkSocket) -> None:
    state = tmp_path / "state.db"
    killed(3, run, state)
    killed(4, run, None)

    def all_there_is() -> tuple[Any, ...]:
        files = {path: path.is_file() and path.stat().st_size for path in sorted(run.rglob("*"))}
        return files, [(link.index, link.name, link.group) for link in host.dump_links()], state.read_bytes()

    before = all_there_is()
    first, second = doctor(run, status=1), doctor(run, status=1)
    assert first["findings"] == second["findings"]
    assert {"unclean", "orphan"} <= {one["kind"] for one in first["findings"]}
    assert all_there_is() == before
    doctor(run, "--fix")
    with Controller(state=state) as ctl:
        for network in ctl.networks:
            network.detach(network.endpoints)
            network.delete()


def test_a_state_after_a_reboot(run: Path, tmp_path: Path, host: NetlinkSocket) -> None:
    state = tmp_path / "state.db"
    with Controller(state=state, run_dir=run) as ctl:
        ctl.create_network("bridge", "web", ipv4="10.1.0.0/24").create_endpoint("named")
        instance = ctl._instance
        assert instance is not None
    assert doctor(run)["instances"][0]["state"] == str(state)
    batch = Batch()
    batch.delete_link(name=next(link.name for link in host.dump_links() if link.kind == "bridge"))
    assert host.execute(batch).ok
    shutil.rmtree(instance.directory)  # nothing is mounted there
    assert doctor(run)["instances"] == []
    [finding] = doctor(run, f"--state={state}", status=1)["findings"]
    assert finding["kind"] == "differs"
    assert "network 'web': link" in finding["what"]
    assert doctor(run, f"--state={state}", "--fix")["failed"] == []
    doctor(run, f"--state={state}")
    with Controller(state=state) as ctl:
        network = ctl.network("web")
        network.endpoint("named").delete()
        network.delete()


def test_a_state_of_another_network_namespace(run: Path, tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    with Controller(state=state, run_dir=run) as ctl:
        ctl.create_network("bridge", "web", ipv4="10.1.0.0/24").attach(2, strict=True)
    command = ["unshare", "-n", sys.executable, "-m", "driverapi", "doctor", "--json", "--no-probe", f"--run-dir={run}"]
    for options in ([], ["--fix"]):
        done = subprocess.run([*command, *options], capture_output=True, check=False)
        assert done.returncode == 0, done.stdout
        [one] = json.loads(done.stdout)["instances"]
        assert (one["owner"], one["elsewhere"]) == ("state", True)
    [one] = doctor(run)["instances"]
    assert (one["elsewhere"], one["namespaces"]) == (False, 2)
    with Controller(state=state) as ctl:
        assert not ctl.restored.mended  # type: ignore[union-attr]
        network = ctl.network("web")
        network.detach(network.endpoints)
        network.delete()


def test_a_state_that_is_gone(run: Path, tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    with Controller(state=state, run_dir=run) as ctl:
        ctl.create_network("bridge", "web", ipv4="10.1.0.0/24").attach(3, strict=True)
    for path in tmp_path.glob("state.db*"):
        path.unlink()
    found = doctor(run, status=1)
    assert [one["kind"] for one in found["findings"]] == ["orphan"]
    doctor(run, "--fix")
    assert list(run.iterdir()) == []


def test_a_state_that_is_damaged_keeps_what_it_has(run: Path, tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    with Controller(state=state, run_dir=run) as ctl:
        ctl.create_network("bridge", "web", ipv4="10.1.0.0/24").attach(3, strict=True)
    whole = state.read_bytes()
    state.write_bytes(b"nonsense" * 1000)
    for options in ((), ("--fix",)):
        found = doctor(run, *options, status=1)
        assert [one["kind"] for one in found["findings"]] == ["damaged"]
        assert found["instances"][0]["namespaces"] == 3
    state.write_bytes(whole)
    with Controller(state=state) as ctl:
        network = ctl.network("web")
        assert len(network.endpoints) == 3
        network.detach(network.endpoints)
        network.delete()


THEIRS = [
    ["-j", "RETURN"],
    ["-m", "comment", "--comment", "driverapi 12abc", "-j", "ACCEPT"],
    ["-s", "10.0.0.1/32", "-m", "comment", "--comment", "not driverapi 12ab", "-j", "ACCEPT"],
]


def iptables(*arguments: str) -> list[str]:
    done = subprocess.run(["iptables", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.fixture
def chain() -> Iterator[list[str]]:
    """The chain that a Docker engine leaves to its users, and rules of theirs."""
    if shutil.which("iptables") is None:
        pytest.skip("iptables is not installed")
    iptables("-N", "DOCKER-USER")
    try:
        for rule in THEIRS:
            iptables("-A", "DOCKER-USER", *rule)
        yield (theirs := iptables("-S", "DOCKER-USER"))
        assert iptables("-S", "DOCKER-USER") == theirs
    finally:
        iptables("-F", "DOCKER-USER")
        iptables("-X", "DOCKER-USER")
        subprocess.run(["nft", "delete", "table", "ip", "filter"], check=True)  # which iptables made for it


PREFIXES = {"left": "10.8.0.0/24", "web": "10.9.0.0/24"}


@contextmanager
def plugin(run: Path, *options: str) -> Iterator[Callable[[str, Any], int]]:
    """Serve driver bridge; gives what asks it, and kills it at the end."""
    socket = run.parent / "p.sock"
    command = [sys.executable, "-m", "driverapi", "serve", f"--run-dir={run}", f"--socket={socket}", *options]

    def ask(verb: str, document: Any) -> int:
        connection = _Connection(str(socket))
        try:
            connection.request("POST", f"/NetworkDriver.{verb}", json.dumps(document))
            return connection.getresponse().status
        finally:
            connection.close()

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline().startswith("driverapi-bridge: ")
            yield ask
        finally:
            child.kill()


def create(ask: Callable[[str, Any], int], id: str) -> None:
    pool = [{"Pool": PREFIXES[id], "Gateway": PREFIXES[id].replace(".0/", ".1/")}]
    options = {"com.docker.network.bridge.enable_ip_masquerade": "true"}
    assert ask("CreateNetwork", {"NetworkID": id, "IPv4Data": pool, "Options": options}) == 200


def test_rules_of_a_plugin_that_was_killed(run: Path, chain: list[str]) -> None:
    """They let packets pass to whoever has the addresses next: those with our mark and no living owner go."""
    with plugin(run, "--no-state") as ask:
        create(ask, "web")
        report = examine(run)
        [alive] = report.instances
        assert (alive.owner, alive.user_rules) == ("process", len(iptables("-S", "DOCKER-USER")) - len(chain))
        assert mend(report) == []
    report = examine(run)
    [finding] = report.findings
    assert (finding.kind, finding.instance) == ("orphan", alive.id)
    assert f"{alive.user_rules} rules in DOCKER-USER" in finding.what
    assert len(iptables("-S", "DOCKER-USER")) == len(chain) + alive.user_rules
    [fixed] = mend(report)
    assert f"{alive.user_rules} rules in DOCKER-USER" in fixed
    assert iptables("-S", "DOCKER-USER") == chain
    assert examine(run).instances == []


def test_rules_that_a_state_has_stay(run: Path, tmp_path: Path, chain: list[str]) -> None:
    """Its containers live; but for what a process left that was killed as it deleted a network."""
    state = f"--state={tmp_path}/p.db"
    with plugin(run, state) as ask:
        create(ask, "web")
        wanted = iptables("-S", "DOCKER-USER")
        create(ask, "left")
        left = set(iptables("-S", "DOCKER-USER")) - set(wanted)
        assert ask("DeleteNetwork", {"NetworkID": "left"}) == 200
        assert iptables("-S", "DOCKER-USER") == wanted
    for line in left:
        iptables(*shlex.split(line))
    assert left
    report = examine(run)
    [one] = report.instances
    assert (one.owner, one.user_rules) == ("state", len(wanted) + len(left) - len(chain))
    mend(report)
    assert iptables("-S", "DOCKER-USER") == wanted
    with plugin(run, state) as ask:
        assert ask("DeleteNetwork", {"NetworkID": "web"}) == 200
    mend(examine(run))
    assert list(run.iterdir()) == []


def test_rules_of_an_instance_that_nothing_else_is_left_of(run: Path, chain: list[str]) -> None:
    run.mkdir(mode=0o700)
    iptables("-I", "DOCKER-USER", "-m", "comment", "--comment", "driverapi 12ab", "-j", "ACCEPT")
    report = examine(run)
    [finding] = report.findings
    assert (finding.kind, finding.instance, finding.mendable) == ("unknown", "12ab", False)
    assert mend(report) == []
    [fixed] = mend(report, ["12ab"])
    assert "1 rules in DOCKER-USER" in fixed


def test_an_instance_of_another_directory(run: Path, tmp_path: Path) -> None:
    run.mkdir(mode=0o700)
    killed(1, tmp_path / "other", None)
    found = doctor(run, status=1)
    [finding] = found["findings"]
    assert (finding["kind"], finding["mendable"]) == ("unknown", False)
    assert doctor(run, "--fix", status=1)["fixed"] == []
    doctor(tmp_path / "other", "--fix")
    doctor(run)


def test_it_cannot_look(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    done = subprocess.run(
        [sys.executable, "-m", "driverapi", "doctor", "--no-probe", f"--run-dir={shared}"],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert b"could not look" in done.stderr


def test_what_this_kernel_can_do() -> None:
    found = {one.name: one.there for one in probe()}
    assert found["link veth"]
    assert found["link bridge"]
    assert len(found) == 12
    assert "user namespaces" in found


def test_a_namespace_is_told_from_one_that_is_gone() -> None:
    """The number of its file is the lowest that is free: it comes again."""
    code = (
        "import os; from driverapi.machine import namespace_id as id; print(id(), os.stat('/proc/self/ns/net').st_ino)"
    )
    told, numbers = [], []
    for _ in range(20):
        done = subprocess.run(["unshare", "-n", sys.executable, "-c", code], capture_output=True, check=True, text=True)
        id, number = done.stdout.split()
        told.append(id)
        numbers.append(number)
        if len(set(numbers)) < len(numbers):
            break
        time.sleep(0.1)
    assert len(set(numbers)) < len(numbers)
    assert len(set(told)) == len(told)

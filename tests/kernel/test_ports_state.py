"""Published ports over restarts, and connections that end with them."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from driverapi import Controller, doctor, errors
from driverapi._native import socket_in
from driverapi.network import Network
from tests.kernel.traffic import ask, beyond, contents, ip_of, no_tables, place, run, server, tables

pytestmark = pytest.mark.skipif(shutil.which("nft") is None, reason="nft is not installed")

MASQUERADE = {"com.docker.network.bridge.enable_ip_masquerade": True}


@pytest.fixture(autouse=True)
def _private() -> Iterator[None]:
    with no_tables():
        yield


def everything_away(state: Path) -> None:
    with Controller(state=state) as ctl:
        for net in ctl.networks:
            net.detach(net.endpoints)
            net.delete()
        for box in ctl.sandboxes:
            box.delete()


def test_several_networks_with_rules_are_there_again(tmp_path: Path) -> None:
    """Each prefix is an interval of one set: sent together, they follow one another."""
    state = tmp_path / "state.db"
    with Controller(state=state) as ctl:
        for number, prefix in enumerate(("10.79.0.0/24", "10.77.0.0/24", "10.78.0.0/24")):
            ctl.create_network("bridge", f"net{number}", ipv4=prefix, options=MASQUERADE)
        written = contents(tables()[0])
    with Controller(state=state) as ctl:
        assert ctl.restored is not None
        assert not ctl.restored.mended
        assert contents(tables()[0]) == written
    everything_away(state)


def test_ports_are_there_again(tmp_path: Path, same_descriptors: None) -> None:
    state = tmp_path / "state.db"
    with Controller(state=state) as ctl:
        net = ctl.create_network("bridge", "web", ipv4="10.77.0.0/24", ipv6="fd77::/64", options=MASQUERADE)
        one, other = net.attach(2, publish="80")
        one.publish("8080:80")
        before = [str(port) for port in [*one.ports, *other.ports]]
        table = tables()[0]
        written = contents(table)
        key = place(one)
    try:
        with server(key, 80):
            assert contents(table) == written  # it is closed, and all stays
            assert ask("127.0.0.1", 8080) is not None
            with Controller(state=state) as ctl:
                assert ctl.restored is not None
                assert not ctl.restored.mended
                one, other = (ctl.network("web").endpoint(name) for name in (one.name, other.name))
                assert [str(port) for port in [*one.ports, *other.ports]] == before
                assert contents(table) == written
                with socket.socket() as taking, pytest.raises(OSError) as caught:
                    taking.bind(("127.0.0.1", 8080))
                assert caught.value.errno == errno.EADDRINUSE
                assert ask("127.0.0.1", 8080) is not None
                one.unpublish()
                other.publish("8080:80")
                assert len(contents(table)["any4"]) == 2
    finally:
        everything_away(state)


def test_a_port_that_somebody_has_taken_since_is_lost(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    with Controller(state=state) as ctl:
        (one,) = ctl.create_network("bridge", "web", ipv4="10.77.0.0/24").attach(1)
        one.publish("8080:80")
    try:
        with socket.create_server(("", 8080)), Controller(state=state) as ctl:
            assert ctl.restored is not None
            assert ctl.restored.ports_lost == (("web", one.name),)
            assert ctl.network("web").endpoint(one.name).ports == []
            assert "any4" not in contents(tables()[0])
        with Controller(state=state) as ctl:
            assert ctl.restored is not None
            assert ctl.restored.ports_lost == ()
            ctl.network("web").endpoint(one.name).publish("8080:80")
    finally:
        everything_away(state)


def test_a_port_that_is_lost_takes_no_other_with_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = tmp_path / "state.db"
    with Controller(state=state) as ctl:
        net = ctl.create_network("bridge", "web", ipv4="10.77.0.0/24", ipv6="fd77::/64")
        one, other = net.attach(2)
        one.publish("8080:80", "8081:80", "53:53/udp")
        other.publish("8082:80")
        key = place(one)
        lost = one.ports[0]
        kept = [str(port) for port in one.ports[1:]]
    assert str(lost).startswith("0.0.0.0:8080->")
    try:
        with server(key, 80), server(key, 80, version=6), server(key, 53, "udp"):
            with socket.create_server(("", 8080)), Controller(state=state) as ctl:  # of IPv4 alone
                assert ctl.restored is not None
                assert ctl.restored.lost_ports == (("web", one.name, lost),)
                assert ctl.restored.ports_lost == (("web", one.name),)
                assert ctl.restored.mended
                one, other = (ctl.network("web").endpoint(name) for name in (one.name, other.name))
                assert [str(port) for port in one.ports] == kept
                assert len(other.ports) == 2
                found = contents(tables()[0])
                assert (len(found["any4"]), len(found["any6"])) == (3, 4)
                assert ask("127.0.0.1", 8081) is not None
                assert ask("127.0.0.1", 53, "udp") is not None
                assert ask("fd77::1", 8080) is not None
                with socket.socket() as taking, pytest.raises(OSError) as caught:
                    taking.bind(("", 8081))  # held again
                assert caught.value.errno == errno.EADDRINUSE
            (told,) = [record for record in caplog.records if getattr(record, "event", "") == "ports.lost"]
            assert (told.endpoint_name, told.ports, told.error_kind) == (one.name, str(lost), "conflict")  # type: ignore[attr-defined]
            with Controller(state=state) as ctl:
                assert ctl.restored is not None
                assert not ctl.restored.mended
                assert [str(port) for port in ctl.network("web").endpoint(one.name).ports] == kept
    finally:
        everything_away(state)


def test_a_port_of_an_address_that_comes_after_the_start(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    with Controller() as other, beyond(other.create_sandbox("outside").key) as outside:
        run("ip", "addr", "add", "192.0.2.9/32", "dev", "out0")
        with Controller(state=state) as ctl:
            options = {**MASQUERADE, "com.docker.network.host_ipv4": "192.0.2.9"}
            (one,) = ctl.create_network("bridge", "web", ipv4="10.77.0.0/24", options=options).attach(1)
            one.publish("192.0.2.9:8080:80", "192.0.2.9:8081:80/udp", "8082:80")
            before, key = [str(port) for port in one.ports], place(one)
            written = contents(tables()[0])
        run("ip", "addr", "del", "192.0.2.9/32", "dev", "out0")
        try:
            with Controller(state=state) as ctl, server(key, 80):
                assert ctl.restored is not None
                assert not ctl.restored.mended
                one = ctl.network("web").endpoint(one.name)
                assert [str(port) for port in one.ports] == before
                assert contents(tables()[0]) == written
                with pytest.raises(errors.PortTakenError):
                    one.publish("8080:81")
                run("ip", "addr", "add", "192.0.2.9/32", "dev", "out0")
                assert ask("192.0.2.9", 8080, where=outside) == "192.0.2.2"
                one.unpublish("192.0.2.9:8080:80")
                one.publish("8080:80")
        finally:
            everything_away(state)


def test_a_table_that_is_gone_after_a_restart_is_made_anew(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    with Controller(state=state) as ctl:
        guarded = {**MASQUERADE, "driverapi.guard": True, "com.docker.network.bridge.enable_icc": False}
        guarded["com.docker.network.bridge.trusted_host_interfaces"] = "wg0:out0"
        (one,) = ctl.create_network("bridge", "web", ipv4="10.77.0.0/24", options=guarded).attach(1)
        one.publish("8080:80")
        table = tables()[0]
        before = contents(table), contents(table, "bridge")
    try:
        run("nft", "flush", "ruleset")
        with Controller(state=state):
            assert (contents(table), contents(table, "bridge")) == before
        run("nft", f"delete table inet {table}; add table inet {table}")  # as if of another version: no such set
        with Controller(state=state):
            assert (contents(table), contents(table, "bridge")) == before
        run("nft", f"flush map inet {table} any4; add element inet {table} any4 {{ tcp . 1 : 10.0.0.1 . 1 }}")
        with Controller(state=state):
            assert (contents(table), contents(table, "bridge")) == before
    finally:
        everything_away(state)


KILLED = """
import os, signal, sys
from driverapi import Controller
ctl = Controller(run_dir=sys.argv[1])
net = ctl.create_network("bridge", "web", ipv4="10.77.0.0/24", options={"com.docker.network.bridge.enable_icc": False})
net.attach(1, publish="8080:80")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_doctor_takes_the_tables_of_the_dead_away(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], timeout=30, check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(tables()) == 2
    report = doctor.examine(tmp_path)
    [finding], [left] = report.findings, report.instances
    id = tables()[0][-4:]
    assert (finding.kind, finding.instance, left.owner) == ("orphan", id, "nobody")
    assert left.tables == [f"bridge driverapi-{id}", f"inet driverapi-{id}"]
    assert (left.ports, left.ruled) == (1, 1)
    assert f"tables bridge driverapi-{id}, inet driverapi-{id} (1 ports, 1 networks)" in finding.what
    [line] = doctor.mend(report)
    assert f"tables bridge driverapi-{id}, inet driverapi-{id}" in line
    assert tables() == []
    assert os.listdir(tmp_path) == []


def told(run_dir: Path, *options: str, status: int, under: Sequence[str] = (), read: str = "read") -> dict[str, Any]:
    words = [
        *under,
        sys.executable,
        "-m",
        "driverapi",
        "doctor",
        "--json",
        "--no-probe",
        f"--run-dir={run_dir}",
        *options,
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == status, (done.stdout, done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["packet_filter"] == read
    return found


def test_doctor_names_tables_that_nobody_has(tmp_path: Path) -> None:
    """Of an instance whose links and directory are gone, beside one that lives and tables that are not ours."""
    with Controller(run_dir=tmp_path) as ctl:
        options = {**MASQUERADE, "com.docker.network.bridge.gateway_mode_ipv6": "routed"}
        net = ctl.create_network("bridge", "web", ipv4="10.77.0.0/24", ipv6="fd77::/64", options=options)
        net.create_endpoint("ep", publish=["8080:80", "127.0.0.1:53:53/udp"])
        ctl.create_network("bridge", "nat", ipv4="10.78.0.0/24", options=MASQUERADE)
        [own] = tables()
        id = "0bad" if own[-4:] != "0bad" else "0bae"
        run("nft", f"add table inet driverapi-{id}; add table inet driverapi-{id}x; add table ip driverapi-{id}")
        try:
            document = told(tmp_path, status=1)
            lost, alive = sorted(document["instances"], key=lambda one: str(one["id"] != id))
            assert (alive["owner"], alive["tables"]) == ("process", [f"inet {own}"])
            assert (alive["ports"], alive["ruled"]) == (3, 2)
            assert (lost["owner"], lost["tables"]) == ("unknown", [f"inet driverapi-{id}"])
            [finding] = document["findings"]
            assert (finding["kind"], finding["instance"]) == ("unknown", id)
            assert f"inet driverapi-{id}" in finding["what"]
            [line] = told(tmp_path, "--fix", "--forget", id, status=0)["fixed"]
            assert f"inet driverapi-{id}" in line
            assert sorted(tables()) == sorted([own, f"driverapi-{id}x", f"driverapi-{id}"])  # of family ip: not ours
        finally:
            run("nft", f"delete table inet driverapi-{id}x; delete table ip driverapi-{id}")


def test_doctor_compares_a_state_with_the_table(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    with Controller(state=state, run_dir=tmp_path / "run") as ctl:
        net = ctl.create_network("bridge", "web", ipv4="10.77.0.0/24")
        net.create_endpoint("one", publish=["8080:80", "127.0.0.1:53:53/udp"])
        net.create_endpoint("two", publish="8081:80")
        table = tables()[0]
    try:
        report = doctor.examine(tmp_path / "run")
        assert report.healthy
        assert (report.instances[0].owner, report.instances[0].ports) == ("state", 3)
        gone = f"flush map inet {table} ports4; flush map inet {table} any4"
        run("nft", f"{gone}; add element inet {table} any4 {{ tcp . 8080 : 10.77.0.2 . 80, tcp . 1 : 10.0.0.1 . 1 }}")
        report = doctor.examine(tmp_path / "run")
        [finding] = report.findings
        assert finding.kind == "differs"
        assert "endpoint 'one': port 127.0.0.1:53->10.77.0.2:53/udp is not published" in finding.what
        assert "endpoint 'two': port 0.0.0.0:8081->10.77.0.3:80/tcp is not published" in finding.what
        assert "1 published ports are in no record" in finding.what
        assert "8080" not in finding.what
        fewer = ("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin")
        told(tmp_path / "run", status=0, under=fewer, read="Operation not permitted")  # then nothing is said of ports
        doctor.mend(report)
        assert doctor.examine(tmp_path / "run").healthy
        assert len(contents(table)["any4"]) == 2
    finally:
        everything_away(state)


@pytest.fixture
def net() -> Iterator[Network]:
    with Controller() as ctl, beyond(ctl.create_sandbox("outside").key):
        yield ctl.create_network("bridge", "web", ipv4="10.77.0.0/24", ipv6="fd77::/64")


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("version", [4, 6])
def test_flows_through_a_port_end_with_it(net: Network, version: int, many: bool) -> None:
    """A UDP flow that goes on would go on to the sandbox, by its entry in the connection tracking."""
    one, other = net.attach(2)
    host = {4: "192.0.2.1", 6: "2001:db8::1"}[version]
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    outside = net._controller.sandbox("outside").key
    one.publish("9000:90/udp", *(f"{number}:1" for number in range(9100, 9120) if many))
    other.publish("9001:90/udp")
    flows = [socket.socket(fileno=socket_in(outside, family, socket.SOCK_DGRAM, 0)) for _ in range(2)]
    with (
        flows[0],
        flows[1],
        server(place(one), 90, "udp", version=version, name="one "),
        server(place(other), 90, "udp", version=version, name="other "),
    ):
        for flow, port in zip(flows, (9000, 9001), strict=True):
            flow.settimeout(0.5)
            flow.connect((host, port))
            flow.send(b"?")
            assert flow.recv(64)
        one.unpublish()
        flows[0].send(b"?")
        with pytest.raises((TimeoutError, ConnectionRefusedError)):
            flows[0].recv(64)
        flows[1].send(b"?")
        assert flows[1].recv(64).startswith(b"other ")
        other.publish("9000:90/udp")
        flows[0].send(b"?")
        assert flows[0].recv(64).startswith(b"other ")
    assert ip_of(one, version)


def test_the_command_line_publishes(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    words = [sys.executable, "-m", "driverapi"]
    environment = {**os.environ, "DRIVERAPI_STATE": str(state), "DRIVERAPI_RUN_DIR": str(tmp_path)}

    def call(*more: str) -> str:
        done = subprocess.run([*words, *more], capture_output=True, text=True, check=False, env=environment, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    call("network", "create", "web", "--ipv4", "10.77.0.0/24")
    call("sandbox", "create", "box")
    said = call("endpoint", "create", "web/one", "--publish", "8080:80", "-p", "127.0.0.1:53:53/udp", "--json")
    assert json.loads(said)["ports"] == ["0.0.0.0:8080->10.77.0.2:80/tcp", "127.0.0.1:53->10.77.0.2:53/udp"]
    call("endpoint", "join", "web/one", "--sandbox", "box")
    key = json.loads(call("sandbox", "inspect", "box"))[0]["key"]
    with server(key, 80):
        assert ask("127.0.0.1", 8080) is not None  # between commands, too
        call("endpoint", "rm", "--force", "web/one")
        assert ask("127.0.0.1", 8080, wait=0.3) is None
    call("sandbox", "rm", "box")
    call("network", "rm", "web")

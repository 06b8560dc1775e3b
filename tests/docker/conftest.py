"""A real Docker engine and a real plugin, in a network and a mount namespace of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from driverapi.bench import dockerd
from driverapi.bench.dockerd import BUSYBOX, Container, Engine

if dockerd.missing():
    pytest.skip(dockerd.missing(), allow_module_level=True)

NAME = "dv"


def until(true: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Wait for it."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


class Host:
    """An engine, and the plugin beside it."""

    def __init__(self, engine: Engine, directory: str, state: str) -> None:
        self.engine = engine
        self.directory = directory
        self.name = NAME  # another one where the engine is not to remember the address of the socket
        self.state = ("--state", f"{state}/plugin.db", "--grace", "1")
        self.socket = Path(f"/proc/{engine.process}/root/run/docker/plugins/{NAME}.sock")
        self._plugin: subprocess.Popen[str] | None = None

    # --- the plugin -------------------------------------------------------------------------------

    def command(self, *more: str) -> list[str]:
        """Return what starts the plugin in the network of the engine."""
        program = "from driverapi.cli import main; main()"
        where = [] if "--tcp" in more else ["--socket", str(self.socket)]
        return [*self._net(), sys.executable, "-c", program, "serve", "--name", self.name, *where, *more]

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"DRIVERAPI_RUN_DIR": self.directory}

    def doctor(self, *more: str) -> dict[str, Any]:
        """Return what ``driverapi doctor`` finds."""
        program = "from driverapi.cli import main; main()"
        command = [
            *self._net(),
            sys.executable,
            "-c",
            program,
            "doctor",
            "--json",
            "--no-probe",
            "--state",
            self.state[1],
            *more,
        ]
        told = subprocess.run(command, capture_output=True, text=True, env=self.environment)
        assert told.stdout, told.stderr
        found: dict[str, Any] = json.loads(told.stdout)
        return found

    def health(self) -> dict[str, Any]:
        """Ask the plugin how it is."""
        connection = dockerd._Connection(str(self.socket))
        try:
            connection.request("GET", "/health")
            found: dict[str, Any] = json.loads(connection.getresponse().read())
            return found
        finally:
            connection.close()

    def ask(self, verb: str, document: Any) -> int:
        """Ask the plugin beside the engine; return the status."""
        connection = dockerd._Connection(str(self.socket))
        try:
            connection.request("POST", f"/{verb}", json.dumps(document))
            return connection.getresponse().status
        finally:
            connection.close()

    def start(self, *more: str) -> None:
        """Start the plugin in the network of the engine; it answers when this returns."""
        self._plugin = subprocess.Popen(
            self.command(*more),
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        assert self._plugin.stdout is not None
        line = self._plugin.stdout.readline()
        assert line.startswith(f"{self.name}: driver "), line

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End the plugin; return its exit status."""
        assert self._plugin is not None
        self._plugin.send_signal(how)
        status = self._plugin.wait(60)
        self._plugin.stdout.close()  # type: ignore[union-attr]
        self._plugin = None
        return status

    def close(self) -> None:
        """End the plugin if it still runs."""
        if self._plugin is not None:
            with suppress(ProcessLookupError):
                self.stop(signal.SIGKILL)

    # --- the network ------------------------------------------------------------------------------

    def _net(self) -> list[str]:
        return ["nsenter", f"--net=/proc/{self.engine.process}/ns/net"]

    def links(self) -> set[str]:
        """Names of links on the host that are ours."""
        told = subprocess.run([*self._net(), "ip", "-j", "link"], capture_output=True, check=True)
        return {link["ifname"] for link in json.loads(told.stdout) if link["ifname"].startswith("dv")}

    def neighbours(self) -> list[str]:
        """Addresses of permanent neighbour entries."""
        told = subprocess.run([*self._net(), "ip", "-j", "neigh", "show", "nud", "permanent"], capture_output=True)
        return [one["dst"] for one in json.loads(told.stdout or "[]")]

    def rules(self) -> str:
        """What of ours is in iptables."""
        told = subprocess.run([*self._net(), "iptables", "-S", "DOCKER-USER"], capture_output=True, text=True)
        return "\n".join(line for line in told.stdout.splitlines() if "driverapi" in line)

    def pings(self, box: Container, address: str, tries: int = 2) -> bool:
        """Tell whether an address answers from inside a container; a second try is allowed."""
        command = ["nsenter", f"--net={box.netns}", BUSYBOX, "ping", "-c1", "-W1", address]
        return any(subprocess.run(command, capture_output=True).returncode == 0 for _ in range(tries))

    def from_host(self, address: str) -> bool:
        """Tell whether an address answers to the host."""
        command = [*self._net(), BUSYBOX, "ping", "-c1", "-W1", address]
        return any(subprocess.run(command, capture_output=True).returncode == 0 for _ in range(2))

    @contextmanager
    def answering(self, box: Container, port: int, text: str) -> Iterator[None]:
        """Answer the first who connects to a port of a container."""
        command = ["nsenter", f"--net={box.netns}", BUSYBOX, "nc", "-l", "-p", str(port)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as server:
            assert server.stdin is not None
            server.stdin.write(text)
            server.stdin.close()
            netns = ["nsenter", f"--net={box.netns}", "ss", "-Hltn", f"sport = :{port}"]
            assert until(lambda: bool(subprocess.run(netns, capture_output=True).stdout))
            try:
                yield
            finally:
                server.kill()

    def fetch(self, address: str, port: int, netns: str = "") -> str:
        """Return what is said at a port, to the host or to another network namespace; nothing if nobody is there."""
        where = ["nsenter", f"--net={netns}"] if netns else self._net()
        command = [*where, BUSYBOX, "timeout", "3", BUSYBOX, "nc", address, str(port)]
        return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout

    @contextmanager
    def telling(self, netns: str, port: int) -> Iterator[None]:
        """Tell who connects to a port in a network namespace what it is seen as; for :meth:`seen_as`."""
        into = ["nsenter", f"--net={netns}"]
        told = ["ss", "-Htn", "state", "established", "state", "close-wait", f"sport = :{port}"]
        command = [*into, BUSYBOX, "nc", "-ll", "-p", str(port), "-e", *told]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as server:
            listens = [*into, "ss", "-Hltn", f"sport = :{port}"]
            try:
                assert until(lambda: bool(subprocess.run(listens, capture_output=True).stdout))
                yield
            finally:
                server.kill()

    def seen_as(self, box: Container, address: str, port: int) -> str:
        """Return the address that a container is seen under by who tells it; nothing if it is not heard."""
        told = self.fetch(address, port, box.netns).split()
        return told[-1].rpartition(":")[0].strip("[]").removeprefix("::ffff:") if told else ""

    @contextmanager
    def outside(self, ours: str, theirs: str, *ipv6: str) -> Iterator[str]:
        """Have another machine on a link of the host's, with these addresses; gives the path of its namespace.

        With two more, of IPv6, the host forwards that too.
        """
        other = ["unshare", "--net", "--kill-child", "sh", "-c", "echo ready; read line"]
        with subprocess.Popen(other, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as machine:
            assert machine.stdout is not None
            assert machine.stdin is not None
            machine.stdout.readline()
            path = f"/proc/{machine.pid}/ns/net"
            link = ["ip", "link", "add", "far0", "type", "veth", "peer", "name", "eth0", "netns", str(machine.pid)]
            into = ["nsenter", f"--net={path}"]
            for command in (
                [*self._net(), *link],
                [*self._net(), "ip", "addr", "add", ours, "dev", "far0"],
                [*self._net(), "ip", "link", "set", "far0", "up"],
                [*into, "ip", "addr", "add", theirs, "dev", "eth0"],
                [*into, "ip", "link", "set", "eth0", "up"],
            ):
                subprocess.run(command, check=True)
            for where, link, address in zip((self._net(), into), ("far0", "eth0"), ipv6, strict=False):
                subprocess.run([*where, "ip", "addr", "add", address, "dev", link, "nodad"], check=True)
            try:
                self._forward_ipv6(on=bool(ipv6))
                yield path
            finally:
                self._forward_ipv6(on=False)
                subprocess.run([*self._net(), "ip", "link", "del", "far0"], check=True)
                machine.kill()

    def _forward_ipv6(self, *, on: bool) -> None:
        switch = "/proc/sys/net/ipv6/conf/all/forwarding"
        subprocess.run([*self._net(), "sh", "-c", f"echo {int(on)} > {switch}"], check=True)

    def inside(self, box: Container) -> dict[str, dict[str, Any]]:
        """Links inside a container, by name."""
        told = subprocess.run(["nsenter", f"--net={box.netns}", "ip", "-j", "addr"], capture_output=True, check=True)
        return {link["ifname"]: link for link in json.loads(told.stdout)}

    # --- the engine -------------------------------------------------------------------------------

    def network(self, name: str, *, ipam: str = "", **more: Any) -> str:
        """Create a network of the plugin."""
        config = more.pop("config", [])
        return self.engine.create_network(
            name, Driver=self.name, IPAM={"Driver": ipam or self.name, "Config": config}, **more
        )

    def run(self, name: str, network: str, *, ip: str = "", mac: str = "", port: int = 0, **host: Any) -> Container:
        """Start a container that sleeps."""
        endpoint = {"IPAMConfig": {"IPv4Address": ip}} if ip else {}
        document = {
            "Image": dockerd.IMAGE,
            "Cmd": ["/bin/sleep", "1000000"],
            "StopSignal": "SIGKILL",  # an engine that starts again ends them at once
            "HostConfig": {"NetworkMode": network, **host},
            "NetworkingConfig": {"EndpointsConfig": {network: endpoint}},
            **({"MacAddress": mac} if mac else {}),
            **({"ExposedPorts": {f"{port}/tcp": {}}} if port else {}),
        }
        made = self.engine.request("POST", f"/containers/create?name={name}", document)
        self.engine.request("POST", f"/containers/{made['Id']}/start")
        return self.container(name)

    def container(self, name: str) -> Container:
        """Return a container that runs."""
        about = self.engine.request("GET", f"/containers/{name}/json")
        key = about["NetworkSettings"]["SandboxKey"].replace("/var/run/", "/run/")
        return Container(about["Id"], name, f"/proc/{self.engine.process}/root{key}")

    def addresses(self, network: str) -> dict[str, str]:
        """Addresses of the containers on a network, by their names."""
        found = self.engine.request("GET", f"/networks/{network}")["Containers"]
        return {one["Name"]: one["IPv4Address"] for one in found.values()}

    def remove(self, *names: str) -> None:
        """Remove containers, running or not."""
        for name in names:
            self.engine.request("DELETE", f"/containers/{name}?force=true")

    def clear(self) -> None:
        """Remove what a test that failed has left; the plugin must run."""
        for container in self.engine.request("GET", "/containers/json?all=true"):
            self.remove(container["Id"])
        for network in self.engine.request("GET", "/networks"):
            if self.name in (network["Driver"], network["IPAM"]["Driver"]):
                self.remove_networks(network["Id"])

    def remove_networks(self, *names: str) -> None:
        """Remove networks."""
        for name in names:
            self.engine.request("DELETE", f"/networks/{name}")


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with Engine() as running:
        running.import_busybox()
        yield running


@pytest.fixture
def plain(engine: Engine) -> Iterator[Host]:
    """The engine, and a plugin that is not started yet; nothing of it may be left."""
    with tempfile.TemporaryDirectory() as directory, tempfile.TemporaryDirectory() as state:
        host = Host(engine, directory, state)
        try:
            yield host
        finally:
            host.clear()
            host.close()
        assert os.listdir(directory) == []
    assert host.links() == set()
    assert host.rules() == ""


@pytest.fixture
def host(plain: Host) -> Iterator[Host]:
    """The engine, and a plugin without state."""
    plain.start("--no-state")
    yield plain
    plain.clear()
    if plain._plugin is not None:
        assert plain.stop() == 0
    assert not plain.socket.exists()


@pytest.fixture
def kept(plain: Host) -> Iterator[Host]:
    """The engine, and a plugin with state; nothing may be left once all networks are removed."""
    plain.start(*plain.state)
    yield plain
    plain.clear()
    if plain._plugin is not None:
        assert plain.stop() == 0
    assert not plain.socket.exists()

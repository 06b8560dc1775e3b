"""A Docker plugin in a process of its own as a driver and an IPAM: ``driverapi serve``, asked over its socket."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyroute2 import IPRoute, NetNS

from driverapi import Controller, errors
from driverapi.endpoint import Endpoint
from driverapi.remote import RemoteDriver, RemoteIPAM
from tests.kernel.traffic import ask, ip_of, place, run, server


class Served:
    """``driverapi serve --driver bridge`` beside us, in our namespaces."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "lab.sock"
        self._command = [
            sys.executable, "-c", "from driverapi.cli import main; main()", "serve", "--driver", "bridge",
            "--name", "lab",
            "--socket", str(self.socket), "--state", str(directory / "lab.db"), "--run-dir", str(directory / "run"),
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert b"driver bridge" in self._process.stdout.readline()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(20)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def health(self) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(10)
            asking.connect(str(self.socket))
            asking.sendall(b"GET /health HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n")
            with asking.makefile("rb") as answer:
                told: dict[str, Any] = json.loads(answer.read().partition(b"\r\n\r\n")[2])
                return told


def links() -> set[str]:
    with IPRoute() as ip:
        return {link.get("ifname") for link in ip.get_links()}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    before = links()
    served = Served(tmp_path)
    served.start()
    yield served
    served.stop()
    assert links() == before


def controller(served: Served, **more: Any) -> Controller:
    made = Controller(**more)
    made.registry.register("lab", RemoteDriver("lab", f"unix://{served.socket}"))
    made.ipams.register("lab", RemoteIPAM("lab", f"unix://{served.socket}"))
    return made


def pings(one: Endpoint, address: str) -> bool:
    command = ["nsenter", f"--net={place(one)}", "ping", "-c1", "-W2", "-q", address]
    return subprocess.run(command, stdout=subprocess.DEVNULL, timeout=20).returncode == 0


def empty(served: Served) -> None:
    health = served.health()
    assert (health["Networks"], health["Endpoints"]) == (0, 0)


@pytest.mark.parametrize("ipam", ["default", "lab"])
def test_sandboxes_of_a_plugin_reach_each_other(served: Served, ipam: str) -> None:
    with controller(served) as ctl:
        net = ctl.create_network("lab", "net", ipv4="10.45.0.0/16", ipv6="fd45::/64", ipam=ipam)
        eps = net.attach(20)
        assert [ep.error for ep in eps] == [None] * 20
        assert len({ip_of(ep) for ep in eps}) == 20
        assert pings(eps[0], ip_of(eps[1]))
        assert pings(eps[1], ip_of(eps[19], 6))
        assert pings(eps[2], str(net.gateway))
        with NetNS(place(eps[3]), flags=0) as ns:
            assert {link.get("ifname") for link in ns.get_links()} == {"lo", "eth0"}
            assert [one.get("gateway") for one in ns.get_default_routes(family=2)] == ["10.45.0.1"]
        health = served.health()
        assert (health["Networks"], health["Endpoints"]) == (1, 20)
        net.detach(eps[:10])
        assert net.attach(5)[0].error is None
        assert pings(eps[11], ip_of(eps[12]))
    empty(served)


def test_a_default_pool_of_a_plugin(served: Served) -> None:
    with controller(served) as ctl:
        one, two = (ctl.create_network("lab", name, ipam="lab") for name in ("one", "two"))
        assert one.ipv4 != two.ipv4
        assert [ep.error for ep in one.attach(2) + two.attach(2)] == [None] * 4
    empty(served)


def test_an_endpoint_leaves_and_joins_again(served: Served) -> None:
    with controller(served) as ctl:
        net = ctl.create_network("lab", "net", ipv4="10.45.0.0/16")
        box, other = ctl.create_sandbox("box"), net.attach(1)[0]
        ep = net.create_endpoint("ep", ipv4="10.45.0.77", mac="02:00:00:00:00:77")
        for _ in range(2):
            ep.join(box)
            assert pings(other, "10.45.0.77")
            ep.leave(box)
        with pytest.raises(errors.AddressTakenError):
            net.create_endpoint("same", ipv4="10.45.0.77")
    empty(served)


@pytest.mark.skipif(shutil.which("nft") is None, reason="nft is not installed")
def test_ports_that_a_plugin_publishes_are_reached_from_the_host(served: Served) -> None:
    run("ip", "link", "set", "lo", "up")
    with controller(served) as ctl:
        net = ctl.create_network("lab", "net", ipv4="10.45.0.0/16")
        ep = net.create_endpoint("ep", publish=["8080:80", "81"])
        box = ctl.create_sandbox("box")
        assert ask("127.0.0.1", 8080, wait=0.2) is None
        ep.join(box)
        fixed, chosen = ep.ports
        assert str(fixed) == f"0.0.0.0:8080->{ip_of(ep)}:80/tcp"
        with server(place(ep), 80), server(place(ep), 81, name="81 "):
            assert ask("127.0.0.1", 8080) == "10.45.0.1"
            assert ask("127.0.0.1", chosen.host_port) == "81 10.45.0.1"
            [again] = net.attach(1, publish="8080:80")
            assert isinstance(again.error, errors.ConflictError)
            assert "8080" in str(again.error)
            ep.publish("8082:80")
            assert [ask("127.0.0.1", port) for port in (8080, 8082)] == ["10.45.0.1"] * 2
            ep.unpublish("8080:80")
            assert [ask("127.0.0.1", port, wait=0.2) for port in (8080, 8082)] == [None, "10.45.0.1"]
            with socket.socket() as other:
                other.bind(("127.0.0.1", 8080))  # the host's port is free
        ep.leave()
        assert ep.ports == []
        with socket.socket() as other:
            other.bind(("127.0.0.1", 8082))
        ep.join(box)
        assert {one.port for one in ep.ports} == {80, 81}
        ep.leave()
    empty(served)


def test_a_controller_that_starts_again(served: Served, tmp_path: Path) -> None:
    state = tmp_path / "ctl.db"
    ctl = controller_on(served, state)
    net = ctl.create_network("lab", "net", ipv4="10.45.0.0/16", ipam="lab")
    eps = net.attach(3)
    apart = net.create_endpoint("apart")
    box = ctl.create_sandbox("box")
    lone = net.create_endpoint("lone")
    lone.join(box)
    addresses = {ep.name: ip_of(ep) for ep in [*eps, apart, lone]}
    ctl.close()
    run("umount", box.key)  # and its namespace is gone
    again = controller_on(served, state)
    assert again.restored is not None
    assert (again.restored.networks, again.restored.endpoints, again.restored.joined) == (1, 5, 3)
    net = again.network("net")
    assert {ep.name: ip_of(ep) for ep in net.endpoints} == addresses
    here = [net.endpoint(ep.name) for ep in eps]
    assert pings(here[0], ip_of(here[1]))
    assert served.health()["Networks"] == 1
    boxes = [again.create_sandbox(name) for name in ("new", "newer")]
    for name, box in zip(("apart", "lone"), boxes, strict=True):
        net.endpoint(name).join(box)
    assert pings(net.endpoint("apart"), ip_of(net.endpoint("lone")))
    assert net.attach(1)[0].error is None
    net.detach(net.endpoints)
    net.delete()
    for box in boxes:  # the state would keep them
        box.delete()
    again.close()
    empty(served)


def controller_on(served: Served, state: Path) -> Controller:
    """Make a controller on a state; its registries must know the plugin before it reads it."""
    from driverapi import DriverRegistry
    from driverapi.ipam.registry import IPAMRegistry

    registry, ipams = DriverRegistry(), IPAMRegistry()
    registry.register("lab", RemoteDriver("lab", f"unix://{served.socket}"))
    ipams.register("lab", RemoteIPAM("lab", f"unix://{served.socket}"))
    return Controller(state=state, registry=registry, ipams=ipams)


def test_a_plugin_that_is_killed_and_starts_again(served: Served) -> None:
    with controller(served) as ctl:
        net = ctl.create_network("lab", "net", ipv4="10.45.0.0/16")
        eps = net.attach(2)
        served.stop(signal.SIGKILL)
        assert pings(eps[0], ip_of(eps[1]))  # nobody needs it for that
        began = time.monotonic()
        failed = net.attach(20)
        assert all(isinstance(ep.error, errors.PluginDownError) for ep in failed)
        with pytest.raises(errors.BulkError):
            net.detach(eps)
        assert time.monotonic() - began < 20
        served.start()
        net.detach(eps)
        assert [ep.error for ep in net.attach(2)] == [None, None]
    empty(served)

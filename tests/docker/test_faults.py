"""What goes wrong between an engine and a plugin: nothing is leaked, nothing is given twice."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from driverapi.bench.dockerd import EngineError
from tests.docker.conftest import NAME, Host, until


class Between:
    """Stands where the engine looks for the plugin, and passes on; ``each`` is told of every request before that.

    Where it answers False, the request is passed on and both connections are cut: nobody hears the answer.
    """

    def __init__(self, place: Path, plugin: Path) -> None:
        self._plugin = plugin
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(place))
        self._listening.listen(16)
        self.each: Callable[[str, bytes], bool] = lambda verb, body: True
        self.verbs: list[str] = []
        self.faults: list[BaseException] = []
        self._place = place
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._place.unlink()
        for one in list(self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            self._open.add(near)
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with near, suppress(OSError):
            while request := self._receive(near):
                head, _, body = request.partition(b"\r\n\r\n")
                verb = head.split()[1].decode().lstrip("/")
                self.verbs.append(verb)
                try:
                    heard = self.each(verb, body)
                except BaseException as fault:
                    self.faults.append(fault)
                    raise
                with socket.socket(socket.AF_UNIX) as far:
                    far.connect(str(self._plugin))
                    if not heard:
                        far.shutdown(socket.SHUT_RD)  # first: else the answer may be on its way before the cut
                    far.sendall(request)
                    if not heard:
                        far.close()
                        return
                    near.sendall(self._receive(far))

    @staticmethod
    def _receive(one: socket.socket) -> bytes:
        """Receive one message, by its Content-Length."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = one.recv(65536)
            if not more:
                return b""
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        size = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
        )
        while len(body) < size:
            more = one.recv(65536)
            body += more
            if not more:
                return b""
        return head + b"\r\n\r\n" + body


@pytest.fixture
def between(plain: Host) -> Iterator[tuple[Host, Between]]:
    place = plain.socket
    plain.socket = place.with_name("behind.sock")
    place.parent.mkdir(exist_ok=True)
    plain.start(*plain.state)
    made = Between(place, plain.socket)
    yield plain, made
    made.each = lambda verb, body: True
    plain.clear()
    made.close()
    assert plain.stop() == 0
    assert made.faults == []


def joined(host: Host, count: int) -> bool:
    return bool(host.health()["Endpoints"] == count)


def test_the_engine_is_killed_with_containers_running(kept: Host) -> None:
    """With the plugin's addresses and with the engine's own; one endpoint it knows nothing of when it starts."""
    id = kept.network("ours", config=[{"Subnet": "10.30.0.0/24"}])
    kept.network("theirs", ipam="default", config=[{"Subnet": "10.31.0.0/24"}])
    for network in ("ours", "theirs"):
        for number in range(2):
            kept.run(f"{network}{number}", network)
    forgotten = {"NetworkID": id, "EndpointID": "f0" * 32, "Interface": {"Address": "10.30.0.99/24"}}
    assert kept.ask("NetworkDriver.CreateEndpoint", forgotten) == 200
    kept.engine.crash()
    time.sleep(0.2)
    assert len(kept.links()) == 6  # two bridges, four pairs: containers go on
    kept.engine.revive()
    assert until(lambda: joined(kept, 0), 20)
    assert until(lambda: len(kept.links()) == 2)
    assert kept.neighbours() == []
    again = kept.engine.request("GET", "/containers/json?all=true")
    for container in again:
        kept.engine.request("POST", f"/containers/{container['Id']}/start")
    addresses = [*kept.addresses("ours").values(), *kept.addresses("theirs").values()]
    assert len(set(addresses)) == 4
    time.sleep(1.5)  # the grace of what was doubted is over: what lives stays
    assert joined(kept, 4)
    assert kept.pings(kept.container("ours0"), kept.engine.endpoint("ours1", "ours")["IPAddress"])
    assert kept.pings(kept.container("theirs0"), kept.engine.endpoint("theirs1", "theirs")["IPAddress"])
    listed = [one for instance in kept.doctor()["instances"] for one in instance["given_up"]]
    assert forgotten["EndpointID"] in {one["endpoint"] for one in listed}
    kept.remove(*[container["Id"] for container in again])
    kept.remove_networks("ours", "theirs")


def test_the_engine_is_killed_and_starts_its_containers_at_once(kept: Host) -> None:
    """With the addresses that they had, by its own IPAM: the endpoints that it has forgotten make way."""
    kept.engine.create_network("net", Driver=NAME, IPAM={"Config": [{"Subnet": "10.32.0.0/24"}]})
    addresses = {"one": "10.32.0.8", "two": "10.32.0.9"}
    for name, address in addresses.items():
        kept.run(name, "net", ip=address, RestartPolicy={"Name": "always"})

    def state(name: str) -> tuple[bool, str]:
        found = kept.engine.request("GET", f"/containers/{name}/json")["State"]
        return found["Running"], found["StartedAt"]

    before = {name: state(name) for name in addresses}
    kept.engine.crash()
    kept.engine.revive()
    assert until(lambda: all((now := state(name))[0] and now != before[name] for name in addresses), 20)
    assert {name: one.partition("/")[0] for name, one in kept.addresses("net").items()} == addresses
    assert kept.pings(kept.container("one"), addresses["two"])
    assert joined(kept, 2)
    kept.remove(*addresses)
    kept.remove_networks("net")


def test_the_plugin_is_killed_and_started_again(kept: Host) -> None:
    """Networks, addresses and running containers stay; traffic never stops."""
    kept.network("net")
    one, two = kept.run("one", "net"), kept.run("two", "net")
    other = kept.engine.endpoint("two", "net")["IPAddress"]
    for how in (signal.SIGKILL, signal.SIGTERM):
        kept.stop(how)
        assert kept.pings(one, other)
        found = {one["kind"] for one in kept.doctor("--fix")["found"]}
        assert found == ({"unclean"} if how is signal.SIGKILL else set())
        assert kept.doctor()["findings"] == []
        assert kept.pings(one, other)  # mended, and not taken away
        kept.start(*kept.state)
        assert kept.health()["Endpoints"] == 2
        assert kept.pings(one, other)
    three = kept.run("three", "net")
    assert len(set(kept.addresses("net").values())) == 3
    assert kept.pings(three, other)
    assert kept.pings(two, kept.engine.endpoint("three", "net")["IPAddress"])
    kept.remove("one", "two", "three")
    assert len(kept.links()) == 1
    kept.remove_networks("net")
    assert kept.links() == set()


def test_the_plugin_is_killed_between_any_two_verbs(between: tuple[Host, Between]) -> None:
    """Before each that the engine asks for, from the network's creation to its end."""
    host, way = between

    def killed(verb: str, body: bytes) -> bool:
        host.stop(signal.SIGKILL)
        host.start(*host.state)
        return True

    way.each = killed
    host.network("net")
    one = host.run("one", "net")
    assert host.pings(one, host.engine.endpoint("one", "net")["Gateway"])
    host.remove("one")
    host.remove_networks("net")
    assert {"NetworkDriver.Join", "IpamDriver.RequestAddress", "NetworkDriver.DeleteNetwork"} <= set(way.verbs)
    way.each = lambda verb, body: True
    assert host.health()["Endpoints"] == host.health()["Networks"] == 0
    assert host.links() == set()


CUT = ["IpamDriver.RequestAddress", "NetworkDriver.CreateEndpoint", "NetworkDriver.Join"]


@pytest.mark.parametrize("verb", CUT)
def test_the_connection_is_cut_after_the_request_was_read(between: tuple[Host, Between], verb: str) -> None:
    """The engine asks again with an empty body, is refused, and gives up; then it is as if nothing had been."""
    host, way = between
    host.network("net", config=[{"Subnet": "10.33.0.0/29"}])  # the gateway, and five more
    cut: list[str] = []

    def heard(asked: str, body: bytes) -> bool:
        if asked != verb or not body or cut:
            return True
        cut.append(asked)
        return False

    way.each = heard
    with pytest.raises(EngineError, match="no body"):
        host.run("one", "net")
    way.each = lambda verb, body: True
    host.remove("one")
    assert until(lambda: joined(host, 0))
    assert len(host.links()) == 1
    for number in range(5):  # no address is lost
        host.run(f"box{number}", "net")
    assert len(set(host.addresses("net").values())) == 5
    host.remove(*[f"box{number}" for number in range(5)])
    host.remove_networks("net")


def test_containers_stop_while_the_plugin_is_away(kept: Host) -> None:
    """What the engine asks for in vain it never asks for again."""
    kept.network("net", config=[{"Subnet": "10.34.0.0/29"}])
    names = [f"box{number}" for number in range(5)]
    for name in names:
        kept.run(name, "net")
    stays = kept.engine.endpoint("box4", "net")["IPAddress"]
    kept.stop(signal.SIGKILL)
    removing = threading.Thread(target=kept.remove, args=("box0",))
    removing.start()
    time.sleep(1.5)  # the second of its tries has failed
    kept.start(*kept.state)
    removing.join()
    assert until(lambda: joined(kept, 4), 20)
    assert until(lambda: len(kept.links()) == 5)
    kept.run("box0", "net")  # there is one address
    assert len(set(kept.addresses("net").values())) == 5
    assert kept.pings(kept.container("box0"), stays)
    kept.remove(*names)
    kept.remove_networks("net")


def test_odd_requests_beside_the_engines(kept: Host) -> None:
    kept.network("net")
    kept.run("one", "net")
    before = kept.health()
    odd: list[Any] = [
        b"",
        b"\x16\x03\x01",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST /NetworkDriver.DeleteNetwork HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        b"POST /NetworkDriver.DeleteNetwork HTTP/1.1\r\nContent-Length: 9\r\n\r\n{",
        b"POST /NetworkDriver.Leave HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /NetworkDriver.Sing HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /NetworkDriver.CreateNetwork HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
    ]
    for data in odd:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(str(kept.socket))
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass
    assert kept.health() == before
    two = kept.run("two", "net")
    assert kept.pings(two, kept.engine.endpoint("one", "net")["IPAddress"])
    kept.remove("one", "two")
    kept.remove_networks("net")

"""Family ``docker``: what a plugin costs its engine; our side of it.

*create and delete*: a plugin in a process of its own on the dataplane in memory, and one connection that is kept, as an
engine has it; the bytes of requests are made before. *docker run*: an engine of its own, whose network is a plugin's.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from driverapi.bench.dockerd import Engine, missing
from driverapi.bench.task import CannotTakePartError, Parameters, Task, WrongResultError

__all__ = ["Pairs", "Run", "request"]

_NET = "1f" * 32
_PLUGIN = """
import sys
from driverapi.plugin import Plugin
from driverapi.testing import FakeDataplane
plugin = Plugin("bridge", dataplane=FakeDataplane())
plugin.listen(sys.argv[1])
print("ready", flush=True)
sys.stdin.read()
plugin.close()
"""


def request(verb: str, document: object) -> bytes:
    """Return a request as an engine sends it."""
    body = json.dumps(document).encode()
    head = f"POST /{verb} HTTP/1.1\r\nHost: \r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Accept: application/vnd.docker.plugins.v1.2+json\r\n\r\n".encode() + body


class Pairs(Task):
    """CreateEndpoint and DeleteEndpoint, one after the other."""

    program = _PLUGIN

    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__(parameters, seed)
        self._directory = tempfile.TemporaryDirectory()
        path = f"{self._directory.name}/plugin.sock"
        self._server = subprocess.Popen(  # noqa: S603 - our own interpreter and a constant
            [sys.executable, "-c", self.program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._server.stdout is not None
        if self._server.stdout.readline() != b"ready\n":
            raise RuntimeError("the plugin did not start")
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        data = [{"AddressSpace": "x", "Pool": "10.9.0.0/16", "Gateway": "10.9.0.1/16"}]
        self._ask(request("NetworkDriver.CreateNetwork", {"NetworkID": _NET, "Options": {}, "IPv4Data": data}))
        options: dict[str, list[object]] = {
            "com.docker.network.endpoint.exposedports": [],
            "com.docker.network.portmap": [],
        }
        self._requests = []
        for number in range(self.units):
            one = {"NetworkID": _NET, "EndpointID": f"{number:064x}"}
            interface = {"Address": f"10.9.{1 + number // 250}.{number % 250}/16", "AddressIPv6": "", "MacAddress": ""}
            make = request("NetworkDriver.CreateEndpoint", {**one, "Interface": interface, "Options": options})
            self._requests.append((make, request("NetworkDriver.DeleteEndpoint", one)))

    def _ask(self, data: bytes) -> bytes:
        self._socket.sendall(data)
        answer = self._socket.recv(65536)
        while not answer.endswith(b"}"):  # as every body does, and no head
            answer += self._socket.recv(65536)
        return answer

    def run(self) -> None:
        """Ask for each pair, and wait for each answer."""
        samples = []
        ask = self._ask
        for make, end in self._requests:
            began = perf_counter()
            made = ask(make)
            gone = ask(end)
            samples.append(perf_counter() - began)
            if not made.startswith(b"HTTP/1.1 200") or not gone.startswith(b"HTTP/1.1 200"):
                raise WrongResultError(f"{made!r}, {gone!r}")
        if b"02:42:0a:09:" not in made:
            raise WrongResultError(f"no MAC address in {made!r}")
        self.samples = samples

    def __del__(self) -> None:
        self._socket.close()
        self._server.communicate()
        self._directory.cleanup()


class Run(Task):
    """Containers one after the other: created and started; removed off the clock."""

    driver = "driverapi"

    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__(parameters, seed)
        if reason := missing():
            raise CannotTakePartError(reason)
        self._engine = Engine()
        self._engine.import_busybox()
        self._number = 0
        self._plugin: subprocess.Popen[bytes] | None = None
        self._directory = tempfile.TemporaryDirectory()
        ipam = {}
        if self.driver != "bridge":
            self._start_plugin()
            ipam = {"IPAM": {"Driver": self.driver}}
        self._engine.create_network("measured", Driver=self.driver, **ipam)

    def _start_plugin(self) -> None:
        inside = self._engine.process
        place = Path(f"/proc/{inside}/root/run/docker/plugins/{self.driver}.sock")
        command = ["nsenter", f"--net=/proc/{inside}/ns/net", sys.executable, "-c"]
        command += ["from driverapi.cli import main; main()", "serve", "--name", self.driver, "--socket", str(place)]
        command += ["--state", f"{self._directory.name}/state.db", "--log", "error"]
        self._plugin = subprocess.Popen(  # noqa: S603 - our own interpreter
            command, stdout=subprocess.PIPE, env=os.environ | {"DRIVERAPI_RUN_DIR": self._directory.name}
        )
        assert self._plugin.stdout is not None
        if not self._plugin.stdout.readline().startswith(self.driver.encode()):
            raise RuntimeError("the plugin did not start")

    def run(self) -> None:
        """Create and start."""
        self._running = []
        for _ in range(self.units):
            self._number += 1
            self._running.append(self._engine.run(f"box{self._number}", network="measured"))

    def check(self) -> None:
        """Raise unless each has its address."""
        for one in self._running:
            if not self._engine.endpoint(one.id, "measured")["IPAddress"]:
                raise WrongResultError(f"{one.name} has no address")

    def settle(self) -> None:
        """Remove them."""
        for one in self._running:
            self._engine.request("DELETE", f"/containers/{one.id}?force=true")

    def __del__(self) -> None:
        if self._plugin is not None:
            self._plugin.terminate()
            self._plugin.communicate()
        self._engine.close()
        self._directory.cleanup()

"""Family ``ports``: ports of the host that lead to a sandbox, published and taken away. The common part, and ours.

Each worker stands in a network namespace of its own. What all contenders make is checked the same way: the kernel
lists as many translations as ports were asked for, and none after the teardown.
"""

from __future__ import annotations

import json
import resource
import subprocess
from time import perf_counter
from typing import Any

from driverapi.bench.task import Parameters, Task, WrongResultError

__all__ = ["Ours", "OursOneByOne", "OursUnheld", "PortsTask", "nft"]

FIRST = 20_000
"""The first port of the host; the others follow it."""

SANDBOX = "10.77.0.2"


def nft(*words: str, text: str | None = None) -> str:
    """Run ``nft``."""
    return subprocess.run(["nft", *words], input=text, capture_output=True, text=True, check=True).stdout  # noqa: S603, S607


class PortsTask(Task):
    """Ports of the host from one on, each to port 80 of a sandbox."""

    most = 0

    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__(parameters, seed)
        if self.most:
            self.units = min(self.units, self.most)
        self.ports = range(FIRST, FIRST + self.units)

    def count(self) -> int:
        """Return how many ports the kernel translates now."""
        raise NotImplementedError

    def check(self) -> None:
        """Raise unless each port is there."""
        self._expect(self.units)

    def settle(self) -> None:
        """Raise unless none is left."""
        self._expect(0)

    def _expect(self, wanted: int) -> None:
        there = self.count()
        if there != wanted:
            raise WrongResultError(f"the kernel translates {there} ports, not {wanted}")


class Ours(PortsTask):
    """``Network.publish`` and ``Network.unpublish``: one call, each port held by a socket."""

    held = True

    def setup(self) -> None:
        """Make the network with one endpoint, and the table: by a port that is none of those."""
        from driverapi import Controller

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, self.units + 4096), hard))
        self._controller = Controller(hold_ports=self.held)
        network = self._controller.create_network("bridge", "ports", ipv4="10.77.0.0/16")
        (endpoint,) = network.attach(1)
        endpoint.publish("1:1")
        endpoint.unpublish()
        self._network, self._endpoint = network, endpoint
        self._wanted: Any = [(endpoint, f"{port}:80") for port in self.ports]

    def run(self) -> None:
        """Publish all."""
        self._network.publish(self._wanted)

    def teardown(self) -> None:
        """Take all away."""
        self._network.unpublish(self._wanted)

    def count(self) -> int:
        """Count the elements of the map."""
        assert self._controller._instance is not None
        table = f"driverapi-{self._controller._instance.id}"
        said = json.loads(nft("-j", "list", "map", "inet", table, "any4"))["nftables"]
        return sum(len(one["map"].get("elem", ())) for one in said if "map" in one)

    def settle(self) -> None:
        """See that none is left, and close."""
        super().settle()
        self._controller.close()


class OursUnheld(Ours):
    """The same without sockets that stay: each port is bound once, to see that it is free."""

    held = False


class OursOneByOne(OursUnheld):
    """``Endpoint.publish`` for each port, a call and a transaction each."""

    def run(self) -> None:
        """Publish one after the other."""
        publish = self._endpoint.publish
        step = self.parameters["burst"]
        self.marks = []
        for at in range(0, self.units, step):
            texts = [f"{port}:80" for port in self.ports[at : at + step]]
            began = perf_counter()
            for text in texts:
                publish(text)
            self.marks.append((perf_counter() - began) / len(texts))

    def teardown(self) -> None:
        """Take all away, in one call."""
        self._endpoint.unpublish()

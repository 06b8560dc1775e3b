"""Family ``churn``: many endpoints up, and down until the kernel is rid of them. The common part, and ours.

A task does its endpoints in bursts, one after the other. The clock of *up* stops when the last call has
returned; only then is every sandbox read back and the gateway pinged. *down* is over when host links, paths
and namespaces are gone: a :class:`~driverapi.bench.namespaces.Sentinel` tells when, for each contender alike.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from driverapi.bench import probe
from driverapi.bench.encode import address_of
from driverapi.bench.namespaces import Sentinel, drop_namespaces, make_namespaces
from driverapi.bench.task import Parameters, Task, WrongResultError

if TYPE_CHECKING:
    from driverapi import Endpoint

__all__ = ["BRIDGE", "GATEWAY", "NETNS", "PREFIX", "ChurnTask", "Ours", "OursExisting"]

BRIDGE = "br0"
GATEWAY, PREFIX = "10.77.0.1", 16
NETNS = "/run/netns"
"""Where ``ip netns`` and pyroute2 bind namespaces to names."""


class ChurnTask(Task):
    """Bursts, the check and the waiting: alike for all.

    Attributes
    ----------
    most : int
        A contender that is slow does no more endpoints than these, 0 for no bound; its figures are per endpoint.
    namespaces_die : bool
        False where the sandboxes stay and there is no dead namespace to wait for.
    device, gateway : str
        What the check looks for; no gateway: no default route, and no ping.
    """

    most = 0
    namespaces_die = True
    device = "eth0"
    gateway = GATEWAY

    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__(parameters, seed)
        if self.most:
            self.units = min(self.units, self.most)
        burst = parameters.get("burst") or self.units
        edges = [*range(0, self.units, burst), self.units]
        self.bursts = [range(first, last) for first, last in pairwise(edges)]
        self.routed = parameters["driver"] == "routed"
        self.names = [f"bench{number}" for number in range(self.units)]
        self.addresses = [address_of(number) for number in range(self.units)]

    @property
    def paths(self) -> list[str]:
        """Of the sandboxes, in the order of their numbers."""
        return [f"{NETNS}/{name}" for name in self.names]

    def network(self) -> None:
        """Make what all endpoints share. Not timed."""

    def up(self, numbers: range) -> None:
        """Bring a burst up."""
        raise NotImplementedError

    def down(self, numbers: range) -> None:
        """Take a burst down."""
        raise NotImplementedError

    def setup(self) -> None:
        """Make the network, and count."""
        Path(NETNS).mkdir(parents=True, exist_ok=True)
        self.network()
        self._links = probe.host_links()

    def run(self) -> float | None:
        """Bring all up."""
        marks = []
        begin = perf_counter()
        for numbers in self.bursts:
            self.up(numbers)
            end = perf_counter()
            marks.append((end - begin) / len(numbers))
            begin = end
        self.marks = marks if self.parameters.get("curve") else []
        return None

    def check(self) -> None:
        """Raise unless all sandboxes are as they should be."""
        gateways = [self.gateway] if self.gateway else []
        probe.check_sandboxes(self.paths, gateways, addresses=self.addresses, device=self.device)
        self._checked = self.paths
        # Made off the clock; each adds a link until it is waited for.
        self._sentinels = [Sentinel() for _ in self.bursts] if self.namespaces_die else []

    def teardown(self) -> None:
        """Take all down; a burst is over when its links and namespaces are gone."""
        left = self.units
        for number, numbers in enumerate(self.bursts):
            self.down(numbers)
            left -= len(numbers)
            if self.namespaces_die:
                sentinels = len(self.bursts) - number - 1
                self._sentinels[number].wait(self._links + left + sentinels)
            else:
                probe.wait_for_links(self._links + left)
        if stayed := [one for one in self._checked if self.namespaces_die and Path(one).exists()]:
            raise WrongResultError(f"{len(stayed)} namespaces are left, first {stayed[0]}")


class Ours(ChurnTask):
    """``Network.attach(n)``, ``Network.detach``."""

    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__(parameters, seed)
        from driverapi import Controller

        self._controller = Controller()
        self._endpoints: list[Endpoint] = []

    @property
    def paths(self) -> list[str]:
        """Of the sandboxes."""
        return [one.sandbox.key for one in self._endpoints if one.sandbox is not None]

    def network(self) -> None:
        """Make the network."""
        self._network = self._controller.create_network(self.parameters["driver"], "bench", ipv4="10.77.0.0/16")

    def up(self, numbers: range) -> None:
        """Bring a burst up."""
        self._endpoints += self._network.attach(len(numbers))

    def check(self) -> None:
        """Raise unless all are up, with the addresses that the controller tells."""
        failed = [one for one in self._endpoints if one.error is not None]
        if failed:
            raise WrongResultError(f"{len(failed)} of {self.units} endpoints failed, first: {failed[0].error}")
        if len(self.paths) != self.units:
            raise WrongResultError(f"{len(self.paths)} of {self.units} endpoints are in a sandbox")
        self.addresses = [str(one.interfaces[0].packed_address).split("/")[0] for one in self._endpoints]
        self._links = probe.host_links() - self.units  # bridges that the network made for so many stay with it
        super().check()

    def down(self, numbers: range) -> None:
        """Take a burst down."""
        self._network.detach(self._endpoints[numbers.start : numbers.stop])

    def settle(self) -> None:
        """Delete the network."""
        self._endpoints = []
        self._network.delete()


class OursExisting(Ours):
    """``Network.attach([box, …])`` with sandboxes that exist; detaching leaves them."""

    namespaces_die = False

    def network(self) -> None:
        """Make the network, and namespaces that are not the controller's."""
        super().network()
        self._theirs = [f"{NETNS}/{name}" for name in self.names]
        make_namespaces(self._theirs)
        self._boxes = [
            self._controller.create_sandbox(name, netns=path)
            for name, path in zip(self.names, self._theirs, strict=True)
        ]

    def up(self, numbers: range) -> None:
        """Bring a burst up."""
        self._endpoints += self._network.attach(self._boxes[numbers.start : numbers.stop])

    def settle(self) -> None:
        """Delete network and sandboxes; the namespaces go too."""
        super().settle()
        for box in self._boxes:
            box.delete()
        drop_namespaces(self._theirs)

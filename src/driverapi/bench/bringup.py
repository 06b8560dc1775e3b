"""Family ``bringup``: sandboxes with links, addresses and routes on a real kernel. Ours.

One round makes all of them with one ``Network.attach``; the network itself, a bridge with its
gateway addresses, is there before, as it is for the peers. The clock stops when ``attach``
returns; only then is every sandbox read back and the gateways pinged.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from driverapi.bench import probe
from driverapi.bench.task import Parameters, Task, WrongResultError

if TYPE_CHECKING:
    from driverapi import Endpoint

__all__ = ["Ours"]


class Ours(Task):
    """``Network.attach(n)`` on a bridge network, then ``Network.detach``."""

    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__(parameters, seed)
        from driverapi import Controller

        self._controller = Controller()
        self._endpoints: list[Endpoint] = []

    def setup(self) -> None:
        """Make the network."""
        ipv6 = "fd77::/64" if self.parameters["ipv6"] else None
        self._network = self._controller.create_network("bridge", "bench", ipv4="10.77.0.0/16", ipv6=ipv6)
        self._links = probe.host_links()

    def run(self) -> None:
        """Bring all up."""
        self._endpoints = self._network.attach(self.units)

    def check(self) -> None:
        """Raise unless all endpoints are up, every sandbox is as it should be, and gateways answer."""
        failed = [one for one in self._endpoints if one.error is not None]
        if failed:
            raise WrongResultError(f"{len(failed)} of {self.units} endpoints failed, first: {failed[0].error}")
        paths = [one.sandbox.key for one in self._endpoints if one.sandbox is not None]
        if len(paths) != self.units:
            raise WrongResultError(f"{len(paths)} of {self.units} endpoints are in a sandbox")
        gateways = [self._network.gateway, self._network.gateway_ipv6]
        addresses = [str(one.interfaces[0].packed_address).split("/")[0] for one in self._endpoints]
        probe.check_sandboxes(paths, [str(one).split("/")[0] for one in gateways if one], addresses=addresses)

    def teardown(self) -> None:
        """Take all down; over when the links are gone."""
        self._network.detach(self._endpoints)
        probe.wait_for_links(self._links)

    def settle(self) -> None:
        """Delete the network and let the kernel finish with the namespaces."""
        self._endpoints = []
        self._network.delete()
        time.sleep(0.2 + 0.002 * self.units)

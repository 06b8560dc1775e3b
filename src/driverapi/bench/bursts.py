"""Family ``churn``: bursts up and down again, without a rest, for a while."""

from __future__ import annotations

import gc
from time import perf_counter

from driverapi.bench import probe
from driverapi.bench.churn import Ours
from driverapi.bench.namespaces import Sentinel

__all__ = ["Bursts"]


class Bursts(Ours):
    """``Network.attach(n)`` and ``Network.detach`` of those, over and over."""

    def run(self) -> float:
        """Do bursts for as long as was asked; the seconds are those of one."""
        gc.enable()  # a while without it is no use that anybody makes
        bursts = 0
        begin = perf_counter()
        while (took := perf_counter() - begin) < self.parameters["seconds"]:
            self._network.detach(self._network.attach(self.units, strict=True))
            bursts += 1
        return took / bursts

    def check(self) -> None:
        """Raise unless one more burst is as it should be."""
        self._endpoints = self._network.attach(self.units, strict=True)
        self.addresses = [str(one.interfaces[0].packed_address).split("/")[0] for one in self._endpoints]
        probe.check_sandboxes(self.paths, [self.gateway], addresses=self.addresses, device=self.device)

    def teardown(self) -> None:
        """Take that down, and wait until the kernel is rid of all."""
        sentinel = Sentinel()
        self._network.detach(self._endpoints)
        sentinel.wait(self._links)

"""Family ``churn``: one endpoint at a time, cold, while a thousand others are being torn down."""

from __future__ import annotations

import sys
import threading
from time import perf_counter

from driverapi.bench import probe
from driverapi.bench.churn import Ours
from driverapi.bench.namespaces import Sentinel
from driverapi.bench.task import Parameters

__all__ = ["Beside"]


class Beside(Ours):
    """``Network.attach(1)`` beside ``Network.detach`` of many, until the kernel is rid of those.

    As many teardowns as it takes: who is measured only ever waits for one that is under way.
    """

    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__(parameters, seed)
        self._torn: list[BaseException] = []

    def network(self) -> None:
        """Make the network, and that of the others."""
        super().network()
        self._other = self._controller.create_network(self.parameters["driver"], "other", ipv4="10.78.0.0/16")

    def run(self) -> float:
        """Attach one by one; the seconds are those of the attaching alone."""
        self.samples = []
        while len(self.samples) < self.units:
            self._beside_one()
            if self._torn:
                raise self._torn[0]
        self._links = probe.host_links() - self.units  # bridges that the others' network needed stay with it
        return sum(self.samples)

    def _beside_one(self) -> None:
        others = self._other.attach(self.parameters["beside"], strict=True)
        sentinel = Sentinel()
        begun = threading.Event()

        def tear() -> None:
            try:
                begun.set()
                self._other.detach(others)
            except BaseException as error:
                self._torn.append(error)
            finally:
                sentinel.wait(sys.maxsize)

        thread = threading.Thread(target=tear)
        thread.start()
        begun.wait()
        attach = self._network.attach
        while thread.is_alive() and len(self.samples) < self.units:
            begin = perf_counter()
            (endpoint,) = attach(1)
            self.samples.append(perf_counter() - begin)
            self._endpoints.append(endpoint)
        thread.join()

    def settle(self) -> None:
        """Delete the networks."""
        super().settle()
        self._other.delete()

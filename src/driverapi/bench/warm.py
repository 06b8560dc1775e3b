"""Family ``churn``: one endpoint at a time, from a warm pool or cold, in quiet or beside a teardown."""

from __future__ import annotations

import threading
import time
from time import perf_counter
from typing import TYPE_CHECKING

from driverapi.bench.churn import Ours
from driverapi.bench.task import Parameters, WrongResultError

if TYPE_CHECKING:
    from driverapi import Endpoint, Network
    from driverapi.control.warm import WarmPool

__all__ = ["Cold", "Warm"]


class Cold(Ours):
    """``Network.attach(1)``, as often as makes the count, each on the clock alone; all go down together."""

    warm = False
    _beside: list[Endpoint]
    _pool: WarmPool

    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__(parameters, seed)
        self._other: Network | None = None

    def network(self) -> None:
        """Make the network, its pool, and what shall be torn down beside."""
        super().network()
        if self.parameters["beside"]:
            self._other = self._controller.create_network(self.parameters["driver"], "other", ipv4="10.78.0.0/16")
            self._beside = self._other.attach(self.parameters["beside"], strict=True)
        if self.warm:
            self._pool = self._controller.warm(self._network, self.units)
            self._fill()

    def _fill(self) -> None:
        if not self._pool.wait(120):
            raise WrongResultError(f"the pool was not filled: {self._pool.fault}")

    def run(self) -> float:
        """Attach one by one; the seconds are those of the attaching alone."""
        stop = threading.Event()
        torn: list[BaseException] = []

        def tear() -> None:
            """Take them down, and others up and down, until the measured part is over."""
            assert self._other is not None
            try:
                self._other.detach(self._beside)
                while not stop.is_set():
                    self._other.detach(self._other.attach(64))
            except BaseException as error:
                torn.append(error)

        thread = threading.Thread(target=tear)
        if self._other is not None:
            thread.start()
            time.sleep(0.02)  # until it is under way
        self.samples = []
        attach, pause = self._network.attach, self.parameters["pause"]
        for _ in range(self.units):
            if pause:
                time.sleep(pause)  # who comes in after a rest finds the caches full of others' things
            begin = perf_counter()
            (endpoint,) = attach(1)
            self.samples.append(perf_counter() - begin)
            self._endpoints.append(endpoint)
        stop.set()
        if self._other is not None:
            thread.join()
        if torn:
            raise torn[0]
        return sum(self.samples)

    def check(self) -> None:
        """Raise unless all are up; not before the pool is full again: the links on the host are counted here."""
        if self.warm:
            self._fill()
        super().check()

    def settle(self) -> None:
        """Delete the networks."""
        if self.warm:
            self._controller.warm(self._network, 0)
        super().settle()
        if self._other is not None:
            self._other.delete()
            self._other = None


class Warm(Cold):
    """The same from a pool that holds as many."""

    warm = True

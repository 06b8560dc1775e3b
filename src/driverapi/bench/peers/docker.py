"""Peers of family ``churn``: ``docker network connect`` and ``disconnect``, on the built-in bridge and on another.

Asked over the engine's API on a connection that is kept: no ``docker`` command is started for each. The containers
exist before and stay: neither their namespaces nor their start is counted. They are fewer than the endpoints of
others; the figures are per endpoint.
"""

from __future__ import annotations

from driverapi.bench.churn import ChurnTask
from driverapi.bench.dockerd import Container, Engine, missing
from driverapi.bench.task import CannotTakePartError, Parameters

__all__ = ["BuiltIn", "UserDefined"]


class BuiltIn(ChurnTask):
    """On the network ``bridge``."""

    most = 50
    namespaces_die = False
    device = ""
    on = "bridge"

    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__(parameters, seed)
        if reason := missing():
            raise CannotTakePartError(reason)
        self._engine = Engine(share_network=True)
        self._engine.import_busybox()
        if self.on != "bridge":
            self._engine.create_network(self.on, Driver="bridge")
        self._containers: list[Container] = []
        for name in self.names:
            self._containers.append(self._engine.run(name))
            self._engine.disconnect("bridge", name)

    @property
    def paths(self) -> list[str]:
        """Of the sandboxes."""
        return [one.netns for one in self._containers]

    def up(self, numbers: range) -> None:
        """Connect, one after the other: that is what the engine does with them anyway."""
        for number in numbers:
            self._engine.connect(self.on, self._containers[number].id)

    def check(self) -> None:
        """Raise unless all are as they should be."""
        told = [self._engine.endpoint(one.id, self.on) for one in self._containers]
        self.addresses = [one["IPAddress"] for one in told]
        self.gateway = told[0]["Gateway"]
        super().check()

    def down(self, numbers: range) -> None:
        """Disconnect."""
        for number in numbers:
            self._engine.disconnect(self.on, self._containers[number].id)


class UserDefined(BuiltIn):
    """On a bridge network that was made with ``docker network create``."""

    on = "own"

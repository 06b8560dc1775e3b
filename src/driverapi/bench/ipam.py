"""Family ``ipam``: prefixes for networks. Ours, and what all contenders share."""

from __future__ import annotations

import random
from ipaddress import ip_network
from itertools import pairwise, repeat
from time import perf_counter
from typing import Any

from driverapi.bench.task import Parameters, Task, WrongResultError

__all__ = ["GivenTask", "OursBySize", "OursGiven", "PrefixTask", "wholes"]

PARTS = 10
"""Into so many a run is parted, to see whether the last pools cost more than the first."""


def wholes() -> list[str]:
    """Return what prefixes are cut from: libnetwork's default pools."""
    return [f"172.{second}.0.0/16" for second in range(17, 32)] + ["192.168.0.0/16"]


class PrefixTask(Task):
    """Prefixes of one length are drawn, and no two may overlap."""

    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__(parameters, seed)
        self.length: int = parameters["length"]
        self.given: list[Any] = []

    def text(self, prefix: Any) -> str:
        """Return a prefix of this contender's kind as text."""
        return str(prefix)

    def check(self) -> None:
        """Raise unless all are of the length, of the default pools, and apart."""
        found = sorted(ip_network(self.text(prefix)) for prefix in self.given)
        if len(found) != self.units:
            raise WrongResultError(f"{len(found)} prefixes where {self.units} were asked for")
        for one, other in pairwise(found):
            if one.overlaps(other):
                raise WrongResultError(f"{one} overlaps {other}")
        if any(one.prefixlen != self.length or not str(one).startswith(("172.", "192.168.")) for one in found):
            raise WrongResultError(f"a prefix that is none of length {self.length}, or of no default pool")

    def hold(self) -> None:
        """Hold the pools."""
        self.given = []
        self.setup()
        self.run()


class OursBySize(PrefixTask):
    """``request_pool(size=…)`` once per pool."""

    def setup(self) -> None:
        """Make a fresh IPAM."""
        from driverapi.ipam.default import DefaultIPAM

        self.ipam = DefaultIPAM()
        self.given = []

    def text(self, prefix: Any) -> str:
        """Return the prefix of a pool."""
        return str(prefix.prefix)

    def run(self) -> None:
        """Request."""
        request, length, given = self.ipam.request_pool, self.length, self.given
        each = self.units // PARTS
        self.marks = []
        for part in range(PARTS):
            count = each if part < PARTS - 1 else self.units - each * (PARTS - 1)
            began = perf_counter()
            given.extend(request(size=length) for _ in repeat(None, count))
            self.marks.append((perf_counter() - began) / count)


class GivenTask(Task):
    """A prefix that is free is asked for by name, checked against many others, and given back."""

    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__(parameters, seed)
        filled: int = parameters["filled"]
        every = [f"10.{number >> 8}.{number & 255}.0/24" for number in range(filled * 2)]
        dice = random.Random(seed)  # noqa: S311 - no secret
        dice.shuffle(every)
        self.there = every[:filled]
        self.wanted = dice.choices(every[filled:], k=self.units)
        self.refused = 0

    def check(self) -> None:
        """Raise unless none was refused, and one that is taken is."""
        if self.refused:
            raise WrongResultError(f"{self.refused} prefixes were refused that are free")
        if self.take(self.there[0]):
            raise WrongResultError(f"{self.there[0]} was given twice")

    def take(self, prefix: str) -> bool:
        """Take a prefix and give it back; False where it is refused."""
        raise NotImplementedError

    def run(self) -> None:
        """Request and release."""
        self.refused = sum(not self.take(prefix) for prefix in self.wanted)


class OursGiven(GivenTask):
    """``request_pool(prefix)`` and ``release_pool``."""

    def setup(self) -> None:
        """Fill an IPAM."""
        from driverapi.addresses import parse_network
        from driverapi.errors import ConflictError
        from driverapi.ipam.default import DefaultIPAM

        self.ipam, self._parse, self._conflict = DefaultIPAM(), parse_network, ConflictError
        for prefix in self.there:
            self.ipam.request_pool(parse_network(prefix))

    def take(self, prefix: str) -> bool:
        """Take it and give it back."""
        try:
            pool = self.ipam.request_pool(self._parse(prefix))
        except self._conflict:
            return False
        self.ipam.release_pool(pool.id)
        return True

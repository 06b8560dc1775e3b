"""Family ``alloc``, below addresses: single calls of the native core, held against their floor.

Ten calls stand in a row in each turn of a loop, so that the loop itself costs next to nothing
and does not soften a ratio.
"""

from __future__ import annotations

from itertools import repeat
from typing import Any

from driverapi.bench.alloc import LOW, PoolTask
from driverapi.bench.task import Parameters, WrongResultError

__all__ = ["Draw", "DrawInt", "DrawText", "Hot", "HotFloor", "Random", "RandomHot"]


class Hot(PoolTask):
    """``Bitmap.allocate`` and ``Bitmap.release`` of what came out; only the first thousand are taken.

    They are, because CPython has small ints ready-made: a bitmap that gives out 0 again and again
    would make no int at all, and look faster than it is.
    """

    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__(parameters, seed)
        self.times = self.units * 20 // 10
        self.units = self.times * 10
        self.pair: tuple[Any, Any]

    def setup(self) -> None:
        """Make a fresh bitmap."""
        from driverapi._native import Bitmap

        self.bitmap = Bitmap(self.parameters["size"])
        self.bitmap.allocate_many(LOW)
        self.pair = (self.bitmap.allocate, self.bitmap.release)

    def run(self) -> None:
        """Take and give back."""
        give, take = self.pair
        for _ in repeat(None, self.times):
            take(give())
            take(give())
            take(give())
            take(give())
            take(give())
            take(give())
            take(give())
            take(give())
            take(give())
            take(give())

    def check(self) -> None:
        """Raise unless no more are taken than before."""
        if len(self.bitmap) != LOW:
            raise WrongResultError(f"{len(self.bitmap)} ordinals are taken")


class HotFloor(Hot):
    """Two native methods, of which one only returns a fresh int and the other takes one."""

    def setup(self) -> None:
        """Make it."""
        from driverapi._native import Floor

        floor = Floor()
        self.pair = (floor.give, floor.take)

    def check(self) -> None:
        """Nothing can be wrong: there is nothing."""


class Random(PoolTask):
    """``release`` of a random taken ordinal, drawn beforehand, then ``allocate``."""

    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__({**parameters, "count": parameters["count"] * 20}, seed)
        self.order = self.ordinals()

    def setup(self) -> None:
        """Fill a fresh bitmap."""
        from driverapi._native import Bitmap

        self.bitmap = Bitmap(self.parameters["size"])
        self.bitmap.allocate_many(self.parameters["filled"])

    def run(self) -> None:
        """Release and take."""
        allocate, release = self.bitmap.allocate, self.bitmap.release
        for ordinal in self.order:
            release(ordinal)
            allocate()

    def hold(self) -> None:
        """Hold the bitmap, filled."""
        self.setup()

    def check(self) -> None:
        """Raise unless as many are taken as before."""
        if len(self.bitmap) != self.parameters["filled"]:
            raise WrongResultError(f"{len(self.bitmap)} ordinals are taken")


class RandomHot(Random):
    """The hot case in the same loop: the last of a thousand taken goes and comes, each time."""

    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__({**parameters, "filled": LOW}, seed)
        self.order = [LOW - 1] * self.units


class Draw(PoolTask):
    """``Bitmap.allocate``, nothing kept."""

    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__(parameters, seed)
        self.times = self.units // 10
        self.units = self.times * 10

    def make(self) -> tuple[Any, Any]:
        """Return what is drawn from and the call."""
        from driverapi._native import Bitmap

        bitmap = Bitmap(self.parameters["size"])
        return bitmap, bitmap.allocate

    def setup(self) -> None:
        """Make it afresh."""
        self.pool, self.draw = self.make()

    def run(self) -> None:
        """Draw."""
        draw = self.draw
        for _ in repeat(None, self.times):
            draw()
            draw()
            draw()
            draw()
            draw()
            draw()
            draw()
            draw()
            draw()
            draw()

    def check(self) -> None:
        """Raise unless all were taken; what is reserved may count."""
        if not self.units <= len(self.pool) <= self.units + 3:
            raise WrongResultError(f"{len(self.pool)} are taken, not {self.units}")


class DrawInt(Draw):
    """``IPPool.allocate``."""

    def make(self) -> tuple[Any, Any]:
        """Return what is drawn from and the call."""
        from driverapi._native import IPPool

        pool = IPPool(self.prefix)
        return pool, pool.allocate


class DrawText(Draw):
    """``IPPool.allocate_text``."""

    def make(self) -> tuple[Any, Any]:
        """Return what is drawn from and the call."""
        from driverapi._native import IPPool

        pool = IPPool(self.prefix)
        return pool, pool.allocate_text

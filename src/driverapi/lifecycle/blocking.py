"""Drivers that wait: each call of theirs goes over a socket, so several are under way at once, and not too many."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Final, Protocol, final, runtime_checkable

from driverapi.api import Driver

__all__ = ["Blocking", "Flights"]

_TICK: Final = 0.1  # seconds between looks at what may interrupt a call


@runtime_checkable
class Blocking(Protocol):
    """A driver whose methods wait for somebody else.

    Attributes
    ----------
    create_in_flight : int
        How many endpoints of one network it is asked to create at once.
    join_in_flight : int
        How many endpoints it is asked to join at once, or to leave, or to delete.
    """

    create_in_flight: int
    join_in_flight: int


@final
class Flights:
    """Runs the calls to blocking drivers, on a bounded number of threads.

    The bounds hold for all callers together: creations are counted by network, the others by driver.

    Thread safety: all methods.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_driver: weakref.WeakKeyDictionary[Driver, threading.Semaphore] = weakref.WeakKeyDictionary()
        self._by_network: dict[str, threading.Semaphore] = {}

    def creating(
        self, driver: Driver, network: str, steps: Sequence[Callable[[], object]], pause: Callable[[], object]
    ) -> None:
        """Take steps that create endpoints of a network; ``pause`` is called now and then, and may raise."""
        most = max(1, driver.create_in_flight)  # type: ignore[attr-defined]
        with self._lock:
            slots = self._by_network.setdefault(network, threading.Semaphore(most))
        _fly(steps, slots, most, pause)

    def joining(self, driver: Driver, steps: Sequence[Callable[[], object]], pause: Callable[[], object]) -> None:
        """Take steps of any other kind."""
        most = max(1, driver.join_in_flight)  # type: ignore[attr-defined]
        with self._lock:
            slots = self._by_driver.setdefault(driver, threading.Semaphore(most))
        _fly(steps, slots, most, pause)

    def forget(self, network: str) -> None:
        """Forget a network that is gone."""
        with self._lock:
            self._by_network.pop(network, None)


def _fly(
    steps: Sequence[Callable[[], object]], slots: threading.Semaphore, most: int, pause: Callable[[], object]
) -> None:
    """Take steps, at most so many at once; when one raises, or ``pause`` does, no further ones are begun."""
    count = min(most, len(steps))
    if count < 2:
        for step in steps:
            with slots:
                step()
            pause()
        return
    flight = _Flight(steps, slots)
    threads = [threading.Thread(target=flight.run, name="driverapi-remote", daemon=True) for _ in range(count)]
    started = []
    try:
        for thread in threads:
            try:
                thread.start()
            except RuntimeError:  # no more are to be had
                break
            started.append(thread)
        if not started:
            flight.run()
        for thread in started:
            while thread.is_alive():
                thread.join(_TICK)
                pause()
    finally:
        flight.over = True
        for thread in started:
            thread.join()
    if flight.faults:
        raise flight.faults[0]


@final
class _Flight:
    """The steps of one call, taken by several threads."""

    def __init__(self, steps: Sequence[Callable[[], object]], slots: threading.Semaphore) -> None:
        self._steps = iter(steps)
        self._slots = slots
        self._lock = threading.Lock()
        self.over = False
        self.faults: list[BaseException] = []

    def run(self) -> None:
        while not self.over:
            with self._lock:
                step = next(self._steps, None)
            if step is None:
                return
            try:
                with self._slots:
                    step()
            except BaseException as fault:  # it is raised where the call was made
                self.faults.append(fault)
                self.over = True

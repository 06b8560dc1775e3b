"""A circuit breaker: who did not answer in time is not waited for by everybody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, final

from driverapi import errors

__all__ = ["FIRST", "LONGEST", "Breaker"]

FIRST: Final = 1.0
"""Seconds after the first fault for which nobody asks; each fault after that doubles them."""
LONGEST: Final = 30.0
"""The most that they come to."""


@final
class Breaker:
    """Lets calls through while a plugin answers; after a call that was not answered in time, one now and then.

    Thread safety: all methods.
    """

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._clock = clock
        self._lock = threading.Lock()
        self._pause = 0.0  # seconds; 0: closed, everybody is let through
        self._opened = 0.0  # when the last fault was noted
        self._until = 0.0
        self._why = ""

    @property
    def is_open(self) -> bool:
        """Whether calls are refused."""
        return self._pause > 0

    def enter(self) -> float:
        """Begin a call; return when, for :meth:`fail`.

        Raises
        ------
        errors.PluginDownError
            It would wait for nothing: it is not made.
        """
        now = self._clock()
        if not self._pause:
            return now
        with self._lock:
            if self._pause and now < self._until:
                left = self._until - now
                raise errors.PluginDownError(f"{self._what}: {self._why}; it is asked again in {left:.1f} s", "nothing")
            self._until = now + self._pause  # this call tries it; the others wait for what comes of it
        return now

    def retry(self) -> None:
        """Let the next call through: there is a reason to think that it will be answered."""
        with self._lock:
            self._until = 0.0

    def fail(self, why: str, began: float) -> bool:
        """Take note that a call was not answered in time; tell whether that is news."""
        with self._lock:
            first = not self._pause
            if first or began > self._opened:  # else many that began together have failed together
                self._pause = FIRST if first else min(2 * self._pause, LONGEST)
                self._opened = self._clock()
                self._until = self._opened + self._pause
                self._why = why
            return first

    def succeed(self) -> bool:
        """Take note that a call was answered; tell whether that is news."""
        if not self._pause:
            return False
        with self._lock:
            was, self._pause = self._pause, 0.0
            return was > 0

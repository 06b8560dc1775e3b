"""Signals wait for a moment at which a call can be undone.

A Python signal handler may raise (Ctrl-C does) between any two steps of the main thread: between
taking an address and noting whose it is, say. While a call changes things, handlers are
therefore held back until a safe point: between two chunks of a bulk call, or at its end. The
call is then undone as a whole, or complete. A second signal is not held back: whoever sends it means it.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Final

__all__ = ["HeldSignals"]

_HELD: Final = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGALRM,
    signal.SIGUSR1,
    signal.SIGUSR2,
)

_SLICE: Final = 0.1
"""Seconds of waiting between two safe points."""

_Handler = Callable[[int, FrameType | None], Any]


class HeldSignals:
    """Holds Python's signal handlers back; in other threads than the main one there is nothing to hold.

    Only handlers in Python are held: what the system does by itself, as to end the process, it does.

    Thread safety: each thread makes its own.
    """

    __slots__ = ("_handlers", "_holding", "_pending")

    def __init__(self) -> None:
        self._handlers: dict[int, _Handler] = {}
        self._holding = False  # else what was left as a handler, by a signal on the way in or out, passes signals on
        self._pending: tuple[int, FrameType | None] | None = None

    def __enter__(self) -> HeldSignals:
        if threading.current_thread() is threading.main_thread():
            try:
                for number in _HELD:
                    handler = signal.getsignal(number)
                    if callable(handler):
                        self._handlers[number] = handler
                        signal.signal(number, self._note)
                self._holding = True
            except BaseException:  # one came that was not held yet
                self._restore()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._restore()
        except BaseException:  # one came that was not held any more
            self._restore()
            raise
        finally:
            self._holding = False
            self.deliver()

    def _restore(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def deliver(self) -> None:
        """Call the handler of a signal that came: a safe point."""
        if self._pending is not None:
            (number, frame), self._pending = self._pending, None
            self._handlers[number](number, frame)

    def wait_for(
        self, condition: threading.Condition, predicate: Callable[[], bool], timeout: float | None = None
    ) -> bool:
        """Wait as ``condition.wait_for`` does, with safe points; the caller has entered the condition.

        A handler that raises inside of the condition's own steps would leave its lock as nobody expects it.
        """
        if not self._handlers:
            return condition.wait_for(predicate, timeout)
        until = None if timeout is None else time.monotonic() + timeout
        while not condition.wait_for(predicate, _SLICE if until is None else min(_SLICE, until - time.monotonic())):
            self.deliver()
            if until is not None and time.monotonic() >= until:
                return False
        return True

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._holding and self._pending is None:
            self._pending = (number, frame)
        else:
            self._handlers[number](number, frame)

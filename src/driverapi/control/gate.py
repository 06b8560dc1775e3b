"""The gate of a controller: who may call, and when it may close."""

from __future__ import annotations

import enum
import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from driverapi import errors
from driverapi.dataplane.contract import Progress
from driverapi.signals import HeldSignals

__all__ = ["Gate", "changes", "check_progress", "reads"]

P = ParamSpec("P")
R = TypeVar("R")


class _State(enum.Enum):
    OPEN = enum.auto()
    CLOSING = enum.auto()
    CLOSED = enum.auto()


class Gate:
    """Knows the calls under way, so that closing waits for them; refuses calls after it, and after a fork.

    Parameters
    ----------
    settle : callable
        Called at the end of each call: what it did is to be safe before its caller is told of it.

    Notes
    -----
    Thread safety: all methods.
    """

    def __init__(self, settle: Callable[[], object] = lambda: None) -> None:
        self._settle = settle
        self._pid = os.getpid()
        self._idle = threading.Condition()
        self._state = _State.OPEN
        self._callers: set[int] = set()  # threads with a call under way
        self._signals = threading.local()

    @property
    def ours(self) -> bool:
        """Whether this is the process that made the controller."""
        return os.getpid() == self._pid

    @property
    def busy(self) -> bool:
        """Whether a call is under way."""
        return bool(self._callers)

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._state is _State.CLOSED

    def check_process(self) -> None:
        """Raise ``ForkedError`` in a child process: what it sees of the parent's is a snapshot that nobody tends."""
        if not self.ours:
            raise errors.ForkedError(
                "this controller belongs to the parent process; make one in the child after the fork"
            )

    def check_open(self) -> None:
        """Raise where a call would be refused; for what is over in a moment, and does not mind a close meanwhile."""
        self.check_process()
        if self._state is not _State.OPEN and threading.get_ident() not in self._callers:
            raise errors.ClosedError("the controller is closed; make another")

    @contextmanager
    def call(self) -> Iterator[None]:
        """Hold the controller open for the time of a call, and signals back until a safe point."""
        self.check_process()
        me = threading.get_ident()
        if me in self._callers:  # a call of a call
            yield
            return
        with HeldSignals() as signals:
            try:
                with self._idle:
                    if self._state is not _State.OPEN:
                        raise errors.ClosedError("the controller is closed; make another")
                    self._callers.add(me)
                self._signals.held = signals
                yield
                self._settle()
            finally:
                self._callers.discard(me)  # first, and needs no memory: else it could never be closed
                try:
                    self._tell()
                except MemoryError:
                    self._tell()
                self._signals.held = None

    def _tell(self) -> None:
        with self._idle:
            self._idle.notify_all()

    def safe_point(self) -> None:
        """Deliver a signal that came during the call: its handler may raise, and the call is undone."""
        signals = getattr(self._signals, "held", None)
        if signals is not None:
            signals.deliver()

    def watched(self, progress: Progress | None) -> Progress:
        """Make each report of a bulk call's progress a safe point."""

        def report(done: int) -> None:
            self.safe_point()
            if progress is not None:
                progress(done)

        return report

    @contextmanager
    def closing(self) -> Iterator[bool]:
        """Refuse new calls and wait for those under way; gives False where it is closed already.

        If the block raises, the gate is open again: what could not be taken away is still owned.
        """
        with HeldSignals() as signals:
            with self._idle:
                if threading.get_ident() in self._callers:
                    raise errors.BusyError("a controller cannot be closed from inside one of its own calls")
                signals.wait_for(self._idle, lambda: self._state is not _State.CLOSING)
                first = self._state is _State.OPEN
                if first:
                    self._state = _State.CLOSING
            if not first:
                yield False
                return
            after = _State.OPEN
            try:
                with self._idle:
                    signals.wait_for(self._idle, lambda: not self._callers)
                yield True
                after = _State.CLOSED
            finally:
                self._state = after
                try:
                    self._tell()
                except MemoryError:
                    self._tell()


class _Gated(Protocol):
    @property
    def _gate(self) -> Gate: ...


S = TypeVar("S", bound=_Gated)


def changes(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Let a method be called only while the controller is open, and keep it open meanwhile."""

    @functools.wraps(method)
    def gated(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._gate.call():
            return method(self, *args, **kwargs)

    return gated


def reads(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Refuse a method in a child process, where a lock may be held for ever; a closed controller may be read."""

    @functools.wraps(method)
    def gated(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        self._gate.check_process()
        return method(self, *args, **kwargs)

    return gated


def check_progress(progress: object) -> None:
    """Raise ``InvalidError`` for what cannot be told how far a call is."""
    if progress is not None and not callable(progress):
        raise errors.InvalidError(f"progress {progress!r} cannot be called")

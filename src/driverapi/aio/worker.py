"""Runs verbs in threads for :mod:`driverapi.aio`: what a cancelled task had begun is undone, or carried to its end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar, final

from driverapi import errors
from driverapi.events import emit, of_fault

__all__ = ["Abandoned", "Worker"]

T = TypeVar("T")

THREADS: Final = 8
"""Verbs of one controller that run at once; further ones queue. The kernel makes links one after the other anyway."""


class Abandoned(BaseException):
    """Raised inside a bulk call whose task was cancelled: it undoes itself as after an interrupt."""


@final
class Worker:
    """Runs verbs in threads.

    Thread safety: all methods.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="driverapi-aio")
        self._pid = os.getpid()
        self.closed = False

    @property
    def ours(self) -> bool:
        """Whether this is the process that made the threads."""
        return os.getpid() == self._pid

    def _submit(self, call: Callable[[], T]) -> Future[T]:
        if not self.ours:  # where no thread is, and nothing would ever be done
            raise errors.ForkedError("this controller belongs to the parent process; make one in the child")
        try:
            return self._threads.submit(call)
        except RuntimeError:
            if not self.closed:
                raise
            raise errors.ClosedError("the controller is closed; make another") from None

    async def run(
        self,
        call: Callable[[], T],
        undo: Callable[[T], object] | None = None,
        abandon: Callable[[], object] | None = None,
    ) -> T:
        """Run a verb that makes things; cancelled, abandon it or wait for it, undo it, and only then pass that on."""
        work = self._submit(call)
        future = asyncio.wrap_future(work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if work.cancel():  # it has not begun
                raise
            if abandon is not None:
                abandon()
            fault = await outlast(future)
            if undo is not None and (fault is None or isinstance(fault, errors.BulkError)):
                made: Any = future.result() if fault is None else fault.results
                with suppress(errors.ClosedError):  # then it went with the controller
                    fault = await outlast(asyncio.wrap_future(self._submit(partial(undo, made))))
            report(fault)
            raise

    async def carry(self, call: Callable[[], T]) -> T:
        """Run a verb that takes things away; cancelled, carry it to its end, also if it has not begun."""
        future = asyncio.wrap_future(self._submit(call))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            report(await outlast(future))
            raise

    def close(self) -> None:
        """Let the threads end."""
        self.closed = True
        self._threads.shutdown(wait=False)


def report(fault: BaseException | None) -> None:
    if fault is not None and not isinstance(fault, Abandoned | errors.ClosedError):
        emit("aio.cancelled_failed", **of_fault(fault))


async def outlast(future: asyncio.Future[Any]) -> BaseException | None:
    """Wait for a future's end, whatever is cancelled meanwhile; give what it raised."""
    while not future.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([future])
    return future.exception()

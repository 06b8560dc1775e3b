"""The stream of events for asyncio: ``async with ctl.events() as stream``, ``async for event in stream``."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self, final

from driverapi import errors
from driverapi.streams.stream import Stream, StreamEvent

if TYPE_CHECKING:
    from driverapi.controller import Controller

__all__ = ["Events"]


def _close(opening: asyncio.Future[Stream]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


@final
class Events:
    """Events for one reader; see :class:`driverapi.streams.stream.Stream`.

    It begins when it is entered; iterating ends when it, or the controller, is closed and all is read.

    Thread safety: none; it belongs to one loop.
    """

    def __init__(self, controller: Controller, size: int) -> None:
        self._controller = controller
        self._size = size
        self._stream: Stream | None = None
        self._ready = asyncio.Event()

    async def __aenter__(self) -> Self:
        if self._stream is not None:
            raise errors.ClosedError("the stream was open already; make another")
        loop = asyncio.get_running_loop()
        opening = asyncio.ensure_future(asyncio.to_thread(self._controller.events, self._size))
        try:
            stream = self._stream = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close)  # nobody would read it
            raise

        def wake() -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(self._ready.set)

        stream.wake = wake
        wake()  # something may have come before
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            await asyncio.to_thread(self._stream.close)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamEvent:
        stream = self._stream
        if stream is None:
            raise errors.ClosedError("the stream is not open: use it inside 'async with'")
        while True:
            self._ready.clear()
            event = stream.get(0)
            if event is not None:
                return event
            if stream.closed:
                raise StopAsyncIteration
            await self._ready.wait()

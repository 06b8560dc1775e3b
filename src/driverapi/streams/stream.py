"""What happens to endpoints, links and pools, as a stream: ``Controller.events()``.

::

    with ctl.events() as stream:
        for event in stream:  # ends when the controller is closed
            match event:
                case LinkLost(network=net, endpoint=name):
                    ...

Not to be confused with :mod:`driverapi.events`, which is the table of what is logged.

The first reader starts what listens to the kernel (one thread, one netlink socket), and it ends with the last.
Nothing of it costs anything while nobody reads. ``docs/events.md`` says what can be seen, and what cannot.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, final

from driverapi import errors
from driverapi.signals import HeldSignals

if TYPE_CHECKING:
    from driverapi.control.gate import Gate

__all__ = [
    "AddressConflict",
    "EndpointDown",
    "EndpointUp",
    "LinkBack",
    "LinkLost",
    "NodeDiscovered",
    "NodeGone",
    "Overflow",
    "PoolNearlyFull",
    "PoolRelieved",
    "Stream",
    "StreamEvent",
]

QUEUE: Final = 4096
"""Events that wait for a reader, unless he says otherwise."""

MOST: Final = 1_000_000
"""Events that may be let wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEvent:
    """Something that happened.

    Attributes
    ----------
    at : float
        When it was known: seconds since 1970.
    """

    at: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfEndpoint(StreamEvent):
    """Something that happened to an endpoint: names of its network and its own, its id, and the key of its sandbox."""

    network: str
    endpoint: str
    id: str
    sandbox: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointUp(_OfEndpoint):
    """An endpoint is in its sandbox: joined, attached, or taken out of a warm pool."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointDown(_OfEndpoint):
    """An endpoint has left its sandbox."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LinkLost(_OfEndpoint):
    """The link of an endpoint that is up was taken away by somebody else, or carries nothing any more.

    Attributes
    ----------
    link, index : str, int
        Name and number of its end on the host.
    gone : bool
        Whether it is deleted; else it has no carrier, as one end is down, or the bridge that it has a port of was
        deleted: then it does not come back.
    """

    link: str
    index: int
    gone: bool


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LinkBack(_OfEndpoint):
    """The link of an endpoint has its carrier again."""

    link: str
    index: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AddressConflict(_OfEndpoint):
    """Somebody else uses an address of an endpoint, or the gateway's: then ``endpoint``, ``id``, ``sandbox`` are empty.

    Attributes
    ----------
    address : str
        Which.
    mac : str or None
        The MAC address that uses it, where it is known.
    seen : str
        ``arp`` or ``nd``: in a message on the network; ``dad``: the kernel of the sandbox found it
        (``IFA_F_DADFAILED``).
    """

    address: str
    mac: str | None
    seen: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class PoolNearlyFull(StreamEvent):
    """A pool of a network has little left: 90 % or more is in use.

    Attributes
    ----------
    pool : str
        Its id.
    used, size : int
        Addresses that are in use, and that it can give.
    """

    network: str
    pool: str
    used: int
    size: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRelieved(StreamEvent):
    """A pool that was nearly full has 20 % free again, or more."""

    network: str
    pool: str
    used: int
    size: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDiscovered(StreamEvent):
    """``discover_new`` was called: the drivers were told.

    Attributes
    ----------
    kind : str
        Of what was discovered: ``node``.
    data : object
        What the caller said of it.
    """

    kind: str
    data: Any


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class NodeGone(StreamEvent):
    """``discover_delete`` was called: the drivers were told."""

    kind: str
    data: Any


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Overflow(StreamEvent):
    """The reader was too slow: events were left out here.

    Attributes
    ----------
    lost : int
        How many.
    """

    lost: int


@final
class Stream:
    """Events for one reader; made by ``Controller.events``, and used with ``with``.

    Iterating waits for the next event, and ends when the stream or the controller is closed and all is read.

    Notes
    -----
    Thread safety: all methods; each event goes to one caller.
    """

    def __init__(self, gate: Gate, size: int, ended: Callable[[Stream], object]) -> None:
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= MOST:
            raise errors.InvalidError(f"events: size {size!r} is not a number from 1 to {MOST}")
        self._gate = gate
        self._size = size
        self._ended = ended
        self._ready = threading.Condition()
        self._queue: deque[StreamEvent] = deque()
        self._lost = 0
        self._closed = False
        self.wake: Callable[[], object] | None = None  # told beside waiting readers; for asyncio

    @property
    def closed(self) -> bool:
        """Whether nothing more will come."""
        return self._closed

    def get(self, timeout: float | None = None) -> StreamEvent | None:
        """Return the next event, or None where none came in time, or the stream is closed.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at the most; 0 does not wait.
        """
        self._gate.check_process()
        if timeout == 0:
            with self._ready:
                return self._next()
        with HeldSignals() as signals, self._ready:
            signals.wait_for(self._ready, lambda: bool(self._queue or self._lost or self._closed), timeout)
            return self._next()

    def _next(self) -> StreamEvent | None:
        if self._queue:
            return self._queue.popleft()
        if self._lost:
            lost, self._lost = self._lost, 0
            return Overflow(lost=lost)
        return None

    def put(self, event: StreamEvent) -> None:
        """Add an event; where there is no room it is counted."""
        with self._ready:
            if self._closed:
                return
            if self._lost and len(self._queue) + 1 < self._size:
                self._queue.append(Overflow(lost=self._lost))
                self._lost = 0
            if self._lost or len(self._queue) >= self._size:
                self._lost += 1
            else:
                self._queue.append(event)
            self._ready.notify()
        self._tell()

    def _tell(self) -> None:
        wake = self.wake
        if wake is not None:
            wake()

    def close(self) -> None:
        """End it; what waits can still be read. A second time does nothing."""
        if not self._gate.ours:
            return
        with self._ready:
            if self._closed:
                return
            self._closed = True
            self._ready.notify_all()
        self._tell()
        self._ended(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> StreamEvent:
        while True:
            event = self.get()
            if event is not None:
                return event
            if self._closed:
                raise StopIteration

    def __repr__(self) -> str:
        return f"<Stream, {len(self._queue)} of {self._size} waiting{', closed' if self._closed else ''}>"

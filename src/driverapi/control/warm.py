"""Warm pools: complete endpoints, made before anybody asks for them.

A pool's endpoints are ordinary ones, made by the same steps as those of ``Network.attach``: sandbox, link,
addresses and routes are there. Only nobody has them yet, so no listing shows them. To take one is to
change whose it is: no kernel work, some microseconds.

What it costs: each ready endpoint holds one address of each of its network's prefixes, a namespace (some
300 kB of kernel memory) and a veth pair. An endpoint that is wanted with an address or MAC that a ready one
holds, and a network whose addresses run out, get them from the pool.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Final, final

from driverapi import errors
from driverapi.events import emit, enabled, of_fault, of_network
from driverapi.signals import HeldSignals

if TYPE_CHECKING:
    from driverapi.control.addressing import Wanted
    from driverapi.endpoint import Endpoint
    from driverapi.network import Network

__all__ = ["MAX_WARM", "WarmPool"]

MAX_WARM: Final = 10_000
"""Endpoints that one pool may keep ready."""

FILL: Final = 64
"""Endpoints made at once while nobody takes any."""

REFILL: Final = 8
"""Endpoints made at once beside takers: no longer than a millisecond between two chances to come in between."""

IDLE: Final = 0.01
"""Seconds after the last taking that count as quiet; a pool that is more than half full waits for quiet."""

PAUSES: Final = (0.1, 5.0)
"""Seconds before another try after a failure: the first, doubled each time, and the most."""


@final
class WarmPool:
    """Keeps a number of complete endpoints of one network ready; made by ``Controller.warm``.

    Refilling goes on in a thread of its own. What goes wrong there is kept in :attr:`fault`, logged, and
    tried again a little later, at longer and longer intervals.

    Thread safety: all methods.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self._ready: deque[Endpoint] = deque()
        self._size = 0
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._taken_at = 0.0
        self._resting = 0  # callers that want no refilling just now
        self._filling = False
        self._asleep = False  # the thread waits for somebody to take
        self._fault: Exception | None = None
        self._faults = 0
        self._thread: threading.Thread | None = None

    @property
    def size(self) -> int:
        """How many it shall keep ready; 0 once it is closed."""
        return self._size

    @property
    def ready(self) -> int:
        """How many are ready now."""
        return len(self._ready)

    @property
    def fault(self) -> Exception | None:
        """Why the last refilling failed; None if it did not."""
        return self._fault

    @property
    def faults(self) -> int:
        """How many refillings have failed so far."""
        return self._faults

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is full, or a refilling has failed since the call; tell whether it is full."""
        with HeldSignals() as signals, self._changed:
            before = self._faults
            self._changed.notify_all()  # a taker whom a signal struck may have told nobody
            signals.wait_for(self._changed, lambda: len(self._ready) >= self._size or self._faults != before, timeout)
            return len(self._ready) >= self._size

    def __repr__(self) -> str:
        return f"<WarmPool of {self.network.name!r}, {len(self._ready)} of {self._size} ready>"

    # --- for the network -------------------------------------------------------------------------

    def take(self, count: int) -> list[Endpoint]:
        """Take up to that many: from now on they are the caller's."""
        taken: list[Endpoint] = []
        try:
            with suppress(IndexError):  # one step, that no signal comes into, moves them all
                taken.extend(islice(iter(self._ready.popleft, None), count))
            for endpoint in taken:
                _mark(endpoint, warm=False)
        except BaseException:  # a signal: nobody gets them, so they are to be seen
            for endpoint in taken:
                _mark(endpoint, warm=False)
            raise
        if taken:
            # While takers follow each other nobody is woken before half of it is gone: he would come in between.
            self._taken_at = time.monotonic()
            if self._asleep or self._hungry():
                with self._lock:  # not the condition: a signal may come into how that is entered
                    self._changed.notify_all()
                    self._asleep = False
        return taken

    def take_all(self, count: int) -> list[Endpoint] | None:
        """Take that many, or none."""
        if not 0 < count <= len(self._ready):
            return None
        taken = self.take(count)
        if len(taken) == count:
            return taken
        self.put_back(taken)  # somebody was quicker
        return None

    def put_back(self, taken: Sequence[Endpoint]) -> None:
        """Have endpoints that were taken ready again."""
        for endpoint in taken:
            _mark(endpoint, warm=True)
        self._ready.extendleft(reversed(taken))

    @contextmanager
    def making_way(self, wanted: Sequence[Wanted]) -> Iterator[None]:
        """Give up what holds an address that is wanted, or the last that are free, and rest for the time of a block."""
        if not self._size or any(one.warm for one in wanted):
            yield
            return
        addresses = {ip for one in wanted for ip in (one.ipv4, one.ipv6) if ip is not None}
        macs = {one.mac for one in wanted if one.mac is not None}
        lacking = self.network._addressing.lacking
        if not (addresses or macs or lacking(len(wanted)) > 0):
            yield
            return
        with self.resting():  # else it might take at once what it gave up
            self._take_away(self._spare(lacking(len(wanted)), addresses, macs))
            yield

    def keep(self, size: object) -> None:
        """Keep so many ready from now on; what is too much is taken away.

        Raises
        ------
        errors.InvalidError
            It is no such number.
        """
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= MAX_WARM:
            raise errors.InvalidError(f"a warm pool keeps 0 to {MAX_WARM} endpoints ready, not {size!r}")
        if size:
            self._take_away(self._resize(size))
        else:
            self.end()

    def end(self) -> None:
        """Stop refilling, and take away all that is ready."""
        self._take_away(self.close())

    def _take_away(self, endpoints: Sequence[Endpoint]) -> None:
        """Take endpoints away; one that resists (after an interrupt: all) can be seen, and detached, from now on."""
        if not endpoints:
            return
        try:
            self.network._take_away(endpoints, faults=[])
        except BaseException:
            for endpoint in endpoints:
                _mark(endpoint, warm=False)
            raise
        for endpoint in endpoints:
            if endpoint.error is not None:
                emit(
                    "warm.takeaway_failed",
                    **of_network(self.network),
                    endpoint=endpoint.id,
                    endpoint_name=endpoint.name,
                    **of_fault(endpoint.error),
                )
                _mark(endpoint, warm=False)

    def _spare(self, count: int = 0, addresses: Collection[bytes] = (), macs: Collection[bytes] = ()) -> list[Endpoint]:
        """Give up to ``count`` ready endpoints away, and those that hold an address; the caller takes them away."""
        with self._changed:
            held = []
            for endpoint in list(self._ready):
                if any(ip in addresses for _, ip in endpoint._taken) or any(
                    one.packed_mac in macs for one in endpoint._info.interfaces
                ):
                    with suppress(ValueError):  # taken in this moment
                        self._ready.remove(endpoint)
                        held.append(endpoint)
            held += self._pop(count - len(held))
            self._changed.notify_all()
            return held

    def _pop(self, count: int) -> list[Endpoint]:
        """Take from the far end up to so many; takers may come in between."""
        popped: list[Endpoint] = []
        with suppress(IndexError):
            while len(popped) < count:
                popped.append(self._ready.pop())
        return popped

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Keep it from refilling for the time of a block, once what is being made is there."""
        with self._changed:
            self._resting += 1
            self._changed.wait_for(lambda: not self._filling)
        try:
            yield
        finally:
            with self._changed:
                self._resting -= 1
                self._changed.notify_all()

    def _resize(self, size: int) -> list[Endpoint]:
        """Keep so many from now on; gives away what is too much, for the caller to take away."""
        with self._changed:
            self._size = size
            spare = self._pop(len(self._ready) - size)
            if size and self._thread is None:
                # A daemon, so that a forgotten controller is closed at the interpreter's end, and this with it.
                thread = threading.Thread(target=self._run, name="driverapi-warm", daemon=True)
                thread.start()  # it needs what is held here to go on, or to end
                self._thread = thread
            self._changed.notify_all()
        return spare

    def close(self) -> list[Endpoint]:
        """Stop refilling, once what is being made is there; gives up all that is ready, for the caller to take away.

        Somebody else who wants a pool meanwhile has it: then this is over, and what is made from then on is his.
        """
        thread = self._thread
        spare = self._resize(0)
        with self._changed:
            self._changed.wait_for(lambda: self._thread is not thread or self._thread is None or self._size > 0)
            if not self._size:
                spare += self._ready
                self._ready.clear()
            over = self._thread is not thread
        if over and thread is not None:
            thread.join()  # it has nothing to do any more
        return spare

    # --- refilling -------------------------------------------------------------------------------

    def _hungry(self) -> bool:
        return len(self._ready) * 2 < self._size

    def _run(self) -> None:
        try:
            self._refill()
        finally:
            try:
                self._over()
            except MemoryError:  # of one moment: who closes the pool would wait for ever
                self._over()

    def _over(self) -> None:
        """Tell that the calling thread refills no more: from here on another may be started."""
        with self._changed:
            if self._thread is threading.current_thread():
                self._thread = None
                self._filling = False
                self._changed.notify_all()

    def _refill(self) -> None:
        pause = 0.0
        while self._wait_for_need(pause):
            lacking = self._size - len(self._ready)
            busy = time.monotonic() - self._taken_at < IDLE
            made: list[Endpoint] = []
            failed: Exception | None
            try:
                made = self.network._warm_up(min(lacking, REFILL if busy else FILL))
            except errors.ClosedError as closed:  # and then this pool soon, too, unless closing fails
                failed = closed
            except Exception as fault:  # an interrupt cannot come here; any other fault is told and survived
                failed = fault
            else:
                failed = next((endpoint.error for endpoint in made if endpoint.error is not None), None)
            pause = self._note(made, failed, pause)
            try:
                self._take_away(self._too_many())
            except Exception as fault:  # out of memory, say: what is too much can be seen now
                pause = self._note((), fault, pause)

    def _too_many(self) -> list[Endpoint]:
        with self._changed:
            return self._pop(len(self._ready) - self._size) if self._size else []

    def _wait_for_need(self, pause: float) -> bool:
        """Wait until endpoints are wanted and nobody is disturbed; False when there is nothing more to do."""
        until = time.monotonic() + pause
        with self._changed:
            while self._size:
                self._asleep = True  # before the look: who takes after it will tell
                if self._resting or len(self._ready) >= self._size:
                    self._changed.wait()
                    continue
                self._asleep = False
                at = max(until, 0.0 if self._hungry() else self._taken_at + IDLE)
                now = time.monotonic()
                if now >= at:
                    self._filling = True
                    return True
                self._changed.wait(at - now)
            self._over()
            return False

    def _note(self, made: Sequence[Endpoint], failed: Exception | None, pause: float) -> float:
        """Enter what was made, or why it was not; gives the seconds to pause."""
        with self._changed:
            self._filling = False
            self._ready.extend(endpoint for endpoint in made if endpoint.error is None)
            self._fault = failed
            if failed is not None:
                self._faults += 1
                pause = min(max(pause * 2, PAUSES[0]), PAUSES[1])
                emit("warm.refill_failed", seconds=pause, **of_network(self.network), **of_fault(failed))
            else:
                pause = 0.0
                if enabled("warm.refilled"):
                    emit("warm.refilled", count=len(made), **of_network(self.network))
            self._changed.notify_all()
        return pause


def _mark(endpoint: Endpoint, *, warm: bool) -> None:
    endpoint._warm = warm
    sandbox = endpoint.sandbox or endpoint._made_sandbox  # the latter alone: what could not be dropped
    if sandbox is not None:
        sandbox._warm = warm

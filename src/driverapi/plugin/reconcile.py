"""What an engine has forgotten: endpoints that no live sandbox uses any more are taken away.

An engine that was killed asks for no ``Leave`` and no ``DeleteEndpoint`` of the containers it had, and one whose
plugin was away asks in vain and never again. So what there is when an engine starts (``Plugin.Activate``), or when
the plugin does, is doubted: an endpoint whose links are in no sandbox for ``grace`` seconds, and that the engine has
not begun anew with meanwhile, goes, and with it its addresses where they are ours. One that lives stays doubted, as
an engine may end it without a word; it is looked at again and again, ever more seldom.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Final, final

from driverapi import errors
from driverapi.events import emit, of_fault

if TYPE_CHECKING:
    from driverapi.plugin.networks import NetworkVerbs

__all__ = ["GRACE", "Reconciler"]

GRACE: Final = 60.0
"""Seconds. The engine's last repetition of a request comes 15 s after the one before, for each verb of a stop."""

_SHORTEST: Final = 0.05  # seconds between looks
_LONGEST: Final = 60.0
_PATIENCE: Final = 2.0  # seconds for which the kernel may be clearing a sandbox up
_SETTLING: Final = 60.0  # seconds from a start within which sandboxes of the engine before it end


@final
class Reconciler:
    """Takes away what is doubted and not used.

    Parameters
    ----------
    verbs : NetworkVerbs
        Who has the endpoints.
    take_away : callable
        Takes an endpoint away, with its addresses; the caller has its turn.
    give_back : callable
        Frees the addresses of endpoints that were deleted before a time (``time.monotonic()``), as their engine
        has not; tells whether there are some of later.
    grace : float
        Seconds for which an endpoint must be out of use.

    Notes
    -----
    A thread runs while anything is doubted.

    Thread safety: all methods.
    """

    def __init__(
        self,
        verbs: NetworkVerbs,
        take_away: Callable[[str], None],
        give_back: Callable[[float], bool],
        *,
        grace: float = GRACE,
    ) -> None:
        if not 0 <= grace <= 86400:
            raise errors.InvalidError(f"grace {grace!r} is not a number of seconds from 0 to 86400")
        self._verbs = verbs
        self._take_away = take_away
        self._give_back = give_back
        self._ending = False  # addresses may have to be given back
        self._grace = grace
        self._told = threading.Condition()
        self._doubted: dict[str, float | None] = {}  # endpoint: since when it has been out of use
        self._owed: set[str] = set()  # networks that are to go
        self._started = -_SETTLING  # when the engine did, or we
        self._pause = 0.0
        self._closed = False
        self._thread: threading.Thread | None = None

    def doubt(self, endpoints: Iterable[str], *, started: bool = False) -> None:
        """Look at these from now on.

        Parameters
        ----------
        started : bool
            The engine has started, or we have.
        """
        doubted = list(endpoints)
        with self._told:
            if started and doubted:
                self._started = time.monotonic()
            for endpoint in doubted:
                self._doubted.setdefault(endpoint, None)
            self._begin()

    def owe(self, network: str) -> None:
        """Delete a network that could not be: its engine has forgotten it, and never asks again."""
        with self._told:
            self._owed.add(network)
            self._begin()

    def owe_no_more(self, network: str) -> None:
        """Leave a network alone: its engine wants it after all."""
        with self._told:
            self._owed.discard(network)

    def reap(self) -> None:
        """Look for addresses that are not given back in time."""
        with self._told:
            if not self._ending:
                self._ending = True
                self._begin()

    @property
    def _busy(self) -> bool:
        return bool(self._doubted or self._owed or self._ending) and not self._closed

    def _begin(self) -> None:
        """Look soon; called with the lock held."""
        self._pause = 0.0
        if self._busy and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="driverapi-reconcile", daemon=True)
            self._thread.start()
        self._told.notify_all()

    def trust(self, endpoint: str) -> None:
        """Doubt an endpoint no more: the engine begins with it."""
        with self._told:
            self._doubted.pop(endpoint, None)

    def make_way(self, endpoint: str) -> None:
        """Have an endpoint go now that is doubted and out of use: the engine gives its address to another.

        When the engine has just started, a sandbox that it has ended may hold its links for a moment yet. One that
        was not doubted is from now on.
        """
        if endpoint not in self.doubted:
            self.doubt([endpoint])
            return
        end = min(time.monotonic() + _PATIENCE, self._started + _SETTLING)
        while not self._end(endpoint) and time.monotonic() < end:
            time.sleep(_SHORTEST)

    def _end(self, endpoint: str) -> bool:
        """Take an endpoint away unless it is used, or trusted; tell whether there is nothing to wait for."""
        with self._verbs.turn(endpoint) as there:
            if not there or endpoint not in self.doubted:
                return True
            if self._verbs.used([endpoint])[endpoint]:
                return False
            self._take_away(endpoint)
        self.trust(endpoint)
        return True

    @property
    def doubted(self) -> list[str]:
        """Ids of the endpoints that are doubted."""
        with self._told:
            return list(self._doubted)

    def close(self) -> None:
        """End; what is under way is finished."""
        with self._told:
            self._closed = True
            self._told.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            self._pay()
            self._reap()
            self._look()
            with self._told:
                self._pause = min(max(self._pause * 2, _SHORTEST, self._grace / 8), _LONGEST)
                if any(since is not None for since in self._doubted.values()):
                    self._pause = min(self._pause, max(self._grace / 4, _SHORTEST))
                if self._busy:
                    self._told.wait(self._pause)
                if not self._busy:
                    self._thread = None
                    return

    def _pay(self) -> None:
        """Delete the networks that are owed; what fails is tried again."""
        with self._told:
            owed = list(self._owed)
        for network in owed:
            try:  # while its turn is waited for, the engine may ask for it again
                self._verbs.end_network(network, partial(self._owed.__contains__, network))
            except Exception as error:
                emit("plugin.not_reconciled", **of_fault(error))
                continue
            with self._told:
                self._owed.discard(network)

    def _reap(self) -> None:
        with self._told:
            ending, self._ending = self._ending, False
        if ending:
            try:
                more = self._give_back(time.monotonic() - self._grace)
            except Exception as error:
                emit("plugin.not_reconciled", **of_fault(error))
                more = True
            with self._told:
                self._ending = self._ending or more

    def _look(self) -> None:
        """Look at all once; take away what has been out of use for long enough."""
        try:
            used = self._verbs.used(self.doubted)
        except errors.DriverAPIError as error:
            emit("plugin.not_reconciled", **of_fault(error))
            return
        now = time.monotonic()
        due = []
        with self._told:
            for endpoint, uses in used.items():
                if endpoint not in self._doubted:
                    continue
                since = self._doubted[endpoint]
                if uses is None:
                    del self._doubted[endpoint]
                elif uses:
                    self._doubted[endpoint] = None
                else:
                    self._doubted[endpoint] = since = now if since is None else since
                    if now - since >= self._grace:
                        due.append(endpoint)
        for endpoint in due:
            try:
                self._end(endpoint)
            except Exception as error:  # it is tried again
                emit("plugin.not_reconciled", **of_fault(error))

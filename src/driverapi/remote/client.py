"""One plugin as it is asked: its handshake, its connections, and what is done when it does not answer.

What was not delivered is asked again, whole. A request that the plugin may have read is asked again only where that
can do no harm: one that tells of something, that takes something away, or that makes a thing by its id. A plugin that
is away is waited for once, for the time of a restart; after that a call costs one attempt. One that does not answer in
time is not asked again for a while (:class:`Breaker`), and then for its capabilities first: that costs little if it is
silent still, and does no harm if it is slow.
"""

from __future__ import annotations

import enum
import os
import ssl
import threading
import time
import weakref
from collections.abc import Mapping
from typing import Any, Final, TypeVar, final

from driverapi import errors
from driverapi.events import emit, of_fault
from driverapi.places import Place, TlsFiles, find, place_of
from driverapi.plugin.wire import encode
from driverapi.remote.answers import Activated, Refusal, read, refusal_of
from driverapi.remote.breaker import Breaker
from driverapi.remote.connection import Answer, Connection, CutError, LateError, UnreachableError

__all__ = ["PATIENCE", "TIMEOUT", "Again", "PluginClient", "RefusedError", "client_of", "unheard"]

TIMEOUT: Final = 30.0
"""Seconds for one call, however often it is sent."""

PATIENCE: Final = 1.0
"""Seconds for which a plugin that did answer, and is away, is waited for; once."""

PROBE: Final = 1.0
"""Seconds that a plugin which did not answer in time has to show that it does again."""

_SLOW: Final = 0.5  # seconds after which a place that cannot be reached is as bad as one that is silent
_PAUSES: Final = (0.05, 0.25)  # seconds before a request is sent a second and a third time
_KEPT: Final = 16  # idle connections
_HEAD: Final = (
    "POST /%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: driverapi\r\n"
    "Accept: application/vnd.docker.plugins.v1.2+json\r\nContent-Length: %d\r\n\r\n"
)

T = TypeVar("T")


class Again(enum.Enum):
    """Whether a request may be sent once more that the plugin may have read."""

    SAFE = "safe"
    NEVER = "never"


class RefusedError(Exception):
    """The plugin said no."""

    def __init__(self, refusal: Refusal, error: errors.DriverAPIError) -> None:
        super().__init__(str(error))
        self.refusal = refusal
        self.error = error


def unheard(fault: Exception) -> bool:
    """Tell whether a plugin may not have heard what it was asked for: it is down, or every connection was cut."""
    refused = isinstance(fault, errors.PluginRefusedError)
    return isinstance(fault, errors.PluginError) and not refused and fault.outcome != "answered"


@final
class PluginClient:
    """A plugin by its name, or at an address.

    Parameters
    ----------
    name : str
        What it is called; by it it is found, unless there is an address.
    address : str, optional
        ``unix:///PATH``, ``tcp://HOST:PORT`` or ``https://HOST:PORT``.
    timeout : float
        Seconds for one call.
    patience : float
        Seconds for which a plugin that is away is waited for, once.

    Notes
    -----
    Thread safety: all methods. In a child process it opens connections of its own.
    """

    def __init__(
        self,
        name: str,
        address: str | None = None,
        tls: TlsFiles | None = None,
        *,
        timeout: float = TIMEOUT,
        patience: float = PATIENCE,
    ) -> None:
        self.name = name
        self.timeout = _seconds("timeout", timeout)
        self._patience = _seconds("patience", patience, least=0.0)
        self._fixed = None if address is None else place_of(address, tls)
        self._breaker = Breaker(f"plugin {name!r}")
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        weakref.finalize(self, _close_all, self._idle)  # and no __del__: of garbage in a ring, sockets may go first
        self._pid = os.getpid()
        self._tls: tuple[TlsFiles, ssl.SSLContext] | None = None
        self._waits = False  # whether it is worth while to wait for it: it did answer, and was not waited for since
        self._handshake = threading.Lock()
        self._implements: tuple[str, ...] | None = None
        self._silent: tuple[int, ...] | None = None  # which socket did not answer

    @property
    def implements(self) -> tuple[str, ...]:
        """What the plugin is, as it says: ``NetworkDriver``, ``IpamDriver``; asked once.

        Raises
        ------
        errors.PluginError
            It could not be asked.
        """
        if self._implements is None:
            with self._handshake:
                if self._implements is None:
                    said = self.call("Plugin.Activate", None, Activated, within=min(self.timeout, 10.0))
                    self._implements = tuple(said.implements or ())
        return self._implements

    def check_implements(self, what: str) -> None:
        """See that a plugin is what it is wanted for.

        Raises
        ------
        errors.NotFoundError
            It is something else.
        errors.PluginError
            It could not be asked.
        """
        if what not in self.implements:
            has = ", ".join(self.implements) or "nothing"
            raise errors.NotFoundError(f"plugin {self.name!r} is no {what}; it implements {has}")

    def call(
        self,
        verb: str,
        document: Mapping[str, Any] | None,
        kind: type[T],
        *,
        again: Again = Again.SAFE,
        within: float | None = None,
    ) -> T:
        """Ask for a verb, as ``NetworkDriver.Join``, and return what was answered.

        Parameters
        ----------
        document : mapping or None
            The body; None: it has none.
        within : float, optional
            Seconds for it, if not the client's timeout.

        Raises
        ------
        RefusedError
            The plugin says no: it has changed nothing.
        errors.PluginDownError
            It could not be asked, or did not answer in time.
        errors.PluginError
            It answered what cannot be, or the connection was cut: what became of the request is not known.
        errors.NotFoundError
            There is no plugin of that name.
        errors.InvalidError
            The document is none that JSON has.
        """
        try:
            body = b"" if document is None else encode(document)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise errors.InvalidError(f"plugin {self.name!r}: {verb}: it cannot be told that: {error}") from None
        began = self._enter()
        try:
            if self._breaker.is_open:
                self._probe(f"plugin {self.name!r}: {verb}", began)
            answer = self._answered(verb, body, again, began, began + (self.timeout if within is None else within))
            if self._breaker.succeed():
                emit("remote.back", driver=self.name)
            refusal = refusal_of(answer.status, answer.body)
            if refusal is not None:
                raise RefusedError(refusal, refusal.error(self.name, verb))
            try:
                return read(answer.body, kind)
            except ValueError as error:  # msgspec's errors are
                raise errors.PluginError(
                    f"plugin {self.name!r}: {verb}: the answer is not what it should be: {error}", "answered"
                ) from None
        except (RefusedError, errors.DriverAPIError) as error:
            fault = error.error if isinstance(error, RefusedError) else error
            emit("remote.failed", driver=self.name, verb=verb, seconds=time.monotonic() - began, **of_fault(fault))
            raise

    def _enter(self) -> float:
        """Begin a call; a plugin that has started anew since it was silent is not held to that."""
        if self._breaker.is_open and self._identity() != self._silent:
            self._breaker.retry()
        return self._breaker.enter()

    def _probe(self, what: str, began: float) -> None:
        """See that a plugin answers again, whatever it says, before it is asked for something.

        That alone does not close the breaker: one verb may be what it hangs in.
        """
        kind = next(iter(self._implements or ()), "NetworkDriver")
        verb, deadline = f"{kind}.GetCapabilities", began + min(self.timeout, PROBE)
        try:
            self._answered(verb, b"", Again.SAFE, began, deadline)
        except errors.PluginDownError as error:
            raise errors.PluginDownError(f"{what}: was not asked for: {error}", "nothing") from None
        except errors.PluginError:
            pass  # it is there

    def _identity(self) -> tuple[int, ...] | None:
        """Return what tells a unix socket from a later one under its path; of any other place nothing."""
        try:
            path = self.place().path
            found = os.stat(path) if path else None
        except (OSError, errors.DriverAPIError):
            return self._silent  # there is none to be asked
        return None if found is None else (found.st_dev, found.st_ino, found.st_ctime_ns)

    def _answered(self, verb: str, body: bytes, again: Again, began: float, deadline: float) -> Answer:
        """Send a request until it is answered, or must not be sent any more."""
        what = f"plugin {self.name!r}: {verb}"
        tries, sent = 0, False
        while True:
            try:
                connection, kept = self._connection(what, deadline, began)
            except errors.PluginDownError as error:
                if sent:
                    raise errors.PluginDownError(f"{error}; what became of it is not known") from None
                raise
            sent = True
            try:
                answer = connection.exchange(_request(verb, connection.host, body), deadline)
            except LateError as error:
                connection.close()
                self._down(str(error), began)
                raise errors.PluginDownError(f"{what}: {error}; what became of it is not known") from None
            except CutError as error:
                connection.close()
                if again is Again.NEVER or tries >= len(_PAUSES) or deadline - time.monotonic() < _PAUSES[tries]:
                    raise errors.PluginError(f"{what}: {error}; what became of it is not known") from None
                if not kept:
                    time.sleep(_PAUSES[tries])
                    tries += 1
                continue
            except errors.PluginError as error:
                connection.close()
                raise errors.PluginError(f"{what}: {error}", "answered") from None
            except BaseException:
                connection.close()
                raise
            self._rest(connection)
            return answer

    # --- connections ------------------------------------------------------------------------------

    def _connection(self, what: str, deadline: float, began: float) -> tuple[Connection, bool]:
        """Return a connection, and whether it was open already."""
        while True:
            with self._lock:
                if self._pid != os.getpid():
                    self._pid = os.getpid()
                    self._close_idle()  # they are the parent's
                if not self._idle:
                    break
                kept = self._idle.pop()
            if kept.is_fresh():
                return kept, True
            kept.close()
        with self._lock:
            patience, self._waits = (self._patience if self._waits else 0.0), False
        until, pause = min(time.monotonic() + patience, deadline), 0.01
        while True:
            try:
                place, tried = self.place(), time.monotonic()
                opened = Connection(place, self._context(place), deadline)
            except LateError as error:
                self._down(str(error), began)
                raise errors.PluginDownError(f"{what}: {error}; nothing was done", "nothing") from None
            except (UnreachableError, errors.NotFoundError) as error:
                if isinstance(error, UnreachableError) and time.monotonic() - tried > _SLOW:
                    self._down(str(error), began)  # a host that is off, a name that nobody knows
                elif time.monotonic() + pause < until:
                    time.sleep(pause)
                    pause *= 2
                    continue
                if isinstance(error, errors.NotFoundError):
                    raise errors.PluginDownError(f"{what}: {error}; start it", "nothing") from None
                raise errors.PluginDownError(f"{what}: {place}: {error}; start it", "nothing") from None
            with self._lock:
                self._waits = True
            return opened, False

    def place(self) -> Place:
        """Return where the plugin is.

        Raises
        ------
        errors.NotFoundError
            There is none of its name.
        """
        return find(self.name) if self._fixed is None else self._fixed

    def _context(self, place: Place) -> ssl.SSLContext | None:
        if place.tls is None:
            return None
        with self._lock:
            if self._tls is None or self._tls[0] != place.tls:
                self._tls = place.tls, place.tls.context()
            return self._tls[1]

    def _rest(self, connection: Connection) -> None:
        with self._lock:
            if connection.keeps and len(self._idle) < _KEPT and self._pid == os.getpid():
                self._idle.append(connection)
                return
        connection.close()

    def _down(self, why: str, began: float) -> None:
        self._silent = self._identity()
        with self._lock:
            self._close_idle()
        if self._breaker.fail(why, began):
            emit("remote.down", driver=self.name, error=why)

    def _close_idle(self) -> None:
        _close_all(self._idle)

    def close(self) -> None:
        """Close the connections that are idle; the next call opens one."""
        with self._lock:
            self._close_idle()

    def __repr__(self) -> str:
        return f"<PluginClient {self.name!r}>"


def _close_all(connections: list[Connection]) -> None:
    while connections:
        connections.pop().close()


def _request(verb: str, host: str, body: bytes) -> bytes:
    return (_HEAD % (verb, host, len(body))).encode() + body


def _seconds(what: str, value: float, *, least: float = 0.001) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= 86400:
        raise errors.InvalidError(f"{what} {value!r} is not a number of seconds from {least:g} to 86400")
    return float(value)


_found: Final[weakref.WeakValueDictionary[tuple[Any, ...], PluginClient]] = weakref.WeakValueDictionary()
_finding: Final = threading.Lock()


def client_of(
    name: str,
    address: str | None = None,
    tls: TlsFiles | None = None,
    *,
    timeout: float = TIMEOUT,
    patience: float = PATIENCE,
) -> PluginClient:
    """Return the client of a plugin: one for its drivers and its IPAM together, as for :class:`PluginClient`.

    An engine activates a plugin once; so does a process: to be activated anew tells a plugin that all was forgotten.
    """
    key = (name, address, tls, timeout, patience)
    with _finding:
        client = _found.get(key)
        if client is None:
            client = _found[key] = PluginClient(name, address, tls, timeout=timeout, patience=patience)
        return client

"""One HTTP/1.1 connection to a plugin: a whole request out, a whole answer in, until a deadline.

httptools parses; what is around it is ours because of three things: the deadline is that of the whole exchange, however
slowly bytes trickle in; an answer has a greatest size; and whether a request may have been read by the plugin is
known, as that decides whether it may be sent again.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from typing import Final, NamedTuple, final

import httptools

from driverapi import errors
from driverapi.places import Place

__all__ = ["MAX_ANSWER", "Answer", "Connection", "CutError", "LateError", "UnreachableError"]

MAX_ANSWER: Final = 1 << 20
"""Bytes that the body of an answer may have; those of plugins have a few hundred."""

MAX_HEAD: Final = 32 << 10
"""Bytes of status line and headers."""

_READ: Final = 64 << 10
_UNIX: Final = "plugin.moby.localhost"  # as engines say it


class UnreachableError(Exception):
    """No connection was had: nothing was sent."""


class CutError(Exception):
    """The connection ended before the answer did."""


class LateError(Exception):
    """The answer was not there in time."""


class Answer(NamedTuple):
    """What a plugin said."""

    status: int
    body: bytes


@final
class _Response:
    """What the parser calls."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._head = 0  # bytes
        self._size = 0  # bytes of the body
        self._sized = False
        self._in_body = False
        self.answer: Answer | None = None
        self.keeps = False
        self.wrong = ""

    def feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.wrong = self.wrong or f"that is no HTTP answer ({error})"
        except httptools.HttpParserUpgrade:
            self.wrong = "that is another protocol"

    def end(self) -> bool:
        """Take note that no more comes; tell whether that is how the answer ends."""
        if self.answer is None and self._in_body and not self._sized:
            self.answer = Answer(self._parser.get_status_code(), b"".join(self._body))
            self.keeps = False
        return self.answer is not None

    # --- the parser's calls -----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.answer is not None:
            self.keeps = False  # more than was asked for
        self._body.clear()
        self._size = 0
        self._sized = self._in_body = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head += len(name) + len(value) + 4
        if self._head > MAX_HEAD:
            self.wrong = f"headers of more than {MAX_HEAD} bytes"
        if name.lower() == b"content-length":
            self._sized = True
            if int(value) > MAX_ANSWER:
                self.wrong = f"{int(value)} bytes; {MAX_ANSWER} is the limit"
        elif name.lower() == b"transfer-encoding":
            self._sized = True

    def on_headers_complete(self) -> None:
        self._in_body = True

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > MAX_ANSWER:
            self.wrong = f"more than {MAX_ANSWER} bytes"
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if self.answer is None and status >= 200:  # else there is one to come
            self.answer = Answer(status, b"".join(self._body))
            self.keeps = self._parser.should_keep_alive()


@final
class Connection:
    """One connection; for one thread at a time.

    Parameters
    ----------
    deadline : float
        Of :func:`time.monotonic`, for the connection and the handshake of TLS.

    Attributes
    ----------
    host : str
        What requests say as their ``Host``.
    keeps : bool
        Whether it can be used once more.

    Raises
    ------
    UnreachableError, LateError
        There is nobody; nobody answered in time.
    """

    def __init__(self, place: Place, context: ssl.SSLContext | None, deadline: float) -> None:
        try:
            if place.path:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                try:
                    _reach(self._socket, place.path, deadline)
                except BaseException:
                    self._socket.close()
                    raise
            else:
                self._socket = _dial(place.host, place.port, deadline)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is not None:
                plain = self._socket
                try:
                    plain.settimeout(_left(deadline))
                    self._socket = context.wrap_socket(plain, server_hostname=place.host)
                except BaseException:
                    plain.close()
                    raise
        except TimeoutError as error:
            raise LateError("nobody takes the connection") from error
        except OSError as error:  # SSLError and gaierror are
            raise UnreachableError(error.strerror or str(error)) from error
        self.keeps = False
        self.host = _UNIX if place.path else str(place).partition("://")[2]

    def exchange(self, request: bytes, deadline: float) -> Answer:
        """Send a request and return the answer.

        Raises
        ------
        CutError, LateError
            As they say: the plugin may have read the request.
        errors.PluginError
            The answer is no HTTP, or too large.
        """
        self.keeps = False
        response = _Response()
        try:
            self._socket.settimeout(_left(deadline))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before it read all
                self._socket.sendall(request)
            while response.answer is None:
                self._socket.settimeout(_left(deadline))
                data = self._socket.recv(_READ)
                if not data:
                    if not response.end():
                        raise CutError("the connection was closed before the answer was whole")
                    break
                response.feed(data)
                if response.wrong:
                    raise errors.PluginError(f"the answer cannot be read: {response.wrong}")
        except (TimeoutError, ssl.SSLWantReadError) as error:
            raise LateError("no answer in time") from error
        except OSError as error:
            raise CutError(error.strerror or str(error)) from error
        assert response.answer is not None
        self.keeps = response.keeps
        return response.answer

    def is_fresh(self) -> bool:
        """Tell whether it can be used again: it was kept open, and nothing came meanwhile, its end included."""
        if not self.keeps:
            return False
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """Close it."""
        self._socket.close()


def _reach(made: socket.socket, path: str, deadline: float) -> None:
    """Connect to a unix socket; a queue that is full just now is waited for.

    unix(7) does that by itself only for sockets that block, without a deadline; others are told ``EAGAIN`` at once.
    """
    pause = 0.001
    while True:
        made.settimeout(_left(deadline))
        try:
            return made.connect(path)
        except BlockingIOError:
            time.sleep(min(pause, _left(deadline)))
            pause = min(2 * pause, 0.05)


def _dial(host: str, port: int, deadline: float) -> socket.socket:
    """Connect to the first address of a host that takes it: all of them together have until the deadline."""
    fault: OSError | None = None
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for at, (family, kind, protocol, _, address) in enumerate(found):
        made = socket.socket(family, kind, protocol)
        try:
            made.settimeout(_left(deadline) / (len(found) - at))  # else one that is silent has the others' time too
            made.connect(address)
        except BaseException as error:
            made.close()
            if not isinstance(error, OSError):
                raise
            fault = error
        else:
            return made
    raise fault or OSError(f"{host} has no address")


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left

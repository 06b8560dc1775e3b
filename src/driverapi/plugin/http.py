"""HTTP/1.1 for a plugin: a thread for each connection, and httptools' parser.

The engine keeps a few connections open and sends one request at a time on each; a verb waits for the kernel.
So a connection is a thread that reads, has the request answered and writes: nothing is handed from one thread to
another. An idle connection is never closed from here while the plugin lives: an engine whose connection is cut
asks again with an empty body.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final, final

import httptools

from driverapi.plugin.wire import CONTENT_TYPE, MAX_BODY, encode

__all__ = ["Answer", "HttpServer", "Undo"]

Undo = Callable[[], object]
Answer = Callable[[str, str, bytes], tuple[int, bytes, Undo | None]]
"""Method, path and body of a request in; status, body and what is called should nobody be there to hear it out. Neither
raises.
"""

MAX_HEAD: Final = 32 << 10
"""Bytes of request line and headers."""
MAX_DISCARD: Final = 64 << 20
"""Bytes of a body over the limit that are read away, so that the refusal is seen."""
MAX_CONNECTIONS: Final = 256
"""Connections at once; further ones wait to be accepted."""
PATIENCE: Final = 30.0
"""Seconds from the first byte of a request to its last, however they drip; of a TLS handshake too."""

_READ: Final = 64 << 10
_HEADS: Final[dict[int, bytes]] = {
    status.value: b"HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: "
    % (status.value, status.phrase.encode(), CONTENT_TYPE)
    for status in HTTPStatus
}


class _BadRequestError(Exception):
    """The connection is answered with this status, and closed."""

    def __init__(self, status: int, text: str, kind: str = "invalid") -> None:
        super().__init__(text)
        self.status = status
        self.kind = kind


@final
class _Request:
    """What the parser calls, for one connection: the requests that are complete are in ``ready``."""

    def __init__(self, send: Callable[[bytes], object]) -> None:
        self._send = send
        self._parser = httptools.HttpRequestParser(self)
        self.ready: list[tuple[str, str, bytes, bool]] = []
        self._begin()

    def _begin(self) -> None:
        self._url: list[bytes] = []
        self._body: list[bytes] = []
        self._head = 0  # bytes
        self._size = 0  # bytes of the body
        self.under_way = False

    def feed(self, data: bytes) -> None:
        """Take what has come.

        Raises
        ------
        _BadRequestError
            It is no HTTP, or too much.
        """
        self.under_way = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            if isinstance(cause, _BadRequestError):
                raise cause from None
            raise
        except httptools.HttpParserError as error:
            raise _BadRequestError(400, f"this is no HTTP request: {error}") from None
        if self.under_way and self._head == 0 and not self.ready and not data.strip():
            self.under_way = False  # empty lines between requests

    # --- the parser's calls -----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._begin()
        self.under_way = True

    def on_url(self, url: bytes) -> None:
        self._take_head(len(url))
        self._url.append(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._take_head(len(name) + len(value) + 4)
        lower = name.lower()
        if lower == b"expect" and value.strip().lower() == b"100-continue":
            self._send(b"HTTP/1.1 100 Continue\r\n\r\n")
        elif lower == b"content-length" and int(value) > MAX_DISCARD:
            raise _BadRequestError(413, _too_large())

    def _take_head(self, size: int) -> None:
        self._head += size
        if self._head > MAX_HEAD:
            raise _BadRequestError(431, f"request line and headers have more than {MAX_HEAD} bytes")

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > MAX_DISCARD:
            raise _BadRequestError(413, _too_large())
        if self._size <= MAX_BODY:
            self._body.append(body)
        else:
            self._body.clear()

    def on_message_complete(self) -> None:
        if self._size > MAX_BODY:
            raise _BadRequestError(413, _too_large())
        if self._parser.should_upgrade():
            raise _BadRequestError(400, "this connection speaks HTTP/1.1 and nothing else")
        path = b"".join(self._url).partition(b"?")[0].decode("latin-1")
        method = self._parser.get_method().decode("latin-1")
        self.ready.append((method, path, b"".join(self._body), self._parser.should_keep_alive()))
        self._begin()


def _too_large() -> str:
    return f"the body of the request has more than {MAX_BODY} bytes; nothing was done"


@final
class _Connection:
    """One connection, in a thread of its own."""

    def __init__(self, server: HttpServer, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        self._server = server
        self._socket = sock
        self._context = context
        self.busy = False  # a whole request is being answered; guarded by the server's lock
        self.thread = threading.Thread(target=self._run, name="driverapi-plugin", daemon=True)

    def cut(self) -> None:
        """Have it end: no more is read."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)

    def _run(self) -> None:
        try:
            self._socket.settimeout(PATIENCE)
            if self._context is not None:
                self._socket = self._context.wrap_socket(self._socket, server_side=True)
            self._serve()
        except OSError:  # it was cut, or is no TLS
            pass
        finally:
            with contextlib.suppress(OSError):
                self._socket.close()
            self._server._gone(self)

    def _serve(self) -> None:
        request = _Request(self._socket.sendall)
        going = True
        began = 0.0  # when the first byte came of the request that is under way
        while going:
            left = began + PATIENCE - time.monotonic()
            self._socket.settimeout(max(left, 0.001) if request.under_way else None)
            try:
                data = self._socket.recv(_READ)
            except TimeoutError:
                self._refuse(_BadRequestError(408, f"the request did not come within {PATIENCE:.0f} s"))
                return
            if not data:
                return
            refused = None
            if not request.under_way:
                began = time.monotonic()
            try:
                request.feed(data)
            except _BadRequestError as error:
                refused = error
            ready, request.ready = request.ready, []
            for method, path, body, keep in ready:
                if not self._server._begin(self):  # without an answer an engine asks again with an empty body
                    self._refuse(_BadRequestError(503, "the plugin is ending: nothing was done", "conflict"))
                    return
                try:
                    status, answer, undo = self._server._answer(method, path, body)
                    going = not self._server._closing and keep
                    try:
                        self._write(status, b"" if method == "HEAD" else answer, length=len(answer), keep=going)
                    except OSError:  # nobody is there any more
                        if undo is not None:
                            undo()
                        return
                finally:
                    self._server._end(self)
                if not going:
                    return
            if refused is not None:
                self._refuse(refused)
                return
            if ready:
                began = time.monotonic()  # what has come of a further one counts from its turn

    def _write(self, status: int, body: bytes, *, length: int, keep: bool) -> None:
        head = b"%s%d\r\n%s\r\n" % (_HEADS[status], length, b"" if keep else b"Connection: close\r\n")
        self._socket.settimeout(PATIENCE)
        self._socket.sendall(head + body)

    def _refuse(self, error: _BadRequestError) -> None:
        body = encode({"Err": str(error), "Error": str(error), "Kind": error.kind})
        self._write(error.status, body, length=len(body), keep=False)
        # Closed with something unread, a TCP connection is reset, and the answer may be lost.
        self._socket.settimeout(1.0)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            for _ in range(64):
                if not self._socket.recv(_READ):
                    break


@final
class HttpServer:
    """Serves requests on sockets that listen, until :meth:`close`.

    Parameters
    ----------
    answer : callable
        See :data:`Answer`; called by several threads at once.

    Notes
    -----
    Thread safety: all methods.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._lock = threading.Condition()
        self._closing = False
        self._connections: set[_Connection] = set()
        self._room = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._listening: list[socket.socket] = []
        self._acceptors: list[threading.Thread] = []

    def listen(self, sock: socket.socket, context: ssl.SSLContext | None = None) -> None:
        """Accept connections on a socket that listens, from now on; it is closed with the server."""
        thread = threading.Thread(target=self._accept, args=(sock, context), name="driverapi-accept", daemon=True)
        with self._lock:
            self._listening.append(sock)
            self._acceptors.append(thread)
        thread.start()

    def _accept(self, listening: socket.socket, context: ssl.SSLContext | None) -> None:
        while True:
            self._room.acquire()
            try:
                sock, _ = listening.accept()
            except OSError:
                self._room.release()
                if self._closing:
                    return
                time.sleep(0.05)  # no descriptor is to be had, say
                continue
            connection = _Connection(self, sock, context)
            with self._lock:
                closing = self._closing
                if not closing:
                    self._connections.add(connection)
            if closing:
                sock.close()
                self._room.release()
                return
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                connection.thread.start()
            except RuntimeError:  # no thread is to be had
                sock.close()
                self._gone(connection)

    def _begin(self, connection: _Connection) -> bool:
        """Take note that a request is answered; False once the server closes."""
        with self._lock:
            connection.busy = not self._closing
            return connection.busy

    def _end(self, connection: _Connection) -> None:
        """Take note that it has been; a connection that is idle when the server closes is cut."""
        with self._lock:
            connection.busy = False
            if self._closing:
                connection.cut()

    def _gone(self, connection: _Connection) -> None:
        with self._lock:
            self._connections.discard(connection)
            self._lock.notify_all()
        self._room.release()

    def close(self, grace: float = 30.0) -> bool:
        """Take no more, finish what is under way, and close; tell whether all was finished within ``grace`` seconds."""
        with self._lock:
            self._closing = True
            listening, self._listening = self._listening, []
            idle: Sequence[_Connection] = [one for one in self._connections if not one.busy]
        for sock in listening:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # it wakes accept()
            sock.close()
        for connection in idle:
            connection.cut()
        with self._lock:
            return self._lock.wait_for(lambda: not self._connections, grace)

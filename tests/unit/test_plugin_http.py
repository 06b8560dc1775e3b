"""The plugin's HTTP by raw bytes: what an engine sends, what nobody should, and how it ends."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from driverapi.plugin import http
from driverapi.plugin.http import HttpServer, Undo
from driverapi.plugin.sockets import UnixListener
from driverapi.plugin.wire import MAX_BODY


class Echo:
    """Answers with what was asked; ``/wait`` waits until it may go on."""

    def __init__(self) -> None:
        self.undone: list[str] = []
        self.asked: list[tuple[str, str, bytes]] = []
        self.may = threading.Event()
        self.waits = threading.Event()

    def __call__(self, method: str, path: str, body: bytes) -> tuple[int, bytes, Undo]:
        self.asked.append((method, path, body))
        if path == "/wait":
            self.waits.set()
            assert self.may.wait(10)
        return 200, body or b"{}", lambda: self.undone.append(path)


class Client:
    """One connection, raw."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        try:
            self.socket.connect(str(path))
        except OSError:
            self.socket.close()
            raise
        self._rest = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self, *, head: bool = False) -> tuple[int, dict[str, str], bytes]:
        while b"\r\n\r\n" not in self._rest:
            more = self.socket.recv(65536)
            assert more, "closed"
            self._rest += more
        top, _, self._rest = self._rest.partition(b"\r\n\r\n")
        lines = top.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        size = 0 if head else int(headers.get("content-length", 0))
        while len(self._rest) < size:
            more = self.socket.recv(65536)
            assert more, "closed"
            self._rest += more
        body, self._rest = self._rest[:size], self._rest[size:]
        return int(lines[0].split()[1]), headers, body

    def ended(self) -> bool:
        return self.socket.recv(1) == b""

    def close(self) -> None:
        self.socket.close()


class World:
    def __init__(self, directory: Path) -> None:
        self.echo = Echo()
        self.server = HttpServer(self.echo)
        self.listener = UnixListener(directory / "plugin.sock")
        self.server.listen(self.listener.socket)
        self.clients: list[Client] = []

    def client(self) -> Client:
        client = Client(self.listener.path)
        self.clients.append(client)
        return client

    def ask(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        client = self.client()
        client.send(data)
        return client.answer()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.echo.may.set()
    for client in made.clients:
        client.close()
    made.listener.remove()
    assert made.server.close(10)


def post(body: bytes = b"{}", path: str = "/X", *more: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: ", f"Content-Length: {len(body)}", *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def test_as_an_engine_asks(world: World) -> None:
    """Point 1: an empty ``Host``, no type, an empty body: Docker 20.10 from the wire."""
    client = world.client()
    client.send(
        b"POST /Plugin.Activate HTTP/1.1\r\nHost: \r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: 0\r\n"
        b"Accept: application/vnd.docker.plugins.v1.2+json\r\nAccept-Encoding: gzip\r\n\r\n"
    )
    status, headers, body = client.answer()
    assert (status, body) == (200, b"{}")
    assert headers["content-type"] == "application/vnd.docker.plugins.v1.2+json"
    assert "connection" not in headers
    client.send(post(b'{"a": 1}'))
    assert client.answer()[2] == b'{"a": 1}'
    assert world.echo.asked == [("POST", "/Plugin.Activate", b""), ("POST", "/X", b'{"a": 1}')]


@pytest.mark.parametrize("size", [1, 7, 40])
def test_in_pieces(world: World, size: int) -> None:
    client = world.client()
    data = post(b'{"NetworkID": "x"}')
    for at in range(0, len(data), size):
        client.send(data[at : at + size])
        time.sleep(0.001)
    assert client.answer()[2] == b'{"NetworkID": "x"}'


def test_several_at_once(world: World) -> None:
    """Answered in their order."""
    client = world.client()
    client.send(b"\r\n" + b"".join(post(b"%d" % number) for number in range(20)))
    assert [client.answer()[2] for _ in range(20)] == [b"%d" % number for number in range(20)]


def test_in_chunks_with_a_query(world: World) -> None:
    status, _, body = world.ask(
        b"POST /X?y=1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    assert (status, body) == (200, b"abcde")
    assert world.echo.asked == [("POST", "/X", b"abcde")]


def test_expect_continue(world: World) -> None:
    client = world.client()
    client.send(b"POST /X HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert client.answer()[0] == 100
    client.send(b"ab")
    assert client.answer()[::2] == (200, b"ab")


def test_old_clients_and_those_that_end(world: World) -> None:
    for data in (b"POST /X HTTP/1.0\r\nContent-Length: 1\r\n\r\na", post(b"a", "/X", "Connection: close")):
        client = world.client()
        client.send(data)
        status, headers, body = client.answer()
        assert (status, body, headers["connection"]) == (200, b"a", "close")
        assert client.ended()


def test_a_head_has_no_body(world: World) -> None:
    client = world.client()
    client.send(b"HEAD /health HTTP/1.1\r\nHost: h\r\n\r\n" + post(b"a"))
    assert client.answer(head=True)[1]["content-length"] == "2"
    assert client.answer()[2] == b"a"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # TLS
        (b"nonsense\r\n\r\n", 400),
        (b"POST /X HTTP/9.9\r\n\r\n", 400),
        (b"POST /X HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /X HTTP/1.1\r\nContent-Length: 1x\r\n\r\n", 400),
        (b"POST /X HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST /X HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", 400),
        (b"POST /X HTTP/1.1\r\nNo colon\r\n\r\n", 400),
        (b"GET /X HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 400),
        (b"POST /" + b"x" * 40000 + b" HTTP/1.1\r\n\r\n", 431),
        (b"POST /X HTTP/1.1\r\n" + b"A: b\r\n" * 20000 + b"\r\n", 431),
        (post(b"x" * (MAX_BODY + 1)), 413),
        (post(b"x" * (10 << 20)), 413),
        (b"POST /X HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
    ],
    ids=lambda value: value[:24] if isinstance(value, bytes) else None,
)
def test_what_is_refused(world: World, data: bytes, status: int) -> None:
    """In the protocol's own form; nothing was asked of anybody, and others are answered."""
    client = world.client()
    sender = threading.Thread(target=_send, args=(client, data))
    sender.start()
    told, headers, body = client.answer()
    sender.join()
    assert (told, headers["connection"]) == (status, "close")
    document: dict[str, Any] = json.loads(body)
    assert document["Err"] == document["Error"] != ""
    assert client.ended()
    assert world.echo.asked == []
    assert world.ask(post())[0] == 200


def _send(client: Client, data: bytes) -> None:
    with contextlib.suppress(OSError):  # refused before all of it was sent
        client.send(data)


def test_the_largest_body(world: World) -> None:
    assert world.ask(post(b"x" * MAX_BODY))[::2] == (200, b"x" * MAX_BODY)


def test_half_a_request(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "PATIENCE", 0.1)
    assert world.ask(post(b"abc")[:-1])[0] == 408
    idle = world.client()
    time.sleep(0.3)
    idle.send(post())  # an idle connection has time
    assert idle.answer()[0] == 200
    assert [path for _, path, _ in world.echo.asked] == ["/X"]


def test_a_request_that_drips(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "PATIENCE", 0.3)
    client = world.client()
    with contextlib.suppress(OSError):
        for byte in post(b"a" * 200):
            client.send(bytes((byte,)))
            time.sleep(0.05)
    assert client.answer()[0] == 408
    assert not world.echo.asked


def test_cut_off_in_the_middle(world: World) -> None:
    for data in (post(b"abc")[:-1], b"POST", post(path="/X")):
        client = world.client()
        client.send(data)
        client.close()
    assert world.ask(post())[0] == 200


def test_what_nobody_hears_of_is_undone(world: World) -> None:
    cut, stays = world.client(), world.client()
    cut.send(post(path="/wait"))
    assert world.echo.waits.wait(10)
    cut.close()
    world.echo.may.set()
    stays.send(post(path="/wait"))
    assert stays.answer()[0] == 200
    end = time.monotonic() + 10
    while not world.echo.undone and time.monotonic() < end:
        time.sleep(0.01)
    assert world.echo.undone == ["/wait"]


def test_it_ends_when_what_is_under_way_is_done(world: World) -> None:
    busy, idle = world.client(), world.client()
    idle.send(post())
    idle.answer()
    busy.send(post(path="/wait") + post(path="/later"))
    assert world.echo.waits.wait(10)
    ended: list[bool] = []
    closer = threading.Thread(target=lambda: ended.append(world.server.close(10)))
    closer.start()
    assert idle.ended()
    closer.join(0.05)
    assert closer.is_alive()
    with pytest.raises(OSError):
        Client(world.listener.path)
    world.echo.may.set()
    status, headers, _ = busy.answer()
    assert (status, headers["connection"]) == (200, "close")
    assert busy.ended()
    closer.join(10)
    assert ended == [True]
    assert "/later" not in [path for _, path, _ in world.echo.asked]


def test_what_comes_when_it_has_begun_to_end_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine whose connection is cut without an answer asks again, with an empty body."""
    late = world.client()
    late.send(post(path="/first"))
    assert late.answer()[0] == 200
    began, goes_on = threading.Event(), threading.Event()
    feed = http._Request.feed

    def slow(request: Any, data: bytes) -> None:
        began.set()
        assert goes_on.wait(10)
        feed(request, data)

    monkeypatch.setattr(http._Request, "feed", slow)
    late.send(post(path="/late"))
    assert began.wait(10)
    assert not world.server.close(0.01)
    goes_on.set()
    status, headers, body = late.answer()
    assert (status, headers["connection"]) == (503, "close")
    assert json.loads(body)["Kind"] == "conflict"
    assert late.ended()
    assert "/late" not in [path for _, path, _ in world.echo.asked]


def test_it_says_what_it_waits_for_in_vain(world: World) -> None:
    world.client().send(post(path="/wait"))
    assert world.echo.waits.wait(10)
    assert not world.server.close(0.05)

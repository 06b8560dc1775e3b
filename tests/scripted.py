"""A small plugin of our tests' own, on the standard library's HTTP server, with a script of misdeeds."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from driverapi import Controller
from driverapi.remote import RemoteDriver
from driverapi.testing import FakeDataplane

__all__ = ["Overlaps", "Tiny", "World", "held", "raw"]


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class Tiny:
    """Answers every verb, remembers what it was asked, and misbehaves where its ``script`` says so.

    ``script[verb]`` is a document, a (status, body) pair, or a function of the socket that does what it likes and
    tells by its answer whether the connection stays. A list is taken one by one, and then as if there were none.
    """

    def __init__(self, path: Path, implements: tuple[str, ...] = ("NetworkDriver", "IpamDriver")) -> None:
        self.path = path
        self.asked: list[tuple[str, Any]] = []
        self.heads: list[dict[str, str]] = []
        self.script: dict[str, Any] = {}
        self.implements = implements
        self.free = [f"10.60.0.{number}/16" for number in range(2, 9)]
        self.connections = 0
        self.links: set[str] = set()  # of the host: a join makes one
        self.during: Callable[[str, Any], AbstractContextManager[object]] = lambda *_: contextlib.nullcontext()
        self._sockets: list[socket.socket] = []
        self._server: _Server | None = None
        self.start()

    # --- its life ---------------------------------------------------------------------------------

    def start(self) -> None:
        tiny = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                tiny.connections += 1
                tiny._sockets.append(self.request)
                super().setup()

            def do_POST(self) -> None:
                tiny._answer(self)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = _Server(str(self.path), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """End as a process does that is killed."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
            os.unlink(self.path)
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._sockets.clear()

    def verbs(self) -> list[str]:
        """Return the verbs that were asked for, without the handshake."""
        return [verb.partition(".")[2] for verb, _ in self.asked if verb not in _HANDSHAKE]

    def documents(self, verb: str) -> list[Any]:
        """Return what was asked with one verb."""
        return [document for asked, document in self.asked if asked.endswith(f".{verb}")]

    # --- answers ----------------------------------------------------------------------------------

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        verb = handler.path[1:]
        document = json.loads(body) if body else None
        self.asked.append((verb, document))
        self.heads.append(dict(handler.headers.items()))
        with self.during(verb, document):
            self._say(handler, verb, document)

    def _say(self, handler: BaseHTTPRequestHandler, verb: str, document: Any) -> None:
        scripted = self.script.get(verb, self.script.get(verb.partition(".")[2]))
        if isinstance(scripted, list):
            scripted = scripted.pop(0) if scripted else None
        if callable(scripted):
            handler.close_connection = not scripted(handler.request)
            return
        if isinstance(scripted, tuple):
            status, told = scripted
        else:
            status, told = 200, json.dumps(self._usual(verb, document) if scripted is None else scripted).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(told)))
        handler.end_headers()
        handler.wfile.write(told)

    def _usual(self, verb: str, document: Any) -> Any:
        usual: dict[str, Callable[[], Any]] = {
            "Plugin.Activate": lambda: {"Implements": list(self.implements), "Unknown": 1},
            "NetworkDriver.GetCapabilities": lambda: {"Scope": "local", "ConnectivityScope": "global"},
            "IpamDriver.GetDefaultAddressSpaces": lambda: {
                "LocalDefaultAddressSpace": "tiny",
                "GlobalDefaultAddressSpace": "tiny-global",
            },
            "IpamDriver.RequestPool": lambda: {
                "PoolID": f"tiny/{document['Pool'] or '10.60.0.0/16'}",
                "Pool": document["Pool"] or "10.60.0.0/16",
                "Data": {},
            },
            "IpamDriver.RequestAddress": lambda: self._address(document),
            "NetworkDriver.Join": lambda: self._join(document["EndpointID"]),
            "NetworkDriver.Leave": lambda: self.links.discard(f"t{document['EndpointID'][:8]}") or {},
            "NetworkDriver.EndpointOperInfo": lambda: {"Value": {"colour": "red"}},
        }
        return usual.get(verb, dict)()

    def _join(self, endpoint: str) -> dict[str, Any]:
        name = f"t{endpoint[:8]}"
        self.links.add(name)
        return {
            "InterfaceName": {"SrcName": name, "DstPrefix": "eth", "Unknown": {}},
            "Gateway": "10.60.0.1",
            "StaticRoutes": [{"Destination": "10.99.0.0/16", "RouteType": 0, "NextHop": "10.60.255.254"}],
        }

    def _address(self, document: Any) -> dict[str, Any]:
        wanted = document["Address"]
        if wanted:
            return {"Address": f"{wanted}/16"}
        if document["Options"].get("RequestAddressType"):
            return {"Address": "10.60.0.1/16"}
        if not self.free:
            return {"Error": "no address is left", "Kind": "exhausted"}
        return {"Address": self.free.pop(0)}


_HANDSHAKE = (
    "Plugin.Activate",
    "NetworkDriver.GetCapabilities",
    "IpamDriver.GetCapabilities",
    "IpamDriver.GetDefaultAddressSpaces",
)


class Overlaps:
    """Counts how many requests of a verb are under way at once, of one network and of all together.

    ``meet[verb]`` is how many must be for any of them to be answered: all wait for each other.
    """

    def __init__(self, meet: dict[str, int]) -> None:
        self.most: dict[Any, int] = {}
        self._now: dict[Any, int] = {}
        self._lock = threading.Lock()
        self._meet = {verb: threading.Barrier(count, timeout=10) for verb, count in meet.items()}

    @contextlib.contextmanager
    def __call__(self, verb: str, document: Any) -> Iterator[None]:
        verb = verb.partition(".")[2]
        keys = [verb, (verb, (document or {}).get("NetworkID"))]
        with self._lock:
            for key in keys:
                self._now[key] = self._now.get(key, 0) + 1
                self.most[key] = max(self.most.get(key, 0), self._now[key])
        try:
            if verb in self._meet:
                self._meet[verb].wait()
            yield
        finally:
            with self._lock:
                for key in keys:
                    self._now[key] -= 1


class World:
    """A small plugin, and a controller over the fake dataplane that finds it by its name."""

    def __init__(self, directory: Path, **more: Any) -> None:
        self.dataplane = FakeDataplane()
        self.tiny = Tiny(directory / "tiny.sock")
        self.tiny.links = self.dataplane.links
        self.ctl = Controller(dataplane=self.dataplane)
        self.driver = RemoteDriver("tiny", f"unix://{self.tiny.path}", **{"timeout": 5.0, "patience": 0.0, **more})
        self.ctl.registry.register("tiny", self.driver)

    def network(self, **more: Any) -> Any:
        return self.ctl.create_network("tiny", "net", ipv4="10.60.0.0/16", **more)

    def close(self) -> None:
        self.tiny.script.clear()
        self.driver._client._breaker._until = 0.0  # a pause is over
        self.ctl.close()
        self.tiny.stop()
        self.driver._client.close()


def held(came: threading.Event, go: threading.Event) -> Callable[[socket.socket], bool]:
    """Tell that the request has come, and answer with an empty document when it may."""

    def answering(connection: socket.socket) -> bool:
        came.set()
        assert go.wait(10)
        return raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", then=True)(connection)

    return answering


def raw(*parts: bytes, pause: float = 0.0, then: bool = False) -> Callable[[socket.socket], bool]:
    """Answer with these bytes, and close."""

    def answering(connection: socket.socket) -> bool:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
        return then

    return answering

"""Peers of family ``docker``: a server of the standard library, and the engine's own bridge."""

from __future__ import annotations

from driverapi.bench.plugged import Pairs, Run

__all__ = ["BuiltIn", "Stdlib"]

_SERVER = r"""
import json, sys, threading
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingMixIn, UnixStreamServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = {}
        if self.path == "/NetworkDriver.CreateEndpoint":
            ip = asked["Interface"]["Address"].partition("/")[0]
            answer = {"Interface": {"MacAddress": "02:42:" + ":".join(f"{int(one):02x}" for one in ip.split("."))}}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *told):
        pass

class Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True

server = Server(sys.argv[1], Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""


class Stdlib(Pairs):
    """A handler that reads the JSON and answers: no driver behind it, nothing is kept."""

    program = _SERVER


class BuiltIn(Run):
    """A bridge network of the engine's own."""

    driver = "bridge"

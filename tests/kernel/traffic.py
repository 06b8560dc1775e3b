"""Traffic for tests of published ports: servers and clients in namespaces, by sockets that are opened there."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from driverapi._native import socket_in
from driverapi.addresses import format_ip
from driverapi.endpoint import Endpoint
from driverapi.plan import PROTOCOLS

KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM, "sctp": socket.SOCK_STREAM}


def run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    return done.stdout


def place(endpoint: Endpoint) -> str:
    assert endpoint.sandbox is not None
    return endpoint.sandbox.key


def ip_of(endpoint: Endpoint, version: int = 4) -> str:
    return next(
        format_ip(one.ip) for info in endpoint.interfaces for one in info.packed_addresses if one.version == version
    )


def _open(where: str | None, family: int, protocol: str) -> socket.socket:
    if where is None:
        return socket.socket(family, KINDS[protocol], PROTOCOLS[protocol])
    return socket.socket(fileno=socket_in(where, family, KINDS[protocol], PROTOCOLS[protocol]))


@contextmanager
def server(where: str, port: int, protocol: str = "tcp", *, version: int = 4, name: str = "") -> Iterator[None]:
    """Answer each who asks, in a namespace, with a name and the address that it asked from."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with _open(where, family, protocol) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if version == 6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(("", port))
        if protocol != "udp":
            listening.listen()
        listening.settimeout(0.1)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    if protocol != "udp":
                        one, peer = listening.accept()
                        with one:
                            one.sendall(f"{name}{peer[0]}".encode())
                    else:
                        _, peer = listening.recvfrom(64)
                        listening.sendto(f"{name}{peer[0]}".encode(), peer)
                except TimeoutError:
                    continue

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def ask(
    host: str, port: int, protocol: str = "tcp", *, where: str | None = None, source: str | None = None, wait: float = 2
) -> str | None:
    """Ask a server from a namespace; give what it said, or None where nobody answers or it is refused."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with _open(where, family, protocol) as asking:
        asking.settimeout(wait)
        if source is not None:
            asking.bind((source, 0))
        try:
            asking.connect((host, port))
            if protocol == "udp":
                asking.send(b"?")
            return asking.recv(64).decode() or None
        except (TimeoutError, ConnectionError, OSError):
            return None


def tables() -> list[str]:
    found = json.loads(run("nft", "-j", "list", "tables"))["nftables"]
    return [one["table"]["name"] for one in found if "table" in one]


def contents(table: str, family: str = "inet") -> dict[str, Any]:
    """Read the elements of each set and map of a table."""
    found = json.loads(run("nft", "-j", "list", "table", family, table))["nftables"]
    return {
        one[kind]["name"]: one[kind]["elem"]
        for one in found
        for kind in ("set", "map")
        if kind in one and "elem" in one[kind]
    }


@contextmanager
def no_tables() -> Iterator[None]:
    """Have loopback, no bridged packets in the packet filter, and see that no table is left."""
    run("ip", "link", "set", "lo", "up")
    for name in ("iptables", "ip6tables"):
        bridged = Path(f"/proc/sys/net/bridge/bridge-nf-call-{name}")
        if bridged.exists():
            bridged.write_text("0")
    assert tables() == []
    yield
    assert tables() == []
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "0"


@contextmanager
def beyond(key: str) -> Iterator[str]:
    """Put a namespace beyond a link of the host's, which forwards: 192.0.2.2 and 2001:db8::2, the host has …1."""
    run("ip", "link", "add", "out0", "type", "veth", "peer", "name", "out1")
    run("ip", "link", "set", "out1", "netns", key)
    inside = ("nsenter", f"--net={key}", "ip")
    run(*inside, "link", "set", "lo", "up")
    for words, name, last in ((("ip",), "out0", 1), (inside, "out1", 2)):
        run(*words, "addr", "add", f"192.0.2.{last}/24", "dev", name)
        run(*words, "addr", "add", f"2001:db8::{last}/64", "dev", name, "nodad")
        run(*words, "link", "set", name, "up")
    Path("/proc/sys/net/ipv4/conf/out0/forwarding").write_text("1")
    force = Path("/proc/sys/net/ipv6/conf/out0/force_forwarding")
    (force if force.exists() else Path("/proc/sys/net/ipv6/conf/all/forwarding")).write_text("1")
    try:
        yield key
    finally:
        run("ip", "link", "del", "out0")

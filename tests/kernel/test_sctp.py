"""Published ports of SCTP with traffic: by sockets, or where the kernel has none of SCTP by packets that are made here.

The packet filter translates SCTP and tracks associations without the kernel's own SCTP (``CONFIG_NF_CT_PROTO_SCTP``).
"""

from __future__ import annotations

import shutil
import socket
import struct
from collections.abc import Iterator

import pytest

from driverapi import Controller
from driverapi._native import socket_in
from driverapi.plan import PROTOCOLS
from tests.kernel.traffic import ask, beyond, no_tables, place, server

pytestmark = pytest.mark.skipif(shutil.which("nft") is None, reason="nft is not installed")

SCTP = PROTOCOLS["sctp"]
HOST = {4: "192.0.2.1", 6: "2001:db8::1"}
AWAY = {4: "192.0.2.2", 6: "2001:db8::2"}
INIT, INIT_ACK, COOKIE_ECHO, COOKIE_ACK, DATA = 1, 2, 10, 11, 0  # RFC 9260, 3.2


@pytest.fixture(autouse=True)
def _private() -> Iterator[None]:
    with no_tables():
        yield


def has_sctp() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, SCTP).close()
    except OSError:
        return False
    return True


def checksum(data: bytes) -> int:
    """CRC32c (RFC 9260, appendix A), bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


class Peer:
    """One end of an association, on a raw socket of a namespace."""

    def __init__(self, where: str, version: int, port: int, tag: int) -> None:
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        self.version, self.port, self.tag, self.theirs = version, port, tag, 0
        self.to: tuple[str, int] = ("", 0)
        self.socket = socket.socket(fileno=socket_in(where, family, socket.SOCK_RAW, SCTP))
        self.socket.settimeout(2)

    def say(self, kind: int, body: bytes = b"") -> None:
        if kind in (INIT, INIT_ACK):
            body = struct.pack("!IIHHI", self.tag, 1 << 16, 1, 1, 1) + body
        host, port = self.to
        chunk = struct.pack("!BBH", kind, 3 if kind == DATA else 0, 4 + len(body)) + body
        head = struct.pack("!HHI", self.port, port, 0 if kind == INIT else self.theirs)
        self.socket.sendto(head + struct.pack("<I", checksum(head + bytes(4) + chunk)) + chunk, (host, 0))

    def hear(self, kind: int) -> tuple[str, int, int]:
        """Return who said it, from which port, to which."""
        data, (who, *_) = self.socket.recvfrom(2048)
        data = data[20:] if self.version == 4 else data  # the IP header comes with it
        assert checksum(data[:8] + bytes(4) + data[12:]) == int.from_bytes(data[8:12], "little")
        source, to, tag = struct.unpack_from("!HHI", data)
        assert data[12] == kind
        assert tag == (0 if kind == INIT else self.tag)
        if kind in (INIT, INIT_ACK):
            (self.theirs,) = struct.unpack_from("!I", data, 16)
        return who, source, to


@pytest.mark.skipif(has_sctp(), reason="the kernel would answer too")
@pytest.mark.parametrize("version", [4, 6])
def test_an_association_through_a_port(version: int, same_descriptors: None) -> None:
    with Controller() as ctl, beyond(ctl.create_sandbox("outside").key) as outside:
        (one,) = ctl.create_network("bridge", "web", ipv4="10.77.0.0/24", ipv6="fd77::/64").attach(1)
        one.publish("8080:80/sctp", "8080:81/tcp")
        client, served = Peer(outside, version, 40000, 0x11111111), Peer(place(one), version, 80, 0x22222222)
        with client.socket, served.socket:
            client.to = (HOST[version], 8080)
            client.say(INIT)
            who, port, to = served.hear(INIT)
            assert (who, port, to) == (AWAY[version], 40000, 80)
            served.to = (who, port)
            for one_says, other, kind in (
                (served, client, INIT_ACK),
                (client, served, COOKIE_ECHO),
                (served, client, COOKIE_ACK),
                (client, served, DATA),
            ):
                one_says.say(kind, b"a cookie, or data..")
                told = other.hear(kind)
                assert told == ((HOST[version], 8080, 40000) if other is client else (AWAY[version], 40000, 80))
            one.unpublish("8080:80/sctp")
            served.socket.settimeout(0.2)
            client.say(DATA, b"more of it")
            with pytest.raises(TimeoutError):  # the association has ended with its port
                served.hear(DATA)


@pytest.mark.skipif(not has_sctp(), reason="this kernel has no SCTP of its own")
def test_a_port_of_sctp_by_sockets() -> None:
    with Controller() as ctl, beyond(ctl.create_sandbox("outside").key) as outside:
        (one,) = ctl.create_network("bridge", "web", ipv4="10.77.0.0/24").attach(1)
        with server(place(one), 80, "sctp"):
            one.publish("8080:80/sctp")
            assert ask(HOST[4], 8080, "sctp", where=outside) == AWAY[4]
            one.unpublish()
            assert ask(HOST[4], 8080, "sctp", where=outside, wait=0.3) is None

"""Forgets the connections of addresses that are free again: whoever has them next shall not inherit any.

Only where the host tracks connections at all (a rule of somebody's asks for it); one question tells.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Final, final

from driverapi.events import emit, of_fault
from driverapi.plan import PROTOCOLS, PortMap

__all__ = ["Conntrack"]

# include/uapi/linux/netlink.h: #define NETLINK_NETFILTER 12; NLM_F_REQUEST 1, NLM_F_ACK 4, NLM_F_DUMP 0x300
_NETFILTER: Final = 12
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
# include/uapi/linux/netfilter/nfnetlink.h: #define NFNL_SUBSYS_CTNETLINK 1, #define NFNL_MSG_TYPE(x) (x & 0x00ff)
_SUBSYSTEM: Final = 1 << 8
# include/uapi/linux/netfilter/nfnetlink_conntrack.h: enum cntl_msg_types { IPCTNL_MSG_CT_NEW, …_GET, …_DELETE,
#     …_GET_CTRZERO, …_GET_STATS_CPU, …_GET_STATS, … }
_GET, _DELETE, _GET_STATS = 1, 2, 5
# enum ctattr_type { …, CTA_TUPLE_ORIG = 1, CTA_TUPLE_REPLY = 2, …, CTA_ZONE = 18, …, CTA_FILTER = 25 }
_ORIGINAL, _REPLY, _ZONE, _FILTER = 1, 2, 18, 25
# enum ctattr_tuple { CTA_TUPLE_IP = 1 }, enum ctattr_ip { CTA_IP_V4_SRC = 1, …_V4_DST, …_V6_SRC, …_V6_DST }
_TUPLE_IP, _SOURCE, _TARGET, _V6 = 1, 1, 2, 2
# enum ctattr_filter { CTA_FILTER_ORIG_FLAGS = 1, CTA_FILTER_REPLY_FLAGS = 2 }; net/netfilter/nf_internals.h:
#     #define CTA_FILTER_FLAG_CTA_IP_SRC (1 << 0), CTA_FILTER_FLAG_CTA_IP_DST (1 << 1)
_NESTED: Final = 0x8000
# enum ctattr_tuple { …, CTA_TUPLE_PROTO = 2 }, enum ctattr_l4proto { CTA_PROTO_NUM = 1, CTA_PROTO_SRC_PORT = 2,
#     CTA_PROTO_DST_PORT = 3 }; CTA_FILTER_FLAG_CTA_PROTO_NUM (1 << 3), …_SRC_PORT (1 << 4), …_DST_PORT (1 << 5)
_TUPLE_PROTO, _NUMBER, _SOURCE_PORT, _TARGET_PORT = 2, 1, 2, 3

# What a connection of an address has it for: its sender, its target, or the target behind a DNAT.
_SIDES: Final = ((_ORIGINAL, _SOURCE), (_ORIGINAL, _TARGET), (_REPLY, _SOURCE))

_Ends = Callable[[bytes, bytes], bool]
"""Tells by its two tuples whether a connection is to end."""

FEW: Final = 8
"""Up to so many IPv4 addresses the kernel looks for each, three walks of its table each; beyond, it is read once."""


@final
class Conntrack:
    """The connection tracking of the namespace of the thread that makes it.

    Thread safety: all methods.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER)
            self._socket.settimeout(2.0)  # the kernel answers at once: to wait at all is a fault already
        except OSError as error:  # this kernel has none of it
            emit("conntrack.absent", **of_fault(error))
        self._sequence = 0

    def close(self) -> None:
        """Let go of the descriptor."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    def forget(self, addresses: Sequence[bytes]) -> None:
        """Delete the entries of packed addresses; where that fails it is logged, as nothing else can be done."""
        if not addresses:
            return
        with self._lock:
            self._forget(addresses)

    def _forget(self, addresses: Sequence[bytes]) -> None:
        try:
            if self._socket is None or not self._entries():
                return
            ipv4 = [ip for ip in addresses if len(ip) == 4]
            rest = frozenset(ip for ip in addresses if len(ip) != 4)
            if len(ipv4) <= FEW:
                refused = self._delete(_looking_for(ip, *side) for ip in ipv4 for side in _SIDES)
                if not refused & {errno.EINVAL, errno.EOPNOTSUPP}:  # a kernel that cannot look for one end alone
                    ipv4 = []
            if ipv4:
                self._delete(self._found(socket.AF_INET, _of(frozenset(ipv4))))
            if rest:
                # Never by the kernel's look: for IPv6 it takes every connection but those (6.18, measured:
                # ctnetlink_filter_match_tuple() reads the 0 of ipv6_addr_cmp() as "not the same").
                self._delete(self._found(socket.AF_INET6, _of(rest)))
        except OSError as error:
            emit("conntrack.still_tracked", count=len(addresses), **of_fault(error))

    def forget_ports(self, ports: Sequence[PortMap]) -> None:
        """Delete the entries of connections that came by published ports; where that fails it is logged."""

        def by_server() -> _Ends:
            servers = frozenset((one.ip, PROTOCOLS[one.protocol], one.port) for one in ports)

            def ends(original: bytes, reply: bytes) -> bool:
                server = (_address(reply, _SOURCE), *_protocol(reply, _SOURCE_PORT))
                return server in servers and server != (_address(original, _TARGET), *_protocol(original, _TARGET_PORT))

            return ends

        self._forget_ports(ports, _by_server, by_server)

    def forget_before(self, ports: Sequence[PortMap]) -> None:
        """Delete what is tracked of datagrams for ports that are published now: they would go on to the host itself."""
        ports = [one for one in ports if one.protocol == "udp"]

        def by_host_port() -> _Ends:
            asked = frozenset((PROTOCOLS["udp"], one.host_port) for one in ports)
            return lambda original, reply: _protocol(original, _TARGET_PORT) in asked

        self._forget_ports(ports, _by_host_port, by_host_port)

    def _forget_ports(
        self,
        ports: Sequence[PortMap],
        message: Callable[[PortMap], bytes],
        ending: Callable[[], _Ends],
    ) -> None:
        if not ports:
            return
        with self._lock:
            try:
                if self._socket is None or not self._entries():
                    return
                few = [one for one in ports if len(one.ip) == 4] if len(ports) <= FEW else []
                if self._delete(map(message, few)) & {errno.EINVAL, errno.EOPNOTSUPP}:
                    few = []  # a kernel that cannot look for one end alone
                versions = {len(one.ip) for one in ports} - ({4} if few else set())
                ends = ending()
                for version in versions:
                    family = socket.AF_INET if version == 4 else socket.AF_INET6
                    self._delete(self._found(family, ends))
            except OSError as error:
                emit("conntrack.still_tracked", count=len(ports), **of_fault(error))

    def _entries(self) -> int:
        """Return how many connections are tracked, of all."""
        for type, body in self._ask(_GET_STATS, 0, _REQUEST):
            if type == _SUBSYSTEM | _GET_STATS:
                for kind, value in _attributes(body):
                    if kind == 1:  # CTA_STATS_GLOBAL_ENTRIES
                        return int.from_bytes(value, "big")
        return 0

    def _found(self, family: int, ends: _Ends) -> Iterable[bytes]:
        """Read all connections of a family; give the messages that delete those that end."""
        wanted = []
        for type, body in self._ask(_GET, family, _REQUEST | _DUMP):
            if type != _SUBSYSTEM:  # IPCTNL_MSG_CT_NEW
                continue
            tuples = {kind: value for kind, value in _attributes(body) if kind in (_ORIGINAL, _REPLY, _ZONE)}
            if ends(tuples.get(_ORIGINAL, b""), tuples.get(_REPLY, b"")):
                kept = b"".join(_attribute(kind, tuples[kind]) for kind in (_ORIGINAL, _ZONE) if kind in tuples)
                wanted.append(_message(_DELETE, body[0], kept))
        return wanted

    def _delete(self, messages: Iterable[bytes]) -> set[int]:
        """Send deletions, some at a time; give the errors that came, without those of entries that are gone."""
        refused: set[int] = set()
        for message in messages:
            for type, body in self._send(message, _REQUEST | _ACK):
                if type == _ERROR:
                    refused.add(-int.from_bytes(body[:4], sys.byteorder, signed=True))
        return refused - {0, errno.ENOENT}

    def _ask(self, verb: int, family: int, flags: int) -> list[tuple[int, bytes]]:
        return self._send(_message(verb, family, b""), flags)

    def _send(self, message: bytes, flags: int) -> list[tuple[int, bytes]]:
        """Send a message; give the type and body of each answer."""
        assert self._socket is not None
        self._sequence += 1
        header = struct.pack(
            "=IHHII", len(message) + 14, int.from_bytes(message[:2], sys.byteorder), flags, self._sequence, 0
        )
        self._socket.send(header + message[2:])
        answers: list[tuple[int, bytes]] = []
        while True:
            data, at = self._socket.recv(1 << 18), 0
            while at + 16 <= len(data):
                size, type, _, sequence, _ = struct.unpack_from("=IHHII", data, at)
                if size < 16:
                    break
                if sequence == self._sequence:
                    answers.append((type, data[at + 16 : at + size]))
                at += (size + 3) & ~3
            if answers and (not flags & _DUMP or answers[-1][0] in (_ERROR, _DONE)):
                return answers


def _message(verb: int, family: int, attributes: bytes) -> bytes:
    """Make a message without its header: its type, then ``struct nfgenmsg`` and attributes."""
    return struct.pack("=H", _SUBSYSTEM | verb) + struct.pack("=BBH", family, 0, 0) + attributes


def _attribute(type: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), type) + value + bytes(-len(value) % 4)


def _attributes(body: bytes) -> Iterable[tuple[int, bytes]]:
    """Give type, without its flags, and value of each attribute after ``struct nfgenmsg``."""
    return _nested(body[4:])


def _nested(data: bytes) -> Iterable[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        size, type = struct.unpack_from("=HH", data, at)
        if size < 4:
            return
        yield type & 0x3FFF, data[at + 4 : at + size]
        at += (size + 3) & ~3


def _looking_for(ipv4: bytes, side: int, end: int) -> bytes:
    """Delete what has an address on one side of the connection, at one end."""
    tuple_ = _attribute(_TUPLE_IP | _NESTED, _attribute(end, ipv4))
    wanted = _attribute(_FILTER | _NESTED, _attribute(side, struct.pack("=I", end)))
    return _message(_DELETE, socket.AF_INET, _attribute(side | _NESTED, tuple_) + wanted)


def _of(addresses: frozenset[bytes]) -> _Ends:
    """Return what tells whether a connection is of one of the addresses."""

    def ends(original: bytes, reply: bytes) -> bool:
        sides = {_ORIGINAL: original, _REPLY: reply}
        return any(_address(sides[side], end) in addresses for side, end in _SIDES)

    return ends


def _by_server(port: PortMap) -> bytes:
    """Delete what is answered by a port of an IPv4 address."""
    where = _attribute(_TUPLE_IP | _NESTED, _attribute(_SOURCE, port.ip))
    number = _attribute(_NUMBER, bytes((PROTOCOLS[port.protocol],)))
    protocol = number + _attribute(_SOURCE_PORT, port.port.to_bytes(2, "big"))
    tuple_ = where + _attribute(_TUPLE_PROTO | _NESTED, protocol)
    wanted = _attribute(_FILTER | _NESTED, _attribute(_REPLY, struct.pack("=I", 1 | 1 << 3 | 1 << 4)))
    return _message(_DELETE, socket.AF_INET, _attribute(_REPLY | _NESTED, tuple_) + wanted)


def _by_host_port(port: PortMap) -> bytes:
    """Delete what asks for a port of any IPv4 address."""
    number = _attribute(_NUMBER, bytes((PROTOCOLS[port.protocol],)))
    protocol = number + _attribute(_TARGET_PORT, port.host_port.to_bytes(2, "big"))
    tuple_ = _attribute(_TUPLE_PROTO | _NESTED, protocol)
    wanted = _attribute(_FILTER | _NESTED, _attribute(_ORIGINAL, struct.pack("=I", 1 << 3 | 1 << 5)))
    return _message(_DELETE, socket.AF_INET, _attribute(_ORIGINAL | _NESTED, tuple_) + wanted)


def _protocol(side: bytes, end: int) -> tuple[int, int]:
    """Return protocol and port of one end, of a CTA_TUPLE; zeros where there is none."""
    for kind, value in _nested(side):
        if kind == _TUPLE_PROTO:
            held = dict(_nested(value))
            return int.from_bytes(held.get(_NUMBER, b""), "big"), int.from_bytes(held.get(end, b""), "big")
    return 0, 0


def _address(side: bytes, end: int) -> bytes:
    """Give the packed address of one end, of a CTA_TUPLE; empty where there is none."""
    for kind, value in _nested(side):
        if kind == _TUPLE_IP:
            for which, ip in _nested(value):
                if which in (end, end + _V6):
                    return ip
    return b""

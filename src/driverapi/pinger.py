"""Raw ICMP and ICMPv6 echo from inside sandboxes: whether they reach each other, for real.

A socket is opened inside each sandbox, so a request takes the way that a program in the
sandbox would take. Requests go out in waves. The kernel bounds its neighbour table for all
namespaces together (``gc_thresh3``, 1024 entries for each family), and a sandbox that pings
another costs up to two entries, one at each end: so a wave is small against that bound, and
what it made the kernel learn is deleted before the next one.

Sources: RFC 792 and RFC 4443 (echo), RFC 1071 (checksum), ``raw(7)``, ``linux/icmp.h``
(``ICMP_FILTER``) and ``linux/icmpv6.h`` (``ICMPV6_FILTER``).
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

from driverapi import errors
from driverapi._native import Batch, open_namespace, socket_in
from driverapi.addresses import format_ip

__all__ = [
    "Ping",
    "PingResult",
    "checksum",
    "echo_request",
    "echo_request_v6",
    "forget_neighbours",
    "parse_reply",
    "parse_reply_v6",
    "ping",
]

WAVE: Final = 256
"""Requests of one wave: at most 512 neighbour entries of one family, half of ``gc_thresh3``."""

_BURST: Final = 32  # requests sent at once: a frame that a bridge floods costs one for each of its ports
_PACE: Final = 0.01  # seconds that a burst may stay unanswered before the next one goes out

_ECHO_REPLY: Final = 0  # linux/icmp.h ICMP_ECHOREPLY
_ECHO: Final = 8  # linux/icmp.h ICMP_ECHO
_ECHO_V6: Final = 128  # linux/icmpv6.h ICMPV6_ECHO_REQUEST
_ECHO_REPLY_V6: Final = 129  # linux/icmpv6.h ICMPV6_ECHO_REPLY

_SOL_RAW: Final = 255  # linux/socket.h SOL_RAW
_ICMP_FILTER: Final = 1  # linux/icmp.h
_SOL_ICMPV6: Final = 58  # linux/socket.h SOL_ICMPV6
_ICMPV6_FILTER: Final = 1  # linux/icmpv6.h

_HEADER: Final = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence number
_MARK: Final = struct.Struct("!8sI")  # this call, the request's place in its wave
_NEIGHBOUR_PERMANENT: Final = 0x80  # linux/neighbour.h NUD_PERMANENT


@dataclass(frozen=True, slots=True)
class Ping:
    """One echo request to be made.

    Attributes
    ----------
    namespace : str
        Path of the network namespace that the request leaves from.
    target : bytes
        Packed address, 4 or 16 bytes; a global one (a link-local one would need an interface).
    source : bytes or None
        Packed address to send from; None leaves it to the kernel.
    target_namespace : str or None
        Path of the namespace that has the target, where it is known: what the kernel
        learned there by ARP or ND is deleted too.
    """

    namespace: str
    target: bytes
    source: bytes | None = None
    target_namespace: str | None = None


@dataclass(frozen=True, slots=True)
class PingResult:
    """What became of one request.

    Attributes
    ----------
    request : Ping
        The request.
    answered : bool
        A reply with the same identifier, sequence number and payload came from the target.
    seconds : float or None
        Round trip of the try that was answered.
    error : str
        Why there was no answer; empty when there was one.
    """

    request: Ping
    answered: bool
    seconds: float | None = None
    error: str = ""


# --- messages ------------------------------------------------------------------------------------


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071); 0 for data that carries its own right one."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo_request(identifier: int, sequence: int, payload: bytes) -> bytes:
    """Return an ICMP echo request, with its checksum."""
    body = _HEADER.pack(_ECHO, 0, 0, identifier, sequence) + payload
    return _HEADER.pack(_ECHO, 0, checksum(body), identifier, sequence) + payload


def echo_request_v6(identifier: int, sequence: int, payload: bytes) -> bytes:
    """Return an ICMPv6 echo request; the kernel fills the checksum in (RFC 3542, section 3.1)."""
    return _HEADER.pack(_ECHO_V6, 0, 0, identifier, sequence) + payload


@dataclass(frozen=True, slots=True)
class Reply:
    """An echo reply: who sent it, and what of the request it repeats."""

    source: bytes
    identifier: int
    sequence: int
    payload: bytes


def parse_reply(packet: bytes) -> Reply | None:
    """Return the echo reply in an IPv4 packet, header included; None for anything else.

    The kernel gives a raw socket what came in before it checks the ICMP checksum: it is checked here.
    """
    if len(packet) < 20 or packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_ICMP:
        return None
    start = (packet[0] & 0x0F) * 4
    body = packet[start:]
    if start < 20 or len(body) < _HEADER.size or checksum(body) != 0:
        return None
    kind, code, _, identifier, sequence = _HEADER.unpack_from(body)
    if (kind, code) != (_ECHO_REPLY, 0):
        return None
    return Reply(packet[12:16], identifier, sequence, body[_HEADER.size :])


def parse_reply_v6(message: bytes, source: bytes) -> Reply | None:
    """Return the echo reply in an ICMPv6 message that came from ``source``; None for anything else.

    A raw ICMPv6 socket gets no IP header, and only messages whose checksum the kernel found right.
    """
    if len(message) < _HEADER.size:
        return None
    kind, code, _, identifier, sequence = _HEADER.unpack_from(message)
    if (kind, code) != (_ECHO_REPLY_V6, 0):
        return None
    return Reply(source, identifier, sequence, message[_HEADER.size :])


# --- sending and receiving -----------------------------------------------------------------------


def ping(
    requests: Sequence[Ping],
    *,
    wave: int = WAVE,
    tries: int = 8,
    timeout: float = 8.0,
    progress: Callable[[int], object] | None = None,
) -> list[PingResult]:
    """Send echo requests from inside namespaces and wait for the replies.

    Parameters
    ----------
    requests : sequence of Ping
        Requests that stand next to each other share a wave, and those of one namespace its sockets.
    wave : int
        Requests under way at once, 1…65536; each may take two descriptors for as long as the wave lasts.
    tries : int
        How often a request is sent, 1…16; the wait doubles from one to the next.
        The first frames over a new link may be lost, which is no fault.
    timeout : float
        Seconds from the first try of a wave to its end, more than 0. The kernel gives an
        address up after three ARP or ND requests, a second apart, and begins again with the
        next try: eight seconds hold two such rounds. They are spent only where an answer is
        missing; queues of received frames are shared by all namespaces, so a flood elsewhere
        can cost some.
    progress : callable, optional
        Called with the number of requests that are finished, after each wave.

    Returns
    -------
    list of PingResult
        One for each request, in order. A namespace that cannot be entered, or a kernel that
        refuses to send, is an error of its requests, not of the call.

    Raises
    ------
    errors.InvalidError
        A number is out of range, or a target or source is no packed address.

    Notes
    -----
    Thread safety: any thread; no thread changes its namespace. Needs CAP_NET_RAW over the namespaces.
    """
    _check(requests, wave, tries, timeout)
    results: list[PingResult] = []
    for start in range(0, len(requests), wave):
        part = requests[start : start + wave]
        with _Wave(part) as under_way:
            results += under_way.run(tries, timeout)
        forget_neighbours(_places(part))
        if progress is not None:
            progress(len(results))
    return results


def forget_neighbours(namespaces: Iterable[str]) -> None:
    """Delete what the kernel learned by ARP and ND in namespaces; permanent entries stay.

    A namespace that cannot be entered, because it is gone, say, is passed over: what the
    kernel learned ages by itself, only later.
    """
    for path in namespaces:
        with contextlib.suppress(OSError), open_namespace(path) as namespace:
            learned = [
                entry
                for entry in namespace.socket.dump_neighbours()
                if not entry.state & _NEIGHBOUR_PERMANENT and len(entry.address) in (4, 16)
            ]
            if learned:
                batch = Batch()
                for entry in learned:
                    batch.delete_neighbour(entry.index, entry.address)
                namespace.socket.execute(batch)  # one that expired meanwhile is gone as well


def _places(requests: Iterable[Ping]) -> list[str]:
    """Return the namespaces in which a wave leaves entries, each once."""
    places: dict[str, None] = {}
    for request in requests:
        places[request.namespace] = None
        if request.target_namespace is not None:
            places[request.target_namespace] = None
    return list(places)


def _check(requests: Sequence[Ping], wave: int, tries: int, timeout: float) -> None:
    for name, value, limit in (("wave", wave, 1 << 16), ("tries", tries, 16)):
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= limit:
            raise errors.InvalidError(f"{name} must be a number from 1 to {limit}, not {value!r}")
    if not isinstance(timeout, int | float) or not 0 < timeout < float("inf"):
        raise errors.InvalidError(f"timeout must be seconds, more than 0, not {timeout!r}")
    for request in requests:
        if not isinstance(request.target, bytes) or len(request.target) not in (4, 16):
            raise errors.InvalidError(f"target {request.target!r} is not a packed address of 4 or 16 bytes")
        if request.source is not None and len(request.source) != len(request.target):
            raise errors.InvalidError(
                f"source {request.source!r} and target {format_ip(request.target)} are not of one family"
            )


class _Slot:
    """One request of a wave while it is under way."""

    __slots__ = ("error", "payload", "place", "request", "seconds", "sent", "socket")

    def __init__(self, place: int, request: Ping, payload: bytes) -> None:
        self.place = place
        self.request = request
        self.payload = payload
        self.socket: socket.socket | None = None
        self.sent: list[float | None] = []  # when each try went out; None where the kernel refused it
        self.seconds: float | None = None
        self.error = ""


class _Wave:
    """The sockets and the requests of one wave; leaving it closes the sockets."""

    def __init__(self, requests: Sequence[Ping]) -> None:
        call = os.urandom(8)  # so that no reply to somebody else, or to an earlier wave, can match
        self._slots = [_Slot(place, request, _MARK.pack(call, place)) for place, request in enumerate(requests)]
        self._base = int.from_bytes(os.urandom(2), "big")  # identifier of the first slot
        self._sockets: dict[int, socket.socket] = {}
        self._poll = select.epoll()

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all descriptors."""
        for one in self._sockets.values():
            one.close()
        self._sockets = {}
        self._poll.close()

    def _open(self) -> None:
        """Open one socket for each namespace, family and source; note which cannot be had."""
        known: dict[tuple[str, int, bytes | None], socket.socket | str] = {}
        for slot in self._slots:
            request = slot.request
            key = (request.namespace, len(request.target), request.source)
            if key not in known:
                try:
                    known[key] = self._add(_open_echo(*key))
                except OSError as error:
                    advice = "; pinging needs CAP_NET_RAW" if error.errno == errno.EPERM else ""
                    known[key] = f"no socket in {request.namespace}: {error.strerror or error}{advice}"
            found = known[key]
            if isinstance(found, str):
                slot.error = found
            else:
                slot.socket = found

    def _add(self, opened: socket.socket) -> socket.socket:
        self._sockets[opened.fileno()] = opened
        self._poll.register(opened, select.EPOLLIN)
        return opened

    def run(self, tries: int, timeout: float) -> list[PingResult]:
        """Send, resend what is not answered, and collect until all is answered or time is up."""
        start = time.monotonic()
        for number in range(tries):
            waiting = [slot for slot in self._slots if slot.socket is not None and slot.seconds is None]
            if not waiting:
                break
            for at in range(0, len(waiting), _BURST):
                burst = waiting[at : at + _BURST]
                for slot in burst:
                    self._send(slot, number)
                self._collect(burst, time.monotonic() + _PACE)
            # tries go out after 1, 3, 7, … parts of the time; the last has the longest to be answered
            until = start + timeout * (2 ** (number + 1) - 1) / (2**tries - 1)
            self._collect(waiting, until)
            if number < tries - 1 and any(slot.seconds is None for slot in waiting):
                time.sleep(max(0.0, until - time.monotonic()))  # all that is left was refused by the kernel
        return [self._result(slot, tries, timeout) for slot in self._slots]

    def _send(self, slot: _Slot, sequence: int) -> None:
        assert slot.socket is not None
        make = echo_request if len(slot.request.target) == 4 else echo_request_v6
        message = make(self._base + slot.place & 0xFFFF, sequence, slot.payload)
        sent: float | None = time.monotonic()
        try:
            slot.socket.sendto(message, _destination(slot.request.target))
            slot.error = ""
        except OSError as error:
            sent = None
            slot.error = f"send to {format_ip(slot.request.target)}: {error.strerror or error}"
        slot.sent.append(sent)

    def _collect(self, slots: Iterable[_Slot], until: float) -> None:
        """Receive until all of these that went out are answered, or the time has come."""
        pending = {slot.place for slot in slots if slot.seconds is None and any(slot.sent)}
        while pending and (left := until - time.monotonic()) > 0:
            for descriptor, _ in self._poll.poll(left):
                pending.difference_update(self._receive(self._sockets[descriptor]))

    def _receive(self, ready: socket.socket) -> Iterator[int]:
        """Take all that a socket has; give the places of the requests that it answers."""
        while True:
            try:
                data, address = ready.recvfrom(2048)
            except BlockingIOError:
                return
            except OSError:  # an error that the kernel had queued; the request will be sent again
                continue
            now = time.monotonic()
            if ready.family == socket.AF_INET:
                reply = parse_reply(data)
            else:
                # a scope may follow the address of a link-local sender
                source = socket.inet_pton(socket.AF_INET6, address[0].partition("%")[0])
                reply = parse_reply_v6(data, source)
            slot = None if reply is None else self._match(ready, reply)
            if reply is not None and slot is not None:
                slot.seconds = now - (slot.sent[reply.sequence] or now)
                yield slot.place

    def _match(self, ready: socket.socket, reply: Reply) -> _Slot | None:
        """Return the request that a reply is the first answer to."""
        place = reply.identifier - self._base & 0xFFFF
        if place >= len(self._slots):
            return None
        slot = self._slots[place]
        matches = (
            slot.seconds is None
            and slot.socket is ready
            and reply.sequence < len(slot.sent)
            and reply.payload == slot.payload
            and reply.source == slot.request.target
        )
        return slot if matches else None

    @staticmethod
    def _result(slot: _Slot, tries: int, timeout: float) -> PingResult:
        if slot.seconds is not None:
            return PingResult(slot.request, True, slot.seconds)
        error = slot.error or f"no answer from {format_ip(slot.request.target)} in {timeout:g} s, {tries} tries"
        return PingResult(slot.request, False, None, error)


def _destination(target: bytes) -> tuple[str, int]:
    return format_ip(target), 0


def _open_echo(namespace: str, size: int, source: bytes | None) -> socket.socket:
    """Open a raw socket inside a namespace that gets echo replies only.

    Raises
    ------
    OSError
        It is no namespace, no permission, no descriptor left, or the source is not an address there.
    """
    family, protocol = (socket.AF_INET, socket.IPPROTO_ICMP) if size == 4 else (socket.AF_INET6, socket.IPPROTO_ICMPV6)
    kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    descriptor = socket_in(namespace, family, kind, protocol)
    opened = socket.socket(family, socket.SOCK_RAW, protocol, fileno=descriptor)
    try:
        opened.setblocking(False)
        if size == 4:
            opened.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", ~(1 << _ECHO_REPLY) & 0xFFFFFFFF))
        else:
            # one bit for each of the 256 types; a bit that is set blocks
            words = [0xFFFFFFFF] * 8
            words[_ECHO_REPLY_V6 >> 5] &= ~(1 << (_ECHO_REPLY_V6 & 31))
            opened.setsockopt(_SOL_ICMPV6, _ICMPV6_FILTER, struct.pack("=8I", *words))
        if source is not None:
            opened.bind(_destination(source))
    except BaseException:
        opened.close()
        raise
    return opened

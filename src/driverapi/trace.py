"""A record of every netlink message this process sends, and of what the kernel answers.

::

    with driverapi.trace.to("run.txt"):  # text for people; ``.pcap`` and ``.pcapng`` for Wireshark
        network.attach(10)

The text has a line for each message and how it ended, under a line that says when and to which network namespace
it went. A capture is of LINKTYPE_NETLINK and holds each datagram as it was; in a ``.pcapng`` each namespace is an
interface of its own, in a ``.pcap`` its inode stands in the header's address field (which Wireshark does not show).

While nothing is traced, an exchange pays for one look at a variable.
"""

from __future__ import annotations

import os
import re
import struct
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Protocol, Self

from driverapi._native import UNKNOWN, Answers, Batch, observe

__all__ = ["Trace", "to"]

# https://www.tcpdump.org/linktypes/LINKTYPE_NETLINK.html
_LINKTYPE: Final = 253
_SNAPLEN: Final = 1 << 18
# include/uapi/linux/if_arp.h: #define ARPHRD_NETLINK 824; if_packet.h: PACKET_USER 6 "To user space",
# PACKET_KERNEL 7 "To kernel space"; netlink.h: NETLINK_ROUTE 0
_ARPHRD: Final = 824
_TO_USER, _TO_KERNEL = 6, 7
_KINDS: Final = {16: "links", 20: "addresses", 24: "routes", 28: "neighbours", 32: "rules"}
_CONTROL: Final = {1: "noop", 2: "error", 3: "done", 4: "overrun"}

Datagrams = list[tuple[int, bool, bytes]]


class _Writer(Protocol):
    def write(self, namespace: int, datagrams: Datagrams, answers: Answers | None) -> None: ...


class Trace:
    """A trace that goes on until it is closed; made by :func:`to`.

    Attributes
    ----------
    error : OSError or None
        Why writing failed. The trace stopped there; what it traces goes on.

    Notes
    -----
    Thread safety: exchanges of all threads are written one after the other, each in one piece; `close` may be called by
    any thread. After a fork, nothing that the child does is traced.
    """

    def __init__(self, target: str | os.PathLike[str] | IO[str]) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._file: IO[Any] | None = None
        self.error: OSError | None = None
        self._writer: _Writer
        if not isinstance(target, str | os.PathLike):
            self._writer = _Text(target)
        else:
            suffix = Path(target).suffix
            if suffix in (".pcap", ".pcapng"):
                self._file = open(target, "wb", opener=_private)  # noqa: SIM115 - closed by close()
                self._writer = _Pcap(self._file) if suffix == ".pcap" else _Pcapng(self._file)
            else:
                self._file = open(  # noqa: SIM115
                    target, "w", encoding="utf-8", errors="backslashreplace", opener=_private
                )
                self._writer = _Text(self._file)
        _change(add=self)

    def record(self, namespace: int, datagrams: Datagrams, answers: Answers | None) -> None:
        """Write one exchange; called by whoever made it."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            if self.error is not None:
                return
            try:
                self._writer.write(namespace, datagrams, answers)
            except OSError as error:
                self.error = error

    def close(self) -> None:
        """Stop, and close the file if it is ours; a second time does nothing.

        Raises
        ------
        OSError
            Something could not be written.
        """
        _change(remove=self)
        with self._lock:
            file, self._file = self._file, None
            if file is not None and os.getpid() == self._pid:
                file.close()
                if self.error is not None:
                    raise self.error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, _: TracebackType | None) -> None:
        self.close()


def to(target: str | os.PathLike[str] | IO[str]) -> Trace:
    """Trace from now on, until the result is closed or left as a context.

    Several traces may go on at once.

    Parameters
    ----------
    target : str, path or text stream
        A file to write anew: a capture where its name ends in ``.pcap`` or ``.pcapng``, else text. A stream gets
        text, and stays open.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    return Trace(target)


# --------------------------------------------------------------------------------------------------- who traces
_traces: tuple[Trace, ...] = ()
_changing = threading.Lock()


def _change(*, add: Trace | None = None, remove: Trace | None = None) -> None:
    global _traces
    with _changing:
        kept = tuple(trace for trace in _traces if trace is not remove)
        _traces = (*kept, add) if add is not None else kept
        observe(_record if _traces else None)


def _record(namespace: int, datagrams: Datagrams, answers: Answers | None) -> None:
    for trace in _traces:
        trace.record(namespace, datagrams, answers)


# ------------------------------------------------------------------------------------------------------- captures
def _cooked(namespace: int, sent: bool, data: bytes) -> bytes:
    """Put the header of 16 bytes before a datagram: direction, ARPHRD_NETLINK, address, netlink family."""
    return struct.pack(">HHHQH", _TO_KERNEL if sent else _TO_USER, _ARPHRD, 8, namespace, 0) + data


class _Pcap:
    """https://www.tcpdump.org/manpages/pcap-savefile.5.html, with nanoseconds."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        file.write(struct.pack("=IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, _SNAPLEN, _LINKTYPE))

    def write(self, namespace: int, datagrams: Datagrams, answers: Answers | None) -> None:
        del answers
        for time, sent, data in datagrams:
            packet = _cooked(namespace, sent, data)
            seconds, rest = divmod(time, 1_000_000_000)
            self._file.write(struct.pack("=IIII", seconds & 0xFFFFFFFF, rest, len(packet), len(packet)) + packet)
        self._file.flush()


class _Pcapng:
    """https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng: an interface for each namespace."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._names = _Names()
        self._interfaces: dict[int, int] = {}
        self._block(0x0A0D0D0A, struct.pack("=IHHq", 0x1A2B3C4D, 1, 0, -1))

    def _block(self, kind: int, body: bytes) -> None:
        size = 12 + len(body)
        self._file.write(struct.pack("=II", kind, size) + body + struct.pack("=I", size))

    @staticmethod
    def _option(code: int, value: bytes) -> bytes:
        return struct.pack("=HH", code, len(value)) + value + bytes(-len(value) % 4)

    def _interface(self, namespace: int) -> int:
        if namespace not in self._interfaces:
            # if_name 2, if_description 3, if_tsresol 9 (nanoseconds), opt_endofopt 0
            options = self._option(2, f"net:[{namespace}]".encode())
            options += self._option(3, os.fsencode(self._names.of(namespace)))
            options += self._option(9, b"\x09") + self._option(0, b"")
            self._block(1, struct.pack("=HHI", _LINKTYPE, 0, _SNAPLEN) + options)
            self._interfaces[namespace] = len(self._interfaces)
        return self._interfaces[namespace]

    def write(self, namespace: int, datagrams: Datagrams, answers: Answers | None) -> None:
        del answers
        interface = self._interface(namespace)
        for time, sent, data in datagrams:
            packet = _cooked(namespace, sent, data)
            head = struct.pack("=IIIII", interface, time >> 32, time & 0xFFFFFFFF, len(packet), len(packet))
            self._block(6, head + packet + bytes(-len(packet) % 4))
        self._file.flush()


# ----------------------------------------------------------------------------------------------------------- text
class _Text:
    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._names = _Names()

    def write(self, namespace: int, datagrams: Datagrams, answers: Answers | None) -> None:
        where = f"net:[{namespace}] {self._names.of(namespace)}".rstrip()
        sent = [data for _, sent, data in datagrams if sent]
        heard = [data for _, sent, data in datagrams if not sent]
        messages = [message for data in sent for message in _messages(data)]
        time = datetime.fromtimestamp((datagrams[0][0] if datagrams else 0) / 1e9, UTC)
        title = f"{time:%H:%M:%S.%f} {where}: {len(messages)} messages in {len(sent)} datagrams, "
        title += f"{sum(map(len, sent))} bytes; answers in {len(heard)} datagrams, {sum(map(len, heard))} bytes"
        lines = [title]
        for position, message in enumerate(messages):
            if answers is None:
                kind = _u16(message, 4)
                lines.append(f"    dump {_KINDS.get(kind & ~3, f'of type {kind}')}: {_heard(heard)}")
            else:
                lines.append(f"    {position}: {_line(message)}: {_outcome(answers, position)}")
        self._stream.write("\n".join(lines) + "\n")
        self._stream.flush()


def _line(message: bytes) -> str:
    batch = Batch()
    try:
        batch.append(message)
    except ValueError:  # a control message, or a dump: none that a batch holds
        return f"a message of type {_u16(message, 4)}"
    return batch.describe().partition(": ")[2]


def _outcome(answers: Answers, position: int) -> str:
    if position >= len(answers) or answers[position] == 0:
        return "done"
    if answers[position] == UNKNOWN:
        return "the answer was lost"
    error = answers.error(position)
    detail = ": ".join(part for part in (error.attribute, error.message) if part) if error else ""
    return os.strerror(answers[position]) + (f" ({detail})" if detail else "")


def _heard(datagrams: list[bytes]) -> str:
    counts: dict[str, int] = {}
    for data in datagrams:
        for message in _messages(data):
            kind = _u16(message, 4)
            name = _CONTROL.get(kind) or _KINDS.get(kind & ~3) or f"type {kind}"
            counts[name] = counts.get(name, 0) + 1
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "no answer"


def _messages(data: bytes) -> list[bytes]:
    """Cut a datagram into its messages; what is left of a bad one is none."""
    found = []
    at = 0
    while at + 16 <= len(data):
        size = struct.unpack_from("=I", data, at)[0]
        if not 16 <= size <= len(data) - at:
            break
        found.append(data[at : at + size])
        at += (size + 3) & ~3
    return found


def _u16(data: bytes, at: int) -> int:
    return int(struct.unpack_from("=H", data, at)[0])


class _Names:
    """What a namespace is called: ``host`` where we are ourselves, else the path that it is bound to."""

    def __init__(self) -> None:
        self._here = 0
        self._paths: dict[int, str] = {}

    def of(self, namespace: int) -> str:
        """Give a path, ``host``, or nothing where it has no name."""
        if not self._here:
            self._here = _inode("/proc/self/ns/net")  # not before: the process may have moved since
        if namespace == self._here:
            return "host"
        path = self._paths.get(namespace)
        # Inodes come back, so a name that was learnt is looked at again.
        if path is None or (path and _inode(path) != namespace):
            self._learn()
            path = self._paths.setdefault(namespace, "")
        return path

    def _learn(self) -> None:
        self._paths = {}
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
            for line in table:
                fields = line.split(" ")
                named = re.fullmatch(r"net:\[(\d+)\]", fields[3]) if len(fields) > 4 else None
                if named:
                    path = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
                    self._paths[int(named[1])] = path


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0


def _private(path: str, flags: int) -> int:
    """Open a file that, where it is made, is its user's alone: who talks to whom stands in it."""
    return os.open(path, flags | os.O_CLOEXEC, 0o600)

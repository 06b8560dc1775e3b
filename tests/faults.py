"""Faults on demand: at any message to the kernel, any namespace, any call of a driver, any report of progress.

A run of a scenario goes through a :class:`Wires`, which counts its events. A second run then has one
:class:`Fault` at one of the events. A message that is refused never reaches the kernel, and the others of its
batch do; the answer to one that is lost does not reach us, whether or not the kernel carried it out. And sending
itself may end in an exception, before it or after it.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from _fastnet.batch import Batch
from _fastnet.errors import NetlinkError
from driverapi import Driver, EndpointInfo, JoinInfo, _native, errors
from driverapi.api import Options
from driverapi.dataplane import linux  # noqa: F401  # all its modules are to be there before names are replaced
from driverapi.dataplane.forwarding import Forwarding

UNKNOWN = _native.UNKNOWN

_CREATE = 0x400  # NLM_F_CREATE
_NEW_LINK, _DEL_LINK, _NEW_ADDRESS, _NEW_ROUTE = 16, 17, 20, 24  # linux/rtnetlink.h: RTM_


@dataclass(frozen=True)
class Event:
    """Something that may fail: what it is, which of its sort, and in words.

    ``sort`` is message, make, open, drop, socket, switch, driver or progress.
    """

    sort: str
    number: int
    words: str
    header: tuple[int, int] = (0, 0)  # of a message: type and flags

    @property
    def verb(self) -> str:
        """What it has in common with others of its like."""
        return " ".join(word for word in self.words.split() if word.isalpha() and len(word) > 2)[:60]

    def faults(self) -> list[Fault]:
        """All that can go wrong with it."""
        if self.sort != "message":
            return _FAULTS[self.sort]
        type, flags = self.header
        numbers = [errno.ENOMEM]
        if type == _NEW_LINK and flags & _CREATE:
            numbers += [errno.EEXIST, errno.EBUSY, *([errno.EXFULL] if " veth " in self.words else [])]
        elif type in (_NEW_ADDRESS, _NEW_ROUTE):
            numbers += [errno.EEXIST]
        elif type == _NEW_LINK:
            numbers += [errno.ENODEV]
        elif type == _DEL_LINK:
            numbers += [errno.EBUSY]
        found = [Fault(f"refused with {errno.errorcode[number]}", errno=number) for number in numbers]
        found += [Fault("done, answer lost", lost=True, done=True), Fault("not done, answer lost", lost=True)]
        return [*found, *_STRUCK]


@dataclass(frozen=True)
class Fault:
    """What goes wrong at an event."""

    words: str
    errno: int = 0
    lost: bool = False
    done: bool = False
    error: type[BaseException] | None = None

    def make(self) -> BaseException:
        if self.error is None:
            return OSError(self.errno, os.strerror(self.errno))
        return self.error(self.words)


def _refusals(*numbers: int) -> list[Fault]:
    return [Fault(f"refused with {errno.errorcode[number]}", errno=number) for number in numbers]


def _raises(*kinds: type[BaseException]) -> list[Fault]:
    return [Fault(f"raises {kind.__name__}", error=kind) for kind in kinds]


_STRUCK = [  # with its whole batch: out of memory, or a second Ctrl-C, which is not held back
    Fault(f"{when} {kind.__name__}", done=done, error=kind)
    for when, done in (("not sent for", False), ("done, then", True))
    for kind in (MemoryError, KeyboardInterrupt)
]

_FAULTS: Mapping[str, list[Fault]] = {
    "make": _refusals(errno.EMFILE, errno.ENOSPC),
    "open": _refusals(errno.EMFILE, errno.ENOENT),
    "drop": _refusals(errno.EBUSY),
    "socket": _refusals(errno.EMFILE),
    "switch": _refusals(errno.ENOENT, errno.EMFILE),
    "driver": _raises(ZeroDivisionError, errors.ConflictError),
    "progress": _raises(ZeroDivisionError, KeyboardInterrupt),
}


class Said:
    """Answers to a batch as ``Answers`` has them, put together here."""

    def __init__(self, codes: list[int], faults: dict[int, NetlinkError], replies: list[bytes]) -> None:
        self.codes = codes
        self.faults = faults
        self._replies = replies

    def __len__(self) -> int:
        return len(self.codes)

    def __iter__(self) -> Iterator[int]:
        return iter(self.codes)

    def __getitem__(self, position: int) -> int:
        return self.codes[position]

    @property
    def ok(self) -> bool:
        return not any(self.codes)

    @property
    def failed(self) -> list[int]:
        return [position for position, code in enumerate(self.codes) if code > 0]

    @property
    def unknown(self) -> list[int]:
        return [position for position, code in enumerate(self.codes) if code == UNKNOWN]

    def error(self, position: int) -> NetlinkError | None:
        return self.faults.get(position)

    def replies(self) -> list[bytes]:
        return self._replies


class Wires:
    """Counts the events between this package and what can fail, and has a fault at one of them."""

    def __init__(self, at: Event | None = None, fault: Fault | None = None) -> None:
        self.at = at
        self.fault = fault
        self.events: list[Event] = []
        self.hit = False
        self.live = False
        self._counts: dict[str, int] = {}
        self._lock = threading.RLock()

    def count(self, sort: str, words: str, header: tuple[int, int] = (0, 0)) -> Fault | None:
        """Count an event; give the fault if it is to be had now."""
        with self._lock:
            if not self.live:
                return None
            number = self._counts.get(sort, 0)
            self._counts[sort] = number + 1
            self.events.append(Event(sort, number, words, header))
            if self.at is None or (self.at.sort, self.at.number) != (sort, number):
                return None
            self.hit = True
            return self.fault

    def step(self, sort: str, words: str) -> None:
        """Count an event that fails by raising."""
        fault = self.count(sort, words)
        if fault is not None:
            raise fault.make()

    @contextmanager
    def counting(self) -> Iterator[None]:
        """The events of a block count."""
        self.live = True
        try:
            yield
        finally:
            self.live = False

    # --- what stands in for the native names ------------------------------------------------------

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Stand in for what the dataplane takes from the native core, for the time of a block."""
        names: dict[str, Callable[..., Any]] = {
            "NetlinkSocket": self._socket,
            "execute_many": self._execute_many,
            "create_namespaces": self._make,
            "open_namespace": self._open,
            "drop_namespaces": self._drop,
            "socket_in": self._socket_in,
        }
        natives = {name: getattr(_native, name) for name in names}
        undo: list[tuple[Any, str, Any]] = []
        for module in [module for key, module in sys.modules.items() if key.startswith("driverapi.")]:
            for name, native in natives.items():
                if getattr(module, name, None) is native:
                    undo.append((module, name, native))
                    setattr(module, name, names[name])
        self._natives = natives
        switch_on = Forwarding.switch_on

        def switched(forwarding: Forwarding, device: str) -> None:
            self.step("switch", "force forwarding on")
            switch_on(forwarding, device)

        undo.append((Forwarding, "switch_on", switch_on))
        Forwarding.switch_on = switched  # type: ignore[method-assign]
        try:
            yield
        finally:
            for module, name, native in undo:
                setattr(module, name, native)

    def execute(self, socket: Any, batch: Batch) -> Any:
        """Execute a batch on a real socket, but for a message that a fault is for."""
        faults: dict[int, Fault] = {}
        for position in range(len(batch)):
            type, flags = struct.unpack_from("=HH", batch.message(position), 4)
            fault = self.count("message", batch.operation(position), (type, flags))
            if fault is not None:
                faults[position] = fault
        if not faults:
            return socket.execute(batch)
        for fault in faults.values():
            if fault.error is not None:
                if fault.error is KeyboardInterrupt and threading.current_thread() is not threading.main_thread():
                    return socket.execute(batch)  # no other thread gets signals
                if fault.done:
                    socket.execute(batch)
                raise fault.make()
        sent = Batch()
        positions = []
        for position in range(len(batch)):
            if position not in faults or faults[position].done:
                sent.append(batch.message(position))
                positions.append(position)
        codes, said = [0] * len(batch), {}
        replies: list[bytes] = []
        if positions:
            answers = socket.execute(sent)
            replies = answers.replies()
            for index, position in enumerate(positions):
                codes[position] = answers[index]
                error = answers.error(index)
                if error is not None:
                    said[position] = error
        for position, fault in faults.items():
            number = errno.ENOBUFS if fault.lost else fault.errno
            codes[position] = UNKNOWN if fault.lost else number
            said[position] = NetlinkError(number, batch.operation(position), index=position)
            replies = []
        return Said(codes, said, replies)

    def _execute_many(self, sockets: Sequence[Any], batches: Sequence[Batch]) -> list[Any]:
        pairs = zip(sockets, batches, strict=True)
        return [self.execute(getattr(socket, "real", socket), batch) for socket, batch in pairs]

    def _socket(self, *args: Any, **kwargs: Any) -> _Socket:
        return _Socket(self, self._natives["NetlinkSocket"](*args, **kwargs))

    def _make(self, paths: Sequence[str]) -> list[Any]:
        faults = [self.count("make", "make a namespace") for _ in paths]
        asked = [path for path, fault in zip(paths, faults, strict=True) if fault is None]
        made = iter(self._natives["create_namespaces"](asked))
        return [
            fault.make() if fault is not None else _namespace(self, next(made))
            for path, fault in zip(paths, faults, strict=True)
        ]

    def _open(self, path: str) -> Any:
        self.step("open", "open a namespace")
        return _namespace(self, self._natives["open_namespace"](path))

    def _drop(self, paths: Sequence[str]) -> list[Any]:
        faults = [self.count("drop", "drop a namespace") for _ in paths]
        asked = [path for path, fault in zip(paths, faults, strict=True) if fault is None]
        dropped = iter(self._natives["drop_namespaces"](asked))
        return [fault.make() if fault is not None else next(dropped) for fault in faults]

    def _socket_in(self, *args: Any) -> int:
        self.step("socket", "open a socket in a namespace")
        return int(self._natives["socket_in"](*args))

    def progress(self, done: int) -> None:
        """Be told of progress."""
        self.step("progress", "progress")


class _Through:
    """Passes on what it has no word about."""

    def __init__(self, wires: Wires, real: Any) -> None:
        self.wires = wires
        self.real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


class _Socket(_Through):
    def execute(self, batch: Batch) -> Any:
        return self.wires.execute(self.real, batch)

    def __enter__(self) -> _Socket:
        return self

    def __exit__(self, *_: object) -> None:
        self.real.close()


class _Namespace(_Through):
    @property
    def socket(self) -> _Socket:
        return _Socket(self.wires, self.real.socket)


def _namespace(wires: Wires, made: Any) -> Any:
    return made if isinstance(made, OSError) else _Namespace(wires, made)


class Books(Driver):
    """A driver around another that keeps count of what is owed: what it made, and who is in a sandbox.

    A call that raises has done nothing. What cannot be owed (a second ``leave``, say) is noted in ``wrong``.
    """

    def __init__(self, wires: Wires, inner: Driver) -> None:
        self.wires = wires
        self.inner = inner
        self.networks: set[str] = set()
        self.made: set[str] = set()
        self.inside: set[str] = set()
        self.wrong: list[str] = []
        self.requires_ipam = inner.requires_ipam
        self.host_sandbox = inner.host_sandbox
        if hasattr(inner, "network_plan"):
            self.network_plan = inner.network_plan

    def type(self) -> str:
        return self.inner.type()

    def _enter(self, book: set[str], id: str, verb: str) -> None:
        if id in book:
            self.wrong.append(f"{verb} twice")
        book.add(id)

    def _strike(self, book: set[str], id: str, verb: str) -> None:
        if id not in book:
            self.wrong.append(f"{verb} of what is not there")
        book.discard(id)

    def create_network(self, network_id: str, options: Options) -> None:
        self.wires.step("driver", "create_network")
        self._enter(self.networks, network_id, "create_network")
        self.inner.create_network(network_id, options)

    def delete_network(self, network_id: str) -> None:
        self.wires.step("driver", "delete_network")
        self.networks.discard(network_id)  # the inner driver knows an error for a second time
        self.inner.delete_network(network_id)

    def create_endpoint(self, network_id: str, endpoint_id: str, info: EndpointInfo, options: Options) -> None:
        self.wires.step("driver", "create_endpoint")
        self._enter(self.made, endpoint_id, "create_endpoint")
        self.inner.create_endpoint(network_id, endpoint_id, info, options)

    def delete_endpoint(self, network_id: str, endpoint_id: str) -> None:
        self.wires.step("driver", "delete_endpoint")
        if endpoint_id in self.inside:
            self.wrong.append("delete_endpoint before leave")
        self.made.discard(endpoint_id)
        self.inner.delete_endpoint(network_id, endpoint_id)

    def join(self, network_id: str, endpoint_id: str, sandbox_key: str, info: JoinInfo, options: Options) -> None:
        self.wires.step("driver", "join")
        self._enter(self.inside, endpoint_id, "join")
        self.inner.join(network_id, endpoint_id, sandbox_key, info, options)

    def leave(self, network_id: str, endpoint_id: str) -> None:
        self.wires.step("driver", "leave")
        self._strike(self.inside, endpoint_id, "leave")
        self.inner.leave(network_id, endpoint_id)

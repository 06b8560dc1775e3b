"""Ports of the host: which are published, which are free, and held so that nobody else takes them.

A published port is held by a socket that is bound to it and does nothing else: another process that binds it gets
``EADDRINUSE`` instead of connections that never come. That costs a descriptor for each (some 2 KB of kernel memory);
without (``hold=False``) the socket is closed again once it has shown that the port is free.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, islice
from typing import Final, final

from driverapi import errors
from driverapi._native import bind_ports, close_all
from driverapi.addresses import format_ip
from driverapi.plan import PROTOCOLS, PortMap, PortWish, ports_at

__all__ = ["HostPorts"]

_KINDS: Final = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM, "sctp": socket.SOCK_STREAM}
_ANY: Final = {4: bytes(4), 16: bytes(16)}
_ALL: Final = frozenset(_ANY.values())
_RANGE: Final = (32768, 60999)  # net.ipv4.ip_local_port_range by default
_EMPTY: Final[Mapping[int, int]] = {}
_ABSENT: Final = (errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT)

_NOT_OURS: Final = (
    "the host has no such address; use one of its own, or none for all of them (where it comes later, set sysctl "
    "net.ipv4.ip_nonlocal_bind=1, or net.ipv6.ip_nonlocal_bind=1, first)"
)

_Place = tuple[str, bytes]  # protocol, address of the host
_Range = tuple[int, int, frozenset[int]]  # first, last, and what of it is kept back


@final
class HostPorts:
    """The ports of one network namespace: that of the thread that makes it.

    Thread safety: all methods.
    """

    def __init__(self, *, hold: bool = True) -> None:
        self._hold = hold
        self._lock = threading.Lock()
        self._held: dict[_Place, dict[int, int]] = {}  # descriptors by port; 0: none
        # By protocol and bytes of an address: of how many single addresses a port is taken.
        self._single: dict[tuple[str, int], Counter[int]] = {}
        self._open: set[PortMap] = set()  # of sandboxes themselves
        self._next: dict[str, int] = {}  # by protocol: where to look for a free one
        self._home = os.stat("/proc/thread-self/ns/net").st_ino
        self._sysctl = -1
        with contextlib.suppress(OSError):  # an open directory stays that of the namespace
            self._sysctl = os.open("/proc/sys/net/ipv4", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Let go of all ports."""
        with self._lock:
            close_all([descriptor for place in self._held.values() for descriptor in place.values()])
            self._held.clear()
            self._single.clear()
            self._open.clear()
        if self._sysctl >= 0:
            os.close(self._sysctl)
            self._sysctl = -1

    def take(self, wishes: Iterable[PortWish]) -> list[PortMap]:
        """Take a port for each wish, all or none.

        Raises
        ------
        errors.PortTakenError, errors.PortsExhaustedError
            It is in use; all of the range are.
        errors.InvalidError
            The host has no such address.
        errors.KernelLimitError
            No descriptor is left to hold it with.
        """
        taken: list[PortMap] = []
        automatic: _Range | None = None
        self.check_place()
        with self._lock:
            try:
                for kind, some in groupby(wishes, _kind):
                    alike = list(some)
                    if kind is None:
                        taken += self._bind(ports_at(alike))
                        continue
                    first = alike[0]
                    if first.low:
                        among: _Range = (first.low, first.high, frozenset())
                    else:
                        among = automatic = automatic or self._automatic()
                    taken += self._choose(alike, among)
            except BaseException:
                self._release(taken)
                raise
        return taken

    def take_each(self, wishes: Sequence[Sequence[PortWish]]) -> list[list[PortMap] | Exception]:
        """Take ports for several who wish: for each what it got, or why it got none."""
        if len(wishes) > 1:  # together, as nearly always can be
            with contextlib.suppress(errors.DriverAPIError):
                taken = iter(self.take([wish for some in wishes for wish in some]))
                return [list(islice(taken, sum(len(wish.places) for wish in some))) for some in wishes]
        answers: list[list[PortMap] | Exception] = []
        try:
            for some in wishes:
                try:
                    answers.append(self.take(some))
                except errors.DriverAPIError as error:
                    answers.append(error)
        except BaseException:
            self.release(port for answer in answers if isinstance(answer, list) for port in answer)
            raise
        return answers

    def expect(self, port: PortMap) -> None:
        """Take a port at an address that the host does not have now: nobody can have it there, and nothing holds it.

        Raises
        ------
        errors.PortTakenError
            It is in the way of one that is published.
        """
        place = port.protocol, port.host
        with self._lock:
            if self._first_taken(place, [port.host_port]) is not None:
                raise _taken("published", *place, port.host_port)
            self._held.setdefault(place, {})[port.host_port] = 0
            self._single.setdefault((port.protocol, len(port.host)), Counter())[port.host_port] += 1

    def check_place(self) -> None:
        """See that the calling thread is in the network namespace that the ports are of.

        Raises
        ------
        errors.ConflictError
            It is elsewhere: what it would make would be made there.
        """
        if os.stat("/proc/thread-self/ns/net").st_ino != self._home:
            raise errors.ConflictError(
                "published ports and rules are made in the network namespace that the controller was made in, and "
                "this thread is in another: call it from a thread that is there"
            )

    def check_own(self, what: str, hosts: Iterable[bytes]) -> None:
        """See that addresses are the host's own, or that it may have them later (``ip_nonlocal_bind``).

        Raises
        ------
        errors.InvalidError
            One is not.
        """
        for host in hosts:
            self.check_place()
            family = socket.AF_INET if len(host) == 4 else socket.AF_INET6
            with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asking:
                try:
                    asking.bind((format_ip(host), 0))
                except OSError as error:
                    if error.errno not in (errno.EADDRNOTAVAIL, errno.EINVAL):
                        raise errors.KernelError(f"{what}: {error.strerror}", error.errno or 0) from error
                    raise errors.InvalidError(f"{what} {format_ip(host)}: {_NOT_OURS}") from error

    def release(self, ports: Iterable[PortMap]) -> None:
        """Let go of ports; those that are not taken are passed over."""
        with self._lock:
            self._release(ports)

    def _release(self, ports: Iterable[PortMap]) -> None:
        there = []
        for port in ports:
            if port.host != port.ip:
                there.append(port)
            else:
                self._open.discard(port)
        for place, numbers in _by_place(there):
            self._let_go(place, numbers)

    def _let_go(self, place: _Place, numbers: Iterable[int]) -> None:
        held = self._held.get(place)
        if held is None:
            return
        gone = {number: held.pop(number) for number in numbers if number in held}
        if not held:
            del self._held[place]
        protocol, host = place
        if host not in _ALL:
            single = self._single.get((protocol, len(host)), Counter())
            for number in gone:
                single[number] -= 1
                if single[number] <= 0:
                    del single[number]
        close_all(gone.values())

    def _choose(self, wishes: Sequence[PortWish], among: _Range) -> list[PortMap]:
        """Take the first ports of a range that are free, for wishes that are alike."""
        low, high, reserved = among
        protocol, places, _, wanted, _ = wishes[0]
        in_the_way = [one for host, ip in places if host != ip for one in self._in_the_way((protocol, host))]
        size = high - low + 1
        start = 0 if wanted else max(self._next.get(protocol, low) - low, 0) % size
        free = (
            number
            for step in range(size)
            if (number := low + (start + step) % size) not in reserved and not any(number in one for one in in_the_way)
        )
        refused: errors.DriverAPIError | None = None
        while len(chosen := list(islice(free, len(wishes)))) == len(wishes):
            try:
                ports = [port for wish, number in zip(wishes, chosen, strict=True) for port in wish.at(number)]
                self._bind(ports)
            except errors.PortTakenError as error:
                if len(wishes) > 1:  # somebody has one of them
                    return self._choose_apart(wishes, among)
                refused = error
                continue
            if not wanted:
                self._next[protocol] = chosen[-1] + 1
            return ports
        raise errors.PortsExhaustedError(
            f"ports {low}…{high}/{protocol} are all in use; unpublish some, or publish in another range"
        ) from refused

    def _choose_apart(self, wishes: Sequence[PortWish], among: _Range) -> list[PortMap]:
        half = len(wishes) // 2
        first = self._choose(wishes[:half], among)
        try:
            return first + self._choose(wishes[half:], among)
        except BaseException:
            self._release(first)
            raise

    def _in_the_way(self, place: _Place) -> tuple[Mapping[int, int], Mapping[int, int]]:
        """Return where ports are that we have taken: an address of the host's is in the way of all, and all of it."""
        protocol, host = place
        others = self._single.get((protocol, len(host)), _EMPTY)
        if host not in _ALL:
            others = self._held.get((protocol, _ANY[len(host)]), _EMPTY)
        return self._held.get(place, _EMPTY), others

    def _first_taken(self, place: _Place, numbers: Sequence[int]) -> int | None:
        """Return the first that we have taken, or that comes twice."""
        in_the_way = self._in_the_way(place)
        wanted = set(numbers)
        if len(wanted) == len(numbers) and all(one.keys().isdisjoint(wanted) for one in in_the_way):
            return None
        before: set[int] = set()
        for number in numbers:
            if number in before or any(number in one for one in in_the_way):
                return number
            before.add(number)
        return None

    def _bind(self, ports: list[PortMap]) -> list[PortMap]:
        """Take ports, all or none."""
        opened: list[PortMap] = []
        claimed: list[tuple[_Place, list[int]]] = []
        try:
            there = []
            for port in ports:
                protocol, host, number, ip, _ = port
                if host != ip:
                    there.append(port)
                elif port in self._open:
                    raise _taken("open", protocol, host, number)
                else:
                    opened.append(port)
                    self._open.add(port)
            for place, numbers in _by_place(there):
                taken = self._first_taken(place, numbers)
                if taken is not None:
                    raise _taken("published", *place, taken)
                claimed.append((place, numbers))
                self._hold_some(place, numbers)
        except BaseException:
            self._open.difference_update(opened)
            for place, numbers in claimed:
                self._let_go(place, numbers)
            raise
        return ports

    def _hold_some(self, place: _Place, numbers: list[int]) -> None:
        """Bind a socket to each port: to hold it, or to see that it is free."""
        protocol, host = place
        held = self._held.setdefault(place, {})
        held.update(dict.fromkeys(numbers, 0))
        if host not in _ALL:
            self._single.setdefault((protocol, len(host)), Counter()).update(numbers)
        family = socket.AF_INET if len(host) == 4 else socket.AF_INET6
        found, refused = bind_ports(family, _KINDS[protocol], PROTOCOLS[protocol], host, numbers, keep=self._hold)
        held.update(zip(numbers, found, strict=False))
        if refused in _ABSENT and not found:  # a kernel without the protocol has nobody who could take such a port
            self.check_own(f"ports of {protocol}", (host,) if host not in _ALL else ())
        elif refused:
            raise _refusal(protocol, host, numbers[len(found)], refused)

    def _automatic(self) -> _Range:
        """Return what the kernel gives to sockets by itself: first, last, and what of it is kept back."""
        low, high = _RANGE
        words = self._read("ip_local_port_range").split()
        if len(words) == 2:
            low, high = map(int, words)
        reserved: set[int] = set()
        for part in self._read("ip_local_reserved_ports").strip().split(","):
            first, _, last = part.partition("-")
            if first:
                reserved.update(range(int(first), int(last or first) + 1))
        return low, high, frozenset(reserved)

    def _read(self, name: str) -> str:
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._sysctl)
        except OSError:
            return ""
        try:
            return os.read(descriptor, 1 << 16).decode("ascii")
        finally:
            os.close(descriptor)


def _kind(wish: PortWish) -> object:
    """Return what wishes have in common that choose among the same ports; None for one that names its port."""
    protocol, places, _, low, high = wish
    if low == high and (low or all(host == ip for host, ip in places)):
        return None
    return protocol, low, high, [host == ip or host for host, ip in places]


def _by_place(ports: Iterable[PortMap]) -> Iterable[tuple[_Place, list[int]]]:
    found: dict[_Place, list[int]] = {}
    for protocol, host, number, _, _ in ports:
        found.setdefault((protocol, host), []).append(number)
    return found.items()


def _taken(state: str, protocol: str, host: bytes, number: int) -> errors.PortTakenError:
    return errors.PortTakenError(f"port {number}/{protocol} of {format_ip(host)} is {state} already; choose another")


def _refusal(protocol: str, host: bytes, port: int, number: int) -> errors.DriverAPIError:
    where = f"port {port}/{protocol} of {format_ip(host)}"
    if number == errno.EADDRINUSE:
        return errors.PortTakenError(f"{where} is in use by a process that is not ours; choose another, or end that")
    if number == errno.EADDRNOTAVAIL:
        return errors.InvalidError(f"{where}: {_NOT_OURS}")
    if number in (errno.EMFILE, errno.ENFILE):
        return errors.KernelLimitError(
            f"{where}: no descriptor is left to hold it with; raise the limit (ulimit -n), or use hold_ports=False",
            number,
        )
    if number == errno.EACCES:
        return errors.NoPermissionError(f"{where}: a port below 1024 needs CAP_NET_BIND_SERVICE", number)
    return errors.KernelError(f"{where}: {os.strerror(number)}", number)

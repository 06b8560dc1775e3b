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
from collections.abc import Iterable
from itertools import groupby
from typing import Final, final

from driverapi import errors
from driverapi._native import bind_ports, close_all
from driverapi.plan import PROTOCOLS, PortMap, PortWish

__all__ = ["HostPorts"]

_KINDS: Final = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM, "sctp": socket.SOCK_STREAM}
_ANY: Final = {4: bytes(4), 16: bytes(16)}
_ALL: Final = frozenset(_ANY.values())
_RANGE: Final = (32768, 60999)  # net.ipv4.ip_local_port_range by default
_ABSENT: Final = (errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT)

_Key = tuple[str, bytes, int]  # protocol, address of the host, port


@final
class HostPorts:
    """The ports of one network namespace: that of the thread that makes it.

    Thread safety: all methods.
    """

    def __init__(self, *, hold: bool = True) -> None:
        self._hold = hold
        self._lock = threading.Lock()
        self._held: dict[_Key, int] = {}  # descriptors; 0: none
        self._single: Counter[tuple[str, int, int]] = Counter()  # by protocol, bytes of an address, and port
        self._open: set[PortMap] = set()  # of sandboxes themselves
        self._next: dict[str, int] = {}  # by protocol: where to look for a free one
        self._home = os.stat("/proc/thread-self/ns/net").st_ino
        self._sysctl = -1
        with contextlib.suppress(OSError):  # an open directory stays that of the namespace
            self._sysctl = os.open("/proc/sys/net/ipv4", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Let go of all ports."""
        with self._lock:
            close_all(self._held.values())
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
        self.check_place()
        with self._lock:
            try:
                fixed: list[PortMap] = []  # those that are asked for by number are bound together
                for wish in wishes:
                    if wish.low == wish.high and (wish.low or all(host == ip for host, ip in wish.places)):
                        fixed += wish.at(wish.low)
                        continue
                    taken += self._bind(fixed)
                    fixed = []
                    taken += self._choose(wish)
                taken += self._bind(fixed)
            except BaseException:
                self._release(taken)
                raise
        return taken

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

    def release(self, ports: Iterable[PortMap]) -> None:
        """Let go of ports; those that are not taken are passed over."""
        with self._lock:
            self._release(ports)

    def _release(self, ports: Iterable[PortMap]) -> None:
        descriptors = []
        for port in ports:
            protocol, host, number, ip, _ = port
            if host == ip:
                self._open.discard(port)
                continue
            descriptor = self._held.pop((protocol, host, number), None)
            if descriptor is None:
                continue
            descriptors.append(descriptor)
            if host not in _ALL:
                self._single[protocol, len(host), number] -= 1
        close_all(descriptors)

    def _choose(self, wish: PortWish) -> list[PortMap]:
        low, high, reserved = (wish.low, wish.high, frozenset()) if wish.low else self._automatic()
        size = high - low + 1
        start = max(self._next.get(wish.protocol, low) - low, 0) % size if not wish.low else 0
        refused: errors.DriverAPIError | None = None
        for step in range(size):
            number = low + (start + step) % size
            ports = wish.at(number)
            if number in reserved or not all(self._is_free(port) for port in ports):
                continue
            try:
                self._bind(ports)
            except errors.PortTakenError as error:
                refused = error
                continue
            if not wish.low:
                self._next[wish.protocol] = number + 1
            return ports
        raise errors.PortsExhaustedError(
            f"ports {low}…{high}/{wish.protocol} are all in use; unpublish some, or publish in another range"
        ) from refused

    def _is_free(self, port: PortMap) -> bool:
        """Tell whether we have not taken a port: an address of the host's is in the way of all, and all of it."""
        protocol, host, number, ip, _ = port
        if host == ip:
            return port not in self._open
        if (protocol, host, number) in self._held:
            return False
        if host not in _ALL:
            return (protocol, _ANY[len(host)], number) not in self._held
        return not self._single.get((protocol, len(host), number))

    def _bind(self, ports: list[PortMap]) -> list[PortMap]:
        """Take ports, all or none."""
        claimed: list[PortMap] = []
        try:
            held, single = self._held, self._single
            for port in ports:
                protocol, host, number, ip, _ = port
                key = (protocol, host, number)
                every = host in _ALL
                # As _is_free, which a thousand ports would call a thousand times.
                if key in held or ((single or not every or host == ip) and not self._is_free(port)):
                    state = "open" if host == ip else "published"
                    what = f"port {number}/{protocol} of {port.host_address}"
                    raise errors.PortTakenError(f"{what} is {state} already; choose another")
                claimed.append(port)
                if host == ip:
                    self._open.add(port)
                    continue
                held[key] = 0
                if not every:
                    single[protocol, len(host), number] += 1
            for (protocol, host, direct), some in groupby(ports, _place):
                if not direct:
                    self._bind_some(protocol, host, list(some))
        except BaseException:
            self._release(claimed)
            raise
        return ports

    def _bind_some(self, protocol: str, host: bytes, ports: list[PortMap]) -> None:
        """Bind a socket to each port: to hold it, or to see that it is free."""
        family = socket.AF_INET if len(host) == 4 else socket.AF_INET6
        numbers = [port.host_port for port in ports]
        found, refused = bind_ports(family, _KINDS[protocol], PROTOCOLS[protocol], host, numbers, keep=self._hold)
        held = self._held
        for number, descriptor in zip(numbers, found, strict=False):
            held[protocol, host, number] = descriptor
        # A kernel without the protocol has nobody who could take such a port.
        if refused and not (refused in _ABSENT and not found):
            raise _refusal(ports[len(found)], refused)

    def _automatic(self) -> tuple[int, int, frozenset[int]]:
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


def _place(port: PortMap) -> tuple[str, bytes, bool]:
    return port.protocol, port.host, port.host == port.ip


def _refusal(port: PortMap, number: int) -> errors.DriverAPIError:
    where = f"port {port.host_port}/{port.protocol} of {port.host_address}"
    if number == errno.EADDRINUSE:
        return errors.PortTakenError(f"{where} is in use by a process that is not ours; choose another, or end that")
    if number == errno.EADDRNOTAVAIL:
        return errors.InvalidError(
            f"{where}: the host has no such address; use one of its own, or none for all of them"
        )
    if number in (errno.EMFILE, errno.ENFILE):
        return errors.KernelLimitError(
            f"{where}: no descriptor is left to hold it with; raise the limit (ulimit -n), or use hold_ports=False",
            number,
        )
    if number == errno.EACCES:
        return errors.NoPermissionError(f"{where}: a port below 1024 needs CAP_NET_BIND_SERVICE", number)
    return errors.KernelError(f"{where}: {os.strerror(number)}", number)

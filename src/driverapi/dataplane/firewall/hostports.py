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
from collections.abc import Iterable, Sequence
from typing import Final, final

from driverapi import errors
from driverapi.plan import PROTOCOLS, PortMap, PortWish

__all__ = ["HostPorts"]

_KINDS: Final = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM, "sctp": socket.SOCK_STREAM}
_ANY: Final = frozenset({bytes(4), bytes(16)})
_RANGE: Final = (32768, 60999)  # net.ipv4.ip_local_port_range by default

_Key = tuple[str, int, int]  # protocol, bytes of an address, port


@final
class HostPorts:
    """The ports of one network namespace: that of the thread that makes it.

    Thread safety: all methods.
    """

    def __init__(self, *, hold: bool = True) -> None:
        self._hold = hold
        self._lock = threading.Lock()
        self._taken: dict[_Key, dict[bytes, socket.socket | None]] = {}  # by the host's address
        self._open: set[PortMap] = set()  # of sandboxes themselves
        self._next: dict[str, int] = {}  # by protocol: where to look for a free one
        self._home = os.stat("/proc/thread-self/ns/net").st_ino
        self._sysctl = -1
        with contextlib.suppress(OSError):  # an open directory stays that of the namespace
            self._sysctl = os.open("/proc/sys/net/ipv4", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Let go of all ports."""
        with self._lock:
            for places in self._taken.values():
                for held in places.values():
                    if held is not None:
                        held.close()
            self._taken.clear()
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
                for wish in wishes:
                    taken += self._take(wish)
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
        for port in ports:
            self._open.discard(port)
            key = (port.protocol, len(port.host), port.host_port)
            places = self._taken.get(key)
            if places is None or port.host not in places:
                continue
            held = places.pop(port.host)
            if held is not None:
                held.close()
            if not places:
                del self._taken[key]

    def _take(self, wish: PortWish) -> list[PortMap]:
        if all(host == ip for host, ip in wish.places):
            return self._bind(wish, 0)
        if wish.low and wish.low == wish.high:
            return self._bind(wish, wish.low)
        low, high, reserved = (wish.low, wish.high, ()) if wish.low else self._automatic()
        size = high - low + 1
        start = max(self._next.get(wish.protocol, low) - low, 0) % size if not wish.low else 0
        refused: errors.DriverAPIError | None = None
        for step in range(size):
            number = low + (start + step) % size
            if number in reserved or any(
                host != ip and not self._is_free(wish.protocol, host, number) for host, ip in wish.places
            ):
                continue
            try:
                found = self._bind(wish, number)
            except errors.PortTakenError as error:
                refused = error
                continue
            if not wish.low:
                self._next[wish.protocol] = number + 1
            return found
        raise errors.PortsExhaustedError(
            f"ports {low}…{high}/{wish.protocol} are all in use; unpublish some, or publish in another range"
        ) from refused

    def _is_free(self, protocol: str, host: bytes, number: int) -> bool:
        """Tell whether we have not taken a port: an address of the host's is in the way of all, and all of it."""
        places = self._taken.get((protocol, len(host), number))
        return not places or not (host in _ANY or host in places or not _ANY.isdisjoint(places))

    def _bind(self, wish: PortWish, number: int) -> list[PortMap]:
        found: list[PortMap] = []
        try:
            for one in wish.at(number):
                if one.host == one.ip:
                    if one in self._open:
                        raise errors.PortTakenError(f"port {one.port}/{one.protocol} of {one.address} is open already")
                    self._open.add(one)
                    found.append(one)
                    continue
                if not self._is_free(one.protocol, one.host, number):
                    raise errors.PortTakenError(
                        f"port {number}/{one.protocol} of {one.host_address} is published already; choose another"
                    )
                held = self._socket(one)
                self._taken.setdefault((one.protocol, len(one.host), number), {})[one.host] = held
                found.append(one)
        except BaseException:
            self._release(found)
            raise
        return found

    def _socket(self, port: PortMap) -> socket.socket | None:
        """Bind a socket to a port: to hold it, or to see that it is free."""
        family = socket.AF_INET if len(port.host) == 4 else socket.AF_INET6
        made: socket.socket | None = None
        try:
            made = socket.socket(family, _KINDS[port.protocol] | socket.SOCK_CLOEXEC, PROTOCOLS[port.protocol])
            if family is socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.bind((socket.inet_ntop(family, port.host), port.host_port))
        except OSError as error:
            if made is not None:
                made.close()
            if made is None and error.errno in (errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT):
                return None  # a kernel without it has nobody who could take such a port
            raise _refusal(port, error) from error
        if self._hold:
            return made
        made.close()
        return None

    def _automatic(self) -> tuple[int, int, Sequence[int] | frozenset[int]]:
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


def _refusal(port: PortMap, error: OSError) -> errors.DriverAPIError:
    where = f"port {port.host_port}/{port.protocol} of {port.host_address}"
    if error.errno == errno.EADDRINUSE:
        return errors.PortTakenError(f"{where} is in use by a process that is not ours; choose another, or end that")
    if error.errno == errno.EADDRNOTAVAIL:
        return errors.InvalidError(
            f"{where}: the host has no such address; use one of its own, or none for all of them"
        )
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return errors.KernelLimitError(
            f"{where}: no descriptor is left to hold it with; raise the limit (ulimit -n), or use hold_ports=False",
            error.errno,
        )
    if error.errno == errno.EACCES:
        return errors.NoPermissionError(f"{where}: a port below 1024 needs CAP_NET_BIND_SERVICE", error.errno)
    return errors.KernelError(f"{where}: {error.strerror}", error.errno or 0)

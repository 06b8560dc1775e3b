"""Looks at sandboxes from inside, with nothing but the kernel's plain interfaces.

The same eyes for every contender: neither the native core nor a peer is used, so there is an
echo request here although :mod:`driverapi.pinger` has one, which needs the core. A private
thread walks from namespace to namespace; no other thread ever changes its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from driverapi.bench.task import WrongResultError

__all__ = ["check_sandboxes", "host_links", "wait_for_links"]

_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS = 0x8913
_SIOCGIFADDR = 0x8915
_IFF_UP = 1
_ECHO, _ECHO_REPLY = 8, 0
_ECHO6, _ECHO6_REPLY = 128, 129
_ATTEMPTS = 5  # on a busy machine a packet may be lost


def _enter(path: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(descriptor, _CLONE_NEWNET) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), path)
    finally:
        os.close(descriptor)


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def _ping(gateway: str, timeout: float) -> bool:
    """Send an echo request from the calling thread's namespace, a few times over, until a reply comes."""
    six = ":" in gateway
    family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if six else (socket.AF_INET, socket.IPPROTO_ICMP)
    mark = os.urandom(12)
    head = struct.pack("!BBHHH", _ECHO6 if six else _ECHO, 0, 0, 1, 1)
    if not six:  # in ICMPv6 the kernel fills the checksum in
        head = struct.pack("!BBHHH", _ECHO, 0, _checksum(head + mark), 1, 1)
    begin = time.monotonic()
    with socket.socket(family, socket.SOCK_RAW, protocol) as sock:
        for attempt in range(1, _ATTEMPTS + 1):
            # ENOBUFS and the like: the table of neighbours, shared by all namespaces, is full for the moment.
            with contextlib.suppress(OSError):
                sock.sendto(head + mark, (gateway, 0))
            while (left := begin + timeout * attempt / _ATTEMPTS - time.monotonic()) > 0:
                sock.settimeout(left)
                try:
                    packet = sock.recv(2048)
                except TimeoutError:
                    break
                body = packet if six else packet[(packet[0] & 15) * 4 :]
                if body[:1] == bytes([_ECHO6_REPLY if six else _ECHO_REPLY]) and body.endswith(mark):
                    return True
    return False


def _only_device() -> str:
    """Return the name of the link beside ``lo``, the first one's where there are more."""
    lines = Path("/proc/thread-self/net/dev").read_text().splitlines()[2:]
    names = [line.partition(":")[0].strip() for line in lines]
    return next((name for name in names if name != "lo"), "eth0")


def _faults(gateways: Sequence[str], address: str | None, device: str) -> list[str]:
    """Read back what the calling thread's namespace has; return what is missing."""
    faults = []
    device = device or _only_device()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for name in ("lo", device):
            request = struct.pack("16s24x", name.encode())
            try:
                flags = struct.unpack_from("16xH", fcntl.ioctl(sock, _SIOCGIFFLAGS, request))[0]
            except OSError as error:
                faults.append(f"{name}: {error.strerror}")
                continue
            if not flags & _IFF_UP:
                faults.append(f"{name} is down")
        try:
            answer = fcntl.ioctl(sock, _SIOCGIFADDR, struct.pack("16s24x", device.encode()))
            has = socket.inet_ntoa(answer[20:24])
            if address is not None and has != address:
                faults.append(f"{device} has {has}, not {address}")
        except OSError as error:
            faults.append(f"{device} has no address: {error.strerror}")
    for gateway in gateways:
        if ":" in gateway:
            zero, wanted = "0" * 32, socket.inet_pton(socket.AF_INET6, gateway).hex()
            lines = [line.split() for line in Path("/proc/thread-self/net/ipv6_route").read_text().splitlines()]
            found = any(one[:2] == [zero, "00"] and one[4] == wanted and one[9] == device for one in lines)
        else:
            wanted = socket.inet_aton(gateway)[::-1].hex().upper()
            lines = [line.split() for line in Path("/proc/thread-self/net/route").read_text().splitlines()]
            found = any(one[:3] == [device, "00000000", wanted] for one in lines)
        if not found:
            faults.append(f"no default route by {gateway}")
    return faults


def check_sandboxes(
    paths: Sequence[str],
    gateways: Sequence[str],
    *,
    addresses: Sequence[str] | None = None,
    device: str = "eth0",
    pings: int = 25,
    timeout: float = 5.0,
) -> None:
    """Read every sandbox back, and ping the gateways from some of them.

    Parameters
    ----------
    paths : sequence of str
        Of their namespaces.
    gateways : sequence of str
        One per family.
    addresses : sequence of str, optional
        The IPv4 address that each must have.
    device : str
        The link's name inside; empty where the contender takes names of its own: then it is the one beside ``lo``.
    pings : int
        From so many, evenly spread: each costs an entry on both sides in a table of
        neighbours that all namespaces share.
    timeout : float
        Seconds for a reply, in which the request is repeated.

    Raises
    ------
    WrongResultError
        Naming the first sandboxes that are not as they should be.
    """
    wrong: list[str] = []
    step = max(1, len(paths) // pings)

    def walk() -> None:
        for number, path in enumerate(paths):
            try:
                _enter(path)
                faults = _faults(gateways, addresses[number] if addresses else None, device)
                if number % step == 0 and not faults:
                    faults = [f"no answer from {one}" for one in gateways if not _ping(one, timeout)]
            except OSError as error:
                faults = [str(error)]
            wrong.extend(f"{path}: {fault}" for fault in faults)

    thread = threading.Thread(target=walk)
    thread.start()
    thread.join()
    if wrong:
        raise WrongResultError(f"{len(wrong)} faults: {'; '.join(wrong[:5])}")


def host_links() -> int:
    """Return how many links the calling process's namespace has."""
    return len(Path("/proc/self/net/dev").read_text().splitlines()) - 2


def wait_for_links(count: int, seconds: float = 120.0) -> None:
    """Wait until no more than ``count`` links are left on the host.

    Raises
    ------
    WrongResultError
        There are more after so many seconds.
    """
    deadline = time.monotonic() + seconds
    while (left := host_links()) > count:
        if time.monotonic() > deadline:
            raise WrongResultError(f"{left - count} links are left on the host after {seconds} seconds")
        time.sleep(0.001)

"""Namespaces for contenders that want them to exist, and how to see that dead ones are gone.

With nothing but the kernel's plain interfaces, as :mod:`~driverapi.bench.probe`: neither the native core
nor a peer is used.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from driverapi.bench import probe
from driverapi.bench.task import WrongResultError

__all__ = ["Sentinel", "drop_namespaces", "make_namespaces"]

_CLONE_NEWNET = 0x40000000
_MS_BIND = 0x1000
_MNT_DETACH = 2
_HERE = "/proc/thread-self/ns/net"
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1
# include/uapi/linux/rtnetlink.h, if_link.h, veth.h
_RTM_NEWLINK = 16
_REQUEST_ACK_CREATE_EXCL = 0x1 | 0x4 | 0x400 | 0x200
_IFLA_IFNAME = 3
_IFLA_LINKINFO = 18
_IFLA_NET_NS_FD = 28
_IFLA_NUM_TX_QUEUES, _IFLA_NUM_RX_QUEUES = 31, 32
_INFO_KIND, _INFO_DATA, _VETH_INFO_PEER = 1, 2, 1


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")


def _in_a_thread(work: Callable[[], None]) -> None:
    """Do it on a thread of its own, which ends: no other thread ever changes its namespace."""
    raised: list[BaseException] = []

    def do() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=do)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


def make_namespaces(paths: Sequence[str]) -> None:
    """Make network namespaces with ``lo`` up, each bound to a path."""

    def make() -> None:
        for path in paths:
            Path(path).touch(exist_ok=False)
            _call("unshare", _CLONE_NEWNET)
            _call("mount", _HERE.encode(), path.encode(), None, ctypes.c_ulong(_MS_BIND), None)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
                fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", _IFF_UP))

    _in_a_thread(make)


def drop_namespaces(paths: Sequence[str]) -> None:
    """Take the paths away, and with them the namespaces that nobody else holds."""
    for path in paths:
        _call("umount2", path.encode(), _MNT_DETACH)
        os.unlink(path)


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _veth(name: str, namespace: int) -> None:
    """Equivalent to: ``ip link add NAME type veth peer name eth0 netns …``, one queue at each end."""
    one = struct.pack("I", 1)
    queues = _attribute(_IFLA_NUM_TX_QUEUES, one) + _attribute(_IFLA_NUM_RX_QUEUES, one)
    peer = bytes(16) + _attribute(_IFLA_IFNAME, b"eth0\0")
    peer += _attribute(_IFLA_NET_NS_FD, struct.pack("I", namespace)) + queues
    info = _attribute(_INFO_KIND, b"veth\0") + _attribute(_INFO_DATA, _attribute(_VETH_INFO_PEER, peer))
    body = bytes(16) + _attribute(_IFLA_IFNAME, name.encode() + b"\0") + queues + _attribute(_IFLA_LINKINFO, info)
    head = struct.pack("IHHII", 16 + len(body), _RTM_NEWLINK, _REQUEST_ACK_CREATE_EXCL, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as route:
        route.send(head + body)
        error = -struct.unpack_from("i", route.recv(4096), 16)[0]
    if error:
        raise OSError(error, f"make the link {name}: {os.strerror(error)}")


class Sentinel:
    """A namespace with a link to the host, to be dropped last: when that link is gone, so are all dropped before.

    The kernel cleans dead namespaces up in their order, many in one pass, and says to nobody when it has done so.

    Thread safety: one thread at a time.
    """

    _made = 0

    def __init__(self) -> None:
        Sentinel._made += 1
        self._name = f"sentinel{Sentinel._made}"
        self._namespace = -1

        def make() -> None:
            _call("unshare", _CLONE_NEWNET)
            self._namespace = os.open(_HERE, os.O_RDONLY | os.O_CLOEXEC)

        _in_a_thread(make)
        try:
            _veth(self._name, self._namespace)
        except BaseException:
            os.close(self._namespace)
            raise

    def wait(self, links: int, seconds: float = 120.0) -> None:
        """Drop it, and wait until its link is gone and no more than ``links`` are left on the host.

        Raises
        ------
        WrongResultError
            There are more after so many seconds.
        """
        os.close(self._namespace)
        deadline = time.monotonic() + seconds
        while self._there() or probe.host_links() > links:
            if time.monotonic() > deadline:
                left = probe.host_links() - links
                raise WrongResultError(f"{left} links are left on the host after {seconds} seconds")
            time.sleep(0.0005)

    def _there(self) -> bool:
        try:
            socket.if_nametoindex(self._name)
        except OSError:
            return False
        return True

"""What is in the kernel: counted before and after, so that "nothing is left" is a proof.

All of it is cold: a few small dumps, by way of the kernel and not of what the package
believes. See ``rtnetlink(7)`` and ``linux/net_namespace.h`` (``RTM_GETNSID``).
"""

from __future__ import annotations

import os
import re
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from driverapi._native import NetlinkSocket

__all__ = ["Inventory", "Left", "dump_nsids", "namespace_mounts", "take_inventory", "unescaped", "wait_until_drained"]

_NLMSG_ERROR: Final = 2  # linux/netlink.h
_NLMSG_DONE: Final = 3
_NLM_F_REQUEST: Final = 0x01
_NLM_F_DUMP_INTR: Final = 0x10
_NLM_F_DUMP: Final = 0x300
_RTM_NEWNSID: Final = 88  # linux/rtnetlink.h
_RTM_GETNSID: Final = 90
_NETNSA_NSID: Final = 1  # linux/net_namespace.h

_HEADER: Final = struct.Struct("=IHHII")  # struct nlmsghdr
_ATTRIBUTE: Final = struct.Struct("=HH")  # struct nlattr
_GENERAL: Final = 4  # struct rtgenmsg, one byte, padded to NLMSG_ALIGNTO

_LOOPBACK: Final = 1  # LOOPBACK_IFINDEX of include/linux/netdevice.h


@dataclass(frozen=True, slots=True)
class Left:
    """Counts of what is there and was not there before.

    Attributes
    ----------
    links : int
        Links in the host's namespace.
    namespaces : int
        Namespaces: bound to a path, or alive in the kernel.
    addresses : int
        IP addresses in the host's namespace.
    """

    links: int
    namespaces: int
    addresses: int

    def __bool__(self) -> bool:
        """Tell whether anything is left."""
        return bool(self.links or self.namespaces or self.addresses)


@dataclass(frozen=True, slots=True)
class Inventory:
    """What one network namespace, seen as the host, and its peers hold at one moment.

    Attributes
    ----------
    links : frozenset of int
        Ifindexes.
    addresses : frozenset of (int, bytes, int)
        Ifindex, packed address, length of the prefix; those of ``lo`` are left out.
    nsids : frozenset of int
        Ids that the kernel holds for the namespaces alive at the other ends of links.
    mounts : frozenset of str
        Paths under the run directory that a namespace is bound to.
    """

    links: frozenset[int]
    addresses: frozenset[tuple[int, bytes, int]]
    nsids: frozenset[int]
    mounts: frozenset[str]

    def since(self, before: Inventory) -> Left:
        """Count what was not there before.

        A namespace that is bound to a path and has a link to the host shows twice, in
        ``mounts`` and in ``nsids``: the greater of the two counts is given.
        """
        return Left(
            len(self.links - before.links),
            max(len(self.mounts - before.mounts), len(self.nsids - before.nsids)),
            len(self.addresses - before.addresses),
        )


def take_inventory(run_dir: str) -> Inventory:
    """Look at the network namespace of the calling thread, and at the mounts under ``run_dir``.

    Raises
    ------
    OSError
        The kernel refused a dump.
    """
    with NetlinkSocket() as netlink:
        links = frozenset(link.index for link in netlink.dump_links())
        addresses = frozenset(
            (one.index, one.address, one.prefix) for one in netlink.dump_addresses() if one.index != _LOOPBACK
        )
    return Inventory(links, addresses, dump_nsids(), namespace_mounts(run_dir))


def wait_until_drained(before: Inventory, run_dir: str, timeout: float) -> Left:
    """Wait until nothing is left, or the time is up; return what is left then.

    The kernel takes a namespace and its links away some time after the last reference is gone.

    Parameters
    ----------
    timeout : float
        Seconds.
    """
    until = time.monotonic() + timeout
    pause = 0.002
    while (left := take_inventory(run_dir).since(before)) and time.monotonic() < until:
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return left


def namespace_mounts(run_dir: str) -> frozenset[str]:
    """Return the paths under a directory to which a namespace is bound, as ``mountinfo`` writes them."""
    under = "".join(f"\\{ord(char):03o}" if char in " \t\n\\" else char for char in run_dir.rstrip("/")) + "/"
    found = set()
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            fields = line.split()
            # proc(5): the fifth field is the mount point; after a lone dash comes the file system
            if fields[4].startswith(under) and fields[fields.index("-", 6) + 1] == "nsfs":
                found.add(fields[4])
    return frozenset(found)


def unescaped(path: str) -> str:
    """Return a path as it is, of one as ``mountinfo`` writes it."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), path)


def dump_nsids() -> frozenset[int]:
    """Return the ids of the peer namespaces that the kernel knows in the calling thread's namespace.

    An id is given when a link's other end is seen in another namespace, and taken back
    when that namespace begins to die.

    Raises
    ------
    OSError
        The kernel refused.
    """
    # Linux 6.18 ends this dump after its first buffer (rtnl_net_dumpid returns no length), which is a page for who has
    # never received, and then up to 32 KiB, some 1100 ids: so the first answer only makes room.
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as netlink:
        roomy = False
        while True:
            length = _HEADER.size + _GENERAL
            netlink.send(_HEADER.pack(length, _RTM_GETNSID, _NLM_F_REQUEST | _NLM_F_DUMP, 1, 0) + bytes(_GENERAL))
            found = _receive_nsids(netlink)
            if found is not None and roomy:
                return found
            roomy = True


def _receive_nsids(netlink: socket.socket) -> frozenset[int] | None:
    """Receive a whole dump; None where it changed under the kernel's hands and must be made again."""
    found: set[int] = set()
    torn = False
    while True:
        for kind, flags, body in _messages(netlink.recv(1 << 16)):
            torn = torn or bool(flags & _NLM_F_DUMP_INTR)
            if kind == _NLMSG_DONE:
                return None if torn else frozenset(found)
            if kind == _NLMSG_ERROR:
                number = -struct.unpack_from("=i", body)[0]
                raise OSError(number, f"list namespace ids: {os.strerror(number)}")
            if kind == _RTM_NEWNSID:
                found.update(_nsids_of(body))


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Split what was received into messages: type, flags, body."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, flags, _, _ = _HEADER.unpack_from(data, at)
        if not _HEADER.size <= length <= len(data) - at:
            raise OSError(f"netlink message of {length} bytes where {len(data) - at} are left")
        yield kind, flags, data[at + _HEADER.size : at + length]
        at += length + 3 & ~3


def _nsids_of(body: bytes) -> Iterator[int]:
    at = _GENERAL
    while at + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if not _ATTRIBUTE.size <= length <= len(body) - at:
            raise OSError(f"netlink attribute of {length} bytes where {len(body) - at} are left")
        if kind == _NETNSA_NSID and length == 8:
            yield struct.unpack_from("=i", body, at + 4)[0]
        at += length + 3 & ~3

"""Listens to the kernel for a :class:`driverapi.streams.hub.Hub`: links of the host, addresses that somebody else uses.

One thread, on sockets of its own in the host's namespace:

* rtnetlink multicast (``RTNLGRP_LINK``): links that are deleted, or lose their carrier. Of sandboxes whose namespaces
  have a number here (``NETLINK_LISTEN_ALL_NSID``), also ``RTNLGRP_IPV6_IFADDR``: addresses that failed duplicate
  address detection. Where the kernel's queue ran over (``ENOBUFS``), all links are looked at anew.
* two packet sockets, where they can be had: ARP (RFC 826), and IPv6 neighbour solicitations and advertisements (RFC
  4861), as they arrive at a bridge or at a routed endpoint's host end.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, final

from driverapi import errors
from driverapi._native import NetlinkError, socket_in
from driverapi.dataplane.failures import failure
from driverapi.dataplane.kernel import link
from driverapi.events import emit, of_fault

if TYPE_CHECKING:
    from driverapi.dataplane.kernel import Kernel
    from driverapi.streams.hub import Hub

__all__ = ["LinuxMonitor"]

# linux/rtnetlink.h, linux/netlink.h, linux/if_link.h, linux/if_addr.h
_NEWLINK, _DELLINK, _NEWADDR = 16, 17, 20
_RTNLGRP_LINK, _RTNLGRP_IPV6_IFADDR = 1, 9
_SOL_NETLINK, _LISTEN_ALL_NSID = 270, 8
_IFLA_IFNAME, _IFA_ADDRESS, _IFA_FLAGS = 3, 1, 8
_IFA_F_DADFAILED: Final = 0x08
_IFF_LOWER_UP: Final = 1 << 16
_SO_RCVBUFFORCE, _SO_ATTACH_FILTER = 33, 26
_ETH_P_ARP, _ETH_P_IPV6 = 0x0806, 0x86DD
_NLMSG: Final = struct.Struct("=IHHII")
_IFINFO: Final = struct.Struct("=BxHiII")
_IFADDR: Final = struct.Struct("=BBBBI")
_ATTRIBUTE: Final = struct.Struct("=HH")

ROOM: Final = 8 << 20
"""Bytes of messages that may wait: those of some ten thousand links."""

PIECE: Final = 1 << 16

PATIENCE: Final = 0.03
"""Seconds that a carrier may be away before it is told: a link that is deleted loses it first."""

# IPv6, next header ICMPv6, type 135 or 136: of a frame with its Ethernet header (BPF, linux/filter.h).
_NEIGHBOURS: Final = (
    (0x30, 0, 0, 20),  # ldb [20]
    (0x15, 0, 4, 58),  # jeq #58
    (0x30, 0, 0, 54),  # ldb [54]
    (0x35, 0, 2, 135),  # jge #135
    (0x25, 1, 0, 136),  # jgt #136
    (0x06, 0, 0, 0xFFFF),
    (0x06, 0, 0, 0),
)


STRANGE: Final = 1.0
"""Seconds for which a link at which no endpoints' packets arrive, the machine's own say, is not asked about again."""


@final
class LinuxMonitor:
    """Tells a hub what the kernel says, until it is closed.

    Raises
    ------
    errors.KernelError
        The socket could not be had.

    Notes
    -----
    Thread safety: ``close``.
    """

    def __init__(self, kernel: Kernel, hub: Hub) -> None:
        self._kernel = kernel
        self._hub = hub
        self._faint: dict[int, tuple[str, float]] = {}  # no carrier just now, and until when they wait
        self._indexes: dict[str, int] = {}  # of links where packets arrive, by name
        self._strangers: dict[str, float] = {}  # others, and until when they are not asked about again
        self._home = f"/proc/self/fd/{kernel.home}"
        with contextlib.ExitStack() as undo:
            try:
                self._links = undo.enter_context(self._open_links())
                self._arp = self._packets(_ETH_P_ARP)
                self._nd = self._packets(_ETH_P_IPV6)
                for one in (self._arp, self._nd):
                    if one is not None:
                        undo.enter_context(one)
                self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            except OSError as error:
                raise errors.KernelError(f"listen to links: {error.strerror}", error.errno or 0) from error
            undo.callback(os.close, self._stop)
            self._resync()  # what was not so before we listened
            self._thread = threading.Thread(target=self._run, name="driverapi-monitor", daemon=True)
            self._thread.start()
            self._opened = undo.pop_all()

    def close(self) -> None:
        """End the thread, and let the sockets go; from the thread itself, when it is through."""
        with contextlib.suppress(OSError):
            os.eventfd_write(self._stop, 1)
        if threading.current_thread() is not self._thread:
            self._thread.join()
            self._opened.close()

    # --- sockets ----------------------------------------------------------------------------------

    def _open_links(self) -> socket.socket:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        made = socket.socket(fileno=socket_in(self._home, socket.AF_NETLINK, kind, socket.NETLINK_ROUTE))
        try:
            _give_room(made)
            with contextlib.suppress(OSError):  # it takes CAP_NET_BROADCAST; without it sandboxes are not heard
                made.setsockopt(_SOL_NETLINK, _LISTEN_ALL_NSID, 1)
            made.bind((0, 1 << _RTNLGRP_LINK - 1 | 1 << _RTNLGRP_IPV6_IFADDR - 1))
        except BaseException:
            made.close()
            raise
        return made

    def _packets(self, protocol: int) -> socket.socket | None:
        """Open a packet socket; None where the process may not (it takes ``CAP_NET_RAW``)."""
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        try:
            made = socket.socket(fileno=socket_in(self._home, socket.AF_PACKET, kind, socket.htons(protocol)))
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT):
                return None
            raise
        try:
            if protocol == _ETH_P_IPV6:  # what came in before is looked at as closely
                _attach_filter(made)
        except BaseException:
            made.close()
            raise
        return made

    # --- the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._stop, select.POLLIN)
        poll.register(self._links, select.POLLIN)
        for one in (self._arp, self._nd):
            if one is not None:
                poll.register(one, select.POLLIN)
        stop, links = self._stop, self._links.fileno()
        while True:
            wait = min((until for _, until in self._faint.values()), default=None)
            timeout = None if wait is None else max(0, round((wait - time.monotonic()) * 1000) + 1)
            for descriptor, _ in poll.poll(timeout):
                if descriptor == stop:
                    return
                try:
                    if descriptor == links:
                        self._read_links()
                    else:
                        self._read_packets(descriptor)
                except (OSError, ValueError, struct.error, errors.DriverAPIError) as fault:
                    emit("stream.failed", **of_fault(fault))
                    if descriptor == links and isinstance(fault, OSError):
                        return
            self._tell_faint()

    def _read_links(self) -> None:
        while True:
            try:
                data, aside, _, _ = self._links.recvmsg(PIECE, socket.CMSG_SPACE(4))
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._resync()  # messages were lost: look at what there is
                continue
            here = not any(level == _SOL_NETLINK for level, _, _ in aside)
            nsid = -1 if here else struct.unpack("=i", aside[0][2][:4])[0]
            for kind, body in _messages(data):
                if kind == _NEWADDR:
                    self._take_address(body, nsid)
                elif here and kind in (_NEWLINK, _DELLINK):
                    self._take_link(kind, body)

    def _take_link(self, kind: int, body: memoryview) -> None:
        family, _, index, flags, _ = _IFINFO.unpack_from(body)
        if family or not (kind == _DELLINK or self._hub.knows(index)):  # family: a port left its bridge
            return
        name = _text(_attribute(body, _IFINFO.size, _IFLA_IFNAME))
        if kind == _DELLINK:
            self._indexes.pop(name, None)
            self._strangers.pop(name, None)
            self._faint.pop(index, None)
            self._hub.link_gone(index, name)
        elif flags & _IFF_LOWER_UP:
            self._faint.pop(index, None)
            self._hub.link_state(index, name, carrier=True)
        else:
            self._faint.setdefault(index, (name, time.monotonic() + PATIENCE))

    def _tell_faint(self) -> None:
        now = time.monotonic()
        for index, (name, until) in list(self._faint.items()):
            if until <= now:
                del self._faint[index]
                self._hub.link_state(index, name, carrier=False)

    def _take_address(self, body: memoryview, nsid: int) -> None:
        family, _, flags, _, _ = _IFADDR.unpack_from(body)
        long = _attribute(body, _IFADDR.size, _IFA_FLAGS)
        if long is not None:
            flags = struct.unpack("=I", long)[0]
        address = _attribute(body, _IFADDR.size, _IFA_ADDRESS)
        if flags & _IFA_F_DADFAILED and address is not None and nsid >= 0 and family == socket.AF_INET6:
            links = self._kernel.host.dump_links()
            self._hub.address_failed([one.index for one in links if one.link_netnsid == nsid], bytes(address))

    def _read_packets(self, descriptor: int) -> None:
        source = self._arp if self._arp is not None and descriptor == self._arp.fileno() else self._nd
        assert source is not None
        for _ in range(256):  # then others have their turn
            try:
                frame, (name, *_) = source.recvfrom(256)
            except BlockingIOError:
                return
            found = _arp(frame) if source is self._arp else _neighbour(frame)
            index = 0 if found is None else self._index_of(name)
            if found is not None and self._hub.is_place(index):
                self._hub.address_seen(index, *found)

    def _index_of(self, name: str) -> int:
        index = self._indexes.get(name)
        if index is not None or self._strangers.get(name, 0.0) > time.monotonic():
            return index or 0
        found = link(self._kernel.host, name=name)
        index = 0 if found is None else found.index
        if self._hub.is_place(index):
            self._indexes[name] = index
        else:  # it may become one
            self._strangers[name] = time.monotonic() + STRANGE
        return index

    def _resync(self) -> None:
        try:
            links = self._kernel.host.dump_links()
        except NetlinkError as error:
            raise failure("read the host's links", error) from error
        self._hub.resync({one.index: (one.name, bool(one.flags & _IFF_LOWER_UP)) for one in links})


def _give_room(made: socket.socket) -> None:
    for option in (_SO_RCVBUFFORCE, socket.SO_RCVBUF):  # the first is not bounded, and takes CAP_NET_ADMIN
        try:
            made.setsockopt(socket.SOL_SOCKET, option, ROOM)
        except PermissionError:
            continue
        return


def _attach_filter(made: socket.socket) -> None:
    code = b"".join(struct.pack("=HBBI", *one) for one in _NEIGHBOURS)
    held = ctypes.create_string_buffer(code, len(code))
    made.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(_NEIGHBOURS), ctypes.addressof(held)))


# --- bytes ------------------------------------------------------------------------------------------


def _messages(data: bytes) -> Iterator[tuple[int, memoryview]]:
    """Give kind and body of each message; what is cut short ends it."""
    view, at = memoryview(data), 0
    while at + _NLMSG.size <= len(view):
        length, kind, _, _, _ = _NLMSG.unpack_from(view, at)
        if length < _NLMSG.size or at + length > len(view):
            return
        yield kind, view[at + _NLMSG.size : at + length]
        at += length + 3 & ~3


def _attribute(body: memoryview, at: int, wanted: int) -> memoryview | None:
    while at + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if length < _ATTRIBUTE.size or at + length > len(body):
            return None
        if kind & 0x3FFF == wanted:
            return body[at + _ATTRIBUTE.size : at + length]
        at += length + 3 & ~3
    return None


def _text(value: memoryview | None) -> str:
    return "" if value is None else bytes(value).rstrip(b"\0").decode("utf-8", "replace")


def _arp(frame: bytes) -> tuple[bytes, bytes, str] | None:
    """Return who says that he has an address: the sender of ARP; of a probe (RFC 5227) the address that he wants."""
    if len(frame) < 42 or frame[14:20] != b"\0\1\x08\0\6\4":
        return None
    mac, sender, target = frame[22:28], frame[28:32], frame[38:42]
    return (sender if any(sender) else target), mac, "arp"


def _neighbour(frame: bytes) -> tuple[bytes, bytes, str] | None:
    """Return who says that he has an address, in an advertisement or a solicitation, or checks whether he may."""
    if len(frame) < 78 or frame[20] != 58 or frame[54] not in (135, 136):
        return None
    mac, source, target = frame[6:12], frame[22:38], frame[62:78]
    if frame[54] == 136:
        return target, mac, "nd"
    return (source if any(source) else target), mac, "nd"

"""Tables of nftables and elements of their sets as the kernel has them, without the ``nft`` program."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import Final

from driverapi.dataplane.firewall.ruleset import FAMILIES, TABLE_MARK

__all__ = ["PORT_SETS", "instance_of", "read_keys", "read_tables"]

PORT_SETS: Final = ("ports4", "ports6", "any4", "any6", "open4", "open6")
"""Sets and maps in which an element is a published port."""

# include/uapi/linux/netlink.h: NETLINK_NETFILTER, NLMSG_ERROR, NLMSG_DONE, NLM_F_REQUEST | NLM_F_DUMP, NLM_F_DUMP_INTR
_NETFILTER, _ERROR, _DONE, _DUMP, _TORN = 12, 2, 3, 0x301, 0x10
# include/uapi/linux/netfilter/nf_tables.h: NFT_MSG_GETTABLE, NFT_MSG_GETSETELEM; nfnetlink.h: NFNL_SUBSYS_NFTABLES
_SUBSYSTEM, _GETTABLE, _GETSETELEM = 10 << 8, 1, 13
# The same: NFTA_TABLE_NAME; NFTA_SET_ELEM_LIST_TABLE, _SET, _ELEMENTS; NFTA_LIST_ELEM; NFTA_SET_ELEM_KEY,
#     NFTA_DATA_VALUE
_NAME, _TABLE, _SET, _ELEMENTS, _ELEMENT, _KEY, _VALUE = 1, 1, 2, 3, 1, 1, 1

_HEADER: Final = struct.Struct("=IHHIIBBH")  # struct nlmsghdr, struct nfgenmsg
_PLAIN: Final = 16  # bytes of the former
_MOST: Final = 1 << 16  # bytes of an answer
_TRIES: Final = 10
_SECONDS: Final = 10.0  # the kernel answers at once


def read_tables() -> list[tuple[str, str]]:
    """Return family and name of each table of ours in the calling thread's network namespace, whosever it is.

    Raises
    ------
    OSError
        The kernel has no nf_tables (``EPROTONOSUPPORT``, ``EINVAL``), or refused (``EPERM``: it needs CAP_NET_ADMIN).
    """
    known = {number: family for family, number in FAMILIES.items()}
    found = []
    for number, attributes in _dump(_GETTABLE, 0, b""):  # NFPROTO_UNSPEC: all families
        name = dict(_attributes(attributes)).get(_NAME, b"").rstrip(b"\0").decode("ascii", "replace")
        if number in known and instance_of(name):
            found.append((known[number], name))
    return sorted(found)


def instance_of(table: str) -> str:
    """Return the id of the instance that a table is of by its name; empty of others' tables."""
    id = table.removeprefix(TABLE_MARK)
    return id if id != table and len(id) == 4 and not id.strip("0123456789abcdef") else ""


def read_keys(family: str, table: str, name: str) -> set[bytes]:
    """Return the keys of a set's elements; nothing where there is no such set.

    Raises
    ------
    OSError
        As :func:`read_tables`.
    """
    asked = _attribute(_TABLE, table.encode() + b"\0") + _attribute(_SET, name.encode() + b"\0")
    found: set[bytes] = set()
    try:
        for _, attributes in _dump(_GETSETELEM, FAMILIES[family], asked):
            for kind, elements in _attributes(attributes):
                if kind == _ELEMENTS:
                    found.update(_key(element) for kind, element in _attributes(elements) if kind == _ELEMENT)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
    return found


def _key(element: bytes) -> bytes:
    return dict(_attributes(dict(_attributes(element)).get(_KEY, b""))).get(_VALUE, b"")


def _dump(verb: int, family: int, attributes: bytes) -> list[tuple[int, bytes]]:
    """Dump; return family and attributes of each answer. What changes meanwhile is read again."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER) as asking:
        asking.settimeout(_SECONDS)
        for sequence in range(1, _TRIES + 1):
            size = _HEADER.size + len(attributes)
            asking.send(_HEADER.pack(size, _SUBSYSTEM | verb, _DUMP, sequence, 0, family, 0, 0) + attributes)
            found = _hear(asking, sequence)
            if found is not None:
                return found
    raise OSError(errno.EAGAIN, "the packet filter changes faster than it can be read")


def _hear(asking: socket.socket, sequence: int) -> list[tuple[int, bytes]] | None:
    found: list[tuple[int, bytes]] = []
    torn = False
    while True:
        data, at = asking.recv(_MOST), 0
        while at + _PLAIN <= len(data):
            size, kind, flags, of, _ = struct.unpack_from("=IHHII", data, at)
            if size < _PLAIN:
                raise OSError(errno.EBADMSG, "the packet filter's answer cannot be understood")
            body = data[at + _PLAIN : at + size]
            at += (size + 3) & ~3
            if of != sequence:
                continue
            torn = torn or bool(flags & _TORN)
            if kind in (_ERROR, _DONE):
                code = -struct.unpack_from("=i", body)[0] if len(body) >= 4 else 0
                if code == errno.EINTR:
                    torn = True
                elif code:
                    raise OSError(code, os.strerror(code))
                return None if torn else found
            found.append((body[0], body[4:]))


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        size, kind = struct.unpack_from("=HH", data, at)
        if size < 4:
            return
        yield kind & 0x3FFF, data[at + 4 : at + size]  # without NLA_F_NESTED, NLA_F_NET_BYTEORDER
        at += (size + 3) & ~3

"""What a message means: its head, and its attributes whatever their order; and what differs from iproute2 by design."""

from __future__ import annotations

import socket
import struct
from typing import Any

from _fastnet.batch import Batch

Tree = dict[int, Any]

LINKINFO, AF_SPEC, PROTINFO, INFO_DATA, INFO_SLAVE_DATA, VETH_PEER, RTA_METRICS = 18, 26, 12, 2, 5, 1, 8
VXLAN_LEARNING = 7
AF_BRIDGE = 7
HEADS = {
    **dict.fromkeys((16, 17, 19), "BxHiII"),
    **dict.fromkeys((20, 21), "BBBBI"),
    **dict.fromkeys((24, 25), "BBBBBBBBI"),
    **dict.fromkeys((28, 29), "BxxxiHBB"),
    **dict.fromkeys((32, 33), "BBBBBxxBI"),
}


def attributes(raw: bytes) -> list[tuple[int, bytes]]:
    found = []
    at = 0
    while at < len(raw):
        size, kind = struct.unpack_from("=HH", raw, at)
        assert 4 <= size <= len(raw) - at
        found.append((kind & 0x3FFF, raw[at + 4 : at + size]))
        at += (size + 3) & ~3
    return found


def tree(raw: bytes) -> Tree:
    made = dict(attributes(raw))
    assert len(made) == len(attributes(raw)), "an attribute stands twice"
    return made


def link(raw: bytes) -> Tree:
    made: Tree = tree(raw)
    if PROTINFO in made:
        made[PROTINFO] = tree(made[PROTINFO])
    if AF_SPEC in made:
        made[AF_SPEC] = {family: tree(inner) for family, inner in tree(made[AF_SPEC]).items()}
    if LINKINFO in made:
        info = made[LINKINFO] = tree(made[LINKINFO])
        for nest in INFO_DATA, INFO_SLAVE_DATA:
            if nest in info:
                info[nest] = tree(info[nest])
        if info.get(1, b"").rstrip(b"\0") == b"veth":
            peer = info[INFO_DATA][VETH_PEER]
            info[INFO_DATA] = struct.unpack_from("=BxHiII", peer), text(tree(peer[16:]), 3)
        text(info, 1)
        text(info, 4)
    return text(text(made, 3), 20)


def text(made: Tree, kind: int) -> Tree:
    """Some texts of iproute2's end in a NUL and some not: the kernel takes both."""
    if kind in made:
        made[kind] = made[kind].rstrip(b"\0")
    return made


def meaning(raw: bytes) -> tuple[int, int, tuple[int, ...], Tree]:
    """Give type, flags, head and attributes of a message, without what is only a manner of saying it."""
    size, kind, flags = struct.unpack_from("=IHH", raw)
    assert size == len(raw)
    head = list(struct.unpack_from("=" + HEADS[kind], raw, 16))
    rest = raw[16 + struct.calcsize("=" + HEADS[kind]) :]
    flags &= ~0x4  # who sends a batch asks for acknowledgements
    made: Tree
    if kind in (16, 17, 19):
        made = link(rest)
        # iproute2 changes a link by RTM_NEWLINK, which names nothing and makes nothing; we by RTM_SETLINK.
        if kind == 16 and not flags & 0x400:
            kind = 19
        # A link that is there has its index from iproute2, which looks names up; 29 asks for what to answer with.
        made.pop(29, None)
        info = made.get(LINKINFO, {})
        if info.get(1) == b"vxlan" and info[INFO_DATA].get(VXLAN_LEARNING) == b"\1":
            del info[INFO_DATA][VXLAN_LEARNING]  # the kernel's default, which iproute2 says for IPv6 only
        if INFO_SLAVE_DATA in info:
            # A port's kind: iproute2 says IFLA_INFO_KIND "bridge_slave" and the index, we IFLA_INFO_SLAVE_KIND
            # "bridge" and the name. The kernel reads the master's kind itself.
            made = {LINKINFO: {INFO_SLAVE_DATA: info[INFO_SLAVE_DATA]}}
            head[2] = 0
    elif kind in (20, 21):
        made = text(tree(rest), 3)
        # The flags of the head are the lower eight bits of IFA_FLAGS.
        bits = struct.unpack("=I", made.pop(8))[0] if 8 in made else head[2]
        assert head[2] in (0, bits & 0xFF)
        head[2] = bits
        if head[0] == socket.AF_INET6 and made.get(2) == made[1]:
            del made[2]  # IFA_LOCAL that is IFA_ADDRESS says nothing
    elif kind in (24, 25):
        made = tree(rest)
        if RTA_METRICS in made:
            made[RTA_METRICS] = tree(made[RTA_METRICS])
        # The table in the head, where it has room, or in an attribute.
        if 15 in made:
            (head[4],) = struct.unpack("=I", made.pop(15))
    elif kind in (28, 29):
        made = tree(rest)
        if kind == 29:
            head[2] = 0  # deleting, the kernel does not look at the state
        elif head[0] == AF_BRIDGE:
            head[2] = {0x40 | 0x02: 0x40, 0x80 | 0x40: 0x80}.get(head[2], head[2])  # the stronger one counts
    else:
        made = text(text(tree(rest), 3), 17)
        if 15 in made:
            (head[4],) = struct.unpack("=I", made.pop(15))
    return kind, flags, tuple(head), made


def ours(verb: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    batch = Batch()
    assert getattr(batch, verb)(*args, **kwargs) == 0
    return batch.message(0)

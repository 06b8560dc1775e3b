"""The parsers of dumps: hand-made messages, and bytes that lie."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from _fastnet import records

PARSERS: list[Callable[[bytes], list[Any]]] = [
    records.links,
    records.addresses,
    records.routes,
    records.neighbours,
]
NEWLINK, NEWADDR, NEWROUTE, NEWNEIGH = 16, 20, 24, 28


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def message(kind: int, head: bytes, *attributes: bytes) -> bytes:
    body = head + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), kind, 2, 1, 0) + body


def u32(value: int) -> bytes:
    return struct.pack("=I", value)


LINK = message(
    NEWLINK,
    struct.pack("=BBHiII", 0, 0, 1, 42, 0x1043, 0),
    attribute(3, b"dv1\0"),
    attribute(1, b"\2\0\0\0\0\1"),
    attribute(4, u32(1400)),
    attribute(10, u32(7)),
    attribute(27, u32(4000000000)),
    attribute(5, u32(43)),
    attribute(18 | 0x8000, attribute(1, b"veth\0") + attribute(2, attribute(1, b""))),
    attribute(999, b"unknown"),
)
BARE_LINK = message(NEWLINK, struct.pack("=BBHiII", 0, 0, 772, 1, 8, 0))
ADDRESS = message(
    NEWADDR,
    struct.pack("=BBBBI", 2, 24, 0x80, 0, 42),
    attribute(1, b"\x0a\0\0\2"),
    attribute(2, b"\x0a\0\0\1"),
    attribute(8, u32(0x280)),
)
ROUTE = message(
    NEWROUTE,
    struct.pack("=BBBBBBBBI", 2, 16, 0, 0, 254, 4, 253, 1, 0),
    attribute(1, b"\x0a\1\0\0"),
    attribute(5, b"\x0a\0\0\1"),
    attribute(4, u32(42)),
    attribute(6, u32(9)),
    attribute(15, u32(300)),
)
NEIGHBOUR = message(
    NEWNEIGH,
    struct.pack("=BBHiHBB", 10, 0, 0, 42, 0x80, 1, 1),
    attribute(1, b"\xfd" + bytes(15)),
    attribute(2, b"\2\0\0\0\0\1"),
)
EVERYTHING = LINK + ADDRESS + ROUTE + NEIGHBOUR


def test_link() -> None:
    link, bare = records.links(LINK + BARE_LINK)
    assert (link.index, link.name, link.kind, link.flags) == (42, "dv1", "veth", 0x1043)
    assert (link.mac, link.mtu, link.master) == (b"\2\0\0\0\0\1", 1400, 7)
    assert (link.group, link.link, link.up) == (4000000000, 43, True)
    assert (bare.index, bare.name, bare.kind, bare.mac) == (1, "", "", b"")
    assert (bare.mtu, bare.master, bare.group, bare.link, bare.up) == (0, 0, 0, 0, False)
    assert repr(link) == "<link 42 dv1 veth up>"


def test_address_is_the_local_one() -> None:
    (record,) = records.addresses(ADDRESS)
    assert (record.family, record.index, record.address) == (2, 42, b"\x0a\0\0\1")
    assert (record.prefix, record.flags, record.scope) == (24, 0x280, 0)


def test_route() -> None:
    (record,) = records.routes(ROUTE)
    assert (record.family, record.destination, record.prefix) == (2, b"\x0a\1\0\0", 16)
    assert (record.gateway, record.index, record.table) == (b"\x0a\0\0\1", 42, 300)
    assert (record.metric, record.scope, record.protocol) == (9, 253, 4)


def test_neighbour() -> None:
    (record,) = records.neighbours(NEIGHBOUR)
    assert (record.family, record.index, record.address) == (10, 42, b"\xfd" + bytes(15))
    assert (record.mac, record.state, record.flags) == (b"\2\0\0\0\0\1", 0x80, 1)


def test_records_cannot_be_written() -> None:
    with pytest.raises(AttributeError):
        records.links(LINK)[0].index = 3


def test_a_name_that_is_no_utf8_survives() -> None:
    raw = message(NEWLINK, struct.pack("=BBHiII", 0, 0, 1, 1, 0, 0), attribute(3, b"\xff\xfe\0"))
    assert records.links(raw)[0].name.encode("utf-8", "surrogateescape") == b"\xff\xfe"


@pytest.mark.parametrize("parse", PARSERS)
def test_messages_of_other_types_are_passed_over(parse: Callable[[bytes], list[Any]]) -> None:
    done = struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)
    assert len(parse(EVERYTHING + done)) == 1
    assert parse(b"") == parse(done) == []


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize("data", [None, "x", bytearray(LINK), memoryview(LINK)])
def test_bytes_are_wanted(parse: Callable[[Any], list[Any]], data: object) -> None:
    with pytest.raises(TypeError):
        parse(data)


WHOLE = [(records.links, LINK), (records.addresses, ADDRESS), (records.routes, ROUTE), (records.neighbours, NEIGHBOUR)]


@pytest.mark.parametrize(("parse", "raw"), WHOLE)
def test_every_cut_is_refused(parse: Callable[[bytes], list[Any]], raw: bytes) -> None:
    for size in range(1, len(raw)):
        with pytest.raises(ValueError, match="cut"):
            parse(raw[:size])


@pytest.mark.parametrize(("parse", "raw"), WHOLE)
def test_a_head_too_short_is_refused(parse: Callable[[bytes], list[Any]], raw: bytes) -> None:
    for size in range(16, 24):
        with pytest.raises(ValueError, match="too short"):
            parse(struct.pack("=I", size) + raw[4:size])


@pytest.mark.parametrize("size", [0, 1, 15, len(LINK) + 1, 2**31, 2**32 - 1])
def test_a_message_length_that_lies_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="lies"):
        records.links(u32(size) + LINK[4:])


@pytest.mark.parametrize("size", [0, 3, len(LINK) - 31, 0xFFFF])
def test_an_attribute_length_that_lies_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="lies"):
        records.links(LINK[:32] + struct.pack("=H", size) + LINK[34:])


def test_a_nested_length_that_lies_is_refused() -> None:
    head = struct.pack("=BBHiII", 0, 0, 1, 1, 0, 0)
    with pytest.raises(ValueError, match="lies"):
        records.links(message(NEWLINK, head, attribute(18, struct.pack("=HH", 12, 1) + b"veth")))


@pytest.mark.parametrize(("kind", "head", "number"), [(NEWLINK, 16, 4), (NEWADDR, 8, 8), (NEWROUTE, 12, 15)])
def test_a_number_too_short_is_refused(kind: int, head: int, number: int) -> None:
    raw = message(kind, bytes(head), attribute(number, b"\1\2"))
    with pytest.raises(ValueError, match="32-bit"):
        PARSERS[(kind - NEWLINK) // 4](raw)


@given(st.binary(max_size=400))
def test_random_bytes_never_crash(raw: bytes) -> None:
    for parse in PARSERS:
        try:
            parse(raw)
        except ValueError:
            continue


@given(st.data())
def test_flipped_bytes_never_crash(data: st.DataObject) -> None:
    raw = bytearray(EVERYTHING)
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    for parse in PARSERS:
        try:
            parse(bytes(raw))
        except ValueError:
            continue

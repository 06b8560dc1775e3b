"""The parsers of dumps: hand-made messages, and bytes that lie."""

from __future__ import annotations

import gc
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from _fastnet import records
from _fastnet.record import Record

PARSERS: list[Callable[[bytes], list[Any]]] = [
    records.links,
    records.addresses,
    records.routes,
    records.neighbours,
    records.rules,
]
NEWLINK, NEWADDR, NEWROUTE, NEWNEIGH, NEWRULE = 16, 20, 24, 28, 32


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
    attribute(
        18 | 0x8000,
        attribute(1, b"veth\0") + attribute(2, attribute(1, b"")) + attribute(4, b"bridge\0") + attribute(5, b"\1\2"),
    ),
    attribute(20, b"of web\0"),
    attribute(13, u32(1000)),
    attribute(16, b"\6"),
    attribute(33, b"\1"),
    attribute(37, u32(3)),
    attribute(23, bytes(range(200))),
    attribute(999, b"unknown"),
)
BARE_LINK = message(NEWLINK, struct.pack("=BBHiII", 0, 0, 772, 1, 8, 0))
ADDRESS = message(
    NEWADDR,
    struct.pack("=BBBBI", 2, 24, 0x80, 0, 42),
    attribute(1, b"\x0a\0\0\2"),
    attribute(2, b"\x0a\0\0\1"),
    attribute(3, b"dv1:1\0"),
    attribute(4, b"\x0a\0\0\xff"),
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
    attribute(7, b"\x0a\0\0\7"),
    attribute(30, u32(12)),
)
HOPS = message(
    NEWROUTE,
    struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 4, 0, 1, 0),
    attribute(
        9,
        struct.pack("=HBBi", 16, 0, 4, 42)
        + attribute(5, b"\x0a\0\0\1")
        + struct.pack("=HBBi", 30, 0, 0, 43)
        + attribute(18, b"\x0a\0\xfe\x80" + bytes(14)),
    ),
)
NEIGHBOUR = message(
    NEWNEIGH,
    struct.pack("=BBHiHBB", 10, 0, 0, 42, 0x80, 1, 1),
    attribute(1, b"\xfd" + bytes(15)),
    attribute(2, b"\2\0\0\0\0\1"),
    attribute(5, struct.pack("=H", 12)),
    attribute(7, u32(77)),
    attribute(9, u32(2)),
)
RULE = message(
    NEWRULE,
    struct.pack("=BBBBBBBBI", 2, 24, 16, 0, 252, 0, 0, 1, 2),
    attribute(1, b"\x0a\3\0\0"),
    attribute(2, b"\x0a\2\0\0"),
    attribute(3, b"eth0\0"),
    attribute(17, b"eth1\0"),
    attribute(6, u32(100)),
    attribute(10, u32(0xF0)),
    attribute(16, u32(0xFF)),
    attribute(15, u32(300)),
)
EVERYTHING = LINK + ADDRESS + ROUTE + NEIGHBOUR + RULE


def test_link() -> None:
    link, bare = records.links(LINK + BARE_LINK)
    assert (link.index, link.name, link.kind, link.flags) == (42, "dv1", "veth", 0x1043)
    assert (link.mac, link.mtu, link.master) == (b"\2\0\0\0\0\1", 1400, 7)
    assert (link.group, link.link, link.up) == (4000000000, 43, True)
    assert (bare.index, bare.name, bare.kind, bare.mac) == (1, "", "", b"")
    assert (bare.mtu, bare.master, bare.group, bare.link, bare.up) == (0, 0, 0, 0, False)
    assert repr(link) == "<link 42 dv1 veth up>"
    assert (link.type, link.alias, link.qlen, link.operstate, link.carrier) == (1, "of web", 1000, 6, True)
    assert (link.link_netnsid, link.kind_data) == (3, attribute(1, b""))
    assert (link.slave_kind, link.slave_data, link.stats64) == ("bridge", b"\1\2", bytes(range(200)))
    assert bare.stats64 == b""
    assert (bare.type, bare.alias, bare.qlen, bare.operstate, bare.carrier) == (772, "", 0, 0, False)
    assert (bare.link_netnsid, bare.kind_data, bare.slave_kind, bare.slave_data) == (-1, b"", "", b"")


def test_address_is_the_local_one() -> None:
    (record,) = records.addresses(ADDRESS)
    assert (record.family, record.index, record.address) == (2, 42, b"\x0a\0\0\1")
    assert (record.prefix, record.flags, record.scope) == (24, 0x280, 0)
    assert (record.peer, record.broadcast, record.label) == (b"\x0a\0\0\2", b"\x0a\0\0\xff", "dv1:1")
    assert repr(record) == "<address 10.0.0.1/24 of link 42>"


def test_an_address_that_is_not_local_and_flags_of_the_head() -> None:
    head = struct.pack("=BBBBI", 10, 64, 0x80, 253, 42)
    (record,) = records.addresses(message(NEWADDR, head, attribute(1, b"\xfd" + bytes(15))))
    assert (record.address, record.peer, record.flags, record.label) == (b"\xfd" + bytes(15),) * 2 + (0x80, "")


def test_route() -> None:
    (record,) = records.routes(ROUTE)
    assert (record.family, record.destination, record.prefix) == (2, b"\x0a\1\0\0", 16)
    assert (record.gateway, record.index, record.table) == (b"\x0a\0\0\1", 42, 300)
    assert (record.metric, record.scope, record.protocol) == (9, 253, 4)
    assert (record.type, record.source, record.nexthop_id, record.hops) == (1, b"\x0a\0\0\7", 12, ())
    assert repr(record) == "<route 10.1.0.0/16 table 300 on link 42>"


def test_a_route_of_several_hops() -> None:
    (record,) = records.routes(HOPS)
    assert record.hops == ((42, b"\x0a\0\0\1", 5), (43, b"\xfe\x80" + bytes(14), 1))
    assert (record.destination, record.table, record.index, record.gateway) == (b"", 254, 0, b"")
    assert repr(record) == "<route default table 254 on link 0>"


def test_a_gateway_of_the_other_family() -> None:
    head = struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 4, 0, 1, 0)
    (record,) = records.routes(message(NEWROUTE, head, attribute(18, b"\x0a\0\xfe\x80" + bytes(14))))
    assert record.gateway == b"\xfe\x80" + bytes(14)


@pytest.mark.parametrize("size", [0, 7, 45, 0xFFFF])
def test_a_hop_whose_length_lies_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="lies"):
        records.routes(HOPS[:32] + struct.pack("=H", size) + HOPS[34:])


def test_neighbour() -> None:
    (record,) = records.neighbours(NEIGHBOUR)
    assert (record.family, record.index, record.address) == (10, 42, b"\xfd" + bytes(15))
    assert (record.mac, record.state, record.flags) == (b"\2\0\0\0\0\1", 0x80, 1)
    assert (record.type, record.master, record.vlan, record.vni) == (1, 2, 12, 77)
    assert repr(record) == "<neighbour fd00:: lladdr 02:00:00:00:00:01 on link 42>"


def test_rule() -> None:
    (record,) = records.rules(RULE)
    assert (record.family, record.action, record.flags, record.priority, record.table) == (2, 1, 2, 100, 300)
    assert (record.destination, record.prefix) == (b"\x0a\3\0\0", 24)
    assert (record.source, record.source_prefix) == (b"\x0a\2\0\0", 16)
    assert (record.iif, record.oif, record.mark, record.mask) == ("eth0", "eth1", 0xF0, 0xFF)
    assert repr(record) == "<rule 100 table 300>"


RECORDS = [
    records.LinkRecord,
    records.AddressRecord,
    records.RouteRecord,
    records.NeighbourRecord,
    records.RuleRecord,
]


@pytest.mark.parametrize("kind", RECORDS)
def test_a_record_out_of_nothing_is_refused_or_empty(kind: type[Record]) -> None:
    with pytest.raises(TypeError, match="made out of"):
        kind()
    empty = kind.__new__(kind)
    for name, member in vars(kind).items():
        if not name.startswith("_") and hasattr(member, "__get__"):
            assert not getattr(empty, name) or (name, getattr(empty, name)) == ("link_netnsid", -1)
    assert repr(empty)


def test_a_record_outlives_the_list_and_the_bytes() -> None:
    link = records.links(bytes(bytearray(LINK)))[0]
    gc.collect()
    assert (link.name, link.mac) == ("dv1", b"\2\0\0\0\0\1")


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


WHOLE = [
    (records.links, LINK),
    (records.addresses, ADDRESS),
    (records.routes, ROUTE),
    (records.routes, HOPS),
    (records.neighbours, NEIGHBOUR),
    (records.rules, RULE),
]


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


@pytest.mark.parametrize(
    ("kind", "head", "number"),
    [
        (NEWLINK, 16, 4),
        (NEWADDR, 8, 8),
        (NEWROUTE, 12, 15),
        (NEWNEIGH, 12, 9),
        (NEWRULE, 12, 6),
    ],
)
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

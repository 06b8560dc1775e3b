"""Transactions of nftables' elements: against what ``nft`` sends, and against a slow encoder."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from _fastnet.nft import NftBatch
from _fastnet.portmaps import translations
from driverapi.dataplane.firewall.contents import Change, Contents

TABLE = "driverapi-1a2b"

# What nft 1.0.6 put into NFTA_SET_ELEM_LIST_ELEMENTS (strace -xx) for, with 7 an ifindex of a little-endian host:
#   add element inet driverapi-1a2b ports4 { 10.0.0.1 . tcp . 80 : 10.1.1.1 . 8080 }
#   add element inet driverapi-1a2b any4 { tcp . 80 : 10.1.1.1 . 8080, udp . 90 : 10.1.1.2 . 91 }
#   add element inet driverapi-1a2b links { 1 }
PORTS4 = "2800018014000180100001000a0000010600000000500000100002800c0001000a0101011f900000"
ANY4 = (
    "24000180100001800c00010006000000005000001000028"
    "00c0001000a0101011f900000"
    "24000280100001800c00010011000000005a000010000280"
    "0c0001000a010102005b0000"
)
LINKS = "100001800c0001800800010001000000"
# delete element inet driverapi-1a2b ours4 { 10.77.0.0/16 }
OURS4_GONE = "100001800c000180080001000a4d00001800028008000300000000010c000180080001000a4e0000"


def attributes(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while data:
        size, kind = struct.unpack_from("=HH", data)
        found.append((kind & 0x3FFF, data[4:size]))
        data = data[(size + 3) & ~3 :]
    return found


def elements(data: bytes) -> list[dict[int, Any]]:
    """Read NFTA_SET_ELEM_LIST_ELEMENTS; nft numbers them, which the kernel does not look at."""
    return [
        {kind: value if kind == 3 else attributes(value) for kind, value in attributes(element)}
        for _, element in attributes(data)
    ]


def messages(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """Read type, flags, sequence number and body of each message."""
    found = []
    while data:
        size, kind, flags, sequence, port = struct.unpack_from("=IHHII", data)
        assert port == 0
        found.append((kind, flags, sequence, data[16:size]))
        data = data[(size + 3) & ~3 :]
    return found


def port(ip: str, number: int) -> bytes:
    return bytes(map(int, ip.split("."))) + number.to_bytes(2, "big") + b"\0\0"


def lists_of(batch: NftBatch) -> list[tuple[int, bytes, list[dict[int, Any]]]]:
    found = []
    for kind, _, _, body in messages(batch.sealed(0))[1:-1]:
        assert body[:4] == b"\x01\0\0\0"
        held = dict(attributes(body[4:]))
        assert held[1] == TABLE.encode() + b"\0"
        found.append((kind, held[2], elements(held.get(3, b""))))
    return found


def test_it_sends_what_nft_sends() -> None:
    batch = NftBatch(TABLE)
    tcp, udp = bytes((6, 0, 0, 0)), bytes((17, 0, 0, 0))
    batch.add("ports4", bytes((10, 0, 0, 1)) + tcp + b"\0\x50\0\0", port("10.1.1.1", 8080), key_size=12)
    batch.add(
        "any4", tcp + b"\0\x50\0\0" + udp + b"\0\x5a\0\0", port("10.1.1.1", 8080) + port("10.1.1.2", 91), key_size=8
    )
    batch.add("links", b"\1\0\0\0", key_size=4)
    batch.delete("ours4", bytes((10, 77, 0, 0)), key_size=4)
    batch.delete("ours4", bytes((10, 78, 0, 0)), key_size=4, ends=True)
    gone = elements(bytes.fromhex(OURS4_GONE))
    assert lists_of(batch) == [
        (0xA0C, b"ports4\0", elements(bytes.fromhex(PORTS4))),
        (0xA0C, b"any4\0", elements(bytes.fromhex(ANY4))),
        (0xA0C, b"links\0", elements(bytes.fromhex(LINKS))),
        (0xA0E, b"ours4\0", gone[:1]),
        (0xA0E, b"ours4\0", gone[1:]),
    ]


def test_a_transaction_has_a_begin_and_an_end_and_one_answer() -> None:
    batch = NftBatch(TABLE)
    batch.flush("links")
    batch.add("links", b"\1\0\0\0", key_size=4)
    sealed = messages(batch.sealed(77))
    assert [(kind, flags, sequence) for kind, flags, sequence, _ in sealed] == [
        (0x10, 0x001, 77),
        (0xA0E, 0x001, 78),
        (0xA0C, 0x405, 79),
        (0x11, 0x001, 80),
    ]
    # struct nfgenmsg with res_id = htons(NFNL_SUBSYS_NFTABLES)
    assert sealed[0][3] == sealed[-1][3] == b"\0\0\0\x0a"
    assert messages(batch.sealed(77)) == sealed  # it can be sent again
    batch.clear()
    assert (len(batch), batch.nbytes) == (0, 0)
    batch.delete_table()
    kind, _, _, body = messages(batch.sealed(1))[1]
    assert (kind, attributes(body[4:])) == (0xA02, [(1, TABLE.encode() + b"\0")])


def pure(name: str, keys: list[bytes], data: list[bytes] | None, *, ends: bool, verb: int) -> list[bytes]:
    """The same messages, slowly: as many elements in each as 64 KB hold."""

    def attribute(kind: int, value: bytes) -> bytes:
        return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)

    made: list[bytes] = []
    held = b""

    def end() -> None:
        body = b"\x01\0\0\0" + attribute(1, TABLE.encode() + b"\0") + attribute(2, name.encode() + b"\0")
        made.append(body + attribute(0x8003, held))

    for position, key in enumerate(keys):
        inner = attribute(3, b"\0\0\0\1") if ends else b""
        inner += attribute(0x8001, attribute(1, key))
        if data is not None:
            inner += attribute(0x8002, attribute(1, data[position]))
        element = attribute(0x8001, inner)
        if 4 + len(held) + len(element) > 0xFFFF:
            end()
            held = b""
        held += element
    if keys:
        end()
    return made


@given(st.data(), st.integers(1, 64), st.integers(0, 64), st.integers(0, 2500), st.booleans(), st.booleans())
def test_against_a_slow_encoder(
    draw: st.DataObject, key_size: int, data_size: int, count: int, ends: bool, adding: bool
) -> None:
    seed = draw.draw(st.binary(min_size=1, max_size=8))
    keys = [(seed * 64 + bytes((i & 255, i >> 8)))[-key_size:] for i in range(count)]
    data = [(seed * 64)[: data_size - 1] + bytes((i & 255,)) for i in range(count)] if data_size else None
    batch = NftBatch(TABLE)
    verb = batch.add if adding else batch.delete
    given_data = None if data is None else b"".join(data)
    number = verb("any4", b"".join(keys), given_data, key_size=key_size, ends=ends)
    kind, flags = (0xA0C, 0x401) if adding else (0xA0E, 0x1)
    expected = pure("any4", keys, data, ends=ends, verb=kind)
    sealed = messages(batch.sealed(0))[1:-1]
    assert [body for *_, body in sealed] == expected
    assert number == len(batch) == len(expected)
    for position, (got, flag, sequence, _) in enumerate(sealed):
        last = position == len(sealed) - 1
        assert (got, flag, sequence) == (kind, flags | 4 * last, position + 1)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda batch: batch.add("x", b"123", key_size=2), ValueError),
        (lambda batch: batch.add("x", b"1234", b"123", key_size=2), ValueError),
        (lambda batch: batch.add("x", b"12", b"", key_size=2), ValueError),
        (lambda batch: batch.add("x", b"12", bytes(65), key_size=2), ValueError),
        (lambda batch: batch.add("x", b"12", key_size=0), ValueError),
        (lambda batch: batch.add("x", bytes(65), key_size=65), ValueError),
        (lambda batch: batch.add("", b"12", key_size=2), ValueError),
        (lambda batch: batch.add("x" * 256, b"12", key_size=2), ValueError),
        (lambda batch: batch.add("x\0", b"12", key_size=2), ValueError),
        (lambda batch: batch.add("x", "12", key_size=2), TypeError),
        (lambda batch: batch.add("x", b"12", 7, key_size=2), TypeError),
        (lambda batch: batch.add("x", b"12", key_size="2"), TypeError),
        (lambda batch: batch.add("x", b"12", key_size=2, ends=1), TypeError),
        (lambda batch: batch.add(7, b"12", key_size=2), TypeError),
        (lambda batch: batch.flush(""), ValueError),
        (lambda batch: batch.sealed(-1), ValueError),
        (lambda batch: NftBatch(""), ValueError),
        (lambda batch: NftBatch("x", 256), ValueError),
        (lambda batch: type(batch)(7), TypeError),
        (lambda batch: batch.__reduce__(), TypeError),
    ],
)
def test_bad_input_changes_nothing(call: Any, error: type[Exception]) -> None:
    batch = NftBatch(TABLE)
    batch.add("links", b"\1\0\0\0", key_size=4)
    before = batch.sealed(1)
    with pytest.raises(error):
        call(batch)
    assert batch.sealed(1) == before


NAMES = ("any4", "any6", "ports4", "ports6", "open4", "open6")
NUMBERS = {"tcp": 6, "udp": 17, "sctp": 132}
IPV4, IPV6 = (st.binary(min_size=size, max_size=size) for size in (4, 16))
NUMBER = st.integers(0, 65535)


def translated(port: tuple[str, bytes, int, bytes, int]) -> tuple[str, bytes, bytes]:
    """Say the same the slow way."""
    protocol, host, host_port, ip, number = port
    where = struct.pack("!B3xH2x", NUMBERS[protocol], host_port)
    family = 4 if len(host) == 4 else 6
    if host == ip:
        return f"open{family}", host + where, b""
    data = ip + struct.pack("!H2x", number)
    return (f"ports{family}", host + where, data) if any(host) else (f"any{family}", where, data)


@settings(max_examples=25)
@given(st.data())
def test_ports_are_packed_as_a_slow_way_does(data: st.DataObject) -> None:
    ports = []
    for _ in range(data.draw(st.integers(0, 20))):
        ips = data.draw(st.sampled_from((IPV4, IPV6)))
        ip = data.draw(ips)
        host = data.draw(st.sampled_from((ip, bytes(len(ip)), data.draw(ips))))
        ports.append((data.draw(st.sampled_from(sorted(NUMBERS))), host, data.draw(NUMBER), ip, data.draw(NUMBER)))
    expected: dict[str, dict[bytes, bytes]] = {}
    for name, key, datum in map(translated, ports):
        expected.setdefault(name, {})[key] = datum
    found = translations(ports, NUMBERS, NAMES)
    assert found == expected
    assert [list(found[name].items()) for name in found] == [list(expected[name].items()) for name in expected]


PORT = ("tcp", bytes(4), 80, bytes((10, 0, 0, 2)), 8080)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (((PORT,), NUMBERS, NAMES), TypeError),
        (([PORT], list(NUMBERS), NAMES), TypeError),
        (([PORT], NUMBERS, list(NAMES)), TypeError),
        (([PORT], NUMBERS, NAMES[:5]), ValueError),
        (([PORT[:4]], NUMBERS, NAMES), TypeError),
        (([["tcp"]], NUMBERS, NAMES), TypeError),
        (([("icmp", *PORT[1:])], NUMBERS, NAMES), KeyError),
        (([("tcp", "0.0.0.0", *PORT[2:])], NUMBERS, NAMES), TypeError),
        (([("tcp", bytes(5), *PORT[2:])], NUMBERS, NAMES), ValueError),
        (([(*PORT[:2], 65536, *PORT[3:])], NUMBERS, NAMES), ValueError),
        (([(*PORT[:3], bytes(17), 80)], NUMBERS, NAMES), ValueError),
        (([(*PORT[:4], -1)], NUMBERS, NAMES), ValueError),
        (([PORT], {"tcp": 256}, NAMES), ValueError),
    ],
)
def test_ports_that_are_none(arguments: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        translations(*arguments)


def test_what_is_not_there_is_not_taken_away() -> None:
    one, other = bytes(8), bytes([1] * 8)
    there = Contents()
    there.apply(Change((), {"any4": {one: b"x"}, "any6": {one: b"y"}}))
    assert there.known({"any4": {one: b"", other: b""}, "any6": {other: b""}}) == {"any4": {one: b""}}
    assert there.known({"any6": {one: b"y"}}) == {"any6": {one: b"y"}}

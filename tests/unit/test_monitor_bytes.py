"""What a monitor reads out of bytes: any bytes at all, and frames as they are on the wire."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from driverapi.dataplane.monitor import _arp, _attribute, _messages, _neighbour, _text

MAC, OTHER = b"\2\0\0\0\0\7", b"\2\0\0\0\0\x08"


def message(kind: int, body: bytes, length: int | None = None) -> bytes:
    size = 16 + len(body) if length is None else length
    return struct.pack("=IHHII", size, kind, 0, 0, 0) + body + bytes(-len(body) % 4)


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


@given(st.binary(max_size=400))
@example(message(16, b"", 0))
@example(message(16, b"", 15))
@example(message(16, b"", 2**32 - 1))
def test_any_bytes_come_to_an_end(data: bytes) -> None:
    total = 0
    for _, body in _messages(data):
        total += 16 + len(body)
        for at in (0, 8, 16):
            found = _attribute(body, at, 3)
            assert found is None or len(found) <= len(body)
            _text(found)
    assert total <= len(data)
    for frame in (data, b"\0" * 12 + b"\x08\x06\0\1\x08\0\6\4" + data):
        for read in (_arp, _neighbour):
            said = read(frame)
            assert said is None or (len(said[0]) in (4, 16) and len(said[1]) == 6)


def test_messages_and_attributes() -> None:
    first = attribute(1, b"abcde") + attribute(3 | 0x8000, b"eth0\0")
    data = message(16, first) + message(17, b"\1\2\3")
    (one, two) = [(kind, bytes(body)) for kind, body in _messages(data)]
    assert one == (16, first)
    assert two == (17, b"\1\2\3")
    assert _text(_attribute(memoryview(first), 0, 3)) == "eth0"
    assert _attribute(memoryview(first), 0, 2) is None
    assert _attribute(memoryview(b"\3\0\3\0"), 0, 3) is None  # shorter than itself
    assert _text(None) == ""


@pytest.mark.parametrize(
    ("sender", "target", "wanted"),
    [
        (b"\x0a\0\0\2", b"\x0a\0\0\1", b"\x0a\0\0\2"),
        (b"\x0a\0\0\2", b"\x0a\0\0\2", b"\x0a\0\0\2"),  # gratuitous
        (bytes(4), b"\x0a\0\0\3", b"\x0a\0\0\3"),  # a probe (RFC 5227, section 2.1.1)
    ],
)
def test_arp(sender: bytes, target: bytes, wanted: bytes) -> None:
    frame = b"\xff" * 6 + OTHER + b"\x08\x06" + b"\0\1\x08\0\6\4\0\1" + MAC + sender + bytes(6) + target
    assert _arp(frame) == (wanted, MAC, "arp")
    assert _arp(frame[:-1]) is None
    assert _arp(frame[:14] + b"\0\6" + frame[16:]) is None  # not of Ethernet


@pytest.mark.parametrize(
    ("kind", "source", "wanted"),
    [
        (136, b"\xfe\x80" + bytes(13) + b"\1", b"\xfd" + bytes(14) + b"\5"),
        (135, b"\xfd" + bytes(14) + b"\7", b"\xfd" + bytes(14) + b"\7"),
        (135, bytes(16), b"\xfd" + bytes(14) + b"\5"),  # whether it is a duplicate (RFC 4862, section 5.4.2)
    ],
)
def test_neighbours(kind: int, source: bytes, wanted: bytes) -> None:
    target = b"\xfd" + bytes(14) + b"\5"
    header = struct.pack("!IHBB", 6 << 28, 24, 58, 255) + source + b"\xff\2" + bytes(13) + b"\1"
    frame = b"\x33\x33\0\0\0\1" + MAC + b"\x86\xdd" + header + bytes([kind, 0, 0, 0, 0, 0, 0, 0]) + target
    assert _neighbour(frame) == (wanted, MAC, "nd")
    assert _neighbour(frame[:-1]) is None
    assert _neighbour(frame[:20] + b"\6" + frame[21:]) is None  # TCP
    assert _neighbour(frame[:54] + b"\x80" + frame[55:]) is None  # an echo request

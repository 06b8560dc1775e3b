"""IPPool as bytes and back."""

from __future__ import annotations

import random
import zlib
from typing import Any

import pytest

from _fastnet.bitmap import Bitmap
from _fastnet.errors import Excluded, SnapshotError
from _fastnet.ippool import IPPool


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("prefix", "options"),
    [
        ("10.0.0.0/16", {}),
        ("10.0.0.4/31", {}),
        ("10.0.0.4/32", {}),
        ("fd00::/64", {}),
        ("fd00::/48", {"range": "fd00:0:0:5::/64"}),
        ("10.0.0.0/16", {"range": "10.0.8.0/24", "exclude": ["10.0.8.7", "10.0.1.0/24"]}),
        ("10.0.0.0/16", {"quarantine": 10}),
        ("fd00::/64", {"exclude": "fd00::/65", "quarantine": 25.5, "range": "fd00::-fd00::ffff:ffff:ffff:ffff"}),
    ],
)
def test_round_trip(prefix: str, options: dict[str, Any]) -> None:
    pool = IPPool(prefix, **options)
    given = list(pool.allocate_many(min(500, pool.size)))
    random.Random(3).shuffle(given)
    pool.release_many(given[: len(given) // 2])
    if prefix == "10.0.0.0/16":
        pool.reserve("10.0.77.7")
    back = IPPool.restore(pool.snapshot())
    for name in ("size", "free", "version", "prefix_length", "network", "quarantined"):
        assert getattr(back, name) == getattr(pool, name), name
    assert (repr(back), len(back)) == (repr(pool), len(pool))
    assert all(address in back for address in given[len(given) // 2 :])
    for _ in range(min(20, pool.free)):
        assert back.allocate() == pool.allocate()
    if "exclude" in options and prefix == "10.0.0.0/16":
        with pytest.raises(Excluded):
            back.reserve("10.0.1.9")


def test_quarantine_goes_on_where_it_was() -> None:
    clock, later = Clock(), Clock()
    pool = IPPool("10.0.0.0/29", quarantine=10, clock=clock)
    given = list(pool.allocate_many(6))
    for number in (4, 1, 3, 0):
        pool.release(given[number])
        clock.now += 2
    pool.reserve(given[3])
    later.now = 7000.0
    back = IPPool.restore(pool.snapshot(), clock=later)
    assert (back.quarantined, back.free, given[3] in back, given[4] in back) == (3, 3, True, False)
    later.now += 2
    assert back.quarantined == 2
    later.now += 5.5
    assert back.quarantined == 1
    assert back.snapshot() == IPPool.restore(back.snapshot(), clock=later).snapshot()
    assert [back.allocate() for _ in range(3)] == [given[1], given[4], given[0]]


def test_damage_is_refused() -> None:
    clock = Clock()
    pool = IPPool("10.0.0.0/24", range="10.0.0.64/26", exclude=["10.0.0.70"], quarantine=10, clock=clock)
    given = list(pool.allocate_many(9))
    pool.reserve("10.0.0.5")
    pool.release_many(given[:3])
    data = pool.snapshot()
    for size in range(len(data)):
        with pytest.raises(SnapshotError):
            IPPool.restore(data[:size])
    for at in range(len(data)):
        for bit in (1, 0x80):
            with pytest.raises(SnapshotError):
                IPPool.restore(data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :])
    with pytest.raises(SnapshotError):
        IPPool.restore(data + b"\0")
    assert IPPool.restore(bytearray(data)).snapshot()[:100] == data[:100]


def test_damage_with_a_good_checksum_is_refused_or_read() -> None:
    """Whoever computes the checksum anew gets a pool that holds together, or an error; never a crash."""
    pool = IPPool("10.0.0.0/24", range="10.0.0.64/26", exclude=["10.0.0.70"], quarantine=10)
    pool.release_many(list(pool.allocate_many(9))[:3])
    data = pool.snapshot()
    draw = random.Random(1)
    read = 0
    for _ in range(3000):
        changed = bytearray(data[:-4])
        for _ in range(draw.randrange(1, 4)):
            changed[draw.randrange(len(changed))] = draw.choice([0, 1, 2, 0x7F, 0xFF, draw.randrange(256)])
        try:
            back = IPPool.restore(bytes(changed) + zlib.crc32(changed).to_bytes(4, "little"))
        except SnapshotError:
            continue
        read += 1
        assert len(back) + back.free >= 0
        while back.free:
            back.allocate_many(min(back.free, 100))
    assert read > 0


@pytest.mark.parametrize("data", [b"", b"x", b"FNip", bytes(100), Bitmap(100).snapshot()])
def test_no_snapshot(data: bytes) -> None:
    with pytest.raises(SnapshotError):
        IPPool.restore(data)
    for bad in ("x", None, 5):
        with pytest.raises(TypeError):
            IPPool.restore(bad)  # type: ignore[arg-type]

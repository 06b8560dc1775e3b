"""MACPool: derived, drawn, given."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

from _fastnet.errors import NotTaken, OutOfRange, Taken
from _fastnet.macpool import MACPool


def test_derive() -> None:
    pool = MACPool()
    assert pool.derive(0x0A000001) == pool_mac("02:42:0a:00:00:01")
    assert pool.derive(b"\x0a\0\0\2") == pool_mac("02:42:0a:00:00:02")
    for again in (0x0A000001, b"\x0a\0\0\1"):
        with pytest.raises(Taken, match="02:42:0a:00:00:01"):
            pool.derive(again)
    assert len(pool) == 2
    assert "02:42:0A:00:00:01" in pool
    pool.release("02-42-0a-00-00-01")
    assert pool.derive(0x0A000001)


def pool_mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def test_draws_are_local_unicast_and_distinct() -> None:
    pool = MACPool(7)
    drawn = [pool.allocate() for _ in range(5000)] + [
        int.from_bytes(pool.allocate_packed(), "big") for _ in range(5000)
    ]
    assert len(set(drawn)) == len(pool) == 10_000
    assert {mac >> 40 for mac in drawn} == {2}
    assert 0x0242 not in {mac >> 32 for mac in drawn}
    # All 40 bits vary.
    for bit in range(40):
        assert 4500 < sum(mac >> bit & 1 for mac in drawn) < 5500


def test_draws_avoid_what_is_held() -> None:
    wanted = MACPool(3).allocate()
    pool = MACPool(3)
    pool.reserve(wanted)
    assert pool.allocate() != wanted


def test_seed() -> None:
    for seed in (0, 1, 2**64 - 1):
        first, second = MACPool(seed), MACPool(seed)
        assert [first.allocate() for _ in range(5)] == [second.allocate() for _ in range(5)]
    assert MACPool(1).allocate() != MACPool(2).allocate()
    assert MACPool().allocate() != MACPool(None).allocate()
    for bad in (-1, 2**64):
        with pytest.raises(OutOfRange):
            MACPool(bad)
    with pytest.raises(TypeError, match="seed"):
        MACPool("1")  # type: ignore[arg-type]


def test_given_ones_are_kept() -> None:
    pool = MACPool()
    pool.reserve("00:11:22:33:44:55")
    for form in (0x001122334455, b"\x00\x11\x22\x33\x44\x55", "00:11:22:33:44:55"):
        with pytest.raises(Taken):
            pool.reserve(form)
        assert form in pool
    pool.release(0x001122334455)
    with pytest.raises(NotTaken):
        pool.release(0x001122334455)


@pytest.mark.parametrize("mac", ["01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "33:33:00:00:00:01"])
def test_multicast_is_refused(mac: str) -> None:
    pool = MACPool()
    with pytest.raises(ValueError, match="multicast"):
        pool.reserve(mac)
    assert mac not in pool


def test_bad_macs() -> None:
    pool = MACPool()
    with pytest.raises(ValueError, match="00:00:00:00:00:00"):
        pool.reserve(0)
    methods: list[Callable[[Any], object]] = [pool.reserve, pool.release, pool.__contains__]
    for method in methods:
        for bad in (2**48, -1, 10**5000):
            with pytest.raises(OutOfRange):
                method(bad)
        for text in ("", "x", b"12345", b"1234567"):
            with pytest.raises(ValueError, match=r"MAC"):
                method(text)
        for other in (None, 1.0, bytearray(6)):
            with pytest.raises(TypeError, match="MAC"):
                method(other)
    for bad in (2**32, -1):
        with pytest.raises(OutOfRange):
            pool.derive(bad)
    with pytest.raises(ValueError, match="4 bytes"):
        pool.derive(bytes(6))
    with pytest.raises(TypeError, match="IPv4"):
        pool.derive("10.0.0.1")  # type: ignore[arg-type]
    assert len(pool) == 0


def test_memory() -> None:
    pool = MACPool(1)
    empty = pool.nbytes
    assert empty < 256
    for _ in range(12_289):
        pool.allocate()
    assert pool.nbytes - empty <= 21.4 * 12_289 + 64
    assert pool.__sizeof__() == pool.nbytes


def test_no_copies() -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(MACPool())
    assert repr(MACPool()) == "<MACPool: 0 held>"


def test_allocate_many() -> None:
    pool, other = MACPool(5), MACPool(5)
    drawn = pool.allocate_many(1000)
    assert list(drawn) == [other.allocate() for _ in range(1000)]
    assert len(pool) == len(set(drawn)) == 1000
    view = memoryview(drawn)
    assert (view.format, view.shape, view.strides, view.readonly) == ("B", (1000, 6), (6, 1), True)
    assert bytes(drawn) == b"".join(mac.to_bytes(6, "big") for mac in drawn)
    assert (drawn.packed(3), drawn.text(-1), drawn.version) == (
        drawn[3].to_bytes(6, "big"),
        drawn[999].to_bytes(6, "big").hex(":"),
        0,
    )
    assert (drawn.index(drawn[500]), drawn[0] in drawn, 5 in drawn, repr(drawn)) == (
        500,
        True,
        False,
        "<Addresses: 1000 of MAC>",
    )
    pool.release_many(drawn)
    assert len(pool) == 0
    assert len(pool.allocate_many(0)) == 0


def test_allocate_many_refused() -> None:
    pool = MACPool(1)
    for count, error in ((-1, ValueError), ("1", TypeError), (None, TypeError)):
        with pytest.raises(error):
            pool.allocate_many(count)  # type: ignore[arg-type]
    for count in (2**62, 2**63, 2**64, 2**64 // 6, 10**5000):
        with pytest.raises(MemoryError):
            pool.allocate_many(count)
    assert len(pool) == 0


def test_release_many() -> None:
    pool = MACPool(1)
    given = list(pool.allocate_many(100))
    for spoil, text in ((given[0], "twice"), (5, "not taken")):
        for chosen in ([*given, spoil], [spoil, *given]):
            with pytest.raises(NotTaken, match=text):
                pool.release_many(chosen)
            assert len(pool) == 100
            assert all(mac in pool for mac in given)
    for bad, error in (
        (["x"], ValueError),
        ([2**48], OutOfRange),
        ([None], TypeError),
        ("02:42:0a:00:00:01", TypeError),
        (b"123456", TypeError),
        (5, TypeError),
    ):
        with pytest.raises(error):
            pool.release_many(bad)  # type: ignore[arg-type]
        assert len(pool) == 100
    pool.release_many([given[0], given[1].to_bytes(6, "big"), given[2].to_bytes(6, "big").hex(":")])
    pool.release_many(mac for mac in given if mac in pool)
    assert len(pool) == 0

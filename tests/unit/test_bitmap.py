"""Bitmap: borders, bulk, memory, bad input."""

from __future__ import annotations

import array
import copy
import pickle
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from _fastnet.bitmap import Bitmap
from _fastnet.errors import Exhausted, NotTaken, OutOfRange, Taken
from _fastnet.ordinals import Ordinals


@pytest.mark.parametrize("size", [1, 2, 63, 64, 65, 511, 512, 513, 4095, 4096, 4097, 70000, 2**18])
def test_every_ordinal_once(size: int) -> None:
    bitmap = Bitmap(size)
    assert [bitmap.allocate() for _ in range(size)] == list(range(size))
    assert bitmap.free == 0
    assert len(bitmap) == size
    for method in (bitmap.allocate, bitmap.allocate_next, lambda: bitmap.allocate_many(1)):
        with pytest.raises(Exhausted):
            method()
    bitmap.release(size - 1)
    assert bitmap.allocate() == size - 1


@pytest.mark.parametrize("size", [1, 64, 65, 4097, 2**20, 2**20 + 1])
def test_whole_bitmap_at_once(size: int) -> None:
    bitmap = Bitmap(size)
    given = bitmap.allocate_many(size)
    assert memoryview(given).tolist() == list(range(size))
    bitmap.release_many(given)
    assert bitmap.free == size


def test_largest_size() -> None:
    bitmap = Bitmap(2**64)
    assert bitmap.size == bitmap.free == 2**64
    bitmap.reserve(2**64 - 1)
    assert 2**64 - 1 in bitmap
    assert 2**64 not in bitmap
    assert -1 not in bitmap
    with pytest.raises(Taken):
        bitmap.reserve(2**64 - 1)
    with pytest.raises(OutOfRange):
        bitmap.reserve(2**64)
    bitmap.release(2**64 - 1)
    assert bitmap.free == 2**64


@pytest.mark.parametrize("size", [0, -1, 2**64 + 1, pytest.param(10**5000, id="huge")])
def test_size_out_of_range(size: int) -> None:
    with pytest.raises(OutOfRange):
        Bitmap(size)


@pytest.mark.parametrize("size", ["8", 8.0, None, b"8"])
def test_size_of_another_type(size: object) -> None:
    with pytest.raises(TypeError, match="size must be an integer"):
        Bitmap(size)  # type: ignore[arg-type]


def test_serial_wraps_and_passes_what_is_taken() -> None:
    bitmap = Bitmap(5)
    assert [bitmap.allocate_next() for _ in range(3)] == [0, 1, 2]
    bitmap.release(0)
    assert bitmap.allocate_next() == 3
    bitmap.reserve(4)
    assert bitmap.allocate_next() == 0
    bitmap.release(2)
    bitmap.release(1)
    assert bitmap.allocate_next() == 1
    assert bitmap.allocate() == 2


def test_serial_window_in_a_huge_bitmap_stays_small() -> None:
    bitmap = Bitmap(2**64)
    held = [bitmap.allocate_next() for _ in range(100)]
    for wanted in range(100, 50_000):
        held.append(bitmap.allocate_next())
        assert held[-1] == wanted
        bitmap.release(held.pop(0))
    assert bitmap.nbytes < 2048


def test_serial_reaches_the_end_of_a_huge_bitmap() -> None:
    bitmap = Bitmap(2**64)
    far = Bitmap(2**40)
    far.reserve(2**40 - 1)
    assert far.allocate_next() == 0
    for ordinal in range(2**64 - 70, 2**64):
        bitmap.reserve(ordinal)
    assert bitmap.allocate() == 0
    assert bitmap.free == 2**64 - 71


def test_fresh_is_small_and_full_is_its_bits() -> None:
    for size in (1, 2**16, 2**32, 2**64):
        assert Bitmap(size).nbytes <= 400
        assert sys.getsizeof(Bitmap(size)) == Bitmap(size).nbytes
    full = Bitmap(2**20)
    full.allocate_many(2**20)
    assert full.nbytes <= 2**20 / 8 * 32 / 31 + 500
    full = Bitmap(2**24)
    full.allocate_many(2**24)
    assert full.nbytes <= 2_300_000


def test_far_reservations_are_bounded() -> None:
    bitmap = Bitmap(2**64)
    empty = bitmap.nbytes
    count = 10_000
    for i in range(count):
        bitmap.reserve(2**63 + i * 2**40)
    assert bitmap.nbytes - empty <= 43 * count + 128
    assert bitmap.allocate() == 0
    for i in range(count):
        bitmap.release(2**63 + i * 2**40)
    assert len(bitmap) == 1


def test_dense_region_reaches_out_only_where_it_pays() -> None:
    bitmap = Bitmap(2**32)
    bitmap.reserve(2**20)
    assert bitmap.nbytes < 1000
    bitmap.allocate_many(2**14)
    before = bitmap.nbytes
    bitmap.reserve(2**20 + 1)
    assert bitmap.nbytes > before + 2**20 // 8
    assert 2**20 in bitmap
    assert 2**20 + 1 in bitmap


def test_far_words_are_absorbed_and_skipped() -> None:
    bitmap = Bitmap(2**30)
    for ordinal in range(10_000, 10_200):
        bitmap.reserve(ordinal)
    given = list(bitmap.allocate_many(10_100))
    assert given == [*range(10_000), *range(10_200, 10_300)]


@pytest.mark.parametrize("short", [0, 1, 50, 99, 100])
def test_absorbed_words_count_as_taken(short: int) -> None:
    """A bulk allocation that just fits, or just does not, where far words come to lie."""
    bitmap = Bitmap(2**30)
    for ordinal in range(5000, 5100):
        bitmap.reserve(ordinal)
    given = list(bitmap.allocate_many(8192 - short))
    assert given == [*range(5000), *range(5100, 8192 + 100 - short)]
    assert len(bitmap) == 8192 + 100 - short


def test_many_is_all_or_nothing() -> None:
    bitmap = Bitmap(100)
    bitmap.reserve(7)
    for count in (100, 2**62, 2**64, 10**5000):
        with pytest.raises(Exhausted):
            bitmap.allocate_many(count)
    assert len(bitmap) == 1
    assert list(bitmap.allocate_many(0)) == []
    assert list(bitmap.allocate_many(99)) == [i for i in range(100) if i != 7]


@pytest.mark.parametrize("count", [2**60, 2**61, 2**64 - 1, 2**64])
def test_many_beyond_memory_changes_nothing(count: int) -> None:
    bitmap = Bitmap(2**64)
    before = bitmap.nbytes
    with pytest.raises(MemoryError):
        bitmap.allocate_many(count)
    assert bitmap.free == 2**64
    assert bitmap.nbytes == before
    with pytest.raises(Exhausted, match="551617 ordinals wanted"):
        bitmap.allocate_many(2**64 + 1)


def test_many_refuses_what_is_no_count() -> None:
    bitmap = Bitmap(10)
    with pytest.raises(ValueError, match="negative"):
        bitmap.allocate_many(-1)
    with pytest.raises(TypeError, match="count"):
        bitmap.allocate_many("1")  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", ["1", 1.0, None, b"1", [1]])
def test_ordinals_of_another_type(bad: object) -> None:
    bitmap = Bitmap(10)
    methods: list[Callable[[Any], object]] = [bitmap.reserve, bitmap.release, bitmap.__contains__]
    for method in methods:
        with pytest.raises(TypeError, match="ordinal must be an integer"):
            method(bad)
    assert bitmap.free == 10


@pytest.mark.parametrize("bad", [-1, 10, 2**64 - 1, 2**64, -(2**70), pytest.param(10**5000, id="huge")])
def test_ordinals_out_of_range(bad: int) -> None:
    bitmap = Bitmap(10)
    for method in (bitmap.reserve, bitmap.release):
        with pytest.raises(OutOfRange):
            method(bad)
    with pytest.raises(OutOfRange):
        bitmap.release_many([bad])
    assert bad not in bitmap
    assert bitmap.free == 10


def test_what_has_an_index_is_an_integer() -> None:
    class Index:
        def __index__(self) -> int:
            return 3

    bitmap = Bitmap(10)
    bitmap.reserve(Index())  # type: ignore[arg-type]
    assert 3 in bitmap
    bitmap.release_many([Index()])
    assert 3 not in bitmap


@pytest.mark.parametrize("code", list("bBhHiIlLqQ"))
def test_release_many_from_any_buffer(code: str) -> None:
    bitmap = Bitmap(1000)
    bitmap.allocate_many(100)
    bitmap.release_many(array.array(code, [5, 99, 0]))
    assert [i for i in range(100) if i not in bitmap] == [0, 5, 99]
    if code.islower():
        with pytest.raises(OutOfRange):
            bitmap.release_many(array.array(code, [6, -1]))
        assert 6 in bitmap


def test_release_many_refuses_other_buffers() -> None:
    bitmap = Bitmap(10)
    bitmap.reserve(1)
    with pytest.raises(TypeError, match="native integers"):
        bitmap.release_many(array.array("d", [1.0]))
    with pytest.raises(TypeError, match="one-dimensional"):
        bitmap.release_many(memoryview(bytes(4)).cast("B", (2, 2)))
    with pytest.raises(TypeError):
        bitmap.release_many(1)
    assert 1 in bitmap


def test_release_many_is_all_or_nothing() -> None:
    bitmap = Bitmap(2**40)
    bitmap.allocate_many(64)
    far = [2**39 + i * 1000 for i in range(20)]
    for ordinal in far:
        bitmap.reserve(ordinal)
    for bad, error in (([2**38], NotTaken), ([far[3]], NotTaken), ([2**40], OutOfRange)):
        with pytest.raises(error):
            bitmap.release_many([*range(64), *far, *bad])
        assert len(bitmap) == 84
        assert all(ordinal in bitmap for ordinal in far)
        with pytest.raises(OutOfRange, match="2000000000000"):
            bitmap.reserve(2000000000000)
    with pytest.raises(NotTaken, match="twice"):
        bitmap.release_many([3, 3])
    assert bitmap.allocate() == 64
    bitmap.release_many(iter([*range(65), *far]))
    assert len(bitmap) == 0


def test_release_many_reads_all_before_it_changes() -> None:
    bitmap = Bitmap(100)
    bitmap.allocate_many(3)

    def meddling() -> object:
        yield 0
        bitmap.release(1)
        yield 1

    with pytest.raises(NotTaken):
        bitmap.release_many(meddling())
    assert 0 in bitmap


def test_ordinals_are_a_sequence() -> None:
    bitmap = Bitmap(100)
    bitmap.reserve(1)
    given = bitmap.allocate_many(4)
    assert isinstance(given, Ordinals)
    assert isinstance(given, Sequence)
    assert list(given) == [0, 2, 3, 4]
    assert list(reversed(given)) == [4, 3, 2, 0]
    assert (given[0], given[-1], given[-4], len(given)) == (0, 4, 0, 4)
    assert (given.index(3), given.count(3), given.count(1), 2 in given, 1 in given) == (2, 1, 0, True, False)
    assert 2**64 not in given
    for position in (4, -5, 2**70):
        with pytest.raises(IndexError):
            given[position]
    with pytest.raises(TypeError):
        given[0:1]  # type: ignore[index]
    with pytest.raises(ValueError, match="not here"):
        given.index(1)
    assert sys.getsizeof(given) >= 32


def test_ordinals_are_a_read_only_buffer() -> None:
    given = Bitmap(100).allocate_many(3)
    view = memoryview(given)
    assert (view.format, view.shape, view.strides, view.itemsize, view.readonly) == ("Q", (3,), (8,), 8, True)
    assert view.c_contiguous
    del given
    assert view.tolist() == [0, 1, 2]
    assert bytes(Bitmap(9).allocate_many(2)) == array.array("Q", [0, 1]).tobytes()
    with pytest.raises(TypeError):
        view[0] = 1
    assert memoryview(Bitmap(1).allocate_many(0)).tolist() == []
    assert memoryview(Ordinals()).tolist() == []


@pytest.mark.parametrize("thing", [Bitmap(3), Bitmap(3).allocate_many(2)])
def test_no_copies(thing: object) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(thing, protocol)
    with pytest.raises(TypeError):
        copy.copy(thing)
    with pytest.raises(AttributeError):
        thing.new = 1  # type: ignore[attr-defined]


def test_truth_and_text() -> None:
    bitmap = Bitmap(2**64)
    assert not bitmap
    assert repr(bitmap) == "Bitmap(18446744073709551616)"
    bitmap.allocate()
    assert bitmap
    assert repr(bitmap.allocate_many(2)) == "<Ordinals: 2>"


def test_serial_begins_anew_after_the_last_one() -> None:
    bitmap = Bitmap(3)
    assert [bitmap.allocate_next() for _ in range(3)] == [0, 1, 2]
    bitmap.release(2)
    bitmap.release(0)
    assert bitmap.allocate_next() == 0


@pytest.mark.parametrize("ordinal", [5, 4095, 4096, 262_143, 262_144, 300_000, (1 << 20) - 1])
def test_serial_finds_the_only_free_one_through_all_levels(ordinal: int) -> None:
    bitmap = Bitmap(1 << 20)
    bitmap.allocate_many(1 << 20)
    bitmap.release(ordinal)
    assert bitmap.allocate_next() == ordinal
    assert bitmap.free == 0


def test_ranges_far_out_short_and_long() -> None:
    """A short range is looked up word by word, a long one by a walk over the table: the same answers."""
    base, step, count = 2**40, 1000, 3000
    bitmap = Bitmap(2**64)
    far = [base + step * number + number % 7 for number in range(count)]
    for ordinal in far:
        bitmap.reserve(ordinal)
    bitmap.reserve_range(base - 2**18, 2**12)
    taken = {*far, *range(base - 2**18, base - 2**18 + 2**12)}
    for first, length in [
        (base, 1),
        (base, 2),
        (base + 1, 999),
        (base + 1, 1001),
        (base + 63, 65_537),
        (base - 1, 2**18),
        (base - 2**18 + 5, 64),
        (base - 2**18 - 70, 200),
        (base - 2**18, 2**12 + 1),
        (base - 2**19, 2**21),
        (2**64 - 130, 130),
    ]:
        among = [ordinal for ordinal in sorted(taken) if first <= ordinal < first + length]
        assert bitmap.count_taken(first, length) == len(among), (first, length)
        if among:
            with pytest.raises(Taken, match=f"ordinal {among[0]} of "):
                bitmap.reserve_range(first, length)
        else:
            bitmap.reserve_range(first, length)
            bitmap.release_range(first, length)
    assert bitmap.count_taken(2**39, 2**64 - 2**39) == len(taken)
    assert len(bitmap) == len(taken)


@pytest.mark.parametrize("put", ["reserve", "reserve_range"])
def test_a_long_range_does_not_make_the_bitmap_grow(put: str) -> None:
    """What is taken again inside of it extends the dense region for its own sake only; found by the long model run."""
    bitmap = Bitmap(2**52)
    bitmap.reserve_range(0, 2**36)
    for ordinal in (4000, 500_000, 64_000_000, 8_000_000_000):
        bitmap.release(ordinal)
        bitmap.reserve(ordinal) if put == "reserve" else bitmap.reserve_range(ordinal, 1)
    assert bitmap.nbytes < 10_000
    assert bitmap.allocate() == 2**36
    assert bitmap.nbytes < 10_000
    assert bitmap.count_taken(0, 2**52) == len(bitmap) == 2**36 + 1


def test_ranges_one_after_the_other_do_not_make_the_bitmap_grow() -> None:
    bitmap = Bitmap(2**52)
    first = 0
    for length in (4096, 2**19, 2**26, 2**33):
        bitmap.reserve_range(first, length)
        first += length
    assert bitmap.nbytes < 10_000
    for _ in range(100):
        bitmap.release_range(0, 4096)
        bitmap.reserve_range(0, 4096)
    assert list(bitmap.allocate_many(5000)) == list(range(first, first + 5000))

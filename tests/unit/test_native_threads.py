"""The native pools and lists by many threads: what each class promises.

Where there is a GIL it shows what happens when a method gives it up, or calls back, half-way. Where there
is none each of these fails, in most runs, if the lock of a method is taken away: they are long enough for
threads to meet within a few nanoseconds.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

import pytest

from _fastnet.bitmap import Bitmap
from _fastnet.errors import Exhausted, NotTaken, Taken
from _fastnet.iflist import InterfaceList
from _fastnet.ippool import IPPool
from _fastnet.macpool import MACPool
from tests.support import at_once

THREADS = 8
ROWS = 20_000


@pytest.fixture(autouse=True)
def _often() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def results(answers: list[Any]) -> list[Any]:
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


@pytest.mark.parametrize("size", [2000, 2**64], ids=["dense", "far"])
def test_every_ordinal_to_one(size: int) -> None:
    """All verbs of a bitmap; far out, the threads' ordinals share leaves and nodes of the sparse tree."""
    bitmap = Bitmap(size)
    base = max(0, size - 2000)

    def take(draw: random.Random) -> list[int]:
        kind = draw.randrange(6)
        if kind == 0:
            return [bitmap.allocate(), bitmap.allocate_next()]
        if kind == 1:
            return list(bitmap.allocate_many(draw.randrange(40)))
        if kind == 2:
            first = bitmap.allocate_run(8, 8)
            return list(range(first, first + 8))
        if kind == 3:
            first, count = base + draw.randrange(1900), draw.randrange(1, 100)
            bitmap.reserve_range(first, count)
            return list(range(first, first + count))
        ordinal = base + draw.randrange(2000)
        bitmap.reserve(ordinal)
        return [ordinal]

    def work(number: int) -> set[int]:
        held: set[int] = set()
        draw = random.Random(number)
        for _ in range(3000):
            with suppress(Exhausted, Taken):
                held.update(take(draw))
            assert bitmap.count_taken(0, size) >= len(held)
            assert all(ordinal in bitmap for ordinal in islice(held, 5))
            if draw.random() < 0.3:
                bitmap.release_many([held.pop() for _ in range(len(held) // 2)])
            elif held:
                bitmap.release(held.pop())
            if draw.random() < 0.01:
                assert Bitmap.restore(bitmap.snapshot()).size == size
        return held

    together = [ordinal for held in results(at_once(work, THREADS)) for ordinal in held]
    assert len(together) == len(set(together)) == len(bitmap) == bitmap.count_taken(0, size)
    assert all(ordinal in bitmap for ordinal in together)
    bitmap.release_many(together)
    assert (len(bitmap), bitmap.free, bitmap.count_taken(0, size)) == (0, size, 0)
    assert list(bitmap.allocate_many(1000)) == list(range(1000))


@pytest.mark.parametrize("options", [{}, {"quarantine": 1e-6}, {"quarantine": 3600}, {"exclude": ["10.0.0.5"]}])
def test_every_address_to_one(options: dict[str, Any]) -> None:
    pool = IPPool("10.0.0.0/23", **options)

    def work(number: int) -> set[int]:
        held: set[int] = set()
        draw = random.Random(number)
        for _ in range(2000):
            try:
                if draw.random() < 0.5:
                    held.add(pool.allocate())
                elif draw.random() < 0.5:
                    held.update(pool.allocate_many(draw.randrange(20)))
                else:
                    address = pool.network + draw.randrange(1, 511)
                    pool.reserve(address)
                    held.add(address)
            except (Exhausted, Taken):
                pass
            if draw.random() < 0.3:
                gone = [held.pop() for _ in range(len(held) // 2)]
                pool.release_many(gone)
            elif held:
                pool.release(held.pop())
        return held

    answers = results(at_once(work, THREADS))
    together = [address for held in answers for address in held]
    assert len(together) == len(set(together)) == len(pool)
    assert pool.free == pool.size - len(pool)
    pool.release_many(together)
    assert sorted(pool.allocate_many(pool.size)) == [
        pool.network + number for number in range(1, 511) if number != 5 or "exclude" not in options
    ]


def test_one_release_wins() -> None:
    pool = IPPool("10.0.0.0/16", quarantine=3600)
    given = list(pool.allocate_many(20_000))

    def work(number: int) -> int:
        won = 0
        for address in random.Random(number).sample(given, len(given)):
            try:
                pool.release(address)
            except NotTaken:
                continue
            won += 1
        return won

    assert sum(results(at_once(work, THREADS))) == 20_000
    assert (len(pool), pool.quarantined) == (0, 20_000)


def test_rows_are_filled_once() -> None:
    interfaces, addresses, macs = InterfaceList(), IPPool("10.0.0.0/16"), MACPool(1)
    interfaces.extend(ROWS)

    def work(number: int) -> int:
        filled = 0
        for start in range(0, ROWS, 20):
            for pool in (addresses, macs) if number % 2 else (macs, addresses):
                try:
                    pool.fill(interfaces, start, 20)
                    filled += 1
                except Taken:
                    continue
        return filled

    assert sum(results(at_once(work, THREADS))) == ROWS // 10
    assert len(addresses) == len(macs) == ROWS
    assert (
        len({interfaces.ipv4(row) for row in range(ROWS)}) == len({interfaces.mac(row) for row in range(ROWS)}) == ROWS
    )

    def undo(number: int) -> int:
        return sum(
            addresses.drain(interfaces, start, 20) + macs.drain(interfaces, start, 20) for start in range(0, ROWS, 20)
        )

    assert sum(results(at_once(undo, THREADS))) == 2 * ROWS
    assert len(addresses) == len(macs) == 0


def test_a_list_that_grows_while_it_is_read() -> None:
    interfaces = InterfaceList()
    interfaces.append(2**20)  # rows in bulk go on from here, single ones below

    def work(number: int) -> list[int]:
        mine: list[int] = []
        for turn in range(400):
            try:
                first = interfaces.extend(3) if turn % 2 else interfaces.append(number * 1000 + turn)
            except BufferError:
                continue
            mine += range(first, first + (3 if turn % 2 else 1))
            if turn % 10 == 0:
                with interfaces.column("id") as view:
                    assert len(set(view.tolist())) == len(view)
        return mine

    answers = results(at_once(work, THREADS))
    together = sorted(row for mine in answers for row in mine)
    assert together == list(range(1, len(interfaces)))
    assert all(interfaces.find(interfaces.id(row)) == row for row in together)


def test_macs_of_their_own() -> None:
    pool = MACPool(1)

    def work(number: int) -> list[int]:
        held: list[int] = []
        for turn in range(2000):
            held += pool.allocate_many(5)
            held.append(pool.allocate())
            held.append(int.from_bytes(pool.derive(number << 16 | turn), "big"))
            pool.release_many(held[:3])
            del held[:3]
        return held

    together = [mac for held in results(at_once(work, THREADS)) for mac in held]
    assert len(together) == len(set(together)) == len(pool)

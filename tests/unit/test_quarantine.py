"""IPPool's quarantine: who waits, how long, and what it costs."""

from __future__ import annotations

import random
import time
from ipaddress import ip_address

import pytest

from _fastnet.errors import Exhausted, NotTaken, OutOfRange, Taken
from _fastnet.iflist import InterfaceList
from _fastnet.ippool import IPPool


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize("prefix", ["10.0.0.0/28", "fd00::/124"])
def test_waits_for_its_time(prefix: str, clock: Clock) -> None:
    pool = IPPool(prefix, quarantine=10, clock=clock)
    first, second = pool.allocate(), pool.allocate()
    pool.release(first)
    clock.now += 4
    pool.release(second)
    assert (pool.free, pool.quarantined, len(pool)) == (pool.size, 2, 0)
    assert first not in pool
    assert pool.allocate() == first + 2
    clock.now += 5.999
    assert pool.allocate() == first + 3
    clock.now += 0.001
    assert pool.allocate() == first
    assert pool.quarantined == 1
    clock.now += 4
    assert pool.quarantined == 0
    assert pool.allocate() == second


@pytest.mark.parametrize("method", ["allocate", "allocate_next"])
def test_when_there_is_no_other_in_order_of_release(method: str, clock: Clock) -> None:
    pool = IPPool("10.0.0.0/29", quarantine=10, clock=clock)
    given = list(pool.allocate_many(6))
    order = [given[number] for number in (3, 0, 5, 1)]
    for address in order:
        pool.release(address)
        clock.now += 0.5
    assert [getattr(pool, method)() for _ in order] == order
    with pytest.raises(Exhausted):
        pool.allocate()
    assert pool.free == pool.quarantined == 0


def test_in_bulk_the_longest_there_come_along(clock: Clock) -> None:
    pool = IPPool("10.0.0.0/28", quarantine=10, clock=clock)
    given = list(pool.allocate_many(12))
    pool.release_many([given[number] for number in (7, 2, 9, 4)])
    with pytest.raises(Exhausted, match="6 free"):
        pool.allocate_many(7)
    assert pool.quarantined == 4
    assert list(pool.allocate_many(4)) == [given[2], given[7], given[11] + 1, given[11] + 2]
    assert pool.quarantined == 2
    assert list(pool.allocate_many(2)) == [given[4], given[9]]


def test_a_wanted_one_is_given_at_once(clock: Clock) -> None:
    pool = IPPool("10.0.0.0/24", quarantine=10, clock=clock)
    address = pool.allocate()
    for _ in range(1000):
        pool.release(address)
        pool.reserve(address)
        with pytest.raises(Taken):
            pool.reserve(address)
    pool.release(address)
    clock.now += 9
    assert pool.allocate() != address
    clock.now += 1
    assert pool.allocate() == address
    # What it left in the queue on its way is gone with it.
    assert pool.nbytes < 12_000


def test_released_again_it_waits_anew(clock: Clock) -> None:
    """Its first place in the queue is due before: it must not set it free."""
    pool = IPPool("10.0.0.0/24", quarantine=10, clock=clock)
    first, second = pool.allocate(), pool.allocate()
    pool.release_many([first, second])
    clock.now += 5
    pool.reserve(first)
    pool.release(first)
    clock.now += 5
    assert pool.quarantined == 1
    assert pool.allocate() == second
    assert pool.allocate() == second + 1
    clock.now += 5
    assert pool.allocate() == first


def test_release_of_what_waits(clock: Clock) -> None:
    pool = IPPool("10.0.0.0/24", quarantine=10, clock=clock)
    first, second, third = pool.allocate_many(3)
    pool.release(second)
    for bad in ([first, second], [first, first], [first, third, third + 1]):
        with pytest.raises(NotTaken, match=r"not taken|twice"):
            pool.release_many(bad)
        assert (len(pool), pool.quarantined) == (2, 1)
    with pytest.raises(NotTaken, match=r"10\.0\.0\.2 is not taken"):
        pool.release(second)
    pool.release_many([third, first])
    assert [len(pool), pool.quarantined] == [0, 3]


def test_queue_of_many_chunks(clock: Clock) -> None:
    pool = IPPool("10.0.0.0/16", quarantine=10, clock=clock)
    given = list(pool.allocate_many(60_000))
    random.Random(5).shuffle(given)
    for start in range(0, 60_000, 1500):
        pool.release_many(given[start : start + 1500])
        clock.now += 0.01
    wanted = given[::3]
    for address in wanted:
        pool.reserve(address)
    assert pool.quarantined == 40_000
    left = [address for number, address in enumerate(given) if number % 3]
    fresh = pool.free - 40_000
    pool.allocate_many(fresh)
    assert [pool.allocate() for _ in range(30_000)] == left[:30_000]
    clock.now += 20
    assert pool.quarantined == 0
    assert list(pool.allocate_many(10_000)) == sorted(left[30_000:])
    assert pool.free == 0


@pytest.mark.parametrize("scattered", [False, True])
def test_memory(scattered: bool) -> None:
    count = 200_000
    plain, pool = IPPool("10.0.0.0/12"), IPPool("10.0.0.0/12", quarantine=3600)
    chosen = None
    for one in (plain, pool):
        given = list(one.allocate_many(count * 2))
        random.Random(1).shuffle(given)
        chosen = given[:count] if scattered else sorted(given)[:count]
        one.release_many(chosen)
    assert pool.quarantined == count
    assert pool.nbytes - plain.nbytes <= 24 * count
    for address in chosen[: count // 2]:
        pool.reserve(address)
    assert pool.nbytes - plain.nbytes <= 24 * count


def test_real_clock() -> None:
    pool = IPPool("10.0.0.0/24", quarantine=0.1)
    first = pool.allocate()
    pool.release(first)
    begun = time.monotonic()
    assert pool.allocate() == first + 1 or time.monotonic() - begun > 0.1
    while first not in pool:
        assert time.monotonic() - begun < 10
        time.sleep(0.01)
        pool.allocate()
    assert time.monotonic() - begun >= 0.1
    assert pool.quarantined == 0


def test_a_long_run_reads_the_clock_seldom_but_not_never() -> None:
    pool = IPPool("10.0.0.0/8", quarantine=0.05)
    first = pool.allocate()
    pool.release(first)
    for _ in range(3000):
        pool.allocate()
    time.sleep(0.1)
    assert first in pool or first in [pool.allocate() for _ in range(8)]
    # When nothing else is free it is read in any case.
    pool = IPPool("10.0.0.0/20", quarantine=3600)
    first = pool.allocate()
    pool.release(first)
    assert {pool.allocate() for _ in range(pool.size)} == {pool.network + number for number in range(1, 4095)}


def test_outside_of_the_range_there_is_no_quarantine(clock: Clock) -> None:
    pool = IPPool("10.0.0.0/24", range="10.0.0.128/25", quarantine=10, clock=clock)
    pool.reserve("10.0.0.5")
    pool.release("10.0.0.5")
    assert (pool.quarantined, "10.0.0.5" in pool) == (0, False)
    pool.reserve("10.0.0.200")
    pool.reserve("10.0.0.6")
    pool.release_many(["10.0.0.6", "10.0.0.200"])
    assert pool.quarantined == 1


def test_rows_drained_wait(clock: Clock) -> None:
    pool = IPPool("fd00::/64", quarantine=10, clock=clock)
    interfaces = InterfaceList()
    interfaces.extend(4)
    pool.fill(interfaces, 0, 4)
    assert pool.drain(interfaces, 1, 2) == 2
    assert pool.quarantined == 2
    pool.fill(interfaces, 1, 1)
    assert interfaces.ipv6(1) == ip_address("fd00::5").packed


@pytest.mark.parametrize("seconds", [-1, -0.001, float("nan"), float("inf"), 1e10])
def test_seconds_out_of_range(seconds: float) -> None:
    with pytest.raises(OutOfRange, match="quarantine"):
        IPPool("10.0.0.0/8", quarantine=seconds)


def test_bad_arguments(clock: Clock) -> None:
    for seconds in ("1", None, [1]):
        with pytest.raises(TypeError):
            IPPool("10.0.0.0/8", quarantine=seconds)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="clock"):
        IPPool("10.0.0.0/8", quarantine=1, clock=5)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [-1.0, float("nan"), 1e10, "x", None])
def test_a_clock_that_fails_changes_nothing(bad: object, clock: Clock) -> None:
    pool = IPPool("10.0.0.0/29", quarantine=10, clock=clock)
    given = list(pool.allocate_many(3))
    pool.release(given[0])
    good, clock.now = clock.now, bad  # type: ignore[assignment]
    for method in (
        pool.allocate,
        pool.allocate_next,
        lambda: pool.allocate_many(2),
        lambda: pool.release(given[1]),
        lambda: pool.release_many(given[1:]),
        lambda: pool.quarantined,
    ):
        with pytest.raises((OutOfRange, TypeError)):
            method()
    clock.now = good
    assert (len(pool), pool.quarantined, pool.free) == (2, 1, 4)


def test_a_clock_that_meddles() -> None:
    """It runs before anything is changed, so it may use the pool itself."""
    pool: IPPool

    def clock() -> float:
        if not busy:
            busy.append(True)
            pool.reserve("10.0.0.9")
            pool.release("10.0.0.9")
            busy.clear()
        return 5.0

    busy: list[bool] = []
    pool = IPPool("10.0.0.0/28", quarantine=1, clock=clock)
    given = [pool.allocate() for _ in range(3)]
    pool.release(given[2])
    assert pool.allocate() not in given
    assert len(pool) == 3

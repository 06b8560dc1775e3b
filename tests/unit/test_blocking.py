"""Calls to drivers that wait: several at once, not too many, and none is forgotten."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from driverapi.drivers.null import NullDriver
from driverapi.lifecycle.blocking import Blocking, Flights
from driverapi.remote import RemoteDriver


class Slow(NullDriver):
    create_in_flight = 1
    join_in_flight = 4

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.now = self.most = 0
        self.done: list[int] = []

    def step(self, number: int) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.002)
        with self.lock:
            self.now -= 1
            self.done.append(number)


def nothing() -> None:
    pass


def fly(driver: Slow, count: int, kind: str, pause: Callable[[], None] = nothing, network: str = "n") -> None:
    flights, steps = Flights(), [partial(driver.step, number) for number in range(count)]
    if kind == "create":
        flights.creating(driver, network, steps, pause)
    else:
        flights.joining(driver, steps, pause)


def test_who_is_blocking() -> None:
    assert isinstance(RemoteDriver("x"), Blocking)
    assert not isinstance(NullDriver(), Blocking)


@pytest.mark.parametrize(("kind", "most"), [("create", 1), ("join", 4)])
def test_so_many_at_once(kind: str, most: int) -> None:
    driver = Slow()
    fly(driver, 40, kind)
    assert driver.most == most
    assert sorted(driver.done) == list(range(40))
    if most == 1:
        assert driver.done == list(range(40))


def test_callers_share_the_bounds() -> None:
    driver, flights = Slow(), Flights()

    def call(create: bool, network: str) -> None:
        steps = [partial(driver.step, number) for number in range(10)]
        if create:
            flights.creating(driver, network, steps, nothing)
        else:
            flights.joining(driver, steps, nothing)

    for create, most in ((True, 1), (False, 4)):
        driver.most = 0
        threads = [threading.Thread(target=call, args=(create, "n")) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert driver.most == most


def test_none_and_one() -> None:
    driver = Slow()
    fly(driver, 0, "join")
    fly(driver, 1, "join")
    assert driver.done == [0]


@pytest.mark.parametrize("kind", ["create", "join"])
def test_a_step_that_raises_ends_it(kind: str) -> None:
    driver = Slow()

    def fail(number: int) -> None:
        driver.done.append(number)
        raise KeyError(number)

    driver.step = fail  # type: ignore[method-assign]
    with pytest.raises(KeyError):
        fly(driver, 100, kind)
    assert len(driver.done) <= 4  # those that had begun


@pytest.mark.parametrize("kind", ["create", "join"])
def test_a_pause_that_raises_waits_for_those_that_have_begun(kind: str) -> None:
    driver = Slow()

    def stop() -> None:
        if driver.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fly(driver, 2000, kind, stop)
    assert driver.now == 0
    assert 0 < len(driver.done) < 2000


def test_where_no_thread_is_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    driver = Slow()
    fly(driver, 10, "join")
    assert driver.done == list(range(10))

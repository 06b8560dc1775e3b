"""When a signal strikes: at a safe point of a call, not between any two of its steps."""

from __future__ import annotations

import signal
import threading
from typing import Any

import pytest

from driverapi.signals import HeldSignals
from tests.support import World


def test_a_signal_in_the_middle_of_a_call_waits_and_then_undoes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    web = world.ctl.create_network("bridge", "web", ipv4="10.77.0.0/16")
    before, finished = world.state(), []
    create = world.bridge.inner.create_endpoint

    def struck(*args: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        create(*args)
        finished.append(args)
        monkeypatch.setattr(world.bridge.inner, "create_endpoint", create)

    monkeypatch.setattr(world.bridge.inner, "create_endpoint", struck)
    with pytest.raises(KeyboardInterrupt):
        web.attach(5)
    assert len(finished) == 1  # the driver's step was not cut in two
    assert world.state() == before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    world.ctl.close()
    world.assert_empty()


def test_a_second_signal_is_not_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    web = world.ctl.create_network("bridge", "web", ipv4="10.77.0.0/16")
    finished = []

    def struck(*args: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        finished.append("the first is held")
        signal.raise_signal(signal.SIGINT)
        finished.append("never")

    with monkeypatch.context() as patch:
        patch.setattr(world.bridge.inner, "create_endpoint", struck)
        with pytest.raises(KeyboardInterrupt):
            web.attach(5)
    assert finished == ["the first is held"]
    assert web.endpoints == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    world.ctl.close()
    world.assert_empty()


def test_what_is_held_is_delivered_once_at_the_end() -> None:
    came: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: came.append(number))
    try:
        with HeldSignals() as held:
            signal.raise_signal(signal.SIGUSR1)
            assert came == []
            held.deliver()
            assert came == [signal.SIGUSR1]
            signal.raise_signal(signal.SIGUSR1)
            assert came == [signal.SIGUSR1]
        assert came == [signal.SIGUSR1] * 2
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_other_threads_hold_nothing() -> None:
    """Python runs handlers in the main thread alone, and only it may set them."""
    handlers: list[object] = []

    def look() -> None:
        with HeldSignals():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join(30)
    assert handlers == [signal.default_int_handler]

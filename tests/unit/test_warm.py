"""Warm pools, on the dataplane in memory: who has which endpoint, and what becomes of the ready ones."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest

from driverapi import Controller, errors
from driverapi.control import warm
from driverapi.control.warm import MAX_WARM, WarmPool
from driverapi.endpoint import Endpoint
from driverapi.network import Network
from tests.support import World, at_once


def until(truth: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not truth():
        assert time.monotonic() < end, "it does not come true"
        time.sleep(0.005)


@pytest.fixture
def world() -> Any:
    world = World()
    yield world
    world.ctl.close()
    world.assert_empty()


@pytest.fixture
def web(world: World) -> Network:
    return world.ctl.create_network("bridge", "web", ipv4="10.77.0.0/24", ipv6="fd77::/64")


def raising(kind: type[BaseException]) -> Callable[..., None]:
    def call(*_: object, **__: object) -> None:
        raise kind

    return call


def test_attach_takes_what_is_ready(world: World, web: Network) -> None:
    pool = world.ctl.warm(web, 3)
    assert (pool.ready, pool.size, pool.fault) == (3, 3, None)
    assert web.endpoints == []
    assert world.ctl.sandboxes == []
    ready = set(world.dataplane.endpoints)
    taken = web.attach(1)
    assert {endpoint.id for endpoint in taken} < ready
    assert web.endpoints == taken
    assert world.ctl.sandboxes == [taken[0].sandbox]
    assert web.endpoint(taken[0].name) is taken[0]
    info = taken[0].info()
    assert info["interfaces"][0]["address"] == str(taken[0].interfaces[0].address)
    assert pool.wait(20)
    web.detach(taken)
    assert web.endpoints == []


def test_more_than_is_ready(world: World, web: Network) -> None:
    world.ctl.warm("web", 2)
    told: list[int] = []
    endpoints = web.attach(7, progress=told.append)
    assert len({endpoint.id for endpoint in endpoints}) == 7
    assert all(endpoint.error is None and endpoint.sandbox is not None for endpoint in endpoints)
    assert told[0] == 2
    assert told[-1] == 7
    web.detach(endpoints)


def test_what_a_pool_has_is_hidden(world: World, web: Network) -> None:
    world.ctl.warm(web, 1)
    hidden = web._everyone()[0]
    assert hidden.sandbox is not None
    with pytest.raises(errors.NoEndpointError):
        web.endpoint(hidden.name)
    with pytest.raises(errors.NoSandboxError):
        world.ctl.sandbox(hidden.sandbox.name)


def test_certain_addresses_go_past_the_pool_or_come_from_it(world: World, web: Network) -> None:
    pool = world.ctl.warm(web, 4)
    held = web._everyone()[0]
    ipv4, mac = held.interfaces[0].packed_address, held.interfaces[0].packed_mac
    assert ipv4 is not None
    assert mac is not None
    mine = web.create_endpoint("mine", ipv4=str(ipv4).split("/")[0])
    assert mine.interfaces[0].packed_address == ipv4
    until(lambda: pool.ready == 4)
    other = next(one.interfaces[0].packed_mac for one in web._everyone() if one._warm)
    assert other is not None
    assert web.create_endpoint("by MAC", mac=other.hex(":")).interfaces[0].packed_mac == other
    until(lambda: pool.ready == 4)
    before = {one.id for one in web._everyone() if one._warm}
    box = world.ctl.create_sandbox("box")
    [there] = web.attach([box])
    assert there.id not in before
    assert there.sandbox is box
    there.leave()


def test_the_last_addresses_are_given_up(world: World) -> None:
    small = world.ctl.create_network("bridge", "small", ipv4="10.9.0.0/29")  # five for endpoints
    pool = world.ctl.warm(small, 5)
    assert pool.ready == 5
    made = [small.create_endpoint(f"e{number}") for number in range(5)]
    assert len({str(one.interfaces[0].packed_address) for one in made}) == 5
    with pytest.raises(errors.AddressesExhaustedError):
        small.create_endpoint("one too many")
    until(lambda: pool.faults)
    assert isinstance(pool.fault, errors.AddressesExhaustedError)


def test_refilling_survives_failures(world: World, web: Network, caplog: pytest.LogCaptureFixture) -> None:
    inner = world.dataplane.realise
    failing = threading.Event()

    def realise(works: Any, progress: Any = None) -> Any:
        if failing.is_set():
            return [errors.KernelError("no more of it") for _ in works]
        return inner(works, progress)

    world.dataplane.realise = realise  # type: ignore[method-assign]
    pool = world.ctl.warm(web, 2)
    failing.set()
    taken = web.attach(2)
    until(lambda: pool.faults >= 2)
    assert isinstance(pool.fault, errors.KernelError)
    assert "no more of it" in caplog.text
    failing.clear()
    until(lambda: pool.ready == 2)
    assert pool.fault is None
    web.detach(taken)


def test_a_first_filling_that_fails_is_not_waited_for(world: World, web: Network) -> None:
    world.dataplane.realise = lambda works, progress=None: [errors.KernelError("no") for _ in works]  # type: ignore[method-assign, misc]
    pool = world.ctl.warm(web, 2)
    assert isinstance(pool.fault, errors.KernelError)
    assert pool.ready == 0
    assert web._everyone() == []


def test_sizes(world: World, web: Network) -> None:
    pool = world.ctl.warm(web, 6)
    assert world.ctl.warm(web, 2) is pool
    assert (pool.ready, len(web._everyone())) == (2, 2)
    world.ctl.warm(web, 3)
    assert pool.ready == 3
    world.ctl.warm(web, 0)
    assert (pool.ready, pool.size, web._everyone()) == (0, 0, [])
    taken = web.attach(1)
    time.sleep(0.05)
    assert pool.ready == 0
    web.detach(taken)
    assert world.ctl.warm(web, 1).ready == 1


@pytest.mark.parametrize("size", [-1, True, 1.5, "2", None, MAX_WARM + 1])
def test_a_size_that_is_none(world: World, web: Network, size: Any) -> None:
    with pytest.raises(errors.InvalidError, match="keeps 0 to"):
        world.ctl.warm(web, size)


def test_a_network_that_is_none(world: World, web: Network) -> None:
    with pytest.raises(errors.NoNetworkError):
        world.ctl.warm("none", 1)
    with pytest.raises(errors.InvalidError):
        world.ctl.warm(3, 1)  # type: ignore[arg-type]
    with World().ctl as other, pytest.raises(errors.InvalidError):
        other.warm(web, 1)
    web.delete()
    with pytest.raises(errors.NoNetworkError):
        world.ctl.warm(web, 1)


def test_deleting_the_network_takes_its_pool_away(world: World, web: Network) -> None:
    pool = world.ctl.warm(web, 3)
    taken = web.attach(1)
    with pytest.raises(errors.BusyError, match="1 endpoint "):
        web.delete()
    assert pool.wait(20)
    assert pool.size == 3
    web.detach(taken)
    web.delete()
    assert world.dataplane.endpoints == {}
    assert world.dataplane.sandboxes == {}
    assert pool.size == 0


def test_a_deletion_that_fails_can_be_had_again(world: World, web: Network) -> None:
    pool = world.ctl.warm(web, 2)
    world.dataplane.stuck[web.id] = errors.KernelError("it stays")
    with pytest.raises(errors.KernelError):
        web.delete()
    assert pool.size == 0
    assert world.dataplane.endpoints == {}
    world.dataplane.stuck.clear()
    web.delete()


def test_closing_ends_refilling(world: World, web: Network) -> None:
    pool = world.ctl.warm(web, 50, wait=False)
    thread = pool._thread
    assert thread is not None
    world.ctl.close()
    world.assert_empty()
    assert not thread.is_alive()
    assert pool.ready == 0


def test_what_cannot_be_taken_away_is_shown(world: World, web: Network) -> None:
    world.ctl.warm(web, 2)
    stuck = web._everyone()[0]
    world.dataplane.stuck[stuck.id] = errors.KernelError("it stays")
    world.ctl.warm(web, 0)
    assert web.endpoints == [stuck]
    world.dataplane.stuck.clear()
    web.detach([stuck])


def test_an_interrupt_of_the_draining_hides_nothing(
    world: World, web: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.ctl.warm(web, 2)
    with monkeypatch.context() as patched:
        patched.setattr(web, "_take_away", raising(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            world.ctl.warm(web, 0)
    assert len(web.endpoints) == len(world.ctl.sandboxes) == 2
    web.detach(web.endpoints)
    web.delete()


def test_refilling_survives_that_too_much_cannot_be_taken_away(
    world: World, web: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = world.ctl.warm(web, 2)
    (extra,) = web._warm_up(1)
    with monkeypatch.context() as patched:
        patched.setattr(web, "_take_away", raising(MemoryError))
        patched.setattr(pool, "_too_many", lambda: [extra])
        world.ctl.warm(web, 4)
        until(lambda: isinstance(pool.fault, MemoryError))
    assert web.endpoints == [extra]
    world.ctl.warm(web, 6)
    until(lambda: pool.ready == 6 and pool.fault is None)
    web.detach([extra])


def test_takers_at_once_get_each_their_own(world: World, web: Network) -> None:
    world.ctl.warm(web, 64)
    taken = [endpoint for answer in at_once(lambda _: web.attach(1), 64) for endpoint in answer]
    assert len({endpoint.id for endpoint in taken}) == 64
    assert len({str(endpoint.interfaces[0].packed_address) for endpoint in taken}) == 64
    web.detach(taken)


def test_an_interrupt_undoes_what_was_taken(world: World, web: Network) -> None:
    pool = world.ctl.warm(web, 2)

    def interrupt(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        web.attach(2, progress=interrupt)
    assert web.endpoints == []
    assert pool.wait(20)
    assert len(world.dataplane.endpoints) == 2


def test_it_says_what_it_is(world: World, web: Network) -> None:
    pool = world.ctl.warm(web, 1)
    assert isinstance(pool, WarmPool)
    assert repr(pool) == "<WarmPool of 'web', 1 of 1 ready>"
    assert isinstance(world.ctl, Controller)


def test_a_signal_in_the_middle_of_taking_hides_nothing(
    world: World, web: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.ctl.warm(web, 2)
    mark, strikes = warm._mark, [KeyboardInterrupt]

    def marking(endpoint: Endpoint, *, warm: bool) -> None:
        if strikes:
            raise strikes.pop()
        mark(endpoint, warm=warm)

    monkeypatch.setattr(warm, "_mark", marking)
    with pytest.raises(KeyboardInterrupt):
        web.attach(2)
    assert len(web.endpoints) == 2
    web.detach(web.endpoints)
    web.delete()


def test_ending_a_pool_that_somebody_else_wants_is_over_soon(world: World, web: Network) -> None:
    pool = world.ctl.warm(web, 5)
    thread = pool._thread
    resize = pool._resize

    def resized(size: int) -> list[Endpoint]:
        spare = resize(size)
        if size == 0:  # another's call, before this one waits
            resize(3)
        return spare

    pool._resize = resized  # type: ignore[method-assign]
    ending = threading.Thread(target=world.ctl.warm, args=(web, 0))
    ending.start()
    ending.join(20)
    stuck = ending.is_alive()
    pool._resize = resize  # type: ignore[method-assign]
    resize(0)
    ending.join(20)
    assert not stuck
    assert thread is not None


def test_sizes_changed_at_once(world: World, web: Network) -> None:
    def change(number: int) -> None:
        for turn in range(10):
            world.ctl.warm(web, (number * 7 + turn * 3) % 5, wait=False)

    at_once(change, 8)
    pool = world.ctl.warm(web, 4)
    assert pool.wait(20)
    assert pool.ready == 4
    world.ctl.warm(web, 0)
    assert web._everyone() == []


def test_a_network_is_deleted_while_its_pool_is_filled(
    world: World, web: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed, go = threading.Event(), threading.Event()
    create = world.ctl._lifecycle.create

    def slowly(requests: Any, progress: Any = None) -> Any:
        claimed.set()
        assert go.wait(20)
        return create(requests, progress)

    monkeypatch.setattr(world.ctl._lifecycle, "create", slowly)
    pool = world.ctl.warm(web, 3, wait=False)
    assert claimed.wait(20)
    with ThreadPoolExecutor(1) as threads:
        deletion = threads.submit(web.delete)
        wait([deletion], 0.05)  # it would have failed by now
        go.set()
        deletion.result(20)
    assert (pool.size, pool._thread) == (0, None)


def test_no_pool_outlives_its_network(world: World, web: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    keep = WarmPool.keep

    def keeping(pool: WarmPool, size: object) -> None:
        monkeypatch.setattr(WarmPool, "keep", keep)
        deletion = threading.Thread(target=web.delete)
        deletion.start()
        deletion.join(20)
        keep(pool, size)

    monkeypatch.setattr(WarmPool, "keep", keeping)
    with pytest.raises(errors.NoNetworkError):
        world.ctl.warm(web, 3)
    assert (web._warm.size, web._warm._thread) == (0, None)


def test_takers_are_not_disturbed_before_half_is_gone(
    world: World, web: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = world.ctl.warm(web, 4)
    monkeypatch.setattr(warm, "IDLE", 1000.0)
    taken = web.attach(1)
    assert not pool.wait(0.1)
    assert pool.ready == 3
    taken += web.attach(2)
    until(lambda: pool.ready >= 2)  # it was hungry
    web.detach(taken)


def test_pauses_grow_and_have_an_end(web: Network) -> None:
    pool, pauses = WarmPool(web), [0.0]
    for _ in range(8):
        pauses.append(pool._note([], errors.KernelError("refused"), pauses[-1]))
    assert pauses[1:] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert pool._note([], None, pauses[-1]) == 0.0


def test_all_or_none_where_somebody_is_quicker(world: World, web: Network) -> None:
    pool = world.ctl.warm(web, 2)

    class Late(deque[Endpoint]):
        """Tells the length that it had before somebody took one."""

        def __len__(self) -> int:
            return 3

    ready = pool._ready
    pool._ready = Late(ready)
    assert pool.take_all(3) is None
    pool._ready = deque(pool._ready.copy())
    assert list(pool._ready) == list(ready)
    assert all(endpoint._warm for endpoint in ready)


def test_too_many_were_being_made(world: World, web: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    claimed, go = threading.Event(), threading.Event()
    create = world.ctl._lifecycle.create

    def slowly(requests: Any, progress: Any = None) -> Any:
        claimed.set()
        assert go.wait(20)
        return create(requests, progress)

    monkeypatch.setattr(world.ctl._lifecycle, "create", slowly)
    pool = world.ctl.warm(web, 5, wait=False)
    assert claimed.wait(20)
    world.ctl.warm(web, 2, wait=False)
    go.set()
    until(lambda: pool.ready == 2)
    until(lambda: len(world.dataplane.endpoints) == 2)


def test_it_rests_where_it_would_be_in_the_way(world: World, web: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "IDLE", 0.0)
    pool = world.ctl.warm(web, 4)
    with pool.resting():
        taken = web.attach(4)
        assert not pool.wait(0.1)
        assert pool.ready == 0
    assert pool.wait(20)
    web.detach(taken)

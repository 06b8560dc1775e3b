"""How a controller ends: closed, forgotten, or used in a child after a fork."""

from __future__ import annotations

import os
import threading
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from driverapi import Controller, DriverRegistry, Endpoint, Sandbox, errors
from driverapi import controller as module
from driverapi.drivers.bridge import BridgeDriver
from driverapi.network import Network
from driverapi.testing import FakeDataplane
from tests.support import World, at_once


def closed_controller() -> tuple[World, Network, Endpoint, Sandbox]:
    world = World()
    web = world.ctl.create_network("bridge", "web", ipv4="10.77.0.0/16")
    box = world.ctl.create_sandbox("box")
    endpoint = web.create_endpoint("ep")
    endpoint.join(box)
    web.attach(3)
    web.create_endpoint("idle")
    web.notice_endpoint("elsewhere", ipv4="10.77.9.9")
    return world, web, endpoint, box


def uses(world: World, web: Network, endpoint: Endpoint, box: Sandbox) -> list[Callable[[], Any]]:
    return [
        lambda: world.ctl.create_network("bridge", "new"),
        lambda: world.ctl.create_sandbox("new"),
        lambda: world.ctl.__enter__(),
        lambda: web.create_endpoint("new"),
        lambda: web.notice_endpoint("new", ipv4="10.77.1.1"),
        lambda: web.attach(1),
        lambda: web.detach([endpoint]),
        web.delete,
        lambda: endpoint.join(box),
        endpoint.leave,
        endpoint.delete,
        endpoint.driver_info,
        box.delete,
    ]


def readings(world: World, web: Network, endpoint: Endpoint, box: Sandbox) -> list[Callable[[], Any]]:
    return [
        lambda: world.ctl.networks,
        lambda: world.ctl.network("web"),
        lambda: world.ctl.sandboxes,
        lambda: world.ctl.sandbox("box"),
        lambda: web.endpoints,
        lambda: web.endpoint("ep"),
        lambda: endpoint.interfaces,
        endpoint.info,
        lambda: box.key,
        lambda: box.endpoints,
    ]


def test_close_takes_all_away_and_nothing_works_after_it() -> None:
    world, web, endpoint, box = closed_controller()
    world.ctl.close()
    world.assert_empty()
    assert world.dataplane.closed
    for use in uses(world, web, endpoint, box):
        with pytest.raises(errors.ClosedError, match="closed; make another"):
            use()
    world.ctl.close()
    world.assert_empty()


def test_with_closes() -> None:
    world, *_ = closed_controller()
    with pytest.raises(ZeroDivisionError), world.ctl:
        1 / 0  # noqa: B018
    world.assert_empty()


def test_close_goes_on_and_tells_all() -> None:
    world, _web, endpoint, box = closed_controller()
    other = world.ctl.create_network("bridge", "other", ipv4="10.78.0.0/16")
    world.dataplane.stuck[endpoint.id] = errors.KernelError("first", 16)
    world.dataplane.stuck[other.id] = errors.KernelError("second", 16)
    world.dataplane.stuck[box.key.rpartition("/")[2]] = errors.KernelError("third", 16)
    with pytest.raises(errors.BulkError) as caught:
        world.ctl.close()
    told = [str(one) for one in caught.value.exceptions]
    assert [one for one in told if one in ("first", "second", "third")] == ["first", "second", "third"]
    assert any("'web' has 1 endpoint (ep" in one for one in told)
    assert set(world.dataplane.endpoints) == {endpoint.id}
    assert len(world.dataplane.sandboxes) == 1
    assert not world.dataplane.closed  # what is left is still owned, and can be taken away
    world.dataplane.stuck.clear()
    world.ctl.close()
    world.assert_empty()
    assert world.dataplane.closed


def test_close_by_many_threads() -> None:
    world, *_ = closed_controller()
    assert at_once(lambda _: world.ctl.close()) == [None] * 64
    world.assert_empty()


def test_close_waits_for_calls_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    create = world.bridge.inner.create_network
    inside, go_on = threading.Event(), threading.Event()

    def slow(*args: Any) -> None:
        create(*args)
        inside.set()
        assert go_on.wait(30)

    monkeypatch.setattr(world.bridge.inner, "create_network", slow)
    caller = threading.Thread(target=world.ctl.create_network, args=("bridge", "late"))
    caller.start()
    assert inside.wait(30)
    closers = [threading.Thread(target=world.ctl.close) for _ in range(2)]
    for closer in closers:
        closer.start()
    refused = None
    while refused is None:  # as soon as close has begun
        try:
            world.ctl.create_sandbox("new").delete()
        except errors.ClosedError as error:
            refused = error
    assert not world.dataplane.closed
    assert all(closer.is_alive() for closer in closers)
    go_on.set()
    for thread in (caller, *closers):
        thread.join(30)
    assert world.dataplane.closed
    world.assert_empty()
    assert not world.bridge_driver._networks


def test_close_from_inside_a_call_is_refused() -> None:
    world = World()
    web = world.ctl.create_network("bridge", "web", ipv4="10.77.0.0/16")
    with pytest.raises(errors.BusyError, match="inside"):
        web.attach(2, progress=lambda _: world.ctl.close())
    assert web.endpoints == []
    world.ctl.close()
    world.assert_empty()


def test_close_inside_attached() -> None:
    world = World()
    web = world.ctl.create_network("bridge", "web", ipv4="10.77.0.0/16")
    with web.attached(3):
        world.ctl.close()
    world.assert_empty()


def test_what_was_forgotten_is_closed_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    worlds = [closed_controller()[0] for _ in range(3)]
    monkeypatch.setattr(module, "_open", weakref.WeakSet(world.ctl for world in worlds))
    name = worlds[0].ctl.network("web").id
    worlds[0].dataplane.stuck[name] = errors.KernelError("stuck", 16)
    with pytest.raises(errors.BulkError):
        module._close_forgotten()
    for world in worlds[1:]:
        world.assert_empty()


# --- forks --------------------------------------------------------------------------------------------------


def test_use_after_fork() -> None:
    world, web, endpoint, box = closed_controller()
    before, realised = world.state(), set(world.dataplane.endpoints)
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # on 3.12: a fork beside threads
        pid = os.fork()
    if pid == 0:
        said = b"died"
        try:
            kinds = set()
            for use in uses(world, web, endpoint, box) + readings(world, web, endpoint, box):
                try:
                    use()
                    kinds.add("nothing")
                except Exception as error:
                    kinds.add(f"{type(error).__name__}: {error}")
            world.ctl.close()  # does nothing: these things are the parent's
            assert set(world.dataplane.endpoints) == realised
            assert not world.dataplane.closed
            with Controller(dataplane=FakeDataplane()) as mine:
                mine.create_network("bridge", "mine").attach(2, strict=True)
            said = "|".join(sorted(kinds)).encode()
        finally:
            os.write(write, said)
            os._exit(0)
    os.close(write)
    with open(read, "rb") as answer:
        said = answer.read()
    os.waitpid(pid, 0)
    assert said.decode() == (
        "ForkedError: this controller belongs to the parent process; make one in the child after the fork"
    )
    assert world.state() == before
    world.ctl.close()
    world.assert_empty()


# --- several controllers ----------------------------------------------------------------------------------------


def test_controllers_do_not_see_each_other() -> None:
    registry = DriverRegistry()
    registry.register("bridge", BridgeDriver())
    with Controller(dataplane=FakeDataplane(), registry=registry) as one:
        with Controller(dataplane=FakeDataplane(), registry=registry) as two:
            networks = [ctl.create_network("bridge", "web", ipv4="10.77.0.0/16") for ctl in (one, two)]
            for network in networks:
                network.attach(2, strict=True)
        assert len(networks[0].endpoints) == 2
    assert "networks" in repr(one)

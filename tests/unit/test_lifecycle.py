"""The lifecycle: intent before the act, an outcome for each request, and every step undone in reverse.

The steps are found, not listed: a trip wire raises at the first call that an operation makes, then at the
second, and so on until the operation comes through.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from driverapi import EndpointInfo, Origin, VethLink, errors
from driverapi.drivers.null import NullDriver
from driverapi.lifecycle.lifecycle import Lifecycle
from driverapi.lifecycle.records import CreateRequest, JoinRequest
from driverapi.store.contract import State
from driverapi.store.memory import MemoryStore
from driverapi.testing import FakeDataplane, Recorder
from tests.support import LoggingStore, OwnDriver, Trip, World, at_once, exactly_one, unchanged

DRIVER = ("create_network", "delete_network", "create_endpoint", "delete_endpoint", "join", "leave")
DATAPLANE = (
    "realise_network",
    "remove_network",
    "make_sandboxes",
    "wait_sandboxes",
    "drop_sandboxes",
    "realise",
    "remove",
)


class Bench:
    """A lifecycle over a recorded driver; driver and store write into one log."""

    def __init__(self) -> None:
        self.dataplane = FakeDataplane()
        self.inner = OwnDriver()
        self.driver = Recorder(self.inner)
        self.log = self.driver.calls
        self.memory = MemoryStore()
        self.lifecycle = Lifecycle(self.dataplane, LoggingStore(self.memory, self.log))
        self.lifecycle.create_network("net", self.driver, {})
        self.box, self.other = self.dataplane.make_sandboxes(["box", "other"])
        self.log.clear()

    def create(self, *ids: str) -> list[Any]:
        return self.lifecycle.create([CreateRequest("net", id, EndpointInfo(), name=f"<{id}>") for id in ids])

    def join(self, *ids: str, box: Any = None) -> list[Any]:
        return self.lifecycle.join([JoinRequest(id, box or self.box) for id in ids])

    def leave(self, *ids: str, box: Any = None) -> list[Any]:
        return self.lifecycle.leave([JoinRequest(id, box or self.box) for id in ids])

    def said(self) -> list[str]:
        said = [f"{what} {id}" for what, id in self.log]
        self.log.clear()
        return said

    def states(self) -> dict[str, State]:
        """States that the lifecycle has, which are those that the store has."""
        states = {id: record.state for id, record in self.lifecycle._endpoints.items()}
        assert states == {one.id: one.state for one in self.memory.records() if one.id != "net"}
        assert not [id for id, record in self.lifecycle._endpoints.items() if record.busy]
        return states


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.driver.refuse.clear()
    bench.dataplane.faults.clear()
    bench.dataplane.stuck.clear()
    for id, record in list(bench.lifecycle._endpoints.items()):
        if record.netns is not None:
            assert bench.leave(id, box=record.netns) == [None]
    assert set(bench.lifecycle.delete(list(bench.lifecycle._endpoints))) <= {None}
    bench.lifecycle.delete_network("net")
    assert not bench.memory.records()
    assert not bench.dataplane.endpoints
    assert not bench.inner.networks


def text(outcomes: list[Any]) -> list[str]:
    return ["" if outcome is None else f"{type(outcome).__name__}: {outcome}" for outcome in outcomes]


# --- intent, act, outcome ---------------------------------------------------------------------------------


def test_the_store_knows_before_the_driver(bench: Bench) -> None:
    assert bench.create("a", "b") == [None, None]
    assert bench.said() == [
        "creating a",
        "creating b",
        "create_endpoint a",
        "create_endpoint b",
        "created a",
        "created b",
    ]
    assert bench.join("a") == [None]
    assert bench.said() == ["joining a", "join a", "joined a"]
    assert {one.id: one.sandbox for one in bench.memory.records()} == {"net": "", "a": bench.box.key, "b": ""}
    assert bench.leave("a") == [None]
    assert bench.said() == ["leaving a", "leave a", "created a"]
    assert bench.lifecycle.delete(["a", "b"]) == [None, None]
    assert bench.said() == [
        "deleting a",
        "deleting b",
        "delete_endpoint a",
        "delete_endpoint b",
        "dropped a",
        "dropped b",
    ]


def test_networks_in_the_store(bench: Bench) -> None:
    bench.lifecycle.create_network("two", bench.driver, {})
    bench.lifecycle.delete_network("two")
    assert bench.said() == [
        "creating two",
        "create_network two",
        "created two",
        "deleting two",
        "delete_network two",
        "dropped two",
    ]


def test_a_network_is_there_once(bench: Bench) -> None:
    with pytest.raises(errors.NetworkExistsError, match="net"):
        bench.lifecycle.create_network("net", bench.driver, {})
    assert bench.said() == []
    with pytest.raises(errors.NoNetworkError, match="gone"):
        bench.lifecycle.delete_network("gone")
    bench.create("a")
    with pytest.raises(errors.BusyError, match="1 endpoints"):
        bench.lifecycle.delete_network("net")
    assert bench.join("a") == [None]


# --- an outcome for each request ------------------------------------------------------------------------------


def test_an_outcome_for_each_creation(bench: Bench) -> None:
    requests = [
        CreateRequest("net", "a", EndpointInfo()),
        CreateRequest("nowhere", "b", EndpointInfo()),
        CreateRequest("net", "a", EndpointInfo()),
        CreateRequest("net", "c", EndpointInfo()),
    ]
    outcomes = bench.lifecycle.create(requests)
    assert [type(outcome) for outcome in outcomes] == [
        type(None),
        errors.NoNetworkError,
        errors.EndpointExistsError,
        type(None),
    ]
    assert "nowhere" in str(outcomes[1])
    assert bench.states() == {"a": State.CREATED, "c": State.CREATED}


def test_an_outcome_for_each_join(bench: Bench) -> None:
    bench.create("a", "b", "c", "d")
    noticed = EndpointInfo(Origin.NOTICED)
    noticed._append(0, None, "10.0.0.9", None)
    bench.lifecycle.create([CreateRequest("net", "noticed", noticed, name="<noticed>")])
    bench.join("a")
    bench.dataplane.faults["c"] = errors.KernelError("full", 28)
    bench.said()
    outcomes = bench.join("a", "b", "nobody", "c", "noticed", "d", "d")
    assert text(outcomes) == [
        f"JoinedError: endpoint '<a>' has joined sandbox {bench.box.key}; let it leave first",
        "",
        "NoEndpointError: no endpoint nobody",
        "KernelError: full",
        "ConflictError: endpoint '<noticed>' lives on another host: it was only noticed here and joins no sandbox",
        "",
        "InvalidError: endpoint '<d>' comes twice in one call",
    ]
    assert bench.said() == [
        "joining b",
        "joining c",
        "joining d",
        "join b",
        "join c",
        "join d",
        "leave c",
        "created c",
        "joined b",
        "joined d",
    ]
    assert bench.states() == dict.fromkeys("abd", State.JOINED) | {"c": State.CREATED, "noticed": State.CREATED}
    assert set(bench.dataplane.endpoints) == {"a", "b", "d"}


def test_an_outcome_for_each_leave(bench: Bench) -> None:
    bench.create("a", "b", "c", "d")
    bench.join("a", "b", "d")
    bench.dataplane.stuck["b"] = errors.KernelError("stuck", 16)
    bench.driver.refuse["leave"] = ValueError("driver")
    bench.said()
    outcomes = bench.leave("a", "b", "c", "nobody")
    assert text(outcomes) == [
        "DriverFaultError: endpoint '<a>': driver 'own' failed: ValueError: driver",
        "KernelError: stuck",
        f"NotJoinedError: endpoint '<c>' has not joined sandbox {bench.box.key}",
        "NoEndpointError: no endpoint nobody",
    ]
    assert bench.said() == ["leaving a", "leaving b", "leave a", "created a", "joined b"]
    assert text(bench.leave("d", box=bench.other)) == [
        f"NotJoinedError: endpoint '<d>' has not joined sandbox {bench.other.key}"
    ]
    assert set(bench.dataplane.endpoints) == {"b", "d"}
    assert bench.states() == dict.fromkeys("ac", State.CREATED) | dict.fromkeys("bd", State.JOINED)


def test_an_outcome_for_each_deletion(bench: Bench) -> None:
    bench.create("a", "b")
    bench.join("b")
    outcomes = bench.lifecycle.delete(["a", "b", "nobody", "a"])
    assert text(outcomes) == [
        "",
        "JoinedError: endpoint '<b>' is in a sandbox; let it leave first",
        "NoEndpointError: no endpoint nobody",
        "InvalidError: endpoint '<a>' comes twice in one call",
    ]
    assert bench.states() == {"b": State.JOINED}


def test_a_driver_that_refuses_a_deletion(bench: Bench) -> None:
    bench.create("a")
    bench.driver.refuse["delete_endpoint"] = errors.BusyError("not now")
    assert text(bench.lifecycle.delete(["a"])) == ["BusyError: not now"]
    assert bench.states() == {"a": State.CREATED}


def test_an_endpoint_that_its_driver_forgot_can_be_deleted(bench: Bench) -> None:
    bench.create("a")
    bench.inner.networks["net"].clear()
    assert bench.lifecycle.delete(["a"]) == [None]


def test_drivers_errors_keep_their_class_or_become_a_fault(bench: Bench) -> None:
    bench.driver.refuse["create_endpoint"] = errors.AddressTakenError("mine")
    assert text(bench.create("a")) == ["AddressTakenError: mine"]
    bench.driver.refuse["create_endpoint"] = cause = KeyError("x")
    (fault,) = bench.create("a")
    assert text([fault]) == ["DriverFaultError: endpoint '<a>': driver 'own' failed: KeyError: 'x'"]
    assert fault.__cause__ is cause
    assert bench.states() == {}


def test_failing_undo_is_told_and_goes_on(bench: Bench) -> None:
    bench.create("a")
    bench.dataplane.faults["a"] = errors.KernelError("first", 5)
    bench.driver.refuse["leave"] = RuntimeError("second")
    (outcome,) = bench.join("a")
    assert str(outcome) == "first"
    assert outcome.__notes__ == ["while undoing: RuntimeError: second"]
    assert bench.states() == {"a": State.CREATED}


def test_only_sandboxes_of_their_kind(bench: Bench) -> None:
    bench.create("a")
    with pytest.raises(errors.ConflictError, match=r"'<a>'.*'own' join no sandbox made with host=True"):
        raise bench.join("a", box=bench.dataplane.host_sandbox())[0]
    assert "join a" not in bench.said()


def test_info_objects_are_sealed_after_their_call(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []
    create, join = bench.inner.create_endpoint, bench.inner.join
    monkeypatch.setattr(bench.inner, "create_endpoint", lambda *args: (kept.append(args[2]), create(*args)))
    monkeypatch.setattr(bench.inner, "join", lambda *args: (kept.append(args[3]), join(*args)))
    bench.create("a")
    bench.join("a")
    endpoint, joined = kept
    with pytest.raises(errors.SealedError):
        endpoint.add_interface(9)
    with pytest.raises(errors.SealedError):
        joined.set_gateway("10.0.0.1")
    with pytest.raises(errors.SealedError):
        joined.interface_names[0].set_link(VethLink())


def test_a_driver_without_a_plan_asks_nothing_of_the_dataplane() -> None:
    dataplane = FakeDataplane()
    lifecycle = Lifecycle(dataplane, MemoryStore())
    lifecycle.create_network("net", NullDriver(), {})
    assert not dataplane.networks
    lifecycle.delete_network("net")


# --- calls queue ----------------------------------------------------------------------------------------


class Gate:
    """Holds a driver's method until it is opened."""

    def __init__(self, bench: Bench, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()
        inner = getattr(bench.inner, method)

        def held(*args: Any) -> Any:
            self.entered.set()
            assert self.opened.wait(30)
            return inner(*args)

        monkeypatch.setattr(bench.inner, method, held)


def test_a_second_join_waits_and_then_fails(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.create("a", "b")
    gate = Gate(bench, "join", monkeypatch)
    answers: list[Any] = []
    first = threading.Thread(target=lambda: answers.append(("first", bench.join("a"))))
    first.start()
    assert gate.entered.wait(30)
    rest = [
        threading.Thread(target=lambda: answers.append(("second", bench.join("b", "a", box=bench.other)))),
        threading.Thread(target=lambda: answers.append(("deleted", bench.lifecycle.delete(["a"])))),
    ]
    for thread in rest:
        thread.start()
    for thread in rest:
        thread.join(0.1)
    assert answers == []
    assert [call for call in bench.log if call[0] == "join"] == [("join", "a")]  # b waits too: nothing is half-way
    gate.opened.set()
    for thread in (first, *rest):
        thread.join(30)
    got = dict(answers)
    assert got["first"] == [None]
    assert [type(one) for one in got["second"]] == [type(None), errors.JoinedError]
    assert [type(one) for one in got["deleted"]] == [errors.JoinedError]


def test_a_network_is_not_deleted_under_a_creation(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(bench, "create_endpoint", monkeypatch)
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(bench.create("a")))
    thread.start()
    assert gate.entered.wait(30)
    with pytest.raises(errors.BusyError):
        bench.lifecycle.delete_network("net")
    gate.opened.set()
    thread.join(30)
    assert answers == [[None]]


def test_nothing_is_created_under_a_deletion_of_the_network(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.lifecycle.create_network("two", bench.driver, {})
    gate = Gate(bench, "delete_network", monkeypatch)
    thread = threading.Thread(target=lambda: bench.lifecycle.delete_network("two"))
    thread.start()
    assert gate.entered.wait(30)
    outcomes = bench.lifecycle.create([CreateRequest("two", "a", EndpointInfo())])
    assert [type(outcome) for outcome in outcomes] == [errors.NoNetworkError]
    gate.opened.set()
    thread.join(30)


def test_one_endpoint_by_many_threads(bench: Bench) -> None:
    bench.create("a")
    boxes = bench.dataplane.make_sandboxes([f"box{number}" for number in range(64)])

    def join(number: int) -> Any:
        (outcome,) = bench.join("a", box=boxes[number])
        if outcome is not None:
            raise outcome
        return boxes[number]

    box = exactly_one(at_once(join), errors.JoinedError)
    assert bench.dataplane.endpoints["a"].netns is box

    def leave(number: int) -> Any:
        (outcome,) = bench.leave("a", box=box)
        if outcome is not None:
            raise outcome
        return number

    exactly_one(at_once(leave), errors.NotJoinedError)
    assert [call for call in bench.log if call[0] == "leave"] == [("leave", "a")]


def test_calls_for_several_endpoints_do_not_lock_each_other_out(bench: Bench) -> None:
    ids = [f"e{number}" for number in range(8)]
    bench.create(*ids)

    def churn(number: int) -> None:
        mine = ids if number % 2 else ids[::-1]
        for _ in range(10):
            bench.join(*mine)
            bench.leave(*mine)

    assert at_once(churn, 8) == [None] * 8
    assert set(bench.states().values()) <= {State.CREATED, State.JOINED}


# --- failures and interrupts at every step -------------------------------------------------------------------


def faults() -> list[Any]:
    return [
        pytest.param(RuntimeError("injected"), False, id="error"),
        pytest.param(errors.KernelError("injected", 5), False, id="kernel"),
        pytest.param(KeyboardInterrupt(), False, id="interrupt"),
        pytest.param(KeyboardInterrupt(), True, id="late interrupt"),
    ]


def wired(world: World, at: int, fault: BaseException, *, after: bool) -> Trip:
    """Wire drivers, store and dataplane. What a dataplane has done is not interrupted: by contract it is undone."""
    trip = Trip(at, fault, after=after)
    for driver in (world.bridge_driver, world.own_driver):
        trip.wire(driver, *DRIVER)
    trip.wire(world.ctl._store, "put")
    if not after:
        trip.wire(world.dataplane, *DATAPLANE)
    return trip


def prepared() -> tuple[World, Any, Any]:
    """A world in which something is up already, so that a wrong undo is seen."""
    world = World()
    bridge = world.ctl.create_network("bridge", "web", ipv4="10.9.0.0/24", ipv6="fd09::/64")
    own = world.ctl.create_network("own", "own")
    world.ctl.create_sandbox("box")
    bridge.attach(2, strict=True)
    bridge.create_endpoint("idle")
    own.create_endpoint("idle")
    return world, bridge, own


CREATING: dict[str, Callable[[World, Any, Any], Any]] = {
    "bridge network": lambda world, bridge, own: world.ctl.create_network("bridge", "new", ipv6="fd0a::/64"),
    "own network": lambda world, bridge, own: world.ctl.create_network("own", "new", ipv4="10.8.0.0/24"),
    "bridge endpoint": lambda world, bridge, own: bridge.create_endpoint("new", mac="02:00:00:00:00:09"),
    "own endpoint": lambda world, bridge, own: own.create_endpoint("new"),
    "notice": lambda world, bridge, own: bridge.notice_endpoint("new", ipv4="10.9.0.77"),
    "bridge join": lambda world, bridge, own: bridge.endpoint("idle").join(world.ctl.sandbox("box")),
    "own join": lambda world, bridge, own: own.endpoint("idle").join(world.ctl.sandbox("box")),
    "attach": lambda world, bridge, own: bridge.attach(4, strict=True),
    "attach to a box": lambda world, bridge, own: own.attach([world.ctl.sandbox("box")] * 3, strict=True),
    "sandbox": lambda world, bridge, own: world.ctl.create_sandbox("new"),
}


@pytest.mark.parametrize(("fault", "after"), faults())
@pytest.mark.parametrize("what", CREATING)
def test_a_failing_step_leaves_the_state_as_it_was(what: str, fault: BaseException, after: bool) -> None:
    steps = 0
    while True:
        world, bridge, own = prepared()
        before = world.state()
        trip = wired(world, steps, fault, after=after)
        try:
            CREATING[what](world, bridge, own)
        except (Exception, KeyboardInterrupt) as error:
            assert trip.tripped, error  # noqa: PT017 - any error is right
            if isinstance(error, errors.BulkError):
                # Single endpoints failed and the others stay: those that are up are whole.
                up = [endpoint for endpoint in error.results if endpoint.error is None]
                error.results[0].network.detach(up)
        else:
            assert not trip.tripped, f"{trip.tripped} failed and nobody was told"
            trip.unwire()
            world.ctl.close()
            world.assert_empty()
            break
        trip.unwire()
        assert world.state() == before, f"after {trip.tripped}"
        CREATING[what](world, bridge, own)
        world.ctl.close()
        world.assert_empty()
        steps += 1
    assert steps > 0 or after  # a late interrupt has no step in what only the dataplane does


REMOVING: dict[str, Callable[[World, Any, Any], Any]] = {
    "bridge network": lambda world, bridge, own: world.ctl.network("empty").delete(),
    "endpoint": lambda world, bridge, own: bridge.endpoint("idle").delete(),
    "leave": lambda world, bridge, own: own.endpoint("inside").leave(),
    "detach": lambda world, bridge, own: bridge.detach(bridge.endpoints),
    "sandbox": lambda world, bridge, own: world.ctl.sandbox("spare").delete(),
    "close": lambda world, bridge, own: world.ctl.close(),
}


@pytest.mark.parametrize(("fault", "after"), faults())
@pytest.mark.parametrize("what", REMOVING)
def test_a_failing_removal_can_be_made_again(what: str, fault: BaseException, after: bool) -> None:
    steps = 0
    while True:
        world, bridge, own = prepared()
        world.ctl.create_network("bridge", "empty", ipv4="10.10.0.0/24")
        world.ctl.create_sandbox("spare")
        inside = own.create_endpoint("inside")
        inside.join(world.ctl.sandbox("box"))
        trip = wired(world, steps, fault, after=after)
        told = False
        try:
            REMOVING[what](world, bridge, own)
        except (Exception, KeyboardInterrupt):
            assert trip.tripped
            told = True
        trip.unwire()
        if not trip.tripped:
            world.ctl.close()
            world.assert_empty()
            break
        assert told, f"{trip.tripped} failed and nobody was told"
        assert not [record for record in world.ctl._lifecycle._endpoints.values() if record.busy]
        if what == "close" and not isinstance(fault, Exception):
            world.ctl.close()  # an interrupted close can be made again
            world.assert_empty()
        elif what != "close":  # a close that met an error took the rest away, and says what stayed
            for network in world.ctl.networks:
                network.detach(network.endpoints)
                network.delete()
            world.ctl.close()
            world.assert_empty()
        steps += 1
    assert steps > 0 or after


def test_the_whole_undo_in_reverse() -> None:
    world = World()
    network = world.ctl.create_network("bridge", "web", ipv4="10.9.0.0/24")
    realise = world.dataplane.realise

    def fail(works: Any, progress: Any = None) -> Any:
        for number, work in enumerate(works):
            if number % 2:
                world.dataplane.faults[work.plan.owner] = errors.KernelError(f"no {work.plan.owner}", 28)
        return realise(works, progress)

    world.dataplane.realise = fail  # type: ignore[method-assign]
    endpoints = network.attach(4)
    for endpoint in endpoints[1::2]:
        assert str(endpoint.error) == f"no {endpoint.id}"
        assert world.bridge.of(endpoint.id) == ["create_endpoint", "join", "leave", "delete_endpoint"]
    for endpoint in endpoints[::2]:
        assert endpoint.error is None
        assert world.bridge.of(endpoint.id) == ["create_endpoint", "join"]
    assert world.ipam.free(network._pools[4].id) == 254 - 1 - 2
    assert len(world.dataplane.sandboxes) == 2
    world.ctl.close()
    world.assert_empty()


def test_an_interrupt_in_an_undo_does_not_stop_it(bench: Bench) -> None:
    bench.create("a", "b", "c")
    bench.dataplane.faults.update(b=errors.KernelError("no", 5))
    bench.driver.refuse["leave"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        bench.join("a", "b", "c")
    left = [id for method, id in bench.log if method == "leave"]
    assert left[0] == "b"
    assert set(left) == {"a", "b", "c"}
    assert bench.states() == dict.fromkeys("abc", State.CREATED)
    assert not bench.dataplane.endpoints


def test_state_is_as_before_on_a_refused_call() -> None:
    world, bridge, _own = prepared()
    with unchanged(world):
        with pytest.raises(errors.NotJoinedError):
            bridge.endpoint("idle").leave()
        with pytest.raises(errors.BusyError):
            bridge.delete()
    world.ctl.close()

"""A process ends at each step of each verb, and of a start; the next finds the truth and leaves nothing over.

In memory, over a dataplane that survives as the kernel would. ``DRIVERAPI_CRASH_ALL=1`` has every second death
too, in the start that follows; else some of them are chosen by the scenario's name.
"""

from __future__ import annotations

import itertools
import logging
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from driverapi import Controller, DriverRegistry, errors
from driverapi.lifecycle.restore import Restored
from driverapi.testing import FakeDataplane
from tests.crash.steps import FAULTS, WHEN, Mortal
from tests.crash.verbs import Call, Ledger, facts, ports_of
from tests.crash.whole import wrong_in_books
from tests.support import OwnDriver

ARM = None  # in a scenario: from here on the process may die
Scenario = Callable[[Controller], Iterator[Call | None]]

SECOND = 2
"""Deaths in a start that are tried for each death before it."""


class Machine:
    """What stays when a process ends, and what was reported."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "state.db"
        self.dataplane = FakeDataplane()
        self.ledger = Ledger()

    def start(self, lost: str = "keep") -> Controller:
        registry = DriverRegistry()
        registry.register("own", OwnDriver())
        return Controller(state=self.path, dataplane=self.dataplane, registry=registry, durability="none", lost=lost)

    def bury(self, ctl: Controller) -> None:
        """Let go of what the kernel takes from a process that ended."""
        for network in ctl.networks:
            pool = network._warm
            with pool._changed:
                pool._size = 0
                pool._changed.notify_all()
            if pool._thread is not None:
                pool._thread.join(10)
        ctl._store._owed.clear()  # type: ignore[attr-defined]
        ctl._store.close()
        ctl._gate._state = type(ctl._gate._state).CLOSED

    def live(self, scenario: Scenario, mortal: Mortal) -> None:
        """Run a scenario in a process, to its end or the process's."""
        ctl = self.start()
        with mortal.living():
            try:
                for call in scenario(ctl):
                    if call is ARM:
                        mortal.armed = True
                        continue
                    self.ledger.intend(call.intent)
                    try:
                        call.do()
                    except (errors.DriverAPIError, ExceptionGroup):
                        if mortal.when != "refused":
                            raise
                        assert facts(ctl) == self.ledger.known
                        assert_whole(ctl, self.dataplane)
                        call.do()  # nothing is in its way
                    if mortal.dead:  # another thread was at that step
                        break
                    self.ledger.done(_changes(self.ledger.known, facts(ctl)))
            finally:  # still in its life: its other threads die of it, too
                died, mortal.dead = mortal.dead, True
                self.bury(ctl)
                mortal.dead = died

    def check(self) -> Restored:
        """Start, and find all as it was reported, whole, and nothing over; start again, and find nothing to mend."""
        ctl = self.start()
        assert ctl.restored is not None
        found = ctl.restored
        try:
            assert self.ledger.check(facts(ctl)) == []
            assert_whole(ctl, self.dataplane)
        finally:
            self.bury(ctl)
        ctl = self.start()
        try:
            assert ctl.restored is not None
            assert not ctl.restored.mended, ctl.restored
            assert self.ledger.check(facts(ctl)) == []
            assert_whole(ctl, self.dataplane)
        finally:
            self.bury(ctl)
        return found


def _changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    gone = dict.fromkeys(before.keys() - after.keys())
    return {**gone, **{key: value for key, value in after.items() if before.get(key) != value}}


def assert_whole(ctl: Controller, dataplane: FakeDataplane) -> None:
    """The dataplane, the rows of the store, the drivers, the pools and the controller have the same."""
    endpoints = {one.id: one for network in ctl.networks for one in network._everyone()}
    joined = {id for id, one in endpoints.items() if one.sandbox is not None}
    assert set(dataplane.endpoints) == joined
    assert set(dataplane.networks) == {net.id for net in ctl.networks if net.type == "bridge"}
    boxes = {box.name: box for box in ctl._sandboxes.values()}
    assert {one.key for one in dataplane.sandboxes.values()} == {
        box.key for box in boxes.values() if box.ownership.value == "owned"
    }
    assert sorted(dataplane.ports.values()) == sorted(port for one in endpoints.values() for port in one.ports)
    assert wrong_in_books(ctl) == []
    for name, driver in (("own", ctl.registry.get("own")), ("bridge", ctl.registry.get("bridge"))):
        has = driver.networks if name == "own" else driver._networks  # type: ignore[attr-defined]
        assert set(has) == {net.id for net in ctl.networks if net.type == name}


# --- scenarios -------------------------------------------------------------------------------------

SCENARIOS: dict[str, Scenario] = {}


def scenario(run: Scenario) -> Scenario:
    SCENARIOS[run.__name__] = run
    return run


def create(ctl: Controller, name: str, driver: str = "bridge", **given: str) -> Call:
    return Call("create_network", lambda: ctl.create_network(driver, name, **given), [f"net:{name}"])  # type: ignore[arg-type]


def attach(ctl: Controller, name: str, count: int) -> Call:
    network = ctl.network(name)
    return Call("attach", lambda: network.attach(count, strict=True), [], {f"ep:{name}/": count, "box:": count})


def add(ctl: Controller, network: str, name: str) -> Call:
    return Call("create_endpoint", lambda: ctl.network(network).create_endpoint(name), [f"ep:{network}/{name}"])


def sandbox(ctl: Controller, name: str, netns: str | None = None) -> Call:
    return Call("create_sandbox", lambda: ctl.create_sandbox(name, netns=netns), [f"box:{name}"])


def join(ctl: Controller, network: str, name: str, box: str) -> Call:
    return Call("join", lambda: ctl.network(network).endpoint(name).join(ctl.sandbox(box)), [f"ep:{network}/{name}"])


def leave(ctl: Controller, network: str, name: str) -> Call:
    return Call("leave", ctl.network(network).endpoint(name).leave, [f"ep:{network}/{name}"])


def remove(ctl: Controller, network: str, name: str) -> Call:
    endpoint = ctl.network(network).endpoint(name)
    return Call("delete_endpoint", endpoint.delete, [f"ep:{network}/{name}", *ports_of(endpoint)])


def detach(ctl: Controller, network: str, count: int) -> Call:
    some = ctl.network(network).endpoints[:count]
    boxes = [f"box:{one.sandbox.name}" for one in some if one.sandbox is not None]
    ports = [port for one in some for port in ports_of(one)]
    return Call(
        "detach",
        lambda: ctl.network(network).detach(some),
        [f"ep:{network}/{one.name}" for one in some] + boxes + ports,
    )


def publish(ctl: Controller, **wanted: list[str]) -> Call:
    """Of endpoints on "web", by their names, which have an address of each family."""
    net = ctl.network("web")
    return Call(
        "publish",
        lambda: net.publish([(net.endpoint(name), specs) for name, specs in wanted.items()]),
        [],
        {f"port:web/{name}/": 2 * len(specs) for name, specs in wanted.items()},
    )


def unpublish(ctl: Controller, name: str, *specs: str) -> Call:
    endpoint = ctl.network("web").endpoint(name)
    meant = [one for one in ports_of(endpoint) if not specs or any(f":{spec.split(':')[0]}->" in one for spec in specs)]
    return Call("unpublish", lambda: endpoint.unpublish(*specs), meant)


def attach_publishing(ctl: Controller, count: int) -> Call:
    adds = {"ep:web/": count, "box:": count, "port:web/": 2 * count}
    return Call("attach", lambda: ctl.network("web").attach(count, strict=True, publish="80"), [], adds)


@scenario
def networks(ctl: Controller) -> Iterator[Call | None]:
    yield create(ctl, "first", ipv4="10.1.0.0/24")
    yield ARM
    yield create(ctl, "web", ipv4="10.2.0.0/24", ipv6="fd02::/64")
    yield create(ctl, "own", "own")
    yield Call("delete_network", ctl.network("first").delete, ["net:first"])
    yield create(ctl, "first", ipv4="10.1.0.0/16")


@scenario
def one_by_one(ctl: Controller) -> Iterator[Call | None]:
    yield create(ctl, "web", ipv4="10.2.0.0/24", ipv6="fd02::/64")
    yield sandbox(ctl, "box")
    yield ARM
    for _ in range(2):
        yield add(ctl, "web", "one")
        yield join(ctl, "web", "one", "box")
        yield leave(ctl, "web", "one")
        yield remove(ctl, "web", "one")


@scenario
def two_in_a_sandbox(ctl: Controller) -> Iterator[Call | None]:
    yield create(ctl, "web", ipv4="10.2.0.0/24")
    yield create(ctl, "own", "own")
    yield sandbox(ctl, "theirs", "/run/netns/theirs")
    yield add(ctl, "web", "one")
    yield join(ctl, "web", "one", "theirs")
    yield ARM
    yield add(ctl, "own", "two")
    yield join(ctl, "own", "two", "theirs")
    yield leave(ctl, "web", "one")
    yield leave(ctl, "own", "two")
    yield remove(ctl, "own", "two")
    yield Call("delete_sandbox", ctl.sandbox("theirs").delete, ["box:theirs"])


@scenario
def bulk(ctl: Controller) -> Iterator[Call | None]:
    yield create(ctl, "web", ipv4="10.2.0.0/24", ipv6="fd02::/64")
    yield attach(ctl, "web", 3)
    yield ARM
    yield attach(ctl, "web", 4)
    yield detach(ctl, "web", 5)
    yield attach(ctl, "web", 2)


@scenario
def bulk_into_sandboxes(ctl: Controller) -> Iterator[Call | None]:
    yield create(ctl, "web", ipv4="10.2.0.0/24")
    yield create(ctl, "lan", ipv6="fd02::/64")
    yield attach(ctl, "web", 2)
    yield sandbox(ctl, "box")
    yield ARM
    boxes = ctl.sandboxes
    yield Call("attach", lambda: ctl.network("lan").attach(boxes, strict=True), [], {"ep:lan/": 3})
    yield detach(ctl, "web", 2)  # the sandboxes stay, by themselves
    yield detach(ctl, "lan", 3)


@scenario
def a_driver_that_fills_in(ctl: Controller) -> Iterator[Call | None]:
    yield create(ctl, "own", "own")
    yield ARM
    yield attach(ctl, "own", 3)
    yield detach(ctl, "own", 2)


@scenario
def ports(ctl: Controller) -> Iterator[Call | None]:
    yield create(ctl, "web", ipv4="10.2.0.0/24", ipv6="fd02::/64")
    yield from (add(ctl, "web", "one"), add(ctl, "web", "two"))
    yield ARM
    yield publish(ctl, one=["8080:80", "53:53/udp"], two=["8081:80"])
    yield unpublish(ctl, "one", "8080:80")
    yield publish(ctl, two=["8080:80"])
    yield attach_publishing(ctl, 2)
    yield unpublish(ctl, "two")
    yield remove(ctl, "web", "one")
    yield detach(ctl, "web", 2)  # one with ports, and "two" without


@scenario
def sandboxes(ctl: Controller) -> Iterator[Call | None]:
    yield ARM
    yield sandbox(ctl, "box")
    yield sandbox(ctl, "theirs", "/run/netns/theirs")
    yield Call("delete_sandbox", ctl.sandbox("box").delete, ["box:box"])
    yield Call("delete_sandbox", ctl.sandbox("theirs").delete, ["box:theirs"])


@scenario
def warm(ctl: Controller) -> Iterator[Call | None]:
    yield create(ctl, "web", ipv4="10.2.0.0/24")
    yield ARM
    pool = ctl.warm("web", 3, wait=False)

    def fill() -> None:
        deadline = time.monotonic() + 20
        while not pool.wait(0.002) and pool._thread is not None and pool._thread.is_alive():
            assert time.monotonic() < deadline

    yield Call("warm", fill)
    yield attach(ctl, "web", 2)
    yield attach(ctl, "web", 3)
    yield detach(ctl, "web", 1)
    yield Call("warm", lambda: ctl.warm("web", 0))


# --- deaths ----------------------------------------------------------------------------------------


def deaths(scenario: Scenario, directory: Path) -> Iterator[tuple[Machine, str]]:
    """Give a machine after each death of a scenario's process."""
    for when in WHEN:
        for at in itertools.count():
            place = directory / f"{when}-{at}"
            place.mkdir(mode=0o700)
            machine, mortal = Machine(place), Mortal(at, when)
            machine.live(scenario, mortal)
            if at >= len(mortal.log):
                assert at, "nothing could go wrong"
                break
            yield machine, f"{when} step {at}, {mortal.log[at]}"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory, in memory where that can be: each start waits for a disk a few times."""
    memory = Path("/dev/shm")
    logging.disable()  # each undo that a death ends says so
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as directory:
        yield Path(directory)
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", SCENARIOS)
def test_death_at_each_step(name: str, place: Path) -> None:
    for machine, words in deaths(SCENARIOS[name], place):
        try:
            machine.check()
        except BaseException as error:
            error.add_note(f"the process died {words}")
            raise


@pytest.mark.parametrize("name", SCENARIOS)
def test_death_in_the_start_that_follows(name: str, place: Path) -> None:
    dice, every = random.Random(name), os.environ.get("DRIVERAPI_CRASH_ALL") == "1"
    for machine, words in deaths(SCENARIOS[name], place):
        for when in WHEN if every else dice.sample(WHEN, 1):
            at = 0 if every else dice.randrange(4)
            tried = 0
            while every or tried < SECOND:
                mortal = Mortal(at, when)
                mortal.armed = True
                with mortal.living():
                    machine.bury(machine.start())
                if not mortal.dead:
                    break
                tried += 1
                at += 1 if every else dice.randint(1, 4)
                words += f"; then {when} step {at}, {mortal.log[-1]}"
        try:
            machine.check()
        except BaseException as error:
            error.add_note(f"the process died {words}")
            raise


def test_a_refusal_at_each_step_of_ports(place: Path) -> None:
    """Each call is done or not; what was refused can be done next, and a start finds all as it was told."""

    def whole(ctl: Controller) -> Iterator[Call | None]:
        return (call for call in ports(ctl) if call is None or call.name != "detach")  # which ends as far as it came

    refused = []
    for at in itertools.count():
        directory = place / f"{at}"
        directory.mkdir(mode=0o700)
        machine, mortal = Machine(directory), Mortal(at, "refused")
        machine.live(whole, mortal)
        assert not mortal.dead
        if at >= len(mortal.log):
            break
        if mortal.log[at] in FAULTS:
            refused.append(mortal.log[at])
            try:
                assert not machine.check().mended
            except BaseException as error:
                error.add_note(f"refused: step {at}, {mortal.log[at]}")
                raise
    assert set(refused) == set(FAULTS)


# --- losses ----------------------------------------------------------------------------------------


def a_bit_of_everything(ctl: Controller) -> Iterator[Call | None]:
    yield create(ctl, "web", ipv4="10.2.0.0/24", ipv6="fd02::/64")
    yield sandbox(ctl, "box")
    yield from (add(ctl, "web", "one"), add(ctl, "web", "idle"))
    yield join(ctl, "web", "one", "box")
    yield attach(ctl, "web", 3)
    pool = ctl.warm("web", 2, wait=False)
    yield Call("warm", lambda: pool.wait(20))
    yield ARM


def links(plane: FakeDataplane) -> None:
    """Somebody deletes the links of all endpoints."""
    assert plane.remove(list(plane.endpoints.values())) == [None] * 6


def reboot(plane: FakeDataplane) -> None:
    """Nothing is there any more."""
    links(plane)
    for network in list(plane.networks):
        plane.remove_network(network)
    plane.drop_sandboxes(list(plane.sandboxes.values()))


@pytest.mark.parametrize("lost", ["keep", "release"])
@pytest.mark.parametrize("loss", [links, reboot])
def test_death_in_the_start_after_a_loss(loss: Callable[[FakeDataplane], None], lost: str, place: Path) -> None:
    for when in WHEN:
        for at in itertools.count():
            directory = place / f"{when}-{at}"
            directory.mkdir(mode=0o700)
            machine, mortal = Machine(directory), Mortal(at, when)
            machine.live(a_bit_of_everything, Mortal())
            loss(machine.dataplane)
            mortal.armed = True
            with mortal.living():
                machine.bury(machine.start(lost))
            if not mortal.dead:
                break
            try:
                _check_after_loss(machine, lost, boxes=loss is links)
            except BaseException as error:
                error.add_note(f"the start died {when} step {at}, {mortal.log[at]}")
                raise


def _check_after_loss(machine: Machine, lost: str, *, boxes: bool) -> None:
    """Start: who had joined is there with its addresses, or not at all; nobody else is. Start again: it is so."""
    machine.bury(machine.start(lost))
    ctl = machine.start(lost)
    try:
        assert ctl.restored is not None
        assert not ctl.restored.mended, ctl.restored
        assert_whole(ctl, machine.dataplane)
        found = facts(ctl)
        wanted = {key: value for key, value in machine.ledger.known.items() if key.startswith("net:")}
        for key, value in machine.ledger.known.items():
            if key.startswith("ep:") and (lost == "keep" or value["sandbox"] is None):
                wanted[key] = {**value, "sandbox": None}
        assert {key: value for key, value in found.items() if not key.startswith("box:")} == wanted
        there = [key for key in machine.ledger.known if key.startswith("box:")] if boxes else []
        assert {key for key in found if key.startswith("box:")} == (set(there) if lost == "keep" else {*there[:1]})
    finally:
        machine.bury(ctl)

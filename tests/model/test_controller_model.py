"""The controller against a model of plain dicts: after every step both have the same things.

Every rule knows what must come of it, faults that are put in included: the driver refuses, the kernel refuses, or
somebody presses Ctrl-C. In the end ``close()`` leaves nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from driverapi import errors
from driverapi.addresses import format_ip
from driverapi.store.contract import State
from tests.support import World

NETWORKS = st.sampled_from(["web", "db", "lab"])
DRIVERS = st.sampled_from(["bridge", "own"])
PREFIXES = st.sampled_from([0, 1, 2])
ENDPOINTS = st.sampled_from(["a", "b", "c"])
BOXES = st.sampled_from(["box1", "box2"])
HOSTS = st.integers(0, 16)
WHICH = st.integers(0, 7)  # an endpoint that there is, those that attach made included
FAULTS = st.sampled_from([None, None, None, "driver", "kernel", "interrupt"])

LAST = 14  # of the hosts 1…14 of a /28

RAISED = {"driver": errors.DriverFaultError, "kernel": errors.KernelError, "interrupt": KeyboardInterrupt}


@dataclass
class Endpoint:
    """An endpoint of the model."""

    hosts: set[int] = field(default_factory=set)
    box: str | None = None
    made: str = ""  # the box that attach made for it
    noticed: bool = False
    half: bool = False  # an interrupted leave: out of the kernel, and due to leave again


@dataclass
class Network:
    """A network of the model."""

    driver: str
    prefix: int
    endpoints: dict[str, Endpoint] = field(default_factory=dict)

    @property
    def taken(self) -> set[int]:
        """Hosts of the prefix that are in use."""
        gateway = {1} if self.driver == "bridge" else set()
        return gateway.union(*(endpoint.hosts for endpoint in self.endpoints.values()))

    @property
    def free(self) -> list[int]:
        """Hosts of the prefix that could be given, the lowest first."""
        return [host for host in range(1, LAST + 1) if host not in self.taken]


class ControllerMachine(RuleBasedStateMachine):
    """Two of everything."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.ctl = self.world.ctl
        self.networks: dict[str, Network] = {}
        self.boxes: dict[str, None] = {}  # in the order of their making

    # --- help -----------------------------------------------------------------------------------

    def expect(self, kind: type[BaseException] | None, call: Callable[[], Any]) -> Any:
        """Call, and raise what is expected or nothing."""
        if kind is None:
            return call()
        with pytest.raises(kind) as caught:
            call()
        assert type(caught.value) is kind
        return None

    def arm(self, fault: str | None, method: str, id: str, faults: dict[str, BaseException]) -> None:
        """Put a fault in: into the driver's method, or into the dataplane for an id."""
        if fault == "kernel":
            faults[id] = errors.KernelError("injected", 5)
        elif fault is not None:
            error = KeyboardInterrupt() if fault == "interrupt" else RuntimeError("injected")
            self.world.bridge.refuse[method] = self.world.own.refuse[method] = error

    def disarm(self) -> None:
        """Take all faults out."""
        self.world.bridge.refuse.clear()
        self.world.own.refuse.clear()
        self.world.dataplane.faults.clear()
        self.world.dataplane.stuck.clear()

    def joined(self, box: str) -> bool:
        """Tell whether an endpoint of the model is in a sandbox."""
        return any(one.box == box for network in self.networks.values() for one in network.endpoints.values())

    # --- networks -------------------------------------------------------------------------------

    @rule(name=NETWORKS, driver=DRIVERS, prefix=PREFIXES, fault=st.sampled_from([None, None, "driver", "interrupt"]))
    def create_network(self, name: str, driver: str, prefix: int, fault: str | None) -> None:
        kind: type[BaseException] | None = None
        if name in self.networks:
            kind = errors.NetworkExistsError
        elif any(network.prefix == prefix for network in self.networks.values()):
            kind = errors.ConflictError
        elif fault:
            kind = RAISED[fault]
        self.arm(fault, "create_network", "", {})
        self.expect(kind, lambda: self.ctl.create_network(driver, name, ipv4=f"10.0.{prefix}.0/28"))
        self.disarm()
        if kind is None:
            self.networks[name] = Network(driver, prefix)

    @rule(name=NETWORKS, fault=FAULTS)
    def delete_network(self, name: str, fault: str | None) -> None:
        network = self.networks.get(name)
        if network is None:
            self.expect(errors.NoNetworkError, lambda: self.ctl.network(name))
            return
        kind = errors.BusyError if network.endpoints else RAISED[fault] if fault else None
        if fault == "kernel" and network.driver == "own":
            fault = kind = None if not network.endpoints else kind  # type: ignore[assignment]
        found = self.ctl.network(name)
        self.arm(fault, "delete_network", found.id, self.world.dataplane.stuck)
        self.expect(kind, found.delete)
        self.disarm()
        if fault == "kernel" and kind is errors.KernelError:
            found.delete()  # the driver's part is done: the second time must come through
            kind = None
        if kind is None:
            del self.networks[name]

    # --- sandboxes ------------------------------------------------------------------------------

    @rule(name=BOXES)
    def create_sandbox(self, name: str) -> None:
        self.expect(errors.SandboxExistsError if name in self.boxes else None, lambda: self.ctl.create_sandbox(name))
        self.boxes[name] = None

    @rule(name=BOXES, stuck=st.booleans())
    def delete_sandbox(self, name: str, stuck: bool) -> None:
        if name not in self.boxes:
            self.expect(errors.NoSandboxError, lambda: self.ctl.sandbox(name))
            return
        box = self.ctl.sandbox(name)
        kind = errors.BusyError if self.joined(name) else errors.KernelError if stuck else None
        if stuck:
            self.world.dataplane.stuck[box.key.rpartition("/")[2]] = errors.KernelError("injected", 16)
        self.expect(kind, box.delete)
        self.disarm()
        if kind is None:
            del self.boxes[name]

    # --- endpoints ------------------------------------------------------------------------------

    @rule(net=NETWORKS, name=ENDPOINTS, host=HOSTS, wanted=st.booleans(), fault=FAULTS)
    def create_endpoint(self, net: str, name: str, host: int, wanted: bool, fault: str | None) -> None:
        network = self.networks.get(net)
        if network is None:
            return
        if fault == "kernel":
            fault = None  # nothing of the kernel's is in it
        text = format_ip(bytes([10, 0, network.prefix, host]))
        self.world.own_driver.chosen = [f"{text}/28"]
        fits = 1 <= host <= LAST
        kind: type[BaseException] | None = None
        by_choice = wanted or network.driver == "own"
        told_first = wanted or network.driver == "bridge"  # the address is looked at before the driver is asked
        bad = errors.InvalidError if not fits else errors.AddressTakenError if host in network.taken else None
        if not by_choice:
            bad = None if network.free else errors.AddressesExhaustedError
        if name in network.endpoints:
            kind = errors.EndpointExistsError
        elif told_first and bad:
            kind = bad
        elif fault:
            kind = RAISED[fault]
        else:
            kind = bad
        self.arm(fault, "create_endpoint", "", {})
        made = self.expect(kind, lambda: self.ctl.network(net).create_endpoint(name, text if wanted else None))
        self.disarm()
        if kind is None:
            network.endpoints[name] = Endpoint({host if by_choice else network.free[0]})
            assert made.name == name

    @rule(net=NETWORKS, name=ENDPOINTS, host=HOSTS)
    def notice_endpoint(self, net: str, name: str, host: int) -> None:
        network = self.networks.get(net)
        if network is None:
            return
        text = format_ip(bytes([10, 0, network.prefix, host]))
        kind: type[BaseException] | None = None
        if name in network.endpoints:
            kind = errors.EndpointExistsError
        elif not 1 <= host <= LAST:
            kind = errors.InvalidError
        elif host in network.taken:
            kind = errors.AddressTakenError
        self.expect(kind, lambda: self.ctl.network(net).notice_endpoint(name, text))
        if kind is None:
            network.endpoints[name] = Endpoint({host}, noticed=True)

    def pick(self, net: str, which: int) -> tuple[str, Endpoint] | None:
        """Return one of the endpoints that a network of the model has."""
        network = self.networks.get(net)
        if network is None or not network.endpoints:
            return None
        return list(network.endpoints.items())[which % len(network.endpoints)]

    @rule(net=NETWORKS, which=WHICH, fault=FAULTS)
    def delete_endpoint(self, net: str, which: int, fault: str | None) -> None:
        found = self.pick(net, which)
        if found is None:
            return
        network, (name, _) = self.networks[net], found
        if fault == "kernel":
            fault = None
        kind = errors.JoinedError if network.endpoints[name].box else RAISED[fault] if fault else None
        endpoint = self.ctl.network(net).endpoint(name)
        self.arm(fault, "delete_endpoint", "", {})
        self.expect(kind, endpoint.delete)
        self.disarm()
        if kind is None:
            del network.endpoints[name]
            self.expect(errors.NoEndpointError, endpoint.delete)

    @rule(net=NETWORKS, which=WHICH, place=WHICH, fault=FAULTS)
    def join(self, net: str, which: int, place: int, fault: str | None) -> None:
        found = self.pick(net, which)
        if found is None or not self.boxes:
            return
        name, model = found
        box = list(self.boxes)[place % len(self.boxes)]
        kind: type[BaseException] | None = RAISED[fault] if fault else None
        if model.box:
            kind = errors.JoinedError
        elif model.noticed:
            kind = errors.ConflictError
        endpoint = self.ctl.network(net).endpoint(name)
        self.arm(fault, "join", endpoint.id, self.world.dataplane.faults)
        self.expect(kind, lambda: endpoint.join(self.ctl.sandbox(box)))
        self.disarm()
        if kind is None:
            model.box = box

    @rule(net=NETWORKS, which=WHICH, place=st.none() | WHICH, fault=FAULTS)
    def leave(self, net: str, which: int, place: int | None, fault: str | None) -> None:
        found = self.pick(net, which)
        if found is None:
            return
        name, model = found
        box = list(self.boxes)[place % len(self.boxes)] if place is not None and self.boxes else None
        kind: type[BaseException] | None = RAISED[fault] if fault else None
        if model.box is None or box not in (None, model.box):
            kind = errors.NotJoinedError
        endpoint = self.ctl.network(net).endpoint(name)
        self.arm(fault, "leave", endpoint.id, self.world.dataplane.stuck)
        self.expect(kind, lambda: endpoint.leave(None if box is None else self.ctl.sandbox(box)))
        self.disarm()
        if kind in (None, errors.DriverFaultError):  # what a driver says of a leave is told, and changes nothing
            model.box, model.half = None, False
        elif kind is KeyboardInterrupt:
            model.half = True

    # --- bulk -----------------------------------------------------------------------------------

    @rule(net=NETWORKS, count=st.integers(0, 6), failing=st.sets(st.integers(0, 5)), fault=FAULTS)
    def attach(self, net: str, count: int, failing: set[int], fault: str | None) -> None:
        network = self.networks.get(net)
        if network is None or network.driver == "own":
            return
        dataplane = self.world.dataplane
        realise = dataplane.realise

        def fail(works: Any, progress: Any = None) -> Any:
            for number in failing & set(range(len(works))):
                error: BaseException = (
                    KeyboardInterrupt() if fault == "interrupt" else errors.KernelError("injected", 5)
                )
                dataplane.faults[works[number].plan.owner] = error
            return realise(works, progress)

        free = network.free
        enough = min(count, len(free))
        if fault == "driver":
            self.arm(fault, "join", "", {})
        elif fault is not None:
            dataplane.realise = fail  # type: ignore[method-assign]
        hit = failing & set(range(enough)) if fault in ("kernel", "interrupt") else set()
        try:
            if fault == "interrupt" and hit:
                self.expect(KeyboardInterrupt, lambda: self.ctl.network(net).attach(count))
                return
            endpoints = self.ctl.network(net).attach(count)
        finally:
            dataplane.realise = realise  # type: ignore[method-assign]
            self.disarm()
        assert len(endpoints) == count
        for number, endpoint in enumerate(endpoints):
            if number >= enough:
                assert type(endpoint.error) is errors.AddressesExhaustedError
            elif fault == "driver":
                assert type(endpoint.error) is errors.DriverFaultError
            elif number in hit:
                assert type(endpoint.error) is errors.KernelError
            else:
                assert endpoint.error is None
                assert endpoint.sandbox is not None
                box = endpoint.sandbox.name
                network.endpoints[endpoint.name] = Endpoint({free[number]}, box, made=box)
                self.boxes[box] = None

    @precondition(lambda self: any(network.endpoints for network in self.networks.values()))
    @rule(data=st.data())
    def detach(self, data: st.DataObject) -> None:
        net = data.draw(st.sampled_from([name for name, network in self.networks.items() if network.endpoints]))
        network = self.networks[net]
        every = list(network.endpoints)  # by number: names that attach makes are drawn at random
        numbers = data.draw(st.lists(st.integers(0, len(every) - 1), unique=True))
        names = [every[number] for number in numbers]
        failing = data.draw(st.sets(st.integers(0, len(every) - 1)))
        stuck = {every[number] for number in failing & set(numbers) if network.endpoints[every[number]].box}
        endpoints = [self.ctl.network(net).endpoint(name) for name in names]
        for endpoint in endpoints:
            if endpoint.name in stuck:
                self.world.dataplane.stuck[endpoint.id] = errors.KernelError("injected", 16)
        self.expect(errors.BulkError if stuck else None, lambda: self.ctl.network(net).detach(endpoints))
        self.disarm()
        assert {endpoint.name for endpoint in endpoints if endpoint.error} == stuck
        for name in set(names) - stuck:
            made = network.endpoints.pop(name).made
            if made in self.boxes and not self.joined(made):
                self.boxes.pop(made)

    # --- both are the same ------------------------------------------------------------------------

    @invariant()
    def same_things(self) -> None:
        assert {network.name for network in self.ctl.networks} == set(self.networks)
        assert {box.name for box in self.ctl.sandboxes} == set(self.boxes)
        assert len(self.world.dataplane.sandboxes) == len(self.boxes)
        states = {record.id: record.state for record in self.ctl._store.records()}
        up = set()
        for network in self.ctl.networks:
            model = self.networks[network.name]
            assert {endpoint.name for endpoint in network.endpoints} == set(model.endpoints)
            assert self.world.ipam.free(network._pools[4].id) == len(model.free)
            assert states.pop(network.id) is State.CREATED
            for endpoint in network.endpoints:
                twin = model.endpoints[endpoint.name]
                (interface,) = endpoint.interfaces
                assert str(interface.packed_address).startswith(f"10.0.{model.prefix}.{min(twin.hosts)}/")
                assert (endpoint.sandbox.name if endpoint.sandbox else None) == twin.box
                assert states.pop(endpoint.id) is (State.JOINED if twin.box else State.CREATED)
                if twin.box and not twin.half:
                    up.add(endpoint.id)
        assert states == {}
        assert set(self.world.dataplane.endpoints) == up
        for box in self.ctl.sandboxes:
            assert all(endpoint.sandbox is box for endpoint in box.endpoints)
            assert bool(box.endpoints) == self.joined(box.name)

    def teardown(self) -> None:
        self.disarm()
        self.ctl.close()
        self.world.assert_empty()


TestController = ControllerMachine.TestCase
TestController.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)

"""What several tests share: a controller in memory, its whole state as data, and trip wires."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from driverapi import Controller, Driver, DriverRegistry, EndpointInfo, JoinInfo, VethLink, errors
from driverapi.drivers.bridge import BridgeDriver
from driverapi.ipam.default import DefaultIPAM
from driverapi.store.contract import Record
from driverapi.testing import FakeDataplane, Recorder

THREADS = 64


class OwnDriver(Driver):
    """A driver without IPAM that fills the interface lists itself, strict about what it is asked."""

    def __init__(self) -> None:
        self.chosen: list[str] = ["10.50.0.7/24"]
        self.networks: dict[str, set[str]] = {}

    def type(self) -> str:
        return "own"

    def create_network(self, network_id: str, options: Mapping[str, Any]) -> None:
        self.networks[network_id] = set()

    def delete_network(self, network_id: str) -> None:
        if network_id not in self.networks:
            raise errors.NoNetworkError(network_id)
        del self.networks[network_id]

    def create_endpoint(
        self, network_id: str, endpoint_id: str, info: EndpointInfo, options: Mapping[str, Any]
    ) -> None:
        if not info.interfaces:
            for number, address in enumerate(self.chosen):
                info.add_interface(number, ipv4=address)
        self.networks[network_id].add(endpoint_id)

    def delete_endpoint(self, network_id: str, endpoint_id: str) -> None:
        if endpoint_id not in self.networks[network_id]:
            raise errors.NoEndpointError(endpoint_id)
        self.networks[network_id].discard(endpoint_id)

    def join(
        self, network_id: str, endpoint_id: str, sandbox_key: str, info: JoinInfo, options: Mapping[str, Any]
    ) -> None:
        for name in info.interface_names:
            name.set_link(VethLink())

    def leave(self, network_id: str, endpoint_id: str) -> None:
        pass


class World:
    """A controller over the fake dataplane, with a bridge driver and one of its own, both recorded."""

    def __init__(self) -> None:
        self.dataplane = FakeDataplane()
        self.ipam = DefaultIPAM()
        self.bridge_driver = BridgeDriver()
        self.own_driver = OwnDriver()
        self.bridge = Recorder(self.bridge_driver)
        self.own = Recorder(self.own_driver)
        registry = DriverRegistry()
        registry.register("bridge", self.bridge)
        registry.register("own", self.own)
        self.ctl = Controller(dataplane=self.dataplane, ipam=self.ipam, registry=registry)

    def state(self) -> dict[str, Any]:
        """All that the controller, its drivers, its pools and the dataplane hold, as data to compare."""
        ctl, lifecycle = self.ctl, self.ctl._lifecycle
        return {
            "networks": {
                network.name: {
                    "names": {name: getattr(one, "id", None) for name, one in network._endpoints.items()},
                    "deleting": network._deleting,
                    "gateways": dict(network._gateways),
                }
                for network in ctl._networks.values()
            },
            "endpoints": {
                endpoint.id: (
                    endpoint.name,
                    endpoint.sandbox and endpoint.sandbox.name,
                    [repr(one) for one in endpoint.interfaces],
                    sorted(endpoint._taken),
                )
                for network in ctl.networks
                for endpoint in network.endpoints
            },
            "sandboxes": {
                box.name: (sorted(endpoint.id for endpoint in box._endpoints), box._joining, box._deleted)
                for box in ctl._sandboxes.values()
            },
            "pools": {id: one.pool.free for id, one in self.ipam._pools.items()},
            "lifecycle": {
                id: (record.state, record.netns and record.netns.key, record.busy, record.realised is not None)
                for id, record in lifecycle._endpoints.items()
            },
            "lifecycle networks": {
                id: (record.ready, sorted(record.endpoints)) for id, record in lifecycle._networks.items()
            },
            "store": {record.id: record for record in ctl._store.records()},
            "bridge driver": {
                id: (sorted(network.endpoints), len(network.macs))
                for id, network in self.bridge_driver._networks.items()
            },
            "own driver": {id: sorted(endpoints) for id, endpoints in self.own_driver.networks.items()},
            "dataplane": (
                sorted(self.dataplane.endpoints),
                sorted(self.dataplane.networks),
                {one.key: sorted(one.names) for one in self.dataplane.sandboxes.values()},
                sorted(self.dataplane.links),
            ),
        }

    def assert_empty(self) -> None:
        """Nothing is left anywhere."""
        state = self.state()
        assert state.pop("dataplane") == ([], [], {}, ["lo"])
        assert {name: part for name, part in state.items() if part} == {}


@contextmanager
def unchanged(world: World) -> Iterator[None]:
    """The state after the block is the state before it."""
    before = world.state()
    yield
    assert world.state() == before


class Trip:
    """Counts the calls that go through wires, and raises at one of them, before it or after it was carried out."""

    def __init__(self, at: int, fault: BaseException, *, after: bool = False) -> None:
        self.at = at
        self.fault = fault
        self.after = after
        self.count = 0
        self.tripped = ""
        self._undo: list[tuple[Any, str, Any]] = []

    def wire(self, thing: Any, *methods: str) -> None:
        for method in methods:
            inner = getattr(thing, method)
            setattr(thing, method, self._wrap(inner, f"{type(thing).__name__}.{method}"))
            self._undo.append((thing, method, inner))

    def _wrap(self, inner: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            number, self.count = self.count, self.count + 1
            if number != self.at:
                return inner(*args, **kwargs)
            self.tripped = name
            if self.after:
                inner(*args, **kwargs)
            raise self.fault

        return call

    def unwire(self) -> None:
        for thing, method, inner in reversed(self._undo):
            setattr(thing, method, inner)


class LoggingStore:
    """A store that tells a log what is written, before it passes it on."""

    def __init__(self, inner: Any, log: list[tuple[str, str]]) -> None:
        self.inner = inner
        self.log = log

    @property
    def keeps(self) -> bool:
        return self.inner.keeps  # type: ignore[no-any-return]

    def put(self, records: Any, gone: Any = ()) -> None:
        written: list[Record] = list(records)
        ids: list[str] = list(gone)
        self.log.extend((record.state.value, record.id) for record in written)
        self.log.extend(("dropped", id) for id in ids)
        self.inner.put(written, ids)

    def owe(self, records: Any = (), gone: Any = ()) -> None:
        self.put(records, gone)

    def flush(self) -> None:
        self.inner.flush()

    def records(self) -> Sequence[Record]:
        return self.inner.records()  # type: ignore[no-any-return]

    def close(self) -> None:
        self.inner.close()


def at_once(call: Callable[[int], Any], threads: int = THREADS) -> list[Any]:
    """Run ``call(0)``, ``call(1)``, … in threads that start together; return values and exceptions."""
    barrier = threading.Barrier(threads)
    answers: list[Any] = [None] * threads

    def run(number: int) -> None:
        barrier.wait(30)
        try:
            answers[number] = call(number)
        except Exception as error:
            answers[number] = error

    workers = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert not worker.is_alive(), "a call hangs"
    return answers


def exactly_one(answers: Sequence[Any], loser: type[Exception]) -> Any:
    """Return the one answer that is no exception; the others are all of the loser's class."""
    winners = [answer for answer in answers if not isinstance(answer, Exception)]
    assert len(winners) == 1, answers
    assert {type(answer) for answer in answers if isinstance(answer, Exception)} == {loser}
    return winners[0]

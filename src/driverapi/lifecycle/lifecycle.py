"""The life of endpoints: create, join, leave, delete, each over a sequence of requests.

Two callers stand on it, the Controller and the plugin server; it knows neither names nor IPAM.
For every request there is one outcome, ``None`` or its own error, and a request that failed has
been undone in reverse: what the dataplane realised, the driver's ``leave``, its
``delete_endpoint``. Intent goes into the store before the driver is called, the outcome after.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from driverapi import errors
from driverapi.api import Driver, JoinInfo, Options, PlansNetwork
from driverapi.control.joining import wishes_of
from driverapi.dataplane.contract import Dataplane, Progress, Work
from driverapi.lifecycle.asking import ask, check_next_hops, may_join, outcome_of, plan_of, recall, undo
from driverapi.lifecycle.blocking import Flights
from driverapi.lifecycle.notes import Notes
from driverapi.lifecycle.records import CreateRequest, EndpointRecord, JoinRequest, NetworkRecord, Outcome
from driverapi.lifecycle.watching import Watch, network_verb, undo_failed, verb
from driverapi.plan import EndpointPlan, NetworkPlan, check_network_plan
from driverapi.ports import external
from driverapi.ports.ports import Ports
from driverapi.store.contract import Kind, Record, State, Store

__all__ = ["Lifecycle"]


class Lifecycle:
    """Drives drivers and the dataplane.

    Calls for one endpoint queue: a second ``join`` waits for the first and then fails.

    Thread safety: all methods.
    """

    def __init__(self, dataplane: Dataplane, store: Store, *, quarantine: float = 0.0) -> None:
        self._dataplane = dataplane
        self._store = store
        self.watch = Watch()
        self.ports = Ports(self, dataplane)
        self.notes = Notes(dataplane, keeps=store.keeps, quarantine=quarantine)
        self._flights = Flights()
        self._free = threading.Condition()  # guards the two tables; told when endpoints are no longer busy
        self._networks: dict[str, NetworkRecord] = {}
        self._endpoints: dict[str, EndpointRecord] = {}

    # --- networks -------------------------------------------------------------------------------

    @network_verb("create_network")
    def create_network(
        self, id: str, driver: Driver, options: Options, data: bytes | None = None, name: str = ""
    ) -> NetworkRecord:
        """Create a network: the driver's part, then what it needs on the host.

        Parameters
        ----------
        data : bytes, optional
            What the caller wants to find in the store with it.
        name : str
            How errors call it; by default its id.
        """
        record = NetworkRecord(id, driver)
        with self._free:
            if id in self._networks:
                raise errors.NetworkExistsError(f"network {id} exists already")
            self._networks[id] = record
        done: list[Callable[[], object]] = [lambda: self._forget_network(id)]
        try:
            self._store.put([Record(id, id, State.CREATING, kind=Kind.NETWORK, data=data)])
            done.append(lambda: driver.delete_network(id))  # owed from here on, should an interrupt come
            try:
                ask(driver, lambda: driver.create_network(id, options))
            except Exception:
                done.pop()
                raise
            if isinstance(driver, PlansNetwork):
                plan = check_network_plan(ask(driver, lambda: driver.network_plan(id)), f"driver {driver.type()!r}")
                record.plan = replace(plan, name=name)
                self._dataplane.realise_network(id, record.plan)
                done.append(lambda: self._dataplane.remove_network(id))
            record.memory = recall(driver, id)
            record.kept = self.notes.network(record)
            self._store.put([Record(id, id, State.CREATED, kind=Kind.NETWORK, made=record.kept)])
        except BaseException as error:
            undo(done, error)
            raise
        record.ready = True
        return record

    def has_network(self, id: str) -> bool:
        """Tell whether there is a network of that id, ready or not."""
        return id in self._networks

    def networks(self) -> list[str]:
        """Return the ids of the networks."""
        with self._free:
            return list(self._networks)

    def endpoints(self) -> list[str]:
        """Return the ids of all endpoints."""
        with self._free:
            return list(self._endpoints)

    def endpoints_of(self, network: str) -> list[str]:
        """Return the ids of a network's endpoints; none of a network that there is not."""
        with self._free:
            record = self._networks.get(network)
            return [] if record is None else list(record.endpoints)

    def plan_of(self, network: str) -> NetworkPlan | None:
        """Return what a network has on the host, if its driver plans that."""
        record = self._networks.get(network)
        return None if record is None else record.plan

    def counts(self) -> tuple[int, int]:
        """Return how many networks and endpoints there are."""
        return len(self._networks), len(self._endpoints)

    @network_verb("delete_network")
    def delete_network(self, id: str) -> None:
        """Delete a network that has no endpoints: the driver's part, then what it had on the host."""
        record: NetworkRecord | None = None
        try:
            with self._free:
                found = self._network(id)
                if found.endpoints:
                    raise errors.BusyError(f"network {id[:12]} has {len(found.endpoints)} endpoints; delete them first")
                record, found.ready = found, False
            self._store.put([Record(id, id, State.DELETING, kind=Kind.NETWORK)])
            with contextlib.suppress(errors.NoNetworkError):  # an earlier deletion came this far
                ask(record.driver, lambda: record.driver.delete_network(id))
            if record.plan is not None:
                self._dataplane.remove_network(id)
        except BaseException:
            if record is not None:
                record.ready = True  # to be deleted again
                self._store.owe([Record(id, id, State.CREATED, kind=Kind.NETWORK)])
            raise
        try:
            self._forget_network(id)
        except MemoryError:  # of one moment: the rest of it is gone
            self._forget_network(id)

    def _forget_network(self, id: str) -> None:
        with self._free:
            self._networks.pop(id, None)
        self._flights.forget(id)
        self._store.owe(gone=self.notes.network_gone(id))

    def _network(self, id: str) -> NetworkRecord:
        record = self._networks.get(id)
        if record is None or not record.ready:
            raise errors.NoNetworkError(f"no network {id[:12]}, or it is being created or deleted")
        return record

    # --- endpoints ------------------------------------------------------------------------------

    def __contains__(self, id: str) -> bool:
        """Tell whether there is an endpoint of that id."""
        return id in self._endpoints

    def endpoint(self, id: str) -> EndpointRecord:
        """Return the record of an endpoint.

        Raises
        ------
        errors.NoEndpointError
            There is none of that id.
        """
        record = self._endpoints.get(id)
        if record is None:
            raise errors.NoEndpointError(f"no endpoint {id[:12]}")
        return record

    @verb("create")
    def create(self, requests: Sequence[CreateRequest], progress: Progress | None = None) -> list[Outcome]:
        """Create endpoints: the driver consumes or fills the interfaces of each."""
        outcomes: list[Outcome] = [None] * len(requests)
        records: dict[int, EndpointRecord] = {}
        created: dict[int, None] = {}

        def step(position: int) -> None:
            created[position] = None  # from here on its deletion is owed, should an interrupt come
            outcomes[position] = self._create_one(records[position], requests[position].options)
            if outcomes[position] is not None:
                del created[position]

        try:
            with self._free:
                for position, request in enumerate(requests):
                    try:
                        self._claim(request, records, position)
                    except errors.DriverAPIError as error:
                        outcomes[position] = error
            self._put((records.values(), State.CREATING))
            self._each(records, step, progress, creating=True)
            self._put(([records[position] for position in created], State.CREATED))
        except BaseException as error:
            undo([self._deletion(records[position]) for position in created], error)
            self._forget(records.values())
            raise
        try:
            self._forget(record for position, record in records.items() if outcomes[position] is not None)
        finally:
            self._let_go(records)
        return outcomes

    def _claim(self, request: CreateRequest, records: dict[int, EndpointRecord], position: int) -> None:
        network = self._network(request.network)
        if request.endpoint in self._endpoints:
            raise errors.EndpointExistsError(f"endpoint {request.endpoint[:12]} exists already")
        record = EndpointRecord(network, request.endpoint, request.info, State.CREATING, name=request.name)
        record.options, record.fresh = request.options, request.joins
        records[position] = record  # first: an interrupt must find what is claimed
        self._endpoints[record.id] = network.endpoints[record.id] = record

    @staticmethod
    def _create_one(record: EndpointRecord, options: Options) -> Outcome:
        driver = record.network.driver
        try:
            ask(driver, lambda: driver.create_endpoint(record.network.id, record.id, record.info, options), record.what)
        except Exception as error:
            return error
        finally:
            record.info._seal()
        return None

    @staticmethod
    def _deletion(record: EndpointRecord) -> Callable[[], object]:
        def delete() -> None:
            with contextlib.suppress(errors.NoEndpointError):  # an earlier deletion came this far
                record.network.driver.delete_endpoint(record.network.id, record.id)

        return delete

    @verb("delete")
    def delete(self, endpoints: Sequence[str]) -> list[Outcome]:
        """Delete endpoints that have left their sandboxes."""
        with self._holding(endpoints) as (records, outcomes):
            for position, record in records.items():
                if record.state is State.JOINED:
                    outcomes[position] = errors.JoinedError(f"{record.what} is in a sandbox; let it leave first")
            due = {position: record for position, record in records.items() if outcomes[position] is None}
            gone: list[int] = []

            def step(position: int) -> None:
                record = due[position]
                outcomes[position] = self._leave_owed(record) or outcome_of(record, self._deletion(record))
                if outcomes[position] is None:
                    gone.append(position)

            try:
                self._put((due.values(), State.DELETING))
                self.ports.give_up(due.values())
                self._each(due, step)
            finally:  # after an interrupt too: what the driver has deleted is gone, the rest is not
                try:
                    self._forget([due.pop(position) for position in gone])
                finally:
                    for record in due.values():
                        record.fresh = record.ending = False  # it is to be seen
                    self._owe((due.values(), State.CREATED))
        return outcomes

    @verb("join")
    def join(self, requests: Sequence[JoinRequest], progress: Progress | None = None) -> list[Outcome]:
        """Join endpoints to sandboxes: the drivers declare, the dataplane realises."""
        with self._holding([request.endpoint for request in requests]) as (records, outcomes):
            for position, record in records.items():
                outcomes[position] = may_join(record, requests[position].netns) or self._leave_owed(record)
            due = [position for position in records if outcomes[position] is None]
            for position in due:
                records[position].netns = requests[position].netns
                records[position].join_options = requests[position].options
                records[position].warm = requests[position].warm
                records[position].place = requests[position].sandbox
            plans: dict[int, EndpointPlan | None] = {}  # of those whose drivers were asked: None while they are
            answers: Sequence[Any] = ()

            def step(position: int) -> None:
                plans[position] = None  # from here on its leave is owed, should an interrupt come
                plan = self._ask_join(records[position], requests[position])
                if isinstance(plan, EndpointPlan):
                    plans[position] = plan
                else:
                    del plans[position]
                    outcomes[position] = plan

            try:
                self._put(([records[position] for position in due], State.JOINING))
                self._each({position: records[position] for position in due}, step, progress)
                asked = [position for position in due if position in plans]
                works = [
                    Work(plan, requests[position].netns) for position in asked if (plan := plans[position]) is not None
                ]
                answers = self._dataplane.realise(works, progress)
                for position, answer in zip(asked, answers, strict=True):
                    if isinstance(answer, Exception):
                        undo([self._leaving(records[position])], answer)
                        outcomes[position] = answer
                    else:
                        records[position].realised = answer
                for position, fault in self._program(records, asked, outcomes, progress).items():
                    undo([self._leaving(records[position])], fault)
                    outcomes[position] = fault
                failed = [position for position in due if outcomes[position] is not None]
                joined = [position for position in due if outcomes[position] is None]
                for position in failed:
                    _parted(records[position])
                _note(requests, joined, inside=True)
                self._put(
                    ([records[position] for position in failed], State.CREATED),
                    ([records[position] for position in joined], State.JOINED),
                )
            except BaseException as error:
                made = [answer for answer in answers if not isinstance(answer, Exception)]
                steps = [self._leaving(records[position]) for position in plans if outcomes[position] is None]
                undo([*steps, partial(self._remove, made, error)], error)
                for position in due:
                    _parted(records[position])
                _note(requests, due, inside=False)
                self._owe(([records[position] for position in due], State.CREATED))
                raise
        return outcomes

    def _program(
        self,
        records: Mapping[int, EndpointRecord],
        asked: Sequence[int],
        outcomes: Sequence[Outcome],
        progress: Progress | None,
    ) -> dict[int, Exception]:
        """Have drivers that publish ports themselves do so; take away the links of those that cannot have theirs."""
        due = {
            position: records[position]
            for position in asked
            if outcomes[position] is None and external.programs(records[position].network.driver)
        }
        faults: dict[int, Exception] = {}

        def step(position: int) -> None:
            fault = outcome_of(due[position], partial(external.program, due[position]))
            if fault is not None:
                faults[position] = fault

        self._each(due, step, None if progress is None else lambda _: progress(len(asked)))
        gone = self._dataplane.remove([due[position].realised for position in faults]) if faults else ()
        for fault, refused in zip(faults.values(), gone, strict=False):
            if refused is not None:
                fault.add_note(f"while undoing: {refused}")
                undo_failed(refused)
        return faults

    def _remove(self, made: Sequence[Any], error: BaseException) -> None:
        for refused in self._dataplane.remove(made):
            if refused is not None:
                error.add_note(f"while undoing: {refused}")
                undo_failed(refused)

    @staticmethod
    def _ask_join(record: EndpointRecord, request: JoinRequest) -> EndpointPlan | Exception:
        """Call the driver's ``join``; unless it refuses, its ``leave`` is owed."""
        driver, network = record.network.driver, record.network.id
        join = JoinInfo(record.info)
        try:
            wishes_of(record.options, request.options)  # what is wrong in them is told before the driver is asked
            ask(driver, lambda: driver.join(network, record.id, request.netns.key, join, request.options), record.what)
        except Exception as error:
            return error
        finally:
            join._seal()
        record.join = join
        try:
            plan = plan_of(record, join)
            check_next_hops(plan, record.what)
        except errors.DriverAPIError as error:
            undo([Lifecycle._leaving(record)], error)
            return error
        return plan

    @staticmethod
    def _leaving(record: EndpointRecord) -> Callable[[], object]:
        return lambda: record.network.driver.leave(record.network.id, record.id)

    def _leave_owed(self, record: EndpointRecord) -> Outcome:
        """Ask the driver for the ``leave`` that it refused before, if it did."""
        if not record.owes_leave:
            return None
        outcome = outcome_of(record, self._leaving(record))
        record.owes_leave = outcome is not None
        return outcome

    @verb("leave")
    def leave(self, requests: Sequence[JoinRequest], progress: Progress | None = None) -> list[Outcome]:
        """Let endpoints leave their sandboxes.

        It goes on after an error. What the kernel had is gone unless the dataplane's error
        says otherwise; then the endpoint is still joined and can leave again. A driver whose
        ``leave`` raised is asked again before the endpoint joins or is deleted. One that
        ``leaves_first`` is asked before the kernel.
        """
        with self._holding([request.endpoint for request in requests]) as (records, outcomes):
            for position, record in records.items():
                if record.state is not State.JOINED or record.netns is not requests[position].netns:
                    outcomes[position] = errors.NotJoinedError(
                        f"{record.what} has not joined sandbox {requests[position].sandbox_name}"
                    )
            due = [position for position in records if outcomes[position] is None]
            for position in due:
                records[position].ending = requests[position].ends
            gone: set[int] = set()
            first = {position for position in due if records[position].network.driver.leaves_first}
            faults: dict[int, Outcome] = {}

            def leave(position: int) -> None:
                records[position].owes_leave = True
                faults[position] = self._leave_owed(records[position])

            def step(position: int) -> None:
                if position not in first:
                    leave(position)
                outcomes[position] = faults[position]
                _parted(records[position])
                gone.add(position)

            try:
                self._put(([records[position] for position in due], State.LEAVING))
                self._each({position: records[position] for position in due if position in first}, leave, progress)
                answers = self._dataplane.remove([records[position].realised for position in due], progress)
                for position, answer in zip(due, answers, strict=True):
                    outcomes[position] = answer
                self._each({position: records[position] for position in due if outcomes[position] is None}, step)
            finally:  # after an interrupt too: those whose driver was not asked can leave again
                try:
                    _note(requests, gone, inside=False)
                except MemoryError:  # of one moment: the caller's table and ours would differ
                    _note(requests, gone, inside=False)
                stay = [records[position] for position in due if position not in gone]
                for record in stay:
                    record.ending = False
                self._owe(([records[position] for position in gone], State.CREATED), (stay, State.JOINED))
        return outcomes

    def hand_over(self, endpoints: Sequence[str]) -> None:
        """Have warm endpoints be somebody's: from now on they outlive a crash."""
        records = [self.endpoint(id) for id in endpoints]
        self._store.put([Record(one.id, one.network.id, State.JOINED, one.key) for one in records])
        for record in records:
            record.warm = False

    def oper_info(self, endpoint: str) -> Mapping[str, Any]:
        """Ask the driver for the operational data of an endpoint."""
        record = self.endpoint(endpoint)
        driver = record.network.driver
        return ask(driver, lambda: driver.endpoint_oper_info(record.network.id, record.id))

    def take_back(self, record: NetworkRecord | EndpointRecord) -> None:
        """Know again what an earlier process knew."""
        with self._free:
            if isinstance(record, NetworkRecord):
                self._networks[record.id] = record
            else:
                self._endpoints[record.id] = record.network.endpoints[record.id] = record

    def _each(
        self,
        records: Mapping[int, EndpointRecord],
        step: Callable[[int], object],
        progress: Progress | None = None,
        *,
        creating: bool = False,
    ) -> None:
        """Take a step with the driver of each endpoint, in order; with those of blocking drivers, several at once."""
        blocking: dict[NetworkRecord, list[int]] = {}
        for position, record in records.items():
            if getattr(record.network.driver, "join_in_flight", 0):
                blocking.setdefault(record.network, []).append(position)
            else:
                step(position)
        for network, positions in blocking.items():
            steps = [partial(step, position) for position in positions]
            pause = _nothing if progress is None else partial(progress, 0)
            if creating:
                self._flights.creating(network.driver, network.id, steps, pause)
            else:
                self._flights.joining(network.driver, steps, pause)

    # --- bookkeeping ----------------------------------------------------------------------------

    @contextlib.contextmanager
    def _holding(self, endpoints: Sequence[str]) -> Iterator[tuple[dict[int, EndpointRecord], list[Outcome]]]:
        """Hold the endpoints of a call, all at once, when no other call is at work on any of them."""
        outcomes: list[Outcome] = [None] * len(endpoints)
        records: dict[int, EndpointRecord] = {}
        seen: set[str] = set()
        try:
            with self._free:
                self._free.wait_for(lambda: not any((one := self._endpoints.get(id)) and one.busy for id in endpoints))
                for position, id in enumerate(endpoints):
                    record = self._endpoints.get(id)
                    if record is None:
                        outcomes[position] = errors.NoEndpointError(f"no endpoint {id[:12]}")
                    elif id in seen:
                        outcomes[position] = errors.InvalidError(f"{record.what} comes twice in one call")
                    else:
                        records[position] = record  # first: an interrupt must find what is held
                        record.busy = True
                        seen.add(id)
            yield records, outcomes
        finally:
            self._let_go(records)

    def _let_go(self, records: Mapping[int, EndpointRecord]) -> None:
        try:
            self._free_all(records)
        except MemoryError:  # of one moment: who waits for them would wait for ever
            self._free_all(records)

    def _free_all(self, records: Mapping[int, EndpointRecord]) -> None:
        for position in records:
            records[position].busy = False
        with self._free:
            self._free.notify_all()

    def _put(self, *changes: tuple[Collection[EndpointRecord], State]) -> None:
        """Change states, and tell the store in one transaction; they are changed even if it fails."""
        written = self._changed(changes)
        if written:
            self._store.put(written)

    def _owe(self, *changes: tuple[Collection[EndpointRecord], State]) -> None:
        """Change states after the act, or back: the store is told when it can be."""
        written = self._changed(changes)
        if written:
            self._store.owe(written)

    def _changed(self, changes: Sequence[tuple[Collection[EndpointRecord], State]]) -> list[Record]:
        """Change states; return what the store is to be told of it."""
        written = []
        networks = {}
        for records, state in changes:
            for record in records:
                record.state = state
                if state is State.JOINED:
                    record.fresh = False
                    networks[record.network.id] = record.network
                note = self.notes.endpoint(record, state)
                if note is not None:
                    written.append(note)
        written += filter(None, map(self.notes.grown, networks.values()))
        return written

    def _note_ports(self, records: Sequence[EndpointRecord], *, owed: bool = False) -> None:
        """Tell the store what ports endpoints have: before the caller is told, or when it can be told."""
        if not self._store.keeps or not records:
            return
        written = [note for record in records if (note := self.notes.endpoint(record, record.state)) is not None]
        if owed:
            self._store.owe(written)
        else:
            self._store.put(written)

    def _forget(self, records: Iterable[EndpointRecord]) -> None:
        gone = list(records)
        with self._free:
            for record in gone:
                self._endpoints.pop(record.id, None)
                record.network.endpoints.pop(record.id, None)
                record.busy = False
            self._free.notify_all()
        if gone:
            self._store.owe(*self.notes.gone(gone))


def _nothing() -> None:
    """Have nothing to look at."""


def _parted(record: EndpointRecord) -> None:
    record.netns = record.join = record.realised = None
    if record.ports and external.programs(record.network.driver):
        record.ports = {}  # the driver has revoked them


def _note(requests: Sequence[JoinRequest], positions: Iterable[int], *, inside: bool) -> None:
    for position in positions:
        note = requests[position].note
        if note is not None:
            note(inside)

"""A controller that starts again on its state: what lives is taken over, the rest is finished, undone or taken away.

In this order, so that being killed at any point of it changes nothing for the next start:

1. all records are read, and the drivers are asked again for all that they had: they have forgotten it;
2. the dataplane is asked what of it there is (``Survey``), and takes that over;
3. what carries our mark and was not taken is taken away;
4. the records are brought in line, in one transaction;
5. what was being taken away when the process ended is taken away, and so is what was nobody's yet (warm endpoints).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from driverapi import errors, labels
from driverapi.addresses import Address
from driverapi.api import Driver, EndpointInfo, IPAMData, JoinInfo, Options, Origin, PlansNetwork
from driverapi.control.keeping import sandbox_record
from driverapi.dataplane.contract import Ownership, Publishes, Survey, Swept, Work
from driverapi.endpoint import Endpoint
from driverapi.events import emit, of_fault, of_network
from driverapi.ipam.asking import ask as ask_ipam
from driverapi.ipam.contract import KnowsPools
from driverapi.ipam.wishes import Wish
from driverapi.lifecycle.asking import ask, plan_of
from driverapi.lifecycle.knowing import KnowsAgain
from driverapi.lifecycle.records import EndpointRecord, JoinRequest, NetworkRecord
from driverapi.network import Network
from driverapi.plan import NetworkPlan, PortMap, check_network_plan
from driverapi.ports import external
from driverapi.sandbox import Sandbox
from driverapi.services.services import Services
from driverapi.store.contract import Kind, Record, State
from driverapi.store.data import (
    EndpointData,
    EndpointMade,
    LeaseData,
    NetworkData,
    NetworkMade,
    RestingMade,
    SandboxData,
    decode,
    one_of,
)

if TYPE_CHECKING:
    from driverapi.controller import Controller

__all__ = ["Restored", "endpoint_again", "join_again", "lose_ports", "restore"]

T = TypeVar("T")

_HALF: Final = frozenset({State.CREATING, State.DELETING})
_INSIDE: Final = frozenset({State.JOINED, State.WARM, State.LEAVING, State.DELETING})


@dataclass(frozen=True, slots=True)
class Restored:
    """What a controller found when it started again.

    Attributes
    ----------
    networks, endpoints, sandboxes : int
        How many there are again.
    joined : int
        Endpoints that are in their sandboxes, as they were.
    rebuilt : tuple of str
        Names of networks of which not all was there: made anew.
    down : tuple of (str, str)
        Network and endpoint, by name, of endpoints that had joined a sandbox and are in it no more. They keep
        their addresses, or are deleted: see ``lost`` of the controller.
    gone : tuple of str
        Names of sandboxes that are no more.
    lost_ports : tuple of (str, str, PortMap)
        Published ports that could not be published again, as somebody has them since: network and endpoint, by name,
        and the port. The other ports of the endpoint are published as they were.
    undone : int
        Networks and endpoints that were being made, or were nobody's yet.
    finished : int
        Networks and endpoints that were being taken away.
    swept : Swept
        What carried our mark and belonged to nothing of all that.
    seconds : float
        How long it took.
    """

    networks: int = 0
    endpoints: int = 0
    sandboxes: int = 0
    joined: int = 0
    rebuilt: tuple[str, ...] = ()
    down: tuple[tuple[str, str], ...] = ()
    gone: tuple[str, ...] = ()
    lost_ports: tuple[tuple[str, str, PortMap], ...] = ()
    undone: int = 0
    finished: int = 0
    swept: Swept = field(default_factory=Swept)
    seconds: float = 0.0

    @property
    def ports_lost(self) -> tuple[tuple[str, str], ...]:
        """Network and endpoint, by name, of endpoints that have lost a port: ``lost_ports`` says which."""
        return tuple(dict.fromkeys((network, endpoint) for network, endpoint, _ in self.lost_ports))

    @property
    def mended(self) -> bool:
        """Whether anything was not as the records had it."""
        return bool(
            self.rebuilt or self.down or self.gone or self.lost_ports or self.undone or self.finished or self.swept
        )


@dataclass(eq=False, slots=True)
class _Member:
    """One endpoint on its way back."""

    endpoint: Endpoint
    record: EndpointRecord
    state: State  # as it was written
    made: EndpointMade | None


class _Restorer:
    def __init__(self, controller: Controller, *, release: bool) -> None:
        self._controller = controller
        self._release = release
        self._lifecycle = controller._lifecycle
        self._networks: dict[str, tuple[Network, NetworkRecord, NetworkMade]] = {}
        self._members: list[_Member] = []
        self._sandboxes: dict[str, tuple[Sandbox, SandboxData]] = {}  # by name
        self._writes: list[Record] = []
        self._gone: list[str] = []
        self._rebuilt: list[str] = []
        self._down: list[_Member] = []
        self._lost: list[str] = []
        self._parting: list[Sandbox] = []  # that were being deleted
        self._lost_ports: list[tuple[str, str, PortMap]] = []
        self._undone = self._finished = 0

    def run(self) -> Restored:
        began = time.perf_counter()
        records: dict[Kind, list[Record]] = {kind: [] for kind in Kind}
        for record in self._controller._store.records():
            records[record.kind].append(record)
        for record in records[Kind.NETWORK]:
            self._read_network(record)
        for record in records[Kind.ENDPOINT]:
            if record.state is not State.RESTING:
                self._read_endpoint(record)
        self._let_rest([record for record in records[Kind.ENDPOINT] if record.state is State.RESTING])
        for record in records[Kind.LEASE]:
            self._read_lease(record)
        survey = self._controller._dataplane.survey()  # type: ignore[attr-defined]
        self._take_sandboxes(survey, records[Kind.SANDBOX])
        for network, known, made in self._networks.values():
            if isinstance(network._driver, PlansNetwork):
                self._take_network(survey, network, known, made)
        self._take_endpoints(survey)
        self._take_ports(survey)
        swept = survey.sweep()
        self._settle_sandboxes()
        self._controller._files.sweep()
        self._controller._store.put(self._writes, self._gone)
        self._end()
        networks = self._controller.networks
        return Restored(
            networks=len(networks),
            endpoints=sum(len(network.endpoints) for network in networks),
            sandboxes=len(self._controller.sandboxes),
            joined=sum(endpoint.sandbox is not None for network in networks for endpoint in network.endpoints),
            rebuilt=tuple(self._rebuilt),
            down=tuple((one.endpoint.network.name, one.endpoint.name) for one in self._down),
            gone=tuple(self._lost),
            lost_ports=tuple(self._lost_ports),
            undone=self._undone,
            finished=self._finished,
            swept=swept,
            seconds=time.perf_counter() - began,
        )

    # --- what there was -----------------------------------------------------------------------------

    def _read_network(self, record: Record) -> None:
        data = decode(record.data, NetworkData)
        if record.state in _HALF:
            self._count_half(record.state)
            driver = self._driver(data)
            self._end_half(record, driver, lambda: driver.delete_network(record.id))
            return
        controller = self._controller
        made = decode(record.made, NetworkMade)
        driver = self._driver(data)
        if "ipam" in data.plugins:
            controller.ipams.expect(data.ipam)
        network = self._named(data.name, lambda: Network(controller, record.id, data.name, data.type, data.ipam))
        ipam = network._addressing.ipam
        network._addressing.gives = driver.requires_ipam and getattr(ipam, "gives_addresses", True)
        given = []
        for one in data.prefixes:
            prefix = Address(one.ip, one.length)
            within = None if one.within is None else Address(*one.within)
            wish = Wish(
                prefix.version,
                prefix,
                within=within,
                exclude=tuple(one.exclude),
                serial=one.serial,
                space=data.space,
                options=data.ipam_options,
                pool=one.pool,
            )
            knows = ipam if isinstance(ipam, KnowsPools) and one.pool else None
            if knows is None:
                pool = wish.request(ipam, f"network {data.name!r}", (), allow_overlap=True)
            else:
                pool = wish.known(knows)
            network._pools[prefix.version] = pool
            gateway = None
            if one.gateway is not None:
                take = ipam.request_address if knows is None else knows.know_gateway
                gateway = ask_ipam(take, pool.id, one.gateway)
                network._gateways[prefix.version] = gateway
            given.append(IPAMData(pool.prefix, gateway))
        options = {**data.options, labels.IPAM_DATA: tuple(given), labels.MEMORY: made.memory}
        self._named(data.name, lambda: ask(driver, lambda: driver.create_network(record.id, options)))
        known = NetworkRecord(record.id, driver, memory=made.memory, kept=record.made or b"", ready=True)
        self._lifecycle.take_back(known)
        network._driver = driver
        controller._networks[data.name] = network
        self._networks[record.id] = (network, known, made)

    def _driver(self, data: NetworkData) -> Driver:
        if "driver" in data.plugins:
            self._controller.registry.expect(data.type)
        return self._named(data.name, lambda: self._controller._configured(data.type))

    @staticmethod
    def _named(network: str, step: Callable[[], T]) -> T:
        try:
            return step()
        except errors.DriverAPIError as error:
            error.add_note(f"network {network!r} of the state cannot be had again; nothing was changed")
            raise

    def _end_half(self, record: Record, driver: Driver, step: Callable[[], object]) -> None:
        """Have a driver forget what was half-done; a plugin that is away is asked at the next start."""
        try:
            ask(driver, step)
        except errors.PluginDownError:
            return
        except errors.NotFoundError:
            pass
        self._gone.append(record.id)

    def _read_endpoint(self, record: Record) -> None:
        found = self._networks.get(record.network)
        if found is None or record.data is None:
            self._count_half(record.state)
            if found is None:
                self._gone.append(record.id)
            else:
                driver = found[1].driver
                self._end_half(record, driver, lambda: driver.delete_endpoint(record.network, record.id))
            return
        network, known, _ = found
        data = decode(record.data, EndpointData)
        again = self._named(network.name, lambda: endpoint_again(known, record.id, data))
        endpoint = Endpoint(network, record.id, data.name, again.info)
        for version, pool in network._pools.items():
            for one in data.interfaces:
                ip = one.ipv4 if version == 4 else one.ipv6
                if ip is not None and ip in pool.prefix:
                    network._addressing.take_again(pool.id, ip, one.mac)
                    endpoint._taken.append((pool.id, ip))
        self._lifecycle.take_back(again)
        network._endpoints[data.name] = endpoint
        made = decode(record.made, EndpointMade) if record.made and record.state in _INSIDE else None
        self._members.append(_Member(endpoint, again, record.state, made))

    def _let_rest(self, records: list[Record]) -> None:
        """Put addresses into quarantine again, in the order in which they were given back."""
        for at, record in sorted(((decode(one.made, RestingMade).at, one) for one in records), key=lambda one: one[0]):
            found = self._networks.get(record.network)
            if found is None or not self._lifecycle.notes.rest(record.network, record.id, at):
                self._gone.append(record.id)
                continue
            for one in decode(record.data, EndpointData).interfaces:
                for version, ip in ((4, one.ipv4), (6, one.ipv6)):
                    pool = found[0]._pools.get(version)
                    if pool is not None and ip is not None and ip in pool.prefix:
                        with contextlib.suppress(errors.AddressTakenError):  # given again: there was no other
                            found[0]._addressing.take_again(pool.id, ip, one.mac)
                            ask_ipam(found[0]._addressing.ipam.release_addresses, pool.id, [ip])

    def _read_lease(self, record: Record) -> None:
        found = self._networks.get(record.network)
        data = decode(record.data, LeaseData)
        pool = None if found is None else found[0]._pools.get(4 if len(data.ip) == 4 else 6)
        if found is None or pool is None:
            self._gone.append(record.id)
            return
        ipam: Any = found[0]._addressing.ipam
        ask_ipam(ipam.lease, pool.id, data.owner, wanted=data.ip, mac=data.mac)

    def _count_half(self, state: State) -> None:
        if state in (State.DELETING, State.LEAVING):
            self._finished += 1
        else:
            self._undone += 1

    # --- what there is ------------------------------------------------------------------------------

    def _take_sandboxes(self, survey: Survey, records: list[Record]) -> None:
        known = [decode(record.data, SandboxData) for record in records]
        taken = survey.sandboxes([(one.key, one_of(Ownership, one.ownership)) for one in known])
        used = {one.made.sandbox for one in self._members if one.made is not None and one.state is State.JOINED}
        for record, data, netns in zip(records, known, taken, strict=True):
            if record.state is State.DELETING:
                self._count_half(record.state)
            if netns is None:
                if record.state is State.DELETING:
                    pass  # it had come so far
                elif not data.made or data.name in used:  # else a bulk call was about to make it, or had dropped it
                    self._lost.append(data.name)
                self._gone.append(f"sandbox {data.name}")
                continue
            sandbox = Sandbox(self._controller, data.name, netns)
            sandbox._made = data.made
            if data.files is not None:
                self._controller._files.open(sandbox, Services(**data.files[1]), data.files[0])
            self._sandboxes[data.name] = (sandbox, data)
            self._controller._sandboxes[data.name] = sandbox
            if record.state is State.DELETING:
                self._parting.append(sandbox)

    def _take_network(self, survey: Survey, network: Network, known: NetworkRecord, made: NetworkMade) -> None:
        driver = known.driver
        assert isinstance(driver, PlansNetwork)
        plan: NetworkPlan = ask(known.driver, lambda: driver.network_plan(network.id))
        known.plan = replace(check_network_plan(plan, f"driver {known.driver.type()!r}"), name=network.name)
        if not survey.network(network.id, known.plan, made.realised):
            self._rebuilt.append(network.name)
            known.kept = self._lifecycle.notes.network(known)
            self._writes.append(Record(network.id, network.id, State.CREATED, kind=Kind.NETWORK, made=known.kept))

    def _take_endpoints(self, survey: Survey) -> None:
        inside: list[tuple[_Member, Sandbox, JoinInfo, Work]] = []
        for member in self._members:
            place = None if member.made is None else self._sandboxes.get(member.made.sandbox)
            if member.made is None or place is None:
                if member.made is not None and isinstance(member.record.network.driver, KnowsAgain):
                    join_again(member.record, "", member.made.options, member.made.memory)
                self._part(member)
                continue
            sandbox, _ = place
            join = join_again(member.record, sandbox.key, member.made.options, member.made.memory)
            inside.append((member, sandbox, join, Work(plan_of(member.record, join), sandbox._place())))
        realised = survey.endpoints(
            [work for *_, work in inside], [member.made.realised for member, *_ in inside if member.made is not None]
        )
        for (member, sandbox, join, _), one in zip(inside, realised, strict=True):
            if one is None:
                member.record.owes_leave = True
                self._part(member)
                continue
            record = member.record
            record.state, record.netns, record.join, record.realised = State.JOINED, sandbox._place(), join, one
            record.place, record.warm = sandbox.name, member.state is State.WARM
            sandbox._note(member.endpoint, True)

    def _take_ports(self, survey: Survey) -> None:
        """Have ports published again; those that somebody has since are lost, and no others."""
        if not isinstance(self._controller._dataplane, Publishes):
            return
        having = [
            member
            for member in self._members
            if member.record.ports and not external.programs(member.record.network.driver)
        ]
        answers = survey.ports([(member.record.network.id, list(member.record.ports)) for member in having])
        for member, refused in zip(having, answers, strict=True):
            if refused:
                one = member.endpoint
                self._lost_ports += [(one.network.name, one.name, port) for port in refused]
                lose_ports(member.record, refused, endpoint_name=one.name, **of_network(one.network))
                note = self._lifecycle.notes.endpoint(member.record, member.record.state)
                if note is not None and member.state in (State.CREATED, State.JOINED):
                    self._writes.append(note)

    def _part(self, member: _Member) -> None:
        """Take note of an endpoint that is in no sandbox now."""
        if member.state is State.CREATED:
            return
        record = member.record
        if external.programs(record.network.driver):
            record.ports = {}
        if isinstance(record.network.driver, KnowsAgain):
            record.owes_leave = True  # who lives elsewhere has it in a sandbox yet, or may have
        if member.state is State.JOINED:
            self._down.append(member)
        elif member.state in (State.JOINING, State.LEAVING):
            self._count_half(member.state)
        if member.state in (State.DELETING, State.WARM):
            return  # it stays so until it is gone: this process may be killed too
        state = State.DELETING if self._is_released(member) else State.CREATED
        self._writes.append(Record(member.record.id, member.record.network.id, state, made=b""))

    def _is_released(self, member: _Member) -> bool:
        return self._release and member.state is State.JOINED and member.record.netns is None

    def _is_doomed(self, member: _Member) -> bool:
        return member.state in (State.DELETING, State.WARM) or self._is_released(member)

    def _settle_sandboxes(self) -> None:
        """Say which sandboxes go with an endpoint; drop those that were made for one which is no more."""
        of: dict[str, _Member] = {}
        for member in self._members:
            if member.made is not None:
                of.setdefault(member.made.sandbox, member)
        lone = []
        for name, (sandbox, data) in self._sandboxes.items():
            if not data.made:
                continue
            if name not in of:
                if not sandbox.endpoints:
                    lone.append(sandbox)
            elif of[name].endpoint.sandbox is sandbox or self._is_doomed(of[name]):
                of[name].endpoint._made_sandbox = sandbox
            else:  # its endpoint has parted from it: it is one by itself
                sandbox._made = False
                self._writes.append(sandbox_record(sandbox))
        self._undone += len(lone)
        lone += [sandbox for sandbox in self._parting if sandbox not in lone and not sandbox.endpoints]
        for refused in self._controller._drop_sandboxes(lone):
            if refused is not None:
                raise refused

    # --- what was on its way out ----------------------------------------------------------------------

    def _end(self) -> None:
        ending: dict[Network, list[Endpoint]] = {}
        for member in self._members:
            if self._is_doomed(member):
                ending.setdefault(member.endpoint.network, []).append(member.endpoint)
            if member.state in (State.DELETING, State.WARM):
                self._count_half(member.state)
        faults: list[Exception] = []
        for network, endpoints in ending.items():
            network._take_away(endpoints, faults=faults)
        leaving = [
            member for member in self._members if member.state is State.LEAVING and member.record.netns is not None
        ]
        requests = [
            JoinRequest(member.record.id, member.record.netns, note=_noting(member))
            for member in leaving
            if member.record.netns is not None
        ]
        self._finished += len(leaving)
        faults += [fault for fault in self._lifecycle.leave(requests) if fault is not None]
        faults = [fault for fault in faults if not isinstance(fault, errors.PluginDownError)]  # it can be tried again
        if faults:
            raise errors.BulkError("restore: what was being taken away could not be", faults)


def endpoint_again(network: NetworkRecord, id: str, data: EndpointData) -> EndpointRecord:
    """Ask the driver again for an endpoint that it had."""
    origin = one_of(Origin, data.origin)
    chosen = origin is Origin.EMPTY and bool(data.interfaces)
    info = EndpointInfo(Origin.GIVEN if chosen else origin)  # what the driver chose is given to it now
    for one in data.interfaces:
        ipv4 = None if one.ipv4 is None else Address(one.ipv4, one.ipv4_length)
        ipv6 = None if one.ipv6 is None else Address(one.ipv6, one.ipv6_length)
        info._append(one.id, one.mac, ipv4, ipv6)
    record = EndpointRecord(network, id, info, State.CREATED, busy=False, name=data.name)
    record.options = data.options
    record.ports = {PortMap(one.protocol, one.host, one.host_port, one.ip, one.port): None for one in data.ports}
    driver = network.driver
    if isinstance(driver, KnowsAgain):
        driver.know_endpoint(network.id, id, info, data.options)
    else:
        ask(driver, lambda: driver.create_endpoint(network.id, id, info, data.options), record.what)
    info._seal()
    info.origin = origin
    return record


def join_again(record: EndpointRecord, key: str, options: Options, memory: Mapping[str, Any]) -> JoinInfo:
    """Ask the driver again for what an endpoint was in a sandbox; one that knows it is told."""
    driver, network = record.network.driver, record.network.id
    join = JoinInfo(record.info)
    record.join_options = options
    if isinstance(driver, KnowsAgain):
        knowing = driver
        ask(driver, lambda: knowing.know_join(network, record.id, key, join, memory), record.what)
    else:
        ask(driver, lambda: driver.join(network, record.id, key, join, options), record.what)
    join._seal()
    return join


def lose_ports(record: EndpointRecord, refused: Mapping[PortMap, Exception], **fields: Any) -> None:
    """Have an endpoint be without ports that could not be published again."""
    for port in refused:
        record.ports.pop(port, None)
    fault = of_fault(next(iter(refused.values())))
    emit("ports.lost", endpoint=record.id, ports=", ".join(map(str, refused)), **fields, **fault)


def _noting(member: _Member) -> Callable[[bool], None]:
    sandbox = member.endpoint.sandbox
    assert sandbox is not None
    return lambda inside: sandbox._note(member.endpoint, inside)


def restore(controller: Controller, *, release: bool) -> Restored:
    """Have a controller be what its state says.

    Parameters
    ----------
    release : bool
        Delete the endpoints that have lost their sandboxes; else they keep their addresses.

    Raises
    ------
    errors.StateDamagedError
        A record says nothing that can be understood.
    errors.NoDriverError, errors.DriverAPIError
        A driver does not take what it had; nothing was changed.
    errors.KernelError
        The kernel refused.
    """
    found = _Restorer(controller, release=release).run()
    emit(
        "state.restored",
        count=found.joined,
        failed=len(found.down),
        seconds=found.seconds,
    )
    return found

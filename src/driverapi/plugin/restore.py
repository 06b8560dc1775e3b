"""A plugin that starts again on its state: an engine creates no network a second time.

What lives is taken over, what was half-done is undone or finished, what nobody owns is taken away, in the order of
:mod:`driverapi.lifecycle.restore`. An endpoint whose links are gone, or were never made, is there again too:
whether its engine still wants it is :mod:`driverapi.plugin.reconcile`'s question.
"""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from driverapi import errors, labels
from driverapi.addresses import Address
from driverapi.api import Driver, IPAMData, PlansNetwork
from driverapi.dataplane.contract import Ownership, Publishes, Survey, Work
from driverapi.events import emit
from driverapi.lifecycle.asking import ask, plan_of
from driverapi.lifecycle.records import EndpointRecord, NetworkRecord
from driverapi.lifecycle.restore import Restored, endpoint_again, join_again, lose_ports
from driverapi.plan import PortMap, check_network_plan
from driverapi.store.contract import Kind, Record, State
from driverapi.store.data import EndpointData, EndpointMade, NetworkData, NetworkMade, decode

if TYPE_CHECKING:
    from driverapi.lifecycle.lifecycle import Lifecycle
    from driverapi.plugin.addresses import AddressVerbs
    from driverapi.plugin.networks import NetworkVerbs
    from driverapi.store.sqlite import SqliteStore

__all__ = ["restore"]

_HALF: Final = (State.CREATING, State.DELETING)


def restore(
    driver: Driver,
    lifecycle: Lifecycle,
    dataplane: Any,
    store: SqliteStore,
    networks: NetworkVerbs,
    addresses: AddressVerbs,
) -> Restored:
    """Have a plugin be what its state says.

    Raises
    ------
    errors.StateError, errors.StateDamagedError
        The state is of another driver; a record says nothing that can be understood.
    errors.DriverAPIError
        The driver does not take what it had; nothing was changed.
    errors.KernelError
        The kernel refused.
    """
    began = time.perf_counter()
    records: dict[Kind, list[Record]] = {kind: [] for kind in Kind}
    for record in store.records():
        records[record.kind].append(record)
    addresses.take_back(records[Kind.POOL] + records[Kind.ADDRESS])
    known: dict[str, tuple[NetworkRecord, NetworkMade, NetworkData]] = {}
    gone: list[str] = []
    for record in records[Kind.NETWORK]:
        if record.state not in _HALF:
            known[record.id] = _read_network(driver, record)
            continue
        gone.append(record.id)
        with suppress(errors.NotFoundError):
            ask(driver, partial(driver.delete_network, record.id))
    endpoints: list[tuple[EndpointRecord, Record]] = []
    undone = finished = 0
    for record in records[Kind.ENDPOINT]:
        if record.network not in known or record.data is None:
            gone.append(record.id)
            undone += record.state is State.CREATING
            finished += record.state is State.DELETING
            continue
        again = endpoint_again(known[record.network][0], record.id, decode(record.data, EndpointData))
        endpoints.append((again, record))
    # From here on something changes.
    survey: Survey = dataplane.survey()
    writes = []
    rebuilt = []
    for network, made, data in known.values():
        if isinstance(driver, PlansNetwork):
            network.plan = check_network_plan(ask(driver, partial(driver.network_plan, network.id)), driver.type())
            if not survey.network(network.id, network.plan, made.realised):
                rebuilt.append(data.name)
                network.kept = lifecycle.notes.network(network)
                writes.append(Record(network.id, network.id, State.CREATED, kind=Kind.NETWORK, made=network.kept))
        lifecycle.take_back(network)
        networks.know_again(network.id, data)
    for again, _ in endpoints:
        lifecycle.take_back(again)
        networks.know_endpoint_again(again)
    down = _take_endpoints(survey, endpoints)
    lost = _take_ports(survey, dataplane, [again for again, _ in endpoints])
    swept = survey.sweep()
    losers = {again.id for again, _ in lost}
    for again, record in endpoints:
        if again.state is not State.JOINED and record.state not in (State.CREATED, State.DELETING):
            writes.append(Record(again.id, again.network.id, State.CREATED, made=b""))
        elif again.id in losers and (note := lifecycle.notes.endpoint(again, again.state)) is not None:
            writes.append(note)
    store.put(writes, gone)
    for again, record in endpoints:
        if record.state is State.DELETING:
            finished += 1
            networks.take_away(again.id)
        else:
            undone += record.state is State.JOINING
            finished += record.state is State.LEAVING
    found = Restored(
        networks=len(known),
        endpoints=len(endpoints),
        joined=sum(again.state is State.JOINED for again, _ in endpoints),
        rebuilt=tuple(rebuilt),
        lost_ports=tuple((again.network.id[:12], again.id[:12], port) for again, port in lost),
        down=tuple((again.network.id[:12], again.id[:12]) for again in down),
        undone=undone + sum(record.state is State.CREATING for record in records[Kind.NETWORK]),
        finished=finished + sum(record.state is State.DELETING for record in records[Kind.NETWORK]),
        swept=swept,
        seconds=time.perf_counter() - began,
    )
    emit("state.restored", count=found.joined, failed=len(down), seconds=found.seconds)
    return found


def _read_network(driver: Driver, record: Record) -> tuple[NetworkRecord, NetworkMade, NetworkData]:
    data, made = decode(record.data, NetworkData), decode(record.made, NetworkMade)
    if data.type != driver.type():
        raise errors.StateError(
            f"the state has a network of driver {data.type!r}, not {driver.type()!r}: serve that driver, "
            "or give another state"
        )
    options = {**data.options, labels.IPAM_DATA: prefixes_of(data), labels.MEMORY: made.memory}
    try:
        ask(driver, lambda: driver.create_network(record.id, options))
    except errors.DriverAPIError as error:
        error.add_note(f"network {data.name!r} of the state cannot be had again; nothing was changed")
        raise
    return NetworkRecord(record.id, driver, memory=made.memory, kept=record.made or b"", ready=True), made, data


def prefixes_of(data: NetworkData) -> tuple[IPAMData, ...]:
    """Return the prefixes of a network as its driver is told them."""
    return tuple(
        IPAMData(Address(one.ip, one.length), None if one.gateway is None else Address(one.gateway, one.length))
        for one in data.prefixes
    )


def _take_ports(
    survey: Survey, dataplane: Any, endpoints: list[EndpointRecord]
) -> list[tuple[EndpointRecord, PortMap]]:
    """Have ports published again; return those that somebody has since, each with its endpoint."""
    if not isinstance(dataplane, Publishes):
        return []
    having = [one for one in endpoints if one.ports]
    lost: list[tuple[EndpointRecord, PortMap]] = []
    for one, refused in zip(having, survey.ports([(one.network.id, list(one.ports)) for one in having]), strict=True):
        if refused:
            lost += [(one, port) for port in refused]
            lose_ports(one, refused, endpoint_name="", network=one.network.id)
    return lost


def _take_endpoints(survey: Survey, endpoints: list[tuple[EndpointRecord, Record]]) -> list[EndpointRecord]:
    """Take over those that had joined a sandbox; return those of them that have lost it."""
    inside: list[tuple[EndpointRecord, EndpointMade, Work]] = []
    for again, record in endpoints:
        if record.state is State.JOINED and record.made:
            made = decode(record.made, EndpointMade)
            netns = survey.sandboxes([(made.sandbox, Ownership.FOREIGN)])[0]
            again.join = join_again(again, made.sandbox, made.options, made.memory)
            again.netns, again.place, again.join_options = netns, made.sandbox, made.options
            inside.append((again, made, Work(plan_of(again, again.join), netns)))
    realised = survey.endpoints([work for *_, work in inside], [made.realised for _, made, _ in inside])
    down = []
    for (again, _, _), one in zip(inside, realised, strict=True):
        if one is None:
            again.netns = again.join = None
            again.owes_leave = True
            down.append(again)
        else:
            again.state, again.realised = State.JOINED, one
    return down

"""Published ports of endpoints: asked of the dataplane, written into the store, given up with the endpoint.

Ports belong to an endpoint from when they are published until they are taken away, or it is deleted, whether it has
joined a sandbox or not. They are in the kernel before they are in the store, and out of it likewise: what a process
that is killed in between has published is taken away by the next, and what it had taken away is published again. Its
caller had not been told. Drivers that publish ports themselves (:mod:`driverapi.ports.external`) do so while the
endpoint is in a sandbox.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, final

from driverapi import errors, labels
from driverapi.addresses import Address
from driverapi.dataplane.contract import Publishes
from driverapi.lifecycle.asking import ask, undo
from driverapi.lifecycle.records import EndpointRecord, Outcome
from driverapi.plan import PortMap
from driverapi.ports import external
from driverapi.ports.spec import PortPolicy, PortSpec, PublishesPorts, wishes_of

if TYPE_CHECKING:
    from driverapi.lifecycle.lifecycle import Lifecycle

__all__ = ["PortRequest", "Ports"]


@dataclass(frozen=True, slots=True)
class PortRequest:
    """Wanted: ports of an endpoint published, or taken away (all that it has where ``specs`` is empty)."""

    endpoint: str
    specs: Sequence[PortSpec] = ()
    got: list[PortMap] = field(default_factory=list)  # what was published


@final
class Ports:
    """Ports of the endpoints of one lifecycle.

    Thread safety: all methods.
    """

    def __init__(self, lifecycle: Lifecycle, dataplane: Any) -> None:
        self._lifecycle = lifecycle
        self._dataplane = dataplane

    def of(self, endpoint: str) -> list[PortMap]:
        """Return what an endpoint has published: nothing, if there is none of that id."""
        return list(self._lifecycle.endpoint(endpoint).ports) if endpoint in self._lifecycle else []

    def publish(self, requests: Sequence[PortRequest], *, whole: bool = False) -> list[Outcome]:
        """Publish ports of endpoints, all in one transaction; for each request one outcome.

        Parameters
        ----------
        whole : bool
            All or none: where one is refused, the others are undone, and have no error of their own.
        """
        with self._lifecycle._holding([request.endpoint for request in requests]) as (records, outcomes):
            due: list[int] = []
            wanted = []
            elsewhere = []
            for position, record in records.items():
                if external.programs(record.network.driver):
                    elsewhere.append(position)
                    continue
                try:
                    wishes = wishes_of(requests[position].specs, _addresses(record), self._policy(record), record.what)
                except errors.DriverAPIError as error:
                    outcomes[position] = error
                    continue
                due.append(position)
                wanted.append((record.network.id, wishes))
            if whole and any(outcomes):
                return outcomes
            if elsewhere:
                self._add({position: records[position] for position in elsewhere}, requests, outcomes, whole=whole)
                if whole and any(outcomes):
                    return outcomes
            answers = self._checked().publish(wanted) if wanted else []
            try:
                for position, answer in zip(due, answers, strict=True):
                    if isinstance(answer, Exception):
                        outcomes[position] = _about(answer, records[position])
                if whole and any(outcomes):
                    self._withdraw(answer for answer in answers if not isinstance(answer, Exception))
                    return outcomes
                done = [records[position] for position in due if outcomes[position] is None]
                for position, answer in zip(due, answers, strict=True):
                    if not isinstance(answer, Exception):
                        records[position].ports.update(dict.fromkeys(answer))
                        requests[position].got.extend(answer)
                self._lifecycle._note_ports(done)
            except BaseException:
                for position, answer in zip(due, answers, strict=True):
                    _strike(records[position], () if isinstance(answer, Exception) else answer)
                self._withdraw(answer for answer in answers if not isinstance(answer, Exception))
                raise
        return outcomes

    def _add(
        self,
        records: Mapping[int, EndpointRecord],
        requests: Sequence[PortRequest],
        outcomes: list[Outcome],
        *,
        whole: bool,
    ) -> None:
        """Have drivers publish ports that do so themselves; with ``whole``, all or none."""
        done: list[tuple[EndpointRecord, Any]] = []
        try:
            for position, record in records.items():
                before = record.options.get(labels.PORT_MAP)
                try:
                    requests[position].got.extend(external.add(record, requests[position].specs))
                except errors.DriverAPIError as error:
                    outcomes[position] = error
                    if whole:
                        self._take_back(done, error)
                        return
                else:
                    done.append((record, before))
            self._lifecycle._note_ports([record for record, _ in done])
        except BaseException as error:  # what is not kept, nobody is told of
            self._take_back(done, error)
            raise

    def _take_back(self, done: Sequence[tuple[EndpointRecord, Any]], error: BaseException) -> None:
        """Have drivers publish what they did before; a port that they chose may be another one then."""
        undo([partial(external.put, record, ports) for record, ports in done], error)
        self._lifecycle._note_ports([record for record, _ in done], owed=True)

    def unpublish(self, requests: Sequence[PortRequest]) -> list[Outcome]:
        """Take published ports away, all in one transaction; for each request one outcome."""
        with self._lifecycle._holding([request.endpoint for request in requests]) as (records, outcomes):
            gone: dict[int, list[PortMap]] = {}
            changed = []
            for position, record in records.items():
                try:
                    if external.programs(record.network.driver):
                        external.take_out(record, requests[position].specs)
                        changed.append(record)
                        continue
                    gone[position] = _found(record, requests[position].specs)
                except errors.DriverAPIError as error:
                    outcomes[position] = error
            self._take_away([records[position] for position in gone], list(gone.values()))
            self._lifecycle._note_ports(changed, owed=True)
        return outcomes

    def give_up(self, records: Iterable[EndpointRecord]) -> None:
        """Take all ports of endpoints away that their caller holds."""
        having = [record for record in records if record.ports and not external.programs(record.network.driver)]
        if having:
            self._take_away(having, [list(record.ports) for record in having])

    def _take_away(self, records: Sequence[EndpointRecord], ports: Sequence[Sequence[PortMap]]) -> None:
        self._withdraw(ports)
        for record, gone in zip(records, ports, strict=True):
            _strike(record, gone)
        self._lifecycle._note_ports(records, owed=True)

    def _withdraw(self, ports: Iterable[Sequence[PortMap]]) -> None:
        gone = [one for some in ports for one in some]
        if gone:
            self._dataplane.unpublish(gone)

    def _checked(self) -> Any:
        if not isinstance(self._dataplane, Publishes):
            raise errors.NotImplementedYetError(f"dataplane {self._dataplane!r} publishes no ports; leave them out")
        return self._dataplane

    @staticmethod
    def _policy(record: EndpointRecord) -> PortPolicy:
        driver = record.network.driver
        if not isinstance(driver, PublishesPorts):
            raise errors.NotImplementedYetError(
                f"{record.what}: driver {driver.type()!r} has no published ports; use driver 'bridge'"
            )
        return ask(driver, lambda: driver.port_policy(record.network.id), record.what)


def _strike(record: EndpointRecord, ports: Iterable[PortMap]) -> None:
    for one in ports:
        record.ports.pop(one, None)


def _addresses(record: EndpointRecord) -> list[Address]:
    return [address for info in record.info.interfaces for address in info.packed_addresses]


def _about(error: Exception, record: EndpointRecord) -> Exception:
    """Have an error name the endpoint; one that befell several is one for each."""
    if isinstance(error, errors.KernelError):
        made: Exception = type(error)(f"{record.what}: {error}", error.errno or 0)
    else:
        made = type(error)(f"{record.what}: {error}")
    made.__cause__ = error
    return made


def _found(record: EndpointRecord, specs: Sequence[PortSpec]) -> list[PortMap]:
    """Return which published ports of an endpoint are meant."""
    if not specs:
        return list(record.ports)
    found: dict[PortMap, None] = {}
    at: dict[tuple[Any, ...], list[PortMap]] = {}
    for one in record.ports:
        at.setdefault(one[::2], []).append(one)  # protocol, port of the host, port
    for spec in specs:
        port, protocol, host, low, high = spec
        if low and low == high:
            meant = at.get((protocol, low, port), [])
            if host is not None:
                meant = [one for one in meant if one.host == host]
        else:
            meant = [one for one in record.ports if _is_meant(spec, one)]
        if not meant:
            raise errors.NotFoundError(f"{record.what} has not published port {spec}")
        for one in meant:
            found[one] = None
    return list(found)


def _is_meant(spec: PortSpec, port: PortMap) -> bool:
    return (
        (port.protocol, port.port) == (spec.protocol, spec.port)
        and (spec.host is None or spec.host == port.host)
        and (not spec.host_port or spec.host_port <= port.host_port <= spec.host_port_end)
    )

"""The steps of which a network's verbs are made: each is over many endpoints, and a single one is one of one.

Whatever comes in between, an interrupt too, what a step has made is undone or is to be seen.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from driverapi import errors
from driverapi.api import Driver, EndpointInfo, Origin
from driverapi.control.addressing import Addressing, Wanted, catch
from driverapi.control.checks import further
from driverapi.dataplane.contract import CHUNK, Progress
from driverapi.endpoint import Endpoint
from driverapi.lifecycle.records import CreateRequest, Outcome
from driverapi.lifecycle.watching import Watch, undo_failed
from driverapi.ports import external, publishing
from driverapi.sandbox import Sandbox

if TYPE_CHECKING:
    from driverapi.addresses import Address
    from driverapi.control.gate import Gate
    from driverapi.control.warm import WarmPool
    from driverapi.controller import Controller
    from driverapi.ipam.contract import Pool
    from driverapi.network import Network
    from driverapi.ports.spec import PortSpec

__all__ = ["AHEAD", "Steps"]

AHEAD: Final = 4 * CHUNK
"""Endpoints that are prepared before the first of them is made: few, so that the kernel need not wait for long."""


class Steps:
    """The part of a :class:`driverapi.Network` that is not for its users; it has no life of its own.

    Thread safety: all methods.
    """

    id: str
    name: str
    _controller: Controller
    _driver: Driver | None
    _addressing: Addressing
    _pools: dict[int, Pool]
    _gateways: dict[int, Address]
    _lock: threading.Lock
    _endpoints: dict[str, Endpoint | None]
    _deleting: bool
    _warm: WarmPool
    _gate: Gate
    _watch: Watch

    @property
    def _me(self) -> Network:
        return cast("Network", self)

    def _attach_new(self, count: int, progress: Progress | None, ports: Sequence[PortSpec]) -> list[Endpoint]:
        """Attach new sandboxes: those that are ready, then others."""
        ready = self._warm.take(count)
        self._own(ready)
        try:
            publishing.publish_each(ready, [ports] * len(ready))
            self._take_away([endpoint for endpoint in ready if endpoint.error is not None], faults=[])
            if ready and progress is not None:
                progress(len(ready))
            if len(ready) == count:
                self._gate.safe_point()
                return ready
            rest = None if progress is None else lambda done: progress(len(ready) + done)
            return ready + self._bring_up(self._new_sandboxes(count - len(ready)), rest, made=True, ports=ports)
        except BaseException:
            self._take_away(ready, faults=[])
            raise

    def _own(self, ready: Sequence[Endpoint]) -> None:
        """Have endpoints out of the warm pool be seen by their peers, and outlive a crash from now on."""
        if ready:
            self._controller._files.changed(self._me)
        if self._controller._store.keeps and ready:
            try:
                self._controller._lifecycle.hand_over([endpoint.id for endpoint in ready])
            except BaseException:
                self._warm.put_back(ready)
                raise
        hub = self._controller._hub
        if hub.active:
            for endpoint in ready:
                hub.came_up(endpoint)

    def _new_sandboxes(self, count: int, *, warm: bool = False) -> list[Sandbox]:
        host = self._driver is not None and self._driver.host_sandbox
        return self._controller._make_sandboxes(count, host=host, warm=warm)

    def _bring_up(
        self,
        sandboxes: Sequence[Sandbox],
        progress: Progress | None = None,
        *,
        made: bool = False,
        warm: bool = False,
        ports: Sequence[PortSpec] = (),
    ) -> list[Endpoint]:
        """Create an endpoint for each sandbox and join it; ``made``: the sandboxes come and go with them."""
        controller = self._controller
        endpoints: list[Endpoint] = []
        try:
            for at in range(0, len(sandboxes), AHEAD):
                some = sandboxes[at : at + AHEAD]
                created = self._create_many([Wanted("", warm=warm, joins=True, ports=ports) for _ in some])
                endpoints += created
                self._join_many(created, some, self._gate.watched(progress and further(progress, at)))
            if made:
                for endpoint, sandbox in zip(endpoints, sandboxes, strict=True):
                    endpoint._made_sandbox = None if endpoint.error is not None else sandbox
                controller._drop_sandboxes(
                    [
                        sandbox
                        for endpoint, sandbox in zip(endpoints, sandboxes, strict=True)
                        if endpoint.error is not None and sandbox._retire()
                    ]
                )
            self._gate.safe_point()
        except BaseException:
            try:
                self._take_away(endpoints, faults=[])
            finally:
                if made:
                    controller._drop_sandboxes([sandbox for sandbox in sandboxes if not sandbox._deleted])
            raise
        return endpoints

    def _create_many(self, wanted: Sequence[Wanted]) -> list[Endpoint]:
        """Create endpoints: names, addresses, the driver. Failures are in ``error``, undone."""
        with self._warm.making_way(wanted):
            return self._create_all(wanted)

    def _create_all(self, wanted: Sequence[Wanted]) -> list[Endpoint]:
        lifecycle = self._controller._lifecycle
        endpoints: list[Endpoint] = []
        try:
            for one in wanted:
                self._claim(one, endpoints)
            alive = [position for position, endpoint in enumerate(endpoints) if endpoint.error is None]
            self._addressing.assign(endpoints, wanted, alive)
            alive = [position for position in alive if endpoints[position].error is None]
            self._watch.refused(self._me, endpoints)
            requests = [
                CreateRequest(
                    self.id,
                    endpoints[position].id,
                    endpoints[position]._info,
                    self._options(wanted[position]),
                    endpoints[position].name,
                    wanted[position].joins,
                )
                for position in alive
            ]
            for position, outcome in zip(alive, lifecycle.create(requests, self._gate.watched(None)), strict=True):
                endpoints[position].error = outcome
            self._check_chosen([endpoints[position] for position in alive])
            self._publish(endpoints, wanted)
            self._addressing.recall([endpoint for endpoint in endpoints if endpoint.error is None])
            self._gate.safe_point()
        except BaseException:
            lifecycle.delete([endpoint.id for endpoint in endpoints if endpoint.id in lifecycle])
            raise
        finally:
            try:
                self._settle(endpoints)
            except MemoryError:  # of one moment: names would be taken for ever
                self._settle(endpoints)
        return endpoints

    def _settle(self, endpoints: Sequence[Endpoint]) -> None:
        """Bring names and pools in line with what the lifecycle has.

        What it has is in the table of names, even if it failed and could not be undone: then it
        can be deleted. Of what it does not have, the name and the addresses are free again.
        """
        lifecycle = self._controller._lifecycle
        gone = []
        with self._lock:
            for endpoint in endpoints:
                name = endpoint.name
                there = endpoint.id in lifecycle
                if there:
                    self._endpoints[name] = endpoint
                elif endpoint._claimed or self._endpoints.get(name) is endpoint:  # else it is another's
                    self._endpoints.pop(name, None)
                endpoint._claimed = False
                if not there:
                    gone.append(endpoint)
        self._addressing.release(gone)
        self._controller._files.changed(self._me)

    def _has(self, endpoint: Endpoint) -> bool:
        return self._endpoints.get(endpoint.name) is endpoint

    def _claim(self, wanted: Wanted, endpoints: list[Endpoint]) -> None:
        """Claim the name of one more endpoint."""
        id = secrets.token_hex(32)
        origin = wanted.origin
        if origin is None:
            given = (
                wanted.ipv4 or wanted.ipv6 or wanted.mac or (self._driver is not None and self._driver.requires_ipam)
            )
            origin = Origin.GIVEN if given else Origin.EMPTY
        endpoint = Endpoint(self._me, id, wanted.name or id[:12], EndpointInfo(origin))
        endpoint._warm = wanted.warm
        endpoints.append(endpoint)  # first: an interrupt must find what is claimed
        with self._lock:
            if self._deleting or self._driver is None:
                endpoint.error = errors.NoNetworkError(f"network {self.name!r} is deleted, or is not ready")
            elif endpoint.name in self._endpoints:
                endpoint.error = errors.EndpointExistsError(
                    f"network {self.name!r} has an endpoint {endpoint.name!r} already; choose another name"
                )
            else:
                endpoint._claimed = True
                self._endpoints[endpoint.name] = None

    def _check_chosen(self, endpoints: Sequence[Endpoint]) -> None:
        """Record the addresses that the driver chose itself; a conflict undoes the endpoint."""
        refused: list[Endpoint] = []
        for endpoint in endpoints:
            if endpoint.error is None and endpoint.origin is Origin.EMPTY and self._pools:
                catch(endpoint, self._addressing.record_chosen, endpoint)
                if endpoint.error is not None:
                    refused.append(endpoint)
        self._watch.refused(self._me, refused)
        self._undo_driver(refused)

    def _options(self, wanted: Wanted) -> Mapping[str, Any]:
        """Return the options of an endpoint; a driver that publishes ports itself is told of them there."""
        options = wanted.options or {}
        if wanted.ports and self._driver is not None and external.programs(self._driver):
            return external.with_ports(options, wanted.ports)
        return options

    def _publish(self, endpoints: Sequence[Endpoint], wanted: Sequence[Wanted]) -> None:
        """Publish what is to be published; an endpoint that cannot have its ports is undone."""
        if any(one.ports for one in wanted) and not (self._driver is not None and external.programs(self._driver)):
            before = [endpoint for endpoint in endpoints if endpoint.error is None]
            publishing.publish_each(endpoints, [one.ports for one in wanted])
            self._undo_driver([endpoint for endpoint in before if endpoint.error is not None])

    def _undo_driver(self, refused: Sequence[Endpoint]) -> None:
        for endpoint, outcome in zip(
            refused, self._controller._lifecycle.delete([endpoint.id for endpoint in refused]), strict=True
        ):
            if outcome is not None and endpoint.error is not None:
                endpoint.error.add_note(f"while undoing: {outcome}")
                undo_failed(outcome)

    def _join_many(
        self, endpoints: Sequence[Endpoint], sandboxes: Sequence[Sandbox], progress: Progress | None
    ) -> None:
        """Join endpoints to sandboxes; those that fail are deleted again, with their error."""
        pairs: list[tuple[Endpoint, Sandbox]] = []
        try:
            for endpoint, sandbox in zip(endpoints, sandboxes, strict=True):
                if endpoint.error is None:
                    catch(endpoint, sandbox._enter)
                if endpoint.error is None:
                    pairs.append((endpoint, sandbox))
            requests = [endpoint._request(sandbox) for endpoint, sandbox in pairs]
            for (endpoint, _), outcome in zip(pairs, self._controller._lifecycle.join(requests, progress), strict=True):
                endpoint.error = outcome
        finally:
            for _, sandbox in pairs:
                sandbox._exit()
        self._undo_created([endpoint for endpoint in endpoints if endpoint.error is not None and self._has(endpoint)])

    def _undo_created(self, failed: Sequence[Endpoint]) -> None:
        for endpoint, outcome in zip(failed, self._delete_many(failed), strict=True):
            if outcome is not None and endpoint.error is not None:
                endpoint.error.add_note(f"while undoing: {outcome}")
                undo_failed(outcome)

    def _delete_many(self, endpoints: Sequence[Endpoint]) -> list[Outcome]:
        with self._addressing.parting(endpoints):
            try:
                return self._controller._lifecycle.delete([endpoint.id for endpoint in endpoints])
            finally:
                self._settle(endpoints)

    def _take_away(
        self, endpoints: Sequence[Endpoint], progress: Progress | None = None, *, faults: list[Exception]
    ) -> None:
        """Leave, delete, and drop the sandboxes that attach made; add what went wrong to ``faults``.

        Many go in slices: namespaces that are given up all at once keep others waiting (see ``CHUNK``).
        """
        left = 0
        step = CHUNK if len(endpoints) > AHEAD else AHEAD
        for at in range(0, len(endpoints), step):
            some = endpoints[at : at + step]
            joined = sum(endpoint.sandbox is not None for endpoint in some)
            self._take_slice_away(some, None if progress is None else further(progress, left), faults)
            left += joined

    def _take_slice_away(
        self, endpoints: Sequence[Endpoint], progress: Progress | None, faults: list[Exception]
    ) -> None:
        def note(endpoint: Endpoint, outcome: Outcome) -> None:
            if outcome is not None:
                endpoint.error = outcome
                faults.append(outcome)

        lifecycle = self._controller._lifecycle
        joined = [(endpoint, sandbox) for endpoint in endpoints if (sandbox := endpoint.sandbox) is not None]
        requests = [endpoint._request(sandbox, ends=True) for endpoint, sandbox in joined]
        for (endpoint, _), outcome in zip(joined, lifecycle.leave(requests, progress), strict=True):
            note(endpoint, outcome)
        due = [endpoint for endpoint in endpoints if endpoint.sandbox is None and self._has(endpoint)]
        try:
            for endpoint, outcome in zip(due, self._delete_many(due), strict=True):
                if not isinstance(outcome, errors.NoEndpointError):  # an earlier deletion came this far
                    note(endpoint, outcome)
            made = [
                (endpoint, sandbox)
                for endpoint in endpoints
                if (sandbox := endpoint._made_sandbox) is not None and endpoint.sandbox is None
                if sandbox._retire()
            ]
        finally:
            for endpoint in endpoints:
                if endpoint._made_sandbox is not None and not endpoint._made_sandbox._deleted:
                    self._controller._keep_sandbox(endpoint)  # others have joined it, or its own was not deleted
        dropped = self._controller._drop_sandboxes([sandbox for _, sandbox in made])
        for (endpoint, _), outcome in zip(made, dropped, strict=True):
            if outcome is not None:
                outcome.add_note(f"the sandbox was made for endpoint {endpoint.name!r}")
            note(endpoint, outcome)

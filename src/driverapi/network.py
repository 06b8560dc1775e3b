"""A network: endpoints by name, one by one or a thousand at once."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from logging import INFO
from typing import TYPE_CHECKING, Any, Final, final

from driverapi import errors, labels, publishing
from driverapi.addresses import parse_ip, parse_mac
from driverapi.addressing import Addressing, Wanted, catch
from driverapi.api import Driver, EndpointInfo, Origin
from driverapi.checks import check_count, check_name, further, some_of
from driverapi.counters import InterfaceStatistics, statistics_of_many
from driverapi.dataplane.contract import CHUNK, Progress
from driverapi.endpoint import Endpoint
from driverapi.gate import changes, check_progress, reads
from driverapi.joining import wishes_of
from driverapi.leasing import Leases
from driverapi.portspec import PortLike, PortSpec, parse_ports
from driverapi.publishing import specs_of
from driverapi.records import CreateRequest, Outcome
from driverapi.sandbox import Sandbox
from driverapi.warm import WarmPool
from driverapi.watching import attaching, detaching, logged, taken, undo_failed

if TYPE_CHECKING:
    import netaddr

    from driverapi.addresses import IPLike, MACLike
    from driverapi.controller import Controller
    from driverapi.plan import PortMap

__all__ = ["Network"]


AHEAD: Final = 4 * CHUNK
"""Endpoints that are prepared before the first of them is made: few, so that the kernel need not wait for long."""


@final
class Network:
    """A network of one driver; made by ``Controller.create_network``.

    Attributes
    ----------
    id : str
        64 hexadecimal digits, unique for ever.
    name : str
        Unique within the controller.
    type : str
        Its driver's network type.
    ipam : str
        Name of who gives its addresses.
    leases : Leases
        Addresses for somebody who has no endpoint of it; see :mod:`driverapi.leasing`.

    Notes
    -----
    Thread safety: all methods.
    """

    def __init__(self, controller: Controller, id: str, name: str, type: str, ipam: str = "default") -> None:
        self.id = id
        self.name = name
        self.type = type
        self._controller = controller
        self._driver: Driver | None = None  # set when it is ready
        self.ipam = ipam
        self._addressing = Addressing(controller.ipams.get(ipam), name)
        self._pools = self._addressing.pools
        self._gateways = self._addressing.gateways
        self._lock = threading.Lock()
        self._endpoints: dict[str, Endpoint | None] = {}  # None: the name is claimed
        self._deleting = False
        self._warm = WarmPool(self)
        self._gate = controller._gate
        self._watch = controller._lifecycle.watch
        self.leases = Leases(self)
        self._addressing.changed = lambda: controller._hub.pools_changed(self)

    # --- what it is -----------------------------------------------------------------------------

    @property
    def gateway(self) -> netaddr.IPAddress | None:
        """The IPv4 gateway."""
        return self._gateway(4)

    @property
    def gateway_ipv6(self) -> netaddr.IPAddress | None:
        """The IPv6 gateway."""
        return self._gateway(6)

    def _gateway(self, version: int) -> netaddr.IPAddress | None:
        gateway = self._gateways.get(version)
        return None if gateway is None else gateway.to_netaddr().ip

    @property
    def ipv4(self) -> netaddr.IPNetwork | None:
        """The IPv4 prefix."""
        pool = self._pools.get(4)
        return None if pool is None else pool.prefix.to_netaddr()

    @property
    def ipv6(self) -> netaddr.IPNetwork | None:
        """The IPv6 prefix."""
        pool = self._pools.get(6)
        return None if pool is None else pool.prefix.to_netaddr()

    @property
    @reads
    def endpoints(self) -> list[Endpoint]:
        """Its endpoints, but for those of a warm pool that nobody has taken yet."""
        return [endpoint for endpoint in self._everyone() if not endpoint._warm]

    def _everyone(self) -> list[Endpoint]:
        with self._lock:
            return [endpoint for endpoint in self._endpoints.values() if endpoint is not None]

    @reads
    def endpoint(self, name: str) -> Endpoint:
        """Return the endpoint of a name.

        Raises
        ------
        errors.NoEndpointError
            There is none.
        """
        check_name(name, "endpoint name")
        found = self._endpoints.get(name)
        if found is None or found._warm:
            raise errors.NoEndpointError(f"network {self.name!r} has no endpoint {name!r}")
        return found

    @changes
    def statistics(self) -> dict[str, dict[str, InterfaceStatistics]]:
        """Return what went through the interfaces of its endpoints, by name: one look at the host, however many.

        Endpoints that are in no sandbox are left out. What a sandbox's own end drops in sending is seen only by
        :meth:`driverapi.Endpoint.statistics`.
        """
        return {endpoint.name: one for endpoint, one in statistics_of_many(self._controller, self.endpoints)}

    # --- one endpoint ---------------------------------------------------------------------------

    def create_endpoint(
        self,
        name: str,
        ipv4: IPLike | None = None,
        ipv6: IPLike | None = None,
        mac: MACLike | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        publish: PortLike | Iterable[PortLike] | None = None,
    ) -> Endpoint:
        """Create an endpoint, with the addresses given or with the next that are free.

        Parameters
        ----------
        publish : optional
            Ports of it to publish on the host, as of :meth:`driverapi.Endpoint.publish`: one, or several.

        Raises
        ------
        errors.EndpointExistsError
            The network has one of that name.
        errors.InvalidError
            An address is none, or lies outside of the network.
        errors.AddressTakenError, errors.AddressesExhaustedError
            The address is in use; no address is left.
        errors.PortTakenError, errors.PortsExhaustedError
            A port of the host is in use; all of a range are.
        """
        return self._create_one(name, ipv4, ipv6, mac, options, None, publish)

    def notice_endpoint(
        self,
        name: str,
        ipv4: IPLike | None = None,
        ipv6: IPLike | None = None,
        mac: MACLike | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Endpoint:
        """Take note of an endpoint that the same driver has allocated on another host.

        Its addresses are kept from being given here, the driver is notified
        (``Origin.NOTICED``), and no link is made: it cannot join a sandbox here.

        Raises
        ------
        errors.InvalidError
            It says neither an address nor a MAC address; one is none, or lies outside of the network.
        errors.EndpointExistsError
            The network has an endpoint of that name.
        errors.AddressTakenError
            An address is in use here.
        """
        if ipv4 is None and ipv6 is None and mac is None:
            raise errors.InvalidError(f"endpoint {name!r}: a notice says at least one address of the endpoint")
        return self._create_one(name, ipv4, ipv6, mac, options, Origin.NOTICED)

    @changes
    def _create_one(
        self,
        name: str,
        ipv4: IPLike | None,
        ipv6: IPLike | None,
        mac: MACLike | None,
        options: Mapping[str, Any] | None,
        origin: Origin | None,
        publish: PortLike | Iterable[PortLike] | None = None,
    ) -> Endpoint:
        check_name(name, "endpoint name")
        parsed = labels.normalise(options)
        wishes_of(parsed)
        self._controller._check_kept(parsed, f"endpoint {name!r}")
        if mac is None and labels.ENDPOINT_MAC in parsed:
            mac = parsed[labels.ENDPOINT_MAC]
        wanted = Wanted(
            name,
            None if ipv4 is None else self._parse(ipv4, 4),
            None if ipv6 is None else self._parse(ipv6, 6),
            None if mac is None else parse_mac(mac),
            origin,
            parsed,
            ports=specs_of(parsed, publish),
        )
        endpoint = self._create_many([wanted])[0]
        if endpoint.error is not None:
            raise endpoint.error
        return endpoint

    @staticmethod
    def _parse(value: IPLike, version: int) -> bytes:
        ip = parse_ip(value, f"ipv{version}")
        if len(ip) != (4 if version == 4 else 16):
            raise errors.InvalidError(f"ipv{version} {value!r} is not an IPv{version} address")
        return ip

    # --- many endpoints -------------------------------------------------------------------------

    def attach(
        self,
        what: int | Sequence[Sandbox],
        *,
        strict: bool = False,
        progress: Progress | None = None,
        publish: PortLike | Iterable[PortLike] | None = None,
    ) -> list[Endpoint]:
        """Bring up endpoints in bulk: make endpoints, join them to sandboxes.

        Parameters
        ----------
        what : int or sequence of Sandbox
            How many new sandboxes to make, each with an endpoint; or the sandboxes to join. Of a number, those
            come first that a warm pool has ready (``Controller.warm``): they cost no kernel work.
        strict : bool
            Raise if any failed.
        progress : callable, optional
            Called with the number of endpoints that are finished, now and then. What it raises
            comes out, and nothing of the call stays: all its endpoints are undone.
        publish : optional
            Ports of each to publish on the host, as of :meth:`driverapi.Endpoint.publish`: leave the port of the host
            out, or give a range, for several endpoints.

        Returns
        -------
        list of Endpoint
            One for each, in order. One that failed has ``error`` set and has been undone.

        Raises
        ------
        errors.BulkError
            With ``strict``: the failures; its ``results`` is the list. What succeeded is up.
        errors.InvalidError, errors.NoSandboxError
            ``what`` is neither; a sandbox is another controller's, or deleted. Nothing was made.
        """
        if (
            progress is None
            and publish is None
            and isinstance(what, int)
            and (ready := self._attach_ready(what)) is not None
        ):
            return taken(self, ready) if self._watch.observers or logged(INFO) else ready
        return self._attach(what, strict, progress, publish)

    @changes
    @attaching
    def _attach(
        self,
        what: int | Sequence[Sandbox],
        strict: bool,
        progress: Progress | None,
        publish: PortLike | Iterable[PortLike] | None,
    ) -> list[Endpoint]:
        check_progress(progress)
        ports = parse_ports(publish)
        if isinstance(what, Sequence) and not isinstance(what, str | bytes):
            for sandbox in what:
                self._controller._check_sandbox(sandbox)
            endpoints = self._bring_up(list(what), progress, ports=ports)
        else:
            endpoints = self._attach_new(check_count(what), progress, ports)
        failed = [position for position, endpoint in enumerate(endpoints) if endpoint.error is not None]
        if strict and failed:
            faults = [fault for position in failed if (fault := endpoints[position].error) is not None]
            raise errors.BulkError(
                f"attach to {self.name!r}: {len(failed)} of {len(endpoints)} endpoints failed",
                faults,
                endpoints,
            )
        return endpoints

    @changes
    def publish(self, wanted: publishing.Wanted) -> list[PortMap]:
        """Publish ports of many endpoints, as pairs of endpoint and port: all of them in one transaction, or none.

        Each pair is as of :meth:`driverapi.Endpoint.publish`, which see for what is returned and raised.
        """
        return publishing.publish(self._mine(wanted))

    @changes
    def unpublish(self, wanted: publishing.Wanted) -> None:
        """Take published ports of many endpoints away, in one transaction: the undo of :meth:`publish`."""
        publishing.unpublish(self._mine(wanted))

    def _mine(self, wanted: publishing.Wanted) -> publishing.Wanted:
        for endpoint, _ in wanted:
            if not isinstance(endpoint, Endpoint) or endpoint.network is not self:
                raise errors.InvalidError(f"{endpoint!r} is no endpoint of network {self.name!r}")
        return wanted

    @changes
    @detaching
    def detach(self, endpoints: Sequence[Endpoint], *, progress: Progress | None = None) -> None:
        """Take endpoints away in bulk: leave, delete, and the sandboxes that ``attach`` made.

        An endpoint may come several times. Such a sandbox stays if other endpoints have joined it since.
        Endpoints that failed to attach are passed over, and so are those that are deleted, but for
        their sandboxes. It goes on after an error.

        Raises
        ------
        errors.BulkError
            Some could not be taken away; each has ``error`` set, and can be detached again.
        """
        check_progress(progress)
        if isinstance(endpoints, str | bytes) or not isinstance(endpoints, Iterable):
            raise errors.InvalidError(f"detach takes a sequence of endpoints, not {endpoints!r}")
        endpoints = list(endpoints)
        for endpoint in endpoints:
            if not isinstance(endpoint, Endpoint) or endpoint.network is not self:
                raise errors.InvalidError(f"{endpoint!r} is no endpoint of network {self.name!r}")
        endpoints = list(dict.fromkeys(endpoints))  # each once
        due = [endpoint for endpoint in endpoints if self._has(endpoint) or endpoint._made_sandbox is not None]
        for endpoint in due:
            endpoint.error = None
        faults: list[Exception] = []
        self._take_away(due, self._gate.watched(progress), faults=faults)
        if faults:
            raise errors.BulkError(f"detach from {self.name!r}: {len(faults)} faults", faults, endpoints)

    @contextmanager
    def attached(self, what: int | Sequence[Sandbox], *, strict: bool = False) -> Iterator[list[Endpoint]]:
        """Attach for the time of a ``with`` block; all is detached at its end, after an error too.

        Raises
        ------
        errors.BulkError
            At entry as :meth:`attach`, but what came up is detached again; at the end as :meth:`detach`.
        """
        try:
            endpoints = self.attach(what, strict=strict)
        except errors.BulkError as failed:
            self.detach(failed.results)
            raise
        try:
            yield endpoints
        finally:
            with suppress(errors.ClosedError):  # they went with the controller
                self.detach(endpoints)

    @changes
    def delete(self) -> None:
        """Delete the network, and its warm pool.

        Raises
        ------
        errors.BusyError
            It has endpoints.
        """
        with self._warm.resting(), self._lock:  # what it is just making has names that look like anybody's
            known = [name for name, endpoint in self._endpoints.items() if endpoint is None or not endpoint._warm]
        self._check_empty(known)
        self._warm.end()  # it stays so if the deletion fails
        self._delete()
        self._warm.end()  # of who wanted one in between

    def _attach_ready(self, count: int) -> list[Endpoint] | None:
        """Attach that many out of the warm pool, or give None: no kernel work, and nothing to wait for.

        It does not hold signals back, which would be most of its cost: one that comes in between
        leaves endpoints that the network shows.
        """
        self._gate.check_open()
        ready = self._warm.take_all(check_count(count))
        if ready is not None:
            self._own(ready)
            self._controller._store.flush()
        return ready

    def _own(self, ready: Sequence[Endpoint]) -> None:
        """Have endpoints out of the warm pool be seen by their peers, and outlive a crash from now on."""
        if ready:
            self._controller._files.changed(self)
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

    @changes
    def _keep_warm(self, size: object) -> WarmPool:
        self._check_there()
        self._warm.keep(size)
        try:
            self._check_there()  # still: else nobody would end the pool
        except errors.NoNetworkError:
            self._warm.end()
            raise
        return self._warm

    def _check_there(self) -> None:
        with self._lock:
            if self._deleting or self._driver is None:
                raise errors.NoNetworkError(f"network {self.name!r} is deleted, or is not ready")

    @changes
    def _warm_up(self, count: int) -> list[Endpoint]:
        """Make endpoints for the warm pool: nobody sees them."""
        return self._bring_up(self._new_sandboxes(count, warm=True), made=True, warm=True)

    def _check_empty(self, names: Collection[str]) -> None:
        if names:
            raise errors.BusyError(f"network {self.name!r} has {some_of(names)}; delete them first")

    def _delete(self) -> None:
        with self._lock:
            if self._deleting:
                raise errors.NoNetworkError(f"network {self.name!r} is deleted, or is being deleted")
            self._check_empty(self._endpoints)
            self._deleting = True
        try:
            self._controller._delete_network(self)
        except BaseException:
            self._deleting = False
            raise

    # --- steps ----------------------------------------------------------------------------------

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
            self._watch.refused(self, endpoints)
            requests = [
                CreateRequest(
                    self.id,
                    endpoints[position].id,
                    endpoints[position]._info,
                    wanted[position].options or {},
                    endpoints[position].name,
                    wanted[position].joins,
                )
                for position in alive
            ]
            for position, outcome in zip(alive, lifecycle.create(requests), strict=True):
                endpoints[position].error = outcome
            self._check_chosen([endpoints[position] for position in alive])
            self._publish(endpoints, wanted)
            self._addressing.recall([endpoint for endpoint in endpoints if endpoint.error is None])
            self._gate.safe_point()
        except BaseException:
            lifecycle.delete([endpoint.id for endpoint in endpoints if endpoint.id in lifecycle])
            raise
        finally:
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
                name, claimed = endpoint.name, endpoint._claimed
                endpoint._claimed = False
                if endpoint.id in lifecycle:
                    self._endpoints[name] = endpoint
                    continue
                if claimed or self._endpoints.get(name) is endpoint:  # else it is another's
                    self._endpoints.pop(name, None)
                gone.append(endpoint)
        self._addressing.release(gone)
        self._controller._files.changed(self)

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
        endpoint = Endpoint(self, id, wanted.name or id[:12], EndpointInfo(origin))
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
        self._watch.refused(self, refused)
        self._undo_driver(refused)

    def _publish(self, endpoints: Sequence[Endpoint], wanted: Sequence[Wanted]) -> None:
        """Publish what is to be published; an endpoint that cannot have its ports is undone."""
        if any(one.ports for one in wanted):
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

    def __repr__(self) -> str:
        return f"<Network {self.name!r}, {self.type}, {len(self._endpoints)} endpoints>"

"""A network: endpoints by name, one by one or a thousand at once."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from logging import INFO
from typing import TYPE_CHECKING, Any, final

from driverapi import errors, labels
from driverapi.addresses import parse_ip, parse_mac
from driverapi.api import Driver, Origin
from driverapi.control.addressing import Addressing, Wanted
from driverapi.control.checks import check_count, check_name, some_of
from driverapi.control.gate import changes, check_progress, reads
from driverapi.control.joining import wishes_of
from driverapi.control.leasing import Leases
from driverapi.control.steps import Steps
from driverapi.control.warm import WarmPool
from driverapi.counters import InterfaceStatistics, statistics_of_many
from driverapi.dataplane.contract import Progress
from driverapi.endpoint import Endpoint
from driverapi.hints import there_are
from driverapi.lifecycle.watching import attaching, detaching, logged, taken
from driverapi.ports import publishing
from driverapi.ports.publishing import specs_of
from driverapi.ports.spec import PortLike, parse_ports
from driverapi.sandbox import Sandbox

if TYPE_CHECKING:
    import netaddr

    from driverapi.addresses import IPLike, MACLike
    from driverapi.controller import Controller
    from driverapi.plan import PortMap

__all__ = ["Network"]


@final
class Network(Steps):
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
        Addresses for somebody who has no endpoint of it; see :mod:`driverapi.control.leasing`.

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
            there = there_are(one.name for one in self.endpoints)
            raise errors.NoEndpointError(f"network {self.name!r} has no endpoint {name!r}; {there}")
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

    def __repr__(self) -> str:
        return f"<Network {self.name!r}, {self.type}, {len(self._endpoints)} endpoints>"

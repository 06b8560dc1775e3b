"""Controller, networks, endpoints and sandboxes as asyncio sees them: each a face of one of the blocking API."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, final

from driverapi import controller as blocking
from driverapi import errors
from driverapi.aio.stream import Events
from driverapi.aio.worker import Abandoned, Worker
from driverapi.control.gate import check_progress
from driverapi.endpoint import Endpoint as BlockingEndpoint
from driverapi.network import Network as BlockingNetwork
from driverapi.ports import publishing
from driverapi.ports.spec import spec_of
from driverapi.sandbox import Sandbox as BlockingSandbox
from driverapi.streams.stream import QUEUE

if TYPE_CHECKING:
    import netaddr

    from driverapi.addresses import IPLike, MACLike, PrefixLike
    from driverapi.api import InterfaceInfo
    from driverapi.control.leasing import AddressLease
    from driverapi.control.warm import WarmPool
    from driverapi.counters import InterfaceStatistics
    from driverapi.dataplane.contract import Progress
    from driverapi.plan import PortMap
    from driverapi.ports.spec import PortLike
    from driverapi.services.services import Services

__all__ = ["Controller", "Endpoint", "Network", "Sandbox"]

T = TypeVar("T")


class _Face(Generic[T]):
    """One object of the blocking API as asyncio sees it; two of the same object are equal.

    Attributes
    ----------
    sync : object
        The object of the blocking API.
    """

    __slots__ = ("_worker", "sync")

    def __init__(self, worker: Worker, sync: T) -> None:
        self._worker = worker
        self.sync = sync

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Face) and other.sync is self.sync

    def __hash__(self) -> int:
        return hash(self.sync)

    def __repr__(self) -> str:
        return f"<aio {self.sync!r}>"


@final
class Sandbox(_Face[BlockingSandbox]):
    """A sandbox; see :class:`driverapi.Sandbox`.

    Thread safety: all methods, each in the thread of its own loop.
    """

    __slots__ = ()

    @property
    def name(self) -> str:
        """Unique within the controller."""
        return self.sync.name

    @property
    def key(self) -> str:
        """Path of its namespace."""
        return self.sync.key

    @property
    def endpoints(self) -> list[Endpoint]:
        """The endpoints that have joined it."""
        return [Endpoint(self._worker, one) for one in self.sync.endpoints]

    @property
    def hosts_path(self) -> str | None:
        """What is to be its ``/etc/hosts``."""
        return self.sync.hosts_path

    @property
    def resolv_conf_path(self) -> str | None:
        """What is to be its ``/etc/resolv.conf``."""
        return self.sync.resolv_conf_path

    async def statistics(self) -> dict[str, InterfaceStatistics]:
        """See :meth:`driverapi.Sandbox.statistics`."""
        return await self._worker.run(self.sync.statistics)

    async def refresh(self) -> None:
        """See :meth:`driverapi.Sandbox.refresh`."""
        await self._worker.carry(self.sync.refresh)

    async def delete(self) -> None:
        """See :meth:`driverapi.Sandbox.delete`."""
        await self._worker.carry(self.sync.delete)


@final
class Endpoint(_Face[BlockingEndpoint]):
    """An endpoint; see :class:`driverapi.Endpoint`.

    Thread safety: all methods, each in the thread of its own loop.
    """

    __slots__ = ()

    @property
    def id(self) -> str:
        """64 hexadecimal digits, unique for ever."""
        return self.sync.id

    @property
    def name(self) -> str:
        """Unique within the network."""
        return self.sync.name

    @property
    def network(self) -> Network:
        """The network that it is on."""
        return Network(self._worker, self.sync.network)

    @property
    def sandbox(self) -> Sandbox | None:
        """The sandbox that it has joined."""
        joined = self.sync.sandbox
        return None if joined is None else Sandbox(self._worker, joined)

    @property
    def error(self) -> Exception | None:
        """Why a bulk call could not bring it up; it has been undone."""
        return self.sync.error

    @property
    def interfaces(self) -> list[InterfaceInfo]:
        """Its interfaces."""
        return self.sync.interfaces

    @property
    def ports(self) -> list[PortMap]:
        """Its published ports."""
        return self.sync.ports

    async def publish(self, *what: PortLike) -> list[PortMap]:
        """See :meth:`driverapi.Endpoint.publish`; cancelled, they are taken away again."""

        def undo(made: Sequence[PortMap]) -> None:
            if made:  # none would mean all
                self.sync.unpublish(*map(spec_of, made))

        return await self._worker.run(partial(self.sync.publish, *what), undo)

    async def unpublish(self, *what: PortLike) -> None:
        """See :meth:`driverapi.Endpoint.unpublish`."""
        await self._worker.carry(partial(self.sync.unpublish, *what))

    def info(self) -> dict[str, Any]:
        """Return all that is known of it, as plain data."""
        return self.sync.info()

    async def driver_info(self) -> Mapping[str, Any]:
        """See :meth:`driverapi.Endpoint.driver_info`."""
        return await self._worker.run(self.sync.driver_info)

    async def join(
        self,
        sandbox: Sandbox,
        options: Mapping[str, Any] | None = None,
        *,
        priority: int | None = None,
        routes: Sequence[str] = (),
        sysctls: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        """See :meth:`driverapi.Endpoint.join`; cancelled, it has left again."""
        place = _beneath(sandbox, Sandbox)
        call = partial(self.sync.join, place, options, priority=priority, routes=routes, sysctls=sysctls)
        await self._worker.run(call, lambda _: self.sync.leave(place))

    async def statistics(self) -> dict[str, InterfaceStatistics]:
        """See :meth:`driverapi.Endpoint.statistics`."""
        return await self._worker.run(self.sync.statistics)

    async def leave(self, sandbox: Sandbox | None = None) -> None:
        """See :meth:`driverapi.Endpoint.leave`."""
        await self._worker.carry(partial(self.sync.leave, None if sandbox is None else _beneath(sandbox, Sandbox)))

    async def delete(self) -> None:
        """See :meth:`driverapi.Endpoint.delete`."""
        await self._worker.carry(self.sync.delete)


@final
class Network(_Face[BlockingNetwork]):
    """A network; see :class:`driverapi.Network`.

    Thread safety: all methods, each in the thread of its own loop.
    """

    __slots__ = ()

    @property
    def id(self) -> str:
        """64 hexadecimal digits, unique for ever."""
        return self.sync.id

    @property
    def name(self) -> str:
        """Unique within the controller."""
        return self.sync.name

    @property
    def type(self) -> str:
        """Its driver's network type."""
        return self.sync.type

    @property
    def gateway(self) -> netaddr.IPAddress | None:
        """The IPv4 gateway."""
        return self.sync.gateway

    @property
    def gateway_ipv6(self) -> netaddr.IPAddress | None:
        """The IPv6 gateway."""
        return self.sync.gateway_ipv6

    @property
    def endpoints(self) -> list[Endpoint]:
        """Its endpoints."""
        return self._faces(self.sync.endpoints)

    def endpoint(self, name: str) -> Endpoint:
        """Return the endpoint of a name; see :meth:`driverapi.Network.endpoint`."""
        return Endpoint(self._worker, self.sync.endpoint(name))

    def _faces(self, endpoints: Sequence[BlockingEndpoint]) -> list[Endpoint]:
        return [Endpoint(self._worker, one) for one in endpoints]

    async def statistics(self) -> dict[str, dict[str, InterfaceStatistics]]:
        """See :meth:`driverapi.Network.statistics`."""
        return await self._worker.run(self.sync.statistics)

    async def create_endpoint(
        self,
        name: str,
        ipv4: IPLike | None = None,
        ipv6: IPLike | None = None,
        mac: MACLike | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        publish: PortLike | Iterable[PortLike] | None = None,
    ) -> Endpoint:
        """See :meth:`driverapi.Network.create_endpoint`; cancelled, it is deleted again."""
        call = partial(self.sync.create_endpoint, name, ipv4, ipv6, mac, options, publish=publish)
        return Endpoint(self._worker, await self._worker.run(call, lambda made: made.delete()))

    async def notice_endpoint(
        self,
        name: str,
        ipv4: IPLike | None = None,
        ipv6: IPLike | None = None,
        mac: MACLike | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Endpoint:
        """See :meth:`driverapi.Network.notice_endpoint`; cancelled, it is deleted again."""
        call = partial(self.sync.notice_endpoint, name, ipv4, ipv6, mac, options)
        return Endpoint(self._worker, await self._worker.run(call, lambda made: made.delete()))

    async def attach(
        self,
        what: int | Sequence[Sandbox],
        *,
        strict: bool = False,
        progress: Progress | None = None,
        publish: PortLike | Iterable[PortLike] | None = None,
    ) -> list[Endpoint]:
        """See :meth:`driverapi.Network.attach`; cancelled, all of the call is undone.

        ``progress`` is called in the loop. What a warm pool has ready is given at once.
        """
        reports = _Reports(progress)
        ready = None if isinstance(what, Sequence) or publish is not None else self.sync._attach_ready(what)
        if ready is not None:
            reports.tell(len(ready))
            await self._undo_if(reports, ready)
            return self._faces(ready)
        wanted = what if isinstance(what, int | str) else [_beneath(one, Sandbox) for one in what]
        cancelled = threading.Event()

        def report(done: int) -> None:
            if cancelled.is_set() or reports.fault is not None:
                raise Abandoned
            reports(done)

        call = partial(self.sync.attach, wanted, strict=strict, progress=report, publish=publish)
        try:
            made = await self._worker.run(call, self.sync.detach, cancelled.set)
        except Abandoned:
            assert reports.fault is not None
            raise reports.fault from None
        except errors.BulkError as failed:
            await self._undo_if(reports, failed.results)
            failed.results[:] = self._faces(failed.results)
            raise
        await self._undo_if(reports, made)
        return self._faces(made)

    async def _undo_if(self, reports: _Reports, made: Sequence[BlockingEndpoint]) -> None:
        """Detach what was made, and raise what a report raised, if one did."""
        if reports.fault is not None:
            await self._worker.carry(partial(self.sync.detach, made))
            raise reports.fault

    async def detach(self, endpoints: Sequence[Endpoint], *, progress: Progress | None = None) -> None:
        """See :meth:`driverapi.Network.detach`; cancelled, it is carried to its end.

        ``progress`` is called in the loop; what it raises comes out at the end.
        """
        reports = _Reports(progress)
        if isinstance(endpoints, str | bytes) or not isinstance(endpoints, Iterable):
            raise errors.InvalidError(f"detach takes a sequence of endpoints, not {endpoints!r}")
        beneath = [_beneath(one, Endpoint) for one in endpoints]
        await self._worker.carry(partial(self.sync.detach, beneath, progress=reports))
        if reports.fault is not None:
            raise reports.fault

    @asynccontextmanager
    async def attached(self, what: int | Sequence[Sandbox], *, strict: bool = False) -> AsyncIterator[list[Endpoint]]:
        """See :meth:`driverapi.Network.attached`."""
        try:
            endpoints = await self.attach(what, strict=strict)
        except errors.BulkError as failed:
            await self.detach(failed.results)
            raise
        try:
            yield endpoints
        finally:
            with suppress(errors.ClosedError):  # they went with the controller
                await self.detach(endpoints)

    async def publish(self, wanted: Sequence[tuple[Endpoint, PortLike | Iterable[PortLike]]]) -> list[PortMap]:
        """See :meth:`driverapi.Network.publish`; cancelled, all of it is taken away again."""
        pairs: publishing.Wanted = [(_beneath(one, Endpoint), ports) for one, ports in wanted]
        return await self._worker.run(partial(self.sync.publish, pairs), lambda made: self._withdraw(pairs, made))

    def _withdraw(self, pairs: publishing.Wanted, made: Sequence[PortMap]) -> None:
        gone = [(one, [spec_of(port) for port in made if port in one.ports]) for one, _ in pairs]
        self.sync.unpublish([(one, specs) for one, specs in gone if specs])  # none would mean all

    async def unpublish(self, wanted: Sequence[tuple[Endpoint, PortLike | Iterable[PortLike]]]) -> None:
        """See :meth:`driverapi.Network.unpublish`."""
        pairs: publishing.Wanted = [(_beneath(one, Endpoint), ports) for one, ports in wanted]
        await self._worker.carry(partial(self.sync.unpublish, pairs))

    @property
    def leases(self) -> list[AddressLease]:
        """Its leases; see :mod:`driverapi.control.leasing`."""
        return list(self.sync.leases)

    async def lease(
        self, owner: str, address: IPLike | None = None, *, mac: MACLike | None = None, version: int | None = None
    ) -> AddressLease:
        """See :meth:`driverapi.control.leasing.Leases.take`; cancelled, it is released again."""
        call = partial(self.sync.leases.take, owner, address, mac=mac, version=version)
        return await self._worker.run(call, self.sync.leases.release)

    async def release(self, what: AddressLease | IPLike) -> None:
        """See :meth:`driverapi.control.leasing.Leases.release`."""
        await self._worker.carry(partial(self.sync.leases.release, what))

    async def delete(self) -> None:
        """See :meth:`driverapi.Network.delete`."""
        await self._worker.carry(self.sync.delete)


@final
class Controller:
    """A controller; takes what :class:`driverapi.Controller` takes, and is used with ``async with``.

    Attributes
    ----------
    sync : driverapi.Controller
        The controller of the blocking API; its calls and these may be mixed.

    Notes
    -----
    Thread safety: all methods, each in the thread of its own loop.
    """

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._worker = Worker()
        self._sync: blocking.Controller | None = None

    @property
    def sync(self) -> blocking.Controller:
        """The controller of the blocking API."""
        if self._sync is None:
            raise errors.ClosedError("the controller is not open: use it inside 'async with'")
        return self._sync

    async def __aenter__(self) -> Self:
        if self._sync is not None:
            raise errors.ClosedError("the controller was open already; make another")
        make = partial(blocking.Controller, **self._options)
        self._sync = await self._worker.run(make, lambda made: made.close())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """See :meth:`driverapi.Controller.close`; cancelled, it is carried to its end."""
        if self._sync is None or self._worker.closed or not self._worker.ours:
            return
        close = self._sync.close

        def end() -> None:
            close()
            self._worker.close()

        await self._worker.carry(end)

    @property
    def networks(self) -> list[Network]:
        """The networks that are ready."""
        return [Network(self._worker, one) for one in self.sync.networks]

    def network(self, name: str) -> Network:
        """Return the network of a name or an id."""
        return Network(self._worker, self.sync.network(name))

    @property
    def sandboxes(self) -> list[Sandbox]:
        """The sandboxes that there are."""
        return [Sandbox(self._worker, one) for one in self.sync.sandboxes]

    def sandbox(self, name: str) -> Sandbox:
        """Return the sandbox of a name."""
        return Sandbox(self._worker, self.sync.sandbox(name))

    async def create_network(
        self,
        driver: str,
        name: str,
        *,
        ipv4: PrefixLike | None = None,
        ipv6: PrefixLike | None = None,
        gateway: IPLike | None = None,
        gateway_ipv6: IPLike | None = None,
        ip_range: PrefixLike | Sequence[PrefixLike] = (),
        aux_addresses: Mapping[str, IPLike] | None = None,
        serial: bool = False,
        allow_overlap: bool = False,
        ipam: str = "default",
        ipam_options: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Network:
        """See :meth:`driverapi.Controller.create_network`; cancelled, it is deleted again."""
        call = partial(
            self.sync.create_network,
            driver,
            name,
            ipv4=ipv4,
            ipv6=ipv6,
            gateway=gateway,
            gateway_ipv6=gateway_ipv6,
            ip_range=ip_range,
            aux_addresses=aux_addresses,
            serial=serial,
            allow_overlap=allow_overlap,
            ipam=ipam,
            ipam_options=ipam_options,
            options=options,
        )
        return Network(self._worker, await self._worker.run(call, lambda made: made.delete()))

    async def create_sandbox(
        self,
        name: str,
        *,
        netns: str | os.PathLike[str] | None = None,
        host: bool = False,
        services: bool | Services | None = None,
    ) -> Sandbox:
        """See :meth:`driverapi.Controller.create_sandbox`; cancelled, it is deleted again."""
        call = partial(self.sync.create_sandbox, name, netns=netns, host=host, services=services)
        return Sandbox(self._worker, await self._worker.run(call, lambda made: made.delete()))

    def events(self, size: int = QUEUE) -> Events:
        """See :meth:`driverapi.Controller.events`: used with ``async with``, and iterated with ``async for``."""
        return Events(self.sync, size)

    async def discover_new(self, kind: str, data: Any) -> None:
        """See :meth:`driverapi.Controller.discover_new`; cancelled, it is carried to its end."""
        await self._worker.carry(partial(self.sync.discover_new, kind, data))

    async def discover_delete(self, kind: str, data: Any) -> None:
        """See :meth:`driverapi.Controller.discover_delete`; cancelled, it is carried to its end."""
        await self._worker.carry(partial(self.sync.discover_delete, kind, data))

    async def gc(self, owners: Collection[str]) -> list[AddressLease]:
        """See :meth:`driverapi.Controller.gc`; cancelled, it is carried to its end."""
        return await self._worker.carry(partial(self.sync.gc, owners))

    async def warm(self, network: Network | str, n: int, *, wait: bool = True) -> WarmPool:
        """See :meth:`driverapi.Controller.warm`; cancelled, the pool has the size that it had."""
        place = network if isinstance(network, str) else _beneath(network, Network)
        before = (self.sync.network(place) if isinstance(place, str) else place)._warm.size
        cancelled = threading.Event()

        def keep() -> WarmPool:
            pool = self.sync.warm(place, n, wait=False)
            faults = pool.faults
            while wait and not (pool.wait(0.05) or pool.faults != faults or cancelled.is_set()):
                pass
            return pool

        return await self._worker.run(keep, lambda _: self.sync.warm(place, before, wait=False), cancelled.set)


@final
class _Reports:
    """Passes reports of progress on into the loop that it is made in; the first that raises is the last.

    Attributes
    ----------
    fault : BaseException or None
        What a report raised.
    """

    def __init__(self, progress: Progress | None) -> None:
        check_progress(progress)
        self._progress = progress
        self._loop = asyncio.get_running_loop()
        self.fault: BaseException | None = None

    def __call__(self, done: int) -> None:
        """Report from another thread."""
        if self._progress is not None:
            self._loop.call_soon_threadsafe(self.tell, done)

    def tell(self, done: int) -> None:
        """Report in the loop."""
        if self._progress is not None and self.fault is None:
            try:
                self._progress(done)
            except BaseException as fault:  # raised again where the verb is awaited
                self.fault = fault


def _beneath(face: Any, kind: type[_Face[T]]) -> T:
    """Return the object of the blocking API that is meant."""
    if not isinstance(face, kind):
        raise errors.InvalidError(f"{face!r} is no driverapi.aio.{kind.__name__}")
    return face.sync

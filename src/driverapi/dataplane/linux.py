"""The dataplane of the Linux kernel: plans in, as few netlink messages as there can be.

One chunk of endpoints goes like this (``CHUNK`` of them share a link group)::

    host socket      RTM_NEWLINK veth, n of peer born in its namespace, named, MAC set, host end enslaved
                     RTM_NEWLINK by group   no link-local address; then up
    each namespace   lo up, link up, addresses, permanent neighbours, routes     one sendmsg
    host socket      RTM_NEWNEIGH, n of      the permanent entries of the master

Nothing is moved (but what a driver made itself) and nothing is looked up: names and ifindexes
are chosen here. Where a chosen one is taken, by somebody else in an existing namespace, the
namespace is looked at and others are chosen, a few times.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, ParamSpec, final

from driverapi import _native, errors
from driverapi._native import Batch, LinkRecord, Namespace, NetlinkError, NetlinkSocket
from driverapi.addresses import Address
from driverapi.dataplane.contract import Ownership, Progress, Work
from driverapi.dataplane.failures import failure, first_failure
from driverapi.dataplane.groups import COMMON, LinkGroups
from driverapi.dataplane.sandboxes import LinuxNetns, Sandboxes
from driverapi.instance import Instance
from driverapi.plan import BridgeLink, EndpointPlan, InterfacePlan, MoveLink, NetworkPlan, Route, VethLink

__all__ = ["LinuxDataplane"]

P = ParamSpec("P")

CHUNK: Final = 64
"""Endpoints made, and at best deleted, together: some 30 ms of the kernel's global lock at deletion."""

TRIES: Final = 4
"""How often a name or index is chosen anew that somebody else has."""

HOST_BUFFER: Final = 1 << 20
"""Bytes asked for the buffers of the host's socket: room for the errors of a whole chunk."""

_ADDR_GEN_NONE: Final = 1  # IN6_ADDR_GEN_MODE_NONE
_GONE: Final = (errno.ENODEV, errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL)
_TAKEN: Final = (errno.EEXIST, errno.EBUSY)


@dataclass(slots=True)
class _Interface:
    """One link of an endpoint while it lives."""

    plan: InterfacePlan
    name: str
    index: int  # in the sandbox
    host_name: str = ""
    host_index: int = 0
    master: int = 0
    group: int = COMMON
    there: bool = False  # in the kernel, or maybe: set before the kernel is asked


@final
@dataclass(slots=True)
class LinuxRealised:
    """What was made for one endpoint, and what went wrong with it."""

    plan: EndpointPlan
    netns: LinuxNetns
    interfaces: list[_Interface] = field(default_factory=list)
    error: Exception | None = None
    namespace: Namespace | None = None  # while it is in use

    @property
    def names(self) -> dict[int, str]:
        """Name in the sandbox of each interface, by the interface's id."""
        return {interface.plan.id: interface.name for interface in self.interfaces}

    @property
    def what(self) -> str:
        """How errors call it."""
        return f"endpoint {self.plan.owner[:12]}"

    def use(self) -> Namespace:
        """Hold the sandbox's namespace open until :meth:`rest`."""
        if self.namespace is None:
            self.namespace = self.netns.use()
        return self.namespace

    def rest(self) -> None:
        """Let it go."""
        if self.namespace is not None:
            self.namespace = None
            self.netns.rest()


@final
class LinuxDataplane:
    """Realises plans in the namespace of the thread that makes it, and in those of sandboxes.

    Thread safety: all methods.
    """

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._lock = threading.Lock()
        self._groups = LinkGroups(instance)
        self._sandboxes = Sandboxes(instance)
        self._masters: dict[tuple[str, str], int] = {}  # (network, name in its plan) → ifindex
        try:
            self._host = NetlinkSocket(send_buffer=HOST_BUFFER, receive_buffer=HOST_BUFFER)
            self._home = _native.open_namespace(f"/proc/self/task/{threading.get_native_id()}/ns/net")
        except OSError as error:
            raise errors.KernelError(f"open a netlink socket: {error.strerror}", error.errno or 0) from error

    def close(self) -> None:
        """Let go of descriptors; what was realised stays."""
        self._host.close()
        self._home.close()

    # --- sandboxes ------------------------------------------------------------------------------

    def make_sandboxes(self, ids: Sequence[str]) -> list[LinuxNetns]:
        """Begin to make a namespace per id, beside everything else."""
        return self._sandboxes.make(ids)

    def wait_sandboxes(self, netns: Sequence[LinuxNetns]) -> list[Exception | None]:
        """Wait until they are made."""
        answers = self._sandboxes.wait(netns)
        for one in netns:
            one.rest(used=False)
        return answers

    def open_sandbox(self, path: str) -> LinuxNetns:
        """Take an existing namespace, known by its path."""
        return self._sandboxes.existing(path)

    def host_sandbox(self) -> LinuxNetns:
        """Return the host's own namespace."""
        return self._sandboxes.host()

    def drop_sandboxes(self, netns: Sequence[LinuxNetns]) -> list[Exception | None]:
        """Unbind those that are owned."""
        return self._sandboxes.drop(netns)

    # --- networks -------------------------------------------------------------------------------

    def realise_network(self, network: str, plan: NetworkPlan) -> None:
        """Make the network's bridges with their addresses, all or nothing."""
        try:
            for link in plan.links:
                self._make_bridge(network, link)
        except BaseException:
            self.remove_network(network)
            raise

    def _make_bridge(self, network: str, link: BridgeLink) -> None:
        name = link.name if link.exact else self._instance.link_name("b")
        what = f"network {network[:12]}"
        group = self._groups.value(COMMON)
        batch = Batch()
        for attempt in range(TRIES):
            index = self._instance.link_index()
            self._masters[network, link.name] = index
            batch.clear()
            batch.add_bridge(name, index=index, mac=link.mac, mtu=link.mtu, group=group)
            error = self._host.execute(batch).error(0)
            if error is None:
                break
            del self._masters[network, link.name]
            if error.errno != errno.EBUSY or attempt == TRIES - 1:
                raise failure(what, error)
        batch.clear()
        batch.set_link(index, addr_gen_mode=_ADDR_GEN_NONE)
        for address in link.addresses:
            batch.add_address(index, address.ip, address.prefix)
        batch.set_link(index, up=True)
        refused = first_failure(what, self._host.execute(batch))
        if refused is not None:
            raise refused

    def remove_network(self, network: str) -> None:
        """Delete the network's bridges."""
        names = [key for key in self._masters if key[0] == network]
        batch = Batch()
        for key in names:
            batch.delete_link(self._masters[key])
        if names:
            refused = first_failure(f"network {network[:12]}", self._host.execute(batch), _GONE)
            if refused is not None:
                raise refused
        for key in names:
            del self._masters[key]

    def host_prefixes(self) -> list[Address]:
        """Prefixes that the host has routes to, the default routes left out."""
        found = (
            Address(route.destination, route.prefix) for route in self._host.dump_routes() if route.prefix
        )
        return [prefix for prefix in found if len(prefix.ip) in (4, 16)]

    # --- endpoints: up --------------------------------------------------------------------------

    def realise(
        self, works: Sequence[Work], progress: Progress | None = None
    ) -> list[LinuxRealised | Exception]:
        """Realise endpoints in chunks; an interrupt takes away what this call made."""
        done: list[LinuxRealised | Exception] = []
        try:
            for at in range(0, len(works), CHUNK):
                done += self._realise_chunk(works[at : at + CHUNK])
                if progress is not None:
                    progress(len(done))
        except BaseException:
            self.remove([one for one in done if isinstance(one, LinuxRealised)])
            raise
        return done

    def _realise_chunk(self, works: Sequence[Work]) -> list[LinuxRealised | Exception]:
        jobs = []
        group = self._groups.take()
        try:
            for work in works:
                assert isinstance(work.netns, LinuxNetns)
                job = LinuxRealised(work.plan, work.netns)
                jobs.append(job)
                self._try(job, self._choose, job, group)
            self._make_veths(jobs, group)
            self._raise_group(jobs, group)
            for job in jobs:
                self._try(job, self._move_in, job)
                self._try(job, self._configure, job)
            self._pin(jobs)
        except BaseException:
            self._take_away(jobs)
            raise
        else:
            self._take_away([job for job in jobs if job.error is not None])
        finally:
            self._groups.give_back(group)
            for job in jobs:
                job.rest()
        return [job if job.error is None else job.error for job in jobs]

    @staticmethod
    def _try(job: LinuxRealised, step: Callable[P, None], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Run one endpoint's step; its failure is its own."""
        if job.error is None:
            try:
                step(*args, **kwargs)
            except NetlinkError as error:
                job.error = failure(job.what, error)
            except (errors.DriverAPIError, OSError) as error:
                job.error = error

    def _choose(self, job: LinuxRealised, group: int) -> None:
        """Choose names and indexes for the endpoint's links."""
        if job.netns.ownership is Ownership.HOST:
            if job.plan.interfaces:
                raise errors.ConflictError(
                    f"{job.what}: nothing is made in the host's own namespace; use a sandbox"
                )
            return
        job.use()
        for plan in job.plan.interfaces:
            interface = _Interface(plan, job.netns.take_name(plan.name, exact=plan.exact), 0)
            job.interfaces.append(interface)
            if isinstance(plan.link, VethLink):
                self._choose_indexes(job, interface)
                interface.group = group
                interface.host_name = self._instance.link_name("e")
                if plan.link.master is not None:
                    try:
                        interface.master = self._masters[job.plan.network, plan.link.master]
                    except KeyError:
                        raise errors.InvalidError(
                            f"{job.what}: master {plan.link.master!r} is no link of the network's plan"
                        ) from None

    def _choose_indexes(self, job: LinuxRealised, interface: _Interface) -> None:
        interface.index = job.netns.take_index()
        interface.host_index = self._instance.link_index()

    def _put_veth(self, batch: Batch, job: LinuxRealised, interface: _Interface) -> None:
        assert isinstance(interface.plan.link, VethLink)
        batch.add_veth(
            interface.host_name,
            interface.name,
            index=interface.host_index,
            peer_index=interface.index,
            namespace=job.use().fileno(),
            peer_mac=interface.plan.mac,
            master=interface.master,
            mtu=interface.plan.link.mtu,
            group=self._groups.value(interface.group),
        )
        interface.there = True

    def _make_veths(self, jobs: Sequence[LinuxRealised], group: int) -> None:
        batch = Batch()
        asked = []
        for job in jobs:
            if job.error is None:
                for interface in job.interfaces:
                    if isinstance(interface.plan.link, VethLink):
                        self._put_veth(batch, job, interface)
                        asked.append((job, interface))
        if not asked:
            return
        self._groups.add(group, [interface.host_index for _, interface in asked])
        answers = self._host.execute(batch)
        if answers.ok:
            return
        for position, (job, interface) in enumerate(asked):
            error = answers.error(position)
            if error is not None:
                self._try(job, self._settle, job, interface, error)

    def _settle(self, job: LinuxRealised, interface: _Interface, error: NetlinkError) -> None:
        """Deal with a veth that was refused, or whose answer was lost."""
        for _ in range(TRIES):
            if error.errno == errno.ENOBUFS and self._is_there(interface):
                return
            self._groups.discard(interface.group, [interface.host_index])
            interface.there = False
            if error.errno not in _TAKEN:
                break
            self._choose_again(job, interface)
            self._groups.add(interface.group, [interface.host_index])
            batch = Batch()
            self._put_veth(batch, job, interface)
            refused = self._host.execute(batch).error(0)
            if refused is None:
                return
            error = refused
        self._groups.discard(interface.group, [interface.host_index])
        interface.there = False
        raise error

    def _is_there(self, interface: _Interface) -> bool:
        """Look up a link whose answer was lost: by our index, which must have our name."""
        found = self._link(self._host, index=interface.host_index)
        return found is not None and found.name == interface.host_name

    def _choose_again(self, job: LinuxRealised, interface: _Interface) -> None:
        """Somebody has the name or an index: look at the namespace, choose others."""
        job.netns.give_back(interface.name, interface.index)
        job.netns.look((link.name, link.index) for link in job.use().socket.dump_links())
        interface.name = job.netns.take_name(interface.plan.name, exact=interface.plan.exact)
        self._choose_indexes(job, interface)

    def _raise_group(self, jobs: Sequence[LinuxRealised], group: int) -> None:
        """Bring the host ends up by their group: without a link-local address on each.

        With one, the cost of an endpoint grows with the number of endpoints.
        """
        born = [interface for job in jobs for interface in job.interfaces if interface.there]
        if not born:
            return
        batch = Batch()
        if group == COMMON:  # the numbers ran out: the group has links of others in it
            for interface in born:
                batch.set_link(interface.host_index, addr_gen_mode=_ADDR_GEN_NONE)
                batch.set_link(interface.host_index, up=True)
        else:
            batch.set_link(group=self._groups.value(group), addr_gen_mode=_ADDR_GEN_NONE)
            batch.set_link(group=self._groups.value(group), up=True)
        refused = first_failure("bring the host ends up", self._host.execute(batch))
        if refused is not None:
            for job in jobs:
                job.error = job.error or refused

    def _move_in(self, job: LinuxRealised) -> None:
        """Move links that a driver made itself: slow, and only for them."""
        for interface in job.interfaces:
            link = interface.plan.link
            if not isinstance(link, MoveLink):
                continue
            found = self._link(self._host, name=link.source)
            if found is None:
                raise errors.NotFoundError(
                    f"{job.what}: there is no link {link.source!r} to move into the sandbox"
                )
            namespace = job.use()
            batch = Batch()
            interface.there = True
            batch.set_link(found.index, namespace=namespace.fileno(), new_name=interface.name)
            error = self._host.execute(batch).error(0)
            moved = self._link(namespace.socket, name=interface.name)
            interface.there = moved is not None and error is None
            if error is not None:
                raise error
            if moved is None:
                raise errors.KernelError(f"{job.what}: link {link.source!r} was moved and is not there")
            interface.index = moved.index

    def _configure(self, job: LinuxRealised) -> None:
        """Set up everything inside the namespace with one sendmsg."""
        if job.netns.ownership is Ownership.HOST:
            return
        batch = Batch()
        if job.netns.ownership is Ownership.OWNED:
            batch.set_link(1, up=True)  # lo has index 1 in every namespace (LOOPBACK_IFINDEX)
        for interface in job.interfaces:
            if isinstance(interface.plan.link, VethLink):
                batch.set_link(interface.index, addr_gen_mode=_ADDR_GEN_NONE)
                batch.set_link(interface.index, up=True)
            else:
                batch.set_link(interface.index, up=True, mac=interface.plan.mac)
            for address in interface.plan.addresses:
                batch.add_address(interface.index, address.ip, address.prefix)
        for neighbour in job.plan.neighbours:
            batch.add_neighbour(self._towards(job, neighbour.ip).index, neighbour.ip, neighbour.mac)
        for route in job.plan.routes:
            if self._claims_gateway(job, route):
                self._put_route(batch, job, route)
        if len(batch):
            self._run_inside(job, batch)

    def _run_inside(self, job: LinuxRealised, batch: Batch) -> None:
        socket = job.use().socket
        answers = socket.execute(batch)
        if answers.ok:
            return
        for position in answers.failed:
            error = answers.error(position)
            if error is not None:
                raise error
        # Answers were lost. Asked for alone, a message is answered for certain: done now, or
        # there already. Failures that were answered have been raised above.
        for position in answers.unknown:
            again = Batch()
            again.append(batch.message(position))
            error = socket.execute(again).error(0)
            if error is not None and error.errno != errno.EEXIST:
                raise error

    @staticmethod
    def _towards(job: LinuxRealised, ip: bytes) -> _Interface:
        """Return the interface whose prefix holds an address, else the first."""
        for interface in job.interfaces:
            if any(ip in address for address in interface.plan.addresses):
                return interface
        if not job.interfaces:
            raise errors.InvalidError(f"{job.what}: routes and neighbours need an interface with a link")
        return job.interfaces[0]

    def _put_route(self, batch: Batch, job: LinuxRealised, route: Route) -> None:
        hop = route.gateway if route.gateway is not None else route.destination.ip
        interface = self._towards(job, hop)
        reached = any(hop in address for address in interface.plan.addresses)
        batch.add_route(
            route.destination.ip,
            route.destination.prefix,
            gateway=route.gateway,
            index=interface.index,
            on_link=route.on_link or (route.gateway is not None and not reached),
        )

    def _claims_gateway(self, job: LinuxRealised, route: Route) -> bool:
        """Queue for the sandbox's default route: the first endpoint has it, the others wait."""
        if route.destination.prefix:
            return True
        with self._lock:
            job.netns.gateways.append((job, route))
            return _first(job.netns, route.destination.version) is job

    def _pin(self, jobs: Sequence[LinuxRealised]) -> None:
        """Give the masters permanent neighbour entries for the endpoints that are up."""
        batch = Batch()
        owners = []
        for job, interface, address in _pinned(jobs):
            batch.add_neighbour(interface.master, address.ip, interface.plan.mac or b"")
            owners.append(job)
        if not owners:
            return
        answers = self._host.execute(batch)
        if answers.ok:
            return
        for position, job in enumerate(owners):
            error = answers.error(position)
            if error is not None and job.error is None:
                job.error = failure(job.what, error)

    # --- endpoints: down ------------------------------------------------------------------------

    def remove(
        self, realised: Sequence[LinuxRealised], progress: Progress | None = None
    ) -> list[Exception | None]:
        """Take endpoints away, by group where that can be."""
        answers: list[Exception | None] = []
        for at in range(0, len(realised), CHUNK):
            chunk = realised[at : at + CHUNK]
            for job in chunk:
                job.error = None
            self._take_away(chunk)
            answers += [job.error for job in chunk]
            if progress is not None:
                progress(len(answers))
        return answers

    def _take_away(self, jobs: Sequence[LinuxRealised]) -> None:
        """Undo whatever part of the endpoints is in the kernel; a failure becomes a job's error."""
        if not jobs:
            return
        for job in jobs:
            self._move_out(job)
        self._unpin(jobs)
        self._delete_veths(jobs)
        for job in jobs:
            for interface in job.interfaces:
                if not interface.there:
                    job.netns.give_back(interface.name, interface.index)
            self._pass_gateway_on(job)

    def _move_out(self, job: LinuxRealised) -> None:
        """Move a driver's own links back, under their own names."""
        for interface in job.interfaces:
            if not interface.there or not isinstance(interface.plan.link, MoveLink):
                continue
            batch = Batch()
            batch.set_link(interface.index, up=False)
            batch.set_link(
                interface.index, namespace=self._home.fileno(), new_name=interface.plan.link.source
            )
            try:
                refused = first_failure(job.what, job.use().socket.execute(batch), _GONE)
            except errors.NoSandboxError:
                refused = None  # the namespace is gone and the link with it
            finally:
                job.rest()
            job.error = job.error or refused
            interface.there = refused is not None

    def _unpin(self, jobs: Sequence[LinuxRealised]) -> None:
        batch = Batch()
        for _, interface, address in _pinned(jobs, failed_too=True):
            batch.delete_neighbour(interface.master, address.ip)
        if len(batch):
            self._host.execute(batch)  # an entry that was not there, or went with its bridge, is as wanted

    def _delete_veths(self, jobs: Sequence[LinuxRealised]) -> None:
        by_group: dict[int, list[tuple[LinuxRealised, _Interface]]] = {}
        for job in jobs:
            for interface in job.interfaces:
                if interface.there and isinstance(interface.plan.link, VethLink):
                    by_group.setdefault(interface.group, []).append((job, interface))
        for group, members in by_group.items():
            self._delete_group(group, members)

    def _delete_group(self, group: int, members: Sequence[tuple[LinuxRealised, _Interface]]) -> None:
        indexes = [interface.host_index for _, interface in members]
        if self._groups.is_whole(group, indexes):
            error = self._delete(lambda batch: batch.delete_link(group=self._groups.value(group)))
        elif len(indexes) == 1 or (fresh := self._groups.take()) == COMMON:
            error = self._delete(lambda batch: [batch.delete_link(index) for index in indexes])
        else:
            # A part of a group: into one of its own first. What is gone already is passed over.
            error = self._delete(
                lambda batch: [
                    batch.set_link(index, new_group=self._groups.value(fresh)) for index in indexes
                ]
            ) or self._delete(lambda batch: batch.delete_link(group=self._groups.value(fresh)))
            self._groups.give_back(fresh)
        if error is None:
            for _, interface in members:
                interface.there = False
            self._groups.discard(group, indexes)
            self._groups.give_back(group)
        else:
            for job, _ in members:
                job.error = job.error or error

    def _delete(self, put: Callable[[Batch], object]) -> errors.KernelError | None:
        batch = Batch()
        put(batch)
        return first_failure("delete links", self._host.execute(batch), _GONE)

    def _pass_gateway_on(self, job: LinuxRealised) -> None:
        """Give the default route to the next endpoint that waits for it in the sandbox."""
        waiting: list[tuple[LinuxRealised, Route]] = []
        with self._lock:
            had = [route for owner, route in job.netns.gateways if owner is job]
            led = [route for route in had if _first(job.netns, route.destination.version) is job]
            job.netns.gateways[:] = [entry for entry in job.netns.gateways if entry[0] is not job]
            for route in led:
                waiting += [
                    entry for entry in job.netns.gateways if entry[1].destination == route.destination
                ][:1]
        for owner, route in waiting:
            batch = Batch()
            self._put_route(batch, owner, route)
            try:
                refused = first_failure(owner.what, owner.use().socket.execute(batch), (errno.EEXIST, *_GONE))
            except errors.NoSandboxError:
                refused = None
            finally:
                owner.rest()
            job.error = job.error or refused

    @staticmethod
    def _link(socket: NetlinkSocket, *, index: int = 0, name: str | None = None) -> LinkRecord | None:
        batch = Batch()
        batch.get_link(index, name=name)
        answers = socket.execute(batch)
        found = _native.links(b"".join(answers.replies())) if answers[0] == 0 else []
        return found[0] if found else None


def _first(netns: LinuxNetns, version: int) -> LinuxRealised | None:
    """Whose default route of that family the sandbox has."""
    return next((job for job, route in netns.gateways if route.destination.version == version), None)


def _pinned(
    jobs: Sequence[LinuxRealised], *, failed_too: bool = False
) -> list[tuple[LinuxRealised, _Interface, Address]]:
    return [
        (job, interface, address)
        for job in jobs
        if failed_too or job.error is None
        for interface in job.interfaces
        if interface.there
        and isinstance(interface.plan.link, VethLink)
        and interface.plan.link.pin_neighbours
        if interface.master and interface.plan.mac is not None
        for address in interface.plan.addresses
    ]

"""A dataplane in memory, with the outcomes of the real one: for tests of drivers and controllers.

It keeps names, indexes and addresses as a kernel would, refuses what a kernel would refuse,
and can be told to fail at any step of any endpoint.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, final

from driverapi import errors
from driverapi.addresses import Address
from driverapi.counters import InterfaceStatistics
from driverapi.dataplane.contract import Ownership, Progress, Swept, Work
from driverapi.plan import (
    BridgeLink,
    EndpointPlan,
    GatewayLink,
    IpvlanLink,
    Link,
    MacvlanLink,
    MoveLink,
    NetworkPlan,
    ParentLink,
    PortMap,
    PortWish,
    Route,
)
from driverapi.streams.hub import HostLink, Hub

__all__ = ["FakeDataplane", "FakeNetns", "FakeRealised"]


@dataclass(eq=False, slots=True)
class FakeNetns:
    """A namespace that only has names in it."""

    key: str
    ownership: Ownership
    names: set[str] = field(default_factory=lambda: {"lo"})
    dropped: bool = False


@final
@dataclass(eq=False, slots=True)
class FakeRealised:
    """What was made for one endpoint."""

    plan: EndpointPlan
    netns: FakeNetns
    names: dict[int, str] = field(default_factory=dict)


@final
class FakeDataplane:
    """Realises plans in memory.

    Attributes
    ----------
    links : set
        Names of links on the host; put a driver's own devices here.
    bridges : set
        Those of them that are bridges of somebody else, which a network may use.
    networks, endpoints, sandboxes : dict
        What is realised now, by id.
    counted : dict
        What went through the interfaces of an endpoint, by its id.
    faults : dict
        Error to answer for the owner (endpoint id), network id or sandbox id of the key; an
        exception that is no ``Exception`` (``KeyboardInterrupt()``) is raised.
    ports : dict
        Published ports, by protocol, address and port of the host.
    foreign_ports : set
        Ports of the host that somebody else has.
    hub : Hub or None
        Who is to be told of links, while anybody reads ``Controller.events``.
    stuck : dict
        The same for taking it away; what is stuck stays as it is.
    lost : set
        Endpoint ids whose foreign sandbox is no more; a restart does not find them.

    Notes
    -----
    Thread safety: all methods.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.links: set[str] = {"lo"}
        self.bridges: set[str] = set()
        self.networks: dict[str, NetworkPlan] = {}
        self.endpoints: dict[str, FakeRealised] = {}
        self.sandboxes: dict[str, FakeNetns] = {}
        self.counted: dict[str, InterfaceStatistics] = {}
        self.faults: dict[str, BaseException] = {}
        self.stuck: dict[str, BaseException] = {}
        self.lost: set[str] = set()
        self.ports: dict[tuple[str, bytes, int], PortMap] = {}
        self.foreign_ports: set[int] = set()
        self.closed = False
        self.hub: Hub | None = None
        self._number = 0
        self._vlans: set[str] = set()  # that were made for networks

    def _fault(self, id: str) -> Exception | None:
        return _answer(self.faults, id)

    def make_sandboxes(self, ids: Sequence[str]) -> list[FakeNetns]:
        """Make a namespace per id."""
        made = [FakeNetns(f"/fake/ns/{id}", Ownership.OWNED) for id in ids]
        with self._lock:
            self.sandboxes.update(zip(ids, made, strict=True))
        return made

    def wait_sandboxes(self, netns: Sequence[FakeNetns]) -> list[Exception | None]:
        """Answer the faults of those that should fail."""
        return [self._fault(one.key.rpartition("/")[2]) for one in netns]

    def open_sandbox(self, path: str) -> FakeNetns:
        """Take any path but one that has a fault."""
        fault = self._fault(path)
        if fault is not None:
            raise fault
        return FakeNetns(path, Ownership.EXISTING)

    def host_sandbox(self) -> FakeNetns:
        """Return the host's own namespace."""
        return FakeNetns("/fake/host", Ownership.HOST)

    def foreign_sandbox(self, key: str) -> FakeNetns:
        """Take a namespace whose owner moves the links in."""
        return FakeNetns(key, Ownership.FOREIGN)

    def held(self, realised: Sequence[FakeRealised]) -> list[bool]:
        """Tell of each whether its owner is not among those that were lost."""
        return [one.plan.owner in self.endpoints and one.plan.owner not in self.lost for one in realised]

    def discard_sandboxes(self, ids: Sequence[str]) -> None:
        """Drop what was made of these ids."""
        with self._lock:
            known = [self.sandboxes[id] for id in ids if id in self.sandboxes]
        self.drop_sandboxes(known)

    def drop_sandboxes(self, netns: Sequence[FakeNetns]) -> list[Exception | None]:
        """Forget those that are owned."""
        answers = [_answer(self.stuck, one.key.rpartition("/")[2]) for one in netns]
        with self._lock:
            for one, answer in zip(netns, answers, strict=True):
                one.dropped = answer is None and one.ownership is Ownership.OWNED
            self.sandboxes = {id: one for id, one in self.sandboxes.items() if not one.dropped}
        return answers

    def realise_network(self, network: str, plan: NetworkPlan) -> None:
        """Keep the plan; a name that is taken is refused."""
        fault = self._fault(network)
        if fault is not None:
            raise fault
        with self._lock:
            exact = _exact(plan)
            used: set[str] = set().union(*map(_exact, self.networks.values()))
            taken = exact & (self.links - (self.bridges - used))
            if taken:
                raise errors.KernelConflictError(f"{plan.title(network)}: add bridge {taken.pop()}: File exists", 17)
            kinds = {(one.source, one.kind) for there in self.networks.values() for one in _on(there)}
            for one in _on(plan):
                other = "ipvlan" if one.kind == "macvlan" else "macvlan"
                if (one.source, other) in kinds:
                    raise errors.ConflictError(
                        f"{plan.title(network)}: parent {one.source!r} has {other} networks already, and the kernel "
                        "allows one kind; use another parent"
                    )
            for parent in _parents(plan) - self.links:
                below, _, number = parent.rpartition(".")
                if below not in self.links or not number.isdigit():
                    raise errors.NotFoundError(f"{plan.title(network)}: there is no link {parent!r} to be the parent")
                self._vlans.add(parent)
                self.links.add(parent)
            self.links |= exact
            self.networks[network] = plan

    def remove_network(self, network: str) -> None:
        """Forget the plan."""
        refused = _answer(self.stuck, network)
        if refused is not None:
            raise refused
        with self._lock:
            plan = self.networks.pop(network, None)
            if plan is not None:
                self.links -= _exact(plan) - self.bridges
                used = set().union(*map(_parents, self.networks.values()))
                self.links -= self._vlans - used
                self._vlans &= used

    def realise(self, works: Sequence[Work], progress: Progress | None = None) -> list[FakeRealised | Exception]:
        """Realise endpoints one after the other."""
        done: list[FakeRealised | Exception] = []
        try:
            for work in works:
                try:
                    done.append(self._realise(work))
                except Exception as error:
                    done.append(error)
                if progress is not None:
                    progress(len(done))
        except BaseException:
            self.remove([one for one in done if isinstance(one, FakeRealised)])
            raise
        return done

    def _realise(self, work: Work) -> FakeRealised:
        netns = work.netns
        assert isinstance(netns, FakeNetns)
        made = FakeRealised(work.plan, netns)
        for id in (work.plan.owner, netns.key.rpartition("/")[2]):
            fault = self._fault(id)
            if fault is not None:
                raise fault
        if netns.dropped:
            raise errors.NoSandboxError(f"{netns.key!r} is no network namespace")
        plan = work.plan
        if netns.ownership is Ownership.HOST and (plan.interfaces or plan.routes or plan.sysctls):
            raise errors.ConflictError("nothing is made in the host's own namespace; use a sandbox")
        if (plan.routes or plan.neighbours or plan.sysctls) and not plan.interfaces:
            raise errors.InvalidError("routes, neighbours and sysctls need an interface with a link")
        with self._lock:
            try:
                for interface in work.plan.interfaces:
                    self._link(work.plan, interface.link)
                    if netns.ownership is Ownership.FOREIGN:
                        made.names[interface.id] = self._host_name(interface.link)
                        continue
                    made.names[interface.id] = self._name(netns, interface.name, exact=interface.exact)
                    if isinstance(interface.link, MoveLink):
                        self.links.discard(interface.link.source)
            except BaseException:
                self._undo(made)
                raise
            self.endpoints[work.plan.owner] = made
        return made

    def _link(self, plan: EndpointPlan, link: Link) -> None:
        if isinstance(link, MoveLink):
            if link.source not in self.links:
                raise errors.NotFoundError(f"there is no link {link.source!r} to move into the sandbox")
        elif isinstance(link, MacvlanLink | IpvlanLink):
            self._find(plan, "parent", link.parent, ParentLink)
        elif link.gateway is not None:
            self._find(plan, "gateway", link.gateway, GatewayLink)
        elif link.master is not None:
            self._find(plan, "master", link.master, BridgeLink)

    def _find(self, plan: EndpointPlan, what: str, name: str, kind: type) -> None:
        network = self.networks.get(plan.network, NetworkPlan())
        if name not in {one.name for one in network.links if isinstance(one, kind)}:
            raise errors.InvalidError(f"{what} {name!r} is no such link of the network's plan")

    def _host_name(self, link: Link) -> str:
        if isinstance(link, MoveLink):
            return link.source
        self._number += 1
        return f"fake{self._number}"

    @staticmethod
    def _name(netns: FakeNetns, name: str, *, exact: bool) -> str:
        chosen, number = name, 0
        while not exact and (chosen := f"{name}{number}") in netns.names:
            number += 1
        if chosen in netns.names:
            raise errors.ConflictError(f"interface name {name!r} is taken in sandbox {netns.key}; choose another")
        netns.names.add(chosen)
        return chosen

    def remove(self, realised: Sequence[Any], progress: Progress | None = None) -> list[Exception | None]:
        """Forget endpoints; links that were moved are back on the host."""
        answers = [_answer(self.stuck, one.plan.owner) for one in realised]
        with self._lock:
            for one, answer in zip(realised, answers, strict=True):
                if answer is None:
                    self.endpoints.pop(one.plan.owner, None)
                    self._undo(one)
        if progress is not None:
            progress(len(realised))
        return answers

    def _undo(self, made: FakeRealised) -> None:
        for interface in made.plan.interfaces:
            name = made.names.pop(interface.id, None)
            if name is not None:
                made.netns.names.discard(name)
                if isinstance(interface.link, MoveLink):
                    self.links.add(interface.link.source)

    def publish(self, wanted: Sequence[tuple[str, Sequence[PortWish]]]) -> list[list[PortMap] | Exception]:
        """Publish ports; ``faults[network]`` refuses them."""
        answers: list[list[PortMap] | Exception] = []
        with self._lock:
            for network, wishes in wanted:
                taken: list[PortMap] = []
                try:
                    fault = self._fault(f"ports of {network}")
                    if fault is not None:
                        raise fault
                    for wish in wishes:
                        taken += self._take_port(wish)
                except Exception as error:
                    self._forget_ports(taken)
                    answers.append(error)
                else:
                    answers.append(taken)
        return answers

    def _take_port(self, wish: PortWish) -> list[PortMap]:
        for number in range(wish.low or 32768, (wish.high or 60999) + 1):
            ports = wish.at(number)
            keys = [(one.protocol, one.host, number) for one in ports]
            if number in self.foreign_ports or any(key in self.ports for key in keys):
                continue
            self.ports.update(zip(keys, ports, strict=True))
            return ports
        if wish.low and wish.low == wish.high:
            raise errors.PortTakenError(f"port {wish.low}/{wish.protocol} is in use; choose another")
        raise errors.PortsExhaustedError(f"ports of range {wish.low}…{wish.high} are all in use")

    def unpublish(self, ports: Sequence[PortMap]) -> None:
        """Forget published ports."""
        refused = _answer(self.stuck, "ports")
        if refused is not None:
            raise refused
        with self._lock:
            self._forget_ports(ports)

    def _forget_ports(self, ports: Sequence[PortMap]) -> None:
        for one in ports:
            self.ports.pop((one.protocol, one.host, one.host_port), None)

    def counters(
        self, realised: Sequence[FakeRealised], *, inside: bool
    ) -> list[dict[int, InterfaceStatistics] | Exception]:
        """Return what ``counted`` has of endpoints, by their ids; nothing has gone through the others."""
        del inside
        with self._lock:
            return [
                errors.NotFoundError(f"endpoint {one.plan.name!r}: its interfaces are gone")
                if one.plan.owner not in self.endpoints
                else {id: self.counted.get(one.plan.owner, InterfaceStatistics()) for id in one.names}
                for one in realised
            ]

    def default_route(self, netns: FakeNetns, version: int) -> tuple[str, Route] | None:
        """Return who has a sandbox's default route, by id, and which: the highest priority, of equals the first."""
        with self._lock:
            wanting = [
                (one.plan, route)
                for one in self.endpoints.values()
                if one.netns.key == netns.key
                for route in one.plan.routes
                if not route.destination.prefix and route.destination.version == version
            ]
        found = max(wanting, key=lambda entry: entry[0].priority, default=None)
        return None if found is None else (found[0].owner, found[1])

    def sysctls(self, netns: FakeNetns) -> dict[str, str]:
        """Return what is set of a sandbox's interfaces, by full name."""
        with self._lock:
            return {
                sysctl.of(name): sysctl.value
                for one in self.endpoints.values()
                if one.netns.key == netns.key
                for name in one.names.values()
                for sysctl in one.plan.sysctls
            }

    def listen(self, hub: Hub) -> FakeMonitor:
        """Have a hub told by whoever holds ``hub``."""
        self.hub = hub
        return FakeMonitor(self)

    def host_links(self, realised: FakeRealised) -> list[HostLink]:
        """Return one end for each endpoint that has an interface, on a bridge of the number 1."""
        owner = realised.plan.owner
        index = int(owner[:7], 16) + 2
        return [HostLink(index, f"fake-{owner[:7]}", 1, 1)] if realised.plan.interfaces else []

    def host_prefixes(self, but: str = "") -> list[Address]:
        """Return none: this host has no routes."""
        return []

    def close(self, keep: Collection[str] = ()) -> None:
        """Note that it was closed."""
        self.closed = True

    # --- after a restart ------------------------------------------------------------------------

    def kept(self, realised: FakeRealised) -> object:
        """Return the names of the interfaces."""
        return sorted(realised.names.items())

    def kept_network(self, network: str) -> object:
        """Return the names of the network's links."""
        plan = self.networks.get(network)
        return None if plan is None else [link.name for link in plan.links]

    def survey(self) -> FakeSurvey:
        """Look at what is there: give the same dataplane to another controller, as the kernel would be the same."""
        self.closed = False
        return FakeSurvey(self)


@final
class FakeMonitor:
    """Listens to nothing.

    Thread safety: all methods.
    """

    def __init__(self, dataplane: FakeDataplane) -> None:
        self._dataplane = dataplane

    def close(self) -> None:
        """Let go of the hub."""
        self._dataplane.hub = None


@final
class FakeSurvey:
    """What there is of an earlier controller.

    Thread safety: none.
    """

    def __init__(self, dataplane: FakeDataplane) -> None:
        self._dataplane = dataplane
        self._sandboxes: set[str] = set()
        self._networks: set[str] = set()
        self._endpoints: set[str] = set()

    def sandboxes(self, keys: Sequence[tuple[str, Ownership]]) -> list[FakeNetns | None]:
        """Take sandboxes; those of others are there unless their path has a fault."""
        found: list[FakeNetns | None] = []
        for key, ownership in keys:
            id = key.rpartition("/")[2]
            if ownership is Ownership.OWNED:
                self._sandboxes.add(id)
                found.append(self._dataplane.sandboxes.get(id))
            else:
                found.append(None if key in self._dataplane.faults else FakeNetns(key, ownership))
        return found

    def network(self, network: str, plan: NetworkPlan, kept: object) -> bool:
        """Take a network, or make it."""
        self._networks.add(network)
        if network in self._dataplane.networks:
            self._dataplane.networks[network] = plan
            return True
        self._dataplane.realise_network(network, plan)
        return False

    def endpoints(self, works: Sequence[Work], kept: Sequence[object]) -> list[FakeRealised | None]:
        """Take endpoints that are there."""
        found: list[FakeRealised | None] = []
        for work in works:
            assert isinstance(work.netns, FakeNetns)
            made = self._dataplane.endpoints.get(work.plan.owner)
            if work.plan.owner in self._dataplane.lost:
                made = None
            elif made is None and not work.plan.interfaces:  # nothing was made, so all of it is there
                made = self._dataplane.endpoints[work.plan.owner] = FakeRealised(work.plan, work.netns)
            if made is not None:
                self._endpoints.add(work.plan.owner)
                made.netns = work.netns
                made.netns.names.update(made.names.values())
            found.append(made)
        return found

    def ports(self, published: Sequence[tuple[str, Sequence[PortMap]]]) -> list[dict[PortMap, Exception]]:
        """Have ports published again, and no others; answer which cannot be, and why."""
        self._dataplane.ports.clear()
        wanted = [
            (network, [PortWish(one.protocol, ((one.host, one.ip),), one.port, one.host_port, one.host_port)])
            for network, ports in published
            for one in ports
        ]
        answers = iter(self._dataplane.publish(wanted))
        found: list[dict[PortMap, Exception]] = []
        for _, ports in published:
            some = [(port, next(answers)) for port in ports]
            found.append({port: answer for port, answer in some if isinstance(answer, Exception)})
        return found

    def sweep(self) -> Swept:
        """Forget what was not taken."""
        plane = self._dataplane
        endpoints = [one for id, one in plane.endpoints.items() if id not in self._endpoints]
        plane.remove(endpoints)
        networks = [id for id in plane.networks if id not in self._networks]
        for id in networks:
            plane.remove_network(id)
        sandboxes = [one for id, one in plane.sandboxes.items() if id not in self._sandboxes]
        plane.drop_sandboxes(sandboxes)
        return Swept(len(endpoints) + len(networks), len(sandboxes))


def _exact(plan: NetworkPlan) -> set[str]:
    """Names that links of a network have in the kernel too."""
    return {link.name for link in plan.links if isinstance(link, BridgeLink) and link.exact}


def _on(plan: NetworkPlan) -> list[ParentLink]:
    """Return the links on the host that a network is on."""
    return [link for link in plan.links if isinstance(link, ParentLink) and link.source is not None]


def _parents(plan: NetworkPlan) -> set[str]:
    """Return their names."""
    return {link.source for link in _on(plan) if link.source is not None}


def _answer(faults: dict[str, BaseException], id: str) -> Exception | None:
    fault = faults.get(id)
    if fault is not None and not isinstance(fault, Exception):
        raise fault
    return fault

"""What an earlier process made, known again: looked at once, taken over where it is whole, and the rest taken away.

A link is ours if its name and its group carry the instance id; it is known again by its index and its name
together, as the store has them. What nobody takes is what was half made, or half taken away, when that
process ended, and goes. Nothing here asks any sandbox but those of links that have no end on the host.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final, final

from driverapi import errors
from driverapi._native import Batch, LinkRecord, NetlinkError, drop_namespaces
from driverapi.dataplane.contract import CHUNK, Ownership, Swept, Work
from driverapi.dataplane.failures import carry_out, failure, first_failure
from driverapi.dataplane.groups import COMMON
from driverapi.dataplane.kernel import GONE, Interface, Kernel, LinuxRealised, pinned
from driverapi.dataplane.networks import Networks
from driverapi.dataplane.parents import KINDS
from driverapi.dataplane.routed import METRIC_MARK, strip_gateway
from driverapi.dataplane.routes import give_gateways
from driverapi.dataplane.rules import members
from driverapi.dataplane.sandboxes import LinuxNetns, Sandboxes
from driverapi.events import emit, of_fault
from driverapi.instance import LINK_MARK, Instance
from driverapi.leftovers import namespace_mounts, unescaped
from driverapi.plan import (
    BridgeLink,
    EndpointPlan,
    GatewayLink,
    IpvlanLink,
    MacvlanLink,
    NetworkPlan,
    ParentLink,
    PortMap,
    Route,
    VethLink,
)

__all__ = ["LinuxSurvey", "held", "kept"]

_PERMANENT: Final = 0x80  # NUD_PERMANENT, linux/neighbour.h
_BLACKHOLE: Final = 6  # RTN_BLACKHOLE, linux/rtnetlink.h

_Kept = tuple[str, int, str, int, int, int, bytes | None]


def kept(realised: LinuxRealised) -> object:
    """Return what is needed to know again the links of an endpoint."""
    ranks = [rank for rank, (job, _) in enumerate(realised.netns.gateways) if job is realised]
    return (
        realised.order,
        bool(ranks),
        [
            (
                one.name,
                one.index,
                one.host_name,
                one.host_index,
                one.bridge,
                one.group,
                one.plan.mac,
            )
            for one in realised.interfaces
        ],
    )


def held(kernel: Kernel, realised: Sequence[LinuxRealised]) -> list[bool]:
    """Tell of each whether a foreign sandbox has its links; of what was moved without a pair nothing else is known.

    Raises
    ------
    errors.KernelError
        The kernel refused to tell.
    """
    try:
        names = {link.index: link.name for link in kernel.host.dump_links()}
    except NetlinkError as error:
        raise failure("read the host's links", error) from error

    def is_held(one: Interface) -> bool:
        here = names.get(one.index) == one.name
        return not here and (not one.host_index or names.get(one.host_index) == one.host_name)

    return [all(is_held(one) for one in job.interfaces) for job in realised]


def is_marked(link: LinkRecord, instance: Instance) -> bool:
    """Tell whether a link is an instance's: by its group, and its name unless its user chose that (bridges, VLANs)."""
    return instance.has_group(link.group) and (
        link.name.startswith(f"{LINK_MARK}{instance.id}") or link.kind in ("bridge", "vlan")
    )


@final
class LinuxSurvey:
    """Everything of one instance that is in the kernel, at one moment.

    Thread safety: none.

    Raises
    ------
    errors.KernelError
        The kernel refused to tell.
    """

    def __init__(self, kernel: Kernel, networks: Networks, sandboxes: Sandboxes) -> None:
        self._kernel = kernel
        self._networks = networks
        self._sandboxes = sandboxes
        kernel.firewall.hold_back()
        instance = kernel.instance
        try:
            links = kernel.host.dump_links()
        except NetlinkError as error:
            raise failure("read the host's links", error) from error
        self._all = {link.index: link.name for link in links}
        self._ours = {link.index: link for link in links if is_marked(link, instance)}
        self._places: list[LinuxNetns] = []  # of others, and ours
        self._inside: dict[str, dict[int, LinkRecord]] = {}  # links of namespaces that were looked at, by identity
        self._has_parents = False
        self._taken: set[int] = set()  # indexes of links
        self._paths: set[str] = set()  # of namespaces
        self._jobs: list[LinuxRealised] = []  # that were taken
        self._bereft: set[LinuxNetns] = set()  # an endpoint of it is gone, perhaps with the default route
        self._mounts = {unescaped(path) for path in namespace_mounts(str(instance.namespaces))}
        ours = self._ours.values()
        instance.go_on_after([link.name for link in ours], [link.link_netnsid for link in ours])

    # --- taking over ------------------------------------------------------------------------------

    def sandboxes(self, keys: Sequence[tuple[str, Ownership]]) -> list[LinuxNetns | None]:
        """Take sandboxes by their paths."""
        found: list[LinuxNetns | None] = []
        for key, ownership in keys:
            netns: LinuxNetns | None = None
            if ownership is Ownership.HOST:
                netns = self._sandboxes.host()
            elif ownership is Ownership.FOREIGN:
                netns = self._sandboxes.foreign(key)
            elif ownership is Ownership.EXISTING:
                with contextlib.suppress(errors.NoSandboxError):
                    netns = self._sandboxes.existing(key)
            elif key in self._mounts and Path(key).parent == self._kernel.instance.namespaces:
                netns = self._sandboxes.adopt(key)
                self._paths.add(key)
            found.append(netns)
            if netns is not None and ownership is not Ownership.HOST:
                self._places.append(netns)
        return found

    def network(self, network: str, plan: NetworkPlan, kept: object) -> bool:
        """Take what a network has on the host; where its links are not all there, make them anew."""
        found: dict[str, Any] = dict(kept) if isinstance(kept, dict) else {}
        self._has_parents = self._has_parents or any(isinstance(link, ParentLink) for link in plan.links)
        if not all(link.name in found and self._is_whole(link, *found[link.name]) for link in plan.links):
            self._delete([self._ours[index] for index, name, *_ in found.values() if self._has(index, name)])
            self._make_room(plan)
            self._realise(network, plan)
            self._taken.update(index for (owner, _), index in self._kernel.masters.items() if owner == network)
            return False
        for link in plan.links:
            index, name, star, *added = found[link.name]
            self._taken.add(index)
            self._networks.adopt(network, link, index, name, added, ours=index in self._ours)
            if star is not None:
                self._take_star(network, link.name, star)
        self._networks.keep_rules(network, plan)
        return True

    def _realise(self, network: str, plan: NetworkPlan) -> None:
        """Make a network anew; one whose parent is lost is there without it, so that the others can be had."""
        try:
            self._networks.realise(network, plan)
        except (errors.NotFoundError, errors.ConflictError, errors.InvalidError) as error:
            if not any(isinstance(link, ParentLink) and link.source is not None for link in plan.links):
                raise
            emit("network.parent_lost", network=network, network_name="", **of_fault(error))

    def ports(self, published: Sequence[tuple[str, Sequence[PortMap]]]) -> list[dict[PortMap, Exception]]:
        """Have ports published again, and held; answer which cannot be, and why."""
        refused: list[dict[PortMap, Exception]] = []
        for network, ports in published:
            try:
                self._networks.open(network)
            except errors.DriverAPIError as error:
                refused.append(dict.fromkeys(ports, error))
            else:
                refused.append(self._kernel.firewall.publish_again(ports))
        return refused

    def _make_room(self, plan: NetworkPlan) -> None:
        """Take away what would be in the way of a network's links: what outlived them, or a start that was killed."""
        kernel = self._kernel
        names = {link.name for link in plan.links if isinstance(link, BridgeLink) and link.exact}
        self._delete([link for index, link in self._ours.items() if link.name in names and index not in self._taken])
        batch = Batch()
        for link in plan.links:
            if isinstance(link, GatewayLink):
                strip_gateway(batch, kernel, link)
        refused = first_failure("routes that an earlier process left", kernel.host, batch, GONE) if len(batch) else None
        if refused is not None:
            raise refused

    def _is_whole(
        self, link: BridgeLink | GatewayLink | ParentLink, index: int, name: str, star: Any, *added: Any
    ) -> bool:
        if added or (isinstance(link, ParentLink) and link.source is not None):  # somebody else's, as a rule
            return self._all.get(index) == name
        return self._has(index, name) and all(link in self._ours for link in (star[0] if star is not None else ()))

    def _take_star(self, network: str, name: str, kept: Any) -> None:
        star = self._kernel.stars[network, name]
        star.adopt(kept)
        for index in star.links:
            self._taken.add(index)
            if self._ours[index].kind == "veth":
                self._taken.add(self._ours[index].link)

    def endpoints(self, works: Sequence[Work], kept: Sequence[object]) -> list[LinuxRealised | None]:
        """Take endpoints whose links are all there, in the order in which they came up."""
        found: list[LinuxRealised | None] = [None] * len(works)
        todo = sorted(range(len(works)), key=lambda position: _order(kept[position]))
        for position in todo:
            found[position] = job = self._take(works[position], kept[position])
            if job is not None:
                self._jobs.append(job)
            else:
                netns = works[position].netns
                assert isinstance(netns, LinuxNetns)
                self._bereft.add(netns)
        self._kernel.firewall.enter(members(self._kernel, [job for job in found if job is not None]))
        return found

    def _take(self, work: Work, kept: Any) -> LinuxRealised | None:
        netns = work.netns
        assert isinstance(netns, LinuxNetns)
        order, has_gateway, links = kept
        if len(links) != len(work.plan.interfaces):
            return None
        job = LinuxRealised(work.plan, netns)
        job.order = order
        self._kernel.orders.after(order)
        for plan, (name, index, host_name, host_index, bridge, group, mac) in zip(
            work.plan.interfaces, links, strict=True
        ):
            if mac is not None and plan.mac is None:
                plan = plan.with_mac(mac)
            interface = Interface(plan, name, index, host_name, host_index, bridge=bridge, group=group)
            job.interfaces.append(interface)
            if not self._complete(work.plan, netns, interface):
                return None
        for interface in job.interfaces:
            self._hold(job, interface)
        if has_gateway:
            netns.gateways += [(job, route) for route in work.plan.routes if _is_default(route)]
        for interface, _ in pinned(job):
            interface.pins = True
        return job

    def _complete(self, plan: EndpointPlan, netns: LinuxNetns, interface: Interface) -> bool:
        """Fill in the rest of an interface, if it and what it hangs on are there."""
        link = interface.plan.link
        kernel = self._kernel
        if isinstance(link, MacvlanLink | IpvlanLink):
            interface.master = kernel.masters.get((plan.network, link.parent), 0)
            return bool(interface.master) and self._is_inside(netns, interface)
        if not isinstance(link, VethLink):
            return self._is_inside(netns, interface)
        if not self._has(interface.host_index, interface.host_name):
            return False
        if link.master is not None:
            interface.master = kernel.masters.get((plan.network, link.master), 0)
            interface.star = kernel.stars.get((plan.network, link.master))
            if interface.star is None or not interface.star.has_bridge(interface.bridge):
                return False
            if self._ours[interface.host_index].master != interface.bridge:
                return False
        if link.gateway is not None:
            interface.gateway = kernel.gateways.get((plan.network, link.gateway))
            return interface.gateway is not None
        return True

    def _is_inside(self, netns: LinuxNetns, interface: Interface) -> bool:
        """Tell whether a link that has no end on the host is in its sandbox."""
        if netns.ownership is Ownership.FOREIGN:
            return True  # its owner's business
        found = self._look(netns).get(interface.index)
        if found is None or found.name != interface.name:
            return False
        if not isinstance(interface.plan.link, MacvlanLink | IpvlanLink):
            return True
        return found.kind in KINDS and found.link == interface.master and self._kernel.instance.has_group(found.group)

    def _look(self, netns: LinuxNetns) -> dict[int, LinkRecord]:
        """Return the links of a sandbox's namespace, by index; it is looked at once, whatever paths it has."""
        try:
            socket = netns.use().socket
        except errors.NoSandboxError:
            return {}
        try:
            key = _identity(netns)
            if key not in self._inside:
                self._inside[key] = {link.index: link for link in socket.dump_links()}
            return self._inside[key]
        finally:
            netns.rest()

    def _hold(self, job: LinuxRealised, interface: Interface) -> None:
        foreign = job.netns.ownership is Ownership.FOREIGN
        inside = isinstance(interface.plan.link, MacvlanLink | IpvlanLink)
        interface.there = inside or bool(interface.host_index) or not foreign
        interface.held = not foreign
        if not foreign:
            job.netns.hold(interface.name, interface.index)
        elif self._has(interface.index, interface.name):  # its owner has not moved it in yet, or has moved it back
            self._taken.add(interface.index)
        job.netns.numbered = True
        if inside and foreign:
            self._taken.add(interface.index)  # it may be on the host yet, or again
        elif inside:
            self._look(job.netns).pop(interface.index, None)  # what is left of ours is nobody's
        if interface.host_index:
            self._taken.add(interface.host_index)
            interface.group = self._kernel.groups.adopt(interface.group, interface.host_index)
            if interface.star is not None:
                interface.star.adopt_member(interface)

    def _has(self, index: int, name: str) -> bool:
        """Tell whether there is a link of ours of that index and that name."""
        found = self._ours.get(index)
        return found is not None and found.name == name

    # --- taking away ------------------------------------------------------------------------------

    def sweep(self) -> Swept:
        """Take away all of ours that was not taken.

        Raises
        ------
        errors.KernelError
            The kernel refused; what could be is gone.
        """
        self._kernel.firewall.settle()
        links = [link for index, link in self._ours.items() if index not in self._taken]
        self._delete(links)
        self._pass_gateways_on({link.link_netnsid for link in links if link.kind == "veth"})
        inside = self._sweep_inside() if self._has_parents else 0
        swept = Swept(len(links) + inside, self._sweep_namespaces(), self._sweep_routes(), self._sweep_neighbours())
        self._networks.put_back()
        return swept

    def _pass_gateways_on(self, numbers: Collection[int]) -> None:
        """Do what that process did not come to: give the default routes of sandboxes to the next who wait for them."""
        for job in self._jobs:
            for interface in job.interfaces:
                if interface.host_index and self._ours[interface.host_index].link_netnsid in numbers:
                    self._bereft.add(job.netns)
        for netns in self._bereft:
            give_gateways(netns)

    def _delete(self, links: Sequence[LinkRecord]) -> None:
        kernel = self._kernel
        for at in range(0, len(links), CHUNK):
            some = [link.index for link in links[at : at + CHUNK]]
            group = kernel.groups.take()
            batch = Batch()
            if group == COMMON:
                for index in some:
                    batch.delete_link(index)
            else:
                for index in some:
                    batch.set_link(index, new_group=kernel.groups.value(group))
                batch.delete_link(group=kernel.groups.value(group))
            refused = first_failure("what an earlier process left", kernel.host, batch, GONE)
            kernel.groups.give_back(group)
            if refused is not None:
                raise refused

    def _sweep_inside(self) -> int:
        """Delete macvlans and ipvlans of ours that are in sandboxes and that nobody took."""
        count = 0
        for netns in self._places:
            if netns.ownership is Ownership.FOREIGN:
                continue
            found = self._look(netns)
            ours = self._kernel.instance.has_group
            left = [link.index for link in found.values() if link.kind in KINDS and ours(link.group)]
            if not left:
                continue
            batch = Batch()
            for index in left:
                batch.delete_link(index)
                del found[index]
            try:
                refused = first_failure(f"sandbox {netns.key}", netns.use().socket, batch, GONE)
            finally:
                netns.rest()
            if refused is not None:
                raise refused
            netns.look((link.name, link.index) for link in found.values())
            count += len(left)
        return count

    def _sweep_namespaces(self) -> int:
        directory = self._kernel.instance.namespaces
        try:
            left = [str(directory / name) for name in os.listdir(directory)]
        except FileNotFoundError:
            return 0
        left = [path for path in left if path not in self._paths and not Path(path).is_dir()]
        refused = next((one for one in drop_namespaces(left) if one is not None), None)
        if refused is not None:
            raise errors.KernelError(f"drop what an earlier process left: {refused}", refused.errno or 0)
        return len(left)

    def _sweep_routes(self) -> int:
        """Delete the routes that end prefixes of networks which are no more: they would outlive the links."""
        kernel = self._kernel
        metric = METRIC_MARK | kernel.instance.number
        known = {
            (address.network.ip, address.prefix) for link in kernel.gateways.values() for address in link.addresses
        }
        batch = Batch()
        for route in kernel.host.dump_routes():
            if route.type == _BLACKHOLE and route.metric == metric:
                ip = route.destination or bytes(4 if route.family == 2 else 16)
                if (ip, route.prefix) not in known:
                    batch.delete_route(ip, route.prefix, metric=metric)
        refused = first_failure("routes that an earlier process left", kernel.host, batch, GONE) if len(batch) else None
        if refused is not None:
            raise refused
        return len(batch)

    def _sweep_neighbours(self) -> int:
        """Delete the permanent entries of endpoints that are no more: they hang on the networks' bridges."""
        kernel = self._kernel
        known: dict[int, set[bytes]] = {}
        for (network, name), star in kernel.stars.items():
            if star.instead_of is not None:  # what its bridge has is its owner's
                continue
            master = kernel.masters[network, name]
            known.setdefault(master, set()).update(star.pinned())
            if star.answerer:
                known.setdefault(star.answerer, set()).update(star.addresses())
        batch = Batch()
        for entry in kernel.host.dump_neighbours() if known else ():
            if entry.state == _PERMANENT and entry.index in known and entry.address not in known[entry.index]:
                batch.delete_neighbour(entry.index, entry.address)
        return len(batch) - len(carry_out(kernel.host, batch)) if len(batch) else 0


def _identity(netns: LinuxNetns) -> str:
    try:
        found = os.stat(netns.key)
    except OSError:
        return netns.key
    return f"{found.st_dev}:{found.st_ino}"


def _order(kept: Any) -> int:
    order = kept[0] if isinstance(kept, list | tuple) and kept else 0
    return order if isinstance(order, int) else 0


def _is_default(route: Route) -> bool:
    return not route.destination.prefix

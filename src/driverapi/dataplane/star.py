"""More endpoints on a bridge network than one bridge takes well: further bridges, joined as a star.

The kernel takes 1023 ports on a bridge, what a port costs grows with the number of ports, and
part of what is flooded to more than 1000 is dropped (``netdev_max_backlog``). A network has one
bridge, and nothing else, until ``PORTS`` endpoints are on it. Then::

    the network's own bridge ──trunk──┐
    leaf                     ──trunk──┤
    leaf                     ──trunk──┼── hub ──trunk── answerer ──── (a port that nothing is behind)
    …                                 ┘

* A leaf knows its endpoints by static entries of its forwarding table; the rest goes up.
* The hub knows by static entries which trunk each endpoint is behind.
* The answerer has permanent neighbour entries of all endpoints, and answers ARP and ND for them
  (``br_do_proxy_suppress_arp``, ``br_do_suppress_nd``). The kernel does that only for neighbours that
  its forwarding table has behind a port with ``neigh_suppress``, and for ND only if the question came
  in by a port without: hence a bridge of its own, with a port of the one kind and a trunk of the other.
* An answer carries the MAC that it tells as its source, and what a bridge learns goes before static
  entries: none may learn from the trunks that answers come by, nor the answerer from questions.

With more than ``FLOODED`` endpoints the network falls quiet: nothing is flooded to endpoints any
more. What the hub does not know goes to the network's own bridge, which is the host's: multicast
and broadcast of sandboxes reach the host and no other sandbox.

So an endpoint costs a handful of messages more, however many bridges there are. The further
bridges are never addressed by the host's own stack (``arp_ignore``). They stay until the network goes.
"""

from __future__ import annotations

import errno
import secrets
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from driverapi import errors
from driverapi._native import Batch
from driverapi.dataplane.contract import CHUNK
from driverapi.dataplane.failures import carry_out, carry_out_once, failure, first_failure
from driverapi.dataplane.groups import COMMON
from driverapi.dataplane.kernel import ADDR_GEN_NONE, GONE, TRIES, Interface, Kernel, LinuxRealised
from driverapi.events import emit, of_fault

__all__ = ["Star", "enter_stars", "leave_stars"]

PORTS: int = 500
"""Endpoints on one bridge."""

FLOODED: int = 500
"""Endpoints of a network that floods reach. What one that comes up announces (MLD) is a frame for each of the others:
with 1000 that is as much work as all the rest, and beyond them the kernel drops part of every flood."""

_ALL_PORTS: Final = 1023
"""BR_MAX_PORTS of net/bridge/br_private.h, less the number 0."""

_NO_ANSWER: Final = 8
"""``arp_ignore``: do not reply for any local address (Documentation/networking/ip-sysctl.rst)."""

_AGAIN: Final = (errno.EEXIST, errno.EBUSY, errno.ENOBUFS)
"""Refusals after which links are asked for again: a name or number is taken, or the answer was lost."""


@dataclass(slots=True)
class _Leaf:
    """A bridge with endpoints on it.

    Attributes
    ----------
    trunk : int
        Ifindex of the hub's end of its trunk; 0 while there is no hub.
    free : int
        Ports that endpoints may yet take.
    """

    index: int
    free: int
    trunk: int = 0


@final
class Star:
    """The bridges of one bridge network.

    Attributes
    ----------
    instead_of : bytes or None
        Of a bridge that somebody else made, which does not grow: the MAC address that it has not, but that the plan
        says.

    Thread safety: all methods.
    """

    def __init__(self, kernel: Kernel, what: str, bridge: int, mtu: int, *, instead_of: bytes | None = None) -> None:
        self.instead_of = instead_of
        self._kernel = kernel
        self._what = what
        self._mtu = mtu
        self._lock = threading.Lock()
        own = _Leaf(bridge, PORTS if instead_of is None else _ALL_PORTS)
        self._leaves: dict[int, _Leaf] = {bridge: own}  # by ifindex; the network's own first
        self._members: dict[int, Interface] = {}  # endpoints that are up, by the ifindex of their host ends
        self._group = COMMON
        self._links: list[int] = []  # of the star's own making
        self._hub = self._answerer = self._blind = 0  # the last is the answerer's port that nothing is behind
        self._quiet = False

    # --- ports ----------------------------------------------------------------------------------

    def take_port(self) -> int:
        """Reserve a port; return the ifindex of its bridge, made if need be.

        Raises
        ------
        errors.KernelError
            A further bridge was needed, and refused; all is as before.
        """
        with self._lock:
            for leaf in reversed(self._leaves.values()):  # the one that was made last has room, if any has
                if leaf.free > 0:
                    break
            else:
                leaf = self._grow()
            leaf.free -= 1
            return leaf.index

    def return_port(self, bridge: int) -> None:
        """Free a port."""
        with self._lock:
            self._leaves[bridge].free += 1

    def is_free(self, interface: Interface) -> bool:
        """Tell whether an interface that is gone has a port which may be returned: the star has forgotten it."""
        return interface.bridge != 0 and interface.host_index not in self._members

    def refuse_port(self, bridge: int) -> None:
        """Give a port up that the kernel refused as one too many: somebody else has ports of that bridge."""
        with self._lock:
            self._leaves[bridge].free = min(0, self._leaves[bridge].free)

    # --- after a restart --------------------------------------------------------------------------

    @property
    def answerer(self) -> int:
        """Ifindex of the bridge that answers for all endpoints; 0 while there is one bridge alone."""
        return self._answerer

    @property
    def links(self) -> list[int]:
        """Ifindexes of what is the star's own; of pairs, of the first end."""
        return list(self._links)

    def kept(self) -> object:
        """Return what is needed to know the further bridges again; None where there are none."""
        with self._lock:
            if not self._hub:
                return None
            leaves = [(leaf.index, leaf.trunk) for leaf in self._leaves.values()]
            return (list(self._links), self._group, self._hub, self._answerer, self._blind, self._quiet, leaves)

    def adopt(self, kept: Any) -> None:
        """Take the further bridges that an earlier process made."""
        self._links, group, self._hub, self._answerer, self._blind, self._quiet, leaves = kept
        for index in self._links:
            self._group = self._kernel.groups.adopt(group, index)
        self._leaves = {index: _Leaf(index, PORTS, trunk) for index, trunk in leaves}

    def has_bridge(self, index: int) -> bool:
        """Tell whether a bridge is one of the star's."""
        return index in self._leaves

    def adopt_member(self, interface: Interface) -> None:
        """Take an endpoint that an earlier process made."""
        self._leaves[interface.bridge].free -= 1
        self._members[interface.host_index] = interface

    def addresses(self) -> set[bytes]:
        """Return the addresses of all members."""
        return {address.ip for one in self._members.values() for address in one.plan.addresses}

    def pinned(self) -> set[bytes]:
        """Return the addresses that the network's own bridge has permanent entries for."""
        return {address.ip for one in self._members.values() if one.pins for address in one.plan.addresses}

    # --- endpoints ------------------------------------------------------------------------------

    def enter(self, members: Sequence[tuple[LinuxRealised, Interface]]) -> None:
        """Make endpoints known to the star; what is refused is their error."""
        with self._lock:
            self._members.update((interface.host_index, interface) for _, interface in members)
            if not self._hub:
                return
            batch = Batch()
            owners: list[LinuxRealised] = []
            for job, interface in members:
                self._put_member(batch, interface)
                if self._quiet:
                    self._silence(batch, interface.host_index)
                owners += [job] * (len(batch) - len(owners))
            for position, error in carry_out(self._kernel.host, batch).items():
                owners[position].fail(failure(owners[position].what, error))
            if not self._quiet and len(self._members) > FLOODED:
                self._fall_quiet()

    def leave(self, members: Sequence[tuple[LinuxRealised, Interface]]) -> None:
        """Make the star forget endpoints; those that it does not know are passed over."""
        with self._lock:
            known = [one for one in members if one[1].host_index in self._members]
            batch = Batch()
            owners: list[tuple[LinuxRealised, Interface]] = []
            for job, interface in known if self._hub else ():
                mac = interface.plan.mac or b""
                batch.delete_fdb(self._leaves[interface.bridge].trunk, mac)
                batch.delete_fdb(self._blind, mac)
                for address in interface.plan.addresses:
                    batch.delete_neighbour(self._answerer, address.ip)
                owners += [(job, interface)] * (len(batch) - len(owners))
            refused = carry_out(self._kernel.host, batch) if owners else {}
            for _, interface in known:  # not before: an interrupt leaves them to be forgotten again
                self._members.pop(interface.host_index, None)
            for position, error in refused.items():
                if error.errno not in GONE:
                    job, interface = owners[position]
                    self._members[interface.host_index] = interface  # to be forgotten again
                    job.fail(failure(job.what, error))

    def _put_member(self, batch: Batch, interface: Interface) -> None:
        """Append what makes an endpoint known on its bridge, on the hub and on the answerer."""
        mac = interface.plan.mac or b""
        batch.add_fdb(interface.host_index, mac, replace=True)
        batch.add_fdb(self._leaves[interface.bridge].trunk, mac, replace=True)
        batch.add_fdb(self._blind, mac, replace=True)
        for address in interface.plan.addresses:
            batch.add_neighbour(self._answerer, address.ip, mac)

    @staticmethod
    def _silence(batch: Batch, port: int) -> None:
        """Append what ends the flooding by a port."""
        batch.set_bridge_port(port, flood=False, mcast_flood=False, bcast_flood=False)

    def _fall_quiet(self) -> None:
        """End the flooding to endpoints; a port that is gone behind our back is passed over."""
        self._quiet = True  # first: after an interrupt, what is flooded yet is only slow
        ports = [leaf.trunk for leaf in list(self._leaves.values())[1:]] + list(self._members)
        for at in range(0, len(ports), CHUNK):  # others want the kernel's lock too
            batch = Batch()
            for port in ports[at : at + CHUNK]:
                self._silence(batch, port)
            refused = first_failure(self._what, self._kernel.host, batch, GONE)
            if refused is not None:  # no reason to take endpoints away that are up
                emit("bridge.still_flooded", **of_fault(refused))

    # --- bridges --------------------------------------------------------------------------------

    def _grow(self) -> _Leaf:
        """Make a leaf; before the first one, the hub and the answerer too."""
        if self.instead_of is not None:
            raise errors.KernelLimitError(
                f"{self._what}: the bridge has as many ports as the kernel allows, {_ALL_PORTS}; one that the network "
                "makes itself would grow",
                errno.EXFULL,
            )
        if self._hub:
            return self._make_leaf()
        self._group = self._kernel.groups.take()
        try:
            self._make(self._put_hub)
            own = next(iter(self._leaves.values()))
            self._make(lambda batch: self._put_trunk(batch, own))
            leaf = self._make_leaf()
            members = list(self._members.values())
            for at in range(0, len(members), CHUNK):
                batch = Batch()
                for interface in members[at : at + CHUNK]:
                    self._put_member(batch, interface)
                # Whoever deleted a port behind our back is not to hinder the others.
                self._raise(first_failure(self._what, self._kernel.host, batch, GONE))
        except BaseException:
            self._shrink()
            raise
        return leaf

    def _shrink(self) -> None:
        """Undo a first growth that failed: the network has its own bridge and nothing else again."""
        batch = Batch()
        for interface in self._members.values():
            batch.delete_fdb(interface.host_index, interface.plan.mac or b"")
        if len(batch):
            first_failure(self._what, self._kernel.host, batch, GONE)
        own = next(iter(self._leaves.values()))
        self._leaves = {own.index: own}
        own.trunk = 0
        self.remove()

    def _make_leaf(self) -> _Leaf:
        leaf = _Leaf(0, PORTS)

        def put_leaf(batch: Batch) -> None:
            leaf.index = self._put_bridge(batch, "l")
            self._put_trunk(batch, leaf)

        self._make(put_leaf)
        self._leaves[leaf.index] = leaf
        return leaf

    def _make(self, put: Callable[[Batch], None]) -> None:
        """Make links; if one of the names or numbers is somebody's, or an answer was lost, make them with others."""
        before = len(self._links)
        for attempt in range(TRIES):
            batch = Batch()
            try:
                put(batch)
                refused = carry_out_once(self._kernel.host, batch)
            except BaseException:
                self._unmake(before)
                raise
            if refused is None:
                return
            self._unmake(before)
            if refused.errno not in _AGAIN or attempt == TRIES - 1:
                raise failure(self._what, refused)

    def _unmake(self, before: int) -> None:
        """Delete the links after the first so many, and forget them: their numbers may be somebody else's next."""
        self._delete(self._links[before:])
        del self._links[before:]

    def _put_hub(self, batch: Batch) -> None:
        """Append the hub and the answerer, with its trunk and the port that nothing is behind."""
        self._hub = self._put_bridge(batch, "h")
        self._answerer = self._put_bridge(batch, "a")
        by, end = self._put_pair(batch, self._hub)
        batch.set_link(end, master=self._answerer)
        batch.set_bridge_port(end, learning=False)
        batch.set_link(end, up=True)
        batch.set_bridge_port(by, learning=False, flood=False)
        batch.set_link(by, up=True)
        self._blind, _ = self._put_pair(batch, self._answerer)
        batch.set_bridge_port(self._blind, learning=False, flood=False, neigh_suppress=True)

    def _put_bridge(self, batch: Batch, letter: str) -> int:
        kernel = self._kernel
        index = kernel.instance.link_index()
        batch.add_bridge(
            kernel.instance.link_name(letter),
            index=index,
            mac=b"\x06" + secrets.token_bytes(5),
            mtu=self._mtu,
            group=kernel.groups.value(self._group),
            mcast_snooping=False,
        )
        self._links.append(index)
        batch.set_link(index, addr_gen_mode=ADDR_GEN_NONE)
        batch.set_link_ipv4(index, arp_ignore=_NO_ANSWER)
        batch.set_link(index, up=True)
        return index

    def _put_pair(self, batch: Batch, master: int) -> tuple[int, int]:
        """Append a veth pair on the host, both ends down, the first a port of a bridge."""
        kernel = self._kernel
        index, peer = kernel.instance.link_index(), kernel.instance.link_index()
        batch.add_veth(
            kernel.instance.link_name("t"),
            kernel.instance.link_name("t"),
            index=index,
            peer_index=peer,
            master=master,
            mtu=self._mtu,
            group=kernel.groups.value(self._group),
        )
        self._links.append(index)
        for end in (index, peer):
            batch.set_link(end, addr_gen_mode=ADDR_GEN_NONE)
        return index, peer

    def _put_trunk(self, batch: Batch, leaf: _Leaf) -> None:
        """Append the trunk of a leaf."""
        leaf.trunk, end = self._put_pair(batch, self._hub)
        if self._quiet:
            self._silence(batch, leaf.trunk)
        batch.set_link(end, master=leaf.index)
        batch.set_bridge_port(end, learning=False)
        batch.set_link(end, up=True)
        batch.set_link(leaf.trunk, up=True)

    def _delete(self, links: Sequence[int]) -> errors.KernelError | None:
        batch = Batch()
        for index in links:
            batch.delete_link(index)
        if not links:
            return None
        return first_failure(self._what, self._kernel.host, batch, GONE)

    def remove(self) -> None:
        """Take the further bridges and the trunks away: all with one message where that can be."""
        kernel = self._kernel
        if self._links and self._group != COMMON:
            batch = Batch()
            batch.delete_link(group=kernel.groups.value(self._group))
            self._raise(first_failure(self._what, kernel.host, batch, GONE))
        else:
            self._raise(self._delete(self._links))
        kernel.groups.discard(self._group, self._links)  # which it has of an earlier process
        kernel.groups.give_back(self._group)
        self._links.clear()
        self._group = COMMON
        self._hub = self._answerer = self._blind = 0

    @staticmethod
    def _raise(refused: errors.KernelError | None) -> None:
        if refused is not None:
            raise refused


def enter_stars(jobs: Iterable[LinuxRealised]) -> None:
    """Make endpoints that are up known to the stars of their networks."""
    for star, members in _by_star(jobs).items():
        star.enter([member for member in members if member[1].there])


def leave_stars(jobs: Iterable[LinuxRealised]) -> None:
    """Undo of :func:`enter_stars`; again where that was refused, though the links are gone."""
    for star, members in _by_star(jobs).items():
        star.leave(members)


def _by_star(jobs: Iterable[LinuxRealised]) -> dict[Star, list[tuple[LinuxRealised, Interface]]]:
    found: dict[Star, list[tuple[LinuxRealised, Interface]]] = {}
    for job in jobs:
        for interface in job.interfaces:
            if interface.star is not None:
                found.setdefault(interface.star, []).append((job, interface))
    return found

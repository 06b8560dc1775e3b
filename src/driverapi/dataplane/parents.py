"""Parents of macvlans and ipvlans: which networks are on which, and VLANs that go with their last network."""

from __future__ import annotations

import errno
import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Final, final

from driverapi import errors
from driverapi._native import Batch, LinkRecord, NetlinkSocket
from driverapi.dataplane.contract import CHUNK, Ownership
from driverapi.dataplane.failures import carry_out, failure, first_failure
from driverapi.dataplane.groups import COMMON
from driverapi.dataplane.kernel import GONE, TRIES, Interface, Kernel, LinuxRealised, named
from driverapi.dataplane.kernel import link as find_link
from driverapi.instance import is_marked_group
from driverapi.plan import IpvlanLink, MacvlanLink, ParentLink

__all__ = ["KINDS", "Parents", "delete_inside", "put_inside"]

KINDS: Final = ("macvlan", "ipvlan")
"""What the kernel calls links that are born in sandboxes and have no end on the host."""

_VLAN: Final = re.compile(r"(.+)\.([0-9]{1,4})", re.ASCII)
_VLAN_IDS: Final = range(1, 4095)  # IEEE 802.1Q: 0 and 4095 have other meanings
_LOOPBACK: Final = 1  # LOOPBACK_IFINDEX
_NOWHERE: Final = (1 << 31) - 1  # an ifindex that no link gets: ours are below, and the kernel counts from 1

_Key = tuple[str, str]  # a network and a name in its plan


@dataclass(slots=True)
class _Parent:
    """One link that networks are on."""

    kind: str
    ours: bool
    users: set[_Key] = field(default_factory=set)


@final
class Parents:
    """The parents of all networks of one dataplane, by ifindex.

    Thread safety: all methods; one network at a time takes a parent or leaves one.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._lock = threading.RLock()
        self._known: dict[int, _Parent] = {}
        self._kinds: set[str] = set()  # that the kernel has

    def take(self, key: _Key, link: ParentLink) -> tuple[int, str]:
        """Put a network on the parent that it names, which is made if it is a VLAN that is not there.

        Returns
        -------
        (int, str)
            Its ifindex and its name.

        Raises
        ------
        errors.NotFoundError
            There is no such link, and none that it could be a VLAN of.
        errors.ConflictError
            The link is a port of a bridge or bond, has links of the other kind on it, or is a VLAN that another
            controller made, and deletes with its own last network.
        errors.InvalidError
            It is the loopback, no VLAN has that number, or the MTU is greater than the parent's.
        errors.KernelUnsupportedError
            The kernel lacks the kind of link.
        """
        assert link.source is not None
        what = self._kernel.what(key[0])
        self.check_kind(what, link.kind)
        with self._lock:
            found = find_link(self._kernel.host, name=link.source)
            if found is not None:
                self._check(what, link, found)
                self._enter(key, found.index, link.kind, ours=self._kernel.instance.has_group(found.group))
                return found.index, found.name
            return self._make_vlan(what, key, link), link.source

    def check_kind(self, what: str, kind: str) -> None:
        """Ask whether the kernel has a kind of link, so that a network is refused and not each of its endpoints.

        Raises
        ------
        errors.KernelUnsupportedError
            It does not.
        """
        if kind in self._kinds:
            return
        batch = Batch()
        if kind == "ipvlan":
            batch.add_ipvlan("?", _NOWHERE)
        else:
            batch.add_macvlan("?", _NOWHERE)
        error = self._kernel.host.execute(batch).error(0)  # one kind or the other: there is no such parent
        if error is not None and error.errno == errno.EOPNOTSUPP:
            raise errors.KernelUnsupportedError(
                f"{what}: this kernel has no link kind {kind}: load its module, or use another driver", errno.EOPNOTSUPP
            )
        self._kinds.add(kind)

    def _enter(self, key: _Key, index: int, kind: str, *, ours: bool) -> None:
        self._known.setdefault(index, _Parent(kind, ours)).users.add(key)
        self._kernel.masters[key] = index

    def _check(self, what: str, link: ParentLink, found: LinkRecord) -> None:
        if found.index == _LOOPBACK:
            raise errors.InvalidError(f"{what}: the loopback {found.name!r} cannot be a parent; name another link")
        if found.slave_kind:
            raise errors.ConflictError(
                f"{what}: {found.name!r} is a port of a {found.slave_kind}, and so cannot be a parent; "
                f"name the {found.slave_kind}"
            )
        if is_marked_group(found.group) and not self._kernel.instance.has_group(found.group):
            raise errors.ConflictError(
                f"{what}: {found.name!r} was made by another controller, and goes with what that has on it; "
                "name a link that is nobody's"
            )
        if link.mtu > found.mtu:
            raise errors.InvalidError(
                f"{what}: MTU {link.mtu} is greater than that of the parent {found.name!r}, {found.mtu}"
            )
        known = self._known.get(found.index)
        if known is not None and known.kind != link.kind:
            raise errors.ConflictError(
                f"{what}: parent {found.name!r} has {known.kind} networks already, and the kernel allows one kind; "
                "use another parent"
            )

    def _make_vlan(self, what: str, key: _Key, link: ParentLink) -> int:
        kernel = self._kernel
        assert link.source is not None
        named = _VLAN.fullmatch(link.source)
        below = None if named is None else find_link(kernel.host, name=named[1])
        if named is None or below is None:
            vlan = f", and no {named[1]!r} that it could be a VLAN of" if named is not None else ""
            raise errors.NotFoundError(f"{what}: there is no link {link.source!r} to be the parent{vlan}")
        number = int(named[2])
        if number not in _VLAN_IDS:
            raise errors.InvalidError(f"{what}: parent {link.source!r}: a VLAN has a number from 1 to 4094")
        if link.mtu > below.mtu:
            raise errors.InvalidError(
                f"{what}: MTU {link.mtu} is greater than that of {below.name!r}, which is below the parent: {below.mtu}"
            )
        for attempt in range(TRIES):
            index = kernel.instance.link_index()
            self._enter(key, index, link.kind, ours=True)  # before it is asked for: an interrupt must find it
            batch = Batch()
            put_vlan(batch, link.source, below.index, number, index, kernel.groups.value(COMMON))
            error = kernel.host.execute(batch).error(0)
            if error is None:
                break
            if error.errno == errno.ENOBUFS:  # its answer was lost
                there = find_link(kernel.host, index=index)
                if there is not None and there.name == link.source:
                    break
            self._forget(key)
            if error.errno not in (errno.EBUSY, errno.ENOBUFS) or attempt == TRIES - 1:
                raise failure(what, error)
        batch = Batch()
        batch.set_link(index, up=True)
        refused = first_failure(what, kernel.host, batch)
        if refused is not None:
            if refused.errno == errno.ENETDOWN:
                refused.add_note(f"bring {below.name!r} up first")
            raise refused  # whoever asked for it calls leave
        return index

    def adopt(self, key: _Key, index: int, kind: str, *, ours: bool) -> None:
        """Note that a network of an earlier process is on a parent."""
        with self._lock:
            self._enter(key, index, kind, ours=ours)

    def leave(self, key: _Key) -> None:
        """Take a network off its parent; a VLAN of ours goes with the last one.

        Raises
        ------
        errors.KernelError
            It could not be deleted; the network is on it still.
        """
        with self._lock:
            index = self._kernel.masters.get(key, 0)
            known = self._known.get(index)
            if known is None:
                return
            if known.ours and known.users == {key}:
                batch = Batch()
                batch.delete_link(index)
                refused = first_failure(self._kernel.what(key[0]), self._kernel.host, batch, GONE)
                if refused is not None:
                    raise refused
            self._forget(key)

    def _forget(self, key: _Key) -> None:
        index = self._kernel.masters.pop(key)
        known = self._known[index]
        known.users.discard(key)
        if not known.users:
            del self._known[index]

    def has(self, key: _Key) -> bool:
        """Tell whether a network is on a parent that is not for it alone."""
        with self._lock:
            known = self._known.get(self._kernel.masters.get(key, 0))
            return known is not None and key in known.users


def put_vlan(batch: Batch, name: str, below: int, number: int, index: int, group: int) -> None:
    """Append what makes a VLAN."""
    batch.add_vlan(name, below, number, index=index, group=group)


def put_inside(batch: Batch, job: LinuxRealised, interface: Interface, group: int) -> None:
    """Append what has a macvlan or ipvlan born in its sandbox, named; on the host where others move it there."""
    link = interface.plan.link
    namespace = -1 if job.netns.ownership is Ownership.FOREIGN else job.use().fileno()
    if isinstance(link, MacvlanLink):
        batch.add_macvlan(
            interface.name,
            interface.master,
            mode=link.mode,
            index=interface.index,
            mac=interface.plan.mac,
            mtu=link.mtu,
            group=group,
            namespace=namespace,
        )
    else:
        assert isinstance(link, IpvlanLink)
        batch.add_ipvlan(
            interface.name,
            interface.master,
            mode=link.mode,
            flags=link.flag,
            index=interface.index,
            mtu=link.mtu,
            group=group,
            namespace=namespace,
        )


def delete_inside(kernel: Kernel, jobs: Sequence[LinuxRealised]) -> None:
    """Delete links that are in sandboxes and have no end on the host; those that others moved must be back there.

    No key of the kernel's takes links of several namespaces at once, and each deletion waits for grace periods (10
    to 40 ms). They wait together, each on a thread: 40 links took 1,080 ms one after the other, and 25 to 40 ms so.
    """
    due = [job for job in jobs if any(_is_inside(interface) for interface in job.interfaces)]
    if len(due) < 2:
        for job in due:
            _delete_of(kernel, job)
        return
    with ThreadPoolExecutor(min(len(due), CHUNK), "driverapi-unlink") as threads:
        try:
            list(threads.map(partial(_delete_of, kernel), due))
        except RuntimeError:  # no thread is to be had: then one after the other
            for job in due:
                _delete_of(kernel, job)


def _is_inside(interface: Interface) -> bool:
    return interface.there and isinstance(interface.plan.link, MacvlanLink | IpvlanLink)


def _delete_of(kernel: Kernel, job: LinuxRealised) -> None:
    try:
        if job.netns.ownership is Ownership.FOREIGN:
            _delete(job, kernel.host)
            return
        try:
            socket = job.netns.use().socket
        except errors.NoSandboxError:
            for interface in job.interfaces:
                interface.there = interface.there and not _is_inside(interface)  # gone with the namespace
            return
        try:
            _delete(job, socket)
        finally:
            job.netns.rest()
    except Exception as fault:  # the others go on
        job.fail(named(job.what, fault))


def _delete(job: LinuxRealised, socket: NetlinkSocket) -> None:
    due = [interface for interface in job.interfaces if _is_inside(interface)]
    batch = Batch()
    for interface in due:
        batch.delete_link(interface.index)
    refused = carry_out(socket, batch)
    for position, interface in enumerate(due):
        error = refused.get(position)
        if error is None or error.errno in GONE:
            interface.there = False
        else:
            job.fail(failure(job.what, error))

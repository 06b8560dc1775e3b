"""What the parts of the Linux dataplane share: the host's socket, indexes of masters, groups."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, ParamSpec

from driverapi import _native, errors
from driverapi._native import Batch, LinkRecord, Namespace, NetlinkError, NetlinkSocket
from driverapi.addresses import Address
from driverapi.dataplane.conntrack import Conntrack
from driverapi.dataplane.failures import failure
from driverapi.dataplane.firewall.firewall import Firewall
from driverapi.dataplane.forwarding import Forwarding
from driverapi.dataplane.groups import COMMON, LinkGroups
from driverapi.dataplane.sandboxes import LinuxNetns
from driverapi.instance import Instance
from driverapi.plan import EndpointPlan, GatewayLink, InterfacePlan, NetworkRules, VethLink

if TYPE_CHECKING:
    from driverapi.dataplane.star import Star

__all__ = [
    "ADDR_GEN_NONE",
    "GONE",
    "TRIES",
    "Interface",
    "Kernel",
    "LinuxRealised",
    "attempt",
    "link",
    "named",
    "pinned",
    "rest",
]

P = ParamSpec("P")

TRIES: Final = 4
"""How often a name or index is chosen anew that somebody else has."""

HOST_BUFFER: Final = 1 << 20
"""Bytes asked for the buffers of the host's socket: room for the errors of a whole chunk."""

ADDR_GEN_NONE: Final = 1
"""``IN6_ADDR_GEN_MODE_NONE``: no link-local address when the link comes up."""

GONE: Final = (errno.ENODEV, errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL)
"""Answers to a deletion that mean that there was nothing to delete."""


class Orders:
    """Numbers that ascend: which endpoint came up before which, also after a restart.

    Thread safety: all methods.
    """

    def __init__(self) -> None:
        self._next = itertools.count(1)
        self._last = 0

    def take(self) -> int:
        """Return the next."""
        return next(self._next)

    def after(self, order: int) -> None:
        """Go on after that one; not beside :meth:`take`."""
        if order > self._last:
            self._last = order
            self._next = itertools.count(order + 1)


class Kernel:
    """The kernel as one instance sees it, from the namespace of the thread that makes it.

    Thread safety: all that it holds; ``masters`` is only ever changed by single operations.
    """

    def __init__(self, instance: Instance, *, hold_ports: bool = True) -> None:
        self.instance = instance
        self.groups = LinkGroups(instance)
        self.masters: dict[tuple[str, str], int] = {}  # (network, name in its plan) → ifindex
        self.gateways: dict[tuple[str, str], GatewayLink] = {}  # those of them that have no ports
        self.stars: dict[tuple[str, str], Star] = {}  # those of them that have
        self.borrowed: dict[tuple[str, str], list[tuple[bytes, int]]] = {}  # those that others made: what was added
        self.rules: dict[str, NetworkRules] = {}  # of networks that have any, or can have
        self.titles: dict[str, str] = {}  # of networks: how errors call them
        self.forwarding = Forwarding()
        self.orders = Orders()
        try:
            self.host = NetlinkSocket(send_buffer=HOST_BUFFER, receive_buffer=HOST_BUFFER)
            try:
                self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                self.host.close()
                raise
            self.conntrack = Conntrack()
            self.firewall = Firewall(instance.id, hold=hold_ports)
        except OSError as error:
            raise errors.KernelError(f"open a netlink socket: {error.strerror}", error.errno or 0) from error

    def what(self, network: str) -> str:
        """Return how errors call a network: as its user does, where that is known, else by its id."""
        return self.titles.get(network) or f"network {network[:12]}"

    def close(self) -> None:
        """Let go of descriptors."""
        self.firewall.close()
        self.forwarding.close()
        self.conntrack.close()
        self.host.close()
        os.close(self.home)


@dataclass(eq=False, slots=True)
class Interface:
    """One link of an endpoint while it lives."""

    plan: InterfacePlan
    name: str
    index: int = 0  # in the sandbox
    host_name: str = ""
    host_index: int = 0
    master: int = 0  # the network's bridge, or the parent
    star: Star | None = None
    bridge: int = 0  # the one of the star that it has a port of
    gateway: GatewayLink | None = None
    group: int = COMMON
    astray: tuple[int, ...] = ()  # groups that it may be in instead: it was to be put there, and no answer was heard
    held: bool = False  # its name, its index and its port are taken
    pins: bool = False  # the master has permanent neighbour entries, or maybe
    there: bool = False  # in the kernel, or maybe: set before the kernel is asked


@dataclass(eq=False, slots=True)
class LinuxRealised:
    """What was made for one endpoint, and what went wrong with it."""

    plan: EndpointPlan
    netns: LinuxNetns
    interfaces: list[Interface] = field(default_factory=list)
    order: int = 0  # among all endpoints of the instance
    error: Exception | None = None
    namespace: Namespace | None = None  # while it is in use

    @property
    def names(self) -> dict[int, str]:
        """Name in the sandbox of each interface, by the interface's id."""
        return {interface.plan.id: interface.name for interface in self.interfaces}

    @property
    def what(self) -> str:
        """How errors call it."""
        return f"endpoint {self.plan.name or self.plan.owner[:12]!r}"

    @property
    def addresses(self) -> list[Address]:
        """Those of all its interfaces."""
        return [address for interface in self.plan.interfaces for address in interface.addresses]

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

    def look(self) -> None:
        """Learn what names and indexes somebody else's links in the namespace have now."""
        self.netns.look((link.name, link.index) for link in self.use().socket.dump_links())

    def fail(self, error: Exception | None) -> None:
        """Keep the first error; later ones are told in its notes."""
        if error is None:
            return
        if self.error is None:
            self.error = error
        else:
            self.error.add_note(f"while undoing: {error}")


def rest(jobs: Sequence[LinuxRealised]) -> None:
    """Let go of the namespaces of many endpoints, as :meth:`LinuxRealised.rest` does of one."""
    resting = []
    for job in jobs:
        if job.namespace is not None:
            job.namespace = None
            resting.append(job.netns)
    if resting:
        resting[0].rest_many(resting)


def attempt(job: LinuxRealised, step: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
    """Run a step of an endpoint that has not failed; the step's failure is the endpoint's own."""
    if job.error is None:
        try:
            step(*args, **kwargs)
        except NetlinkError as error:
            job.error = failure(job.what, error)
        except Exception as error:
            job.error = named(job.what, error)


def named(what: str, error: Exception) -> errors.DriverAPIError:
    """Make an error typed, and have it name the endpoint."""
    if isinstance(error, errors.KernelError):
        if what in str(error):
            return error
        made: errors.DriverAPIError = type(error)(f"{what}: {error}", error.errno or 0)
    elif isinstance(error, errors.DriverAPIError):
        if what not in str(error):
            error.add_note(f"this befell {what}")
        return error
    elif isinstance(error, OSError):
        made = errors.KernelError(f"{what}: {error}", error.errno or 0)
    else:  # what a driver declared and no check foresaw
        made = errors.DriverFaultError(f"{what}: cannot be made as declared: {error}")
    made.__cause__ = error
    return made


def link(socket: NetlinkSocket, *, index: int = 0, name: str | None = None) -> LinkRecord | None:
    """Look one link up by its index or name; None where there is none."""
    batch = Batch()
    batch.get_link(index, name=name)
    answers = socket.execute(batch)
    if answers[0] == _native.UNKNOWN:  # a look may be repeated
        answers = socket.execute(batch)
    if answers[0] != 0:
        error = answers.error(0)
        if error is not None and error.errno not in GONE:
            raise error
        return None
    found = _native.links(b"".join(answers.replies()))
    return found[0] if found else None


def pinned(job: LinuxRealised) -> list[tuple[Interface, Address]]:
    """Return the addresses of an endpoint that its master has permanent neighbour entries for."""
    return [
        (interface, address)
        for interface in job.interfaces
        if interface.there and isinstance(interface.plan.link, VethLink) and interface.plan.link.pin_neighbours
        if interface.master and interface.plan.mac is not None
        if interface.star is None or interface.star.instead_of is None
        for address in interface.plan.addresses
    ]

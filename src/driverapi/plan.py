"""What is wanted, as plain data: drivers declare it, a dataplane realises it.

Nothing here does I/O and nothing here knows of netlink. Addresses are packed (see
:mod:`driverapi.addresses`); names of links are text as the kernel takes it, at most
15 bytes. All classes are immutable and may be shared by threads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from driverapi import errors
from driverapi.addresses import Address, format_ip, parse_mac

__all__ = [
    "IPVLAN_FLAGS",
    "IPVLAN_MODES",
    "MACVLAN_MODES",
    "MAX_MTU",
    "MAX_NAME",
    "MAX_PORT",
    "PROTOCOLS",
    "Address",
    "BridgeLink",
    "EndpointPlan",
    "GatewayLink",
    "InterfacePlan",
    "IpvlanLink",
    "Link",
    "MacvlanLink",
    "MoveLink",
    "Neighbour",
    "NetworkPlan",
    "NetworkRules",
    "PairLink",
    "ParentLink",
    "PortMap",
    "PortWish",
    "Route",
    "Sysctl",
    "VethLink",
    "check_link",
    "check_link_name",
    "check_network_plan",
    "ports_at",
]

MAX_NAME = 15
"""Bytes of a link's name: the kernel's ``IFNAMSIZ`` less the final NUL."""

MAX_MTU = 65535
"""Bytes, the most that a veth or a bridge takes (``ETH_MAX_MTU``)."""


_REFUSED: Final = re.compile(r"[/:%\0\s\ud800-\udfff]")


def check_link_name(name: str, what: str = "interface name", *, limit: int = MAX_NAME) -> str:
    """Return the name if the kernel would take it (``dev_valid_name``), else raise ``InvalidError``."""
    if not isinstance(name, str) or not name:
        raise errors.InvalidError(f"{what} {name!r} must be text that is not empty")
    if len(name.encode("utf-8", "surrogatepass")) > limit:
        raise errors.InvalidError(f"{what} {name!r} is longer than the kernel allows: {limit} bytes at most")
    if name in (".", "..") or _REFUSED.search(name):
        raise errors.InvalidError(
            f"{what} {name!r} has a character that the kernel refuses ('/', ':', '%' or white space)"
        )
    return name


@dataclass(frozen=True, slots=True)
class Route:
    """A route of a sandbox. Equivalent to: ``ip route add DESTINATION via GATEWAY``.

    Attributes
    ----------
    destination : Address
        A prefix, host bits zero; ``0.0.0.0/0`` or ``::/0`` for the default route.
    gateway : bytes or None
        Next hop, packed; None for a destination that is on the link itself.
    on_link : bool
        The gateway is reached through the interface although no prefix says so.
    """

    destination: Address
    gateway: bytes | None = None
    on_link: bool = False


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A permanent neighbour entry: no ARP or ND is needed, and none can be forged.

    Permanent entries are exempt from the kernel's ``gc_thresh3``, which all namespaces share.
    """

    ip: bytes
    mac: bytes


@dataclass(frozen=True, slots=True)
class Sysctl:
    """A setting of an interface. Equivalent to: ``sysctl -w net.FAMILY.GROUP.IFNAME.NAME=VALUE`` in the sandbox.

    Each part is a word of letters, digits and ``_``: the path of a file is made of them.
    """

    family: str
    group: str
    name: str
    value: str

    def of(self, interface: str) -> str:
        """Name the setting of an interface, as people write it."""
        return f"net.{self.family}.{self.group}.{interface}.{self.name}"


@dataclass(frozen=True, slots=True)
class VethLink:
    """A veth pair: one end in the sandbox, the other on the host.

    Attributes
    ----------
    master : str or None
        Name of a link of the network's own plan that the host end is enslaved to.
    mtu : int
        In bytes, both ends; 0 for the kernel's default.
    pin_neighbours : bool
        The master gets a permanent neighbour entry for each address of the interface.
    gateway : str or None
        Name of a :class:`GatewayLink` of the network's own plan. The host end has that link's
        MAC and no master; the host gets a route and a permanent neighbour entry for each
        address, and the sandbox its addresses alone (/32, /128): nobody but the host is on the link.
    rate_in, rate_out : int
        Bits per second that the sandbox gets, and sends, at most; 0 for no limit.
    """

    master: str | None = None
    mtu: int = 0
    pin_neighbours: bool = False
    gateway: str | None = None
    rate_in: int = 0
    rate_out: int = 0


@dataclass(frozen=True, slots=True)
class MoveLink:
    """A link that exists on the host and is moved into the sandbox.

    Moving is a full unregister and register of the device: tens of milliseconds.
    On leaving it is moved back under its own name.
    """

    source: str


@dataclass(frozen=True, slots=True)
class MacvlanLink:
    """A macvlan: a MAC address of its own on a link of the host, born in the sandbox.

    Attributes
    ----------
    parent : str
        Name of a :class:`ParentLink` of the network's own plan.
    mode : str
        One of :data:`MACVLAN_MODES`.
    mtu : int
        In bytes; 0 for the parent's.
    """

    parent: str
    mode: str = "bridge"
    mtu: int = 0


@dataclass(frozen=True, slots=True)
class IpvlanLink:
    """An ipvlan: IP addresses of its own on a link of the host, whose MAC it has; born in the sandbox.

    Attributes
    ----------
    parent : str
        Name of a :class:`ParentLink` of the network's own plan.
    mode : str
        One of :data:`IPVLAN_MODES`.
    flag : str
        One of :data:`IPVLAN_FLAGS`.
    mtu : int
        In bytes; 0 for the parent's.
    """

    parent: str
    mode: str = "l2"
    flag: str = "bridge"
    mtu: int = 0


Link = VethLink | MoveLink | MacvlanLink | IpvlanLink

MACVLAN_MODES: Final = ("bridge", "private", "vepa", "passthru")
"""``enum macvlan_mode`` of linux/if_link.h, but for ``source``."""

IPVLAN_MODES: Final = ("l2", "l3", "l3s")
"""``enum ipvlan_mode`` of linux/if_link.h."""

IPVLAN_FLAGS: Final = ("bridge", "private", "vepa")
"""``IPVLAN_F_PRIVATE`` and ``IPVLAN_F_VEPA`` of linux/if_link.h, or neither."""


@dataclass(frozen=True, slots=True)
class BridgeLink:
    """A bridge of a network, on the host.

    Attributes
    ----------
    name : str
        Its name inside the plan, and in the kernel too where ``exact`` is set; otherwise
        the dataplane gives it a name with the mark of the instance.
    mac : bytes
        Set at birth: enslaving is cheaper, and the address does not flap with the ports.
    addresses : tuple of Address
        The gateway addresses.
    """

    name: str
    mac: bytes
    mtu: int = 0
    addresses: tuple[Address, ...] = ()
    exact: bool = False


@dataclass(frozen=True, slots=True)
class GatewayLink:
    """The gateway of a routed network: a link of the host that has the addresses, and no ports.

    A packet for the gateway comes in by the host end of its sender: the host takes it, as one
    of its links has the address (``arp_ignore`` concerns ARP alone, and none is needed).

    Attributes
    ----------
    name : str
        Its name inside the plan.
    mac : bytes
        Of the link, and of the host end of every endpoint.
    addresses : tuple of Address
        The gateway's, with the network's prefixes. What is sent to an address of a prefix that
        no endpoint has goes nowhere: it does not follow the host's default route.
    forward : bool
        What comes in by host ends is forwarded to where the host has routes to, switched on for
        each host end and for nothing else.
    """

    name: str
    mac: bytes
    addresses: tuple[Address, ...] = ()
    forward: bool = True


@dataclass(frozen=True, slots=True)
class ParentLink:
    """A link of the host that a network's macvlans or ipvlans hang on.

    Attributes
    ----------
    name : str
        Its name inside the plan.
    mac : bytes
        Of a parent that is made for the network.
    source : str or None
        Name of the link in the kernel. One that is not there and is called ``LINK.NUMBER`` is made: the VLAN of that
        number on ``LINK``. It goes with the last network on it. With None, a link that is connected to nothing is
        made for this network alone.
    kind : str
        What hangs on it, ``"macvlan"`` or ``"ipvlan"``: the kernel allows one of the two.
    mtu : int
        In bytes, that of the links on it; 0 for the parent's.
    """

    name: str
    mac: bytes
    source: str | None = None
    kind: str = "macvlan"
    mtu: int = 0


@dataclass(frozen=True, slots=True)
class NetworkRules:
    """What the packet filter is to do for a network, beyond its published ports.

    Attributes
    ----------
    prefixes : tuple of Address
        Those of the network.
    masquerade : tuple of int
        Families (4, 6) whose traffic to elsewhere leaves under an address of the host's.
    source : tuple of bytes
        Which address that is, packed, at most one of a family; by default that of the link it leaves by. It has to be
        the host's own when the network is made, or nothing comes back.
    binding : tuple of bytes
        Addresses of the host where ports are published that name none, packed; the host's own, likewise.
    protected : tuple of int
        Families in which nobody from elsewhere reaches more of a sandbox than its published ports.
    pinged : tuple of int
        Those of them in which ICMP passes all the same.
    trusted : tuple of str
        Names of links of the host: who comes in by them reaches all of a sandbox, whatever is ``protected``.
    internal : bool
        Nothing is forwarded to it or from it.
    shut : bool
        Its sandboxes do not reach each other, but by the links of their plans and published ports.
    forwards : bool
        The host forwards IPv4 from all of its links as long as the network is there.
    guard : bool
        What a sandbox sends under a MAC address, or an address, that is not its own is dropped.
    begins : tuple of int
        Families in which a sandbox may begin to speak to elsewhere where a Docker engine on the host would drop it.
    """

    prefixes: tuple[Address, ...] = ()
    masquerade: tuple[int, ...] = ()
    source: tuple[bytes, ...] = ()
    binding: tuple[bytes, ...] = ()
    protected: tuple[int, ...] = ()
    pinged: tuple[int, ...] = ()
    trusted: tuple[str, ...] = ()
    internal: bool = False
    shut: bool = False
    forwards: bool = False
    guard: bool = False
    begins: tuple[int, ...] = ()

    @property
    def wanted(self) -> bool:
        """Whether it needs any rule before a port is published."""
        return bool(self.masquerade or self.protected or self.internal or self.shut or self.guard)

    @property
    def each(self) -> bool:
        """Whether each of its endpoints needs rules."""
        return self.shut or self.guard


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """What a whole network needs on the host.

    Attributes
    ----------
    rules : NetworkRules or None
        None: no port of it can be published.
    name : str
        How errors call the network; by default its id. Who asks the driver for the plan sets it.
    """

    links: tuple[BridgeLink | GatewayLink | ParentLink, ...] = ()
    rules: NetworkRules | None = None
    name: str = field(default="", compare=False)

    def title(self, network: str) -> str:
        """Return how errors call the network of an id."""
        return f"network {self.name!r}" if self.name else f"network {network[:12]}"


PROTOCOLS: Final = {"tcp": 6, "udp": 17, "sctp": 132}
"""Transport protocols whose ports can be published, and their numbers (``IPPROTO_``)."""

MAX_PORT: Final = 65535


class PortMap(NamedTuple):
    """A port of the host that leads to one of a sandbox.

    Attributes
    ----------
    protocol : str
        ``"tcp"``, ``"udp"`` or ``"sctp"``.
    host : bytes
        Address of the host, packed; all zeros for each that it has of that family. The sandbox's own where a network is
        routed and not translated: then the port is opened there.
    host_port : int
        1…65535.
    ip : bytes
        Address of the sandbox, packed.
    port : int
        1…65535.
    """

    protocol: str
    host: bytes
    host_port: int
    ip: bytes
    port: int

    def __str__(self) -> str:
        """Return it as ``0.0.0.0:8080->10.77.0.2:80/tcp``."""
        return f"{_place(self.host, self.host_port)}->{_place(self.ip, self.port)}/{self.protocol}"

    @property
    def host_address(self) -> str:
        """The host's address as text."""
        return format_ip(self.host)

    @property
    def address(self) -> str:
        """The sandbox's address as text."""
        return format_ip(self.ip)


class PortWish(NamedTuple):
    """A port of a sandbox that is to be published.

    Attributes
    ----------
    places : tuple of (bytes, bytes)
        Address of the host and of the sandbox: one for each family, all under the same port of the host; the sandbox's
        twice where it is reached itself.
    low, high : int
        The first free port of the host from one to the other is taken; 0: one that the kernel gives to sockets by
        itself (``ip_local_port_range``) and does not keep back (``ip_local_reserved_ports``).
    """

    protocol: str
    places: tuple[tuple[bytes, bytes], ...]
    port: int
    low: int = 0
    high: int = 0

    def at(self, host_port: int) -> list[PortMap]:
        """Return what is published if it gets that port of the host."""
        return ports_at([self], host_port)


def ports_at(wishes: Iterable[PortWish], host_port: int = 0) -> list[PortMap]:
    """Return what is published if each gets that port of the host, or the first that it wants."""
    make, kind = tuple.__new__, PortMap  # half the cost of PortMap(…), which thousands of ports would feel
    return [
        make(kind, (protocol, host, port if host == ip else host_port or low, ip, port))
        for protocol, places, port, low, _ in wishes
        for host, ip in places
    ]


@dataclass(frozen=True, slots=True)
class InterfacePlan:
    """One interface of an endpoint as the sandbox shall see it.

    Attributes
    ----------
    id : int
        The interface's id within the endpoint.
    link : VethLink, MoveLink, MacvlanLink or IpvlanLink
        Where it comes from.
    name : str
        Its name in the sandbox, or only the prefix of it: see ``exact``.
    exact : bool
        False: the lowest number that is free in the sandbox is appended (``eth`` → ``eth0``).
    mac : bytes or None
        None leaves it to the kernel.
    """

    id: int
    link: Link
    name: str = "eth"
    exact: bool = False
    mac: bytes | None = None
    addresses: tuple[Address, ...] = ()

    def with_mac(self, mac: bytes) -> InterfacePlan:
        """Return the same with a MAC address."""
        return replace(self, mac=mac)


@dataclass(frozen=True, slots=True)
class PairLink:
    """A port of one endpoint that another reaches although their network is shut: addresses are packed."""

    source: bytes
    target: bytes
    protocol: str
    port: int


@dataclass(frozen=True, slots=True)
class EndpointPlan:
    """What one endpoint needs in its sandbox.

    Attributes
    ----------
    owner : str
        The endpoint's id: every answer of the kernel is mapped back to it.
    network : str
        The network's id: names of masters are those of its plan.
    pairs : tuple of PairLink
        On a network that is shut.
    routes, neighbours : tuple
        Put on the interface whose prefix holds the next hop, else on the first.
    name : str
        How errors call the endpoint; by default its id.
    announce : bool
        An address of it had another MAC before: neighbours that remember it are told.
    priority : int
        Of its default routes among those of all endpoints in the sandbox: the highest has it, of equals the first.
    sysctls : tuple of Sysctl
        Settings of each of its interfaces.
    """

    owner: str
    network: str
    interfaces: tuple[InterfacePlan, ...] = ()
    routes: tuple[Route, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    name: str = ""
    announce: bool = False
    priority: int = 0
    sysctls: tuple[Sysctl, ...] = ()
    pairs: tuple[PairLink, ...] = ()


def check_link(link: Link, what: str) -> Link:
    """Return what a driver declared if it can be asked of a kernel, else raise ``InvalidError``.

    A dataplane takes plans as they are: one that cannot be encoded would fail its whole batch.
    """
    if isinstance(link, MoveLink):
        check_link_name(link.source, f"{what}: source name")
    elif isinstance(link, MacvlanLink):
        check_link_name(link.parent, f"{what}: parent")
        _check_one_of(link.mode, MACVLAN_MODES, f"{what}: macvlan mode")
        _check_mtu(link.mtu, what)
    elif isinstance(link, IpvlanLink):
        check_link_name(link.parent, f"{what}: parent")
        _check_one_of(link.mode, IPVLAN_MODES, f"{what}: ipvlan mode")
        _check_one_of(link.flag, IPVLAN_FLAGS, f"{what}: ipvlan flag")
        _check_mtu(link.mtu, what)
    elif not isinstance(link, VethLink):
        raise errors.InvalidError(
            f"{what}: {link!r} is no link; declare a VethLink, a MoveLink, a MacvlanLink or an IpvlanLink"
        )
    else:
        if link.master is not None:
            check_link_name(link.master, f"{what}: master")
        if link.gateway is not None:
            check_link_name(link.gateway, f"{what}: gateway")
            if link.master is not None:
                raise errors.InvalidError(f"{what}: a veth has a master or a gateway, not both")
        _check_mtu(link.mtu, what)
    return link


def check_network_plan(plan: NetworkPlan, what: str) -> NetworkPlan:
    """Return a network's plan if it can be asked of a kernel, else raise ``InvalidError``."""
    if not isinstance(plan, NetworkPlan):
        raise errors.InvalidError(f"{what}: {plan!r} is no NetworkPlan")
    names = set()
    for link in plan.links:
        if not isinstance(link, BridgeLink | GatewayLink | ParentLink):
            raise errors.InvalidError(
                f"{what}: {link!r} is no link of a network; declare a BridgeLink, a GatewayLink or a ParentLink"
            )
        check_link_name(link.name, f"{what}: link")
        if link.name in names:
            raise errors.InvalidError(f"{what}: two links are named {link.name!r}")
        names.add(link.name)
        parse_mac(link.mac, f"{what}: MAC address of {link.name!r}")
        if isinstance(link, BridgeLink | ParentLink):
            _check_mtu(link.mtu, what)
        if isinstance(link, ParentLink):
            _check_one_of(link.kind, ("macvlan", "ipvlan"), f"{what}: kind of what hangs on {link.name!r}")
            if link.source is not None:
                check_link_name(link.source, f"{what}: parent")
            continue
        for address in link.addresses:
            if not isinstance(address, Address):
                raise errors.InvalidError(f"{what}: {address!r} is no Address")
    return plan


def _check_one_of(value: object, allowed: tuple[str, ...], what: str) -> None:
    if value not in allowed:
        raise errors.InvalidError(f"{what} {value!r} is not one of {', '.join(allowed)}")


def _place(ip: bytes, port: int) -> str:
    return f"{format_ip(ip)}:{port}" if len(ip) == 4 else f"[{format_ip(ip)}]:{port}"


def _check_mtu(mtu: object, what: str) -> None:
    if isinstance(mtu, bool) or not isinstance(mtu, int) or not 0 <= mtu <= MAX_MTU:
        raise errors.InvalidError(f"{what}: MTU {mtu!r} is not a number from 0 to {MAX_MTU}")

"""The driver API: libnetwork's contract between a network controller and its drivers.

The names of the seed (Go) and of this module::

    driverapi.Driver             Driver                 nine methods, same meaning
    driverapi.EndpointInfo       EndpointInfo           interfaces, add_interface
    driverapi.InterfaceInfo      InterfaceInfo          id, mac_address, address, address_ipv6
    driverapi.InterfaceNameInfo  InterfaceNameInfo      id, set_names (and set_link)
    driverapi.JoinInfo           JoinInfo               interface_names, set_gateway, …
    driverapi.DriverCallback     DriverCallback         register_driver
    NetworkPluginEndpointType    NETWORK_PLUGIN_ENDPOINT_TYPE

The info objects are the package's own and final: the rules of the interface list are kept here, so no driver can break
them. They belong to one call of a driver at a time: who uses one later gets :class:`~driverapi.errors.SealedError`.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, final, runtime_checkable

from driverapi import errors
from driverapi._native import InterfaceList, OutOfRange, Taken
from driverapi.addresses import (
    Address,
    format_ip,
    format_mac,
    parse_ip,
    parse_ip_of,
    parse_mac,
    parse_network,
    parse_prefix,
)
from driverapi.paths import absolute
from driverapi.plan import Link, MoveLink, Neighbour, NetworkPlan, Route, check_link, check_link_name

if TYPE_CHECKING:
    import netaddr

    from driverapi.addresses import IPLike, MACLike, PrefixLike

__all__ = [
    "NETWORK_PLUGIN_ENDPOINT_TYPE",
    "Driver",
    "DriverCallback",
    "EndpointInfo",
    "IPAMData",
    "InterfaceInfo",
    "InterfaceNameInfo",
    "JoinInfo",
    "Options",
    "Origin",
    "PlansNetwork",
    "RemembersNetwork",
]

NETWORK_PLUGIN_ENDPOINT_TYPE: Final = "NetworkDriver"
"""The endpoint type of a network driver in Docker's plugin system (seed: ``NetworkPluginEndpointType``)."""

Options = Mapping[str, Any]
"""Labels and their values, see :mod:`driverapi.labels` (seed: ``map[string]interface{}``)."""


@dataclass(frozen=True, slots=True)
class IPAMData:
    """One prefix of a network, as it comes to ``create_network`` under ``labels.IPAM_DATA``.

    Attributes
    ----------
    pool : Address
        The prefix, host bits zero.
    gateway : Address or None
        The gateway's address with the length of the pool's prefix.
    aux : tuple of (str, Address)
        Addresses that no endpoint gets, by name, with the length of the pool's prefix; none after a restart.
    """

    pool: Address
    gateway: Address | None = None
    aux: tuple[tuple[str, Address], ...] = ()


class Driver(ABC):
    """A network driver (seed: ``driverapi.Driver``).

    A driver *declares* what it wants through the info objects and does no I/O: then it is
    short, tested without root, and fast in bulk without knowing of bulk. A driver may also
    make its own devices and name them with :meth:`InterfaceNameInfo.set_names`; they are
    moved into the sandbox, which is slow.

    What a method raises is reported to the caller with its own class if it is a
    :class:`~driverapi.errors.DriverAPIError`, else as the cause of a ``DriverFaultError``.
    A method that raises has changed nothing. After a step that failed later, the driver's
    own undo is called: ``leave`` after ``join``, ``delete_endpoint`` after ``create_endpoint``.

    Thread safety: called by several threads at once, for different endpoints; calls for one endpoint never overlap.
    """

    requires_ipam: bool = False
    """True: the controller gives each endpoint its addresses; False: the driver brings its own."""

    shares_prefixes: bool = False
    """True: sandboxes are on a network that the host is on too, so a prefix that is given may be one of its routes."""

    lone_addresses: bool = False
    """True: an address stands alone on its link (/32, /128); all else is reached by the gateway, which is on-link."""

    host_sandbox: bool = False
    """True: endpoints live in the host's own namespace, where nothing is made or undone."""

    leaves_first: bool = False
    """True: ``leave`` is called while the links are in the sandbox yet, as engines call it, and may delete them."""

    engine_options: Mapping[str, Any] = {}
    """Options that a Docker engine's network has where they are not given; none where this host cannot have them."""

    def config(self, options: Options) -> None:
        """Push driver-specific configuration, before the first network (seed: ``Config``).

        Raises
        ------
        errors.InvalidError
            For options that the driver does not know. The base knows none.
        """
        if options:
            raise errors.InvalidError(
                f"driver {self.type()!r} takes no configuration, got {', '.join(map(repr, options))}"
            )

    @abstractmethod
    def create_network(self, network_id: str, options: Options) -> None:
        """Create a network (seed: ``CreateNetwork``).

        Parameters
        ----------
        network_id : str
            Unique for ever; the driver's key for all that follows.
        options : mapping
            Labels of the user; under ``labels.IPAM_DATA`` the prefixes, a tuple of :class:`IPAMData`.
        """

    @abstractmethod
    def delete_network(self, network_id: str) -> None:
        """Delete a network that has no endpoints (seed: ``DeleteNetwork``)."""

    @abstractmethod
    def create_endpoint(self, network_id: str, endpoint_id: str, info: EndpointInfo, options: Options) -> None:
        """Create an endpoint (seed: ``CreateEndpoint``).

        ``info.origin`` says which of the seed's three cases it is: interfaces given (consume
        or refuse them), a notification of an endpoint that lives elsewhere, or an empty list
        that the driver fills with any number of interfaces.

        Parameters
        ----------
        info : EndpointInfo
            To be consumed or filled during this call only.
        options : mapping
            Labels of the user, with today's names.

        Raises
        ------
        errors.DriverAPIError
            The driver refuses the endpoint: ``InvalidError`` for an option or an interface that is none,
            ``AddressTakenError``, ``NotImplementedYetError``, ``EndpointExistsError``, ``NoNetworkError``.
        """

    @abstractmethod
    def delete_endpoint(self, network_id: str, endpoint_id: str) -> None:
        """Delete an endpoint that has left its sandbox (seed: ``DeleteEndpoint``)."""

    def endpoint_oper_info(self, network_id: str, endpoint_id: str) -> Mapping[str, Any]:
        """Operational data of an endpoint, for people and tools (seed: ``EndpointOperInfo``)."""
        del network_id, endpoint_id
        return {}

    @abstractmethod
    def join(self, network_id: str, endpoint_id: str, sandbox_key: str, info: JoinInfo, options: Options) -> None:
        """Attach an endpoint to a sandbox (seed: ``Join``).

        Parameters
        ----------
        sandbox_key : str
            Path of the sandbox's network namespace. It may not exist yet: in a bulk call the
            namespaces are made while drivers are asked.
        info : JoinInfo
            To be filled during this call only: a link for each interface, gateways, routes.
        options : mapping
            Labels of the user, with today's names.

        Raises
        ------
        errors.DriverAPIError
            The driver refuses; ``leave`` is not called then. ``NoEndpointError`` where it knows none of that id.
        """

    @abstractmethod
    def leave(self, network_id: str, endpoint_id: str) -> None:
        """Detach an endpoint from its sandbox (seed: ``Leave``).

        Called when the dataplane has taken away what ``join`` declared, or could not make it; with ``leaves_first``
        before it takes it away.

        Raises
        ------
        errors.DriverAPIError
            It is reported, and the endpoint has left all the same. ``NoEndpointError`` where it knows none
            of that id.
        """

    @abstractmethod
    def type(self) -> str:
        """Return the network type that this driver manages, as ``"bridge"`` (seed: ``Type``)."""


@runtime_checkable
class PlansNetwork(Protocol):
    """A driver whose networks need something on the host: a bridge, say."""

    def network_plan(self, network_id: str) -> NetworkPlan:
        """Return what the network needs; asked once, after ``create_network``."""


@runtime_checkable
class RemembersNetwork(Protocol):
    """A driver that chooses something for a network, by chance say, which must be the same after a restart.

    With state, a controller that starts again calls ``create_network`` and ``create_endpoint`` for all that it
    had, with the options that they had; what was chosen comes under :data:`driverapi.labels.MEMORY`.
    """

    def network_memory(self, network_id: str) -> Mapping[str, Any]:
        """Return what was chosen: text, bytes, numbers, lists and mappings. Asked once, after ``create_network``."""


class DriverCallback(Protocol):
    """How a driver adds further drivers (seed: ``DriverCallback``); a ``DriverRegistry`` is one."""

    def register_driver(self, name: str, driver: Driver) -> None:
        """Register a driver for a network type (seed: ``RegisterDriver``)."""


class Origin(enum.Enum):
    """Where the interfaces of an endpoint come from: the seed's three cases."""

    GIVEN = "given"
    """Assigned by another entity: the driver consumes them or refuses, never adds."""
    NOTICED = "noticed"
    """Allocated before, by the same driver on another host: this is a notification, no link is made."""
    EMPTY = "empty"
    """The driver fills the list, with zero or more interfaces."""


@final
class InterfaceInfo:
    """One interface of an endpoint (seed: ``InterfaceInfo``).

    A field that is empty may be filled by the driver, once; a field that is not is the
    caller's and stays. netaddr objects are made when asked for; the ``packed_*`` properties
    give the bytes without them.

    Thread safety: reading, always; filling, only within the driver's ``create_endpoint``.
    """

    __slots__ = ("_owner", "_row", "_rows")

    def __init__(self, rows: InterfaceList, row: int, owner: EndpointInfo | None = None) -> None:
        self._rows = rows
        self._row = row
        self._owner = owner

    @property
    def id(self) -> int:
        """Number of the interface; it has significance only within the endpoint (seed: ``ID``)."""
        return self._rows.id(self._row)

    @property
    def mac_address(self) -> netaddr.EUI | None:
        """The MAC address, or None where it is empty (seed: ``MacAddress``)."""
        mac = self._rows.mac(self._row)
        if mac is None:
            return None
        import netaddr

        return netaddr.EUI(int.from_bytes(mac, "big"), version=48, dialect=netaddr.mac_unix_expanded)

    @property
    def address(self) -> netaddr.IPNetwork | None:
        """The IPv4 address with its prefix, or None (seed: ``Address``)."""
        packed = self.packed_address
        return None if packed is None else packed.to_netaddr()

    @property
    def address_ipv6(self) -> netaddr.IPNetwork | None:
        """The IPv6 address with its prefix, or None (seed: ``AddressIPv6``)."""
        packed = self.packed_address_ipv6
        return None if packed is None else packed.to_netaddr()

    @property
    def packed_mac(self) -> bytes | None:
        """The MAC address, six bytes."""
        return self._rows.mac(self._row)

    @property
    def packed_address(self) -> Address | None:
        """The IPv4 address, packed, with its prefix."""
        ip = self._rows.ipv4(self._row)
        return None if ip is None else Address(ip, self._rows.ipv4_prefix(self._row))

    @property
    def packed_address_ipv6(self) -> Address | None:
        """The IPv6 address, packed, with its prefix."""
        ip = self._rows.ipv6(self._row)
        return None if ip is None else Address(ip, self._rows.ipv6_prefix(self._row))

    @property
    def packed_addresses(self) -> tuple[Address, ...]:
        """The addresses that there are, IPv4 first."""
        return tuple([one for one in (self.packed_address, self.packed_address_ipv6) if one is not None])

    def _may_fill(self, field: str, present: object) -> None:
        if self._owner is None or self._owner._sealed:
            raise errors.SealedError(f"interface {self.id}: its {field} can be filled only during create_endpoint")
        if present is not None:
            raise errors.InterfacesGivenError(
                f"interface {self.id} has a {field} already; a driver may fill only what is empty"
            )

    def set_mac_address(self, mac: MACLike) -> None:
        """Fill an empty MAC address (libnetwork: ``SetMacAddress``)."""
        packed = parse_mac(mac)
        self._may_fill("MAC address", self.packed_mac)
        self._rows.set_mac(self._row, packed)

    def set_address(self, address: PrefixLike) -> None:
        """Fill an empty IPv4 or IPv6 address, with its prefix (libnetwork: ``SetIPAddress``)."""
        packed = parse_prefix(address)
        if packed.version == 4:
            self._may_fill("IPv4 address", self.packed_address)
            self._rows.set_ipv4(self._row, packed.ip, packed.prefix)
        else:
            self._may_fill("IPv6 address", self.packed_address_ipv6)
            self._rows.set_ipv6(self._row, packed.ip, packed.prefix)

    def __repr__(self) -> str:
        mac = self.packed_mac
        parts = [format_mac(mac)] if mac else []
        parts += [str(one) for one in self.packed_addresses]
        return f"<InterfaceInfo {self.id}: {' '.join(parts) or 'empty'}>"


@final
class EndpointInfo:
    """The interfaces of an endpoint, to consume or to fill (seed: ``EndpointInfo``).

    The rule is taken when ``create_endpoint`` begins: a driver that was given interfaces may
    add none, one that was given none may add any number, until the call ends.

    Attributes
    ----------
    origin : Origin
        Which of the three cases this endpoint is.
    """

    __slots__ = ("_announce", "_rows", "_sealed", "origin")

    def __init__(self, origin: Origin = Origin.EMPTY) -> None:
        self.origin = origin
        self._announce = False  # neighbours may remember another MAC of an address
        self._rows = InterfaceList()
        self._sealed = False

    @property
    def interfaces(self) -> tuple[InterfaceInfo, ...]:
        """The interfaces in order of their addition (seed: ``Interfaces``)."""
        return tuple([InterfaceInfo(self._rows, row, self) for row in range(len(self._rows))])

    def add_interface(
        self,
        id: int,
        mac: MACLike | None = None,
        ipv4: PrefixLike | None = None,
        ipv6: PrefixLike | None = None,
    ) -> InterfaceInfo:
        """Add an interface to an endpoint that was given none (seed: ``AddInterface``).

        Parameters
        ----------
        id : int
            0…2**31-1, unique within the endpoint; a number that counts up will do.
        mac, ipv4, ipv6 : optional
            With prefixes (``"10.0.0.2/16"``); without one, a single address.

        Raises
        ------
        errors.InterfacesGivenError
            The list was given: consume it or refuse the endpoint.
        errors.ConflictError
            The id is in the list already.
        errors.SealedError
            ``create_endpoint`` has returned.
        """
        if self._sealed:
            raise errors.SealedError("interfaces can be added only during create_endpoint")
        if self.origin is not Origin.EMPTY:
            raise errors.InterfacesGivenError(
                f"the interfaces of this endpoint are {self.origin.value}: "
                "consume them or refuse the endpoint, add none"
            )
        return self._append(id, mac, ipv4, ipv6)

    def _append(self, id: int, mac: MACLike | None, ipv4: PrefixLike | None, ipv6: PrefixLike | None) -> InterfaceInfo:
        hardware = None if mac is None else parse_mac(mac)
        four = None if ipv4 is None else parse_prefix(ipv4, "ipv4")
        six = None if ipv6 is None else parse_prefix(ipv6, "ipv6")
        for address, version in ((four, 4), (six, 6)):
            if address is not None and address.version != version:
                raise errors.InvalidError(f"ipv{version} {address} is not an IPv{version} address")
        try:
            row = self._rows.append(
                id,
                hardware,
                None if four is None else four.ip,
                32 if four is None else four.prefix,
                None if six is None else six.ip,
                128 if six is None else six.prefix,
            )
        except Taken:
            raise errors.ConflictError(
                f"the endpoint has an interface {id} already; ids are unique within an endpoint"
            ) from None
        except (TypeError, OverflowError, OutOfRange):
            raise errors.InvalidError(f"interface id {id!r} is not a number from 0 to 2**31-1") from None
        return InterfaceInfo(self._rows, row, self)

    def _seal(self) -> None:
        self._sealed = True

    def __repr__(self) -> str:
        return f"<EndpointInfo {self.origin.value}, {len(self._rows)} interfaces>"


@final
class InterfaceNameInfo:
    """Where one interface comes from and its name in the sandbox (seed: ``InterfaceNameInfo``)."""

    __slots__ = ("_exact", "_id", "_join", "_link", "_name")

    def __init__(self, id: int, join: JoinInfo) -> None:
        self._id = id
        self._join = join
        self._link: Link | None = None
        self._name = "eth"
        self._exact = False

    @property
    def id(self) -> int:
        """The number that the interface got in ``create_endpoint`` (seed: ``ID``)."""
        return self._id

    def set_names(self, src_name: str, dst_name: str) -> None:
        """Move the driver's own device ``src_name`` into the sandbox as ``dst_name`` (seed: ``SetNames``).

        It works and is slow: the kernel unregisters and registers the device.

        Raises
        ------
        errors.InvalidError
            A name is none that the kernel takes: 1 to 15 bytes, no white space, ``/``, ``:`` or ``%``.
        errors.SealedError
            ``join`` has returned.
        """
        check_link_name(src_name, "source name")
        self._set(MoveLink(src_name), check_link_name(dst_name, "destination name"), exact=True)

    def set_link(self, link: Link, *, prefix: str = "eth", name: str | None = None) -> None:
        """Have a link made in place, named ``name``, or ``prefix`` and the lowest free number.

        Parameters
        ----------
        link : Link
            What to make, as ``VethLink(master="br", mtu=1400)``; its MTU in bytes.
        prefix : str
            At most 12 bytes: there is room for a number of three digits.
        name : str, optional
            Exactly that, at most 15 bytes; if the sandbox has such a link, the join fails.

        Raises
        ------
        errors.InvalidError
            The link is none, or a name is none that the kernel takes.
        errors.SealedError
            ``join`` has returned.
        """
        check_link(link, f"interface {self._id}")
        if name is None:
            # room for a number of three digits
            self._set(link, check_link_name(prefix, "interface prefix", limit=12), exact=False)
        else:
            self._set(link, check_link_name(name), exact=True)

    def _set(self, link: Link, name: str, *, exact: bool) -> None:
        self._join._open(f"interface {self._id}")
        self._link, self._name, self._exact = link, name, exact


@final
class JoinInfo:
    """What a driver provides when an endpoint joins a sandbox (seed: ``JoinInfo``)."""

    __slots__ = (
        "_gateway",
        "_gateway_ipv6",
        "_hosts_path",
        "_names",
        "_neighbours",
        "_resolv_conf_path",
        "_routes",
        "_sealed",
    )

    def __init__(self, info: EndpointInfo) -> None:
        self._names = tuple([InterfaceNameInfo(info._rows.id(row), self) for row in range(len(info._rows))])
        self._gateway: bytes | None = None
        self._gateway_ipv6: bytes | None = None
        self._hosts_path: str | None = None
        self._resolv_conf_path: str | None = None
        self._routes: list[Route] = []
        self._neighbours: list[Neighbour] = []
        self._sealed = False

    @property
    def interface_names(self) -> tuple[InterfaceNameInfo, ...]:
        """One for each interface of the endpoint, in its order (seed: ``InterfaceNames``)."""
        return self._names

    @property
    def gateway(self) -> str | None:
        """The IPv4 gateway as text, where one was set."""
        return None if self._gateway is None else format_ip(self._gateway)

    @property
    def gateway_ipv6(self) -> str | None:
        """The IPv6 gateway as text, where one was set."""
        return None if self._gateway_ipv6 is None else format_ip(self._gateway_ipv6)

    @property
    def hosts_path(self) -> str | None:
        """The path set by :meth:`set_hosts_path`."""
        return self._hosts_path

    @property
    def resolv_conf_path(self) -> str | None:
        """The path set by :meth:`set_resolv_conf_path`."""
        return self._resolv_conf_path

    def set_gateway(self, gateway: IPLike) -> None:
        """Set the default IPv4 gateway of the sandbox (seed: ``SetGateway``)."""
        self._open("gateway")
        self._gateway = parse_ip_of(4, gateway, "gateway")

    def set_gateway_ipv6(self, gateway: IPLike) -> None:
        """Set the default IPv6 gateway of the sandbox (seed: ``SetGatewayIPv6``)."""
        self._open("gateway")
        self._gateway_ipv6 = parse_ip_of(6, gateway, "gateway_ipv6")

    def set_hosts_path(self, path: str) -> None:
        """Set the overriding ``/etc/hosts`` of the container (seed: ``SetHostsPath``)."""
        self._open("hosts path")
        self._hosts_path = absolute(path, "hosts path")

    def set_resolv_conf_path(self, path: str) -> None:
        """Set the overriding ``/etc/resolv.conf`` of the container (seed: ``SetResolvConfPath``)."""
        self._open("resolv.conf path")
        self._resolv_conf_path = absolute(path, "resolv.conf path")

    def add_static_route(self, destination: PrefixLike, next_hop: IPLike | None = None) -> None:
        """Add a route to the sandbox; without a next hop, on the link (libnetwork: ``AddStaticRoute``).

        A next hop that is in no prefix of the interfaces needs such a route itself, or :meth:`add_neighbour`.
        """
        self._open("static route")
        prefix = parse_network(destination, "route destination")
        hop = None if next_hop is None else parse_ip_of(prefix.version, next_hop, "next hop")
        self._routes.append(Route(prefix, hop))

    def add_neighbour(self, ip: IPLike, mac: MACLike) -> None:
        """Add a permanent neighbour entry to the sandbox: the gateway's, say."""
        self._open("neighbour")
        self._neighbours.append(Neighbour(parse_ip(ip, "neighbour"), parse_mac(mac)))

    def _open(self, what: str) -> None:
        if self._sealed:
            raise errors.SealedError(f"{what}: can be set only during join")

    def _seal(self) -> None:
        self._sealed = True

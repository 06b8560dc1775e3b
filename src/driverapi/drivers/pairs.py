"""What the drivers have in common whose endpoints have one interface each: a veth pair, or a link on a parent."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from driverapi import errors, labels
from driverapi._native import MACPool, Taken
from driverapi.addresses import Address, format_ip, format_mac, parse_prefix
from driverapi.api import Driver, EndpointInfo, InterfaceInfo, IPAMData, Options, Origin
from driverapi.drivers.options import Rules
from driverapi.events import emit
from driverapi.plan import MAX_MTU, check_link_name
from driverapi.ports.spec import parse_ports

__all__ = ["PairDriver", "PairNetwork"]

MIN_MTU: Final = 68
"""ETH_MIN_MTU; the least that IPv4 can work with (RFC 791)."""
MIN_MTU_IPV6: Final = 1280
"""IPV6_MIN_MTU (RFC 8200, section 5): below it the kernel takes IPv6 off the link."""

_MAC: Final = "mac"  # in a network's memory
_NETWORK: Final = (labels.MTU, labels.IFACE_PREFIX, labels.INTERNAL, *labels.FIXED, *labels.GATEWAYS)
_ENDPOINT: Final = (labels.ENDPOINT_IFNAME, labels.ENDPOINT_MAC, labels.ENDPOINT_EXPOSED_PORTS)
"""What endpoints of all have; a derived class says in ``endpoint_options`` what else."""


@dataclass(frozen=True, slots=True)
class _Endpoint:
    mac: bytes | None
    name: str | None
    elsewhere: bool = False  # another host has it
    rate_in: int = 0  # bits per second
    rate_out: int = 0
    addresses: tuple[Address, ...] = ()
    ports: tuple[tuple[str, int], ...] = ()  # that it has for those which are linked to it


@dataclass(slots=True)
class PairNetwork:
    """One network.

    Attributes
    ----------
    mac : bytes
        Of what has the gateway addresses.
    mtu : int
        Bytes; 0 for the kernel's default.
    prefix : str
        What names of interfaces in sandboxes begin with.
    internal : bool
        Sandboxes get no default route.
    """

    data: tuple[IPAMData, ...]
    mac: bytes
    mtu: int
    prefix: str
    internal: bool
    macs: MACPool
    endpoints: dict[str, _Endpoint] = field(default_factory=dict)

    @property
    def gateways(self) -> tuple[Address, ...]:
        """The gateway addresses, with the prefixes."""
        return tuple(one.gateway for one in self.data if one.gateway is not None)


N = TypeVar("N", bound=PairNetwork)


class PairDriver(Driver, Generic[N]):
    """Networks and endpoints by id; a derived class says what a network is, and what joins declare.

    Thread safety: all methods.
    """

    requires_ipam = True
    rules: Rules
    endpoint_options: tuple[str, ...] = _ENDPOINT

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._networks: dict[str, N] = {}

    def config(self, options: Options) -> None:
        """Take the seed's driver options where their values are what this driver does anyway."""
        self.rules.check_configuration(options)

    def create_network(self, network_id: str, options: Options) -> None:
        """Keep what the network shall be; the plan is made of it."""
        network = self._make(options)
        with self._lock:
            if network_id in self._networks:
                raise errors.NetworkExistsError(f"network {network_id} exists already")
            self._check_beside(network)
            self._networks[network_id] = network

    def _check_beside(self, network: N) -> None:
        """Refuse a network that cannot be beside those that there are; called with the lock held."""

    @abstractmethod
    def _make(self, options: Options) -> N:
        """Make a network of its options."""

    def _common(self, options: Options, more: Iterable[str] = ()) -> PairNetwork:
        """Read what all have, and refuse what the derived class does not read (``more``) itself."""
        data: tuple[IPAMData, ...] = options.get(labels.IPAM_DATA, ())
        self.rules.check(options, (*_NETWORK, *more), {one.pool.version for one in data})
        if not data:
            raise errors.InvalidError(
                f"a {self.type()} network needs an IPv4 or an IPv6 prefix, and an IPAM that has such"
            )
        _check_gateways(options, data)
        for one in data:
            if one.pool.prefix == one.pool.bits:
                raise errors.InvalidError(
                    f"prefix {one.pool} has one address; a {self.type()} network needs one for its gateway and one "
                    f"for each endpoint: use a /{one.pool.bits - 1} or shorter"
                )
        lowest = MIN_MTU_IPV6 if any(one.pool.version == 6 for one in data) else MIN_MTU
        mtu = labels.as_int(labels.MTU, options.get(labels.MTU, 0), 0, MAX_MTU)
        if 0 < mtu < lowest:
            raise errors.InvalidError(
                f"option {labels.MTU!r}: {mtu} is too small, this network needs at least {lowest} bytes"
            )
        macs = MACPool()
        return PairNetwork(
            data=data,
            mac=_mac_before(macs, options)
            or _mac_for(macs, tuple(one.gateway for one in data if one.gateway is not None)),
            mtu=mtu,
            prefix=check_link_name(
                options.get(labels.IFACE_PREFIX, "eth"), f"option {labels.IFACE_PREFIX!r}", limit=12
            ),
            internal=labels.as_bool(labels.INTERNAL, options.get(labels.INTERNAL, False)),
            macs=macs,
        )

    def network_memory(self, network_id: str) -> Mapping[str, Any]:
        """Return the MAC address of the gateway: sandboxes have permanent neighbour entries for it."""
        return {_MAC: self._network(network_id).mac}

    def delete_network(self, network_id: str) -> None:
        """Forget the network; the dataplane takes away what it had on the host."""
        with self._lock:
            network = self._network(network_id)
            if network.endpoints:
                raise errors.BusyError(
                    f"network {network_id} has {len(network.endpoints)} endpoints; delete them first"
                )
            del self._networks[network_id]

    def create_endpoint(self, network_id: str, endpoint_id: str, info: EndpointInfo, options: Options) -> None:
        """Fill the MAC address where it is empty: 02:42 and the IPv4 address, or drawn."""
        network = self._network(network_id)
        self.rules.check(options, self.endpoint_options)
        interfaces = info.interfaces
        if len(interfaces) != 1:
            raise errors.InvalidError(
                f"a {self.type()} endpoint has one interface with its addresses given, not {len(interfaces)}"
            )
        interface = interfaces[0]
        name = options.get(labels.ENDPOINT_IFNAME)
        if name is not None:
            check_link_name(name, f"option {labels.ENDPOINT_IFNAME!r}")
        exposed = parse_ports(options.get(labels.ENDPOINT_EXPOSED_PORTS))
        ports = tuple((one.protocol, one.port) for one in [*exposed, *parse_ports(options.get(labels.PORT_MAP))])
        incoming, outgoing = (labels.as_rate(one, options.get(one, 0)) for one in (labels.RATE_IN, labels.RATE_OUT))
        with self._lock:
            if endpoint_id in network.endpoints:
                raise errors.EndpointExistsError(f"endpoint {endpoint_id} exists already")
            self._check_room(network, info)
            mac = self._take_mac(network, interface, info.origin)
            network.endpoints[endpoint_id] = _Endpoint(
                mac,
                name,
                info.origin is Origin.NOTICED,
                incoming,
                outgoing,
                tuple(interface.packed_addresses),
                ports,
            )

    def _check_room(self, network: N, info: EndpointInfo) -> None:
        """Refuse an endpoint that the network cannot have beside those that it has."""

    def _take_mac(self, network: N, interface: InterfaceInfo, origin: Origin) -> bytes | None:
        """Return the MAC address that the endpoint keeps for itself; None where it is not the driver's to give."""
        mac = interface.packed_mac
        if mac is None:
            mac = _mac_for(network.macs, interface.packed_addresses)
            if origin is not Origin.NOTICED:  # what lives elsewhere is only remembered
                interface.set_mac_address(mac)
        else:
            try:
                network.macs.reserve(mac)
            except Taken:
                raise errors.AddressTakenError(f"MAC address {format_mac(mac)} is in use on this network") from None
        return mac

    def delete_endpoint(self, network_id: str, endpoint_id: str) -> None:
        """Give the MAC address back."""
        network = self._network(network_id)
        with self._lock:
            mac = self._endpoint(network, endpoint_id).mac
            if mac is not None:
                network.macs.release(mac)
            del network.endpoints[endpoint_id]

    def endpoint_oper_info(self, network_id: str, endpoint_id: str) -> Mapping[str, Any]:
        """Return the MAC address under its label, where it is the endpoint's own."""
        mac = self._endpoint(self._network(network_id), endpoint_id).mac
        return {} if mac is None else {labels.ENDPOINT_MAC: format_mac(mac)}

    def leave(self, network_id: str, endpoint_id: str) -> None:
        """Check that the endpoint is known; the dataplane takes the pair away."""
        self._endpoint(self._network(network_id), endpoint_id)

    def _network(self, network_id: str) -> N:
        try:
            return self._networks[network_id]
        except KeyError:
            raise errors.NoNetworkError(f"the {self.type()} driver has no network {network_id}") from None

    @staticmethod
    def _endpoint(network: PairNetwork, endpoint_id: str) -> _Endpoint:
        try:
            return network.endpoints[endpoint_id]
        except KeyError:
            raise errors.NoEndpointError(f"the network has no endpoint {endpoint_id}") from None


def _check_gateways(options: Options, data: Sequence[IPAMData]) -> None:
    """Refuse a gateway in the options that the network does not have: who made it did not read them, an engine say."""
    for name, version in {labels.ADDRESS: 4, **labels.GATEWAYS}.items():
        given = options.get(name)
        if given in (None, ""):
            continue
        ip = parse_prefix(given, f"option {name!r}").ip
        if ip not in [one.gateway.ip for one in data if one.gateway is not None]:
            raise errors.InvalidError(
                f"option {name!r}: {format_ip(ip)} is not the network's gateway of IPv{version}; "
                "leave it out, and give the gateway with the prefix"
            )


def _mac_before(macs: MACPool, options: Options) -> bytes | None:
    """Return the MAC that the network had before a restart."""
    mac: bytes | None = options.get(labels.MEMORY, {}).get(_MAC)
    if mac is not None:
        macs.reserve(mac)
    return mac


def _mac_for(macs: MACPool, addresses: tuple[Address, ...]) -> bytes:
    """Derive a MAC from the IPv4 address, as libnetwork does, or draw one."""
    for address in addresses:
        if address.version == 4:
            try:
                return macs.derive(address.ip)
            except Taken:  # by a MAC that a user chose
                emit("driver.mac_drawn", address=format_ip(address.ip))
    return macs.allocate_packed()

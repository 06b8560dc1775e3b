"""A state as it is read, while another process may be at work on it: typed, and nothing is made or changed.

What it gives is what was last written: a thing whose state ends in -ing is on its way, or was when its process ended.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from driverapi import errors
from driverapi.addresses import Address, format_ip, format_mac
from driverapi.hints import there_are
from driverapi.plan import PortMap
from driverapi.store.contract import Kind, Record, State
from driverapi.store.data import (
    EndpointData,
    EndpointMade,
    InterfaceData,
    NetworkData,
    NetworkMade,
    SandboxData,
    decode,
)
from driverapi.store.pools import PoolView, pools_of
from driverapi.store.sqlite import SqliteStore

__all__ = ["EndpointView", "InterfaceView", "NetworkView", "SandboxView", "StateView", "view"]


@dataclass(frozen=True, slots=True)
class InterfaceView:
    """One interface of an endpoint: id, MAC address, addresses with their prefix lengths; None where it has none."""

    id: int
    mac_address: str | None
    address: str | None
    address_ipv6: str | None


@dataclass(frozen=True, slots=True)
class EndpointView:
    """An endpoint.

    Attributes
    ----------
    state : str
        How far it has come: a value of :class:`driverapi.store.contract.State`.
    sandbox : str or None
        Name of the sandbox that it has joined, is joining or is leaving.
    realised : object
        What the dataplane made, in its own form.
    ports : tuple of str
        Published ports, as ``0.0.0.0:8080->10.77.0.2:80/tcp``.
    """

    name: str
    id: str
    network: str
    state: str
    origin: str
    sandbox: str | None
    interfaces: tuple[InterfaceView, ...]
    options: dict[str, Any]
    realised: Any = field(default=None, repr=False)
    ports: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return it as plain data, with stable keys."""
        found = asdict(self)
        del found["realised"]
        return {**found, "interfaces": list(found["interfaces"]), "ports": list(self.ports)}


@dataclass(frozen=True, slots=True)
class NetworkView:
    """A network; its endpoints by name, prefixes and gateways as text or None.

    Attributes
    ----------
    ipam, ipam_options, space : str, mapping, str
        Who gives its addresses, what only that understands, and the address space.
    ip_range, aux_addresses : tuple of str
        Parts of the prefixes that addresses are given from; addresses that nobody may have.
    serial : bool
        Whether the next address is given, and not the lowest.
    """

    name: str
    id: str
    driver: str
    state: str
    ipv4: str | None
    ipv6: str | None
    gateway: str | None
    gateway_ipv6: str | None
    options: dict[str, Any]
    ipam: str
    ipam_options: dict[str, Any]
    space: str
    ip_range: tuple[str, ...]
    aux_addresses: tuple[str, ...]
    serial: bool
    endpoints: tuple[EndpointView, ...]
    realised: Any = field(default=None, repr=False)

    def endpoint(self, name: str) -> EndpointView:
        """Return the endpoint of a name or an id, or raise ``NoEndpointError``."""
        for endpoint in self.endpoints:
            if name in (endpoint.name, endpoint.id):
                return endpoint
        there = there_are(one.name for one in self.endpoints)
        raise errors.NoEndpointError(f"network {self.name!r} has no endpoint {name!r}; {there}")

    def document(self) -> dict[str, Any]:
        """Return it as plain data, with stable keys."""
        found = {name: getattr(self, name) for name in self.__slots__ if name not in ("realised", "endpoints")}
        return {**found, "endpoints": [one.name for one in self.endpoints]}


@dataclass(frozen=True, slots=True)
class SandboxView:
    """A sandbox.

    Attributes
    ----------
    key : str
        Path of its namespace.
    ownership : str
        ``owned``, ``existing`` or another value of ``Ownership``.
    endpoints : tuple of str
        What has joined it, as ``NETWORK/ENDPOINT``.
    hosts_path, resolv_conf_path : str or None
        Its files, if it is served with any.
    """

    name: str
    key: str
    ownership: str
    endpoints: tuple[str, ...]
    hosts_path: str | None = None
    resolv_conf_path: str | None = None

    def document(self) -> dict[str, Any]:
        """Return it as plain data, with stable keys."""
        return {**asdict(self), "endpoints": list(self.endpoints)}


@dataclass(frozen=True, slots=True)
class StateView:
    """All of a state at one moment.

    Attributes
    ----------
    networks, sandboxes : tuple
        By name.
    strays : tuple of str
        Ids of endpoints whose network is not there.
    instance, run_dir : str or None
        Whose links and namespaces these are.
    opened, closed : str or None
        Mark of the controller that was at work last, and of the last one that ended as it should.
    pools : tuple
        The address pools, in the order of the networks.
    """

    path: Path
    networks: tuple[NetworkView, ...] = ()
    sandboxes: tuple[SandboxView, ...] = ()
    strays: tuple[str, ...] = ()
    instance: str | None = None
    run_dir: str | None = None
    opened: str | None = None
    closed: str | None = None
    pools: tuple[PoolView, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether the last controller ended as it should."""
        return self.opened == self.closed

    def network(self, name: str) -> NetworkView:
        """Return the network of a name or an id, or raise ``NoNetworkError``."""
        for network in self.networks:
            if name in (network.name, network.id):
                return network
        there = there_are(one.name for one in self.networks)
        raise errors.NoNetworkError(f"no network {name!r} in {self.path}; {there}")

    def sandbox(self, name: str) -> SandboxView:
        """Return the sandbox of a name, or raise ``NoSandboxError``."""
        for sandbox in self.sandboxes:
            if name == sandbox.name:
                return sandbox
        there = there_are(one.name for one in self.sandboxes)
        raise errors.NoSandboxError(f"no sandbox {name!r} in {self.path}; {there}")


def view(path: str | os.PathLike[str]) -> StateView:
    """Read a state; no lock is needed, whoever is at work on it.

    Raises
    ------
    errors.StateError, errors.StateDamagedError, errors.UnsafePathError
        There is none, it cannot be read, or is damaged; others can change it.
    """
    store = SqliteStore(path, reading=True)
    try:
        facts = {name: store.fact(name) for name in ("opened", "closed", "instance", "run_dir")}
        records = store.records()
    finally:
        store.close()
    networks, endpoints, strays = _read(records)
    inside: dict[str, list[str]] = {}
    for one in endpoints:
        if one.sandbox is not None:
            inside.setdefault(one.sandbox, []).append(f"{one.network}/{one.name}")
    sandboxes = []
    for record in records:
        if record.kind is Kind.SANDBOX:
            data = decode(record.data, SandboxData)
            joined = tuple(sorted(inside.get(data.name, ())))
            files = () if data.files is None else _files_of(facts, data.files[0])
            sandboxes.append(SandboxView(data.name, data.key, data.ownership, joined, *files))
    return StateView(
        store.path,
        tuple(networks),
        tuple(sorted(sandboxes, key=lambda one: one.name)),
        tuple(strays),
        **facts,
        pools=tuple(pools_of(records)),
    )


def _files_of(facts: dict[str, str | None], id: str) -> tuple[str, ...]:
    """Return the paths of a sandbox's files (:mod:`driverapi.services.files`)."""
    directory = f"{facts['run_dir']}/{facts['instance']}/files/{id}"
    return f"{directory}/hosts", f"{directory}/resolv.conf"


def _read(records: Iterable[Record]) -> tuple[list[NetworkView], list[EndpointView], list[str]]:
    of: dict[str, list[EndpointView]] = {}
    names = {one.id: decode(one.data, NetworkData) for one in records if one.kind is Kind.NETWORK}
    endpoints, strays = [], []
    for record in records:
        if record.kind is not Kind.ENDPOINT or record.state is State.RESTING:
            continue
        if record.network not in names or record.data is None:
            strays.append(record.id)
            continue
        endpoint = _endpoint(record, names[record.network].name)
        endpoints.append(endpoint)
        of.setdefault(record.network, []).append(endpoint)
    networks = [
        _network(record, names[record.id], sorted(of.get(record.id, ()), key=lambda one: one.name))
        for record in records
        if record.kind is Kind.NETWORK
    ]
    return sorted(networks, key=lambda one: one.name), endpoints, strays


def _endpoint(record: Record, network: str) -> EndpointView:
    data = decode(record.data, EndpointData)
    outside = record.state in (State.CREATING, State.CREATED)
    made = decode(record.made, EndpointMade) if record.made and not outside else None
    return EndpointView(
        data.name,
        record.id,
        network,
        record.state.value,
        data.origin,
        None if made is None else made.sandbox,
        tuple(_interface(one) for one in data.interfaces),
        data.options,
        None if made is None else made.realised,
        tuple(str(PortMap(one.protocol, one.host, one.host_port, one.ip, one.port)) for one in data.ports),
    )


def _interface(one: InterfaceData) -> InterfaceView:
    return InterfaceView(
        one.id,
        None if one.mac is None else format_mac(one.mac),
        None if one.ipv4 is None else str(Address(one.ipv4, one.ipv4_length)),
        None if one.ipv6 is None else str(Address(one.ipv6, one.ipv6_length)),
    )


def _network(record: Record, data: NetworkData, endpoints: list[EndpointView]) -> NetworkView:
    of = {len(one.ip): one for one in data.prefixes}
    prefixes = {length: str(Address(one.ip, one.length)) for length, one in of.items()}
    gateways = {length: format_ip(one.gateway) for length, one in of.items() if one.gateway is not None}
    made = decode(record.made, NetworkMade) if record.made else None
    return NetworkView(
        data.name,
        record.id,
        data.type,
        record.state.value,
        prefixes.get(4),
        prefixes.get(16),
        gateways.get(4),
        gateways.get(16),
        data.options,
        data.ipam,
        data.ipam_options,
        data.space,
        tuple(str(Address(*one.within)) for one in data.prefixes if one.within is not None),
        tuple(format_ip(ip) for one in data.prefixes for ip in one.exclude),
        any(one.serial for one in data.prefixes),
        tuple(endpoints),
        None if made is None else made.realised,
    )

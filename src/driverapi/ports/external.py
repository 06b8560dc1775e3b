"""Ports that a driver publishes itself, while their endpoint is in a sandbox: Docker plugins do.

What is wanted stands among the options of the endpoint, as an engine writes it (``com.docker.network.portmap``), and so
outlives the process. What is published is what the driver said when it was asked, after the join.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, runtime_checkable

from driverapi import errors, labels
from driverapi.addresses import format_ip
from driverapi.api import Driver, Options
from driverapi.lifecycle.asking import ask
from driverapi.lifecycle.knowing import KnowsAgain
from driverapi.lifecycle.records import EndpointRecord
from driverapi.plan import PROTOCOLS, PortMap
from driverapi.ports.spec import PortSpec, parse_ports
from driverapi.store.contract import State

__all__ = ["ProgramsExternal", "add", "bindings_of", "program", "programs", "put", "take_out", "with_ports"]

_ANY: Final = {4: bytes(4), 6: bytes(16)}


@runtime_checkable
class ProgramsExternal(Protocol):
    """A driver that publishes ports, and lets endpoints be reached, by itself (libnetwork: ``ExtConner``). Optional.

    What it has programmed for an endpoint it revokes in ``leave``.
    """

    def program_external_connectivity(
        self, network_id: str, endpoint_id: str, options: Options
    ) -> Sequence[PortMap] | None:
        """Publish the ports that the options say, now that the endpoint's links are in its sandbox.

        Returns
        -------
        sequence of PortMap or None
            What is published; None: it is what was asked for.
        """

    def revoke_external_connectivity(self, network_id: str, endpoint_id: str) -> None:
        """Take that back."""


def programs(driver: Driver) -> bool:
    """Tell whether a driver is one: quicker than to ask the protocol."""
    return hasattr(driver, "program_external_connectivity")


def bindings_of(specs: Sequence[PortSpec]) -> list[dict[str, Any]]:
    """Return ports as an engine writes them (libnetwork: ``types.PortBinding``)."""
    return [
        {
            "Proto": PROTOCOLS[one.protocol],
            "IP": "",
            "Port": one.port,
            "HostIP": "" if one.host is None else format_ip(one.host),
            "HostPort": one.host_port,
            "HostPortEnd": one.host_port_end,
        }
        for one in specs
    ]


def with_ports(options: Mapping[str, Any], specs: Sequence[PortSpec]) -> dict[str, Any]:
    """Return options that say these ports, and no others."""
    rest = {name: value for name, value in options.items() if name != labels.PORT_MAP}
    return {**rest, labels.PORT_MAP: bindings_of(specs)} if specs else rest


def program(record: EndpointRecord) -> None:
    """Have the driver of an endpoint that has joined publish its ports; what is published is in the record then."""
    driver: Any = record.network.driver
    told = ask(
        driver,
        lambda: driver.program_external_connectivity(record.network.id, record.id, record.options),
        record.what,
    )
    record.ports = dict.fromkeys(_asked_for(record) if told is None else told)


def add(record: EndpointRecord, specs: Sequence[PortSpec]) -> list[PortMap]:
    """Want further ports of an endpoint, and publish them if it is in a sandbox; return those that are."""
    before = set(record.ports)
    _change(record, [*_wanted(record), *specs])
    return [one for one in record.ports if one not in before]


def take_out(record: EndpointRecord, specs: Sequence[PortSpec]) -> None:
    """Want some ports of an endpoint no more; where none is named, none of them.

    Raises
    ------
    errors.NotFoundError
        One is not wanted; all are as before.
    """
    wanted = _wanted(record)
    rest = list(wanted) if specs else []
    for spec in specs:
        meant = [one for one in wanted if _is_meant(record, spec, one)]
        if not meant:
            raise errors.NotFoundError(f"{record.what} has not published port {spec}")
        rest = [one for one in rest if one not in meant]
    if wanted:
        _change(record, rest)


def put(record: EndpointRecord, ports: Any) -> None:
    """Want these ports of an endpoint, as its options say them, and no others."""
    _change(record, parse_ports(ports))


def _wanted(record: EndpointRecord) -> list[PortSpec]:
    return parse_ports(record.options.get(labels.PORT_MAP))


def _change(record: EndpointRecord, specs: Sequence[PortSpec]) -> None:
    """Have the driver publish these ports in the place of those that it does; if it refuses, as before."""
    before, published = record.options, record.ports
    _want(record, with_ports(before, specs))
    if record.state is not State.JOINED:
        return
    driver: Any = record.network.driver
    try:
        if published:
            ask(driver, lambda: driver.revoke_external_connectivity(record.network.id, record.id), record.what)
            record.ports = {}
        program(record)
    except BaseException as error:
        _want(record, before)
        if published and not record.ports:
            try:
                program(record)
            except errors.DriverAPIError as fault:
                error.add_note(f"while undoing: {fault}")
        raise


def _want(record: EndpointRecord, options: Options) -> None:
    record.options = options
    driver = record.network.driver
    if isinstance(driver, KnowsAgain):
        driver.know_endpoint(record.network.id, record.id, record.info, options)


def _asked_for(record: EndpointRecord) -> list[PortMap]:
    """Return what is published of which no more is known than that it was asked for: ports that are certain."""
    addresses = [one for info in record.info.interfaces for one in info.packed_addresses]
    return [
        PortMap(spec.protocol, spec.host or _ANY[one.version], spec.host_port, one.ip, spec.port)
        for spec in _wanted(record)
        if spec.host_port and spec.host_port == spec.host_port_end
        for one in addresses
        if spec.host is None or len(spec.host) == len(one.ip)
    ]


def _is_meant(record: EndpointRecord, named: PortSpec, wanted: PortSpec) -> bool:
    if (named.protocol, named.port) != (wanted.protocol, wanted.port):
        return False
    if named.host and any(named.host) and named.host != wanted.host:
        return False
    if not named.host_port or named.host_port == wanted.host_port:
        return True
    got = {(one.protocol, one.port, one.host_port) for one in record.ports}  # of a range, or of one that was chosen
    within = not wanted.host_port or wanted.host_port <= named.host_port <= wanted.host_port_end
    return within and (named.protocol, named.port, named.host_port) in got

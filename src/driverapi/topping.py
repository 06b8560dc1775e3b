"""What ``driverapi top`` shows: a state, and the counters of its links, at one moment and between two.

Nothing is asked of the process that is at work on the state: it is read as it was last written, and the counters come
by one dump of the links of the network namespace that this runs in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, astuple, dataclass
from typing import Any

from driverapi import errors
from driverapi._native import NetlinkSocket
from driverapi.counters import InterfaceStatistics
from driverapi.store.view import EndpointView, StateView

__all__ = ["EndpointRow", "NetworkRow", "Sample", "Top", "compare", "link_counters", "sample", "total"]


def link_counters() -> dict[tuple[int, str], InterfaceStatistics]:
    """Return the counters of all links of this namespace by number and name, each as its other end sees it.

    Raises
    ------
    errors.KernelError
        The kernel refused.
    """
    try:
        with NetlinkSocket() as socket:
            links = socket.dump_links()
    except OSError as error:  # NetlinkError is one
        raise errors.KernelError(f"read the links' counters: {error.strerror or error}", error.errno or 0) from error
    return {(one.index, one.name): InterfaceStatistics.of_peer(one.stats64) for one in links if one.stats64}


def total(counted: Iterable[InterfaceStatistics]) -> InterfaceStatistics:
    """Return all together."""
    values = [astuple(one) for one in counted]
    return InterfaceStatistics(*map(sum, zip(*values, strict=True))) if values else InterfaceStatistics()


@dataclass(frozen=True, slots=True)
class Sample:
    """A state and the counters of its endpoints' links, at one moment.

    Attributes
    ----------
    at : float
        Seconds of a clock that only goes forward.
    counters : mapping
        By the endpoint's id; an endpoint that has no end on the host is not in it.
    """

    at: float
    seen: StateView
    counters: Mapping[str, InterfaceStatistics]


@dataclass(frozen=True, slots=True)
class EndpointRow:
    """An endpoint.

    Attributes
    ----------
    counters : InterfaceStatistics or None
        Of all its interfaces together, as the sandbox sees them; None where it has no end on the host here.
    rx_rate, tx_rate : float or None
        Bytes a second between the two looks; None of what was not there at the first.
    """

    network: str
    name: str
    id: str
    state: str
    sandbox: str | None
    address: str | None
    counters: InterfaceStatistics | None
    rx_rate: float | None = None
    tx_rate: float | None = None


@dataclass(frozen=True, slots=True)
class NetworkRow:
    """A network: its endpoints counted, what went over their links together, and how full its pools are."""

    name: str
    driver: str
    state: str
    endpoints: int
    joined: int
    counters: InterfaceStatistics
    rx_rate: float | None
    tx_rate: float | None
    pools: tuple[tuple[str, int, int, float], ...]  # id, taken, size, part of it


@dataclass(frozen=True, slots=True)
class Top:
    """What is shown.

    Attributes
    ----------
    seconds : float or None
        Between the two looks that the rates are of.
    """

    path: str
    seconds: float | None
    networks: tuple[NetworkRow, ...] = ()
    endpoints: tuple[EndpointRow, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return it as plain data, with stable keys."""
        found = asdict(self)
        for network in found["networks"]:
            keys = ("id", "taken", "size", "utilisation")
            network["pools"] = [dict(zip(keys, pool, strict=True)) for pool in network["pools"]]
        return {**found, "networks": list(found["networks"]), "endpoints": list(found["endpoints"])}


def sample(read: Callable[[], StateView]) -> Sample:
    """Take a look."""
    seen, links = read(), link_counters()
    at = time.monotonic()
    found = {}
    for network in seen.networks:
        for endpoint in network.endpoints:
            ends = [links[end] for end in _ends(endpoint) if end in links]
            if ends:
                found[endpoint.id] = total(ends)
    return Sample(at, seen, found)


def _ends(endpoint: EndpointView) -> list[tuple[int, str]]:
    """Return number and name of an endpoint's ends on the host, as the Linux dataplane keeps them."""
    try:
        _, _, interfaces = endpoint.realised
        return [(host_index, host_name) for _, _, host_name, host_index, *_ in interfaces]
    except (TypeError, ValueError):  # nothing is realised, or by another dataplane
        return []


def compare(before: Sample | None, now: Sample) -> Top:
    """Return what is to be shown: rates are those between the two looks."""
    seconds = None if before is None else max(now.at - before.at, 1e-9)
    used: dict[str, list[tuple[str, int, int, float]]] = {}
    for pool in now.seen.pools:
        used.setdefault(pool.network, []).append((pool.id, pool.taken, pool.size, pool.utilisation))
    networks, endpoints = [], []
    for network in now.seen.networks:
        rows = [_row(one, before, now, seconds) for one in network.endpoints]
        endpoints += rows
        rates = [(row.rx_rate, row.tx_rate) for row in rows if row.rx_rate is not None and row.tx_rate is not None]
        networks.append(
            NetworkRow(
                network.name,
                network.driver,
                network.state,
                len(rows),
                sum(row.state == "joined" for row in rows),
                total(row.counters for row in rows if row.counters is not None),
                None if seconds is None else sum(rx for rx, _ in rates),
                None if seconds is None else sum(tx for _, tx in rates),
                tuple(used.get(network.name, ())),
            )
        )
    return Top(str(now.seen.path), seconds, tuple(networks), tuple(endpoints))


def _row(one: EndpointView, before: Sample | None, now: Sample, seconds: float | None) -> EndpointRow:
    counters = now.counters.get(one.id)
    first = one.interfaces[0] if one.interfaces else None
    address = None if first is None else first.address or first.address_ipv6
    rates: tuple[float | None, float | None] = None, None
    earlier = None if before is None else before.counters.get(one.id)
    if counters is not None and earlier is not None and seconds is not None:
        # A link that was made anew in between counts from nothing.
        rates = (
            max(0, counters.rx_bytes - earlier.rx_bytes) / seconds,
            max(0, counters.tx_bytes - earlier.tx_bytes) / seconds,
        )
    return EndpointRow(one.network, one.name, one.id, one.state, one.sandbox, address, counters, *rates)

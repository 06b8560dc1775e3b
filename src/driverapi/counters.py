"""What went through the interfaces of endpoints, as the kernel counts it (libnetwork: ``InterfaceStatistics``)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, final

from driverapi import errors
from driverapi.dataplane.contract import Counts

if TYPE_CHECKING:
    from driverapi.controller import Controller
    from driverapi.endpoint import Endpoint

__all__ = ["InterfaceStatistics", "statistics_of", "statistics_of_many"]

# include/uapi/linux/if_link.h: struct rtnl_link_stats64 { __u64 rx_packets; __u64 tx_packets; __u64 rx_bytes;
#     __u64 tx_bytes; __u64 rx_errors; __u64 tx_errors; __u64 rx_dropped; __u64 tx_dropped; … }
_STATS64: Final = struct.Struct("=8Q")


@final
@dataclass(frozen=True, slots=True)
class InterfaceStatistics:
    """Counters of one interface, as its sandbox sees it, since it was made: what came in is ``rx``.

    Attributes
    ----------
    rx_bytes, tx_bytes : int
        With the Ethernet headers.
    rx_packets, tx_packets : int
    rx_errors, tx_errors : int
    rx_dropped, tx_dropped : int
        Of what was dropped by the interface itself.
    """

    rx_bytes: int = 0
    rx_packets: int = 0
    rx_errors: int = 0
    rx_dropped: int = 0
    tx_bytes: int = 0
    tx_packets: int = 0
    tx_errors: int = 0
    tx_dropped: int = 0

    @classmethod
    def of(cls, stats64: bytes) -> Self:
        """Read ``struct rtnl_link_stats64``."""
        rx_packets, tx_packets, rx_bytes, tx_bytes, rx_errors, tx_errors, rx_dropped, tx_dropped = _STATS64.unpack_from(
            stats64
        )
        return cls(rx_bytes, rx_packets, rx_errors, rx_dropped, tx_bytes, tx_packets, tx_errors, tx_dropped)

    @classmethod
    def of_peer(cls, stats64: bytes) -> Self:
        """Read that of the other end of a pair: what came in there went out here."""
        rx_packets, tx_packets, rx_bytes, tx_bytes, rx_errors, tx_errors, rx_dropped, tx_dropped = _STATS64.unpack_from(
            stats64
        )
        return cls(tx_bytes, tx_packets, tx_errors, tx_dropped, rx_bytes, rx_packets, rx_errors, rx_dropped)


def statistics_of(controller: Controller, endpoint: Endpoint) -> dict[str, InterfaceStatistics]:
    """Return the counters of an endpoint that has joined a sandbox, by names of interfaces.

    Raises
    ------
    errors.NotJoinedError
        It has not.
    errors.KernelError, errors.NotFoundError
        The kernel refused; an interface is gone.
    errors.NotImplementedYetError
        The dataplane does not count.
    """
    realised = controller._lifecycle.endpoint(endpoint.id).realised
    if realised is None:
        raise errors.NotJoinedError(f"endpoint {endpoint.name!r} has not joined a sandbox")
    [answer] = _ask(controller, [realised], inside=True)
    if isinstance(answer, Exception):
        raise answer
    return _named(realised, answer)


def statistics_of_many(
    controller: Controller, endpoints: Iterable[Endpoint]
) -> list[tuple[Endpoint, dict[str, InterfaceStatistics]]]:
    """Return the counters of those endpoints that have interfaces now, of all in one look at the host's links."""
    records = controller._lifecycle._endpoints
    having = [
        (endpoint, record.realised)
        for endpoint in endpoints
        if (record := records.get(endpoint.id)) is not None and record.realised is not None
    ]
    answers = _ask(controller, [realised for _, realised in having], inside=False)
    return [
        (endpoint, _named(realised, answer))
        for (endpoint, realised), answer in zip(having, answers, strict=True)
        if not isinstance(answer, Exception)
    ]


def _ask(controller: Controller, realised: Sequence[Any], *, inside: bool) -> list[Any]:
    dataplane = controller._dataplane
    if not isinstance(dataplane, Counts):
        raise errors.NotImplementedYetError(f"dataplane {dataplane!r} has no counters of interfaces")
    return dataplane.counters(realised, inside=inside)


def _named(realised: Any, counted: dict[int, InterfaceStatistics]) -> dict[str, InterfaceStatistics]:
    names = realised.names
    return {names[id]: one for id, one in counted.items() if id in names}

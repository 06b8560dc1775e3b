"""What the lifecycle writes into the store: a record for each change, with all that is needed to know a thing again.

Intents and outcomes are as in :class:`driverapi.store.contract.State`. What a caller will not be told of, because
its call goes on, is not written: an endpoint that is created and then joined goes from ``CREATING`` to ``JOINED``,
one that leaves and is deleted from ``DELETING`` to nothing.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, final

from driverapi.lifecycle.knowing import KnowsAgain
from driverapi.store.contract import Kind, Record, State

if TYPE_CHECKING:
    from driverapi.dataplane.contract import Dataplane
    from driverapi.lifecycle.records import EndpointRecord, NetworkRecord

__all__ = ["Notes"]


@final
class Notes:
    """Makes records of networks and endpoints.

    Parameters
    ----------
    keeps : bool
        Whether the store outlives the process: if not, there is no more in a record than who and how far.
    quarantine : float
        Seconds for which the addresses of an endpoint that is gone are not given again: so long its record stays.

    Notes
    -----
    Thread safety: all methods, for different things.
    """

    def __init__(self, dataplane: Dataplane, *, keeps: bool, quarantine: float = 0.0) -> None:
        self._dataplane: Any = dataplane
        self._keeps = keeps
        self._quarantine = quarantine
        self._lock = threading.Lock()
        self._resting: dict[str, deque[tuple[float, str]]] = {}  # by network: until when, and the endpoint's id
        if keeps:  # imported late: who keeps no state needs no encoder
            from driverapi.store import data

            self._data = data

    def network(self, record: NetworkRecord) -> bytes:
        """Return what there is of a network in the kernel and with its driver."""
        if not self._keeps:
            return b""
        return self._data.encode(self._data.NetworkMade(dict(record.memory), self._dataplane.kept_network(record.id)))

    def grown(self, network: NetworkRecord) -> Record | None:
        """Return the record of a network if there is more of it in the kernel than was written: further bridges."""
        if not self._keeps or not network.ready:
            return None
        made = self.network(network)
        if made == network.kept:
            return None
        network.kept = made
        return Record(network.id, network.id, State.CREATED, kind=Kind.NETWORK, made=made)

    def endpoint(self, record: EndpointRecord, state: State) -> Record | None:
        """Return what is to be written of a change, or None."""
        if (record.fresh and state in (State.CREATED, State.JOINING)) or (record.ending and state is State.CREATED):
            return None
        if record.ending and state is State.LEAVING:
            state = State.DELETING
        elif record.ending and state is State.DELETING:
            return None
        if state is State.JOINED and record.warm:
            state = State.WARM
        key = record.key
        if not self._keeps or state not in (State.CREATED, State.JOINED, State.WARM):
            return Record(record.id, record.network.id, state, key)
        return Record(record.id, record.network.id, state, key, Kind.ENDPOINT, self._what(record), self._made(record))

    def gone(self, records: Sequence[EndpointRecord]) -> tuple[list[Record], list[str]]:
        """Return what is to be written of endpoints that are gone, and the ids of what is to be removed."""
        if not self._keeps or not self._quarantine:
            return [], [record.id for record in records]
        now = time.time()
        made = self._data.encode(self._data.RestingMade(now))
        written, over = [], []
        with self._lock:
            for record in records:
                if not len(record.info._rows):
                    over.append(record.id)
                    continue
                written.append(
                    Record(record.id, record.network.id, State.RESTING, "", Kind.ENDPOINT, self._what(record), made)
                )
                self._resting.setdefault(record.network.id, deque()).append((now + self._quarantine, record.id))
            for network in {record.network.id for record in records}:
                resting = self._resting.get(network, ())
                while resting and not now < resting[0][0] <= now + self._quarantine:  # or the clock was set back
                    over.append(resting.popleft()[1])
        return written, over

    def rest(self, network: str, endpoint: str, at: float) -> bool:
        """Take note of an endpoint that an earlier process let rest; tell whether its addresses must yet."""
        until = at + self._quarantine
        if not self._keeps or not time.time() < until <= time.time() + self._quarantine:
            return False
        with self._lock:
            self._resting.setdefault(network, deque()).append((until, endpoint))
        return True

    def network_gone(self, network: str) -> list[str]:
        """Return the ids of all that is to be removed with a network."""
        with self._lock:
            return [network, *(id for _, id in self._resting.pop(network, ()))]

    def _what(self, record: EndpointRecord) -> bytes:
        rows = record.info._rows
        return self._data.encode(
            self._data.EndpointData(
                record.name,
                record.info.origin.value,
                [
                    self._data.InterfaceData(
                        rows.id(row),
                        rows.mac(row),
                        rows.ipv4(row),
                        rows.ipv4_prefix(row),
                        rows.ipv6(row),
                        rows.ipv6_prefix(row),
                    )
                    for row in range(len(rows))
                ],
                dict(record.options),
                [self._data.PortData(one.protocol, one.host, one.host_port, one.ip, one.port) for one in record.ports],
            )
        )

    def _made(self, record: EndpointRecord) -> bytes:
        if record.realised is None:
            return b""
        driver = record.network.driver
        memory = driver.join_memory(record.network.id, record.id) if isinstance(driver, KnowsAgain) else {}
        return self._data.encode(
            self._data.EndpointMade(
                record.place, dict(record.join_options), self._dataplane.kept(record.realised), dict(memory)
            )
        )

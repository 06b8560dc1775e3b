"""Who is told of what happens: the streams of one controller, and what listens to the kernel while there are any."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, final, runtime_checkable

from driverapi.addresses import format_ip, format_mac
from driverapi.plan import ParentLink
from driverapi.store.contract import State
from driverapi.streams.stream import (
    AddressConflict,
    EndpointDown,
    EndpointUp,
    LinkBack,
    LinkLost,
    PoolNearlyFull,
    PoolRelieved,
    Stream,
    StreamEvent,
)

if TYPE_CHECKING:
    from driverapi.controller import Controller
    from driverapi.endpoint import Endpoint
    from driverapi.network import Network

__all__ = ["HostLink", "Hub", "Listens", "Monitor"]

NEARLY_FULL: Final = 0.9
RELIEVED: Final = 0.8
REMEMBERED: Final = 4096
"""Links that were deleted lately, by name and number: of an endpoint that is not known yet, say."""

AGAIN: Final = 60.0
"""Seconds after which a conflict that goes on is told again."""


@dataclass(frozen=True, slots=True)
class HostLink:
    """An endpoint's end on the host.

    Attributes
    ----------
    index, name : int, str
        Its number and name.
    bridge, master : int
        The bridge that it has a port of, and the network's first; 0 where there is none.
    """

    index: int
    name: str
    bridge: int = 0
    master: int = 0


class Monitor(Protocol):
    """What listens to the kernel."""

    def close(self) -> None:
        """End it; it tells nothing more."""


@runtime_checkable
class Listens(Protocol):
    """A dataplane that can tell what happens to links. It calls a :class:`Hub` back, from a thread of its own."""

    def listen(self, hub: Hub) -> Monitor:
        """Begin."""

    def host_links(self, realised: Any) -> list[HostLink]:
        """Return the ends on the host of what was made for an endpoint."""


@dataclass(eq=False, slots=True)
class _Watched:
    """A link on the host, and whose it is."""

    endpoint: Endpoint
    name: str
    index: int
    sandbox: str
    place: int  # where its broadcasts arrive: the network's first bridge, or itself
    bridge: int = 0  # that it has a port of
    lost: bool = False
    cut: bool = False  # lost with its bridge: its carrier says nothing any more


@final
class Hub:
    """The streams of one controller.

    Attributes
    ----------
    active : bool
        Whether anybody reads; all others ask this first.

    Notes
    -----
    Thread safety: all methods.
    """

    def __init__(self, controller: Controller) -> None:
        self.active = False
        self._controller = controller
        self._lock = threading.RLock()
        self._streams: tuple[Stream, ...] = ()
        self._monitor: Monitor | None = None
        self._links: dict[int, _Watched] = {}  # by number
        self._of: dict[str, list[_Watched]] = {}  # by endpoint
        self._owners: dict[bytes, list[_Watched]] = {}  # by address
        self._places: dict[int, int] = {}  # of bridges and host ends: the place of all links there
        self._bridges: set[int] = set()
        self._gateways: dict[int, dict[bytes, tuple[str, bytes]]] = {}  # by place and address: network, MAC
        self._deleted: OrderedDict[tuple[int, str], None] = OrderedDict()
        self._full: set[tuple[str, int]] = set()  # network id and IP version of pools that were told to be nearly full
        self._told: OrderedDict[tuple[str, str, str], float] = OrderedDict()  # conflicts, and when

    # --- readers ----------------------------------------------------------------------------------

    def subscribe(self, size: int) -> Stream:
        """Make a stream; the first has the kernel listened to."""
        stream = Stream(self._controller._gate, size, self._unsubscribe)
        with self._lock:
            self._streams += (stream,)
            try:
                if self._monitor is None:
                    self._begin()
            except BaseException:
                self._streams = tuple(one for one in self._streams if one is not stream)
                self.active = bool(self._streams)
                raise
        return stream

    def _begin(self) -> None:
        self.active = True  # first: an endpoint that comes up meanwhile is noted by who brings it up
        for network in self._controller.networks:
            for endpoint in network.endpoints:
                if endpoint.sandbox is not None:
                    self._note_links(endpoint)
            self._look_at_pools(network, tell=False)
        plane: Any = self._controller._dataplane
        if isinstance(plane, Listens):
            self._monitor = plane.listen(self)

    def _unsubscribe(self, stream: Stream) -> None:
        monitor = None
        with self._lock:
            self._streams = tuple(one for one in self._streams if one is not stream)
            if not self._streams:
                self.active = False
                monitor, self._monitor = self._monitor, None
                for table in (self._links, self._of, self._owners, self._places, self._gateways):
                    table.clear()
                self._bridges.clear()
                self._deleted.clear()
                self._full.clear()
                self._told.clear()
        if monitor is not None:
            monitor.close()

    def close(self) -> None:
        """End all streams."""
        for stream in self._streams:
            stream.close()

    def publish(self, event: StreamEvent) -> None:
        """Tell all readers."""
        for stream in self._streams:
            stream.put(event)

    # --- what the controller does -----------------------------------------------------------------

    def came_up(self, endpoint: Endpoint) -> None:
        """Take note of an endpoint that is in its sandbox, and somebody's."""
        lost: list[_Watched] = []
        with self._lock:
            if not self.active:
                return
            watched = self._note_links(endpoint)
            self.publish(EndpointUp(**_named(endpoint)))
            lost += [one for one in watched if (one.index, one.name) in self._deleted]
            for one in lost:
                del self._links[one.index]
        for one in lost:
            self._lose(one, gone=True)

    def went_down(self, endpoint: Endpoint, sandbox: str) -> None:
        """Take note of an endpoint that has left its sandbox."""
        with self._lock:
            self._forget_links(endpoint)
        if self.active:
            self.publish(EndpointDown(**{**_named(endpoint), "sandbox": sandbox}))

    def pools_changed(self, network: Network) -> None:
        """Take note of addresses that were taken or given back."""
        if self.active:
            self._look_at_pools(network)

    def _note_links(self, endpoint: Endpoint) -> list[_Watched]:
        plane: Any = self._controller._dataplane
        if not isinstance(plane, Listens):
            return []
        record = self._controller._lifecycle._endpoints.get(endpoint.id)
        if record is None or record.realised is None:
            return []
        self._forget_links(endpoint)
        found = []
        for link in plane.host_links(record.realised):
            place = link.master or link.bridge or link.index
            self._places[link.bridge or link.index] = self._places[place] = place
            if place not in self._gateways:
                self._gateways[place] = _gateways_of(endpoint.network)
            if link.bridge:
                self._bridges.add(link.bridge)
            found.append(_Watched(endpoint, link.name, link.index, record.key, place, link.bridge))
        self._of[endpoint.id] = found
        self._links.update((one.index, one) for one in found)
        for address in _addresses_of(endpoint):
            self._owners.setdefault(address, []).extend(found)
        return found

    def _forget_links(self, endpoint: Endpoint) -> None:
        gone = self._of.pop(endpoint.id, ())
        for one in gone:
            if one.place == one.index:
                self._leave(one.index)
            if self._links.get(one.index) is one:
                del self._links[one.index]
        for address in _addresses_of(endpoint) if gone else ():
            rest = [one for one in self._owners.get(address, ()) if one.endpoint is not endpoint]
            if rest:
                self._owners[address] = rest
            else:
                self._owners.pop(address, None)

    def _leave(self, place: int) -> None:
        """Forget a place that is no more."""
        self._places.pop(place, None)
        self._gateways.pop(place, None)

    def _look_at_pools(self, network: Network, *, tell: bool = True) -> None:
        if not hasattr(network._addressing.ipam, "use"):  # it cannot say how many it has
            return
        for version, pool in list(network._pools.items()):
            seen = network._addressing.use(pool)
            if seen is None:
                self._full.discard((network.id, version))
                continue
            size, free = seen
            part = 1.0 - free / size if size else 1.0
            key = network.id, version
            with self._lock:
                before = key in self._full
                if not before and part >= NEARLY_FULL:
                    self._full.add(key)
                elif before and part <= RELIEVED:
                    self._full.discard(key)
                else:
                    continue
            if tell or not before:
                kind = PoolRelieved if before else PoolNearlyFull
                self.publish(kind(network=network.name, pool=pool.id, used=size - free, size=size))

    # --- what a monitor tells ---------------------------------------------------------------------

    def knows(self, index: int) -> bool:
        """Tell whether a link is an endpoint's: what a monitor asks before it looks closer."""
        return index in self._links

    def link_gone(self, index: int, name: str) -> None:
        """Take note of a link that was deleted, by whomever: an endpoint's, or the bridge of some."""
        with self._lock:
            watched = self._links.get(index)
            if watched is not None and watched.name == name:
                if self._is_ours(watched):
                    return
                del self._links[index]
                lost, gone = [watched], True
            else:
                self._deleted[index, name] = None
                if len(self._deleted) > REMEMBERED:
                    self._deleted.popitem(last=False)
                lost, gone = self._cut_off(index), False
                self._leave(index)
        for one in lost:
            self._lose(one, gone=gone)

    def _cut_off(self, bridge: int) -> list[_Watched]:
        """Take note that a bridge is gone; return whom that cuts off. The caller holds the lock."""
        if bridge not in self._bridges:
            return []
        self._bridges.discard(bridge)
        cut = [one for one in self._links.values() if one.bridge == bridge and not one.cut and not self._is_ours(one)]
        for one in cut:
            one.lost = one.cut = True
        return cut

    def link_state(self, index: int, name: str, *, carrier: bool) -> None:
        """Take note of whether a link has its carrier."""
        with self._lock:
            watched = self._links.get(index)
            if watched is None or self._is_ours(watched):
                return
            watched.name = name  # somebody may have renamed it: had it been deleted, it would not be known any more
            if watched.lost is not carrier or watched.cut:
                return
            watched.lost = not carrier
        if carrier:
            fields = {**_named(watched.endpoint), "sandbox": watched.sandbox}
            self.publish(LinkBack(**fields, link=name, index=index))
        else:
            self._lose(watched, gone=False)

    def resync(self, links: dict[int, tuple[str, bool]]) -> None:
        """Take note of all links that there are, by number with name and carrier: messages may have been lost."""
        with self._lock:
            watched = list(self._links.values())
        for one in watched:
            name, carrier = links.get(one.index, ("", False))
            if name == one.name:
                self.link_state(one.index, name, carrier=carrier)
            else:
                self.link_gone(one.index, one.name)
        for bridge in {one.bridge for one in watched if one.bridge} - links.keys():
            self.link_gone(bridge, "")

    def is_place(self, index: int) -> bool:
        """Tell whether endpoints' broadcasts arrive at a link."""
        return index in self._places

    def address_seen(self, index: int, ip: bytes, mac: bytes, how: str) -> None:
        """Take note of a MAC that says that it has an address, in a message that arrived at a link of the host."""
        with self._lock:
            place = self._places.get(index)
            near = [one.endpoint for one in self._owners.get(ip, ()) if one.place == place]
            network, own = self._gateways.get(place or 0, {}).get(ip, ("", mac))
        for endpoint in dict.fromkeys(near):
            if mac not in [one.packed_mac for one in endpoint._info.interfaces]:
                self._conflict(_named(endpoint), ip, mac, how)
        if mac != own:
            self._conflict({"network": network, "endpoint": "", "id": "", "sandbox": ""}, ip, mac, how)

    def address_failed(self, indexes: Collection[int], ip: bytes) -> None:
        """Take note of an address that the kernel of a sandbox found to be somebody else's.

        Parameters
        ----------
        indexes : collection of int
            Host ends of the links into that sandbox.
        """
        with self._lock:
            inside = [one.endpoint for index in indexes if (one := self._links.get(index)) is not None]
        having = [endpoint for endpoint in inside if ip in _addresses_of(endpoint)]
        for endpoint in (having or inside)[:1]:  # an address that a user added is of no endpoint: the first is named
            self._conflict(_named(endpoint), ip, None, "dad")

    def _conflict(self, whose: dict[str, Any], ip: bytes, mac: bytes | None, how: str) -> None:
        text = format_ip(ip)
        other = None if mac is None else format_mac(mac)
        key, now = (whose["id"] or whose["network"], text, other or ""), time.monotonic()
        with self._lock:
            before = self._told.get(key)
            if before is not None and now - before < AGAIN:
                return
            self._told[key] = now
            if len(self._told) > REMEMBERED:
                self._told.popitem(last=False)
        self.publish(AddressConflict(**whose, address=text, mac=other, seen=how))

    def _lose(self, watched: _Watched, *, gone: bool) -> None:
        fields = {**_named(watched.endpoint), "sandbox": watched.sandbox}
        self.publish(LinkLost(**fields, link=watched.name, index=watched.index, gone=gone))

    def _is_ours(self, watched: _Watched) -> bool:
        """Tell whether the endpoint of a link is being taken away by ourselves."""
        record = self._controller._lifecycle._endpoints.get(watched.endpoint.id)
        return record is None or record.state is not State.JOINED


def _addresses_of(endpoint: Endpoint) -> list[bytes]:
    return [address.ip for one in endpoint._info.interfaces for address in one.packed_addresses]


def _gateways_of(network: Network) -> dict[bytes, tuple[str, bytes]]:
    """Return the gateway addresses that the host itself has on a network, with its name and their MAC."""
    plan = network._controller._lifecycle.plan_of(network.id)
    links = [link for link in (plan.links if plan is not None else ()) if not isinstance(link, ParentLink)]
    return {address.ip: (network.name, link.mac) for link in links for address in link.addresses}


def _named(endpoint: Endpoint) -> dict[str, Any]:
    sandbox = endpoint.sandbox
    key = "" if sandbox is None or sandbox._netns is None else sandbox._netns.key
    return {"network": endpoint.network.name, "endpoint": endpoint.name, "id": endpoint.id, "sandbox": key}

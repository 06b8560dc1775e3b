"""The whole state of the kernel around some endpoints as plain lines, with what is chosen by chance named by role."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from _fastnet.netns import open as open_namespace
from _fastnet.socket import NetlinkSocket
from driverapi.dataplane.sandboxes import FIRST_INDEX
from driverapi.endpoint import Endpoint
from driverapi.instance import GROUP_MARK, LINK_MARK

__all__ = ["Names", "answered", "picture", "static_entries"]

_PERMANENT, _STATIC = 0x80, 0x40  # NUD_PERMANENT, NUD_NOARP of linux/neighbour.h
_MULTICAST = b"\xff"
_CONF = "/proc/sys/net/{}/conf/{}/{}"

Line = tuple[Any, ...]


class Names:
    """What indexes, names, MACs and addresses are called in a picture."""

    def __init__(self) -> None:
        self.of: dict[Any, str] = {}

    def add(self, role: str, *values: Any) -> None:
        self.of.update((value, f"{role}") for value in values if value)

    def __call__(self, value: Any) -> Any:
        if value in self.of:
            return self.of[value]
        return value.hex() if isinstance(value, bytes) else value


def _lines(socket: NetlinkSocket, name: Names, index_name: Callable[[int], Any], place: str) -> Iterable[Line]:
    links = socket.dump_links()
    for link in links:
        group = "ours" if link.group & GROUP_MARK else link.group
        yield (place, "link", name(link.name), index_name(link.index), link.up, name(link.mac), link.mtu,
               index_name(link.master), link.kind, group)  # fmt: skip
    for address in socket.dump_addresses():
        yield place, "address", index_name(address.index), name(address.address), address.prefix
    for route in socket.dump_routes():
        # The local routes of IPv6 come and go by themselves with addresses and carriers.
        if route.destination[:1] != _MULTICAST and (route.family, route.table) != (10, 255):
            metric = "ours" if route.metric >> 16 == 0x6476 else route.metric
            yield (place, "route", route.family, name(route.destination), route.prefix, route.type, route.scope,
                   index_name(route.index), route.table, metric, name(route.source), name(route.gateway))  # fmt: skip
    for entry in socket.dump_neighbours():
        if entry.state & _PERMANENT:
            yield place, "neighbour", index_name(entry.index), name(entry.address), name(entry.mac)
    for entry in socket.dump_fdb():
        if entry.state & (_PERMANENT | _STATIC) and not entry.mac[0] & 1:
            yield place, "fdb", index_name(entry.index), name(entry.mac), entry.state, index_name(entry.master)


def _read(path: str) -> str:
    return Path(path).read_text().strip() if os.path.exists(path) else ""


def picture(endpoints: Sequence[Endpoint], names: Names, *, star: bool = False, moved: bool = False) -> Counter[Line]:
    """Look at the host and at the sandboxes of endpoints.

    ``names`` has what is neither an endpoint's nor found by its name. Of a star only that is shown which endpoints
    have, whichever of its bridges they are at: what it has for itself stays until the network goes. The kernel has
    chosen the indexes of links that were ``moved``.
    """
    found: Counter[Line] = Counter()

    def inside_name(index: int) -> int | str:
        return index if index >= FIRST_INDEX and not moved else "the kernel's"

    inside: list[tuple[int, Any]] = []
    with NetlinkSocket() as host:
        links = {link.index: link for link in host.dump_links()}
        ours = {link.index: link.name[6] for link in links.values() if link.name.startswith(LINK_MARK)}
        for index, letter in ours.items():
            if letter in "lhat" or (star and letter == "b"):
                names.add("port" if letter in "lb" else letter, index, links[index].name, links[index].mac)
            elif letter in "bgp":
                names.add(f"net-{letter}", index, links[index].name, links[index].mac)
        for number, endpoint in enumerate(endpoints):
            info = endpoint.interfaces[0]
            names.add(f"mac-{number}", info.packed_mac)
            for address in info.packed_addresses:
                names.add(f"ipv{address.version}-{number}", address.ip)
            record = endpoint.network._controller._lifecycle.endpoint(endpoint.id)
            wanted = next(iter(record.realised.names.values())) if record.realised is not None else ""
            assert endpoint.sandbox is not None
            with open_namespace(endpoint.sandbox.key) as box:
                own = next((one for one in box.socket.dump_links() if one.name == wanted), None)
                if own is None:
                    found["sandbox", "without link", number] += 1
                    continue
                names.add(f"mac-{number}", own.mac)
                if own.link in links and own.kind == "veth":
                    end = links[own.link]
                    names.add(f"end-{number}", end.index, end.name, end.mac)
                    inside.append((number, end))
        for line in _lines(host, names, names, "host"):
            about_star = star and ("fdb" in line[1] or set(line[2:4]) & {"port", "h", "a", "t"})
            if not about_star:
                found[line] += 1
        for number, end in inside:
            switches = (
                _CONF.format("ipv4", end.name, "forwarding"),
                _CONF.format("ipv6", end.name, "force_forwarding"),
            )
            found["host", "switches", number, *map(_read, switches)] += 1
    boxes = {endpoint.sandbox.key: number for number, endpoint in enumerate(endpoints) if endpoint.sandbox is not None}
    for key, number in boxes.items():
        with open_namespace(key) as box:
            for line in _lines(box.socket, names, inside_name, f"box-{number}"):
                found[line] += 1
    return found


def static_entries() -> Counter[str]:
    """Count the static forwarding entries of the host, by MAC."""
    with NetlinkSocket() as host:
        return Counter(entry.mac.hex() for entry in host.dump_fdb() if entry.state == _STATIC)


def answered() -> Counter[str]:
    """Count the addresses that the star's answerer answers for."""
    with NetlinkSocket() as host:
        answerers = {
            link.index for link in host.dump_links() if link.name.startswith(LINK_MARK) and link.name[6] == "a"
        }
        return Counter(
            entry.address.hex()
            for entry in host.dump_neighbours()
            if entry.state & _PERMANENT and entry.index in answerers and entry.address is not None
        )

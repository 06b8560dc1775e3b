"""What a churner does: verbs, each with what may be so while it is under way; and the ledger that a checker keeps.

A new verb is a function under ``@verb``: it chooses what to do by what there is, and gives a :class:`Call` or None.
Facts are what a user sees, as JSON: ``net:NAME``, ``box:NAME``, ``ep:NETWORK/NAME``, ``port:NETWORK/NAME/…``.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from driverapi import Controller, Endpoint, Network, Sandbox
from driverapi.control.leasing import AddressLease

__all__ = ["VERBS", "Call", "Facts", "Ledger", "Limits", "facts", "ports_of", "verb"]

Facts = dict[str, Any]

OWNERS = ["vm-1", "vm-2", "vm-3"]


def facts(ctl: Controller) -> Facts:
    """Return all that a user sees."""
    found: Facts = {f"box:{box.name}": [box.key, box.ownership.value] for box in ctl.sandboxes}
    for network in ctl.networks:
        parts = (network.ipv4, network.ipv6, network.gateway, network.gateway_ipv6)
        found[f"net:{network.name}"] = [network.id, network.type, *(str(part) for part in parts)]
        for lease in network.leases:
            found[_lease_key(lease)] = [lease.owner, lease.mac]
        for endpoint in network.endpoints:
            found[f"ep:{network.name}/{endpoint.name}"] = {
                "id": endpoint.id,
                "addresses": [str(address) for one in endpoint.interfaces for address in one.packed_addresses],
                "mac": None if endpoint._mac is None else endpoint._mac.hex(),
                "sandbox": None if endpoint.sandbox is None else endpoint.sandbox.name,
            }
            found.update(dict.fromkeys(ports_of(endpoint), True))
    return found


def _lease_key(lease: AddressLease) -> str:
    return f"lease:{lease.network}/{lease.address}"


@dataclass
class Call:
    """One call, and what may be found if the process ends in it.

    Attributes
    ----------
    touches : list of str
        Facts that may be as before, changed, or gone.
    adds : dict
        How many facts may be new, by how they begin.
    """

    name: str
    do: Callable[[], object]
    touches: list[str] = field(default_factory=list)
    adds: dict[str, int] = field(default_factory=dict)

    @property
    def intent(self) -> dict[str, Any]:
        return {"verb": self.name, "touches": self.touches, "adds": self.adds}


class Ledger:
    """What must be there, what must not, and what may be either; ``check`` gives what is wrong."""

    def __init__(self) -> None:
        self.known: Facts = {}
        self.under_way: dict[str, Any] | None = None
        self.calls = 0

    def intend(self, intent: dict[str, Any]) -> None:
        self.under_way = intent

    def done(self, changed: Facts) -> None:
        """Take what a call changed; None is for what is gone."""
        self.calls += 1
        self.under_way = None
        for key, value in changed.items():
            if value is None:
                self.known.pop(key, None)
            else:
                self.known[key] = value

    def check(self, found: Facts) -> list[str]:
        """Compare with what is found; what is found is known from then on."""
        wrong = []
        intent: Mapping[str, Any] = self.under_way or {"verb": "nothing", "touches": [], "adds": {}}
        touched = set(intent["touches"])
        left = dict(intent["adds"])
        for key, value in self.known.items():
            if key in touched:
                if key in found and isinstance(value, dict):
                    same = {name: one for name, one in found[key].items() if name != "sandbox"}
                    if same != {name: one for name, one in value.items() if name != "sandbox"}:
                        wrong.append(f"{key} was {value}, is {found[key]}")
            elif found.get(key) != value:
                wrong.append(f"{key} was reported as {value}, is {found.get(key)}")
        for key in found.keys() - self.known.keys() - touched:
            start = next((one for one in left if key.startswith(one) and left[one]), None)
            if start is None:
                wrong.append(f"{key} is there: {found[key]}")
                continue
            left[start] -= 1
            if intent["verb"] == "attach" and key.startswith("ep:") and found[key]["sandbox"] is None:
                wrong.append(f"{key} of a bulk call is there and has not joined")
        self.known, self.under_way = dict(found), None
        return [f"{line} (in {intent['verb']})" for line in wrong]


# --- verbs -----------------------------------------------------------------------------------------


@dataclass
class Limits:
    """How much there may be, and what there is to choose from."""

    networks: int = 5
    endpoints: int = 70
    burst: int = 40
    warm: int = 6
    theirs: tuple[str, ...] = ()  # paths of namespaces that others made


Chooser = Callable[[Controller, random.Random, Limits], Call | None]
VERBS: dict[str, tuple[Chooser, int]] = {}


def verb(name: str, weight: int) -> Callable[[Chooser], Chooser]:
    """Add a verb, with how often it is chosen beside the others."""

    def add(chooser: Chooser) -> Chooser:
        VERBS[name] = (chooser, weight)
        return chooser

    return add


def _free_name(dice: random.Random, letter: str, taken: set[str]) -> str:
    while (name := f"{letter}{dice.randrange(1000)}") in taken:
        pass
    return name


def _key(endpoint: Endpoint) -> str:
    return f"ep:{endpoint.network.name}/{endpoint.name}"


def ports_of(endpoint: Endpoint) -> list[str]:
    """Return the facts that an endpoint's published ports are."""
    return [f"port:{endpoint.network.name}/{endpoint.name}/{port}" for port in endpoint.ports]


def _network(ctl: Controller, dice: random.Random) -> Network | None:
    return dice.choice(networks) if (networks := ctl.networks) else None


def _room(ctl: Controller, limits: Limits) -> int:
    return limits.endpoints - sum(len(network.endpoints) for network in ctl.networks)


def _some(ctl: Controller, dice: random.Random, choose: Callable[[Endpoint], bool]) -> Endpoint | None:
    found = [one for network in ctl.networks for one in network.endpoints if choose(one)]
    return dice.choice(found) if found else None


def _boxes(ctl: Controller, network: Network) -> list[Sandbox]:
    """Sandboxes with room, and with no endpoint of that network: two of a routed one have the same routes."""
    return [
        box
        for box in ctl.sandboxes
        if len(box.endpoints) < 3 and all(one.network is not network for one in box.endpoints)
    ]


def _with_boxes(endpoints: list[Endpoint]) -> list[str]:
    """Endpoints, and their sandboxes: those that were made for them go too."""
    boxes = {box.name for one in endpoints for box in (one.sandbox, one._made_sandbox) if box is not None}
    ports = [port for one in endpoints for port in ports_of(one)]
    return [*map(_key, endpoints), *ports, *(f"box:{name}" for name in sorted(boxes))]


@verb("create_network", 2)
def _create_network(ctl: Controller, dice: random.Random, limits: Limits) -> Call | None:
    networks = ctl.networks
    if len(networks) >= limits.networks:
        return None
    name = _free_name(dice, "n", {one.name for one in networks})
    used = {str(part) for net in networks for part in (net.ipv4, net.ipv6)}
    free = [one for one in range(1, 250) if not used & {f"10.{one}.0.0/23", f"fd00:{one:x}::/64"}]
    number = dice.choice(free)
    given: dict[str, str] = {}
    if (families := dice.choice(["4", "6", "46", "46"])) != "6":
        given["ipv4"] = f"10.{number}.0.0/23"
    if families != "4":
        given["ipv6"] = f"fd00:{number:x}::/64"
    driver, options = dice.choice(["bridge", "bridge", "routed", "macvlan"]), {}
    if driver == "bridge" and dice.random() < 0.3:
        options = {"com.docker.network.bridge.name": f"br-{name}"}
    if driver == "bridge" and shutil.which("nft") and dice.random() < 0.4:
        options |= {
            "com.docker.network.bridge.enable_ip_masquerade": "true",
            "driverapi.guard": dice.choice(["0", "1"]),
        }
    return Call(
        "create_network",
        lambda: ctl.create_network(driver, name, options=options, **given),  # type: ignore[arg-type]
        [f"net:{name}"],
    )


@verb("delete_network", 1)
def _delete_network(ctl: Controller, dice: random.Random, limits: Limits) -> Call | None:
    empty = [one for one in ctl.networks if not one.endpoints]
    if not empty:
        return None
    network = dice.choice(empty)
    return Call("delete_network", network.delete, [f"net:{network.name}", *map(_lease_key, network.leases)])


@verb("attach", 6)
def _attach(ctl: Controller, dice: random.Random, limits: Limits) -> Call | None:
    network, room = _network(ctl, dice), _room(ctl, limits)
    if network is None or room <= 0:
        return None
    count = min(room, dice.choice([1, 1, 2, 5, limits.burst]))
    return Call("attach", lambda: network.attach(count, strict=True), [], {f"ep:{network.name}/": count, "box:": count})


@verb("attach_boxes", 2)
def _attach_boxes(ctl: Controller, dice: random.Random, limits: Limits) -> Call | None:
    network = _network(ctl, dice)
    if network is None or not (boxes := _boxes(ctl, network)) or _room(ctl, limits) < 5:
        return None
    some = dice.sample(boxes, min(len(boxes), dice.randint(1, 5)))
    return Call("attach", lambda: network.attach(some, strict=True), [], {f"ep:{network.name}/": len(some)})


@verb("detach", 5)
def _detach(ctl: Controller, dice: random.Random, limits: Limits) -> Call | None:
    network = _network(ctl, dice)
    if network is None or not (endpoints := network.endpoints):
        return None
    some = dice.sample(endpoints, min(len(endpoints), dice.choice([1, 2, 5, limits.burst])))
    return Call("detach", lambda: network.detach(some), _with_boxes(some))


@verb("create_endpoint", 3)
def _create_endpoint(ctl: Controller, dice: random.Random, limits: Limits) -> Call | None:
    network = _network(ctl, dice)
    if network is None or _room(ctl, limits) <= 0:
        return None
    name = _free_name(dice, "e", {one.name for one in network.endpoints})
    return Call("create_endpoint", lambda: network.create_endpoint(name), [f"ep:{network.name}/{name}"])


@verb("join", 4)
def _join(ctl: Controller, dice: random.Random, limits: Limits) -> Call | None:
    endpoint = _some(ctl, dice, lambda one: one.sandbox is None)
    if endpoint is None or not (boxes := _boxes(ctl, endpoint.network)):
        return None
    box = dice.choice(boxes)
    priority = dice.choice([None, None, -1, 5])
    return Call("join", lambda: endpoint.join(box, priority=priority), [_key(endpoint)])


@verb("leave", 3)
def _leave(ctl: Controller, dice: random.Random, limits: Limits) -> Call | None:
    endpoint = _some(ctl, dice, lambda one: one.sandbox is not None)
    return None if endpoint is None else Call("leave", endpoint.leave, [_key(endpoint)])


@verb("delete_endpoint", 3)
def _delete_endpoint(ctl: Controller, dice: random.Random, limits: Limits) -> Call | None:
    endpoint = _some(ctl, dice, lambda one: one.sandbox is None)
    return None if endpoint is None else Call("delete_endpoint", endpoint.delete, [_key(endpoint), *ports_of(endpoint)])


def _publishes(network: Network) -> bool:
    return network.type == "bridge" and shutil.which("nft") is not None


@verb("publish", 3)
def _publish(ctl: Controller, dice: random.Random, limits: Limits) -> Call | None:
    endpoint = _some(ctl, dice, lambda one: _publishes(one.network) and len(one.ports) < 20)
    if endpoint is None:
        return None
    wanted = [f"{dice.randint(1, 999)}/{dice.choice(['tcp', 'udp'])}" for _ in range(dice.choice([1, 1, 5]))]
    families = sum(len(one.packed_addresses) for one in endpoint.interfaces)
    start = f"port:{endpoint.network.name}/{endpoint.name}/"
    return Call("publish", lambda: endpoint.publish(*wanted), [], {start: families * len(wanted)})


@verb("attach_publishing", 2)
def _attach_publishing(ctl: Controller, dice: random.Random, limits: Limits) -> Call | None:
    network, room = _network(ctl, dice), _room(ctl, limits)
    if network is None or not _publishes(network) or room <= 5:
        return None
    count = dice.randint(1, 5)
    adds = {f"ep:{network.name}/": count, "box:": count, f"port:{network.name}/": count * len(network._pools)}
    return Call("attach", lambda: network.attach(count, strict=True, publish="80"), [], adds)


@verb("unpublish", 3)
def _unpublish(ctl: Controller, dice: random.Random, limits: Limits) -> Call | None:
    endpoint = _some(ctl, dice, lambda one: bool(one.ports))
    if endpoint is None:
        return None
    if dice.random() < 0.3:
        return Call("unpublish", endpoint.unpublish, ports_of(endpoint))
    port = dice.choice(endpoint.ports)
    meant = [one for one in endpoint.ports if (one.protocol, one.host_port) == (port.protocol, port.host_port)]
    start = f"port:{endpoint.network.name}/{endpoint.name}/"
    text = f"{port.host_port}:{port.port}/{port.protocol}"
    return Call("unpublish", lambda: endpoint.unpublish(text), [f"{start}{one}" for one in meant])


@verb("create_sandbox", 3)
def _create_sandbox(ctl: Controller, dice: random.Random, limits: Limits) -> Call | None:
    boxes = ctl.sandboxes
    if sum(not one._made for one in boxes) >= 12:
        return None
    name = _free_name(dice, "s", {one.name for one in boxes})
    paths = sorted(set(limits.theirs) - {one.key for one in boxes})
    path = dice.choice(paths) if paths and dice.random() < 0.5 else None
    served = dice.random() < 0.3
    return Call("create_sandbox", lambda: ctl.create_sandbox(name, netns=path, services=served), [f"box:{name}"])


@verb("delete_sandbox", 4)
def _delete_sandbox(ctl: Controller, dice: random.Random, limits: Limits) -> Call | None:
    empty = [box for box in ctl.sandboxes if not box.endpoints]
    if not empty:
        return None
    box = dice.choice(empty)
    return Call("delete_sandbox", box.delete, [f"box:{box.name}"])


@verb("lease", 1)
def _lease(ctl: Controller, dice: random.Random, limits: Limits) -> Call | None:
    network = _network(ctl, dice)
    if network is None or len(network.leases) > 8:
        return None
    owner = dice.choice(OWNERS)
    mac = dice.choice([None, f"02:00:00:00:00:{dice.randrange(16):02x}"])
    return Call("lease", lambda: network.leases.take(owner, mac=mac), [], {f"lease:{network.name}/": 1})


@verb("gc", 1)
def _gc(ctl: Controller, dice: random.Random, limits: Limits) -> Call | None:
    living = dice.sample(OWNERS, 2)
    gone = [_lease_key(one) for network in ctl.networks for one in network.leases if one.owner not in living]
    return Call("gc", lambda: ctl.gc(living), gone) if gone else None


@verb("warm", 2)
def _warm(ctl: Controller, dice: random.Random, limits: Limits) -> Call | None:
    network = _network(ctl, dice)
    if network is None:
        return None
    count = dice.choice([0, limits.warm, limits.warm])
    return Call("warm", lambda: ctl.warm(network, count, wait=False))

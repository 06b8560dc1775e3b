"""Family ``churn``: many endpoints up and down on a real kernel, beside everything one would use instead."""

from __future__ import annotations

from typing import Any

from driverapi.bench.peers.paths import CNI_BRIDGE, NETAVARK
from driverapi.bench.task import OURS, Contender, Target, Workload

__all__ = ["rows"]

_OURS = Contender(OURS, "churn:Ours", about="Network.attach(n), Network.detach")
_FLOOR = Contender(
    "floor",
    "peers.floor:Floor",
    about="a C program with a fixed message list, the same threading and the same neighbour entries",
    reference=True,
)
_PYROUTE2 = (
    Contender(
        "pyroute2",
        "peers.pyroute2_churn:Best",
        "pyroute2",
        "as well as its documented interface allows; all links of a burst deleted in one message",
    ),
    Contender(
        "pyroute2-nofork",
        "peers.pyroute2_churn:NoFork",
        "pyroute2",
        "the same, but the calling process itself makes the namespaces: setns(…, fork=False)",
    ),
    Contender("pyroute2-plain", "peers.pyroute2_churn:Plain", "pyroute2", "as tutorials have it; 200 at most"),
)
_IPROUTE2 = Contender(
    "ip -batch",
    "peers.iproute2:Batch",
    about="one batch for namespaces and links, a process for what is done inside of each",
    command="ip",
)
_PLUGINS = (
    Contender(
        "CNI",
        "peers.plugins:CNI",
        about="plugins loopback and bridge with host-local, namespaces by ip -batch; 200 at most",
        command=CNI_BRIDGE,
    ),
    Contender(
        "netavark",
        "peers.plugins:Netavark",
        about="setup and teardown with its chains of iptables, namespaces by ip -batch; 200 at most",
        command=NETAVARK,
    ),
    Contender(
        "netavark-internal",
        "peers.plugins:NetavarkInternal",
        about="the same on an internal network: no firewall, and no default route, so less than the others do",
        command=NETAVARK,
    ),
)
_DOCKER = (
    Contender(
        "docker",
        "peers.docker:BuiltIn",
        about="network connect and disconnect on its built-in bridge, by API; containers exist, 50 at most",
    ),
    Contender(
        "docker-own",
        "peers.docker:UserDefined",
        about="the same on a user-defined bridge network",
    ),
)
_ALL = (_OURS, _FLOOR, *_PYROUTE2, _IPROUTE2, *_PLUGINS, *_DOCKER)
_SIZES = {1: (20, 2), 100: (100, 4), 1000: (1000, 6)}
"""Endpoints at once: endpoints in a round, and in a quick one."""

_UP = {
    "floor": 1.10,
    "docker": 20,
    "docker-own": 20,
    "pyroute2": 5,
    "pyroute2-plain": 15,
    "CNI": 8,
    "netavark": 5,
    "netavark-internal": 5,
}
_DOWN = 25


def _target(what: str, against: str, limit: float) -> Target:
    if against == "floor":
        return Target(f"{what}: at most {limit:g} × the kernel floor", "times slower", limit, against)
    return Target(f"{what}: at least {limit:g} × as fast as {against}", "times faster", limit, against)


def _common(driver: str) -> dict[str, Any]:
    where = "a bridge" if driver == "bridge" else "no bridge, a route of the host"
    return {
        "unit": "endpoint",
        "rounds": 3,
        "quick_rounds": 1,
        "warm_up": 0,
        "private": True,
        "rest": 1.0,
        "about": f"namespace, lo, eth0, address, default route, {where}; down until links and namespaces are gone",
    }


def _churn(driver: str, size: int) -> Workload:
    count, few = _SIZES[size]
    contenders = _ALL if driver == "bridge" else (_OURS, _FLOOR, *_PYROUTE2, _IPROUTE2)
    names = {one.name for one in contenders}
    name = f"{driver}, {size} at once"
    full = size == max(_SIZES)
    return Workload(
        family="churn",
        name=f"up, {name}",
        contenders=contenders,
        parameters={"driver": driver, "count": count, "burst": 1 if size == 1 else 0},
        quick={"count": few},
        teardown=f"down, {name}",
        thorough=size == 100,
        series=f"up, {driver}",
        teardown_series=f"down, {driver}",
        at=str(size),
        targets=tuple(_target(f"{size} up", who, limit) for who, limit in _UP.items() if full and who in names),
        teardown_targets=tuple(
            _target(f"{size} down", who, _DOWN) for who in _UP if full and who in names and who != "floor"
        ),
        **_common(driver),
    )


def _existing(size: int) -> Workload:
    count, few = _SIZES[size]
    ours = Contender(OURS, "churn:OursExisting", about="Network.attach([box, …]), sandboxes of somebody else")
    full = size == max(_SIZES)
    targets = [_target(f"{size} up into sandboxes that exist", one.name, 30) for one in _DOCKER]
    return Workload(
        family="churn",
        name=f"up, sandboxes exist, {size} at once",
        contenders=(ours, *_DOCKER),
        parameters={"driver": "bridge", "count": count, "burst": 1 if size == 1 else 0},
        quick={"count": few},
        teardown=f"down, sandboxes exist, {size} at once",
        thorough=not full,
        series="up, sandboxes exist",
        teardown_series="down, sandboxes exist",
        at=str(size),
        targets=tuple(targets) if full else (),
        **_common("bridge") | {"about": "link, address, default route; the namespaces exist before and stay"},
    )


def _curve(driver: str, limit: float) -> Workload:
    peers = (_PYROUTE2[0], _IPROUTE2, *(_PLUGINS if driver == "bridge" else ()))
    return Workload(
        family="churn",
        name=f"up, {driver}, in bursts of 50",
        contenders=(_OURS, _FLOOR, *peers),
        parameters={"driver": driver, "count": 1000, "burst": 50, "curve": True},
        quick={"count": 6, "burst": 2},
        targets=(Target(f"the 1000th against the 100th: at most {limit:g} ×", "growth", limit),),
        **_common(driver) | {"about": "what the k-th endpoint costs while those before it stay"},
    )


def _warm(beside: bool, pause: float = 0.0) -> Workload:
    return Workload(
        family="churn",
        name="one from the warm pool"
        + ", beside a teardown" * beside
        + f", one every {pause * 1e3:g} ms" * (pause > 0),
        contenders=(
            Contender(OURS, "warm:Warm", about="Controller.warm(network, n), Network.attach(1)"),
            Contender("cold", "warm:Cold", about="Network.attach(1) without a pool", reference=True),
        ),
        parameters={"driver": "bridge", "count": 200, "beside": 1000 if beside else 0, "pause": pause},
        quick={"count": 10, "beside": 50 if beside else 0},
        targets=(
            Target("half of them: at most 60 µs", "p50", 60e-6),
            Target("99 of 100: at most 1 ms", "p99", 1e-3),
        ),
        **_common("bridge")
        | {"about": "Network.attach(1), each on the clock alone; " + ("paced" if pause else "one after the other")},
    )


def _bursts(driver: str) -> Workload:
    return Workload(
        family="churn",
        name=f"up and down, {driver}, 100 at once, 60 s",
        contenders=(
            Contender(OURS, "bursts:Bursts", about="Network.attach(100), Network.detach; namespaces beside links"),
            Contender(
                "floor, one thread",
                "peers.floor:Bursts",
                about="the floor's messages, and its namespaces, on one thread",
                reference=True,
            ),
        ),
        parameters={"driver": driver, "count": 100, "seconds": 20},
        quick={"count": 20, "seconds": 1},
        targets=(Target("at least 1.15 × the kernel floor on one thread", "times faster", 1.15, "floor, one thread"),),
        **_common(driver) | {"about": "bursts without a rest, 20 s in turn; the kernel cleans up meanwhile"},
    )


def _beside(driver: str) -> Workload:
    return Workload(
        family="churn",
        name=f"one attach, {driver}, beside a teardown of 1000",
        contenders=(Contender(OURS, "beside:Beside", about="Network.attach(1) without a pool"),),
        parameters={"driver": driver, "count": 100, "beside": 1000},
        quick={"count": 5, "beside": 60},
        targets=(Target("99 of 100: at most 50 ms", "p99", 50e-3),),
        **_common(driver)
        | {"about": "Network.attach(1), each on the clock alone, until links and namespaces of the others are gone"},
    )


def rows() -> tuple[Workload, ...]:
    """Return its workloads."""
    return (
        *(_churn(driver, size) for driver in ("bridge", "routed") for size in _SIZES),
        *(_existing(size) for size in (1, 1000)),
        _curve("bridge", 1.5),
        _curve("routed", 1.2),
        _warm(False),
        _warm(True),
        _warm(True, 0.002),
        _beside("bridge"),
        _beside("routed"),
        _bursts("bridge"),
        _bursts("routed"),
    )

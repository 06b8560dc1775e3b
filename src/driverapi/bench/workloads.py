"""The one table of workloads: what is measured, and against whom.

To add a workload, add a row here and its tasks: ours in the module of the family, a peer's
in ``peers``. Runner, command line and ``benchmarks/`` take it from this table.
"""

from __future__ import annotations

from driverapi.bench.task import OURS, Contender, Workload

__all__ = ["DEFAULT_FAMILIES", "FAMILIES", "find", "workloads"]

FAMILIES = ("alloc", "encode", "bringup")
DEFAULT_FAMILIES = ("alloc", "encode")
"""Families that take seconds, not minutes, and need no privilege at all."""


def _pools(kind: str, *, bulk: bool = False) -> tuple[Contender, ...]:
    call = "allocate_many" if bulk else "allocate"
    listed = [
        Contender(OURS, f"alloc:Ours{kind}", about=f"IPPool.{call}"),
        Contender(
            "ipaddress+set",
            f"peers.ipaddress_pool:{kind}",
            about="hosts(), a set of what is taken, a heap of what came back",
        ),
        Contender(
            "netaddr+set",
            f"peers.netaddr_pool:{kind}",
            "netaddr",
            "iter_hosts(), a set of what is taken, a heap of what came back",
        ),
        Contender(
            "netaddr.IPSet",
            f"peers.netaddr_ipset:{kind}",
            "netaddr",
            "a set of free addresses, what is given out is removed",
        ),
        Contender(
            "pyroute2.AddrPool",
            f"peers.pyroute2_pool:{kind}",
            "pyroute2",
            "AddrPool.alloc; it has no bulk call and knows numbers only",
        ),
    ]
    return tuple(listed)


def _encoders(kind: str) -> tuple[Contender, ...]:
    return (
        Contender(OURS, f"encode:Ours{kind}", about="one verb of Batch"),
        Contender(
            "pyroute2",
            f"peers.pyroute2_encode:Message{kind}",
            "pyroute2",
            "its message class, filled and encoded by hand",
        ),
        Contender("pyroute2.IPBatch", f"peers.pyroute2_encode:Batch{kind}", "pyroute2", "its batch compiler"),
    )


_BRINGUP = (
    Contender(OURS, "bringup:Ours", about="Network.attach(n)"),
    Contender(
        "pyroute2",
        "peers.pyroute2_bringup:Best",
        "pyroute2",
        "as well as its documented interface allows: peer born in its namespace, one queue, "
        "explicit indexes, a socket opened inside, nothing looked up",
    ),
    Contender(
        "pyroute2-nofork",
        "peers.pyroute2_bringup:NoFork",
        "pyroute2",
        "the same, but the calling process itself makes the namespaces: setns(…, fork=False)",
    ),
    Contender(
        "pyroute2-plain",
        "peers.pyroute2_bringup:Plain",
        "pyroute2",
        "as tutorials have it: netns.create, link add, look-up by name, move, NetNS, addr, route",
    ),
)

_V4 = {"prefix": "10.77.0.0/16"}
_V6 = {"prefix": "fd77::/64"}
_FEW = {"count": 2_000}


def workloads() -> tuple[Workload, ...]:
    """Return every workload, in the order of the tables."""
    return (
        Workload("alloc", "IPv4 single", "address", _pools("Single"), {**_V4, "count": 50_000}, _FEW),
        Workload("alloc", "IPv4 single, as text", "address", _pools("Text"), {**_V4, "count": 50_000}, _FEW),
        Workload("alloc", "IPv6 single", "address", _pools("Single"), {**_V6, "count": 50_000}, _FEW),
        Workload(
            "alloc",
            "IPv4 recycle, 90 % full",
            "address",
            _pools("Churn"),
            {**_V4, "count": 10_000, "filled": 58_980},
            {"prefix": "10.77.0.0/20", "count": 1_000, "filled": 3_685},
        ),
        Workload("alloc", "IPv4 bulk", "address", _pools("Bulk", bulk=True), {**_V4, "count": 60_000}, _FEW),
        Workload("alloc", "IPv6 bulk", "address", _pools("Bulk", bulk=True), {**_V6, "count": 60_000}, _FEW),
        Workload("encode", "veth with its options", "message", _encoders("Veth"), {"count": 1_000}, {"count": 100}),
        Workload("encode", "IPv4 address", "message", _encoders("Address"), {"count": 1_000}, {"count": 100}),
        Workload("encode", "IPv4 route", "message", _encoders("Route"), {"count": 1_000}, {"count": 100}),
        *(
            Workload(
                "bringup",
                f"up, {families}",
                "endpoint",
                _BRINGUP,
                {"count": 300, "ipv6": ipv6},
                {"count": 20},
                rounds=3,
                quick_rounds=3,  # the middle of three: one hiccup does not make the ratio
                warm_up=0,
                private=True,
                teardown=f"down, {families}",
                about="namespace, lo, eth0, addresses, default route, host end on a bridge",
            )
            for families, ipv6 in (("IPv4", False), ("IPv4+IPv6", True))
        ),
    )


def find(family: str, name: str) -> Workload:
    """Return one workload; ``KeyError`` where there is none."""
    for one in workloads():
        if (one.family, one.name) == (family, name):
            return one
    raise KeyError(f"no workload {name!r} in family {family!r}")

"""Family ``bringup``: sandboxes with links, addresses and routes on a real kernel."""

from __future__ import annotations

from driverapi.bench.task import OURS, Contender, Workload

__all__ = ["rows"]

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


def rows() -> tuple[Workload, ...]:
    """Return its workloads."""
    return tuple(
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
            rest=1.0,
            teardown=f"down, {families}",
            about="namespace, lo, eth0, addresses, default route, host end on a bridge",
        )
        for families, ipv6 in (("IPv4", False), ("IPv4+IPv6", True))
    )

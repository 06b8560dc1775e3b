"""Family ``alloc``: addresses out of one prefix."""

from __future__ import annotations

from driverapi.bench.task import OURS, Contender, Workload

__all__ = ["rows"]

_V4 = {"prefix": "10.77.0.0/16"}
_V6 = {"prefix": "fd77::/64"}
_FEW = {"count": 2_000}


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


def rows() -> tuple[Workload, ...]:
    """Return its workloads."""
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
    )

"""Family ``ipam``: prefixes for networks, none of which overlaps another."""

from __future__ import annotations

from driverapi.bench.task import OURS, Contender, Target, Workload

__all__ = ["rows"]

_EACH = Target("at most 20 µs a pool", "seconds", 20e-6)


def rows() -> tuple[Workload, ...]:
    """Return its workloads."""
    file = "peers.naive_prefixes"
    naive = "a list of what is taken, a look at all of it"
    return (
        Workload(
            "ipam",
            "10,000 pools by size",
            "pool",
            (
                Contender(OURS, "ipam:OursBySize", about="DefaultIPAM.request_pool(size=26)"),
                Contender("ipaddress", f"{file}:IpaddressBySize", about=f"subnets(), overlaps(): {naive}"),
                Contender("netaddr", f"{file}:NetaddrBySize", "netaddr", f"subnet(), in: {naive}"),
                Contender("netaddr.IPSet", f"{file}:NetaddrSetBySize", "netaddr", "what is free, a cut out of a block"),
            ),
            {"count": 10_000, "length": 26, "naive": 500, "curve": True, "burst": 1_000},
            {"count": 500, "naive": 50, "burst": 50},
            memory=True,
            targets=(_EACH, Target("the last tenth at most 1.5 × the second", "growth", 1.5)),
            about="the first free /26 of the default pools, checked against all that are taken; peers do 500",
        ),
        Workload(
            "ipam",
            "a given prefix beside 10,000",
            "pool",
            (
                Contender(OURS, "ipam:OursGiven", about="request_pool(prefix), release_pool"),
                Contender("ipaddress", f"{file}:IpaddressGiven", about=f"overlaps(): {naive}"),
                Contender("netaddr", f"{file}:NetaddrGiven", "netaddr", f"in: {naive}"),
            ),
            {"count": 2_000, "filled": 10_000, "naive": 20},
            {"count": 200, "filled": 500, "naive": 20},
            targets=(_EACH,),
            about="from its text: checked, taken, given back; peers do 20",
        ),
    )

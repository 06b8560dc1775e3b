"""Family ``decode``: the kernel's answers, read into Python."""

from __future__ import annotations

from driverapi.bench.task import OURS, Contender, Target, Workload

__all__ = ["rows"]


def _dumps(kind: str, ours: str, pyroute2: str, ip: str) -> tuple[Contender, ...]:
    listed = [
        Contender(OURS, f"decode:Ours{kind}", about=ours),
        Contender("pyroute2", f"peers.dumps:{kind}", "pyroute2", pyroute2),
    ]
    if ip:
        listed.append(Contender("ip -json", f"peers.dumps:Ip{kind}", "pyroute2", f"{ip}, json.loads", command="ip"))
    return tuple(listed)


def _dump_links(links: int) -> Workload:
    contenders = _dumps("Links", "NetlinkSocket.dump_links", "IPRoute.get_links", "ip -json link show in a process")
    targets = (Target("at least 20 × pyroute2's get_links", "times faster", 20, "pyroute2"),)
    return Workload(
        "decode",
        f"dump of {links:,} links",
        "link",
        contenders,
        {"links": links, "count": links + 2},
        {"links": min(links, 200), "count": min(links, 200) + 2},
        private=True,
        memory=True,
        targets=targets if links == 2_000 else (),
        series="dump of links",
        at=f"{links:,}",
        about="asked of a real kernel; name, index, MAC, master and flags of each are read",
    )


def rows() -> tuple[Workload, ...]:
    """Return its workloads."""
    return (
        *(_dump_links(number) for number in (20, 200, 2_000)),
        Workload(
            "decode",
            "2,000 links, parsed",
            "link",
            _dumps("Parse", "records.links", "MarshalRtnl.parse", ""),
            {"links": 2_000, "count": 2_002},
            {"links": 200, "count": 202},
            private=True,
            about="the same bytes, read from the kernel before the clock runs",
        ),
        Workload(
            "decode",
            "dump of 2,000 IPv4 addresses",
            "address",
            _dumps("Addresses", "NetlinkSocket.dump_addresses", "IPRoute.get_addr", "ip -json addr show in a process"),
            {"links": 2_000, "addresses": 2_000, "count": 2_001},
            {"links": 200, "addresses": 200, "count": 201},
            private=True,
            about="asked of a real kernel; index, address and prefix length of each are read",
        ),
    )

"""Family ``ports``: ports of the host that lead to sandboxes."""

from __future__ import annotations

from driverapi.bench.task import OURS, Contender, Target, Workload

__all__ = ["rows"]

_TARGETS = (
    Target("at least 20 × iptables, a call each", "times faster", 20, "iptables"),
    Target("at least 3 × one nft -f of as many rules", "times faster", 3, "nft -f"),
)


def rows() -> tuple[Workload, ...]:
    """Return its workloads."""
    file = "peers.port_rules"
    return (
        Workload(
            "ports",
            "1,000 in one call",
            "port",
            (
                Contender(OURS, "ports:Ours", about="Network.publish: one transaction, each port held", command="nft"),
                Contender(
                    "not held",
                    "ports:OursUnheld",
                    about="the same with hold_ports=False",
                    reference=True,
                    command="nft",
                ),
                Contender("iptables", f"{file}:Iptables", about="-t nat -A, a call each", command="iptables-nft"),
                Contender(
                    "iptables-legacy",
                    f"{file}:IptablesLegacy",
                    about="the same, older tables",
                    command="iptables-legacy",
                ),
                Contender("nft -f", f"{file}:NftRules", about="a file with a rule for each", command="nft"),
                Contender(
                    "nft -f, elements",
                    f"{file}:NftElements",
                    about="a file with an element of a map for each",
                    reference=True,
                    command="nft",
                ),
            ),
            {"count": 1_000, "calls": 200},
            {"count": 200, "calls": 20},
            private=True,
            teardown="1,000 away in one call",
            targets=_TARGETS,
            teardown_targets=_TARGETS,
            about="each leads to a sandbox; iptables does 200",
        ),
        Workload(
            "ports",
            "10,000 one by one",
            "port",
            (Contender(OURS, "ports:OursOneByOne", about="Endpoint.publish, hold_ports=False", command="nft"),),
            {"count": 10_000, "burst": 100, "curve": True},
            {"count": 600, "burst": 100},
            rounds=3,
            private=True,
            targets=(Target("the last hundred at most 1.2 × the second", "growth", 1.2),),
            about="a call and a transaction each, all of one endpoint",
        ),
    )

"""Family ``encode``: rtnetlink messages from Python values to bytes."""

from __future__ import annotations

from driverapi.bench.task import OURS, Contender, Target, Workload

__all__ = ["rows"]


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


_INTO_THE_KERNEL = (
    Contender(OURS, "configure:Ours", about="Batch.add_address for each, one execute"),
    Contender("ip -batch", "peers.ip_batch:Lines", about="one process, a line per address", command="ip"),
    Contender("pyroute2", "peers.pyroute2_configure:Calls", "pyroute2", "IPRoute.addr, a call per address"),
    Contender(
        "pyroute2.IPBatch",
        "peers.pyroute2_configure:Compiled",
        "pyroute2",
        "its batch compiler, the bytes sent by a plain socket, a hundred at a time",
    ),
)


def rows() -> tuple[Workload, ...]:
    """Return its workloads."""
    return (
        Workload(
            "encode",
            "veth with its options",
            "message",
            _encoders("Veth"),
            {"count": 1_000},
            {"count": 100},
            memory=True,
            targets=(Target("at least 300 × pyroute2's encoder", "times faster", 300, "pyroute2"),),
        ),
        Workload(
            "encode",
            "10,000 veths from columns",
            "message",
            (
                Contender(OURS, "encode:OursColumns", about="Batch.add_veths: a pattern, a list, descriptors"),
                *_encoders("Veth")[1:],
            ),
            {"count": 1_000, "messages": 10_000},
            {"count": 100, "messages": 1_000},
            targets=(
                Target("at most 80 ns a message", "seconds", 80e-9),
                Target("at least 3,000 × pyroute2's encoder", "times faster", 3_000, "pyroute2"),
            ),
            about="the same messages, each with a MAC of its own for the peer; others have no such call",
        ),
        Workload("encode", "IPv4 address", "message", _encoders("Address"), {"count": 1_000}, {"count": 100}),
        Workload("encode", "IPv4 route", "message", _encoders("Route"), {"count": 1_000}, {"count": 100}),
        *(
            Workload(
                "encode",
                f"{count:,} addresses into the kernel",
                "address",
                _INTO_THE_KERNEL,
                {"count": count},
                {"count": min(count, 100)},
                rounds=3,
                private=True,
                series="addresses into the kernel",
                at=f"{count:,}",
                about="from text to the kernel's answer: encoded, sent and carried out, in a private namespace",
            )
            for count in (10, 100, 1_000)
        ),
    )

"""Family ``encode``: rtnetlink messages from Python values to bytes."""

from __future__ import annotations

from driverapi.bench.task import OURS, Contender, Workload

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


def rows() -> tuple[Workload, ...]:
    """Return its workloads."""
    return (
        Workload("encode", "veth with its options", "message", _encoders("Veth"), {"count": 1_000}, {"count": 100}),
        Workload("encode", "IPv4 address", "message", _encoders("Address"), {"count": 1_000}, {"count": 100}),
        Workload("encode", "IPv4 route", "message", _encoders("Route"), {"count": 1_000}, {"count": 100}),
    )

"""Family ``docker``: a plugin's requests a second, and what one costs ``docker run``."""

from __future__ import annotations

from driverapi.bench.task import OURS, Contender, Target, Workload

__all__ = ["rows"]


def rows() -> tuple[Workload, ...]:
    """Return its workloads."""
    return (
        Workload(
            "docker",
            "create and delete endpoints",
            "pair",
            (
                Contender(OURS, "plugged:Pairs", "httptools", "driverapi.plugin, driver bridge, dataplane in memory"),
                Contender("http.server", "peers.plugged:Stdlib", about="threads of the standard library; no driver"),
            ),
            {"count": 5_000},
            {"count": 1_000},
            targets=(
                Target("at least 3,000 pairs a second", "seconds", 1 / 3_000),
                Target("99 of 100 pairs within 2 ms", "p99", 0.002),
            ),
            about="CreateEndpoint and DeleteEndpoint on one kept connection over a unix socket",
        ),
        Workload(
            "docker",
            "docker run",
            "container",
            (
                Contender(OURS, "plugged:Run", "httptools", "driverapi serve, driver bridge and its IPAM, with state"),
                Contender("docker", "peers.plugged:BuiltIn", about="a bridge network of the engine's own"),
            ),
            {"count": 2},
            {"count": 1},
            rounds=10,
            quick_rounds=3,
            targets=(Target("at most 1.05 × the engine's own bridge", "times slower", 1.05, "docker"),),
            about="created and started over the API; each contender has an engine of its own",
        ),
    )

"""Family ``services``: files of sandboxes."""

from __future__ import annotations

from driverapi.bench.task import OURS, Contender, Target, Workload

__all__ = ["rows"]


def rows() -> tuple[Workload, ...]:
    """Return its workloads."""
    file = "peers.hosts_files"
    return (
        Workload(
            "services",
            "hosts file, 1,000 peers come",
            "peer",
            (
                Contender(OURS, "services:OursBurst", about="one write for the burst, in one step"),
                Contender("rewrite", f"{file}:RewriteEach", about="for each: read, leave out, add, rename"),
                Contender("append", f"{file}:AppendEach", about="for each: a line appended, in place"),
            ),
            {"count": 1_000},
            {"count": 200},
            targets=(Target("at least 20 × as fast as a write for each", "times faster", 20.0, "rewrite"),),
            about="from the last one's coming to the file; ours is one write, or fails",
        ),
    )

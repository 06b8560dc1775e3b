"""Peer of family ``churn``: ``ip -batch`` and ``ip netns``, as few processes as iproute2 allows.

Namespaces and links are one batch for a burst; what is done inside of a namespace takes a process for each, since a
batch stays where it was begun. Links are deleted by their group, namespaces by a batch.
"""

from __future__ import annotations

import subprocess

from driverapi.bench.churn import BRIDGE, GATEWAY, PREFIX, ChurnTask

__all__ = ["Batch", "ip"]


def ip(*arguments: str, script: str = "") -> None:
    """Run ``ip``; what it says becomes the error's text."""
    done = subprocess.run(  # noqa: S603
        ["ip", *arguments],  # noqa: S607
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


class Batch(ChurnTask):
    """Peer born in its namespace, one queue per end."""

    def network(self) -> None:
        """Make the bridge with the gateway's address; routed, it stands on ``lo``."""
        if self.routed:
            ip("address", "add", f"{GATEWAY}/32", "dev", "lo")
        else:
            ip("link", "add", BRIDGE, "address", "02:42:0a:4d:00:01", "type", "bridge")
            ip("address", "add", f"{GATEWAY}/{PREFIX}", "dev", BRIDGE)
            ip("link", "set", BRIDGE, "up")

    def up(self, numbers: range) -> None:
        """Bring a burst up."""
        group = 4242 + numbers.start
        master = "" if self.routed else f"master {BRIDGE}"
        queues = "numtxqueues 1 numrxqueues 1"
        near = f"up {queues} group {group} {master}"
        outside = []
        for number in numbers:
            name = self.names[number]
            outside += [
                f"netns add {name}",
                f"link add vh{number} {near} type veth peer name eth0 netns {name} {queues}",
            ]
        ip("-batch", "-", script="\n".join(outside))
        for number in numbers:
            address = f"{self.addresses[number]}/{32 if self.routed else PREFIX}"
            inside = [
                "link set lo up",
                f"address add {address} dev eth0",
                "link set eth0 up",
                f"route add default via {GATEWAY} dev eth0" + " onlink" * self.routed,
            ]
            ip("-netns", self.names[number], "-batch", "-", script="\n".join(inside))
        if self.routed:
            ip("-batch", "-", script="\n".join(f"route add {self.addresses[one]}/32 dev vh{one}" for one in numbers))

    def down(self, numbers: range) -> None:
        """Take a burst down."""
        ip("link", "delete", "group", str(4242 + numbers.start))
        ip("-batch", "-", script="\n".join(f"netns delete {self.names[number]}" for number in numbers))

    def settle(self) -> None:
        """Remove what all shared."""
        if self.routed:
            ip("address", "delete", f"{GATEWAY}/32", "dev", "lo")
        else:
            ip("link", "delete", BRIDGE)

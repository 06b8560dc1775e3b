"""Peer of family ``encode``, down to the kernel: ``ip -batch``, iproute2's own way of doing much at once."""

from __future__ import annotations

import subprocess

from driverapi.bench.configure import ConfigureTask

__all__ = ["Lines"]


class Lines(ConfigureTask):
    """A line per address to one process, which parses it, sends it, and waits for the answer."""

    def run(self) -> None:
        """Write the lines and have them executed."""
        lines = "".join(f"addr add {address}/32 dev br0\n" for address in self.addresses)
        subprocess.run(["ip", "-batch", "-"], input=lines, text=True, check=True)  # noqa: S607

"""Peers of family ``encode``, down to the kernel: pyroute2, a call per address, or its batch compiler."""

from __future__ import annotations

import struct
from socket import AF_INET, AF_NETLINK, NETLINK_ROUTE, SOCK_RAW, socket

from pyroute2 import IPBatch, IPRoute

from driverapi.bench.configure import ConfigureTask
from driverapi.bench.decode import BRIDGE
from driverapi.bench.task import WrongResultError

__all__ = ["Calls", "Compiled"]


class Calls(ConfigureTask):
    """``IPRoute.addr("add", …)`` for each; each waits for its answer."""

    def setup(self) -> None:
        """Open the socket."""
        super().setup()
        self.ipr = IPRoute()

    def run(self) -> None:
        """Call."""
        for address in self.addresses:
            self.ipr.addr("add", index=BRIDGE, address=address, prefixlen=32, family=AF_INET)

    def teardown(self) -> None:
        """Close it."""
        self.ipr.close()
        super().teardown()


class Compiled(ConfigureTask):
    """``IPBatch``, its bytes sent by a plain socket, a hundred at a time, each answer read."""

    at_once = 100

    def run(self) -> None:
        """Compile and send."""
        with socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE) as sock:
            for start in range(0, self.units, self.at_once):
                compiler = IPBatch()
                some = self.addresses[start : start + self.at_once]
                for address in some:
                    compiler.addr("add", index=BRIDGE, address=address, prefixlen=32, family=AF_INET)
                sock.send(compiler.batch)
                compiler.close()
                self._answers(sock, len(some))

    def _answers(self, sock: socket, wanted: int) -> None:
        while wanted:
            data = sock.recv(1 << 20)
            place = 0
            while place < len(data):
                (length,) = struct.unpack_from("=I", data, place)
                (code,) = struct.unpack_from("=i", data, place + 16)
                if code:
                    raise WrongResultError(f"the kernel refused an address: error {-code}")
                wanted -= 1
                place += (length + 3) & ~3

"""Family ``encode``, down to the kernel: addresses from Python values until the kernel has taken them.

Each worker stands in a network namespace of its own, with one bridge that they are added to.
Encoding is part of the work, and so are the way to the kernel and what it does there, which
is the same for all: a ratio here is smaller than one of encoding alone.
"""

from __future__ import annotations

from driverapi.bench.decode import BRIDGE
from driverapi.bench.encode import address_of
from driverapi.bench.task import Parameters, Task, WrongResultError

__all__ = ["ConfigureTask", "Ours"]


class ConfigureTask(Task):
    """Addresses of 10.77.0.0/16 are added to a bridge, each as a /32."""

    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__(parameters, seed)
        self.addresses = [address_of(number) for number in range(self.units)]

    def setup(self) -> None:
        """Make the bridge, without an address."""
        from driverapi._native import Batch, NetlinkSocket

        self.socket = NetlinkSocket()
        batch = Batch()
        batch.add_bridge("br0", index=BRIDGE)
        self.socket.execute(batch).check()

    def check(self) -> None:
        """Raise unless the kernel has all of them."""
        there = sum(one.index == BRIDGE and one.prefix == 32 for one in self.socket.dump_addresses(2))
        if there != self.units:
            raise WrongResultError(f"the kernel has {there} addresses, not {self.units}")

    def teardown(self) -> None:
        """Delete the bridge, and all addresses with it."""
        from driverapi._native import Batch

        batch = Batch()
        batch.delete_link(BRIDGE)
        self.socket.execute(batch).check()
        self.socket.close()


class Ours(ConfigureTask):
    """``Batch.add_address`` for each, one ``NetlinkSocket.execute``."""

    def run(self) -> None:
        """Encode and execute."""
        from driverapi._native import Batch, pack_ip

        batch = Batch()
        for address in self.addresses:
            batch.add_address(BRIDGE, pack_ip(address), 32)
        self.socket.execute(batch).check()

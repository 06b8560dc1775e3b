"""Family ``decode``: what the kernel says of its links and addresses, read into Python.

Each worker stands in a network namespace of its own, in which there are ``links`` ends of veth pairs. The
first thousand of them are ports of a bridge (it takes 1,024), and the first has addresses.
They are made by the native core for all contenders alike, before the clock runs.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

from driverapi.bench.task import Parameters, Task, WrongResultError

__all__ = ["DumpTask", "OursAddresses", "OursLinks", "OursParse", "raw_dump"]

BRIDGE, FIRST = 900, 1000
_PORTS = 1_000
_AT_ONCE = 500
# include/uapi/linux/rtnetlink.h, netlink.h
_RTM_GETLINK = 18
_NLM_F_REQUEST_DUMP = 0x301
_NLMSG_DONE = 3


def _mac(number: int) -> bytes:
    return b"\x02\x42\x0a\x4d" + number.to_bytes(2, "big")


def raw_dump() -> bytes:
    """Return the messages with which the kernel tells its links, as they come, without the last one."""
    parts: list[bytes] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.send(struct.pack("=IHHIIBxHiII", 32, _RTM_GETLINK, _NLM_F_REQUEST_DUMP, 1, 0, 0, 0, 0, 0, 0))
        while True:
            data = sock.recv(1 << 20)
            if struct.unpack_from("=H", data, 4) == (_NLMSG_DONE,):
                return b"".join(parts)
            parts.append(data)


class DumpTask(Task):
    """Links, or addresses, are read and counted, several times over."""

    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__(parameters, seed)
        self.number: int = parameters["links"]
        self.there = self.number + 2  # lo and the bridge
        self.seen: list[Any] = []
        self._made = False

    def setup(self) -> None:
        """Make links and addresses, the first time."""
        if self._made:
            return
        from driverapi._native import Batch, NetlinkSocket

        with NetlinkSocket() as sock:
            batch = Batch()
            batch.add_bridge("br0", index=BRIDGE)
            for number in range(0, self.number, 2):
                batch.add_veth(
                    f"d{number}",
                    f"d{number + 1}",
                    index=FIRST + number,
                    peer_index=FIRST + number + 1,
                    mac=_mac(number),
                    peer_mac=_mac(number + 1),
                    group=17,
                )
                if len(batch) >= _AT_ONCE:
                    sock.execute(batch).check()
                    batch.clear()
            for number in range(min(self.number, _PORTS)):
                batch.set_link(FIRST + number, master=BRIDGE)
            for number in range(self.parameters.get("addresses", 0)):
                batch.add_address(FIRST, b"\x0a\x4d" + (number + 1).to_bytes(2, "big"), 32)
            sock.execute(batch).check()
        self._made = True

    def check(self) -> None:
        """Raise unless all links were seen, with what they were made with."""
        if len(self.seen) != self.there:
            raise WrongResultError(f"{len(self.seen)} links were seen, not {self.there}")
        found = {one[0]: tuple(one) for one in self.seen}
        for number in (0, self.number - 1):
            wanted = (f"d{number}", _mac(number), BRIDGE * (number < _PORTS))
            index, name, mac, master, _ = found[FIRST + number]
            if (name, self.packed(mac), master or 0) != wanted:
                raise WrongResultError(f"link {index} is {name}, {mac}, {master}, not {wanted}")

    def packed(self, mac: Any) -> bytes:
        """Return a MAC of this contender's kind as bytes."""
        return mac if isinstance(mac, bytes) else bytes.fromhex(mac.replace(":", ""))


class OursLinks(DumpTask):
    """``NetlinkSocket.dump_links``, and five fields of each record."""

    def setup(self) -> None:
        """Open the socket."""
        super().setup()
        from driverapi._native import NetlinkSocket

        self.socket = NetlinkSocket()

    def run(self) -> None:
        """Read."""
        self.seen = [(one.index, one.name, one.mac, one.master, one.flags) for one in self.socket.dump_links()]

    def teardown(self) -> None:
        """Close it."""
        self.socket.close()


class OursParse(DumpTask):
    """``records.links`` of bytes that were read before."""

    def setup(self) -> None:
        """Have the kernel say it once."""
        super().setup()
        self.data = raw_dump()

    def run(self) -> None:
        """Parse and read."""
        from driverapi._native import links

        self.seen = [(one.index, one.name, one.mac, one.master, one.flags) for one in links(self.data)]


class OursAddresses(OursLinks):
    """``NetlinkSocket.dump_addresses``, and three fields of each record."""

    def run(self) -> None:
        """Read."""
        dump = self.socket.dump_addresses(socket.AF_INET)
        self.seen = [(one.index, one.address, one.prefix) for one in dump]

    def check(self) -> None:
        """Raise unless all were seen, that of lo included."""
        if len({self.packed_ip(one[1]) for one in self.seen}) != self.parameters["addresses"] + 1:
            raise WrongResultError(f"{len(self.seen)} addresses were seen")

    def packed_ip(self, address: Any) -> bytes:
        """Return an address of this contender's kind as bytes."""
        return address if isinstance(address, bytes) else socket.inet_aton(address)

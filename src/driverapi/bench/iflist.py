"""Family ``iflist``: records of interfaces, each with an id, a MAC, an IPv4 and an IPv6 address.

All contenders begin with the same packed values and end with a list of all of them. A round
of ours does many more of them than of the peers', in lists of the same length.
"""

from __future__ import annotations

from typing import Any

from driverapi.bench.task import Parameters, Task, WrongResultError

__all__ = ["InterfaceTask", "OursAppend", "OursFill", "OursRead"]

PREFIX, PREFIX6 = 16, 64


class InterfaceTask(Task):
    """Lists of ``length`` records are made, as many of them as makes the count.

    A list is made of what a caller has in hand; making that is not the list's work.
    """

    faster = 1
    """How many times more units than the peers'."""

    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__(parameters, seed)
        self.length: int = parameters["length"]
        self.times = max(1, self.units * self.faster // self.length)
        self.units = self.times * self.length
        self.macs = [bytes((2, 0x42)) + (0x0A4D0000 + n).to_bytes(4, "big") for n in range(1, self.length + 1)]
        self.ipv4s = [(0x0A4D0000 + n).to_bytes(4, "big") for n in range(1, self.length + 1)]
        self.ipv6s = [(0xFD77 << 112 | n).to_bytes(16, "big") for n in range(1, self.length + 1)]
        self.made: Any = ()
        self.seen = 0

    def make(self) -> Any:
        """Make one list."""
        raise NotImplementedError

    def run(self) -> None:
        """Make lists, each in the other's place."""
        for _ in range(self.times):
            self.made = self.make()

    def hold(self) -> None:
        """Hold one list."""
        self.made = ()
        self.made = self.make()

    def fields(self, row: int) -> tuple[int, bytes, bytes, bytes]:
        """Return id, MAC, IPv4 and IPv6 address of one of them."""
        raise NotImplementedError

    def check(self) -> None:
        """Raise unless the first and the last are what they should be, and none is missing."""
        if len(self.made) != self.length:
            raise WrongResultError(f"{len(self.made)} interfaces are in the list, not {self.length}")
        for row in (0, self.length - 1):
            wanted = (row, self.macs[row], self.ipv4s[row], self.ipv6s[row])
            if self.fields(row) != wanted:
                raise WrongResultError(f"interface {row} is {self.fields(row)}, not {wanted}")


class _Ours(InterfaceTask):
    """Ours: ``InterfaceList``."""

    def fields(self, row: int) -> tuple[int, Any, Any, Any]:
        """Return them."""
        made = self.made
        return made.id(row), made.mac(row), made.ipv4(row), made.ipv6(row)


class OursAppend(_Ours):
    """``append`` once per interface."""

    faster = 5

    def make(self) -> Any:
        """Make one list."""
        from driverapi._native import InterfaceList

        made = InterfaceList()
        append = made.append
        row = 0
        for mac, ipv4, ipv6 in zip(self.macs, self.ipv4s, self.ipv6s, strict=True):
            append(row, mac, ipv4, PREFIX, ipv6, PREFIX6)
            row += 1  # noqa: SIM113 - as the peers count
        return made


class OursRead(OursAppend):
    """Each field of each interface, one at a time."""

    faster = 1

    def setup(self) -> None:
        """Make the list."""
        self.made = self.make()

    def run(self) -> None:
        """Read."""
        made = self.made
        read_id, mac, ipv4, ipv6 = made.id, made.mac, made.ipv4, made.ipv6
        for _ in range(self.times):
            for row in range(self.length):
                read_id(row), mac(row), ipv4(row), ipv6(row)


class OursFill(_Ours):
    """``extend``, then ``fill`` of two ``IPPool`` and of a ``MACPool``: pools made afresh, on the clock."""

    faster = 20

    def make(self) -> Any:
        """Make one list."""
        from driverapi._native import InterfaceList, IPPool, MACPool

        made, length = InterfaceList(), self.length
        made.extend(length)
        IPPool("10.77.0.0/16").fill(made, 0, length)
        IPPool("fd77::/64").fill(made, 0, length)
        MACPool(self.seed).fill(made, 0, length)
        return made

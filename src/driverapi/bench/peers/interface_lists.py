"""Peers of family ``iflist``: a list of objects, whose fields are bytes, ``ipaddress`` or netaddr objects."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface
from typing import Any, NamedTuple

import netaddr

from driverapi.bench.iflist import PREFIX, PREFIX6, InterfaceTask

__all__ = [
    "AppendBytes",
    "AppendIpaddress",
    "AppendNetaddr",
    "FillBytes",
    "FillNetaddr",
    "ReadBytes",
    "ReadNetaddr",
]


@dataclass(slots=True)
class _Record:
    """An interface with packed fields, or with addresses that carry their prefix length."""

    id: int
    mac: Any
    ipv4: Any
    ipv4_prefix: int
    ipv6: Any
    ipv6_prefix: int


class _Objects(NamedTuple):
    id: int
    mac: Any
    ipv4: Any
    ipv6: Any


class AppendBytes(InterfaceTask):
    """A dataclass with slots, its fields bytes."""

    def make(self) -> list[Any]:
        """Make one list."""
        made: list[Any] = []
        append = made.append
        row = 0
        for mac, ipv4, ipv6 in zip(self.macs, self.ipv4s, self.ipv6s, strict=True):
            append(_Record(row, mac, ipv4, PREFIX, ipv6, PREFIX6))
            row += 1  # noqa: SIM113 - as ours counts
        return made

    def fields(self, row: int) -> tuple[int, bytes, bytes, bytes]:
        """Return them."""
        one = self.made[row]
        return one.id, one.mac, one.ipv4, one.ipv6


class AppendIpaddress(AppendBytes):
    """A named tuple with ``IPv4Interface`` and ``IPv6Interface``."""

    def make(self) -> list[Any]:
        """Make one list."""
        made: list[Any] = []
        append = made.append
        row = 0
        for mac, ipv4, ipv6 in zip(self.macs, self.ipv4s, self.ipv6s, strict=True):
            append(_Objects(row, mac, IPv4Interface((ipv4, PREFIX)), IPv6Interface((ipv6, PREFIX6))))
            row += 1  # noqa: SIM113 - as ours counts
        return made

    def fields(self, row: int) -> tuple[int, bytes, bytes, bytes]:
        """Return them."""
        one = self.made[row]
        return one.id, one.mac, one.ipv4.packed, one.ipv6.packed


class AppendNetaddr(AppendBytes):
    """A named tuple with netaddr's ``EUI`` and ``IPNetwork``."""

    def make(self) -> list[Any]:
        """Make one list."""
        made: list[Any] = []
        append = made.append
        number = int.from_bytes
        row = 0
        for mac, ipv4, ipv6 in zip(self.macs, self.ipv4s, self.ipv6s, strict=True):
            append(
                _Objects(
                    row,
                    netaddr.EUI(number(mac, "big"), version=48),
                    netaddr.IPNetwork((number(ipv4, "big"), PREFIX), version=4),
                    netaddr.IPNetwork((number(ipv6, "big"), PREFIX6), version=6),
                )
            )
            row += 1  # noqa: SIM113 - as ours counts
        return made

    def fields(self, row: int) -> tuple[int, bytes, bytes, bytes]:
        """Return them."""
        one = self.made[row]
        return one.id, one.mac.packed, one.ipv4.ip.packed, one.ipv6.ip.packed


class FillBytes(AppendBytes):
    """One comprehension; each address the next number, packed."""

    def make(self) -> list[Any]:
        """Make one list."""
        low, low6 = 0x0A4D0001, (0xFD77 << 112) + 1
        return [
            _Record(
                row,
                b"\x02\x42" + (packed := (low + row).to_bytes(4, "big")),
                packed,
                PREFIX,
                (low6 + row).to_bytes(16, "big"),
                PREFIX6,
            )
            for row in range(self.length)
        ]


class FillNetaddr(AppendNetaddr):
    """One comprehension; each address the next number, as an object."""

    def make(self) -> list[Any]:
        """Make one list."""
        low, low6 = 0x0A4D0001, (0xFD77 << 112) + 1
        return [
            _Objects(
                row,
                netaddr.EUI(0x0242 << 32 | low + row, version=48),
                netaddr.IPNetwork((low + row, PREFIX), version=4),
                netaddr.IPNetwork((low6 + row, PREFIX6), version=6),
            )
            for row in range(self.length)
        ]


class ReadBytes(AppendBytes):
    """Each field of each record."""

    def setup(self) -> None:
        """Make the list."""
        self.made = self.make()

    def run(self) -> None:
        """Read."""
        made = self.made
        for _ in range(self.times):
            for row in range(self.length):
                one = made[row]
                one.id, one.mac, one.ipv4, one.ipv6  # noqa: B018 - reading is the work


class ReadNetaddr(AppendNetaddr):
    """Each field of each record, packed."""

    def setup(self) -> None:
        """Make the list."""
        self.made = self.make()

    def run(self) -> None:
        """Read."""
        made = self.made
        for _ in range(self.times):
            for row in range(self.length):
                one = made[row]
                one.id, one.mac.packed, one.ipv4.ip.packed, one.ipv6.ip.packed  # noqa: B018 - reading is the work

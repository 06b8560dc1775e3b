"""Peers of family ``decode``: pyroute2's dumps and parser, and ``ip -json``."""

from __future__ import annotations

import json
import subprocess
from socket import AF_INET
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.rtnl.marshal import MarshalRtnl

from driverapi.bench.decode import DumpTask, OursAddresses, OursParse
from driverapi.bench.task import Parameters

__all__ = ["Addresses", "IpAddresses", "IpLinks", "Links", "Parse"]


def _five(link: Any) -> tuple[Any, ...]:
    get = link.get_attr
    return link["index"], get("IFLA_IFNAME"), get("IFLA_ADDRESS"), get("IFLA_MASTER"), link["flags"]


class Links(DumpTask):
    """``get_links``, and five fields of each message."""

    def setup(self) -> None:
        """Open the socket."""
        super().setup()
        self.ipr = IPRoute()

    def run(self) -> None:
        """Read."""
        self.seen = [_five(one) for one in self.ipr.get_links()]

    def teardown(self) -> None:
        """Close it."""
        self.ipr.close()


class Parse(OursParse):
    """``MarshalRtnl.parse``, and five fields of each message."""

    def run(self) -> None:
        """Parse and read."""
        self.seen = [_five(one) for one in MarshalRtnl().parse(self.data)]


class Addresses(Links):
    """``get_addr``, and three fields of each message."""

    def run(self) -> None:
        """Read."""
        dump = self.ipr.get_addr(family=AF_INET)
        self.seen = [(one["index"], one.get_attr("IFA_ADDRESS"), one["prefixlen"]) for one in dump]

    check = OursAddresses.check
    packed_ip = OursAddresses.packed_ip


class IpLinks(DumpTask):
    """``ip -json link show`` in a process, and ``json.loads``."""

    def run(self) -> None:
        """Read."""
        said = subprocess.run(["ip", "-json", "link", "show"], capture_output=True, check=True).stdout  # noqa: S607
        self.seen = [
            (one["ifindex"], one["ifname"], one["address"], _INDEX.get(one.get("master", "")), one["flags"])
            for one in json.loads(said)
        ]


class IpAddresses(DumpTask):
    """``ip -json -4 addr show`` in a process, and ``json.loads``."""

    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__(parameters, seed)

    def run(self) -> None:
        """Read."""
        said = subprocess.run(["ip", "-json", "-4", "addr", "show"], capture_output=True, check=True).stdout  # noqa: S607
        self.seen = [
            (one["ifindex"], info["local"], info["prefixlen"]) for one in json.loads(said) for info in one["addr_info"]
        ]

    check = OursAddresses.check
    packed_ip = OursAddresses.packed_ip


_INDEX = {"br0": 900}
"""A name is all that it says of a bridge."""

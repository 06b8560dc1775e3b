"""Peers of family ``churn``: pyroute2, written as well as it allows and plainly, on a bridge or routed.

``Best``: the peer is born in its namespace under its final name and index, one queue per end, the host end is born
up, a socket is opened inside, nothing is looked up; all links of a burst are deleted by their group.
``NoFork`` makes the namespaces in the calling process, a step beyond its documentation (see
:mod:`~driverapi.bench.peers.pyroute2_bringup`). ``Plain`` is the way of tutorials.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute, NetNS, netns

from driverapi.bench.churn import BRIDGE, GATEWAY, NETNS, PREFIX, ChurnTask
from driverapi.bench.peers.pyroute2_encode import link_info
from driverapi.bench.task import Parameters

__all__ = ["Best", "NoFork", "Plain"]

_BRIDGE_INDEX = 500
_LO = 1
_FIRST_INDEX = 1000
_GROUP = 4242
_ONLINK = 4  # RTNH_F_ONLINK


class _PyRoute2(ChurnTask):
    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__(parameters, seed)
        self.hosts = [f"vh{number}" for number in range(self.units)]
        self.prefix = 32 if self.routed else PREFIX

    def network(self) -> None:
        """Make the bridge with the gateway's address; routed, it stands on ``lo``."""
        self.ipr = IPRoute()
        if self.routed:
            self.ipr.addr("add", index=_LO, address=GATEWAY, prefixlen=32)
        else:
            self.ipr.link("add", index=_BRIDGE_INDEX, ifname=BRIDGE, kind="bridge", address="02:42:0a:4d:00:01")
            self.ipr.link("set", index=_BRIDGE_INDEX, state="up")
            self.ipr.addr("add", index=_BRIDGE_INDEX, address=GATEWAY, prefixlen=PREFIX)

    def default_route(self, inside: Any, index: int) -> None:
        """Add it."""
        if self.routed:
            inside.route("add", dst="default", gateway=GATEWAY, oif=index, flags=_ONLINK)
        else:
            inside.route("add", dst="default", gateway=GATEWAY, oif=index)

    def settle(self) -> None:
        """Remove what all shared."""
        if self.routed:
            self.ipr.addr("del", index=_LO, address=GATEWAY, prefixlen=32)
        else:
            self.ipr.link("del", index=_BRIDGE_INDEX)
        self.ipr.close()


class Best(_PyRoute2):
    """As well as the documented interface allows."""

    def network(self) -> None:
        """Make it; links shall not make link-local addresses that nobody uses: one write for all."""
        Path("/proc/sys/net/ipv6/conf/default/addr_gen_mode").write_text("1")
        super().network()
        self.born: dict[str, Any] = {} if self.routed else {"master": _BRIDGE_INDEX}

    def enter(self, path: str) -> None:
        """Make a namespace at a path and enter it, the present one being saved."""
        netns.create(path)
        netns.pushns(path)

    def up(self, numbers: range) -> None:
        """Bring a burst up, one after the other."""
        link = self.ipr.link
        for number in numbers:
            path = f"{NETNS}/{self.names[number]}"
            self.enter(path)
            inside = IPRoute()
            netns.popns()
            namespace = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            link(
                "add",
                index=_FIRST_INDEX + number,
                ifname=self.hosts[number],
                num_tx_queues=1,
                num_rx_queues=1,
                group=_GROUP + numbers.start,
                state="up",
                IFLA_LINKINFO=link_info(namespace),
                **self.born,
            )
            os.close(namespace)
            inside.link("set", index=1, state="up")
            inside.addr("add", index=2, address=self.addresses[number], prefixlen=self.prefix)
            inside.link("set", index=2, state="up")
            self.default_route(inside, 2)
            inside.close()
            if self.routed:
                self.ipr.route("add", dst=f"{self.addresses[number]}/32", oif=_FIRST_INDEX + number, scope=253)

    def down(self, numbers: range) -> None:
        """Delete the links by their group, then the namespaces."""
        self.ipr.link("del", group=_GROUP + numbers.start)
        for number in numbers:
            netns.remove(f"{NETNS}/{self.names[number]}")


class NoFork(Best):
    """The same with the namespace made by this process."""

    def enter(self, path: str) -> None:
        """Make a namespace at a path and be in it, the present one being saved."""
        netns.pushns()
        netns.setns(path, flags=os.O_CREAT, fork=False)


class Plain(_PyRoute2):
    """As tutorials have it."""

    most = 200

    def up(self, numbers: range) -> None:
        """Bring a burst up, one after the other."""
        ipr = self.ipr
        for number in numbers:
            name = self.names[number]
            netns.create(name)
            ipr.link("add", ifname=self.hosts[number], kind="veth", peer=f"vp{number}")
            host = _index(ipr, self.hosts[number])
            peer = _index(ipr, f"vp{number}")
            ipr.link("set", index=peer, net_ns_fd=name)
            if not self.routed:
                ipr.link("set", index=host, master=_BRIDGE_INDEX)
            ipr.link("set", index=host, state="up")
            with NetNS(name) as inside:
                inside.link("set", index=_index(inside, "lo"), state="up")
                eth0 = _index(inside, f"vp{number}")
                inside.link("set", index=eth0, ifname="eth0")
                inside.addr("add", index=eth0, address=self.addresses[number], prefixlen=self.prefix)
                inside.link("set", index=eth0, state="up")
                self.default_route(inside, eth0)
            if self.routed:
                ipr.route("add", dst=f"{self.addresses[number]}/32", oif=host)

    def down(self, numbers: range) -> None:
        """Look each link up, delete it, remove its namespace."""
        for number in numbers:
            self.ipr.link("del", index=_index(self.ipr, self.hosts[number]))
            netns.remove(self.names[number])


def _index(where: Any, name: str) -> int:
    index: int = where.link_lookup(ifname=name)[0]
    return index

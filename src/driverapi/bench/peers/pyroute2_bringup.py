"""Peers of family ``bringup``: pyroute2, written three ways, for the same result.

Each endpoint gets a namespace bound to a path, lo up, eth0 up with its addresses, a default
route, and a host end that is up and a port of the bridge. The bridge with its gateway
addresses is there before the clock starts, as ours is.

``Best`` is what its documented interface allows to someone who knows the kernel: the peer
is born in its namespace under its final name and index, one queue per end, the host end is
born enslaved and up, a socket is opened inside of the namespace, nothing is looked up,
duplicate address detection is not waited for. The namespace comes from ``netns.create``, which
forks a child; that is what pyroute2 offers, and what its documentation shows.

``NoFork`` goes one step beyond the documentation: ``netns.setns`` with ``fork=False`` makes the
namespace in the calling process. It wants a process with one thread, which goes in and out
of every namespace: no controller could afford that. It is here as the least that a
program could take that talks to the kernel through pyroute2.

``Plain`` is the way of tutorials and answers to questions.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute, NetNS, netns

from driverapi.bench import probe
from driverapi.bench.encode import address_of
from driverapi.bench.peers.pyroute2_encode import link_info
from driverapi.bench.task import Parameters, Task

__all__ = ["Best", "NoFork", "Plain"]

_BRIDGE = "br0"
_BRIDGE_INDEX = 500
_GATEWAY, _PREFIX = "10.77.0.1", 16
_GATEWAY6, _PREFIX6 = "fd77::1", 64
_GROUP = 4242
_NODAD = 0x02  # IFA_F_NODAD
_DIRECTORY = "/run/netns"


class _PyRoute2(Task):
    """The bridge, the names and addresses, and the check: alike for all three."""

    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__(parameters, seed)
        self.ipv6: bool = parameters["ipv6"]
        numbers = range(self.units)
        self.names = [f"bench{number}" for number in numbers]
        self.paths = [f"{_DIRECTORY}/{name}" for name in self.names]
        self.hosts = [f"vh{number}" for number in numbers]
        self.addresses = [address_of(number) for number in numbers]
        self.addresses6 = [f"fd77::{number + 2:x}" for number in numbers]
        Path(_DIRECTORY).mkdir(parents=True, exist_ok=True)

    def prepare(self) -> None:
        """Do what helps all links that come, once."""

    def setup(self) -> None:
        """Make the bridge with its gateway addresses."""
        self.prepare()
        self.ipr = IPRoute()
        self.ipr.link("add", index=_BRIDGE_INDEX, ifname=_BRIDGE, kind="bridge", address="02:42:0a:4d:00:01")
        self.ipr.link("set", index=_BRIDGE_INDEX, state="up")
        self.ipr.addr("add", index=_BRIDGE_INDEX, address=_GATEWAY, prefixlen=_PREFIX)
        if self.ipv6:
            self.ipr.addr("add", index=_BRIDGE_INDEX, address=_GATEWAY6, prefixlen=_PREFIX6, flags=_NODAD)
        self.links = probe.host_links()

    def check(self) -> None:
        """Raise unless every sandbox is as it should be, and gateways answer."""
        gateways = [_GATEWAY, _GATEWAY6] if self.ipv6 else [_GATEWAY]
        probe.check_sandboxes(self.paths, gateways, addresses=self.addresses)

    def settle(self) -> None:
        """Remove the bridge and let the kernel finish with the namespaces."""
        self.ipr.link("del", index=_BRIDGE_INDEX)
        self.ipr.close()
        time.sleep(0.2 + 0.002 * self.units)


class Best(_PyRoute2):
    """As well as the documented interface allows."""

    def prepare(self) -> None:
        """Links born on the host shall not make link-local addresses that nobody uses: one write for all."""
        Path("/proc/sys/net/ipv6/conf/default/addr_gen_mode").write_text("1")

    def enter(self, path: str) -> None:
        """Make a namespace at a path and enter it, the present one being saved."""
        netns.create(path)
        netns.pushns(path)

    def run(self) -> None:
        """Bring all up, one after the other."""
        link = self.ipr.link
        for number, path in enumerate(self.paths):
            self.enter(path)
            inside = IPRoute()
            netns.popns()
            namespace = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            link(
                "add",
                index=1000 + number,
                ifname=self.hosts[number],
                num_tx_queues=1,
                num_rx_queues=1,
                master=_BRIDGE_INDEX,
                group=_GROUP,
                state="up",
                IFLA_LINKINFO=link_info(namespace),
            )
            os.close(namespace)
            inside.link("set", index=1, state="up")
            inside.addr("add", index=2, address=self.addresses[number], prefixlen=_PREFIX)
            if self.ipv6:
                inside.addr("add", index=2, address=self.addresses6[number], prefixlen=_PREFIX6, flags=_NODAD)
            inside.link("set", index=2, state="up")
            inside.route("add", dst="default", gateway=_GATEWAY, oif=2)
            if self.ipv6:
                inside.route("add", dst="default", gateway=_GATEWAY6, oif=2)
            inside.close()

    def teardown(self) -> None:
        """Delete the links by their group, then the namespaces; over when the links are gone."""
        self.ipr.link("del", group=_GROUP)
        for path in self.paths:
            netns.remove(path)
        probe.wait_for_links(self.links)


class NoFork(Best):
    """The same with the namespace made by this process."""

    def enter(self, path: str) -> None:
        """Make a namespace at a path and be in it, the present one being saved."""
        netns.pushns()
        netns.setns(path, flags=os.O_CREAT, fork=False)


class Plain(_PyRoute2):
    """As tutorials have it."""

    def run(self) -> None:
        """Bring all up, one after the other."""
        ipr = self.ipr
        for number, name in enumerate(self.names):
            netns.create(name)
            ipr.link("add", ifname=self.hosts[number], kind="veth", peer=f"vp{number}")
            host = _index(ipr, self.hosts[number])
            peer = _index(ipr, f"vp{number}")
            ipr.link("set", index=peer, net_ns_fd=name)
            ipr.link("set", index=host, master=_BRIDGE_INDEX)
            ipr.link("set", index=host, state="up")
            with NetNS(name) as inside:
                inside.link("set", index=_index(inside, "lo"), state="up")
                eth0 = _index(inside, f"vp{number}")
                inside.link("set", index=eth0, ifname="eth0")
                inside.addr("add", index=eth0, address=self.addresses[number], prefixlen=_PREFIX)
                if self.ipv6:
                    inside.addr("add", index=eth0, address=self.addresses6[number], prefixlen=_PREFIX6, flags=_NODAD)
                inside.link("set", index=eth0, state="up")
                inside.route("add", dst="default", gateway=_GATEWAY)
                if self.ipv6:
                    inside.route("add", dst="default", gateway=_GATEWAY6)

    def teardown(self) -> None:
        """Look each link up, delete it, remove its namespace."""
        for name, host in zip(self.names, self.hosts, strict=True):
            self.ipr.link("del", index=_index(self.ipr, host))
            netns.remove(name)
        probe.wait_for_links(self.links)


def _index(where: Any, name: str) -> int:
    index: int = where.link_lookup(ifname=name)[0]
    return index

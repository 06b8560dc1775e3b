"""Peer of family ``encode``: pyroute2, in the two ways it offers.

``Message…`` fills a message class by hand and encodes it: the least that pyroute2 can do.
``Batch…`` is ``IPBatch``, its batch compiler, with the arguments that people write.
"""

from __future__ import annotations

from socket import AF_INET
from typing import Any

from pyroute2 import IPBatch
from pyroute2.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST
from pyroute2.netlink.rtnl import RTM_NEWADDR, RTM_NEWLINK, RTM_NEWROUTE
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import IFF_UP, ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from driverapi.bench.encode import BROADCAST, PREFIX, ROUTE, VETH, EncodeTask

__all__ = [
    "BatchAddress",
    "BatchRoute",
    "BatchVeth",
    "MessageAddress",
    "MessageRoute",
    "MessageVeth",
    "link_info",
]

_CREATE = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL


def link_info(namespace: int, *, mac: str = "", mtu: int = 0, queues: int = 1) -> dict[str, Any]:
    """Return ``IFLA_LINKINFO`` of a veth whose peer is born in a namespace, with an index of its own.

    Written out because the short form, ``peer={…}``, has no room for the peer's index.
    """
    attrs: list[tuple[str, Any]] = [
        ("IFLA_IFNAME", VETH.peer),
        ("IFLA_NET_NS_FD", namespace),
        ("IFLA_NUM_TX_QUEUES", queues),
        ("IFLA_NUM_RX_QUEUES", queues),
    ]
    if mac:
        attrs.append(("IFLA_ADDRESS", mac))
    if mtu:
        attrs.append(("IFLA_MTU", mtu))
    peer = ("VETH_INFO_PEER", {"index": 2, "attrs": attrs})
    return {"attrs": [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", {"attrs": [peer]})]}


def _full_link_info() -> dict[str, Any]:
    return link_info(VETH.namespace, mac=VETH.peer_mac, mtu=VETH.mtu, queues=VETH.queues)


class _Message(EncodeTask):
    def encode(self, number: int) -> bytearray:
        """Return the n-th message."""
        raise NotImplementedError

    def run(self) -> None:
        """Encode."""
        encode = self.encode
        buffer = bytearray()
        for _ in range(self.times):
            buffer.clear()
            for number in range(len(self.names)):
                buffer += encode(number)
        self.bytes = len(buffer)
        self.buffer = buffer


def _bytes(message: Any, kind: int, number: int) -> bytearray:
    header = message["header"]
    header["type"] = kind
    header["flags"] = _CREATE
    header["sequence_number"] = number
    header["pid"] = 0
    message.encode()
    data: bytearray = message.data
    return data


class MessageVeth(_Message):
    """``ifinfmsg`` with every option."""

    shortest = 150

    def encode(self, number: int) -> bytearray:
        """Return the n-th message."""
        message = ifinfmsg()
        message["index"] = 1000 + number
        message["flags"] = message["change"] = IFF_UP
        message["attrs"] = [
            ("IFLA_IFNAME", self.names[number]),
            ("IFLA_ADDRESS", VETH.mac),
            ("IFLA_MASTER", VETH.master),
            ("IFLA_MTU", VETH.mtu),
            ("IFLA_GROUP", VETH.group),
            ("IFLA_NUM_TX_QUEUES", VETH.queues),
            ("IFLA_NUM_RX_QUEUES", VETH.queues),
            ("IFLA_LINKINFO", _full_link_info()),
        ]
        return _bytes(message, RTM_NEWLINK, number)


class MessageAddress(_Message):
    """``ifaddrmsg``."""

    shortest = 40

    def encode(self, number: int) -> bytearray:
        """Return the n-th message."""
        address = self.addresses[number]
        message = ifaddrmsg()
        message["family"] = AF_INET
        message["index"] = 2
        message["prefixlen"] = PREFIX
        message["attrs"] = [
            ("IFA_LOCAL", address),
            ("IFA_ADDRESS", address),
            ("IFA_BROADCAST", BROADCAST),
        ]
        return _bytes(message, RTM_NEWADDR, number)


class MessageRoute(_Message):
    """``rtmsg``."""

    shortest = 44

    def encode(self, number: int) -> bytearray:
        """Return the n-th message."""
        message = rtmsg()
        message["family"] = AF_INET
        message["table"] = 254
        message["proto"] = 4
        message["type"] = 1
        message["attrs"] = [("RTA_GATEWAY", ROUTE.gateway), ("RTA_OIF", ROUTE.index)]
        return _bytes(message, RTM_NEWROUTE, number)


class _Batch(EncodeTask):
    def setup(self) -> None:
        """Make the compiler; it holds an event loop, and a socket that it does not use."""
        self.compiler = IPBatch()

    def add(self, number: int) -> None:
        """Add the n-th message."""
        raise NotImplementedError

    def run(self) -> None:
        """Encode."""
        add = self.add
        for _ in range(self.times):
            self.compiler.reset()
            for number in range(len(self.names)):
                add(number)
        self.buffer = self.compiler.batch
        self.bytes = len(self.buffer)

    def teardown(self) -> None:
        """Close it."""
        self.compiler.close()


class BatchVeth(_Batch):
    """``link("add", …)`` with every option."""

    shortest = 150

    def add(self, number: int) -> None:
        """Add the n-th message."""
        self.compiler.link(
            "add",
            index=1000 + number,
            ifname=self.names[number],
            address=VETH.mac,
            master=VETH.master,
            mtu=VETH.mtu,
            group=VETH.group,
            num_tx_queues=VETH.queues,
            num_rx_queues=VETH.queues,
            state="up",
            IFLA_LINKINFO=_full_link_info(),
        )


class BatchAddress(_Batch):
    """``addr("add", …)``."""

    shortest = 40

    def add(self, number: int) -> None:
        """Add the n-th message."""
        address = self.addresses[number]
        self.compiler.addr("add", index=2, address=address, prefixlen=PREFIX, broadcast=BROADCAST)


class BatchRoute(_Batch):
    """``route("add", …)``."""

    shortest = 44

    def add(self, number: int) -> None:
        """Add the n-th message."""
        self.compiler.route("add", dst="default", gateway=ROUTE.gateway, oif=ROUTE.index)

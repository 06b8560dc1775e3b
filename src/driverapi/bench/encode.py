"""Family ``encode``: rtnetlink messages from Python values to bytes; no socket is touched.

The messages are those of a bring-up: a veth pair with its options, an address, a default
route. All contenders encode the same ones (a test decodes them and compares).
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from ipaddress import ip_address

from driverapi.bench.task import Parameters, Task, WrongResultError

__all__ = [
    "BROADCAST",
    "PREFIX",
    "ROUTE",
    "VETH",
    "EncodeTask",
    "OursAddress",
    "OursColumns",
    "OursRoute",
    "OursVeth",
    "address_of",
]


@dataclass(frozen=True, slots=True)
class _Veth:
    """The options that each veth message carries, beside its name and indexes."""

    peer: str = "eth0"
    namespace: int = 7  # a descriptor is but a number to an encoder
    mac: str = "02:42:0a:4d:00:fe"
    peer_mac: str = "02:42:0a:4d:00:02"
    master: int = 500
    mtu: int = 1450
    group: int = 17
    queues: int = 1


@dataclass(frozen=True, slots=True)
class _Route:
    """The default route of each sandbox."""

    gateway: str = "10.77.0.1"
    index: int = 2


VETH = _Veth()
ROUTE = _Route()
PREFIX = 16
BROADCAST = "10.77.255.255"
BATCH = 100
"""Messages in one buffer, before it is emptied and used again."""


def address_of(number: int) -> str:
    """Return the address of the n-th endpoint of 10.77.0.0/16, the gateway left out."""
    return f"10.77.{(number + 2) >> 8}.{(number + 2) & 255}"


class EncodeTask(Task):
    """Messages are encoded a hundred to a buffer, as many times over as makes the count."""

    shortest = 0
    """No message of this kind is shorter, in bytes: the check that something was encoded."""

    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__(parameters, seed)
        self.times = self.units // BATCH
        self.units = self.times * BATCH
        self.bytes = 0
        # What a caller has in hand; making it is not the encoder's work.
        self.names = [f"dv{number:05x}" for number in range(BATCH)]
        self.addresses = [address_of(number) for number in range(BATCH)]
        self.packed = [ip_address(text).packed for text in self.addresses]

    def check(self) -> None:
        """Raise unless the last buffer holds a hundred messages."""
        if self.bytes < self.shortest * BATCH:
            raise WrongResultError(f"{self.bytes} bytes are not {BATCH} messages")


class _Ours(EncodeTask):
    """Ours: one verb of ``Batch`` a message."""

    def __init__(self, parameters: Parameters, seed: int) -> None:
        # More of them than the peers do: a round of ours would be over before it is measured.
        super().__init__({**parameters, "count": parameters["count"] * 100}, seed)

    def setup(self) -> None:
        """Make the batch; it is used again and again, as the dataplane does."""
        from driverapi._native import Batch

        self.batch = Batch()

    def check(self) -> None:
        """Raise unless the batch holds a hundred messages."""
        self.bytes = len(bytes(self.batch))
        super().check()


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


class OursVeth(_Ours):
    """``add_veth`` with every option."""

    shortest = 150

    def run(self) -> None:
        """Encode."""
        batch = self.batch
        clear, add_veth, names = batch.clear, batch.add_veth, self.names
        mac, peer_mac = _mac(VETH.mac), _mac(VETH.peer_mac)
        peer, namespace, master = VETH.peer, VETH.namespace, VETH.master
        mtu, group, queues = VETH.mtu, VETH.group, VETH.queues
        for _ in range(self.times):
            clear()
            for number, name in enumerate(names):
                add_veth(
                    name,
                    peer,
                    index=1000 + number,
                    peer_index=2,
                    namespace=namespace,
                    mac=mac,
                    peer_mac=peer_mac,
                    master=master,
                    mtu=mtu,
                    group=group,
                    up=True,
                    queues=queues,
                )


class OursAddress(_Ours):
    """``add_address``."""

    shortest = 40

    def run(self) -> None:
        """Encode."""
        clear, add_address, packed = self.batch.clear, self.batch.add_address, self.packed
        for _ in range(self.times):
            clear()
            for address in packed:
                add_address(2, address, PREFIX)


class OursRoute(_Ours):
    """``add_route``."""

    shortest = 44

    def run(self) -> None:
        """Encode."""
        clear, add_route = self.batch.clear, self.batch.add_route
        gateway, index = ip_address(ROUTE.gateway).packed, ROUTE.index
        for _ in range(self.times):
            clear()
            for _ in range(BATCH):
                add_route(gateway=gateway, index=index)


class OursColumns(Task):
    """``add_veths`` once for many, from a name pattern, an interface list and descriptors: no loop in Python."""

    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__(parameters, seed)
        self.messages: int = parameters["messages"]
        self.times = max(1, self.units * 200 // self.messages)
        self.units = self.times * self.messages
        self.namespaces = array("i", [VETH.namespace] * self.messages)

    def setup(self) -> None:
        """Fill a list with MACs, and make the batch."""
        from driverapi._native import Batch, InterfaceList, MACPool

        self.interfaces = InterfaceList()
        self.interfaces.extend(self.messages)
        MACPool(self.seed).fill(self.interfaces, 0, self.messages)
        self.batch = Batch()

    def run(self) -> None:
        """Encode."""
        batch, interfaces, namespaces = self.batch, self.interfaces, self.namespaces
        mac = _mac(VETH.mac)
        for _ in range(self.times):
            batch.clear()
            batch.add_veths(
                "dv%05x",
                interfaces,
                namespaces=namespaces,
                peer=VETH.peer,
                index=1000,
                peer_index=2,
                mac=mac,
                master=VETH.master,
                mtu=VETH.mtu,
                group=VETH.group,
                up=True,
                queues=VETH.queues,
            )

    def check(self) -> None:
        """Raise unless the first and the last are those of ``add_veth``, and none is missing."""
        from driverapi._native import Batch

        if len(self.batch) != self.messages:
            raise WrongResultError(f"{len(self.batch)} messages, not {self.messages}")
        for number in (0, self.messages - 1):
            single = Batch()
            single.add_veth(
                f"dv{number:05x}",
                VETH.peer,
                index=1000 + number,
                peer_index=2,
                namespace=VETH.namespace,
                mac=_mac(VETH.mac),
                peer_mac=self.interfaces.mac(number),
                master=VETH.master,
                mtu=VETH.mtu,
                group=VETH.group,
                up=True,
                queues=VETH.queues,
            )
            # Sequence numbers, at 8 of 16, are those of the place in the batch.
            one, other = single.message(0), self.batch.message(number)
            if (one[:8], one[12:]) != (other[:8], other[12:]):
                raise WrongResultError(f"message {number} is not that of add_veth")

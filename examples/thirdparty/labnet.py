"""Network type ``labnet``: an isolated segment, on which a node's number tells its addresses.

Node 7 of a network with prefix 10.9.0.0/24 has 10.9.0.7 and 02:6c:61:62:00:07. No gateway, no way out.
"""

import threading

from driverapi import Driver, EndpointInfo, JoinInfo, Origin, VethLink, errors, labels
from driverapi.api import Options
from driverapi.plan import Address, BridgeLink, NetworkPlan

NODE = "labnet.node"


class LabDriver(Driver):
    """Numbers the nodes of each network from 1: the wanted number, or the lowest that is free. 0 is the bridge."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._networks: dict[str, tuple[Address, dict[str, int]]] = {}

    def type(self) -> str:
        return "labnet"

    def create_network(self, network_id: str, options: Options) -> None:
        pools = [one.pool for one in options[labels.IPAM_DATA] if one.pool.version == 4]
        if not pools:
            raise errors.InvalidError("a labnet network needs an IPv4 prefix, such as ipv4='10.9.0.0/24'")
        self._networks[network_id] = (pools[0], {})

    def network_plan(self, network_id: str) -> NetworkPlan:
        return NetworkPlan((BridgeLink("lab", mac=b"\2lab\0\0"),))

    def delete_network(self, network_id: str) -> None:
        self._networks.pop(network_id, None)

    def create_endpoint(self, network_id: str, endpoint_id: str, info: EndpointInfo, options: Options) -> None:
        pool, nodes = self._networks[network_id]
        if info.origin is not Origin.EMPTY:
            raise errors.InvalidError(f"labnet numbers its nodes itself: give option {NODE!r}, no addresses")
        with self._lock:
            free = next(number for number in range(1, 1 << 16) if number not in nodes.values())
            node = labels.as_int(NODE, options.get(NODE, free), 1, (1 << 16) - 1)
            if node in nodes.values():
                raise errors.AddressTakenError(f"node {node} is there already; choose another {NODE!r}")
            ip = (int.from_bytes(pool.ip, "big") + node).to_bytes(4, "big")
            info.add_interface(0, mac=b"\2lab" + node.to_bytes(2, "big"), ipv4=Address(ip, pool.prefix))
            nodes[endpoint_id] = node

    def delete_endpoint(self, network_id: str, endpoint_id: str) -> None:
        with self._lock:
            self._networks[network_id][1].pop(endpoint_id, None)

    def join(self, network_id: str, endpoint_id: str, sandbox_key: str, info: JoinInfo, options: Options) -> None:
        for interface in info.interface_names:
            interface.set_link(VethLink(master="lab"), prefix="lab")

    def leave(self, network_id: str, endpoint_id: str) -> None:
        """Nothing to do: what was declared is taken away."""

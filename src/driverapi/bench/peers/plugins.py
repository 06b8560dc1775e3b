"""Peers of family ``churn`` that run a program for each endpoint: CNI's ``bridge`` plugin, and ``netavark``.

Namespaces come from ``ip -batch`` (``netns add``), one process for a burst, and count. A first endpoint is made before
the clock and kept: so the bridge is there, as it is for the others, and netavark does not take it away with
the last endpoint. Both are asked for what their users ask for: CNI without masquerading; netavark always sets up its
chains of iptables, once for the network.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from driverapi.bench.churn import BRIDGE, GATEWAY, NETNS, PREFIX, ChurnTask
from driverapi.bench.peers.iproute2 import ip
from driverapi.bench.peers.paths import CNI_BRIDGE, NETAVARK
from driverapi.bench.task import Parameters

__all__ = ["CNI", "Netavark", "NetavarkInternal"]

_STATE = "/run/bench-plugins"  # /run is a tmpfs of our own
_KEEPER = "keeper"
_SUBNET = f"10.77.0.0/{PREFIX}"


def _run(command: list[str], document: Any, environment: dict[str, str] | None = None) -> Any:
    done = subprocess.run(  # noqa: S603
        command,
        input=json.dumps(document),
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()} {done.stdout.strip()}")
    return json.loads(done.stdout) if done.stdout.strip() else None


class _Plugins(ChurnTask):
    most = 200

    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__(parameters, seed)
        # The keeper has the first address.
        self.addresses = [f"10.77.{number >> 8}.{number & 255}" for number in range(3, self.units + 3)]
        Path(_STATE).mkdir(parents=True, exist_ok=True)

    def add(self, name: str, address: str) -> None:
        """Connect one namespace."""
        raise NotImplementedError

    def delete(self, name: str, address: str) -> None:
        """Disconnect one namespace."""
        raise NotImplementedError

    def network(self) -> None:
        """Make the keeper, and with it the bridge."""
        ip("netns", "add", _KEEPER)
        self.add(_KEEPER, "10.77.0.2")

    def up(self, numbers: range) -> None:
        """Bring a burst up."""
        ip("-batch", "-", script="\n".join(f"netns add {self.names[number]}" for number in numbers))
        for number in numbers:
            self.add(self.names[number], self.addresses[number])

    def down(self, numbers: range) -> None:
        """Take a burst down."""
        for number in numbers:
            self.delete(self.names[number], self.addresses[number])
        ip("-batch", "-", script="\n".join(f"netns delete {self.names[number]}" for number in numbers))

    def settle(self) -> None:
        """Take the keeper away, and the bridge."""
        self.delete(_KEEPER, "10.77.0.2")
        ip("netns", "delete", _KEEPER)


class CNI(_Plugins):
    """``loopback`` and ``bridge`` with ``host-local``."""

    def _plugin(self, plugin: str, verb: str, name: str, device: str, **more: Any) -> Any:
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": name,
            "CNI_NETNS": f"{NETNS}/{name}",
            "CNI_IFNAME": device,
            "CNI_PATH": str(Path(CNI_BRIDGE).parent),
        }
        document = {"cniVersion": "0.4.0", "name": "bench", "type": plugin, **more}
        return _run([f"{Path(CNI_BRIDGE).parent}/{plugin}"], document, environment)

    def _bridge(self, verb: str, name: str) -> Any:
        ipam = {
            "type": "host-local",
            "dataDir": _STATE,
            "ranges": [[{"subnet": _SUBNET}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        return self._plugin("bridge", verb, name, "eth0", bridge=BRIDGE, isGateway=True, ipam=ipam)

    def up(self, numbers: range) -> None:
        """Bring a burst up; host-local chooses the addresses."""
        if not numbers.start:
            self._given: list[str] = []
        super().up(numbers)

    def add(self, name: str, address: str) -> None:
        """Connect one namespace."""
        del address
        self._plugin("loopback", "ADD", name, "lo")
        answer = self._bridge("ADD", name)
        if name != _KEEPER:
            self._given.append(answer["ips"][0]["address"].partition("/")[0])

    def check(self) -> None:
        """Raise unless all are as they should be, with the addresses that the plugin told."""
        self.addresses = self._given
        super().check()

    def delete(self, name: str, address: str) -> None:
        """Disconnect one namespace."""
        del address
        self._bridge("DEL", name)
        self._plugin("loopback", "DEL", name, "lo")

    def settle(self) -> None:
        """Take the keeper away, and the bridge."""
        super().settle()
        ip("link", "delete", BRIDGE)


class Netavark(_Plugins):
    """``netavark setup`` and ``teardown``. Without its chains of iptables there is no default route."""

    internal = False

    def _call(self, verb: str, name: str, address: str) -> None:
        document = {
            "container_id": name,
            "container_name": name,
            "networks": {"bench": {"interface_name": "eth0", "static_ips": [address]}},
            "network_info": {
                "bench": {
                    "name": "bench",
                    "id": "53ce4390f2adb1681eb1a90ec8b48c49c015e0a8d336c197637e7f65e365fa9e",
                    "driver": "bridge",
                    "network_interface": BRIDGE,
                    "subnets": [{"subnet": _SUBNET, "gateway": GATEWAY}],
                    "ipv6_enabled": False,
                    "internal": self.internal,
                    "dns_enabled": False,
                }
            },
        }
        _run([NETAVARK, "--config", _STATE, verb, f"{NETNS}/{name}"], document)

    def add(self, name: str, address: str) -> None:
        """Connect one namespace."""
        self._call("setup", name, address)

    def delete(self, name: str, address: str) -> None:
        """Disconnect one namespace."""
        self._call("teardown", name, address)


class NetavarkInternal(Netavark):
    """An internal network: no default route and no firewall, so less than the others do."""

    internal = True
    gateway = ""

"""What driver ``bridge`` makes of options that it does not act upon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from driverapi import labels
from driverapi.drivers.options import Rules

__all__ = ["BRIDGE_RULES", "IP_FORWARDING", "NO_PACKET_FILTER", "REFUSED"]

IP_FORWARDING: Final = "EnableIPForwarding"
"""Of the driver's configuration: its networks have the host forward IPv4."""

NO_PACKET_FILTER: Final = "packet filter rules are made where an option needs them: see bridge.gateway_mode_ipv4"

_ONLY: Final[Mapping[str, tuple[bool, str]]] = {
    labels.BRIDGE_DEFAULT: (False, "no network is a default one here"),
    "EnableIPTables": (False, NO_PACKET_FILTER),
    "AllowNonDefaultBridge": (True, "a bridge may have any name here"),
}
_CONFIGURATION: Final[Mapping[str, tuple[bool, str]]] = {
    "EnableIPTables": _ONLY["EnableIPTables"],
}

REFUSED: Final[Mapping[str, str]] = {
    labels.PORT_MAP: "ports are published of an endpoint: use create_endpoint(publish=…), or its options",
    IP_FORWARDING: "it is of the driver's configuration: use Controller(driver_options={'bridge': {…: True}})",
    "ParentEndpoints": "links are options of a join, where enable_icc is false",
    "ChildEndpoints": "links are options of a join, where enable_icc is false",
}


BRIDGE_RULES: Final = Rules(
    driver="bridge",
    known=frozenset(
        {labels.BRIDGE_NAME, labels.MTU, labels.IFACE_PREFIX, labels.INTERNAL}
        | {labels.HOST_IPV4, labels.HOST_IPV6}
        | {labels.BRIDGE_MASQUERADE, labels.BRIDGE_HOST_BINDING_IPV4, labels.BRIDGE_ENABLE_ICC, labels.GUARD}
        | {labels.BRIDGE_GATEWAY_MODE_IPV4, labels.BRIDGE_GATEWAY_MODE_IPV6}
        | {labels.BRIDGE_INHIBIT_IPV4, labels.BRIDGE_TRUSTED, labels.ADDRESS, *labels.FIXED, *labels.GATEWAYS}
        | {labels.ENDPOINT_IFNAME, labels.ENDPOINT_MAC, labels.ENDPOINT_EXPOSED_PORTS}
        | {labels.RATE_IN, labels.RATE_OUT}
    ),
    only=_ONLY,
    configuration=_CONFIGURATION,
    refused=REFUSED,
)

"""Container networking for Python: libnetwork's driver API over a native netlink core.

Names are loaded when first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from driverapi import errors
    from driverapi.api import (
        NETWORK_PLUGIN_ENDPOINT_TYPE,
        Driver,
        DriverCallback,
        EndpointInfo,
        InterfaceInfo,
        InterfaceNameInfo,
        IPAMData,
        JoinInfo,
        Origin,
    )
    from driverapi.controller import Controller
    from driverapi.counters import InterfaceStatistics
    from driverapi.endpoint import Endpoint
    from driverapi.network import Network
    from driverapi.plan import VethLink
    from driverapi.registry import DriverRegistry
    from driverapi.sandbox import Sandbox
    from driverapi.services.services import Services

__version__ = "0.1.0"

_HOME = {
    "NETWORK_PLUGIN_ENDPOINT_TYPE": "api",
    "Controller": "controller",
    "Driver": "api",
    "DriverCallback": "api",
    "DriverRegistry": "registry",
    "Endpoint": "endpoint",
    "EndpointInfo": "api",
    "IPAMData": "api",
    "InterfaceInfo": "api",
    "InterfaceNameInfo": "api",
    "InterfaceStatistics": "counters",
    "JoinInfo": "api",
    "Network": "network",
    "Origin": "api",
    "Sandbox": "sandbox",
    "Services": "services.services",
    "VethLink": "plan",
}

__all__ = [
    "NETWORK_PLUGIN_ENDPOINT_TYPE",
    "Controller",
    "Driver",
    "DriverCallback",
    "DriverRegistry",
    "Endpoint",
    "EndpointInfo",
    "IPAMData",
    "InterfaceInfo",
    "InterfaceNameInfo",
    "InterfaceStatistics",
    "JoinInfo",
    "Network",
    "Origin",
    "Sandbox",
    "Services",
    "VethLink",
    "errors",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "errors":
        return import_module("driverapi.errors")
    if name in _HOME:
        value = getattr(import_module(f"driverapi.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'driverapi' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

"""Published ports: what users write, what becomes of it."""

from driverapi.ports.spec import PortSpec

__all__ = ["PortSpec"]

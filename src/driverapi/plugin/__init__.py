"""Drivers of this package as Docker network plugins; needs the extra ``[plugin]`` (httptools)."""

from driverapi.plugin.server import Plugin
from driverapi.plugin.sockets import Tls

__all__ = ["Plugin", "Tls"]

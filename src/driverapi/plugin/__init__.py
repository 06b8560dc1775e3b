"""Drivers of this package as Docker network plugins; needs the extra ``[plugin]`` (httptools)."""

from driverapi.plugin.server import Plugin
from driverapi.plugin.sockets import Tls, write_spec

__all__ = ["Plugin", "Tls", "write_spec"]

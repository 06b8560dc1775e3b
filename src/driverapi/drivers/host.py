"""Driver ``host``: the sandbox is the host's own namespace (seed: ``drivers/host``)."""

from __future__ import annotations

from typing import final

from driverapi.api import Driver, EndpointInfo, JoinInfo, Options

__all__ = ["HostDriver"]


@final
class HostDriver(Driver):
    """Endpoints that share the host's interfaces: nothing is realised, so nothing is ever undone there.

    Its endpoints join only sandboxes made with ``create_sandbox(name, host=True)``;
    ``attach`` makes such by itself.

    Thread safety: all methods; there is no state.
    """

    host_sandbox = True

    def create_network(self, network_id: str, options: Options) -> None:
        """Nothing to make."""

    def delete_network(self, network_id: str) -> None:
        """Nothing to undo."""

    def create_endpoint(self, network_id: str, endpoint_id: str, info: EndpointInfo, options: Options) -> None:
        """Add no interface to the list: the host has its own."""

    def delete_endpoint(self, network_id: str, endpoint_id: str) -> None:
        """Nothing to undo."""

    def join(self, network_id: str, endpoint_id: str, sandbox_key: str, info: JoinInfo, options: Options) -> None:
        """Nothing to declare."""

    def leave(self, network_id: str, endpoint_id: str) -> None:
        """Nothing to undo."""

    def type(self) -> str:
        """Return ``"host"``."""
        return "host"

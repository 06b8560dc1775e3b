"""Driver ``null``: a sandbox of its own with loopback and nothing else (seed: ``drivers/null``)."""

from __future__ import annotations

from typing import final

from driverapi.api import Driver, EndpointInfo, JoinInfo, Options

__all__ = ["NullDriver"]


@final
class NullDriver(Driver):
    """Endpoints without interfaces.

    Thread safety: all methods; there is no state.
    """

    def create_network(self, network_id: str, options: Options) -> None:
        """Nothing to make."""

    def delete_network(self, network_id: str) -> None:
        """Nothing to undo."""

    def create_endpoint(self, network_id: str, endpoint_id: str, info: EndpointInfo, options: Options) -> None:
        """Add no interface to the list."""

    def delete_endpoint(self, network_id: str, endpoint_id: str) -> None:
        """Nothing to undo."""

    def join(self, network_id: str, endpoint_id: str, sandbox_key: str, info: JoinInfo, options: Options) -> None:
        """Nothing to declare."""

    def leave(self, network_id: str, endpoint_id: str) -> None:
        """Nothing to undo."""

    def type(self) -> str:
        """Return ``"null"``."""
        return "null"

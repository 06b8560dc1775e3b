"""Drivers whose networks and endpoints live elsewhere, and outlive the process that had them made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from driverapi.api import EndpointInfo, JoinInfo, Options

__all__ = ["KnowsAgain"]


@runtime_checkable
class KnowsAgain(Protocol):
    """A driver that is told what it had, and not asked for it again.

    Of a network it is told by ``create_network``, with :data:`driverapi.labels.MEMORY` among the options.
    None of these methods does I/O.

    Thread safety: all methods, for different endpoints.
    """

    def know_endpoint(self, network_id: str, endpoint_id: str, info: EndpointInfo, options: Options) -> None:
        """Take note of an endpoint that there is."""

    def join_memory(self, network_id: str, endpoint_id: str) -> Mapping[str, Any]:
        """Return what ``join`` declared: text, numbers, lists and mappings. Asked while it is in a sandbox."""

    def know_join(
        self, network_id: str, endpoint_id: str, sandbox_key: str, info: JoinInfo, memory: Mapping[str, Any]
    ) -> None:
        """Declare again what ``join`` had declared: ``memory`` is what :meth:`join_memory` returned.

        ``sandbox_key`` is empty where the sandbox is gone; ``leave`` comes next then.
        """

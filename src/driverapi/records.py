"""What the lifecycle knows of networks and endpoints, and what it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from driverapi.api import Driver, EndpointInfo, JoinInfo, Options
from driverapi.dataplane.contract import Netns
from driverapi.plan import NetworkPlan
from driverapi.store.contract import State

__all__ = ["CreateRequest", "EndpointRecord", "JoinRequest", "NetworkRecord", "Outcome"]

Outcome = Exception | None
"""What became of one request: done, or the error that it was undone for."""


@dataclass(eq=False, slots=True)
class NetworkRecord:
    """A network as the lifecycle knows it."""

    id: str
    driver: Driver
    plan: NetworkPlan | None = None
    endpoints: dict[str, EndpointRecord] = field(default_factory=dict)
    ready: bool = False  # false while it is being created or deleted


@dataclass(eq=False, slots=True)
class EndpointRecord:
    """An endpoint as the lifecycle knows it."""

    network: NetworkRecord
    id: str
    info: EndpointInfo
    state: State
    netns: Netns | None = None
    join: JoinInfo | None = None
    realised: Any = None
    busy: bool = True
    name: str = ""
    owes_leave: bool = False  # the driver's leave raised: it is asked again before anything else

    @property
    def what(self) -> str:
        """How errors call it."""
        return f"endpoint {self.name or self.id[:12]!r}"


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """Wanted: an endpoint on a network, with the interfaces that its ``info`` has.

    Attributes
    ----------
    name : str
        How errors call it; by default its id.
    """

    network: str
    endpoint: str
    info: EndpointInfo
    options: Options = field(default_factory=dict)
    name: str = ""


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """Wanted: an endpoint in a sandbox, or out of it.

    Attributes
    ----------
    note : callable, optional
        Told whether the endpoint is in the sandbox, before another call can change it.
    sandbox : str
        How errors call the sandbox; by default the path of its namespace.
    """

    endpoint: str
    netns: Netns
    options: Options = field(default_factory=dict)
    note: Callable[[bool], object] | None = None
    sandbox: str = ""

    @property
    def sandbox_name(self) -> str:
        """How errors call the sandbox: its name where known, else the path of its namespace."""
        return repr(self.sandbox) if self.sandbox else self.netns.key

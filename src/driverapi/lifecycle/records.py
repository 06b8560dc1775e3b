"""What the lifecycle knows of networks and endpoints, and what it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from driverapi.api import Driver, EndpointInfo, JoinInfo, Options
from driverapi.dataplane.contract import Netns
from driverapi.plan import NetworkPlan, PortMap
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
    memory: Mapping[str, Any] = field(default_factory=dict)  # what its driver wants to be told again
    kept: bytes = b""  # what the store has of its making


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
    options: Options = field(default_factory=dict)
    join_options: Options = field(default_factory=dict)
    place: str = ""  # how its caller calls the sandbox
    fresh: bool = False  # its creation is no outcome yet: a join follows in the same call
    ending: bool = False  # its leaving is no outcome: a deletion follows in the same call
    warm: bool = False  # nobody's yet
    ports: dict[PortMap, None] = field(default_factory=dict)  # that are published, in their order

    @property
    def what(self) -> str:
        """How errors call it."""
        return f"endpoint {self.name or self.id[:12]!r}"

    @property
    def key(self) -> str:
        """Path of its sandbox's namespace, or nothing."""
        return "" if self.netns is None else self.netns.key


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """Wanted: an endpoint on a network, with the interfaces that its ``info`` has.

    Attributes
    ----------
    name : str
        How errors call it; by default its id.
    joins : bool
        A join follows in the same call: its creation alone is no outcome, and does not outlive a crash.
    """

    network: str
    endpoint: str
    info: EndpointInfo
    options: Options = field(default_factory=dict)
    name: str = ""
    joins: bool = False


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """Wanted: an endpoint in a sandbox, or out of it.

    Attributes
    ----------
    note : callable, optional
        Told whether the endpoint is in the sandbox, before another call can change it.
    sandbox : str
        How errors call the sandbox; by default the path of its namespace.
    warm : bool
        It is nobody's until :meth:`Lifecycle.hand_over`.
    ends : bool
        Of a leave: a deletion follows in the same call.
    """

    endpoint: str
    netns: Netns
    options: Options = field(default_factory=dict)
    note: Callable[[bool], object] | None = None
    sandbox: str = ""
    warm: bool = False
    ends: bool = False

    @property
    def sandbox_name(self) -> str:
        """How errors call the sandbox: its name where known, else the path of its namespace."""
        return repr(self.sandbox) if self.sandbox else self.netns.key

"""What drivers are told of other machines: libnetwork's ``DiscoverNew`` and ``DiscoverDelete``.

``Controller.discover_new("node", Node("10.0.0.5"))`` tells every driver that is in use and has the methods of
:class:`Discovers`, and the readers of ``Controller.events``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from driverapi import errors
from driverapi.addresses import format_ip, parse_ip
from driverapi.lifecycle.asking import ask
from driverapi.streams.stream import NodeDiscovered, NodeGone, StreamEvent

if TYPE_CHECKING:
    from driverapi.controller import Controller

__all__ = ["NODE", "Discovers", "Node", "of_engine", "tell_gone", "tell_new"]

NODE: Final = "node"
"""Kind of what is discovered: another machine (libnetwork: ``NodeDiscovery``)."""


_NODE_DISCOVERY: Final = 1
"""libnetwork's ``discoverapi.NodeDiscovery``."""
_MOST: Final = 4
"""The highest number that an engine has had for anything."""


@dataclass(frozen=True, slots=True)
class Node:
    """A machine (libnetwork: ``NodeDiscoveryData``).

    Attributes
    ----------
    address : str
        By which the others know it.
    bind_address : str
        On which it takes traffic; by default the same.
    is_self : bool
        Whether it is this one.
    """

    address: str
    bind_address: str = ""
    is_self: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", format_ip(parse_ip(self.address, "address of a node")))
        bound = self.bind_address or self.address
        object.__setattr__(self, "bind_address", format_ip(parse_ip(bound, "bind_address of a node")))


@runtime_checkable
class Discovers(Protocol):
    """A driver that wants to know of other machines (libnetwork: ``discoverapi.Discover``).

    Thread safety: both methods.
    """

    def discover_new(self, kind: str, data: Any) -> None:
        """Take note of something new; the same may come again."""

    def discover_delete(self, kind: str, data: Any) -> None:
        """Take note that it is gone; what was never known may come."""


def of_engine(number: int | None, data: Mapping[str, Any] | None) -> tuple[str, Any]:
    """Return kind and data of what a Docker engine says (libnetwork: ``discoverapi.DiscoveryType``).

    An engine tells plugins of nodes and of nothing else (its remote driver's ``DiscoverNew``). Keys and stores are for
    its own drivers; 2 and 3 are not even the same thing to all engines: a store and keys, or keys and new keys.

    Raises
    ------
    errors.InvalidError
        The number is none that there is, or a node has no address.
    errors.NotImplementedYetError
        It is no node.
    """
    if number is None or not _NODE_DISCOVERY <= number <= _MOST:
        raise errors.InvalidError(f"DiscoveryType {number!r} is not a number from {_NODE_DISCOVERY} to {_MOST}")
    if number != _NODE_DISCOVERY:
        raise errors.NotImplementedYetError(
            f"DiscoveryType {number} is not for plugins: they are told of nodes, {_NODE_DISCOVERY}, and of nothing else"
        )
    given = {name.lower(): value for name, value in (data or {}).items()}  # "Self" on the wire, "self" in its documents
    texts = {name: given.get(name) or "" for name in ("address", "bindaddress")}
    for name, text in texts.items():
        if not isinstance(text, str):
            raise errors.InvalidError(f"DiscoveryData: {name} of a node {text!r} is not an address")
    if not isinstance(itself := given.get("self") or False, bool):
        raise errors.InvalidError(f"DiscoveryData: self of a node {itself!r} is not true or false")
    return NODE, Node(texts["address"], texts["bindaddress"], itself)


def tell_new(controller: Controller, kind: str, data: object) -> None:
    """Tell drivers and readers of something new."""
    _tell(controller, kind, data, "discover_new", NodeDiscovered(kind=kind, data=data))


def tell_gone(controller: Controller, kind: str, data: object) -> None:
    """Tell drivers and readers that something is gone."""
    _tell(controller, kind, data, "discover_delete", NodeGone(kind=kind, data=data))


def _tell(controller: Controller, kind: str, data: object, verb: str, event: StreamEvent) -> None:
    if not isinstance(kind, str) or not kind:
        raise errors.InvalidError(f"kind of what is discovered {kind!r} must be text that is not empty")
    if kind == NODE and not isinstance(data, Node):
        raise errors.InvalidError(f"{data!r} is no driverapi.streams.Node")
    faults: list[Exception] = []
    for driver in controller.registry.loaded():
        if isinstance(driver, Discovers):
            step: Callable[[str, Any], None] = getattr(driver, verb)
            try:
                ask(driver, lambda step=step: step(kind, data), verb)  # type: ignore[misc]
            except errors.DriverAPIError as fault:
                faults.append(fault)
    controller._hub.publish(event)
    if faults:
        raise errors.BulkError(f"{verb} of {kind}: {len(faults)} drivers failed; the others know it", faults)

"""What happens, told to whoever listens: streams of events, and discovery of other machines."""

from driverapi.streams.discovery import Discovers, Node
from driverapi.streams.stream import (
    AddressConflict,
    EndpointDown,
    EndpointUp,
    LinkBack,
    LinkLost,
    NodeDiscovered,
    NodeGone,
    Overflow,
    PoolNearlyFull,
    PoolRelieved,
    Stream,
    StreamEvent,
)

__all__ = [
    "AddressConflict",
    "Discovers",
    "EndpointDown",
    "EndpointUp",
    "LinkBack",
    "LinkLost",
    "Node",
    "NodeDiscovered",
    "NodeGone",
    "Overflow",
    "PoolNearlyFull",
    "PoolRelieved",
    "Stream",
    "StreamEvent",
]

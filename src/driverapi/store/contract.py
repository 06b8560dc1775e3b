"""What a store is: records that are written before the act and after it."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Record", "State", "Store"]


class State(enum.Enum):
    """How far a thing has come. What ends in -ING is an intent: after a crash, it is to be undone."""

    CREATING = "creating"
    CREATED = "created"
    JOINING = "joining"
    JOINED = "joined"
    LEAVING = "leaving"
    DELETING = "deleting"


@dataclass(frozen=True, slots=True)
class Record:
    """One network or endpoint.

    Attributes
    ----------
    id : str
        Unique over all kinds.
    network : str
        The id of the network that an endpoint belongs to; a network's own id is its network.
    sandbox : str
        Key of the sandbox that an endpoint has joined or is joining, else empty.
    """

    id: str
    network: str
    state: State
    sandbox: str = ""


class Store(Protocol):
    """Keeps records. Each call is one transaction, whatever its size.

    Thread safety: all methods.
    """

    def put(self, records: Iterable[Record]) -> None:
        """Write records, each in the place of the one of the same id."""

    def drop(self, ids: Iterable[str]) -> None:
        """Remove records; an id that is not there is passed over."""

    def records(self) -> Sequence[Record]:
        """Return all records, in no order."""

    def close(self) -> None:
        """Close it; what was put is safe as far as the store promises."""

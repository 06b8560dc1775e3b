"""What a store is: records that are written before the act and after it."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Kind", "Record", "State", "Store"]


class Kind(enum.Enum):
    """What a record is about."""

    NETWORK = "network"
    ENDPOINT = "endpoint"
    SANDBOX = "sandbox"


class State(enum.Enum):
    """How far a thing has come. What ends in -ING is an intent: after a crash, it is to be undone or finished."""

    CREATING = "creating"
    CREATED = "created"
    JOINING = "joining"
    JOINED = "joined"
    LEAVING = "leaving"
    DELETING = "deleting"

    @property
    def settled(self) -> bool:
        """Whether it is an outcome, which a caller is told; an intent need not outlive the kernel that it is about."""
        return self in _SETTLED


_SETTLED = frozenset({State.CREATED, State.JOINED})


@dataclass(frozen=True, slots=True)
class Record:
    """One network, endpoint or sandbox.

    Attributes
    ----------
    id : str
        Unique over all kinds.
    network : str
        The id of the network that an endpoint belongs to; a network's own id is its network; empty for a sandbox.
    sandbox : str
        Key of the sandbox that an endpoint has joined or is joining, else empty.
    data : bytes or None
        All that is needed to make it again, in a form that the writer knows; None leaves what is stored.
    """

    id: str
    network: str
    state: State
    sandbox: str = ""
    kind: Kind = Kind.ENDPOINT
    data: bytes | None = None


class Store(Protocol):
    """Keeps records. Each call is one transaction, whatever its size.

    Attributes
    ----------
    keeps : bool
        Whether records outlive the process: if not, nobody need make their ``data``.

    Thread safety: all methods.
    """

    @property
    def keeps(self) -> bool:
        """See the class."""

    def put(self, records: Iterable[Record]) -> None:
        """Write records, each in the place of the one of the same id."""

    def drop(self, ids: Iterable[str]) -> None:
        """Remove records; an id that is not there is passed over."""

    def records(self) -> Sequence[Record]:
        """Return all records, in no order."""

    def close(self) -> None:
        """Close it; what was put is safe as far as the store promises."""

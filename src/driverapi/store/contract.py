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
    POOL = "pool"
    """A plugin's, given to an engine."""
    ADDRESS = "address"
    """Of such a pool, given to an engine."""
    LEASE = "lease"
    """An address of a network that is somebody's who has no endpoint of it."""


class State(enum.Enum):
    """How far a thing has come. What ends in -ING is an intent: after a crash, it is to be undone or finished."""

    CREATING = "creating"
    CREATED = "created"
    JOINING = "joining"
    JOINED = "joined"
    WARM = "warm"
    """Joined, and nobody's yet: after a crash it is to be undone too."""
    LEAVING = "leaving"
    DELETING = "deleting"
    RESTING = "resting"
    """Gone, and its addresses are in quarantine."""


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
    data, made : bytes or None
        What it is, and what there is of it in the kernel and with the driver: all that is needed to make it again, or
        to know it again, as :mod:`driverapi.store.data` writes it. None leaves what is stored.
    """

    id: str
    network: str
    state: State
    sandbox: str = ""
    kind: Kind = Kind.ENDPOINT
    data: bytes | None = None
    made: bytes | None = None


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

    def put(self, records: Iterable[Record], gone: Iterable[str] = ()) -> None:
        """Write records, each in the place of the one of the same id, and remove those of the ids ``gone``.

        Raises
        ------
        errors.StateError
            It could not be written: nothing of it was.
        """

    def owe(self, records: Iterable[Record] = (), gone: Iterable[str] = ()) -> None:
        """Do as :meth:`put`, after the act: what cannot be written now is written with what comes next.

        For what is so whether it is written or not: until then the store has an intent, which says as much.
        """

    def flush(self) -> None:
        """Make what was written as safe as the store promises: called before a caller is told of an outcome."""

    def records(self) -> Sequence[Record]:
        """Return all records, in the order in which they were put first."""

    def close(self) -> None:
        """Close it; what was put is safe as far as the store promises."""

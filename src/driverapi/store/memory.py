"""The store of a controller without state: it ends with the process."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from driverapi.store.contract import Record

__all__ = ["MemoryStore"]


class MemoryStore:
    """Records in a dict.

    Thread safety: all methods.
    """

    keeps = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: dict[str, Record] = {}

    def put(self, records: Iterable[Record]) -> None:
        """Write records, each in the place of the one of the same id."""
        with self._lock:
            self._records.update((record.id, record) for record in records)

    def drop(self, ids: Iterable[str]) -> None:
        """Remove records; an id that is not there is passed over."""
        with self._lock:
            for id in ids:
                self._records.pop(id, None)

    def records(self) -> Sequence[Record]:
        """Return all records, in no order."""
        with self._lock:
            return list(self._records.values())

    def close(self) -> None:
        """Nothing to keep."""

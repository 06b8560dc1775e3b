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

    def put(self, records: Iterable[Record], gone: Iterable[str] = ()) -> None:
        """Write records, each in the place of the one of the same id, and remove others."""
        self._write(records, gone)

    def owe(self, records: Iterable[Record] = (), gone: Iterable[str] = ()) -> None:
        """Do as :meth:`put`."""
        self._write(records, gone)

    def _write(self, records: Iterable[Record], gone: Iterable[str]) -> None:
        with self._lock:
            self._records.update((record.id, record) for record in records)
            for id in gone:
                self._records.pop(id, None)

    def flush(self) -> None:
        """Nothing is waited for."""

    def records(self) -> Sequence[Record]:
        """Return all records, in the order in which they were put first."""
        with self._lock:
            return list(self._records.values())

    def close(self) -> None:
        """Nothing to keep."""

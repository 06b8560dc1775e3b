"""Who waits for whom: calls about one thing come one after the other; and what is gone is remembered a while."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, final

__all__ = ["Recent", "Turns"]

_REMEMBERED: Final = 4096


@dataclass(eq=False, slots=True)
class _Turn:
    lock: threading.Lock
    users: int = 0


@final
class Turns:
    """A lock for each key, there while somebody holds it or waits for it.

    Thread safety: all methods.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: dict[Hashable, _Turn] = {}

    @contextmanager
    def hold(self, key: Hashable) -> Iterator[None]:
        """Hold a key; others who want it wait."""
        with self._lock:
            turn = self._turns.setdefault(key, _Turn(threading.Lock()))
            turn.users += 1
        try:
            with turn.lock:
                yield
        finally:
            with self._lock:
                turn.users -= 1
                if not turn.users:
                    del self._turns[key]


@final
class Recent:
    """The last keys that were added, some thousands.

    Thread safety: all methods.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: OrderedDict[Hashable, None] = OrderedDict()

    def add(self, key: Hashable) -> None:
        """Remember a key."""
        with self._lock:
            self._keys[key] = None
            if len(self._keys) > _REMEMBERED:
                self._keys.popitem(last=False)

    def discard(self, key: Hashable) -> None:
        """Forget it."""
        with self._lock:
            self._keys.pop(key, None)

    def __contains__(self, key: Hashable) -> bool:
        """Tell whether it is remembered."""
        return key in self._keys

"""Who waits for whom, what is gone and is remembered a while, and what may yet have to be undone."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, final

__all__ = ["Made", "Recent", "Turns"]

_REMEMBERED: Final = 4096


@dataclass(eq=False, slots=True)
class Made:
    """The answer of a verb that has made something.

    Attributes
    ----------
    document : mapping
        The answer.
    undo : callable
        Takes it away again, unless somebody has been told of it since: an engine that does not hear the answer asks
        again with an empty body, is refused, and will never ask for it to be deleted.
    """

    document: dict[str, Any]
    undo: Callable[[], object]


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

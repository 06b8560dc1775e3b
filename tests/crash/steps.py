"""A process that dies at a chosen step: from then on nothing of it does anything, undo included.

Steps are the calls of the store, of the dataplane and of drivers. The process can end before a step, in the middle
of one that is about many things, or after it. Or it lives, and the step is refused.
"""

from __future__ import annotations

import contextlib
import errno
import threading
from collections.abc import Callable, Iterator
from typing import Any

from driverapi import errors
from driverapi.dataplane.fake import FakeSurvey
from driverapi.drivers.bridge import BridgeDriver
from driverapi.store.sqlite import SqliteStore
from driverapi.testing import FakeDataplane
from tests.support import OwnDriver

__all__ = ["FAULTS", "WHEN", "Death", "Mortal"]

WHEN = ("before", "amid", "after")

_DRIVER = ("create_network", "delete_network", "create_endpoint", "delete_endpoint", "join", "leave")
_STEPS: dict[type, tuple[str, ...]] = {
    SqliteStore: ("put", "owe"),
    FakeDataplane: (
        "make_sandboxes", "wait_sandboxes", "open_sandbox", "discard_sandboxes", "drop_sandboxes",
        "realise_network", "remove_network", "realise", "remove", "publish", "unpublish", "survey",
    ),
    FakeSurvey: ("sandboxes", "network", "endpoints", "ports", "sweep"),
    BridgeDriver: _DRIVER,
    OwnDriver: _DRIVER,
}  # fmt: skip


FAULTS: dict[str, Exception] = {
    "put": errors.StateError("the disk is full"),
    "publish": errors.KernelError("published ports: Cannot allocate memory", errno.ENOMEM),
    "unpublish": errors.KernelError("published ports: Cannot allocate memory", errno.ENOMEM),
}
"""How a step is refused; others never are here."""


class Death(BaseException):
    """The process is no more."""


class Mortal:
    """Counts the steps of one process, which ends at one of them.

    Attributes
    ----------
    at : int
        The step; -1 for one that lives.
    when : str
        One of ``WHEN``, or ``"refused"``.
    dead : bool
        Whether it has ended.
    log : list of str
        The steps so far.
    """

    def __init__(self, at: int = -1, when: str = "before") -> None:
        self.at = at
        self.when = when
        self.armed = False
        self.dead = False
        self.log: list[str] = []
        self._lock = threading.Lock()

    def _die(self) -> None:
        self.dead = True
        raise Death

    def _step(self, name: str, inner: Callable[..., Any], thing: Any, *args: Any, **kwargs: Any) -> Any:
        if self.dead:
            raise Death
        if not self.armed:
            return inner(thing, *args, **kwargs)
        with self._lock:
            number = len(self.log)
            self.log.append(name)
        if number != self.at:
            return inner(thing, *args, **kwargs)
        if self.when == "refused":
            if name in FAULTS:
                raise FAULTS[name]
            return inner(thing, *args, **kwargs)
        if self.when == "before":
            self._die()
        if self.when == "amid":
            if not (args and isinstance(args[0], list) and len(args[0]) > 1 and name not in ("put", "owe")):
                return inner(thing, *args, **kwargs)  # it has no middle
            half = len(args[0]) // 2
            inner(thing, *(one[:half] if isinstance(one, list) else one for one in args))
            self._die()
        inner(thing, *args, **kwargs)
        return self._die()

    @contextlib.contextmanager
    def living(self) -> Iterator[None]:
        """All steps in the block are this process's; its death ends the block."""
        undo: list[tuple[type, str, Any]] = []
        for kind, names in _STEPS.items():
            for name in names:
                inner = getattr(kind, name)
                undo.append((kind, name, inner))
                setattr(kind, name, self._wired(name, inner))
        hook = threading.excepthook
        threading.excepthook = lambda told: None if told.exc_type is Death else hook(told)
        try:
            yield
        except Death:
            assert self.dead
        except Exception:  # it came of the death
            if not self.dead:
                raise
        finally:
            threading.excepthook = hook
            for kind, name, inner in undo:
                setattr(kind, name, inner)

    def _wired(self, name: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        def call(thing: Any, *args: Any, **kwargs: Any) -> Any:
            return self._step(name, inner, thing, *args, **kwargs)

        return call

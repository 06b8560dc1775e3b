"""Things by their names: registered, built in, installed, or Docker plugins. What all registries do alike."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

from driverapi import errors

__all__ = ["ByName"]

T = TypeVar("T")


class ByName(Generic[T]):
    """Base of the registries.

    A name that was not registered is looked for among the built-in things, then among the installed entry
    points, then where an engine looks for its plugins (:mod:`driverapi.remote`), and registered for good when
    found.

    Thread safety: all methods; check and set are one step.
    """

    _BUILTIN: ClassVar[Mapping[str, str]]  # name: "module:attribute"; each is imported when first asked for
    _GROUP: ClassVar[str]  # of entry points
    _THING: ClassVar[str]  # how messages call one
    _NAME: ClassVar[str]  # and what it is the name of
    _ABSENT: ClassVar[str]
    _NOT_FOUND: ClassVar[type[errors.NotFoundError]] = errors.NotFoundError

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, T] = {}
        self._plugins: set[str] = set()  # names that were found as Docker plugins

    def get(self, name: str) -> T:
        """Return what has a name.

        Raises
        ------
        errors.InvalidError
            The name is not text.
        errors.NotFoundError
            Neither registered, built in nor installed, nor a Docker plugin.
        errors.DriverFaultError
            An installed one could not be loaded.
        """
        self._check_name(name)
        with self._lock:
            found = self._known.get(name)
        if found is not None:
            return found
        made = self._make(name)
        return self._settle(name, made, plugin=made is None)

    def expect(self, name: str) -> None:
        """Have a Docker plugin be what a name stands for that has nothing: it is looked for when it is asked."""
        with self._lock:
            known = name in self._known
        if not known:
            self._settle(name, None, plugin=True)

    def is_plugin(self, name: str) -> bool:
        """Tell whether what has a name was found as a Docker plugin."""
        return name in self._plugins

    def names(self) -> list[str]:
        """Return all names that :meth:`get` would find, sorted."""
        with self._lock:
            registered = set(self._known)
        installed = {point.name for point in _entry_points(self._GROUP)}
        return sorted(registered | set(self._BUILTIN) | installed | set(_plugins()))

    # --- what a registry says of its things -------------------------------------------------------

    def _check_name(self, name: str) -> None:
        if not isinstance(name, str) or not name:
            raise errors.InvalidError(f"{self._NAME} {name!r} must be text that is not empty")

    def _unfit(self, thing: object) -> str:
        """Return what is wrong with a thing that an entry point gave, or nothing."""
        raise NotImplementedError

    def _plugin(self, name: str) -> T:
        """Return what asks a Docker plugin."""
        raise NotImplementedError

    def _called(self, name: str) -> str:
        """Return how messages call what has a name."""
        return f"{self._THING} {name!r}"

    # --- the steps --------------------------------------------------------------------------------

    def _settle(self, name: str, made: T | None, *, plugin: bool) -> T:
        if made is None:
            try:
                made = self._plugin(name)
            except ImportError as missing:
                raise self._NOT_FOUND(
                    f"{self._called(name)} is a Docker plugin; to ask it: pip install 'driverapi[plugin]' ({missing})"
                ) from None
        with self._lock:  # another thread may have been first: its instance counts
            if plugin and name not in self._known:
                self._plugins.add(name)
            return self._known.setdefault(name, made)

    def _make(self, name: str) -> T | None:
        """Make what is built in or installed; None for a Docker plugin."""
        factory: Any
        if name in self._BUILTIN:
            module, _, attribute = self._BUILTIN[name].partition(":")
            factory = getattr(importlib.import_module(module), attribute)
        else:
            points = [point for point in _entry_points(self._GROUP) if point.name == name]
            if not points and name in _plugins(name):
                return None
            if not points:
                raise self._NOT_FOUND(f"{self._ABSENT} {name!r}; there are: {', '.join(self.names())}")
            try:
                factory = points[0].load()
            except Exception as fault:
                raise errors.DriverFaultError(
                    f"{self._THING} {name!r} ({points[0].value}) cannot be loaded: {fault}"
                ) from fault
        try:
            made: T = factory()
        except Exception as fault:
            raise errors.DriverFaultError(f"{self._THING} {name!r} cannot be made: {fault}") from fault
        unfit = self._unfit(made)
        if unfit:
            raise errors.DriverFaultError(f"entry point {name!r} gave {made!r}, which is {unfit}")
        return made


def _entry_points(group: str) -> list[Any]:
    # Imported late: the metadata machinery costs as much as the rest of this package.
    from importlib.metadata import entry_points

    return list(entry_points(group=group))


def _plugins(name: str | None = None) -> list[str]:
    """Return the names of the Docker plugins that there are, or that one if there is."""
    from driverapi.places import names, there  # imported late, as is what asks them

    if name is not None:
        return [name] if there(name) else []
    return names()

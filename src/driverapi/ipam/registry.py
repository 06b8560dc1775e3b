"""Which IPAM has which name."""

from __future__ import annotations

import importlib
import threading
from typing import Any, Final

from driverapi import errors
from driverapi.ipam.contract import IPAM

__all__ = ["BUILTIN", "ENTRY_POINTS", "IPAMRegistry"]

ENTRY_POINTS: Final = "driverapi.ipams"
"""The entry-point group of third parties' IPAMs: a name, and a class or maker that takes no arguments."""

BUILTIN: Final[dict[str, str]] = {
    "default": "driverapi.ipam.default:DefaultIPAM",
    "null": "driverapi.ipam.null:NullIPAM",
}
"""The IPAMs of this package; each is imported when first asked for."""

_METHODS: Final = (
    "request_pool",
    "release_pool",
    "request_addresses",
    "request_address",
    "release_addresses",
    "free",
)


class IPAMRegistry:
    """IPAMs by name, as :class:`driverapi.DriverRegistry` has drivers.

    A name that was not registered is looked for among the built-in ones, then among the installed entry points, then
    where an engine looks for its plugins (:mod:`driverapi.remote`), and registered for good when found.

    Thread safety: all methods; check and set are one step.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ipams: dict[str, IPAM] = {}
        self._plugins: set[str] = set()  # names that were found as Docker plugins

    def register(self, name: str, ipam: IPAM) -> None:
        """Register an IPAM.

        Raises
        ------
        errors.ConflictError
            The name is taken.
        errors.InvalidError
            The name is not text, or the IPAM lacks a method.
        """
        _check_name(name)
        missing = lacking(ipam)
        if missing:
            raise errors.InvalidError(f"{ipam!r} is no IPAM: it has no method {missing[0]}")
        with self._lock:
            if name in self._ipams:
                raise errors.ConflictError(f"IPAM {name!r} is registered already; choose another name")
            self._ipams[name] = ipam

    def get(self, name: str) -> IPAM:
        """Return the IPAM of a name.

        Raises
        ------
        errors.InvalidError
            The name is not text.
        errors.NotFoundError
            Neither registered, built in nor installed, nor a Docker plugin.
        errors.DriverFaultError
            An installed one could not be loaded.
        """
        _check_name(name)
        with self._lock:
            found = self._ipams.get(name)
        if found is not None:
            return found
        made = self._make(name)
        return self._settle(name, made, plugin=made is None)

    def _settle(self, name: str, made: IPAM | None, *, plugin: bool) -> IPAM:
        if made is None:
            try:
                from driverapi.remote import RemoteIPAM
            except ImportError as missing:
                raise errors.NotFoundError(
                    f"IPAM {name!r} is a Docker plugin; to ask it: pip install 'driverapi[plugin]' ({missing})"
                ) from None
            made = RemoteIPAM(name)
        with self._lock:  # another thread may have been first: its instance counts
            if plugin and name not in self._ipams:
                self._plugins.add(name)
            return self._ipams.setdefault(name, made)

    def expect(self, name: str) -> None:
        """Have a Docker plugin be the IPAM of a name that has none: it is looked for when it is asked."""
        with self._lock:
            known = name in self._ipams
        if not known:
            self._settle(name, None, plugin=True)

    def is_plugin(self, name: str) -> bool:
        """Tell whether the IPAM of a name was found as a Docker plugin."""
        return name in self._plugins

    def names(self) -> list[str]:
        """Return all names that :meth:`get` would find, sorted."""
        with self._lock:
            registered = set(self._ipams)
        return sorted(registered | set(BUILTIN) | {point.name for point in _entry_points()} | set(_plugins()))

    def _make(self, name: str) -> IPAM | None:
        """Make an IPAM; None for one that is a Docker plugin."""
        factory: Any
        if name in BUILTIN:
            module, _, attribute = BUILTIN[name].partition(":")
            factory = getattr(importlib.import_module(module), attribute)
        else:
            points = [point for point in _entry_points() if point.name == name]
            if not points and name in _plugins(name):
                return None
            if not points:
                raise errors.NotFoundError(f"no IPAM {name!r}; there are: {', '.join(self.names())}")
            try:
                factory = points[0].load()
            except Exception as fault:
                raise errors.DriverFaultError(f"IPAM {name!r} ({points[0].value}) cannot be loaded: {fault}") from fault
        try:
            made: IPAM = factory()
        except Exception as fault:
            raise errors.DriverFaultError(f"IPAM {name!r} cannot be made: {fault}") from fault
        missing = lacking(made)
        if missing:
            raise errors.DriverFaultError(f"entry point {name!r} gave {made!r}, which is no IPAM: no {missing[0]}")
        return made


def lacking(ipam: object) -> list[str]:
    """Return which methods of an IPAM an object lacks."""
    return [name for name in _METHODS if not callable(getattr(ipam, name, None))]


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not name:
        raise errors.InvalidError(f"name of an IPAM {name!r} must be text that is not empty")


def _entry_points() -> list[Any]:
    # Imported late: the metadata machinery costs as much as the rest of this package.
    from importlib.metadata import entry_points

    return list(entry_points(group=ENTRY_POINTS))


def _plugins(name: str | None = None) -> list[str]:
    """Return the names of the Docker plugins that there are, or that one if there is."""
    from driverapi.places import names, there  # imported late, as is what asks them

    if name is not None:
        return [name] if there(name) else []
    return names()

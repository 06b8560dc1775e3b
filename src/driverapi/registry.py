"""Which driver manages which network type."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Mapping
from typing import Any, Final

from driverapi import errors, labels
from driverapi.api import Driver

__all__ = ["BUILTIN", "ENTRY_POINTS", "DriverRegistry"]

ENTRY_POINTS: Final = "driverapi.drivers"
"""The entry-point group of third-party drivers: a network type, and a ``Driver`` class or its maker."""

BUILTIN: Final[dict[str, str]] = {
    "null": "driverapi.drivers.null:NullDriver",
    "host": "driverapi.drivers.host:HostDriver",
    "bridge": "driverapi.drivers.bridge:BridgeDriver",
    "routed": "driverapi.drivers.routed:RoutedDriver",
    "macvlan": "driverapi.drivers.macvlan:MacvlanDriver",
    "ipvlan": "driverapi.drivers.ipvlan:IpvlanDriver",
}
"""The drivers of this package; each is imported when first asked for."""


class DriverRegistry:
    """Drivers by network type (seed: the ``RegisterDriver`` side of ``DriverCallback``).

    A name that was not registered is looked for among the built-in drivers, then among the installed
    entry points, then where an engine looks for its plugins (:mod:`driverapi.remote`), and registered for
    good when found.

    Thread safety: all methods; check and set are one step.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._drivers: dict[str, Driver] = {}
        self._plugins: set[str] = set()  # names that were found as Docker plugins
        # Of its own, held while a driver takes its configuration: it may register further drivers then.
        self._configuring = threading.RLock()
        self._configured: dict[str, dict[str, Any]] = {}

    def register(self, name: str, driver: Driver) -> None:
        """Register a driver for a network type.

        Raises
        ------
        errors.ActiveRegistrationError
            That type has a driver already (seed: ``ErrActiveRegistration``).
        errors.InvalidError
            The name is not text, or the driver is none.
        """
        _check_type(name)
        if not isinstance(driver, Driver):
            raise errors.InvalidError(
                f"{driver!r} is no Driver: derive its class from driverapi.Driver and register an instance"
            )
        with self._lock:
            if name in self._drivers:
                raise errors.ActiveRegistrationError(name)
            self._drivers[name] = driver

    register_driver = register
    """The seed's name of the same (``DriverCallback.RegisterDriver``)."""

    def get(self, name: str) -> Driver:
        """Return the driver of a network type.

        Raises
        ------
        errors.InvalidError
            The name is not text.
        errors.NoDriverError
            Neither registered, built in nor installed, nor a Docker plugin.
        errors.DriverFaultError
            An installed driver could not be loaded.
        """
        _check_type(name)
        with self._lock:
            found = self._drivers.get(name)
        if found is not None:
            return found
        made = self._make(name)
        return self._settle(name, made, plugin=made is None)

    def _settle(self, name: str, made: Driver | None, *, plugin: bool) -> Driver:
        if made is None:
            try:
                from driverapi.remote import RemoteDriver
            except ImportError as missing:
                raise errors.NoDriverError(
                    f"network type {name!r} is a Docker plugin; to ask it: pip install 'driverapi[plugin]' ({missing})"
                ) from None
            made = RemoteDriver(name)
        with self._lock:  # another thread may have been first: its instance counts
            if plugin and name not in self._drivers:
                self._plugins.add(name)
            return self._drivers.setdefault(name, made)

    def expect(self, name: str) -> None:
        """Have a Docker plugin be the driver of a network type that has none: it is looked for when it is asked."""
        with self._lock:
            known = name in self._drivers
        if not known:
            self._settle(name, None, plugin=True)

    def is_plugin(self, name: str) -> bool:
        """Tell whether the driver of a type was found as a Docker plugin."""
        return name in self._plugins

    def configure(self, name: str, options: Mapping[str, Any]) -> Driver:
        """Give the driver of a network type its configuration, once, and return it (seed: ``Config``).

        To be called before the driver has networks. The same options again do nothing; options that
        were refused can be followed by others.

        Raises
        ------
        errors.ConflictError
            It was configured with other options.
        errors.DriverAPIError
            As :meth:`get`; or the driver refused the options, with its own class where that is one of
            this package, else as the cause of an ``errors.DriverFaultError``.
        """
        driver = self.get(name)
        given = labels.normalise(options)
        with self._configuring:
            if name not in self._configured:
                try:
                    driver.config(dict(given))
                except errors.DriverAPIError:
                    raise
                except Exception as fault:
                    raise errors.DriverFaultError(f"driver {name!r}: config: {fault}") from fault
                self._configured[name] = given
            elif self._configured[name] != given:
                raise errors.ConflictError(
                    f"driver {name!r} is configured already, with {self._configured[name]!r}; "
                    "use a DriverRegistry of its own for other options"
                )
        return driver

    def loaded(self) -> list[Driver]:
        """Return the drivers that are registered, or were found: in no order."""
        with self._lock:
            return list(self._drivers.values())

    def names(self) -> list[str]:
        """Return all network types that :meth:`get` would find, sorted."""
        with self._lock:
            registered = set(self._drivers)
        return sorted(registered | set(BUILTIN) | {point.name for point in _entry_points()} | set(_plugins()))

    def _make(self, name: str) -> Driver | None:
        """Make a driver; None for one that is a Docker plugin."""
        factory: Any
        if name in BUILTIN:
            module, _, attribute = BUILTIN[name].partition(":")
            factory = getattr(importlib.import_module(module), attribute)
        else:
            points = [point for point in _entry_points() if point.name == name]
            if not points and name in _plugins(name):
                return None
            if not points:
                known = ", ".join(self.names())
                raise errors.NoDriverError(f"no driver for network type {name!r}; there are: {known}")
            try:
                factory = points[0].load()
            except Exception as fault:
                raise errors.DriverFaultError(
                    f"driver {name!r} ({points[0].value}) cannot be loaded: {fault}"
                ) from fault
        try:
            made = factory()
        except Exception as fault:
            raise errors.DriverFaultError(f"driver {name!r} cannot be made: {fault}") from fault
        if not isinstance(made, Driver):
            raise errors.DriverFaultError(f"entry point {name!r} gave {made!r}, which is no driverapi.Driver")
        return made


def _check_type(name: str) -> None:
    if not isinstance(name, str) or not name:
        raise errors.InvalidError(f"network type {name!r} must be text that is not empty")


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

"""Which driver manages which network type."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Final

from driverapi import errors, labels
from driverapi.api import Driver
from driverapi.byname import ByName

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


class DriverRegistry(ByName[Driver]):
    """Drivers by network type (seed: the ``RegisterDriver`` side of ``DriverCallback``).

    A name that was not registered is looked for among the built-in drivers, then among the installed
    entry points, then where an engine looks for its plugins (:mod:`driverapi.remote`), and registered for
    good when found.

    Thread safety: all methods; check and set are one step.
    """

    _BUILTIN = BUILTIN
    _GROUP = ENTRY_POINTS
    _THING = "driver"
    _NAME = "network type"
    _ABSENT = "no driver for network type"
    _NOT_FOUND = errors.NoDriverError

    def __init__(self) -> None:
        super().__init__()
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
        self._check_name(name)
        if not isinstance(driver, Driver):
            raise errors.InvalidError(
                f"{driver!r} is no Driver: derive its class from driverapi.Driver and register an instance"
            )
        with self._lock:
            if name in self._known:
                raise errors.ActiveRegistrationError(name)
            self._known[name] = driver

    register_driver = register
    """The seed's name of the same (``DriverCallback.RegisterDriver``)."""

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
            return list(self._known.values())

    def _unfit(self, thing: object) -> str:
        return "" if isinstance(thing, Driver) else "no driverapi.Driver"

    def _plugin(self, name: str) -> Driver:
        from driverapi.remote import RemoteDriver

        return RemoteDriver(name)

    def _called(self, name: str) -> str:
        return f"network type {name!r}"

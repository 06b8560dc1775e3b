"""Which IPAM has which name."""

from __future__ import annotations

from typing import Final

from driverapi import errors
from driverapi.byname import ByName
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


class IPAMRegistry(ByName[IPAM]):
    """IPAMs by name, as :class:`driverapi.DriverRegistry` has drivers.

    Thread safety: all methods; check and set are one step.
    """

    _BUILTIN = BUILTIN
    _GROUP = ENTRY_POINTS
    _THING = "IPAM"
    _NAME = "name of an IPAM"
    _ABSENT = "no IPAM"

    def register(self, name: str, ipam: IPAM) -> None:
        """Register an IPAM.

        Raises
        ------
        errors.ConflictError
            The name is taken.
        errors.InvalidError
            The name is not text, or the IPAM lacks a method.
        """
        self._check_name(name)
        missing = _lacking(ipam)
        if missing:
            raise errors.InvalidError(f"{ipam!r} is no IPAM: it has no method {missing[0]}")
        with self._lock:
            if name in self._known:
                raise errors.ConflictError(f"IPAM {name!r} is registered already; choose another name")
            self._known[name] = ipam

    def _unfit(self, thing: object) -> str:
        missing = _lacking(thing)
        return f"no IPAM: no {missing[0]}" if missing else ""

    def _plugin(self, name: str) -> IPAM:
        from driverapi.remote import RemoteIPAM

        return RemoteIPAM(name)


def _lacking(ipam: object) -> list[str]:
    """Return which methods of an IPAM an object lacks."""
    return [name for name in _METHODS if not callable(getattr(ipam, name, None))]

"""Driver ``null``: a sandbox of its own with loopback and nothing else (seed: ``drivers/null``)."""

from __future__ import annotations

from typing import final

from driverapi.drivers.bare import BareDriver, bare_rules

__all__ = ["NullDriver"]


@final
class NullDriver(BareDriver):
    """Endpoints without interfaces: a sandbox has ``lo``, up, and reaches nobody else.

    Any number of networks, all alike. Options that ask for anything are refused.

    Thread safety: all methods.
    """

    rules = bare_rules("null", "nobody reaches the sandbox")

    def type(self) -> str:
        """Return ``"null"``."""
        return "null"

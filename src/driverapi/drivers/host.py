"""Driver ``host``: the sandbox is the host's own namespace (seed: ``drivers/host``)."""

from __future__ import annotations

from typing import final

from driverapi import labels
from driverapi.drivers.bare import BareDriver, bare_rules

__all__ = ["HostDriver"]


@final
class HostDriver(BareDriver):
    """Endpoints that share the host's interfaces: nothing is realised, so nothing is ever undone there.

    There is one host, so there is one network. Its endpoints join only sandboxes made with
    ``create_sandbox(name, host=True)``; ``attach`` makes such by itself. Options that ask for
    anything are refused.

    Thread safety: all methods.
    """

    host_sandbox = True
    most = 1
    rules = bare_rules(
        "host",
        "a sandbox listens on the host's own ports",
        {
            labels.INTERNAL: "the host's interfaces reach what the host reaches",
            labels.ENDPOINT_SYSCTLS: "they would be the host's own",
        },
    )

    def type(self) -> str:
        """Return ``"host"``."""
        return "host"

"""Where the state is that the command line uses when it is not told."""

from __future__ import annotations

import os
from pathlib import Path

from driverapi import errors

__all__ = ["default_state"]


def default_state() -> Path:
    """Return the path of the state: nothing is made.

    ``DRIVERAPI_STATE`` if set, ``/var/lib/driverapi/state.db`` for root, else ``driverapi/state.db`` in
    ``XDG_STATE_HOME``, which is ``~/.local/state`` unless it is set to an absolute path (XDG Base Directory
    Specification).

    Raises
    ------
    errors.InvalidError
        There is no home directory.
    """
    given = os.environ.get("DRIVERAPI_STATE")
    if given:
        return Path(given).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/driverapi/state.db")
    base = Path(os.environ.get("XDG_STATE_HOME") or "")
    if not base.is_absolute():
        try:
            base = Path.home() / ".local" / "state"
        except RuntimeError:
            raise errors.InvalidError(
                "no directory for the state: give --state, or set DRIVERAPI_STATE or XDG_STATE_HOME"
            ) from None
    return base / "driverapi" / "state.db"

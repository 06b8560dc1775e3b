"""Checks of what a caller says, and words for what is told to him."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from driverapi import errors
from driverapi.dataplane.contract import Progress

__all__ = ["MAX_BULK", "check_count", "check_name", "further", "some_of"]

MAX_BULK: Final = 1_000_000
"""Endpoints that one call may ask for: more than any kernel has room for."""


def check_name(name: str, what: str) -> str:
    """Return a name that a thing of the controller may have, else raise ``InvalidError``."""
    if not isinstance(name, str) or not name or len(name) > 255 or not name.isprintable():
        raise errors.InvalidError(f"{what} {name!r} must be printable text of 1 to 255 characters")
    return name


def further(progress: Progress, before: int) -> Progress:
    """Report what is finished on top of what was finished before."""
    return lambda done: progress(before + done)


def some_of(names: Collection[str]) -> str:
    """Count endpoints and name the first five of them."""
    shown = ", ".join(sorted(names)[:5]) + (", …" if len(names) > 5 else "")
    return f"{len(names)} endpoint{'' if len(names) == 1 else 's'} ({shown})"


def check_count(what: object) -> int:
    """Return how many sandboxes are wanted of ``attach``, else raise ``InvalidError``."""
    if isinstance(what, bool) or not isinstance(what, int) or not 0 <= what <= MAX_BULK:
        raise errors.InvalidError(
            f"attach takes a number of sandboxes, 0 to {MAX_BULK}, or a sequence of them, not {what!r}"
        )
    return what

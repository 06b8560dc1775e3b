"""Checks of what a caller says, and words for what is told to him."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Final

from driverapi import errors, labels
from driverapi.dataplane.contract import Progress
from driverapi.paths import path_text

if TYPE_CHECKING:
    from driverapi.registry import DriverRegistry

__all__ = ["MAX_BULK", "check_count", "check_name", "checked_options", "checked_path", "further", "some_of"]

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


def checked_options(
    registry: DriverRegistry, given: Mapping[str, Mapping[str, Any]] | None
) -> dict[str, dict[str, Any]]:
    """Return what a controller was given as options of drivers, with today's names of them."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise errors.InvalidError(f"driver_options must map network types to options, not {given!r}")
    known = registry.names()
    for name in given:
        if name not in known:
            raise errors.NoDriverError(f"driver_options: no driver {name!r}; there are: {', '.join(known)}")
    return {name: labels.normalise(options) for name, options in given.items()}


def checked_path(netns: str | os.PathLike[str]) -> str:
    """Return the path of a namespace, if it can be one, else raise ``InvalidError``."""
    path = path_text(netns)
    if not path:
        raise errors.InvalidError(f"netns {netns!r} is not the path of a network namespace")
    return path

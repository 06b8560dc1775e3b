"""The kernel's refusals as errors of this package, which say what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Final

from driverapi import errors
from driverapi._native import Answers, Batch, NetlinkError, NetlinkSocket

__all__ = ["carry_out", "carry_out_once", "failure", "first_failure", "refusals", "unwritten"]

_Class = Callable[[str, int], errors.KernelError]

_NO_SUCH_KIND: Final = "Unknown device type"
"""What ``rtnl_newlink`` says to a kind of link that it cannot make."""

_MEANING: dict[int, tuple[_Class, str]] = {
    errno.EPERM: (
        errors.NoPermissionError,
        "this needs CAP_NET_ADMIN: run as root, or inside a user namespace",
    ),
    errno.EACCES: (
        errors.NoPermissionError,
        "this needs CAP_NET_ADMIN, and IPv6 must not be switched off for an IPv6 address",
    ),
    errno.EXFULL: (
        errors.KernelLimitError,
        "the bridge has as many ports as the kernel allows, 1023",
    ),
    errno.EEXIST: (errors.KernelConflictError, "it exists already; choose another"),
    errno.EBUSY: (errors.KernelConflictError, "its number is in use; try again"),
    errno.EOPNOTSUPP: (errors.KernelUnsupportedError, "this kernel does not have that"),
    errno.ENOBUFS: (
        errors.KernelError,
        "the kernel's answer was lost and what it did is not there; try again",
    ),
}


def failure(what: str, error: NetlinkError) -> errors.KernelError:
    """Return the typed error for a refused message.

    Parameters
    ----------
    what : str
        What it was for, as ``"endpoint 3f2a…"``.
    """
    number = error.errno or 0
    kind, advice = _MEANING.get(number, (errors.KernelError, ""))
    verb, _, link = error.operation.partition(" ")
    if number == errno.EOPNOTSUPP and verb == "add" and error.message == _NO_SUCH_KIND:
        advice = f"this kernel has no link kind {link.split()[0]}: load its module, or do without"
    said = f"{os.strerror(number)} ({error.message})" if error.message else os.strerror(number)
    made = kind(f"{what}: {error.operation}: {said}" + (f"; {advice}" if advice else ""), number)
    made.__cause__ = error
    return made


def unwritten(what: str, error: OSError, advice: str) -> errors.KernelError:
    """Return the typed error for a switch of the kernel that could not be written.

    Parameters
    ----------
    what : str
        What it was for, and the switch.
    advice : str
        What to do instead.
    """
    forbidden = error.errno in (errno.EPERM, errno.EACCES, errno.EROFS)
    kind = errors.NoPermissionError if forbidden else errors.KernelError
    return kind(f"{what}: {error.strerror or error}; {advice}", error.errno or 0)


def carry_out(socket: NetlinkSocket, batch: Batch) -> dict[int, NetlinkError]:
    """Execute a batch of messages that may be repeated; return what was refused, by position.

    A message whose answer was lost is sent again by itself, and so answered for certain: it is
    done now, or it was before (``EEXIST``; a deletion says that there is nothing).
    """
    answers = socket.execute(batch)
    return {} if answers.ok else refusals(socket, batch, answers)


def carry_out_once(socket: NetlinkSocket, batch: Batch) -> NetlinkError | None:
    """Execute a batch whose messages build on each other; return what was refused first, or had its answer lost."""
    answers = socket.execute(batch)
    if answers.ok:
        return None
    found = (error for error in map(answers.error, range(len(batch))) if error is not None)
    return next((error for error in found if not _says_no_ipv6(error)), None)


def _says_no_ipv6(error: NetlinkError) -> bool:
    """Tell whether a link was to have no IPv6 link-local address, and has no IPv6 at all.

    Its MTU is below 1280 bytes (RFC 8200, section 5), or the kernel has none.
    """
    return error.errno == errno.EAFNOSUPPORT and error.operation.startswith(("set link ", "set links "))


def refusals(socket: NetlinkSocket, batch: Batch, answers: Answers) -> dict[int, NetlinkError]:
    """Return what of a batch was refused, by position; what had its answer lost is sent again.

    So is what was refused after it, perhaps because it had not been done.
    """
    refused = {}
    lost = set(answers.unknown)
    first = min(lost, default=len(batch))
    for position in sorted(lost.union(answers.failed)):
        error = answers.error(position)
        if position >= first:
            again = Batch()
            again.append(batch.message(position))
            error = socket.execute(again).error(0)
        if error is not None and not (position in lost and error.errno == errno.EEXIST) and not _says_no_ipv6(error):
            refused[position] = error
    return refused


def first_failure(
    what: str, socket: NetlinkSocket, batch: Batch, done: tuple[int, ...] = ()
) -> errors.KernelError | None:
    """Carry a batch out and return the first error, or None.

    Parameters
    ----------
    done : tuple of int
        Error numbers that mean that there was nothing to do.
    """
    for error in carry_out(socket, batch).values():
        if error.errno not in done:
            return failure(what, error)
    return None

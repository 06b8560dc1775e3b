"""``/etc/hosts`` as text (hosts(5)): built, read, and a block of it kept up to date. Nothing here does I/O.

::

    127.0.0.1   localhost               the head: written once
    10.0.0.9    db                      extra hosts: written once
    # driverapi: up to the end line, this is kept up to date
    10.77.0.2   box ep1 ep1.front       all on its networks: the names of the sandbox itself where it is served,
    10.77.0.3   ep2 ep2.front           of the endpoint, and of the endpoint on its network
    # driverapi: end

Between the two lines everything is ours. All else is the user's once it is written: it may be edited, and so may
the lines be taken away, after which nothing is written any more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from driverapi import errors
from driverapi._native import pack_ip

__all__ = ["BEGIN", "END", "HostsEntry", "build", "check_hostname", "format_entries", "is_hostname", "lookup", "parse"]
__all__ += ["renew"]

BEGIN: Final = "# driverapi: up to the end line, this is kept up to date\n"
END: Final = "# driverapi: end\n"

_LABEL: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_MOST: Final = 253  # characters of a name (RFC 1035, 2.3.4, without the root's dot)


@dataclass(frozen=True, slots=True)
class HostsEntry:
    """One line: an address and the names that it has, the canonical one first."""

    ip: str
    names: tuple[str, ...]


LOCAL: Final = (
    HostsEntry("127.0.0.1", ("localhost",)),
    HostsEntry("::1", ("localhost", "ip6-localhost", "ip6-loopback")),
    HostsEntry("fe00::", ("ip6-localnet",)),
    HostsEntry("ff00::", ("ip6-mcastprefix",)),
    HostsEntry("ff02::1", ("ip6-allnodes",)),
    HostsEntry("ff02::2", ("ip6-allrouters",)),
)
"""What every file begins with."""


def is_hostname(name: str) -> bool:
    """Tell whether a name can stand in the file: labels of letters, digits, ``-`` and ``_`` (RFC 1123, 2.1)."""
    return len(name) <= _MOST and all(_LABEL.fullmatch(label) for label in name.split("."))


def check_hostname(name: object, what: str) -> str:
    """Return a name that can stand in the file.

    Raises
    ------
    errors.InvalidError
        It cannot; ``what`` is how the error calls it.
    """
    if not isinstance(name, str) or not is_hostname(name):
        raise errors.InvalidError(
            f"{what} {name!r} is no host name: labels of 1 to 63 letters, digits, '-' and '_', with dots between them, "
            f"{_MOST} characters at most"
        )
    return name


def format_entries(entries: Iterable[HostsEntry]) -> str:
    """Write entries, a line each."""
    return "".join([f"{entry.ip}\t{' '.join(entry.names)}\n" for entry in entries])


def build(extra: Iterable[HostsEntry], block: str) -> str:
    """Make a whole file.

    Parameters
    ----------
    extra : iterable of HostsEntry
        Behind the lines that every file has.
    block : str
        Lines of :func:`format_entries`.
    """
    return f"{format_entries(LOCAL)}{format_entries(extra)}{BEGIN}{block}{END}"


def renew(text: str, block: str) -> str | None:
    """Return a file with another block; None where the user has taken away either of the lines around it."""
    begin = _find_line(text, BEGIN, 0)
    if begin < 0:
        return None
    inside = begin + len(BEGIN)
    end = _find_line(text, END, inside)
    return None if end < 0 else f"{text[:inside]}{block}{text[end:]}"


def _find_line(text: str, line: str, start: int) -> int:
    """Find a whole line; the last one of the file needs no end."""
    while (at := text.find(line[:-1], start)) >= 0:
        after = at + len(line) - 1
        if (at == 0 or text[at - 1] == "\n") and text[after : after + 1] in ("\n", ""):
            return at if after < len(text) or line == END else -1
        start = after
    return -1


def parse(text: str) -> list[HostsEntry]:
    """Read a file: lines without an address and a name are passed over, and so is what follows a ``#``."""
    found = []
    for line in text.split("\n"):
        words = line.partition("#")[0].split()
        if len(words) > 1 and _is_address(words[0]):
            found.append(HostsEntry(words[0], tuple(words[1:])))
    return found


def lookup(text: str, name: str) -> list[str]:
    """Return the addresses of exactly that name, whatever its case, in the order of their lines."""
    wanted = name.lower()
    return [entry.ip for entry in parse(text) if any(one.lower() == wanted for one in entry.names)]


def _is_address(word: str) -> bool:
    try:
        pack_ip(word.partition("%")[0])
    except ValueError:
        return False
    return True

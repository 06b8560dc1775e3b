"""What the native core raises. Each is its own class and one of Python's own."""

from __future__ import annotations

import os

__all__ = [
    "Excluded",
    "Exhausted",
    "FastnetError",
    "NetlinkError",
    "NotTaken",
    "OutOfRange",
    "Reserved",
    "SnapshotError",
    "Taken",
]


class FastnetError(Exception):
    """Base of everything that the native core raises on its own account."""


class Exhausted(FastnetError, LookupError):
    """Nothing free is left (or fewer than were asked for; then none was taken)."""


class Taken(FastnetError, ValueError):
    """The wanted ordinal or address is taken already."""


class Reserved(Taken):
    """A rule keeps the wanted address for all of the prefix: nobody ever gets it."""


class Excluded(Reserved):
    """An exclusion of this pool keeps the wanted address: nobody ever gets it here."""


class NotTaken(FastnetError, ValueError):
    """What should be released is not taken."""


class OutOfRange(FastnetError, ValueError):
    """The ordinal or address lies outside of the pool."""


class SnapshotError(FastnetError, ValueError):
    """The bytes are no snapshot, or a damaged one, or one of another version."""


class NetlinkError(FastnetError, OSError):
    """The kernel refused one message.

    Attributes
    ----------
    errno : int
        The kernel's error number (positive).
    operation : str
        The verb of the batch and its object, as ``"add veth dv01ab…"``.
    message : str
        The kernel's own words (``NLMSGERR_ATTR_MSG``), empty where it gave none.
    offset : int
        Where in the message the attribute stands that the kernel disliked
        (``NLMSGERR_ATTR_OFFS``), in bytes from the message's header; -1 where not said.
    index : int
        Position of the message in its batch.
    attribute : str
        The name of that attribute, as ``"IFLA_MTU"``, or of one inside of another,
        ``"IFLA_LINKINFO/IFLA_INFO_KIND"``; of one that the kernel misses, ``"IFLA_IFNAME is missing"``
        (``NLMSGERR_ATTR_MISS_TYPE``). Empty where the kernel said nothing of it.
    """

    def __init__(
        self, errno: int, operation: str, message: str = "", offset: int = -1, index: int = 0, attribute: str = ""
    ) -> None:
        said = os.strerror(errno)
        detail = ": ".join(part for part in (attribute, message) if part)
        super().__init__(errno, f"{operation}: {said}" + (f" ({detail})" if detail else ""))
        self.operation = operation
        self.message = message
        self.offset = offset
        self.index = index
        self.attribute = attribute

    def __reduce__(self) -> tuple[type[NetlinkError], tuple[int, str, str, int, int, str]]:
        """Pickle by the constructor's own arguments."""
        return type(self), (
            self.errno or 0,
            self.operation,
            self.message,
            self.offset,
            self.index,
            self.attribute,
        )

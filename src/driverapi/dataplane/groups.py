"""Link groups: the only key by which the kernel deletes many links at once.

Links that are made together are born in one group, and one message takes them away: one
wait for the kernel's grace periods instead of one for each. A group is never larger than the
chunk it was made in, which bounds how long its deletion holds the kernel's global lock.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

from driverapi._native import Bitmap, Exhausted
from driverapi.instance import GROUPS, Instance

__all__ = ["COMMON", "LinkGroups"]

COMMON: Final = 0
"""The group of what is not deleted by group: bridges, and links born when the numbers ran out."""


class LinkGroups:
    """The groups of one instance and the indexes of their living members.

    Thread safety: all methods.
    """

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._lock = threading.Lock()
        self._numbers = Bitmap(GROUPS)
        self._numbers.reserve(COMMON)
        self._members: dict[int, set[int]] = {COMMON: set()}

    def value(self, number: int) -> int:
        """Return the kernel's ``IFLA_GROUP`` of a group number."""
        return self._instance.group(number)

    def take(self) -> int:
        """Return the number of an empty group, the longest unused first; ``COMMON`` when none is left."""
        with self._lock:
            try:
                number = self._numbers.allocate_next()
            except Exhausted:
                return COMMON
            self._members[number] = set()
            return number

    def give_back(self, number: int) -> None:
        """Return an empty group; one with members, and ``COMMON``, are kept."""
        with self._lock:
            if number != COMMON and not self._members.get(number, True):
                del self._members[number]
                self._numbers.release(number)

    def add(self, number: int, indexes: Sequence[int]) -> None:
        """Note members."""
        with self._lock:
            self._members[number].update(indexes)

    def adopt(self, number: int, index: int) -> int:
        """Note a member that an earlier process made in a group; return the group that it is to be taken for."""
        with self._lock:
            if not 0 < number < GROUPS:
                return COMMON
            if number not in self._members:
                self._numbers.reserve(number)
                self._members[number] = set()
            self._members[number].add(index)
            return number

    def discard(self, number: int, indexes: Sequence[int]) -> None:
        """Forget members that are gone."""
        with self._lock:
            self._members[number].difference_update(indexes)

    def is_whole(self, number: int, indexes: Sequence[int]) -> bool:
        """Tell whether these are all the members of a group that may be deleted as one."""
        with self._lock:
            return number != COMMON and self._members[number] == set(indexes)

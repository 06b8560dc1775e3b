"""Which prefixes are in use: what overlaps a prefix, and which one of a length is free, without looking at all of them.

Both cost by the number of bits of a prefix, not by the number of prefixes in use.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import Any, Final, final

from driverapi.addresses import Address

__all__ = ["FreeSpace", "PrefixIndex"]

_FULL: Final = 1000
"""In place of a length: nothing is free."""

# A node of a tree: what is beneath its two halves, the length of its largest free prefix, how often it is in use.
_LEFT, _RIGHT, _BEST, _USES = range(4)
_Node = list[Any]


@final
class PrefixIndex:
    """Prefixes of one family that are in use, each by a number of holders.

    A holder is any text; one prefix may have several, and prefixes may overlap: whoever adds them has asked before.

    Parameters
    ----------
    bits : int
        Of an address: 32 or 128.

    Notes
    -----
    Thread safety: none; its owner has a lock.
    """

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._starts: list[tuple[int, int]] = []  # (first address, length), in order
        self._holders: dict[tuple[int, int], list[str]] = {}
        self._lengths: dict[int, int] = {}  # how many prefixes there are of each length

    def __len__(self) -> int:
        """Return how many different prefixes are in use."""
        return len(self._starts)

    def add(self, first: int, length: int, holder: str) -> None:
        """Take note of a prefix."""
        key = first, length
        holders = self._holders.get(key)
        if holders is not None:
            holders.append(holder)
            return
        self._holders[key] = [holder]
        insort(self._starts, key)
        self._lengths[length] = self._lengths.get(length, 0) + 1

    def remove(self, first: int, length: int, holder: str) -> None:
        """Forget one holder of a prefix."""
        key = first, length
        holders = self._holders[key]
        holders.remove(holder)
        if holders:
            return
        del self._holders[key]
        del self._starts[bisect_left(self._starts, key)]
        self._lengths[length] -= 1
        if not self._lengths[length]:
            del self._lengths[length]

    def overlapping(self, first: int, length: int) -> str | None:
        """Return a holder of a prefix that shares an address with this one; None where there is none."""
        for shorter in self._lengths:
            if shorter <= length:
                shift = self._bits - shorter
                found = self._holders.get((first >> shift << shift, shorter))
                if found is not None:
                    return found[0]
        at = bisect_left(self._starts, (first, length))
        if at < len(self._starts) and self._starts[at][0] >> self._bits - length == first >> self._bits - length:
            return self._holders[self._starts[at]][0]
        return None


@final
class FreeSpace:
    """A whole prefix, and which parts of it are free: a binary tree that has nodes only above what is in use.

    Parameters
    ----------
    whole : Address
        The prefix, host bits zero.

    Notes
    -----
    Thread safety: none; its owner has a lock.
    """

    def __init__(self, whole: Address) -> None:
        self.whole = whole
        self._bits = whole.bits
        self._first = int.from_bytes(whole.ip, "big")
        self._end = self._first + (1 << whole.bits - whole.prefix)
        self._root: _Node = [None, None, whole.prefix, 0]

    @property
    def largest(self) -> int:
        """Length of the largest prefix in it that is free; more than any length where nothing is."""
        best: int = self._root[_BEST]
        return best

    def mark(self, first: int, length: int, uses: int = 1) -> None:
        """Take note that a prefix is in use, or with ``uses`` -1 is no more; one outside of the whole is nothing."""
        if length < self.whole.prefix:
            first, length = self._at_most_whole(first, length), self.whole.prefix
        if not self._first <= first < self._end:
            return
        node, way = self._root, []
        for depth in range(self.whole.prefix, length):
            side = first >> self._bits - 1 - depth & 1
            way.append((node, side))
            beneath = node[side]
            if beneath is None:
                beneath = node[side] = [None, None, depth + 1, 0]
            node = beneath
        node[_USES] += uses
        self._settle(node, length)
        depth = length
        for above, side in reversed(way):
            best = node[_BEST]
            if best == depth:
                above[side] = None  # all of it is free
            before = above[_BEST]
            depth -= 1
            self._settle(above, depth)
            if above[_BEST] == before and best != depth + 1:
                break  # nothing changes further up
            node = above

    def _at_most_whole(self, first: int, length: int) -> int:
        shift = self._bits - length
        return self._first if first >> shift == self._first >> shift else -1

    @staticmethod
    def _settle(node: _Node, depth: int) -> None:
        left, right, _, uses = node
        if uses:
            node[_BEST] = _FULL
        elif left is None:
            node[_BEST] = depth if right is None else depth + 1
        elif right is None:
            node[_BEST] = depth + 1
        else:
            node[_BEST] = min(left[_BEST], right[_BEST])

    def find(self, length: int, avoid: Iterable[tuple[int, int]] = ()) -> int | None:
        """Return the first free prefix of a length; None where there is none.

        Parameters
        ----------
        avoid : iterable of (int, int)
            Spans, first address and the one after the last, in order: what must not be given though it is not in use.
        """
        if length < self.whole.prefix:
            return None
        found = self._find(self._root, self.whole.prefix, self._first, length, self._first)
        step = 1 << self._bits - length
        for first, end in avoid:
            if found is None or found + step <= first:
                break
            if found < end:
                at = -(-end // step) * step
                found = self._find(self._root, self.whole.prefix, self._first, length, at)
        return found

    def _find(self, node: _Node | None, depth: int, first: int, length: int, at: int) -> int | None:
        """Return the first free prefix beneath a node that does not begin before ``at``."""
        end = first + (1 << self._bits - depth)
        if end <= at or depth > length:
            return None
        if node is None or node[_BEST] == depth:  # free as a whole
            first = max(first, at)  # both begin where a prefix of the length may
            return first if first + (1 << self._bits - length) <= end else None
        if node[_BEST] > length:
            return None
        found = self._find(node[_LEFT], depth + 1, first, length, at)
        if found is None:
            found = self._find(node[_RIGHT], depth + 1, first + end >> 1, length, at)
        return found

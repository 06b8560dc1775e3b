"""A slow pure twin of `Bitmap` that knows ranges of any length: a sorted list of disjoint spans."""

from __future__ import annotations

from _fastnet.errors import Exhausted, NotTaken, OutOfRange, Taken

Span = tuple[int, int]  # first and last, inclusive


class SpanTwin:
    """Ordinals 0…size-1 as the spans of the taken ones."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.spans: list[Span] = []
        self.cursor = 0

    def __contains__(self, ordinal: int) -> bool:
        return any(first <= ordinal <= stop for first, stop in self.spans)

    @property
    def taken(self) -> int:
        return sum(stop - first + 1 for first, stop in self.spans)

    @property
    def free(self) -> int:
        return self.size - self.taken

    def gaps(self, start: int = 0) -> list[Span]:
        """The free spans from an ordinal on."""
        found = []
        for first, stop in [*self.spans, (self.size, self.size)]:
            if first > start:
                found.append((start, first - 1))
            start = max(start, stop + 1)
        return found

    def _add(self, first: int, stop: int) -> None:
        merged: list[Span] = []
        for one in sorted([*self.spans, (first, stop)]):
            if merged and one[0] == merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], one[1])
            else:
                merged.append(one)
        self.spans = merged

    def _remove(self, first: int, stop: int) -> None:
        left: list[Span] = []
        for one, other in self.spans:
            left += [(one, min(other, first - 1))] if one < first else []
            left += [(max(one, stop + 1), other)] if other > stop else []
        self.spans = left

    def _search(self, start: int) -> int | None:
        gaps = self.gaps(start)
        return gaps[0][0] if gaps else None

    def allocate(self) -> int:
        found = self._search(0)
        if found is None:
            raise Exhausted
        self._add(found, found)
        return found

    def allocate_next(self) -> int:
        found = self._search(self.cursor)
        if found is None:
            found = self._search(0)
        if found is None:
            raise Exhausted
        self._add(found, found)
        self.cursor = (found + 1) % self.size
        return found

    def allocate_many(self, count: int) -> list[int]:
        if count > self.free:
            raise Exhausted
        given: list[int] = []
        for first, stop in self.gaps():
            stop = min(stop, first + count - len(given) - 1)
            given += range(first, stop + 1)
        for ordinal in given:
            self._add(ordinal, ordinal)
        return given

    def _bounds(self, first: int, count: int) -> None:
        if count < 0:
            raise ValueError
        if not 0 <= first < self.size or first + count > self.size:
            raise OutOfRange

    def reserve_range(self, first: int, count: int) -> None:
        self._bounds(first, count)
        bad = [max(first, one) for one, other in self.spans if one < first + count and other >= first]
        if bad and count:
            raise Taken(f"ordinal {bad[0]} of")
        if count:
            self._add(first, first + count - 1)

    def release_range(self, first: int, count: int) -> None:
        self._bounds(first, count)
        bad = [one for one, _ in self.gaps(first) if one < first + count]
        if bad and count:
            raise NotTaken(f"ordinal {bad[0]} of")
        if count:
            self._remove(first, first + count - 1)

    def find_run(self, count: int, align: int = 1, start: int = 0) -> int:
        for first, stop in self.gaps(start):
            first += -first % align
            if first + count - 1 <= stop:
                return first
        raise Exhausted

    def allocate_run(self, count: int, align: int = 1) -> int:
        found = self.find_run(count, align)
        self._add(found, found + count - 1)
        return found

    def count_taken(self, first: int, count: int) -> int:
        self._bounds(first, count)
        return sum(max(0, min(stop, first + count - 1) - max(one, first) + 1) for one, stop in self.spans)

    def release_many(self, ordinals: list[int]) -> None:
        before = self.spans
        try:
            for ordinal in ordinals:
                self.release_range(ordinal, 1)
        except (NotTaken, OutOfRange) as error:
            self.spans = before
            raise type(error) from error  # "twice" or "not taken": the native one knows

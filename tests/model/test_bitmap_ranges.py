"""Every verb of `Bitmap`, ranges of any length among them, against its slow twin, step by step.

``DRIVERAPI_LONG=1`` takes 2,000 runs, some 85,000 steps; the short run is CI's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from _fastnet.bitmap import Bitmap
from tests.model.spans import SpanTwin

# Around every border of the layout: words, the first dense sizes, levels of both trees.
BORDERS = [0, 64, 512, 4096, 8192, *(2**bits for bits in (18, 24, 30, 32, 36, 42, 48, 54, 60, 63, 64))]
SIZES = st.one_of(
    st.integers(1, 130),
    st.sampled_from(BORDERS[1:]),
    st.builds(lambda border, step: max(1, min(2**64, border + step)), st.sampled_from(BORDERS), st.integers(-130, 130)),
    st.integers(4000, 20000),
    st.integers(2**40, 2**64),
)
COUNTS = st.one_of(
    st.integers(0, 200),
    st.builds(lambda bits, step: max(0, 2**bits + step), st.integers(0, 64), st.integers(-2, 2)),
    st.integers(0, 2**64),
)


def same(native: Callable[[], object], twin: Callable[[], object]) -> object:
    """Do one thing in both: the same result, or an error of the same class that names the same ordinal."""
    try:
        wanted = twin()
    except (ValueError, LookupError) as error:
        with pytest.raises(type(error), match=re.escape(str(error)) or None):
            native()
        return None
    got = native()
    if isinstance(wanted, list):
        got = list(got)  # type: ignore[call-overload]
    assert got == wanted
    return got


class RangeMachine(RuleBasedStateMachine):
    @initialize(size=SIZES)
    def begin(self, size: int) -> None:
        self.native = Bitmap(size)
        self.twin = SpanTwin(size)

    def near(self, data: st.DataObject) -> int:
        """An ordinal near something: a border of the layout, or of what is taken."""
        ends = [end for span in self.twin.spans[:20] + self.twin.spans[-20:] for end in span]
        at = data.draw(st.sampled_from([*BORDERS, self.twin.size, *ends])) + data.draw(st.integers(-70, 70))
        return max(0, min(self.twin.size - 1, at))

    @rule()
    def allocate(self) -> None:
        same(self.native.allocate, self.twin.allocate)

    @rule(times=st.integers(1, 5))
    def allocate_next(self, times: int) -> None:
        for _ in range(times):
            same(self.native.allocate_next, self.twin.allocate_next)

    @rule(count=st.one_of(st.integers(0, 300), st.just(2**64 + 1)))
    def allocate_many(self, count: int) -> None:
        same(lambda: self.native.allocate_many(count), lambda: self.twin.allocate_many(count))

    @rule(data=st.data())
    def reserve(self, data: st.DataObject) -> None:
        at = self.near(data)
        same(lambda: self.native.reserve(at), lambda: self.twin.reserve_range(at, 1)) if at not in self.twin else None

    @rule(data=st.data(), count=COUNTS)
    def reserve_range(self, data: st.DataObject, count: int) -> None:
        at = self.near(data)
        same(lambda: self.native.reserve_range(at, count), lambda: self.twin.reserve_range(at, count))

    @rule(data=st.data())
    def reserve_gap(self, data: st.DataObject) -> None:
        """All of a gap: neighbours grow together."""
        gaps = self.twin.gaps()
        if gaps:
            first, stop = data.draw(st.sampled_from(gaps[:10] + gaps[-10:]))
            same(
                lambda: self.native.reserve_range(first, stop - first + 1),
                lambda: self.twin.reserve_range(first, stop - first + 1),
            )

    @rule(data=st.data(), count=COUNTS)
    def release_range(self, data: st.DataObject, count: int) -> None:
        at = self.near(data)
        same(lambda: self.native.release_range(at, count), lambda: self.twin.release_range(at, count))

    @precondition(lambda self: self.twin.spans)
    @rule(data=st.data(), whole=st.booleans(), cut=st.tuples(st.integers(0, 130), st.integers(0, 130)))
    def release_span(self, data: st.DataObject, whole: bool, cut: tuple[int, int]) -> None:
        first, stop = data.draw(st.sampled_from(self.twin.spans))
        if not whole and first + cut[0] <= stop - cut[1]:
            first, stop = first + cut[0], stop - cut[1]
        same(
            lambda: self.native.release_range(first, stop - first + 1),
            lambda: self.twin.release_range(first, stop - first + 1),
        )

    @precondition(lambda self: self.twin.spans)
    @rule(data=st.data(), inside=st.integers(0, 2**64))
    def release_one(self, data: st.DataObject, inside: int) -> None:
        first, stop = data.draw(st.sampled_from(self.twin.spans))
        at = first + inside % (stop - first + 1)
        self.twin.release_range(at, 1)
        self.native.release(at)
        assert at not in self.native

    @precondition(lambda self: self.twin.spans)
    @rule(data=st.data(), bad=st.booleans(), step=st.integers(1, 9))
    def release_many(self, data: st.DataObject, bad: bool, step: int) -> None:
        chosen = []
        for first, stop in self.twin.spans[:: data.draw(st.integers(1, 3))]:
            chosen += [*range(first, min(first + 100, stop + 1), step), stop]
        chosen = list(dict.fromkeys(chosen))
        if bad:
            chosen.append(data.draw(st.sampled_from([chosen[0], self.twin.size, self.near(data)])))
        same(lambda: self.native.release_many(chosen), lambda: self.twin.release_many(chosen))

    @rule(count=COUNTS.filter(bool), bits=st.integers(0, 63), data=st.data(), take=st.booleans())
    def run(self, count: int, bits: int, data: st.DataObject, take: bool) -> None:
        start = self.near(data)
        same(lambda: self.native.find_run(count, 2**bits, start), lambda: self.twin.find_run(count, 2**bits, start))
        if take:
            same(lambda: self.native.allocate_run(count, 2**bits), lambda: self.twin.allocate_run(count, 2**bits))

    @rule(data=st.data(), count=COUNTS)
    def count_taken(self, data: st.DataObject, count: int) -> None:
        at = self.near(data)
        same(lambda: self.native.count_taken(at, count), lambda: self.twin.count_taken(at, count))

    @rule()
    def through_bytes(self) -> None:
        """The restored one goes on instead."""
        data = self.native.snapshot()
        restored = Bitmap.restore(data)
        again = restored.snapshot()
        # But for the dense region's size, which a short snapshot need not restore.
        assert (again[:32], again[40:-4]) == (data[:32], data[40:-4])
        self.native = restored

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "twin"):
            return
        assert self.native.free == self.twin.free
        assert bool(self.native) == bool(self.twin.spans)
        for first, stop in self.twin.spans:
            assert first in self.native
            assert stop in self.native
            assert self.native.count_taken(first, stop - first + 1) == stop - first + 1
        for first, stop in self.twin.gaps():
            assert first not in self.native
            assert stop not in self.native
            assert self.native.count_taken(first, stop - first + 1) == 0


LONG = os.environ.get("DRIVERAPI_LONG", "") not in ("", "0")
TestRanges = RangeMachine.TestCase
TestRanges.settings = settings(max_examples=2000 if LONG else 60, stateful_step_count=50, deadline=None)

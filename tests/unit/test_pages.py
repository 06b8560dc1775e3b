"""Large results have pages of their own: written whole, and given back."""

from __future__ import annotations

import os
from array import array
from pathlib import Path

import pytest

from _fastnet import Bitmap, IPPool

FIRST = 0x0A000001


def mapped() -> int:
    """Bytes of address space that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("more", [-1, 0, 1, 16383, 16384, 700_001])
def test_written_whole_and_given_back(more: int) -> None:
    count = (1 << 20) + more  # 4 MB of IPv4: from there on they stand alone
    pool, bitmap = IPPool("10.0.0.0/8"), Bitmap(1 << 24)
    addresses = array("I", range(FIRST, FIRST + count)).tobytes()
    numbers = array("Q", range((count + 1) // 2)).tobytes()
    before = 0
    for turn in range(12):
        given, ordinals = pool.allocate_many(count), bitmap.allocate_many((count + 1) // 2)
        assert bytes(given) == addresses
        assert bytes(ordinals) == numbers
        assert (given[-1], ordinals[-1]) == (FIRST + count - 1, (count + 1) // 2 - 1)
        pool.release_many(given)
        bitmap.release_many(ordinals)
        del given, ordinals
        if turn == 3:
            before = mapped()
    assert mapped() - before < 16 << 20


def test_a_view_keeps_the_pages() -> None:
    ordinals = Bitmap(1 << 20).allocate_many(1 << 20)
    view = memoryview(ordinals)
    del ordinals
    assert view[-1] == (1 << 20) - 1
    assert sum(view) == (1 << 19) * ((1 << 20) - 1)

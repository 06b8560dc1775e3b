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
def test_written_whole(more: int) -> None:
    count = (1 << 20) + more  # 4 MB of IPv4: from there on they stand alone
    given = IPPool("10.0.0.0/8").allocate_many(count)
    ordinals = Bitmap(1 << 24).allocate_many((count + 1) // 2)
    assert bytes(given) == array("I", range(FIRST, FIRST + count)).tobytes()
    assert bytes(ordinals) == array("Q", range((count + 1) // 2)).tobytes()
    assert (given[-1], ordinals[-1]) == (FIRST + count - 1, (count + 1) // 2 - 1)


def test_given_back() -> None:
    before = mapped()
    for _ in range(30):
        given = IPPool("10.0.0.0/8").allocate_many(1 << 20)
        ordinals = Bitmap(1 << 24).allocate_many(1 << 19)
        del given, ordinals
    assert mapped() - before < 64 << 20  # of 240 MB; what is small, a checked build keeps for a while


def test_a_view_keeps_the_pages() -> None:
    ordinals = Bitmap(1 << 20).allocate_many(1 << 20)
    view = memoryview(ordinals)
    del ordinals
    assert view[-1] == (1 << 20) - 1
    assert sum(view) == (1 << 19) * ((1 << 20) - 1)

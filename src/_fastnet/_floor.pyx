"""What a call from Python costs at the least: the floor that benchmarks compare allocation with."""

import cython
from libc.stdint cimport uint64_t

from _fastnet.integers cimport read_u64


@cython.final
@cython.auto_pickle(False)
@cython.no_gc
cdef class Floor:
    """Two methods that do nothing but what `Bitmap.allocate` and `Bitmap.release` cannot do without.

    One makes a fresh int, one reads an int; both check as the bitmap's do. For benchmarks only.

    Thread safety: none is promised.
    """

    def give(self) -> int:
        """Make a fresh int: a counter that runs from 1000, so that no small int is found ready-made."""
        self.counter += 1
        return 1000 + self.counter

    def take(self, object ordinal, /) -> None:
        """Read an int; TypeError for what is none."""
        cdef uint64_t read
        if read_u64(ordinal, "ordinal", &read):
            self.last = read

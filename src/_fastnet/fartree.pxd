"""What a bitmap has beyond its dense region: a sparse 64-ary tree in a hash table (C level only).

A word of level 0 holds 64 ordinals. A bit of a word of level k stands for 64**k ordinals
and says that *all* of them are taken; a word exists only if it has a bit, and below a
full subtree nothing exists. So a single ordinal is one entry of the table, a full word is one bit of an
entry, and a range of any length is at most two entries per level. Giving back an ordinal inside of
a full subtree splits that: an entry per level.

Ordinals below the dense region's end are never here, so a subtree across that end is never full.

Thread safety: none of its own; the caller holds the bitmap.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint64_t

from _fastnet.densetree cimport Dense
from _fastnet.u64map cimport U64Map

cdef enum:
    TOP_LEVEL = 10      # a word of it stands for 2**66 ordinals
    SPLIT = 11          # entries that giving back an ordinal (or half a range) may need


cdef struct Far:
    U64Map table        # level << 58 | number of the word -> its bits, never 0
    uint64_t taken      # ordinals taken here
    uint64_t last       # the bitmap's last ordinal
    int top             # the highest level that ever had an entry


# Ascending intervals of taken ordinals: a snapshot of a Far.
cdef struct Interval:
    uint64_t first
    uint64_t stop       # inclusive


cdef void far_open(Far* far, uint64_t last) noexcept nogil
cdef void far_close(Far* far) noexcept nogil
# The bits of a word of level 0, full subtrees above it considered; where a bit is past the size, 0.
cdef uint64_t far_word(const Far* far, uint64_t word) noexcept nogil
# The bits of a word of level 0 that lie within the size.
cdef uint64_t far_inside(const Far* far, uint64_t word) noexcept nogil
# Room for so many entries more; -1 (and nothing changed) where memory is short.
cdef int far_room(Far* far, size_t entries) noexcept nogil
# Take free bits of a word; needs room for one entry.
cdef void far_take(Far* far, uint64_t word, uint64_t bits) noexcept nogil
# Give back taken bits of a word; -1 (and nothing changed) where memory is short.
cdef int far_drop(Far* far, uint64_t word, uint64_t bits) noexcept nogil
# Take free, or give back taken ordinals first…stop; both need room for 2 * SPLIT entries.
cdef void far_take_range(Far* far, uint64_t first, uint64_t stop) noexcept nogil
cdef void far_drop_range(Far* far, uint64_t first, uint64_t stop) noexcept nogil
# First free ordinal from this one on; 0 where there is none. At most three look-ups per level.
cdef bint far_search(const Far* far, uint64_t start, uint64_t* found) noexcept nogil
# First taken ordinal of first…stop, 0 where there is none; and how many are. Linear in the range's words
# or in the table's slots, whichever is less.
cdef bint far_next_taken(const Far* far, uint64_t first, uint64_t stop, uint64_t* found) noexcept nogil
cdef uint64_t far_count(const Far* far, uint64_t first, uint64_t stop) noexcept nogil
# All that is taken, ascending, adjacent intervals not joined; to be freed with PyMem_RawFree. -1 for lack of memory.
cdef int far_intervals(const Far* far, Interval** out, size_t* count) noexcept nogil
# Move what is dense now (the tree has grown, its nodes wait to be made) into the dense words.
# Needs room for SPLIT entries.
cdef void far_absorb(Far* far, Dense* tree) noexcept nogil

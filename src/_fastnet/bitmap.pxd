"""Ordinals 0…size-1, each free or taken.

Layout. A *dense region* of words (64 ordinals each) reaches from 0 as far as was needed;
above its words stands a 64-ary summary: a bit of level k+1 says that word of level k
is full. The uppermost level is one word. What is taken beyond the dense region stands
in a hash table of single words (*far* words), absorbed when the region grows over them.

Bits past `size` and summary bits without a word below are 1: never free. A word
beyond the dense region and not in the table is free as a whole.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint64_t

from _fastnet.u64map cimport U64Map

cdef enum:
    LEVELS = 11     # 2**58 words, 64 to one: 58 = 9 * 6 + 4, and the root


cdef class Bitmap:
    """Ordinals 0…size-1, each free or taken."""

    cdef uint64_t* level[LEVELS]    # level 0: a bit per ordinal; above: a bit per full word below
    cdef size_t words[LEVELS]       # of each level; words[0] * 64 ordinals are dense
    cdef int levels                 # in use; 0 in a fresh bitmap
    cdef uint64_t last              # size - 1
    cdef uint64_t taken             # ordinals taken, the far ones too
    cdef uint64_t far_taken         # those beyond the dense region
    cdef size_t low                 # every dense word below this one is full
    cdef uint64_t cursor            # where allocate_next looks first
    cdef U64Map far                 # word number -> word, none of them 0

    # C-level surface, for pools on top of a bitmap. 1: done, 0: nothing free.
    cdef int take_first(self, uint64_t* ordinal) except -1
    cdef int take_next(self, uint64_t* ordinal) except -1
    # Take one; 0 where it is taken. The ordinal is within the size (unchecked).
    cdef int take(self, uint64_t ordinal) except -1
    # Give one back; 0 where it is not taken. Within the size (unchecked).
    cdef bint drop(self, uint64_t ordinal) noexcept nogil
    cdef bint holds(self, uint64_t ordinal) noexcept nogil
    # All of them or, where one is not taken or past the size, none; -1, or the first bad one's position.
    cdef Py_ssize_t drop_all(self, const uint64_t* ordinals, size_t count) noexcept nogil
    # Make sure that `count` free ordinals are dense; 0 where fewer are free at all.
    cdef int make_room(self, uint64_t count) except -1
    # After make_room: up to `limit` (≥ 1) first free ordinals that share a word: that word's
    # first ordinal, and the bits that were taken.
    cdef uint64_t take_word(self, uint64_t limit, uint64_t* first) noexcept nogil
    # size - taken, as a Python int (it may be 2**64).
    cdef object count_free(self)
    # Bytes: object and heap.
    cdef size_t footprint(self) noexcept

    # Inner.
    cdef bint is_full(self) noexcept nogil
    cdef void take_back(self, const uint64_t* ordinals, size_t count) noexcept nogil
    cdef size_t next_open(self, size_t word) noexcept nogil
    cdef int search(self, uint64_t start, uint64_t* ordinal) noexcept nogil
    cdef void filled(self, size_t word) noexcept nogil
    cdef void opened(self, size_t word) noexcept nogil
    cdef uint64_t inside(self, uint64_t word) noexcept nogil
    cdef bint worth_dense(self, uint64_t word) noexcept nogil
    cdef int grow(self, uint64_t words) except -1
    cdef void absorb(self) noexcept nogil
    cdef void summarise(self, int old_levels, const size_t* old_words) noexcept nogil

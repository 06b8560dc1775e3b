"""What a bitmap is made of: ordinals 0…size-1, each free or taken (C level only).

Layout. A *dense region* of words reaches from 0 as far as was needed (see densetree). What is
taken beyond it stands in a sparse tree (see fartree), absorbed when the region grows over it.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint64_t

from _fastnet.densetree cimport Dense
from _fastnet.fartree cimport Far
from _fastnet.snapshot cimport Header, Reader


cdef class BitmapCore:
    """Ordinals 0…size-1, each free or taken, at C level."""

    cdef Dense dense                # 0…dense.count[0] * 64 - 1
    cdef Far far                    # what is taken beyond
    cdef uint64_t last              # size - 1
    cdef uint64_t taken             # ordinals taken, the far ones too (2**64 as 0)
    cdef uint64_t single            # far ones that were taken one by one
    cdef uint64_t ranged            # dense ones that were taken as part of a range
    cdef uint64_t cursor            # where allocate_next looks first

    # C-level surface, for pools on top of a bitmap. It takes no critical section: the pool holds its own.
    # 1: done, 0: nothing free. MemoryError changes nothing.
    cdef int take_first(self, uint64_t* ordinal) except -1
    cdef int take_next(self, uint64_t* ordinal) except -1
    # Take one; 0 where it is taken. The ordinal is within the size (unchecked).
    cdef int take(self, uint64_t ordinal) except -1
    # Give one back; 0 where it is not taken. Within the size (unchecked).
    cdef int drop(self, uint64_t ordinal) except -1
    cdef bint holds(self, uint64_t ordinal) noexcept nogil
    # All of them or, where one is not taken or past the size, none; -1, or the first bad one's position.
    cdef Py_ssize_t drop_all(self, const uint64_t* ordinals, size_t count) except -2
    # Make sure that take_word can take so many; 0 where fewer are free.
    cdef int make_room(self, uint64_t count) except -1
    # After make_room: up to `limit` (≥ 1) first free ordinals that share a word: that word's
    # first ordinal, and the bits that were taken.
    cdef uint64_t take_word(self, uint64_t limit, uint64_t* first) noexcept nogil
    # Ranges first…stop, inclusive and within the size (unchecked). 0 where one is taken (or, for drop_range, free);
    # then nothing is done, and the first such one is in `bad`.
    cdef int take_range(self, uint64_t first, uint64_t stop, uint64_t* bad) except -1
    cdef int drop_range(self, uint64_t first, uint64_t stop, uint64_t* bad) except -1
    # First free ordinal from this one on (within the size); 0 where there is none.
    cdef bint search(self, uint64_t start, uint64_t* ordinal) noexcept nogil
    # First taken one of first…stop; 0 where there is none.
    cdef bint next_taken(self, uint64_t first, uint64_t stop, uint64_t* ordinal) noexcept nogil
    # First of `count` (≥ 1) free ordinals from `start` on, a multiple of `align` (a power of two); 0 where there is none.
    cdef int find(self, uint64_t count, uint64_t align, uint64_t start, uint64_t* ordinal) except -1
    # How many of first…stop are taken (2**64 as 0).
    cdef uint64_t count_within(self, uint64_t first, uint64_t stop) noexcept nogil
    # size - taken, as a Python int (it may be 2**64).
    cdef object count_free(self)
    cdef bint is_full(self) noexcept nogil
    # Bytes: object and heap.
    cdef size_t footprint(self) noexcept
    # What snapshot() gives.
    cdef bytes encode(self)

    # Inner.
    cdef void begin(self, uint64_t last) noexcept
    cdef int put_word(self, uint64_t word, uint64_t bits) except -1
    cdef int load(self, Reader* reader, const Header* header, size_t size) except -1
    cdef uint64_t dense_end(self) noexcept nogil
    cdef int drop_word(self, uint64_t word, uint64_t bits) except -1
    cdef void take_back(self, const uint64_t* ordinals, size_t count) noexcept nogil
    cdef void put_far(self, uint64_t word, uint64_t bits) noexcept nogil
    cdef bint worth_dense(self, uint64_t word, uint64_t more) noexcept nogil
    cdef int grow(self, uint64_t words) except -1

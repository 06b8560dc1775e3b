"""The bytes of a bitmap's snapshot, written and read (C level only).

All numbers are little-endian. A header of 48 bytes, records, and four bytes of CRC-32 over all before::

    0   4   "FNbm"
    4   2   version, 1
    6   2   0
    8   8   the last ordinal: size - 1
    16  8   the cursor of allocate_next
    24  8   ordinals taken (2**64 as 0)
    32  8   words that were dense
    40  8   bytes of records

Records tell of words of 64 ordinals, from 0 on; behind the last record all is free. Each begins with a varint
(7 bits to a byte, the lowest first): number of words << 2 | kind.

    0  so many words are free
    1  so many words are taken, each within the size
    2  so many words follow (at most 31), 8 bytes each, none of which is free or taken as a whole

There is exactly one way to write a bitmap: neighbouring records are of different kinds (after 31 words kind 2 may
follow kind 2), the last is not of kind 0, varints are as short as can be.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t

cdef enum:
    FREE_WORDS = 0
    FULL_WORDS = 1
    MIXED_WORDS = 2


cdef struct Writer:
    uint8_t* data       # to be freed with PyMem_RawFree
    size_t used
    size_t room
    uint64_t last       # the last ordinal
    uint64_t word       # the next word
    uint64_t begun      # bits of that word, as far as they are known
    uint64_t run        # free or full words not yet written
    int kind            # of the run or of the record before
    size_t mixed        # where the record of mixed words began


cdef struct Reader:
    const uint8_t* data # the records
    size_t used
    size_t size
    uint64_t last       # the last ordinal
    uint64_t word       # the next word
    int kind            # of the record before; -1 at first
    uint64_t length     # words in the record before


cdef struct Header:
    uint64_t last
    uint64_t cursor
    uint64_t taken
    uint64_t dense


# All of these: -1 for lack of memory.
cdef int writer_open(Writer* writer, uint64_t last) noexcept nogil
# The ordinals first…stop are taken; ascending, and disjoint.
cdef int writer_range(Writer* writer, uint64_t first, uint64_t stop) noexcept nogil
# The next words of the bitmap from this one on (all bits past the size 0).
cdef int writer_word(Writer* writer, uint64_t word, uint64_t bits) noexcept nogil
cdef int writer_close(Writer* writer, const Header* header) noexcept nogil

# Checks all but the records; SnapshotError.
cdef int reader_open(Reader* reader, const uint8_t* data, size_t size, Header* header) except -1
# The next record's kind, first word, and number of words; -2 at the end; SnapshotError. Mixed words stand at `at`.
cdef int reader_next(Reader* reader, uint64_t* first, uint64_t* words, const uint8_t** at) except -1
cdef uint64_t read_word(const uint8_t* at) noexcept nogil

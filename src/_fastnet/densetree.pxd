"""The dense region of a bitmap: words of 64 ordinals from 0 on, under a 64-ary tree (C level only).

Level 0 is the words themselves. Above stand nodes: a bit per full child, and how many
ordinals of the subtree are taken. The uppermost level is one node; its count is not kept
(the bitmap has it). Bits past the last ordinal, and those without a child, are 1: never free,
and not counted.

Thread safety: none of its own; the caller holds the bitmap.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint64_t

from _fastnet.integers cimport ALL_ONES, count_trailing_zeros

cdef enum:
    LEVELS = 11     # 2**64 ordinals, 64 to one: 64 = 10 * 6 + 4, and the root


cdef struct Node:
    uint64_t full       # a bit per child: full
    uint64_t taken      # ordinals taken below


cdef struct Dense:
    uint64_t* words         # level 0
    Node* nodes[LEVELS]     # the levels above; [0] is not used
    size_t count[LEVELS]    # of each level; count[0] * 64 ordinals are dense
    int levels              # in use; 0 in a fresh bitmap
    size_t low              # every word below this one is full
    uint64_t last           # the bitmap's last ordinal


cdef inline uint64_t bit_of(uint64_t ordinal) noexcept nogil:
    return <uint64_t>1 << (ordinal & 63)


cdef inline uint64_t bits_from(uint64_t ordinal) noexcept nogil:
    """The bits of a word from this ordinal's on."""
    return ALL_ONES << (ordinal & 63)


cdef inline uint64_t bits_to(uint64_t ordinal) noexcept nogil:
    """The bits of a word up to this ordinal's."""
    return ALL_ONES >> (63 - (ordinal & 63))


# Counts what was taken in a word (or, as a negative number, given back).
cdef inline void dense_add(Dense* tree, size_t word, uint64_t change) noexcept nogil:
    cdef int k
    for k in range(1, tree.levels - 1):
        word >>= 6
        tree.nodes[k][word].taken += change


# The next two are inline, for single calls pass through them.

# Tell the nodes that a word is full no more.
cdef inline void dense_opened(Dense* tree, size_t word) noexcept nogil:
    cdef int k
    cdef Node* node
    cdef uint64_t before
    for k in range(1, tree.levels):
        node = &tree.nodes[k][word >> 6]
        before = node.full
        node.full = before & ~bit_of(word)
        if before != ALL_ONES:
            return
        word >>= 6


# Tell the nodes that the first word that was not full is full now; the next one that is not, or count[0].
cdef inline size_t dense_first_filled(Dense* tree, size_t word) noexcept nogil:
    cdef int k
    cdef Node* node
    for k in range(1, tree.levels):
        node = &tree.nodes[k][word >> 6]
        node.full |= bit_of(word)
        if node.full != ALL_ONES:
            # All before is full: what is open stands behind.
            word = (word & ~<size_t>63) + <size_t>count_trailing_zeros(~node.full)
            while k > 1:
                k -= 1
                word = (word << 6) + <size_t>count_trailing_zeros(~tree.nodes[k][word].full)
            return word
        word >>= 6
    return tree.count[0]


cdef void dense_close(Dense* tree) noexcept nogil
# Tell the nodes that a word is full now.
cdef void dense_filled(Dense* tree, size_t word) noexcept nogil
# First word from this one on that is not full; count[0] where there is none.
cdef size_t dense_next_open(const Dense* tree, size_t word) noexcept nogil
# First taken ordinal of first…stop (both dense); 0 where there is none.
cdef bint dense_next_taken(const Dense* tree, uint64_t first, uint64_t stop, uint64_t* found) noexcept nogil
# Ordinals taken below this one, which is below count[0] * 64.
cdef uint64_t dense_below(const Dense* tree, uint64_t ordinal) noexcept nogil
# Take or give back first…stop, all of them dense, and all free or all taken.
cdef void dense_fill(Dense* tree, uint64_t first, uint64_t stop) noexcept nogil
cdef void dense_clear(Dense* tree, uint64_t first, uint64_t stop) noexcept nogil
# The region's size for so many words: a power of two, or all there are.
cdef uint64_t dense_size(const Dense* tree, uint64_t words) noexcept nogil
# Make room for exactly so many words, more than before: new ones are free. -1, and nothing changed, where memory
# is short. Afterwards whoever fills new words without telling calls dense_summarise with what this wrote to `before`.
cdef int dense_grow(Dense* tree, uint64_t words, size_t* before, int* levels_before) noexcept nogil
cdef void dense_summarise(Dense* tree, const size_t* before, int levels_before) noexcept nogil
# Bytes on the heap.
cdef size_t dense_nbytes(const Dense* tree) noexcept nogil

"""The dense region of a bitmap: words of 64 ordinals under a 64-ary tree; see the declaration file."""

from cpython.mem cimport PyMem_RawFree, PyMem_RawRealloc
from libc.stddef cimport size_t
from libc.stdint cimport SIZE_MAX, uint64_t
from libc.string cimport memcpy, memset

from _fastnet.integers cimport ALL_ONES, count_leading_zeros, count_ones, count_trailing_zeros

cdef enum:
    FIRST_WORDS = 8         # of the region when it begins


cdef void dense_close(Dense* tree) noexcept nogil:
    cdef int k
    PyMem_RawFree(tree.words)
    for k in range(LEVELS):
        PyMem_RawFree(tree.nodes[k])


cdef inline uint64_t _inside(const Dense* tree, uint64_t word) noexcept nogil:
    """The bits of a word that lie within the bitmap."""
    return ALL_ONES if word < tree.last >> 6 else bits_to(tree.last)


cdef void dense_filled(Dense* tree, size_t word) noexcept nogil:
    cdef int k
    for k in range(1, tree.levels):
        tree.nodes[k][word >> 6].full |= bit_of(word)
        if tree.nodes[k][word >> 6].full != ALL_ONES:
            return
        word >>= 6


cdef size_t dense_next_open(const Dense* tree, size_t word) noexcept nogil:
    cdef int k = 1
    cdef size_t at = word
    cdef uint64_t open
    if at >= tree.count[0] or tree.words[at] != ALL_ONES:
        return at if at < tree.count[0] else tree.count[0]
    while k < tree.levels:
        open = ~tree.nodes[k][at >> 6].full & bits_from(at)
        if open:
            at = (at & ~<size_t>63) + <size_t>count_trailing_zeros(open)
            while k > 1:
                k -= 1
                at = (at << 6) + <size_t>count_trailing_zeros(~tree.nodes[k][at].full)
            return at
        at = (at >> 6) + 1
        if at >= tree.count[k]:
            break
        k += 1
    return tree.count[0]


cdef bint dense_next_taken(const Dense* tree, uint64_t first, uint64_t stop, uint64_t* found) noexcept nogil:
    cdef size_t word = <size_t>(first >> 6)
    cdef size_t end = <size_t>(stop >> 6)
    cdef uint64_t bits = tree.words[word] & bits_from(first)
    while not bits:
        word += 1
        # Subtrees that are empty are passed over as a whole.
        if tree.levels > 2:
            while not word & 63 and word <= end and tree.nodes[1][word >> 6].taken == 0:
                if tree.levels > 3 and not word & 4095 and tree.nodes[2][word >> 12].taken == 0:
                    word += 4096
                else:
                    word += 64
        if word > end:
            return False
        bits = tree.words[word]
    found[0] = (<uint64_t>word << 6) + <uint64_t>count_trailing_zeros(bits)
    return found[0] <= stop


cdef uint64_t dense_below(const Dense* tree, uint64_t ordinal) noexcept nogil:
    cdef size_t at = <size_t>(ordinal >> 6)
    cdef size_t i
    cdef uint64_t total = 0
    cdef int k
    if ordinal & 63:
        total = <uint64_t>count_ones(tree.words[at] & (bit_of(ordinal) - 1))
    for i in range(at & ~<size_t>63, at):
        total += <uint64_t>count_ones(tree.words[i])
    for k in range(1, tree.levels - 1):
        at >>= 6
        for i in range(at & ~<size_t>63, at):
            total += tree.nodes[k][i].taken
    return total


cdef void dense_fill(Dense* tree, uint64_t first, uint64_t stop) noexcept nogil:
    cdef size_t word, end = <size_t>(stop >> 6)
    cdef uint64_t bits
    for word in range(<size_t>(first >> 6), end + 1):
        bits = ALL_ONES
        if word == <size_t>(first >> 6):
            bits = bits_from(first)
        if word == end:
            bits &= bits_to(stop)
        tree.words[word] |= bits
        if tree.words[word] == ALL_ONES:
            dense_filled(tree, word)
        dense_add(tree, word, <uint64_t>count_ones(bits))


cdef void dense_clear(Dense* tree, uint64_t first, uint64_t stop) noexcept nogil:
    cdef size_t word, end = <size_t>(stop >> 6)
    cdef uint64_t bits
    for word in range(<size_t>(first >> 6), end + 1):
        bits = ALL_ONES
        if word == <size_t>(first >> 6):
            bits = bits_from(first)
        if word == end:
            bits &= bits_to(stop)
        if tree.words[word] == ALL_ONES:
            dense_opened(tree, word)
        tree.words[word] &= ~bits
        dense_add(tree, word, 0 - <uint64_t>count_ones(bits))
    if <size_t>(first >> 6) < tree.low:
        tree.low = <size_t>(first >> 6)


cdef uint64_t dense_size(const Dense* tree, uint64_t words) noexcept nogil:
    cdef uint64_t most = (tree.last >> 6) + 1
    if words <= FIRST_WORDS:
        words = FIRST_WORDS
    elif words > (<uint64_t>1 << 57):
        words = <uint64_t>1 << 58
    else:
        words = <uint64_t>1 << (64 - count_leading_zeros(words - 1))
    return words if words < most else most


cdef int dense_grow(Dense* tree, uint64_t words, size_t* before, int* levels_before) noexcept nogil:
    cdef size_t sizes[LEVELS]
    cdef int k, levels = 1
    cdef void* larger
    if words > SIZE_MAX // sizeof(uint64_t):
        return -1
    sizes[0] = <size_t>words
    while sizes[levels - 1] > 1:
        sizes[levels] = ((sizes[levels - 1] - 1) >> 6) + 1
        levels += 1
    # Blocks may stay larger than needed if a later one fails; the counts decide. No product
    # overflows: a level of nodes has at most half the bytes of what is below it.
    larger = PyMem_RawRealloc(tree.words, sizes[0] * sizeof(uint64_t))
    if larger == NULL:
        return -1
    tree.words = <uint64_t*>larger
    for k in range(1, levels):
        larger = PyMem_RawRealloc(tree.nodes[k], sizes[k] * sizeof(Node))
        if larger == NULL:
            return -1
        tree.nodes[k] = <Node*>larger
    memcpy(before, tree.count, sizeof(tree.count))
    levels_before[0] = tree.levels
    memset(tree.words + before[0], 0, (sizes[0] - before[0]) * sizeof(uint64_t))
    memcpy(tree.count, sizes, <size_t>levels * sizeof(size_t))
    tree.levels = levels
    if words > tree.last >> 6:
        tree.words[words - 1] = ~_inside(tree, words - 1)
    return 0


cdef void dense_summarise(Dense* tree, const size_t* before, int levels_before) noexcept nogil:
    cdef int k
    cdef size_t node, child
    cdef Node made
    for k in range(1, tree.levels):
        # The old last node was padded; all before it had 64 children already.
        for node in range((before[k - 1] - 1) >> 6 if k < levels_before else 0, tree.count[k]):
            made.full = 0
            made.taken = 0
            for child in range(node << 6, (node + 1) << 6):
                if child >= tree.count[k - 1]:
                    made.full |= bits_from(child)
                    break
                if k == 1:
                    made.taken += <uint64_t>count_ones(tree.words[child] & _inside(tree, child))
                    if tree.words[child] == ALL_ONES:
                        made.full |= bit_of(child)
                else:
                    made.taken += tree.nodes[k - 1][child].taken
                    if tree.nodes[k - 1][child].full == ALL_ONES:
                        made.full |= bit_of(child)
            tree.nodes[k][node] = made


cdef size_t dense_nbytes(const Dense* tree) noexcept nogil:
    cdef size_t total = tree.count[0] * sizeof(uint64_t)
    cdef int k
    for k in range(1, tree.levels):
        total += tree.count[k] * sizeof(Node)
    return total

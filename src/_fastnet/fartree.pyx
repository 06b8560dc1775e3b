"""What a bitmap has beyond its dense region: a sparse 64-ary tree; see the declaration file."""

from cpython.mem cimport PyMem_RawMalloc
from libc.stddef cimport size_t
from libc.stdint cimport SIZE_MAX, uint64_t
from libc.stdlib cimport qsort
from libc.string cimport memset

from _fastnet.densetree cimport Dense, bit_of, bits_from, bits_to
from _fastnet.integers cimport ALL_ONES, count_ones, count_trailing_zeros
from _fastnet.u64map cimport (
    NO_KEY,
    map_close,
    map_drop,
    map_find,
    map_open,
    map_put,
    map_room_for,
)

cdef enum:
    NUMBER_BITS = 58    # of a key; the level stands above


cdef inline uint64_t _key(int level, uint64_t word) noexcept nogil:
    return (<uint64_t>level << NUMBER_BITS) | word


cdef inline int _level(uint64_t key) noexcept nogil:
    return <int>(key >> NUMBER_BITS)


cdef inline uint64_t _number(uint64_t key) noexcept nogil:
    return key & ((<uint64_t>1 << NUMBER_BITS) - 1)


cdef inline uint64_t _span(int level) noexcept nogil:
    """One less than the ordinals that a bit of this level stands for."""
    return (<uint64_t>1 << (6 * level)) - 1


cdef inline uint64_t _inside(const Far* far, int level, uint64_t word) noexcept nogil:
    """The bits of a word that stand for anything within the size."""
    cdef uint64_t child = far.last >> (6 * level)
    return ALL_ONES if word < child >> 6 else bits_to(child)


cdef inline uint64_t _bits(const Far* far, int level, uint64_t word) noexcept nogil:
    cdef Py_ssize_t slot = map_find(&far.table, _key(level, word))
    return far.table.values[slot] if slot >= 0 else 0


cdef void _put(Far* far, int level, uint64_t word, uint64_t bits) noexcept nogil:
    far.table.values[map_put(&far.table, _key(level, word))] = bits
    if level > far.top:
        far.top = level


cdef void far_open(Far* far, uint64_t last) noexcept nogil:
    map_open(&far.table, True)
    far.taken = 0
    far.last = last
    far.top = 0


cdef void far_close(Far* far) noexcept nogil:
    map_close(&far.table)


cdef uint64_t far_inside(const Far* far, uint64_t word) noexcept nogil:
    return _inside(far, 0, word)


cdef uint64_t far_word(const Far* far, uint64_t word) noexcept nogil:
    cdef Py_ssize_t slot = map_find(&far.table, word)
    cdef uint64_t at = word
    cdef int k
    if slot >= 0:
        return far.table.values[slot]
    for k in range(1, far.top + 1):
        slot = map_find(&far.table, _key(k, at >> 6))
        if slot >= 0:
            # Where a word exists nothing above it is full.
            return _inside(far, 0, word) if far.table.values[slot] & bit_of(at) else 0
        at >>= 6
    return 0


cdef int far_room(Far* far, size_t entries) noexcept nogil:
    return map_room_for(&far.table, entries)


cdef void _fill(Far* far, int level, uint64_t word, uint64_t bits) noexcept nogil:
    """Set free bits of a word; one that is full then becomes a bit of the word above."""
    cdef Py_ssize_t slot
    while True:
        slot = map_find(&far.table, _key(level, word))
        if slot >= 0:
            bits |= far.table.values[slot]
        if bits != _inside(far, level, word) or level == TOP_LEVEL:
            break
        if slot >= 0:
            map_drop(&far.table, slot)
        bits = bit_of(word)
        word >>= 6
        level += 1
    if slot >= 0:
        far.table.values[slot] = bits
    else:
        _put(far, level, word, bits)


cdef void _clear(Far* far, int level, uint64_t word, uint64_t bits) noexcept nogil:
    """Clear set bits of a word; a full subtree that it lies in is split."""
    cdef int k = level
    cdef uint64_t at = word
    cdef uint64_t cleared
    cdef Py_ssize_t slot = map_find(&far.table, _key(level, word))
    while slot < 0 and k < TOP_LEVEL:
        k += 1
        at >>= 6
        slot = map_find(&far.table, _key(k, at))
    # Clear a bit at level k; below it, all but the way down is full.
    while True:
        cleared = bits if k == level else bit_of(word >> (6 * (k - level - 1)))
        if slot >= 0:
            far.table.values[slot] &= ~cleared
            if far.table.values[slot] == 0:
                map_drop(&far.table, slot)
        elif _inside(far, k, at) != cleared:
            _put(far, k, at, _inside(far, k, at) & ~cleared)
        if k == level:
            return
        k -= 1
        at = word >> (6 * (k - level))
        slot = -1


cdef void far_take(Far* far, uint64_t word, uint64_t bits) noexcept nogil:
    _fill(far, 0, word, bits)
    far.taken += <uint64_t>count_ones(bits)


cdef int far_drop(Far* far, uint64_t word, uint64_t bits) noexcept nogil:
    if map_find(&far.table, word) < 0 and far_room(far, SPLIT) < 0:
        return -1
    _clear(far, 0, word, bits)
    far.taken -= <uint64_t>count_ones(bits)
    return 0


cdef void _over_range(Far* far, uint64_t first, uint64_t stop, bint fill) noexcept nogil:
    """Do it with the largest subtrees that lie in the range: up the levels, and down again."""
    cdef int k
    cdef uint64_t child, last_child, bits
    while True:
        k = 0
        while k < TOP_LEVEL and first & _span(k + 1) == 0 and (first | _span(k + 1) <= stop or stop == far.last):
            k += 1
        child = first >> (6 * k)
        last_child = stop >> (6 * k)
        if stop | _span(k) != stop and stop != far.last:
            last_child -= 1
        if last_child > child | 63:
            last_child = child | 63
        bits = bits_from(child) & bits_to(last_child)
        if fill:
            _fill(far, k, child >> 6, bits)
        else:
            _clear(far, k, child >> 6, bits)
        first = (last_child << (6 * k)) | _span(k)
        if first >= stop:
            return
        first += 1


cdef void far_take_range(Far* far, uint64_t first, uint64_t stop) noexcept nogil:
    _over_range(far, first, stop, True)
    far.taken += stop - first + 1


cdef void far_drop_range(Far* far, uint64_t first, uint64_t stop) noexcept nogil:
    _over_range(far, first, stop, False)
    far.taken -= stop - first + 1


cdef bint far_search(const Far* far, uint64_t start, uint64_t* found) noexcept nogil:
    cdef uint64_t word = start >> 6
    cdef uint64_t open, at
    cdef Py_ssize_t slot = map_find(&far.table, word)
    cdef int k
    if slot >= 0:
        open = ~far.table.values[slot] & _inside(far, 0, word) & bits_from(start)
        if open:
            found[0] = (word << 6) + <uint64_t>count_trailing_zeros(open)
            return True
        word += 1
    # The first word from here on that is not full: down from the top, up where a word is
    # exhausted, and down again. `at` is a child's number at level k.
    k = far.top
    at = word >> (6 * (k - 1)) if k else word
    while k > 0:
        if at > far.last >> (6 * k):
            return False
        open = ~_bits(far, k, at >> 6) & _inside(far, k, at >> 6) & bits_from(at)
        if open & bit_of(at):
            # Not full. Where nothing was passed over, the start's own child is gone into.
            k -= 1
            if k:
                if at == word >> (6 * k):
                    at = word >> (6 * (k - 1))
                else:
                    at <<= 6
        elif open:
            at = (at & ~<uint64_t>63) + <uint64_t>count_trailing_zeros(open)
        else:
            at = (at >> 6) + 1
            k += 1
            while at & 63 == 0 and k <= far.top:
                at >>= 6
                k += 1
            if k > far.top:
                # Nothing is full up there.
                if k > TOP_LEVEL or at > far.last >> (6 * k):
                    return False
                at <<= 6
                k -= 1
    if at > far.last >> 6:
        return False
    if at == start >> 6:
        found[0] = start
        return True
    open = ~_bits(far, 0, at) & _inside(far, 0, at)
    found[0] = (at << 6) + <uint64_t>count_trailing_zeros(open)
    return True


cdef inline uint64_t _within(int level, uint64_t word, uint64_t bits, uint64_t first, uint64_t stop) noexcept nogil:
    """Those of a word's bits whose subtrees meet first…stop."""
    cdef uint64_t from_child = first >> (6 * level)
    cdef uint64_t to_child = stop >> (6 * level)
    if from_child >> 6 > word or to_child >> 6 < word:
        return 0
    if from_child >> 6 == word:
        bits &= bits_from(from_child)
    if to_child >> 6 == word:
        bits &= bits_to(to_child)
    return bits


cdef inline bint _word_by_word(const Far* far, uint64_t first, uint64_t stop) noexcept nogil:
    """Whether looking up each word of a range, a few levels up each, is cheaper than a walk over the table."""
    return (stop >> 6) - (first >> 6) < far.table.slots >> 3


cdef inline uint64_t _between(const Far* far, uint64_t word, uint64_t first, uint64_t stop) noexcept nogil:
    return _within(0, word, far_word(far, word), first, stop)


cdef bint far_next_taken(const Far* far, uint64_t first, uint64_t stop, uint64_t* found) noexcept nogil:
    cdef size_t slot
    cdef uint64_t bits, word, start
    cdef int k
    cdef bint any = False
    if far.taken == 0:
        return False
    if _word_by_word(far, first, stop):
        for word in range(first >> 6, (stop >> 6) + 1):
            bits = _between(far, word, first, stop)
            if bits:
                found[0] = (word << 6) + <uint64_t>count_trailing_zeros(bits)
                return True
        return False
    for slot in range(far.table.slots):
        if far.table.keys[slot] == NO_KEY:
            continue
        k = _level(far.table.keys[slot])
        word = _number(far.table.keys[slot])
        bits = _within(k, word, far.table.values[slot], first, stop)
        if bits:
            start = ((word << 6) + <uint64_t>count_trailing_zeros(bits)) << (6 * k)
            if start < first:
                start = first
            if not any or start < found[0]:
                found[0] = start
            any = True
    return any


cdef uint64_t far_count(const Far* far, uint64_t first, uint64_t stop) noexcept nogil:
    cdef size_t slot
    cdef uint64_t bits, word, child, total = 0
    cdef int k
    if far.taken == 0:
        return 0
    if _word_by_word(far, first, stop):
        for word in range(first >> 6, (stop >> 6) + 1):
            total += <uint64_t>count_ones(_between(far, word, first, stop))
        return total
    for slot in range(far.table.slots):
        if far.table.keys[slot] == NO_KEY:
            continue
        k = _level(far.table.keys[slot])
        word = _number(far.table.keys[slot])
        bits = _within(k, word, far.table.values[slot], first, stop)
        # A sum past 2**64 wraps around and comes back.
        total += <uint64_t>count_ones(bits) << (6 * k)
        child = first >> (6 * k)
        if child >> 6 == word and bits & bit_of(child):
            total -= first & _span(k)
        child = stop >> (6 * k)
        if child >> 6 == word and bits & bit_of(child):
            total -= _span(k) - (stop & _span(k))
    return total


cdef int _by_first(const void* one, const void* other) noexcept nogil:
    cdef uint64_t a = (<const Interval*>one).first
    cdef uint64_t b = (<const Interval*>other).first
    return (a > b) - (a < b)


cdef int far_intervals(const Far* far, Interval** out, size_t* count) noexcept nogil:
    cdef size_t slot, total = 0
    cdef uint64_t bits, base, lowest
    cdef int k
    cdef Interval* at
    for slot in range(far.table.slots):
        if far.table.keys[slot] != NO_KEY:
            bits = far.table.values[slot]
            total += <size_t>count_ones(bits & ~(bits << 1))
    out[0] = NULL
    count[0] = total
    if total == 0:
        return 0
    if total > SIZE_MAX // sizeof(Interval):
        return -1
    at = <Interval*>PyMem_RawMalloc(total * sizeof(Interval))
    if at == NULL:
        return -1
    out[0] = at
    for slot in range(far.table.slots):
        if far.table.keys[slot] == NO_KEY:
            continue
        k = _level(far.table.keys[slot])
        base = _number(far.table.keys[slot]) << 6
        bits = far.table.values[slot]
        while bits:
            lowest = <uint64_t>count_trailing_zeros(bits)
            at.first = (base + lowest) << (6 * k)
            # Up to the first bit that is 0; with the ones below filled, a carry finds it.
            bits |= bit_of(lowest) - 1
            lowest = 63 if bits == ALL_ONES else <uint64_t>count_trailing_zeros(~bits) - 1
            at.stop = ((base + lowest) << (6 * k)) | _span(k)
            if at.stop > far.last:
                at.stop = far.last
            bits &= ~bits_to(lowest)
            at += 1
    qsort(out[0], total, sizeof(Interval), _by_first)
    return 0


cdef void far_absorb(Far* far, Dense* tree) noexcept nogil:
    cdef bint everything = tree.count[0] > far.last >> 6
    cdef uint64_t end = far.last if everything else (<uint64_t>tree.count[0] << 6) - 1
    cdef uint64_t bits, word, child, start, stop
    cdef size_t slot = 0
    cdef Py_ssize_t first
    cdef int k
    # A full subtree from 0 across the new end (only a bitmap that had no dense region has one).
    for k in range(far.top, 0, -1):
        first = map_find(&far.table, _key(k, 0))
        if not everything and first >= 0 and far.table.values[first] & 1 and _span(k) > end:
            far.table.values[first] ^= 1
            if far.table.values[first] == 0:
                map_drop(&far.table, first)
            _put(far, k - 1, 0, _inside(far, k - 1, 0))
    while slot < far.table.slots:
        bits = 0
        if far.table.keys[slot] != NO_KEY:
            k = _level(far.table.keys[slot])
            word = _number(far.table.keys[slot])
            # Ends are powers of two, so that a subtree that meets the region lies in it.
            bits = _within(k, word, far.table.values[slot], 0, end)
        if bits == 0:
            slot += 1
            continue
        far.table.values[slot] ^= bits
        if k == 0:
            tree.words[word] |= bits
            far.taken -= <uint64_t>count_ones(bits)
        while bits and k:
            child = (word << 6) + <uint64_t>count_trailing_zeros(bits)
            bits &= bits - 1
            start = child << (6 * k)
            stop = start | _span(k)
            if stop > far.last:
                stop = far.last
            memset(tree.words + (start >> 6), 0xFF, <size_t>((stop >> 6) - (start >> 6) + 1) * sizeof(uint64_t))
            far.taken -= stop - start + 1
        if far.table.values[slot] == 0:
            # Another word may move into this slot: look at it again.
            map_drop(&far.table, <Py_ssize_t>slot)

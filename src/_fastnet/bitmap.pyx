"""Ordinals 0…size-1, each free or taken: first free, next after, many at once."""

import cython
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from libc.stddef cimport size_t
from libc.stdint cimport SIZE_MAX, uint64_t
from libc.string cimport memcpy, memset

from _fastnet.integers cimport (
    ALL_ONES,
    Column,
    count_leading_zeros,
    count_ones,
    count_trailing_zeros,
    read_column,
    read_position,
    read_u64,
    shown,
    struct_size,
)
from _fastnet.ordinals cimport Ordinals, new_ordinals
from _fastnet.u64map cimport (
    NO_KEY,
    U64Map,
    map_close,
    map_drop,
    map_find,
    map_nbytes,
    map_open,
    map_put,
    map_room,
)

from _fastnet.errors import Exhausted, NotTaken, OutOfRange, Taken

cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX

cdef enum:
    FIRST_WORDS = 8         # of the dense region when it begins
    ALWAYS_WORDS = 64       # up to here a reservation always extends the dense region


cdef inline uint64_t _bit(uint64_t ordinal) noexcept nogil:
    return <uint64_t>1 << (ordinal & 63)


cdef inline uint64_t _from_bit(uint64_t ordinal) noexcept nogil:
    """The bits of a word from this ordinal's on."""
    return ALL_ONES << (ordinal & 63)


@cython.final
@cython.auto_pickle(False)
@cython.no_gc
cdef class Bitmap:
    """Ordinals 0…size-1, each free or taken.

    Parameters
    ----------
    size : int
        How many ordinals: 1…2**64. OutOfRange otherwise.

    Notes
    -----
    Memory. A fresh bitmap of any size has nothing on the heap. First-free allocation
    fills a dense region: 1 bit per ordinal and 1/63 on top, in powers of two of words.
    A reservation extends this region if it ends up at no more than 4096 ordinals, or
    at no more than 128 for each ordinal taken (that is 16 bytes each). Otherwise it goes
    to a hash table, 16 bytes per slot and word of 64 ordinals: N far reservations take at the
    most 43 N + 128 bytes (while the table doubles, half as much again). The
    dense region absorbs what it grows over; neither ever shrinks.

    Cost. Everything but growth is a constant number of word operations (one per level of
    the tree, of which there are four at a million ordinals) at any fill.

    Thread safety: every method runs under the GIL and is atomic; bulk methods read all
    of their input before they change anything.
    """

    def __cinit__(self, object size, /) -> None:
        cdef uint64_t read
        # Read without its last one, so that 2**64 fits.
        if isinstance(size, int):
            size = int(size) - 1
            if not read_u64(size, "size", &read):
                raise OutOfRange("a bitmap's size must be 1…2**64")
        else:
            raise TypeError(f"size must be an integer, not {type(size).__name__}")
        self.last = read
        map_open(&self.far, True)

    def __dealloc__(self) -> None:
        cdef int k
        for k in range(LEVELS):
            PyMem_RawFree(self.level[k])
        map_close(&self.far)

    # -- What there is ---------------------------------------------------------------

    @property
    def size(self) -> int:
        """How many ordinals there are: 1…2**64."""
        return int(self.last) + 1

    @property
    def free(self) -> int:
        """How many of them are free: 0…2**64."""
        return self.count_free()

    @property
    def nbytes(self) -> int:
        """Bytes that the bitmap holds: the object and its heap."""
        return self.footprint()

    def __len__(self) -> int:
        """How many are taken; OverflowError past 2**63-1: take ``size - free`` there."""
        if self.taken > <uint64_t>PY_SSIZE_T_MAX:
            raise OverflowError("more are taken than len() can say: take .size - .free")
        return <Py_ssize_t>self.taken

    def __bool__(self) -> bool:
        """Whether any is taken."""
        return self.taken != 0

    def __contains__(self, object ordinal, /) -> bool:
        """Whether an ordinal is taken; False outside of the bitmap, TypeError for no integer."""
        cdef uint64_t read
        return read_u64(ordinal, "ordinal", &read) and read <= self.last and self.holds(read)

    def __sizeof__(self) -> int:
        return self.footprint()

    def __repr__(self) -> str:
        return f"Bitmap({self.size})"

    def __reduce__(self) -> object:
        raise TypeError("a Bitmap cannot be pickled or copied")

    # -- One at a time -----------------------------------------------------------------

    def allocate(self) -> int:
        """Take the first free ordinal.

        Raises
        ------
        Exhausted
            All are taken.
        """
        cdef uint64_t ordinal
        if not self.take_first(&ordinal):
            raise Exhausted(f"all {self.size} ordinals are taken")
        return ordinal

    def allocate_next(self) -> int:
        """Take the first free ordinal after the last one that this method gave.

        It begins at 0 and wraps around at the end. What other methods take or
        release does not move it. Ordinals that it takes beyond the dense region are
        far ones by the rule above, so a window that moves through a huge bitmap costs what it holds.

        Raises
        ------
        Exhausted
            All are taken.
        """
        cdef uint64_t ordinal
        if not self.take_next(&ordinal):
            raise Exhausted(f"all {self.size} ordinals are taken")
        return ordinal

    def reserve(self, object ordinal, /) -> None:
        """Take a certain ordinal.

        Raises
        ------
        Taken
            It is taken already.
        OutOfRange
            It is below 0 or not below the size.
        """
        cdef uint64_t read
        if not read_u64(ordinal, "ordinal", &read) or read > self.last:
            raise OutOfRange(f"ordinal {shown(ordinal)} is outside of 0…{self.last}")
        if not self.take(read):
            raise Taken(f"ordinal {read} is taken")

    def release(self, object ordinal, /) -> None:
        """Give an ordinal back.

        Raises
        ------
        NotTaken
            It is free.
        OutOfRange
            It is below 0 or not below the size.
        """
        cdef uint64_t read
        if not read_u64(ordinal, "ordinal", &read) or read > self.last:
            raise OutOfRange(f"ordinal {shown(ordinal)} is outside of 0…{self.last}")
        if not self.drop(read):
            raise NotTaken(f"ordinal {read} is not taken")

    # -- Many at once --------------------------------------------------------------------

    def allocate_many(self, object count, /) -> Ordinals:
        """Take the first `count` free ordinals, all or none.

        Parameters
        ----------
        count : int
            How many; 0 gives an empty result.

        Returns
        -------
        Ordinals
            Ascending; ``count`` elements of format ``Q``.

        Raises
        ------
        Exhausted
            Fewer are free; nothing was taken.
        ValueError
            `count` is negative.
        """
        cdef uint64_t wanted, mask, base, left
        cdef uint64_t* out
        cdef int j
        cdef Ordinals given
        if not read_u64(count, "count", &wanted):
            if count < 0:
                raise ValueError(f"count must not be negative, not {shown(count)}")
            raise Exhausted(f"{shown(count)} ordinals wanted, {self.free} free")
        if wanted and (wanted - 1 > self.last - self.taken or self.is_full()):
            raise Exhausted(f"{wanted} ordinals wanted, {self.free} free")
        given = new_ordinals(wanted)
        if not self.make_room(wanted):
            raise Exhausted(f"{wanted} ordinals wanted, {self.free} free")
        out = given.data
        left = wanted
        while left:
            mask = self.take_word(left, &base)
            if mask == ALL_ONES:
                for j in range(64):
                    out[j] = base + <uint64_t>j
                out += 64
                left -= 64
                continue
            left -= <uint64_t>count_ones(mask)
            while mask:
                out[0] = base + <uint64_t>count_trailing_zeros(mask)
                out += 1
                mask &= mask - 1
        return given

    def release_many(self, object ordinals, /) -> None:
        """Give many ordinals back, all or none.

        Parameters
        ----------
        ordinals : buffer of native integers (one dimension), or iterable of int
            In any order; each once.

        Raises
        ------
        NotTaken, OutOfRange
            One is free, comes twice, or is outside of the bitmap; none was released.
        """
        cdef Column column = read_column(ordinals, "ordinal")
        cdef Py_ssize_t bad = self.drop_all(column.data, column.count)
        if bad < 0:
            return
        if column.data[bad] > self.last:
            raise OutOfRange(f"ordinal {column.data[bad]} is outside of 0…{self.last}")
        if self.holds(column.data[bad]):
            raise NotTaken(f"ordinal {column.data[bad]} comes twice")
        raise NotTaken(f"ordinal {column.data[bad]} is not taken")

    # -- Taking and giving back, in C ------------------------------------------------------

    cdef int take_first(self, uint64_t* ordinal) except -1:
        cdef size_t w = self.low
        cdef uint64_t word
        if w >= self.words[0] or self.level[0][w] == ALL_ONES:
            w = self.next_open(w)
            # Absorbing far words may fill what was just gained: hence a loop.
            while w >= self.words[0]:
                if self.words[0] == (self.last >> 6) + 1:
                    return 0
                self.grow(self.words[0] + 1)
                w = self.next_open(w)
            self.low = w
        word = self.level[0][w]
        ordinal[0] = (<uint64_t>w << 6) + <uint64_t>count_trailing_zeros(~word)
        word |= word + 1
        self.level[0][w] = word
        if word == ALL_ONES:
            self.filled(w)
        self.taken += 1
        return 1

    cdef int take_next(self, uint64_t* ordinal) except -1:
        if self.is_full():
            return 0
        if not self.search(self.cursor, ordinal):
            self.search(0, ordinal)
        self.take(ordinal[0])
        self.cursor = ordinal[0] + 1 if ordinal[0] < self.last else 0
        return 1

    cdef int take(self, uint64_t ordinal) except -1:
        cdef uint64_t word = ordinal >> 6, bit = _bit(ordinal)
        cdef uint64_t bits
        cdef Py_ssize_t slot
        if word >= self.words[0]:
            slot = map_find(&self.far, word)
            if slot >= 0 and self.far.values[slot] & bit:
                return 0
            if not self.worth_dense(word):
                if slot < 0:
                    if map_room(&self.far) < 0:
                        raise MemoryError
                    slot = map_put(&self.far, word)
                self.far.values[slot] |= bit
                self.far_taken += 1
                self.taken += 1
                return 1
            self.grow(word + 1)
        bits = self.level[0][word]
        if bits & bit:
            return 0
        bits |= bit
        self.level[0][word] = bits
        if bits == ALL_ONES:
            self.filled(<size_t>word)
        self.taken += 1
        return 1

    cdef bint drop(self, uint64_t ordinal) noexcept nogil:
        cdef uint64_t word = ordinal >> 6, bit = _bit(ordinal)
        cdef uint64_t bits
        cdef Py_ssize_t slot
        if word < self.words[0]:
            bits = self.level[0][word]
            if not bits & bit:
                return False
            self.level[0][word] = bits ^ bit
            if bits == ALL_ONES:
                self.opened(<size_t>word)
            if word < self.low:
                self.low = <size_t>word
        else:
            slot = map_find(&self.far, word)
            if slot < 0 or not self.far.values[slot] & bit:
                return False
            self.far.values[slot] ^= bit
            if self.far.values[slot] == 0:
                map_drop(&self.far, slot)
            self.far_taken -= 1
        self.taken -= 1
        return True

    cdef bint holds(self, uint64_t ordinal) noexcept nogil:
        cdef uint64_t word = ordinal >> 6
        cdef Py_ssize_t slot
        if word < self.words[0]:
            return self.level[0][word] & _bit(ordinal) != 0
        slot = map_find(&self.far, word)
        return slot >= 0 and self.far.values[slot] & _bit(ordinal) != 0

    cdef Py_ssize_t drop_all(self, const uint64_t* ordinals, size_t count) noexcept nogil:
        cdef size_t i
        for i in range(count):
            if ordinals[i] > self.last or not self.drop(ordinals[i]):
                self.take_back(ordinals, i)
                return <Py_ssize_t>i
        return -1

    cdef void take_back(self, const uint64_t* ordinals, size_t count) noexcept nogil:
        """Undo drops. It needs no memory: the table never shrinks, and held these before."""
        cdef size_t i
        cdef uint64_t word
        cdef Py_ssize_t slot
        for i in range(count):
            word = ordinals[i] >> 6
            if word < self.words[0]:
                self.level[0][word] |= _bit(ordinals[i])
                if self.level[0][word] == ALL_ONES:
                    self.filled(<size_t>word)
            else:
                slot = map_find(&self.far, word)
                if slot < 0:
                    slot = map_put(&self.far, word)
                self.far.values[slot] |= _bit(ordinals[i])
                self.far_taken += 1
            self.taken += 1

    cdef int make_room(self, uint64_t count) except -1:
        cdef uint64_t dense
        if count == 0:
            return 1
        if self.is_full() or count - 1 > self.last - self.taken:
            return 0
        while self.words[0] <= self.last >> 6:
            dense = (<uint64_t>self.words[0] << 6) - (self.taken - self.far_taken)
            if dense >= count:
                break
            self.grow(self.words[0] + ((count - dense - 1) >> 6) + 1)
        return 1

    cdef uint64_t take_word(self, uint64_t limit, uint64_t* first) noexcept nogil:
        cdef size_t w = self.low
        cdef uint64_t mask, rest
        if self.level[0][w] == ALL_ONES:
            w = self.next_open(w)
            self.low = w
        mask = ~self.level[0][w]
        if limit < 64 and <uint64_t>count_ones(mask) > limit:
            rest = mask
            for _ in range(<int>limit):
                rest &= rest - 1
            mask ^= rest
        self.level[0][w] |= mask
        if self.level[0][w] == ALL_ONES:
            self.filled(w)
        self.taken += <uint64_t>count_ones(mask)
        first[0] = <uint64_t>w << 6
        return mask

    cdef object count_free(self):
        return int(self.last) + 1 - self.taken

    cdef bint is_full(self) noexcept nogil:
        return self.taken != 0 and self.taken - 1 == self.last

    cdef size_t footprint(self) noexcept:
        cdef size_t total = <size_t>struct_size(self) + map_nbytes(&self.far)
        cdef int k
        for k in range(self.levels):
            total += self.words[k] * sizeof(uint64_t)
        return total

    # -- The tree --------------------------------------------------------------------------

    cdef size_t next_open(self, size_t word) noexcept nogil:
        """First dense word from this one on that is not full; words[0] where there is none."""
        cdef int k = 1
        cdef size_t at = word
        cdef uint64_t open
        if at >= self.words[0] or self.level[0][at] != ALL_ONES:
            return at if at < self.words[0] else self.words[0]
        while k < self.levels:
            open = ~self.level[k][at >> 6] & _from_bit(at)
            if open:
                at = (at & ~<size_t>63) + <size_t>count_trailing_zeros(open)
                while k > 1:
                    k -= 1
                    at = (at << 6) + <size_t>count_trailing_zeros(~self.level[k][at])
                return at
            at = (at >> 6) + 1
            if at >= self.words[k]:
                break
            k += 1
        return self.words[0]

    cdef int search(self, uint64_t start, uint64_t* ordinal) noexcept nogil:
        """First free ordinal from this one on; 0 where there is none."""
        cdef uint64_t word = start >> 6
        cdef uint64_t open, wanted = _from_bit(start)
        cdef Py_ssize_t slot
        if word < self.words[0]:
            open = ~self.level[0][word] & wanted
            if not open:
                word = self.next_open(<size_t>word + 1)
                wanted = ALL_ONES
                if word < self.words[0]:
                    open = ~self.level[0][word]
            if open:
                ordinal[0] = (word << 6) + <uint64_t>count_trailing_zeros(open)
                return 1
            word = self.words[0]
        # A run of full far words is walked; the cursor passes it once per round.
        while word <= self.last >> 6:
            slot = map_find(&self.far, word)
            open = self.inside(word) & wanted
            if slot >= 0:
                open &= ~self.far.values[slot]
            if open:
                ordinal[0] = (word << 6) + <uint64_t>count_trailing_zeros(open)
                return 1
            word += 1
            wanted = ALL_ONES
        return 0

    cdef uint64_t inside(self, uint64_t word) noexcept nogil:
        """The bits of a word that lie within the size."""
        if word < self.last >> 6:
            return ALL_ONES
        return ALL_ONES >> (63 - (self.last & 63))

    cdef void filled(self, size_t word) noexcept nogil:
        """Tell the summary that a dense word is full now."""
        cdef int k
        for k in range(1, self.levels):
            self.level[k][word >> 6] |= _bit(word)
            if self.level[k][word >> 6] != ALL_ONES:
                return
            word >>= 6

    cdef void opened(self, size_t word) noexcept nogil:
        """Tell the summary that a dense word is full no more."""
        cdef int k
        cdef uint64_t before
        for k in range(1, self.levels):
            before = self.level[k][word >> 6]
            self.level[k][word >> 6] = before & ~_bit(word)
            if before != ALL_ONES:
                return
            word >>= 6

    # -- Growth ----------------------------------------------------------------------------

    cdef bint worth_dense(self, uint64_t word) noexcept nogil:
        """Whether the dense region should reach out for this word (the rule of the docstring)."""
        cdef uint64_t words = _next_size(word + 1, (self.last >> 6) + 1)
        return words <= ALWAYS_WORDS or (words >> 1) <= self.taken

    cdef int grow(self, uint64_t words) except -1:
        """Make the dense region at least so many words; on MemoryError all is as it was."""
        cdef size_t sizes[LEVELS]
        cdef size_t before[LEVELS]
        cdef int k, levels = 1, old_levels = self.levels
        cdef uint64_t* larger
        words = _next_size(words, (self.last >> 6) + 1)
        if words > SIZE_MAX // sizeof(uint64_t):
            raise MemoryError
        sizes[0] = <size_t>words
        while sizes[levels - 1] > 1:
            sizes[levels] = ((sizes[levels - 1] - 1) >> 6) + 1
            levels += 1
        # Blocks may stay larger than needed if a later one fails; the counts decide.
        for k in range(levels):
            larger = <uint64_t*>PyMem_RawRealloc(self.level[k], sizes[k] * sizeof(uint64_t))
            if larger == NULL:
                raise MemoryError
            self.level[k] = larger
        memcpy(before, self.words, sizeof(before))
        memset(self.level[0] + before[0], 0, (sizes[0] - before[0]) * sizeof(uint64_t))
        memcpy(self.words, sizes, <size_t>levels * sizeof(size_t))
        self.levels = levels
        if words > self.last >> 6:
            self.level[0][words - 1] = ~self.inside(words - 1)
        if self.far.used:
            self.absorb()
        self.summarise(old_levels, before)
        return 0

    cdef void absorb(self) noexcept nogil:
        """Move the far words that are dense now."""
        cdef size_t slot = 0
        cdef uint64_t word
        while slot < self.far.slots:
            word = self.far.keys[slot]
            if word == NO_KEY or word >= self.words[0]:
                slot += 1
                continue
            self.level[0][word] |= self.far.values[slot]
            self.far_taken -= <uint64_t>count_ones(self.far.values[slot])
            # Another word may move into this slot: look at it again.
            map_drop(&self.far, <Py_ssize_t>slot)

    cdef void summarise(self, int old_levels, const size_t* old_words) noexcept nogil:
        """Write the summary of what is new since the levels had these sizes."""
        cdef int k
        cdef size_t w, child, first
        cdef uint64_t bits
        for k in range(1, self.levels):
            # The old last word was padded; all before it had 64 children already.
            first = (old_words[k - 1] - 1) >> 6 if k < old_levels else 0
            for w in range(first, self.words[k]):
                bits = 0
                for child in range(64):
                    if (w << 6) + child >= self.words[k - 1]:
                        bits |= _from_bit(child)
                        break
                    if self.level[k - 1][(w << 6) + child] == ALL_ONES:
                        bits |= _bit(child)
                self.level[k][w] = bits


cdef uint64_t _next_size(uint64_t words, uint64_t most) noexcept nogil:
    """The dense region's size for so many words: a power of two, or all there are."""
    if words <= FIRST_WORDS:
        words = FIRST_WORDS
    elif words > (<uint64_t>1 << 57):
        words = <uint64_t>1 << 58
    else:
        words = <uint64_t>1 << (64 - count_leading_zeros(words - 1))
    return words if words < most else most

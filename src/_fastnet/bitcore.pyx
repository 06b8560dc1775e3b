"""What a bitmap is made of; see the declaration file."""

import cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_RawFree
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t

from _fastnet.densetree cimport (
    LEVELS,
    bit_of,
    bits_from,
    bits_to,
    dense_add,
    dense_below,
    dense_clear,
    dense_close,
    dense_fill,
    dense_filled,
    dense_first_filled,
    dense_grow,
    dense_nbytes,
    dense_next_open,
    dense_next_taken,
    dense_opened,
    dense_size,
    dense_summarise,
)
from _fastnet.fartree cimport (
    SPLIT,
    Interval,
    far_absorb,
    far_close,
    far_count,
    far_drop,
    far_drop_range,
    far_inside,
    far_intervals,
    far_next_taken,
    far_open,
    far_room,
    far_search,
    far_take,
    far_take_range,
    far_word,
)
from _fastnet.integers cimport ALL_ONES, count_ones, count_trailing_zeros, struct_size
from _fastnet.snapshot cimport (
    FREE_WORDS,
    FULL_WORDS,
    MIXED_WORDS,
    Header,
    Reader,
    Writer,
    read_word,
    reader_next,
    writer_close,
    writer_open,
    writer_range,
    writer_word,
)
from _fastnet.u64map cimport map_nbytes

from _fastnet.errors import SnapshotError

cdef enum:
    ALWAYS_WORDS = 64       # up to here the dense region always reaches out
    READ_WORDS = 1 << 18    # a snapshot may make so many words dense, besides what its length justifies


@cython.auto_pickle(False)
@cython.no_gc
cdef class BitmapCore:
    """Ordinals 0…size-1, each free or taken, at C level; Python uses `Bitmap`.

    Thread safety: none of its own. Whoever calls from C holds the GIL or, on free-threaded builds,
    a critical section of the bitmap or of what owns it.
    """

    def __cinit__(self) -> None:
        self.begin(0)

    def __dealloc__(self) -> None:
        dense_close(&self.dense)
        far_close(&self.far)

    cdef void begin(self, uint64_t last) noexcept:
        """Say the last ordinal, of a bitmap that holds nothing."""
        self.last = last
        self.dense.last = last
        far_open(&self.far, last)

    # -- Taking and giving back, in C ------------------------------------------------------

    cdef int take_first(self, uint64_t* ordinal) except -1:
        cdef size_t w = self.dense.low
        cdef uint64_t word
        if w >= self.dense.count[0] or self.dense.words[w] == ALL_ONES:
            w = dense_next_open(&self.dense, w)
            # Absorbing far words may fill what was just gained: hence a loop.
            while w >= self.dense.count[0]:
                self.dense.low = w
                if w > self.last >> 6 or not far_search(&self.far, self.dense_end(), ordinal):
                    return 0
                if not self.worth_dense(ordinal[0] >> 6, 0):
                    if far_room(&self.far, 1) < 0:
                        raise MemoryError
                    self.put_far(ordinal[0] >> 6, bit_of(ordinal[0]))
                    return 1
                self.grow((ordinal[0] >> 6) + 1)
                w = dense_next_open(&self.dense, w)
            self.dense.low = w
        word = self.dense.words[w]
        ordinal[0] = (<uint64_t>w << 6) + <uint64_t>count_trailing_zeros(~word)
        word |= word + 1
        self.dense.words[w] = word
        dense_add(&self.dense, w, 1)
        if word == ALL_ONES:
            # At once: whether the next release comes before or behind a full word, no processor can guess.
            self.dense.low = dense_first_filled(&self.dense, w)
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
        cdef uint64_t word = ordinal >> 6, bit = bit_of(ordinal)
        cdef uint64_t bits
        if word >= self.dense.count[0]:
            if far_word(&self.far, word) & bit:
                return 0
            if not self.worth_dense(word, 0):
                if far_room(&self.far, 1) < 0:
                    raise MemoryError
                self.put_far(word, bit)
                return 1
            self.grow(word + 1)
        bits = self.dense.words[word]
        if bits & bit:
            return 0
        bits |= bit
        self.dense.words[word] = bits
        dense_add(&self.dense, <size_t>word, 1)
        if bits == ALL_ONES:
            dense_filled(&self.dense, <size_t>word)
        self.taken += 1
        return 1

    cdef void put_far(self, uint64_t word, uint64_t bits) noexcept nogil:
        """Take free bits of a far word; there is room for an entry."""
        cdef uint64_t count = <uint64_t>count_ones(bits)
        far_take(&self.far, word, bits)
        self.single += count
        self.taken += count

    cdef int drop(self, uint64_t ordinal) except -1:
        cdef uint64_t word = ordinal >> 6, bit = bit_of(ordinal)
        cdef uint64_t bits
        if word >= self.dense.count[0]:
            return self.drop_word(word, bit)
        bits = self.dense.words[word]
        if not bits & bit:
            return 0
        self.dense.words[word] = bits ^ bit
        dense_add(&self.dense, <size_t>word, ALL_ONES)
        if bits == ALL_ONES:
            dense_opened(&self.dense, <size_t>word)
        if word < self.dense.low:
            self.dense.low = <size_t>word
        self.taken -= 1
        return 1

    cdef int drop_word(self, uint64_t word, uint64_t bits) except -1:
        """Give back these bits of a word; 0 where not all of them are taken."""
        cdef uint64_t held, count = <uint64_t>count_ones(bits)
        if word < self.dense.count[0]:
            held = self.dense.words[word]
            if bits & ~held:
                return 0
            self.dense.words[word] = held ^ bits
            dense_add(&self.dense, <size_t>word, 0 - count)
            if held == ALL_ONES:
                dense_opened(&self.dense, <size_t>word)
            if word < self.dense.low:
                self.dense.low = <size_t>word
        else:
            if bits & ~far_word(&self.far, word):
                return 0
            if far_drop(&self.far, word, bits) < 0:
                raise MemoryError
            self.single -= count if self.single > count else self.single
        self.taken -= count
        return 1

    cdef bint holds(self, uint64_t ordinal) noexcept nogil:
        cdef uint64_t word = ordinal >> 6
        if word < self.dense.count[0]:
            return self.dense.words[word] & bit_of(ordinal) != 0
        return far_word(&self.far, word) & bit_of(ordinal) != 0

    cdef Py_ssize_t drop_all(self, const uint64_t* ordinals, size_t count) except -2:
        cdef size_t begin = 0, end
        cdef uint64_t word, bits
        while begin < count:
            # Neighbours that share a word go together.
            word = ordinals[begin] >> 6
            bits = 0
            end = begin
            while end < count and ordinals[end] >> 6 == word and not bits & bit_of(ordinals[end]):
                bits |= bit_of(ordinals[end])
                end += 1
            try:
                if (word < self.last >> 6 or not bits & ~bits_to(self.last)) and self.drop_word(word, bits):
                    begin = end
                    continue
            except MemoryError:
                self.take_back(ordinals, begin)
                raise
            end = begin
            while ordinals[end] <= self.last and self.holds(ordinals[end]):
                end += 1
            self.take_back(ordinals, begin)
            return <Py_ssize_t>end
        return -1

    cdef void take_back(self, const uint64_t* ordinals, size_t count) noexcept nogil:
        """Undo drops. In their order reversed it needs no memory: the table held all of this before."""
        cdef uint64_t word, bits
        while count:
            word = ordinals[count - 1] >> 6
            bits = 0
            while count and ordinals[count - 1] >> 6 == word and not bits & bit_of(ordinals[count - 1]):
                bits |= bit_of(ordinals[count - 1])
                count -= 1
            if word < self.dense.count[0]:
                self.dense.words[word] |= bits
                dense_add(&self.dense, <size_t>word, <uint64_t>count_ones(bits))
                if self.dense.words[word] == ALL_ONES:
                    dense_filled(&self.dense, <size_t>word)
                self.taken += <uint64_t>count_ones(bits)
            else:
                self.put_far(word, bits)

    cdef int make_room(self, uint64_t count) except -1:
        cdef uint64_t dense, words
        if count == 0:
            return 1
        if self.is_full() or count - 1 > self.last - self.taken:
            return 0
        while True:
            dense = self.dense_end() - (self.taken - self.far.taken)
            if self.dense.count[0] > self.last >> 6 or dense >= count:
                return 1
            words = self.dense.count[0] + ((count - dense - 1) >> 6)
            if words > self.last >> 6:
                words = self.last >> 6
            if not self.worth_dense(words, count):
                break
            self.grow(words + 1)
        # What is taken beyond fills its words: an entry at most for each, and one for its like above.
        if far_room(&self.far, <size_t>((count - dense) >> 6) + SPLIT) < 0:
            raise MemoryError
        return 1

    cdef uint64_t take_word(self, uint64_t limit, uint64_t* first) noexcept nogil:
        cdef size_t w = self.dense.low
        cdef uint64_t mask, rest
        if w >= self.dense.count[0] or self.dense.words[w] == ALL_ONES:
            w = dense_next_open(&self.dense, w)
            self.dense.low = w
        if w < self.dense.count[0]:
            mask = ~self.dense.words[w]
            first[0] = <uint64_t>w << 6
        else:
            far_search(&self.far, self.dense_end(), first)
            first[0] &= ~<uint64_t>63
            mask = far_inside(&self.far, first[0] >> 6) & ~far_word(&self.far, first[0] >> 6)
        if limit < 64 and <uint64_t>count_ones(mask) > limit:
            rest = mask
            for _ in range(<int>limit):
                rest &= rest - 1
            mask ^= rest
        if w >= self.dense.count[0]:
            self.put_far(first[0] >> 6, mask)
            return mask
        self.dense.words[w] |= mask
        dense_add(&self.dense, w, <uint64_t>count_ones(mask))
        if self.dense.words[w] == ALL_ONES:
            dense_filled(&self.dense, w)
        self.taken += <uint64_t>count_ones(mask)
        return mask

    cdef object count_free(self):
        return 0 if self.is_full() else int(self.last) + 1 - self.taken

    cdef bint is_full(self) noexcept nogil:
        # 2**64 of them are counted as 0.
        return self.taken - 1 == self.last and (self.taken != 0 or self.far.table.used != 0)

    cdef size_t footprint(self) noexcept:
        return <size_t>struct_size(self) + dense_nbytes(&self.dense) + map_nbytes(&self.far.table)

    # -- Ranges, in C ------------------------------------------------------------------------

    cdef uint64_t dense_end(self) noexcept nogil:
        """The first ordinal past the dense words (2**64 as 0)."""
        return <uint64_t>self.dense.count[0] << 6

    cdef bint search(self, uint64_t start, uint64_t* ordinal) noexcept nogil:
        cdef uint64_t word = start >> 6
        cdef uint64_t open
        if word < self.dense.count[0]:
            open = ~self.dense.words[word] & bits_from(start)
            if not open:
                word = dense_next_open(&self.dense, <size_t>word + 1)
                if word < self.dense.count[0]:
                    open = ~self.dense.words[word]
            if open:
                ordinal[0] = (word << 6) + <uint64_t>count_trailing_zeros(open)
                return True
            if self.dense.count[0] > self.last >> 6:
                return False
            start = self.dense_end()
        return far_search(&self.far, start, ordinal)

    cdef bint next_taken(self, uint64_t first, uint64_t stop, uint64_t* ordinal) noexcept nogil:
        cdef uint64_t end
        if first >> 6 < self.dense.count[0]:
            end = self.dense_end() - 1
            if end > stop:
                end = stop
            if dense_next_taken(&self.dense, first, end, ordinal):
                return True
            if end == stop:
                return False
            first = end + 1
        return far_next_taken(&self.far, first, stop, ordinal)

    cdef uint64_t count_within(self, uint64_t first, uint64_t stop) noexcept nogil:
        cdef uint64_t end, total = 0
        if first == 0 and stop == self.last:
            return self.taken
        if first >> 6 < self.dense.count[0]:
            end = self.dense_end() - 1
            if end > stop:
                end = stop
            total = self.taken - self.far.taken
            if end + 1 != self.dense_end():
                total = dense_below(&self.dense, end + 1)
            total -= dense_below(&self.dense, first)
            if end == stop:
                return total
            first = end + 1
            if stop == self.last:
                return total + self.far.taken
        return total + far_count(&self.far, first, stop)

    cdef int take_range(self, uint64_t first, uint64_t stop, uint64_t* bad) except -1:
        cdef uint64_t end
        if self.next_taken(first, stop, bad):
            return 0
        if stop >> 6 >= self.dense.count[0]:
            if self.worth_dense(stop >> 6, 0):
                self.grow((stop >> 6) + 1)
            elif far_room(&self.far, 2 * SPLIT) < 0:
                raise MemoryError
        self.taken += stop - first + 1
        if first >> 6 < self.dense.count[0]:
            end = self.dense_end() - 1
            if end >= stop:
                end = stop
            dense_fill(&self.dense, first, end)
            self.ranged += end - first + 1
            if end == stop:
                return 1
            first = end + 1
        far_take_range(&self.far, first, stop)
        return 1

    cdef int drop_range(self, uint64_t first, uint64_t stop, uint64_t* bad) except -1:
        cdef uint64_t end, count
        if self.search(first, bad) and bad[0] <= stop:
            return 0
        if stop >> 6 >= self.dense.count[0] and far_room(&self.far, 2 * SPLIT) < 0:
            raise MemoryError
        self.taken -= stop - first + 1
        if first >> 6 < self.dense.count[0]:
            end = self.dense_end() - 1
            if end >= stop:
                end = stop
            dense_clear(&self.dense, first, end)
            count = end - first + 1
            self.ranged -= count if self.ranged > count else self.ranged
            if end == stop:
                return 1
            first = end + 1
        far_drop_range(&self.far, first, stop)
        if self.single > self.far.taken:
            self.single = self.far.taken
        return 1

    cdef int find(self, uint64_t count, uint64_t align, uint64_t start, uint64_t* ordinal) except -1:
        cdef uint64_t at = start, end, met
        cdef Interval* taken = NULL
        cdef size_t i, intervals
        cdef int found = 0
        if count - 1 > self.last:
            return 0
        # Among what is dense: candidate, first obstacle, next candidate.
        while True:
            if at > ALL_ONES - (align - 1):
                return 0
            at = (at + align - 1) & ~(align - 1)
            if at > self.last or count - 1 > self.last - at:
                return 0
            if at >> 6 >= self.dense.count[0]:
                break
            end = at + (count - 1)
            if end >> 6 >= self.dense.count[0]:
                end = self.dense_end() - 1
            if not dense_next_taken(&self.dense, at, end, &met):
                if end - at == count - 1:
                    ordinal[0] = at
                    return 1
                break
            if not self.search(met, &at):
                return 0
        # Beyond: between the intervals that are taken.
        if far_intervals(&self.far, &taken, &intervals) < 0:
            raise MemoryError
        for i in range(intervals):
            if taken[i].stop < at:
                continue
            if taken[i].first > at and taken[i].first - at >= count:
                break
            if taken[i].stop >= self.last or taken[i].stop + 1 > ALL_ONES - (align - 1):
                found = -1
                break
            at = (taken[i].stop + 1 + align - 1) & ~(align - 1)
            if at > self.last or count - 1 > self.last - at:
                found = -1
                break
        PyMem_RawFree(taken)
        ordinal[0] = at
        return found + 1

    # -- Growth ----------------------------------------------------------------------------

    cdef bint worth_dense(self, uint64_t word, uint64_t more) noexcept nogil:
        """Whether the dense region should reach out for this word (the rule of the docstring)."""
        cdef uint64_t words = dense_size(&self.dense, word + 1)
        cdef uint64_t held = self.taken - self.far.taken
        # A range costs next to nothing where it is, however long: what it would fill is no reason to grow.
        held = (held - self.ranged if held > self.ranged else 0) + self.single
        return words <= ALWAYS_WORDS or words >> 1 <= held or words >> 1 <= (held + more if more <= ~held else ALL_ONES)

    cdef int grow(self, uint64_t words) except -1:
        """Make the dense region at least so many words; on MemoryError all is as it was."""
        cdef size_t before[LEVELS]
        cdef uint64_t taken = self.far.taken, single = self.single
        cdef int levels = 0
        if self.far.top and far_room(&self.far, SPLIT) < 0:
            raise MemoryError
        if dense_grow(&self.dense, dense_size(&self.dense, words), before, &levels) < 0:
            raise MemoryError
        if self.far.table.used:
            far_absorb(&self.far, &self.dense)
            if self.single > self.far.taken:
                self.single = self.far.taken
            self.ranged += taken - self.far.taken - (single - self.single)
        dense_summarise(&self.dense, before, levels)
        return 0

    # -- Snapshots ---------------------------------------------------------------------------

    cdef bytes encode(self):
        cdef Writer writer
        cdef Header header
        cdef Interval* taken = NULL
        cdef size_t i, count = 0
        cdef int failed
        header.last = self.last
        header.cursor = self.cursor
        header.taken = self.taken
        header.dense = self.dense.count[0]
        writer.data = NULL
        try:
            failed = writer_open(&writer, self.last)
            i = 0
            while not failed and i < self.dense.count[0]:
                # Words of an empty or full node need no look, but they are quick to look at.
                if self.dense.words[i]:
                    failed = writer_word(&writer, i, self.dense.words[i] & far_inside(&self.far, i))
                i += 1
            if not failed:
                failed = far_intervals(&self.far, &taken, &count)
            i = 0
            while not failed and i < count:
                failed = writer_range(&writer, taken[i].first, taken[i].stop)
                i += 1
            if failed or writer_close(&writer, &header):
                raise MemoryError
            return PyBytes_FromStringAndSize(<const char*>writer.data, <Py_ssize_t>writer.used)
        finally:
            PyMem_RawFree(taken)
            PyMem_RawFree(writer.data)

    cdef int load(self, Reader* reader, const Header* header, size_t size) except -1:
        """Take what a reader gives; the bitmap is new, and its size the header's."""
        cdef uint64_t first, words, stop, bad, i
        cdef const uint8_t* at = NULL
        cdef int kind
        if header.dense and header.dense != dense_size(&self.dense, header.dense):
            raise SnapshotError("this is no snapshot of a bitmap, or it is damaged: no dense region is of its size")
        # A short snapshot makes no large region; what it had dense is far then.
        if 0 < header.dense <= READ_WORDS + size:
            self.grow(header.dense)
        while True:
            kind = reader_next(reader, &first, &words, &at)
            if kind == FULL_WORDS:
                stop = ((first + words - 1) << 6) | 63
                self.take_range(first << 6, stop if stop < self.last else self.last, &bad)
            elif kind == MIXED_WORDS:
                for i in range(words):
                    self.put_word(first + i, read_word(at + 8 * i))
            elif kind != FREE_WORDS:
                break
        if self.taken != header.taken:
            raise SnapshotError("this is no snapshot of a bitmap, or it is damaged: it counts wrongly what is taken")
        self.cursor = header.cursor
        return 0

    cdef int put_word(self, uint64_t word, uint64_t bits) except -1:
        """Take some, but not all, of the ordinals of a word that is free."""
        if word >= self.dense.count[0]:
            if not self.worth_dense(word, 0):
                if far_room(&self.far, 1) < 0:
                    raise MemoryError
                self.put_far(word, bits)
                return 0
            self.grow(word + 1)
        self.dense.words[word] |= bits
        dense_add(&self.dense, <size_t>word, <uint64_t>count_ones(bits))
        self.taken += <uint64_t>count_ones(bits)
        return 0

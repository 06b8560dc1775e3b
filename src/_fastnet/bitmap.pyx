"""Ordinals 0…size-1, each free or taken: first free, next after, ranges, many at once."""

import cython
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t

from _fastnet.integers cimport (
    ALL_ONES,
    Column,
    count_ones,
    count_trailing_zeros,
    read_column,
    read_u64,
    shown,
)
from _fastnet.ordinals cimport Ordinals, new_ordinals
from _fastnet.snapshot cimport Header, Reader, reader_open

from _fastnet.errors import Exhausted, NotTaken, OutOfRange, Taken

cdef extern from "Python.h":
    object PyNumber_Index(object)
    const Py_ssize_t PY_SSIZE_T_MAX


@cython.final
@cython.auto_pickle(False)
@cython.no_gc
cdef class Bitmap(BitmapCore):
    """Ordinals 0…size-1, each free or taken.

    Parameters
    ----------
    size : int
        How many ordinals: 1…2**64. OutOfRange otherwise.

    Notes
    -----
    Window. One bitmap holds at most 2**64 ordinals: the addresses of an IPv6 /64.

    Memory. A fresh bitmap of any size has nothing on the heap. First-free allocation
    fills a dense region: 1 bit per ordinal and 1/31 on top, in powers of two of words.
    A reservation extends this region if it ends up at no more than 4096 ordinals, or
    at no more than 128 for each ordinal that was taken one by one or in bulk (that is 16 bytes each), not as part of
    a range. Otherwise it goes to a sparse tree in a hash table, 16 bytes per slot, at most three quarters of them
    used: N far reservations take at the most 43 N + 128 bytes (while the table doubles, half as
    much again). 64 neighbours become one bit, so a range beyond the dense region takes at most 22 entries, however long it
    is; releasing one ordinal inside of such a range adds at most 11. The dense region absorbs what it
    grows over; neither ever shrinks.

    Cost. One at a time, everything but growth is a constant number of word operations at any fill: one per
    level of the dense region's tree (four levels at a million ordinals), and beyond that region at most
    three look-ups per level of the sparse one (eleven levels). Each says its own where it costs more.

    Thread safety: every method is atomic, and may be called by several threads at once; bulk methods read all
    of their input before they change anything. That is the GIL's doing, and on free-threaded builds
    a critical section's. Bulk methods keep the GIL: a lock that single calls had to take as well
    would cost those more than it saves, at some 1 ns an ordinal.
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
        self.begin(read)

    # -- What there is ---------------------------------------------------------------

    @property
    def size(self) -> int:
        """How many ordinals there are: 1…2**64."""
        return int(self.last) + 1

    @property
    def free(self) -> int:
        """How many of them are free: 0…2**64."""
        with cython.critical_section(self):
            return self.count_free()

    @property
    def nbytes(self) -> int:
        """Bytes that the bitmap holds: the object and its heap."""
        with cython.critical_section(self):
            return self.footprint()

    def __len__(self) -> int:
        """How many are taken; OverflowError past 2**63-1: take ``size - free`` there."""
        cdef uint64_t taken
        with cython.critical_section(self):
            taken = ALL_ONES if self.is_full() and self.taken == 0 else self.taken
        if taken > <uint64_t>PY_SSIZE_T_MAX:
            raise OverflowError("more are taken than len() can say: take .size - .free")
        return <Py_ssize_t>taken

    def __bool__(self) -> bool:
        """Whether any is taken."""
        with cython.critical_section(self):
            return self.taken != 0 or self.is_full()

    def __contains__(self, object ordinal, /) -> bool:
        """Whether an ordinal is taken; False outside of the bitmap, TypeError for no integer."""
        cdef uint64_t read
        if not read_u64(ordinal, "ordinal", &read) or read > self.last:
            return False
        with cython.critical_section(self):
            return self.holds(read)

    def __sizeof__(self) -> int:
        return self.nbytes

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
        cdef int done
        with cython.critical_section(self):
            done = self.take_first(&ordinal)
        if not done:
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
        cdef int done
        with cython.critical_section(self):
            done = self.take_next(&ordinal)
        if not done:
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
        cdef int done
        if not read_u64(ordinal, "ordinal", &read) or read > self.last:
            raise OutOfRange(f"ordinal {shown(ordinal)} is outside of 0…{self.last}")
        with cython.critical_section(self):
            done = self.take(read)
        if not done:
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
        cdef int done
        if not read_u64(ordinal, "ordinal", &read) or read > self.last:
            raise OutOfRange(f"ordinal {shown(ordinal)} is outside of 0…{self.last}")
        with cython.critical_section(self):
            done = self.drop(read)
        if not done:
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
        cdef uint64_t wanted
        if not read_u64(count, "count", &wanted):
            if PyNumber_Index(count) < 0:
                raise ValueError(f"count must not be negative, not {shown(count)}")
            if count > self.free:
                raise Exhausted(f"{shown(count)} ordinals wanted, {self.free} free")
            raise MemoryError       # all of 2**64
        with cython.critical_section(self):
            return _give(self, wanted)

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
        cdef Py_ssize_t bad
        cdef bint held = False
        with cython.critical_section(self):
            bad = self.drop_all(column.data, column.count)
            if bad >= 0 and column.data[bad] <= self.last:
                held = self.holds(column.data[bad])
        if bad < 0:
            return
        if column.data[bad] > self.last:
            raise OutOfRange(f"ordinal {column.data[bad]} is outside of 0…{self.last}")
        if held:
            raise NotTaken(f"ordinal {column.data[bad]} comes twice")
        raise NotTaken(f"ordinal {column.data[bad]} is not taken")

    # -- Ranges --------------------------------------------------------------------------

    def reserve_range(self, object first, object count, /) -> None:
        """Take `count` ordinals from `first` on, all or none.

        Cost: one word operation per 64 ordinals that are dense, two per level beyond (a
        range of any length), and a look for what is taken there, as in `count_taken`.

        Raises
        ------
        Taken
            One is taken already; the message names the first such one.
        OutOfRange
            The range goes past the size.
        ValueError
            `count` is negative.
        """
        cdef uint64_t start, stop, bad = 0
        cdef int done
        if not self.read_range(first, count, &start, &stop):
            return
        with cython.critical_section(self):
            done = self.take_range(start, stop, &bad)
        if not done:
            raise Taken(f"ordinal {bad} of {start}…{stop} is taken")

    def release_range(self, object first, object count, /) -> None:
        """Give `count` ordinals from `first` on back, all or none; how they were taken does not matter.

        Raises
        ------
        NotTaken
            One is free; the message names the first such one.
        OutOfRange
            The range goes past the size.
        ValueError
            `count` is negative.
        """
        cdef uint64_t start, stop, bad = 0
        cdef int done
        if not self.read_range(first, count, &start, &stop):
            return
        with cython.critical_section(self):
            done = self.drop_range(start, stop, &bad)
        if not done:
            raise NotTaken(f"ordinal {bad} of {start}…{stop} is not taken")

    def find_run(self, object count, object align=1, object start=0) -> int:
        """Find the first of `count` neighbouring free ordinals, without taking them.

        Where several threads allocate, use `allocate_run`: what is found may be gone a moment later.

        Parameters
        ----------
        count : int
            How many: 1 or more.
        align : int
            Only a multiple of it is the first of a run: a power of two, at most 2**63. With ``align=count`` that is a
            subnet of so many addresses.
        start : int
            Where the search begins.

        Returns
        -------
        int

        Notes
        -----
        Cost: full and empty regions are passed over as a whole; a step for each shorter run that is passed;
        beyond the dense region, sorting the entries of the sparse tree.

        Raises
        ------
        Exhausted
            There is no such run.
        OutOfRange
            `start` lies outside of the bitmap.
        ValueError
            `count` is below 1, or `align` is no power of two.
        """
        return self.run(count, align, start, False)

    def allocate_run(self, object count, object align=1) -> int:
        """Take `count` neighbouring ordinals: the first run that is free.

        Parameters, cost and errors are those of `find_run`.

        Returns
        -------
        int
            The first of them; `release_range` gives them back.
        """
        return self.run(count, align, 0, True)

    def count_taken(self, object first, object count, /) -> int:
        """Count the taken ones among `count` ordinals from `first` on: 0…2**64.

        Cost: at most 64 counts per level of the tree, for every subtree's is kept; all of the bitmap, and all
        that lies beyond the dense region, is one number. A part of what lies beyond it costs a look at each
        of the range's words, or at each slot of the sparse tree's table, whichever are fewer.

        Raises
        ------
        OutOfRange
            The range goes past the size.
        ValueError
            `count` is negative.
        """
        cdef uint64_t start, stop, found
        if not self.read_range(first, count, &start, &stop):
            return 0
        with cython.critical_section(self):
            found = self.count_within(start, stop)
            if found == 0 and stop - start == ALL_ONES and self.is_full():
                return int(self.last) + 1
        return found

    cdef int read_range(self, object first, object count, uint64_t* start, uint64_t* stop) except -1:
        cdef uint64_t length = 0
        if not read_u64(first, "first", start) or start[0] > self.last:
            raise OutOfRange(f"ordinal {shown(first)} is outside of 0…{self.last}")
        if not read_u64(count, "count", &length):
            count = PyNumber_Index(count)
            if count < 0:
                raise ValueError(f"count must not be negative, not {shown(count)}")
            if start[0] or count - 1 > self.last:
                raise OutOfRange(f"{shown(count)} ordinals from {start[0]} on go past {self.last}")
        elif length == 0:
            return 0
        # Of 2**64 ordinals, 0 here, one less comes out right.
        if length - 1 > self.last - start[0]:
            raise OutOfRange(f"{length} ordinals from {start[0]} on go past {self.last}")
        stop[0] = start[0] + (length - 1)
        return 1

    cdef uint64_t run(self, object count, object align, object start, bint take) except? 0:
        cdef uint64_t wanted = 0, step = 0, begin = 0, found = 0, bad
        cdef int done
        if not read_u64(count, "count", &wanted) and PyNumber_Index(count) - 1 == self.last:
            wanted = 0      # all of 2**64
        elif wanted == 0 and PyNumber_Index(count) <= 0:
            raise ValueError(f"count must be 1 or more, not {shown(count)}")
        elif wanted == 0:
            raise Exhausted(f"{shown(count)} neighbouring ordinals wanted, {self.size} there are")
        if not read_u64(align, "align", &step) or step == 0 or step & (step - 1):
            raise ValueError(f"align must be a power of two, at most 2**63, not {shown(align)}")
        if not read_u64(start, "start", &begin) or begin > self.last:
            raise OutOfRange(f"ordinal {shown(start)} is outside of 0…{self.last}")
        with cython.critical_section(self):
            done = self.find(wanted, step, begin, &found)
            if done and take:
                self.take_range(found, found + (wanted - 1), &bad)
        if not done:
            raise Exhausted(f"no {shown(count)} neighbouring ordinals that begin at a multiple of {step} are free")
        return found

    # -- Snapshots -----------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """Write down all that is taken, and the cursor of `allocate_next`.

        Returns
        -------
        bytes
            A header of 48 bytes, runs of free and full words and single words (so at most the size
            of the dense bits and some 18 bytes for each far word), and a CRC-32. It is the same on every
            machine; equal bitmaps with equal dense regions give equal bytes. The format stands in ``snapshot.pxd``.
        """
        with cython.critical_section(self):
            return self.encode()

    @staticmethod
    def restore(object data, /) -> Bitmap:
        """Make a bitmap from what `snapshot` gave.

        Parameters
        ----------
        data : bytes-like

        Notes
        -----
        Memory: at most 2.2 MB (what was a dense region of at most a /8 is one again), and what
        so many bytes can say by the rules above. A larger dense region becomes one again only as far as
        those rules have it so; until then, allocating from it takes some times longer.

        Raises
        ------
        SnapshotError
            It is no snapshot, is damaged or cut short, contradicts itself, or is of another version.
        """
        return decode(data)


cdef Ordinals _give(Bitmap bitmap, uint64_t wanted):
    """The first free ordinals, all or none."""
    cdef uint64_t mask, base, left = wanted
    cdef uint64_t* out
    cdef uint64_t j
    cdef Ordinals given
    if wanted and (wanted - 1 > bitmap.last - bitmap.taken or bitmap.is_full()):
        raise Exhausted(f"{wanted} ordinals wanted, {bitmap.count_free()} free")
    given = new_ordinals(wanted)
    if not bitmap.make_room(wanted):
        raise Exhausted(f"{wanted} ordinals wanted, {bitmap.count_free()} free")
    out = given.data
    while left:
        mask = bitmap.take_word(left, &base)
        if mask == ALL_ONES:
            for j in range(64):
                out[j] = base + j
            out += 64
            left -= 64
            continue
        left -= <uint64_t>count_ones(mask)
        while mask:
            out[0] = base + <uint64_t>count_trailing_zeros(mask)
            out += 1
            mask &= mask - 1
    return given


cdef Bitmap decode(object data):
    cdef Header header
    cdef Reader reader
    cdef Bitmap bitmap
    # Bytes of our own: nobody changes them after they were checked.
    cdef bytes own = bytes(memoryview(data))
    reader_open(&reader, <const uint8_t*>own, <size_t>len(own), &header)
    bitmap = Bitmap(int(header.last) + 1)
    bitmap.load(&reader, &header, <size_t>len(own))
    return bitmap

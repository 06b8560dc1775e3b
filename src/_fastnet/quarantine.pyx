"""Released ordinals that wait before they are given again; see the declaration file."""

import cython
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.stddef cimport size_t
from libc.stdint cimport uint64_t

from _fastnet.bitmap cimport Bitmap
from _fastnet.integers cimport struct_size
from _fastnet.u64map cimport map_close, map_drop, map_find, map_nbytes, map_open, map_put, map_room

from _fastnet.errors import OutOfRange

cdef extern from "<time.h>" nogil:
    cdef struct timespec:
        long tv_sec
        long tv_nsec
    ctypedef int clockid_t
    const clockid_t CLOCK_MONOTONIC
    const clockid_t CLOCK_MONOTONIC_COARSE
    int clock_gettime(clockid_t clock, timespec* now)

cdef enum:
    IDLE = 1024             # after so many readings in a row that found nothing due,
    BLIND = 7               # so many allocations need not read the clock
    STALE_ALWAYS = 64       # so many stale places are never swept,
    STALE_SHARE = 16        # nor more, up to one for so many ordinals that wait


@cython.final
@cython.auto_pickle(False)
@cython.no_gc
cdef class Quarantine:
    """Ordinals of one bitmap that wait; internal.

    Thread safety: none of its own; the pool's lock covers it.
    """

    def __cinit__(self) -> None:
        map_open(&self.withdrawn, True)

    def __dealloc__(self) -> None:
        cdef Chunk* chunk
        while self.head != NULL:
            chunk = self.head
            self.head = chunk.next
            PyMem_RawFree(chunk)
        map_close(&self.withdrawn)

    cdef int read_clock(self, bint to_wait, uint64_t* now) except -1:
        cdef timespec read
        cdef double seconds
        if self.clock is None:
            # The coarse clock costs a third, and is late by a tick at the most: who waits
            # is stamped by the fine one, so nothing is ever given too early.
            clock_gettime(CLOCK_MONOTONIC if to_wait else CLOCK_MONOTONIC_COARSE, &read)
            now[0] = <uint64_t>read.tv_sec * <uint64_t>1000000000 + <uint64_t>read.tv_nsec
            return 0
        seconds = self.clock()
        if not 0 <= seconds <= 1e9:
            raise OutOfRange(f"the clock of a pool gives seconds, 0…1e9, not {seconds}")
        now[0] = <uint64_t>(seconds * 1e9 + 0.5)
        return 0

    cdef int settle_for_one(self, Bitmap pool) except -1:
        cdef uint64_t now
        self.read_clock(False, &now)
        self.idle += 1
        if self.idle > IDLE and self.clock is None:
            # A long run of allocations: even the coarse clock is a quarter of what one costs.
            self.blind = BLIND
        return self.settle(pool, now, 1)

    cdef int settle(self, Bitmap pool, uint64_t now, uint64_t wanted) except -1:
        cdef Place place
        while self.oldest(&place):
            if place.due > now and (
                wanted == 0 or (not pool.is_full() and pool.last - pool.taken >= wanted - 1)
            ):
                return 0
            self.idle = self.blind = 0
            pool.drop(place.ordinal)
            try:
                self.waiting.drop(place.ordinal)
            except MemoryError:
                pool.take(place.ordinal)
                raise
            self.skip()
        return 0

    cdef Py_ssize_t admit(self, Bitmap pool, const uint64_t* ordinals, size_t count, uint64_t now) except -2:
        cdef size_t i = 0
        cdef uint64_t due = now + self.period
        cdef bint fresh
        self.make_places(count)
        try:
            for i in range(count):
                # No larger than the pool's own bitmap, and no far words where that has none.
                if self.waiting.dense.count[0] <= ordinals[i] >> 6 < pool.dense.count[0]:
                    self.waiting.grow((ordinals[i] >> 6) + 1)
                fresh = self.waiting.take(ordinals[i])
                if not fresh:
                    self.expel(ordinals, i)
                    return <Py_ssize_t>i
        except MemoryError:
            self.expel(ordinals, i)
            raise
        for i in range(count):
            self.put(ordinals[i], due)
        self.idle = self.blind = 0
        return -1

    cdef int expel(self, const uint64_t* ordinals, size_t count) except -1:
        """Undo the first part of `admit`."""
        cdef size_t i
        for i in range(count):
            self.waiting.drop(ordinals[i])
        self.trim()
        return 0

    cdef int withdraw(self, uint64_t ordinal) except -1:
        cdef Py_ssize_t slot
        if not self.waiting.holds(ordinal):
            return 0
        slot = map_find(&self.withdrawn, ordinal)
        if slot < 0:
            if map_room(&self.withdrawn) < 0:
                raise MemoryError
            slot = map_put(&self.withdrawn, ordinal)
        self.withdrawn.values[slot] += 1
        self.stale += 1
        self.waiting.drop(ordinal)
        if self.stale > STALE_ALWAYS + self.waiting.taken // STALE_SHARE:
            self.sweep()
        return 1

    cdef list places(self, uint64_t now):
        cdef list told = []
        cdef Chunk* chunk
        cdef size_t at
        if self.head != NULL:
            self.sweep()
        chunk, at = self.head, self.first
        while chunk != self.tail or at != self.end:
            if at == CHUNK:
                chunk, at = chunk.next, 0
                continue
            told.append((chunk.places[at].ordinal, max(chunk.places[at].due, now) - now))
            at += 1
        return told

    cdef int resume(self, Bitmap pool, list places, uint64_t now) except -1:
        cdef uint64_t ordinal, left
        self.make_places(<size_t>len(places))
        for ordinal, left in places:
            if left > self.period or ordinal > pool.last or not pool.holds(ordinal) or not self.waiting.take(ordinal):
                return 0
            self.put(ordinal, now + left)
        return 1

    cdef size_t footprint(self) noexcept:
        return (
            <size_t>struct_size(self)
            + self.waiting.footprint()
            + self.chunks * sizeof(Chunk)
            + map_nbytes(&self.withdrawn)
        )

    # -- The queue -------------------------------------------------------------------------

    cdef bint oldest(self, Place* place) noexcept nogil:
        """The first place that is not stale; those before it are gone then."""
        cdef Py_ssize_t slot
        while self.head != self.tail or self.first != self.end:
            place[0] = self.head.places[self.first]
            if self.stale == 0:
                return True
            slot = map_find(&self.withdrawn, place.ordinal)
            if slot < 0:
                return True
            self.forget(slot)
            self.skip()
        return False

    cdef void forget(self, Py_ssize_t slot) noexcept nogil:
        """One stale place less."""
        self.stale -= 1
        self.withdrawn.values[slot] -= 1
        if self.withdrawn.values[slot] == 0:
            map_drop(&self.withdrawn, slot)

    cdef void skip(self) noexcept nogil:
        """Leave the first place behind."""
        cdef Chunk* empty = self.head
        self.first += 1
        if empty == self.tail:
            if self.first == self.end:
                self.first = self.end = 0
        elif self.first == CHUNK:
            self.head = empty.next
            self.first = 0
            empty.next = self.tail.next
            self.tail.next = empty
            self.ahead += 1
            self.trim()

    cdef void trim(self) noexcept nogil:
        """Keep one empty chunk at the most."""
        cdef Chunk* chunk
        while self.ahead > 1:
            chunk = self.tail.next
            self.tail.next = chunk.next
            self.ahead -= 1
            self.chunks -= 1
            PyMem_RawFree(chunk)

    cdef int make_places(self, size_t count) except -1:
        """Link chunks until so many places are there to be put."""
        cdef Chunk* made
        while self.head == NULL or (count > CHUNK - self.end and (count - (CHUNK - self.end) - 1) // CHUNK >= self.ahead):
            made = <Chunk*>PyMem_RawMalloc(sizeof(Chunk))
            if made == NULL:
                raise MemoryError
            self.chunks += 1
            if self.head == NULL:
                made.next = NULL
                self.head = self.tail = made
            else:
                made.next = self.tail.next
                self.tail.next = made
                self.ahead += 1
        return 0

    cdef void put(self, uint64_t ordinal, uint64_t due) noexcept nogil:
        """Put a place at the end; it was made."""
        if self.end == CHUNK:
            self.tail = self.tail.next
            self.ahead -= 1
            self.end = 0
        self.tail.places[self.end].ordinal = ordinal
        self.tail.places[self.end].due = due
        self.end += 1

    cdef void sweep(self) noexcept nogil:
        """Close ranks over the stale places: of several of one ordinal the oldest are stale."""
        cdef Chunk* source = self.head
        cdef Chunk* target = self.head
        cdef size_t read = self.first, write = self.first
        cdef Py_ssize_t slot
        while source != self.tail or read != self.end:
            if read == CHUNK:
                source = source.next
                read = 0
                continue
            slot = map_find(&self.withdrawn, source.places[read].ordinal)
            if slot >= 0:
                self.forget(slot)
            else:
                if write == CHUNK:
                    target = target.next
                    write = 0
                target.places[write] = source.places[read]
                write += 1
            read += 1
        # What lies between the new end and the old one is empty now.
        source = target
        while source != self.tail:
            source = source.next
            self.ahead += 1
        self.tail = target
        self.end = write
        if target == self.head and self.first == write:
            self.first = self.end = 0
        self.trim()
        map_close(&self.withdrawn)


cdef Quarantine new_quarantine(object seconds, object clock, uint64_t last):
    cdef Quarantine made
    cdef double period
    if clock is not None and not callable(clock):
        raise TypeError(f"a clock must be a callable that gives seconds, not {type(clock).__name__}")
    if isinstance(seconds, (str, bytes)):
        raise TypeError(f"quarantine must be a number of seconds, not {type(seconds).__name__}")
    period = seconds
    if not 0 <= period <= 1e9:
        raise OutOfRange(f"a quarantine lasts 0…1e9 seconds, not {seconds}")
    if period == 0:
        return None
    made = Quarantine.__new__(Quarantine)
    made.waiting = Bitmap(int(last) + 1)
    made.period = <uint64_t>(period * 1e9 + 0.5)
    made.clock = clock
    return made

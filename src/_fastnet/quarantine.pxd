"""Released ordinals that wait before they are given again.

They stay taken in the pool's bitmap, and stand in a queue in the order of their release: the
first is the first to be due. A second bitmap says which ordinals wait. Where one is wanted and
taken out of the middle, its place in the queue goes *stale*: a small table counts such
places per ordinal, the oldest come first, and the queue is swept when they are many.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint64_t

from _fastnet.bitmap cimport Bitmap
from _fastnet.u64map cimport U64Map

cdef enum:
    CHUNK = 511     # places in a chunk: 8 KiB with its link


cdef struct Place:
    uint64_t ordinal
    uint64_t due        # nanoseconds of the clock: when it may be given again


cdef struct Chunk:
    Chunk* next
    Place places[CHUNK]


cdef class Quarantine:
    """Ordinals of one bitmap that wait."""

    cdef Bitmap waiting     # which ordinals do
    cdef uint64_t period    # nanoseconds that one waits
    cdef object clock       # a callable that gives seconds, or None for CLOCK_MONOTONIC
    cdef Chunk* head        # chunk of the oldest place; NULL before the first release
    cdef Chunk* tail        # chunk of the newest; what is linked after it is empty
    cdef size_t first       # the oldest place in `head`
    cdef size_t end         # past the newest place in `tail`
    cdef size_t chunks      # all that are linked
    cdef size_t ahead       # those after the tail
    cdef size_t idle        # readings of the clock, one after the other, that found nothing due
    cdef size_t blind       # allocations that need not read it
    cdef size_t stale       # places whose ordinal was taken out
    cdef U64Map withdrawn   # ordinal -> how many of its places are stale

    # The time in nanoseconds; it may run the caller's code, so ask before anything is changed.
    cdef int read_clock(self, bint to_wait, uint64_t* now) except -1
    # Give all that are due back to the bitmap, and the oldest of the others until `wanted` are free in it.
    cdef int settle(self, Bitmap pool, uint64_t now, uint64_t wanted) except -1
    # The same at the time it is, for one that is wanted: what every allocation asks.
    cdef int settle_for_one(self, Bitmap pool) except -1
    # Let ordinals wait that are taken in the pool (unchecked); all or none: -1, or the first
    # position of one that waits already.
    cdef Py_ssize_t admit(self, Bitmap pool, const uint64_t* ordinals, size_t count, uint64_t now) except -2
    # Take one out that somebody wants; 0 where it does not wait.
    cdef int withdraw(self, uint64_t ordinal) except -1
    # (ordinal, nanoseconds left) of all that wait, in order; and as one begins with them: 0 where
    # they are none that can wait in this pool.
    cdef list places(self, uint64_t now)
    cdef int resume(self, Bitmap pool, list places, uint64_t now) except -1
    cdef size_t footprint(self) noexcept

    # Inner.
    cdef int expel(self, const uint64_t* ordinals, size_t count) except -1
    cdef bint oldest(self, Place* place) noexcept nogil
    cdef void forget(self, Py_ssize_t slot) noexcept nogil
    cdef void skip(self) noexcept nogil
    cdef int make_places(self, size_t count) except -1
    cdef void put(self, uint64_t ordinal, uint64_t due) noexcept nogil
    cdef void trim(self) noexcept nogil
    cdef void sweep(self) noexcept nogil


# None for 0 seconds; ValueError, TypeError.
cdef Quarantine new_quarantine(object seconds, object clock, uint64_t last)

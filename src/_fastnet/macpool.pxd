"""MAC addresses that are unique in one pool."""

from libc.stdint cimport uint64_t

from _fastnet.integers cimport Column
from _fastnet.u64map cimport U64Map


cdef class MACPool:
    """MAC addresses that are unique in this pool."""

    cdef U64Map held            # every MAC taken, as its 48 bits; no values
    cdef uint64_t state         # of the generator

    # Take a certain MAC; 0 where it is held.
    cdef int take(self, uint64_t mac) except -1
    # Give all of them back; NotTaken, and then none is.
    cdef int drop_all(self, Column column) except -1
    # Take one at random.
    cdef int draw(self, uint64_t* mac) except -1
    cdef uint64_t random(self) noexcept nogil

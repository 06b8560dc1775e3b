"""A prefix over a bitmap: IPv4 and IPv6 addresses in and out.

`addrspace` says which addresses there are and numbers them; the bitmap, which of these are taken.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint64_t

from _fastnet.addrspace cimport AddressSpace
from _fastnet.bitmap cimport Bitmap
from _fastnet.integers cimport Column
from _fastnet.quarantine cimport Quarantine


cdef class IPPool:
    """One prefix and which of its addresses are taken."""

    cdef Bitmap bitmap          # what is taken, and what is in quarantine
    cdef AddressSpace space     # what the ordinals mean
    cdef Quarantine rest        # which of them wait, or None
    cdef Bitmap aside           # with a range: the rest of the prefix; or None

    # Take the first or the next one, or raise Exhausted; its lower 64 bits.
    cdef uint64_t give(self, bint serial) except? 0
    # Make so many free ones ready to be taken word by word, or raise Exhausted.
    cdef int ready(self, uint64_t count, object shown_count) except -1
    cdef int check_free(self, uint64_t count, object shown_count) except -1
    # Give back what the column has: `inner` ordinals of the bitmap, then those aside; all or none.
    cdef int put_back(self, Column column, size_t inner) except -1
    cdef object complain(self, Column column, Py_ssize_t bad, bint inside)
    # How many wait.
    cdef uint64_t waiting(self) noexcept nogil

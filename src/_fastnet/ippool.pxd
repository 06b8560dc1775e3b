"""A prefix over a bitmap: IPv4 and IPv6 addresses in and out.

Ordinal 0 of the bitmap is the prefix's first address, so addresses that are aligned in the
prefix are aligned in the bitmap. What a rule reserves is taken in the bitmap from the start.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t

from _fastnet.addr cimport Address
from _fastnet.bitmap cimport Bitmap

# Where an address lies.
cdef enum Where:
    INSIDE
    PAST_WINDOW         # in the prefix, but not among the addresses that the pool gives
    PAST_PREFIX
    OTHER_FAMILY


cdef class Addresses:
    """Read-only result of a bulk allocation."""

    cdef uint8_t* data          # uint32 in host order, or 16 bytes in network order, all written
    cdef int ip                 # 4 or 6
    cdef Py_ssize_t shape[2]    # (n,), or (n, 16)
    cdef Py_ssize_t strides[2]  # (4,), or (16, 1)

    # One of them.
    cdef void at(self, Py_ssize_t position, Address* address) noexcept nogil
    cdef Py_ssize_t _find(self, object wanted) except -2


cdef class IPPool:
    """One prefix and which of its addresses are taken."""

    cdef Bitmap bitmap          # an ordinal per address of the window
    cdef Address first          # the network address
    cdef object first_int       # the same as a Python int
    cdef int length             # of the prefix
    cdef bint rule_first        # the first address is reserved by rule
    cdef bint rule_last         # the last one is

    # Ordinal of an int, text or bytes.
    cdef Where locate(self, object source, uint64_t* ordinal) except? OTHER_FAMILY
    cdef bint ruled(self, uint64_t ordinal) noexcept nogil
    # Take the first or the next one, or raise Exhausted.
    cdef uint64_t give(self, bint serial) except? 0
    # What the rule says of a ruled ordinal.
    cdef str rule_of(self, uint64_t ordinal)
    cdef object as_int(self, uint64_t ordinal)
    cdef str as_text(self, uint64_t ordinal)
    # Raise OutOfRange with what `locate` found.
    cdef int refuse(self, object address, Where where) except -1
    cdef uint64_t ruled_count(self) noexcept nogil
    # A Column of ordinals.
    cdef object ordinals_of(self, object addresses)

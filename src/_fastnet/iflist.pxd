"""Packed interface records."""

from libc.stddef cimport size_t
from libc.stdint cimport int32_t, uint8_t

from _fastnet.u64map cimport U64Map

cdef enum:
    INLINE_ROWS = 2         # most endpoints have one interface, some two
    INDEX_ROWS = 16         # up to here a search walks the rows

# Which fields of a record are set.
cdef enum:
    HAS_MAC = 1
    HAS_IPV4 = 2
    HAS_IPV6 = 4


# 36 bytes, no padding: a column is a strided view of it. Readers in C walk `rows` up to `count`
# under the list's lock (or the GIL) and keep no pointer past it: growth moves the rows.
cdef struct Interface:
    uint8_t ipv6[16]        # network order, as all addresses here
    uint8_t ipv4[4]
    int32_t id              # 0…2**31-1, unique in its list
    uint8_t mac[6]
    uint8_t ipv4_prefix     # 0…32
    uint8_t ipv6_prefix     # 0…128
    uint8_t fields          # HAS_…
    uint8_t reserved[3]     # 0


cdef class InterfaceList:
    """Packed interface records; rows only grow."""

    cdef Interface* rows                    # `count` of them, in `few` or on the heap
    cdef size_t count                       # rows in use
    cdef size_t room                        # rows that fit
    cdef Interface few[INLINE_ROWS]         # the first rows need no heap
    cdef U64Map index                       # id -> row, once a search has asked for it
    cdef bint indexed                       # whether `index` is kept
    cdef int32_t highest                    # the largest id so far; -1 where there is none
    cdef size_t views                       # columns that someone looks at: the rows must not move

    # The row of an id, or -1.
    cdef Py_ssize_t seek(self, int32_t id) except -2
    # A row by its number; IndexError.
    cdef Interface* row(self, object row) except NULL
    # Room for so many rows more; BufferError while a column is viewed.
    cdef int make_room(self, size_t more) except -1


cdef class ColumnView:
    """What a memoryview of a column holds on to: the list, and that its rows stay where they are."""

    cdef InterfaceList interfaces
    cdef const uint8_t* data        # the field in the first row
    cdef Py_ssize_t shape[2]        # (rows,), or (rows, bytes of the field)
    cdef Py_ssize_t strides[2]      # (36,), or (36, 1)
    cdef const char* format         # "i" or "B"
    cdef int ndim


# The first of `count` rows from row `start` on, and how many; IndexError where they are not all there.
cdef Interface* run_of_rows(InterfaceList interfaces, object start, object count, size_t* length) except NULL

"""The verbs that write whole columns: a message for each row of an interface list, without a loop of Python."""

from libc.stdint cimport int32_t

from _fastnet.iflist cimport Interface, InterfaceList
from _fastnet.neighbourverbs cimport NeighbourVerbs

cdef class _Numbers:
    """A column of int32 of its own."""

    cdef int32_t* data          # `count` of them
    cdef size_t count

# `count` ifindexes or descriptors of low…2**31-1: out of a buffer or sequence of as many, or one and what
# follows it in steps of `step`.
cdef _Numbers read_numbers(object value, str what, int32_t low, size_t count, int step)

cdef class Columns(NeighbourVerbs):
    # Rows start…start+count-1, count None = all that follow.
    cdef Interface* rows_of(self, object interfaces, object start, object count, size_t* length) except NULL
    # What adding and deleting have in common.
    cdef object put_neighbours(
        self, bint adding, object index, object interfaces, object step, object state, object replace, object start,
        object count,
    )
    cdef object put_fdbs(
        self, bint adding, object index, object interfaces, object step, object master, object state, object dst,
        object vlan, object replace, object start, object count,
    )
    cdef object put_routes(
        self, bint adding, object index, object interfaces, object step, object table, object metric, object protocol,
        object replace, object start, object count,
    )
    # Take what was written from `start` on back, and the messages entered since; MemoryError.
    cdef int give_up(self, size_t start, size_t count) except -1

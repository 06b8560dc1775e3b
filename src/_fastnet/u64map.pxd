"""An open-addressed table of uint64 keys, with or without a uint64 value each (C level only).

Linear probing, deletion by backward shift: no tombstones, so a table that lives for
years under churn stays as fast as a new one. Slots are a power of two, at most three
quarters of them used: after a doubling a key costs at most 8 / 0.375 = 21.3 bytes in a
set and 42.7 in a map, plus the smallest table of 8 slots. A table never shrinks.

Thread safety: none of its own; the caller holds the GIL.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint64_t


cdef struct U64Map:
    uint64_t* keys      # the slots; NO_KEY where one is free; NULL before the first key
    uint64_t* values    # as many values, in the same block; NULL in a set
    size_t slots        # 0 or a power of two
    size_t used         # slots with a key
    int shift           # 64 - log2(slots): a hash's upper bits are its home slot
    bint valued         # whether there are values


cdef extern from * nogil:
    const uint64_t NO_KEY "UINT64_MAX"      # the one key that cannot be held


cdef void map_open(U64Map* table, bint valued) noexcept nogil
cdef void map_close(U64Map* table) noexcept nogil
# Slot of a key, or -1.
cdef Py_ssize_t map_find(const U64Map* table, uint64_t key) noexcept nogil
# Makes room for one key more, or for so many; -1 (and nothing changed) where memory is short.
cdef int map_room(U64Map* table) noexcept nogil
cdef int map_room_for(U64Map* table, size_t count) noexcept nogil
# Puts a key that is not held, for which there is room; its slot (value 0).
cdef Py_ssize_t map_put(U64Map* table, uint64_t key) noexcept nogil
cdef void map_drop(U64Map* table, Py_ssize_t slot) noexcept nogil
# Bytes on the heap.
cdef size_t map_nbytes(const U64Map* table) noexcept nogil

"""An open-addressed table of uint64 keys; see the declaration file."""

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.stddef cimport size_t
from libc.stdint cimport SIZE_MAX, uint64_t
from libc.string cimport memset


cdef void map_open(U64Map* table, bint valued) noexcept nogil:
    memset(table, 0, sizeof(U64Map))
    table.shift = 63
    table.valued = valued


cdef void map_close(U64Map* table) noexcept nogil:
    PyMem_RawFree(table.keys)
    map_open(table, table.valued)


cdef inline size_t _home(const U64Map* table, uint64_t key) noexcept nogil:
    # Keys are mostly runs (word numbers, MACs of neighbouring addresses): an odd
    # multiplier near 2**64 / golden ratio spreads runs, the fold lets high bits count.
    return <size_t>(((key ^ (key >> 32)) * <uint64_t>0x9E3779B97F4A7C15) >> table.shift)


cdef Py_ssize_t map_find(const U64Map* table, uint64_t key) noexcept nogil:
    cdef size_t slot
    if table.used == 0:
        return -1
    slot = _home(table, key)
    while table.keys[slot] != NO_KEY:
        if table.keys[slot] == key:
            return <Py_ssize_t>slot
        slot = (slot + 1) & (table.slots - 1)
    return -1


cdef int map_room(U64Map* table) noexcept nogil:
    return map_room_for(table, 1)


cdef int map_room_for(U64Map* table, size_t count) noexcept nogil:
    cdef U64Map larger
    cdef size_t i, each = 16 if table.valued else 8
    cdef Py_ssize_t slot
    if table.slots - table.slots // 4 - table.used >= count:
        return 0
    larger = table[0]
    if table.slots == 0:
        larger.slots = 8
        larger.shift = 61
    while larger.slots - larger.slots // 4 - table.used < count:
        if larger.slots > SIZE_MAX // 2 // each:
            return -1
        larger.slots *= 2
        larger.shift -= 1
    larger.used = 0
    larger.keys = <uint64_t*>PyMem_RawMalloc(larger.slots * each)
    if larger.keys == NULL:
        return -1
    memset(larger.keys, 0xFF, larger.slots * sizeof(uint64_t))
    if table.valued:
        larger.values = larger.keys + larger.slots
    for i in range(table.slots):
        if table.keys[i] != NO_KEY:
            slot = map_put(&larger, table.keys[i])
            if table.valued:
                larger.values[slot] = table.values[i]
    PyMem_RawFree(table.keys)
    table[0] = larger
    return 0


cdef Py_ssize_t map_put(U64Map* table, uint64_t key) noexcept nogil:
    cdef size_t slot = _home(table, key)
    while table.keys[slot] != NO_KEY:
        slot = (slot + 1) & (table.slots - 1)
    table.keys[slot] = key
    if table.valued:
        table.values[slot] = 0
    table.used += 1
    return <Py_ssize_t>slot


cdef void map_drop(U64Map* table, Py_ssize_t slot) noexcept nogil:
    cdef size_t mask = table.slots - 1
    cdef size_t hole = <size_t>slot
    cdef size_t probe = hole
    cdef size_t home
    while True:
        probe = (probe + 1) & mask
        if table.keys[probe] == NO_KEY:
            break
        home = _home(table, table.keys[probe])
        # A key may move back into the hole if its home is not past the hole.
        if ((probe - home) & mask) >= ((probe - hole) & mask):
            table.keys[hole] = table.keys[probe]
            if table.valued:
                table.values[hole] = table.values[probe]
            hole = probe
    table.keys[hole] = NO_KEY
    table.used -= 1


cdef size_t map_nbytes(const U64Map* table) noexcept nogil:
    return table.slots * <size_t>(16 if table.valued else 8)

"""The result of a bulk allocation: many ordinals in one buffer."""

from libc.stdint cimport uint64_t


cdef class Ordinals:
    """Read-only result of a bulk allocation."""

    cdef uint64_t* data         # `count` ordinals, all written
    cdef Py_ssize_t shape[1]    # their number, where the buffer protocol wants it
    cdef Py_ssize_t strides[1]  # 8

    cdef Py_ssize_t _find(self, object ordinal) except -2


# Room for so many, none of them written yet; MemoryError where there is none.
cdef Ordinals new_ordinals(uint64_t count)

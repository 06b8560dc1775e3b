"""The floor that benchmarks compare allocation with."""

from libc.stdint cimport uint64_t


cdef class Floor:
    """Gives ints and takes ints; nothing else."""

    cdef uint64_t counter   # how many were given
    cdef uint64_t last      # what was taken last, so that nothing is optimised away

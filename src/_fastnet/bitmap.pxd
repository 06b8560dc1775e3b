"""Ordinals 0…size-1, each free or taken: what Python sees of bitcore."""

from libc.stdint cimport uint64_t

from _fastnet.bitcore cimport BitmapCore


cdef class Bitmap(BitmapCore):
    """Ordinals 0…size-1, each free or taken."""

    # First and last ordinal of a range that a caller gave; 0 for an empty one, OutOfRange.
    cdef int read_range(self, object first, object count, uint64_t* start, uint64_t* stop) except -1
    cdef uint64_t run(self, object count, object align, object start, bint take) except? 0


# A bitmap from the bytes of a snapshot; SnapshotError. TypeError for what has no bytes.
cdef Bitmap decode(object data)

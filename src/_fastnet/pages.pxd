"""Memory for large results, in huge pages where the kernel has them (C level only)."""

from libc.stddef cimport size_t


# Room for so many bytes, not written; NULL for lack of memory. From 4 MB on it stands alone, at a
# multiple of 2 MB, in huge pages where those may be had: a fresh buffer's page faults are most of
# what writing it costs.
cdef void* pages_open(size_t size) noexcept nogil
# Give it back, with the same size; NULL is passed over.
cdef void pages_close(void* data, size_t size) noexcept nogil

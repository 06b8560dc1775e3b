"""Names of links that count up. C level only."""

from libc.stdint cimport uint64_t

cdef struct NamePattern:
    char before[16]
    char after[16]
    size_t before_size
    size_t after_size
    uint64_t base           # 10 or 16
    size_t width            # digits at the least

# Text with one "%d" or "%x", maybe with a width as "%05x"; ValueError where the names of first…first+count-1 are none.
cdef int read_pattern(object pattern, uint64_t first, size_t count, NamePattern* out) except -1
# Write one name, without a NUL; give its length, at most 15.
cdef size_t write_name(const NamePattern* pattern, uint64_t number, char* out) noexcept nogil

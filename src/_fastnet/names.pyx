"""Names of links that count up. C level only."""

import re

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from _fastnet.args cimport read_name
from _fastnet.rtnl cimport IFNAMSIZ
from _fastnet.wire cimport Span

# At most 15 digits: names have no more bytes.
_PATTERN = re.compile(r"([^%]*)%(?:0(\d{1,2}))?([dx])([^%]*)")


cdef size_t digits_of(const NamePattern* pattern, uint64_t number) noexcept nogil:
    cdef size_t digits = 1
    while number >= pattern.base:
        number //= pattern.base
        digits += 1
    return max(digits, pattern.width)


cdef int read_pattern(object pattern, uint64_t first, size_t count, NamePattern* out) except -1:
    cdef Span name
    cdef bytes before, after, sample
    if not isinstance(pattern, str):
        raise TypeError(f"pattern must be text, not {type(pattern).__name__}")
    found = _PATTERN.fullmatch(pattern)
    if found is None:
        raise ValueError(f"pattern must hold one %d, %x or the like of %05x, and no other %: {pattern!r}")
    before, after = found[1].encode(), found[4].encode()
    out.base = 16 if found[3] == "x" else 10
    out.width = int(found[2] or 1)
    # The longest name is the last one; between them only digits differ.
    sample = before + b"0" * <Py_ssize_t> digits_of(out, first + (count - 1 if count else 0)) + after
    if len(sample) > IFNAMSIZ - 1:
        raise ValueError(f"pattern {pattern!r} makes names of {len(sample)} bytes; a link's has at most 15")
    read_name(sample, "pattern", &name)
    out.before_size, out.after_size = <size_t> len(before), <size_t> len(after)
    memcpy(out.before, PyBytes_AS_STRING(before), out.before_size)
    memcpy(out.after, PyBytes_AS_STRING(after), out.after_size)
    return 0


cdef size_t write_name(const NamePattern* pattern, uint64_t number, char* out) noexcept nogil:
    cdef const char* hex = b"0123456789abcdef"
    cdef size_t digits = digits_of(pattern, number)
    cdef size_t i
    memcpy(out, pattern.before, pattern.before_size)
    for i in range(digits):
        if pattern.base == 16:
            out[pattern.before_size + digits - 1 - i] = hex[number & 15]
            number >>= 4
        else:
            out[pattern.before_size + digits - 1 - i] = hex[number % 10]
            number //= 10
    memcpy(out + pattern.before_size + digits, pattern.after, pattern.after_size)
    return pattern.before_size + digits + pattern.after_size

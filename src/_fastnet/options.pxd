"""Attributes that hold a number, a switch or an address: read from arguments first, written at once. C level only.

A verb with many options gathers them here, so that a wrong one raises before anything is written, and so that
no encoder needs a field and a line for each.
"""

from libc.stdint cimport int64_t, uint16_t, uint8_t

from _fastnet.wire cimport Span, Wire

cdef enum:
    # More than any verb has.
    OPTIONS_MAX = 40
    # The longest of them: an IPv6 address, struct ifa_cacheinfo.
    OPTION_BYTES = 16

cdef struct Option:
    uint16_t type
    uint16_t size
    uint8_t value[OPTION_BYTES]

cdef struct Options:
    size_t count            # 0 at first
    Option items[OPTIONS_MAX]

# A whole number of low..high in 1, 2, 4 or 8 bytes of the machine's order; None = not said.
cdef int add_number(Options* options, uint16_t type, size_t size, object value, str what, int64_t low, int64_t high) except -1
# True or False in one byte; None = not said.
cdef int add_switch(Options* options, uint16_t type, object value, str what) except -1
# A whole number of 0..65535 in network order.
cdef int add_big16(Options* options, uint16_t type, int64_t value) except -1
# Up to 16 bytes as they are.
cdef int add_raw(Options* options, uint16_t type, const void* value, size_t size) except -1
cdef void put_options(Wire* wire, const Options* options) noexcept nogil

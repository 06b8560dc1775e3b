"""Python's arguments into the encoders' terms. C level only.

Every function names the argument in its error, and keeps no reference: a Span is good as long as the object.
"""

from libc.stdint cimport int64_t, uint8_t

from _fastnet.wire cimport Span

# The greatest ifindex, MTU or descriptor (the kernel keeps them in an int), and the greatest __u32.
cdef enum:
    INT_LIMIT = 0x7FFFFFFF

cdef extern from *:
    """
    #define FASTNET_U32_LIMIT 0xFFFFFFFFLL
    """
    const int64_t U32_LIMIT "FASTNET_U32_LIMIT"

# A whole number of low..high.
cdef int64_t read_number(object value, str what, int64_t low, int64_t high) except? -2
# A position, -1 where it is negative or too large for any; the caller compares it with its count.
cdef Py_ssize_t read_place(object position) except? -2
# An interface name: 1..15 bytes that the kernel's dev_valid_name() accepts.
cdef int read_name(object value, str what, Span* out) except -1
# Text of low..high bytes without NUL.
cdef int read_text(object value, str what, size_t low, size_t high, Span* out) except -1
# 6 bytes, or None (NULL).
cdef const uint8_t* read_mac(object value, str what) except? NULL
# 4 or 16 bytes.
cdef int read_address(object value, str what, Span* out) except -1
# One of a few words; the number that it stands for.
cdef int read_choice(object value, str what, dict words) except -1
# True or False.
cdef bint read_switch(object value, str what) except -1

"""Python's arguments into the encoders' terms. C level only."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.long cimport PyLong_AsLongLongAndOverflow
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memchr

from _fastnet.rtnl cimport ETH_ALEN, IFNAMSIZ
from _fastnet.wire cimport Span

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL


cdef int64_t read_number(object value, str what, int64_t low, int64_t high) except? -2:
    cdef int overflow = 0
    cdef int64_t number
    if not isinstance(value, int):
        raise TypeError(f"{what} must be an integer, not {type(value).__name__}")
    number = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow or number < low or number > high:
        raise ValueError(f"{what} must be {low}…{high}, not {value}")
    return number


cdef Py_ssize_t read_place(object position) except? -2:
    cdef int overflow = 0
    cdef int64_t number
    if not isinstance(position, int):
        raise TypeError(f"position must be an integer, not {type(position).__name__}")
    number = PyLong_AsLongLongAndOverflow(position, &overflow)
    return -1 if overflow or number < 0 else number


cdef int read_text(object value, str what, size_t low, size_t high, Span* out) except -1:
    cdef Py_ssize_t size = 0
    if isinstance(value, str):
        out.data = <const uint8_t*> PyUnicode_AsUTF8AndSize(value, &size)
    elif isinstance(value, bytes):
        out.data = <const uint8_t*> PyBytes_AS_STRING(value)
        size = PyBytes_GET_SIZE(value)
    else:
        raise TypeError(f"{what} must be text or bytes, not {type(value).__name__}")
    if not low <= <size_t> size <= high:
        raise ValueError(f"{what} must have {low}…{high} bytes, not {size}: {value!r}")
    if size and memchr(out.data, 0, <size_t> size) != NULL:
        raise ValueError(f"{what} must not hold a NUL: {value!r}")
    out.size = <size_t> size
    return 0


cdef int read_name(object value, str what, Span* out) except -1:
    cdef size_t i
    cdef uint8_t c
    read_text(value, what, 1, IFNAMSIZ - 1, out)
    # net/core/dev.c, dev_valid_name(): not "." or "..", no '/', ':' or isspace()
    if out.data[0] == c'.' and (out.size == 1 or (out.size == 2 and out.data[1] == c'.')):
        raise ValueError(f"{what} must not be {value!r}")
    for i in range(out.size):
        c = out.data[i]
        if c == c'/' or c == c':' or c == c' ' or 9 <= c <= 13 or c == 0xA0:
            raise ValueError(f"{what} must not hold '/', ':' or white space: {value!r}")
    return 0


cdef const uint8_t* read_mac(object value, str what) except? NULL:
    if value is None:
        return NULL
    if not isinstance(value, bytes):
        raise TypeError(f"{what} must be bytes, not {type(value).__name__}")
    if PyBytes_GET_SIZE(value) != ETH_ALEN:
        raise ValueError(f"{what} must have 6 bytes, not {PyBytes_GET_SIZE(value)}")
    return <const uint8_t*> PyBytes_AS_STRING(value)


cdef int read_address(object value, str what, Span* out) except -1:
    if not isinstance(value, bytes):
        raise TypeError(f"{what} must be bytes, not {type(value).__name__}")
    out.size = <size_t> PyBytes_GET_SIZE(value)
    if out.size != 4 and out.size != 16:
        raise ValueError(f"{what} must have 4 or 16 bytes, not {out.size}")
    out.data = <const uint8_t*> PyBytes_AS_STRING(value)
    return 0


cdef int read_choice(object value, str what, dict words) except -1:
    if not isinstance(value, str):
        raise TypeError(f"{what} must be text, not {type(value).__name__}")
    if value not in words:
        raise ValueError(f"{what} must be one of {', '.join(map(repr, words))}, not {value!r}")
    return words[value]


cdef bint read_switch(object value, str what) except -1:
    if value is not True and value is not False:
        raise TypeError(f"{what} must be True or False, not {type(value).__name__}")
    return value is True

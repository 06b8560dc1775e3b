"""Attributes that hold a number, a switch or an address: read from arguments first, written at once. C level only."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from _fastnet.args cimport read_number
from _fastnet.wire cimport Wire, put_bytes


cdef int add_raw(Options* options, uint16_t type, const void* value, size_t size) except -1:
    cdef Option* option
    if options.count == OPTIONS_MAX or size > OPTION_BYTES:
        raise SystemError("a verb has more options than there is room for")
    option = &options.items[options.count]
    option.type = type
    option.size = <uint16_t> size
    memcpy(option.value, value, size)
    options.count += 1
    return 0


cdef int add_number(
    Options* options, uint16_t type, size_t size, object value, str what, int64_t low, int64_t high
) except -1:
    cdef uint64_t whole
    cdef uint32_t word
    cdef uint16_t half
    cdef uint8_t byte
    if value is None:
        return 0
    whole = <uint64_t> read_number(value, what, low, high)
    if size == 1:
        byte = <uint8_t> (whole & 0xFF)
        return add_raw(options, type, &byte, 1)
    if size == 2:
        half = <uint16_t> (whole & 0xFFFF)
        return add_raw(options, type, &half, 2)
    if size == 4:
        word = <uint32_t> (whole & 0xFFFFFFFFU)
        return add_raw(options, type, &word, 4)
    return add_raw(options, type, &whole, 8)


cdef int add_switch(Options* options, uint16_t type, object value, str what) except -1:
    cdef uint8_t byte
    if value is None:
        return 0
    if value is not True and value is not False:
        raise TypeError(f"{what} must be True, False or None, not {type_name(value)}")
    byte = <uint8_t> (1 if value is True else 0)
    return add_raw(options, type, &byte, 1)


cdef str type_name(object value):
    return type(value).__name__


cdef int add_big16(Options* options, uint16_t type, int64_t value) except -1:
    cdef uint8_t bytes_[2]
    bytes_[0] = <uint8_t> ((value >> 8) & 0xFF)
    bytes_[1] = <uint8_t> (value & 0xFF)
    return add_raw(options, type, bytes_, 2)


cdef void put_options(Wire* wire, const Options* options) noexcept nogil:
    cdef size_t i
    for i in range(options.count):
        put_bytes(wire, options.items[i].type, options.items[i].value, options.items[i].size)

"""IPv4, IPv6 and MAC addresses as text and as bytes."""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    IPV4_TEXT = 16      # room for any IPv4 address as text; no terminator is written
    IPV6_TEXT = 46      # and any IPv6 address
    MAC_TEXT = 17


# An IPv6 address, or an IPv4 one in the lower 32 bits of `low`.
cdef struct Address:
    uint64_t high
    uint64_t low
    int version     # 4 or 6


# Parsers read exactly `length` characters and say whether that was an address.
cdef bint parse_ipv4(const char* text, Py_ssize_t length, uint32_t* address) noexcept nogil
cdef bint parse_ipv6(const char* text, Py_ssize_t length, Address* address) noexcept nogil
cdef bint parse_mac(const char* text, Py_ssize_t length, uint64_t* mac) noexcept nogil
# Writers say how many characters they wrote.
cdef Py_ssize_t write_ipv4(uint32_t address, char* out) noexcept nogil
cdef Py_ssize_t write_ipv6(uint64_t high, uint64_t low, char* out) noexcept nogil
cdef void write_mac(uint64_t mac, char* out) noexcept nogil
# Network order, 4, 6 and 8 bytes.
cdef uint64_t load_be(const uint8_t* data, int size) noexcept nogil
cdef void store_be(uint64_t value, uint8_t* out, int size) noexcept nogil
# Text or packed bytes (4 or 16) to an address; ValueError, TypeError.
cdef int read_address(object source, Address* address) except -1
cdef str address_text(const Address* address)
cdef bytes address_packed(const Address* address)
# Integer, text or 6 bytes to a MAC's 48 bits; OutOfRange, ValueError, TypeError.
cdef int read_mac(object source, uint64_t* mac) except -1
cdef str text_of_mac(uint64_t mac)
cdef bytes mac_packed(uint64_t mac)
# ASCII text from `length` characters.
cdef str ascii(const char* text, Py_ssize_t length)

"""What all records of the kernel's share. See `_fastnet.records` for what they are."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memchr, memcpy

from _fastnet.wire cimport NLA_HDRLEN, Span, bytes_of


cdef extern from *:
    """
    /* What a record that was made by nobody's parser reads its head from. */
    static const unsigned char fastnet_no_message[64];
    """
    const uint8_t* NO_MESSAGE "fastnet_no_message"


cdef uint32_t narrow(Span value) noexcept nogil:
    cdef uint16_t half
    if value.size >= sizeof(half):
        memcpy(&half, value.data, sizeof(half))
        return half
    return value.data[0] if value.size else 0


cdef class Record:
    """What all records share: bytes of the kernel's, and where each attribute stands in them."""

    def __cinit__(self, *args, **kwargs):
        self.start = NO_MESSAGE

    def __init__(self, *args, **kwargs):
        raise TypeError(f"a {type(self).__name__} is made out of the kernel's messages")

    cdef Span value(self, int place) noexcept nogil:
        cdef Span span
        cdef uint16_t size
        span.data = NULL
        span.size = 0
        if self.places[place]:
            # Checked by parse().
            span.data = self.start + self.places[place]
            memcpy(&size, span.data, sizeof(size))
            span.data += NLA_HDRLEN
            span.size = <size_t> size - NLA_HDRLEN
        return span

    cdef uint32_t number(self, int place, uint32_t otherwise) noexcept nogil:
        cdef Span found = self.value(place)
        cdef uint32_t result = 0
        if found.data == NULL:
            return otherwise
        # Narrower ones are little, too: the kernel sends them in the machine's order.
        if found.size >= sizeof(result):
            memcpy(&result, found.data, sizeof(result))
            return result
        return narrow(found)

    cdef bytes octets(self, int place):
        return bytes_of(self.value(place))

    cdef str text(self, int place):
        """NUL-terminated text; names are bytes to the kernel, so what is no UTF-8 survives as surrogates."""
        cdef Span found = self.value(place)
        cdef const char* words = <const char*> found.data
        cdef const void* end
        if found.size == 0:
            return ""
        end = memchr(words, 0, found.size)
        if end != NULL:
            found.size = <size_t> (<const char*> end - words)
        return words[:<Py_ssize_t> found.size].decode("utf-8", "surrogateescape")

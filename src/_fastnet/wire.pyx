"""A growing buffer of netlink messages, and a bounds-checked cursor over one. C level only.

The small functions that every encoder is made of stand in ``wire.pxd``, so that they are inlined.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

# Offsets are kept in 32 bits, and no socket takes more than this at once.
cdef enum:
    WIRE_MAX = 0x40000000


cdef bint wire_grow(Wire* wire, size_t more) noexcept nogil:
    cdef size_t room = wire.room
    cdef void* data
    if more > WIRE_MAX or wire.used > WIRE_MAX - more:
        return False
    if room < 256:
        room = 256
    while room < wire.used + more:
        room *= 2
    if room == wire.room:
        return True
    data = realloc(wire.data, room)
    if data == NULL:
        return False
    wire.data = <uint8_t*> data
    wire.room = room
    return True


cdef void wire_free(Wire* wire) noexcept nogil:
    free(wire.data)
    wire.data = NULL
    wire.used = 0
    wire.room = 0
    wire.failed = False


cdef bint wire_append(Wire* wire, const uint8_t* data, size_t size) noexcept nogil:
    cdef uint8_t* place = wire_take(wire, size)
    if place == NULL:
        return False
    memcpy(place, data, size)
    return True


cdef int next_message(Cursor* cursor, MessageHeader* header, Cursor* body) noexcept nogil:
    cdef size_t left = <size_t> (cursor.end - cursor.at)
    if left == 0:
        return 0
    if left < NLMSG_HDRLEN:
        return -1
    memcpy(header, cursor.at, NLMSG_HDRLEN)
    if header.size < NLMSG_HDRLEN or header.size > left:
        return -1
    body.at = cursor.at + NLMSG_HDRLEN
    body.end = cursor.at + header.size
    # The last message's padding may be missing.
    cursor.at += min(aligned(header.size), left)
    return 1


cdef int next_attribute(Cursor* cursor, Attribute* attribute) noexcept nogil:
    cdef size_t left = <size_t> (cursor.end - cursor.at)
    cdef uint16_t length
    cdef uint16_t kind
    if left == 0:
        return 0
    if left < NLA_HDRLEN:
        return -1
    memcpy(&length, cursor.at, sizeof(length))
    memcpy(&kind, cursor.at + 2, sizeof(kind))
    if length < NLA_HDRLEN or length > left:
        return -1
    attribute.type = kind & NLA_TYPE_MASK
    attribute.value.data = cursor.at + NLA_HDRLEN
    attribute.value.size = length - NLA_HDRLEN
    cursor.at += min(aligned(length), left)
    return 1

"""A growing buffer of netlink messages, and a bounds-checked cursor over one. C level only.

Writing is a straight line of ``put_…`` calls: a failure (no memory, a length that does not fit its field)
is remembered in the buffer, and ``end_message`` takes the whole message back and reports it.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

# include/uapi/linux/netlink.h
cdef enum:
    # #define NLMSG_ALIGNTO 4U, #define NLA_ALIGNTO 4
    NL_ALIGN = 4
    # #define NLMSG_HDRLEN ((int) NLMSG_ALIGN(sizeof(struct nlmsghdr)))
    NLMSG_HDRLEN = 16
    # #define NLA_HDRLEN ((int) NLA_ALIGN(sizeof(struct nlattr)))
    NLA_HDRLEN = 4
    # #define NLA_TYPE_MASK ~(NLA_F_NESTED | NLA_F_NET_BYTEORDER)
    NLA_TYPE_MASK = 0x3FFF
    # #define NLA_F_NESTED (1 << 15)
    NLA_F_NESTED = 0x8000
    # #define NLMSG_NOOP 0x1, NLMSG_ERROR 0x2, NLMSG_DONE 0x3, NLMSG_OVERRUN 0x4
    NLMSG_NOOP = 1
    NLMSG_ERROR = 2
    NLMSG_DONE = 3
    NLMSG_OVERRUN = 4
    # #define NLM_F_REQUEST 0x01 "It is request message."
    NLM_F_REQUEST = 0x01
    # #define NLM_F_MULTI 0x02 "Multipart message, terminated by NLMSG_DONE"
    NLM_F_MULTI = 0x02
    # #define NLM_F_ACK 0x04 "Reply with ack, with zero or error code"
    NLM_F_ACK = 0x04
    # #define NLM_F_DUMP_INTR 0x10 "Dump was inconsistent due to sequence change"
    NLM_F_DUMP_INTR = 0x10
    # #define NLM_F_DUMP (NLM_F_ROOT|NLM_F_MATCH): 0x100 | 0x200
    NLM_F_DUMP = 0x300
    # #define NLM_F_REPLACE 0x100 "Override existing"
    NLM_F_REPLACE = 0x100
    # #define NLM_F_EXCL 0x200 "Do not touch, if it exists"
    NLM_F_EXCL = 0x200
    # #define NLM_F_CREATE 0x400 "Create, if it does not exist"
    NLM_F_CREATE = 0x400
    # #define NLM_F_APPEND 0x800 "Add to end of list"
    NLM_F_APPEND = 0x800
    # #define NLM_F_CAPPED 0x100 "request was capped" (on an acknowledgement)
    NLM_F_CAPPED = 0x100
    # #define NLM_F_ACK_TLVS 0x200 "extended ACK TVLs were included"
    NLM_F_ACK_TLVS = 0x200
    # enum nlmsgerr_attrs: NLMSGERR_ATTR_UNUSED, _MSG, _OFFS, …
    NLMSGERR_ATTR_MSG = 1
    NLMSGERR_ATTR_OFFS = 2

# struct nlmsghdr { __u32 nlmsg_len; __u16 nlmsg_type; __u16 nlmsg_flags; __u32 nlmsg_seq; __u32 nlmsg_pid; }
cdef struct MessageHeader:
    uint32_t size
    uint16_t type
    uint16_t flags
    uint32_t sequence
    uint32_t port

cdef struct Wire:
    uint8_t* data       # owned; NULL while room is 0
    size_t used         # bytes written, always a multiple of NL_ALIGN
    size_t room         # bytes allocated
    bint failed         # a put failed since begin_message: end_message takes the message back

# A span of bytes that somebody else owns; data is NULL where nothing was given.
cdef struct Span:
    const uint8_t* data
    size_t size

# What is left to read. ``next_…`` moves it; nothing outside [at, end) is ever read.
cdef struct Cursor:
    const uint8_t* at
    const uint8_t* end

cdef struct Attribute:
    uint16_t type       # without the NLA_F_ flags
    Span value

# Make place for `more` further bytes; False where there is no memory.
cdef bint wire_grow(Wire* wire, size_t more) noexcept nogil
# Give the memory back; the wire is empty and usable afterwards.
cdef void wire_free(Wire* wire) noexcept nogil
# Append a copy of whole messages; False where there is no memory.
cdef bint wire_append(Wire* wire, const uint8_t* data, size_t size) noexcept nogil
# Read one message: 1 read, 0 nothing left, -1 the length lies or the header is cut.
cdef int next_message(Cursor* cursor, MessageHeader* header, Cursor* body) noexcept nogil
# Read one attribute: 1 read, 0 nothing left, -1 the length lies.
cdef int next_attribute(Cursor* cursor, Attribute* attribute) noexcept nogil


cdef inline bytes bytes_of(Span span):
    """A copy for Python; empty where nothing was given."""
    return PyBytes_FromStringAndSize(<const char*> span.data, <Py_ssize_t> span.size if span.data != NULL else 0)


cdef inline size_t aligned(size_t size) noexcept nogil:
    return (size + NL_ALIGN - 1) & ~(<size_t> NL_ALIGN - 1)


cdef inline uint8_t* wire_take(Wire* wire, size_t size) noexcept nogil:
    """Take `size` bytes and the padding after them (zeroed); NULL, and `failed`, where there is no memory."""
    cdef size_t whole = aligned(size)
    cdef uint8_t* place
    if whole > wire.room - wire.used and not wire_grow(wire, whole):
        wire.failed = True
        return NULL
    place = wire.data + wire.used
    if whole != size:
        memset(place + whole - NL_ALIGN, 0, NL_ALIGN)
    wire.used += whole
    return place


cdef inline size_t begin_message(
    Wire* wire, uint16_t type, uint16_t flags, const void* body, size_t size
) noexcept nogil:
    """Write the header and the fixed body of a message; its length, sequence and port stay 0."""
    cdef size_t start = wire.used
    cdef MessageHeader header
    cdef uint8_t* place
    wire.failed = False
    place = wire_take(wire, NLMSG_HDRLEN + size)
    if place != NULL:
        memset(&header, 0, sizeof(header))
        header.type = type
        header.flags = flags
        memcpy(place, &header, NLMSG_HDRLEN)
        memcpy(place + NLMSG_HDRLEN, body, size)
    return start


cdef inline int end_message(Wire* wire, size_t start) noexcept nogil:
    """Write the message's length: 0. After a failure take the message back: -1."""
    cdef uint32_t size = <uint32_t> (wire.used - start)
    if wire.failed:
        wire.used = start
        wire.failed = False
        return -1
    memcpy(wire.data + start, &size, sizeof(size))
    return 0


cdef inline uint8_t* put_space(Wire* wire, uint16_t type, size_t size) noexcept nogil:
    """Write an attribute's header and give the place of its `size` bytes; NULL after a failure."""
    cdef uint16_t length
    cdef uint8_t* place
    if size > 0xFFFF - NLA_HDRLEN:
        wire.failed = True
        return NULL
    place = wire_take(wire, NLA_HDRLEN + size)
    if place == NULL:
        return NULL
    length = <uint16_t> (NLA_HDRLEN + size)
    memcpy(place, &length, sizeof(length))
    memcpy(place + 2, &type, sizeof(type))
    return place + NLA_HDRLEN


cdef inline void put_bytes(Wire* wire, uint16_t type, const void* value, size_t size) noexcept nogil:
    cdef uint8_t* place = put_space(wire, type, size)
    if place != NULL and size:
        memcpy(place, value, size)


cdef inline void put_text(Wire* wire, uint16_t type, Span text) noexcept nogil:
    """NLA_NUL_STRING: the text and a terminating NUL."""
    cdef uint8_t* place = put_space(wire, type, text.size + 1)
    if place != NULL:
        if text.size:
            memcpy(place, text.data, text.size)
        place[text.size] = 0


cdef inline void put_u8(Wire* wire, uint16_t type, uint8_t value) noexcept nogil:
    put_bytes(wire, type, &value, sizeof(value))


cdef inline void put_u32(Wire* wire, uint16_t type, uint32_t value) noexcept nogil:
    put_bytes(wire, type, &value, sizeof(value))


cdef inline size_t begin_nest(Wire* wire, uint16_t type) noexcept nogil:
    """Open an attribute that holds attributes; what is put until `end_nest` lies inside it."""
    cdef size_t start = wire.used
    put_space(wire, type, 0)
    return start


cdef inline void end_nest(Wire* wire, size_t start) noexcept nogil:
    cdef size_t size = wire.used - start
    cdef uint16_t length = <uint16_t> size
    if size > 0xFFFF:
        wire.failed = True
    if not wire.failed:
        memcpy(wire.data + start, &length, sizeof(length))

"""Links, addresses, routes and neighbours out of the kernel's messages.

Each function reads whole netlink messages one after the other, as dumps and replies give them, makes a record of
each message of its own type and passes over the others. Every read is checked against the message's bounds:
a cut message or a length that lies raises ValueError.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython cimport final
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

from _fastnet.rtnl cimport (
    IFA_ADDRESS,
    IFA_FLAGS,
    IFA_LOCAL,
    IFF_UP,
    IFLA_ADDRESS,
    IFLA_GROUP,
    IFLA_IFNAME,
    IFLA_INFO_KIND,
    IFLA_LINK,
    IFLA_LINKINFO,
    IFLA_MASTER,
    IFLA_MTU,
    NDA_DST,
    NDA_LLADDR,
    RTA_DST,
    RTA_GATEWAY,
    RTA_OIF,
    RTA_PRIORITY,
    RTA_TABLE,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWNEIGH,
    RTM_NEWROUTE,
    IfAddrMsg,
    IfInfoMsg,
    NdMsg,
    RtMsg,
)
from _fastnet.wire cimport Attribute, Cursor, MessageHeader, Span, bytes_of, next_attribute, next_message


cdef int step(Cursor* cursor, uint16_t wanted, void* head, size_t size, Cursor* body) except -1:
    """Go to the next message of a type and read its fixed head: 1 read, 0 nothing left."""
    cdef MessageHeader header
    cdef int got
    while True:
        got = next_message(cursor, &header, body)
        if got == 0:
            return 0
        if got < 0:
            raise ValueError("a netlink message is cut or its length lies")
        if header.type == wanted:
            break
    if <size_t> (body.end - body.at) < size:
        raise ValueError(f"a message of type {wanted} is too short for its head of {size} bytes")
    memcpy(head, body.at, size)
    body.at += size
    return 1


cdef int attribute_of(Cursor* body, Attribute* attribute) except -1:
    """Read the next attribute: 1 read, 0 nothing left."""
    cdef int got = next_attribute(body, attribute)
    if got < 0:
        raise ValueError("a netlink attribute is cut or its length lies")
    return got


cdef uint32_t number(Span value) except? 0xFFFFFFFF:
    cdef uint32_t result
    if value.size < sizeof(result):
        raise ValueError(f"a netlink attribute of {value.size} bytes should hold a 32-bit number")
    memcpy(&result, value.data, sizeof(result))
    return result


cdef str text(Span value):
    """NUL-terminated text; names are bytes to the kernel, so what is no UTF-8 survives as surrogates."""
    return bytes_of(value).partition(b"\0")[0].decode("utf-8", "surrogateescape")


cdef Cursor over(const uint8_t* data, size_t size) noexcept:
    cdef Cursor cursor
    cursor.at = data
    cursor.end = data + size
    return cursor


cdef Cursor begin(bytes data) noexcept:
    return over(<const uint8_t*> PyBytes_AS_STRING(data), <size_t> PyBytes_GET_SIZE(data))


@final
cdef class LinkRecord:
    """A link: ``struct ifinfomsg`` and the IFLA_ attributes that matter here.

    ``kind`` is ``""`` for a device that no kind made, ``mac`` ``b""`` where there is none,
    ``master`` and ``link`` (the peer's or lower device's ifindex, in its own namespace) 0.

    Notes
    -----
    Thread safety: immutable.
    """

    @property
    def up(self):
        """Whether IFF_UP is set: the administrator's wish, not the carrier."""
        return bool(self.flags & IFF_UP)

    def __repr__(self):
        return f"<link {self.index} {self.name} {self.kind}{' up' if self.flags & IFF_UP else ''}>"


@final
cdef class AddressRecord:
    """An address of a link: ``struct ifaddrmsg``; ``flags`` are IFA_F_…, ``scope`` is RT_SCOPE_….

    Notes
    -----
    Thread safety: immutable.
    """


@final
cdef class RouteRecord:
    """A route: ``struct rtmsg``; ``destination`` is ``b""`` of the default route, ``gateway`` where it has none.

    Notes
    -----
    Thread safety: immutable.
    """


@final
cdef class NeighbourRecord:
    """A neighbour: ``struct ndmsg``; ``state`` is NUD_…, ``flags`` are NTF_….

    Notes
    -----
    Thread safety: immutable.
    """


def links(bytes data not None, /):
    """Read the links (RTM_NEWLINK) out of whole messages; ValueError where they are malformed."""
    cdef Cursor cursor = begin(data)
    cdef Cursor body, inner
    cdef IfInfoMsg head
    cdef Attribute attribute, info
    cdef LinkRecord record
    cdef list result = []
    while step(&cursor, RTM_NEWLINK, &head, sizeof(head), &body):
        record = LinkRecord.__new__(LinkRecord)
        record.index = head.index
        record.flags = head.flags
        record.name = record.kind = ""
        record.mac = b""
        while attribute_of(&body, &attribute):
            if attribute.type == IFLA_IFNAME:
                record.name = text(attribute.value)
            elif attribute.type == IFLA_ADDRESS:
                record.mac = bytes_of(attribute.value)
            elif attribute.type == IFLA_MTU:
                record.mtu = number(attribute.value)
            elif attribute.type == IFLA_MASTER:
                record.master = number(attribute.value)
            elif attribute.type == IFLA_GROUP:
                record.group = number(attribute.value)
            elif attribute.type == IFLA_LINK:
                record.link = number(attribute.value)
            elif attribute.type == IFLA_LINKINFO:
                inner = over(attribute.value.data, attribute.value.size)
                while attribute_of(&inner, &info):
                    if info.type == IFLA_INFO_KIND:
                        record.kind = text(info.value)
        result.append(record)
    return result


def addresses(bytes data not None, /):
    """Read the addresses (RTM_NEWADDR) out of whole messages; ValueError where they are malformed."""
    cdef Cursor cursor = begin(data)
    cdef Cursor body
    cdef IfAddrMsg head
    cdef Attribute attribute
    cdef AddressRecord record
    cdef bytes local
    cdef list result = []
    while step(&cursor, RTM_NEWADDR, &head, sizeof(head), &body):
        record = AddressRecord.__new__(AddressRecord)
        record.family = head.family
        record.index = <int> head.index
        record.prefix = head.prefix
        record.flags = head.flags
        record.scope = head.scope
        record.address = b""
        local = None
        while attribute_of(&body, &attribute):
            if attribute.type == IFA_LOCAL:
                local = bytes_of(attribute.value)
            elif attribute.type == IFA_ADDRESS:
                record.address = bytes_of(attribute.value)
            elif attribute.type == IFA_FLAGS:
                record.flags = number(attribute.value)
        if local is not None:
            # On a point-to-point link IFA_ADDRESS is the other side's.
            record.address = local
        result.append(record)
    return result


def routes(bytes data not None, /):
    """Read the routes (RTM_NEWROUTE) out of whole messages; ValueError where they are malformed."""
    cdef Cursor cursor = begin(data)
    cdef Cursor body
    cdef RtMsg head
    cdef Attribute attribute
    cdef RouteRecord record
    cdef list result = []
    while step(&cursor, RTM_NEWROUTE, &head, sizeof(head), &body):
        record = RouteRecord.__new__(RouteRecord)
        record.family = head.family
        record.prefix = head.prefix
        record.table = head.table
        record.scope = head.scope
        record.protocol = head.protocol
        record.destination = record.gateway = b""
        while attribute_of(&body, &attribute):
            if attribute.type == RTA_DST:
                record.destination = bytes_of(attribute.value)
            elif attribute.type == RTA_GATEWAY:
                record.gateway = bytes_of(attribute.value)
            elif attribute.type == RTA_OIF:
                record.index = <int> number(attribute.value)
            elif attribute.type == RTA_PRIORITY:
                record.metric = number(attribute.value)
            elif attribute.type == RTA_TABLE:
                record.table = number(attribute.value)
        result.append(record)
    return result


def neighbours(bytes data not None, /):
    """Read the neighbours (RTM_NEWNEIGH) out of whole messages; ValueError where they are malformed."""
    cdef Cursor cursor = begin(data)
    cdef Cursor body
    cdef NdMsg head
    cdef Attribute attribute
    cdef NeighbourRecord record
    cdef list result = []
    while step(&cursor, RTM_NEWNEIGH, &head, sizeof(head), &body):
        record = NeighbourRecord.__new__(NeighbourRecord)
        record.family = head.family
        record.index = head.index
        record.state = head.state
        record.flags = head.flags
        record.address = record.mac = b""
        while attribute_of(&body, &attribute):
            if attribute.type == NDA_DST:
                record.address = bytes_of(attribute.value)
            elif attribute.type == NDA_LLADDR:
                record.mac = bytes_of(attribute.value)
        result.append(record)
    return result

"""Requests for dumps, with what to leave out. C level only.

The strict check of a dump wants each kind's own header, zero but for what it can filter by.
"""

from libc.stdint cimport uint16_t
from libc.string cimport memset

from _fastnet.rtnl cimport (
    IFLA_EXT_MASK,
    IFLA_INFO_KIND,
    IFLA_LINKINFO,
    IFLA_MASTER,
    RTA_OIF,
    RTA_TABLE,
    RTEXT_FILTER_SKIP_STATS,
    RTM_GETADDR,
    RTM_GETLINK,
    RTM_GETNEIGH,
    IfAddrMsg,
    IfInfoMsg,
    NdMsg,
    RtMsg,
)
from _fastnet.wire cimport (
    NLM_F_DUMP,
    NLM_F_REQUEST,
    Span,
    Wire,
    begin_message,
    begin_nest,
    end_message,
    end_nest,
    put_text,
    put_u32,
)

cdef enum:
    # include/uapi/linux/neighbour.h: NDA_IFINDEX = 8, NDA_MASTER = 9
    NDA_IFINDEX = 8
    NDA_MASTER = 9


cdef int encode_wanted(Wire* wire, uint16_t type, const Wanted* wanted) noexcept nogil:
    # The same 12 bytes serve struct rtmsg and struct fib_rule_hdr.
    cdef IfInfoMsg link
    cdef IfAddrMsg address
    cdef RtMsg route
    cdef NdMsg neighbour
    cdef const void* head
    cdef size_t size, start, nest
    memset(&link, 0, sizeof(link))
    memset(&address, 0, sizeof(address))
    memset(&route, 0, sizeof(route))
    memset(&neighbour, 0, sizeof(neighbour))
    if type == RTM_GETLINK:
        head = &link
        size = sizeof(link)
    elif type == RTM_GETADDR:
        address.family = wanted.family
        address.index = <unsigned int> wanted.index
        head = &address
        size = sizeof(address)
    elif type == RTM_GETNEIGH:
        neighbour.family = wanted.family
        if wanted.family == FAMILY_BRIDGE:
            # fdb_valid_dump: of a forwarding table the port stands in the head, of neighbours in an attribute.
            neighbour.index = wanted.index
        head = &neighbour
        size = sizeof(neighbour)
    else:
        route.family = wanted.family
        head = &route
        size = sizeof(route)
    start = begin_message(wire, type, NLM_F_REQUEST | NLM_F_DUMP, head, size)
    if type == RTM_GETLINK:
        put_u32(wire, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)
        if wanted.master:
            put_u32(wire, IFLA_MASTER, wanted.master)
        if wanted.kind.data != NULL:
            nest = begin_nest(wire, IFLA_LINKINFO)
            put_text(wire, IFLA_INFO_KIND, wanted.kind)
            end_nest(wire, nest)
    elif type == RTM_GETNEIGH:
        if wanted.index and wanted.family != FAMILY_BRIDGE:
            put_u32(wire, NDA_IFINDEX, <unsigned int> wanted.index)
        if wanted.master:
            put_u32(wire, NDA_MASTER, wanted.master)
    elif type != RTM_GETADDR and type != RTM_GETRULE:
        if wanted.table:
            put_u32(wire, RTA_TABLE, wanted.table)
        if wanted.index:
            put_u32(wire, RTA_OIF, <unsigned int> wanted.index)
    return end_message(wire, start)

"""What the kernel's messages look like: which attributes a record knows, and where they stand. C level only."""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from _fastnet.rtnl cimport (
    IFA_ADDRESS,
    IFA_BROADCAST,
    IFA_FLAGS,
    IFA_LOCAL,
    IFLA_ADDRESS,
    IFLA_GROUP,
    IFLA_IFALIAS,
    IFLA_IFNAME,
    IFLA_INFO_DATA,
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
    RTA_PREFSRC,
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
from _fastnet.wire cimport NLA_HDRLEN, Attribute, Cursor, Span, aligned, bytes_of, next_attribute

cdef enum:
    # struct rtnexthop { unsigned short rtnh_len; unsigned char rtnh_flags, rtnh_hops; int rtnh_ifindex; }
    NEXTHOP_SIZE = 8


cdef void begin_layout(Layout* layout, uint16_t message, size_t head) noexcept nogil:
    memset(layout, 0, sizeof(layout[0]))
    layout.message = message
    layout.head = <uint16_t> head


cdef void row(Row* rows, int type, int place, int width) noexcept nogil:
    rows[type].place = <uint8_t> place
    rows[type].width = <uint8_t> width


cdef void link_layout(Layout* layout) noexcept nogil:
    begin_layout(layout, RTM_NEWLINK, sizeof(IfInfoMsg))
    row(layout.outer, IFLA_IFNAME, L_NAME, 0)
    row(layout.outer, IFLA_ADDRESS, L_MAC, 0)
    row(layout.outer, IFLA_MTU, L_MTU, 4)
    row(layout.outer, IFLA_MASTER, L_MASTER, 4)
    row(layout.outer, IFLA_GROUP, L_GROUP, 4)
    row(layout.outer, IFLA_LINK, L_LINK, 4)
    row(layout.outer, IFLA_IFALIAS, L_ALIAS, 0)
    row(layout.outer, LINK_TXQLEN, L_QLEN, 4)
    row(layout.outer, LINK_OPERSTATE, L_STATE, 1)
    row(layout.outer, LINK_STATS64, L_STATS, 64)
    row(layout.outer, LINK_CARRIER, L_CARRIER, 1)
    row(layout.outer, LINK_NETNSID, L_NETNSID, 4)
    layout.nest = IFLA_LINKINFO
    row(layout.inner, IFLA_INFO_KIND, L_KIND, 0)
    row(layout.inner, IFLA_INFO_DATA, L_DATA, 0)
    row(layout.inner, INFO_SLAVE_KIND, L_SLAVE_KIND, 0)
    row(layout.inner, INFO_SLAVE_DATA, L_SLAVE_DATA, 0)


cdef void address_layout(Layout* layout) noexcept nogil:
    begin_layout(layout, RTM_NEWADDR, sizeof(IfAddrMsg))
    row(layout.outer, IFA_ADDRESS, A_ADDRESS, 0)
    row(layout.outer, IFA_LOCAL, A_LOCAL, 0)
    row(layout.outer, ADDRESS_LABEL, A_LABEL, 0)
    row(layout.outer, IFA_BROADCAST, A_BROADCAST, 0)
    row(layout.outer, IFA_FLAGS, A_FLAGS, 4)


cdef void route_layout(Layout* layout) noexcept nogil:
    begin_layout(layout, RTM_NEWROUTE, sizeof(RtMsg))
    row(layout.outer, RTA_DST, R_DST, 0)
    row(layout.outer, RTA_GATEWAY, R_GATEWAY, 0)
    # struct rtvia { __kernel_sa_family_t rtvia_family; __u8 rtvia_addr[]; }
    row(layout.outer, ROUTE_VIA, R_VIA, 2)
    row(layout.outer, RTA_OIF, R_OIF, 4)
    row(layout.outer, RTA_PRIORITY, R_PRIORITY, 4)
    row(layout.outer, RTA_TABLE, R_TABLE, 4)
    row(layout.outer, RTA_PREFSRC, R_PREFSRC, 0)
    row(layout.outer, ROUTE_MULTIPATH, R_MULTIPATH, 0)
    row(layout.outer, ROUTE_NH_ID, R_NH_ID, 4)


cdef void neighbour_layout(Layout* layout) noexcept nogil:
    begin_layout(layout, RTM_NEWNEIGH, sizeof(NdMsg))
    row(layout.outer, NDA_DST, N_DST, 0)
    row(layout.outer, NDA_LLADDR, N_LLADDR, 0)
    row(layout.outer, NEIGHBOUR_VLAN, N_VLAN, 2)
    row(layout.outer, NEIGHBOUR_VNI, N_VNI, 4)
    row(layout.outer, NEIGHBOUR_MASTER, N_MASTER, 4)


cdef void rule_layout(Layout* layout) noexcept nogil:
    # struct fib_rule_hdr { __u8 family, dst_len, src_len, tos, table, res1, res2, action; __u32 flags; }: as rtmsg.
    begin_layout(layout, NEWRULE, sizeof(RtMsg))
    row(layout.outer, RULE_DST, U_DST, 0)
    row(layout.outer, RULE_SRC, U_SRC, 0)
    row(layout.outer, RULE_IIFNAME, U_IIF, 0)
    row(layout.outer, RULE_OIFNAME, U_OIF, 0)
    row(layout.outer, RULE_PRIORITY, U_PRIORITY, 4)
    row(layout.outer, RULE_TABLE, U_TABLE, 4)
    row(layout.outer, RULE_FWMARK, U_MARK, 4)
    row(layout.outer, RULE_FWMASK, U_MASK, 4)


cdef int note_attributes(
    const Layout* layout, const Row* rows, uint16_t limit, const uint8_t* start, Cursor body, uint32_t* places,
    Attribute* wrong
) noexcept nogil:
    cdef Attribute attribute
    cdef Cursor inside
    cdef int got
    while True:
        got = next_attribute(&body, &attribute)
        if got <= 0:
            return LYING if got else 0
        if attribute.type >= limit:
            continue
        if rows == &layout.outer[0] and layout.nest and attribute.type == layout.nest:
            inside.at = attribute.value.data
            inside.end = attribute.value.data + attribute.value.size
            got = note_attributes(layout, &layout.inner[0], INNER, start, inside, places, wrong)
            if got:
                return got
        elif rows[attribute.type].place:
            if attribute.value.size < rows[attribute.type].width:
                wrong.type = rows[attribute.type].width
                wrong.value = attribute.value
                return NARROW
            places[rows[attribute.type].place] = <uint32_t> (attribute.value.data - start) - NLA_HDRLEN


cdef tuple hops_of(Span value):
    """Read struct rtnexthop one after the other, each with attributes of its own; ValueError where one lies."""
    cdef const uint8_t* at = value.data
    cdef size_t left = value.size
    cdef Cursor inside
    cdef Attribute attribute
    cdef bytes gateway
    cdef uint16_t size
    cdef int32_t index
    cdef int got
    cdef list result = []
    while left:
        size = 0
        if left >= NEXTHOP_SIZE:
            memcpy(&size, at, sizeof(size))
        if size < NEXTHOP_SIZE or size > left:
            raise ValueError("a hop of a multipath route is cut or its length lies")
        memcpy(&index, at + 4, sizeof(index))
        inside.at = at + NEXTHOP_SIZE
        inside.end = at + size
        gateway = b""
        while True:
            got = next_attribute(&inside, &attribute)
            if got < 0:
                raise ValueError("a netlink attribute is cut or its length lies")
            if got == 0:
                break
            if attribute.type == RTA_GATEWAY:
                gateway = bytes_of(attribute.value)
            elif attribute.type == ROUTE_VIA and attribute.value.size >= 2:
                gateway = bytes_of(attribute.value)[2:]
        result.append((index, gateway, at[3] + 1))
        got = <int> min(aligned(size), left)
        at += got
        left -= <size_t> got
    return tuple(result)

"""What the kernel's messages look like: which attributes a record knows, and where they stand. C level only."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from _fastnet.wire cimport Attribute, Cursor, Span

cdef enum:
    PLACES = 17         # attributes that one kind of record may know, and one more
    OUTER = 64          # attribute types that a layout can tell; greater ones are passed over
    INNER = 8

# Where an attribute goes: its place in the record (0 = passed over), and the fewest bytes that its value may have.
cdef struct Row:
    uint8_t place
    uint8_t width

# What one kind of message looks like.
cdef struct Layout:
    uint16_t message    # RTM_NEW…
    uint16_t head       # bytes of its fixed head
    uint16_t nest       # the attribute that holds the attributes of `inner`; 0 = none
    Row[OUTER] outer
    Row[INNER] inner

# What only a reader needs.
cdef enum:
    # include/uapi/linux/rtnetlink.h: RTM_NEWRULE = 32
    NEWRULE = 32
    # include/uapi/linux/if_link.h: enum { …, IFLA_TXQLEN = 13, …, IFLA_OPERSTATE = 16, …, IFLA_STATS64 = 23, …,
    # IFLA_CARRIER = 33, …, IFLA_LINK_NETNSID = 37 }
    LINK_TXQLEN = 13
    LINK_OPERSTATE = 16
    LINK_STATS64 = 23
    LINK_CARRIER = 33
    LINK_NETNSID = 37
    # enum { …, IFLA_INFO_SLAVE_KIND = 4, IFLA_INFO_SLAVE_DATA = 5 }
    INFO_SLAVE_KIND = 4
    INFO_SLAVE_DATA = 5
    # include/uapi/linux/if_addr.h: IFA_LABEL = 3
    ADDRESS_LABEL = 3
    # include/uapi/linux/rtnetlink.h: enum rtattr_type_t { …, RTA_MULTIPATH = 9, …, RTA_VIA = 18, …, RTA_NH_ID = 30 }
    ROUTE_MULTIPATH = 9
    ROUTE_VIA = 18
    ROUTE_NH_ID = 30
    # include/uapi/linux/neighbour.h: enum { …, NDA_VLAN = 5, NDA_PORT, NDA_VNI, NDA_IFINDEX, NDA_MASTER = 9 }
    NEIGHBOUR_VLAN = 5
    NEIGHBOUR_VNI = 7
    NEIGHBOUR_MASTER = 9
    # include/uapi/linux/fib_rules.h: enum { FRA_UNSPEC, FRA_DST, FRA_SRC, FRA_IIFNAME, FRA_GOTO, FRA_UNUSED2,
    # FRA_PRIORITY, …, FRA_FWMARK = 10, …, FRA_TABLE = 15, FRA_FWMASK = 16, FRA_OIFNAME = 17 }
    RULE_DST = 1
    RULE_SRC = 2
    RULE_IIFNAME = 3
    RULE_PRIORITY = 6
    RULE_FWMARK = 10
    RULE_TABLE = 15
    RULE_FWMASK = 16
    RULE_OIFNAME = 17

# Places in each kind of record.
cdef enum:
    L_NAME = 1, L_MAC, L_MTU, L_MASTER, L_GROUP, L_LINK, L_ALIAS, L_QLEN, L_STATE, L_CARRIER, L_NETNSID, L_KIND
    L_DATA, L_SLAVE_KIND, L_SLAVE_DATA, L_STATS
cdef enum:
    A_ADDRESS = 1, A_LOCAL, A_LABEL, A_BROADCAST, A_FLAGS
cdef enum:
    R_DST = 1, R_GATEWAY, R_VIA, R_OIF, R_PRIORITY, R_TABLE, R_PREFSRC, R_MULTIPATH, R_NH_ID
cdef enum:
    N_DST = 1, N_LLADDR, N_VLAN, N_VNI, N_MASTER
cdef enum:
    U_DST = 1, U_SRC, U_IIF, U_OIF, U_PRIORITY, U_TABLE, U_MARK, U_MASK

cdef void link_layout(Layout* layout) noexcept nogil
cdef void address_layout(Layout* layout) noexcept nogil
cdef void route_layout(Layout* layout) noexcept nogil
cdef void neighbour_layout(Layout* layout) noexcept nogil
cdef void rule_layout(Layout* layout) noexcept nogil

# What `note_attributes` says of attributes that it refuses.
cdef enum:
    LYING = 1           # one is cut, or its length lies
    NARROW = 2          # `wrong` (whose type is then the bytes wanted) is too short for its number

# Note where the known attributes of a message stand, the last of each type: 0, LYING or NARROW.
# `rows` are the layout's outer or inner ones, as many as `limit`.
cdef int note_attributes(
    const Layout* layout, const Row* rows, uint16_t limit, const uint8_t* start, Cursor body, uint32_t* places,
    Attribute* wrong
) noexcept nogil

# The hops of a multipath route: (ifindex, gateway, weight); ValueError where one lies.
cdef tuple hops_of(Span value)

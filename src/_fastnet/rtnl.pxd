"""One rtnetlink message at a time: link, address, route, neighbour, FDB, rule. C level only.

Pure encoders over a wire: no I/O, no Python. Each takes a description whose zero (NULL, 0) means "not said"
unless its field says otherwise, appends one message with NLM_F_REQUEST, and returns 0, or -1 where there was
no memory (the wire is then as before).
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t

from _fastnet.options cimport Options
from _fastnet.wire cimport Span, Wire

# include/uapi/linux/rtnetlink.h: enum { RTM_BASE = 16, RTM_NEWLINK = 16, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK, … }
cdef enum:
    RTM_NEWLINK = 16
    RTM_DELLINK = 17
    RTM_GETLINK = 18
    RTM_SETLINK = 19
    RTM_NEWADDR = 20
    RTM_DELADDR = 21
    RTM_GETADDR = 22
    RTM_NEWROUTE = 24
    RTM_DELROUTE = 25
    RTM_GETROUTE = 26
    RTM_NEWNEIGH = 28
    RTM_DELNEIGH = 29
    RTM_GETNEIGH = 30
    RTM_NEWRULE = 32
    RTM_DELRULE = 33
    RTM_GETRULE = 34


cdef inline bint is_get(uint16_t type) noexcept nogil:
    """The low two bits of a type tell new, delete, get and set: rtnl_msgtype_kind()."""
    return type & 3 == 2


# include/linux/socket.h
cdef enum:
    # #define AF_UNSPEC 0
    FAMILY_ANY = 0
    # #define AF_INET 2 "Internet IP Protocol"
    FAMILY_IPV4 = 2
    # #define AF_BRIDGE 7 "Multiprotocol bridge"
    FAMILY_BRIDGE = 7
    # #define AF_INET6 10 "IP version 6"
    FAMILY_IPV6 = 10

# ---------------------------------------------------------------------------------------------------- links
# struct ifinfomsg { unsigned char ifi_family, __ifi_pad; unsigned short ifi_type; int ifi_index;
#                    unsigned ifi_flags; unsigned ifi_change; }
cdef struct IfInfoMsg:
    uint8_t family
    uint8_t pad
    uint16_t type
    int32_t index
    uint32_t flags
    uint32_t change

# include/uapi/linux/if_link.h: enum { IFLA_UNSPEC, IFLA_ADDRESS, IFLA_BROADCAST, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, … }
cdef enum:
    IFLA_ADDRESS = 1
    IFLA_IFNAME = 3
    IFLA_MTU = 4
    IFLA_LINK = 5
    IFLA_MASTER = 10
    # IFLA_PROTINFO "Protocol specific information for a link"
    IFLA_PROTINFO = 12
    IFLA_LINKINFO = 18
    IFLA_IFALIAS = 20
    IFLA_AF_SPEC = 26
    # IFLA_GROUP "Group the device belongs to"
    IFLA_GROUP = 27
    IFLA_NET_NS_FD = 28
    # IFLA_EXT_MASK "Extended info mask, VFs, etc"
    IFLA_EXT_MASK = 29
    IFLA_NUM_TX_QUEUES = 31
    IFLA_NUM_RX_QUEUES = 32
    # enum { IFLA_INFO_UNSPEC, IFLA_INFO_KIND, IFLA_INFO_DATA, … }
    IFLA_INFO_KIND = 1
    IFLA_INFO_DATA = 2
    # enum { IFLA_INET6_UNSPEC, …, IFLA_INET6_ADDR_GEN_MODE "implicit address generator mode" }
    IFLA_INET6_ADDR_GEN_MODE = 8
    # include/uapi/linux/veth.h: enum { VETH_INFO_UNSPEC, VETH_INFO_PEER }
    VETH_INFO_PEER = 1
    # #define RTEXT_FILTER_SKIP_STATS (1 << 3)
    RTEXT_FILTER_SKIP_STATS = 8
    # include/uapi/linux/if.h: IFF_UP = 1<<0
    IFF_UP = 1
    # #define IFNAMSIZ 16, #define IFALIASZ 256: with the terminating NUL
    IFNAMSIZ = 16
    IFALIASZ = 256
    # include/uapi/linux/if_ether.h: #define ETH_ALEN 6 "Octets in one ethernet addr"
    ETH_ALEN = 6

# One end of a link to be made.
cdef struct LinkSpec:
    Span name
    const uint8_t* mac      # ETH_ALEN bytes
    int32_t index
    uint32_t mtu
    uint32_t master
    uint32_t group
    uint32_t queues         # of each direction; 0 = as many as the kernel likes
    int32_t namespace       # a descriptor; -1 = the socket's own
    bint up

# A link, by index or by name, or all links of a group.
cdef struct LinkKey:
    int32_t index
    Span name
    uint32_t group

# What to change of a link (addressed by index or by name) or of all links of a group.
cdef struct LinkChange:
    int32_t index
    Span name
    uint32_t group          # the selector, where neither index nor name is said
    const uint8_t* mac
    uint32_t mtu
    int32_t master          # -1 = leave, 0 = release
    Span new_name
    int32_t regroup         # whether new_group is said
    uint32_t new_group
    Span alias              # data NULL = leave; size 0 = remove
    int32_t addr_gen_mode   # -1 = leave
    int32_t namespace       # a descriptor; -1 = leave
    int32_t up              # -1 = leave

# The head and the attributes that every kind of link has.
cdef IfInfoMsg info_of(const LinkSpec* spec) noexcept nogil
cdef void put_link(Wire* wire, const LinkSpec* spec) noexcept nogil
cdef int encode_add_veth(Wire* wire, const LinkSpec* link, const LinkSpec* peer) noexcept nogil
cdef int encode_set_link(Wire* wire, const LinkChange* change) noexcept nogil
cdef int encode_delete_link(Wire* wire, int32_t index, Span name, uint32_t group) noexcept nogil
cdef int encode_get_link(Wire* wire, int32_t index, Span name) noexcept nogil

# ------------------------------------------------------------------------------------------------ addresses
# struct ifaddrmsg { __u8 ifa_family; __u8 ifa_prefixlen; __u8 ifa_flags; __u8 ifa_scope; __u32 ifa_index; }
cdef struct IfAddrMsg:
    uint8_t family
    uint8_t prefix
    uint8_t flags
    uint8_t scope
    uint32_t index

# include/uapi/linux/if_addr.h: enum { IFA_UNSPEC, IFA_ADDRESS, IFA_LOCAL, IFA_LABEL, IFA_BROADCAST, …, IFA_FLAGS }
cdef enum:
    # "IFA_ADDRESS is prefix address, rather than local interface address. It makes no difference for normally
    #  configured broadcast interfaces"
    IFA_ADDRESS = 1
    IFA_LOCAL = 2
    IFA_LABEL = 3
    IFA_BROADCAST = 4
    IFA_CACHEINFO = 6
    IFA_FLAGS = 8
    # IFA_RT_PRIORITY "u32, priority/metric for prefix route"
    IFA_RT_PRIORITY = 9
    # #define IFA_F_NODAD 0x02, IFA_F_OPTIMISTIC 0x04, IFA_F_HOMEADDRESS 0x10
    IFA_F_NODAD = 0x02
    IFA_F_OPTIMISTIC = 0x04
    IFA_F_HOMEADDRESS = 0x10
    # #define IFA_F_MANAGETEMPADDR 0x100, IFA_F_NOPREFIXROUTE 0x200, IFA_F_MCAUTOJOIN 0x400
    IFA_F_MANAGETEMPADDR = 0x100
    IFA_F_NOPREFIXROUTE = 0x200

# struct ifa_cacheinfo { __u32 ifa_prefered, ifa_valid; __u32 cstamp, tstamp; }: lifetimes in seconds
cdef struct IfaCacheInfo:
    uint32_t preferred
    uint32_t valid
    uint32_t created
    uint32_t updated

cdef struct AddressSpec:
    int32_t index
    Span address            # 4 or 16 bytes: tells the family
    uint8_t prefix
    Span peer               # the other end of a point-to-point link
    Span label              # IPv4 only
    uint8_t scope
    uint32_t flags          # IFA_F_…
    uint32_t metric
    bint mortal             # whether the lifetimes are said
    uint32_t valid
    uint32_t preferred
    bint replace

cdef int encode_add_address(Wire* wire, const AddressSpec* spec) noexcept nogil
cdef int encode_delete_address(Wire* wire, const AddressSpec* spec) noexcept nogil

# --------------------------------------------------------------------------------------------------- routes
# struct rtmsg { unsigned char rtm_family, rtm_dst_len, rtm_src_len, rtm_tos, rtm_table, rtm_protocol, rtm_scope,
#                rtm_type; unsigned rtm_flags; }
cdef struct RtMsg:
    uint8_t family
    uint8_t prefix
    uint8_t source_prefix
    uint8_t tos
    uint8_t table
    uint8_t protocol
    uint8_t scope
    uint8_t type
    uint32_t flags

cdef enum:
    # enum rtattr_type_t { RTA_UNSPEC, RTA_DST, RTA_SRC, RTA_IIF, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC, …,
    #                      RTA_TABLE }
    RTA_DST = 1
    RTA_OIF = 4
    RTA_GATEWAY = 5
    RTA_PRIORITY = 6
    RTA_PREFSRC = 7
    RTA_METRICS = 8
    RTA_TABLE = 15
    # RTA_VIA: struct rtvia { __kernel_sa_family_t rtvia_family; __u8 rtvia_addr[]; }
    RTA_VIA = 18
    # enum { RTAX_UNSPEC, RTAX_LOCK, RTAX_MTU, … }
    RTAX_MTU = 2
    # enum { RTN_UNSPEC, RTN_UNICAST "Gateway or direct route", RTN_LOCAL "Accept locally", …, RTN_BLACKHOLE "Drop",
    #        RTN_UNREACHABLE "Destination is unreachable", RTN_PROHIBIT "Administratively prohibited",
    #        RTN_THROW "Not in this table" }
    RTN_UNSPEC = 0
    RTN_UNICAST = 1
    RTN_LOCAL = 2
    RTN_BLACKHOLE = 6
    RTN_UNREACHABLE = 7
    RTN_PROHIBIT = 8
    RTN_THROW = 9
    # #define RTPROT_STATIC 4 "Route installed by administrator"
    RTPROT_STATIC = 4
    # enum rt_scope_t { RT_SCOPE_UNIVERSE = 0, …, RT_SCOPE_LINK = 253, RT_SCOPE_HOST = 254, RT_SCOPE_NOWHERE = 255 }
    RT_SCOPE_UNIVERSE = 0
    RT_SCOPE_LINK = 253
    RT_SCOPE_HOST = 254
    RT_SCOPE_NOWHERE = 255
    # #define RTNH_F_ONLINK 4 "Gateway is forced on link"
    RTNH_F_ONLINK = 4
    # enum rt_class_t { RT_TABLE_UNSPEC = 0, …, RT_TABLE_MAIN = 254, RT_TABLE_LOCAL = 255, … }
    RT_TABLE_UNSPEC = 0
    RT_TABLE_MAIN = 254
    RT_TABLE_LOCAL = 255

cdef struct RouteSpec:
    uint8_t family
    Span destination        # data NULL = the default route
    uint8_t prefix
    Span gateway
    Span source             # the preferred one of packets we send
    int32_t index
    uint32_t table
    uint32_t metric
    uint32_t mtu
    uint8_t type            # RTN_…
    uint8_t protocol
    uint8_t scope
    bint on_link
    bint replace

cdef int encode_add_route(Wire* wire, const RouteSpec* spec) noexcept nogil
cdef int encode_delete_route(Wire* wire, const RouteSpec* spec) noexcept nogil

# ----------------------------------------------------------------------------------------------- neighbours
# struct ndmsg { __u8 ndm_family, ndm_pad1; __u16 ndm_pad2; __s32 ndm_ifindex; __u16 ndm_state; __u8 ndm_flags, ndm_type; }
cdef struct NdMsg:
    uint8_t family
    uint8_t pad1
    uint16_t pad2
    int32_t index
    uint16_t state
    uint8_t flags
    uint8_t type

# include/uapi/linux/neighbour.h
cdef enum:
    # enum { NDA_UNSPEC, NDA_DST, NDA_LLADDR, NDA_CACHEINFO, NDA_PROBES, NDA_VLAN, NDA_PORT, NDA_VNI, NDA_IFINDEX, … }
    NDA_DST = 1
    NDA_LLADDR = 2
    NDA_VLAN = 5            # u16
    NDA_PORT = 6            # be16
    NDA_VNI = 7             # u32
    NDA_IFINDEX = 8         # u32
    # #define NUD_INCOMPLETE 0x01, NUD_REACHABLE 0x02, NUD_STALE 0x04, NUD_DELAY 0x08, NUD_PROBE 0x10, NUD_FAILED 0x20
    NUD_REACHABLE = 0x02
    NUD_STALE = 0x04
    NUD_DELAY = 0x08
    NUD_PROBE = 0x10
    NUD_FAILED = 0x20
    # #define NUD_NOARP 0x40, NUD_PERMANENT 0x80
    NUD_NOARP = 0x40
    NUD_PERMANENT = 0x80
    # #define NTF_SELF (1 << 1), NTF_MASTER (1 << 2), NTF_PROXY (1 << 3) "== ATF_PUBL", NTF_EXT_LEARNED (1 << 4)
    NTF_SELF = 0x02
    NTF_MASTER = 0x04
    NTF_PROXY = 0x08
    NTF_EXT_LEARNED = 0x10
    # #define NTF_STICKY (1 << 6), NTF_ROUTER (1 << 7)
    NTF_STICKY = 0x40
    NTF_ROUTER = 0x80

cdef struct NeighbourSpec:
    int32_t index
    Span address
    const uint8_t* mac      # NULL where the entry has none
    uint16_t state          # NUD_…
    uint8_t flags           # NTF_…
    bint replace

# An entry of a bridge's or a VXLAN's forwarding table.
cdef struct FdbSpec:
    int32_t index           # of the port, or of the VXLAN itself
    const uint8_t* mac
    uint16_t state
    uint8_t flags
    Span remote             # VXLAN only, as all that follow but the VLAN
    uint16_t vlan           # 0 = not said
    uint16_t port           # 0 = the VXLAN's own
    int64_t vni             # -1 = the VXLAN's own
    uint32_t via
    uint16_t creation       # the header's NLM_F_…

cdef int encode_add_neighbour(Wire* wire, const NeighbourSpec* spec) noexcept nogil
cdef int encode_delete_neighbour(Wire* wire, const NeighbourSpec* spec) noexcept nogil
cdef int encode_add_fdb(Wire* wire, const FdbSpec* spec) noexcept nogil
cdef int encode_delete_fdb(Wire* wire, const FdbSpec* spec) noexcept nogil

# --------------------------------------------------------------------------------------------------- rules
# include/uapi/linux/fib_rules.h: struct fib_rule_hdr { __u8 family, dst_len, src_len, tos; __u8 table, res1, res2,
#                                                        action; __u32 flags; }
cdef struct FibRuleHeader:
    uint8_t family
    uint8_t destination_prefix
    uint8_t source_prefix
    uint8_t tos
    uint8_t table
    uint8_t reserved1
    uint8_t reserved2
    uint8_t action
    uint32_t flags

cdef enum:
    # enum { FRA_UNSPEC, FRA_DST, FRA_SRC, FRA_IIFNAME, FRA_GOTO, …, FRA_PRIORITY, …, FRA_FWMARK, …,
    #        FRA_SUPPRESS_PREFIXLEN, FRA_TABLE "Extended table id", FRA_FWMASK, FRA_OIFNAME, … }
    FRA_DST = 1
    FRA_SRC = 2
    FRA_IIFNAME = 3
    FRA_PRIORITY = 6
    FRA_FWMARK = 10
    FRA_SUPPRESS_PREFIXLEN = 14
    FRA_TABLE = 15
    FRA_FWMASK = 16
    FRA_OIFNAME = 17
    # #define FIB_RULE_INVERT 0x00000002
    FIB_RULE_INVERT = 2
    # enum { FR_ACT_UNSPEC, FR_ACT_TO_TBL "Pass to fixed table", …, FR_ACT_BLACKHOLE "Drop without notification",
    #        FR_ACT_UNREACHABLE "Drop with ENETUNREACH", FR_ACT_PROHIBIT "Drop with EACCES" }
    FR_ACT_TO_TBL = 1
    FR_ACT_BLACKHOLE = 6
    FR_ACT_UNREACHABLE = 7
    FR_ACT_PROHIBIT = 8

# The head of a rule and its attributes. `type` is RTM_NEWRULE or RTM_DELRULE.
cdef int encode_rule(
    Wire* wire, uint16_t type, const FibRuleHeader* head, Span incoming, Span outgoing, const Options* attributes
) noexcept nogil

# ---------------------------------------------------------------------------------------------------- dumps
# Ask for everything of one kind: `type` is an RTM_GET…, `family` 0 for all.
cdef int encode_dump(Wire* wire, uint16_t type, uint8_t family) noexcept nogil

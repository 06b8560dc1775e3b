"""What the kinds of links, bridge ports and IPv4 stacks of links may be told. C level only."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from _fastnet.options cimport Options
from _fastnet.rtnl cimport LinkKey, LinkSpec
from _fastnet.wire cimport Wire

# include/uapi/linux/if_link.h
cdef enum:
    # enum { IFLA_INFO_UNSPEC, …, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA }
    IFLA_INFO_SLAVE_KIND = 4
    IFLA_INFO_SLAVE_DATA = 5

# "Bridge section": enum { IFLA_BR_UNSPEC, IFLA_BR_FORWARD_DELAY, … }
cdef enum:
    IFLA_BR_FORWARD_DELAY = 1       # u32, clock_t: hundredths of a second
    IFLA_BR_HELLO_TIME = 2
    IFLA_BR_MAX_AGE = 3
    IFLA_BR_AGEING_TIME = 4
    IFLA_BR_STP_STATE = 5           # u32
    IFLA_BR_PRIORITY = 6            # u16
    IFLA_BR_VLAN_FILTERING = 7      # u8
    IFLA_BR_GROUP_FWD_MASK = 9      # u16
    IFLA_BR_MCAST_SNOOPING = 23     # u8
    IFLA_BR_MCAST_QUERIER = 25      # u8
    IFLA_BR_NF_CALL_IPTABLES = 36   # u8
    IFLA_BR_NF_CALL_IP6TABLES = 37
    IFLA_BR_NF_CALL_ARPTABLES = 38
    IFLA_BR_VLAN_DEFAULT_PVID = 39  # u16

# "Bridge port section": enum { IFLA_BRPORT_UNSPEC, IFLA_BRPORT_STATE "Spanning tree state", … }
cdef enum:
    IFLA_BRPORT_STATE = 1           # u8
    IFLA_BRPORT_PRIORITY = 2        # u16
    IFLA_BRPORT_COST = 3            # u32
    IFLA_BRPORT_MODE = 4            # u8, "mode (hairpin)"
    IFLA_BRPORT_GUARD = 5           # u8, "bpdu guard"
    IFLA_BRPORT_PROTECT = 6         # u8, "root port protection"
    IFLA_BRPORT_FAST_LEAVE = 7      # u8, "multicast fast leave"
    IFLA_BRPORT_LEARNING = 8        # u8, "mac learning"
    IFLA_BRPORT_UNICAST_FLOOD = 9   # u8, "flood unicast traffic"
    IFLA_BRPORT_PROXYARP = 10       # u8, "proxy ARP"
    IFLA_BRPORT_MCAST_FLOOD = 27    # u8, "flood multicast traffic"
    IFLA_BRPORT_MCAST_TO_UCAST = 28
    IFLA_BRPORT_BCAST_FLOOD = 30
    IFLA_BRPORT_GROUP_FWD_MASK = 31 # u16
    IFLA_BRPORT_NEIGH_SUPPRESS = 32
    IFLA_BRPORT_ISOLATED = 33

# "VXLAN section": enum { IFLA_VXLAN_UNSPEC, IFLA_VXLAN_ID, IFLA_VXLAN_GROUP "group or remote address", … }
cdef enum:
    IFLA_VXLAN_ID = 1               # u32
    IFLA_VXLAN_GROUP = 2            # in_addr
    IFLA_VXLAN_LINK = 3             # u32
    IFLA_VXLAN_LOCAL = 4            # in_addr
    IFLA_VXLAN_TTL = 5              # u8
    IFLA_VXLAN_TOS = 6              # u8
    IFLA_VXLAN_LEARNING = 7         # u8
    IFLA_VXLAN_AGEING = 8           # u32, seconds
    IFLA_VXLAN_LIMIT = 9            # u32
    IFLA_VXLAN_PROXY = 11           # u8
    IFLA_VXLAN_RSC = 12             # u8
    IFLA_VXLAN_L2MISS = 13          # u8
    IFLA_VXLAN_L3MISS = 14          # u8
    IFLA_VXLAN_PORT = 15            # be16, "destination port"
    IFLA_VXLAN_GROUP6 = 16          # in6_addr
    IFLA_VXLAN_LOCAL6 = 17          # in6_addr
    IFLA_VXLAN_UDP_CSUM = 18        # u8
    IFLA_VXLAN_COLLECT_METADATA = 25

# enum { IFLA_MACVLAN_UNSPEC, IFLA_MACVLAN_MODE }; enum macvlan_mode { MACVLAN_MODE_PRIVATE = 1, VEPA = 2, BRIDGE = 4,
#       PASSTHRU = 8, SOURCE = 16 }
cdef enum:
    IFLA_MACVLAN_MODE = 1           # u32

# enum { IFLA_IPVLAN_UNSPEC, IFLA_IPVLAN_MODE, IFLA_IPVLAN_FLAGS }; enum ipvlan_mode { IPVLAN_MODE_L2 = 0, L3, L3S };
# #define IPVLAN_F_PRIVATE 0x01, IPVLAN_F_VEPA 0x02
cdef enum:
    IFLA_IPVLAN_MODE = 1            # u16
    IFLA_IPVLAN_FLAGS = 2           # u16

# enum { IFLA_VLAN_UNSPEC, IFLA_VLAN_ID, IFLA_VLAN_FLAGS, IFLA_VLAN_EGRESS_QOS, IFLA_VLAN_INGRESS_QOS, IFLA_VLAN_PROTOCOL }
cdef enum:
    IFLA_VLAN_ID = 1                # u16
    IFLA_VLAN_PROTOCOL = 5          # be16
    # include/uapi/linux/if_ether.h: #define ETH_P_8021Q 0x8100, ETH_P_8021AD 0x88A8
    ETH_P_8021Q = 0x8100
    ETH_P_8021AD = 0x88A8

# enum { IFLA_INET_UNSPEC, IFLA_INET_CONF }; include/uapi/linux/ip.h: "index values for the variables in ipv4_devconf":
# enum { IPV4_DEVCONF_FORWARDING = 1, IPV4_DEVCONF_MC_FORWARDING, IPV4_DEVCONF_PROXY_ARP, … }
cdef enum:
    IFLA_INET_CONF = 1
    IPV4_DEVCONF_FORWARDING = 1
    IPV4_DEVCONF_PROXY_ARP = 3
    IPV4_DEVCONF_ACCEPT_REDIRECTS = 4
    IPV4_DEVCONF_SEND_REDIRECTS = 6
    IPV4_DEVCONF_RP_FILTER = 8
    IPV4_DEVCONF_ACCEPT_SOURCE_ROUTE = 9
    IPV4_DEVCONF_LOG_MARTIANS = 11
    IPV4_DEVCONF_ARPFILTER = 13
    IPV4_DEVCONF_ARP_ANNOUNCE = 18
    IPV4_DEVCONF_ARP_IGNORE = 19
    IPV4_DEVCONF_PROMOTE_SECONDARIES = 20
    IPV4_DEVCONF_ARP_ACCEPT = 21
    IPV4_DEVCONF_ARP_NOTIFY = 22
    IPV4_DEVCONF_ACCEPT_LOCAL = 23
    IPV4_DEVCONF_SRC_VMARK = 24
    IPV4_DEVCONF_PROXY_ARP_PVLAN = 25
    IPV4_DEVCONF_ROUTE_LOCALNET = 26
    IPV4_DEVCONF_DROP_GRATUITOUS_ARP = 31
    IPV4_DEVCONF_BC_FORWARDING = 32

# A link of a kind: `kind` is NUL-terminated, `parent` the IFLA_LINK (0 = none).
cdef int encode_add_kind(
    Wire* wire, const LinkSpec* link, const char* kind, uint32_t parent, const Options* data
) noexcept nogil
# New options of a link of a kind, by index or name.
cdef int encode_set_kind(Wire* wire, const LinkKey* key, const char* kind, const Options* data) noexcept nogil
# Options of a bridge port, by index or name.
cdef int encode_set_port(Wire* wire, const LinkKey* key, const Options* data) noexcept nogil
# Switches of one link's IPv4 stack, or of a group's.
cdef int encode_set_ipv4(Wire* wire, const LinkKey* key, const Options* switches) noexcept nogil

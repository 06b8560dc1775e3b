"""One rtnetlink message at a time: link, address, route, neighbour, FDB, rule. C level only.

The kernel's structures and constants stand in ``rtnl.pxd``, each under the kernel's own definition.
"""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from _fastnet.options cimport Options, put_options
from _fastnet.wire cimport (
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    NLM_F_REQUEST,
    Span,
    Wire,
    begin_message,
    begin_nest,
    end_message,
    end_nest,
    put_bytes,
    put_space,
    put_text,
    put_u8,
    put_u32,
)


cdef inline uint16_t creating(bint replace) noexcept nogil:
    """The flags of `add` (there must be none) and `replace` (there may be one)."""
    return <uint16_t> (NLM_F_REQUEST | NLM_F_CREATE | (NLM_F_REPLACE if replace else NLM_F_EXCL))


# ---------------------------------------------------------------------------------------------------- links
cdef IfInfoMsg info_of(const LinkSpec* spec) noexcept nogil:
    cdef IfInfoMsg info
    memset(&info, 0, sizeof(info))
    info.index = spec.index
    if spec.up:
        info.flags = IFF_UP
        info.change = IFF_UP
    return info


cdef void put_link(Wire* wire, const LinkSpec* spec) noexcept nogil:
    """The attributes that both ends of a link may have."""
    put_text(wire, IFLA_IFNAME, spec.name)
    if spec.mac != NULL:
        put_bytes(wire, IFLA_ADDRESS, spec.mac, ETH_ALEN)
    if spec.mtu:
        put_u32(wire, IFLA_MTU, spec.mtu)
    if spec.master:
        put_u32(wire, IFLA_MASTER, spec.master)
    if spec.group:
        put_u32(wire, IFLA_GROUP, spec.group)
    if spec.queues:
        put_u32(wire, IFLA_NUM_TX_QUEUES, spec.queues)
        put_u32(wire, IFLA_NUM_RX_QUEUES, spec.queues)
    if spec.namespace >= 0:
        put_u32(wire, IFLA_NET_NS_FD, <uint32_t> spec.namespace)


cdef int encode_add_veth(Wire* wire, const LinkSpec* link, const LinkSpec* peer) noexcept nogil:
    # RTM_NEWLINK { ifinfomsg, IFLA_…, IFLA_LINKINFO { IFLA_INFO_KIND "veth",
    #               IFLA_INFO_DATA { VETH_INFO_PEER { ifinfomsg, IFLA_… } } } }
    cdef IfInfoMsg info = info_of(link)
    cdef IfInfoMsg peer_info = info_of(peer)
    cdef size_t start = begin_message(
        wire, RTM_NEWLINK, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL, &info, sizeof(info)
    )
    cdef size_t linkinfo, data, end
    cdef uint8_t* place
    put_link(wire, link)
    linkinfo = begin_nest(wire, IFLA_LINKINFO)
    put_bytes(wire, IFLA_INFO_KIND, <const char*> b"veth", 5)
    data = begin_nest(wire, IFLA_INFO_DATA)
    # The peer's ifinfomsg is the head of the nest's payload, its attributes follow.
    end = wire.used
    place = put_space(wire, VETH_INFO_PEER, sizeof(peer_info))
    if place != NULL:
        memcpy(place, &peer_info, sizeof(peer_info))
    put_link(wire, peer)
    end_nest(wire, end)
    end_nest(wire, data)
    end_nest(wire, linkinfo)
    return end_message(wire, start)


cdef int encode_set_link(Wire* wire, const LinkChange* change) noexcept nogil:
    # RTM_SETLINK knows one link. A whole group is changed by RTM_NEWLINK that neither creates nor names
    # (rtnl_group_changelink): IFLA_GROUP is then the selector.
    cdef bint one = change.index != 0 or change.name.data != NULL
    cdef IfInfoMsg info
    cdef size_t start, spec, inet6
    memset(&info, 0, sizeof(info))
    info.index = change.index
    if change.up >= 0:
        info.change = IFF_UP
        info.flags = IFF_UP if change.up else 0
    start = begin_message(wire, <uint16_t> (RTM_SETLINK if one else RTM_NEWLINK), NLM_F_REQUEST, &info, sizeof(info))
    if change.name.data != NULL:
        put_text(wire, IFLA_IFNAME, change.name)
    elif change.new_name.data != NULL:
        put_text(wire, IFLA_IFNAME, change.new_name)
    if not one:
        put_u32(wire, IFLA_GROUP, change.group)
    elif change.regroup:
        put_u32(wire, IFLA_GROUP, change.new_group)
    if change.mac != NULL:
        put_bytes(wire, IFLA_ADDRESS, change.mac, ETH_ALEN)
    if change.mtu:
        put_u32(wire, IFLA_MTU, change.mtu)
    if change.master >= 0:
        put_u32(wire, IFLA_MASTER, <uint32_t> change.master)
    if change.alias.data != NULL:
        put_bytes(wire, IFLA_IFALIAS, change.alias.data, change.alias.size)
    if change.namespace >= 0:
        put_u32(wire, IFLA_NET_NS_FD, <uint32_t> change.namespace)
    if change.addr_gen_mode >= 0:
        # IFLA_AF_SPEC { AF_INET6 { IFLA_INET6_ADDR_GEN_MODE } }
        spec = begin_nest(wire, IFLA_AF_SPEC)
        inet6 = begin_nest(wire, FAMILY_IPV6)
        put_u8(wire, IFLA_INET6_ADDR_GEN_MODE, <uint8_t> change.addr_gen_mode)
        end_nest(wire, inet6)
        end_nest(wire, spec)
    return end_message(wire, start)


cdef int encode_delete_link(Wire* wire, int32_t index, Span name, uint32_t group) noexcept nogil:
    cdef IfInfoMsg info
    cdef size_t start
    memset(&info, 0, sizeof(info))
    info.index = index
    start = begin_message(wire, RTM_DELLINK, NLM_F_REQUEST, &info, sizeof(info))
    if name.data != NULL:
        put_text(wire, IFLA_IFNAME, name)
    if group:
        put_u32(wire, IFLA_GROUP, group)
    return end_message(wire, start)


cdef int encode_get_link(Wire* wire, int32_t index, Span name) noexcept nogil:
    cdef IfInfoMsg info
    cdef size_t start
    memset(&info, 0, sizeof(info))
    info.index = index
    start = begin_message(wire, RTM_GETLINK, NLM_F_REQUEST, &info, sizeof(info))
    if name.data != NULL:
        put_text(wire, IFLA_IFNAME, name)
    put_u32(wire, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)
    return end_message(wire, start)


# ------------------------------------------------------------------------------------------------ addresses
cdef inline uint8_t family_of(Span address) noexcept nogil:
    return <uint8_t> (FAMILY_IPV4 if address.size == 4 else FAMILY_IPV6)


cdef inline IfAddrMsg address_head(const AddressSpec* spec) noexcept nogil:
    cdef IfAddrMsg head
    memset(&head, 0, sizeof(head))
    head.family = family_of(spec.address)
    head.prefix = spec.prefix
    head.scope = spec.scope
    head.index = <uint32_t> spec.index
    return head


cdef inline void put_broadcast(Wire* wire, const AddressSpec* spec) noexcept nogil:
    """The last address of an IPv4 subnet, as `ip address add … broadcast +`; /31 and /32 have none (RFC 3021)."""
    cdef uint8_t last[4]
    cdef uint32_t host = 0xFFFFFFFFU >> spec.prefix
    cdef int i
    for i in range(4):
        last[i] = spec.address.data[i] | <uint8_t> ((host >> (24 - 8 * i)) & 0xFF)
    put_bytes(wire, IFA_BROADCAST, last, 4)


cdef int encode_add_address(Wire* wire, const AddressSpec* spec) noexcept nogil:
    cdef IfAddrMsg head = address_head(spec)
    cdef uint16_t flags = creating(spec.replace)
    cdef size_t start = begin_message(wire, RTM_NEWADDR, flags, &head, sizeof(head))
    cdef IfaCacheInfo lifetimes
    if head.family == FAMILY_IPV4 or spec.peer.data != NULL:
        put_bytes(wire, IFA_LOCAL, spec.address.data, spec.address.size)
    if spec.peer.data != NULL:
        put_bytes(wire, IFA_ADDRESS, spec.peer.data, spec.peer.size)
    else:
        put_bytes(wire, IFA_ADDRESS, spec.address.data, spec.address.size)
        if head.family == FAMILY_IPV4 and spec.prefix < 31:
            put_broadcast(wire, spec)
    if spec.label.data != NULL:
        put_text(wire, IFA_LABEL, spec.label)
    if spec.flags:
        put_u32(wire, IFA_FLAGS, spec.flags)
    if spec.metric:
        put_u32(wire, IFA_RT_PRIORITY, spec.metric)
    if spec.mortal:
        memset(&lifetimes, 0, sizeof(lifetimes))
        lifetimes.preferred = spec.preferred
        lifetimes.valid = spec.valid
        put_bytes(wire, IFA_CACHEINFO, &lifetimes, sizeof(lifetimes))
    return end_message(wire, start)


cdef int encode_delete_address(Wire* wire, const AddressSpec* spec) noexcept nogil:
    cdef IfAddrMsg head = address_head(spec)
    cdef size_t start = begin_message(wire, RTM_DELADDR, NLM_F_REQUEST, &head, sizeof(head))
    if head.family == FAMILY_IPV4 or spec.peer.data != NULL:
        put_bytes(wire, IFA_LOCAL, spec.address.data, spec.address.size)
    if spec.peer.data != NULL:
        put_bytes(wire, IFA_ADDRESS, spec.peer.data, spec.peer.size)
    else:
        put_bytes(wire, IFA_ADDRESS, spec.address.data, spec.address.size)
    return end_message(wire, start)


# --------------------------------------------------------------------------------------------------- routes
cdef inline RtMsg route_head(const RouteSpec* spec) noexcept nogil:
    cdef RtMsg head
    memset(&head, 0, sizeof(head))
    head.family = spec.family
    head.prefix = spec.prefix
    # One byte in the header; a larger number goes into RTA_TABLE alone.
    head.table = <uint8_t> spec.table if spec.table < 256 else RT_TABLE_UNSPEC
    return head


cdef void put_gateway(Wire* wire, const RouteSpec* spec) noexcept nogil:
    """RTA_GATEWAY; or RTA_VIA, where the gateway of an IPv4 route is an IPv6 address."""
    cdef uint8_t family = family_of(spec.gateway)
    cdef uint16_t stated = family
    cdef uint8_t* place
    if family == spec.family:
        put_bytes(wire, RTA_GATEWAY, spec.gateway.data, spec.gateway.size)
        return
    place = put_space(wire, RTA_VIA, sizeof(stated) + spec.gateway.size)
    if place != NULL:
        memcpy(place, &stated, sizeof(stated))
        memcpy(place + sizeof(stated), spec.gateway.data, spec.gateway.size)


cdef inline void put_route(Wire* wire, const RouteSpec* spec) noexcept nogil:
    if spec.destination.data != NULL:
        put_bytes(wire, RTA_DST, spec.destination.data, spec.destination.size)
    if spec.gateway.data != NULL:
        put_gateway(wire, spec)
    if spec.index:
        put_u32(wire, RTA_OIF, <uint32_t> spec.index)
    if spec.source.data != NULL:
        put_bytes(wire, RTA_PREFSRC, spec.source.data, spec.source.size)
    if spec.metric:
        put_u32(wire, RTA_PRIORITY, spec.metric)
    if spec.table > 255:
        put_u32(wire, RTA_TABLE, spec.table)


cdef int encode_add_route(Wire* wire, const RouteSpec* spec) noexcept nogil:
    cdef RtMsg head = route_head(spec)
    cdef uint16_t flags = creating(spec.replace)
    cdef size_t start
    cdef size_t metrics
    head.protocol = spec.protocol
    head.type = spec.type
    head.scope = spec.scope
    if spec.on_link:
        head.flags = RTNH_F_ONLINK
    start = begin_message(wire, RTM_NEWROUTE, flags, &head, sizeof(head))
    put_route(wire, spec)
    if spec.mtu:
        metrics = begin_nest(wire, RTA_METRICS)
        put_u32(wire, RTAX_MTU, spec.mtu)
        end_nest(wire, metrics)
    return end_message(wire, start)


cdef int encode_delete_route(Wire* wire, const RouteSpec* spec) noexcept nogil:
    # Type and protocol 0 and scope RT_SCOPE_NOWHERE match any.
    cdef RtMsg head = route_head(spec)
    cdef size_t start
    head.type = spec.type
    head.protocol = spec.protocol
    head.scope = RT_SCOPE_NOWHERE
    start = begin_message(wire, RTM_DELROUTE, NLM_F_REQUEST, &head, sizeof(head))
    put_route(wire, spec)
    return end_message(wire, start)


# ----------------------------------------------------------------------------------------------- neighbours
cdef int encode_add_neighbour(Wire* wire, const NeighbourSpec* spec) noexcept nogil:
    cdef NdMsg head
    cdef uint16_t flags = creating(spec.replace)
    cdef size_t start
    memset(&head, 0, sizeof(head))
    head.family = family_of(spec.address)
    head.index = spec.index
    head.state = spec.state
    head.flags = spec.flags
    start = begin_message(wire, RTM_NEWNEIGH, flags, &head, sizeof(head))
    put_bytes(wire, NDA_DST, spec.address.data, spec.address.size)
    if spec.mac != NULL:
        put_bytes(wire, NDA_LLADDR, spec.mac, ETH_ALEN)
    return end_message(wire, start)


cdef int encode_delete_neighbour(Wire* wire, const NeighbourSpec* spec) noexcept nogil:
    cdef NdMsg head
    cdef size_t start
    memset(&head, 0, sizeof(head))
    head.family = family_of(spec.address)
    head.index = spec.index
    head.flags = spec.flags
    start = begin_message(wire, RTM_DELNEIGH, NLM_F_REQUEST, &head, sizeof(head))
    put_bytes(wire, NDA_DST, spec.address.data, spec.address.size)
    return end_message(wire, start)


cdef int encode_fdb(Wire* wire, const FdbSpec* spec, uint16_t type, uint16_t flags, uint16_t state) noexcept nogil:
    cdef NdMsg head
    cdef size_t start
    cdef uint8_t port[2]
    memset(&head, 0, sizeof(head))
    head.family = FAMILY_BRIDGE
    head.index = spec.index
    head.state = state
    head.flags = spec.flags
    start = begin_message(wire, type, flags, &head, sizeof(head))
    put_bytes(wire, NDA_LLADDR, spec.mac, ETH_ALEN)
    if spec.remote.data != NULL:
        put_bytes(wire, NDA_DST, spec.remote.data, spec.remote.size)
    if spec.vlan:
        put_bytes(wire, NDA_VLAN, &spec.vlan, sizeof(spec.vlan))
    if spec.port:
        port[0] = <uint8_t> (spec.port >> 8)
        port[1] = <uint8_t> (spec.port & 0xFF)
        put_bytes(wire, NDA_PORT, port, 2)
    if spec.vni >= 0:
        put_u32(wire, NDA_VNI, <uint32_t> spec.vni)
    if spec.via:
        put_u32(wire, NDA_IFINDEX, spec.via)
    return end_message(wire, start)


cdef int encode_add_fdb(Wire* wire, const FdbSpec* spec) noexcept nogil:
    return encode_fdb(wire, spec, RTM_NEWNEIGH, spec.creation, spec.state)


cdef int encode_delete_fdb(Wire* wire, const FdbSpec* spec) noexcept nogil:
    return encode_fdb(wire, spec, RTM_DELNEIGH, NLM_F_REQUEST, 0)


# ---------------------------------------------------------------------------------------------------- rules
cdef int encode_rule(
    Wire* wire, uint16_t type, const FibRuleHeader* head, Span incoming, Span outgoing, const Options* attributes
) noexcept nogil:
    cdef uint16_t flags = <uint16_t> (
        NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL if type == RTM_NEWRULE else NLM_F_REQUEST
    )
    cdef size_t start = begin_message(wire, type, flags, head, sizeof(head[0]))
    if incoming.data != NULL:
        put_text(wire, FRA_IIFNAME, incoming)
    if outgoing.data != NULL:
        put_text(wire, FRA_OIFNAME, outgoing)
    put_options(wire, attributes)
    return end_message(wire, start)


# ---------------------------------------------------------------------------------------------------- dumps
cdef int encode_dump(Wire* wire, uint16_t type, uint8_t family) noexcept nogil:
    # The strict check of a dump (NETLINK_GET_STRICT_CHK) wants each kind's own header.
    cdef IfInfoMsg info
    cdef IfAddrMsg address
    cdef RtMsg route
    cdef NdMsg neighbour
    cdef size_t start
    if type == RTM_GETADDR:
        memset(&address, 0, sizeof(address))
        address.family = family
        start = begin_message(wire, type, NLM_F_REQUEST | NLM_F_DUMP, &address, sizeof(address))
    elif type == RTM_GETROUTE:
        memset(&route, 0, sizeof(route))
        route.family = family
        start = begin_message(wire, type, NLM_F_REQUEST | NLM_F_DUMP, &route, sizeof(route))
    elif type == RTM_GETNEIGH:
        memset(&neighbour, 0, sizeof(neighbour))
        neighbour.family = family
        start = begin_message(wire, type, NLM_F_REQUEST | NLM_F_DUMP, &neighbour, sizeof(neighbour))
    else:
        memset(&info, 0, sizeof(info))
        start = begin_message(wire, type, NLM_F_REQUEST | NLM_F_DUMP, &info, sizeof(info))
        put_u32(wire, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)
    return end_message(wire, start)

"""Links, addresses, routes, neighbours and rules out of the kernel's messages, read when asked for.

Each function reads whole netlink messages one after the other, as dumps and replies give them, makes a record of
each message of its own type and passes over the others. That one pass checks every message and every attribute that
is known against its bounds and notes where it stands: a cut message or a length that lies raises ValueError here,
never later. Python objects of an attribute are made when it is asked for, anew each time.

A record keeps all the bytes it was read from: who stores one for long copies what it needs.
"""

from _fastnet.addr import ip_text

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython cimport final
from libc.stdint cimport int32_t, uint8_t, uint16_t

from _fastnet.layouts cimport (
    A_ADDRESS, A_BROADCAST, A_FLAGS, A_LABEL, A_LOCAL, LYING, L_ALIAS, L_CARRIER, L_DATA, L_GROUP, L_KIND,
    L_LINK, L_MAC, L_MASTER, L_MTU, L_NAME, L_NETNSID, L_QLEN, L_SLAVE_DATA, L_SLAVE_KIND, L_STATE, L_STATS, NARROW,
    N_DST, N_LLADDR, N_MASTER, N_VLAN, N_VNI, OUTER, R_DST, R_GATEWAY, R_MULTIPATH, R_NH_ID, R_OIF, R_PREFSRC,
    R_PRIORITY, R_TABLE, R_VIA, U_DST, U_IIF, U_MARK, U_MASK, U_OIF, U_PRIORITY, U_SRC, U_TABLE, Layout,
    address_layout, hops_of, link_layout, neighbour_layout, note_attributes, route_layout, rule_layout,
)
from _fastnet.record cimport Record, address_head, link_head, neighbour_head, route_head
from _fastnet.rtnl cimport IFF_UP, RTM_NEWADDR, RTM_NEWLINK, RTM_NEWNEIGH, RTM_NEWROUTE
from _fastnet.wire cimport Attribute, Cursor, MessageHeader, Span, bytes_of, next_message


cdef Record blank(uint16_t message):
    if message == RTM_NEWLINK:
        return LinkRecord.__new__(LinkRecord)
    if message == RTM_NEWADDR:
        return AddressRecord.__new__(AddressRecord)
    if message == RTM_NEWROUTE:
        return RouteRecord.__new__(RouteRecord)
    if message == RTM_NEWNEIGH:
        return NeighbourRecord.__new__(NeighbourRecord)
    return RuleRecord.__new__(RuleRecord)


cdef list parse(bytes data, const Layout* layout):
    cdef Cursor cursor, body
    cdef MessageHeader header
    cdef Attribute wrong
    cdef Record record
    cdef const uint8_t* start
    cdef list result = []
    cdef int got
    cursor.at = <const uint8_t*> PyBytes_AS_STRING(data)
    cursor.end = cursor.at + PyBytes_GET_SIZE(data)
    while True:
        start = cursor.at
        got = next_message(&cursor, &header, &body)
        if got == 0:
            return result
        if got < 0:
            raise ValueError("a netlink message is cut or its length lies")
        if header.type != layout.message:
            continue
        if body.end - body.at < layout.head:
            raise ValueError(f"a message of type {header.type} is too short for its head of {layout.head} bytes")
        body.at += layout.head
        record = blank(layout.message)
        record.data = data
        record.start = start
        got = note_attributes(layout, &layout.outer[0], OUTER, start, body, record.places, &wrong)
        if got == LYING:
            raise ValueError("a netlink attribute is cut or its length lies")
        if got == NARROW:
            raise ValueError(
                f"a netlink attribute of {wrong.value.size} bytes should hold a {wrong.type * 8}-bit number"
            )
        result.append(record)


cdef str where(bytes address, object prefix):
    """An address for people; bytes of an odd length as they are."""
    cdef str words = ip_text(address) if len(address) in (4, 16) else address.hex() or "default"
    return words if prefix is None or not address else f"{words}/{prefix}"


@final
cdef class LinkRecord(Record):
    """A link: ``struct ifinfomsg`` and the IFLA_ attributes that matter here.

    Notes
    -----
    Thread safety: immutable.
    """

    @property
    def index(self):
        """The ifindex."""
        return link_head(self).index

    @property
    def flags(self):
        """IFF_…."""
        return link_head(self).flags

    @property
    def type(self):
        """The hardware's type, ARPHRD_… (1 Ethernet, 772 loopback)."""
        return link_head(self).type

    @property
    def up(self):
        """Whether IFF_UP is set: the administrator's wish, not the carrier."""
        return bool(link_head(self).flags & IFF_UP)

    @property
    def name(self):
        """The interface's name."""
        return self.text(L_NAME)

    @property
    def mac(self):
        """The hardware address, ``b""`` where it has none."""
        return self.octets(L_MAC)

    @property
    def mtu(self):
        """Bytes that one packet may carry."""
        return self.number(L_MTU, 0)

    @property
    def master(self):
        """The ifindex of the bridge (or other master) it is a port of; 0 = none."""
        return self.number(L_MASTER, 0)

    @property
    def group(self):
        """IFLA_GROUP."""
        return self.number(L_GROUP, 0)

    @property
    def link(self):
        """The ifindex of the peer or of the lower device, in that one's namespace; 0 = none."""
        return self.number(L_LINK, 0)

    @property
    def link_netnsid(self):
        """By which id this namespace knows the one of `link`; -1 = it is this one."""
        return <int32_t> self.number(L_NETNSID, 0xFFFFFFFF)

    @property
    def alias(self):
        """The text that an administrator gave it, ``""`` = none."""
        return self.text(L_ALIAS)

    @property
    def qlen(self):
        """Packets that its transmit queue holds."""
        return self.number(L_QLEN, 0)

    @property
    def operstate(self):
        """RFC 2863 state, IF_OPER_… (0 unknown, 2 down, 6 up)."""
        return self.number(L_STATE, 0)

    @property
    def carrier(self):
        """Whether it has a carrier."""
        return self.number(L_CARRIER, 0) != 0

    @property
    def kind(self):
        """IFLA_INFO_KIND, ``""`` for a device that no kind made."""
        return self.text(L_KIND)

    @property
    def kind_data(self):
        """IFLA_INFO_DATA: attributes of that kind, as they came."""
        return self.octets(L_DATA)

    @property
    def slave_kind(self):
        """The kind of its master, ``""`` = it has none."""
        return self.text(L_SLAVE_KIND)

    @property
    def slave_data(self):
        """IFLA_INFO_SLAVE_DATA: what it is set to as a port, as it came."""
        return self.octets(L_SLAVE_DATA)

    @property
    def stats64(self):
        """IFLA_STATS64: ``struct rtnl_link_stats64`` as it came."""
        return self.octets(L_STATS)

    def __repr__(self):
        return f"<link {self.index} {self.name} {self.kind}{' up' if self.up else ''}>"


@final
cdef class AddressRecord(Record):
    """An address of a link: ``struct ifaddrmsg`` and its IFA_ attributes.

    Notes
    -----
    Thread safety: immutable.
    """

    @property
    def family(self):
        """AF_…."""
        return address_head(self).family

    @property
    def index(self):
        """The link's ifindex."""
        return <int32_t> address_head(self).index

    @property
    def prefix(self):
        """Bits of the prefix."""
        return address_head(self).prefix

    @property
    def flags(self):
        """IFA_F_…."""
        return self.number(A_FLAGS, address_head(self).flags)

    @property
    def scope(self):
        """RT_SCOPE_…."""
        return address_head(self).scope

    @property
    def address(self):
        """The link's own address, packed."""
        return self.octets(A_LOCAL if self.places[A_LOCAL] else A_ADDRESS)

    @property
    def peer(self):
        """The other side's of a point-to-point link, else the link's own."""
        return self.octets(A_ADDRESS)

    @property
    def broadcast(self):
        """The broadcast address, ``b""`` = none."""
        return self.octets(A_BROADCAST)

    @property
    def label(self):
        """The label (IPv4), ``""`` = none."""
        return self.text(A_LABEL)

    def __repr__(self):
        return f"<address {where(self.address, self.prefix)} of link {self.index}>"


@final
cdef class RouteRecord(Record):
    """A route: ``struct rtmsg`` and its RTA_ attributes.

    Notes
    -----
    Thread safety: immutable.
    """

    @property
    def family(self):
        """AF_…."""
        return route_head(self).family

    @property
    def destination(self):
        """Packed, ``b""`` of the default route."""
        return self.octets(R_DST)

    @property
    def prefix(self):
        """Bits of the destination's prefix."""
        return route_head(self).prefix

    @property
    def type(self):
        """RTN_… (1 unicast, 2 local, 6 blackhole)."""
        return route_head(self).type

    @property
    def scope(self):
        """RT_SCOPE_…."""
        return route_head(self).scope

    @property
    def protocol(self):
        """Who made it, RTPROT_…."""
        return route_head(self).protocol

    @property
    def flags(self):
        """RTM_F_… and RTNH_F_…."""
        return route_head(self).flags

    @property
    def index(self):
        """The ifindex it leads out of; 0 = none, or several hops."""
        return <int32_t> self.number(R_OIF, 0)

    @property
    def table(self):
        """The routing table."""
        return self.number(R_TABLE, route_head(self).table)

    @property
    def metric(self):
        """RTA_PRIORITY: the lower one wins."""
        return self.number(R_PRIORITY, 0)

    @property
    def source(self):
        """The preferred address of packets sent, ``b""`` = none."""
        return self.octets(R_PREFSRC)

    @property
    def nexthop_id(self):
        """The nexthop object it uses; 0 = none."""
        return self.number(R_NH_ID, 0)

    @property
    def gateway(self):
        """Packed (of IPv6 perhaps for a route of IPv4), ``b""`` where it has none."""
        cdef Span via = self.value(R_VIA)
        if via.data == NULL:
            return self.octets(R_GATEWAY)
        via.data += 2
        via.size -= 2
        return bytes_of(via)

    @property
    def hops(self):
        """The hops of a multipath route, each ``(ifindex, gateway, weight)``; empty for a plain one."""
        return hops_of(self.value(R_MULTIPATH))

    def __repr__(self):
        return f"<route {where(self.destination, self.prefix)} table {self.table} on link {self.index}>"


@final
cdef class NeighbourRecord(Record):
    """A neighbour, or an entry of a bridge's or VXLAN's forwarding table: ``struct ndmsg`` and its NDA_ attributes.

    Notes
    -----
    Thread safety: immutable.
    """

    @property
    def family(self):
        """AF_…; AF_BRIDGE of a forwarding table's entry."""
        return neighbour_head(self).family

    @property
    def index(self):
        """The link's ifindex."""
        return neighbour_head(self).index

    @property
    def state(self):
        """NUD_…."""
        return neighbour_head(self).state

    @property
    def flags(self):
        """NTF_…."""
        return neighbour_head(self).flags

    @property
    def type(self):
        """RTN_…."""
        return neighbour_head(self).type

    @property
    def address(self):
        """The address, or the remote end of a VXLAN's entry; ``b""`` = none."""
        return self.octets(N_DST)

    @property
    def mac(self):
        """The hardware address, ``b""`` while it is not known."""
        return self.octets(N_LLADDR)

    @property
    def master(self):
        """The ifindex of the bridge whose entry it is; 0 = none."""
        return self.number(N_MASTER, 0)

    @property
    def vlan(self):
        """The VLAN of a bridge's entry; 0 = none."""
        return self.number(N_VLAN, 0)

    @property
    def vni(self):
        """The VNI of a VXLAN's entry; 0 = the device's own."""
        return self.number(N_VNI, 0)

    def __repr__(self):
        return f"<neighbour {where(self.address, None) if self.address else ''} lladdr {self.mac.hex(':')} on link {self.index}>"


@final
cdef class RuleRecord(Record):
    """A routing rule: ``struct fib_rule_hdr`` and its FRA_ attributes.

    Notes
    -----
    Thread safety: immutable.
    """

    @property
    def family(self):
        """AF_…."""
        return route_head(self).family

    @property
    def action(self):
        """FR_ACT_… (1 look up in `table`, 6 blackhole, 7 unreachable)."""
        return route_head(self).type

    @property
    def flags(self):
        """FIB_RULE_…."""
        return route_head(self).flags

    @property
    def priority(self):
        """The lower one is asked first."""
        return self.number(U_PRIORITY, 0)

    @property
    def table(self):
        """The table to look in."""
        return self.number(U_TABLE, route_head(self).table)

    @property
    def source(self):
        """Packed, ``b""`` = from anywhere."""
        return self.octets(U_SRC)

    @property
    def source_prefix(self):
        """Bits of `source`."""
        return route_head(self).source_prefix

    @property
    def destination(self):
        """Packed, ``b""`` = to anywhere."""
        return self.octets(U_DST)

    @property
    def prefix(self):
        """Bits of `destination`."""
        return route_head(self).prefix

    @property
    def mark(self):
        """The packet's mark wanted."""
        return self.number(U_MARK, 0)

    @property
    def mask(self):
        """The bits of the mark that count."""
        return self.number(U_MASK, 0)

    @property
    def iif(self):
        """The name of the interface it came by, ``""`` = any."""
        return self.text(U_IIF)

    @property
    def oif(self):
        """The name of the interface of the socket it comes from, ``""`` = any."""
        return self.text(U_OIF)

    def __repr__(self):
        return f"<rule {self.priority} table {self.table}>"


def links(bytes data not None, /):
    """Read the links (RTM_NEWLINK) out of whole messages; ValueError where they are malformed."""
    cdef Layout layout
    link_layout(&layout)
    return parse(data, &layout)


def addresses(bytes data not None, /):
    """Read the addresses (RTM_NEWADDR) out of whole messages; ValueError where they are malformed."""
    cdef Layout layout
    address_layout(&layout)
    return parse(data, &layout)


def routes(bytes data not None, /):
    """Read the routes (RTM_NEWROUTE) out of whole messages; ValueError where they are malformed."""
    cdef Layout layout
    cdef list result
    cdef Record route
    route_layout(&layout)
    result = parse(data, &layout)
    for route in result:
        if route.places[R_MULTIPATH]:
            hops_of(route.value(R_MULTIPATH))
    return result


def neighbours(bytes data not None, /):
    """Read the neighbours and forwarding entries (RTM_NEWNEIGH) out of whole messages; ValueError where they are malformed."""
    cdef Layout layout
    neighbour_layout(&layout)
    return parse(data, &layout)


def rules(bytes data not None, /):
    """Read the rules (RTM_NEWRULE) out of whole messages; ValueError where they are malformed."""
    cdef Layout layout
    rule_layout(&layout)
    return parse(data, &layout)

"""The verbs of links, bridge ports and their IPv4 stacks."""

import cython

from libc.stdint cimport int32_t, uint32_t
from libc.string cimport memset

from _fastnet.args cimport INT_LIMIT, U32_LIMIT, read_mac, read_name, read_number, read_text
from _fastnet.linkinfo cimport (
    IFLA_BRPORT_BCAST_FLOOD,
    IFLA_BRPORT_COST,
    IFLA_BRPORT_FAST_LEAVE,
    IFLA_BRPORT_GROUP_FWD_MASK,
    IFLA_BRPORT_GUARD,
    IFLA_BRPORT_ISOLATED,
    IFLA_BRPORT_LEARNING,
    IFLA_BRPORT_MCAST_FLOOD,
    IFLA_BRPORT_MCAST_TO_UCAST,
    IFLA_BRPORT_MODE,
    IFLA_BRPORT_NEIGH_SUPPRESS,
    IFLA_BRPORT_PRIORITY,
    IFLA_BRPORT_PROTECT,
    IFLA_BRPORT_PROXYARP,
    IFLA_BRPORT_STATE,
    IFLA_BRPORT_UNICAST_FLOOD,
    IPV4_DEVCONF_ACCEPT_LOCAL,
    IPV4_DEVCONF_ACCEPT_REDIRECTS,
    IPV4_DEVCONF_ACCEPT_SOURCE_ROUTE,
    IPV4_DEVCONF_ARP_ACCEPT,
    IPV4_DEVCONF_ARP_ANNOUNCE,
    IPV4_DEVCONF_ARP_IGNORE,
    IPV4_DEVCONF_ARP_NOTIFY,
    IPV4_DEVCONF_ARPFILTER,
    IPV4_DEVCONF_BC_FORWARDING,
    IPV4_DEVCONF_DROP_GRATUITOUS_ARP,
    IPV4_DEVCONF_FORWARDING,
    IPV4_DEVCONF_LOG_MARTIANS,
    IPV4_DEVCONF_PROMOTE_SECONDARIES,
    IPV4_DEVCONF_PROXY_ARP,
    IPV4_DEVCONF_PROXY_ARP_PVLAN,
    IPV4_DEVCONF_ROUTE_LOCALNET,
    IPV4_DEVCONF_RP_FILTER,
    IPV4_DEVCONF_SEND_REDIRECTS,
    IPV4_DEVCONF_SRC_VMARK,
    encode_add_kind,
    encode_set_ipv4,
    encode_set_port,
)
from _fastnet.options cimport Options, add_number, add_switch
from _fastnet.rtnl cimport (
    IFALIASZ,
    LinkChange,
    LinkKey,
    LinkSpec,
    encode_add_veth,
    encode_delete_link,
    encode_get_link,
    encode_set_link,
)
from _fastnet.wire cimport Span


cdef int read_link(
    object name, object index, object mac, object mtu, object master, object group, object up, object queues,
    object namespace, LinkSpec* link,
) except -1:
    memset(link, 0, sizeof(link[0]))
    read_name(name, "name", &link.name)
    link.index = <int32_t> read_number(index, "index", 0, INT_LIMIT)
    link.mac = read_mac(mac, "mac")
    link.mtu = <uint32_t> read_number(mtu, "mtu", 0, INT_LIMIT)
    link.master = <uint32_t> read_number(master, "master", 0, INT_LIMIT)
    link.group = <uint32_t> read_number(group, "group", 0, U32_LIMIT)
    link.queues = <uint32_t> read_number(queues, "queues", 0, 4096)
    link.namespace = <int32_t> read_number(namespace, "namespace", -1, INT_LIMIT)
    link.up = up
    return 0


@cython.auto_pickle(False)
cdef class LinkVerbs(Messages):
    """The verbs of links, bridge ports and their IPv4 stacks: see :class:`_fastnet.batch.Batch`."""

    # ------------------------------------------------------------------------------------------------- links
    def add_veth(
        self, name, peer, *, index=0, peer_index=0, namespace=-1, mac=None, peer_mac=None, master=0, mtu=0,
        group=0, up=False, queues=1,
    ):
        """Make a veth pair.

        Equivalent to: ``ip link add NAME index I address MAC mtu M master L group G up numtxqueues 1 numrxqueues 1
        type veth peer name PEER index PI address PMAC mtu M netns NS numtxqueues 1 numrxqueues 1``

        ``up``, ``master`` and ``group`` are the main end's; the peer is born down, in group 0. (The kernel
        configures the peer before its partner exists, and refuses to bring it up then: ENOTCONN.)

        Parameters
        ----------
        namespace : int
            Where the peer is born.
        mtu : int
            Of both ends; 0 = the kernel's default.
        queues : int
            Of each direction of both ends; 0 = the kernel's default (one per possible CPU, slow to make).
        """
        cdef LinkSpec link, end
        cdef size_t start
        memset(&link, 0, sizeof(link))
        memset(&end, 0, sizeof(end))
        read_name(name, "name", &link.name)
        read_name(peer, "peer", &end.name)
        link.index = <int32_t> read_number(index, "index", 0, INT_LIMIT)
        end.index = <int32_t> read_number(peer_index, "peer_index", 0, INT_LIMIT)
        link.namespace = -1
        end.namespace = <int32_t> read_number(namespace, "namespace", -1, INT_LIMIT)
        link.mac = read_mac(mac, "mac")
        end.mac = read_mac(peer_mac, "peer_mac")
        link.master = <uint32_t> read_number(master, "master", 0, INT_LIMIT)
        link.mtu = end.mtu = <uint32_t> read_number(mtu, "mtu", 0, INT_LIMIT)
        link.group = <uint32_t> read_number(group, "group", 0, U32_LIMIT)
        link.queues = end.queues = <uint32_t> read_number(queues, "queues", 0, 4096)
        link.up = up
        start = self.begin()
        return self.entered(start, encode_add_veth(&self.wire, &link, &end))

    def add_link(
        self, name, kind, *, index=0, mac=None, mtu=0, master=0, group=0, up=False, queues=0, namespace=-1
    ):
        """Make a link of any kind that needs nothing but its kind.

        Equivalent to: ``ip link add NAME index I address MAC mtu M master L group G numtxqueues Q numrxqueues Q
        netns NS up type KIND``
        """
        cdef LinkSpec link
        cdef Span what
        cdef Options nothing
        cdef size_t start
        nothing.count = 0
        read_link(name, index, mac, mtu, master, group, up, queues, namespace, &link)
        read_text(kind, "kind", 1, 63, &what)
        # Text and bytes of Python end in a NUL, and read_text found no other.
        start = self.begin()
        return self.entered(start, encode_add_kind(&self.wire, &link, <const char*> what.data, 0, &nothing))

    def set_link(
        self, index=0, *, name=None, group=0, up=None, mtu=0, mac=None, master=-1, new_name=None, new_group=-1,
        alias=None, addr_gen_mode=-1, namespace=-1,
    ):
        """Change one link (by ``index`` or ``name``), or all links of a ``group`` in one message.

        Equivalent to: ``ip link set DEV|group G up|down mtu M address MAC master L|nomaster name NEW group NG
        alias TEXT addrgenmode MODE netns NS``

        The kernel brings a link up *before* it reads ``addr_gen_mode``: said in one message, the link-local address
        is made nevertheless. Where it must not be, send two messages: the mode, then ``up``.

        Parameters
        ----------
        index, name, group
            Exactly one of the three. Group 0, the group of every link that was never put in one, is refused.
        up : bool or None
            None = leave.
        master : int
            -1 = leave, 0 = release from its master, else the master's ifindex.
        new_name : str or bytes
            Needs ``index``: in a message the kernel reads one name only.
        new_group : int
            -1 = leave; needs ``index`` or ``name``.
        alias : str or bytes
            At most 255 bytes; empty = remove, None = leave.
        addr_gen_mode : int
            -1 = leave; enum in6_addr_gen_mode: 0 EUI-64, 1 none, 2 stable privacy, 3 random.
        namespace : int
            Where to move the link to. Slow: the device is unregistered and registered again.
        """
        cdef LinkChange change
        cdef LinkKey key
        cdef size_t start
        memset(&change, 0, sizeof(change))
        self.select(index, name, group, &key)
        change.index, change.name, change.group = key.index, key.name, key.group
        if group != 0 and (new_name is not None or new_group != -1 or mac is not None):
            raise ValueError("new_name, new_group and mac are for one link, not for a group")
        if new_name is not None:
            if not change.index:
                raise ValueError("new_name needs the link's index")
            read_name(new_name, "new_name", &change.new_name)
        if up is not None and up is not True and up is not False:
            raise TypeError(f"up must be True, False or None, not {type(up).__name__}")
        change.up = -1 if up is None else 1 if up else 0
        change.mtu = <uint32_t> read_number(mtu, "mtu", 0, INT_LIMIT)
        change.mac = read_mac(mac, "mac")
        change.master = <int32_t> read_number(master, "master", -1, INT_LIMIT)
        if new_group != -1:
            change.regroup = True
            change.new_group = <uint32_t> read_number(new_group, "new_group", 0, U32_LIMIT)
        if alias is not None:
            read_text(alias, "alias", 0, IFALIASZ - 1, &change.alias)
        change.addr_gen_mode = <int32_t> read_number(addr_gen_mode, "addr_gen_mode", -1, 255)
        change.namespace = <int32_t> read_number(namespace, "namespace", -1, INT_LIMIT)
        start = self.begin()
        return self.entered(start, encode_set_link(&self.wire, &change))

    def delete_link(self, index=0, *, name=None, group=0):
        """Delete one link (by ``index`` or ``name``), or all links of a ``group`` in one message.

        Equivalent to: ``ip link delete DEV|group G``

        Exactly one of the three. Group 0 holds every link that was never put in one: refused. A veth's peer goes too.
        By group is the only bulk key: the kernel's grace periods are then paid once, not per link.
        """
        cdef LinkKey key
        cdef size_t start
        self.select(index, name, group, &key)
        start = self.begin()
        return self.entered(start, encode_delete_link(&self.wire, key.index, key.name, key.group))

    def get_link(self, index=0, *, name=None):
        """Ask for one link: the answer is among the ``replies()`` of the batch's answers.

        Equivalent to: ``ip link show DEV``
        """
        cdef LinkKey key
        cdef size_t start
        self.select(index, name, 0, &key)
        start = self.begin()
        return self.entered(start, encode_get_link(&self.wire, key.index, key.name))

    cdef int select(self, object index, object name, object group, LinkKey* key) except -1:
        memset(key, 0, sizeof(key[0]))
        key.index = <int32_t> read_number(index, "index", 0, INT_LIMIT)
        key.group = <uint32_t> read_number(group, "group", 0, U32_LIMIT)
        if name is not None:
            read_name(name, "name", &key.name)
        if (key.index != 0) + (key.group != 0) + (name is not None) != 1:
            raise ValueError("exactly one of index, name and group must be given (and not 0)")
        return 0

    # ------------------------------------------------------------------------------------------ bridge ports
    def set_bridge_port(
        self, index=0, *, name=None, isolated=None, hairpin=None, learning=None, flood=None,
        mcast_flood=None, bcast_flood=None, mcast_to_unicast=None, fast_leave=None, proxy_arp=None,
        neigh_suppress=None, guard=None, root_block=None, state=None, cost=None, priority=None, group_fwd_mask=None,
    ):
        """Change options of a bridge port, by ``index`` or ``name``.

        Equivalent to: ``ip link set DEV type bridge_slave isolated on|off hairpin on|off …``

        The kernel reads them before a new master: a link is made a port by an earlier message (EOPNOTSUPP where
        it is none). It knows no such change of a whole group.

        Parameters
        ----------
        index, name
            Exactly one of the two.
        isolated, hairpin, learning, flood, mcast_flood, bcast_flood, mcast_to_unicast, fast_leave, proxy_arp, neigh_suppress, guard, root_block : bool or None
            IFLA_BRPORT_ISOLATED, _MODE, _LEARNING, _UNICAST_FLOOD, _MCAST_FLOOD, _BCAST_FLOOD, _MCAST_TO_UCAST,
            _FAST_LEAVE, _PROXYARP, _NEIGH_SUPPRESS, _GUARD, _PROTECT; None = leave.
        state : int or None
            BR_STATE_…: 0 disabled, 1 listening, 2 learning, 3 forwarding, 4 blocking. Only of a port that is up and
            without STP (ENETDOWN, EBUSY).
        cost, priority : int or None
            Of the spanning tree: 1…65535, 0…63.
        group_fwd_mask : int or None
            Link-local groups 01:80:c2:00:00:0X that are forwarded, a bit each (0…65535; the kernel refuses 0–2).
        """
        cdef LinkKey key
        cdef Options data
        cdef size_t start
        data.count = 0
        self.select(index, name, 0, &key)
        add_number(&data, IFLA_BRPORT_STATE, 1, state, "state", 0, 4)
        add_number(&data, IFLA_BRPORT_PRIORITY, 2, priority, "priority", 0, 63)
        add_number(&data, IFLA_BRPORT_COST, 4, cost, "cost", 1, 65535)
        add_switch(&data, IFLA_BRPORT_MODE, hairpin, "hairpin")
        add_switch(&data, IFLA_BRPORT_GUARD, guard, "guard")
        add_switch(&data, IFLA_BRPORT_PROTECT, root_block, "root_block")
        add_switch(&data, IFLA_BRPORT_FAST_LEAVE, fast_leave, "fast_leave")
        add_switch(&data, IFLA_BRPORT_LEARNING, learning, "learning")
        add_switch(&data, IFLA_BRPORT_UNICAST_FLOOD, flood, "flood")
        add_switch(&data, IFLA_BRPORT_PROXYARP, proxy_arp, "proxy_arp")
        add_switch(&data, IFLA_BRPORT_MCAST_FLOOD, mcast_flood, "mcast_flood")
        add_switch(&data, IFLA_BRPORT_MCAST_TO_UCAST, mcast_to_unicast, "mcast_to_unicast")
        add_switch(&data, IFLA_BRPORT_BCAST_FLOOD, bcast_flood, "bcast_flood")
        add_number(&data, IFLA_BRPORT_GROUP_FWD_MASK, 2, group_fwd_mask, "group_fwd_mask", 0, 0xFFFF)
        add_switch(&data, IFLA_BRPORT_NEIGH_SUPPRESS, neigh_suppress, "neigh_suppress")
        add_switch(&data, IFLA_BRPORT_ISOLATED, isolated, "isolated")
        if not data.count:
            raise ValueError("set_bridge_port needs at least one option")
        start = self.begin()
        return self.entered(start, encode_set_port(&self.wire, &key, &data))

    # ------------------------------------------------------------------------------------------------- IPv4
    def set_link_ipv4(
        self, index=0, *, name=None, group=0, forwarding=None, proxy_arp=None, proxy_arp_pvlan=None, arp_notify=None,
        arp_ignore=None, arp_announce=None, arp_accept=None, arp_filter=None, drop_gratuitous_arp=None,
        accept_local=None, route_localnet=None, rp_filter=None, accept_redirects=None, send_redirects=None,
        accept_source_route=None, promote_secondaries=None, bc_forwarding=None, src_valid_mark=None, log_martians=None,
    ):
        """Change switches of one link's IPv4 stack (by ``index`` or ``name``), or of a whole ``group``'s at once.

        Equivalent to: ``sysctl net.ipv4.conf.DEV.forwarding=1 …``, without its file; ``ip`` cannot send it.

        Each is an integer as of the file of its name, None = leave; the kernel does not check it. (Of IPv6 the
        kernel takes addr_gen_mode and the token this way, and refuses the rest: EINVAL.)

        Parameters
        ----------
        index, name, group
            Exactly one of the three.
        arp_notify : int or None
            1 = announce addresses when the link comes up or gets another MAC: no raw socket is needed.
        """
        cdef LinkKey key
        cdef Options data
        cdef size_t start
        data.count = 0
        self.select(index, name, group, &key)
        add_number(&data, IPV4_DEVCONF_FORWARDING, 4, forwarding, "forwarding", 0, 1)
        add_number(&data, IPV4_DEVCONF_PROXY_ARP, 4, proxy_arp, "proxy_arp", 0, 1)
        add_number(&data, IPV4_DEVCONF_ACCEPT_REDIRECTS, 4, accept_redirects, "accept_redirects", 0, 1)
        add_number(&data, IPV4_DEVCONF_SEND_REDIRECTS, 4, send_redirects, "send_redirects", 0, 1)
        add_number(&data, IPV4_DEVCONF_RP_FILTER, 4, rp_filter, "rp_filter", 0, 2)
        add_number(&data, IPV4_DEVCONF_ACCEPT_SOURCE_ROUTE, 4, accept_source_route, "accept_source_route", 0, 1)
        add_number(&data, IPV4_DEVCONF_LOG_MARTIANS, 4, log_martians, "log_martians", 0, 1)
        add_number(&data, IPV4_DEVCONF_ARPFILTER, 4, arp_filter, "arp_filter", 0, 1)
        add_number(&data, IPV4_DEVCONF_ARP_ANNOUNCE, 4, arp_announce, "arp_announce", 0, 2)
        add_number(&data, IPV4_DEVCONF_ARP_IGNORE, 4, arp_ignore, "arp_ignore", 0, 8)
        add_number(&data, IPV4_DEVCONF_PROMOTE_SECONDARIES, 4, promote_secondaries, "promote_secondaries", 0, 1)
        add_number(&data, IPV4_DEVCONF_ARP_ACCEPT, 4, arp_accept, "arp_accept", 0, 2)
        add_number(&data, IPV4_DEVCONF_ARP_NOTIFY, 4, arp_notify, "arp_notify", 0, 1)
        add_number(&data, IPV4_DEVCONF_ACCEPT_LOCAL, 4, accept_local, "accept_local", 0, 1)
        add_number(&data, IPV4_DEVCONF_SRC_VMARK, 4, src_valid_mark, "src_valid_mark", 0, 1)
        add_number(&data, IPV4_DEVCONF_PROXY_ARP_PVLAN, 4, proxy_arp_pvlan, "proxy_arp_pvlan", 0, 1)
        add_number(&data, IPV4_DEVCONF_ROUTE_LOCALNET, 4, route_localnet, "route_localnet", 0, 1)
        add_number(&data, IPV4_DEVCONF_DROP_GRATUITOUS_ARP, 4, drop_gratuitous_arp, "drop_gratuitous_arp", 0, 1)
        add_number(&data, IPV4_DEVCONF_BC_FORWARDING, 4, bc_forwarding, "bc_forwarding", 0, 1)
        if not data.count:
            raise ValueError("set_link_ipv4 needs at least one switch")
        start = self.begin()
        return self.entered(start, encode_set_ipv4(&self.wire, &key, &data))

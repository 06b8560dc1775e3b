"""The verbs that make links of the kinds with options of their own."""

import cython

from libc.stdint cimport uint16_t, uint32_t

from _fastnet.args cimport INT_LIMIT, U32_LIMIT, read_address, read_choice, read_number
from _fastnet.linkinfo cimport (
    ETH_P_8021AD,
    ETH_P_8021Q,
    IFLA_BR_AGEING_TIME,
    IFLA_BR_FORWARD_DELAY,
    IFLA_BR_GROUP_FWD_MASK,
    IFLA_BR_HELLO_TIME,
    IFLA_BR_MAX_AGE,
    IFLA_BR_MCAST_QUERIER,
    IFLA_BR_MCAST_SNOOPING,
    IFLA_BR_NF_CALL_ARPTABLES,
    IFLA_BR_NF_CALL_IP6TABLES,
    IFLA_BR_NF_CALL_IPTABLES,
    IFLA_BR_PRIORITY,
    IFLA_BR_STP_STATE,
    IFLA_BR_VLAN_DEFAULT_PVID,
    IFLA_BR_VLAN_FILTERING,
    IFLA_IPVLAN_FLAGS,
    IFLA_IPVLAN_MODE,
    IFLA_MACVLAN_MODE,
    IFLA_VLAN_ID,
    IFLA_VLAN_PROTOCOL,
    IFLA_VXLAN_AGEING,
    IFLA_VXLAN_COLLECT_METADATA,
    IFLA_VXLAN_GROUP,
    IFLA_VXLAN_GROUP6,
    IFLA_VXLAN_ID,
    IFLA_VXLAN_L2MISS,
    IFLA_VXLAN_L3MISS,
    IFLA_VXLAN_LEARNING,
    IFLA_VXLAN_LIMIT,
    IFLA_VXLAN_LINK,
    IFLA_VXLAN_LOCAL,
    IFLA_VXLAN_LOCAL6,
    IFLA_VXLAN_PORT,
    IFLA_VXLAN_PROXY,
    IFLA_VXLAN_RSC,
    IFLA_VXLAN_TOS,
    IFLA_VXLAN_TTL,
    IFLA_VXLAN_UDP_CSUM,
    encode_add_kind,
    encode_set_kind,
)
from _fastnet.linkverbs cimport read_link
from _fastnet.options cimport Options, add_big16, add_number, add_raw, add_switch
from _fastnet.rtnl cimport LinkKey, LinkSpec
from _fastnet.wire cimport Span

_MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8, "source": 16}
_IPVLAN_MODES = {"l2": 0, "l3": 1, "l3s": 2}
_IPVLAN_FLAGS = {"bridge": 0, "private": 1, "vepa": 2}
_VLAN_PROTOCOLS = {"802.1q": ETH_P_8021Q, "802.1ad": ETH_P_8021AD}


cdef int read_bridge(
    object forward_delay, object hello_time, object max_age, object ageing_time, object stp, object priority,
    object vlan_filtering, object vlan_default_pvid, object group_fwd_mask, object mcast_snooping,
    object mcast_querier, object nf_call_iptables, object nf_call_ip6tables, object nf_call_arptables, Options* data,
) except -1:
    data.count = 0
    add_number(data, IFLA_BR_FORWARD_DELAY, 4, forward_delay, "forward_delay", 0, INT_LIMIT)
    add_number(data, IFLA_BR_HELLO_TIME, 4, hello_time, "hello_time", 0, INT_LIMIT)
    add_number(data, IFLA_BR_MAX_AGE, 4, max_age, "max_age", 0, INT_LIMIT)
    add_number(data, IFLA_BR_AGEING_TIME, 4, ageing_time, "ageing_time", 0, INT_LIMIT)
    if stp is not None and stp is not True and stp is not False:
        raise TypeError(f"stp must be True, False or None, not {type(stp).__name__}")
    add_number(data, IFLA_BR_STP_STATE, 4, stp, "stp", 0, 1)
    add_number(data, IFLA_BR_PRIORITY, 2, priority, "priority", 0, 0xFFFF)
    add_switch(data, IFLA_BR_VLAN_FILTERING, vlan_filtering, "vlan_filtering")
    add_number(data, IFLA_BR_GROUP_FWD_MASK, 2, group_fwd_mask, "group_fwd_mask", 0, 0xFFFF)
    add_switch(data, IFLA_BR_MCAST_SNOOPING, mcast_snooping, "mcast_snooping")
    add_switch(data, IFLA_BR_MCAST_QUERIER, mcast_querier, "mcast_querier")
    add_switch(data, IFLA_BR_NF_CALL_IPTABLES, nf_call_iptables, "nf_call_iptables")
    add_switch(data, IFLA_BR_NF_CALL_IP6TABLES, nf_call_ip6tables, "nf_call_ip6tables")
    add_switch(data, IFLA_BR_NF_CALL_ARPTABLES, nf_call_arptables, "nf_call_arptables")
    add_number(data, IFLA_BR_VLAN_DEFAULT_PVID, 2, vlan_default_pvid, "vlan_default_pvid", 0, 4094)
    return 0


cdef int add_either(Options* data, uint16_t ipv4, uint16_t ipv6, object value, str what, size_t* told) except -1:
    """An address whose attribute depends on its family; all of one message must have one family."""
    cdef Span address
    if value is None:
        return 0
    read_address(value, what, &address)
    if told[0] and told[0] != address.size:
        raise ValueError(f"{what} is of another family than the other address")
    told[0] = address.size
    return add_raw(data, ipv4 if address.size == 4 else ipv6, address.data, address.size)


@cython.auto_pickle(False)
cdef class KindVerbs(LinkVerbs):
    """The verbs that make links of the kinds with options of their own: see :class:`_fastnet.batch.Batch`."""

    def add_bridge(
        self, name, *, index=0, mac=None, mtu=0, master=0, group=0, up=False, queues=0, namespace=-1,
        forward_delay=None, hello_time=None, max_age=None, ageing_time=None, stp=None, priority=None,
        vlan_filtering=None, vlan_default_pvid=None, group_fwd_mask=None, mcast_snooping=None, mcast_querier=None,
        nf_call_iptables=None, nf_call_ip6tables=None, nf_call_arptables=None,
    ):
        """Make a bridge.

        Equivalent to: ``ip link add NAME index I address MAC mtu M group G netns NS up type bridge
        forward_delay D stp_state 0|1 mcast_snooping 0|1 …``

        Parameters
        ----------
        forward_delay, hello_time, max_age, ageing_time : int or None
            Hundredths of a second (the kernel's clock_t); None = the kernel's default.
        stp, vlan_filtering, mcast_snooping, mcast_querier, nf_call_iptables, nf_call_ip6tables, \
nf_call_arptables : bool or None
            A kernel without VLAN filtering refuses to be told of it, even False (EOPNOTSUPP).
        priority, group_fwd_mask : int or None
            0…65535.
        vlan_default_pvid : int or None
            0 (none) … 4094.
        """
        cdef LinkSpec link
        cdef Options data
        cdef size_t start
        read_link(name, index, mac, mtu, master, group, up, queues, namespace, &link)
        read_bridge(
            forward_delay, hello_time, max_age, ageing_time, stp, priority, vlan_filtering, vlan_default_pvid,
            group_fwd_mask, mcast_snooping, mcast_querier, nf_call_iptables, nf_call_ip6tables, nf_call_arptables,
            &data,
        )
        start = self.begin()
        return self.entered(start, encode_add_kind(&self.wire, &link, b"bridge", 0, &data))

    def set_bridge(
        self, index=0, *, name=None, forward_delay=None, hello_time=None, max_age=None, ageing_time=None, stp=None,
        priority=None, vlan_filtering=None, vlan_default_pvid=None, group_fwd_mask=None, mcast_snooping=None,
        mcast_querier=None, nf_call_iptables=None, nf_call_ip6tables=None, nf_call_arptables=None,
    ):
        """Change options of a bridge, by ``index`` or ``name``; each as in ``add_bridge``, None = leave.

        Equivalent to: ``ip link set DEV type bridge forward_delay D stp_state 0|1 …``
        """
        cdef LinkKey key
        cdef Options data
        cdef size_t start
        self.select(index, name, 0, &key)
        read_bridge(
            forward_delay, hello_time, max_age, ageing_time, stp, priority, vlan_filtering, vlan_default_pvid,
            group_fwd_mask, mcast_snooping, mcast_querier, nf_call_iptables, nf_call_ip6tables, nf_call_arptables,
            &data,
        )
        if not data.count:
            raise ValueError("set_bridge needs at least one option")
        start = self.begin()
        return self.entered(start, encode_set_kind(&self.wire, &key, b"bridge", &data))

    def add_vxlan(
        self, name, vni, *, local=None, remote=None, port=4789, link=0, ttl=None, tos=None, learning=None,
        ageing=None, limit=None, proxy=None, rsc=None, l2miss=None, l3miss=None, udp_csum=None, external=False,
        index=0, mac=None, mtu=0, master=0, group=0, up=False, queues=0, namespace=-1,
    ):
        """Make a VXLAN tunnel (RFC 7348).

        Equivalent to: ``ip link add NAME index I address MAC mtu M master L group G netns NS up type vxlan id VNI
        local LOCAL remote|group REMOTE dev LINK dstport PORT ttl T nolearning …``

        Parameters
        ----------
        vni : int
            0…16777215.
        local, remote : bytes or None
            4 or 16 bytes, both of one family. A multicast ``remote`` is a group, which needs ``link``.
        port : int
            Where UDP goes to; 4789 is IANA's (the kernel's own default is an older number).
        link : int
            The ifindex of the device that carries the tunnel, in the socket's namespace; 0 = by route.
        ttl, tos : int or None
            0…255; ttl 0 = 1 for multicast, else the system's.
        learning, proxy, rsc, l2miss, l3miss, udp_csum : bool or None
            None = the kernel's default: learning (but not of an ``external`` one) and udp_csum on, the others off.
        ageing : int or None
            Seconds that a learned entry lives.
        limit : int or None
            Entries of its forwarding table at the most; 0 = any number.
        external : bool
            Routes or filters tell the tunnel's ends (collect_metadata); then ``vni`` must be 0.
        """
        cdef LinkSpec spec
        cdef Options data
        cdef size_t family = 0
        cdef size_t start
        data.count = 0
        read_link(name, index, mac, mtu, master, group, up, queues, namespace, &spec)
        read_number(vni, "vni", 0, 0xFFFFFF)
        if external:
            if vni != 0:
                raise ValueError("an external VXLAN has no VNI of its own: vni must be 0")
            add_switch(&data, IFLA_VXLAN_COLLECT_METADATA, True, "external")
            if learning is None:
                learning = False
        else:
            add_number(&data, IFLA_VXLAN_ID, 4, vni, "vni", 0, 0xFFFFFF)
        add_either(&data, IFLA_VXLAN_GROUP, IFLA_VXLAN_GROUP6, remote, "remote", &family)
        add_either(&data, IFLA_VXLAN_LOCAL, IFLA_VXLAN_LOCAL6, local, "local", &family)
        if read_number(link, "link", 0, INT_LIMIT):
            add_number(&data, IFLA_VXLAN_LINK, 4, link, "link", 0, INT_LIMIT)
        add_number(&data, IFLA_VXLAN_TTL, 1, ttl, "ttl", 0, 255)
        add_number(&data, IFLA_VXLAN_TOS, 1, tos, "tos", 0, 255)
        add_switch(&data, IFLA_VXLAN_LEARNING, learning, "learning")
        add_number(&data, IFLA_VXLAN_AGEING, 4, ageing, "ageing", 0, U32_LIMIT)
        add_number(&data, IFLA_VXLAN_LIMIT, 4, limit, "limit", 0, U32_LIMIT)
        add_switch(&data, IFLA_VXLAN_PROXY, proxy, "proxy")
        add_switch(&data, IFLA_VXLAN_RSC, rsc, "rsc")
        add_switch(&data, IFLA_VXLAN_L2MISS, l2miss, "l2miss")
        add_switch(&data, IFLA_VXLAN_L3MISS, l3miss, "l3miss")
        add_switch(&data, IFLA_VXLAN_UDP_CSUM, udp_csum, "udp_csum")
        add_big16(&data, IFLA_VXLAN_PORT, read_number(port, "port", 1, 0xFFFF))
        start = self.begin()
        return self.entered(start, encode_add_kind(&self.wire, &spec, b"vxlan", 0, &data))

    def add_macvlan(
        self, name, parent, *, mode="bridge", index=0, mac=None, mtu=0, master=0, group=0, up=False, queues=0,
        namespace=-1,
    ):
        """Make a macvlan: a MAC of its own on a parent device.

        Equivalent to: ``ip link add NAME link PARENT index I address MAC mtu M group G netns NS up type macvlan
        mode MODE``

        Parameters
        ----------
        parent : int
            The ifindex of the parent, in the socket's namespace.
        mode : str
            ``"private"``, ``"vepa"``, ``"bridge"``, ``"passthru"`` or ``"source"``.
        """
        cdef LinkSpec link
        cdef Options data
        cdef size_t start
        cdef uint32_t below
        data.count = 0
        read_link(name, index, mac, mtu, master, group, up, queues, namespace, &link)
        below = <uint32_t> read_number(parent, "parent", 1, INT_LIMIT)
        add_number(&data, IFLA_MACVLAN_MODE, 4, read_choice(mode, "mode", _MACVLAN_MODES), "mode", 0, 16)
        start = self.begin()
        return self.entered(start, encode_add_kind(&self.wire, &link, b"macvlan", below, &data))

    def add_ipvlan(
        self, name, parent, *, mode="l2", flags="bridge", index=0, mtu=0, master=0, group=0, up=False, queues=0,
        namespace=-1,
    ):
        """Make an ipvlan: IP addresses of its own on a parent device, with the parent's MAC.

        Equivalent to: ``ip link add NAME link PARENT index I mtu M group G netns NS up type ipvlan mode MODE FLAGS``

        Parameters
        ----------
        parent : int
            The ifindex of the parent, in the socket's namespace.
        mode : str
            ``"l2"``, ``"l3"`` or ``"l3s"``; the parent's other ipvlans change with it.
        flags : str
            ``"bridge"``, ``"private"`` or ``"vepa"``.
        """
        cdef LinkSpec link
        cdef Options data
        cdef size_t start
        cdef uint32_t below
        data.count = 0
        read_link(name, index, None, mtu, master, group, up, queues, namespace, &link)
        below = <uint32_t> read_number(parent, "parent", 1, INT_LIMIT)
        add_number(&data, IFLA_IPVLAN_MODE, 2, read_choice(mode, "mode", _IPVLAN_MODES), "mode", 0, 2)
        add_number(&data, IFLA_IPVLAN_FLAGS, 2, read_choice(flags, "flags", _IPVLAN_FLAGS), "flags", 0, 2)
        start = self.begin()
        return self.entered(start, encode_add_kind(&self.wire, &link, b"ipvlan", below, &data))

    def add_vlan(
        self, name, parent, vid, *, protocol="802.1q", index=0, mac=None, mtu=0, master=0, group=0, up=False,
        queues=0, namespace=-1,
    ):
        """Make a VLAN device on a parent device.

        Equivalent to: ``ip link add NAME link PARENT index I address MAC mtu M group G netns NS up type vlan
        protocol PROTOCOL id VID``

        Parameters
        ----------
        parent : int
            The ifindex of the parent, in the socket's namespace.
        vid : int
            0…4094.
        protocol : str
            ``"802.1q"`` or ``"802.1ad"``.
        """
        cdef LinkSpec link
        cdef Options data
        cdef size_t start
        cdef uint32_t below
        data.count = 0
        read_link(name, index, mac, mtu, master, group, up, queues, namespace, &link)
        below = <uint32_t> read_number(parent, "parent", 1, INT_LIMIT)
        add_number(&data, IFLA_VLAN_ID, 2, vid, "vid", 0, 4094)
        if not data.count:
            raise TypeError("vid must be an integer, not NoneType")
        add_big16(&data, IFLA_VLAN_PROTOCOL, read_choice(protocol, "protocol", _VLAN_PROTOCOLS))
        start = self.begin()
        return self.entered(start, encode_add_kind(&self.wire, &link, b"vlan", below, &data))

    def add_dummy(
        self, name, *, index=0, mac=None, mtu=0, master=0, group=0, up=False, queues=0, namespace=-1
    ):
        """Make a dummy: a device that swallows what it is given.

        Equivalent to: ``ip link add NAME index I address MAC mtu M master L group G netns NS up type dummy``
        """
        return self.add_link(
            name, b"dummy", index=index, mac=mac, mtu=mtu, master=master, group=group, up=up, queues=queues,
            namespace=namespace,
        )

    def add_ifb(
        self, name, *, index=0, mac=None, mtu=0, master=0, group=0, up=False, queues=0, namespace=-1
    ):
        """Make an intermediate functional block: a device that traffic is redirected to for shaping.

        Equivalent to: ``ip link add name NAME index I address MAC mtu M group G netns NS up type ifb``
        """
        return self.add_link(
            name, b"ifb", index=index, mac=mac, mtu=mtu, master=master, group=group, up=up, queues=queues,
            namespace=namespace,
        )

"""The verbs of addresses, routes and rules."""

import cython

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memset

from _fastnet.args cimport (
    INT_LIMIT,
    U32_LIMIT,
    read_address,
    read_choice,
    read_name,
    read_number,
    read_text,
)
from _fastnet.kindverbs cimport KindVerbs
from _fastnet.options cimport Options, add_number, add_raw
from _fastnet.rtnl cimport (
    FAMILY_IPV4,
    FAMILY_IPV6,
    FIB_RULE_INVERT,
    FR_ACT_BLACKHOLE,
    FR_ACT_PROHIBIT,
    FR_ACT_TO_TBL,
    FR_ACT_UNREACHABLE,
    FRA_DST,
    FRA_FWMARK,
    FRA_FWMASK,
    FRA_PRIORITY,
    FRA_SRC,
    FRA_SUPPRESS_PREFIXLEN,
    FRA_TABLE,
    IFA_F_HOMEADDRESS,
    IFA_F_MANAGETEMPADDR,
    IFA_F_NODAD,
    IFA_F_NOPREFIXROUTE,
    IFA_F_OPTIMISTIC,
    IFNAMSIZ,
    RT_SCOPE_HOST,
    RT_SCOPE_LINK,
    RT_SCOPE_UNIVERSE,
    RT_TABLE_LOCAL,
    RT_TABLE_MAIN,
    RTM_DELRULE,
    RTM_NEWRULE,
    RTN_BLACKHOLE,
    RTN_LOCAL,
    RTN_PROHIBIT,
    RTN_THROW,
    RTN_UNICAST,
    RTN_UNREACHABLE,
    RTPROT_STATIC,
    AddressSpec,
    FibRuleHeader,
    RouteSpec,
    encode_add_address,
    encode_add_route,
    encode_delete_address,
    encode_delete_route,
    encode_rule,
)
from _fastnet.wire cimport Span

_SCOPES = {"global": RT_SCOPE_UNIVERSE, "link": RT_SCOPE_LINK, "host": RT_SCOPE_HOST}
_ROUTE_TYPES = {
    "unicast": RTN_UNICAST, "local": RTN_LOCAL, "blackhole": RTN_BLACKHOLE, "unreachable": RTN_UNREACHABLE,
    "prohibit": RTN_PROHIBIT, "throw": RTN_THROW,
}
_RULE_ACTIONS = {
    "table": FR_ACT_TO_TBL, "blackhole": FR_ACT_BLACKHOLE, "unreachable": FR_ACT_UNREACHABLE,
    "prohibit": FR_ACT_PROHIBIT,
}


@cython.auto_pickle(False)
cdef class AddressVerbs(KindVerbs):
    """The verbs of addresses, routes and rules: see :class:`_fastnet.batch.Batch`."""

    # --------------------------------------------------------------------------------------------- addresses
    def add_address(
        self, index, address, prefix, *, nodad=True, replace=False, peer=None, scope="global", label=None,
        noprefixroute=False, home=False, optimistic=False, mngtmpaddr=False, metric=0, valid=None, preferred=None,
    ):
        """Give a link an address.

        Equivalent to: ``ip address add|replace ADDRESS [peer PEER]/PREFIX broadcast + dev INDEX scope SCOPE
        label LABEL metric M valid_lft V preferred_lft P nodad noprefixroute home optimistic mngtmpaddr``

        An IPv4 address of a prefix shorter than 31 and without a peer gets the subnet's last address as its
        broadcast address. ``nodad`` (no duplicate address detection: usable at once) is IPv6's alone and ignored
        for IPv4; so are ``home``, ``optimistic`` and ``mngtmpaddr``, but said there they are refused.

        Parameters
        ----------
        peer : bytes or None
            The other end of a point-to-point link; ``prefix`` is then the peer's.
        scope : str
            ``"global"``, ``"link"`` or ``"host"``; IPv6 knows by itself.
        label : str or bytes or None
            At most 15 bytes; IPv4 only.
        noprefixroute : bool
            No route to the prefix.
        metric : int
            Of the route to the prefix; 0 = the kernel's default.
        valid, preferred : int or None
            Seconds until the address goes, and until it is used no more for what begins; 4294967295 = for ever,
            None = for ever, or as ``valid``.
        """
        cdef AddressSpec spec
        cdef size_t start
        cdef bint ipv6
        self.address_spec(index, address, prefix, peer, &spec)
        ipv6 = spec.address.size == 16
        if not ipv6 and (home or optimistic or mngtmpaddr):
            raise ValueError("home, optimistic and mngtmpaddr are for IPv6 addresses")
        spec.scope = <uint8_t> read_choice(scope, "scope", _SCOPES)
        if label is not None:
            if ipv6:
                raise ValueError("a label is for an IPv4 address")
            read_text(label, "label", 1, IFNAMSIZ - 1, &spec.label)
        if nodad and ipv6:
            spec.flags |= IFA_F_NODAD
        if noprefixroute:
            spec.flags |= IFA_F_NOPREFIXROUTE
        if home:
            spec.flags |= IFA_F_HOMEADDRESS
        if optimistic:
            spec.flags |= IFA_F_OPTIMISTIC
        if mngtmpaddr:
            spec.flags |= IFA_F_MANAGETEMPADDR
        spec.metric = <uint32_t> read_number(metric, "metric", 0, U32_LIMIT)
        if valid is not None or preferred is not None:
            spec.mortal = True
            spec.valid = <uint32_t> read_number(U32_LIMIT if valid is None else valid, "valid", 1, U32_LIMIT)
            spec.preferred = <uint32_t> read_number(
                spec.valid if preferred is None else preferred, "preferred", 0, <int64_t> spec.valid
            )
        spec.replace = replace
        start = self.begin()
        return self.entered(start, encode_add_address(&self.wire, &spec))

    def delete_address(self, index, address, prefix, *, peer=None):
        """Take an address from a link.

        Equivalent to: ``ip address delete ADDRESS [peer PEER]/PREFIX dev INDEX``
        """
        cdef AddressSpec spec
        cdef size_t start
        self.address_spec(index, address, prefix, peer, &spec)
        start = self.begin()
        return self.entered(start, encode_delete_address(&self.wire, &spec))

    cdef int address_spec(
        self, object index, object address, object prefix, object peer, AddressSpec* spec
    ) except -1:
        memset(spec, 0, sizeof(spec[0]))
        spec.index = <int32_t> read_number(index, "index", 1, INT_LIMIT)
        read_address(address, "address", &spec.address)
        spec.prefix = <uint8_t> read_number(prefix, "prefix", 0, <int64_t> spec.address.size * 8)
        if peer is not None:
            read_address(peer, "peer", &spec.peer)
            if spec.peer.size != spec.address.size:
                raise ValueError("peer is of another family than the address")
        return 0

    # ------------------------------------------------------------------------------------------------ routes
    def add_route(
        self, destination=None, prefix=0, *, family=0, gateway=None, index=0, on_link=False, source=None,
        table=None, metric=0, type="unicast", scope=None, protocol=RTPROT_STATIC, mtu=0, replace=False,
    ):
        """Add a route.

        Equivalent to: ``ip route add|replace TYPE DESTINATION/PREFIX|default via [inet6] GATEWAY dev INDEX onlink
        src SOURCE table T metric M scope SCOPE proto P mtu MTU``

        Parameters
        ----------
        destination : bytes or None
            None = the default route, whose family ``family`` or the gateway (or the source) tells.
        prefix : int
            Bits of the destination; the bits behind it must be 0 (the kernel refuses them).
        family : int
            AF_INET or AF_INET6; 0 = as the addresses say.
        gateway : bytes
            Of an IPv4 route it may be an IPv6 address (RFC 5549), if destination or family tells IPv4.
        on_link : bool
            The gateway is on the link though no prefix of ours covers it.
        source : bytes
            The preferred source address of packets that take this route.
        table : int or None
            1…4294967295; None = 254, the main table, but 255 of ``type="local"``.
        metric : int
            0 = the kernel's default; the lowest wins.
        type : str
            ``"unicast"``; ``"local"``: what goes there is ours; ``"blackhole"``, ``"unreachable"``, ``"prohibit"``:
            drop it, in silence or with that answer; ``"throw"``: go on with the next rule. The last four have no
            gateway, index or on_link.
        scope : str or None
            ``"global"``, ``"link"`` or ``"host"`` (IPv4's notion); None = host of a local route, link of one
            without a gateway, else global.
        protocol : int
            Who made it, 0…255; 4 = RTPROT_STATIC, an administrator.
        mtu : int
            0 = the device's.
        """
        cdef RouteSpec spec
        cdef size_t start
        cdef bint drops
        self.route_spec(destination, prefix, family, gateway, index, source, table, metric, type, protocol, &spec)
        drops = spec.type != RTN_UNICAST and spec.type != RTN_LOCAL
        spec.on_link = on_link
        spec.replace = replace
        spec.mtu = <uint32_t> read_number(mtu, "mtu", 0, INT_LIMIT)
        if drops and (spec.gateway.data != NULL or spec.index or spec.on_link):
            raise ValueError(f"a route of type {type} has no gateway, index or on_link")
        if spec.type == RTN_LOCAL and (spec.gateway.data != NULL or not spec.index):
            raise ValueError("a local route needs an index, and no gateway")
        if spec.type == RTN_UNICAST and spec.gateway.data == NULL and not spec.index:
            raise ValueError("a route needs a gateway or an index")
        if spec.on_link and (spec.gateway.data == NULL or not spec.index):
            raise ValueError("on_link needs a gateway and an index")
        if scope is not None:
            spec.scope = <uint8_t> read_choice(scope, "scope", _SCOPES)
        elif spec.family == FAMILY_IPV4:
            if spec.type == RTN_LOCAL:
                spec.scope = RT_SCOPE_HOST
            elif not drops and spec.gateway.data == NULL:
                spec.scope = RT_SCOPE_LINK
        start = self.begin()
        return self.entered(start, encode_add_route(&self.wire, &spec))

    def delete_route(
        self, destination=None, prefix=0, *, family=0, gateway=None, index=0, table=None, metric=0, type=None,
        protocol=0,
    ):
        """Delete a route.

        Equivalent to: ``ip route delete [TYPE] DESTINATION/PREFIX|default via GATEWAY dev INDEX table T metric M
        proto P``

        What is not given matches any (of the table: 254, or 255 of ``type="local"``); the first route that matches
        goes. Of IPv6 routes the kernel does not look at the type.
        """
        cdef RouteSpec spec
        cdef size_t start
        self.route_spec(destination, prefix, family, gateway, index, None, table, metric, type, protocol, &spec)
        start = self.begin()
        return self.entered(start, encode_delete_route(&self.wire, &spec))

    cdef int route_spec(
        self, object destination, object prefix, object family, object gateway, object index, object source,
        object table, object metric, object type, object protocol, RouteSpec* spec,
    ) except -1:
        memset(spec, 0, sizeof(spec[0]))
        spec.family = <uint8_t> read_number(family, "family", 0, FAMILY_IPV6)
        if spec.family not in (0, FAMILY_IPV4, FAMILY_IPV6):
            raise ValueError(f"family must be AF_INET, AF_INET6 or 0, not {family}")
        if destination is not None:
            read_address(destination, "destination", &spec.destination)
            same_family(&spec.family, spec.destination.size, "destination")
        if source is not None:
            read_address(source, "source", &spec.source)
            same_family(&spec.family, spec.source.size, "source")
        if gateway is not None:
            read_address(gateway, "gateway", &spec.gateway)
            if not (spec.family == FAMILY_IPV4 and spec.gateway.size == 16):
                same_family(&spec.family, spec.gateway.size, "gateway")
        if not spec.family:
            raise ValueError("the default route needs family, gateway or source to tell its family")
        spec.prefix = <uint8_t> read_number(
            prefix, "prefix", 0, 0 if destination is None else <int> spec.destination.size * 8
        )
        if type is not None:
            spec.type = <uint8_t> read_choice(type, "type", _ROUTE_TYPES)
        spec.index = <int32_t> read_number(index, "index", 0, INT_LIMIT)
        if table is not None:
            spec.table = <uint32_t> read_number(table, "table", 1, U32_LIMIT)
        else:
            spec.table = <uint32_t> (RT_TABLE_LOCAL if spec.type == RTN_LOCAL else RT_TABLE_MAIN)
        spec.metric = <uint32_t> read_number(metric, "metric", 0, U32_LIMIT)
        spec.protocol = <uint8_t> read_number(protocol, "protocol", 0, 255)
        return 0

    # ------------------------------------------------------------------------------------------------- rules
    def add_rule(
        self, *, family=0, source=None, source_prefix=None, destination=None, destination_prefix=None, iif=None,
        oif=None, mark=None, mask=None, table=RT_TABLE_MAIN, priority=None, action="table", invert=False,
        suppress_prefix=None,
    ):
        """Add a rule: which packets are routed by which table.

        Equivalent to: ``ip rule add [not] from SOURCE/BITS to DESTINATION/BITS iif NAME oif NAME fwmark MARK/MASK
        priority P table T|blackhole|unreachable|prohibit suppress_prefixlength N``

        Parameters
        ----------
        family : int
            AF_INET or AF_INET6; 0 = as the addresses say, and IPv4 where there is none.
        source, destination : bytes or None
            Prefixes that the packet's addresses must lie in; None = any.
        source_prefix, destination_prefix : int or None
            Their bits; None = all.
        iif, oif : str or bytes or None
            Names of the devices the packet came by, and the socket is bound to.
        mark, mask : int or None
            The packet's mark, of which the mask's bits count; mask None = all.
        table : int
            1…4294967295; of ``action="table"``.
        priority : int or None
            The lowest comes first; None = one less than the second rule's.
        action : str
            ``"table"``, ``"blackhole"``, ``"unreachable"`` or ``"prohibit"``.
        invert : bool
            The rule is for what does not match.
        suppress_prefix : int or None
            Refuse the table's answer where its prefix has at most so many bits; 0 = a default route.
        """
        return self.put_rule(
            RTM_NEWRULE, family, source, source_prefix, destination, destination_prefix, iif, oif, mark, mask, table,
            priority, action, invert, suppress_prefix,
        )

    def delete_rule(
        self, *, family=0, source=None, source_prefix=None, destination=None, destination_prefix=None, iif=None,
        oif=None, mark=None, mask=None, table=None, priority=None, action=None, invert=False, suppress_prefix=None,
    ):
        """Delete the first rule that has all that is given.

        Equivalent to: ``ip rule delete from SOURCE/BITS to DESTINATION/BITS iif NAME oif NAME fwmark MARK/MASK
        priority P table T``

        Raises
        ------
        ValueError
            Nothing at all is given: the first rule of every namespace leads to what is local.
        """
        return self.put_rule(
            RTM_DELRULE, family, source, source_prefix, destination, destination_prefix, iif, oif, mark, mask, table,
            priority, action, invert, suppress_prefix,
        )

    cdef object put_rule(
        self, uint16_t type, object family, object source, object source_prefix, object destination,
        object destination_prefix, object iif, object oif, object mark, object mask, object table, object priority,
        object action, object invert, object suppress_prefix,
    ):
        cdef FibRuleHeader head
        cdef Options attributes
        cdef Span address, incoming, outgoing
        cdef size_t start
        memset(&head, 0, sizeof(head))
        memset(&incoming, 0, sizeof(incoming))
        memset(&outgoing, 0, sizeof(outgoing))
        attributes.count = 0
        head.family = <uint8_t> read_number(family, "family", 0, FAMILY_IPV6)
        if head.family not in (0, FAMILY_IPV4, FAMILY_IPV6):
            raise ValueError(f"family must be AF_INET, AF_INET6 or 0, not {family}")
        if source is not None:
            read_address(source, "source", &address)
            same_family(&head.family, address.size, "source")
            head.source_prefix = read_bits(source_prefix, "source_prefix", address.size)
            add_raw(&attributes, FRA_SRC, address.data, address.size)
        elif source_prefix is not None:
            raise ValueError("source_prefix needs source")
        if destination is not None:
            read_address(destination, "destination", &address)
            same_family(&head.family, address.size, "destination")
            head.destination_prefix = read_bits(destination_prefix, "destination_prefix", address.size)
            add_raw(&attributes, FRA_DST, address.data, address.size)
        elif destination_prefix is not None:
            raise ValueError("destination_prefix needs destination")
        if not head.family:
            head.family = FAMILY_IPV4
        if iif is not None:
            read_name(iif, "iif", &incoming)
        if oif is not None:
            read_name(oif, "oif", &outgoing)
        add_number(&attributes, FRA_FWMARK, 4, mark, "mark", 0, U32_LIMIT)
        if mask is not None and mark is None:
            raise ValueError("mask needs mark")
        add_number(&attributes, FRA_FWMASK, 4, mask, "mask", 0, U32_LIMIT)
        add_number(&attributes, FRA_PRIORITY, 4, priority, "priority", 0, U32_LIMIT)
        add_number(&attributes, FRA_SUPPRESS_PREFIXLEN, 4, suppress_prefix, "suppress_prefix", 0, 128)
        if action is not None:
            head.action = <uint8_t> read_choice(action, "action", _RULE_ACTIONS)
        if invert:
            head.flags = FIB_RULE_INVERT
        if head.action == FR_ACT_TO_TBL or action is None:
            if table is not None:
                read_number(table, "table", 1, U32_LIMIT)
                if table < 256:
                    head.table = <uint8_t> table
                add_number(&attributes, FRA_TABLE, 4, table, "table", 1, U32_LIMIT)
        if type == RTM_DELRULE and not attributes.count and not head.action and iif is None and oif is None:
            raise ValueError("delete_rule needs to be told which rule")
        start = self.begin()
        return self.entered(start, encode_rule(&self.wire, type, &head, incoming, outgoing, &attributes))


cdef uint8_t read_bits(object value, str what, size_t size) except? 255:
    """Bits of a prefix; None = all."""
    return <uint8_t> read_number(size * 8 if value is None else value, what, 0, <int64_t> size * 8)


cdef int same_family(uint8_t* family, size_t size, str what) except -1:
    """Let an address tell the family, or raise where something told another one."""
    cdef uint8_t told = <uint8_t> (FAMILY_IPV4 if size == 4 else FAMILY_IPV6)
    if family[0] and family[0] != told:
        raise ValueError(f"{what} is of another family than the rest")
    family[0] = told
    return 0

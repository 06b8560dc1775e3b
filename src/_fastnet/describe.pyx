"""Messages in people's words, read from their own bytes. C level only.

Everything that is read goes through the bounds-checked cursor, so bytes that are no message give a text, not a crash.
"""

from sys import byteorder as _byteorder

from libc.stdint cimport uint16_t, uint32_t
from libc.string cimport memcpy, memset

from _fastnet import words as _words

from _fastnet.linkinfo cimport IFLA_INET_CONF, IFLA_INFO_SLAVE_DATA
from _fastnet.rtnl cimport (
    FAMILY_BRIDGE,
    FAMILY_IPV4,
    FAMILY_IPV6,
    FIB_RULE_INVERT,
    FRA_DST,
    FRA_FWMARK,
    FRA_FWMASK,
    FRA_IIFNAME,
    FRA_OIFNAME,
    FRA_PRIORITY,
    FRA_SRC,
    FRA_SUPPRESS_PREFIXLEN,
    FRA_TABLE,
    FR_ACT_TO_TBL,
    IFA_ADDRESS,
    IFA_BROADCAST,
    IFA_CACHEINFO,
    IFA_FLAGS,
    IFA_F_HOMEADDRESS,
    IFA_F_MANAGETEMPADDR,
    IFA_F_NODAD,
    IFA_F_NOPREFIXROUTE,
    IFA_F_OPTIMISTIC,
    IFA_LABEL,
    IFA_LOCAL,
    IFA_RT_PRIORITY,
    IFF_UP,
    IFLA_ADDRESS,
    IFLA_AF_SPEC,
    IFLA_GROUP,
    IFLA_IFALIAS,
    IFLA_IFNAME,
    IFLA_INET6_ADDR_GEN_MODE,
    IFLA_INFO_DATA,
    IFLA_INFO_KIND,
    IFLA_LINK,
    IFLA_LINKINFO,
    IFLA_MASTER,
    IFLA_MTU,
    IFLA_NET_NS_FD,
    IFLA_NUM_RX_QUEUES,
    IFLA_PROTINFO,
    NDA_DST,
    NDA_IFINDEX,
    NDA_LLADDR,
    NDA_PORT,
    NDA_VLAN,
    NDA_VNI,
    NTF_EXT_LEARNED,
    NTF_MASTER,
    NTF_PROXY,
    NTF_ROUTER,
    NTF_STICKY,
    NUD_NOARP,
    NUD_PERMANENT,
    NUD_REACHABLE,
    RTAX_MTU,
    RTA_DST,
    RTA_GATEWAY,
    RTA_METRICS,
    RTA_OIF,
    RTA_PREFSRC,
    RTA_PRIORITY,
    RTA_TABLE,
    RTA_VIA,
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_DELNEIGH,
    RTM_DELROUTE,
    RTM_DELRULE,
    RTM_GETLINK,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWNEIGH,
    RTM_NEWROUTE,
    RTM_NEWRULE,
    RTM_SETLINK,
    RTNH_F_ONLINK,
    RTN_UNICAST,
    RTN_UNSPEC,
    RTPROT_STATIC,
    VETH_INFO_PEER,
    FibRuleHeader,
    IfAddrMsg,
    IfInfoMsg,
    NdMsg,
    RtMsg,
)
from _fastnet.wire cimport (
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_REPLACE,
    Attribute,
    Cursor,
    MessageHeader,
    Span,
    bytes_of,
    next_attribute,
    next_message,
)


_ADDRESS_FLAGS = (
    (IFA_F_NODAD, "nodad"),
    (IFA_F_NOPREFIXROUTE, "noprefixroute"),
    (IFA_F_HOMEADDRESS, "home"),
    (IFA_F_OPTIMISTIC, "optimistic"),
    (IFA_F_MANAGETEMPADDR, "mngtmpaddr"),
)
_NEIGHBOUR_FLAGS = ((NTF_ROUTER, "router"), (NTF_EXT_LEARNED, "extern_learn"), (NTF_STICKY, "sticky"))
_FDB_WORDS = (
    (NDA_DST, "dst", "ip"),
    (NDA_VLAN, "vlan", "number"),
    (NDA_PORT, "port", "big"),
    (NDA_VNI, "vni", "number"),
    (NDA_IFINDEX, "via", "number"),
)


cdef bint take(Cursor* cursor, void* out, size_t size) noexcept:
    """Read a fixed head; False where the message is too short for it."""
    memset(out, 0, size)
    if <size_t> (cursor.end - cursor.at) < size:
        return False
    memcpy(out, cursor.at, size)
    cursor.at += size
    return True


cdef Cursor inside(Span value) noexcept:
    cdef Cursor cursor
    cursor.at = value.data
    cursor.end = value.data + value.size
    return cursor


cdef Span find(Cursor cursor, uint16_t kind) noexcept:
    """The first attribute of a kind; data NULL where there is none."""
    cdef Attribute attribute
    cdef Span nothing
    nothing.data = NULL
    nothing.size = 0
    while next_attribute(&cursor, &attribute) == 1:
        if attribute.type == kind:
            return attribute.value
    return nothing


cdef str text(Span value):
    return bytes_of(value).rstrip(b"\0").decode("utf-8", "replace")


cdef uint32_t number(Span value) noexcept:
    cdef uint32_t result = 0
    if value.data != NULL and value.size >= sizeof(result):
        memcpy(&result, value.data, sizeof(result))
    return result


cdef str address(Span value):
    """An IP address, or colon-separated bytes where it is none."""
    from socket import AF_INET, AF_INET6, inet_ntop
    cdef bytes raw = bytes_of(value)
    if len(raw) == 4:
        return inet_ntop(AF_INET, raw)
    if len(raw) == 16:
        return inet_ntop(AF_INET6, raw)
    return raw.hex(":")


cdef str told(Span value, str form):
    """The value of an attribute in the form that a table of ``words`` says."""
    cdef bytes raw = bytes_of(value)
    if form == "switch":
        return "on" if any(raw) else "off"
    if form == "big":
        return str(int.from_bytes(raw, "big"))
    if form == "hex":
        return "0x" + raw.hex()
    if form == "ip":
        return address(value)
    return str(int.from_bytes(raw, _byteorder))


cdef list table_words(Span nest, dict table):
    """The attributes of a nest whose types a table names; others by their number."""
    cdef list words = []
    cdef Attribute attribute
    cdef Cursor cursor = inside(nest)
    while next_attribute(&cursor, &attribute) == 1:
        word, form = table.get(attribute.type, (f"attribute {attribute.type}", "number"))
        words.append(f"{word} {told(attribute.value, form)}")
    return words


cdef list flag_words(uint32_t flags, tuple table):
    return [word for bit, word in table if flags & bit]


cdef str verb_of(const MessageHeader* header, bint adding):
    if not adding:
        return "delete"
    if header.flags & NLM_F_REPLACE:
        return "replace"
    return "append" if header.flags & NLM_F_APPEND else "add"


cdef list link_words(Cursor cursor, const IfInfoMsg* head, tuple skip):
    """The attributes of one end of a link."""
    cdef list words = []
    cdef Attribute attribute
    cdef Cursor inner
    cdef IfInfoMsg peer
    cdef Span found
    cdef uint16_t type
    if head.index and "index" not in skip:
        words.append(f"index {head.index}")
    while next_attribute(&cursor, &attribute) == 1:
        type = attribute.type
        if type == IFLA_IFNAME and "name" not in skip:
            words.append(f"name {text(attribute.value)}")
        elif type == IFLA_ADDRESS:
            words.append(f"address {address(attribute.value)}")
        elif type == IFLA_MTU:
            words.append(f"mtu {number(attribute.value)}")
        elif type == IFLA_LINK:
            words.append(f"link {number(attribute.value)}")
        elif type == IFLA_MASTER:
            words.append(f"master {number(attribute.value)}" if number(attribute.value) else "nomaster")
        elif type == IFLA_GROUP and "group" not in skip:
            words.append(f"group {number(attribute.value)}")
        elif type == IFLA_NUM_RX_QUEUES:
            words.append(f"queues {number(attribute.value)}")
        elif type == IFLA_NET_NS_FD:
            words.append(f"netns fd {number(attribute.value)}")
        elif type == IFLA_IFALIAS:
            words.append(f"alias {text(attribute.value)!r}")
        elif type == IFLA_PROTINFO:
            words += table_words(attribute.value, _words.BRIDGE_PORT)
        elif type == IFLA_AF_SPEC:
            found = find(inside(find(inside(attribute.value), FAMILY_IPV6)), IFLA_INET6_ADDR_GEN_MODE)
            if found.data != NULL and found.size:
                words.append(f"addrgenmode {found.data[0]}")
            found = find(inside(find(inside(attribute.value), FAMILY_IPV4)), IFLA_INET_CONF)
            words += table_words(found, _words.IPV4_SWITCHES)
        elif type == IFLA_LINKINFO:
            words += table_words(find(inside(attribute.value), IFLA_INFO_SLAVE_DATA), _words.BRIDGE_PORT)
            kind = text(find(inside(attribute.value), IFLA_INFO_KIND))
            found = find(inside(attribute.value), IFLA_INFO_DATA)
            if kind == "veth":
                found = find(inside(found), VETH_INFO_PEER)
                if found.data != NULL:
                    inner = inside(found)
                    take(&inner, &peer, sizeof(peer))
                    words.append(f"peer ({' '.join(link_words(inner, &peer, ()))})")
            else:
                words += table_words(found, _words.KINDS.get(kind, {}))
    if head.change & IFF_UP:
        words.append("up" if head.flags & IFF_UP else "down")
    return words


cdef str link_line(const MessageHeader* header, Cursor cursor, bint whole):
    cdef IfInfoMsg head
    cdef Span name, group
    cdef str verb, subject
    cdef tuple skip
    take(&cursor, &head, sizeof(head))
    name = find(cursor, IFLA_IFNAME)
    group = find(cursor, IFLA_GROUP)
    if header.type == RTM_NEWLINK and header.flags & NLM_F_CREATE:
        subject = text(find(inside(find(cursor, IFLA_LINKINFO)), IFLA_INFO_KIND)) + " " + text(name)
        verb, skip = "add", ("name",)
    else:
        verb = {RTM_DELLINK: "delete", RTM_GETLINK: "get"}.get(header.type, "set")
        subject = "bridge port" if is_port(&head, cursor) else "link"
        if head.index:
            subject, skip = f"{subject} {head.index}", ("index",)
        elif name.data != NULL:
            subject, skip = f"{subject} {text(name)}", ("name",)
        else:
            subject, skip = f"links of group {number(group)}", ("group",)
    return " ".join([verb, subject, *(link_words(cursor, &head, skip) if whole else ())])


cdef bint is_port(const IfInfoMsg* head, Cursor cursor) noexcept:
    if head.family == FAMILY_BRIDGE:
        return find(cursor, IFLA_PROTINFO).data != NULL
    return find(inside(find(cursor, IFLA_LINKINFO)), IFLA_INFO_SLAVE_DATA).data != NULL


cdef str address_line(const MessageHeader* header, Cursor cursor, bint whole):
    cdef IfAddrMsg head
    cdef Span own, found
    cdef list words
    take(&cursor, &head, sizeof(head))
    own = find(cursor, IFA_LOCAL)
    if own.data == NULL:
        own = find(cursor, IFA_ADDRESS)
    words = [verb_of(header, header.type == RTM_NEWADDR), f"address {address(own)}/{head.prefix} on link {head.index}"]
    if whole:
        found = find(cursor, IFA_ADDRESS)
        if address(found) != address(own):
            words.append(f"peer {address(found)}")
        if head.scope:
            words.append(f"scope {_words.SCOPES.get(head.scope, head.scope)}")
        for type, word in (IFA_BROADCAST, "broadcast"), (IFA_LABEL, "label"), (IFA_RT_PRIORITY, "metric"):
            found = find(cursor, <uint16_t> type)
            if found.data != NULL:
                words.append(
                    f"{word} " + (text(found) if type == IFA_LABEL else told(found, "ip" if word == "broadcast" else ""))
                )
        found = find(cursor, IFA_CACHEINFO)
        if found.size >= 8:
            words.append("valid_lft {1} preferred_lft {0}".format(*memory_words(found)))
        words += flag_words(number(find(cursor, IFA_FLAGS)), _ADDRESS_FLAGS)
    return " ".join(words)


cdef tuple memory_words(Span value):
    """The first two words of a structure."""
    cdef uint32_t pair[2]
    memcpy(pair, value.data, sizeof(pair))
    return pair[0], pair[1]


cdef str route_line(const MessageHeader* header, Cursor cursor, bint whole):
    cdef RtMsg head
    cdef Span found
    cdef list words
    take(&cursor, &head, sizeof(head))
    words = [verb_of(header, header.type == RTM_NEWROUTE)]
    if head.type not in (RTN_UNSPEC, RTN_UNICAST):
        words.append(_words.ROUTE_TYPES.get(head.type, f"type {head.type}"))
    words.append("route")
    found = find(cursor, RTA_DST)
    if found.data != NULL:
        words.append(f"{address(found)}/{head.prefix}")
    else:
        words.append("default (IPv4)" if head.family == FAMILY_IPV4 else "default (IPv6)")
    found = find(cursor, RTA_GATEWAY)
    if found.data != NULL:
        words.append(f"via {address(found)}")
    found = find(cursor, RTA_VIA)
    if found.size > 2:
        found.data += 2
        found.size -= 2
        words.append(f"via {address(found)}")
    found = find(cursor, RTA_OIF)
    if found.data != NULL:
        words.append(f"on link {number(found)}")
    if whole:
        if head.flags & RTNH_F_ONLINK:
            words.append("onlink")
        found = find(cursor, RTA_PREFSRC)
        if found.data != NULL:
            words.append(f"src {address(found)}")
        found = find(cursor, RTA_PRIORITY)
        if found.data != NULL:
            words.append(f"metric {number(found)}")
        found = find(inside(find(cursor, RTA_METRICS)), RTAX_MTU)
        if found.data != NULL:
            words.append(f"mtu {number(found)}")
        if head.protocol and head.protocol != RTPROT_STATIC:
            words.append(f"proto {head.protocol}")
        found = find(cursor, RTA_TABLE)
        words.append(f"table {number(found) if found.data != NULL else head.table}")
    return " ".join(words)


cdef str neighbour_line(const MessageHeader* header, Cursor cursor, bint whole):
    cdef NdMsg head
    cdef Span found
    cdef bint forwarding
    cdef bint adding = header.type == RTM_NEWNEIGH
    cdef list words
    take(&cursor, &head, sizeof(head))
    forwarding = head.family == FAMILY_BRIDGE
    if forwarding:
        subject = f"fdb {address(find(cursor, NDA_LLADDR))}"
    else:
        subject = ("proxy " if head.flags & NTF_PROXY else "neighbour ") + address(find(cursor, NDA_DST))
    words = [verb_of(header, adding), subject, f"on link {head.index}"]
    if whole:
        if forwarding:
            words.append("master" if head.flags & NTF_MASTER else "self")
        if not forwarding:
            found = find(cursor, NDA_LLADDR)
            if found.data != NULL:
                words.append(f"lladdr {address(found)}")
        if adding and not head.flags & NTF_PROXY:
            words.append((_words.FDB_STATES if forwarding else _words.NEIGHBOUR_STATES).get(head.state, f"state {head.state}"))
        if forwarding:
            for type, word, form in _FDB_WORDS:
                found = find(cursor, <uint16_t> type)
                if found.data != NULL:
                    words.append(f"{word} {told(found, form)}")
        words += flag_words(head.flags, _NEIGHBOUR_FLAGS)
    return " ".join(words)


cdef str rule_line(const MessageHeader* header, Cursor cursor, bint whole):
    cdef FibRuleHeader head
    cdef Span found
    cdef list words
    take(&cursor, &head, sizeof(head))
    words = [verb_of(header, header.type == RTM_NEWRULE), "rule"]
    found = find(cursor, FRA_PRIORITY)
    if found.data != NULL:
        words.append(str(number(found)))
    words.append("(IPv4)" if head.family == FAMILY_IPV4 else "(IPv6)")
    if whole:
        if head.flags & FIB_RULE_INVERT:
            words.append("not")
        for type, word, bits in (FRA_SRC, "from", head.source_prefix), (FRA_DST, "to", head.destination_prefix):
            found = find(cursor, <uint16_t> type)
            if found.data != NULL:
                words.append(f"{word} {address(found)}/{bits}")
        for type, word in (FRA_IIFNAME, "iif"), (FRA_OIFNAME, "oif"):
            found = find(cursor, <uint16_t> type)
            if found.data != NULL:
                words.append(f"{word} {text(found)}")
        for type, word in (FRA_FWMARK, "fwmark"), (FRA_FWMASK, "mask"), (FRA_SUPPRESS_PREFIXLEN, "suppress_prefixlength"):
            found = find(cursor, <uint16_t> type)
            if found.data != NULL:
                words.append(f"{word} {number(found)}")
        found = find(cursor, FRA_TABLE)
        if found.data != NULL:
            words.append(f"table {number(found)}")
        if head.action and head.action != FR_ACT_TO_TBL:
            words.append(_words.RULE_ACTIONS.get(head.action, f"action {head.action}"))
    return " ".join(words)


cdef str render(Span message, bint whole):
    cdef Cursor cursor = inside(message)
    cdef Cursor body
    cdef MessageHeader header
    if next_message(&cursor, &header, &body) != 1:
        return "not a message"
    if header.type in (RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK):
        return link_line(&header, body, whole)
    if header.type in (RTM_NEWADDR, RTM_DELADDR):
        return address_line(&header, body, whole)
    if header.type in (RTM_NEWROUTE, RTM_DELROUTE):
        return route_line(&header, body, whole)
    if header.type in (RTM_NEWNEIGH, RTM_DELNEIGH):
        return neighbour_line(&header, body, whole)
    if header.type in (RTM_NEWRULE, RTM_DELRULE):
        return rule_line(&header, body, whole)
    return f"message of type {header.type}"


cdef str operation_of(Span message):
    return render(message, False)


cdef str line_of(Span message):
    return render(message, True)

"""Messages in people's words, read from their own bytes. C level only.

Everything that is read goes through the bounds-checked cursor, so bytes that are no message give a text, not a crash.
"""

from libc.stdint cimport uint16_t, uint32_t
from libc.string cimport memcpy, memset

from _fastnet.rtnl cimport (
    FAMILY_IPV4,
    FAMILY_IPV6,
    IFA_ADDRESS,
    IFA_BROADCAST,
    IFA_F_NODAD,
    IFA_FLAGS,
    IFA_LOCAL,
    IFF_UP,
    IFLA_ADDRESS,
    IFLA_AF_SPEC,
    IFLA_GROUP,
    IFLA_IFALIAS,
    IFLA_IFNAME,
    IFLA_INET6_ADDR_GEN_MODE,
    IFLA_INFO_DATA,
    IFLA_INFO_KIND,
    IFLA_LINKINFO,
    IFLA_MASTER,
    IFLA_MTU,
    IFLA_NET_NS_FD,
    IFLA_NUM_RX_QUEUES,
    NDA_DST,
    NDA_LLADDR,
    NUD_PERMANENT,
    RTA_DST,
    RTA_GATEWAY,
    RTA_OIF,
    RTA_PREFSRC,
    RTA_PRIORITY,
    RTA_TABLE,
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_DELNEIGH,
    RTM_DELROUTE,
    RTM_GETLINK,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWNEIGH,
    RTM_NEWROUTE,
    RTM_SETLINK,
    RTN_BLACKHOLE,
    RTNH_F_ONLINK,
    VETH_INFO_PEER,
    IfAddrMsg,
    IfInfoMsg,
    NdMsg,
    RtMsg,
)
from _fastnet.wire cimport (
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


cdef str link_words(Cursor cursor, const IfInfoMsg* head, list skip):
    """The attributes of one end of a link."""
    cdef list words = []
    cdef Attribute attribute
    cdef Cursor inner
    cdef IfInfoMsg peer
    cdef Span found
    if head.index and "index" not in skip:
        words.append(f"index {head.index}")
    while next_attribute(&cursor, &attribute) == 1:
        if attribute.type == IFLA_IFNAME and "name" not in skip:
            words.append(f"name {text(attribute.value)}")
        elif attribute.type == IFLA_ADDRESS:
            words.append(f"address {address(attribute.value)}")
        elif attribute.type == IFLA_MTU:
            words.append(f"mtu {number(attribute.value)}")
        elif attribute.type == IFLA_MASTER:
            words.append(f"master {number(attribute.value)}" if number(attribute.value) else "nomaster")
        elif attribute.type == IFLA_GROUP and "group" not in skip:
            words.append(f"group {number(attribute.value)}")
        elif attribute.type == IFLA_NUM_RX_QUEUES:
            words.append(f"queues {number(attribute.value)}")
        elif attribute.type == IFLA_NET_NS_FD:
            words.append(f"netns fd {number(attribute.value)}")
        elif attribute.type == IFLA_IFALIAS:
            words.append(f"alias {text(attribute.value)!r}")
        elif attribute.type == IFLA_AF_SPEC:
            found = find(inside(find(inside(attribute.value), FAMILY_IPV6)), IFLA_INET6_ADDR_GEN_MODE)
            if found.data != NULL and found.size:
                words.append(f"addrgenmode {found.data[0]}")
        elif attribute.type == IFLA_LINKINFO:
            found = find(inside(find(inside(attribute.value), IFLA_INFO_DATA)), VETH_INFO_PEER)
            if found.data != NULL:
                inner = inside(found)
                take(&inner, &peer, sizeof(peer))
                words.append(f"peer ({link_words(inner, &peer, [])})")
    if head.change & IFF_UP:
        words.append("up" if head.flags & IFF_UP else "down")
    return " ".join(words)


cdef str link_line(const MessageHeader* header, Cursor cursor, bint whole):
    cdef IfInfoMsg head
    cdef Span name, group
    cdef str verb, subject, rest
    take(&cursor, &head, sizeof(head))
    name = find(cursor, IFLA_IFNAME)
    group = find(cursor, IFLA_GROUP)
    cdef list skip
    if header.type == RTM_NEWLINK and header.flags & NLM_F_CREATE:
        subject = text(find(inside(find(cursor, IFLA_LINKINFO)), IFLA_INFO_KIND)) + " " + text(name)
        verb, skip = "add", ["name"]
    else:
        verb = {RTM_DELLINK: "delete", RTM_GETLINK: "get"}.get(header.type, "set")
        if head.index:
            subject, skip = f"link {head.index}", ["index"]
        elif name.data != NULL:
            subject, skip = f"link {text(name)}", ["name"]
        else:
            subject, skip = f"links of group {number(group)}", ["group"]
    rest = link_words(cursor, &head, skip) if whole else ""
    return f"{verb} {subject} {rest}".rstrip()


cdef str address_line(const MessageHeader* header, Cursor cursor, bint whole):
    cdef IfAddrMsg head
    cdef Span own, broadcast
    take(&cursor, &head, sizeof(head))
    own = find(cursor, IFA_LOCAL)
    if own.data == NULL:
        own = find(cursor, IFA_ADDRESS)
    cdef str verb = "delete"
    if header.type == RTM_NEWADDR:
        verb = "replace" if header.flags & NLM_F_REPLACE else "add"
    cdef str line = f"{verb} address {address(own)}/{head.prefix} on link {head.index}"
    if whole:
        broadcast = find(cursor, IFA_BROADCAST)
        if broadcast.data != NULL:
            line += f" broadcast {address(broadcast)}"
        if number(find(cursor, IFA_FLAGS)) & IFA_F_NODAD:
            line += " nodad"
    return line


cdef str route_line(const MessageHeader* header, Cursor cursor, bint whole):
    cdef RtMsg head
    cdef Span found
    take(&cursor, &head, sizeof(head))
    cdef str verb = "delete"
    if header.type == RTM_NEWROUTE:
        verb = "replace" if header.flags & NLM_F_REPLACE else "add"
    cdef str line = verb + (" blackhole" if head.type == RTN_BLACKHOLE else "") + " route "
    found = find(cursor, RTA_DST)
    if found.data != NULL:
        line += f"{address(found)}/{head.prefix}"
    else:
        line += "default (IPv4)" if head.family == FAMILY_IPV4 else "default (IPv6)"
    found = find(cursor, RTA_GATEWAY)
    if found.data != NULL:
        line += f" via {address(found)}"
    found = find(cursor, RTA_OIF)
    if found.data != NULL:
        line += f" on link {number(found)}"
    if whole:
        if head.flags & RTNH_F_ONLINK:
            line += " onlink"
        found = find(cursor, RTA_PREFSRC)
        if found.data != NULL:
            line += f" src {address(found)}"
        found = find(cursor, RTA_PRIORITY)
        if found.data != NULL:
            line += f" metric {number(found)}"
        found = find(cursor, RTA_TABLE)
        line += f" table {number(found) if found.data != NULL else head.table}"
    return line


cdef str neighbour_line(const MessageHeader* header, Cursor cursor, bint whole):
    cdef NdMsg head
    cdef Span found
    take(&cursor, &head, sizeof(head))
    cdef str verb = "delete"
    if header.type == RTM_NEWNEIGH:
        verb = "replace" if header.flags & NLM_F_REPLACE else "add"
    cdef str line = f"{verb} neighbour {address(find(cursor, NDA_DST))} on link {head.index}"
    if whole:
        found = find(cursor, NDA_LLADDR)
        if found.data != NULL:
            line += f" lladdr {address(found)} " + ("permanent" if head.state & NUD_PERMANENT else "reachable")
    return line


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
    return f"message of type {header.type}"


cdef str operation_of(Span message):
    return render(message, False)


cdef str line_of(Span message):
    return render(message, True)

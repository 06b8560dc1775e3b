"""What the kinds of links, bridge ports and IPv4 stacks of links may be told. C level only.

The kernel's structures and constants stand in ``linkinfo.pxd``, each under the kernel's own definition.
"""

from libc.stdint cimport uint16_t, uint32_t
from libc.string cimport memset, strlen

from _fastnet.options cimport Options, put_options
from _fastnet.rtnl cimport (
    FAMILY_BRIDGE,
    FAMILY_IPV4,
    IFLA_AF_SPEC,
    IFLA_IFNAME,
    IFLA_GROUP,
    IFLA_INFO_DATA,
    IFLA_INFO_KIND,
    IFLA_LINK,
    IFLA_LINKINFO,
    IFLA_PROTINFO,
    RTM_NEWLINK,
    RTM_SETLINK,
    IfInfoMsg,
    LinkKey,
    LinkSpec,
    info_of,
    put_link,
)
from _fastnet.wire cimport (
    NLA_F_NESTED,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REQUEST,
    Wire,
    begin_message,
    begin_nest,
    end_message,
    end_nest,
    put_bytes,
    put_text,
    put_u32,
)


cdef int encode_add_kind(
    Wire* wire, const LinkSpec* link, const char* kind, uint32_t parent, const Options* data
) noexcept nogil:
    # RTM_NEWLINK { ifinfomsg, IFLA_…, IFLA_LINK, IFLA_LINKINFO { IFLA_INFO_KIND, IFLA_INFO_DATA { … } } }
    cdef IfInfoMsg info = info_of(link)
    cdef size_t start = begin_message(
        wire, RTM_NEWLINK, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL, &info, sizeof(info)
    )
    cdef size_t linkinfo
    put_link(wire, link)
    if parent:
        put_u32(wire, IFLA_LINK, parent)
    linkinfo = begin_nest(wire, IFLA_LINKINFO)
    put_kind(wire, kind, data)
    end_nest(wire, linkinfo)
    return end_message(wire, start)


cdef void put_kind(Wire* wire, const char* kind, const Options* data) noexcept nogil:
    cdef size_t inner
    put_bytes(wire, IFLA_INFO_KIND, kind, strlen(kind) + 1)
    if data.count:
        inner = begin_nest(wire, IFLA_INFO_DATA)
        put_options(wire, data)
        end_nest(wire, inner)


cdef size_t begin_change(Wire* wire, uint16_t type, const LinkKey* key) noexcept nogil:
    cdef IfInfoMsg info
    cdef size_t start
    memset(&info, 0, sizeof(info))
    info.index = key.index
    start = begin_message(wire, type, NLM_F_REQUEST, &info, sizeof(info))
    if key.name.data != NULL:
        put_text(wire, IFLA_IFNAME, key.name)
    if key.group:
        put_u32(wire, IFLA_GROUP, key.group)
    return start


cdef int encode_set_kind(Wire* wire, const LinkKey* key, const char* kind, const Options* data) noexcept nogil:
    # Only RTM_NEWLINK reads IFLA_LINKINFO of a link that is there: RTM_SETLINK passes over it in silence.
    cdef size_t start = begin_change(wire, RTM_NEWLINK, key)
    cdef size_t linkinfo
    linkinfo = begin_nest(wire, IFLA_LINKINFO)
    put_kind(wire, kind, data)
    end_nest(wire, linkinfo)
    return end_message(wire, start)


cdef int encode_set_port(Wire* wire, const LinkKey* key, const Options* data) noexcept nogil:
    # By index AF_BRIDGE { IFLA_PROTINFO { IFLA_BRPORT_… } }, in a third of the time; by name, which that does not read,
    # IFLA_LINKINFO { IFLA_INFO_SLAVE_KIND "bridge", IFLA_INFO_SLAVE_DATA { IFLA_BRPORT_… } }. Of a group the kernel
    # passes over both in silence.
    cdef IfInfoMsg info
    cdef size_t start, outer, inner
    if key.name.data == NULL:
        memset(&info, 0, sizeof(info))
        info.family = FAMILY_BRIDGE
        info.index = key.index
        start = begin_message(wire, RTM_SETLINK, NLM_F_REQUEST, &info, sizeof(info))
        outer = begin_nest(wire, IFLA_PROTINFO | NLA_F_NESTED)
        put_options(wire, data)
        end_nest(wire, outer)
        return end_message(wire, start)
    start = begin_change(wire, RTM_NEWLINK, key)
    outer = begin_nest(wire, IFLA_LINKINFO)
    put_bytes(wire, IFLA_INFO_SLAVE_KIND, <const char*> b"bridge", 7)
    inner = begin_nest(wire, IFLA_INFO_SLAVE_DATA)
    put_options(wire, data)
    end_nest(wire, inner)
    end_nest(wire, outer)
    return end_message(wire, start)


cdef int encode_set_ipv4(Wire* wire, const LinkKey* key, const Options* switches) noexcept nogil:
    # IFLA_AF_SPEC { AF_INET { IFLA_INET_CONF { IPV4_DEVCONF_…: u32 } } }
    # A group is changed by RTM_NEWLINK that neither creates nor names.
    cdef size_t start = begin_change(wire, <uint16_t> (RTM_NEWLINK if key.group else RTM_SETLINK), key)
    cdef size_t spec = begin_nest(wire, IFLA_AF_SPEC)
    cdef size_t inet = begin_nest(wire, FAMILY_IPV4)
    cdef size_t conf = begin_nest(wire, IFLA_INET_CONF)
    put_options(wire, switches)
    end_nest(wire, conf)
    end_nest(wire, inet)
    end_nest(wire, spec)
    return end_message(wire, start)

"""Requests for dumps, with what to leave out. C level only."""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t

from _fastnet.wire cimport Span, Wire

cdef enum:
    # include/uapi/linux/rtnetlink.h: RTM_GETRULE = 34
    RTM_GETRULE = 34
    # include/linux/socket.h: #define AF_BRIDGE 7
    FAMILY_BRIDGE = 7

# What is wanted; 0 (NULL) = all. Only a kernel that checks strictly (NETLINK_GET_STRICT_CHK, Linux 4.20) leaves
# the rest out: an older one sends everything.
cdef struct Wanted:
    uint8_t family
    int32_t index       # of the link
    uint32_t master     # of the link
    uint32_t table      # of routes
    Span kind           # of links

# Ask for everything of one kind that is wanted: `type` is an RTM_GET…. As an encoder of rtnl: 0, or -1.
cdef int encode_wanted(Wire* wire, uint16_t type, const Wanted* wanted) noexcept nogil

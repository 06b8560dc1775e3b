"""Links, addresses, routes and neighbours out of the kernel's messages."""

cdef class LinkRecord:
    cdef readonly int index
    cdef readonly str name
    cdef readonly str kind          # IFLA_INFO_KIND, "" for a physical or loopback device
    cdef readonly unsigned int flags
    cdef readonly bytes mac         # b"" where it has none
    cdef readonly unsigned int mtu
    cdef readonly unsigned int master
    cdef readonly unsigned int group
    cdef readonly unsigned int link # the peer's or lower device's ifindex

cdef class AddressRecord:
    cdef readonly int family
    cdef readonly int index
    cdef readonly bytes address     # the interface's own
    cdef readonly int prefix
    cdef readonly unsigned int flags
    cdef readonly int scope

cdef class RouteRecord:
    cdef readonly int family
    cdef readonly bytes destination # b"" of the default route
    cdef readonly int prefix
    cdef readonly bytes gateway     # b"" where it has none
    cdef readonly int index
    cdef readonly unsigned int table
    cdef readonly unsigned int metric
    cdef readonly int scope
    cdef readonly int protocol

cdef class NeighbourRecord:
    cdef readonly int family
    cdef readonly int index
    cdef readonly bytes address
    cdef readonly bytes mac         # b"" while it is not known
    cdef readonly int state
    cdef readonly int flags

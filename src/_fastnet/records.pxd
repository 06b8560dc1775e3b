"""Links, addresses, routes, neighbours and rules out of the kernel's messages, read when asked for."""

from _fastnet.record cimport Record

cdef class LinkRecord(Record):
    pass

cdef class AddressRecord(Record):
    pass

cdef class RouteRecord(Record):
    pass

cdef class NeighbourRecord(Record):
    pass

cdef class RuleRecord(Record):
    pass

"""Links, addresses, routes, neighbours and rules out of the kernel's messages, read when asked for."""

from libc.stdint cimport uint8_t, uint32_t

from _fastnet.layouts cimport PLACES
from _fastnet.wire cimport Span

# A message and the places of its attributes: nothing else is read until somebody asks. It keeps all of `data`.
cdef class Record:
    cdef bytes data                 # whole messages: a dump
    cdef const uint8_t* start       # ours, in `data`
    cdef uint32_t[PLACES] places    # of each attribute's header, from `start`; 0 = the kernel sent none

    # The value of an attribute; data NULL where there is none.
    cdef Span value(self, int place) noexcept nogil
    cdef uint32_t number(self, int place, uint32_t otherwise) noexcept nogil
    cdef bytes octets(self, int place)
    cdef str text(self, int place)

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

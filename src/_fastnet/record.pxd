"""What all records share: bytes of the kernel's, and where each attribute stands in them."""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

from _fastnet.layouts cimport PLACES
from _fastnet.rtnl cimport IfAddrMsg, IfInfoMsg, NdMsg, RtMsg
from _fastnet.wire cimport NLMSG_HDRLEN, Span

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


cdef inline IfInfoMsg link_head(Record record) noexcept nogil:
    cdef IfInfoMsg head
    memcpy(&head, record.start + NLMSG_HDRLEN, sizeof(head))
    return head


cdef inline IfAddrMsg address_head(Record record) noexcept nogil:
    cdef IfAddrMsg head
    memcpy(&head, record.start + NLMSG_HDRLEN, sizeof(head))
    return head


cdef inline RtMsg route_head(Record record) noexcept nogil:
    cdef RtMsg head
    memcpy(&head, record.start + NLMSG_HDRLEN, sizeof(head))
    return head


cdef inline NdMsg neighbour_head(Record record) noexcept nogil:
    cdef NdMsg head
    memcpy(&head, record.start + NLMSG_HDRLEN, sizeof(head))
    return head

"""The verbs of addresses, routes and rules."""

from libc.stdint cimport uint16_t

from _fastnet.kindverbs cimport KindVerbs
from _fastnet.rtnl cimport AddressSpec, RouteSpec

cdef class AddressVerbs(KindVerbs):
    # What adding and deleting have in common.
    cdef int address_spec(
        self, object index, object address, object prefix, object peer, AddressSpec* spec
    ) except -1
    cdef int route_spec(
        self, object destination, object prefix, object family, object gateway, object index, object source,
        object table, object metric, object type, object protocol, RouteSpec* spec,
    ) except -1
    cdef object put_rule(
        self, uint16_t type, object family, object source, object source_prefix, object destination,
        object destination_prefix, object iif, object oif, object mark, object mask, object table, object priority,
        object action, object invert, object suppress_prefix,
    )

"""The verbs of neighbours and of forwarding tables."""

from _fastnet.addressverbs cimport AddressVerbs
from _fastnet.rtnl cimport FdbSpec

cdef class NeighbourVerbs(AddressVerbs):
    # What adding and deleting have in common.
    cdef int fdb_spec(
        self, object index, object mac, object master, object dst, object vlan, object vni, object port, object via,
        FdbSpec* spec,
    ) except -1

"""Many rtnetlink messages in one buffer. No I/O."""

from libc.stdint cimport int32_t, uint32_t

from _fastnet.rtnl cimport AddressSpec, RouteSpec
from _fastnet.wire cimport Span, Wire

cdef class Batch:
    cdef Wire wire              # the messages, one after the other
    cdef uint32_t* starts       # where each message begins
    cdef size_t count           # messages
    cdef size_t room            # places in `starts`
    cdef Py_ssize_t pins        # memory views and executions under way: the buffer must not move
    cdef bint executing         # a socket writes sequence numbers into the buffer just now

    # Make ready for one more message; raises while the buffer is pinned.
    cdef int ready(self) except -1
    # Enter what an encoder wrote at `start` (its result: -1 no memory); give its position.
    cdef object entered(self, size_t start, int result)
    # The bytes of one message; `position` is not checked.
    cdef Span at(self, size_t position) noexcept nogil
    # Check a message's position.
    cdef size_t position(self, object position) except? 0xFFFFFFFF
    # Read the key of a link or of a group: exactly one of the three.
    cdef int select(
        self, object index, object name, object group, int32_t* number, Span* text, uint32_t* of_group
    ) except -1
    # What adding and deleting have in common.
    cdef int address_spec(self, object index, object address, object prefix, AddressSpec* spec) except -1
    cdef int route_spec(
        self, object destination, object prefix, object family, object gateway, object index, object source,
        object table, object metric, RouteSpec* spec,
    ) except -1
    cdef int same_family(self, RouteSpec* spec, size_t size, str what) except -1

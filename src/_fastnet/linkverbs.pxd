"""The verbs of links, bridge ports and their IPv4 stacks."""

from _fastnet.messages cimport Messages
from _fastnet.rtnl cimport LinkKey, LinkSpec

cdef class LinkVerbs(Messages):
    # Read the key of a link or of a group: exactly one of the three.
    cdef int select(self, object index, object name, object group, LinkKey* key) except -1

# What every verb that makes a link takes; the result is whole, with nothing left from before.
cdef int read_link(
    object name, object index, object mac, object mtu, object master, object group, object up, object queues,
    object namespace, LinkSpec* link,
) except -1

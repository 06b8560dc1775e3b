"""Make, enter, bind and drop network namespaces, on a private thread."""

from _fastnet.socket cimport NetlinkSocket

cdef class Namespace:
    cdef int fd                     # of the namespace; -1 = closed
    cdef object name                # its path as given, or None
    cdef NetlinkSocket route        # opened inside

"""Netlink sockets: batches executed, dumps read. With ``exchange`` the only place with system calls on them."""

cimport cython
from libc.stdint cimport uint16_t, uint32_t

from _fastnet.dumps cimport Wanted
from _fastnet.exchange cimport Exchange

# Open a NETLINK_ROUTE socket in the calling thread's namespace: a descriptor, or -errno.
# Sizes are in bytes, 0 = the kernel's default. No Python: also for threads that know none.
cdef int open_route_socket(int send_buffer, int receive_buffer) noexcept nogil

cdef class NetlinkSocket:
    cdef int fd                     # -1 = closed
    cdef uint32_t sequence          # of the next message
    cdef size_t send_limit          # bytes that one sendmsg may carry
    cdef size_t answer_limit        # answers that the receive buffer surely holds
    # One exchange at a time: answers are read by who sent. Taken without the GIL, and
    # nobody who holds it wants the GIL, so the two cannot deadlock.
    cdef cython.pymutex lock

    # Read the buffers' sizes of `fd` and take it over; on failure -errno and nothing is taken.
    cdef int take(self, int fd) noexcept nogil
    # Make one exchange on this socket; fd = -1 afterwards where it is closed.
    cdef void run(self, Exchange* job) noexcept nogil
    cdef bytes dump(self, uint16_t type, const Wanted* wanted, str what)

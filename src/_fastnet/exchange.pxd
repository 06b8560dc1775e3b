"""One conversation with the kernel over an rtnetlink socket, without the GIL. C level only."""

from cpython.object cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from _fastnet.wire cimport Wire

# What came before a datagram in a journal; its bytes follow.
cdef struct Note:
    int64_t time        # nanoseconds since the epoch
    uint32_t size
    uint32_t sent       # 1 to the kernel, 0 from it

# Every datagram of one exchange, for somebody who watches.
cdef struct Journal:
    bint open           # False = nobody watches, nothing is kept
    uint64_t namespace  # inode of the socket's namespace, 0 = not known
    Wire wire           # Note, bytes, Note, bytes …

# One execution of a batch.
cdef struct Exchange:
    PyObject* socket            # whose `fd` it is, borrowed; only for who keeps many
    int fd
    unsigned char* data         # the batch's messages
    const uint32_t* starts      # where each begins
    size_t count
    size_t used                 # bytes of them all
    int32_t* status             # out: one per message, LOST at first
    uint32_t base               # the sequence number of message 0
    size_t send_limit           # bytes that one send may carry
    size_t answer_limit         # answers that the receive buffer surely holds
    Wire heard                  # out: errors with their words, and replies
    Journal journal             # out

# Send all messages, in as few sends as is safe, and enter every answer.
cdef void exchange(Exchange* job) noexcept nogil
# Enter one datagram's answers: bit 0 = the last message was acknowledged, bit 1 = something was lost.
cdef int note_answers(
    Exchange* job, const unsigned char* data, size_t size, size_t first, size_t last
) noexcept nogil
# Ask for a dump, and read it to the end: 0, or -errno (-EINTR: what was dumped changed meanwhile).
cdef int read_dump(int fd, Wire* request, uint32_t sequence, Wire* heard, Journal* journal) noexcept nogil

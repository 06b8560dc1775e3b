"""Elements of nftables' sets and maps: one transaction in one buffer. No I/O."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from _fastnet.wire cimport Span, Wire

# Equal parts of two buffers: keys one after the other, and as many data; data.data NULL = a set's.
cdef struct Elements:
    const uint8_t* keys
    const uint8_t* data
    size_t key_size
    size_t data_size
    size_t count
    bint ends                   # each is the end of an interval, not in it

cdef class NftBatch:
    cdef Wire wire              # the transaction's messages, without its first and last
    cdef uint32_t* starts       # where each begins
    cdef size_t count           # messages
    cdef size_t room            # places in `starts`
    cdef bytes table
    cdef uint8_t family

    # What adding and deleting have in common; gives how many messages it took.
    cdef object put(self, uint16_t verb, uint16_t flags, object name, object keys, object data, object key_size,
                    object ends)
    # Enter the message that begins at `start`.
    cdef int enter(self, size_t start) except -1
    # Write the head of a message about a set, or about the table where the name is NULL.
    cdef size_t open(self, uint16_t verb, uint16_t flags, Span name) noexcept

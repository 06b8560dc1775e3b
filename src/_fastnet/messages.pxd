"""A buffer of rtnetlink messages: what every verb appends to. No I/O."""

from libc.stdint cimport uint32_t

from _fastnet.wire cimport Span, Wire

cdef enum:
    MESSAGES_MAX = 0x4000000

cdef class Messages:
    cdef Wire wire              # the messages, one after the other
    cdef uint32_t* starts       # where each message begins
    cdef size_t count           # messages
    cdef size_t room            # places in `starts`
    cdef Py_ssize_t pins        # memory views and executions under way: the buffer must not move
    cdef bint executing         # a socket writes sequence numbers into the buffer just now

    # Make ready for `more` further messages; raises while the buffer is pinned.
    cdef int ready(self, size_t more=*) except -1
    # Make ready for one message and give where it begins. Only after all arguments were read: reading them may run
    # code of the caller's (a __bool__), which may append to this batch, or pin it.
    cdef size_t begin(self) except? 0xFFFFFFFF
    # Enter what an encoder wrote at `start` (its result: -1 no memory); give its position.
    cdef object entered(self, size_t start, int result)
    # The bytes of one message; `position` is not checked.
    cdef Span at(self, size_t position) noexcept nogil
    # Check a message's position.
    cdef size_t position(self, object position) except? 0xFFFFFFFF

"""What the kernel said of each message of a batch."""

from libc.stdint cimport int32_t

from _fastnet.batch cimport Batch
from _fastnet.wire cimport Wire

cdef enum:
    LOST = -1

cdef class Answers:
    cdef int32_t* status        # one per message: 0, an errno, LOST
    cdef Py_ssize_t count       # messages
    cdef dict errors            # position: NetlinkError, of what failed or was lost; None = nothing did
    cdef list heard             # messages that are no acknowledgement; None = none came

    # Put the kernel's words into Python's: `heard` holds every answer but the plain "done".
    # The message at position 0 has the sequence number `base`.
    cdef int fill(self, Batch batch, const Wire* heard, unsigned int base) except -1
    cdef int note(self, size_t position, object error) except -1
    cdef Py_ssize_t check_position(self, object position) except -1

# Make one for `count` messages, all LOST.
cdef Answers new_answers(size_t count)

"""What the kernel said of each message of a batch."""

import errno

from _fastnet.attributes import missing_name, path_of
from _fastnet.errors import NetlinkError

from cpython.bytes cimport PyBytes_FromStringAndSize
from cython cimport final
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from _fastnet.args cimport read_place
from _fastnet.batch cimport Batch
from _fastnet.describe cimport operation_of
from _fastnet.wire cimport (
    NLM_F_ACK_TLVS,
    NLM_F_CAPPED,
    NLMSG_ERROR,
    NLMSGERR_ATTR_MSG,
    NLMSGERR_ATTR_OFFS,
    Attribute,
    Cursor,
    MessageHeader,
    Span,
    Wire,
    aligned,
    bytes_of,
    next_attribute,
    next_message,
)

UNKNOWN = LOST

cdef enum:
    # include/uapi/linux/netlink.h: enum nlmsgerr_attrs { …, NLMSGERR_ATTR_MISS_TYPE = 5, NLMSGERR_ATTR_MISS_NEST = 6 }
    # "type of a missing required attribute", "offset of the nest where attribute was missing"
    NLMSGERR_ATTR_MISS_TYPE = 5
    NLMSGERR_ATTR_MISS_NEST = 6


cdef object refusal(int32_t code, Span request, uint16_t flags, Cursor body, Py_ssize_t position):
    """The NetlinkError of one NLMSG_ERROR.

    struct nlmsgerr { int error; struct nlmsghdr msg; } — then the request's payload unless NLM_F_CAPPED,
    then attributes if NLM_F_ACK_TLVS.
    """
    cdef str message = ""
    cdef str disliked = ""
    cdef int64_t offset = -1
    cdef int64_t missing = -1
    cdef int64_t nest = -1
    cdef uint32_t number
    cdef size_t left = <size_t> (body.end - body.at)
    cdef size_t skip = 20
    cdef Attribute attribute
    if not flags & NLM_F_CAPPED and left >= 8:
        memcpy(&number, body.at + 4, sizeof(number))
        skip = 4 + aligned(number)
    if flags & NLM_F_ACK_TLVS and skip <= left:
        body.at += skip
        while next_attribute(&body, &attribute) == 1:
            if attribute.type == NLMSGERR_ATTR_MSG:
                message = bytes_of(attribute.value).rstrip(b"\0").decode("utf-8", "replace")
            elif attribute.value.size < sizeof(number):
                continue
            elif attribute.type == NLMSGERR_ATTR_OFFS:
                memcpy(&number, attribute.value.data, sizeof(number))
                offset = number
            elif attribute.type == NLMSGERR_ATTR_MISS_TYPE:
                memcpy(&number, attribute.value.data, sizeof(number))
                missing = number
            elif attribute.type == NLMSGERR_ATTR_MISS_NEST:
                memcpy(&number, attribute.value.data, sizeof(number))
                nest = number
    if offset >= 0:
        disliked = path_of(bytes_of(request), offset)
    elif missing >= 0:
        disliked = missing_name(bytes_of(request), missing, nest)
    return NetlinkError(code, operation_of(request), message, offset, position, disliked)


cdef Answers new_answers(size_t count):
    cdef Answers answers = Answers.__new__(Answers)
    cdef size_t i
    # A batch has at most 2**30 / 16 messages: no overflow.
    answers.status = <int32_t*> malloc((count or 1) * sizeof(int32_t))
    if answers.status == NULL:
        raise MemoryError
    for i in range(count):
        answers.status[i] = LOST
    answers.count = <Py_ssize_t> count
    return answers


@final
cdef class Answers:
    """What the kernel said of each message of one batch: a sequence of 0, an errno, or ``UNKNOWN``.

    Made by :meth:`_fastnet.socket.NetlinkSocket.execute`; it keeps nothing of the batch.

    Notes
    -----
    Thread safety: immutable once made, so any thread may read it.
    """

    def __dealloc__(self):
        free(self.status)

    def __init__(self):
        raise TypeError("Answers are made by NetlinkSocket.execute()")

    def __len__(self):
        return self.count

    def __iter__(self):
        return iter([self.status[i] for i in range(self.count)])

    def __getitem__(self, position, /):
        """0 done, an errno (positive) refused, ``UNKNOWN`` (-1) lost."""
        return self.status[self.check_position(position)]

    @property
    def ok(self):
        """Whether every message was done."""
        return self.errors is None

    @property
    def failed(self):
        """Positions of the messages that the kernel refused."""
        cdef Py_ssize_t i
        return [i for i in range(self.count) if self.status[i] > 0]

    @property
    def unknown(self):
        """Positions of the messages whose answer was lost: each may or may not have been done. Look it up."""
        cdef Py_ssize_t i
        return [i for i in range(self.count) if self.status[i] == LOST]

    def error(self, position, /):
        """Give the error of one message; None where it was done. An unknown one has errno ENOBUFS."""
        cdef Py_ssize_t place = self.check_position(position)
        return None if self.errors is None else self.errors.get(place)

    def replies(self):
        """Messages that are not acknowledgements (answers to ``get_link``), in order."""
        return [] if self.heard is None else list(self.heard)

    def check(self):
        """Raise the error of the first message that was refused or lost; None where all were done."""
        if self.errors is not None:
            raise self.errors[min(self.errors)]

    cdef Py_ssize_t check_position(self, object position) except -1:
        cdef Py_ssize_t at = read_place(position)
        if not 0 <= at < self.count:
            raise IndexError(f"position {position} of {self.count} answers")
        return at

    cdef int fill(self, Batch batch, const Wire* heard, unsigned int base) except -1:
        cdef Cursor cursor, body
        cdef MessageHeader header
        cdef const uint8_t* start
        cdef int32_t code
        cdef size_t position, i
        cursor.at = heard.data
        cursor.end = heard.data + heard.used
        while True:
            start = cursor.at
            if next_message(&cursor, &header, &body) != 1:
                break
            if header.type != NLMSG_ERROR:
                if self.heard is None:
                    self.heard = []
                self.heard.append(PyBytes_FromStringAndSize(<const char*> start, header.size))
                continue
            position = <uint32_t> (header.sequence - base)
            if position < batch.count and self.status[position] > 0:
                code = self.status[position]
                self.note(position, refusal(code, batch.at(position), header.flags, body, <Py_ssize_t> position))
        for i in range(batch.count):
            if self.status[i] and (self.errors is None or i not in self.errors):
                code = errno.ENOBUFS if self.status[i] == LOST else self.status[i]
                self.note(i, NetlinkError(
                    code, operation_of(batch.at(i)), "the answer was lost" if self.status[i] == LOST else "", -1, i
                ))
        return 0

    cdef int note(self, size_t position, object error) except -1:
        if self.errors is None:
            self.errors = {}
        self.errors[position] = error
        return 0

"""A buffer of rtnetlink messages: what every verb appends to. No I/O."""

import cython

from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free, realloc

from _fastnet.args cimport read_number, read_place
from _fastnet.describe cimport line_of, operation_of
from _fastnet.rtnl cimport RTM_NEWLINK, is_get
from _fastnet.wire cimport (
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    Cursor,
    MessageHeader,
    Span,
    begin_message,
    bytes_of,
    end_message,
    next_message,
    wire_free,
    wire_grow,
)


@cython.auto_pickle(False)
cdef class Messages:
    """rtnetlink messages one after the other in one buffer; the verbs are its subclasses'.

    Parameters
    ----------
    capacity : int, optional
        Bytes to allocate at once; the buffer grows by itself.

    Notes
    -----
    Thread safety: for one thread at a time. Its own buffer is pinned while a socket sends it.
    """

    def __init__(self, capacity=4096, /):
        cdef size_t wanted = <size_t> read_number(capacity, "capacity", 0, 0x40000000)
        if not wire_grow(&self.wire, wanted):
            raise MemoryError

    def __dealloc__(self):
        wire_free(&self.wire)
        free(self.starts)

    @property
    def nbytes(self):
        """Bytes of all messages."""
        return self.wire.used

    def __len__(self):
        return <Py_ssize_t> self.count

    def __bytes__(self):
        cdef Span whole
        whole.data = self.wire.data
        whole.size = self.wire.used
        return bytes_of(whole)

    def __getbuffer__(self, Py_buffer* view, int flags):
        PyBuffer_FillInfo(view, self, self.wire.data, <Py_ssize_t> self.wire.used, 1, flags)
        self.pins += 1

    def __releasebuffer__(self, Py_buffer* view):
        self.pins -= 1

    def __reduce__(self):
        raise TypeError(f"a {type(self).__name__} cannot be pickled or copied: take bytes(…) of it")

    def clear(self):
        """Take all messages out; the memory is kept for the next ones."""
        if self.pins:
            raise BufferError("the batch is being executed, or a memory view of it lives")
        self.wire.used = 0
        self.count = 0

    def append(self, message, /):
        """Append one whole message, as ``message`` of this or another batch gave it; give its position.

        NLM_F_REQUEST is set, NLM_F_ACK taken away, sequence and port are set to 0.

        Raises
        ------
        ValueError
            The bytes are not exactly one message, it is a control message, or it asks for a dump.
        """
        cdef Cursor cursor, body
        cdef MessageHeader header
        cdef size_t start
        if not isinstance(message, bytes):
            raise TypeError(f"message must be bytes, not {type(message).__name__}")
        cursor.at = <const uint8_t*> PyBytes_AS_STRING(message)
        cursor.end = cursor.at + PyBytes_GET_SIZE(message)
        if next_message(&cursor, &header, &body) != 1 or cursor.at != cursor.end:
            raise ValueError("message must be exactly one netlink message")
        if header.type < RTM_NEWLINK:
            raise ValueError(f"a control message (type {header.type}) is not for a batch")
        if is_get(header.type) and header.flags & NLM_F_DUMP:
            raise ValueError("a dump is not for a batch")
        header.flags = <uint16_t> ((header.flags | NLM_F_REQUEST) & ~NLM_F_ACK)
        start = self.begin()
        begin_message(&self.wire, header.type, header.flags, body.at, <size_t> (body.end - body.at))
        return self.entered(start, end_message(&self.wire, start))

    def message(self, position, /):
        """Give the bytes of one message."""
        return bytes_of(self.at(self.position(position)))

    def operation(self, position, /):
        """Say in few words what one message does: ``"add veth dv01"``."""
        return operation_of(self.at(self.position(position)))

    def describe(self):
        """Say what every message does, one line each with all its attributes."""
        cdef size_t i
        return "\n".join([f"{i}: {line_of(self.at(i))}" for i in range(self.count)])

    # ------------------------------------------------------------------------------------------------ inside
    cdef int ready(self, size_t more=1) except -1:
        cdef void* starts
        cdef size_t room
        if self.pins:
            raise BufferError("the batch is being executed, or a memory view of it lives")
        if more <= self.room - self.count:
            return 0
        # The buffer has at most 2**30 bytes, and no message has less than 16.
        if more > MESSAGES_MAX or self.count > MESSAGES_MAX - more:
            raise MemoryError
        room = max(self.room * 2 + 16, self.count + more)
        starts = realloc(self.starts, room * sizeof(uint32_t))
        if starts == NULL:
            raise MemoryError
        self.starts = <uint32_t*> starts
        self.room = room
        return 0

    cdef size_t begin(self) except? 0xFFFFFFFF:
        self.ready()
        return self.wire.used

    cdef object entered(self, size_t start, int result):
        if result < 0:
            raise MemoryError
        self.starts[self.count] = <uint32_t> start
        self.count += 1
        return self.count - 1

    cdef Span at(self, size_t position) noexcept nogil:
        cdef Span span
        cdef size_t end = self.starts[position + 1] if position + 1 < self.count else self.wire.used
        span.data = self.wire.data + self.starts[position]
        span.size = end - self.starts[position]
        return span

    cdef size_t position(self, object position) except? 0xFFFFFFFF:
        """Check the position of a message; no negative ones."""
        cdef Py_ssize_t at = read_place(position)
        if not 0 <= at < <Py_ssize_t> self.count:
            raise IndexError(f"position {position} of a batch of {self.count} messages")
        return <size_t> at

"""The only place with system calls on netlink sockets."""

import errno
import os

from _fastnet.errors import NetlinkError
from _fastnet.records import addresses, links, neighbours, routes

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cython cimport final
from libc.errno cimport EAGAIN, EINTR, EMSGSIZE, ENOBUFS, ENOMEM, ETIMEDOUT
from libc.errno cimport errno as c_errno
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from _fastnet.answers cimport LOST, Answers, new_answers
from _fastnet.args cimport INT_LIMIT, read_number
from _fastnet.batch cimport Batch
from _fastnet.rtnl cimport (
    RTM_GETADDR,
    RTM_GETLINK,
    RTM_GETNEIGH,
    RTM_GETROUTE,
    encode_dump,
    is_get,
)
from _fastnet.wire cimport (
    NLM_F_ACK,
    NLM_F_DUMP_INTR,
    NLMSG_DONE,
    NLMSG_ERROR,
    NLMSG_NOOP,
    Cursor,
    MessageHeader,
    Wire,
    next_message,
    wire_append,
    wire_free,
)

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    struct sockaddr:
        pass
    int SOL_SOCKET, SO_RCVBUF, SO_SNDBUF, SO_DOMAIN, SO_PROTOCOL, AF_NETLINK, SOCK_RAW, SOCK_CLOEXEC
    int MSG_DONTWAIT, MSG_TRUNC
    int c_socket "socket"(int domain, int type, int protocol)
    int getsockopt(int fd, int level, int option, void* value, socklen_t* size)
    int setsockopt(int fd, int level, int option, const void* value, socklen_t size)
    ssize_t send(int fd, const void* data, size_t size, int flags)
    ssize_t recvfrom(int fd, void* data, size_t size, int flags, sockaddr* address, socklen_t* address_size)

cdef extern from "<linux/netlink.h>" nogil:
    struct sockaddr_nl:
        uint32_t nl_pid

cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    int POLLIN
    int poll(pollfd* fds, unsigned long count, int milliseconds)

cdef extern from "<unistd.h>" nogil:
    int c_close "close"(int fd)

cdef enum:
    # include/uapi/linux/netlink.h: #define NETLINK_ROUTE 0 "Routing/device hook"
    NETLINK_ROUTE = 0
    # #define NETLINK_CAP_ACK 10, NETLINK_EXT_ACK 11, NETLINK_GET_STRICT_CHK 12
    NETLINK_CAP_ACK = 10
    NETLINK_EXT_ACK = 11
    NETLINK_GET_STRICT_CHK = 12
    # include/linux/socket.h: #define SOL_NETLINK 270
    SOL_NETLINK = 270
    # include/uapi/asm-generic/socket.h: #define SO_SNDBUFFORCE 32, SO_RCVBUFFORCE 33
    SO_SNDBUFFORCE = 32
    SO_RCVBUFFORCE = 33

cdef enum:
    # The kernel charges an answer for its sk_buff and for its power-of-two data: 768 bytes for a plain one
    # (832 seen), 1280 for one with the kernel's words. Both fit.
    ANSWER_CHARGE = 1280
    # What a get is answered with: a link is some kilobytes.
    REPLY_ANSWERS = 8
    # net/netlink/af_netlink.c, netlink_sendmsg(): if (len > sk->sk_sndbuf - 32) return -EMSGSIZE
    SEND_SLACK = 32
    # A larger sendmsg wins nothing and holds up more.
    CHUNK_BYTES = 65536
    # More than any acknowledgement, and than a link's answer without its statistics.
    ANSWER_BYTES = 16384
    # netlink_dump() never fills more: min(max_recvmsg_len, SKB_WITH_OVERHEAD(32768))
    DUMP_BYTES = 32768
    # The kernel answers before send() returns, so a wait at all is a fault already.
    ANSWER_MILLISECONDS = 2000
    DUMP_MILLISECONDS = 5000
    DUMP_TRIES = 3


cdef int set_buffer(int fd, int force, int plain, int size) noexcept nogil:
    """Size a buffer beyond the system's limit where we may, else up to it."""
    if setsockopt(fd, SOL_SOCKET, force, &size, sizeof(size)) < 0:
        return setsockopt(fd, SOL_SOCKET, plain, &size, sizeof(size))
    return 0


cdef void set_options(int fd) noexcept nogil:
    """Ask for short answers with the kernel's words. An old kernel that knows an option not is good enough."""
    cdef int on = 1
    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on))
    setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on))
    setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on))


cdef int open_route_socket(int send_buffer, int receive_buffer) noexcept nogil:
    cdef int fd = c_socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)
    if fd < 0:
        return -c_errno
    set_options(fd)
    if send_buffer:
        set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, send_buffer)
    if receive_buffer:
        set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, receive_buffer)
    return fd


cdef ssize_t receive(int fd, uint8_t* data, size_t room) noexcept nogil:
    """Read one datagram of the kernel's without waiting: its true size (maybe more than `room`), or -errno."""
    cdef sockaddr_nl sender
    cdef socklen_t size
    cdef ssize_t got
    while True:
        size = sizeof(sender)
        got = recvfrom(fd, data, room, MSG_DONTWAIT | MSG_TRUNC, <sockaddr*> &sender, &size)
        if got >= 0 and size >= sizeof(sender) and sender.nl_pid == 0:
            return got
        if got < 0 and c_errno != EINTR:
            return -c_errno


cdef bint readable(int fd, int milliseconds) noexcept nogil:
    """Wait until something can be read; False when the time is over."""
    cdef pollfd waited
    cdef int got
    waited.fd = fd
    waited.events = POLLIN
    waited.revents = 0
    while True:
        got = poll(&waited, 1, milliseconds)
        if got >= 0 or c_errno != EINTR:
            return got > 0


# One execution of a batch: what `exchange` works on, without the GIL.
cdef struct Exchange:
    int fd
    uint8_t* data               # the batch's messages
    const uint32_t* starts      # where each begins
    size_t count
    size_t used                 # bytes of them all
    int32_t* status             # out: one per message, LOST at first
    uint32_t base               # the sequence number of message 0
    size_t send_limit
    size_t answer_limit
    Wire heard                  # out: errors with their words, and replies


cdef size_t chunk_end(const Exchange* job, size_t first) noexcept nogil:
    """The end of the messages, from `first` on, that one send may carry; at least one."""
    cdef size_t last = first
    cdef size_t answers = 0
    cdef size_t end
    cdef uint16_t type
    while last < job.count:
        end = job.starts[last + 1] if last + 1 < job.count else job.used
        memcpy(&type, job.data + job.starts[last] + 4, sizeof(type))
        answers += REPLY_ANSWERS if is_get(type) else 1
        if last > first and (end - job.starts[first] > job.send_limit or answers > job.answer_limit):
            break
        last += 1
    return last


cdef int note_answers(Exchange* job, const uint8_t* data, size_t size, size_t first, size_t last) noexcept nogil:
    """Enter one datagram's answers: bit 0 = the last message was acknowledged, bit 1 = something was lost."""
    cdef Cursor cursor, body
    cdef MessageHeader header
    cdef const uint8_t* start
    cdef size_t position
    cdef int32_t code
    cdef int result = 0
    cdef int got
    cursor.at = data
    cursor.end = data + size
    while True:
        start = cursor.at
        got = next_message(&cursor, &header, &body)
        if got == 0:
            return result
        if got < 0:
            return result | 2
        position = <uint32_t> (header.sequence - job.base)
        if position < first or position >= last:
            continue                    # a late answer to an earlier exchange
        if header.type == NLMSG_ERROR:
            if body.end - body.at < <ssize_t> sizeof(code):
                return result | 2
            memcpy(&code, body.at, sizeof(code))
            job.status[position] = -code
            if position == last - 1:
                result |= 1
            if code == 0:
                continue
        elif header.type == NLMSG_NOOP:
            continue
        elif job.status[position] == LOST:
            job.status[position] = 0
        # Without memory the words are lost, not the error itself.
        wire_append(&job.heard, start, header.size)


cdef void collect(Exchange* job, size_t first, size_t last) noexcept nogil:
    """Read the answers to the messages first…last-1, which were sent just now."""
    cdef uint8_t buffer[ANSWER_BYTES]
    cdef ssize_t got
    cdef int seen
    cdef bint lost = False
    cdef bint done = False
    cdef size_t i
    # A lost answer shows as ENOBUFS *before* the queued ones, so the last acknowledgement read without
    # ENOBUFS before it means that nothing was lost.
    while lost or not done:
        got = receive(job.fd, buffer, ANSWER_BYTES)
        if got == -ENOBUFS:
            lost = True
        elif got == -EAGAIN:
            if lost or not readable(job.fd, ANSWER_MILLISECONDS):
                lost = True
                break
        elif got < 0:
            lost = True
            break
        else:
            if got > ANSWER_BYTES:
                lost = True
                got = ANSWER_BYTES
            seen = note_answers(job, buffer, <size_t> got, first, last)
            done = done or seen & 1
            lost = lost or seen & 2
    if not lost:
        for i in range(first, last):
            if job.status[i] == LOST:
                job.status[i] = 0       # errors are always answered


cdef void exchange(Exchange* job) noexcept nogil:
    """Send all messages, in as few sends as is safe, and enter every answer."""
    cdef size_t first = 0
    cdef size_t last, i, end
    cdef uint32_t sequence
    cdef uint16_t flags
    cdef uint8_t* place
    cdef int code
    while first < job.count:
        last = chunk_end(job, first)
        end = job.starts[last] if last < job.count else job.used
        for i in range(first, last):
            sequence = job.base + <uint32_t> i
            memcpy(job.data + job.starts[i] + 8, &sequence, sizeof(sequence))
        # Errors are always answered, success only when asked for: ask at the last one.
        place = job.data + job.starts[last - 1] + 6
        memcpy(&flags, place, sizeof(flags))
        flags |= NLM_F_ACK
        memcpy(place, &flags, sizeof(flags))
        code = 0
        while send(job.fd, job.data + job.starts[first], end - job.starts[first], 0) < 0:
            code = c_errno
            if code != EINTR:
                break
            code = 0
        flags = <uint16_t> (flags & ~NLM_F_ACK)
        memcpy(place, &flags, sizeof(flags))
        if code:
            for i in range(first, last):
                job.status[i] = code    # the kernel took none of them
        else:
            collect(job, first, last)
        first = last


@final
cdef class NetlinkSocket:
    """A NETLINK_ROUTE socket in the namespace it was opened in.

    Without arguments one is opened in the calling thread's namespace; a ``fileno`` is taken over and closed by us.
    Where the socket is opened decides where its messages act, whatever namespace the caller is in later.

    Parameters
    ----------
    fileno : int, optional
        A NETLINK_ROUTE socket to take over.
    send_buffer, receive_buffer : int, optional
        Bytes; 0 = the kernel's default. Beyond the system's limit with CAP_NET_ADMIN (SO_SNDBUFFORCE), else up to it.
        Large ones make ``execute`` split less.

    Raises
    ------
    OSError
        No socket could be opened, or the descriptor is none.
    ValueError
        The descriptor is not a NETLINK_ROUTE socket, or the socket is used after ``close``.

    Notes
    -----
    Thread safety: any number of threads may use one socket; one exchange goes on at a time, the others wait
    without the GIL.
    """

    def __cinit__(self, *args, **kwargs):
        self.fd = -1
        self.sequence = 1

    def __init__(self, fileno=-1, /, *, send_buffer=0, receive_buffer=0):
        cdef int fd = <int> read_number(fileno, "fileno", -1, INT_LIMIT)
        cdef int sending = <int> read_number(send_buffer, "send_buffer", 0, INT_LIMIT)
        cdef int receiving = <int> read_number(receive_buffer, "receive_buffer", 0, INT_LIMIT)
        cdef int domain = -1
        cdef int protocol = -1
        cdef int code
        cdef socklen_t size = sizeof(domain)
        if self.fd >= 0:
            raise ValueError("the socket is open already")
        if fd < 0:
            fd = open_route_socket(sending, receiving)
            if fd < 0:
                raise OSError(-fd, os.strerror(-fd))
        else:
            if getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0:
                raise OSError(c_errno, f"descriptor {fd}: {os.strerror(c_errno)}")
            getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size)
            if domain != AF_NETLINK or protocol != NETLINK_ROUTE:
                raise ValueError(f"descriptor {fd} is not a NETLINK_ROUTE socket")
            set_options(fd)
            if sending:
                set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, sending)
            if receiving:
                set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, receiving)
        code = self.take(fd)
        if code < 0:
            raise OSError(-code, os.strerror(-code))

    def __dealloc__(self):
        if self.fd >= 0:
            c_close(self.fd)

    cdef int take(self, int fd) noexcept nogil:
        cdef int sending = 0
        cdef int receiving = 0
        cdef socklen_t size = sizeof(sending)
        if getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &sending, &size) < 0:
            return -c_errno
        if getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receiving, &size) < 0:
            return -c_errno
        self.send_limit = <size_t> max(0, min(sending - SEND_SLACK, CHUNK_BYTES))
        self.answer_limit = <size_t> max(1, receiving // ANSWER_CHARGE)
        self.fd = fd
        return 0

    @property
    def max_batch_bytes(self):
        """Bytes that one send may carry; a larger batch is split between messages."""
        return self.send_limit

    @property
    def max_unanswered(self):
        """Messages that one send may carry: were all refused, the receive buffer would hold the answers."""
        return self.answer_limit

    def fileno(self):
        """Give the descriptor; ValueError once closed."""
        if self.fd < 0:
            raise ValueError("the netlink socket is closed")
        return self.fd

    @property
    def closed(self):
        """Whether ``close`` was called."""
        return self.fd < 0

    def close(self):
        """Close the socket, once an exchange under way has ended. A second time does nothing."""
        cdef int fd
        with nogil:
            with self.lock:
                fd = self.fd
                self.fd = -1
            if fd >= 0:
                c_close(fd)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace, /):
        self.close()

    def execute(self, batch, /):
        """Send every message of a batch, and give what the kernel said of each.

        The batch is sent in pieces that fit the socket's buffers. The kernel goes on after a message that fails,
        and so do we; nothing is raised for one (see :meth:`_fastnet.answers.Answers.check`). Errors are always
        answered, success only of the last message of a piece: so what has no answer was done, unless answers were
        lost (ENOBUFS); then it is ``UNKNOWN``, never guessed. The batch is left as it was but for its
        sequence numbers, and may be executed again.

        Parameters
        ----------
        batch : Batch

        Returns
        -------
        Answers

        Raises
        ------
        ValueError
            The socket is closed.
        BufferError
            Another thread executes this batch just now.
        """
        cdef Batch work
        cdef Answers answers
        cdef Exchange job
        if not isinstance(batch, Batch):
            raise TypeError(f"batch must be a Batch, not {type(batch).__name__}")
        work = batch
        if work.executing:
            raise BufferError("another thread executes this batch")
        memset(&job, 0, sizeof(job))
        # Before anything is allocated: an allocation may let another thread in.
        work.executing = True
        work.pins += 1
        try:
            answers = new_answers(work.count)
            job.data = work.wire.data
            job.starts = work.starts
            job.count = work.count
            job.used = work.wire.used
            job.status = answers.status
            with nogil:
                with self.lock:
                    job.fd = self.fd
                    if job.fd >= 0:
                        job.base = self.sequence
                        self.sequence += <uint32_t> job.count
                        job.send_limit = self.send_limit
                        job.answer_limit = self.answer_limit
                        exchange(&job)
            if job.fd < 0:
                raise ValueError("the netlink socket is closed")
            answers.fill(work, &job.heard, job.base)
        finally:
            wire_free(&job.heard)
            work.pins -= 1
            work.executing = False
        return answers

    # ------------------------------------------------------------------------------------------------- dumps
    cdef bytes dump(self, uint16_t type, uint8_t family, str what):
        """Read everything of one kind: the kernel's messages, one after the other."""
        cdef Wire request, heard
        cdef int code = 0
        cdef int tries = 0
        memset(&request, 0, sizeof(request))
        memset(&heard, 0, sizeof(heard))
        try:
            if encode_dump(&request, type, family) < 0:
                raise MemoryError
            with nogil:
                with self.lock:
                    while tries < DUMP_TRIES:
                        tries += 1
                        heard.used = 0
                        code = read_dump(self.fd, &request, self.sequence, &heard)
                        self.sequence += 1
                        if code != -EINTR and code != -ENOBUFS:
                            break
            if code == -EINTR:
                raise NetlinkError(errno.EAGAIN, f"dump {what}", f"they changed during each of {DUMP_TRIES} readings")
            if code == -errno.EBADF and self.fd < 0:
                raise ValueError("the netlink socket is closed")
            if code == -errno.ENOMEM:
                raise MemoryError
            if code < 0:
                raise NetlinkError(-code, f"dump {what}")
            return PyBytes_FromStringAndSize(<const char*> heard.data, <Py_ssize_t> heard.used)
        finally:
            wire_free(&request)
            wire_free(&heard)

    def dump_links(self):
        """Read all links of the socket's namespace (without their statistics)."""
        return links(self.dump(RTM_GETLINK, 0, "links"))

    def dump_addresses(self, family=0, /):
        """Read all addresses of a family (AF_INET, AF_INET6; 0 = both)."""
        return addresses(self.dump(RTM_GETADDR, <uint8_t> read_number(family, "family", 0, 255), "addresses"))

    def dump_routes(self, family=0, /):
        """Read all routes of a family (AF_INET, AF_INET6; 0 = both), of every table, the local one too."""
        return routes(self.dump(RTM_GETROUTE, <uint8_t> read_number(family, "family", 0, 255), "routes"))

    def dump_neighbours(self, family=0, /):
        """Read all neighbours of a family (AF_INET, AF_INET6; 0 = both)."""
        return neighbours(self.dump(RTM_GETNEIGH, <uint8_t> read_number(family, "family", 0, 255), "neighbours"))


cdef int read_dump(int fd, Wire* request, uint32_t sequence, Wire* heard) noexcept nogil:
    """Ask, and read to the end: 0, or -errno (-EINTR: what was dumped changed meanwhile)."""
    cdef uint8_t* buffer
    cdef Cursor cursor, body
    cdef MessageHeader header
    cdef const uint8_t* start
    cdef ssize_t got
    cdef int result = 0
    cdef int32_t code
    # First of all: a dump that is asked for must be read to its end, or the next one is EBUSY.
    buffer = <uint8_t*> malloc(DUMP_BYTES)
    if buffer == NULL:
        return -ENOMEM
    memcpy(request.data + 8, &sequence, sizeof(sequence))
    while send(fd, request.data, request.used, 0) < 0:
        if c_errno != EINTR:
            result = -c_errno
            free(buffer)
            return result
    while True:
        got = receive(fd, buffer, DUMP_BYTES)
        if got == -EAGAIN:
            if readable(fd, DUMP_MILLISECONDS):
                continue
            got = -ETIMEDOUT
        if got == -ENOBUFS:
            result = -ENOBUFS
            continue
        if got < 0:
            result = <int> got
            break
        if got > DUMP_BYTES:
            result = -EMSGSIZE
            got = DUMP_BYTES
        cursor.at = buffer
        cursor.end = buffer + got
        while True:
            start = cursor.at
            if next_message(&cursor, &header, &body) != 1:
                break
            if header.sequence != sequence:
                continue
            if header.flags & NLM_F_DUMP_INTR:
                result = -EINTR
            if header.type == NLMSG_ERROR or header.type == NLMSG_DONE:
                # Both begin with an int: 0, or -errno.
                if body.end - body.at >= <ssize_t> sizeof(code):
                    memcpy(&code, body.at, sizeof(code))
                    if code < 0:
                        result = code
                free(buffer)
                return result
            if not wire_append(heard, start, header.size):
                result = -ENOMEM
    free(buffer)
    return result

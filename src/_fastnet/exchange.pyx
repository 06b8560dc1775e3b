"""One conversation with the kernel over an rtnetlink socket, without the GIL. C level only.

A socket's answers are read by who sent: the caller keeps others away from it meanwhile.
"""

from libc.errno cimport EAGAIN, EINTR, EMSGSIZE, ENOBUFS, ENOMEM, EPROTO, ETIMEDOUT
from libc.errno cimport errno as c_errno
from libc.stdint cimport INT32_MIN, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from _fastnet.answers cimport LOST
from _fastnet.rtnl cimport is_get
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
)

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    struct sockaddr:
        pass
    int MSG_DONTWAIT, MSG_TRUNC
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

cdef extern from *:
    """
    #include <sys/ioctl.h>
    #include <sys/stat.h>
    #include <time.h>
    #include <unistd.h>
    """

cdef extern from * nogil:
    struct c_stat "stat":
        unsigned long long st_ino
    struct timespec:
        long tv_sec
        long tv_nsec
    int CLOCK_REALTIME
    int c_close "close"(int fd)
    int clock_gettime(int clock, timespec* now)
    int fstat(int fd, c_stat* out)
    int ioctl(int fd, unsigned long request, ...)

cdef enum:
    # include/uapi/linux/sockios.h: #define SIOCGSKNS 0x894C "get socket network namespace"
    SIOCGSKNS = 0x894C
    # What a get is answered with: a link is some kilobytes.
    REPLY_ANSWERS = 8
    # More than any acknowledgement, and than a link's answer without its statistics.
    ANSWER_BYTES = 16384
    # netlink_dump() never fills more: min(max_recvmsg_len, SKB_WITH_OVERHEAD(32768))
    DUMP_BYTES = 32768
    # The kernel answers before send() returns, so a wait at all is a fault already.
    ANSWER_MILLISECONDS = 2000
    DUMP_MILLISECONDS = 5000


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


cdef uint64_t namespace_of(int fd) noexcept nogil:
    """The inode of a socket's namespace; 0 where the kernel does not tell us."""
    cdef c_stat found
    cdef int code
    cdef int namespace = ioctl(fd, SIOCGSKNS)
    if namespace < 0:
        return 0
    code = fstat(namespace, &found)
    c_close(namespace)
    return <uint64_t> found.st_ino if code == 0 else 0


cdef void note_datagram(Journal* journal, int fd, bint sent, const uint8_t* data, size_t size) noexcept nogil:
    """Keep a copy of a datagram. Without memory there is none: a journal never disturbs the exchange."""
    cdef Note note
    cdef timespec now
    cdef size_t before = journal.wire.used
    if journal.namespace == 0:
        journal.namespace = namespace_of(fd)
    clock_gettime(CLOCK_REALTIME, &now)
    note.time = <int64_t> now.tv_sec * 1000000000 + now.tv_nsec
    note.size = <uint32_t> size
    note.sent = 1 if sent else 0
    if not (
        wire_append(&journal.wire, <const uint8_t*> &note, sizeof(note)) and wire_append(&journal.wire, data, size)
    ):
        journal.wire.used = before
        journal.wire.failed = False


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
            if code == INT32_MIN:       # no errno, and its negation is no int32
                return result | 2
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
            if job.journal.open:
                note_datagram(&job.journal, job.fd, False, buffer, <size_t> got)
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
        if job.journal.open:
            note_datagram(&job.journal, job.fd, True, job.data + job.starts[first], end - job.starts[first])
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


cdef int read_dump(int fd, Wire* request, uint32_t sequence, Wire* heard, Journal* journal) noexcept nogil:
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
    if journal.open:
        note_datagram(journal, fd, True, request.data, request.used)
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
        if journal.open:
            note_datagram(journal, fd, False, buffer, <size_t> got)
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
                    if code == INT32_MIN:
                        result = -EPROTO
                    elif code < 0:
                        result = code
                free(buffer)
                return result
            if not wire_append(heard, start, header.size):
                result = -ENOMEM
    free(buffer)
    return result

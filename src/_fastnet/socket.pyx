"""Netlink sockets: batches executed, dumps read. With ``exchange`` the only place with system calls on them."""

import errno
import os

from _fastnet.errors import NetlinkError
from _fastnet.records import addresses, links, neighbours, routes, rules

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cython cimport final
from libc.errno cimport EBADF, EINTR, ENOBUFS, ENOMEM
from libc.errno cimport errno as c_errno
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from _fastnet.answers cimport Answers, new_answers
from _fastnet.args cimport INT_LIMIT, U32_LIMIT, read_number, read_text
from _fastnet.batch cimport Batch
from _fastnet.dumps cimport FAMILY_BRIDGE, RTM_GETRULE, Wanted, encode_wanted
from _fastnet.exchange cimport Exchange, Journal, Note, exchange, note_answers, read_dump
from _fastnet.rtnl cimport (
    RTM_GETADDR,
    RTM_GETLINK,
    RTM_GETNEIGH,
    RTM_GETROUTE,
)
from _fastnet.wire cimport Wire, aligned, wire_free

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    int SOL_SOCKET, SO_RCVBUF, SO_SNDBUF, SO_DOMAIN, SO_PROTOCOL, AF_NETLINK, SOCK_RAW, SOCK_CLOEXEC
    int c_socket "socket"(int domain, int type, int protocol)
    int getsockopt(int fd, int level, int option, void* value, socklen_t* size)
    int setsockopt(int fd, int level, int option, const void* value, socklen_t size)

cdef extern from "<poll.h>" nogil:
    int poll(void* fds, unsigned long count, int milliseconds)

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
    # net/netlink/af_netlink.c, netlink_sendmsg(): if (len > sk->sk_sndbuf - 32) return -EMSGSIZE
    SEND_SLACK = 32
    # A larger sendmsg wins nothing and holds up more.
    CHUNK_BYTES = 65536
    DUMP_TRIES = 16
    DUMP_AT_ONCE = 3
    # net/core/rtnetlink.c, ifla_info_policy and rtnl_newlink(): char kind[MODULE_NAME_LEN], 64 - sizeof(unsigned long)
    KIND_BYTES = 55


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
        cdef object told = observer
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
            fill_job(&job, work, answers, told is not None)
            with nogil:
                self.run(&job)
            if job.fd < 0:
                raise ValueError("the netlink socket is closed")
            answers.fill(work, &job.heard, job.base)
            if told is not None:
                tell(told, &job.journal, answers)
        finally:
            wire_free(&job.heard)
            wire_free(&job.journal.wire)
            work.pins -= 1
            work.executing = False
        return answers

    cdef void run(self, Exchange* job) noexcept nogil:
        with self.lock:
            job.fd = self.fd
            if job.fd >= 0:
                job.base = self.sequence
                self.sequence += <uint32_t> job.count
                job.send_limit = self.send_limit
                job.answer_limit = self.answer_limit
                exchange(job)

    # ------------------------------------------------------------------------------------------------- dumps
    cdef bytes dump(self, uint16_t type, const Wanted* wanted, str what):
        """Read everything of one kind: the kernel's messages, one after the other."""
        cdef Wire request, heard
        cdef Journal journal
        cdef object told = observer
        cdef int code = 0
        cdef int tries = 0
        memset(&request, 0, sizeof(request))
        memset(&heard, 0, sizeof(heard))
        memset(&journal, 0, sizeof(journal))
        journal.open = told is not None
        try:
            if encode_wanted(&request, type, wanted) < 0:
                raise MemoryError
            with nogil:
                while True:
                    tries += 1
                    heard.used = 0
                    with self.lock:
                        code = read_dump(self.fd, &request, self.sequence, &heard, &journal)
                        self.sequence += 1
                    if (code != -EINTR and code != -ENOBUFS) or tries == DUMP_TRIES:
                        break
                    if tries >= DUMP_AT_ONCE:   # links that come or go in a crowd: 1, 2, 4, … ms, 1.5 s in all
                        poll(NULL, 0, <int> min(1 << (tries - DUMP_AT_ONCE), 256))
            if told is not None:
                tell(told, &journal, None)
            if code == -EINTR:
                raise NetlinkError(errno.EAGAIN, f"dump {what}", f"they changed during each of {DUMP_TRIES} readings")
            if code == -errno.EBADF and self.fd < 0:
                raise ValueError("the netlink socket is closed")
            if code == -errno.ENOMEM:
                raise MemoryError
            if code == -errno.ENOENT and wanted.table:
                return b""              # a table that nobody has used yet
            if code < 0:
                raise NetlinkError(-code, f"dump {what}")
            return PyBytes_FromStringAndSize(<const char*> heard.data, <Py_ssize_t> heard.used)
        finally:
            wire_free(&request)
            wire_free(&heard)
            wire_free(&journal.wire)

    def dump_links(self, *, master=0, kind=None):
        """Read the links of the socket's namespace (without the statistics of address families).

        Parameters
        ----------
        master : int, optional
            Only the ports of this bridge (or other master): its ifindex.
        kind : str, optional
            Only links of this kind, as ``"veth"``.

        Raises
        ------
        NetlinkError
            The kernel refused; EAGAIN where the links changed during each of 16 readings, in a second and a half.
        """
        cdef Wanted wanted
        cdef object record
        cdef list found
        memset(&wanted, 0, sizeof(wanted))
        wanted.master = <uint32_t> read_number(master, "master", 0, INT_LIMIT)
        if kind is not None:
            read_text(kind, "kind", 1, KIND_BYTES, &wanted.kind)
        found = links(self.dump(RTM_GETLINK, &wanted, "links"))
        # A kernel that does not filter, or never heard of the kind, sends all.
        if master:
            found = [record for record in found if record.master == master]
        if kind is not None:
            found = [record for record in found if record.kind == kind]
        return found

    def dump_addresses(self, family=0, /, *, index=0):
        """Read the addresses of a family (AF_INET, AF_INET6; 0 = both), those of the link `index` alone if given."""
        cdef Wanted wanted
        read_wanted(&wanted, family, index)
        return of_link(addresses(self.dump(RTM_GETADDR, &wanted, "addresses")), index)

    def dump_routes(self, family=0, /, *, table=0, index=0):
        """Read the routes of a family (AF_INET, AF_INET6; 0 = both), of every table, the local one too.

        `table` gives those of one table alone (none where nobody has used it yet), `index` those that lead out of
        one link alone.
        """
        cdef Wanted wanted
        cdef object record
        cdef list found
        read_wanted(&wanted, family, index)
        wanted.table = <uint32_t> read_number(table, "table", 0, U32_LIMIT)
        found = routes(self.dump(RTM_GETROUTE, &wanted, "routes"))
        if table:
            found = [record for record in found if record.table == table]
        return of_link(found, index)

    def dump_neighbours(self, family=0, /, *, index=0):
        """Read the neighbours of a family (AF_INET, AF_INET6; 0 = both), those on the link `index` alone if given."""
        cdef Wanted wanted
        read_wanted(&wanted, family, index)
        return of_link(neighbours(self.dump(RTM_GETNEIGH, &wanted, "neighbours")), index)

    def dump_fdb(self, *, bridge=0, index=0):
        """Read the forwarding tables: of all bridges and VXLANs, of one bridge, or of one link (a port or a VXLAN).

        Equivalent to: bridge fdb show [br BRIDGE] [brport DEV].
        """
        cdef Wanted wanted
        cdef object record
        cdef list found
        read_wanted(&wanted, FAMILY_BRIDGE, index)
        wanted.master = <uint32_t> read_number(bridge, "bridge", 0, INT_LIMIT)
        found = neighbours(self.dump(RTM_GETNEIGH, &wanted, "forwarding entries"))
        if bridge:
            found = [record for record in found if record.master == bridge or record.index == bridge]
        return of_link(found, index)

    def dump_rules(self, family=0, /):
        """Read the routing rules of a family (AF_INET, AF_INET6; 0 = both). Equivalent to: ip rule show."""
        cdef Wanted wanted
        read_wanted(&wanted, family, 0)
        return rules(self.dump(RTM_GETRULE, &wanted, "rules"))


cdef int read_wanted(Wanted* wanted, object family, object index) except -1:
    memset(wanted, 0, sizeof(wanted[0]))
    wanted.family = <uint8_t> read_number(family, "family", 0, 255)
    wanted.index = <int32_t> read_number(index, "index", 0, INT_LIMIT)
    return 0


cdef list of_link(list records, object index):
    """Leave out what an older kernel sent unasked."""
    cdef object record
    return [record for record in records if record.index == index] if index else records


def execute_many(sockets, batches, /):
    """Execute one batch on each of many sockets, one after the other, without the GIL in between.

    What :meth:`NetlinkSocket.execute` says holds for each pair. A pair that fails does not stop the others. A socket
    or a batch may come several times.

    Parameters
    ----------
    sockets : iterable of NetlinkSocket
    batches : iterable of Batch
        As many as sockets.

    Returns
    -------
    list of Answers
        One per pair, in order. Where another thread closed a socket meanwhile, all its messages have EBADF.

    Raises
    ------
    ValueError
        The numbers differ, or a socket is closed: nothing was sent.
    BufferError
        Another thread executes one of the batches just now: nothing was sent.

    Notes
    -----
    Thread safety: as that of ``execute``; one socket's lock is held at a time. A signal's handler runs after
    the last pair, so it is the caller who bounds how many go in one call.
    """
    cdef list ends = list(sockets)
    cdef list works = list(batches)
    cdef list distinct, result
    cdef Batch work
    cdef NetlinkSocket end
    cdef Answers answers
    cdef Exchange* jobs
    cdef size_t count = <size_t> len(ends)
    cdef Py_ssize_t marked = 0
    cdef size_t i, k
    cdef object told = observer
    if len(works) != len(ends):
        raise ValueError(f"{len(ends)} sockets and {len(works)} batches: one batch is wanted for each socket")
    for one in ends:
        if not isinstance(one, NetlinkSocket):
            raise TypeError(f"sockets must hold NetlinkSocket objects, not {type(one).__name__}")
        if (<NetlinkSocket> one).fd < 0:
            raise ValueError("a netlink socket is closed")
    for one in works:
        if not isinstance(one, Batch):
            raise TypeError(f"batches must hold Batch objects, not {type(one).__name__}")
    distinct = list(set(works))
    # calloc checks the product.
    jobs = <Exchange*> calloc(count or 1, sizeof(Exchange))
    if jobs == NULL:
        raise MemoryError
    try:
        for work in distinct:
            if work.executing:
                raise BufferError("another thread executes one of the batches")
            work.executing = True
            work.pins += 1
            marked += 1
        result = []
        for i in range(count):
            work = works[i]
            answers = new_answers(work.count)
            result.append(answers)
            fill_job(&jobs[i], work, answers, told is not None)
            jobs[i].socket = <PyObject*> ends[i]
        with nogil:
            for i in range(count):
                (<NetlinkSocket> jobs[i].socket).run(&jobs[i])
                if jobs[i].fd < 0:
                    for k in range(jobs[i].count):
                        jobs[i].status[k] = EBADF
        for i in range(count):
            answers = result[i]
            answers.fill(works[i], &jobs[i].heard, jobs[i].base)
        if told is not None:
            for i in range(count):
                tell(told, &jobs[i].journal, result[i])
    finally:
        for i in range(count):
            wire_free(&jobs[i].heard)
            wire_free(&jobs[i].journal.wire)
        free(jobs)
        for work in distinct[:marked]:
            work.pins -= 1
            work.executing = False
    return result


def read_answers(batch, data, /):
    """Give the answers that a batch would have from these bytes of a kernel's, without any I/O.

    It is what ``execute`` does with one datagram, where the batch's messages have the sequence numbers 1, 2, …: for
    captures, and for tests of bytes that lie. What `data` does not answer is ``UNKNOWN``.
    """
    cdef Batch work
    cdef Answers answers
    cdef Exchange job
    cdef bytes heard
    if not isinstance(batch, Batch):
        raise TypeError(f"batch must be a Batch, not {type(batch).__name__}")
    if not isinstance(data, bytes):
        raise TypeError(f"data must be bytes, not {type(data).__name__}")
    work = batch
    heard = data
    memset(&job, 0, sizeof(job))
    work.pins += 1
    try:
        answers = new_answers(work.count)
        fill_job(&job, work, answers, False)
        job.base = 1
        note_answers(&job, <const uint8_t*> PyBytes_AS_STRING(heard), <size_t> PyBytes_GET_SIZE(heard), 0, job.count)
        answers.fill(work, &job.heard, job.base)
    finally:
        wire_free(&job.heard)
        work.pins -= 1
    return answers


# -------------------------------------------------------------------------------------------------- observing
# Who is told of every exchange: an object of Python's in the module's own namespace, None = nobody.
observer = None


def observe(told, /):
    """Have somebody told of every exchange of this process from now on, and give who was before.

    Parameters
    ----------
    told : callable or None
        Called after each exchange, by the thread that made it, as ``told(namespace, datagrams, answers)``:
        the inode of the socket's namespace (0 where the kernel does not say); a list of
        ``(nanoseconds since the epoch, sent, bytes)``, where `sent` is False of what the kernel answered; the
        batch's answers, or None of a dump. Its ``Exception`` goes to :func:`sys.unraisablehook`.

    Notes
    -----
    Thread safety: may be called at any time; exchanges under way still tell the former one.
    """
    global observer
    if told is not None and not callable(told):
        raise TypeError(f"an observer must be callable, not {type(told).__name__}")
    before = observer
    observer = told
    return before


cdef int fill_job(Exchange* job, Batch work, Answers answers, bint watched) except -1:
    job.data = work.wire.data
    job.starts = work.starts
    job.count = work.count
    job.used = work.wire.used
    job.status = answers.status
    job.journal.open = watched
    return 0


cdef int tell(object told, const Journal* journal, Answers answers) except -1:
    """Tell the observer; an error of its own must not cost the caller the kernel's answers."""
    cdef list datagrams = []
    cdef size_t at = 0
    cdef Note note
    while at < journal.wire.used:
        memcpy(&note, journal.wire.data + at, sizeof(note))
        at += sizeof(note)
        datagrams.append((
            note.time,
            note.sent != 0,
            PyBytes_FromStringAndSize(<const char*> journal.wire.data + at, <Py_ssize_t> note.size),
        ))
        at += aligned(note.size)
    try:
        told(journal.namespace, datagrams, answers)
    except Exception as error:
        observer_failed(error)
    return 0


cdef void observer_failed(object error) noexcept:
    # What a function that may not raise raises goes to sys.unraisablehook.
    raise error

"""Ports of a host, many at once: a socket bound to each, and nothing else done with it.

A socket's making and its end cost some 3 µs each, nearly all of it in the kernel and none of it in a lock that others
wait for. Many are therefore done by several threads of this module's own, which run no Python, take the next few that
nobody has taken yet, and live for one call. Nobody waits for a thread that no processor had time for.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.errno cimport errno as c_errno
from libc.stdint cimport uint16_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from _fastnet.args cimport INT_LIMIT, read_number, read_switch

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <fcntl.h>
    #include <pthread.h>
    #include <sched.h>
    #include <signal.h>
    """

cdef extern from * nogil:
    ctypedef struct pthread_t:
        pass
    ctypedef struct pthread_attr_t:
        pass
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass
    ctypedef struct sigset_t:
        pass
    ctypedef struct cpu_set_t:
        pass
    int F_DUPFD_CLOEXEC, PTHREAD_CREATE_DETACHED, SIG_SETMASK
    int c_fcntl "fcntl"(int fd, int command, ...)
    int pthread_attr_init(pthread_attr_t* attributes)
    int pthread_attr_setstacksize(pthread_attr_t* attributes, size_t size)
    int pthread_attr_setdetachstate(pthread_attr_t* attributes, int state)
    int pthread_attr_destroy(pthread_attr_t* attributes)
    int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*) noexcept nogil, void* argument)
    int pthread_mutex_init(pthread_mutex_t* lock, const void* attributes)
    int pthread_mutex_lock(pthread_mutex_t* lock)
    int pthread_mutex_unlock(pthread_mutex_t* lock)
    int pthread_mutex_destroy(pthread_mutex_t* lock)
    int pthread_cond_init(pthread_cond_t* condition, const void* attributes)
    int pthread_cond_wait(pthread_cond_t* condition, pthread_mutex_t* lock)
    int pthread_cond_signal(pthread_cond_t* condition)
    int pthread_cond_destroy(pthread_cond_t* condition)
    int pthread_sigmask(int how, const sigset_t* new, sigset_t* old)
    int sigfillset(sigset_t* signals)
    int sched_getaffinity(int pid, size_t size, cpu_set_t* cpus)
    int CPU_COUNT(cpu_set_t* cpus)

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    struct sockaddr:
        pass
    int AF_INET, AF_INET6, SOCK_CLOEXEC
    int c_socket "socket"(int domain, int type, int protocol)
    int c_bind "bind"(int fd, const sockaddr* address, socklen_t size)
    int setsockopt(int fd, int level, int option, const void* value, socklen_t size)

cdef extern from "<netinet/in.h>" nogil:
    int IPPROTO_IPV6, IPV6_V6ONLY
    struct in_addr:
        pass
    struct in6_addr:
        pass
    struct sockaddr_in:
        unsigned short sin_family
        uint16_t sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        unsigned short sin6_family
        uint16_t sin6_port
        in6_addr sin6_addr
    uint16_t htons(uint16_t value)

cdef extern from "<unistd.h>" nogil:
    int c_close "close"(int fd)

cdef enum:
    # A thread costs as much as some ten sockets: fewer than this are not worth one. More threads than this would
    # wait for each other, where descriptors are given out.
    SHARE = 128
    THREADS = 4
    # So many are taken at a time: what the slowest has left when the others are through.
    SOME = 16
    STACK_BYTES = 256 * 1024
    # So many that are to be open at once are worth asking for their place beforehand.
    MANY = 32

cdef struct Binding:
    int family
    int type
    int protocol
    bint keep
    const char* address
    const uint16_t* ports

ctypedef size_t (*Work)(const Binding* binding, int* descriptors, size_t first, size_t end) noexcept nogil

cdef struct Job:
    pthread_mutex_t lock    # of all that is below
    pthread_cond_t idle     # nobody is at work
    int working
    int users               # who is the last frees it
    size_t next             # that nobody has taken yet
    size_t end              # where it stops: the count, or the first that failed
    Work work               # does [first, end); gives where it stopped
    const Binding* binding  # the caller's, as the next: nobody looks at them who does not work
    int* descriptors


cdef int bind_one(const Binding* of, uint16_t port) noexcept nogil:
    """Give a descriptor that is bound, or was (0 where it is not kept); -errno where it cannot be."""
    cdef sockaddr_in ipv4
    cdef sockaddr_in6 ipv6
    cdef int on = 1
    cdef int code
    cdef int fd = c_socket(of.family, of.type | SOCK_CLOEXEC, of.protocol)
    if fd == 0:                         # 0 says that none is kept
        fd = c_socket(of.family, of.type | SOCK_CLOEXEC, of.protocol)
        c_close(0)
    if fd < 0:
        return -c_errno
    if of.family == AF_INET:
        memset(&ipv4, 0, sizeof(ipv4))
        ipv4.sin_family = <unsigned short> of.family
        ipv4.sin_port = htons(port)
        memcpy(&ipv4.sin_addr, of.address, sizeof(ipv4.sin_addr))
        code = c_bind(fd, <sockaddr*> &ipv4, sizeof(ipv4))
    else:
        memset(&ipv6, 0, sizeof(ipv6))
        ipv6.sin6_family = <unsigned short> of.family
        ipv6.sin6_port = htons(port)
        memcpy(&ipv6.sin6_addr, of.address, sizeof(ipv6.sin6_addr))
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on))
        code = c_bind(fd, <sockaddr*> &ipv6, sizeof(ipv6))
    if code < 0:
        code = -c_errno
        c_close(fd)
        return code
    if not of.keep:
        c_close(fd)
        return 0
    return fd


cdef size_t bind_some(const Binding* of, int* descriptors, size_t first, size_t end) noexcept nogil:
    cdef size_t i
    for i in range(first, end):
        descriptors[i] = bind_one(of, of.ports[i])
        if descriptors[i] < 0:
            return i
    return end


cdef size_t close_some(const Binding* of, int* descriptors, size_t first, size_t end) noexcept nogil:
    cdef size_t i
    for i in range(first, end):
        if descriptors[i] > 0:
            c_close(descriptors[i])
    return end


cdef size_t take_part(Job* job, bint waiting) noexcept nogil:
    """Work until nothing is left to be taken; wait for the others, if need be; let go of the job. Give where it ends."""
    cdef size_t first, end, stopped
    cdef bint last
    pthread_mutex_lock(&job.lock)
    while job.next < job.end:
        first = job.next
        end = min(first + SOME, job.end)
        job.next = end
        job.working += 1
        pthread_mutex_unlock(&job.lock)
        stopped = job.work(job.binding, job.descriptors, first, end)
        pthread_mutex_lock(&job.lock)
        job.working -= 1
        if stopped < end and stopped < job.end:
            job.end = stopped
    if waiting:
        while job.working:
            pthread_cond_wait(&job.idle, &job.lock)
    elif job.working == 0:
        pthread_cond_signal(&job.idle)
    stopped = job.end
    job.users -= 1
    last = job.users == 0
    pthread_mutex_unlock(&job.lock)
    if last:
        pthread_cond_destroy(&job.idle)
        pthread_mutex_destroy(&job.lock)
        free(job)
    return stopped


cdef void* help_out(void* argument) noexcept nogil:
    take_part(<Job*> argument, False)
    return NULL


cdef void get_help(Job* job, size_t helpers) noexcept nogil:
    """Begin threads that take part, as many as there can be."""
    cdef pthread_t thread
    cdef pthread_attr_t attributes
    cdef sigset_t every, before
    cdef size_t i
    if pthread_attr_init(&attributes):
        return
    pthread_attr_setstacksize(&attributes, STACK_BYTES)
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED)
    sigfillset(&every)  # a new thread inherits our mask: no signal reaches it
    pthread_sigmask(SIG_SETMASK, &every, &before)
    for i in range(helpers):
        pthread_mutex_lock(&job.lock)
        job.users += 1
        pthread_mutex_unlock(&job.lock)
        if pthread_create(&thread, &attributes, help_out, job):
            pthread_mutex_lock(&job.lock)
            job.users -= 1
            pthread_mutex_unlock(&job.lock)
            break
    pthread_sigmask(SIG_SETMASK, &before, NULL)
    pthread_attr_destroy(&attributes)


cdef size_t share_out(Work work, const Binding* binding, int* descriptors, size_t count) noexcept nogil:
    """Do something with each of many, on as many threads as that is worth; give where it stopped.

    Of those after that, some may have been done.
    """
    cdef cpu_set_t cpus
    cdef size_t threads = count // SHARE
    cdef Job* job = NULL
    if threads > 1 and sched_getaffinity(0, sizeof(cpus), &cpus) == 0:
        threads = min(threads, <size_t> CPU_COUNT(&cpus), <size_t> THREADS)
        job = <Job*> calloc(1, sizeof(Job)) if threads > 1 else NULL
    if job == NULL:
        return work(binding, descriptors, 0, count)
    pthread_mutex_init(&job.lock, NULL)
    pthread_cond_init(&job.idle, NULL)
    job.users = 1
    job.end = count
    job.work = work
    job.binding = binding
    job.descriptors = descriptors
    get_help(job, threads - 1)
    return take_part(job, True)


cdef void make_place(const Binding* of, size_t count) noexcept nogil:
    """Have the table of descriptors grow once: the kernel doubles it, and each time waits for all processors."""
    cdef int lowest = c_socket(of.family, of.type | SOCK_CLOEXEC, of.protocol)
    cdef int highest
    if lowest < 0:
        return
    highest = c_fcntl(lowest, F_DUPFD_CLOEXEC, lowest + <int> count)
    if highest >= 0:
        c_close(highest)
    c_close(lowest)


def bind_ports(family, type, protocol, address, ports, /, *, keep=True):
    """Bind a socket to each of many ports of one address; stop at the first that cannot be.

    Parameters
    ----------
    family, type, protocol : int
        AF_INET or AF_INET6 (then for IPv6 alone), SOCK_…, IPPROTO_….
    address : bytes
        4 or 16 bytes.
    ports : list of int
        Each 0…65535.
    keep : bool
        False closes each again at once: it has shown that the port is free.

    Returns
    -------
    (list of int, int)
        The descriptors, the caller's to close (0 for each that was not kept), as many as were bound; and 0, or the
        errno of the port after them.

    Raises
    ------
    ValueError, TypeError
        An argument is none; nothing was bound.

    Notes
    -----
    Thread safety: any thread; the sockets are of the calling thread's network namespace.
    """
    cdef Binding of
    cdef uint16_t* numbers
    cdef int* descriptors
    cdef size_t count, done, i
    of.family = <int> read_number(family, "family", 0, INT_LIMIT)
    of.type = <int> read_number(type, "type", 0, INT_LIMIT)
    of.protocol = <int> read_number(protocol, "protocol", 0, INT_LIMIT)
    of.keep = read_switch(keep, "keep")
    if of.family != AF_INET and of.family != AF_INET6:
        raise ValueError(f"family must be AF_INET or AF_INET6, not {family}")
    if not isinstance(address, bytes):
        raise TypeError(f"address must be bytes, not {address.__class__.__name__}")
    if PyBytes_GET_SIZE(address) != (4 if of.family == AF_INET else 16):
        raise ValueError(f"address has {PyBytes_GET_SIZE(address)} bytes, which is not one of family {family}")
    if not isinstance(ports, list):
        raise TypeError(f"ports must be a list, not {ports.__class__.__name__}")
    of.address = PyBytes_AS_STRING(address)
    wanted = tuple(ports)  # nobody shortens it meanwhile
    count = <size_t> len(wanted)
    numbers = <uint16_t*> malloc((count or 1) * sizeof(uint16_t))
    descriptors = <int*> calloc(count or 1, sizeof(int))
    of.ports = numbers
    try:
        if numbers == NULL or descriptors == NULL:
            raise MemoryError
        for i in range(count):
            numbers[i] = <uint16_t> read_number(wanted[i], "port", 0, 0xFFFF)
        found = []
        with nogil:
            if of.keep and count >= MANY:
                make_place(&of, count)
            done = share_out(bind_some, &of, descriptors, count)
            close_some(&of, descriptors, done, count)  # those after one that cannot be, and that others had begun with
        try:
            for i in range(done):
                found.append(descriptors[i])
        except BaseException:  # no memory: nobody would know of them
            close_some(&of, descriptors, 0, done)
            raise
        return found, -descriptors[done] if done < count else 0
    finally:
        free(numbers)
        free(descriptors)


def close_all(descriptors, /):
    """Close descriptors; negative ones, and 0, are passed over."""
    cdef size_t count, i
    cdef int* open
    wanted = tuple(descriptors)
    count = <size_t> len(wanted)
    open = <int*> malloc((count or 1) * sizeof(int))
    try:
        if open == NULL:
            raise MemoryError
        for i in range(count):
            open[i] = <int> read_number(wanted[i], "descriptor", -1, INT_LIMIT)
        with nogil:
            share_out(close_some, NULL, open, count)
    finally:
        free(open)

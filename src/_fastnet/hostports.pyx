"""Ports of a host, many at once: a socket bound to each, and nothing else done with it.

A socket's making and its end cost some 3 µs each, nearly all of it in the kernel and none of it in a lock that others
wait for. Many are therefore shared out among threads of this module's own, which run no Python and live for one call.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.errno cimport errno as c_errno
from libc.stdint cimport uint16_t
from libc.stdlib cimport free, malloc
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
    ctypedef struct sigset_t:
        pass
    ctypedef struct cpu_set_t:
        pass
    int F_DUPFD_CLOEXEC, SIG_SETMASK
    int c_fcntl "fcntl"(int fd, int command, ...)
    int pthread_attr_init(pthread_attr_t* attributes)
    int pthread_attr_setstacksize(pthread_attr_t* attributes, size_t size)
    int pthread_attr_destroy(pthread_attr_t* attributes)
    int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*) noexcept nogil, void* argument)
    int pthread_join(pthread_t thread, void** result)
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

cdef struct Share:          # what one thread does: [first, end)
    const Binding* binding
    int* descriptors
    size_t first
    size_t end
    size_t done             # out: how far it came
    int error               # out: errno of the one that stopped it


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


cdef void* bind_share(void* argument) noexcept nogil:
    cdef Share* share = <Share*> argument
    cdef int fd
    for share.done in range(share.first, share.end):
        fd = bind_one(share.binding, share.binding.ports[share.done])
        if fd < 0:
            share.error = -fd
            return NULL
        share.descriptors[share.done] = fd
    share.done = share.end
    return NULL


cdef void* close_share(void* argument) noexcept nogil:
    cdef Share* share = <Share*> argument
    cdef size_t i
    for i in range(share.first, share.end):
        if share.descriptors[i] > 0:
            c_close(share.descriptors[i])
    return NULL


cdef size_t share_out(
    void* (*run)(void*) noexcept nogil, const Binding* binding, int* descriptors, size_t count, Share* shares
) noexcept nogil:
    """Do something with each of many, on as many threads as that is worth; give how many shares there were."""
    cdef pthread_t threads[THREADS]
    cdef bint begun[THREADS]
    cdef pthread_attr_t attributes
    cdef sigset_t every, before
    cdef cpu_set_t cpus
    cdef size_t parts = count // SHARE
    cdef size_t i
    if parts > 1 and sched_getaffinity(0, sizeof(cpus), &cpus) == 0:
        parts = min(parts, <size_t> CPU_COUNT(&cpus), <size_t> THREADS)
    else:
        parts = 1
    for i in range(parts):
        shares[i].binding = binding
        shares[i].descriptors = descriptors
        shares[i].first = count * i // parts
        shares[i].end = count * (i + 1) // parts
        shares[i].error = 0
        begun[i] = False
    if parts > 1 and pthread_attr_init(&attributes) == 0:
        pthread_attr_setstacksize(&attributes, STACK_BYTES)
        sigfillset(&every)  # a new thread inherits our mask: no signal reaches it
        pthread_sigmask(SIG_SETMASK, &every, &before)
        for i in range(1, parts):
            begun[i] = pthread_create(&threads[i], &attributes, run, &shares[i]) == 0
        pthread_sigmask(SIG_SETMASK, &before, NULL)
        pthread_attr_destroy(&attributes)
    for i in range(parts):
        if not begun[i]:  # the first is ours, and each that there was no thread for
            run(&shares[i])
    for i in range(1, parts):
        if begun[i]:
            pthread_join(threads[i], NULL)
    return parts


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
    cdef Share shares[THREADS]
    cdef uint16_t* numbers
    cdef int* descriptors
    cdef size_t count, parts, i, j
    cdef size_t done = 0
    cdef int error = 0
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
    descriptors = <int*> malloc((count or 1) * sizeof(int))
    of.ports = numbers
    try:
        if numbers == NULL or descriptors == NULL:
            raise MemoryError
        for i in range(count):
            numbers[i] = <uint16_t> read_number(wanted[i], "port", 0, 0xFFFF)
        found = [0] * count
        with nogil:
            if of.keep and count >= MANY:
                make_place(&of, count)
            parts = share_out(bind_share, &of, descriptors, count, shares)
            for i in range(parts):
                if not error:
                    error = shares[i].error
                    done = shares[i].done
                else:  # they come after one that cannot be
                    for j in range(shares[i].first, shares[i].done):
                        if descriptors[j]:
                            c_close(descriptors[j])
        try:
            for i in range(done):
                found[i] = descriptors[i]
            del found[done:]
        except BaseException:  # no memory: nobody would know of them
            share_out(close_share, NULL, descriptors, done, shares)
            raise
        return found, error
    finally:
        free(numbers)
        free(descriptors)


def close_all(descriptors, /):
    """Close descriptors; negative ones, and 0, are passed over."""
    cdef Share shares[THREADS]
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
            share_out(close_share, NULL, open, count, shares)
    finally:
        free(open)

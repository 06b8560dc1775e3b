"""Ports of a host, many at once: a socket bound to each, and nothing else done with it."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.errno cimport errno as c_errno
from libc.stdint cimport uint16_t
from libc.string cimport memcpy, memset

from _fastnet.args cimport INT_LIMIT, read_number, read_switch

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


cdef int bind_one(int family, int type, int protocol, const char* address, uint16_t port, bint keep) noexcept nogil:
    """Give a descriptor that is bound, or was (0 where it is not kept); -errno where it cannot be."""
    cdef sockaddr_in ipv4
    cdef sockaddr_in6 ipv6
    cdef int on = 1
    cdef int code
    cdef int fd = c_socket(family, type | SOCK_CLOEXEC, protocol)
    if fd == 0:                         # 0 says that none is kept
        fd = c_socket(family, type | SOCK_CLOEXEC, protocol)
        c_close(0)
    if fd < 0:
        return -c_errno
    if family == AF_INET:
        memset(&ipv4, 0, sizeof(ipv4))
        ipv4.sin_family = <unsigned short> family
        ipv4.sin_port = htons(port)
        memcpy(&ipv4.sin_addr, address, sizeof(ipv4.sin_addr))
        code = c_bind(fd, <sockaddr*> &ipv4, sizeof(ipv4))
    else:
        memset(&ipv6, 0, sizeof(ipv6))
        ipv6.sin6_family = <unsigned short> family
        ipv6.sin6_port = htons(port)
        memcpy(&ipv6.sin6_addr, address, sizeof(ipv6.sin6_addr))
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on))
        code = c_bind(fd, <sockaddr*> &ipv6, sizeof(ipv6))
    if code < 0:
        code = -c_errno
        c_close(fd)
        return code
    if not keep:
        c_close(fd)
        return 0
    return fd


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
    cdef int domain = <int> read_number(family, "family", 0, INT_LIMIT)
    cdef int kind = <int> read_number(type, "type", 0, INT_LIMIT)
    cdef int number = <int> read_number(protocol, "protocol", 0, INT_LIMIT)
    cdef bint kept = read_switch(keep, "keep")
    cdef list wanted, found
    cdef const char* where
    cdef uint16_t at
    cdef int fd
    if domain != AF_INET and domain != AF_INET6:
        raise ValueError(f"family must be AF_INET or AF_INET6, not {family}")
    if not isinstance(address, bytes):
        raise TypeError(f"address must be bytes, not {address.__class__.__name__}")
    if PyBytes_GET_SIZE(address) != (4 if domain == AF_INET else 16):
        raise ValueError(f"address has {PyBytes_GET_SIZE(address)} bytes, which is not one of family {family}")
    if not isinstance(ports, list):
        raise TypeError(f"ports must be a list, not {ports.__class__.__name__}")
    wanted = [<int> read_number(port, "port", 0, 0xFFFF) for port in ports]
    where = PyBytes_AS_STRING(address)
    found = []
    for port in wanted:
        at = <uint16_t> (<int> port)
        fd = bind_one(domain, kind, number, where, at, kept)
        if fd < 0:
            return found, -fd
        found.append(fd)
    return found, 0


def close_all(descriptors, /):
    """Close descriptors; negative ones, and 0, are passed over."""
    cdef int fd
    for one in list(descriptors):
        fd = <int> read_number(one, "descriptor", -1, INT_LIMIT)
        if fd > 0:
            c_close(fd)

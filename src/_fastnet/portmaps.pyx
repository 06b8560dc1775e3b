"""Published ports, many at once: read from text, and packed as elements of nftables' maps. No I/O."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from cpython.unicode cimport PyUnicode_DATA, PyUnicode_GET_LENGTH
from libc.stdint cimport uint8_t
from libc.string cimport memcmp, memcpy, memset

from _fastnet.args cimport read_number

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text)

cdef enum:
    PLACE = 8           # protocol, 3 bytes; port, 2 bytes
    PORT = 4            # port, 2 bytes
    MOST = 16
    DIGITS = 5          # of a port


cdef inline const uint8_t* read_digits(const uint8_t* at, const uint8_t* end, int* number) noexcept nogil:
    """Read a few decimal digits; give the place after them."""
    cdef const uint8_t* first = at
    number[0] = 0
    while at < end and at - first < DIGITS and c'0' <= at[0] <= c'9':
        number[0] = 10 * number[0] + at[0] - c'0'
        at += 1
    return at


def plain_ports(text, /):
    """Read ``HOSTPORT:PORT``, as most published ports are written.

    Parameters
    ----------
    text : object
        A str; anything else is no such text.

    Returns
    -------
    int
        The port of the host times 65536, plus the other; 0 where it is not written so, or one is not 1…65535.

    Notes
    -----
    Thread safety: any thread.

    Examples
    --------
    >>> divmod(plain_ports("8080:80"), 65536)
    (8080, 80)
    """
    cdef const uint8_t* at
    cdef const uint8_t* end
    cdef int outer, inner
    if not isinstance(text, str) or not PyUnicode_IS_COMPACT_ASCII(text):
        return 0
    at = <const uint8_t*> PyUnicode_DATA(text)
    end = at + PyUnicode_GET_LENGTH(text)
    at = read_digits(at, end, &outer)
    if at == end or at[0] != c':':
        return 0
    at = read_digits(at + 1, end, &inner)
    if at != end or not 0 < outer <= 0xFFFF or not 0 < inner <= 0xFFFF:
        return 0
    return <unsigned int> outer << 16 | <unsigned int> inner


cdef inline void put_port(uint8_t* at, int port) noexcept nogil:
    at[0] = <uint8_t> (port >> 8)
    at[1] = <uint8_t> (port & 0xFF)
    at[2] = at[3] = 0


cdef bytes read_address(object value):
    if not isinstance(value, bytes):
        raise TypeError(f"an address must be bytes, not {value.__class__.__name__}")
    if PyBytes_GET_SIZE(value) != 4 and PyBytes_GET_SIZE(value) != MOST:
        raise ValueError(f"an address must have 4 or 16 bytes, not {PyBytes_GET_SIZE(value)}")
    return <bytes> value


def translations(ports, protocols, names, /):
    """Pack ports of a host that lead to others.

    Parameters
    ----------
    ports : list of tuple of (str, bytes, int, bytes, int)
        Protocol, address and port of the host; address and port behind: as of ``PortMap``.
    protocols : dict of str to int
        IPPROTO_… by name.
    names : tuple of str
        Six, of what has the elements: those for every address of the host (IPv4, IPv6; its address is zeros), those for
        one (IPv4, IPv6), and those that are reached at their own addresses (IPv4, IPv6; both addresses are the same).

    Returns
    -------
    dict of str to dict of bytes to bytes
        Keys and data by name, in order; data are empty of the last two.

    Raises
    ------
    ValueError, TypeError, KeyError
        An argument is none.

    Notes
    -----
    Thread safety: any thread.

    Examples
    --------
    >>> translations([("tcp", bytes(4), 80, bytes([10, 0, 0, 2]), 8080)], {"tcp": 6}, ("a4", "a6", "p4", "p6", "o4", "o6"))
    {'a4': {b'\\x06\\x00\\x00\\x00\\x00P\\x00\\x00': b'\\n\\x00\\x00\\x02\\x1f\\x90\\x00\\x00'}}
    """
    cdef uint8_t key[MOST + PLACE]
    cdef uint8_t data[MOST + PORT]
    cdef uint8_t zeros[MOST]
    cdef dict numbers, elements
    cdef dict found = {}
    cdef tuple called
    cdef bytes host, ip
    cdef Py_ssize_t size, behind, kind
    cdef uint8_t* at
    memset(zeros, 0, sizeof(zeros))
    if not isinstance(ports, list) or not isinstance(protocols, dict) or not isinstance(names, tuple):
        raise TypeError("translations() takes a list, a dict and a tuple")
    numbers, called = <dict> protocols, <tuple> names
    if PyTuple_GET_SIZE(called) != 6:
        raise ValueError(f"names must be 6, not {PyTuple_GET_SIZE(called)}")
    for one in <list> ports:
        if not isinstance(one, tuple) or PyTuple_GET_SIZE(one) != 5:
            raise TypeError(f"a port must be a tuple of 5, not {one!r}")
        host = read_address(<object> PyTuple_GET_ITEM(one, 1))
        ip = read_address(<object> PyTuple_GET_ITEM(one, 3))
        size, behind = PyBytes_GET_SIZE(host), PyBytes_GET_SIZE(ip)
        kind = 0 if size == 4 else 1
        at = key
        if host == ip:
            kind += 4
        elif memcmp(PyBytes_AS_STRING(host), zeros, <size_t> size):
            kind += 2
        if kind > 1:
            memcpy(at, PyBytes_AS_STRING(host), <size_t> size)
            at += size
        at[0] = <uint8_t> read_number(numbers[<object> PyTuple_GET_ITEM(one, 0)], "protocol", 0, 255)
        at[1] = at[2] = at[3] = 0
        put_port(at + 4, <int> read_number(<object> PyTuple_GET_ITEM(one, 2), "port", 0, 0xFFFF))
        at += PLACE
        memcpy(data, PyBytes_AS_STRING(ip), <size_t> behind)
        put_port(data + behind, <int> read_number(<object> PyTuple_GET_ITEM(one, 4), "port", 0, 0xFFFF))
        name = <object> PyTuple_GET_ITEM(called, kind)
        elements = <dict> found.get(name)
        if elements is None:
            elements = found[name] = {}
        elements[PyBytes_FromStringAndSize(<const char*> key, at - key)] = (
            b"" if kind > 3 else PyBytes_FromStringAndSize(<const char*> data, behind + PORT)
        )
    return found

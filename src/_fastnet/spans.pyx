"""Prefixes, ranges and exclusions as spans of addresses; see the declaration file."""

from bisect import bisect_right
from operator import itemgetter

from libc.stdint cimport uint64_t

from _fastnet.addr cimport Address, address_text, read_address
from _fastnet.integers cimport ALL_ONES, PyIndex_Check, int_of_halves, shown

from _fastnet.errors import OutOfRange

cdef extern from "Python.h":
    object PyNumber_Index(object)


cdef object int_of(const Address* address):
    return int_of_halves(address.high, address.low)


cdef void address_of(object number, int version, Address* address):
    address.version = version
    address.low = number & ALL_ONES
    address.high = number >> 64


cdef str _text(object number, int version):
    cdef Address address
    address_of(number, version, &address)
    return address_text(&address)


cdef int read_prefix(str text, Address* first, int* length) except -1:
    cdef Address network
    cdef int most, host
    cdef uint64_t read = 0
    address, slash, bits = text.partition("/")
    if not slash:
        raise ValueError(f"{text!r} is no prefix: it lacks its length, as in 10.0.0.0/8")
    read_address(address, first)
    most = 32 if first.version == 4 else 128
    # Digits as ASCII has them, no sign, no blank, no leading zero.
    if 1 <= len(bits) <= 3 and bits.isascii() and bits.isdigit() and (bits == "0" or bits[0] != "0"):
        read = int(bits)
    else:
        read = 999
    if read > <uint64_t>most:
        raise ValueError(f"{text!r} is no prefix: its length must be 0…{most}")
    length[0] = <int>read
    network = first[0]
    host = most - length[0]
    if host >= 64:
        network.low = 0
        network.high = 0 if host == 128 else network.high >> (host - 64) << (host - 64)
    else:
        network.low = network.low >> host << host
    if network.high != first.high or network.low != first.low:
        raise ValueError(f"{text!r} has host bits set: its network is {address_text(&network)}/{length[0]}")
    return 0


cdef tuple read_span(object source, str what, int version, object within_first, object within_last, str within):
    cdef Address address
    cdef int length
    if PyIndex_Check(source):
        first = last = PyNumber_Index(source)
        if not within_first <= first <= within_last:
            raise OutOfRange(f"{what} {shown(first)} does not lie in {within}")
        return first, last
    if isinstance(source, str) and "/" in source:
        read_prefix(source, &address, &length)
        first = int_of(&address)
        last = first + (<object>1 << ((32 if address.version == 4 else 128) - length)) - 1
    elif isinstance(source, str) and "-" in source:
        low, _, high = source.partition("-")
        read_address(high, &address)
        last = int_of(&address)
        length = address.version
        read_address(low, &address)
        first = int_of(&address)
        if address.version != length or first > last:
            raise ValueError(f"{what} {source!r} is none: its last address must not lie before its first")
    elif isinstance(source, (str, bytes)):
        read_address(source, &address)
        first = last = int_of(&address)
    else:
        raise TypeError(
            f"{what} must be a prefix, first-last or an address, as text, bytes or int, not {type(source).__name__}"
        )
    if address.version != version or not within_first <= first <= last <= within_last:
        text = _text(first, address.version)
        if last != first:
            text += "-" + _text(last, address.version)
        raise OutOfRange(f"{what} {text} does not lie in {within}")
    return first, last


cdef list merge(list spans):
    cdef list merged = []
    for first, last in sorted(spans):
        if merged:
            before, end = merged.pop()
            if first <= end + 1:
                first, last = before, max(end, last)
            else:
                merged.append((before, end))
        merged.append((first, last))
    return merged


cdef list subtract(object first, object last, list spans):
    cdef list left = []
    for low, high in spans:
        if high < first:
            continue
        if low > last:
            break
        if low > first:
            left.append((first, low - 1))
        first = high + 1
    if first <= last:
        left.append((first, last))
    return left


cdef bint covers(list spans, object number) except -1:
    cdef Py_ssize_t at = bisect_right(spans, number, key=itemgetter(0)) - 1
    return at >= 0 and number <= spans[at][1]

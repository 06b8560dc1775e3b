"""Prefixes, ranges and exclusions as spans of addresses (C level only).

Read once, when a pool is made: in Python's integers, because an IPv6 address has 128 bits.
"""

from _fastnet.addr cimport Address

# An address as a Python int, and back; the int is within the version's bits.
cdef object int_of(const Address* address)
cdef void address_of(object number, int version, Address* address)
# "address/length" without host bits; ValueError.
cdef int read_prefix(str text, Address* first, int* length) except -1
# A prefix, "first-last", or an address in any form: (first, last) as ints; ValueError, TypeError,
# and OutOfRange where it does not lie in the span of `within`, whose name is for the message.
cdef tuple read_span(object source, str what, int version, object within_first, object within_last, str within)
# Spans in order, what overlaps or touches made one.
cdef list merge(list spans)
# What is left of (first, last) after the spans of a merged list.
cdef list subtract(object first, object last, list spans)
# Whether a merged list has an address.
cdef bint covers(list spans, object number) except -1

"""What a bulk allocation of addresses gives: many addresses in one buffer."""

from libc.stdint cimport uint8_t, uint64_t

from _fastnet.addr cimport Address


cdef class Addresses:
    """Read-only result of a bulk allocation."""

    cdef uint8_t* data          # uint32 in host order (IPv4), else bytes in network order; all written
    cdef Py_ssize_t each        # bytes of one: 4 (IPv4), 16 (IPv6), 6 (MAC); 0 of none that a pool made
    cdef Py_ssize_t shape[2]    # (n,), or (n, each)
    cdef Py_ssize_t strides[2]  # (each,), or (each, 1)

    # One of them, of IPv4 or IPv6; a MAC's 48 bits stand in `low`, its version is 0.
    cdef void at(self, Py_ssize_t position, Address* address) noexcept nogil
    cdef Py_ssize_t _find(self, object wanted) except -2


# Room for so many; MemoryError.
cdef Addresses new_addresses(Py_ssize_t each, uint64_t count)

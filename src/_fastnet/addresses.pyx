"""What a bulk allocation of addresses gives: many addresses in one buffer."""

from collections.abc import Sequence

import cython
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBUF_STRIDES, PyBUF_WRITABLE, Py_buffer
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from _fastnet.addr cimport Address, address_packed, address_text, load_be, mac_packed, text_of_mac
from _fastnet.integers cimport PyIndex_Check, int_of_halves, read_position, shown, struct_size
from _fastnet.pages cimport pages_close, pages_open

cdef extern from "Python.h":
    object PySeqIter_New(object)
    object PyNumber_Index(object)
    const Py_ssize_t PY_SSIZE_T_MAX

cdef enum:
    IPV4 = 4        # bytes of one
    MAC = 6
    IPV6 = 16


@cython.final
@cython.auto_pickle(False)
@cython.no_gc
cdef class Addresses:
    """Read-only result of a bulk allocation: a sequence of int; IP addresses ascend.

    Buffer protocol, contiguous: IPv4 gives format ``I`` (native uint32), shape (n,);
    IPv6 and MAC format ``B``, shape (n, 16) and (n, 6), network order.
    Indexing takes integers only, negative ones from the end; no slices.

    Thread safety: immutable.
    """

    def __dealloc__(self) -> None:
        pages_close(self.data, <size_t>self.shape[0] * <size_t>self.each)

    @property
    def version(self) -> int:
        """4 or 6; 0 of MAC addresses, and of one that no pool made."""
        return 4 if self.each == IPV4 else 6 if self.each == IPV6 else 0

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, object position, /) -> int:
        cdef Address address
        self.at(read_position(position, self.shape[0]), &address)
        return int_of_halves(address.high, address.low)

    def __iter__(self) -> object:
        return PySeqIter_New(self)

    def __reversed__(self) -> object:
        return map(self.__getitem__, range(self.shape[0] - 1, -1, -1))

    def __contains__(self, object address, /) -> bool:
        return self._find(address) >= 0

    def index(self, object address, /) -> int:
        """Position of an address, given as int; ValueError where it is not here."""
        cdef Py_ssize_t position = self._find(address)
        if position < 0:
            raise ValueError(f"address {shown(address)} is not here")
        return position

    def count(self, object address, /) -> int:
        """How often an address is here: 0 or 1."""
        return 1 if self._find(address) >= 0 else 0

    def packed(self, object position, /) -> bytes:
        """Give one address as 4, 16 or 6 bytes in network order."""
        cdef Address address
        self.at(read_position(position, self.shape[0]), &address)
        return mac_packed(address.low) if self.each == MAC else address_packed(&address)

    def text(self, object position, /) -> str:
        """Give one address as text, IPv6 after RFC 5952, a MAC as ``02:42:0a:00:00:01``."""
        cdef Address address
        self.at(read_position(position, self.shape[0]), &address)
        return text_of_mac(address.low) if self.each == MAC else address_text(&address)

    cdef Py_ssize_t _find(self, object wanted) except -2:
        """Position, by bisection where they ascend; MAC addresses are walked."""
        cdef Py_ssize_t low = 0, high = self.shape[0], middle
        cdef Address address
        if not PyIndex_Check(wanted):
            raise TypeError(f"an address must be an integer here, not {type(wanted).__name__}")
        wanted = PyNumber_Index(wanted)
        if self.each == MAC:
            for middle in range(high):
                self.at(middle, &address)
                if address.low == wanted:
                    return middle
            return -1
        while low < high:
            middle = low + (high - low) // 2
            self.at(middle, &address)
            if int_of_halves(address.high, address.low) < wanted:
                low = middle + 1
            else:
                high = middle
        if low == self.shape[0]:
            return -1
        self.at(low, &address)
        return low if int_of_halves(address.high, address.low) == wanted else -1

    cdef void at(self, Py_ssize_t position, Address* address) noexcept nogil:
        address.high = 0
        if self.each == IPV4:
            address.version = 4
            address.low = (<const uint32_t*>self.data)[position]
        elif self.each == MAC:
            address.version = 0
            address.low = load_be(self.data + MAC * position, 6)
        else:
            address.version = 6
            address.high = load_be(self.data + IPV6 * position, 8)
            address.low = load_be(self.data + IPV6 * position + 8, 8)

    def __getbuffer__(self, Py_buffer* view, int flags) -> None:
        if flags & PyBUF_WRITABLE:
            raise BufferError("addresses are read-only")
        view.obj = self
        # Some readers refuse NULL even where nothing is to be read.
        view.buf = self.data if self.data != NULL else <void*>self.shape
        view.len = self.shape[0] * self.each
        view.readonly = 1
        view.itemsize = 4 if self.each == IPV4 else 1
        view.format = NULL
        if flags & PyBUF_FORMAT:
            view.format = b"I" if self.each == IPV4 else b"B"
        view.ndim = 1 if self.each == IPV4 else 2
        view.shape = self.shape if flags & PyBUF_ND else NULL
        view.strides = self.strides if flags & PyBUF_STRIDES == PyBUF_STRIDES else NULL
        view.suboffsets = NULL
        view.internal = NULL

    def __sizeof__(self) -> int:
        return struct_size(self) + self.shape[0] * self.each

    def __repr__(self) -> str:
        return f"<Addresses: {self.shape[0]} of {'MAC' if self.each == MAC else f'IPv{self.version}'}>"

    def __reduce__(self) -> object:
        raise TypeError("Addresses cannot be pickled; take list(…) or bytes(…) of them")


Sequence.register(Addresses)


cdef Addresses new_addresses(Py_ssize_t each, uint64_t count):
    cdef Addresses made = Addresses.__new__(Addresses)
    if count > <uint64_t>(PY_SSIZE_T_MAX // each):
        raise MemoryError
    made.data = <uint8_t*>pages_open(<size_t>count * <size_t>each)
    if made.data == NULL:
        raise MemoryError
    made.each = each
    made.shape[0] = <Py_ssize_t>count
    made.shape[1] = each
    made.strides[0] = each
    made.strides[1] = 1
    return made

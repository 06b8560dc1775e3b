"""The result of a bulk allocation: many ordinals in one buffer."""

from collections.abc import Sequence

import cython
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBUF_STRIDES, PyBUF_WRITABLE, Py_buffer
from libc.stddef cimport size_t
from libc.stdint cimport uint64_t

from _fastnet.integers cimport read_position, read_u64, shown, struct_size
from _fastnet.pages cimport pages_close, pages_open

cdef extern from "Python.h":
    object PySeqIter_New(object)
    const Py_ssize_t PY_SSIZE_T_MAX


@cython.final
@cython.auto_pickle(False)
@cython.no_gc
cdef class Ordinals:
    """Read-only result of a bulk allocation: a sequence of int in ascending order.

    Buffer protocol: format ``Q`` (native uint64), one dimension, contiguous.
    Indexing takes integers only, negative ones from the end; no slices.

    Thread safety: immutable.
    """

    def __dealloc__(self) -> None:
        pages_close(self.data, <size_t>self.shape[0] * sizeof(uint64_t))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, object position, /) -> int:
        return self.data[read_position(position, self.shape[0])]

    def __iter__(self) -> object:
        return PySeqIter_New(self)

    def __reversed__(self) -> object:
        return reversed(memoryview(self))

    def __contains__(self, object ordinal, /) -> bool:
        return self._find(ordinal) >= 0

    def index(self, object ordinal, /) -> int:
        """Position of an ordinal; ValueError where it is not here."""
        cdef Py_ssize_t position = self._find(ordinal)
        if position < 0:
            raise ValueError(f"ordinal {shown(ordinal)} is not here")
        return position

    def count(self, object ordinal, /) -> int:
        """How often an ordinal is here: 0 or 1."""
        return 1 if self._find(ordinal) >= 0 else 0

    cdef Py_ssize_t _find(self, object ordinal) except -2:
        """Position by bisection: a bulk allocation ascends."""
        cdef Py_ssize_t low = 0, high = self.shape[0], middle
        cdef uint64_t wanted
        if not read_u64(ordinal, "ordinal", &wanted):
            return -1
        while low < high:
            middle = low + (high - low) // 2
            if self.data[middle] < wanted:
                low = middle + 1
            else:
                high = middle
        return low if low < self.shape[0] and self.data[low] == wanted else -1

    def __getbuffer__(self, Py_buffer* view, int flags) -> None:
        if flags & PyBUF_WRITABLE:
            raise BufferError("ordinals are read-only")
        view.obj = self
        # Some readers refuse NULL even where nothing is to be read.
        view.buf = self.data if self.data != NULL else <void*>self.shape
        view.len = self.shape[0] * <Py_ssize_t>sizeof(uint64_t)
        view.readonly = 1
        view.itemsize = sizeof(uint64_t)
        view.format = NULL
        if flags & PyBUF_FORMAT:
            view.format = b"Q"
        view.ndim = 1
        view.shape = self.shape if flags & PyBUF_ND else NULL
        view.strides = self.strides if flags & PyBUF_STRIDES == PyBUF_STRIDES else NULL
        view.suboffsets = NULL
        view.internal = NULL

    def __sizeof__(self) -> int:
        return struct_size(self) + self.shape[0] * <Py_ssize_t>sizeof(uint64_t)

    def __repr__(self) -> str:
        return f"<Ordinals: {self.shape[0]}>"

    def __reduce__(self) -> object:
        raise TypeError("Ordinals cannot be pickled; take list(…) or bytes(…) of them")


Sequence.register(Ordinals)


cdef Ordinals new_ordinals(uint64_t count):
    cdef Ordinals made = Ordinals.__new__(Ordinals)
    if count > <uint64_t>PY_SSIZE_T_MAX // sizeof(uint64_t):
        raise MemoryError
    made.data = <uint64_t*>pages_open(<size_t>count * sizeof(uint64_t))
    if made.data == NULL:
        raise MemoryError
    made.shape[0] = <Py_ssize_t>count
    made.strides[0] = sizeof(uint64_t)
    return made

"""Integers out of Python objects and out of buffers; see the declaration file."""

import cython
from cpython.buffer cimport (
    PyBUF_FORMAT,
    PyBUF_ND,
    PyBuffer_Release,
    PyObject_CheckBuffer,
    PyObject_GetBuffer,
)
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from libc.stddef cimport size_t
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from _fastnet.errors import OutOfRange

cdef extern from "Python.h":
    void PyErr_Clear() noexcept
    void* PyErr_Occurred() noexcept
    object PyNumber_Index(object)
    Py_ssize_t PyNumber_AsSsize_t(object, object) except? -1


cdef int read_slow(object value, str what, uint64_t* out) except -1:
    cdef uint64_t got
    PyErr_Clear()
    if not PyIndex_Check(value):
        raise TypeError(f"{what} must be an integer, not {type(value).__name__}")
    value = PyNumber_Index(value)
    got = _as_unsigned(value)
    if got == ALL_ONES and PyErr_Occurred() != NULL:
        PyErr_Clear()
        return 0
    out[0] = got
    return 1


cdef Py_ssize_t read_position(object position, Py_ssize_t count) except -1:
    cdef Py_ssize_t at
    if not PyIndex_Check(position):
        raise TypeError(f"a position must be an integer, not {type(position).__name__}")
    at = PyNumber_AsSsize_t(position, IndexError)
    if at < 0:
        at += count
    if not 0 <= at < count:
        raise IndexError(f"position {shown(position)} of {count}")
    return at


cdef str shown(object value):
    value = PyNumber_Index(value)
    # Python itself refuses to print an int of thousands of digits.
    if value.bit_length() > 256:
        return f"(an integer of {value.bit_length()} bits)"
    return str(value)


@cython.final
@cython.auto_pickle(False)
@cython.no_gc
cdef class Column:
    """A pinned or collected column of uint64; internal."""

    def __dealloc__(self) -> None:
        if self.pinned:
            PyBuffer_Release(&self.view)
        PyMem_RawFree(self.owned)


cdef Column new_column(size_t count):
    cdef Column column = Column.__new__(Column)
    if count > <size_t>0x7FFFFFFFFFFFFFFF // sizeof(uint64_t):
        raise MemoryError
    column.owned = <uint64_t*>PyMem_RawMalloc(count * sizeof(uint64_t))
    if column.owned == NULL:
        raise MemoryError
    column.data = column.owned
    column.count = count
    return column


cdef int _widen(const Py_buffer* view, char kind, uint64_t* out) noexcept nogil:
    """Copy any native integers to uint64; 0 if there is a negative one."""
    cdef Py_ssize_t i, count = view.len // view.itemsize
    cdef bint signed = kind in b"bhilqn"
    cdef int64_t got
    for i in range(count):
        if view.itemsize == 1:
            got = <int64_t>(<const int8_t*>view.buf)[i] if signed else <int64_t>(<const uint8_t*>view.buf)[i]
        elif view.itemsize == 2:
            got = <int64_t>(<const int16_t*>view.buf)[i] if signed else <int64_t>(<const uint16_t*>view.buf)[i]
        elif view.itemsize == 4:
            got = <int64_t>(<const int32_t*>view.buf)[i] if signed else <int64_t>(<const uint32_t*>view.buf)[i]
        else:
            got = (<const int64_t*>view.buf)[i]
        if signed and got < 0:
            return 0
        out[i] = <uint64_t>got
    return 1


cdef Column _from_buffer(object source, str what):
    cdef Column column = Column.__new__(Column)
    cdef const char* code
    cdef Column copied
    PyObject_GetBuffer(source, &column.view, PyBUF_FORMAT | PyBUF_ND)
    column.pinned = True
    code = column.view.format
    if code == NULL:
        code = b"B"
    if code[0] in b"@=":
        code += 1
    if column.view.ndim != 1 or code[0] == 0 or code[1] != 0 or code[0] not in b"bBhHiIlLqQnN":
        raise TypeError(f"{what}s must come in a one-dimensional buffer of native integers")
    if column.view.itemsize == sizeof(uint64_t) and code[0] in b"LQN":
        column.data = <const uint64_t*>column.view.buf
        column.count = <size_t>column.view.len // sizeof(uint64_t)
        return column
    copied = new_column(<size_t>(column.view.len // column.view.itemsize))
    if not _widen(&column.view, code[0], copied.owned):
        raise OutOfRange(f"{what}s must not be negative")
    return copied


cdef Column _from_iterable(object source, str what):
    cdef Column column = new_column(16)
    cdef size_t room = 16, count = 0
    cdef uint64_t* larger
    cdef uint64_t got
    for value in source:
        if not read_u64(value, what, &got):
            raise OutOfRange(f"{what} {shown(value)} is out of range")
        if count == room:
            if room > <size_t>0x7FFFFFFFFFFFFFFF // sizeof(uint64_t) // 2:
                raise MemoryError
            larger = <uint64_t*>PyMem_RawRealloc(column.owned, room * 2 * sizeof(uint64_t))
            if larger == NULL:
                raise MemoryError
            column.owned = larger
            room *= 2
        column.owned[count] = got
        count += 1
    column.data = column.owned
    column.count = count
    return column


cdef Column read_column(object source, str what):
    if PyObject_CheckBuffer(source):
        return _from_buffer(source, what)
    return _from_iterable(source, what)

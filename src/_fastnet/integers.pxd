"""Integers out of Python objects and out of buffers, and a few on bits (C level only)."""

from cpython.buffer cimport Py_buffer
from cpython.long cimport PyLong_CheckExact
from cpython.object cimport PyTypeObject
from libc.stddef cimport size_t
from libc.stdint cimport uint64_t


cdef extern from * nogil:
    const uint64_t ALL_ONES "UINT64_MAX"
    int count_trailing_zeros "__builtin_ctzll"(unsigned long long) noexcept
    int count_leading_zeros "__builtin_clzll"(unsigned long long) noexcept
    int count_ones "__builtin_popcountll"(unsigned long long) noexcept


cdef extern from "Python.h":
    # Declared anew, because cpython.long's own declaration raises at once.
    unsigned long _as_unsigned "PyLong_AsUnsignedLong"(object value) noexcept
    PyTypeObject* Py_TYPE(object thing) noexcept
    bint PyIndex_Check(object thing) noexcept


# Bytes of an object's struct, without its heap.
cdef inline Py_ssize_t struct_size(object thing) noexcept:
    return Py_TYPE(thing).tp_basicsize


# 128 bits as an int: in one go, where two halves, a shift and an addition would be four objects.
cdef extern from *:
    """
    static inline PyObject* fastnet_int(uint64_t high, uint64_t low)
    {
        if (high == 0)
            return PyLong_FromUnsignedLongLong(low);
    #if PYLONG_BITS_IN_DIGIT == 30
        const digit parts[5] = {
            (digit)(low & 0x3FFFFFFF),
            (digit)(low >> 30 & 0x3FFFFFFF),
            (digit)((low >> 60 | high << 4) & 0x3FFFFFFF),
            (digit)(high >> 26 & 0x3FFFFFFF),
            (digit)(high >> 56),
        };
        const int count = parts[4] ? 5 : parts[3] ? 4 : 3;
    #if PY_VERSION_HEX >= 0x030E0000
        void* out;
        PyLongWriter* writer = PyLongWriter_Create(0, count, &out);
        if (writer == NULL)
            return NULL;
        memcpy(out, parts, sizeof(digit) * (size_t)count);
        return PyLongWriter_Finish(writer);
    #else
        PyLongObject* made = _PyLong_New(count);
        if (made == NULL)
            return NULL;
    #if PY_VERSION_HEX >= 0x030C0000
        memcpy(made->long_value.ob_digit, parts, sizeof(digit) * (size_t)count);
    #else
        memcpy(made->ob_digit, parts, sizeof(digit) * (size_t)count);
    #endif
        return (PyObject*)made;
    #endif
    #else
        unsigned char bytes[16];
        for (int i = 0; i < 8; i++) {
            bytes[i] = (unsigned char)(low >> 8 * i);
            bytes[8 + i] = (unsigned char)(high >> 8 * i);
        }
        return _PyLong_FromByteArray(bytes, 16, 1, 0);
    #endif
    }
    """
    object int_of_halves "fastnet_int"(uint64_t high, uint64_t low)


# The rest of read_u64: a subclass of int, what has __index__, a true 2**64-1, or an error.
cdef int read_slow(object value, str what, uint64_t* out) except -1


# 1 and the value; 0 for an integer below 0 or above 2**64-1; TypeError, naming `what`, for no integer.
# The body stands here to be inlined: every hot method passes through it.
cdef inline int read_u64(object value, str what, uint64_t* out) except -1:
    cdef uint64_t got
    if PyLong_CheckExact(value):
        got = _as_unsigned(value)
        if got != ALL_ONES:
            out[0] = got
            return 1
    return read_slow(value, what, out)


# A sequence's position, a negative one counted from the end; IndexError outside of it.
cdef Py_ssize_t read_position(object position, Py_ssize_t count) except -1
# An integer as text for a message; a huge one by its length only.
cdef str shown(object value)


cdef class Column:
    """A pinned or collected column of uint64."""

    cdef const uint64_t* data   # `count` elements, in `view` or in `owned`
    cdef size_t count           # elements
    cdef uint64_t* owned        # what was copied together, or NULL
    cdef Py_buffer view         # what is pinned, if `pinned`
    cdef bint pinned            # whether `view` has to be released


# An empty column of its own with room for `count` elements, to be written through `owned`.
cdef Column new_column(size_t count)
# A column from a buffer of integers or from any iterable of them; OutOfRange for one that is no uint64.
cdef Column read_column(object source, str what)

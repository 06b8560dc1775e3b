"""Memory for large results, in huge pages where the kernel has them."""

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.stddef cimport size_t
from libc.stdint cimport SIZE_MAX, uint8_t, uintptr_t

# MADV_HUGEPAGE is Linux's own: <bits/mman-linux.h>, shown under _DEFAULT_SOURCE, which Python.h sets.
cdef extern from "<sys/mman.h>" nogil:
    void* mmap(void* at, size_t size, int protection, int flags, int descriptor, long offset) noexcept
    int munmap(void* at, size_t size) noexcept
    int madvise(void* at, size_t size, int advice) noexcept
    void* MAP_FAILED
    const int PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS, MADV_HUGEPAGE

cdef enum:
    HUGE = 2097152              # bytes of a huge page on x86-64 and, with 4 KB pages, arm64
    ALONE = 4194304             # so many bytes, or more, get pages of their own


cdef inline size_t _whole(size_t size) noexcept nogil:
    """Rounded up to whole pages, of 64 KB as the largest that an architecture has."""
    return (size + 65535) & ~<size_t>65535


cdef void* pages_open(size_t size) noexcept nogil:
    cdef size_t whole = _whole(size), before, behind
    cdef uint8_t* got
    if size < ALONE:
        return PyMem_RawMalloc(size)
    if size > SIZE_MAX - 2 * HUGE:
        return NULL
    got = <uint8_t*>mmap(NULL, whole + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    if <void*>got == MAP_FAILED:
        return NULL
    # What lies before the first multiple and behind the end goes back.
    before = <size_t>(-<uintptr_t>got) & (HUGE - 1)
    behind = HUGE - before
    if before:
        munmap(got, before)
    munmap(got + before + whole, behind)
    # Refused where the kernel is built without: then it is ordinary pages.
    madvise(got + before, whole, MADV_HUGEPAGE)
    return got + before


cdef void pages_close(void* data, size_t size) noexcept nogil:
    if size < ALONE:
        PyMem_RawFree(data)
    elif data != NULL:
        munmap(data, _whole(size))

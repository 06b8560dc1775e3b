"""Which addresses a pool has, and their numbers: prefix, range, rules and exclusions."""

import cython
from cpython.buffer cimport PyObject_CheckBuffer
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.stddef cimport size_t
from libc.stdint cimport uint64_t

from _fastnet.addr cimport Address, address_text, read_address
from _fastnet.addresses cimport Addresses
from _fastnet.integers cimport (
    ALL_ONES,
    Column,
    PyIndex_Check,
    int_of_halves,
    new_column,
    read_column,
    read_u64,
    shown,
    struct_size,
)
from _fastnet.spans cimport address_of, covers, int_of, merge, read_prefix, read_span, subtract

from _fastnet.errors import NotTaken, OutOfRange

cdef extern from "Python.h":
    object PyNumber_Index(object)
    const Py_ssize_t PY_SSIZE_T_MAX


@cython.final
@cython.auto_pickle(False)
@cython.no_gc
cdef class AddressSpace:
    """Which addresses a pool has, and their numbers; internal.

    Thread safety: immutable.
    """

    def __cinit__(self, str prefix not None, object range, object exclude) -> None:
        cdef size_t i
        cdef Address low
        read_prefix(prefix, &self.first, &self.length)
        host = (32 if self.first.version == 4 else 128) - self.length
        self.first_int = int_of(&self.first)
        self.last_int = self.first_int + (1 << host) - 1
        window = (self.first_int, min(self.last_int, self.first_int | <uint64_t>ALL_ONES))
        if range is not None:
            if not isinstance(range, str):
                raise TypeError(f"a range must be text, a prefix or first-last, not {type(range).__name__}")
            span = read_span(range, "range", self.first.version, self.first_int, self.last_int, repr(self))
            if span[0] >> 64 != span[1] >> 64:
                raise ValueError(f"range {range!r} does not lie within one /64")
            self.aside_last = window[1] - window[0]
            self.ranged = True
            window = self.part = span
        self.kept = []
        for one in (exclude,) if isinstance(exclude, (str, bytes)) else exclude:
            self.kept.append(
                read_span(one, "exclusion", self.first.version, self.first_int, self.last_int, repr(self))
            )
        self.kept = merge(self.kept)
        ruled = []
        if host > 1:
            ruled.append((self.first_int, self.first_int))
            if self.first.version == 4:
                ruled.append((self.last_int, self.last_int))
        left = subtract(window[0], window[1], merge(self.kept + ruled))
        if not left:
            raise ValueError(f"{self!r} has nothing to give: all of {'its range' if range else 'it'} is excluded")
        self.base_int = left[0][0]
        address_of(self.base_int, self.first.version, &self.base)
        self.cuts = <size_t>len(left) - 1
        count = 0
        if self.cuts:
            if self.cuts >= <size_t>PY_SSIZE_T_MAX // sizeof(Segment):
                raise MemoryError
            self.segments = <Segment*>PyMem_RawMalloc((self.cuts + 1) * sizeof(Segment))
            if self.segments == NULL:
                raise MemoryError
        for i, (first, last) in enumerate(left):
            if self.cuts:
                address_of(first, self.first.version, &low)
                self.segments[i].ordinal = count
                self.segments[i].low = low.low
            count += last - first + 1
        self.last = count - 1

    def __dealloc__(self) -> None:
        PyMem_RawFree(self.segments)

    cdef size_t footprint(self) noexcept:
        return <size_t>struct_size(self) + ((self.cuts + 1) * sizeof(Segment) if self.cuts else 0)

    cdef str told(self):
        cdef list lines = [f"{address_text(&self.first)}/{self.length}", ""]
        if self.part is not None:
            lines[1] = f"{self.text_of(self.part[0])}-{self.text_of(self.part[1])}"
        for first, last in self.kept:
            lines.append(f"{self.text_of(first)}-{self.text_of(last)}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        """Of the pool: for messages."""
        return f"IPPool('{address_text(&self.first)}/{self.length}')"

    # -- Between addresses and ordinals --------------------------------------------------

    cdef size_t segment_of(self, uint64_t ordinal) noexcept nogil:
        """The last segment that begins at or before an ordinal."""
        cdef size_t low = 0, high = self.cuts, middle
        while low < high:
            middle = (low + high + 1) >> 1
            if self.segments[middle].ordinal <= ordinal:
                low = middle
            else:
                high = middle - 1
        return low

    cdef uint64_t low_of(self, uint64_t ordinal) noexcept nogil:
        cdef const Segment* segment
        if self.cuts == 0:
            return self.base.low + ordinal
        segment = &self.segments[self.segment_of(ordinal)]
        return segment.low + (ordinal - segment.ordinal)

    cdef bint find(self, uint64_t low, uint64_t* ordinal) noexcept nogil:
        cdef size_t first = 0, last = self.cuts, middle
        cdef uint64_t end
        if self.cuts == 0:
            ordinal[0] = low - self.base.low
            return ordinal[0] <= self.last
        if low < self.base.low:
            return False
        while first < last:
            middle = (first + last + 1) >> 1
            if self.segments[middle].low <= low:
                first = middle
            else:
                last = middle - 1
        ordinal[0] = self.segments[first].ordinal + (low - self.segments[first].low)
        end = self.segments[first + 1].ordinal - 1 if first < self.cuts else self.last
        return low - self.segments[first].low <= end - self.segments[first].ordinal

    cdef Where place(self, const Address* address, uint64_t* ordinal) except? OTHER_FAMILY:
        if address.version != self.first.version:
            return OTHER_FAMILY
        if address.high == self.base.high and self.find(address.low, ordinal):
            return INSIDE
        number = int_of(address)
        if not self.first_int <= number <= self.last_int:
            return PAST_PREFIX
        if self.first_int != self.last_int - 1 and self.first_int != self.last_int and (
            number == self.first_int or (self.first.version == 4 and number == self.last_int)
        ):
            return RULED
        if covers(self.kept, number):
            return KEPT
        if self.ranged and address.high == self.first.high:
            ordinal[0] = address.low - self.first.low
            return ASIDE
        return PAST_WINDOW

    cdef Where locate(self, object source, uint64_t* ordinal) except? OTHER_FAMILY:
        cdef Address address
        cdef uint64_t read
        if not PyIndex_Check(source):
            if not isinstance(source, (str, bytes)):
                raise TypeError(f"an address must be an integer, text or bytes, not {type(source).__name__}")
            read_address(source, &address)
        elif self.first.version == 4:
            if not read_u64(source, "address", &address.low):
                return PAST_PREFIX
            address.high = 0
            address.version = 4
        else:
            source = PyNumber_Index(source)
            if self.cuts == 0 and read_u64(source - self.base_int, "address", &read) and read <= self.last:
                ordinal[0] = read
                return INSIDE
            if not self.first_int <= source <= self.last_int:
                return PAST_PREFIX
            address_of(source, 6, &address)
        return self.place(&address, ordinal)

    cdef object as_int(self, uint64_t low):
        return int_of_halves(self.base.high, low)

    cdef str as_text(self, uint64_t low):
        cdef Address address = self.base
        address.low = low
        return address_text(&address)

    cdef str text_of(self, object source):
        """An address as it came in, as text for a message."""
        cdef Address address
        if isinstance(source, (str, bytes)):
            read_address(source, &address)
        elif self.first_int <= PyNumber_Index(source) <= self.last_int:
            address_of(PyNumber_Index(source), self.first.version, &address)
        else:
            return shown(source)
        return address_text(&address)

    cdef str rule_of(self, object source):
        if self.first.version == 6:
            return "the subnet-router anycast address"
        if self.text_of(source) == address_text(&self.first):
            return "the network address"
        return "the broadcast address"

    cdef int deny_release(self, object source, Where where) except -1:
        """Raise what a release of such an address is: NotTaken or OutOfRange."""
        if where == RULED:
            raise NotTaken(f"{self.text_of(source)} is {self.rule_of(source)} of {self!r} and never released")
        if where == KEPT:
            raise NotTaken(f"{self.text_of(source)} is excluded from {self!r} and never released")
        self.refuse(source, where)
        return 0

    cdef int refuse(self, object address, Where where) except -1:
        cdef str text = self.text_of(address)
        if where == PAST_WINDOW:
            raise OutOfRange(f"{text} lies in {self!r}, but past the first 2**64 addresses that the pool gives")
        if where == OTHER_FAMILY:
            raise OutOfRange(f"{text} is of the other family than {self!r}")
        raise OutOfRange(f"{text} does not lie in {self!r}")

    # -- Many --------------------------------------------------------------------------------

    cdef int note(self, object source, Where where, uint64_t ordinal, Column column, size_t at, size_t* inner) except -1:
        """Write the ordinal number `at` of a column: from the front, or aside from the back."""
        if where == INSIDE:
            column.owned[inner[0]] = ordinal
            inner[0] += 1
        elif where == ASIDE:
            column.owned[column.count - 1 - (at - inner[0])] = ordinal
        else:
            self.deny_release(source, where)
        return 0

    cdef Column ordinals_of(self, object addresses, size_t* inner):
        cdef Column read, made
        cdef Addresses given
        cdef Address address
        cdef size_t i
        cdef uint64_t ordinal = 0
        cdef Where where
        cdef list listed
        if isinstance(addresses, (str, bytes, bytearray)):
            raise TypeError("release_many takes many addresses; release takes one")
        if isinstance(addresses, Addresses):
            given = addresses
            if given.version != self.first.version and given.shape[0]:
                raise OutOfRange(f"{given!r} do not lie in {self!r}")
            made = new_column(<size_t>given.shape[0])
            for i in range(made.count):
                given.at(<Py_ssize_t>i, &address)
                where = self.place(&address, &ordinal)
                self.note(None if where <= ASIDE else address_text(&address), where, ordinal, made, i, inner)
            return made
        if PyObject_CheckBuffer(addresses) and self.first.version == 4:
            read = read_column(addresses, "address")
            made = new_column(read.count)
            address.high = 0
            address.version = 4
            for i in range(read.count):
                address.low = read.data[i]
                where = self.place(&address, &ordinal)
                self.note(None if where <= ASIDE else read.data[i], where, ordinal, made, i, inner)
            return made
        listed = list(addresses)
        made = new_column(<size_t>len(listed))
        for i in range(made.count):
            where = self.locate(listed[i], &ordinal)
            self.note(listed[i], where, ordinal, made, i, inner)
        return made

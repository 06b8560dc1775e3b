"""A prefix over a bitmap: IPv4 and IPv6 addresses in and out."""

from collections.abc import Sequence

import cython
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBUF_STRIDES, PyBUF_WRITABLE, Py_buffer, PyObject_CheckBuffer
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from _fastnet.addr cimport (
    Address,
    address_packed,
    address_text,
    load_be,
    read_address,
    store_be,
)
from _fastnet.bitmap cimport Bitmap
from _fastnet.integers cimport (
    ALL_ONES,
    Column,
    PyIndex_Check,
    count_ones,
    count_trailing_zeros,
    new_column,
    read_column,
    read_position,
    read_u64,
    shown,
    struct_size,
)

from _fastnet.errors import Exhausted, NotTaken, OutOfRange, Reserved, Taken

cdef extern from "Python.h":
    object PySeqIter_New(object)
    object PyNumber_Index(object)
    const Py_ssize_t PY_SSIZE_T_MAX


cdef inline object _int_of(const Address* address):
    if address.high == 0:
        return address.low
    return (int(address.high) << 64) | int(address.low)


@cython.final
@cython.auto_pickle(False)
@cython.no_gc
cdef class Addresses:
    """Read-only result of a bulk allocation: a sequence of int in ascending order.

    Buffer protocol, contiguous: IPv4 gives format ``I`` (native uint32), shape (n,);
    IPv6 format ``B``, shape (n, 16), network order.
    Indexing takes integers only, negative ones from the end; no slices.

    Thread safety: immutable.
    """

    def __dealloc__(self) -> None:
        PyMem_RawFree(self.data)

    @property
    def version(self) -> int:
        """4 or 6; 0 of one that no pool made."""
        return self.ip

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, object position, /) -> int:
        cdef Address address
        self.at(read_position(position, self.shape[0]), &address)
        return _int_of(&address)

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
        """Give one address as 4 or 16 bytes in network order."""
        cdef Address address
        self.at(read_position(position, self.shape[0]), &address)
        return address_packed(&address)

    def text(self, object position, /) -> str:
        """Give one address as text, IPv6 after RFC 5952."""
        cdef Address address
        self.at(read_position(position, self.shape[0]), &address)
        return address_text(&address)

    cdef Py_ssize_t _find(self, object wanted) except -2:
        """Position by bisection: a bulk allocation ascends."""
        cdef Py_ssize_t low = 0, high = self.shape[0], middle
        cdef Address address
        if not PyIndex_Check(wanted):
            raise TypeError(f"an address must be an integer here, not {type(wanted).__name__}")
        wanted = PyNumber_Index(wanted)
        while low < high:
            middle = low + (high - low) // 2
            self.at(middle, &address)
            if _int_of(&address) < wanted:
                low = middle + 1
            else:
                high = middle
        if low == self.shape[0]:
            return -1
        self.at(low, &address)
        return low if _int_of(&address) == wanted else -1

    cdef void at(self, Py_ssize_t position, Address* address) noexcept nogil:
        address.version = self.ip
        if self.ip == 4:
            address.high = 0
            address.low = (<const uint32_t*>self.data)[position]
        else:
            address.high = load_be(self.data + 16 * position, 8)
            address.low = load_be(self.data + 16 * position + 8, 8)

    def __getbuffer__(self, Py_buffer* view, int flags) -> None:
        if flags & PyBUF_WRITABLE:
            raise BufferError("addresses are read-only")
        view.obj = self
        # Some readers refuse NULL even where nothing is to be read.
        view.buf = self.data if self.data != NULL else <void*>self.shape
        view.len = self.shape[0] * (4 if self.ip == 4 else 16)
        view.readonly = 1
        view.itemsize = 4 if self.ip == 4 else 1
        view.format = NULL
        if flags & PyBUF_FORMAT:
            view.format = b"I" if self.ip == 4 else b"B"
        view.ndim = 1 if self.ip == 4 else 2
        view.shape = self.shape if flags & PyBUF_ND else NULL
        view.strides = self.strides if flags & PyBUF_STRIDES == PyBUF_STRIDES else NULL
        view.suboffsets = NULL
        view.internal = NULL

    def __sizeof__(self) -> int:
        return struct_size(self) + self.shape[0] * (4 if self.ip == 4 else 16)

    def __repr__(self) -> str:
        return f"<Addresses: {self.shape[0]} of IPv{self.ip}>"

    def __reduce__(self) -> object:
        raise TypeError("Addresses cannot be pickled; take list(…) or bytes(…) of them")


Sequence.register(Addresses)


cdef Addresses _new_addresses(int version, uint64_t count):
    cdef Addresses made = Addresses.__new__(Addresses)
    cdef Py_ssize_t each = 4 if version == 4 else 16
    made.ip = version
    if count > <uint64_t>(PY_SSIZE_T_MAX // each):
        raise MemoryError
    made.data = <uint8_t*>PyMem_RawMalloc(<size_t>count * <size_t>each)
    if made.data == NULL:
        raise MemoryError
    made.shape[0] = <Py_ssize_t>count
    made.shape[1] = 16
    made.strides[0] = each
    made.strides[1] = 1
    return made


cdef int _read_prefix(str text, Address* first, int* length) except -1:
    """Read "address/length"; ValueError where it is none, or has host bits."""
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


@cython.final
@cython.auto_pickle(False)
@cython.no_gc
cdef class IPPool:
    """One prefix and which of its addresses are taken.

    Parameters
    ----------
    prefix : str
        ``address/length``, IPv4 or IPv6, without host bits. ValueError otherwise.

    Notes
    -----
    Reserved by rule, that is never given, never to be reserved or released, and no part of
    `size`, `free` or ``len``: in IPv4 the network and the broadcast address, but for /31 and /32 (RFC 3021);
    in IPv6 the subnet-router anycast address, all zeros after the prefix (RFC 4291 section 2.6.1), but
    for /127 and /128 (RFC 6164).

    Window. A pool gives the first 2**64 addresses of its prefix: a /64 or longer whole; of a
    shorter IPv6 prefix its first /64. What lies past that in the prefix cannot be reserved.

    Addresses go in as int, text (RFC 4291, every form) or 4 or 16 bytes in network order.

    Memory and cost are those of its `Bitmap`.

    Thread safety: every method runs under the GIL and is atomic; bulk methods read all
    of their input before they change anything.
    """

    def __cinit__(self, str prefix not None, /) -> None:
        cdef int host
        _read_prefix(prefix, &self.first, &self.length)
        host = 128 - self.length
        if self.first.version == 4:
            host = 32 - self.length
        self.first_int = _int_of(&self.first)
        self.bitmap = Bitmap((<object>1) << min(host, 64))
        self.rule_first = host > 1
        self.rule_last = host > 1 and self.first.version == 4
        if self.rule_first:
            self.bitmap.take(0)
        if self.rule_last:
            self.bitmap.take(self.bitmap.last)

    # -- What there is -----------------------------------------------------------------

    @property
    def version(self) -> int:
        """4 or 6."""
        return self.first.version

    @property
    def prefix_length(self) -> int:
        """Length of the prefix in bits."""
        return self.length

    @property
    def network(self) -> int:
        """The prefix's first address."""
        return self.first_int

    @property
    def size(self) -> int:
        """How many addresses the pool can give: those of its window but for the ones reserved by rule."""
        return self.bitmap.size - self.ruled_count()

    @property
    def free(self) -> int:
        """How many of these are free."""
        return self.bitmap.count_free()

    @property
    def nbytes(self) -> int:
        """Bytes that the pool holds: the object, its bitmap and their heap."""
        return <size_t>struct_size(self) + self.bitmap.footprint()

    def __len__(self) -> int:
        """How many are taken; OverflowError past 2**63-1: take ``size - free`` there."""
        cdef uint64_t taken = self.bitmap.taken - self.ruled_count()
        if taken > <uint64_t>PY_SSIZE_T_MAX:
            raise OverflowError("more are taken than len() can say: take .size - .free")
        return <Py_ssize_t>taken

    def __bool__(self) -> bool:
        """Whether any is taken."""
        return self.bitmap.taken != self.ruled_count()

    def __contains__(self, object address, /) -> bool:
        """Whether an address is taken, that is can be released.

        False for one reserved by rule, outside of the pool or of the other family; ValueError
        or TypeError for what is no address.
        """
        cdef uint64_t ordinal
        if self.locate(address, &ordinal) != INSIDE:
            return False
        return self.bitmap.holds(ordinal) and not self.ruled(ordinal)

    def __sizeof__(self) -> int:
        return self.nbytes

    def __repr__(self) -> str:
        return f"IPPool('{address_text(&self.first)}/{self.length}')"

    def __reduce__(self) -> object:
        raise TypeError("an IPPool cannot be pickled or copied")

    # -- One at a time -----------------------------------------------------------------

    def allocate(self) -> int:
        """Take the first free address; Exhausted where there is none."""
        return self.as_int(self.give(False))

    def allocate_next(self) -> int:
        """Take the first free address after the last one that this method gave.

        It begins at the first address of the pool and wraps around at the end. Exhausted where
        none is free.
        """
        return self.as_int(self.give(True))

    def allocate_packed(self) -> bytes:
        """Take the first free address, as 4 or 16 bytes in network order; see `allocate`."""
        cdef Address address = self.first
        address.low += self.give(False)
        return address_packed(&address)

    def allocate_text(self) -> str:
        """Take the first free address, as text (IPv6 after RFC 5952); see `allocate`."""
        return self.as_text(self.give(False))

    def reserve(self, object address, /) -> None:
        """Take a certain address.

        Parameters
        ----------
        address : int, str or bytes

        Raises
        ------
        Reserved
            It is reserved by rule: a `Taken` that no release will change.
        Taken
            It is taken already.
        OutOfRange
            It lies outside of the prefix, or in the prefix beyond the pool's window.
        ValueError, TypeError
            It is no address.
        """
        cdef uint64_t ordinal
        cdef Where where = self.locate(address, &ordinal)
        if where != INSIDE:
            self.refuse(address, where)
        if self.bitmap.take(ordinal):
            return
        if self.ruled(ordinal):
            raise Reserved(f"{self.as_text(ordinal)} is {self.rule_of(ordinal)} of {self!r} and reserved by rule")
        raise Taken(f"{self.as_text(ordinal)} is taken")

    def release(self, object address, /) -> None:
        """Give an address back.

        Raises
        ------
        NotTaken
            It is free, or reserved by rule.
        OutOfRange
            It lies outside of the prefix, or in the prefix beyond the pool's window.
        ValueError, TypeError
            It is no address.
        """
        cdef uint64_t ordinal
        cdef Where where = self.locate(address, &ordinal)
        if where != INSIDE:
            self.refuse(address, where)
        if self.ruled(ordinal):
            raise NotTaken(f"{self.as_text(ordinal)} is {self.rule_of(ordinal)} of {self!r} and never released")
        if not self.bitmap.drop(ordinal):
            raise NotTaken(f"{self.as_text(ordinal)} is not taken")

    # -- Many at once ------------------------------------------------------------------

    def allocate_many(self, object count, /) -> Addresses:
        """Take the first `count` free addresses, all or none.

        Returns
        -------
        Addresses
            Ascending; 4 bytes each of IPv4, 16 of IPv6.

        Raises
        ------
        Exhausted
            Fewer are free; nothing was taken.
        ValueError
            `count` is negative.
        """
        cdef uint64_t wanted, mask, base, left
        cdef uint32_t* out4
        cdef uint8_t* out6
        cdef Addresses given
        cdef int j
        if not read_u64(count, "count", &wanted):
            if count < 0:
                raise ValueError(f"count must not be negative, not {shown(count)}")
            wanted = ALL_ONES
        if wanted and (self.bitmap.is_full() or wanted - 1 > self.bitmap.last - self.bitmap.taken):
            raise Exhausted(f"{shown(count)} addresses of {self!r} wanted, {self.free} free")
        given = _new_addresses(self.first.version, wanted)
        if not self.bitmap.make_room(wanted):
            raise Exhausted(f"{shown(count)} addresses of {self!r} wanted, {self.free} free")
        out4 = <uint32_t*>given.data
        out6 = given.data
        left = wanted
        while left:
            mask = self.bitmap.take_word(left, &base)
            left -= <uint64_t>count_ones(mask)
            base += self.first.low
            if self.first.version == 4:
                if mask == ALL_ONES:
                    for j in range(64):
                        out4[j] = <uint32_t>base + <uint32_t>j
                    out4 += 64
                    continue
                while mask:
                    out4[0] = <uint32_t>base + <uint32_t>count_trailing_zeros(mask)
                    out4 += 1
                    mask &= mask - 1
            else:
                while mask:
                    store_be(self.first.high, out6, 8)
                    store_be(base + <uint64_t>count_trailing_zeros(mask), out6 + 8, 8)
                    out6 += 16
                    mask &= mask - 1
        return given

    def release_many(self, object addresses, /) -> None:
        """Give many addresses back, all or none.

        Parameters
        ----------
        addresses : Addresses, buffer or iterable
            What `allocate_many` gave; of IPv4 any one-dimensional buffer of native integers;
            or anything that gives ints, texts or bytes. In any order; each once.

        Raises
        ------
        NotTaken, OutOfRange
            One is free, comes twice, is reserved by rule, or outside of the pool; none was released.
        """
        cdef Column column = self.ordinals_of(addresses)
        cdef size_t i
        cdef Py_ssize_t bad
        cdef str text
        for i in range(column.count):
            if column.data[i] <= self.bitmap.last and self.ruled(column.data[i]):
                text = self.as_text(column.data[i])
                raise NotTaken(f"{text} is {self.rule_of(column.data[i])} of {self!r} and never released")
        bad = self.bitmap.drop_all(column.data, column.count)
        if bad < 0:
            return
        if self.bitmap.holds(column.data[bad]):
            raise NotTaken(f"{self.as_text(column.data[bad])} comes twice")
        raise NotTaken(f"{self.as_text(column.data[bad])} is not taken")

    cdef object ordinals_of(self, object addresses):
        """Give a Column of ordinals within the window."""
        cdef Column read, made
        cdef Addresses given
        cdef Address address
        cdef size_t i
        cdef uint64_t ordinal
        cdef Where where
        cdef list listed
        if isinstance(addresses, (str, bytes, bytearray)):
            raise TypeError("release_many takes many addresses; release takes one")
        if isinstance(addresses, Addresses):
            given = addresses
            if given.ip != self.first.version and given.shape[0]:
                raise OutOfRange(f"addresses of IPv{given.ip} do not lie in {self!r}")
            made = new_column(<size_t>given.shape[0])
            for i in range(made.count):
                given.at(<Py_ssize_t>i, &address)
                if address.high != self.first.high or address.low - self.first.low > self.bitmap.last:
                    raise OutOfRange(f"{address_text(&address)} does not lie in {self!r}")
                made.owned[i] = address.low - self.first.low
            return made
        if PyObject_CheckBuffer(addresses) and self.first.version == 4:
            read = read_column(addresses, "address")
            made = new_column(read.count)
            for i in range(read.count):
                if read.data[i] - self.first.low > self.bitmap.last:
                    raise OutOfRange(f"{read.data[i]} does not lie in {self!r}")
                made.owned[i] = read.data[i] - self.first.low
            return made
        listed = list(addresses)
        made = new_column(<size_t>len(listed))
        for i in range(made.count):
            where = self.locate(listed[i], &ordinal)
            if where != INSIDE:
                self.refuse(listed[i], where)
            made.owned[i] = ordinal
        return made

    # -- Between addresses and ordinals --------------------------------------------------

    cdef uint64_t give(self, bint serial) except? 0:
        cdef uint64_t ordinal
        if not (self.bitmap.take_next(&ordinal) if serial else self.bitmap.take_first(&ordinal)):
            raise Exhausted(f"no address of {self!r} is free: all {self.size} are taken")
        return ordinal

    cdef object as_int(self, uint64_t ordinal):
        if self.first.version == 4:
            return self.first.low + ordinal
        return self.first_int + ordinal

    cdef str as_text(self, uint64_t ordinal):
        cdef Address address = self.first
        address.low += ordinal
        return address_text(&address)

    cdef bint ruled(self, uint64_t ordinal) noexcept nogil:
        return (ordinal == 0 and self.rule_first) or (ordinal == self.bitmap.last and self.rule_last)

    cdef uint64_t ruled_count(self) noexcept nogil:
        return <uint64_t>self.rule_first + <uint64_t>self.rule_last

    cdef str rule_of(self, uint64_t ordinal):
        if self.first.version == 6:
            return "the subnet-router anycast address"
        return "the network address" if ordinal == 0 else "the broadcast address"

    cdef Where locate(self, object source, uint64_t* ordinal) except? OTHER_FAMILY:
        cdef Address address
        cdef uint64_t read
        if PyIndex_Check(source):
            if self.first.version == 6:
                source = PyNumber_Index(source) - self.first_int
                if read_u64(source, "address", &read) and read <= self.bitmap.last:
                    ordinal[0] = read
                    return INSIDE
                if source >= 0 and source >> (128 - self.length) == 0:
                    return PAST_WINDOW
                return PAST_PREFIX
            # Below the prefix the difference wraps around and is too large as well.
            if not read_u64(source, "address", &read) or read - self.first.low > self.bitmap.last:
                return PAST_PREFIX
            ordinal[0] = read - self.first.low
            return INSIDE
        if not isinstance(source, (str, bytes)):
            raise TypeError(f"an address must be an integer, text or bytes, not {type(source).__name__}")
        read_address(source, &address)
        if address.version != self.first.version:
            return OTHER_FAMILY
        if address.high == self.first.high and address.low - self.first.low <= self.bitmap.last:
            ordinal[0] = address.low - self.first.low
            return INSIDE
        if self.first.version == 4 or self.length >= 64:
            return PAST_PREFIX
        if self.length == 0 or (address.high ^ self.first.high) >> (64 - self.length) == 0:
            return PAST_WINDOW
        return PAST_PREFIX

    cdef int refuse(self, object address, Where where) except -1:
        cdef Address read
        cdef str text
        if isinstance(address, (str, bytes)):
            read_address(address, &read)
            text = address_text(&read)
        else:
            text = shown(address)
        if where == PAST_WINDOW:
            raise OutOfRange(f"{text} lies in {self!r}, but past the first 2**64 addresses that the pool gives")
        if where == OTHER_FAMILY:
            raise OutOfRange(f"{text} is of the other family than {self!r}")
        raise OutOfRange(f"{text} does not lie in {self!r}")

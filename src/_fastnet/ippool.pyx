"""A prefix over a bitmap: IPv4 and IPv6 addresses in and out."""

import cython
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from _fastnet.addr cimport Address, address_packed, address_text, load_be, store_be
from _fastnet.addresses cimport Addresses, new_addresses
from _fastnet.addrspace cimport ASIDE, INSIDE, KEPT, RULED, AddressSpace, Where
from _fastnet.bitmap cimport Bitmap
from _fastnet.iflist cimport HAS_IPV4, HAS_IPV6, Interface, InterfaceList, run_of_rows
from _fastnet.integers cimport (
    ALL_ONES,
    Column,
    count_ones,
    count_trailing_zeros,
    new_column,
    read_u64,
    shown,
    struct_size,
)
from _fastnet.poolbytes cimport decode_pool, encode_pool
from _fastnet.quarantine cimport Quarantine, new_quarantine

from _fastnet.errors import Excluded, Exhausted, NotTaken, Reserved, SnapshotError, Taken

cdef extern from *:
    """
    #if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    #define fastnet_be64(x) ((uint64_t)(x))
    #else
    #define fastnet_be64(x) __builtin_bswap64(x)
    #endif
    """
    uint64_t be64 "fastnet_be64"(uint64_t) noexcept nogil

cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX


@cython.final
@cython.auto_pickle(False)
@cython.no_gc
cdef class IPPool:
    """One prefix and which of its addresses are taken.

    Parameters
    ----------
    prefix : str
        ``address/length``, IPv4 or IPv6, without host bits.
    range : str, optional
        A prefix or ``first-last`` inside of it: by itself the pool gives addresses of this range only;
        the others of the prefix may still be reserved. It must lie within one /64.
    exclude : iterable, optional
        Addresses (int, text, bytes), prefixes or ``first-last``, inside of the prefix: never given,
        nor can they be reserved.
    quarantine : float
        Seconds, 0…1e9, that a released address is not given again unless there is no other,
        and then in the order of release. Who asks for the very address (`reserve`) gets it at once.
        It may take some milliseconds longer, and in a run of allocations, from the 1024th without a
        release on, seven allocations more: so seldom is the clock read then.
    clock : callable, optional
        Gives the time in seconds for the quarantine. Without it CLOCK_MONOTONIC; for tests.

    Raises
    ------
    ValueError, TypeError
        An argument is none of that, or nothing is left to give.
    OutOfRange
        The range or an exclusion does not lie in the prefix.

    Notes
    -----
    Reserved by rule, that is never given, never to be reserved or released, and no part of
    `size`, `free` or ``len``: in IPv4 the network and the broadcast address, but for /31 and /32 (RFC 3021);
    in IPv6 the subnet-router anycast address, all zeros after the prefix (RFC 4291 section 2.6.1), but
    for /127 and /128 (RFC 6164).

    Window. A pool without a range gives the first 2**64 addresses of its prefix: a /64 or longer whole; of a
    shorter IPv6 prefix its first /64. What lies past that, and in no range, cannot be reserved.

    Addresses go in as int, text (RFC 4291, every form) or 4 or 16 bytes in network order.

    Memory and cost are those of its `Bitmap`, which numbers only what can be given: an exclusion
    of any size costs 16 bytes and, of k exclusions in the middle, log2(k) steps per address. An
    address in quarantine takes 16 bytes (in chunks of 8 KiB), and a bit in a second bitmap that is
    no larger than the first, or 43 bytes at the most where that has far ones; at most one more
    for each 16 that were reserved out of quarantine. Each operation remains amortised constant.

    Thread safety: every method is atomic, under the GIL or, without one, under the object's own lock;
    bulk methods read all of their input before they change anything. A method that takes a list locks both.
    """

    def __cinit__(
        self,
        str prefix not None,
        /,
        *,
        object range=None,
        object exclude=(),
        object quarantine=0.0,
        object clock=None,
    ) -> None:
        self.space = AddressSpace(prefix, range, exclude)
        self.bitmap = Bitmap(int(self.space.last) + 1)
        if self.space.ranged:
            self.aside = Bitmap(int(self.space.aside_last) + 1)
        self.rest = new_quarantine(quarantine, clock, self.space.last)

    # -- What there is -----------------------------------------------------------------

    @property
    def version(self) -> int:
        """4 or 6."""
        return self.space.first.version

    @property
    def prefix_length(self) -> int:
        """Length of the prefix in bits."""
        return self.space.length

    @property
    def network(self) -> int:
        """The prefix's first address."""
        return self.space.first_int

    @property
    def size(self) -> int:
        """How many addresses the pool gives by itself: not those reserved by rule, excluded or out of its range."""
        return self.bitmap.size

    @property
    def free(self) -> int:
        """How many of these are free, those in quarantine too."""
        return self.bitmap.count_free() + self.waiting()

    @property
    @cython.critical_section
    def quarantined(self) -> int:
        """How many free ones are in quarantine now."""
        cdef uint64_t now
        if self.rest is None:
            return 0
        self.rest.read_clock(False, &now)
        self.rest.settle(self.bitmap, now, 0)
        return self.waiting()

    @property
    def nbytes(self) -> int:
        """Bytes that the pool holds: the object, its bitmaps, its quarantine and their heap."""
        cdef size_t total = <size_t>struct_size(self) + self.bitmap.footprint() + self.space.footprint()
        if self.aside is not None:
            total += self.aside.footprint()
        if self.rest is not None:
            total += self.rest.footprint()
        return total

    def __len__(self) -> int:
        """How many are taken, those outside of a range too; OverflowError past 2**63-1: take ``size - free`` there."""
        taken = self.bitmap.taken - self.waiting() + (0 if self.aside is None else int(self.aside.taken))
        if taken > PY_SSIZE_T_MAX:
            raise OverflowError("more are taken than len() can say: take .size - .free")
        return taken

    def __bool__(self) -> bool:
        """Whether any is taken."""
        return self.bitmap.taken != self.waiting() or (self.aside is not None and self.aside.taken != 0)

    @cython.critical_section
    def __contains__(self, object address, /) -> bool:
        """Whether an address is taken, that is can be released.

        False for one reserved by rule, excluded, in quarantine, outside of the pool or of the
        other family; ValueError or TypeError for what is no address.
        """
        cdef uint64_t ordinal
        cdef Where where = self.space.locate(address, &ordinal)
        if where == ASIDE:
            return self.aside.holds(ordinal)
        if where != INSIDE or not self.bitmap.holds(ordinal):
            return False
        return self.rest is None or not self.rest.waiting.holds(ordinal)

    def __sizeof__(self) -> int:
        return self.nbytes

    def __repr__(self) -> str:
        return repr(self.space)

    def __reduce__(self) -> object:
        raise TypeError("an IPPool cannot be pickled or copied")

    # -- One at a time -----------------------------------------------------------------

    @cython.critical_section
    def allocate(self) -> int:
        """Take the first free address; Exhausted where there is none."""
        return self.space.as_int(self.give(False))

    @cython.critical_section
    def allocate_next(self) -> int:
        """Take the first free address after the last one that this method gave.

        It begins at the first address of the pool and wraps around at the end. Exhausted where
        none is free.
        """
        return self.space.as_int(self.give(True))

    @cython.critical_section
    def allocate_packed(self) -> bytes:
        """Take the first free address, as 4 or 16 bytes in network order; see `allocate`."""
        cdef Address address = self.space.base
        address.low = self.give(False)
        return address_packed(&address)

    @cython.critical_section
    def allocate_text(self) -> str:
        """Take the first free address, as text (IPv6 after RFC 5952); see `allocate`."""
        return self.space.as_text(self.give(False))

    @cython.critical_section
    def reserve(self, object address, /) -> None:
        """Take a certain address, one in quarantine or outside of the pool's range too.

        Parameters
        ----------
        address : int, str or bytes

        Raises
        ------
        Reserved
            It is reserved by rule: a `Taken` that no release will change.
        Excluded
            An exclusion keeps it: a `Reserved` too.
        Taken
            It is taken already.
        OutOfRange
            It lies outside of the prefix, or in the prefix beyond the pool's window.
        ValueError, TypeError
            It is no address.
        """
        cdef uint64_t ordinal
        cdef Where where = self.space.locate(address, &ordinal)
        if where == INSIDE:
            if self.bitmap.take(ordinal) or (self.rest is not None and self.rest.withdraw(ordinal)):
                return
        elif where == ASIDE:
            if self.aside.take(ordinal):
                return
        elif where == RULED:
            raise Reserved(f"{self.space.text_of(address)} is {self.space.rule_of(address)} of {self!r} and reserved by rule")
        elif where == KEPT:
            raise Excluded(f"{self.space.text_of(address)} is excluded from {self!r}: choose another")
        else:
            self.space.refuse(address, where)
        raise Taken(f"{self.space.text_of(address)} is taken")

    @cython.critical_section
    def release(self, object address, /) -> None:
        """Give an address back; into quarantine, where the pool has one.

        Raises
        ------
        NotTaken
            It is free, in quarantine, excluded or reserved by rule.
        OutOfRange
            It lies outside of the prefix, or in the prefix beyond the pool's window.
        ValueError, TypeError
            It is no address.
        """
        cdef uint64_t ordinal, now
        cdef Where where = self.space.locate(address, &ordinal)
        if where == INSIDE:
            if self.rest is None:
                if self.bitmap.drop(ordinal):
                    return
            else:
                self.rest.read_clock(True, &now)
                if self.bitmap.holds(ordinal) and self.rest.admit(self.bitmap, &ordinal, 1, now) < 0:
                    return
        elif where == ASIDE:
            if self.aside.drop(ordinal):
                return
        else:
            self.space.deny_release(address, where)
        raise NotTaken(f"{self.space.text_of(address)} is not taken")

    # -- Many at once ------------------------------------------------------------------

    def allocate_many(self, object count, /) -> Addresses:
        """Take the first `count` free addresses, all or none.

        Of those in quarantine the longest there come along where the others do not suffice.

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
        cdef uint64_t wanted, mask, ordinal, low, high
        cdef uint32_t* out4
        cdef uint64_t* out6
        cdef Addresses given
        cdef int j
        if not read_u64(count, "count", &wanted):
            if count < 0:
                raise ValueError(f"count must not be negative, not {shown(count)}")
            if count > self.free:
                raise Exhausted(f"{shown(count)} addresses of {self!r} wanted, {self.free} free")
            raise MemoryError
        with cython.critical_section(self):
            self.check_free(wanted, count)
            given = new_addresses(4 if self.space.first.version == 4 else 16, wanted)
            self.ready(wanted, count)
            out4 = <uint32_t*>given.data
            out6 = <uint64_t*>given.data
            high = be64(self.space.base.high)
            while wanted:
                mask = self.bitmap.take_word(wanted, &ordinal)
                wanted -= <uint64_t>count_ones(mask)
                if mask == ALL_ONES and (self.space.cuts == 0 or self.space.segment_of(ordinal) == self.space.segment_of(ordinal + 63)):
                    low = self.space.low_of(ordinal)
                    if self.space.first.version == 4:
                        for j in range(64):
                            out4[j] = <uint32_t>low + <uint32_t>j
                        out4 += 64
                    else:
                        for j in range(64):
                            out6[2 * j] = high
                            out6[2 * j + 1] = be64(low + <uint64_t>j)
                        out6 += 128
                    continue
                while mask:
                    low = self.space.low_of(ordinal + <uint64_t>count_trailing_zeros(mask))
                    if self.space.first.version == 4:
                        out4[0] = <uint32_t>low
                        out4 += 1
                    else:
                        out6[0] = high
                        out6[1] = be64(low)
                        out6 += 2
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
            One is free, comes twice, is reserved by rule, excluded, or outside of the pool; none was released.
        """
        cdef size_t inner = 0
        cdef Column column = self.space.ordinals_of(addresses, &inner)
        with cython.critical_section(self):
            self.put_back(column, inner)

    def fill(self, InterfaceList interfaces not None, object start, object count, /) -> None:
        """Take the first free addresses for rows of a list, all or none.

        Each row gets one, in ascending order, and the prefix length of the pool.

        Parameters
        ----------
        interfaces : InterfaceList
        start, count : int
            The first row and how many.

        Raises
        ------
        Exhausted
            Fewer are free.
        Taken
            A row has an address of this family.
        IndexError
            Not all of the rows are there.
        """
        cdef Interface* rows
        cdef size_t n, i, first
        cdef uint64_t left, mask, ordinal, low
        cdef bint four = self.space.first.version == 4
        cdef uint8_t field = <uint8_t>(HAS_IPV4 if four else HAS_IPV6)
        with cython.critical_section(self, interfaces):
            rows = run_of_rows(interfaces, start, count, &n)
            for i in range(n):
                if rows[i].fields & field:
                    raise Taken(f"row {start + i} has an IPv{self.space.first.version} address")
            self.check_free(n, count)
            # A clock of the caller's may have added rows, and so moved them.
            first = <size_t>(rows - interfaces.rows)
            self.ready(n, count)
            rows = interfaces.rows + first
            left = n
            while left:
                mask = self.bitmap.take_word(left, &ordinal)
                left -= <uint64_t>count_ones(mask)
                while mask:
                    low = self.space.low_of(ordinal + <uint64_t>count_trailing_zeros(mask))
                    if four:
                        store_be(low, rows.ipv4, 4)
                        rows.ipv4_prefix = <uint8_t>self.space.length
                    else:
                        store_be(self.space.base.high, rows.ipv6, 8)
                        store_be(low, rows.ipv6 + 8, 8)
                        rows.ipv6_prefix = <uint8_t>self.space.length
                    rows.fields |= field
                    rows += 1
                    mask &= mask - 1

    def drain(self, InterfaceList interfaces not None, object start, object count, /) -> int:
        """Give the addresses of rows back and empty these fields, all or none.

        Rows without an address of the pool's family are passed over.

        Returns
        -------
        int
            How many were given back.

        Raises
        ------
        NotTaken, OutOfRange
            As `release_many`.
        IndexError
            Not all of the rows are there.
        """
        cdef Interface* rows
        cdef size_t n, i, first, found = 0, inner = 0, at = 0
        cdef Address address
        cdef uint64_t ordinal = 0
        cdef Column column
        cdef Where where
        cdef bint four = self.space.first.version == 4
        cdef uint8_t field = <uint8_t>(HAS_IPV4 if four else HAS_IPV6)
        with cython.critical_section(self, interfaces):
            rows = run_of_rows(interfaces, start, count, &n)
            for i in range(n):
                found += <size_t>(rows[i].fields & field != 0)
            column = new_column(found)
            for i in range(n):
                if rows[i].fields & field:
                    _address_of_row(&rows[i], four, &address)
                    where = self.space.place(&address, &ordinal)
                    self.space.note(None if where <= ASIDE else address_text(&address), where, ordinal, column, at, &inner)
                    at += 1
            first = <size_t>(rows - interfaces.rows)  # as in `fill`
            self.put_back(column, inner)
            rows = interfaces.rows + first
            for i in range(n):
                if rows[i].fields & field == 0:
                    continue
                rows[i].fields ^= field
                if four:
                    memset(rows[i].ipv4, 0, 4)
                    rows[i].ipv4_prefix = 0
                else:
                    memset(rows[i].ipv6, 0, 16)
                    rows[i].ipv6_prefix = 0
        return found

    # -- As bytes ----------------------------------------------------------------------------

    @cython.critical_section
    def snapshot(self) -> bytes:
        """Give the whole pool as bytes: versioned, with a checksum, and what each in quarantine has still to wait."""
        cdef uint64_t now = 0
        if self.rest is not None:
            self.rest.read_clock(True, &now)
            self.rest.settle(self.bitmap, now, 0)
        return encode_pool(self.space, self.bitmap, self.aside, self.rest, now)

    @staticmethod
    def restore(object data, /, *, object clock=None) -> IPPool:
        """Make a pool from what `snapshot` gave; the time between does not count for the quarantine.

        Parameters
        ----------
        data : bytes-like
        clock : callable, optional
            As the constructor's.

        Raises
        ------
        SnapshotError
            It is no snapshot of a pool, is damaged or cut short, contradicts itself, or is of another version.
        """
        cdef IPPool pool
        cdef uint64_t now
        space, bitmap, aside, period, places = decode_pool(data)
        pool = IPPool.__new__(IPPool, "0.0.0.0/32")
        pool.space, pool.bitmap, pool.aside = space, bitmap, aside
        pool.rest = new_quarantine(period / 1e9, clock, pool.bitmap.last)
        if pool.rest is not None:
            pool.rest.period = period
            pool.rest.read_clock(False, &now)
            if not pool.rest.resume(pool.bitmap, places, now):
                raise SnapshotError("a pool's snapshot contradicts itself: who waits was not taken")
        return pool

    cdef int put_back(self, Column column, size_t inner) except -1:
        cdef Py_ssize_t bad
        cdef size_t i, outer = column.count - inner
        cdef uint64_t now
        if self.rest is not None:
            self.rest.read_clock(True, &now)
        if outer:
            bad = self.aside.drop_all(column.data + inner, outer)
            if bad >= 0:
                self.complain(column, <Py_ssize_t>inner + bad, False)
        bad = -1
        try:
            if self.rest is None:
                bad = self.bitmap.drop_all(column.data, inner)
            else:
                for i in range(inner):
                    if not self.bitmap.holds(column.data[i]):
                        bad = <Py_ssize_t>i
                        break
                else:
                    bad = self.rest.admit(self.bitmap, column.data, inner, now)
        except MemoryError:
            if outer:
                self.aside.take_back(column.data + inner, outer)
            raise
        if bad >= 0:
            if outer:
                self.aside.take_back(column.data + inner, outer)
            self.complain(column, bad, True)
        return 0

    cdef object complain(self, Column column, Py_ssize_t bad, bint inside):
        """Raise NotTaken: nothing was given back."""
        cdef uint64_t ordinal = column.data[bad]
        cdef Address address = self.space.base
        cdef bint held
        if inside:
            address.low = self.space.low_of(ordinal)
            held = self.bitmap.holds(ordinal) and (self.rest is None or not self.rest.waiting.holds(ordinal))
        else:
            address = self.space.first
            address.low += ordinal
            held = self.aside.holds(ordinal)
        raise NotTaken(f"{address_text(&address)} {'comes twice' if held else 'is not taken'}")

    # -- Taking ------------------------------------------------------------------------------

    cdef uint64_t give(self, bint serial) except? 0:
        cdef uint64_t ordinal
        if self.rest is not None and self.rest.waiting.taken:
            if self.rest.blind and self.bitmap.taken <= self.bitmap.last:
                self.rest.blind -= 1
            else:
                self.rest.settle_for_one(self.bitmap)
        if not (self.bitmap.take_next(&ordinal) if serial else self.bitmap.take_first(&ordinal)):
            raise Exhausted(f"no address of {self!r} is free: all {self.size} are taken")
        return self.space.low_of(ordinal) if self.space.cuts else self.space.base.low + ordinal

    cdef uint64_t waiting(self) noexcept nogil:
        return 0 if self.rest is None else self.rest.waiting.taken

    cdef int check_free(self, uint64_t count, object shown_count) except -1:
        cdef uint64_t taken = self.bitmap.taken - self.waiting()
        if count and ((taken and taken - 1 == self.bitmap.last) or count - 1 > self.bitmap.last - taken):
            raise Exhausted(f"{shown(shown_count)} addresses of {self!r} wanted, {self.free} free")
        return 0

    cdef int ready(self, uint64_t count, object shown_count) except -1:
        cdef uint64_t now
        if count and self.waiting():
            self.rest.read_clock(False, &now)
            self.check_free(count, shown_count)
            self.rest.settle(self.bitmap, now, count)
        if not self.bitmap.make_room(count):
            raise Exhausted(f"{shown(shown_count)} addresses of {self!r} wanted, {self.free} free")
        return 0

cdef inline void _address_of_row(const Interface* row, bint four, Address* address) noexcept nogil:
    if four:
        address.version = 4
        address.high = 0
        address.low = load_be(row.ipv4, 4)
    else:
        address.version = 6
        address.high = load_be(row.ipv6, 8)
        address.low = load_be(row.ipv6 + 8, 8)

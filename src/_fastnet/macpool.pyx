"""MAC addresses that are unique in one pool: derived, drawn or given."""

import os

import cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memset

from _fastnet.addr cimport load_be, mac_packed, read_mac, store_be, text_of_mac
from _fastnet.addresses cimport Addresses, new_addresses
from _fastnet.iflist cimport HAS_IPV4, HAS_MAC, Interface, InterfaceList, run_of_rows
from _fastnet.integers cimport Column, PyIndex_Check, new_column, read_u64, shown, struct_size
from _fastnet.u64map cimport map_close, map_drop, map_find, map_nbytes, map_open, map_put, map_room, map_room_for

from _fastnet.errors import NotTaken, OutOfRange, Taken

cdef extern from * nogil:
    """
    /* IEEE 802: bits of the first octet, here of 48 bits in network order. */
    #define MAC_GROUP (UINT64_C(1) << 40)      /* multicast */
    #define MAC_DRAWN (UINT64_C(0x02) << 40)   /* locally administered unicast */
    #define MAC_DERIVED UINT64_C(0x024200000000)
    #define MAC_DERIVED_MASK UINT64_C(0xFFFF00000000)
    """
    const uint64_t MAC_GROUP
    const uint64_t MAC_DRAWN
    const uint64_t MAC_DERIVED
    const uint64_t MAC_DERIVED_MASK


@cython.final
@cython.auto_pickle(False)
@cython.no_gc
cdef class MACPool:
    """MAC addresses that are unique in this pool: derived, drawn or given.

    Parameters
    ----------
    seed : int, optional
        0…2**64-1: draws repeat with the same seed. Without one, the system's random source gives it.

    Notes
    -----
    ``02:42`` and the four bytes of an IPv4 address are derived addresses; draws are
    ``02`` and five random bytes, never ``02:42``, so that a draw cannot stand in the way of a derived one.
    The integer of a MAC is its six bytes in network order.

    Memory: a hash set, at most 21.4 bytes a MAC and 64; it does not shrink.
    A forked child draws what its parent draws.

    Thread safety: every method is atomic, under the GIL or, without one, under the object's own lock;
    bulk methods read all of their input before they change anything. A method that takes a list locks both.
    """

    def __cinit__(self, object seed=None, /) -> None:
        map_open(&self.held, False)
        if seed is None:
            self.state = load_be(<const uint8_t*>PyBytes_AS_STRING(os.urandom(8)), 8)
        elif not read_u64(seed, "seed", &self.state):
            raise OutOfRange(f"a seed is 0…2**64-1, not {shown(seed)}")

    def __dealloc__(self) -> None:
        map_close(&self.held)

    def derive(self, object ipv4, /) -> bytes:
        """Take ``02:42`` and an IPv4 address.

        Parameters
        ----------
        ipv4 : int or bytes
            In host order, or four bytes in network order.

        Returns
        -------
        bytes
            6, network order.

        Raises
        ------
        Taken
            The MAC is held already.
        OutOfRange, ValueError
            It is no IPv4 address.
        """
        cdef uint64_t address
        if isinstance(ipv4, bytes):
            if PyBytes_GET_SIZE(ipv4) != 4:
                raise ValueError(f"an IPv4 address has 4 bytes, not {len(ipv4)}")
            address = load_be(<const uint8_t*>PyBytes_AS_STRING(ipv4), 4)
        elif not PyIndex_Check(ipv4):
            raise TypeError(f"an IPv4 address must be an integer or bytes, not {type(ipv4).__name__}")
        elif not read_u64(ipv4, "an IPv4 address", &address) or address >> 32:
            raise OutOfRange(f"an IPv4 address is below 2**32, not {shown(ipv4)}")
        with cython.critical_section(self):
            if not self.take(MAC_DERIVED | address):
                raise Taken(f"MAC address {text_of_mac(MAC_DERIVED | address)} is taken")
        return mac_packed(MAC_DERIVED | address)

    @cython.critical_section
    def allocate(self) -> int:
        """Take a random locally administered unicast address that is not held; its 48 bits."""
        cdef uint64_t mac
        self.draw(&mac)
        return mac

    @cython.critical_section
    def allocate_packed(self) -> bytes:
        """Take a random address as `allocate` does; its six bytes."""
        cdef uint64_t mac
        self.draw(&mac)
        return mac_packed(mac)

    @cython.critical_section
    def reserve(self, object mac, /) -> None:
        """Take a certain address: any unicast one, a globally administered one too.

        Parameters
        ----------
        mac : int, str or bytes
            48 bits, text as ``02:42:0a:00:00:01``, or six bytes.

        Raises
        ------
        Taken
            It is held already.
        ValueError
            It is no MAC, a multicast one, or all zeros.
        """
        cdef uint64_t read
        read_mac(mac, &read)
        if read & MAC_GROUP:
            raise ValueError(f"MAC address {text_of_mac(read)} is a multicast one")
        if read == 0:
            raise ValueError("MAC address 00:00:00:00:00:00 is none that an interface can have")
        if not self.take(read):
            raise Taken(f"MAC address {text_of_mac(read)} is taken")

    @cython.critical_section
    def release(self, object mac, /) -> None:
        """Give an address back, however it was taken.

        Raises
        ------
        NotTaken
            It is not held.
        ValueError
            It is no MAC.
        """
        cdef uint64_t read
        cdef Py_ssize_t slot
        read_mac(mac, &read)
        slot = map_find(&self.held, read)
        if slot < 0:
            raise NotTaken(f"MAC address {text_of_mac(read)} is not taken")
        map_drop(&self.held, slot)

    # -- Many at once ------------------------------------------------------------------

    def allocate_many(self, object count, /) -> Addresses:
        """Take many random addresses as `allocate` does, all or none.

        Returns
        -------
        Addresses
            6 bytes each, in the order of the draws.

        Raises
        ------
        ValueError
            `count` is negative.
        MemoryError
            There is no room for so many.
        """
        cdef uint64_t wanted, i, mac
        cdef Addresses drawn
        if not read_u64(count, "count", &wanted):
            if count < 0:
                raise ValueError(f"count must not be negative, not {shown(count)}")
            raise MemoryError
        with cython.critical_section(self):
            drawn = new_addresses(6, wanted)
            if map_room_for(&self.held, <size_t>wanted) < 0:
                raise MemoryError
            for i in range(wanted):
                self.draw(&mac)
                store_be(mac, drawn.data + 6 * i, 6)
        return drawn

    def release_many(self, object macs, /) -> None:
        """Give many addresses back, all or none.

        Parameters
        ----------
        macs : Addresses or iterable
            What `allocate_many` gave, or anything that gives ints, texts or bytes. Each once.

        Raises
        ------
        NotTaken
            One is not held, or comes twice; none was released.
        ValueError, TypeError
            One is no MAC.
        """
        cdef Column column
        cdef size_t i
        cdef list listed
        if isinstance(macs, (str, bytes, bytearray)):
            raise TypeError("release_many takes many addresses; release takes one")
        if isinstance(macs, Addresses) and (<Addresses>macs).each == 6:
            column = new_column(<size_t>(<Addresses>macs).shape[0])
            for i in range(column.count):
                column.owned[i] = load_be((<Addresses>macs).data + 6 * i, 6)
        else:
            listed = list(macs)
            column = new_column(<size_t>len(listed))
            for i in range(column.count):
                read_mac(listed[i], &column.owned[i])
        with cython.critical_section(self):
            self.drop_all(column)

    def fill(self, InterfaceList interfaces not None, object start, object count, /) -> None:
        """Take addresses for rows of a list, all or none.

        A row with an IPv4 address gets the one that is derived from it, unless that is held; all
        others get random ones.

        Parameters
        ----------
        interfaces : InterfaceList
        start, count : int
            The first row and how many.

        Raises
        ------
        Taken
            A row has a MAC address.
        IndexError
            Not all of the rows are there.
        """
        cdef Interface* rows
        cdef size_t n, i
        cdef uint64_t mac
        with cython.critical_section(self, interfaces):
            rows = run_of_rows(interfaces, start, count, &n)
            for i in range(n):
                if rows[i].fields & HAS_MAC:
                    raise Taken(f"row {start + i} has a MAC address")
            if map_room_for(&self.held, n) < 0:
                raise MemoryError
            for i in range(n):
                mac = MAC_DERIVED | load_be(rows[i].ipv4, 4)
                if rows[i].fields & HAS_IPV4 == 0 or not self.take(mac):
                    self.draw(&mac)
                store_be(mac, rows[i].mac, 6)
                rows[i].fields |= HAS_MAC

    def drain(self, InterfaceList interfaces not None, object start, object count, /) -> int:
        """Give the addresses of rows back and empty these fields, all or none.

        Rows without one are passed over.

        Returns
        -------
        int
            How many were given back.

        Raises
        ------
        NotTaken
            One is not held, or comes twice.
        IndexError
            Not all of the rows are there.
        """
        cdef Interface* rows
        cdef size_t n, i, found = 0
        cdef Column column
        with cython.critical_section(self, interfaces):
            rows = run_of_rows(interfaces, start, count, &n)
            column = new_column(n)
            for i in range(n):
                if rows[i].fields & HAS_MAC:
                    column.owned[found] = load_be(rows[i].mac, 6)
                    found += 1
            column.count = found
            self.drop_all(column)
            for i in range(n):
                memset(rows[i].mac, 0, 6)
                rows[i].fields &= <uint8_t>~HAS_MAC
        return found

    # -- What there is -----------------------------------------------------------------

    @cython.critical_section
    def __contains__(self, object mac, /) -> bool:
        """Whether an address is held; ValueError or TypeError for what is no MAC."""
        cdef uint64_t read
        read_mac(mac, &read)
        return map_find(&self.held, read) >= 0

    def __len__(self) -> int:
        """How many are held."""
        return <Py_ssize_t>self.held.used

    @property
    def nbytes(self) -> int:
        """Bytes that the pool holds: the object and its heap."""
        return <size_t>struct_size(self) + map_nbytes(&self.held)

    def __sizeof__(self) -> int:
        return self.nbytes

    def __repr__(self) -> str:
        return f"<MACPool: {self.held.used} held>"

    def __reduce__(self) -> object:
        raise TypeError("a MACPool cannot be pickled or copied")

    cdef int take(self, uint64_t mac) except -1:
        if map_find(&self.held, mac) >= 0:
            return 0
        if map_room(&self.held) < 0:
            raise MemoryError
        map_put(&self.held, mac)
        return 1

    cdef int drop_all(self, Column column) except -1:
        cdef size_t i, done
        cdef Py_ssize_t slot
        cdef str what
        for i in range(column.count):
            slot = map_find(&self.held, column.data[i])
            if slot < 0:
                # The table never shrinks, so what was dropped has room to come back.
                for done in range(i):
                    map_put(&self.held, column.data[done])
                what = "comes twice" if map_find(&self.held, column.data[i]) >= 0 else "is not taken"
                raise NotTaken(f"MAC address {text_of_mac(column.data[i])} {what}")
            map_drop(&self.held, slot)
        return 0

    cdef int draw(self, uint64_t* mac) except -1:
        # There are 2**40 - 2**32 to draw from: memory ends long before a free one is hard to hit.
        while True:
            mac[0] = MAC_DRAWN | (self.random() >> 24)
            if mac[0] & MAC_DERIVED_MASK != MAC_DERIVED and self.take(mac[0]):
                return 0

    cdef uint64_t random(self) noexcept nogil:
        """SplitMix64 (Steele, Lea, Flood 2014): one word of state, any seed is good."""
        cdef uint64_t z
        self.state += <uint64_t>0x9E3779B97F4A7C15
        z = self.state
        z = (z ^ (z >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
        z = (z ^ (z >> 27)) * <uint64_t>0x94D049BB133111EB
        return z ^ (z >> 31)

"""MAC addresses that are unique in one pool: derived, drawn or given."""

import os

import cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t

from _fastnet.addr cimport load_be, mac_packed, read_mac, text_of_mac
from _fastnet.integers cimport PyIndex_Check, read_u64, shown, struct_size
from _fastnet.u64map cimport map_close, map_drop, map_find, map_nbytes, map_open, map_put, map_room

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

    Thread safety: every method runs under the GIL and is atomic.
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
        if not self.take(MAC_DERIVED | address):
            raise Taken(f"MAC address {text_of_mac(MAC_DERIVED | address)} is taken")
        return mac_packed(MAC_DERIVED | address)

    def allocate(self) -> int:
        """Take a random locally administered unicast address that is not held; its 48 bits."""
        cdef uint64_t mac
        self.draw(&mac)
        return mac

    def allocate_packed(self) -> bytes:
        """Take a random address as `allocate` does; its six bytes."""
        cdef uint64_t mac
        self.draw(&mac)
        return mac_packed(mac)

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

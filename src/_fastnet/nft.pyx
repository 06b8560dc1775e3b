"""Elements of nftables' sets and maps: one transaction in one buffer. No I/O.

Tables, chains and rules are made by the ``nft`` program, once; what changes afterwards is elements alone.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cython cimport final
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from _fastnet.args cimport U32_LIMIT, read_number, read_switch, read_text
from _fastnet.wire cimport (
    NLA_F_NESTED,
    NLA_HDRLEN,
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_REQUEST,
    NLMSG_HDRLEN,
    MessageHeader,
    Span,
    Wire,
    aligned,
    begin_message,
    begin_nest,
    end_message,
    end_nest,
    put_bytes,
    put_text,
    wire_free,
    wire_grow,
)

cdef enum:
    # include/uapi/linux/netfilter/nfnetlink.h: #define NFNL_SUBSYS_NFTABLES 10
    NFNL_SUBSYS_NFTABLES = 10
    # #define NFNL_MSG_BATCH_BEGIN NLMSG_MIN_TYPE (0x10), NFNL_MSG_BATCH_END NLMSG_MIN_TYPE+1
    NFNL_MSG_BATCH_BEGIN = 0x10
    NFNL_MSG_BATCH_END = 0x11
    # include/uapi/linux/netfilter/nf_tables.h: enum nf_tables_msg_types { …, NFT_MSG_NEWSETELEM (12),
    #     NFT_MSG_GETSETELEM (13), NFT_MSG_DELSETELEM (14), … }
    # NFT_MSG_DELTABLE (2), enum nft_table_attributes { NFTA_TABLE_NAME = 1, … }
    NFT_MSG_DELTABLE = 0xA02
    NFT_MSG_NEWSETELEM = 0xA0C
    NFT_MSG_DELSETELEM = 0xA0E
    # enum nft_set_elem_list_attributes
    NFTA_SET_ELEM_LIST_TABLE = 1
    NFTA_SET_ELEM_LIST_SET = 2
    NFTA_SET_ELEM_LIST_ELEMENTS = 3
    # enum nft_list_attributes
    NFTA_LIST_ELEM = 1
    # enum nft_set_elem_attributes
    NFTA_SET_ELEM_KEY = 1
    NFTA_SET_ELEM_DATA = 2
    NFTA_SET_ELEM_FLAGS = 3
    # enum nft_data_attributes
    NFTA_DATA_VALUE = 1
    # enum nft_set_elem_flags { NFT_SET_ELEM_INTERVAL_END = 0x1, … }, as a __be32
    NFT_SET_ELEM_INTERVAL_END = 1
    # #define NFT_NAME_MAXLEN 256 (NFT_TABLE_MAXNAMELEN, NFT_SET_MAXNAMELEN), with the NUL
    NFT_NAME_BYTES = 255
    # #define NFT_DATA_VALUE_MAXLEN 64
    NFT_DATA_BYTES = 64
    # An attribute's length is 16 bits.
    NEST_MAX = 0xFFFF
    NFPROTO_INET = 1
    # struct nfgenmsg { __u8 nfgen_family; __u8 version; __be16 res_id; }
    GENMSG = 4


cdef size_t value_size(size_t size) noexcept nogil:
    """Bytes of a nest with one value in it."""
    return 2 * NLA_HDRLEN + aligned(size)


cdef void put_value(Wire* wire, uint16_t type, const uint8_t* value, size_t size) noexcept nogil:
    cdef size_t nest = begin_nest(wire, <uint16_t> (type | NLA_F_NESTED))
    put_bytes(wire, NFTA_DATA_VALUE, value, size)
    end_nest(wire, nest)


cdef void put_elements(Wire* wire, const Elements* all, size_t first, size_t count) noexcept nogil:
    cdef uint8_t flags[4]
    cdef size_t list, nest, i
    memset(flags, 0, sizeof(flags))
    flags[3] = NFT_SET_ELEM_INTERVAL_END
    list = begin_nest(wire, NFTA_SET_ELEM_LIST_ELEMENTS | NLA_F_NESTED)
    for i in range(first, first + count):
        nest = begin_nest(wire, NFTA_LIST_ELEM | NLA_F_NESTED)
        if all.ends:
            put_bytes(wire, NFTA_SET_ELEM_FLAGS, flags, sizeof(flags))
        put_value(wire, NFTA_SET_ELEM_KEY, all.keys + i * all.key_size, all.key_size)
        if all.data != NULL:
            put_value(wire, NFTA_SET_ELEM_DATA, all.data + i * all.data_size, all.data_size)
        end_nest(wire, nest)
    end_nest(wire, list)


@final
@cython.auto_pickle(False)
cdef class NftBatch:
    """Changes of the elements of one table, or of those of its name in several families: all are made, or none.

    Equivalent to: ``nft -f`` with ``add element``, ``delete element`` and ``flush set``, in the order of the calls.

    Keys and data are packed as the kernel has them in registers: each part of a concatenation begins at a
    multiple of 4 bytes, addresses and ports are in network order, ifindexes and protocol families in the host's.
    A wrong type raises TypeError, a value out of its range ValueError, and the batch is then as before.

    Parameters
    ----------
    table : str
        Its name, 1…255 bytes.
    family : int, optional
        NFPROTO_…: 1 inet, 5 netdev, 7 bridge.

    Notes
    -----
    Thread safety: for one thread at a time.

    Examples
    --------
    >>> batch = NftBatch("driverapi-1a2b")
    >>> batch.add("links", (7).to_bytes(4, "little"), key_size=4)
    1
    >>> len(batch.sealed(1))
    112
    """

    def __init__(self, table, family=NFPROTO_INET, /):
        cdef Span name
        read_text(table, "table", 1, NFT_NAME_BYTES, &name)
        self.family = <uint8_t> read_number(family, "family", 0, 255)
        self.table = table.encode() if isinstance(table, str) else table

    def __dealloc__(self):
        wire_free(&self.wire)
        free(self.starts)

    def turn(self, family, /):
        """Have what follows be about the table of that name in another family."""
        self.family = <uint8_t> read_number(family, "family", 0, 255)

    def __len__(self):
        return <Py_ssize_t> self.count

    @property
    def nbytes(self):
        """Bytes of all messages, without those that begin and end the transaction."""
        return self.wire.used

    def __reduce__(self):
        raise TypeError("an NftBatch cannot be pickled or copied")

    def clear(self):
        """Take all messages out; the memory is kept for the next ones."""
        self.wire.used = 0
        self.count = 0

    def add(self, name, keys, data=None, /, *, key_size, ends=False):
        """Add elements to a set, or to a map where `data` is given; as many messages as the kernel's limits ask for.

        Parameters
        ----------
        name : str
            Of the set, 1…255 bytes.
        keys : bytes-like
            Keys of ``key_size`` bytes each, one after the other.
        data : bytes-like or None
            As many data, equally long.
        key_size : int
            1…64 bytes.
        ends : bool
            They are ends of intervals (the first key that is not in it).

        Returns
        -------
        int
            How many messages.
        """
        return self.put(NFT_MSG_NEWSETELEM, NLM_F_CREATE, name, keys, data, key_size, ends)

    def delete(self, name, keys, data=None, /, *, key_size, ends=False):
        """Delete elements; each argument as of ``add``. One that is not there fails the transaction (ENOENT)."""
        return self.put(NFT_MSG_DELSETELEM, 0, name, keys, data, key_size, ends)

    def flush(self, name, /):
        """Delete all elements of a set."""
        cdef Span text
        cdef size_t start
        read_text(name, "name", 1, NFT_NAME_BYTES, &text)
        start = self.open(NFT_MSG_DELSETELEM, 0, text)
        self.enter(start)

    def delete_table(self):
        """Delete the table and all that is in it."""
        cdef Span none
        memset(&none, 0, sizeof(none))
        self.enter(self.open(NFT_MSG_DELTABLE, 0, none))

    def sealed(self, sequence, /):
        """Give the transaction: the message that begins it has that sequence number, the next one more, and so on.

        The last message of elements asks for an answer. Where one fails, each that failed has one: none is done.
        """
        cdef uint32_t number = <uint32_t> read_number(sequence, "sequence", 0, U32_LIMIT)
        cdef size_t frame = NLMSG_HDRLEN + GENMSG
        cdef bytes whole = PyBytes_FromStringAndSize(NULL, <Py_ssize_t> (self.wire.used + 2 * frame))
        cdef uint8_t* at = <uint8_t*> PyBytes_AS_STRING(whole)
        cdef uint16_t flags
        cdef size_t i
        put_frame(at, NFNL_MSG_BATCH_BEGIN, number)
        at += frame
        if self.count:
            memcpy(at, self.wire.data, self.wire.used)
        for i in range(self.count):
            number += 1
            memcpy(at + self.starts[i] + 8, &number, sizeof(number))
        if self.count:
            memcpy(&flags, at + self.starts[self.count - 1] + 6, sizeof(flags))
            flags |= NLM_F_ACK
            memcpy(at + self.starts[self.count - 1] + 6, &flags, sizeof(flags))
        put_frame(at + self.wire.used, NFNL_MSG_BATCH_END, number + 1)
        return whole

    # ------------------------------------------------------------------------------------------------ inside
    cdef size_t open(self, uint16_t verb, uint16_t flags, Span name) noexcept:
        cdef uint8_t head[GENMSG]
        cdef Span table
        cdef size_t start
        memset(head, 0, sizeof(head))
        head[0] = self.family
        start = begin_message(&self.wire, verb, <uint16_t> (flags | NLM_F_REQUEST), head, sizeof(head))
        table.data = <const uint8_t*> PyBytes_AS_STRING(self.table)
        table.size = <size_t> PyBytes_GET_SIZE(self.table)
        # NFTA_TABLE_NAME is the same number.
        put_text(&self.wire, NFTA_SET_ELEM_LIST_TABLE, table)
        if name.data != NULL:
            put_text(&self.wire, NFTA_SET_ELEM_LIST_SET, name)
        return start

    cdef int enter(self, size_t start) except -1:
        cdef void* starts
        cdef size_t room
        if self.count == self.room:
            room = self.room * 2 + 16
            starts = realloc(self.starts, room * sizeof(uint32_t))
            if starts == NULL:
                self.wire.used = start
                self.wire.failed = False
                raise MemoryError
            self.starts = <uint32_t*> starts
            self.room = room
        if end_message(&self.wire, start) < 0:
            raise MemoryError
        self.starts[self.count] = <uint32_t> start
        self.count += 1
        return 0

    cdef object put(self, uint16_t verb, uint16_t flags, object name, object keys, object data, object key_size,
                    object ends):
        cdef Span text
        cdef Elements all
        cdef Py_buffer keyed, given
        cdef size_t used = self.wire.used
        cdef size_t before = self.count
        cdef size_t each, most, some, start
        cdef size_t done = 0
        memset(&all, 0, sizeof(all))
        read_text(name, "name", 1, NFT_NAME_BYTES, &text)
        all.key_size = <size_t> read_number(key_size, "key_size", 1, NFT_DATA_BYTES)
        all.ends = read_switch(ends, "ends")
        PyObject_GetBuffer(keys, &keyed, PyBUF_SIMPLE)
        memset(&given, 0, sizeof(given))
        try:
            all.keys = <const uint8_t*> keyed.buf
            all.count = <size_t> keyed.len // all.key_size
            if all.count * all.key_size != <size_t> keyed.len:
                raise ValueError(f"keys of {key_size} bytes cannot be {keyed.len} bytes together")
            if data is not None and all.count:
                PyObject_GetBuffer(data, &given, PyBUF_SIMPLE)
                all.data = <const uint8_t*> given.buf
                all.data_size = <size_t> given.len // all.count
                if all.data_size * all.count != <size_t> given.len or not 1 <= all.data_size <= NFT_DATA_BYTES:
                    raise ValueError(f"{given.len} bytes are not 1…{NFT_DATA_BYTES} for each of {all.count} keys")
            each = NLA_HDRLEN + value_size(all.key_size)
            if all.ends:
                each += NLA_HDRLEN + 4
            if all.data != NULL:
                each += value_size(all.data_size)
            most = (NEST_MAX - NLA_HDRLEN) // each
            # All at once where it can be: a buffer that doubles is copied again and again.
            if all.count > most and not wire_grow(&self.wire, all.count * each):
                raise MemoryError
            try:
                while done < all.count:
                    some = min(most, all.count - done)
                    start = self.open(verb, flags, text)
                    put_elements(&self.wire, &all, done, some)
                    self.enter(start)
                    done += some
            except BaseException:
                self.wire.used = used
                self.count = before
                raise
        finally:
            PyBuffer_Release(&keyed)
            PyBuffer_Release(&given)
        return self.count - before


cdef void put_frame(uint8_t* at, uint16_t type, uint32_t sequence) noexcept nogil:
    """Write the message that begins or ends a transaction: ``nfgenmsg.res_id`` says whose it is."""
    cdef MessageHeader header
    memset(&header, 0, sizeof(header))
    header.size = NLMSG_HDRLEN + GENMSG
    header.type = type
    header.flags = NLM_F_REQUEST
    header.sequence = sequence
    memcpy(at, &header, sizeof(header))
    memset(at + NLMSG_HDRLEN, 0, GENMSG)
    at[NLMSG_HDRLEN + 3] = NFNL_SUBSYS_NFTABLES

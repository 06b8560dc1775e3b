"""Packed interface records: id, MAC, IPv4 address, IPv6 address."""

import cython
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBUF_STRIDES, PyBUF_WRITABLE, Py_buffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from libc.stddef cimport size_t
from libc.stdint cimport SIZE_MAX, int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy, memset

from _fastnet.integers cimport read_u64, shown, struct_size
from _fastnet.u64map cimport (
    map_close,
    map_find,
    map_nbytes,
    map_open,
    map_put,
    map_room,
)

from _fastnet.errors import OutOfRange, Taken


cdef int _read_bytes(object source, str what, Py_ssize_t length, uint8_t* out) except -1:
    if not isinstance(source, bytes):
        raise TypeError(f"{what} must be bytes, not {type(source).__name__}")
    if PyBytes_GET_SIZE(source) != length:
        raise ValueError(f"{what} has {length} bytes, not {PyBytes_GET_SIZE(source)}")
    memcpy(out, PyBytes_AS_STRING(source), <size_t>length)
    return 0


cdef uint8_t _read_prefix(object source, str what, uint64_t most) except? 255:
    cdef uint64_t read
    if not read_u64(source, what, &read) or read > most:
        raise OutOfRange(f"{what} is 0…{most}, not {shown(source)}")
    return <uint8_t>read


cdef int32_t _read_id(object source) except? -1:
    cdef uint64_t read
    if not read_u64(source, "an interface's id", &read) or read > 0x7FFFFFFF:
        raise OutOfRange(f"an interface's id is 0…2**31-1, not {shown(source)}")
    return <int32_t>read


@cython.final
@cython.auto_pickle(False)
@cython.no_gc
cdef class InterfaceList:
    """Packed interface records: id, MAC, IPv4 address, IPv6 address.

    Addresses are bytes in network order; None says that a field is empty. Rows only grow, and
    a row's number is its position for good. What an address means is not judged here, only its length.

    Layout. A row is 36 bytes without padding: IPv6 address 16, IPv4 address 4, id 4 (native order),
    MAC 6, prefix lengths of IPv4 and IPv6 one each, which fields are set one (`HAS_MAC` 1,
    `HAS_IPV4` 2, `HAS_IPV6` 4), three of zero. An empty field is zeros. `column` gives a field
    of all rows as a view of that stride, without a copy.

    Memory: the first two rows stand in the object; past these 36 bytes a row (room doubles as it
    grows). In a list of more than 16 rows a search that the order of the ids cannot answer
    makes an index, 43 bytes a row at the most.

    Thread safety: every method is atomic, under the GIL or, without one, under the object's own
    lock. A view shows rows as they are: bytes that another thread writes meanwhile may come half.
    """

    def __cinit__(self) -> None:
        self.rows = self.few
        self.room = INLINE_ROWS
        self.highest = -1
        map_open(&self.index, True)

    def __dealloc__(self) -> None:
        if self.rows != self.few:
            PyMem_RawFree(self.rows)
        map_close(&self.index)

    def append(
        self,
        object id,
        object mac=None,
        object ipv4=None,
        object ipv4_prefix=32,
        object ipv6=None,
        object ipv6_prefix=128,
    ) -> int:
        """Add an interface.

        Parameters
        ----------
        id : int
            0…2**31-1, unique in the list.
        mac : bytes, optional
            6.
        ipv4, ipv6 : bytes, optional
            4 and 16, network order.
        ipv4_prefix, ipv6_prefix : int
            Prefix lengths, 0…32 and 0…128; kept where there is an address.

        Returns
        -------
        int
            The new row.

        Raises
        ------
        Taken
            The id is in the list.
        OutOfRange, ValueError
            An id, a length or a prefix length that is none; nothing was added.
        """
        cdef Interface made
        cdef int32_t number = _read_id(id)
        memset(&made, 0, sizeof(made))
        made.id = number
        made.ipv4_prefix = _read_prefix(ipv4_prefix, "an IPv4 prefix length", 32)
        made.ipv6_prefix = _read_prefix(ipv6_prefix, "an IPv6 prefix length", 128)
        if mac is not None:
            _read_bytes(mac, "a MAC address", 6, made.mac)
            made.fields |= HAS_MAC
        if ipv4 is not None:
            _read_bytes(ipv4, "an IPv4 address", 4, made.ipv4)
            made.fields |= HAS_IPV4
        else:
            made.ipv4_prefix = 0
        if ipv6 is not None:
            _read_bytes(ipv6, "an IPv6 address", 16, made.ipv6)
            made.fields |= HAS_IPV6
        else:
            made.ipv6_prefix = 0
        with cython.critical_section(self):
            if self.seek(number) >= 0:
                raise Taken(f"interface {number} is in the list")
            self.make_room(1)
            if self.indexed:
                if map_room(&self.index) < 0:
                    raise MemoryError
                self.index.values[map_put(&self.index, <uint64_t>number)] = self.count
            self.rows[self.count] = made
            self.count += 1
            if number > self.highest:
                self.highest = number
            return self.count - 1

    def extend(self, object count, /, object first_id=None) -> int:
        """Add many interfaces with nothing but their ids, all or none.

        Parameters
        ----------
        count : int
            How many.
        first_id : int, optional
            Id of the first; the others count up from it. Without it the ids go on after the largest.

        Returns
        -------
        int
            The first new row.

        Raises
        ------
        Taken
            One of the ids is in the list.
        OutOfRange
            An id would pass 2**31-1.
        ValueError
            `count` is negative.
        BufferError
            Somebody looks at a column.
        """
        cdef uint64_t wanted, i
        cdef int64_t first = -1
        cdef Interface* made
        if not read_u64(count, "count", &wanted):
            if count < 0:
                raise ValueError(f"count must not be negative, not {shown(count)}")
            raise OutOfRange(f"{shown(count)} interfaces: their ids would pass 2**31-1")
        if first_id is not None:
            first = _read_id(first_id)
        with cython.critical_section(self):
            if first < 0:
                first = <int64_t>self.highest + 1
            if wanted > <uint64_t>(0x80000000 - first):
                raise OutOfRange(f"{wanted} interfaces from id {first} on: their ids would pass 2**31-1")
            if wanted == 0:
                return self.count
            if first <= self.highest:
                for i in range(self.count):
                    if first <= self.rows[i].id < first + <int64_t>wanted:
                        raise Taken(f"interface {self.rows[i].id} is in the list")
            self.make_room(<size_t>wanted)
            made = self.rows + self.count
            memset(made, 0, <size_t>wanted * sizeof(Interface))
            for i in range(wanted):
                made[i].id = <int32_t>(first + <int64_t>i)
            if first + <int64_t>wanted - 1 > self.highest:
                self.highest = <int32_t>(first + <int64_t>wanted - 1)
            # The next search that needs the index goes on with it where it ends.
            self.indexed = False
            self.count += <size_t>wanted
            return self.count - <size_t>wanted

    def column(self, str name not None, /) -> memoryview:
        """Give one field of all rows as a read-only view of the rows themselves.

        Parameters
        ----------
        name : str
            ``"id"`` (format ``i``, shape (n,)), ``"mac"``, ``"ipv4"``, ``"ipv6"`` (``B``, (n, 6), (n, 4),
            (n, 16)), ``"ipv4_prefix"``, ``"ipv6_prefix"`` or ``"fields"`` (``B``, (n,)).

        Returns
        -------
        memoryview
            Strided by 36 bytes. While it, or what was made of it, lives, rows may change but none can be
            added (BufferError): call its ``release()`` when done.

        Raises
        ------
        ValueError
            There is no such column.
        """
        cdef ColumnView view
        cdef const void* field
        cdef Py_ssize_t width = 1
        with cython.critical_section(self):
            if name == "id":
                field, width = <const void*>&self.rows.id, 4
            elif name == "mac":
                field, width = <const void*>&self.rows.mac[0], 6
            elif name == "ipv4":
                field, width = <const void*>&self.rows.ipv4[0], 4
            elif name == "ipv6":
                field, width = <const void*>&self.rows.ipv6[0], 16
            elif name == "ipv4_prefix":
                field = <const void*>&self.rows.ipv4_prefix
            elif name == "ipv6_prefix":
                field = <const void*>&self.rows.ipv6_prefix
            elif name == "fields":
                field = <const void*>&self.rows.fields
            else:
                raise ValueError(
                    f"no column {name[:40]!r}: there are id, mac, ipv4, ipv4_prefix, ipv6, ipv6_prefix and fields"
                )
            view = ColumnView.__new__(ColumnView)
            view.interfaces = self
            self.views += 1
            view.data = <const uint8_t*>field
            view.shape[0] = <Py_ssize_t>self.count
        view.shape[1] = width
        view.strides[0] = sizeof(Interface)
        view.strides[1] = 1
        view.format = b"i" if name == "id" else b"B"
        view.ndim = 1 if width == 1 or name == "id" else 2
        return memoryview(view)

    @cython.critical_section
    def id(self, object row, /) -> int:
        """Give a row's id; IndexError for no row (so in all methods that take one)."""
        return self.row(row).id

    @cython.critical_section
    def mac(self, object row, /) -> bytes | None:
        """Give a row's MAC, 6 bytes, or None."""
        cdef Interface* found = self.row(row)
        if not found.fields & HAS_MAC:
            return None
        return PyBytes_FromStringAndSize(<char*>found.mac, 6)

    @cython.critical_section
    def ipv4(self, object row, /) -> bytes | None:
        """Give a row's IPv4 address, 4 bytes, or None."""
        cdef Interface* found = self.row(row)
        if not found.fields & HAS_IPV4:
            return None
        return PyBytes_FromStringAndSize(<char*>found.ipv4, 4)

    @cython.critical_section
    def ipv4_prefix(self, object row, /) -> int:
        """Give the prefix length of a row's IPv4 address; 0 where there is none."""
        return self.row(row).ipv4_prefix

    @cython.critical_section
    def ipv6(self, object row, /) -> bytes | None:
        """Give a row's IPv6 address, 16 bytes, or None."""
        cdef Interface* found = self.row(row)
        if not found.fields & HAS_IPV6:
            return None
        return PyBytes_FromStringAndSize(<char*>found.ipv6, 16)

    @cython.critical_section
    def ipv6_prefix(self, object row, /) -> int:
        """Give the prefix length of a row's IPv6 address; 0 where there is none."""
        return self.row(row).ipv6_prefix

    @cython.critical_section
    def set_mac(self, object row, object mac, /) -> None:
        """Fill or replace a row's MAC."""
        cdef Interface* found = self.row(row)
        _read_bytes(mac, "a MAC address", 6, found.mac)
        found.fields |= HAS_MAC

    @cython.critical_section
    def set_ipv4(self, object row, object address, object prefix, /) -> None:
        """Fill or replace a row's IPv4 address and its prefix length, 0…32."""
        cdef uint8_t length = _read_prefix(prefix, "an IPv4 prefix length", 32)
        cdef Interface* found = self.row(row)
        _read_bytes(address, "an IPv4 address", 4, found.ipv4)
        found.ipv4_prefix = length
        found.fields |= HAS_IPV4

    @cython.critical_section
    def set_ipv6(self, object row, object address, object prefix, /) -> None:
        """Fill or replace a row's IPv6 address and its prefix length, 0…128."""
        cdef uint8_t length = _read_prefix(prefix, "an IPv6 prefix length", 128)
        cdef Interface* found = self.row(row)
        _read_bytes(address, "an IPv6 address", 16, found.ipv6)
        found.ipv6_prefix = length
        found.fields |= HAS_IPV6

    @cython.critical_section
    def find(self, object id, /) -> int:
        """Give the row of an id, or -1; OutOfRange for what can be no id."""
        return self.seek(_read_id(id))

    @property
    def nbytes(self) -> int:
        """Bytes that the list holds: the object and its heap."""
        cdef size_t heap = 0 if self.rows == self.few else self.room * sizeof(Interface)
        return <size_t>struct_size(self) + heap + map_nbytes(&self.index)

    def __len__(self) -> int:
        """How many interfaces there are."""
        return <Py_ssize_t>self.count

    def __sizeof__(self) -> int:
        return self.nbytes

    def __repr__(self) -> str:
        return f"<InterfaceList: {self.count}>"

    def __reduce__(self) -> object:
        raise TypeError("an InterfaceList cannot be pickled or copied")

    cdef Interface* row(self, object row) except NULL:
        return &self.rows[read_row(row, self.count)]

    cdef Py_ssize_t seek(self, int32_t id) except -2:
        cdef size_t i
        cdef Py_ssize_t slot
        if id > self.highest:
            return -1
        # Ids are mostly handed out in the order of the rows.
        if <size_t>id < self.count and self.rows[id].id == id:
            return id
        if self.count <= INDEX_ROWS:
            for i in range(self.count):
                if self.rows[i].id == id:
                    return <Py_ssize_t>i
            return -1
        if not self.indexed:
            for i in range(self.index.used, self.count):
                if map_room(&self.index) < 0:
                    raise MemoryError
                self.index.values[map_put(&self.index, <uint64_t>self.rows[i].id)] = i
            self.indexed = True
        slot = map_find(&self.index, <uint64_t>id)
        return <Py_ssize_t>self.index.values[slot] if slot >= 0 else -1

    cdef int make_room(self, size_t more) except -1:
        cdef Interface* larger
        cdef size_t room = self.room
        if self.views:
            raise BufferError("no interface can be added while somebody looks at a column: release the view first")
        if more <= room - self.count:
            return 0
        if more > SIZE_MAX // 4 // sizeof(Interface) - self.count:
            raise MemoryError
        while room - self.count < more:
            room *= 2
        if self.rows == self.few:
            larger = <Interface*>PyMem_RawMalloc(room * sizeof(Interface))
            if larger != NULL:
                memcpy(larger, self.few, sizeof(self.few))
        else:
            larger = <Interface*>PyMem_RawRealloc(self.rows, room * sizeof(Interface))
        if larger == NULL:
            raise MemoryError
        self.rows = larger
        self.room = room
        return 0


@cython.final
@cython.auto_pickle(False)
@cython.no_gc
cdef class ColumnView:
    """What a memoryview of a column holds on to."""

    def __dealloc__(self) -> None:
        if self.interfaces is not None:
            with cython.critical_section(self.interfaces):
                self.interfaces.views -= 1

    def __getbuffer__(self, Py_buffer* view, int flags) -> None:
        if flags & PyBUF_WRITABLE:
            raise BufferError("columns are read-only")
        if flags & PyBUF_STRIDES != PyBUF_STRIDES:
            raise BufferError("a column is strided: ask for a view with strides, or take bytes(…) of it")
        view.obj = self
        view.buf = <void*>self.data
        view.itemsize = 4 if self.format[0] == c"i" else 1
        view.len = self.shape[0] * (view.itemsize if self.ndim == 1 else self.shape[1])
        view.readonly = 1
        view.format = <char*>self.format if flags & PyBUF_FORMAT else NULL
        view.ndim = self.ndim
        view.shape = self.shape
        view.strides = self.strides
        view.suboffsets = NULL
        view.internal = NULL


cdef Interface* run_of_rows(InterfaceList interfaces, object start, object count, size_t* length) except NULL:
    cdef uint64_t first, wanted
    if not read_u64(start, "a row", &first) or first > interfaces.count:
        raise IndexError(f"row {shown(start)} of {interfaces.count}")
    if not read_u64(count, "count", &wanted) or wanted > interfaces.count - first:
        raise IndexError(f"{shown(count)} rows from row {first} on, of {interfaces.count}")
    length[0] = <size_t>wanted
    return interfaces.rows + first


cdef Py_ssize_t read_row(object row, size_t count) except -1:
    """A row's number; unlike a sequence's position never counted from the end."""
    cdef uint64_t read
    if not read_u64(row, "a row", &read) or read >= count:
        raise IndexError(f"row {shown(row)} of {count}")
    return <Py_ssize_t>read

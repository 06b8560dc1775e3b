"""The verbs that write whole columns: a message for each row of an interface list, without a loop of Python.

A message is written field by field once; the next ones are copies of it in which the fields that differ are
patched, as long as they have the same length.
"""

import cython

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset, strcmp

from _fastnet.args cimport INT_LIMIT, U32_LIMIT, read_address, read_choice, read_mac, read_name, read_number, read_switch
from _fastnet.iflist cimport HAS_IPV4, HAS_IPV6, HAS_MAC, Interface, InterfaceList, run_of_rows
from _fastnet.neighbourverbs import _FDB_STATES, _NEIGHBOUR_STATES
from _fastnet.names cimport NamePattern, read_pattern, write_name
from _fastnet.rtnl cimport (
    FAMILY_IPV4,
    FAMILY_IPV6,
    IFNAMSIZ,
    NTF_MASTER,
    NTF_SELF,
    NUD_NOARP,
    NUD_PERMANENT,
    RT_SCOPE_LINK,
    RT_SCOPE_UNIVERSE,
    RT_TABLE_MAIN,
    RTA_OIF,
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_DELNEIGH,
    RTM_DELROUTE,
    RTM_GETLINK,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWNEIGH,
    RTM_NEWROUTE,
    RTM_SETLINK,
    RTN_UNICAST,
    RTN_UNSPEC,
    RTPROT_STATIC,
    FdbSpec,
    IfInfoMsg,
    LinkSpec,
    NeighbourSpec,
    RouteSpec,
    RtMsg,
    encode_add_fdb,
    encode_add_neighbour,
    encode_add_route,
    encode_add_veth,
    encode_delete_fdb,
    encode_delete_neighbour,
    encode_delete_route,
)
from _fastnet.wire cimport (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    NLM_F_REQUEST,
    NLMSG_HDRLEN,
    Attribute,
    Cursor,
    MessageHeader,
    Span,
    Wire,
    aligned,
    next_attribute,
    next_message,
    wire_grow,
    wire_take,
)

cdef enum:
    # Where the ifindex stands: after the four bytes before it in ifinfomsg, ifaddrmsg and ndmsg.
    INDEX_AT = NLMSG_HDRLEN + 4
    # Where the text of IFLA_IFNAME stands, the first attribute of a link to be made.
    NAME_AT = NLMSG_HDRLEN + 16 + 4


cdef class _Numbers:
    """A column of int32 of its own."""

    def __dealloc__(self):
        free(self.data)


cdef _Numbers read_numbers(object value, str what, int32_t low, size_t count, int step):
    cdef _Numbers made = _Numbers.__new__(_Numbers)
    cdef Py_buffer view
    cdef int64_t first
    cdef size_t i
    cdef bint fits = True
    made.data = <int32_t*> calloc(count + 1, sizeof(int32_t))
    if made.data == NULL:
        raise MemoryError
    made.count = count
    if isinstance(value, int):
        first = read_number(value, what, low, INT_LIMIT)
        if step and count and first > INT_LIMIT - <int64_t> (count - 1) * step:
            raise ValueError(f"{what} {value} and the {count - 1} that follow it go beyond {INT_LIMIT}")
        for i in range(count):
            made.data[i] = <int32_t> (first + <int64_t> i * step)
    elif PyObject_CheckBuffer(value):
        PyObject_GetBuffer(value, &view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
        try:
            if view.ndim != 1 or view.itemsize != 4 or view.format == NULL or strcmp(view.format, b"i") != 0:
                raise TypeError(f"{what} must be a one-dimensional buffer of int32 (format 'i')")
            if <size_t> view.shape[0] != count:
                raise ValueError(f"{what} must have {count} elements, one per row, not {view.shape[0]}")
            memcpy(made.data, view.buf, count * sizeof(int32_t))
        finally:
            PyBuffer_Release(&view)
        fits = True
        for i in range(count):
            fits = fits and made.data[i] >= low
        if not fits:
            raise ValueError(f"{what} must be {low}…{INT_LIMIT}")
    else:
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"{what} must be an integer, a buffer of int32 or a list, not {type(value).__name__}")
        if <size_t> len(value) != count:
            raise ValueError(f"{what} must have {count} elements, one per row, not {len(value)}")
        for i in range(count):
            made.data[i] = <int32_t> read_number(value[i], what, low, INT_LIMIT)
    return made


cdef size_t place_of_index(Span message) noexcept nogil:
    """Where in a message the ifindex stands that it is about; 0 where there is none."""
    cdef Cursor cursor, body
    cdef MessageHeader header
    cdef Attribute attribute
    cdef IfInfoMsg info
    cursor.at = message.data
    cursor.end = message.data + message.size
    if next_message(&cursor, &header, &body) != 1 or body.end - body.at < 8:
        return 0
    if header.type in (RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK):
        if header.flags & NLM_F_CREATE or <size_t> (body.end - body.at) < sizeof(info):
            return 0
        memcpy(&info, body.at, sizeof(info))
        return INDEX_AT if info.index else 0
    if header.type in (RTM_NEWADDR, RTM_DELADDR, RTM_NEWNEIGH, RTM_DELNEIGH):
        return INDEX_AT
    if header.type in (RTM_NEWROUTE, RTM_DELROUTE):
        body.at += min(sizeof(RtMsg), <size_t> (body.end - body.at))
        while next_attribute(&body, &attribute) == 1:
            if attribute.type == RTA_OIF and attribute.value.size == 4:
                return <size_t> (attribute.value.data - message.data)
    return 0


cdef uint8_t* copy_last(Wire* wire, size_t size) noexcept nogil:
    """Append a copy of the message that is the last one, of `size` bytes; NULL where there is no memory."""
    cdef uint8_t* place = wire_take(wire, size)
    if place == NULL:
        wire.failed = False
    else:
        memcpy(place, place - size, size)
    return place


@cython.auto_pickle(False)
cdef class Columns(NeighbourVerbs):
    """The verbs that write whole columns: see :class:`_fastnet.batch.Batch`."""

    cdef Interface* rows_of(self, object interfaces, object start, object count, size_t* length) except NULL:
        if not isinstance(interfaces, InterfaceList):
            raise TypeError(f"interfaces must be an InterfaceList, not {type(interfaces).__name__}")
        if count is None:
            count = max(0, <int64_t> (<InterfaceList> interfaces).count - read_number(start, "start", 0, INT_LIMIT))
        return run_of_rows(<InterfaceList> interfaces, start, count, length)

    cdef int give_up(self, size_t start, size_t count) except -1:
        self.wire.used = start
        self.wire.failed = False
        self.count = count
        raise MemoryError

    def repeat(self, position, indexes, /):
        """Append a message again for each of other links; give the position of the first copy.

        Parameters
        ----------
        position : int
            A message about a link, an address, a neighbour or a forwarding entry, or a route with an index.
        indexes : list or buffer of int32
            The links' ifindexes.

        Raises
        ------
        ValueError
            The message knows no ifindex, or names its link.
        """
        cdef size_t which, start, before, at, size, i
        cdef Span message
        cdef _Numbers numbers
        cdef uint8_t* place
        if isinstance(indexes, int):
            raise TypeError("indexes must be a list or a buffer of int32, not int")
        numbers = read_numbers(indexes, "indexes", 1, <size_t> len(indexes), 0)
        which = self.position(position)
        self.ready(numbers.count)
        start = self.wire.used
        before = self.count
        message = self.at(which)
        at = place_of_index(message)
        if at == 0:
            raise ValueError(f"message {position} knows no ifindex: {self.operation(position)}")
        size = message.size
        if not wire_grow(&self.wire, size * numbers.count):
            self.give_up(start, before)
        for i in range(numbers.count):
            place = wire_take(&self.wire, size)
            memcpy(place, self.wire.data + self.starts[which], size)
            memcpy(place + at, &numbers.data[i], sizeof(int32_t))
            self.starts[self.count] = <uint32_t> (start + i * size)
            self.count += 1
        return before

    def add_veths(
        self, pattern, interfaces, *, namespaces=-1, first=0, peer="eth0", index=0, peer_index=0, peer_step=0,
        mac=None, master=0, mtu=0, group=0, up=False, queues=1, start=0, count=None,
    ):
        """Make a veth pair for each row of an interface list; give the position of the first message.

        Equivalent to: ``add_veth`` for each row, with the row's MAC as the peer's.

        Parameters
        ----------
        pattern : str
            The main ends' names: text with one ``%d`` or ``%x``, or with a width, as ``%05x`` (zeros before it).
        interfaces : InterfaceList
            Whose MACs the peers get; a row without one leaves it to the kernel.
        namespaces : int, or list or buffer of int32
            Descriptors of where the peers are born, one per row; -1 = the socket's own.
        first : int
            The first name's number; they count up.
        index, peer_index : int, or list or buffer of int32
            The ifindexes; from the integer on they count up, those of peers in steps of ``peer_step`` (0: all have
            the same, each in a namespace of its own). 0 = as the kernel likes.
        mac, master, mtu, group, up, queues
            As in ``add_veth``, the same for all.
        start, count : int, optional
            The first row, and how many; None = all that follow.
        """
        cdef LinkSpec link, end
        cdef NamePattern names
        cdef char name[IFNAMSIZ]
        cdef size_t length, i, size, tail, from_used, before
        cdef size_t shape = 0
        cdef size_t last_shape
        cdef size_t last_size = 0
        cdef uint8_t* place
        cdef uint64_t number
        cdef Interface* rows = self.rows_of(interfaces, start, count, &length)
        cdef _Numbers indexes, peer_indexes, descriptors
        memset(&link, 0, sizeof(link))
        memset(&end, 0, sizeof(end))
        number = <uint64_t> read_number(first, "first", 0, 0x7FFFFFFFFFFFFFF)
        read_pattern(pattern, number, length, &names)
        read_name(peer, "peer", &end.name)
        if isinstance(index, int) and index == 0:
            indexes = read_numbers(0, "index", 0, length, 0)
        else:
            indexes = read_numbers(index, "index", 1, length, 1)
        peer_indexes = read_numbers(
            peer_index, "peer_index", 0, length, <int> read_number(peer_step, "peer_step", 0, 0xFFFF)
        )
        descriptors = read_numbers(namespaces, "namespaces", -1, length, 0)
        link.namespace = -1
        link.mac = read_mac(mac, "mac")
        link.master = <uint32_t> read_number(master, "master", 0, INT_LIMIT)
        link.mtu = end.mtu = <uint32_t> read_number(mtu, "mtu", 0, INT_LIMIT)
        link.group = <uint32_t> read_number(group, "group", 0, U32_LIMIT)
        link.queues = end.queues = <uint32_t> read_number(queues, "queues", 0, 4096)
        link.up = up
        link.name.data = <const uint8_t*> name
        # Where the peer's fields stand, counted from the message's end: it is written last.
        tail = 16 + aligned(4 + end.name.size + 1) + (8 if end.mtu else 0) + (16 if end.queues else 0)
        # Nothing of Python's runs from here on: what rows and the buffer are stays so.
        self.ready(length)
        rows = self.rows_of(interfaces, start, length, &length)
        from_used, before = self.wire.used, self.count
        for i in range(length):
            link.name.size = write_name(&names, number + i, name)
            last_shape = shape
            shape = link.name.size + (32 if rows[i].fields & HAS_MAC else 0) + (64 if descriptors.data[i] >= 0 else 0)
            size = self.wire.used
            if shape == last_shape:
                place = copy_last(&self.wire, last_size)
                if place == NULL:
                    self.give_up(from_used, before)
                memcpy(place + INDEX_AT, &indexes.data[i], 4)
                memcpy(place + NAME_AT, name, link.name.size)
                place += last_size
                if descriptors.data[i] >= 0:
                    memcpy(place - 4, &descriptors.data[i], 4)
                    place -= 8
                if rows[i].fields & HAS_MAC:
                    place -= 12
                    memcpy(place - (tail - 16 - aligned(4 + end.name.size + 1)) + 4, rows[i].mac, 6)
                memcpy(place - tail + 4, &peer_indexes.data[i], 4)
            else:
                link.index = indexes.data[i]
                end.index = peer_indexes.data[i]
                end.namespace = descriptors.data[i]
                end.mac = rows[i].mac if rows[i].fields & HAS_MAC else NULL
                if encode_add_veth(&self.wire, &link, &end) < 0:
                    self.give_up(from_used, before)
                last_size = self.wire.used - size
            self.starts[self.count] = <uint32_t> size
            self.count += 1
        return before

    # -------------------------------------------------------------------------------------------- neighbours
    def add_neighbours(
        self, index, interfaces, *, step=0, state="permanent", replace=True, start=0, count=None,
    ):
        """Enter the MAC of each row for its IPv4 and its IPv6 address; give the position of the first message.

        Equivalent to: ``add_neighbour`` for each row and each address it has; a row without address gives no message.

        Parameters
        ----------
        index : int, or list or buffer of int32
            The ifindex for all rows; with ``step`` 1 that of the first, and they count up; or one per row.
        interfaces : InterfaceList
            A row with an address must have a MAC.
        state, replace
            As in ``add_neighbour``.
        start, count : int, optional
            The first row, and how many; None = all that follow.
        """
        return self.put_neighbours(True, index, interfaces, step, state, replace, start, count)

    def delete_neighbours(self, index, interfaces, *, step=0, start=0, count=None):
        """Delete the entries of each row's addresses, as ``add_neighbours`` enters them.

        Equivalent to: ``delete_neighbour`` for each row and each address it has.
        """
        return self.put_neighbours(False, index, interfaces, step, "permanent", True, start, count)

    cdef object put_neighbours(
        self, bint adding, object index, object interfaces, object step, object state, object replace, object start,
        object count,
    ):
        cdef NeighbourSpec spec
        cdef size_t length, i, from_used, before, at
        cdef int family, result
        cdef Interface* rows = self.rows_of(interfaces, start, count, &length)
        cdef _Numbers indexes = read_numbers(index, "index", 1, length, <int> read_number(step, "step", 0, 0xFFFF))
        memset(&spec, 0, sizeof(spec))
        spec.state = <uint16_t> read_choice(state, "state", _NEIGHBOUR_STATES)
        spec.replace = read_switch(replace, "replace")
        self.ready(2 * length)
        rows = self.rows_of(interfaces, start, length, &length)
        for i in range(length):
            if adding and rows[i].fields & (HAS_IPV4 | HAS_IPV6) and not rows[i].fields & HAS_MAC:
                raise ValueError(f"interface {rows[i].id} has an address but no MAC")
        from_used, before = self.wire.used, self.count
        for i in range(length):
            spec.index = indexes.data[i]
            spec.mac = rows[i].mac
            for family in range(2):
                if not row_address(&rows[i], family, &spec.address):
                    continue
                at = self.wire.used
                result = encode_add_neighbour(&self.wire, &spec) if adding else encode_delete_neighbour(
                    &self.wire, &spec
                )
                if result < 0:
                    self.give_up(from_used, before)
                self.starts[self.count] = <uint32_t> at
                self.count += 1
        return before

    # ------------------------------------------------------------------------------------- forwarding tables
    def add_fdbs(
        self, index, interfaces, *, step=1, master=True, state=None, dst=None, vlan=0, replace=False, start=0,
        count=None,
    ):
        """Enter where frames to each row's MAC go; give the position of the first message.

        Equivalent to: ``add_fdb`` for each row

        Parameters
        ----------
        index : int, or list or buffer of int32
            The port of the first row, and they count up in steps of ``step`` (0: all have the same); or one per row.
        interfaces : InterfaceList
            Each row must have a MAC.
        master, state, dst, vlan, replace
            As in ``add_fdb``, the same for all: with ``step=0, master=False, dst=END`` the rows are behind the other
            end of a VXLAN.
        start, count : int, optional
            The first row, and how many; None = all that follow.
        """
        return self.put_fdbs(True, index, interfaces, step, master, state, dst, vlan, replace, start, count)

    def delete_fdbs(self, index, interfaces, *, step=1, master=True, dst=None, vlan=0, start=0, count=None):
        """Delete the entries of each row's MAC, as ``add_fdbs`` enters them.

        Equivalent to: ``delete_fdb`` for each row
        """
        return self.put_fdbs(False, index, interfaces, step, master, None, dst, vlan, False, start, count)

    cdef object put_fdbs(
        self, bint adding, object index, object interfaces, object step, object master, object state, object dst,
        object vlan, object replace, object start, object count,
    ):
        cdef FdbSpec spec
        cdef size_t length, i, from_used, before, at
        cdef int result
        cdef Interface* rows = self.rows_of(interfaces, start, count, &length)
        cdef _Numbers indexes = read_numbers(index, "index", 1, length, <int> read_number(step, "step", 0, 0xFFFF))
        memset(&spec, 0, sizeof(spec))
        spec.vni = -1
        spec.flags = <uint8_t> (NTF_MASTER if read_switch(master, "master") else NTF_SELF)
        spec.vlan = <uint16_t> read_number(vlan, "vlan", 0, 4094)
        if dst is not None:
            read_address(dst, "dst", &spec.remote)
            if master:
                raise ValueError("dst is a VXLAN's: it needs master=False")
        if state is None:
            spec.state = <uint16_t> (NUD_NOARP if master else NUD_PERMANENT)
        else:
            spec.state = <uint16_t> read_choice(state, "state", _FDB_STATES)
        spec.creation = <uint16_t> (
            NLM_F_REQUEST | NLM_F_CREATE | (NLM_F_REPLACE if read_switch(replace, "replace") else NLM_F_EXCL)
        )
        self.ready(length)
        rows = self.rows_of(interfaces, start, length, &length)
        for i in range(length):
            if not rows[i].fields & HAS_MAC:
                raise ValueError(f"interface {rows[i].id} has no MAC")
        from_used, before = self.wire.used, self.count
        for i in range(length):
            spec.index = indexes.data[i]
            spec.mac = rows[i].mac
            at = self.wire.used
            result = encode_add_fdb(&self.wire, &spec) if adding else encode_delete_fdb(&self.wire, &spec)
            if result < 0:
                self.give_up(from_used, before)
            self.starts[self.count] = <uint32_t> at
            self.count += 1
        return before

    # ------------------------------------------------------------------------------------------------ routes
    def add_routes(
        self, index, interfaces, *, step=1, table=RT_TABLE_MAIN, metric=0, protocol=RTPROT_STATIC, replace=False,
        start=0, count=None,
    ):
        """Add a host route (/32, /128) to each row's IPv4 and IPv6 address; give the position of the first message.

        Equivalent to: ``add_route(ADDRESS, BITS, index=I)`` for each row and each address it has; a row without
        address gives no message.

        Parameters
        ----------
        index : int, or list or buffer of int32
            The device of the first row, and they count up in steps of ``step`` (0: all have the same); or one per
            row.
        table, metric, protocol, replace
            As in ``add_route``, the same for all.
        start, count : int, optional
            The first row, and how many; None = all that follow.
        """
        return self.put_routes(True, index, interfaces, step, table, metric, protocol, replace, start, count)

    def delete_routes(
        self, index, interfaces, *, step=1, table=RT_TABLE_MAIN, metric=0, protocol=0, start=0, count=None
    ):
        """Delete the host routes to each row's addresses, as ``add_routes`` adds them.

        Equivalent to: ``delete_route(ADDRESS, BITS, index=I)`` for each row and each address it has.
        """
        return self.put_routes(False, index, interfaces, step, table, metric, protocol, False, start, count)

    cdef object put_routes(
        self, bint adding, object index, object interfaces, object step, object table, object metric, object protocol,
        object replace, object start, object count,
    ):
        cdef RouteSpec spec
        cdef size_t length, i, from_used, before, at
        cdef int family, result
        cdef Interface* rows = self.rows_of(interfaces, start, count, &length)
        cdef _Numbers indexes = read_numbers(index, "index", 1, length, <int> read_number(step, "step", 0, 0xFFFF))
        memset(&spec, 0, sizeof(spec))
        spec.type = <uint8_t> (RTN_UNICAST if adding else RTN_UNSPEC)
        spec.table = <uint32_t> read_number(table, "table", 1, U32_LIMIT)
        spec.metric = <uint32_t> read_number(metric, "metric", 0, U32_LIMIT)
        spec.protocol = <uint8_t> read_number(protocol, "protocol", 0, 255)
        spec.replace = read_switch(replace, "replace")
        self.ready(2 * length)
        rows = self.rows_of(interfaces, start, length, &length)
        from_used, before = self.wire.used, self.count
        for i in range(length):
            spec.index = indexes.data[i]
            for family in range(2):
                if not row_address(&rows[i], family, &spec.destination):
                    continue
                spec.family = <uint8_t> (FAMILY_IPV6 if family else FAMILY_IPV4)
                spec.prefix = <uint8_t> (128 if family else 32)
                spec.scope = <uint8_t> (RT_SCOPE_UNIVERSE if family else RT_SCOPE_LINK)
                at = self.wire.used
                result = encode_add_route(&self.wire, &spec) if adding else encode_delete_route(&self.wire, &spec)
                if result < 0:
                    self.give_up(from_used, before)
                self.starts[self.count] = <uint32_t> at
                self.count += 1
        return before


cdef bint row_address(Interface* row, int ipv6, Span* address) noexcept nogil:
    """A row's IPv4 or IPv6 address; False where it has none."""
    if not row.fields & (HAS_IPV6 if ipv6 else HAS_IPV4):
        return False
    if ipv6:
        address.data = row.ipv6
        address.size = 16
    else:
        address.data = row.ipv4
        address.size = 4
    return True

"""Many rtnetlink messages in one buffer. No I/O."""

from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython cimport final
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset

from _fastnet.args cimport INT_LIMIT, U32_LIMIT, read_address, read_mac, read_name, read_number, read_text
from _fastnet.describe cimport line_of, operation_of
from _fastnet.rtnl cimport (
    FAMILY_IPV4,
    FAMILY_IPV6,
    IFALIASZ,
    RTM_NEWLINK,
    AddressSpec,
    LinkChange,
    LinkSpec,
    NeighbourSpec,
    RouteSpec,
    encode_add_address,
    encode_add_link,
    encode_add_neighbour,
    encode_add_route,
    encode_add_veth,
    encode_delete_address,
    encode_delete_link,
    encode_delete_neighbour,
    encode_delete_route,
    encode_get_link,
    encode_set_link,
    is_get,
)
from _fastnet.wire cimport (
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    Cursor,
    MessageHeader,
    Span,
    begin_message,
    bytes_of,
    end_message,
    next_message,
    wire_free,
    wire_grow,
)


@final
cdef class Batch:
    """rtnetlink messages one after the other in one buffer.

    Every verb appends one message and returns its position (0, 1, …). Nothing is sent:
    that is :meth:`_fastnet.socket.NetlinkSocket.execute`. The kernel carries the messages out in order, goes on
    after one that fails, and takes none back: a batch is not a transaction.

    Names are text or bytes of 1…15 bytes. A MAC is 6 bytes, an address 4 or 16 bytes in network order, a
    ``prefix`` a number of bits. ``index`` is an ifindex, 0 = not given. ``namespace`` is a descriptor of a network
    namespace, -1 = the socket's own; it must stay open until the batch is executed.

    A wrong type raises TypeError, a value out of its range ValueError, and the batch is then as before.
    While a memory view of the batch lives, or another thread executes it, verbs and ``clear`` raise BufferError.

    Parameters
    ----------
    capacity : int, optional
        Bytes to allocate at once; the buffer grows by itself.

    Notes
    -----
    Thread safety: for one thread at a time. Its own buffer is pinned while a socket sends it.

    Examples
    --------
    >>> batch = Batch()
    >>> batch.add_veth("dv1", "eth0", up=True), batch.delete_link(name="dv1")
    (0, 1)
    >>> batch.operation(1)
    'delete link dv1'
    """

    def __init__(self, capacity=4096, /):
        cdef size_t wanted = <size_t> read_number(capacity, "capacity", 0, 0x40000000)
        if not wire_grow(&self.wire, wanted):
            raise MemoryError

    def __dealloc__(self):
        wire_free(&self.wire)
        free(self.starts)

    @property
    def nbytes(self):
        """Bytes of all messages."""
        return self.wire.used

    def __len__(self):
        return <Py_ssize_t> self.count

    def __bytes__(self):
        cdef Span whole
        whole.data = self.wire.data
        whole.size = self.wire.used
        return bytes_of(whole)

    def __getbuffer__(self, Py_buffer* view, int flags):
        PyBuffer_FillInfo(view, self, self.wire.data, <Py_ssize_t> self.wire.used, 1, flags)
        self.pins += 1

    def __releasebuffer__(self, Py_buffer* view):
        self.pins -= 1

    def clear(self):
        """Take all messages out; the memory is kept for the next ones."""
        if self.pins:
            raise BufferError("the batch is being executed, or a memory view of it lives")
        self.wire.used = 0
        self.count = 0

    def append(self, message, /):
        """Append one whole message, as ``message`` of this or another batch gave it; give its position.

        NLM_F_REQUEST is set, NLM_F_ACK taken away, sequence and port are set to 0.

        Raises
        ------
        ValueError
            The bytes are not exactly one message, it is a control message, or it asks for a dump.
        """
        cdef Cursor cursor, body
        cdef MessageHeader header
        cdef size_t start = self.wire.used
        self.ready()
        if not isinstance(message, bytes):
            raise TypeError(f"message must be bytes, not {type(message).__name__}")
        cursor.at = <const uint8_t*> PyBytes_AS_STRING(message)
        cursor.end = cursor.at + PyBytes_GET_SIZE(message)
        if next_message(&cursor, &header, &body) != 1 or cursor.at != cursor.end:
            raise ValueError("message must be exactly one netlink message")
        if header.type < RTM_NEWLINK:
            raise ValueError(f"a control message (type {header.type}) is not for a batch")
        if is_get(header.type) and header.flags & NLM_F_DUMP:
            raise ValueError("a dump is not for a batch")
        header.flags = <uint16_t> ((header.flags | NLM_F_REQUEST) & ~NLM_F_ACK)
        begin_message(&self.wire, header.type, header.flags, body.at, <size_t> (body.end - body.at))
        return self.entered(start, end_message(&self.wire, start))

    def message(self, position, /):
        """Give the bytes of one message."""
        return bytes_of(self.at(self.position(position)))

    def operation(self, position, /):
        """Say in few words what one message does: ``"add veth dv01"``."""
        return operation_of(self.at(self.position(position)))

    def describe(self):
        """Say what every message does, one line each with all its attributes."""
        cdef size_t i
        return "\n".join([f"{i}: {line_of(self.at(i))}" for i in range(self.count)])

    # ------------------------------------------------------------------------------------------------ inside
    cdef int ready(self) except -1:
        cdef void* starts
        if self.pins:
            raise BufferError("the batch is being executed, or a memory view of it lives")
        if self.count == self.room:
            # wire.pyx bounds the buffer to 2**30 bytes, so this product is far from overflowing.
            starts = realloc(self.starts, (self.room * 2 + 16) * sizeof(uint32_t))
            if starts == NULL:
                raise MemoryError
            self.starts = <uint32_t*> starts
            self.room = self.room * 2 + 16
        return 0

    cdef object entered(self, size_t start, int result):
        if result < 0:
            raise MemoryError
        self.starts[self.count] = <uint32_t> start
        self.count += 1
        return self.count - 1

    cdef Span at(self, size_t position) noexcept nogil:
        cdef Span span
        cdef size_t end = self.starts[position + 1] if position + 1 < self.count else self.wire.used
        span.data = self.wire.data + self.starts[position]
        span.size = end - self.starts[position]
        return span

    cdef size_t position(self, object position) except? 0xFFFFFFFF:
        """Check the position of a message; no negative ones."""
        if not isinstance(position, int):
            raise TypeError(f"position must be an integer, not {type(position).__name__}")
        if not 0 <= position < self.count:
            raise IndexError(f"position {position} of a batch of {self.count} messages")
        return <size_t> position

    # ------------------------------------------------------------------------------------------------- links
    def add_veth(
        self, name, peer, *, index=0, peer_index=0, namespace=-1, mac=None, peer_mac=None, master=0, mtu=0,
        group=0, up=False, queues=1,
    ):
        """Make a veth pair.

        Equivalent to: ``ip link add NAME index I address MAC mtu M master L group G up numtxqueues 1 numrxqueues 1
        type veth peer name PEER index PI address PMAC mtu M netns NS numtxqueues 1 numrxqueues 1``

        ``up``, ``master`` and ``group`` are the main end's; the peer is born down, in group 0. (The kernel
        configures the peer before its partner exists, and refuses to bring it up then: ENOTCONN.)

        Parameters
        ----------
        namespace : int
            Where the peer is born.
        mtu : int
            Of both ends; 0 = the kernel's default.
        queues : int
            Of each direction of both ends; 0 = the kernel's default (one per possible CPU, slow to make).
        """
        cdef LinkSpec link, end
        cdef size_t start = self.wire.used
        memset(&link, 0, sizeof(link))
        memset(&end, 0, sizeof(end))
        self.ready()
        read_name(name, "name", &link.name)
        read_name(peer, "peer", &end.name)
        link.index = <int32_t> read_number(index, "index", 0, INT_LIMIT)
        end.index = <int32_t> read_number(peer_index, "peer_index", 0, INT_LIMIT)
        link.namespace = -1
        end.namespace = <int32_t> read_number(namespace, "namespace", -1, INT_LIMIT)
        link.mac = read_mac(mac, "mac")
        end.mac = read_mac(peer_mac, "peer_mac")
        link.master = <uint32_t> read_number(master, "master", 0, INT_LIMIT)
        link.mtu = end.mtu = <uint32_t> read_number(mtu, "mtu", 0, INT_LIMIT)
        link.group = <uint32_t> read_number(group, "group", 0, U32_LIMIT)
        link.queues = end.queues = <uint32_t> read_number(queues, "queues", 0, 4096)
        link.up = up
        return self.entered(start, encode_add_veth(&self.wire, &link, &end))

    def add_bridge(self, name, *, index=0, mac=None, mtu=0, group=0, up=False):
        """Make a bridge.

        Equivalent to: ``ip link add NAME index I address MAC mtu M group G up type bridge``
        """
        return self.add_link(name, b"bridge", index=index, mac=mac, mtu=mtu, group=group, up=up)

    def add_link(self, name, kind, *, index=0, mac=None, mtu=0, group=0, up=False):
        """Make a link of any kind that needs nothing but its kind.

        Equivalent to: ``ip link add NAME index I address MAC mtu M group G up type KIND``
        """
        cdef LinkSpec link
        cdef Span what
        cdef size_t start = self.wire.used
        memset(&link, 0, sizeof(link))
        self.ready()
        read_name(name, "name", &link.name)
        read_text(kind, "kind", 1, 63, &what)
        link.index = <int32_t> read_number(index, "index", 0, INT_LIMIT)
        link.namespace = -1
        link.mac = read_mac(mac, "mac")
        link.mtu = <uint32_t> read_number(mtu, "mtu", 0, INT_LIMIT)
        link.group = <uint32_t> read_number(group, "group", 0, U32_LIMIT)
        link.up = up
        return self.entered(start, encode_add_link(&self.wire, &link, what))

    def set_link(
        self, index=0, *, name=None, group=0, up=None, mtu=0, mac=None, master=-1, new_name=None, new_group=-1,
        alias=None, addr_gen_mode=-1, namespace=-1,
    ):
        """Change one link (by ``index`` or ``name``), or all links of a ``group`` in one message.

        Equivalent to: ``ip link set DEV|group G up|down mtu M address MAC master L|nomaster name NEW group NG
        alias TEXT addrgenmode MODE netns NS``

        The kernel brings a link up *before* it reads ``addr_gen_mode``: said in one message, the link-local address
        is made nevertheless. Where it must not be, send two messages: the mode, then ``up``.

        Parameters
        ----------
        index, name, group
            Exactly one of the three. Group 0, the group of every link that was never put in one, is refused.
        up : bool or None
            None = leave.
        master : int
            -1 = leave, 0 = release from its master, else the master's ifindex.
        new_name : str or bytes
            Needs ``index``: in a message the kernel reads one name only.
        new_group : int
            -1 = leave; needs ``index`` or ``name``.
        alias : str or bytes
            At most 255 bytes; empty = remove, None = leave.
        addr_gen_mode : int
            -1 = leave; enum in6_addr_gen_mode: 0 EUI-64, 1 none, 2 stable privacy, 3 random.
        namespace : int
            Where to move the link to. Slow: the device is unregistered and registered again.
        """
        cdef LinkChange change
        cdef size_t start = self.wire.used
        memset(&change, 0, sizeof(change))
        self.ready()
        self.select(index, name, group, &change.index, &change.name, &change.group)
        if group != 0 and (new_name is not None or new_group != -1 or mac is not None):
            raise ValueError("new_name, new_group and mac are for one link, not for a group")
        if new_name is not None:
            if not change.index:
                raise ValueError("new_name needs the link's index")
            read_name(new_name, "new_name", &change.new_name)
        if up is not None and up is not True and up is not False:
            raise TypeError(f"up must be True, False or None, not {type(up).__name__}")
        change.up = -1 if up is None else 1 if up else 0
        change.mtu = <uint32_t> read_number(mtu, "mtu", 0, INT_LIMIT)
        change.mac = read_mac(mac, "mac")
        change.master = <int32_t> read_number(master, "master", -1, INT_LIMIT)
        if new_group != -1:
            change.regroup = True
            change.new_group = <uint32_t> read_number(new_group, "new_group", 0, U32_LIMIT)
        if alias is not None:
            read_text(alias, "alias", 0, IFALIASZ - 1, &change.alias)
        change.addr_gen_mode = <int32_t> read_number(addr_gen_mode, "addr_gen_mode", -1, 255)
        change.namespace = <int32_t> read_number(namespace, "namespace", -1, INT_LIMIT)
        return self.entered(start, encode_set_link(&self.wire, &change))

    def delete_link(self, index=0, *, name=None, group=0):
        """Delete one link (by ``index`` or ``name``), or all links of a ``group`` in one message.

        Equivalent to: ``ip link delete DEV|group G``

        Exactly one of the three. Group 0 holds every link that was never put in one: refused. A veth's peer goes too.
        By group is the only bulk key: the kernel's grace periods are then paid once, not per link.
        """
        cdef int32_t number = 0
        cdef uint32_t of_group = 0
        cdef Span text
        cdef size_t start = self.wire.used
        memset(&text, 0, sizeof(text))
        self.ready()
        self.select(index, name, group, &number, &text, &of_group)
        return self.entered(start, encode_delete_link(&self.wire, number, text, of_group))

    def get_link(self, index=0, *, name=None):
        """Ask for one link: the answer is among the ``replies()`` of the batch's answers.

        Equivalent to: ``ip link show DEV``
        """
        cdef int32_t number = 0
        cdef uint32_t of_group = 0
        cdef Span text
        cdef size_t start = self.wire.used
        memset(&text, 0, sizeof(text))
        self.ready()
        self.select(index, name, 0, &number, &text, &of_group)
        return self.entered(start, encode_get_link(&self.wire, number, text))

    cdef int select(
        self, object index, object name, object group, int32_t* number, Span* text, uint32_t* of_group
    ) except -1:
        """Read the key of a link or of a group: exactly one of the three."""
        number[0] = <int32_t> read_number(index, "index", 0, INT_LIMIT)
        of_group[0] = <uint32_t> read_number(group, "group", 0, U32_LIMIT)
        if name is not None:
            read_name(name, "name", text)
        if (number[0] != 0) + (of_group[0] != 0) + (name is not None) != 1:
            raise ValueError("exactly one of index, name and group must be given (and not 0)")
        return 0

    # --------------------------------------------------------------------------------------------- addresses
    def add_address(self, index, address, prefix, *, nodad=True, replace=False):
        """Give a link an address.

        Equivalent to: ``ip address add|replace ADDRESS/PREFIX broadcast + dev INDEX nodad``

        An IPv4 address of a prefix shorter than 31 gets the subnet's last address as its broadcast address.
        ``nodad`` (no duplicate address detection: usable at once) is IPv6's alone and ignored for IPv4.
        """
        cdef AddressSpec spec
        cdef size_t start = self.wire.used
        self.address_spec(index, address, prefix, &spec)
        spec.nodad = nodad
        spec.replace = replace
        return self.entered(start, encode_add_address(&self.wire, &spec))

    def delete_address(self, index, address, prefix):
        """Take an address from a link.

        Equivalent to: ``ip address delete ADDRESS/PREFIX dev INDEX``
        """
        cdef AddressSpec spec
        cdef size_t start = self.wire.used
        self.address_spec(index, address, prefix, &spec)
        return self.entered(start, encode_delete_address(&self.wire, &spec))

    cdef int address_spec(self, object index, object address, object prefix, AddressSpec* spec) except -1:
        memset(spec, 0, sizeof(spec[0]))
        self.ready()
        spec.index = <int32_t> read_number(index, "index", 1, INT_LIMIT)
        read_address(address, "address", &spec.address)
        spec.prefix = <uint8_t> read_number(prefix, "prefix", 0, <int64_t> spec.address.size * 8)
        return 0

    # ------------------------------------------------------------------------------------------------ routes
    def add_route(
        self, destination=None, prefix=0, *, family=0, gateway=None, index=0, on_link=False, source=None,
        table=254, metric=0, blackhole=False, replace=False,
    ):
        """Add a route.

        Equivalent to: ``ip route add|replace [blackhole] DESTINATION/PREFIX|default via GATEWAY dev INDEX onlink
        src SOURCE table T metric M proto static``

        Parameters
        ----------
        destination : bytes or None
            None = the default route, whose family ``family`` or the gateway (or the source) tells.
        prefix : int
            Bits of the destination; the bits behind it must be 0 (the kernel refuses them).
        family : int
            AF_INET or AF_INET6; 0 = as the addresses say.
        on_link : bool
            The gateway is on the link though no prefix of ours covers it.
        source : bytes
            The preferred source address of packets that take this route.
        table : int
            1…4294967295; 254 is the main table.
        metric : int
            0 = the kernel's default; the lowest wins.
        blackhole : bool
            Drop what takes this route; then no gateway, index or on_link.
        """
        cdef RouteSpec spec
        cdef size_t start = self.wire.used
        self.route_spec(destination, prefix, family, gateway, index, source, table, metric, &spec)
        spec.on_link = on_link
        spec.blackhole = blackhole
        spec.replace = replace
        if spec.blackhole and (spec.gateway.data != NULL or spec.index or spec.on_link):
            raise ValueError("a blackhole route has no gateway, index or on_link")
        if not spec.blackhole and spec.gateway.data == NULL and not spec.index:
            raise ValueError("a route needs a gateway or an index")
        if spec.on_link and (spec.gateway.data == NULL or not spec.index):
            raise ValueError("on_link needs a gateway and an index")
        return self.entered(start, encode_add_route(&self.wire, &spec))

    def delete_route(self, destination=None, prefix=0, *, family=0, gateway=None, index=0, table=254, metric=0):
        """Delete a route.

        Equivalent to: ``ip route delete DESTINATION/PREFIX|default via GATEWAY dev INDEX table T metric M``

        What is not given matches any; the first route that matches goes.
        """
        cdef RouteSpec spec
        cdef size_t start = self.wire.used
        self.route_spec(destination, prefix, family, gateway, index, None, table, metric, &spec)
        return self.entered(start, encode_delete_route(&self.wire, &spec))

    cdef int route_spec(
        self, object destination, object prefix, object family, object gateway, object index, object source,
        object table, object metric, RouteSpec* spec,
    ) except -1:
        memset(spec, 0, sizeof(spec[0]))
        self.ready()
        spec.family = <uint8_t> read_number(family, "family", 0, FAMILY_IPV6)
        if spec.family not in (0, FAMILY_IPV4, FAMILY_IPV6):
            raise ValueError(f"family must be AF_INET, AF_INET6 or 0, not {family}")
        if destination is not None:
            read_address(destination, "destination", &spec.destination)
            self.same_family(spec, spec.destination.size, "destination")
        if gateway is not None:
            read_address(gateway, "gateway", &spec.gateway)
            self.same_family(spec, spec.gateway.size, "gateway")
        if source is not None:
            read_address(source, "source", &spec.source)
            self.same_family(spec, spec.source.size, "source")
        if not spec.family:
            raise ValueError("the default route needs family, gateway or source to tell its family")
        spec.prefix = <uint8_t> read_number(
            prefix, "prefix", 0, 0 if destination is None else <int> spec.destination.size * 8
        )
        spec.index = <int32_t> read_number(index, "index", 0, INT_LIMIT)
        spec.table = <uint32_t> read_number(table, "table", 1, U32_LIMIT)
        spec.metric = <uint32_t> read_number(metric, "metric", 0, U32_LIMIT)
        return 0

    cdef int same_family(self, RouteSpec* spec, size_t size, str what) except -1:
        """Let an address tell the family, or raise where something told another one."""
        cdef uint8_t told = <uint8_t> (FAMILY_IPV4 if size == 4 else FAMILY_IPV6)
        if spec.family and spec.family != told:
            raise ValueError(f"{what} is of another family than the rest of the route")
        spec.family = told
        return 0

    # -------------------------------------------------------------------------------------------- neighbours
    def add_neighbour(self, index, address, mac, *, permanent=True, replace=True):
        """Enter a neighbour's MAC.

        Equivalent to: ``ip neighbour add|replace ADDRESS lladdr MAC dev INDEX nud permanent|reachable``

        Permanent entries do not count towards the table's limit (``gc_thresh3``) and never age.
        """
        cdef NeighbourSpec spec
        cdef size_t start = self.wire.used
        memset(&spec, 0, sizeof(spec))
        self.ready()
        spec.index = <int32_t> read_number(index, "index", 1, INT_LIMIT)
        read_address(address, "address", &spec.address)
        spec.mac = read_mac(mac, "mac")
        if spec.mac == NULL:
            raise TypeError("mac must be bytes, not NoneType")
        spec.permanent = permanent
        spec.replace = replace
        return self.entered(start, encode_add_neighbour(&self.wire, &spec))

    def delete_neighbour(self, index, address):
        """Delete a neighbour's entry.

        Equivalent to: ``ip neighbour delete ADDRESS dev INDEX``
        """
        cdef NeighbourSpec spec
        cdef size_t start = self.wire.used
        memset(&spec, 0, sizeof(spec))
        self.ready()
        spec.index = <int32_t> read_number(index, "index", 1, INT_LIMIT)
        read_address(address, "address", &spec.address)
        return self.entered(start, encode_delete_neighbour(&self.wire, &spec))

"""The verbs of neighbours and of forwarding tables."""

import cython

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memset

from _fastnet.addressverbs cimport AddressVerbs
from _fastnet.args cimport INT_LIMIT, read_address, read_choice, read_mac, read_number
from _fastnet.rtnl cimport (
    NTF_EXT_LEARNED,
    NTF_MASTER,
    NTF_PROXY,
    NTF_ROUTER,
    NTF_SELF,
    NTF_STICKY,
    NUD_DELAY,
    NUD_FAILED,
    NUD_NOARP,
    NUD_PERMANENT,
    NUD_PROBE,
    NUD_REACHABLE,
    NUD_STALE,
    FdbSpec,
    NeighbourSpec,
    encode_add_fdb,
    encode_add_neighbour,
    encode_delete_fdb,
    encode_delete_neighbour,
)
from _fastnet.wire cimport NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST

_NEIGHBOUR_STATES = {
    "permanent": NUD_PERMANENT, "reachable": NUD_REACHABLE, "noarp": NUD_NOARP, "stale": NUD_STALE,
    "delay": NUD_DELAY, "probe": NUD_PROBE, "failed": NUD_FAILED,
}
_FDB_STATES = {"static": NUD_NOARP, "permanent": NUD_PERMANENT, "dynamic": NUD_REACHABLE}


@cython.auto_pickle(False)
cdef class NeighbourVerbs(AddressVerbs):
    """The verbs of neighbours and of forwarding tables: see :class:`_fastnet.batch.Batch`."""

    # -------------------------------------------------------------------------------------------- neighbours
    def add_neighbour(
        self, index, address, mac=None, *, state="permanent", proxy=False, router=False, extern_learn=False,
        replace=True,
    ):
        """Enter a neighbour's MAC, or an address that the link answers for.

        Equivalent to: ``ip neighbour add|replace ADDRESS lladdr MAC dev INDEX nud STATE router extern_learn``, and
        with ``proxy``: ``ip neighbour add proxy ADDRESS dev INDEX``

        Permanent entries do not count towards the table's limit (``gc_thresh3``) and never age.

        Parameters
        ----------
        mac : bytes or None
            None only with ``proxy``.
        state : str
            ``"permanent"``, ``"reachable"``, ``"noarp"``, ``"stale"``, ``"delay"``, ``"probe"`` or ``"failed"``.
        proxy : bool
            Answer for the address on this link; then no MAC, and no state.
        router : bool
            The neighbour is a router (IPv6).
        extern_learn : bool
            Learned by a control plane: it is not aged while it lives.
        """
        cdef NeighbourSpec spec
        cdef size_t start
        memset(&spec, 0, sizeof(spec))
        spec.index = <int32_t> read_number(index, "index", 1, INT_LIMIT)
        read_address(address, "address", &spec.address)
        spec.mac = read_mac(mac, "mac")
        if proxy:
            if spec.mac != NULL:
                raise ValueError("a proxy entry has no mac: the link answers with its own")
            spec.flags = NTF_PROXY
            spec.state = NUD_PERMANENT
        elif spec.mac == NULL:
            raise TypeError("mac must be bytes, not NoneType")
        else:
            spec.state = <uint16_t> read_choice(state, "state", _NEIGHBOUR_STATES)
        if router:
            spec.flags |= NTF_ROUTER
        if extern_learn:
            spec.flags |= NTF_EXT_LEARNED
        spec.replace = replace
        start = self.begin()
        return self.entered(start, encode_add_neighbour(&self.wire, &spec))

    def delete_neighbour(self, index, address, *, proxy=False):
        """Delete a neighbour's entry.

        Equivalent to: ``ip neighbour delete [proxy] ADDRESS dev INDEX``
        """
        cdef NeighbourSpec spec
        cdef size_t start
        memset(&spec, 0, sizeof(spec))
        spec.index = <int32_t> read_number(index, "index", 1, INT_LIMIT)
        read_address(address, "address", &spec.address)
        if proxy:
            spec.flags = NTF_PROXY
        start = self.begin()
        return self.entered(start, encode_delete_neighbour(&self.wire, &spec))

    # ------------------------------------------------------------------------------------- forwarding tables
    def add_fdb(
        self, index, mac, *, master=True, state=None, vlan=0, dst=None, port=0, vni=-1, via=0, sticky=False,
        extern_learn=False, replace=False, append=False,
    ):
        """Enter where frames to a MAC go: by a bridge's port, or to the other end of a VXLAN.

        Equivalent to: ``bridge fdb add|replace|append MAC dev INDEX master|self static|permanent|dynamic vlan V
        dst DST port P vni VNI via L sticky extern_learn``

        Parameters
        ----------
        index : int
            Of the bridge's port (``master=True``: the entry goes into its bridge's table), or of the VXLAN itself
            (``master=False``).
        state : str or None
            ``"static"``: not aged; ``"permanent"``: on a bridge the host's own address, on a VXLAN not aged;
            ``"dynamic"``: aged. None = static of a bridge, permanent of a VXLAN.
        vlan : int
            1…4094; 0 = none.
        dst : bytes or None
            The other end of the VXLAN, 4 or 16 bytes. A MAC of zeros is the default entry: what no other entry
            fits is sent to each of its ends.
        port, vni, via : int
            The other end's UDP port, VNI and device; 0, -1 and 0 = the VXLAN's own.
        replace, append : bool
            Put in the place of one that exists; one more end for the MAC (VXLAN only).
        """
        cdef FdbSpec spec
        cdef size_t start
        self.fdb_spec(index, mac, master, dst, vlan, vni, port, via, &spec)
        if state is None:
            spec.state = <uint16_t> (NUD_NOARP if master else NUD_PERMANENT)
        else:
            spec.state = <uint16_t> read_choice(state, "state", _FDB_STATES)
        if sticky:
            spec.flags |= NTF_STICKY
        if extern_learn:
            spec.flags |= NTF_EXT_LEARNED
        if replace and append:
            raise ValueError("replace and append exclude each other")
        spec.creation = <uint16_t> (
            NLM_F_REQUEST | NLM_F_CREATE | (NLM_F_REPLACE if replace else NLM_F_APPEND if append else NLM_F_EXCL)
        )
        start = self.begin()
        return self.entered(start, encode_add_fdb(&self.wire, &spec))

    def delete_fdb(self, index, mac, *, master=True, vlan=0, dst=None, port=0, vni=-1, via=0):
        """Delete an entry of a forwarding table; each argument as of ``add_fdb``.

        Equivalent to: ``bridge fdb delete MAC dev INDEX master|self vlan V dst DST port P vni VNI via L``
        """
        cdef FdbSpec spec
        cdef size_t start
        self.fdb_spec(index, mac, master, dst, vlan, vni, port, via, &spec)
        start = self.begin()
        return self.entered(start, encode_delete_fdb(&self.wire, &spec))

    cdef int fdb_spec(
        self, object index, object mac, object master, object dst, object vlan, object vni, object port, object via,
        FdbSpec* spec,
    ) except -1:
        memset(spec, 0, sizeof(spec[0]))
        spec.index = <int32_t> read_number(index, "index", 1, INT_LIMIT)
        spec.mac = read_mac(mac, "mac")
        if spec.mac == NULL:
            raise TypeError("mac must be bytes, not NoneType")
        spec.flags = <uint8_t> (NTF_MASTER if master else NTF_SELF)
        spec.vlan = <uint16_t> read_number(vlan, "vlan", 0, 4094)
        spec.port = <uint16_t> read_number(port, "port", 0, 0xFFFF)
        spec.vni = read_number(vni, "vni", -1, 0xFFFFFF)
        spec.via = <uint32_t> read_number(via, "via", 0, INT_LIMIT)
        if dst is not None:
            read_address(dst, "dst", &spec.remote)
        if master and (dst is not None or spec.port or spec.vni >= 0 or spec.via):
            raise ValueError("dst, port, vni and via are a VXLAN's: they need master=False")
        return 0

"""Golden messages of links by kind, bridge ports, IPv4 switches, address and route options, neighbours, FDB, rules.

As in ``test_golden``: what each verb writes is decoded by pyroute2 to the same meaning.
"""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from _fastnet.batch import Batch
from tests.golden.decode import attributes, decoded, head

REPLACE, EXCL, CREATE, APPEND = 0x100, 0x200, 0x400, 0x800
NEWLINK, SETLINK, NEWADDR, DELADDR, NEWROUTE, DELROUTE = 16, 19, 20, 21, 24, 25
NEWNEIGH, DELNEIGH, NEWRULE, DELRULE = 28, 29, 32, 33
V4, V6, MAC = b"\x0a\1\0\1", b"\xfd" + bytes(14) + b"\1", b"\2\0\0\0\0\1"
M = "02:00:00:00:00:01"

indexes = st.integers(1, 2**31 - 1)
bits = st.booleans()
ipv4s = st.binary(min_size=4, max_size=4)
ipv6s = st.binary(min_size=16, max_size=16)
u16 = st.integers(0, 2**16 - 1)
u31 = st.integers(0, 2**31 - 1)
u32 = st.integers(0, 2**32 - 1)


def one(kind: type[Any], verb: str, *args: Any, **kwargs: Any) -> Any:
    batch = Batch()
    assert getattr(batch, verb)(*args, **kwargs) == 0
    return decoded(batch, 0, kind)


def link_info(message: Any) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """Give the attributes of a link, its kind, and what is said to that kind."""
    own = attributes(message)
    info = attributes(own.pop("IFLA_LINKINFO"))
    kind = info.pop("IFLA_INFO_KIND")
    data = attributes(info.pop("IFLA_INFO_DATA")) if "IFLA_INFO_DATA" in info else {}
    assert not info
    return own, kind, data


def packed(family: int, text: str) -> bytes:
    return socket.inet_pton(family, text)


# --------------------------------------------------------------------------------------------- links by kind
VXLAN = {
    "ttl": (st.integers(0, 255), "IFLA_VXLAN_TTL"),
    "tos": (st.integers(0, 255), "IFLA_VXLAN_TOS"),
    "learning": (bits, "IFLA_VXLAN_LEARNING"),
    "ageing": (u32, "IFLA_VXLAN_AGEING"),
    "limit": (u32, "IFLA_VXLAN_LIMIT"),
    "proxy": (bits, "IFLA_VXLAN_PROXY"),
    "rsc": (bits, "IFLA_VXLAN_RSC"),
    "l2miss": (bits, "IFLA_VXLAN_L2MISS"),
    "l3miss": (bits, "IFLA_VXLAN_L3MISS"),
    "udp_csum": (bits, "IFLA_VXLAN_UDP_CSUM"),
}

BRIDGE = {
    "forward_delay": (u31, "IFLA_BR_FORWARD_DELAY"),
    "hello_time": (u31, "IFLA_BR_HELLO_TIME"),
    "max_age": (u31, "IFLA_BR_MAX_AGE"),
    "ageing_time": (u31, "IFLA_BR_AGEING_TIME"),
    "stp": (bits, "IFLA_BR_STP_STATE"),
    "priority": (u16, "IFLA_BR_PRIORITY"),
    "vlan_filtering": (bits, "IFLA_BR_VLAN_FILTERING"),
    "vlan_default_pvid": (st.integers(0, 4094), "IFLA_BR_VLAN_DEFAULT_PVID"),
    "group_fwd_mask": (u16, "IFLA_BR_GROUP_FWD_MASK"),
    "mcast_snooping": (bits, "IFLA_BR_MCAST_SNOOPING"),
    "mcast_querier": (bits, "IFLA_BR_MCAST_QUERIER"),
    "nf_call_iptables": (bits, "IFLA_BR_NF_CALL_IPTABLES"),
    "nf_call_ip6tables": (bits, "IFLA_BR_NF_CALL_IP6TABLES"),
    "nf_call_arptables": (bits, "IFLA_BR_NF_CALL_ARPTABLES"),
}

PORT = {
    "isolated": (bits, "IFLA_BRPORT_ISOLATED"),
    "hairpin": (bits, "IFLA_BRPORT_MODE"),
    "learning": (bits, "IFLA_BRPORT_LEARNING"),
    "flood": (bits, "IFLA_BRPORT_UNICAST_FLOOD"),
    "mcast_flood": (bits, "IFLA_BRPORT_MCAST_FLOOD"),
    "bcast_flood": (bits, "IFLA_BRPORT_BCAST_FLOOD"),
    "mcast_to_unicast": (bits, "IFLA_BRPORT_MCAST_TO_UCAST"),
    "fast_leave": (bits, "IFLA_BRPORT_FAST_LEAVE"),
    "proxy_arp": (bits, "IFLA_BRPORT_PROXYARP"),
    "neigh_suppress": (bits, "IFLA_BRPORT_NEIGH_SUPPRESS"),
    "guard": (bits, "IFLA_BRPORT_GUARD"),
    "root_block": (bits, "IFLA_BRPORT_PROTECT"),
    "state": (st.integers(0, 4), "IFLA_BRPORT_STATE"),
    "cost": (st.integers(1, 2**16 - 1), "IFLA_BRPORT_COST"),
    "priority": (st.integers(0, 63), "IFLA_BRPORT_PRIORITY"),
    "group_fwd_mask": (u16, "IFLA_BRPORT_GROUP_FWD_MASK"),
}

Table = dict[str, tuple[Any, str]]


def some_of(table: Table) -> Any:
    return st.fixed_dictionaries({}, optional={key: values for key, (values, _) in table.items()})


def named(table: Table, options: dict[str, Any]) -> dict[str, int]:
    return {table[key][1]: int(value) for key, value in options.items()}


@given(
    vni=st.integers(0, 2**24 - 1),
    ends=st.tuples(ipv4s | st.none(), ipv4s | st.none()) | st.tuples(ipv6s | st.none(), ipv6s | st.none()),
    port=st.integers(1, 65535),
    link=u31,
    options=some_of(VXLAN),
)
def test_vxlan(
    vni: int, ends: tuple[bytes | None, bytes | None], port: int, link: int, options: dict[str, Any]
) -> None:
    local, remote = ends
    message = one(ifinfmsg, "add_vxlan", "vx", vni, local=local, remote=remote, port=port, link=link, **options)
    assert head(message) == (NEWLINK, CREATE | EXCL)
    own, kind, data = link_info(message)
    assert (own, kind) == ({"IFLA_IFNAME": "vx"}, "vxlan")
    for name, address in ("IFLA_VXLAN_LOCAL", local), ("IFLA_VXLAN_GROUP", remote):
        if address is not None:
            six = len(address) == 16
            found = data.pop(name + "6" if six else name)
            assert packed(socket.AF_INET6 if six else socket.AF_INET, found) == address
    wanted = {"IFLA_VXLAN_ID": vni, "IFLA_VXLAN_PORT": port, **named(VXLAN, options)}
    assert data == (wanted | {"IFLA_VXLAN_LINK": link} if link else wanted)


def test_vxlan_whose_ends_others_tell() -> None:
    _, kind, data = link_info(one(ifinfmsg, "add_vxlan", "vx", 0, external=True))
    assert kind == "vxlan"
    assert data == {"IFLA_VXLAN_COLLECT_METADATA": 1, "IFLA_VXLAN_LEARNING": 0, "IFLA_VXLAN_PORT": 4789}


@given(parent=indexes, mode=st.sampled_from(["private", "vepa", "bridge", "passthru", "source"]))
def test_macvlan(parent: int, mode: str) -> None:
    message = one(ifinfmsg, "add_macvlan", "m", parent, mode=mode, mac=MAC)
    assert head(message) == (NEWLINK, CREATE | EXCL)
    assert link_info(message) == (
        {"IFLA_IFNAME": "m", "IFLA_ADDRESS": M, "IFLA_LINK": parent},
        "macvlan",
        {"IFLA_MACVLAN_MODE": mode},
    )


@pytest.mark.parametrize(("flags", "number"), [("bridge", 0), ("private", 1), ("vepa", 2)])
@pytest.mark.parametrize(("mode", "mode_number"), [("l2", 0), ("l3", 1), ("l3s", 2)])
def test_ipvlan(mode: str, mode_number: int, flags: str, number: int) -> None:
    batch = Batch()
    batch.add_ipvlan("i", 9, mode=mode, flags=flags)
    own = attributes(decoded(batch, 0, ifinfmsg))
    assert (own["IFLA_IFNAME"], own["IFLA_LINK"]) == ("i", 9)
    info = attributes(own["IFLA_LINKINFO"])
    assert info["IFLA_INFO_KIND"] == "ipvlan"
    assert tuple(info["IFLA_INFO_DATA"]["attrs"][0]) == ("IFLA_IPVLAN_MODE", mode_number)
    # pyroute2 knows no IFLA_IPVLAN_FLAGS: the last attribute, a u16 of type 2.
    assert batch.message(0)[-8:] == struct.pack("=HHHxx", 6, 2, number)


@given(parent=indexes, vid=st.integers(0, 4094), protocol=st.sampled_from([("802.1q", 0x8100), ("802.1ad", 0x88A8)]))
def test_vlan(parent: int, vid: int, protocol: tuple[str, int]) -> None:
    message = one(ifinfmsg, "add_vlan", "v", parent, vid, protocol=protocol[0])
    assert link_info(message) == (
        {"IFLA_IFNAME": "v", "IFLA_LINK": parent},
        "vlan",
        {"IFLA_VLAN_ID": vid, "IFLA_VLAN_PROTOCOL": protocol[1]},
    )


@pytest.mark.parametrize("kind", ["dummy", "ifb"])
def test_kinds_without_options(kind: str) -> None:
    message = one(
        ifinfmsg, f"add_{kind}", "d0", index=7, mac=MAC, mtu=1400, master=3, group=5, up=True, queues=2, namespace=6
    )
    assert (head(message), message["index"], message["flags"]) == ((NEWLINK, CREATE | EXCL), 7, 1)
    assert link_info(message) == (
        {
            "IFLA_IFNAME": "d0",
            "IFLA_ADDRESS": M,
            "IFLA_MTU": 1400,
            "IFLA_MASTER": 3,
            "IFLA_GROUP": 5,
            "IFLA_NUM_TX_QUEUES": 2,
            "IFLA_NUM_RX_QUEUES": 2,
            "IFLA_NET_NS_FD": 6,
        },
        kind,
        {},
    )


@given(options=some_of(BRIDGE))
def test_bridge_options(options: dict[str, Any]) -> None:
    made = one(ifinfmsg, "add_bridge", "b", **options)
    assert head(made) == (NEWLINK, CREATE | EXCL)
    assert link_info(made) == ({"IFLA_IFNAME": "b"}, "bridge", named(BRIDGE, options))
    if options:
        changed = one(ifinfmsg, "set_bridge", 5, **options)
        assert (head(changed), changed["index"]) == ((NEWLINK, 0), 5)
        assert link_info(changed) == ({}, "bridge", named(BRIDGE, options))


@given(options=some_of(PORT).filter(bool), index=indexes)
def test_bridge_ports(options: dict[str, Any], index: int) -> None:
    by_index = one(ifinfmsg, "set_bridge_port", index, **options)
    assert (head(by_index), by_index["family"], by_index["index"]) == ((SETLINK, 0), 7, index)
    (cell,) = by_index["attrs"]
    assert cell[0] == "IFLA_PROTINFO"
    assert attributes(cell[1]) == named(PORT, options)
    by_name = one(ifinfmsg, "set_bridge_port", name="a0", **options)
    assert (head(by_name), by_name["family"], by_name["index"]) == ((NEWLINK, 0), 0, 0)
    own = attributes(by_name)
    info = attributes(own.pop("IFLA_LINKINFO"))
    assert own == {"IFLA_IFNAME": "a0"}
    assert info.pop("IFLA_INFO_SLAVE_KIND") == "bridge"
    assert attributes(info.pop("IFLA_INFO_SLAVE_DATA")) == named(PORT, options)
    assert not info


# ------------------------------------------------------------------------------------------ IPv4 switches
# Their names in pyroute2, whose structure of them is in the order of the kernel's numbers, from 1 on.
SWITCHES = {"arp_filter": "arpfilter", "src_valid_mark": "src_vmark"}
NEWER = {"drop_gratuitous_arp": 31, "bc_forwarding": 32}


def switch_numbers() -> dict[str, int]:
    fields = [name for name, *_ in ifinfmsg.af_spec_inet.inet.fields]
    assert fields[0] == "dummy"
    return {name: number for number, name in enumerate(fields) if number}


def test_link_ipv4_switches() -> None:
    known = switch_numbers()
    verbs = [
        *("forwarding", "proxy_arp", "proxy_arp_pvlan", "arp_notify", "arp_ignore", "arp_announce", "arp_accept"),
        *("arp_filter", "accept_local", "route_localnet", "rp_filter", "accept_redirects", "send_redirects"),
        *("accept_source_route", "promote_secondaries", "src_valid_mark", "log_martians", *NEWER),
    ]
    for verb in verbs:
        for value in 0, 1:
            batch = Batch()
            batch.set_link_ipv4(5, **{verb: value})
            message = decoded(batch, 0, ifinfmsg)
            assert (head(message), message["index"]) == ((SETLINK, 0), 5)
            number = NEWER.get(verb) or known[SWITCHES.get(verb, verb)]
            # IFLA_AF_SPEC { AF_INET { IFLA_INET_CONF { number: u32 } } }
            conf = struct.pack("=HHI", 8, number, value)
            assert batch.message(0)[32:] == struct.pack("=6H", 20, 26, 16, socket.AF_INET, 12, 1) + conf


# ---------------------------------------------------------------------------------------------- addresses
FLAGS = {"nodad": 0x02, "optimistic": 0x04, "home": 0x10, "mngtmpaddr": 0x100, "noprefixroute": 0x200}


@given(
    address=ipv6s,
    peer=ipv6s | st.none(),
    flags=st.fixed_dictionaries(dict.fromkeys(FLAGS, bits)),
    valid=st.integers(1, 2**32 - 1) | st.none(),
    share=st.integers(0, 100) | st.none(),
    metric=u32,
    scope=st.sampled_from([("global", 0), ("link", 253), ("host", 254)]),
)
def test_ipv6_address_options(
    address: bytes,
    peer: bytes | None,
    flags: dict[str, bool],
    valid: int | None,
    share: int | None,
    metric: int,
    scope: tuple[str, int],
) -> None:
    whole = 2**32 - 1 if valid is None else valid
    preferred = None if share is None else whole * share // 100
    message = one(
        ifaddrmsg,
        *("add_address", 4, address, 64),
        peer=peer,
        valid=valid,
        preferred=preferred,
        metric=metric,
        scope=scope[0],
        **flags,
    )
    assert head(message) == (NEWADDR, CREATE | EXCL)
    assert (message["family"], message["prefixlen"], message["index"]) == (socket.AF_INET6, 64, 4)
    assert message["scope"] == scope[1]
    own = attributes(message)
    assert packed(socket.AF_INET6, own.pop("IFA_ADDRESS")) == (peer or address)
    if peer:
        assert packed(socket.AF_INET6, own.pop("IFA_LOCAL")) == address
    wanted: dict[str, Any] = {}
    if any(flags.values()):
        wanted["IFA_FLAGS"] = sum(FLAGS[name] for name, on in flags.items() if on)
    if metric:
        wanted["IFA_RT_PRIORITY"] = metric
    if valid is not None or preferred is not None:
        lives = own.pop("IFA_CACHEINFO")
        assert lives["ifa_valid"] == whole
        assert lives["ifa_preferred"] == (whole if preferred is None else preferred)
    assert own == wanted


@given(address=ipv4s, peer=ipv4s, prefix=st.integers(0, 32))
def test_ipv4_peer_and_label(address: bytes, peer: bytes, prefix: int) -> None:
    message = one(ifaddrmsg, "add_address", 4, address, prefix, peer=peer, label="c0:x", replace=True)
    assert head(message) == (NEWADDR, CREATE | REPLACE)
    # The prefix is the peer's; there is no broadcast address.
    assert attributes(message) == {
        "IFA_LOCAL": str(ip_address(address)),
        "IFA_ADDRESS": str(ip_address(peer)),
        "IFA_LABEL": "c0:x",
    }
    gone = one(ifaddrmsg, "delete_address", 4, address, prefix, peer=peer)
    assert head(gone) == (DELADDR, 0)
    assert attributes(gone) == {"IFA_LOCAL": str(ip_address(address)), "IFA_ADDRESS": str(ip_address(peer))}


# ------------------------------------------------------------------------------------------------- routes
TYPES = {"unicast": 1, "local": 2, "blackhole": 6, "unreachable": 7, "prohibit": 8, "throw": 9}


@pytest.mark.parametrize("kind", sorted(TYPES))
@pytest.mark.parametrize("scope", [("global", 0), ("link", 253), ("host", 254), None])
@pytest.mark.parametrize("table", [None, 1, 255, 256, 2**32 - 1])
@pytest.mark.parametrize("destination", [V4, V6])
def test_route_types_scopes_and_tables(
    kind: str, scope: tuple[str, int] | None, table: int | None, destination: bytes
) -> None:
    drops = kind not in ("unicast", "local")
    prefix = 8 * len(destination)
    message = one(
        rtmsg,
        *("add_route", destination, prefix),
        index=0 if drops else 4,
        type=kind,
        scope=scope and scope[0],
        table=table,
        metric=9,
        protocol=99,
        mtu=1300,
    )
    assert head(message) == (NEWROUTE, CREATE | EXCL)
    assert (message["type"], message["proto"], message["dst_len"]) == (TYPES[kind], 99, prefix)
    four = len(destination) == 4
    usual = {"local": 254, "unicast": 253}.get(kind, 0) if four else 0
    assert message["scope"] == (scope[1] if scope else usual)
    number = table or (255 if kind == "local" else 254)
    own = attributes(message)
    assert (message["table"], own.pop("RTA_TABLE", number)) == (number if number < 256 else 0, number)
    assert attributes(own.pop("RTA_METRICS")) == {"RTAX_MTU": 1300}
    assert own == {"RTA_DST": str(ip_address(destination)), "RTA_PRIORITY": 9} | ({} if drops else {"RTA_OIF": 4})


@given(gateway=ipv6s, destination=ipv4s)
def test_ipv4_route_by_an_ipv6_gateway(gateway: bytes, destination: bytes) -> None:
    message = one(rtmsg, "add_route", destination, 32, gateway=gateway, index=4)
    own = attributes(message)
    via = own.pop("RTA_VIA")
    assert (message["family"], message["scope"], via["family"]) == (socket.AF_INET, 0, socket.AF_INET6)
    assert packed(socket.AF_INET6, via["addr"]) == gateway
    assert own == {"RTA_DST": str(ip_address(destination)), "RTA_OIF": 4}


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_delete_route_of_a_type(kind: str) -> None:
    message = one(rtmsg, "delete_route", V4, 32, type=kind, protocol=99)
    assert (head(message), message["type"], message["proto"], message["scope"]) == ((DELROUTE, 0), TYPES[kind], 99, 255)
    assert message["table"] == (255 if kind == "local" else 254)


# --------------------------------------------------------------------------------------------- neighbours
STATES = {"reachable": 2, "stale": 4, "delay": 8, "probe": 16, "failed": 32, "noarp": 64, "permanent": 128}


@pytest.mark.parametrize("state", sorted(STATES))
@pytest.mark.parametrize("address", [V4, V6])
@pytest.mark.parametrize(("router", "learnt"), [(False, False), (True, False), (False, True), (True, True)])
def test_neighbour_states_and_flags(state: str, address: bytes, router: bool, learnt: bool) -> None:
    message = one(ndmsg, "add_neighbour", 4, address, MAC, state=state, router=router, extern_learn=learnt)
    assert (head(message), message["ifindex"], message["state"]) == ((NEWNEIGH, CREATE | REPLACE), 4, STATES[state])
    assert message["flags"] == (0x80 if router else 0) | (0x10 if learnt else 0)
    assert attributes(message) == {"NDA_DST": str(ip_address(address)), "NDA_LLADDR": M}


@pytest.mark.parametrize("address", [V4, V6])
def test_proxied_neighbours(address: bytes) -> None:
    made = one(ndmsg, "add_neighbour", 4, address, proxy=True, replace=False)
    gone = one(ndmsg, "delete_neighbour", 4, address, proxy=True)
    assert (head(made), made["flags"]) == ((NEWNEIGH, CREATE | EXCL), 8)
    assert (head(gone), gone["flags"]) == ((DELNEIGH, 0), 8)
    assert attributes(made) == attributes(gone) == {"NDA_DST": str(ip_address(address))}


@given(index=indexes, vlan=st.integers(0, 4094), sticky=bits, learnt=bits, replace=bits)
@pytest.mark.parametrize("state", [("static", 64), ("permanent", 128), ("dynamic", 2), (None, 64)])
def test_fdb_of_a_bridge(
    state: tuple[str | None, int], index: int, vlan: int, sticky: bool, learnt: bool, replace: bool
) -> None:
    message = one(
        ndmsg,
        *("add_fdb", index, MAC),
        state=state[0],
        vlan=vlan,
        sticky=sticky,
        extern_learn=learnt,
        replace=replace,
    )
    assert head(message) == (NEWNEIGH, CREATE | (REPLACE if replace else EXCL))
    assert (message["family"], message["ifindex"], message["state"]) == (7, index, state[1])
    assert message["flags"] == 4 | (0x40 if sticky else 0) | (0x10 if learnt else 0)
    wanted = {"NDA_LLADDR": M} | ({"NDA_VLAN": vlan} if vlan else {})
    assert attributes(message) == wanted
    gone = one(ndmsg, "delete_fdb", index, MAC, vlan=vlan)
    assert (head(gone), gone["family"], gone["ifindex"], gone["flags"]) == ((DELNEIGH, 0), 7, index, 4)
    assert attributes(gone) == wanted


@given(end=ipv4s | ipv6s, port=st.integers(0, 65535), vni=st.integers(-1, 2**24 - 1), via=st.integers(0, 2**31 - 1))
def test_fdb_of_a_vxlan(end: bytes, port: int, vni: int, via: int) -> None:
    message = one(ndmsg, "add_fdb", 9, MAC, master=False, dst=end, port=port, vni=vni, via=via, append=True)
    assert (head(message), message["state"], message["flags"]) == ((NEWNEIGH, CREATE | APPEND), 128, 2)
    gone = one(ndmsg, "delete_fdb", 9, MAC, master=False, dst=end, port=port, vni=vni, via=via)
    assert (head(gone), gone["flags"]) == ((DELNEIGH, 0), 2)
    wanted: dict[str, Any] = {"NDA_LLADDR": M}
    if port:
        wanted["NDA_PORT"] = port
    if vni >= 0:
        wanted["NDA_VNI"] = vni
    if via:
        wanted["NDA_IFINDEX"] = via
    for each in message, gone:
        own = attributes(each)
        assert packed(socket.AF_INET if len(end) == 4 else socket.AF_INET6, own.pop("NDA_DST")) == end
        assert own == wanted


# -------------------------------------------------------------------------------------------------- rules
ACTIONS = {"table": 1, "blackhole": 6, "unreachable": 7, "prohibit": 8}


@given(
    pair=st.tuples(ipv4s, ipv4s) | st.tuples(ipv6s, ipv6s),
    prefix=st.integers(0, 32),
    mark=u32,
    mask=u32 | st.none(),
    table=st.integers(1, 2**32 - 1),
    priority=u32 | st.none(),
    action=st.sampled_from(sorted(ACTIONS)),
    invert=bits,
    suppress=st.integers(0, 128) | st.none(),
    names=st.booleans(),
)
def test_rules(
    pair: tuple[bytes, bytes],
    prefix: int,
    mark: int,
    mask: int | None,
    table: int,
    priority: int | None,
    action: str,
    invert: bool,
    suppress: int | None,
    names: bool,
) -> None:
    arguments: dict[str, Any] = {
        "source": pair[0],
        "source_prefix": prefix,
        "destination": pair[1],
        "mark": mark,
        "mask": mask,
        "table": table,
        "priority": priority,
        "action": action,
        "invert": invert,
        "suppress_prefix": suppress,
        "iif": "a0" if names else None,
        "oif": "b0" if names else None,
    }
    family = socket.AF_INET if len(pair[0]) == 4 else socket.AF_INET6
    for verb, kind, flags in ("add_rule", NEWRULE, CREATE | EXCL), ("delete_rule", DELRULE, 0):
        message = one(fibmsg, verb, **arguments)
        assert head(message) == (kind, flags)
        assert (message["family"], message["action"], message["flags"]) == (family, ACTIONS[action], 2 * invert)
        assert (message["src_len"], message["dst_len"]) == (prefix, 8 * len(pair[1]))
        own = attributes(message)
        assert packed(family, own.pop("FRA_SRC")) == pair[0]
        assert packed(family, own.pop("FRA_DST")) == pair[1]
        wanted: dict[str, Any] = {"FRA_FWMARK": mark}
        if mask is not None:
            wanted["FRA_FWMASK"] = mask
        if priority is not None:
            wanted["FRA_PRIORITY"] = priority
        if suppress is not None:
            wanted["FRA_SUPPRESS_PREFIXLEN"] = suppress
        if names:
            wanted |= {"FRA_IIFNAME": "a0", "FRA_OIFNAME": "b0"}
        if action == "table":
            assert (message["table"], own.pop("FRA_TABLE", table)) == (table if table < 256 else 0, table)
        else:
            own.pop("FRA_TABLE", None)
        assert own == wanted

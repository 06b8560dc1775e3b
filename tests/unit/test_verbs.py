"""Each verb of a batch: what it says of itself, and what it refuses."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from _fastnet.batch import Batch

V4, V6, MAC = b"\x0a\0\0\1", b"\xfd" + bytes(14) + b"\1", b"\2\0\0\0\0\1"

Call = tuple[str, tuple[Any, ...], dict[str, Any]]


def call(verb: str, *args: Any, **kwargs: Any) -> Call:
    return verb, args, kwargs


# What is called, the operation, and what the line says after it.
WORDS: list[tuple[Call, str, str]] = [
    (
        call("add_bridge", "br0", forward_delay=300, stp=False, mcast_snooping=False, vlan_default_pvid=0),
        "add bridge br0",
        " forward_delay 300 stp_state 0 mcast_snooping 0 vlan_default_pvid 0",
    ),
    (call("set_bridge", 5, ageing_time=100), "set link 5", " ageing_time 100"),
    (
        call("add_vxlan", "vx0", 77, local=V4, remote=b"\xef\1\1\1", link=4, ttl=9, learning=False),
        "add vxlan vx0",
        " id 77 remote 239.1.1.1 local 10.0.0.1 dev 4 ttl 9 learning off dstport 4789",
    ),
    (call("add_macvlan", "mv0", 4, mode="private", namespace=7), "add macvlan mv0", " netns fd 7 link 4 mode 1"),
    (call("add_ipvlan", "iv0", 4, mode="l3", flags="vepa"), "add ipvlan iv0", " link 4 mode 1 flags 2"),
    (call("add_vlan", "vl0", 4, 100, protocol="802.1ad"), "add vlan vl0", " link 4 id 100 protocol 0x88a8"),
    (call("add_dummy", "d0", up=True), "add dummy d0", " up"),
    (call("add_ifb", "i0", queues=2), "add ifb i0", " queues 2"),
    (
        call("set_bridge_port", 4, isolated=True, proxy_arp=False, cost=9),
        "set bridge port 4",
        " cost 9 proxy_arp off isolated on",
    ),
    (call("set_bridge_port", name="a0", hairpin=True), "set bridge port a0", " hairpin on"),
    (call("set_link_ipv4", 4, forwarding=1, rp_filter=2), "set link 4", " forwarding 1 rp_filter 2"),
    (call("set_link_ipv4", group=9, proxy_arp=1), "set links of group 9", " proxy_arp 1"),
    (
        call("add_address", 4, V4, 32, peer=b"\x0a\0\0\2", scope="link", label="x", metric=7, noprefixroute=True),
        "add address 10.0.0.1/32 on link 4",
        " peer 10.0.0.2 scope link label x metric 7 noprefixroute",
    ),
    (
        call("add_address", 4, V6, 64, valid=100, preferred=50, home=True, replace=True),
        "replace address fd00::1/64 on link 4",
        " valid_lft 100 preferred_lft 50 nodad home",
    ),
    (call("add_route", V4, 32, type="local", index=1), "add local route 10.0.0.1/32 on link 1", " table 255"),
    (
        call("add_route", b"\x0a\0\0\0", 8, gateway=V6, index=4, mtu=1300, protocol=99),
        "add route 10.0.0.0/8 via fd00::1 on link 4",
        " mtu 1300 proto 99 table 254",
    ),
    (call("add_route", V6, 128, type="prohibit", table=1000), "add prohibit route fd00::1/128", " table 1000"),
    (call("add_neighbour", 4, V4, proxy=True), "replace proxy 10.0.0.1 on link 4", ""),
    (
        call("add_neighbour", 4, V6, MAC, state="stale", router=True, extern_learn=True),
        "replace neighbour fd00::1 on link 4",
        " lladdr 02:00:00:00:00:01 stale router extern_learn",
    ),
    (call("delete_neighbour", 4, V4, proxy=True), "delete proxy 10.0.0.1 on link 4", ""),
    (
        call("add_fdb", 4, MAC, vlan=3, sticky=True),
        "add fdb 02:00:00:00:00:01 on link 4",
        " master static vlan 3 sticky",
    ),
    (
        call("add_fdb", 9, bytes(6), master=False, dst=V4, port=9999, vni=8, via=3, append=True),
        "append fdb 00:00:00:00:00:00 on link 9",
        " self permanent dst 10.0.0.1 port 9999 vni 8 via 3",
    ),
    (call("delete_fdb", 4, MAC), "delete fdb 02:00:00:00:00:01 on link 4", " master"),
    (
        call("add_rule", source=V4, source_prefix=24, iif="lo", mark=1, mask=3, table=1000, priority=50),
        "add rule 50 (IPv4)",
        " from 10.0.0.1/24 iif lo fwmark 1 mask 3 table 1000",
    ),
    (
        call(
            "add_rule",
            family=socket.AF_INET6,
            destination=V6,
            oif="x",
            action="unreachable",
            invert=True,
            suppress_prefix=0,
        ),
        "add rule (IPv6)",
        " not to fd00::1/128 oif x suppress_prefixlength 0 unreachable",
    ),
    (call("delete_rule", priority=50), "delete rule 50 (IPv4)", ""),
]


@pytest.mark.parametrize(("called", "operation", "rest"), WORDS, ids=lambda value: str(value[0]) if value else "")
def test_words(called: Call, operation: str, rest: str) -> None:
    verb, args, kwargs = called
    batch = Batch()
    assert getattr(batch, verb)(*args, **kwargs) == 0
    assert batch.operation(0) == operation
    assert batch.describe() == f"0: {operation}{rest}"


REFUSED: list[tuple[Call, type[Exception], str]] = [
    (call("add_bridge", "b", stp=1), TypeError, "stp"),
    (call("add_bridge", "b", mcast_snooping=0), TypeError, "mcast_snooping"),
    (call("add_bridge", "b", forward_delay=-1), ValueError, "forward_delay"),
    (call("add_bridge", "b", priority=65536), ValueError, "priority"),
    (call("add_bridge", "b", vlan_default_pvid=4095), ValueError, "vlan_default_pvid"),
    (call("set_bridge", 5), ValueError, "at least one option"),
    (call("set_bridge", 0, stp=True), ValueError, "exactly one"),
    (call("add_vxlan", "v", 2**24), ValueError, "vni"),
    (call("add_vxlan", "v", -1), ValueError, "vni"),
    (call("add_vxlan", "v", None), TypeError, "vni"),
    (call("add_vxlan", "v", 1, port=0), ValueError, "port"),
    (call("add_vxlan", "v", 1, local=V4, remote=V6), ValueError, "family"),
    (call("add_vxlan", "v", 1, local="10.0.0.1"), TypeError, "local"),
    (call("add_vxlan", "v", 1, ttl=256), ValueError, "ttl"),
    (call("add_vxlan", "v", 1, learning=1), TypeError, "learning"),
    (call("add_vxlan", "v", 1, external=True), ValueError, "external"),
    (call("add_macvlan", "m", 0), ValueError, "parent"),
    (call("add_macvlan", "m", 1, mode="brigde"), ValueError, "mode must be one of 'private'"),
    (call("add_macvlan", "m", 1, mode=4), TypeError, "mode"),
    (call("add_ipvlan", "i", 1, mode="l4"), ValueError, "mode"),
    (call("add_ipvlan", "i", 1, flags="x"), ValueError, "flags"),
    (call("add_vlan", "v", 1, 4095), ValueError, "vid"),
    (call("add_vlan", "v", 1, None), TypeError, "vid"),
    (call("add_vlan", "v", 1, 1, protocol="802.3"), ValueError, "protocol"),
    (call("add_dummy", "a/b"), ValueError, "name"),
    (call("add_ifb", "i", queues=4097), ValueError, "queues"),
    (call("set_bridge_port", 4), ValueError, "at least one option"),
    (call("set_bridge_port", isolated=True), ValueError, "exactly one"),
    (call("set_bridge_port", 4, isolated=1), TypeError, "isolated"),
    (call("set_bridge_port", 4, state=5), ValueError, "state"),
    (call("set_bridge_port", 4, cost=0), ValueError, "cost"),
    (call("set_bridge_port", 4, priority=64), ValueError, "priority"),
    (call("set_link_ipv4", 4), ValueError, "at least one switch"),
    (call("set_link_ipv4", forwarding=1), ValueError, "exactly one"),
    (call("set_link_ipv4", 4, forwarding=2), ValueError, "forwarding"),
    (call("set_link_ipv4", 4, arp_ignore="1"), TypeError, "arp_ignore"),
    (call("add_address", 4, V4, 24, home=True), ValueError, "IPv6"),
    (call("add_address", 4, V6, 64, label="x"), ValueError, "label"),
    (call("add_address", 4, V4, 24, peer=V6), ValueError, "peer"),
    (call("add_address", 4, V4, 24, scope="site"), ValueError, "scope"),
    (call("add_address", 4, V4, 24, valid=0), ValueError, "valid"),
    (call("add_address", 4, V4, 24, valid=5, preferred=6), ValueError, "preferred"),
    (call("add_route", V4, 32, type="blackhole", gateway=V4), ValueError, "no gateway"),
    (call("add_route", V4, 32, type="local"), ValueError, "local"),
    (call("add_route", V4, 32, type="local", index=1, gateway=V4), ValueError, "local"),
    (call("add_route", V4, 32, type="nat"), ValueError, "type"),
    (call("add_route", V4, 32, index=1, protocol=256), ValueError, "protocol"),
    (call("add_route", gateway=V4, source=V6), ValueError, "gateway"),
    (call("add_neighbour", 4, V4, MAC, proxy=True), ValueError, "proxy"),
    (call("add_neighbour", 4, V4, MAC, state="none"), ValueError, "state"),
    (call("add_fdb", 4, None), TypeError, "mac"),
    (call("add_fdb", 4, MAC, dst=V4), ValueError, "master=False"),
    (call("add_fdb", 4, MAC, vni=3), ValueError, "master=False"),
    (call("add_fdb", 4, MAC, vlan=4095), ValueError, "vlan"),
    (call("add_fdb", 4, MAC, master=False, port=65536), ValueError, "port"),
    (call("add_fdb", 4, MAC, state="local"), ValueError, "state"),
    (call("add_fdb", 4, MAC, replace=True, append=True), ValueError, "exclude"),
    (call("delete_fdb", 0, MAC), ValueError, "index"),
    (call("add_rule", family=3), ValueError, "family"),
    (call("add_rule", source=V4, destination=V6), ValueError, "destination"),
    (call("add_rule", source=V4, source_prefix=33), ValueError, "source_prefix"),
    (call("add_rule", source_prefix=3), ValueError, "source_prefix"),
    (call("add_rule", destination_prefix=3), ValueError, "destination_prefix"),
    (call("add_rule", mask=3), ValueError, "mask"),
    (call("add_rule", action="goto"), ValueError, "action"),
    (call("add_rule", table=0), ValueError, "table"),
    (call("add_rule", iif="a/b"), ValueError, "iif"),
    (call("delete_rule"), ValueError, "which rule"),
    (call("delete_rule", family=socket.AF_INET6), ValueError, "which rule"),
]


@pytest.mark.parametrize(("called", "error", "says"), REFUSED)
def test_bad_input_is_named_and_changes_nothing(called: Call, error: type[Exception], says: str) -> None:
    verb, args, kwargs = called
    batch = Batch()
    batch.set_link(1, up=True)
    before = bytes(batch)
    with pytest.raises(error, match=says):
        getattr(batch, verb)(*args, **kwargs)
    assert (len(batch), bytes(batch)) == (1, before)

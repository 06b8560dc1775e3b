"""Each verb of a batch on the real kernel, in a private network namespace, read back by pyroute2 and from files."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyroute2 import IPRoute

from _fastnet import netns
from _fastnet.batch import Batch
from _fastnet.socket import NetlinkSocket

V4, V6, MAC = b"\x0a\1\0\1", b"\xfd" + bytes(14) + b"\1", b"\2\0\0\0\0\1"


@pytest.fixture
def host() -> Iterator[NetlinkSocket]:
    """A socket in a namespace of the test's own, which ends with it."""
    (box,) = netns.create([None])
    assert isinstance(box, netns.Namespace), box
    with box:
        yield box.socket


@pytest.fixture
def box() -> Iterator[netns.Namespace]:
    """A namespace of the test's own."""
    (made,) = netns.create([None])
    assert isinstance(made, netns.Namespace), made
    with made:
        yield made


def run(where: NetlinkSocket, verb: str, *args: Any, **kwargs: Any) -> int:
    batch = Batch()
    getattr(batch, verb)(*args, **kwargs)
    return where.execute(batch)[0]


def reader(box: netns.Namespace) -> IPRoute:
    return IPRoute(netns=f"/proc/self/fd/{box.fileno()}")


def bridged(box: netns.Namespace) -> None:
    """A bridge, 5, with two ports, 20 and 22, of group 77, and a link, 40, that is none."""
    batch = Batch()
    batch.add_bridge("br0", index=5, up=True)
    for i in range(2):
        batch.add_veth(f"a{i}", f"b{i}", index=20 + 2 * i, peer_index=21 + 2 * i, group=77, master=5)
    batch.add_veth("c0", "c1", index=40, peer_index=41, group=78)
    box.socket.execute(batch).check()


def slave_data(ipr: IPRoute, index: int) -> dict[str, Any]:
    return dict(ipr.get_links(index)[0].get(("linkinfo", "slave_data"))["attrs"])


def info_data(ipr: IPRoute, index: int) -> dict[str, Any]:
    return dict(ipr.get_links(index)[0].get(("linkinfo", "data"))["attrs"])


# ------------------------------------------------------------------------------------------------ link kinds
def test_a_bridge_with_options(box: netns.Namespace) -> None:
    options = {"forward_delay": 300, "ageing_time": 4000, "stp": False, "mcast_snooping": False, "priority": 7}
    assert run(box.socket, "add_bridge", "br0", index=5, queues=1, group=9, **options) == 0
    with reader(box) as ipr:
        data = info_data(ipr, 5)
        assert data["IFLA_BR_FORWARD_DELAY"] == 300
        assert (data["IFLA_BR_AGEING_TIME"], data["IFLA_BR_MCAST_SNOOPING"]) == (4000, 0)
        assert data["IFLA_BR_PRIORITY"] == 7
        assert run(box.socket, "set_bridge", 5, mcast_snooping=True, stp=True) == 0
        data = info_data(ipr, 5)
        assert (data["IFLA_BR_MCAST_SNOOPING"], data["IFLA_BR_STP_STATE"]) == (1, 1)
    assert run(box.socket, "set_bridge", name="br0", ageing_time=100) == 0


def test_a_vxlan_with_options(box: netns.Namespace) -> None:
    bridged(box)
    options = {"local": V4, "remote": b"\xef\1\1\1", "link": 40, "ttl": 9, "learning": False, "ageing": 60, "limit": 5}
    status = run(box.socket, "add_vxlan", "vx0", 77, index=50, mac=MAC, mtu=1400, group=3, up=False, **options)
    assert status == 0
    assert run(box.socket, "add_vxlan", "vx6", 78, index=51, local=V6, remote=V6, port=8472, udp_csum=False) == 0
    assert run(box.socket, "add_vxlan", "ext", 0, index=52, external=True) == 0
    with reader(box) as ipr:
        data = info_data(ipr, 50)
        assert (data["IFLA_VXLAN_ID"], data["IFLA_VXLAN_PORT"], data["IFLA_VXLAN_LINK"]) == (77, 4789, 40)
        assert (data["IFLA_VXLAN_LOCAL"], data["IFLA_VXLAN_GROUP"]) == ("10.1.0.1", "239.1.1.1")
        assert (data["IFLA_VXLAN_TTL"], data["IFLA_VXLAN_LEARNING"]) == (9, 0)
        assert (data["IFLA_VXLAN_AGEING"], data["IFLA_VXLAN_LIMIT"]) == (60, 5)
        data = info_data(ipr, 51)
        assert (data["IFLA_VXLAN_LOCAL6"], data["IFLA_VXLAN_GROUP6"]) == ("fd00::1", "fd00::1")
        assert (data["IFLA_VXLAN_PORT"], data["IFLA_VXLAN_UDP_CSUM"]) == (8472, 0)
        assert info_data(ipr, 52)["IFLA_VXLAN_COLLECT_METADATA"] == 1


def test_a_macvlan_born_in_a_namespace(host: NetlinkSocket, box: netns.Namespace) -> None:
    assert run(host, "add_veth", "a", "b", index=20) == 0
    options = {"index": 30, "mac": MAC, "mtu": 1400, "group": 8, "namespace": box.fileno()}
    assert run(host, "add_macvlan", "mv0", 20, mode="private", **options) == 0
    with reader(box) as ipr:
        (link,) = ipr.get_links(30)
        assert (link.get("ifname"), link.get("address"), link.get("mtu")) == ("mv0", MAC.hex(":"), 1400)
        assert (link.get(("linkinfo", "kind")), link.get("group")) == ("macvlan", 8)
        assert info_data(ipr, 30)["IFLA_MACVLAN_MODE"] in (1, "private")


@pytest.mark.parametrize(
    ("verb", "args"),
    [
        ("add_ipvlan", ("t", 20)),
        ("add_vlan", ("t", 20, 3)),
        ("add_dummy", ("t",)),
        ("add_ifb", ("t",)),
        ("add_link", ("t", "no such kind")),
    ],
)
def test_a_kind_the_kernel_may_lack(host: NetlinkSocket, verb: str, args: tuple[Any, ...]) -> None:
    batch = Batch()
    batch.add_veth("a", "b", index=20, peer_index=21)
    getattr(batch, verb)(*args, index=30)
    answers = host.execute(batch)
    assert answers[0] == 0
    error = answers.error(1)
    if error is None:
        assert verb != "add_link"
        assert "t" in {link.name for link in host.dump_links()}
    else:
        assert error.errno == errno.EOPNOTSUPP
        assert error.message == "Unknown device type"
        assert error.operation.startswith("add ")
        assert error.operation.endswith(" t")


# ---------------------------------------------------------------------------------------------- bridge ports
def test_options_of_one_port(box: netns.Namespace) -> None:
    bridged(box)
    assert run(box.socket, "set_bridge_port", 20, isolated=True, proxy_arp=True, neigh_suppress=True) == 0
    assert run(box.socket, "set_bridge_port", name="a0", learning=False, flood=False, cost=9, priority=3) == 0
    switches = {"hairpin": True, "mcast_flood": False, "bcast_flood": False, "fast_leave": True, "guard": True}
    batch = Batch()
    for index in 20, 22:
        batch.set_bridge_port(index, root_block=True, mcast_to_unicast=True, **switches)
    box.socket.execute(batch).check()
    with reader(box) as ipr:
        one, two = slave_data(ipr, 20), slave_data(ipr, 22)
    for name in "ISOLATED", "PROXYARP", "NEIGH_SUPPRESS":
        assert (one[f"IFLA_BRPORT_{name}"], two[f"IFLA_BRPORT_{name}"]) == (1, 0), name
    for name in "LEARNING", "UNICAST_FLOOD":
        assert (one[f"IFLA_BRPORT_{name}"], two[f"IFLA_BRPORT_{name}"]) == (0, 1), name
    assert (one["IFLA_BRPORT_COST"], one["IFLA_BRPORT_PRIORITY"]) == (9, 3)
    for data in one, two:
        for name in "MODE", "FAST_LEAVE", "GUARD", "PROTECT", "MCAST_TO_UCAST":
            assert data[f"IFLA_BRPORT_{name}"] == 1, name
        for name in "MCAST_FLOOD", "BCAST_FLOOD":
            assert data[f"IFLA_BRPORT_{name}"] == 0, name


def test_options_of_what_is_no_port(box: netns.Namespace) -> None:
    bridged(box)
    assert run(box.socket, "set_bridge_port", 40, isolated=True) == errno.EOPNOTSUPP
    assert run(box.socket, "set_bridge_port", 999, isolated=True) == errno.ENODEV


# ------------------------------------------------------------------------------------------------------ IPv4
SWITCHES = [
    "forwarding",
    "proxy_arp",
    "proxy_arp_pvlan",
    "arp_notify",
    "arp_ignore",
    "arp_announce",
    "arp_accept",
    "arp_filter",
    "drop_gratuitous_arp",
    "accept_local",
    "route_localnet",
    "rp_filter",
    "accept_redirects",
    "send_redirects",
    "accept_source_route",
    "promote_secondaries",
    "bc_forwarding",
    "src_valid_mark",
    "log_martians",
]


def switch(name: str, link: str) -> int:
    return int(Path(f"/proc/sys/net/ipv4/conf/{link}/{name}").read_text())


def test_every_ipv4_switch_sets_the_file_of_its_name() -> None:
    """In the process's own namespace, because the files are those of the process that reads them."""
    with NetlinkSocket() as here:
        batch = Batch()
        batch.add_veth("a0", "a1", index=20, peer_index=21, group=77)
        batch.add_veth("c0", "c1", index=40, peer_index=41, group=77)
        here.execute(batch).check()
        try:
            for name in SWITCHES:
                value = 1 - min(switch(name, "a0"), 1)
                others = {other: switch(other, "a0") for other in SWITCHES if other != name}
                assert run(here, "set_link_ipv4", 20, **{name: value}) == 0
                assert switch(name, "a0") == value, name
                assert {other: switch(other, "a0") for other in others} == others, name
            assert run(here, "set_link_ipv4", group=77, forwarding=1, proxy_arp=1, arp_ignore=8) == 0
            for link in "a0", "c0":
                assert [switch(name, link) for name in ("forwarding", "proxy_arp", "arp_ignore")] == [1, 1, 8]
            assert switch("arp_ignore", "a1") == 0
            assert run(here, "set_link_ipv4", name="c0", forwarding=0) == 0
            assert (switch("forwarding", "c0"), switch("forwarding", "a0")) == (0, 1)
        finally:
            assert run(here, "delete_link", group=77) == 0


# ------------------------------------------------------------------------------------------------- addresses
def test_addresses_of_every_sort(box: netns.Namespace) -> None:
    bridged(box)
    batch = Batch()
    batch.set_link(40, up=True)
    batch.add_address(40, V4, 24, label="c0:x", noprefixroute=True, scope="link")
    batch.add_address(40, b"\x0a\2\0\1", 32, peer=b"\x0a\2\0\2", metric=50)
    batch.add_address(40, V6, 64, home=True, valid=1000, preferred=500, noprefixroute=True)
    batch.add_address(40, V6[:-1] + b"\2", 128, peer=V6[:-1] + b"\3")
    batch.add_address(40, V6[:-1] + b"\4", 64, nodad=False, optimistic=True, mngtmpaddr=True)
    box.socket.execute(batch).check()
    with reader(box) as ipr:
        found = {a.get("local") or a.get("address"): a for a in ipr.get_addr(index=40)}
        plain, pointed, home = found["10.1.0.1"], found["10.2.0.1"], found["fd00::1"]
        assert (plain.get("label"), plain["scope"], plain.get("flags") & 0x200) == ("c0:x", 253, 0x200)
        assert (pointed.get("address"), pointed.get("broadcast"), pointed.get("rt_priority")) == ("10.2.0.2", None, 50)
        assert home.get("flags") & 0x212 == 0x212  # noprefixroute, home, nodad
        assert home.get("cacheinfo")["ifa_valid"] in range(990, 1001)
        assert home.get("cacheinfo")["ifa_preferred"] in range(490, 501)
        assert found["fd00::2"].get("address") == "fd00::3"
        assert found["fd00::4"].get("flags") & 0x100
    batch = Batch()
    batch.delete_address(40, b"\x0a\2\0\1", 32, peer=b"\x0a\2\0\2")
    batch.delete_address(40, V6[:-1] + b"\2", 128, peer=V6[:-1] + b"\3")
    batch.delete_address(40, V4, 24)
    box.socket.execute(batch).check()
    assert not {V4, b"\x0a\2\0\1"} & {a.address for a in box.socket.dump_addresses()}


# ---------------------------------------------------------------------------------------------------- routes
@pytest.mark.parametrize("to", [b"\x0a\7\0\0", b"\xfd\7" + bytes(14)], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize(("kind", "number"), [("blackhole", 6), ("unreachable", 7), ("prohibit", 8), ("throw", 9)])
def test_routes_that_lead_nowhere(box: netns.Namespace, kind: str, number: int, to: bytes) -> None:
    assert run(box.socket, "set_link", 1, up=True) == 0
    assert run(box.socket, "add_route", to, 16, type=kind, metric=5) == 0
    with reader(box) as ipr:
        (route,) = [r for r in ipr.get_routes(table=254) if r["dst_len"] == 16]
        assert (route["type"], route["proto"]) == (number, 4)
    if len(to) == 4:  # deleting an IPv6 route, the kernel does not look at the type
        assert run(box.socket, "delete_route", to, 16, type="local", table=254) == errno.ESRCH
    assert run(box.socket, "delete_route", to, 16, type=kind) == 0


def test_routes_of_other_sorts(box: netns.Namespace) -> None:
    bridged(box)
    batch = Batch()
    batch.set_link(1, up=True)
    batch.set_link(40, up=True)
    batch.set_link(41, up=True)
    batch.add_address(40, V6, 64)
    batch.add_route(b"\x0a\7\0\0", 16, type="local", index=1)
    batch.add_route(b"\x0a\x08\0\0", 16, gateway=V6[:-1] + b"\2", index=40, mtu=1300, protocol=99)
    batch.add_route(family=socket.AF_INET, gateway=b"\xfe\x80" + bytes(13) + b"\1", index=40, on_link=True)
    batch.add_route(b"\xfd\x09" + bytes(14), 16, index=40, mtu=1280)
    batch.add_route(b"\x0a\x09\0\1", 32, index=40, scope="host")
    box.socket.execute(batch).check()
    with reader(box) as ipr:
        routes = {(r.get("dst"), r["dst_len"]): r for r in ipr.get_routes(family=socket.AF_INET)}
        assert (routes["10.7.0.0", 16]["type"], routes["10.7.0.0", 16].get("table")) == (2, 255)
        via = routes["10.8.0.0", 16]
        assert (via.get("via")["addr"], via["proto"]) == ("fd00::2", 99)
        assert dict(via.get("metrics")["attrs"])["RTAX_MTU"] == 1300
        assert routes[None, 0].get("via")["addr"] == "fe80::1"
        assert routes["10.9.0.1", 32]["scope"] == 254
    batch = Batch()
    batch.delete_route(b"\x0a\7\0\0", 16, type="local")
    batch.delete_route(b"\x0a\x08\0\0", 16, protocol=99, gateway=V6[:-1] + b"\2")
    batch.delete_route(family=socket.AF_INET)
    box.socket.execute(batch).check()


# ----------------------------------------------------------------------------------------------------- rules
def test_rules(box: netns.Namespace) -> None:
    options: list[dict[str, Any]] = [
        {"source": b"\x0a\1\0\0", "source_prefix": 16, "iif": "lo", "table": 100, "priority": 50},
        {"destination": V4, "mark": 5, "mask": 7, "table": 1000, "priority": 51},
        {"family": socket.AF_INET6, "oif": "lo", "action": "unreachable", "priority": 52, "invert": True},
        {"source": V6, "source_prefix": 64, "action": "blackhole", "priority": 53},
        {"table": 254, "suppress_prefix": 0, "priority": 54},
    ]
    for one in options:
        assert run(box.socket, "add_rule", **one) == 0
        assert run(box.socket, "add_rule", **one) == errno.EEXIST
    with reader(box) as ipr:
        rules = {r.get("priority"): r for family in (2, 10) for r in ipr.get_rules(family)}
    first, second, third, fourth, fifth = (rules[priority] for priority in range(50, 55))
    assert (first.get("src"), first["src_len"], first.get("iifname"), first.get("table")) == ("10.1.0.0", 16, "lo", 100)
    assert (second.get("dst"), second["dst_len"], second.get("table")) == ("10.1.0.1", 32, 1000)
    assert (second.get("fwmark"), second.get("fwmask")) == (5, 7)
    assert (third["family"], third["action"], third.get("oifname"), third["flags"] & 2) == (10, 7, "lo", 2)
    assert (fourth.get("src"), fourth["src_len"], fourth["action"]) == ("fd00::1", 64, 6)
    assert fifth.get("suppress_prefixlen") == 0
    for one in options:
        assert run(box.socket, "delete_rule", **one) == 0
        assert run(box.socket, "delete_rule", **one) == errno.ENOENT


# ------------------------------------------------------------------------------------------------ neighbours
@pytest.mark.parametrize(("state", "number"), [("permanent", 0x80), ("noarp", 0x40), ("stale", 4), ("reachable", 2)])
def test_neighbour_states(box: netns.Namespace, state: str, number: int) -> None:
    bridged(box)
    batch = Batch()
    batch.set_link(40, up=True)
    batch.set_link(41, up=True)
    batch.add_neighbour(40, V4, MAC, state=state)
    batch.add_neighbour(40, V6, MAC, state=state, router=True)
    box.socket.execute(batch).check()
    with reader(box) as ipr:
        found = {n.get("dst"): n for n in ipr.get_neighbours(ifindex=40)}
        assert (found["10.1.0.1"]["state"], found["10.1.0.1"].get("lladdr")) == (number, MAC.hex(":"))
        assert (found["fd00::1"]["state"], found["fd00::1"]["flags"] & 0x80) == (number, 0x80)
    assert run(box.socket, "delete_neighbour", 40, V6) == 0


@pytest.mark.parametrize("address", [V4, V6], ids=["IPv4", "IPv6"])
def test_proxy_entries(box: netns.Namespace, address: bytes) -> None:
    bridged(box)
    assert run(box.socket, "delete_neighbour", 40, address, proxy=True) == errno.ENOENT
    assert run(box.socket, "add_neighbour", 40, address, proxy=True) == 0
    assert run(box.socket, "delete_neighbour", 40, address, proxy=True) == 0
    assert run(box.socket, "add_neighbour", 40, address, MAC, extern_learn=True, state="reachable") == 0


# ---------------------------------------------------------------------------------------- forwarding tables
def fdb(box: netns.Namespace, mac: bytes) -> list[Any]:
    with reader(box) as ipr:
        return [entry for entry in ipr.fdb("dump") if entry.get("lladdr") == mac.hex(":")]


def test_entries_of_a_bridge(box: netns.Namespace) -> None:
    bridged(box)
    assert run(box.socket, "add_fdb", 20, MAC) == 0
    (entry,) = fdb(box, MAC)
    assert (entry["ifindex"], entry.get("master"), entry["state"] & 0xC0) == (20, 5, 0x40)
    assert run(box.socket, "add_fdb", 22, MAC) == errno.EEXIST
    assert run(box.socket, "add_fdb", 22, MAC, state="permanent", replace=True) == 0
    (entry,) = fdb(box, MAC)
    assert (entry["ifindex"], entry["state"]) == (22, 0x80)
    assert run(box.socket, "delete_fdb", 22, MAC) == 0
    assert fdb(box, MAC) == []
    assert run(box.socket, "delete_fdb", 22, MAC) == errno.ENOENT
    assert run(box.socket, "add_fdb", 20, MAC, state="dynamic", extern_learn=True) == 0
    assert fdb(box, MAC)[0]["flags"] & 0x10
    assert run(box.socket, "delete_fdb", 20, MAC) == 0
    assert run(box.socket, "add_fdb", 20, MAC, sticky=True) == 0
    assert fdb(box, MAC)[0]["flags"] & 0x40


@pytest.mark.parametrize("ends", [(V4, b"\x0a\1\0\2"), (V6, V6[:-1] + b"\2")], ids=["IPv4", "IPv6"])
def test_entries_of_a_vxlan(box: netns.Namespace, ends: tuple[bytes, bytes]) -> None:
    one, two = ends
    assert run(box.socket, "add_vxlan", "vx0", 7, local=one, index=50, learning=False) == 0
    assert run(box.socket, "add_fdb", 50, MAC, master=False, dst=two, port=9999, vni=8) == 0
    (entry,) = fdb(box, MAC)
    assert entry.get("dst") == socket.inet_ntop(socket.AF_INET if len(two) == 4 else socket.AF_INET6, two)
    assert (entry.get("port"), entry.get("vni"), entry["state"], entry["flags"] & 2) == (9999, 8, 0x80, 2)
    for end in ends:
        assert run(box.socket, "add_fdb", 50, bytes(6), master=False, dst=end, append=True) == 0
    assert len(fdb(box, bytes(6))) == 2
    assert run(box.socket, "delete_fdb", 50, bytes(6), master=False, dst=one) == 0
    assert len(fdb(box, bytes(6))) == 1
    assert run(box.socket, "delete_fdb", 50, MAC, master=False, dst=two, port=9999, vni=8) == 0
    assert fdb(box, MAC) == []

"""Golden messages: what each verb writes is decoded by pyroute2 to the same meaning."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address, ip_interface
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from _fastnet.batch import Batch
from tests.golden.decode import attributes, decoded, head

REPLACE, EXCL, CREATE = 0x100, 0x200, 0x400
NEWLINK, DELLINK, GETLINK, SETLINK = 16, 17, 18, 19
NEWADDR, DELADDR, NEWROUTE, DELROUTE, NEWNEIGH, DELNEIGH = 20, 21, 24, 25, 28, 29

names = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_@", min_size=1, max_size=15)
indexes = st.integers(1, 2**31 - 1)
macs = st.binary(min_size=6, max_size=6)
groups = st.integers(1, 2**32 - 1)
mtus = st.integers(0, 2**31 - 1)
ipv4s = st.binary(min_size=4, max_size=4)
ipv6s = st.binary(min_size=16, max_size=16)
addresses = ipv4s | ipv6s


def mac_text(mac: bytes) -> str:
    return mac.hex(":")


def text(address: bytes) -> str:
    return str(ip_address(address))


def family(address: bytes) -> int:
    return socket.AF_INET if len(address) == 4 else socket.AF_INET6


# ----------------------------------------------------------------------------------------------------- links
@given(
    name=names,
    peer=names,
    index=indexes,
    peer_index=indexes,
    namespace=st.integers(0, 2**31 - 1),
    mac=macs,
    peer_mac=macs,
    master=indexes,
    mtu=st.integers(1, 2**31 - 1),
    group=groups,
    up=st.booleans(),
    queues=st.integers(1, 4096),
)
def test_add_veth_with_everything(**given_: Any) -> None:
    batch = Batch()
    arguments = dict(given_)
    assert batch.add_veth(arguments.pop("name"), arguments.pop("peer"), **arguments) == 0
    message = decoded(batch, 0, ifinfmsg)
    assert head(message) == (NEWLINK, CREATE | EXCL)
    assert message["index"] == given_["index"]
    assert (message["flags"], message["change"]) == ((1, 1) if given_["up"] else (0, 0))
    own = attributes(message)
    info = attributes(own.pop("IFLA_LINKINFO"))
    assert own == {
        "IFLA_IFNAME": given_["name"],
        "IFLA_ADDRESS": mac_text(given_["mac"]),
        "IFLA_MTU": given_["mtu"],
        "IFLA_MASTER": given_["master"],
        "IFLA_GROUP": given_["group"],
        "IFLA_NUM_TX_QUEUES": given_["queues"],
        "IFLA_NUM_RX_QUEUES": given_["queues"],
    }
    assert info["IFLA_INFO_KIND"] == "veth"
    peer = attributes(info["IFLA_INFO_DATA"])["VETH_INFO_PEER"]
    assert peer["index"] == given_["peer_index"]
    # Never up: the kernel refuses a peer that is (ENOTCONN).
    assert (peer["flags"], peer["change"]) == (0, 0)
    assert attributes(peer) == {
        "IFLA_IFNAME": given_["peer"],
        "IFLA_ADDRESS": mac_text(given_["peer_mac"]),
        "IFLA_MTU": given_["mtu"],
        "IFLA_NUM_TX_QUEUES": given_["queues"],
        "IFLA_NUM_RX_QUEUES": given_["queues"],
        "IFLA_NET_NS_FD": given_["namespace"],
    }


def test_add_veth_with_nothing() -> None:
    batch = Batch()
    batch.add_veth(b"a", b"b", queues=0)
    message = decoded(batch, 0, ifinfmsg)
    own = attributes(message)
    peer = attributes(attributes(own.pop("IFLA_LINKINFO"))["IFLA_INFO_DATA"])["VETH_INFO_PEER"]
    assert own == {"IFLA_IFNAME": "a"}
    assert attributes(peer) == {"IFLA_IFNAME": "b"}
    assert (message["index"], message["flags"], peer["index"]) == (0, 0, 0)


def test_add_veth_makes_one_queue_unless_told() -> None:
    batch = Batch()
    batch.add_veth("a", "b")
    assert attributes(decoded(batch, 0, ifinfmsg))["IFLA_NUM_RX_QUEUES"] == 1


@given(name=names, index=indexes, mac=macs, mtu=st.integers(1, 2**31 - 1), group=groups, up=st.booleans())
def test_add_bridge_and_add_link(name: str, index: int, mac: bytes, mtu: int, group: int, up: bool) -> None:
    batch = Batch()
    batch.add_bridge(name, index=index, mac=mac, mtu=mtu, group=group, up=up)
    batch.add_link(name, "bridge", index=index, mac=mac, mtu=mtu, group=group, up=up)
    assert batch.message(0) == batch.message(1)
    message = decoded(batch, 0, ifinfmsg)
    assert head(message) == (NEWLINK, CREATE | EXCL)
    assert (message["index"], message["flags"], message["change"]) == (index, int(up), int(up))
    own = attributes(message)
    assert attributes(own.pop("IFLA_LINKINFO")) == {"IFLA_INFO_KIND": "bridge"}
    assert own == {"IFLA_IFNAME": name, "IFLA_ADDRESS": mac_text(mac), "IFLA_MTU": mtu, "IFLA_GROUP": group}


@given(
    index=indexes,
    up=st.booleans() | st.none(),
    mtu=mtus,
    mac=macs | st.none(),
    master=st.integers(-1, 2**31 - 1),
    new_name=names | st.none(),
    new_group=st.integers(-1, 2**32 - 1),
    alias=st.text("abcdef ", min_size=1, max_size=255) | st.none(),
    namespace=st.integers(-1, 2**31 - 1),
)
def test_set_link_by_index(index: int, **given_: Any) -> None:
    batch = Batch()
    batch.set_link(index, **given_)
    message = decoded(batch, 0, ifinfmsg)
    assert head(message) == (SETLINK, 0)
    assert message["index"] == index
    up = given_["up"]
    assert (message["flags"], message["change"]) == ((0, 0) if up is None else (int(up), 1))
    wanted: dict[str, Any] = {}
    if given_["mtu"]:
        wanted["IFLA_MTU"] = given_["mtu"]
    if given_["mac"] is not None:
        wanted["IFLA_ADDRESS"] = mac_text(given_["mac"])
    if given_["master"] != -1:
        wanted["IFLA_MASTER"] = given_["master"]
    if given_["new_name"] is not None:
        wanted["IFLA_IFNAME"] = given_["new_name"]
    if given_["new_group"] != -1:
        wanted["IFLA_GROUP"] = given_["new_group"]
    if given_["alias"] is not None:
        wanted["IFLA_IFALIAS"] = given_["alias"]
    if given_["namespace"] != -1:
        wanted["IFLA_NET_NS_FD"] = given_["namespace"]
    assert attributes(message) == wanted


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
def test_set_link_addr_gen_mode(mode: int) -> None:
    batch = Batch()
    batch.set_link(5, addr_gen_mode=mode)
    spec = attributes(decoded(batch, 0, ifinfmsg))["IFLA_AF_SPEC"]
    assert attributes(attributes(spec)["AF_INET6"]) == {"IFLA_INET6_ADDR_GEN_MODE": mode}


def test_set_link_by_name_and_by_group() -> None:
    batch = Batch()
    batch.set_link(name="dv1", up=False)
    batch.set_link(group=4000000000, up=True)
    one, many = decoded(batch, 0, ifinfmsg), decoded(batch, 1, ifinfmsg)
    assert (head(one), one["index"], one["flags"], one["change"]) == ((SETLINK, 0), 0, 0, 1)
    assert attributes(one) == {"IFLA_IFNAME": "dv1"}
    # A group is changed by RTM_NEWLINK that neither creates nor names.
    assert (head(many), many["index"], many["flags"], many["change"]) == ((NEWLINK, 0), 0, 1, 1)
    assert attributes(many) == {"IFLA_GROUP": 4000000000}


def test_set_link_removes_an_alias() -> None:
    batch = Batch()
    batch.set_link(5, alias="")
    raw = batch.message(0)
    assert struct.unpack_from("=HH", raw, 32) == (4, 20)
    assert len(raw) == 36


@given(index=indexes, name=names, group=groups)
def test_delete_and_get_link(index: int, name: str, group: int) -> None:
    batch = Batch()
    batch.delete_link(index)
    batch.delete_link(name=name)
    batch.delete_link(group=group)
    batch.get_link(index)
    batch.get_link(name=name)
    messages = [decoded(batch, i, ifinfmsg) for i in range(5)]
    assert [head(message) for message in messages] == [(DELLINK, 0)] * 3 + [(GETLINK, 0)] * 2
    assert [message["index"] for message in messages] == [index, 0, 0, index, 0]
    skip_stats = {"IFLA_EXT_MASK": 8}
    assert [attributes(message) for message in messages] == [
        {},
        {"IFLA_IFNAME": name},
        {"IFLA_GROUP": group},
        skip_stats,
        {"IFLA_IFNAME": name, **skip_stats},
    ]


# ------------------------------------------------------------------------------------------------- addresses
@given(index=indexes, address=ipv4s, prefix=st.integers(0, 32), replace=st.booleans())
@example(index=4, address=b"\x0a\0\0\0", prefix=30, replace=False)
@example(index=4, address=b"\x0a\0\0\0", prefix=31, replace=False)
@example(index=4, address=b"\x0a\0\0\0", prefix=32, replace=False)
def test_add_ipv4_address(index: int, address: bytes, prefix: int, replace: bool) -> None:
    batch = Batch()
    batch.add_address(index, address, prefix, replace=replace)
    message = decoded(batch, 0, ifaddrmsg)
    assert head(message) == (NEWADDR, CREATE | (REPLACE if replace else EXCL))
    assert (message["family"], message["prefixlen"], message["index"]) == (socket.AF_INET, prefix, index)
    wanted = {"IFA_LOCAL": text(address), "IFA_ADDRESS": text(address)}
    if prefix < 31:
        wanted["IFA_BROADCAST"] = str(ip_interface((address, prefix)).network.broadcast_address)
    assert attributes(message) == wanted


@given(index=indexes, address=ipv6s, prefix=st.integers(0, 128), nodad=st.booleans())
def test_add_ipv6_address(index: int, address: bytes, prefix: int, nodad: bool) -> None:
    batch = Batch()
    batch.add_address(index, address, prefix, nodad=nodad)
    message = decoded(batch, 0, ifaddrmsg)
    assert head(message) == (NEWADDR, CREATE | EXCL)
    assert (message["family"], message["prefixlen"], message["index"]) == (socket.AF_INET6, prefix, index)
    own = attributes(message)
    assert socket.inet_pton(socket.AF_INET6, own.pop("IFA_ADDRESS")) == address
    assert own == ({"IFA_FLAGS": 2} if nodad else {})


@given(index=indexes, address=addresses)
def test_delete_address(index: int, address: bytes) -> None:
    batch = Batch()
    batch.delete_address(index, address, 24)
    message = decoded(batch, 0, ifaddrmsg)
    assert head(message) == (DELADDR, 0)
    assert (message["family"], message["prefixlen"], message["index"]) == (family(address), 24, index)
    wanted = {"IFA_ADDRESS": address}
    if len(address) == 4:
        wanted["IFA_LOCAL"] = address
    found = attributes(message)
    assert {key: socket.inet_pton(family(address), value) for key, value in found.items()} == wanted


# ---------------------------------------------------------------------------------------------------- routes
@given(
    pair=st.tuples(ipv4s, ipv4s, ipv4s) | st.tuples(ipv6s, ipv6s, ipv6s),
    prefix=st.integers(0, 32),
    index=indexes,
    on_link=st.booleans(),
    table=st.integers(1, 2**32 - 1),
    metric=st.integers(0, 2**32 - 1),
    replace=st.booleans(),
)
def test_add_route(
    pair: tuple[bytes, bytes, bytes],
    prefix: int,
    index: int,
    on_link: bool,
    table: int,
    metric: int,
    replace: bool,
) -> None:
    destination, gateway, source = pair
    batch = Batch()
    batch.add_route(
        destination,
        prefix,
        gateway=gateway,
        index=index,
        on_link=on_link,
        source=source,
        table=table,
        metric=metric,
        replace=replace,
    )
    message = decoded(batch, 0, rtmsg)
    assert head(message) == (NEWROUTE, CREATE | (REPLACE if replace else EXCL))
    assert (message["family"], message["dst_len"]) == (family(destination), prefix)
    assert (message["proto"], message["type"], message["scope"]) == (4, 1, 0)
    assert message["flags"] == (4 if on_link else 0)
    assert message["table"] == (table if table < 256 else 0)
    own = attributes(message)
    for key, value in ("RTA_DST", destination), ("RTA_GATEWAY", gateway), ("RTA_PREFSRC", source):
        assert socket.inet_pton(family(value), own.pop(key)) == value
    wanted = {"RTA_OIF": index}
    if metric:
        wanted["RTA_PRIORITY"] = metric
    if table > 255:
        wanted["RTA_TABLE"] = table
    assert own == wanted


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        # family, bits, scope, type, attributes
        ({"gateway": b"\x0a\0\0\1"}, (2, 0, 0, 1, {"RTA_GATEWAY": "10.0.0.1"})),
        ({"family": 2, "index": 3}, (2, 0, 253, 1, {"RTA_OIF": 3})),
        ({"family": 10, "index": 3}, (10, 0, 0, 1, {"RTA_OIF": 3})),
        ({"source": b"\x0a\0\0\1", "index": 3}, (2, 0, 253, 1, {"RTA_PREFSRC": "10.0.0.1", "RTA_OIF": 3})),
        (
            {"destination": b"\x0a\0\0\0", "prefix": 8, "type": "blackhole"},
            (2, 8, 0, 6, {"RTA_DST": "10.0.0.0"}),
        ),
    ],
)
def test_routes_of_every_kind(arguments: dict[str, Any], wanted: tuple[Any, ...]) -> None:
    batch = Batch()
    batch.add_route(**arguments)
    message = decoded(batch, 0, rtmsg)
    assert (
        message["family"],
        message["dst_len"],
        message["scope"],
        message["type"],
        attributes(message),
    ) == wanted


def test_delete_route_matches_any_scope_type_and_protocol() -> None:
    batch = Batch()
    batch.delete_route(b"\x0a\1\0\0", 16, index=4, metric=9, table=300)
    message = decoded(batch, 0, rtmsg)
    assert head(message) == (DELROUTE, 0)
    assert (message["scope"], message["type"], message["proto"], message["table"]) == (255, 0, 0, 0)
    assert attributes(message) == {
        "RTA_DST": "10.1.0.0",
        "RTA_OIF": 4,
        "RTA_PRIORITY": 9,
        "RTA_TABLE": 300,
    }


# ------------------------------------------------------------------------------------------------ neighbours
@given(
    index=indexes, address=addresses, mac=macs, state=st.sampled_from(["permanent", "reachable"]), replace=st.booleans()
)
def test_neighbours(index: int, address: bytes, mac: bytes, state: str, replace: bool) -> None:
    batch = Batch()
    batch.add_neighbour(index, address, mac, state=state, replace=replace)
    batch.delete_neighbour(index, address)
    new, old = decoded(batch, 0, ndmsg), decoded(batch, 1, ndmsg)
    assert head(new) == (NEWNEIGH, CREATE | (REPLACE if replace else EXCL))
    assert head(old) == (DELNEIGH, 0)
    for message in new, old:
        assert (message["family"], message["ifindex"]) == (family(address), index)
        assert socket.inet_pton(family(address), attributes(message)["NDA_DST"]) == address
    assert new["state"] == (0x80 if state == "permanent" else 0x02)
    assert attributes(new)["NDA_LLADDR"] == mac_text(mac)
    assert list(attributes(old)) == ["NDA_DST"]

"""Dumps of the real kernel: as pyroute2 reads them, and those of one link, master, kind or table."""

from __future__ import annotations

import socket
import struct
import threading
import time
from typing import Any

import pytest
from pyroute2 import IPRoute

from _fastnet.batch import Batch
from _fastnet.errors import NetlinkError
from _fastnet.socket import NetlinkSocket

MAC = b"\2\0\0\0\0\1"


def test_links_as_pyroute2_reads_them(host: NetlinkSocket) -> None:
    batch = Batch()
    batch.add_link("br0", "bridge", index=20)
    batch.add_veth("a", "b", index=21)
    batch.set_link(21, alias="of web", master=20, up=True)
    for index in (21, 20):  # looked up, the kernel notes what carrier it has, and not between the two dumps
        batch.get_link(index)
    host.execute(batch).check()
    with IPRoute() as ipr:
        theirs = {link["index"]: link for link in ipr.get_links()}
    ours = host.dump_links()
    assert {link.index for link in ours} == set(theirs)
    for link in ours:
        other = theirs[link.index]
        info = other.get("linkinfo")
        mac = other.get("address") or ""
        assert (link.name, link.mac.hex(":"), link.mtu) == (other.get("ifname"), mac, other.get("mtu"))
        assert (link.master, link.link) == (other.get("master") or 0, other.get("link") or 0)
        assert (link.group, link.flags, link.type) == (other.get("group"), other["flags"], other["ifi_type"])
        assert (link.alias, link.qlen) == (other.get("ifalias") or "", other.get("txqlen"))
        assert link.carrier == bool(other.get("carrier"))
        assert link.kind == (info.get("kind") if info else "")
        assert link.slave_kind == ((info.get("slave_kind") if info else None) or "")
    (port,) = host.dump_links(master=20)
    assert (port.name, port.alias, port.slave_kind) == ("a", "of web", "bridge")
    assert len(port.slave_data) > 100
    assert [link.name for link in host.dump_links(kind="bridge")] == ["br0"]
    assert {link.name for link in host.dump_links(kind="veth")} == {"a", "b"}
    for link in host.dump_links():
        counters = theirs[link.index].get("stats64")
        wanted = [counters[name] for name in ("rx_packets", "tx_packets", "rx_bytes", "tx_bytes", "rx_errors")]
        assert list(struct.unpack_from("=5Q", link.stats64)) == wanted
    assert host.dump_links(kind="nothing") == host.dump_links(master=21) == host.dump_links(master=20, kind="x") == []


def test_dumps_of_one_link_or_table(host: NetlinkSocket) -> None:
    batch = Batch()
    for index in (20, 22):
        batch.add_veth(f"a{index}", f"b{index}", index=index, peer_index=index + 100)
        batch.set_link(index, up=True)
        batch.add_address(index, bytes([10, 1, index, 1]), 24)
        batch.add_address(index, bytes([0xFD, index]) + bytes(14), 64, nodad=True)
        batch.add_neighbour(index, bytes([10, 1, index, 2]), MAC)
        batch.add_route(bytes([10, 2, index, 0]), 24, gateway=bytes([10, 1, index, 2]), table=300, metric=index)
    host.execute(batch).check()
    assert {one.address for one in host.dump_addresses(index=20) if one.address[0] != 0xFE} == {
        b"\x0a\1\x14\1",
        b"\xfd\x14" + bytes(14),
    }
    assert [one.address for one in host.dump_addresses(socket.AF_INET, index=22)] == [b"\x0a\1\x16\1"]
    assert host.dump_addresses(socket.AF_INET, index=22)[0].label == "a22"
    (first, second) = host.dump_routes(table=300)
    assert {(one.index, one.metric, one.type, one.table) for one in (first, second)} == {
        (20, 20, 1, 300),
        (22, 22, 1, 300),
    }
    assert [one.metric for one in host.dump_routes(socket.AF_INET, table=300, index=22)] == [22]
    assert {one.index for one in host.dump_routes(index=22)} == {22}
    assert host.dump_routes(table=301) == host.dump_routes(socket.AF_INET, table=301) == []
    assert host.dump_routes(socket.AF_INET6, table=301) == []
    static = [one for one in host.dump_neighbours(socket.AF_INET, index=20) if one.state & 0x80]
    assert [(one.address, one.mac) for one in static] == [(b"\x0a\1\x14\2", MAC)]
    with pytest.raises(NetlinkError, match="dump addresses: No such device"):
        host.dump_addresses(index=99)


def test_forwarding_entries_and_rules(host: NetlinkSocket) -> None:
    batch = Batch()
    for index in (20, 30):
        batch.add_link(f"br{index}", "bridge", index=index)
        for port in (index + 1, index + 3):
            batch.add_veth(f"a{port}", f"b{port}", index=port, peer_index=port + 100, mac=bytes([2, 0, 0, 0, 0, port]))
            batch.set_link(port, master=index)
    host.execute(batch).check()
    assert {(one.mac[-1], one.index, one.master) for one in host.dump_fdb() if one.mac[0] == 2 and one.vlan == 0} == {
        (port, port, bridge) for bridge in (20, 30) for port in (bridge + 1, bridge + 3)
    }
    assert {one.family for one in host.dump_fdb()} == {7}
    assert {one.master for one in host.dump_fdb(bridge=20) if one.mac[0] == 2} == {20}
    assert {one.index for one in host.dump_fdb(bridge=20, index=23)} == {23}
    assert {one.index for one in host.dump_fdb(index=33)} == {33}
    rules = host.dump_rules(socket.AF_INET)
    assert [(one.priority, one.table, one.action) for one in rules] == [(0, 255, 1), (32766, 254, 1), (32767, 253, 1)]
    assert {one.family for one in host.dump_rules()} >= {socket.AF_INET, socket.AF_INET6}


def test_a_dump_waits_for_a_crowd_of_links_to_pass(host: NetlinkSocket) -> None:
    """The kernel says when links came or went between two parts of a dump: then it is made again, and not at once."""
    batch = Batch()
    for index in range(1000, 1200, 2):
        batch.add_veth(f"a{index}", f"b{index}", index=index, peer_index=index + 1, group=5)
    host.execute(batch).check()
    begun = threading.Event()

    def crowd() -> None:
        end = time.monotonic() + 0.03
        with NetlinkSocket() as other:
            for index in range(2000, 6000, 2):
                batch = Batch()
                batch.add_veth(f"c{index}", f"d{index}", index=index, peer_index=index + 1, group=5)
                other.execute(batch).check()
                begun.set()
                if time.monotonic() > end:
                    break

    thread = threading.Thread(target=crowd)
    thread.start()
    try:
        assert begun.wait(10)
        assert len(host.dump_links()) > 201
    finally:
        thread.join()
        batch.clear()
        batch.delete_link(group=5)
        host.execute(batch).check()


@pytest.mark.parametrize(
    ("dump", "arguments"),
    [
        ("dump_links", {"master": -1}),
        ("dump_links", {"kind": ""}),
        ("dump_links", {"kind": "x" * 56}),
        ("dump_links", {"kind": "a\0b"}),
        ("dump_addresses", {"index": 1 << 31}),
        ("dump_routes", {"table": 1 << 32}),
        ("dump_fdb", {"bridge": -1}),
    ],
)
def test_filters_that_are_none(host: NetlinkSocket, dump: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        getattr(host, dump)(**arguments)

"""Writes the seed corpus anew: ``python -m tests.fuzz.make_corpus``, from the repository's root, as root.

What the kernel says is read from namespaces of its own. A file that once found a fault is named
``fault-…``, and stays.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

from _fastnet.batch import Batch
from _fastnet.bitmap import Bitmap
from _fastnet.ippool import IPPool
from _fastnet.socket import NetlinkSocket, observe
from tests.fuzz.targets import five
from tests.plugins import END, NET, SPACE

CORPUS = Path(__file__).parent / "corpus"
SMALL = 6000  # bytes: a seed is the first messages of a dump

TEXTS = {
    "text": (
        "10.0.0.1",
        "255.255.255.255",
        "fd77::1",
        "::ffff:10.0.0.1",
        "::",
        "1:2:3:4:5:6:7:8",
        "fe80::1%eth0",
        "10.0.0.0/8",
        "fd00::/64",
        "02:42:0a:00:00:01",
        "02-42-0a-00-00-01",
        "0242.0a00.0001",
        "10.0.0.1/255.255.0.0",
        "",
    ),
    "pools": (
        "10.0.0.0/8",
        "fd00::/64",
        "10.0.0.0/31",
        "10.0.0.1/32",
        "::/0",
        "fd00::/128",
        "0.0.0.0/0",
        "10.0.0.0/33",
    ),
    "macs": ("02:42:0a:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "2:2:2:2:2:2", ""),
}


def main() -> None:
    from driverapi._private import enter_private_namespaces

    enter_private_namespaces()
    for target, texts in TEXTS.items():
        for number, text in enumerate(texts):
            write(target, f"{number:02}", text.encode())
    snapshots()
    plugin()
    host = NetlinkSocket()
    batch = Batch()
    batch.add_link("br0", "bridge", index=20)
    batch.add_veth("a", "b", index=21, group=7)
    batch.set_link(21, master=20, up=True, alias="of web")
    batch.add_address(21, b"\x0a\1\0\1", 16)
    batch.add_address(21, b"\xfd" + bytes(14) + b"\1", 64, nodad=True)
    batch.add_neighbour(21, b"\x0a\1\0\2", b"\2\0\0\0\0\2")
    batch.add_route(b"\x0a\2\0\0", 16, gateway=b"\x0a\1\0\2", table=300, metric=9)
    host.execute(batch).check()
    for number in range(len(batch)):
        raw = batch.message(number)
        write("describe", f"{number:02}", raw)
        write("attributes", f"{number:02}", struct.pack("=i", 32 + 4 * number) + raw)
    heard: list[bytes] = []
    observe(lambda _, datagrams, __: heard.append(b"".join(data for _, sent, data in datagrams if not sent)))
    for target, dump in {
        "links": host.dump_links,
        "addresses": host.dump_addresses,
        "routes": host.dump_routes,
        "neighbours": host.dump_neighbours,
        "rules": host.dump_rules,
    }.items():
        heard.clear()
        dump()
        write(target, "dump", whole(heard[0]))
        write("trace", target, whole(heard[0])[:1500])
    heard.clear()
    host.dump_fdb()
    write("neighbours", "fdb", whole(heard[0]))
    hops = struct.pack("=HBBi", 16, 0, 4, 42) + struct.pack("=HH", 8, 5) + b"\x0a\0\0\1"
    hops += struct.pack("=HBBi", 30, 0, 0, 43) + struct.pack("=HHH", 22, 18, 10) + bytes(16) + bytes(2)
    body = struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 4, 0, 1, 0) + struct.pack("=HH", 4 + len(hops), 9) + hops
    write("routes", "hops", struct.pack("=IHHII", 16 + len(body), 24, 2, 1, 0) + body)
    for number, second in enumerate((five(), five())):
        # The first time they are done; then two are refused, one of them with the kernel's words.
        heard.clear()
        if number:
            second.set_link(20, mtu=7)
            again = Batch()
            again.add_veth("a9", "b9", index=20)
            host.execute(again)
            heard.clear()
        else:
            taken = Batch()
            taken.delete_link(20)
            host.execute(taken)
            heard.clear()
        with NetlinkSocket() as fresh:  # whose sequence begins at 1
            fresh.execute(second)
        write("answers", f"{number:02}", heard[0][:SMALL])
    observe(None)


def plugin() -> None:
    """Write what an engine asks: each verb with its body, and the bytes of connections."""
    data = [
        {"AddressSpace": SPACE, "Pool": "10.8.0.0/16", "Gateway": "10.8.0.1/16", "AuxAddresses": {"a": "10.8.0.9/16"}}
    ]
    interface = {"Address": "10.9.0.5/16", "AddressIPv6": "", "MacAddress": "02:42:0a:09:00:05"}
    generic = {"com.docker.network.driver.mtu": "1400", "com.docker.network.bridge.name": "br9"}
    options = {"com.docker.network.generic": generic, "com.docker.network.enable_ipv6": False}
    port = {"Proto": 6, "IP": "", "Port": 80, "HostIP": "", "HostPort": 8080, "HostPortEnd": 8080}
    ports = {
        "com.docker.network.endpoint.exposedports": [{"Proto": 6, "Port": 80}],
        "com.docker.network.portmap": [port],
    }
    mac = {"com.docker.network.endpoint.macaddress": "AkKqu8zd", "com.docker.network.endpoint.exposedports": []}
    one = {"NetworkID": NET, "EndpointID": END}
    asked: list[tuple[str, object]] = [
        ("Plugin.Activate", {}),
        ("NetworkDriver.GetCapabilities", {}),
        ("NetworkDriver.GwAllocCheck", {"Options": options}),
        ("NetworkDriver.CreateNetwork", {"NetworkID": "n", "Options": options, "IPv4Data": data, "IPv6Data": []}),
        ("NetworkDriver.AllocateNetwork", {"NetworkID": "n", "Options": {}, "IPv4Data": data, "IPv6Data": []}),
        ("NetworkDriver.DeleteNetwork", {"NetworkID": NET}),
        ("NetworkDriver.CreateEndpoint", {"NetworkID": NET, "EndpointID": "e", "Interface": interface, "Options": mac}),
        ("NetworkDriver.CreateEndpoint", {"NetworkID": NET, "EndpointID": "e", "Interfaces": [{"ID": 1, **interface}]}),
        ("NetworkDriver.Join", {**one, "SandboxKey": "/var/run/docker/netns/1234", "Options": ports}),
        ("NetworkDriver.EndpointOperInfo", one),
        ("NetworkDriver.ProgramExternalConnectivity", {**one, "Options": ports}),
        ("NetworkDriver.RevokeExternalConnectivity", one),
        ("NetworkDriver.Leave", one),
        ("NetworkDriver.DeleteEndpoint", one),
        ("NetworkDriver.DiscoverNew", {"DiscoveryType": 1, "DiscoveryData": {"Address": "10.0.0.1", "self": True}}),
        ("IpamDriver.GetDefaultAddressSpaces", {}),
        (
            "IpamDriver.RequestPool",
            {"AddressSpace": SPACE, "Pool": "10.6.0.0/16", "SubPool": "10.6.1.0/24", "V6": False},
        ),
        ("IpamDriver.RequestPool", {"AddressSpace": SPACE, "Pool": "", "Options": None, "V6": True}),
        ("IpamDriver.RequestAddress", {"PoolID": "10.7.0.0/24", "Address": "", "Options": {"RequestAddressType": "x"}}),
        ("IpamDriver.ReleaseAddress", {"PoolID": "10.7.0.0/24", "Address": "10.7.0.1"}),
        ("IpamDriver.ReleasePool", {"PoolID": "10.7.0.0/24"}),
        (  # what mutations of the above found
            "NetworkDriver.ProgramExternalConnectivity",
            {**one, "Options": {"com.docker.network.portmap": [{"Pord": 80}]}},
        ),
    ]
    head = "POST /{} HTTP/1.1\r\nHost: \r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: {}\r\n\r\n"
    for number, (verb, document) in enumerate(asked):
        body = json.dumps(document).encode()
        write("verbs", f"{number:02}", f"/{verb}\n".encode() + body)
        if not number % 4:
            write("http", f"{number:02}", b"\x80" + head.format(verb, len(body)).encode() + body)
    write("http", "many", b"\x20" + b"".join(head.format("X", 1).encode() + b"1" for _ in range(3)))
    chunked = b"POST /X HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    write("http", "chunked", b"\xf0" + chunked)
    write("http", "close", b"\x10GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")


def snapshots() -> None:
    """Write bitmaps and pools as bytes: empty, full, mixed, beyond the dense region, and in quarantine."""
    bitmaps = [Bitmap(size) for size in (1, 100, 5000, 1 << 24, 1 << 64, 1 << 64, 1 << 64)]
    bitmaps[0].allocate()
    bitmaps[1].reserve_range(0, 100)
    bitmaps[2].allocate_many(3000)
    bitmaps[2].release_many(range(0, 3000, 7))
    bitmaps[3].allocate_many(70_000)
    bitmaps[3].release_range(4096, 9000)
    for _ in range(3):
        bitmaps[3].allocate_next()
    bitmaps[4].reserve_range(0, 1 << 64)
    bitmaps[5].reserve_range(77, 1 << 40)
    for far in range(20):
        bitmaps[5].reserve((1 << 63) + (far << 37) + far)
    for number, bitmap in enumerate(bitmaps):
        write("bitmaps", f"{number:02}", bitmap.snapshot())
    seconds = 50.0
    pools = [
        IPPool("10.0.0.4/32"),
        IPPool("10.0.0.0/16", range="10.0.8.0/24", exclude=["10.0.8.7", "10.0.1.0/24"]),
        IPPool("fd00::/48", range="fd00:0:0:5::/64", quarantine=60.0, clock=lambda: seconds),
        IPPool("10.0.0.0/24", quarantine=9.0, clock=lambda: seconds),
    ]
    for number, pool in enumerate(pools):
        given = list(pool.allocate_many(min(pool.size, 200)))
        if number == 1:
            pool.reserve("10.0.77.7")
        for address in given[3:50:9]:
            pool.release(address)
            seconds += 0.5
        write("snapshots", f"{number:02}", pool.snapshot())


def whole(data: bytes) -> bytes:
    """Cut after the last whole message that is small enough."""
    at = 0
    while at + 16 <= len(data):
        size = struct.unpack_from("=I", data, at)[0]
        if at + size > SMALL:
            break
        at += (size + 3) & ~3
    return data[:at]


def write(target: str, name: str, data: bytes) -> None:
    directory = CORPUS / target
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_bytes(data)


if __name__ == "__main__":
    main()

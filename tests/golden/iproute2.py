"""What ``ip`` and ``bridge`` send for the commands that our verbs say they are equivalent to.

``python -m tests.golden.iproute2`` (as root, with iproute2 and strace) writes ``iproute2.json`` anew. It enters
private namespaces first.
"""

from __future__ import annotations

import json
import re
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_suffix(".json")

V4, V6, MAC = b"\x0a\1\0\1", b"\xfd" + bytes(14) + b"\1", b"\2\0\0\0\0\1"
M = "02:00:00:00:00:01"

# What the links of the commands are: their ifindexes stand in the messages.
SETUP = """
ip link set lo up
ip link add br0 index 5 type bridge
ip link add a0 index 20 type veth peer name a1 index 21
ip link add c0 index 40 type veth peer name c1 index 41
ip link set a0 master br0
ip link add vx index 50 type vxlan id 9 dstport 4789
"""

Case = tuple[str, str, tuple[Any, ...], dict[str, Any]]


def case(command: str, verb: str, *args: Any, **kwargs: Any) -> Case:
    return command, verb, args, kwargs


CASES: list[Case] = [
    case(
        f"ip link add name v0 index 60 address {M} mtu 1400 master br0 group 9 numtxqueues 1 numrxqueues 1 up "
        f"type veth peer name v1 index 61 address {M} mtu 1400 numtxqueues 1 numrxqueues 1",
        "add_veth", "v0", "v1", index=60, peer_index=61, mac=MAC, peer_mac=MAC, mtu=1400, master=5, group=9, up=True,
    ),
    case(
        f"ip link add name b0 index 60 address {M} mtu 1400 group 9 up type bridge forward_delay 300 hello_time 100 "
        "max_age 700 ageing_time 4000 stp_state 0 priority 7 vlan_filtering 0 vlan_default_pvid 0 group_fwd_mask 8 "
        "mcast_snooping 0 mcast_querier 0 nf_call_iptables 1 nf_call_ip6tables 0 nf_call_arptables 0",
        "add_bridge", "b0", index=60, mac=MAC, mtu=1400, group=9, up=True, forward_delay=300, hello_time=100,
        max_age=700, ageing_time=4000, stp=False, priority=7, vlan_filtering=False, vlan_default_pvid=0,
        group_fwd_mask=8, mcast_snooping=False, mcast_querier=False, nf_call_iptables=True, nf_call_ip6tables=False,
        nf_call_arptables=False,
    ),
    case("ip link set dev br0 type bridge stp_state 1", "set_bridge", 5, stp=True),
    case(
        "ip link add name vx0 index 60 type vxlan id 77 local 10.1.0.1 group 239.1.1.1 dev c0 dstport 4789 ttl 9 "
        "tos 4 nolearning ageing 60 maxaddress 5 proxy rsc l2miss l3miss udpcsum",
        "add_vxlan", "vx0", 77, index=60, local=V4, remote=b"\xef\1\1\1", link=40, ttl=9, tos=4, learning=False,
        ageing=60, limit=5, proxy=True, rsc=True, l2miss=True, l3miss=True, udp_csum=True,
    ),
    case(
        "ip link add name vx0 type vxlan id 77 local fd00::1 remote fd00::1 dstport 8472",
        "add_vxlan", "vx0", 77, local=V6, remote=V6, port=8472,
    ),
    case(
        "ip link add name vx0 type vxlan external dstport 4789", "add_vxlan", "vx0", 0, external=True,
    ),
    *[
        case(
            f"ip link add name m0 link c0 address {M} type macvlan mode {mode}",
            "add_macvlan", "m0", 40, mac=MAC, mode=mode,
        )
        for mode in ("private", "vepa", "bridge", "passthru", "source")
    ],
    *[
        case(
            f"ip link add name i0 link c0 type ipvlan mode {mode} {flags}",
            "add_ipvlan", "i0", 40, mode=mode, flags=flags,
        )
        for mode, flags in (("l2", "bridge"), ("l3", "private"), ("l3s", "vepa"))
    ],
    case("ip link add name w0 link c0 type vlan protocol 802.1ad id 100",
         "add_vlan", "w0", 40, 100, protocol="802.1ad"),
    case("ip link add name d0 type dummy", "add_dummy", "d0"),
    case("ip link add name f0 numtxqueues 2 numrxqueues 2 type ifb", "add_ifb", "f0", queues=2),
    case(
        f"ip link set dev c0 mtu 1400 address {M} master br0 alias words addrgenmode none up",
        "set_link", 40, mtu=1400, mac=MAC, master=5, alias="words", addr_gen_mode=1, up=True,
    ),
    case("ip link set dev c0 nomaster", "set_link", 40, master=0),
    case("ip link set dev c0 name c9", "set_link", 40, new_name="c9"),
    case("ip link set dev c9 name c0", "set_link", 40, new_name="c0"),
    case("ip link set dev c0 group 7", "set_link", 40, new_group=7),
    case("ip link set group 7 mtu 1500 up", "set_link", group=7, mtu=1500, up=True),
    case(
        "bridge link set dev a0 state 0 priority 3 cost 9 hairpin on guard off root_block off fastleave on "
        "learning off flood off mcast_flood off mcast_to_unicast on bcast_flood off neigh_suppress on isolated on",
        "set_bridge_port", 20, state=0, priority=3, cost=9, hairpin=True, guard=False, root_block=False,
        fast_leave=True, learning=False, flood=False, mcast_flood=False, mcast_to_unicast=True, bcast_flood=False,
        neigh_suppress=True, isolated=True,
    ),
    case(
        "ip link set dev a0 type bridge_slave proxy_arp on group_fwd_mask 8",
        "set_bridge_port", name="a0", proxy_arp=True, group_fwd_mask=8,
    ),
    case("ip address add 10.1.0.1/16 broadcast + dev c0", "add_address", 40, V4, 16),
    case(
        "ip address replace 10.1.0.1 peer 10.1.0.2/32 dev c0 scope link label c0:x metric 7 noprefixroute",
        "add_address", 40, V4, 32, peer=b"\x0a\1\0\2", scope="link", label="c0:x", metric=7, noprefixroute=True,
        replace=True,
    ),
    case(
        "ip address add fd00::1/64 dev c0 valid_lft 1000 preferred_lft 500 nodad home mngtmpaddr noprefixroute",
        "add_address", 40, V6, 64, valid=1000, preferred=500, home=True, mngtmpaddr=True, noprefixroute=True,
    ),
    case("ip address add fd00::1 peer fd00::2/128 dev c0 optimistic",
         "add_address", 40, V6, 128, peer=V6[:-1] + b"\2", optimistic=True, nodad=False),
    case("ip address delete 10.1.0.1/16 dev c0", "delete_address", 40, V4, 16),
    case("ip address delete fd00::1/64 dev c0", "delete_address", 40, V6, 64),
    case(
        "ip route add 10.2.0.0/16 via 10.1.0.1 dev c0 onlink src 10.1.0.1 table 1000 metric 5 proto static mtu 1300",
        "add_route", b"\x0a\2\0\0", 16, gateway=V4, index=40, on_link=True, source=V4, table=1000, metric=5, mtu=1300,
    ),
    case("ip route replace default via fd00::1 dev c0 proto static",
         "add_route", gateway=V6, index=40, replace=True),
    case("ip route add 10.2.0.0/16 via inet6 fd00::1 dev c0 proto static",
         "add_route", b"\x0a\2\0\0", 16, gateway=V6, index=40),
    case("ip route add 10.2.0.1/32 dev c0 proto 99", "add_route", b"\x0a\2\0\1", 32, index=40, protocol=99),
    case("ip route add 10.2.0.1/32 dev c0 scope host proto static",
         "add_route", b"\x0a\2\0\1", 32, index=40, scope="host"),
    case("ip route add local 10.2.0.0/16 dev lo proto static",
         "add_route", b"\x0a\2\0\0", 16, type="local", index=1),
    *[
        case(f"ip route add {kind} {text} proto static", "add_route", packed, bits, type=kind)
        for kind in ("blackhole", "unreachable", "prohibit", "throw")
        for text, packed, bits in (("10.2.0.0/16", b"\x0a\2\0\0", 16), ("fd00::1/128", V6, 128))
    ],
    case("ip route delete 10.2.0.0/16 dev c0 metric 5 table 1000",
         "delete_route", b"\x0a\2\0\0", 16, index=40, metric=5, table=1000),
    case("ip route delete blackhole 10.2.0.0/16", "delete_route", b"\x0a\2\0\0", 16, type="blackhole"),
    case(f"ip neighbour replace 10.1.0.9 lladdr {M} dev c0 nud permanent",
         "add_neighbour", 40, b"\x0a\1\0\x09", MAC),
    case(f"ip neighbour add fd00::9 lladdr {M} dev c0 nud stale router extern_learn",
         "add_neighbour", 40, V6[:-1] + b"\x09", MAC, state="stale", router=True, extern_learn=True, replace=False),
    case("ip neighbour add proxy 10.1.0.9 dev c0", "add_neighbour", 40, b"\x0a\1\0\x09", proxy=True, replace=False),
    case("ip neighbour delete 10.1.0.9 dev c0", "delete_neighbour", 40, b"\x0a\1\0\x09"),
    case("ip neighbour delete proxy 10.1.0.9 dev c0", "delete_neighbour", 40, b"\x0a\1\0\x09", proxy=True),
    case(f"bridge fdb add {M} dev a0 master static vlan 7", "add_fdb", 20, MAC, vlan=7),
    case(f"bridge fdb replace {M} dev a0 master dynamic sticky extern_learn",
         "add_fdb", 20, MAC, state="dynamic", sticky=True, extern_learn=True, replace=True),
    case(f"bridge fdb append {M} dev vx self permanent dst 10.1.0.1 port 9999 vni 8 via c0",
         "add_fdb", 50, MAC, master=False, dst=V4, port=9999, vni=8, via=40, append=True),
    case(f"bridge fdb add {M} dev vx self permanent dst fd00::1", "add_fdb", 50, MAC, master=False, dst=V6),
    case(f"bridge fdb delete {M} dev a0 master vlan 7", "delete_fdb", 20, MAC, vlan=7),
    case(
        "ip rule add from 10.1.0.0/16 to 10.1.0.1 iif lo fwmark 0x1/0x3 table 1000 priority 50",
        "add_rule", source=b"\x0a\1\0\0", source_prefix=16, destination=V4, iif="lo", mark=1, mask=3, table=1000,
        priority=50,
    ),
    case(
        "ip -6 rule add not from fd00::1 oif c0 priority 51 unreachable",
        "add_rule", family=10, source=V6, oif="c0", action="unreachable", invert=True, priority=51,
    ),
    case("ip rule add table 254 suppress_prefixlength 0 priority 52",
         "add_rule", table=254, suppress_prefix=0, priority=52),
    case("ip rule delete from 10.1.0.0/16 priority 50",
         "delete_rule", source=b"\x0a\1\0\0", source_prefix=16, priority=50),
]  # fmt: skip


# ------------------------------------------------------------------------------------------------- capturing
def messages_of(trace: str) -> list[bytes]:
    """Read what strace wrote of the sends: its hexadecimal dump, message by message."""
    raw = bytearray()
    for line in trace.splitlines():
        dumped = re.search(r"^ \| [0-9a-f]+  ((?:[0-9a-f]{2} +)+)", line)
        if dumped:
            raw += bytes.fromhex(dumped[1])
    found = []
    at = 0
    while at + 16 <= len(raw):
        (size,) = struct.unpack_from("=I", raw, at)
        found.append(bytes(raw[at : at + size]))
        at += (size + 3) & ~3
    return found


def capture(command: str) -> bytes:
    """Run a command in this process's namespaces, and give the one message that changes something."""
    with tempfile.NamedTemporaryFile("r") as trace:
        subprocess.run(
            ["strace", "-qq", "-e", "trace=sendmsg,sendto", "-e", "write=all", "-o", trace.name, *command.split()],
            capture_output=True,
            timeout=20,
        )
        sent = messages_of(trace.read())
    changing = [message for message in sent if changes(message)]
    assert len(changing) == 1, f"{command}: {sent}"
    return changing[0]


def changes(message: bytes) -> bool:
    (kind,) = struct.unpack_from("=H", message, 4)
    # RTM_GET… asks; an RTM_NEWLINK of nothing but its head is iproute2's question whether the kernel knows it.
    return kind & 3 != 2 and not (kind == 16 and len(message) == 32 and message[20:24] == bytes(4))


def captured() -> dict[str, bytes]:
    """Capture every command; the process is in private namespaces already."""
    for line in SETUP.strip().splitlines():
        subprocess.run(line.split(), check=True, timeout=20)
    return {command: capture(command) for command, *_ in CASES}


def main() -> None:
    from driverapi._private import enter_private_namespaces

    enter_private_namespaces()
    FILE.write_text(json.dumps({command: raw.hex() for command, raw in captured().items()}, indent=1) + "\n")


if __name__ == "__main__":
    main()

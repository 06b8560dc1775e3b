"""What is wrong with a controller that has started again, in its books and in the kernel: lines, each of a kind."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import struct
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Final

from _fastnet.netns import open as open_namespace
from _fastnet.socket import NetlinkSocket
from driverapi import Controller, Sandbox
from driverapi.addresses import Address
from driverapi.dataplane.firewall.ruleset import SETS
from driverapi.dataplane.kernel import pinned
from driverapi.dataplane.routed import METRIC_MARK
from driverapi.ipam.default import DefaultIPAM
from driverapi.leftovers import dump_nsids, namespace_mounts
from driverapi.store.contract import Kind, State

__all__ = ["KINDS", "wrong_in_books", "wrong_in_kernel"]

KINDS: Final = (
    "reported",  # something that was reported done is not there, or otherwise than reported
    "unreported",  # something is there that was deleted, or nobody asked for
    "address",  # given twice, or lost
    "row",  # without owner, or half done
    "link",
    "namespace",
    "route",
    "neighbour",
    "sandbox",  # what is in it is not what its endpoints have
    "rule",  # of the packet filter
    "file",  # of a sandbox: it is missing, not up to date, or nobody's
    "traffic",
    "mended twice",
    "verb",  # one failed that had no reason to
    "start",  # a controller did not start
)

_BLACKHOLE: Final = 6  # RTN_BLACKHOLE, linux/rtnetlink.h
_RTM_GETNSID: Final = 90  # linux/rtnetlink.h
_PERMANENT: Final = 0x80  # NUD_PERMANENT, linux/neighbour.h


def wrong_in_books(ctl: Controller) -> list[str]:
    """Compare the rows of the store, the pools and the sandboxes' members with the endpoints."""
    endpoints = {one.id: one for network in ctl.networks for one in network._everyone()}
    joined = {id for id, one in endpoints.items() if one.sandbox is not None}
    rows = Counter((one.kind, one.state) for one in ctl._store.records())
    wanted = Counter(
        {
            (Kind.NETWORK, State.CREATED): len(ctl.networks),
            (Kind.ENDPOINT, State.CREATED): len(endpoints) - len(joined),
            (Kind.ENDPOINT, State.JOINED): len(joined),
            (Kind.SANDBOX, State.CREATED): len(ctl._sandboxes),
            (Kind.LEASE, State.CREATED): sum(len(network.leases) for network in ctl.networks),
        }
    )
    wrong = [] if rows == +wanted else [f"row: there are {rows}, not {+wanted}"]
    wrong += [
        f"row: {box} and its endpoints do not agree"
        for box in ctl._sandboxes.values()
        if {one.id for one in box.endpoints} != {id for id, one in endpoints.items() if one.sandbox is box}
    ]
    ipam = ctl._ipam
    assert isinstance(ipam, DefaultIPAM)
    use = {one.id: one for one in ipam.pools()}
    for network in ctl.networks:
        taken = Counter(ip for one in network._everyone() for _, ip in one._taken)
        wrong += [
            f"address: {ip.hex()} of {network} was given {times} times" for ip, times in taken.items() if times > 1
        ]
        for version, pool in network._pools.items():
            count = sum(len(ip) == (4 if version == 4 else 16) for ip in taken) + (version in network._gateways)
            count += len(ipam.leases(pool.id))
            if (use[pool.id].taken, ipam.free(pool.id)) != (count, use[pool.id].size - count):
                wrong.append(f"address: {use[pool.id]}, and {count} are in use")
    return wrong


def wrong_in_kernel(
    ctl: Controller, run_dir: str, theirs: Collection[str], dice: random.Random, *, sandboxes: int, pings: int
) -> list[str]:
    """Compare the kernel with the controller: all on the host, and what is in some of the sandboxes."""
    wrong = [*_links(ctl), *_namespaces(ctl, run_dir, theirs), *_routes(ctl), *_neighbours(ctl), *_files(ctl)]
    wrong += _rules(ctl)
    boxes = [box for box in ctl.sandboxes if box.endpoints or box.ownership.value != "host"]
    for box in dice.sample(boxes, min(len(boxes), sandboxes)):
        wrong += _inside(ctl, box)
    full = [box for box in boxes if box.endpoints]
    for box in dice.sample(full, min(len(full), pings)):
        endpoint = dice.choice(box.endpoints)
        network = endpoint.network
        target = network.gateway or network.gateway_ipv6
        if network.type == "macvlan":  # without a parent: there are its endpoints alone
            peers = [one for one in network.endpoints if one.sandbox not in (None, box)]  # theirs have no loopback
            if not peers:
                continue
            peer = dice.choice(peers)
            target = (peer.interfaces[0].address or peer.interfaces[0].address_ipv6).ip
        command = ["nsenter", f"--net={box.key}", "ping", "-c1", "-W2", "-q", str(target)]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            wrong.append(f"traffic: {box} does not reach {target} of {network}")
    return wrong


def _realised(ctl: Controller) -> Iterator[Any]:
    for record in list(ctl._lifecycle._endpoints.values()):
        if record.realised is not None:
            yield record.realised


def _links(ctl: Controller) -> Iterator[str]:
    kernel = ctl._dataplane._kernel  # type: ignore[attr-defined]
    with NetlinkSocket() as host:
        there = {link.index: link for link in host.dump_links() if link.index != 1}
    owned: dict[int, str] = {}
    for job in _realised(ctl):
        owned.update((one.host_index, one.host_name) for one in job.interfaces if one.host_index)
    for network in ctl.networks:
        masters = [index for (owner, _), index in kernel.masters.items() if owner == network.id]
        if not masters:
            yield f"link: {network} has none"
        owned.update((index, there[index].name if index in there else "") for index in masters)
    for star in kernel.stars.values():
        for index in star.links:
            owned[index] = there[index].name if index in there else ""
            if index in there and there[index].kind == "veth":
                owned[there[index].link] = there[there[index].link].name
    for index, name in owned.items():
        if index not in there or there[index].name != name:
            yield f"link: {name!r} ({index}) is not there"
    for index, link in there.items():
        if index not in owned:
            yield f"link: {link.name!r} ({index}) is nobody's"


def _settled(figure: Callable[[], Any], wanted: Any) -> Any:
    """Return a figure when it is as wanted, or after some seconds: the kernel lets namespaces go late."""
    deadline = time.monotonic() + 10
    while (found := figure()) != wanted and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def _namespaces(ctl: Controller, run_dir: str, theirs: Collection[str]) -> Iterator[str]:
    assert ctl._instance is not None
    owned = {box.key for box in ctl._sandboxes.values() if box.ownership.value == "owned"}
    bound = namespace_mounts(run_dir)
    files = {str(one) for one in ctl._instance.namespaces.iterdir()}
    for found, what in ((bound, "bound"), (files, "in the directory")):
        if found != owned:
            yield f"namespace: {what} {sorted(found - owned)} too many, {sorted(owned - found)} missing"
    if os.listdir(run_dir) != [ctl._instance.id]:
        yield f"namespace: {run_dir} has {os.listdir(run_dir)}"
    known = {*owned, *theirs}
    if (found := _settled(lambda: len(dump_nsids()), len(numbered := _numbered(known)))) != len(numbered):
        yield f"namespace: {found} are alive at the ends of links, {len(numbered)} of them known"


def _numbered(paths: Iterable[str]) -> set[int]:
    """Return the numbers that the kernel has given to namespaces, of those that have one."""
    found = set()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as netlink:
        for path in paths:
            with open(path, "rb") as file:  # nlmsghdr, rtgenmsg, NETNSA_FD
                netlink.send(struct.pack("=IHHIIIHHI", 28, _RTM_GETNSID, 1, 1, 0, 0, 8, 3, file.fileno()))
                answer = netlink.recv(4096)
            [number] = struct.unpack_from("=i", answer, 24)  # NETNSA_NSID
            found |= {number} - {-1}
    return found


def _routes(ctl: Controller) -> Iterator[str]:
    kernel = ctl._dataplane._kernel  # type: ignore[attr-defined]
    metric = METRIC_MARK | kernel.instance.number
    wanted = {(one.network.ip, one.prefix) for link in kernel.gateways.values() for one in link.addresses}
    with NetlinkSocket() as host:
        routes = [one for one in host.dump_routes() if one.type == _BLACKHOLE and one.metric == metric]
    found = {(one.destination, one.prefix) for one in routes}
    if found != wanted:
        yield f"route: {len(found - wanted)} that end prefixes are nobody's, {len(wanted - found)} are missing"


def _neighbours(ctl: Controller) -> Iterator[str]:
    kernel = ctl._dataplane._kernel  # type: ignore[attr-defined]
    masters = set(kernel.masters.values()) - {index for key, index in kernel.masters.items() if key in kernel.gateways}
    wanted = {(one.master, address.ip) for job in _realised(ctl) for one, address in pinned(job)}
    with NetlinkSocket() as host:
        found = {
            (one.index, one.address)
            for one in host.dump_neighbours()
            if one.state == _PERMANENT and one.index in masters and not _is_multicast(one.address)
        }
    if found != wanted:
        yield f"neighbour: {len(found - wanted)} are nobody's, {len(wanted - found)} are missing"


def _rules(ctl: Controller) -> Iterator[str]:
    """Compare the tables with what the firewall holds, and that with the endpoints' ports."""
    if shutil.which("nft") is None:
        return
    said = subprocess.run(["nft", "-j", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    found: Counter[tuple[str, str]] = Counter()
    for one in json.loads(said)["nftables"]:
        for kind in ("set", "map"):
            if kind in one:
                found[one[kind]["family"], one[kind]["name"]] += len(one[kind].get("elem", ()))
    firewall = ctl._dataplane._kernel.firewall  # type: ignore[attr-defined]
    wanted = Counter({(SETS[name].family, name): len(held) for name, held in firewall._contents._sets.items()})
    if +found != +wanted:
        yield f"rule: the kernel has {+found}, not {+wanted}"
    ports = [port for network in ctl.networks for endpoint in network._everyone() for port in endpoint.ports]
    if (count := wanted["inet", "any4"] + wanted["inet", "any6"]) != len(ports):
        yield f"rule: {count} ports are published, endpoints have {len(ports)}"
    if (held := sum(map(len, firewall.ports._held.values()))) != len(ports):
        yield f"rule: {held} ports of the host are held, endpoints have {len(ports)}"


def _is_multicast(ip: bytes) -> bool:
    return ip[0] == 0xFF if len(ip) == 16 else ip[0] >> 4 == 0xE


def _files(ctl: Controller) -> Iterator[str]:
    assert ctl._instance is not None
    served = {box: box._files for box in ctl._sandboxes.values() if box._files is not None}
    place = ctl._instance.directory / "files"
    found = set(os.listdir(place)) if place.exists() else set()
    if (known := {files.id for files in served.values()}) != found:
        yield f"file: directories {sorted(found - known)} too many, {sorted(known - found)} missing"
    for box, files in served.items():
        if names := set(os.listdir(files.directory)) ^ {"hosts", "resolv.conf"}:
            yield f"file: of {box.name} {sorted(names)} are missing, or too many"
        writes = files.writes
        box.refresh()
        if files.writes != writes:
            yield f"file: of {box.name}, {files.writes - writes} were not up to date"


def _inside(ctl: Controller, box: Sandbox) -> Iterator[str]:
    jobs = [job for job in _realised(ctl) if job.netns.key == box.key]
    names = {"lo", *(name for job in jobs for name in job.names.values())}
    addresses = {address.ip for job in jobs for address in job.addresses}
    versions = {4 if len(route.gateway) == 4 else 6 for job in jobs for route in job.plan.routes if _is_default(route)}
    with open_namespace(box.key) as inside:
        netlink = inside.socket
        links = {link.index: link for link in netlink.dump_links()}
        found = {one.address for one in netlink.dump_addresses() if one.index != 1 and one.address[:2] != b"\xfe\x80"}
        routes = [one for one in netlink.dump_routes() if not one.prefix and one.gateway and one.type == 1]
    shown = {link.name for link in links.values() if link.kind in ("veth", "macvlan") or link.index == 1}
    if shown != names:
        yield f"sandbox: {box.name} has links {sorted(shown)}, not {sorted(names)}"
    if found != addresses:
        yield f"sandbox: {box.name} has addresses {sorted(found)}, not {sorted(addresses)}"
    if (has := Counter(4 if len(one.gateway) == 4 else 6 for one in routes)) != Counter(versions):
        yield f"sandbox: {box.name} has default routes {dict(has)}, its endpoints ask for IPv{sorted(versions)}"
    of = {one.index: job.plan.priority for job in jobs for one in job.interfaces}
    for route in routes:
        wanting = [job for job in jobs if any(_is_default(one) and _alike(one, route) for one in job.plan.routes)]
        if wanting and of.get(route.index) != (highest := max(job.plan.priority for job in wanting)):
            yield f"sandbox: {box.name} has a default route of priority {of.get(route.index)}, not {highest}"


def _alike(one: Any, route: Any) -> bool:
    return len(one.gateway) == len(route.gateway)


def _is_default(route: Any) -> bool:
    destination: Address = route.destination
    return not destination.prefix

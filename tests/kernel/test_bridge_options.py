"""Options of bridge networks on the real kernel: bridges of others, gateways of others, sizes of packets."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyroute2 import IPRoute, NetNS

from _fastnet.batch import Batch
from _fastnet.netns import Namespace, create, drop
from _fastnet.socket import NetlinkSocket
from driverapi import Controller, Endpoint, Network, errors
from driverapi.dataplane import borrowed
from driverapi.dataplane import star as stars
from driverapi.doctor import examine
from driverapi.leftovers import take_inventory, wait_until_drained
from driverapi.pinger import Ping, ping
from tests.kernel.test_state import Place

HOST = f"/proc/{os.getpid()}/ns/net"
DUAL = {"ipv4": "10.6.0.0/24", "ipv6": "fd06::/64"}
BRIDGE = 80
MINE = bytes([10, 6, 0, 200])  # a machine on somebody's bridge, which is none of ours
ROUTER = bytes([10, 6, 0, 254])
OPTION = "com.docker.network."


@pytest.fixture
def theirs(tmp_path: Path, same_descriptors: None) -> Iterator[Namespace]:
    """``br7``, somebody's: with an address, a permanent neighbour and a machine on it."""
    path = str(tmp_path / "machine")
    [machine] = create([path])
    assert isinstance(machine, Namespace), machine
    with machine, NetlinkSocket() as near:
        batch = Batch()
        batch.add_bridge("br7", index=BRIDGE)
        mac = bytes([0xFE, 0xF0, 0, 0, 0, 7])  # high, so the bridge's too: our ports must be higher, or it changes
        batch.add_veth("port7", "eth0", index=81, mac=mac, peer_index=7, master=BRIDGE, namespace=machine.fileno())
        batch.add_address(BRIDGE, ROUTER, 24)
        batch.add_neighbour(BRIDGE, bytes([10, 6, 0, 77]), b"\2\0\0\0\0\x77")
        for index in (BRIDGE, 81):
            batch.set_link(index, up=True, addr_gen_mode=1)
        assert near.execute(batch).ok
        batch.clear()
        batch.set_link(7, up=True)
        batch.add_address(7, MINE, 24)
        assert machine.socket.execute(batch).ok
        before = picture()
        try:
            yield machine
            assert picture() == before
        finally:
            batch.clear()
            batch.delete_link(BRIDGE)
            batch.delete_link(81)
            near.execute(batch)
            drop([path])


@pytest.fixture
def ctl(tmp_path: Path, theirs: Namespace) -> Iterator[Controller]:
    run = str(tmp_path / "run")
    before = take_inventory(run)
    with Controller(run_dir=run) as made:
        yield made
    assert not wait_until_drained(before, run, 20)


def picture() -> dict[str, Any]:
    """All that somebody's bridge is and has."""
    with IPRoute() as ip:
        [bridge] = ip.get_links(BRIDGE)
        return {
            "links": sorted(link.get("ifname") for link in ip.get_links()),
            "is": (bridge.get("group"), bridge.get("address"), bridge.get("mtu"), bridge["flags"] & 1),
            "options": {
                name: value for name, value in bridge.get(("linkinfo", "data"))["attrs"] if "TIMER" not in name
            },
            "addresses": sorted((one.get("address"), one["prefixlen"]) for one in ip.get_addr(index=BRIDGE)),
            "neighbours": [one.get("dst") for one in ip.get_neighbours(2, ifindex=BRIDGE) if one["state"] == 0x80],
        }


def on(ctl: Controller, **options: Any) -> Network:
    return ctl.create_network("bridge", "net", **DUAL, options={"BridgeName": "br7", **options})


def key(endpoint: Endpoint) -> str:
    assert endpoint.sandbox is not None
    return endpoint.sandbox.key


def reached(source: str, targets: list[bytes], timeout: float = 4.0) -> list[bool]:
    return [one.answered for one in ping([Ping(source, target) for target in targets], timeout=timeout)]


def addresses(endpoint: Endpoint) -> list[bytes]:
    return [one.ip for one in endpoint.interfaces[0].packed_addresses]


def gateways(network: Network) -> list[bytes]:
    return [one.packed for one in (network.gateway, network.gateway_ipv6) if one is not None]


def test_a_bridge_of_somebody_else(ctl: Controller) -> None:
    """It is used, has the gateway's addresses meanwhile, and is left as it was."""
    before = picture()
    net = on(ctl)
    endpoints = net.attach(20, strict=True)
    one, two, *_ = endpoints
    assert reached(key(one), [*addresses(two), *gateways(net), MINE, ROUTER]) == [True] * 6
    assert reached(HOST, [*addresses(one), MINE]) == [True] * 3
    now = picture()
    assert {address for address, _ in now["addresses"]} == {"10.6.0.254", "10.6.0.1", "fd06::1"}
    for same in ("options", "is", "neighbours"):
        assert now[same] == before[same]
    with NetNS(key(one), flags=0) as inside:  # the bridge's MAC address may follow its ports: nothing is pinned
        assert [n for f in (2, 10) for n in inside.get_neighbours(f) if n["state"] == 0x80] == []
    net.detach(endpoints)
    net.delete()
    assert picture() == before
    again = on(ctl)
    again.attach(1, strict=True)  # and all of it goes with the controller


def test_an_address_with_another_mac(ctl: Controller, theirs: Namespace) -> None:
    """Machines that remember the old one are told; nothing is pinned by that either."""
    net = on(ctl)
    box = ctl.create_sandbox("box")
    for mac in ("02:00:00:00:00:0a", "02:00:00:00:00:0b"):
        endpoint = net.create_endpoint("ep", ipv4="10.6.0.50", mac=mac)
        endpoint.join(box)
        assert reached(str(theirs.path), [bytes([10, 6, 0, 50])], 0.8) == [True]
        assert reached(box.key, [*gateways(net), MINE]) == [True] * 3
        with NetNS(box.key, flags=0) as inside:
            assert [n for f in (2, 10) for n in inside.get_neighbours(f) if n["state"] == 0x80] == []
        endpoint.leave()
        endpoint.delete()


def test_its_own_address_is_the_gateway(ctl: Controller) -> None:
    before = picture()
    net = ctl.create_network("bridge", "net", ipv4="10.6.0.0/24", gateway="10.6.0.254", options={"BridgeName": "br7"})
    assert picture() == before
    [one] = net.attach(1, strict=True)
    assert reached(key(one), [ROUTER, MINE]) == [True, True]
    net.detach([one])
    net.delete()
    assert picture() == before


def test_an_address_that_is_not_the_bridges(ctl: Controller) -> None:
    """The host's route by that bridge is no conflict; any other is."""
    with IPRoute() as ip:
        ip.link("add", ifname="br8", kind="bridge", index=90)
        try:
            ip.link("set", index=90, state="up")
            ip.addr("add", index=90, address="10.7.0.1", prefixlen=24)
            with pytest.raises(errors.ConflictError, match=r"10\.7\.0\.0/24"):
                ctl.create_network("bridge", "net", ipv4="10.7.0.0/24", options={"BridgeName": "br7"})
            with pytest.raises(errors.ConflictError, match=r"10\.6\.0\.0/24"):
                ctl.create_network("bridge", "net", ipv4="10.6.0.0/24")
        finally:
            ip.link("del", index=90)
    assert ctl.networks == []


def test_names_that_cannot_be_had(ctl: Controller, tmp_path: Path) -> None:
    net = on(ctl)
    for name, says in (("br7", "another network's"), ("port7", "no bridge"), ("lo", "no bridge")):
        with pytest.raises(errors.KernelConflictError, match=says) as caught:
            ctl.create_network("bridge", "second", ipv4="10.9.0.0/24", options={"BridgeName": name})
        assert name in str(caught.value)
    ours = ctl.create_network("bridge", "ours", ipv4="10.9.0.0/24", options={"BridgeName": "br-ours"})
    with Controller(run_dir=tmp_path / "other") as other:
        with pytest.raises(errors.KernelConflictError, match="another network's"):
            other.create_network("bridge", "net", ipv4="10.10.0.0/24", options={"BridgeName": "br-ours"})
        assert other.networks == []
    assert set(ctl.networks) == {net, ours}


def test_half_a_network_is_undone(ctl: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    before = picture()

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(borrowed, "Star", interrupted)
        with pytest.raises(KeyboardInterrupt):
            on(ctl)
    assert picture() == before
    on(ctl)


def test_it_does_not_grow(ctl: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("driverapi.dataplane.star._ALL_PORTS", 5)
    net = on(ctl)
    endpoints = net.attach(8)
    assert [type(one.error) for one in endpoints] == [type(None)] * 5 + [errors.KernelLimitError] * 3
    net.detach(endpoints[:2])
    net.attach(2, strict=True)
    assert len(net.endpoints) == 5


def test_after_a_restart(tmp_path: Path, theirs: Namespace) -> None:
    place = Place(tmp_path)
    before = picture()
    ctl = place.start()
    on(ctl).attach(10, strict=True)
    with_it = picture()
    place.kill()
    assert {one.kind for one in examine(place.directory / "run").findings} <= {"unclean"}
    ctl = place.start()
    assert ctl.restored is not None
    assert not ctl.restored.mended, ctl.restored
    now = picture()
    assert now == with_it
    net = ctl.network("net")
    one, two, *_ = net.endpoints
    assert reached(key(one), [*addresses(two), *gateways(net), MINE]) == [True] * 5
    net.attach(2, strict=True)
    place.kill()
    place.start()
    place.clear()
    assert picture() == before


@pytest.mark.parametrize("named", [False, True])
def test_the_ipv4_gateway_is_another_machines(ctl: Controller, theirs: Namespace, named: bool) -> None:
    """The bridge has no IPv4 address of ours; the default route goes to whoever has it."""
    options = {OPTION + "bridge.inhibit_ipv4": "true"}
    if named:
        net = on(ctl, **options)
    else:
        net = ctl.create_network("bridge", "net", ipv4="10.9.0.0/24", ipv6="fd09::/64", options=options)
    one, two = net.attach(2, strict=True)
    assert reached(key(one), addresses(two)) == [True, True]
    assert reached(key(one), gateways(net), 0.7) == [False, True]
    with NetNS(key(one), flags=0) as inside:
        [route] = inside.get_default_routes(2)
        assert route.get("gateway") == str(net.gateway)
    with IPRoute() as ip:
        assert str(net.gateway) not in {address.get("address") for address in ip.get_addr()}
    if named:
        with NetNS(str(Path(theirs.path or "")), flags=0) as machine:
            machine.addr("add", index=7, address=str(net.gateway), prefixlen=24)
        assert reached(key(one), gateways(net)) == [True, True]


@pytest.mark.parametrize("driver", ["bridge", "routed"])
def test_the_mtu_is_that_of_packets(ctl: Controller, driver: str) -> None:
    """On all links of the way: 28 bytes of headers (IPv6: 48) and the rest fit into it, one byte more does not."""
    net = ctl.create_network(driver, "net", ipv4="10.9.0.0/24", ipv6="fd09::/64", options={"Mtu": "1400"})
    one, two = net.attach(2, strict=True)
    four, six = two.interfaces[0].address.ip, two.interfaces[0].address_ipv6.ip
    for target, headers in ((four, 28), (six, 48), (net.gateway, 28), (net.gateway_ipv6, 48)):
        for size, fits in ((1400 - headers, True), (1401 - headers, False)):
            command = ["nsenter", f"--net={key(one)}", "ping", "-c1", f"-W{2 if fits else 0.3}", "-Mdo", f"-s{size}"]
            done = subprocess.run([*command, str(target)], check=False, capture_output=True)
            assert (done.returncode == 0) is fits, (target, size, done)
    with IPRoute() as ip:
        links = [link for link in ip.get_links() if str(link.get("ifname")).startswith("dv")]
        assert {link.get("mtu") for link in links if driver == "bridge" or link.get("link") is not None} == {1400}


@pytest.mark.parametrize("driver", ["bridge", "routed", "macvlan"])
def test_an_mtu_that_is_too_small_for_ipv6(ctl: Controller, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below 1280 bytes a link has no IPv6 at all, so it refuses to be told of it; a star's further bridges too."""
    monkeypatch.setattr(stars, "PORTS", 4)
    net = ctl.create_network(driver, "net", ipv4="10.9.0.0/24", options={"Mtu": "576"})
    one, *_, last = net.attach(6, strict=True)
    for size, fits in ((548, True), (549, False)):
        command = ["nsenter", f"--net={key(one)}", "ping", "-c1", f"-W{2 if fits else 0.3}", "-Mdo", f"-s{size}"]
        done = subprocess.run([*command, str(last.interfaces[0].address.ip)], check=False, capture_output=True)
        assert (done.returncode == 0) is fits, (size, done)

"""Routed networks on the real kernel: who reaches whom, what is switched on, and that nothing stays."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from pyroute2 import IPRoute, NetNS

from driverapi import Controller, errors
from driverapi.endpoint import Endpoint
from driverapi.network import Network
from driverapi.pinger import Ping, ping

IFNAME = "com.docker.network.endpoint.ifname"
HOST = f"/proc/{os.getpid()}/ns/net"
SWITCHES = [
    "ipv4/ip_forward",
    *(f"ipv4/conf/{device}/{switch}" for device in ("all", "default", "lo") for switch in ("forwarding", "rp_filter")),
    *(f"ipv6/conf/{device}/forwarding" for device in ("all", "default", "lo")),
    *(f"ipv6/conf/{device}/force_forwarding" for device in ("all", "default", "lo")),
]


def switches() -> dict[str, str]:
    paths = {one: Path("/proc/sys/net", one) for one in SWITCHES}
    return {one: path.read_text().strip() for one, path in paths.items() if path.exists()}


def host() -> dict[str, Any]:
    """All of the host's side that a network could change."""
    with IPRoute() as ip:
        return {
            "links": {link.get("ifname") for link in ip.get_links()},
            "routes": {
                (one.get("dst"), one["dst_len"], one.get("table"), one.get("priority"))
                for family in (socket.AF_INET, socket.AF_INET6)
                for one in ip.get_routes(family)
                if one.get("dst") and not one.get("dst").startswith(("fe80", "ff"))
            },
            "addresses": {one.get("address") for one in ip.get_addr()},
            "switches": switches(),
        }


def reached(pairs: Sequence[tuple[str, bytes]], *, timeout: float = 4.0) -> list[bool]:
    return [one.answered for one in ping([Ping(place, target) for place, target in pairs], timeout=timeout)]


def addresses(endpoint: Endpoint) -> list[bytes]:
    return [one.ip for one in endpoint.interfaces[0].packed_addresses]


def place(endpoint: Endpoint) -> str:
    assert endpoint.sandbox is not None
    return endpoint.sandbox.key


def gateways(network: Network) -> list[bytes]:
    return [one.packed for one in (network.gateway, network.gateway_ipv6) if one is not None]


@pytest.fixture(autouse=True, scope="module")
def _forwarding() -> None:
    """Do on an older kernel, in the tests' own namespace, what its user is told to do."""
    if not Path("/proc/sys/net/ipv6/conf/all/force_forwarding").exists():
        Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")


@pytest.fixture
def controller(same_descriptors: None) -> Iterator[Controller]:
    before = host()
    with Controller() as controller:
        yield controller
    assert host() == before


@pytest.mark.parametrize(
    "prefixes", [{"ipv4": "10.8.0.0/24"}, {"ipv6": "fd08::/64"}, {"ipv4": "10.8.0.0/24", "ipv6": "fd08::/64"}]
)
def test_all_reach_each_other_the_gateway_and_the_host(controller: Controller, prefixes: dict[str, str]) -> None:
    before = switches()
    network = controller.create_network("routed", "net", **prefixes)
    endpoints = network.attach(4, strict=True)
    assert len(addresses(endpoints[0])) == len(prefixes)
    targets = gateways(network) + [ip for endpoint in endpoints for ip in addresses(endpoint)]
    places = [place(endpoint) for endpoint in endpoints]
    assert all(reached([*product(places, targets), *product([HOST], targets)]))
    assert switches() == before, "something that is not ours was switched on"


def test_what_the_kernel_has(controller: Controller) -> None:
    network = controller.create_network(
        "routed", "net", ipv4="10.8.0.0/24", ipv6="fd08::/64", options={"com.docker.network.driver.mtu": "1400"}
    )
    endpoints = network.attach(3, strict=True)
    one = endpoints[1]
    info = one.interfaces[0]
    with IPRoute() as ip:
        gateway = next(link for link in ip.get_links() if link.get(("linkinfo", "kind")) == "bridge")
        assert [link for link in ip.get_links() if link.get("master")] == []
        assert {a.get("address") for a in ip.get_addr(index=gateway["index"])} == {"10.8.0.1", "fd08::1"}
        for family, address, source in (
            (socket.AF_INET, str(info.address.ip), "10.8.0.1"),
            (socket.AF_INET6, str(info.address_ipv6.ip), "fd08::1"),
        ):
            [route] = [r for r in ip.get_routes(family, table=254) if r.get("dst") == address]
            assert route["dst_len"] == (32 if family == socket.AF_INET else 128)
            assert route.get("prefsrc") == source
            [entry] = ip.get_neighbours(family, ifindex=route.get("oif"))
            assert (entry.get("dst"), entry.get("lladdr")) == (address, str(info.mac_address))
            assert entry["state"] == 0x80  # NUD_PERMANENT
            link = ip.get_links(route.get("oif"))[0]
            assert link.get("address") == gateway.get("address")
            assert link.get("mtu") == 1400
            assert ip.get_addr(index=link["index"]) == ()
            name = link.get("ifname")
        assert Path(f"/proc/sys/net/ipv4/conf/{name}/forwarding").read_text().strip() == "1"
        router = Path("/proc/sys/net/ipv6/conf/all/forwarding").read_text()
        assert Path(f"/proc/sys/net/ipv6/conf/{name}/forwarding").read_text() == router  # we make none of it
        # What nobody has goes nowhere, and not by a default route of the host.
        assert {r.get("dst") for f in (socket.AF_INET, socket.AF_INET6) for r in ip.get_routes(f, type=6)} == {
            "10.8.0.0",
            "fd08::",
        }
    with NetNS(place(one), flags=0) as ns:
        eth0 = next(link for link in ns.get_links() if link.get("ifname") == "eth0")
        have = {(a.get("address"), a["prefixlen"]) for a in ns.get_addr(index=eth0["index"])}
        assert have == {(str(info.address.ip), 32), (str(info.address_ipv6.ip), 128)}
        assert {r.get("gateway") for r in ns.get_default_routes()} == {"10.8.0.1", "fd08::1"}
        neighbours = [n for f in (socket.AF_INET, socket.AF_INET6) for n in ns.get_neighbours(f)]
        permanent = {(n.get("dst"), n.get("lladdr")) for n in neighbours if n["state"] == 0x80}
        assert permanent == {(gateway_ip, gateway.get("address")) for gateway_ip in ("10.8.0.1", "fd08::1")}
    network.detach(endpoints[1:])
    assert all(reached([(place(endpoints[0]), ip) for ip in gateways(network)]))


@pytest.mark.parametrize(
    ("prefix", "room"), [("10.8.0.0/31", 1), ("10.8.0.0/30", 1), ("10.8.0.8/29", 5), ("fd08::/127", 1)]
)
def test_small_networks(controller: Controller, prefix: str, room: int) -> None:
    network = controller.create_network("routed", "net", **{"ipv6" if ":" in prefix else "ipv4": prefix})
    endpoints = network.attach(room)
    assert [endpoint.error for endpoint in endpoints] == [None] * room
    assert all(reached([*product(map(place, endpoints), gateways(network) + addresses(endpoints[0]))]))


def test_a_prefix_of_one_address_is_refused(controller: Controller) -> None:
    with pytest.raises(errors.InvalidError, match="use a /31 or shorter"):
        controller.create_network("routed", "net", ipv4="10.8.0.1/32")


def test_forwarding_none(controller: Controller) -> None:
    """Then only the gateway is reached, as the host forwards nothing."""
    network = controller.create_network(
        "routed", "net", ipv4="10.8.0.0/24", ipv6="fd08::/64", options={"driverapi.forwarding": "none"}
    )
    one, two = network.attach(2, strict=True)
    assert reached([(place(one), ip) for ip in gateways(network)]) == [True, True]
    forwards = Path("/proc/sys/net/ipv6/conf/all/forwarding").read_text().strip() == "1"
    assert reached([(place(one), ip) for ip in addresses(two)], timeout=0.5) == [False, forwards]


@pytest.mark.parametrize("value", ["all", "", True, []])
def test_forwarding_is_one_of_its_words(controller: Controller, value: object) -> None:
    with pytest.raises(errors.InvalidError, match=r"driverapi\.forwarding.*devices, none"):
        controller.create_network("routed", "net", ipv4="10.8.0.0/24", options={"driverapi.forwarding": value})


def test_without_a_switch_for_each_device(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older kernel: nothing is switched on for all silently; the error says how."""
    assert controller._dataplane._networks._kernel is controller._dataplane._kernel  # type: ignore[attr-defined]
    forwarding = controller._dataplane._kernel.forwarding  # type: ignore[attr-defined]
    read = forwarding._read
    monkeypatch.setattr(forwarding, "_read", lambda name, *which: None if "force" in name else read(name, *which))
    switch = Path("/proc/sys/net/ipv6/conf/all/forwarding")
    if switch.read_text().strip() == "1":
        pytest.skip("this kernel is an older one")
    before = host()
    with pytest.raises(errors.KernelUnsupportedError, match=r"sysctl net\.ipv6\.conf\.all\.forwarding=1"):
        controller.create_network("routed", "net", ipv4="10.8.0.0/24", ipv6="fd08::/64")
    assert host() == before
    controller.create_network("routed", "four", ipv4="10.8.0.0/24").delete()
    switch.write_text("1")
    try:
        network = controller.create_network("routed", "net", ipv4="10.8.0.0/24", ipv6="fd08::/64")
        one, two = network.attach(2, strict=True)
        assert all(reached([(place(one), ip) for ip in addresses(two)]))
    finally:
        switch.write_text("0")


def test_internal(controller: Controller) -> None:
    network = controller.create_network(
        "routed", "net", ipv4="10.8.0.0/24", ipv6="fd08::/64", options={"com.docker.network.internal": True}
    )
    one, two = network.attach(2, strict=True)
    assert all(reached([(place(one), ip) for ip in [*addresses(two), *gateways(network)]]))
    with NetNS(place(one), flags=0) as ns:
        assert list(ns.get_default_routes()) == []


def test_two_networks_in_one_sandbox(controller: Controller) -> None:
    """One of them has the default route; the neighbours of the other are reached all the same."""
    networks = [controller.create_network("routed", f"net{n}", ipv4=f"10.8.{n}.0/24") for n in range(2)]
    box = controller.create_sandbox("box")
    inside = [network.attach([box], strict=True)[0] for network in networks]
    others = [network.attach(1, strict=True)[0] for network in networks]
    assert all(reached([(box.key, ip) for other in others for ip in addresses(other)]))
    inside[0].leave()
    assert all(reached([(box.key, ip) for ip in addresses(others[1])]))
    inside[1].leave()


def test_many_networks_at_once(controller: Controller) -> None:
    networks = [
        controller.create_network("routed", f"net{n}", ipv4=f"10.8.{n}.0/24", ipv6=f"fd08:{n}::/64") for n in range(20)
    ]
    pairs = [network.attach(2, strict=True) for network in networks]
    assert all(reached([(place(one), ip) for one, two in pairs for ip in addresses(two)]))
    for network, endpoints in zip(networks[::2], pairs[::2], strict=True):
        network.detach(endpoints)
        network.delete()
    assert all(reached([(place(one), ip) for one, two in pairs[1::2] for ip in addresses(two)]))


def test_a_refused_route_is_its_endpoints_own(controller: Controller) -> None:
    """Somebody has a route to the address: that endpoint is undone and named, and the route stays."""
    network = controller.create_network("routed", "net", ipv4="10.8.0.0/24", ipv6="fd08::/64")
    with IPRoute() as ip:
        ip.route("add", dst="10.8.0.4/32", oif=1, scope="link")
    try:
        endpoints = network.attach(5)
        assert [endpoint.error is None for endpoint in endpoints] == [True, True, False, True, True]
        assert isinstance(endpoints[2].error, errors.KernelConflictError)
        assert "add route 10.8.0.4/32" in str(endpoints[2].error)
        assert len([name for name in host()["links"] if name[6:7] == "e"]) == 4
        assert ("fd08::4", 128, 254, 1024) not in host()["routes"]
        with IPRoute() as ip:
            assert [r.get("oif") for r in ip.get_routes(socket.AF_INET, table=254) if r.get("dst") == "10.8.0.4"] == [1]
    finally:
        with IPRoute() as ip:
            ip.route("del", dst="10.8.0.4/32", oif=1, scope="link")


def test_a_network_whose_prefix_another_controller_routes(controller: Controller) -> None:
    """Each has the end of the prefix for itself, and takes away its own only."""
    with Controller() as other:
        one = controller.create_network("routed", "net", ipv4="10.8.0.0/24")
        with pytest.raises(errors.ConflictError, match="the host's route to"):
            other.create_network("routed", "net", ipv4="10.8.0.0/24", gateway="10.8.0.254")
        other.create_network("routed", "net", ipv4="10.8.0.0/24", gateway="10.8.0.254", allow_overlap=True)
        one.delete()
        assert [route[:2] for route in host()["routes"] if route[0] == "10.8.0.0"] == [("10.8.0.0", 24)]
    assert [route for route in host()["routes"] if route[0] == "10.8.0.0"] == []


def test_an_existing_sandbox_keeps_its_own_default_route(controller: Controller) -> None:
    theirs = controller.create_sandbox("theirs")
    with NetNS(theirs.key, flags=0) as ns:
        ns.link("add", ifname="uplink", kind="bridge")
        uplink = ns.link_lookup(ifname="uplink")[0]
        ns.link("set", index=uplink, state="up")
        ns.route("add", dst="0.0.0.0/0", oif=uplink, scope="link")
        box = controller.create_sandbox("box", netns=theirs.key)
        network = controller.create_network("routed", "net", ipv4="10.8.0.0/24")
        [mine] = network.attach([box], strict=True)
        [other] = network.attach(1, strict=True)
        assert all(reached([(box.key, ip) for ip in [*addresses(other), *gateways(network)]]))
        mine.leave()
        assert len(list(ns.get_default_routes(socket.AF_INET))) == 1

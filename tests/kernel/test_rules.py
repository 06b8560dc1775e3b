"""Gateway modes, networks that are internal or shut, and forged senders: on the real kernel, by real traffic."""

from __future__ import annotations

import shutil
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from driverapi import Controller, errors, labels
from driverapi._native import socket_in
from driverapi.endpoint import Endpoint
from driverapi.network import Network
from tests.kernel.traffic import ask, beyond, contents, ip_of, no_tables, place, run, server, tables

pytestmark = pytest.mark.skipif(shutil.which("nft") is None, reason="nft is not installed")

MODE4, MODE6 = labels.BRIDGE_GATEWAY_MODE_IPV4, labels.BRIDGE_GATEWAY_MODE_IPV6
FORCE = Path("/proc/sys/net/ipv6/conf/all/force_forwarding")
HOST = {4: "192.0.2.1", 6: "2001:db8::1"}
AWAY = {4: "192.0.2.2", 6: "2001:db8::2"}
GATEWAY = {4: "10.77.0.1", 6: "fd77::1"}


@pytest.fixture(autouse=True)
def _private() -> Iterator[None]:
    with no_tables():
        yield


@pytest.fixture
def ctl(same_descriptors: None) -> Iterator[Controller]:
    with Controller() as controller:
        yield controller


@pytest.fixture
def outside(ctl: Controller) -> Iterator[str]:
    with beyond(ctl.create_sandbox("outside").key) as key:
        run("nsenter", f"--net={key}", "ip", "route", "add", "10.77.0.0/20", "via", HOST[4])
        run("nsenter", f"--net={key}", "ip", "route", "add", "fd77::/64", "via", HOST[6])
        yield key


def network(ctl: Controller, **options: Any) -> Network:
    named = {"mode4": MODE4, "mode6": MODE6, "icc": labels.BRIDGE_ENABLE_ICC, "guard": labels.GUARD}
    named |= {"internal": labels.INTERNAL, "host4": labels.HOST_IPV4, "host6": labels.HOST_IPV6}
    named["trusted"] = labels.BRIDGE_TRUSTED
    named["binding"] = labels.BRIDGE_HOST_BINDING_IPV4
    given = {named[name]: value for name, value in options.items()}
    return ctl.create_network("bridge", "web", ipv4="10.77.0.0/20", ipv6="fd77::/64", options=given)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    ("mode", "direct", "unpublished", "seen", "translated"),
    [
        ("nat", False, False, "host", True),
        ("nat-unprotected", True, True, "host", True),
        ("routed", True, False, "own", False),
    ],
)
def test_gateway_modes(
    ctl: Controller, outside: str, version: int, mode: str, direct: bool, unpublished: bool, seen: str, translated: bool
) -> None:
    (one,) = network(ctl, mode4=mode, mode6=mode).attach(1)
    ip = ip_of(one, version)
    with (
        server(place(one), 80, version=version),
        server(place(one), 81, version=version),
        server(outside, 7000, version=version),
        server(outside, 7000, "udp", version=version),
    ):

        def reached(where: str, port: int, wanted: bool) -> bool:  # one that is not reached would be waited for
            return (ask(where, port, where=outside, wait=2 if wanted else 0.3) == AWAY[version]) is wanted

        assert reached(ip, 80, unpublished)
        one.publish("8080:80")
        assert reached(ip, 80, direct)
        assert reached(ip, 81, unpublished)
        assert reached(HOST[version], 8080, translated)
        for protocol in ("tcp", "udp"):
            found = ask(AWAY[version], 7000, protocol, where=place(one))
            assert found == (HOST[version] if seen == "host" else ip)
        assert ask(ip, 81) is not None  # the host itself
    if not translated:
        assert [str(port) for port in one.ports if len(port.ip) == (4 if version == 4 else 16)] == [
            f"{ip}:80->{ip}:80/tcp" if version == 4 else f"[{ip}]:80->[{ip}]:80/tcp"
        ]
        with pytest.raises(errors.PortTakenError, match="open already"):
            one.publish("80")


def test_modes_may_differ_by_family(ctl: Controller) -> None:
    (one,) = network(ctl, mode4="nat", mode6="routed").attach(1)
    assert [str(port) for port in one.publish("8080:80")] == [
        "0.0.0.0:8080->10.77.0.2:80/tcp",
        "[fd77::2]:80->[fd77::2]:80/tcp",
    ]
    one.unpublish("8080:80", "80")
    assert one.ports == []


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_ipv6_ports_lead_to_their_sandbox(ctl: Controller, outside: str, protocol: str) -> None:
    one, other = network(ctl).attach(2)
    with server(place(one), 80, protocol, version=6):
        one.publish(f"8080:80/{protocol}")
        assert ask(HOST[6], 8080, protocol) is not None
        assert ask(GATEWAY[6], 8080, protocol) is not None
        assert ask(HOST[6], 8080, protocol, where=outside) == AWAY[6]
        assert ask(HOST[6], 8080, protocol, where=place(other)) == GATEWAY[6]
        assert ask(HOST[6], 8080, protocol, where=place(one)) == GATEWAY[6]
        assert ask("::1", 8080, protocol, wait=0.3) is None  # that no DNAT can do, so it cannot be asked for
        before = contents(tables()[0])
        with pytest.raises(errors.InvalidError, match=r"\[::1\]:90:80.*use 127\.0\.0\.1"):
            one.publish(f"91:80/{protocol}", f"[::1]:90:80/{protocol}")
        assert contents(tables()[0]) == before
        assert len(one.ports) == 2
        one.unpublish()
        assert ask(HOST[6], 8080, protocol, where=outside, wait=0.3) is None


def test_a_host_that_forwards_nothing_from_elsewhere_is_told(ctl: Controller, caplog: pytest.LogCaptureFixture) -> None:
    def told() -> list[tuple[str, str, str]]:
        found = [
            (one.network, one.network_name, one.option)  # type: ignore[attr-defined]
            for one in caplog.records
            if getattr(one, "event", "") == "network.not_forwarded"
        ]
        caplog.clear()
        return found

    switches = ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"]
    net = network(ctl, mode4="nat", mode6="routed")
    assert told() == [(net.id, "web", switch) for switch in switches]
    net.delete()
    plain = ctl.create_network("bridge", "plain", ipv4="10.79.0.0/24")
    inside = ctl.create_network("bridge", "in", ipv4="10.80.0.0/24", options={labels.INTERNAL: True})
    assert told() == []  # the one has no rules yet, the other wants to be reached by nobody
    plain.create_endpoint("ep", publish="8080:80")
    assert told() == [(plain.id, "plain", switches[0])]
    for gone in (plain, inside):
        gone.detach(gone.endpoints)
        gone.delete()
    with beyond(ctl.create_sandbox("outside").key):  # that link forwards by itself
        network(ctl, mode4="nat", mode6="routed")
        assert told() == []


@pytest.mark.skipif(not FORCE.exists(), reason="this kernel forwards IPv6 from all links or none")
def test_where_forwarding_is_not_to_be_switched_on_nothing_is_made() -> None:
    """In a container, say: a plugin that is asked for less goes on without, by the kind of the error."""
    run("mount", "--bind", "/proc/sys", "/proc/sys")
    try:
        run("mount", "-o", "remount,bind,ro", "/proc/sys")
        before = run("ip", "-o", "link")
        with Controller() as ctl:
            with pytest.raises(errors.NoPermissionError, match=r"force_forwarding: Read-only.*all\.forwarding=1"):
                network(ctl, mode4="nat")
            assert run("ip", "-o", "link") == before
        assert tables() == []
    finally:
        run("umount", "/proc/sys")


@pytest.mark.parametrize(("mode4", "mode6"), [("nat", "routed"), ("routed", "nat")])
def test_who_comes_in_by_a_trusted_link_reaches_all(ctl: Controller, mode4: str, mode6: str) -> None:
    """By its name: it comes after the network. Other links, and other networks, are as they were."""
    (one,) = network(ctl, mode4=mode4, mode6=mode6, trusted="wg0:out0").attach(1)
    options = {MODE4: mode4, labels.BRIDGE_TRUSTED: "wg0:out1"}
    (closed,) = ctl.create_network("bridge", "closed", ipv4="10.79.0.0/24", options=options).attach(1)
    with beyond(ctl.create_sandbox("outside").key) as outside:
        run("nsenter", f"--net={outside}", "ip", "route", "add", "10.64.0.0/12", "via", HOST[4])
        run("nsenter", f"--net={outside}", "ip", "route", "add", "fd77::/64", "via", HOST[6])
        for version in (4, 6):
            protocol = {4: "udp", 6: "tcp"}[version]
            with server(place(one), 81, protocol, version=version):
                assert ask(ip_of(one, version), 81, protocol, where=outside) == AWAY[version]
        with server(place(one), 81), server(place(closed), 81):
            assert ask(ip_of(one), 81, where=outside) == AWAY[4]
            assert ask(ip_of(closed), 81, where=outside, wait=0.2) is None
            assert ask(ip_of(one), 81, where=place(closed), wait=0.2) is None


def test_a_fixed_source_of_each_family(ctl: Controller, outside: str) -> None:
    run("ip", "addr", "add", "192.0.2.9/24", "dev", "out0")
    run("ip", "addr", "add", "2001:db8::9/64", "dev", "out0", "nodad")
    (one,) = network(ctl, mode4="nat", mode6="nat", host4="192.0.2.9", host6="2001:db8::9").attach(1)
    for version, source in ((4, "192.0.2.9"), (6, "2001:db8::9")):
        with server(outside, 7000, version=version):
            assert ask(AWAY[version], 7000, where=place(one)) == source


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"host4": "192.0.2.77"}, r"^network 'web': .* leave under 192\.0\.2\.77: the host has no such address"),
        ({"host6": "2001:db8::77"}, "leave under 2001:db8::77: the host has no such address"),
        ({"binding": "192.0.2.77"}, r"published at 192\.0\.2\.77: the host has no such address"),
        ({"host4": "192.0.2.1", "binding": "192.0.2.77"}, r"published at 192\.0\.2\.77"),
    ],
)
def test_an_address_that_is_not_the_hosts(ctl: Controller, outside: str, options: dict[str, str], says: str) -> None:
    before = run("ip", "-o", "addr")
    with pytest.raises(errors.InvalidError, match=says):
        network(ctl, mode4="nat", mode6="nat", **options)
    assert (ctl.networks, tables()) == ([], [])
    assert run("ip", "-o", "addr") == before
    (one,) = network(ctl, mode4="nat", mode6="nat").attach(1)  # all of it is free yet
    written = contents(tables()[0])
    for address in ("192.0.2.77", "[2001:db8::77]"):
        for protocol in ("tcp", "udp", "sctp"):
            with pytest.raises(errors.InvalidError, match=r"2.*77: the host has no such address.*ip_nonlocal_bind"):
                one.publish("8080:80", f"{address}:8081:80/{protocol}")
    assert (one.ports, contents(tables()[0])) == ([], written)


def test_an_address_that_the_host_has_later(ctl: Controller, outside: str) -> None:
    switches = [Path(f"/proc/sys/net/ipv{version}/ip_nonlocal_bind") for version in (4, 6)]
    for switch in switches:
        switch.write_text("1")
    try:
        (one,) = network(ctl, mode4="nat", mode6="nat", host4="192.0.2.77", host6="2001:db8::77").attach(1)
        one.publish("192.0.2.77:8080:80", "[2001:db8::77]:8080:80")
    finally:
        for switch in switches:
            switch.write_text("0")
    run("ip", "addr", "add", "192.0.2.77/24", "dev", "out0")
    run("ip", "addr", "add", "2001:db8::77/64", "dev", "out0", "nodad")
    for version, address in ((4, "192.0.2.77"), (6, "2001:db8::77")):
        with server(place(one), 80, version=version), server(outside, 7000, version=version):
            assert ask(address, 8080, where=outside) == AWAY[version]
            assert ask(AWAY[version], 7000, where=place(one)) == address


def test_an_internal_network_is_cut_off(ctl: Controller, outside: str) -> None:
    net = network(ctl, internal=True)
    one, other = net.attach(2)
    box = place(one)
    run("nsenter", f"--net={box}", "ip", "route", "add", "default", "via", "10.77.0.1")
    with server(place(one), 80), server(outside, 7000):
        assert ask(ip_of(one), 80, where=place(other)) is not None
        assert ask(ip_of(one), 80) is not None
        for name in ("all", "default"):
            assert Path(f"/proc/sys/net/ipv4/conf/{name}/forwarding").read_text().strip() == "0"
        bridge = next(
            line.split()[1].rstrip(":") for line in run("ip", "-o", "link", "show", "type", "bridge").splitlines()
        )
        Path(f"/proc/sys/net/ipv4/conf/{bridge}/forwarding").write_text("1")  # as ip_forward would do
        assert ask(ip_of(one), 80, where=outside, wait=0.3) is None
        assert ask(AWAY[4], 7000, where=box, wait=0.3) is None


def test_an_isolated_bridge_has_no_address(ctl: Controller) -> None:
    net = network(ctl, internal=True, mode4="isolated", mode6="isolated")
    one, other = net.attach(2)
    with server(place(one), 80), server(place(one), 80, version=6):
        assert ask(ip_of(one), 80, where=place(other)) is not None
        assert ask(ip_of(one, 6), 80, where=place(other)) is not None
        assert ask(ip_of(one), 80, wait=0.3) is None
    assert "10.77.0.1" not in run("ip", "addr")
    assert "fd77::1" not in run("ip", "addr")


@pytest.mark.parametrize("many", [False, True])
def test_sandboxes_of_a_shut_network_do_not_reach_each_other(ctl: Controller, outside: str, many: bool) -> None:
    net = network(ctl, icc=False, mode4="nat")
    endpoints = net.attach(1100 if many else 2)  # more than one bridge has ports for
    assert all(endpoint.error is None for endpoint in endpoints)
    one, other = endpoints[0], endpoints[-1]
    run("nsenter", f"--net={place(other)}", "ip", "addr", "add", "fe80::1/64", "dev", "eth0", "nodad")
    with server(place(one), 80), server(place(one), 80, version=6), server(outside, 7000):
        for version in (4, 6):
            assert ask(ip_of(one, version), 80, where=place(other), wait=0.3) is None
            assert ask(ip_of(one, version), 80) is not None
        run("nsenter", f"--net={place(other)}", "ip", "route", "replace", ip_of(one), "via", "10.77.0.1")
        assert ask(ip_of(one), 80, where=place(other), wait=0.3) is None  # by the gateway
        assert ask(AWAY[4], 7000, where=place(other)) == HOST[4]
        one.publish("8080:80")
        assert ask(GATEWAY[4], 8080, where=place(other)) is not None
    net.detach(endpoints)


def test_bridged_packets_in_the_packet_filter_are_a_clear_error(ctl: Controller) -> None:
    bridged = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if not bridged.exists():
        pytest.skip("br_netfilter is not loaded")
    bridged.write_text("1")
    try:
        with pytest.raises(errors.KernelUnsupportedError, match=r"sysctl net\.bridge\.bridge-nf-call-iptables=0"):
            network(ctl, icc=False)
        assert ctl.networks == []
        network(ctl)
    finally:
        bridged.write_text("0")
    assert "dv" not in run("ip", "-o", "link", "show", "type", "veth")


def frame(endpoint: Endpoint, *, mac: bytes | None = None, source: str | None = None, target: Endpoint) -> bytes:
    """A UDP datagram for port 9 as a frame: of the endpoint's own addresses, or of others."""
    own, other = (one.interfaces[0].packed_mac for one in (endpoint, target))
    assert own is not None
    assert other is not None
    head = bytearray(struct.pack("!BBHHHBBH", 0x45, 0, 29, 0, 0, 64, 17, 0))
    head += socket.inet_aton(source or ip_of(endpoint)) + socket.inet_aton(ip_of(target))
    total = sum(struct.unpack("!10H", head))
    struct.pack_into("!H", head, 10, ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF)
    return other + (mac or own) + b"\x08\0" + bytes(head) + struct.pack("!HHHH", 9, 9, 9, 0) + b"x"


@pytest.mark.parametrize("guard", [True, False])
def test_forged_senders(ctl: Controller, guard: bool) -> None:
    one, other = network(ctl, guard=guard).attach(2)
    raw = socket.socket(fileno=socket_in(place(one), socket.AF_PACKET, socket.SOCK_RAW, 0))
    heard = socket.socket(fileno=socket_in(place(other), socket.AF_INET, socket.SOCK_DGRAM, 0))
    with raw, heard:
        raw.bind(("eth0", 0))
        heard.bind(("", 9))
        heard.settimeout(0.5)

        def passes(**forged: Any) -> bool:
            raw.send(frame(one, target=other, **forged))
            try:
                return bool(heard.recv(16))
            except TimeoutError:
                return False

        assert passes()
        assert passes(mac=b"\2\1\1\1\1\1") is not guard
        assert passes(source="10.77.0.99") is not guard
        assert passes()
    with server(place(other), 80), server(place(other), 80, version=6):  # what is not forged passes, ARP and ND too
        for version in (4, 6):
            assert ask(ip_of(other, version), 80, where=place(one)) is not None


def test_links_of_a_shut_network(ctl: Controller) -> None:
    net = network(ctl, icc=False)
    child = net.create_endpoint("child", options={labels.ENDPOINT_EXPOSED_PORTS: ["80/tcp", "53/udp"]})
    parent, stranger = net.create_endpoint("parent"), net.create_endpoint("stranger")
    boxes = {one: ctl.create_sandbox(one.name) for one in (child, parent, stranger)}
    child.join(boxes[child])
    parent.join(boxes[parent], {"ChildEndpoints": [child.id]})
    stranger.join(boxes[stranger])
    with (
        server(place(child), 80),
        server(place(child), 53, "udp"),
        server(place(child), 81),
        server(place(child), 80, version=6),
        server(place(parent), 80),
    ):
        assert ask(ip_of(child), 80, where=place(parent)) is not None
        assert ask(ip_of(child), 53, "udp", where=place(parent)) is not None
        assert ask(ip_of(child, 6), 80, where=place(parent)) is not None
        assert ask(ip_of(child), 81, where=place(parent), wait=0.3) is None
        assert ask(ip_of(parent), 80, where=place(child), wait=0.3) is None
        assert ask(ip_of(child), 80, where=place(stranger), wait=0.3) is None
        address = ip_of(child)
        child.leave()
        child.delete()
        other = net.create_endpoint("other", ipv4=address)
        other.join(boxes[child])
        assert ask(address, 80, where=place(parent), wait=0.3) is None  # the address is another's now

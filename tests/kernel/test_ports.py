"""Published ports on the real kernel, by real traffic; and that nothing of it stays."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from driverapi import Controller, errors, labels
from driverapi.dataplane import networks
from driverapi.dataplane.firewall.ruleset import make_tables
from driverapi.network import Network
from tests.kernel.traffic import ask, beyond, contents, ip_of, no_tables, place, run, server, tables

pytestmark = pytest.mark.skipif(shutil.which("nft") is None, reason="nft is not installed")

MASQUERADE = {"com.docker.network.bridge.enable_ip_masquerade": True}


@pytest.fixture(autouse=True)
def _private() -> Iterator[None]:
    with no_tables():
        yield


@pytest.fixture
def ctl(same_descriptors: None) -> Iterator[Controller]:
    with Controller() as controller:
        yield controller


@pytest.fixture
def net(ctl: Controller) -> Network:
    return ctl.create_network("bridge", "web", ipv4="10.77.0.0/24")


@pytest.fixture
def outside(ctl: Controller) -> Iterator[str]:
    with beyond(ctl.create_sandbox("outside").key) as place:
        yield place


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_port_leads_to_its_sandbox_from_everywhere(net: Network, outside: str, protocol: str) -> None:
    one, other = net.attach(2)
    with server(place(one), 80, protocol):
        assert ask("127.0.0.1", 8080, protocol, wait=0.2) is None
        one.publish(f"8080:80/{protocol}")
        assert ask("127.0.0.1", 8080, protocol) == "10.77.0.1"  # by the host, through loopback
        assert ask("192.0.2.1", 8080, protocol) == "192.0.2.1"  # by the host, at its own address
        assert ask("10.77.0.1", 8080, protocol) == "10.77.0.1"
        assert ask("192.0.2.1", 8080, protocol, where=outside) == "192.0.2.2"  # from elsewhere: the source is kept
        assert ask("192.0.2.1", 8080, protocol, where=place(other)) == "10.77.0.1"  # from another sandbox
        assert ask("192.0.2.1", 8080, protocol, where=place(one)) == "10.77.0.1"  # from the sandbox itself
        assert ask("192.0.2.1", 8081, protocol, where=outside, wait=0.2) is None
        one.unpublish()
        assert ask("127.0.0.1", 8080, protocol, wait=0.2) is None
        assert ask("192.0.2.1", 8080, protocol, where=outside, wait=0.2) is None


def test_a_port_of_one_address_is_not_at_others(net: Network, outside: str) -> None:
    (one,) = net.attach(1)
    with server(place(one), 80):
        one.publish("127.0.0.1:8080:80", "192.0.2.1:8081:80")
        assert ask("127.0.0.1", 8080) is not None
        assert ask("192.0.2.1", 8080, where=outside, wait=0.3) is None
        assert ask("192.0.2.1", 8081, where=outside) == "192.0.2.2"
        assert ask("127.0.0.1", 8081, wait=0.3) is None


def test_loopback_addresses_are_kept_off_the_wire(net: Network) -> None:
    """A sandbox reaches no server of the host's at 127.0.0.1, though its link routes such addresses."""
    one, other = net.attach(2)
    other.publish("8080:80")
    index = run("ip", "-j", "link", "show", "type", "bridge")
    bridge = json.loads(index)[0]["ifname"]
    assert Path(f"/proc/sys/net/ipv4/conf/{bridge}/route_localnet").read_text().strip() == "1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 9090))
        listening.settimeout(0.5)
        inside = ("nsenter", f"--net={place(one)}")
        run(*inside, "ip", "addr", "flush", "dev", "lo")
        run(*inside, "sysctl", "-q", "-w", "net.ipv4.conf.eth0.route_localnet=1")
        run(*inside, "ip", "route", "add", "127.0.0.0/8", "via", "10.77.0.1")
        assert ask("127.0.0.1", 9090, "udp", where=place(one), source=ip_of(one), wait=0.5) is None
        with pytest.raises(TimeoutError):  # not even one way
            listening.recv(16)


def test_what_leaves_has_an_address_of_the_host(ctl: Controller, outside: str) -> None:
    run("ip", "addr", "add", "192.0.2.9/24", "dev", "out0")
    plain = ctl.create_network("bridge", "plain", ipv4="10.78.0.0/24", options=MASQUERADE)
    fixed = ctl.create_network(
        "bridge", "fixed", ipv4="10.79.0.0/24", options={**MASQUERADE, "com.docker.network.host_ipv4": "192.0.2.9"}
    )
    bare = ctl.create_network("bridge", "bare", ipv4="10.80.0.0/24")
    with server(outside, 7000), server(outside, 7000, "udp"):
        for protocol in ("tcp", "udp"):
            assert ask("192.0.2.2", 7000, protocol, where=place(plain.attach(1)[0])) == "192.0.2.1"
            assert ask("192.0.2.2", 7000, protocol, where=place(fixed.attach(1)[0])) == "192.0.2.9"
            assert ask("192.0.2.2", 7000, protocol, where=place(bare.attach(1)[0]), wait=0.3) is None


def test_networks_with_rules_are_apart_but_for_published_ports(ctl: Controller) -> None:
    here = ctl.create_network("bridge", "here", ipv4="10.78.0.0/24", options=MASQUERADE)
    there = ctl.create_network("bridge", "there", ipv4="10.79.0.0/24", options=MASQUERADE)
    (one,), (other,) = here.attach(1), there.attach(1)
    with server(place(other), 80):
        assert ask(ip_of(other), 80, where=place(one), wait=0.3) is None
        other.publish("8080:80")
        assert ask("10.78.0.1", 8080, where=place(one)) == "10.79.0.1"
        assert ask(ip_of(other), 80, where=place(one), wait=0.3) is None


def test_a_port_is_held_so_that_nobody_else_takes_it(net: Network) -> None:
    (one,) = net.attach(1)
    one.publish("8080:80", "5353:53/udp")
    for kind, number in ((socket.SOCK_STREAM, 8080), (socket.SOCK_DGRAM, 5353)):
        with socket.socket(socket.AF_INET, kind) as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError) as caught:
                other.bind(("127.0.0.1", number))
            assert caught.value.errno == errno.EADDRINUSE
    one.unpublish("8080:80")
    with socket.create_server(("127.0.0.1", 8080)):
        pass
    assert [str(port) for port in one.ports] == ["0.0.0.0:5353->10.77.0.2:53/udp"]


def test_a_first_port_that_fails_leaves_no_rules(
    ctl: Controller, net: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network's rules are there when its link is to forward, which fails: they go, and come with the next port."""

    def refuse(*_: object) -> NoReturn:
        raise errors.KernelError("refused", 12)

    (one,) = net.attach(1)
    with monkeypatch.context() as patch:
        patch.setattr(networks, "first_failure", refuse)
        with pytest.raises(errors.KernelError, match="refused"):
            one.publish("8080:80")
    table = f"driverapi-{ctl._instance.id}"  # type: ignore[union-attr]
    assert not any(contents(table).values())
    with server(place(one), 80):
        one.publish("8080:80")
        assert ask("127.0.0.1", 8080) == "10.77.0.1"


def test_one_call_is_one_transaction(ctl: Controller, net: Network) -> None:
    """All or none: a port that somebody has takes the others of the call with it, and their holds."""
    one, other = net.attach(2)
    one.publish("7999:1")
    table = f"driverapi-{ctl._instance.id}"  # type: ignore[union-attr]
    before = contents(table)
    with socket.create_server(("", 8002)):
        with pytest.raises(errors.PortTakenError, match=r"8002/tcp.*not ours"):
            net.publish([(one, "8000:80"), (other, ["8001:80", "8002:80"])])
        assert (one.ports[1:], other.ports) == ([], [])
        assert contents(table) == before
    found = net.publish([(one, "8000:80"), (other, ["8001:80", "8002:80/udp"])])
    assert [str(port) for port in found] == [
        "0.0.0.0:8000->10.77.0.2:80/tcp",
        "0.0.0.0:8001->10.77.0.3:80/tcp",
        "0.0.0.0:8002->10.77.0.3:80/udp",
    ]
    assert sorted(pair[0]["concat"][1] for pair in contents(table)["any4"]) == [7999, 8000, 8001, 8002]
    net.unpublish([(one, []), (other, "8001:80")])
    assert [pair[0]["concat"] for pair in contents(table)["any4"]] == [["udp", 8002]]


def test_many_in_one_call_and_all_away(ctl: Controller, net: Network) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
    try:
        (one,) = net.attach(1)
        one.publish("9999:9")  # the first opens a socket to the kernel too
        open_before = len(os.listdir("/proc/self/fd"))
        net.publish([(one, f"{10_000 + n}:{1 + n}") for n in range(4000)])
        assert len(os.listdir("/proc/self/fd")) == open_before + 4000
        found = contents(f"driverapi-{ctl._instance.id}")["any4"]  # type: ignore[union-attr]
        assert {(key["concat"][1], data["concat"][1]) for key, data in found} == {
            (10_000 + n, 1 + n) for n in range(4000)
        } | {(9999, 9)}
        net.detach([one])
        assert len(os.listdir("/proc/self/fd")) <= open_before
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_descriptors_it_says_what_to_do(net: Network) -> None:
    (one,) = net.attach(1)
    one.publish("9000:80")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 20, hard))
    try:
        with pytest.raises(errors.KernelLimitError, match="hold_ports=False"):
            net.publish([(one, f"{10_000 + n}:80") for n in range(100)])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(one.ports) == 1


def test_ports_need_not_be_held() -> None:
    with Controller(hold_ports=False) as ctl:
        (one,) = ctl.create_network("bridge", "web", ipv4="10.77.0.0/24").attach(1)
        one.publish("8080:80")
        with pytest.raises(errors.PortTakenError, match="published already"):
            one.publish("8080:81")
        with socket.create_server(("127.0.0.1", 8081)), pytest.raises(errors.PortTakenError, match="not ours"):
            one.publish("8081:80")
        with socket.socket() as other:
            other.bind(("127.0.0.1", 8080))


def test_automatic_ports_are_the_kernels_without_the_reserved(net: Network) -> None:
    low, high = Path("/proc/sys/net/ipv4/ip_local_port_range"), Path("/proc/sys/net/ipv4/ip_local_reserved_ports")
    before = low.read_text()
    low.write_text("40000 40005")
    high.write_text("40001,40003-40004")
    try:
        (one,) = net.attach(1)
        with socket.create_server(("", 40002)):
            one.publish("80", "81")
            assert [port.host_port for port in one.ports] == [40000, 40005]
            with pytest.raises(errors.PortsExhaustedError, match=r"40000…40005/tcp"):
                one.publish("82")
        one.publish("82")
        one.publish("82/udp")
        assert [port.host_port for port in one.ports] == [40000, 40005, 40002, 40000]
    finally:
        low.write_text(before)
        high.write_text("\n")


def test_a_table_that_somebody_deletes_is_made_again(ctl: Controller, net: Network) -> None:
    (one,) = net.attach(1)
    one.publish("8080:80")
    table = f"driverapi-{ctl._instance.id}"  # type: ignore[union-attr]
    before = contents(table)
    run("nft", "flush", "ruleset")
    one.publish("8081:80")
    assert {name: len(elements) for name, elements in contents(table).items()} == {
        **{name: len(elements) for name, elements in before.items()},
        "any4": 2,
    }


def test_tables_that_somebody_deletes_are_made_with_one_that_is_new(ctl: Controller, net: Network) -> None:
    """It is another family's: a network that is shut needs both."""
    (one,) = net.attach(1, publish="8080:80")
    run("nft", "flush", "ruleset")
    ctl.create_network("bridge", "shut", ipv4="10.78.0.0/24", options={labels.BRIDGE_ENABLE_ICC: False})
    assert one.error is None
    assert len(contents(f"driverapi-{ctl._instance.id}")["any4"]) == 1  # type: ignore[union-attr]


def test_a_table_that_a_dead_instance_of_that_id_left_is_made_anew(ctl: Controller, net: Network) -> None:
    id = ctl._instance.id  # type: ignore[union-attr]
    make_tables(id, ("inet", "bridge"))
    run("nft", f"add element inet driverapi-{id} any4 {{ tcp . 9999 : 10.0.0.1 . 80 }}")
    run("nft", f"add element bridge driverapi-{id} shut {{ lo }}")
    (one,) = net.attach(1)
    one.publish("8080:80")
    assert [key["concat"] for key, _ in contents(f"driverapi-{id}")["any4"]] == [["tcp", 8080]]
    shut = {"com.docker.network.bridge.enable_icc": False, "com.docker.network.bridge.name": "br-shut"}
    ctl.create_network("bridge", "shut", ipv4="10.78.0.0/24", options=shut)
    assert set(contents(f"driverapi-{id}", "bridge")) == {"gates"}
    assert [key["concat"] for key, _ in contents(f"driverapi-{id}")["any4"]] == [["tcp", 8080]]


def test_the_tables_of_others_are_left_alone(ctl: Controller, net: Network) -> None:
    run("nft", "add table inet other; add chain inet other c { type nat hook prerouting priority -90; }")
    try:
        before = run("nft", "list", "table", "inet", "other")
        (one,) = net.attach(1)
        one.publish("8080:80")
        assert run("nft", "list", "table", "inet", "other") == before
        assert len(tables()) == 2
        ctl.close()
        assert run("nft", "list", "ruleset") == before
    finally:
        run("nft", "delete", "table", "inet", "other")


def test_networks_without_rules_make_no_table(ctl: Controller, net: Network) -> None:
    net.detach(net.attach(2))
    assert tables() == []


def test_without_nft_there_is_a_clear_error_and_the_rest_works(
    ctl: Controller, net: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("driverapi.dataplane.firewall.ruleset.shutil.which", lambda *_, **__: None)
    (one,) = net.attach(1)
    with pytest.raises(errors.KernelUnsupportedError, match="install nftables"):
        one.publish("8080:80")
    with pytest.raises(errors.KernelUnsupportedError, match="install nftables"):
        ctl.create_network("bridge", "nat", ipv4="10.78.0.0/24", options=MASQUERADE)
    assert [one.name for one in ctl.networks] == ["web"]
    with pytest.raises(errors.KernelUnsupportedError, match="install nftables"):
        net.create_endpoint("ep", publish="8080:80")
    assert [one.name for one in net.endpoints] == [one.name]
    with socket.create_server(("", 8080)):  # it is not held
        pass


def test_ranges_and_sctp_are_elements_too(ctl: Controller, net: Network) -> None:
    (one,) = net.attach(1)
    one.publish("9000-9002:80-82/sctp", "9100-9101:90", "9100-9101:91")
    found = contents(f"driverapi-{ctl._instance.id}")["any4"]  # type: ignore[union-attr]
    assert sorted((key["concat"], data["concat"][1]) for key, data in found) == [
        (["sctp", 9000], 80),
        (["sctp", 9001], 81),
        (["sctp", 9002], 82),
        (["tcp", 9100], 90),
        (["tcp", 9101], 91),
    ]


GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("family", ["inet", "bridge"])
def test_the_table_is_the_golden_one(ctl: Controller, family: str) -> None:
    """Both tables, read back as JSON; ``DRIVERAPI_GOLDEN=write`` writes what they are now."""
    options = {**MASQUERADE, "com.docker.network.bridge.enable_icc": False, "driverapi.guard": True}
    options["com.docker.network.bridge.name"] = "br-golden"
    options["com.docker.network.bridge.trusted_host_interfaces"] = "wg0"
    net = ctl.create_network("bridge", "web", ipv4="10.77.0.0/24", ipv6="fd77::/64", options=options)
    one = net.create_endpoint("one", publish=["8080:80", "127.0.0.1:53:53/udp"])
    one.join(ctl.create_sandbox("box"))
    id = tables()[0][-4:]
    text = run("nft", "-j", "list", "table", family, f"driverapi-{id}")
    text = re.sub(r"dv[0-9a-f]{4}e[0-9a-f]+", "PORT", text).replace(id, "ID")
    found = json.loads(re.sub(r', "handle": [0-9]+', "", text))["nftables"]
    assert found.pop(0)["metainfo"]["json_schema_version"] == 1
    for one in found:
        for held in one.values():
            held.get("elem", []).sort(key=json.dumps)  # their order is the kernel's
    golden = GOLDEN / f"{family}.json"
    if os.environ.get("DRIVERAPI_GOLDEN") == "write":
        golden.write_text("[\n" + ",\n".join(json.dumps(one) for one in found) + "\n]\n")
    if "v1.0.6" not in run("nft", "--version"):
        pytest.skip("another version of nft writes another JSON")
    assert found == json.loads(golden.read_text())

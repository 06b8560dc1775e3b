"""Driver bridge and the built-in IPAM, driven by a real Docker engine."""

from __future__ import annotations

import io
import signal
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from driverapi.bench.dockerd import IMAGE, Container, Engine, EngineError, _Connection
from tests.docker.conftest import NAME, Host


def test_a_network_from_its_creation_to_its_end(host: Host) -> None:
    host.network("net")
    one, two = host.run("one", "net"), host.run("two", "net")
    told, other = host.engine.endpoint("one", "net"), host.engine.endpoint("two", "net")
    assert told["Gateway"] == other["Gateway"]
    assert told["IPAddress"] != other["IPAddress"]
    link = host.inside(one)["eth0"]
    assert link["address"] == told["MacAddress"]
    assert [address["local"] for address in link["addr_info"] if address["family"] == "inet"] == [told["IPAddress"]]
    assert host.pings(one, other["IPAddress"])
    assert host.pings(two, told["IPAddress"])
    assert host.pings(one, told["Gateway"])
    assert host.from_host(told["IPAddress"])
    assert "docker_gwbridge" not in [net["Name"] for net in host.engine.request("GET", "/networks")]
    host.engine.disconnect("net", "two")
    assert set(host.inside(two)) == {"lo"}
    assert not host.pings(one, other["IPAddress"])
    host.engine.connect("net", "two")
    assert host.pings(one, host.engine.endpoint("two", "net")["IPAddress"])
    with pytest.raises(EngineError, match="active endpoints"):
        host.remove_networks("net")
    host.remove("one", "two")
    assert len(host.links()) == 1  # the bridge
    assert host.neighbours() == []
    host.remove_networks("net")
    assert host.links() == set()


def test_all_that_can_be_said_of_a_network(host: Host) -> None:
    config = [
        {
            "Subnet": "10.9.0.0/16",
            "IPRange": "10.9.5.0/24",
            "Gateway": "10.9.0.9",
            "AuxiliaryAddresses": {"printer": "10.9.5.1"},
        },
        {"Subnet": "fd77::/64"},
    ]
    options = {"com.docker.network.driver.mtu": "1400", "com.docker.network.bridge.name": "dvbr"}
    host.network("net", config=config, EnableIPv6=True, Options=options)
    assert host.links() == {"dvbr"}
    one = host.run("one", "net", ip="10.9.7.7", mac="02:42:00:00:00:99")
    two = host.run("two", "net")
    told, other = host.engine.endpoint("one", "net"), host.engine.endpoint("two", "net")
    assert (told["IPAddress"], told["MacAddress"], told["Gateway"]) == ("10.9.7.7", "02:42:00:00:00:99", "10.9.0.9")
    assert other["IPAddress"].startswith("10.9.5.")
    assert other["IPAddress"] != "10.9.5.1"
    link = host.inside(one)["eth0"]
    assert (link["mtu"], link["address"]) == (1400, "02:42:00:00:00:99")
    for address in (other["IPAddress"], other["GlobalIPv6Address"], "10.9.0.9", told["IPv6Gateway"]):
        assert host.pings(one, address), address
    assert host.pings(two, "10.9.7.7")
    with pytest.raises(EngineError, match=r"10\.9\.7\.7.*in use"):
        host.run("three", "net", ip="10.9.7.7")
    with pytest.raises(EngineError, match=r"10\.9\.0\.0/16"):
        host.network("again", config=[{"Subnet": "10.9.0.0/17"}])
    with pytest.raises(EngineError, match="leave enable_icc on"):
        host.network("closed", Options={"com.docker.network.bridge.enable_icc": "false"})
    host.remove("one", "two", "three")
    host.remove_networks("net")


def test_the_engines_own_ipam(host: Host) -> None:
    host.network("net", ipam="default", config=[{"Subnet": "10.10.0.0/24"}])
    host.run("one", "net")
    two = host.run("two", "net")
    assert host.pings(two, host.engine.endpoint("one", "net")["IPAddress"])
    host.remove("one", "two")
    host.remove_networks("net")


def test_our_ipam_for_the_engines_own_driver(host: Host) -> None:
    host.engine.create_network("net", IPAM={"Driver": NAME})
    one = host.run("one", "net")
    assert host.pings(one, host.engine.endpoint("one", "net")["Gateway"])
    host.remove("one")
    host.remove_networks("net")
    host.engine.create_network("net", IPAM={"Driver": NAME, "Config": [{"Subnet": "172.18.0.0/16"}]})  # it is free
    host.remove_networks("net")


def test_an_internal_network_has_no_way_out(host: Host) -> None:
    host.network("net", Internal=True)
    one, _ = host.run("one", "net"), host.run("two", "net")
    assert host.pings(one, host.engine.endpoint("two", "net")["IPAddress"])
    assert set(host.inside(one)) == {"lo", "eth0"}
    host.remove("one", "two")
    host.remove_networks("net")


def test_two_networks_of_one_container(host: Host) -> None:
    host.network("left")
    host.network("right")
    both, left, right = host.run("both", "left"), host.run("l1", "left"), host.run("r1", "right")
    host.engine.connect("right", "both")
    assert {"eth0", "eth1"} < set(host.inside(both))
    assert host.pings(both, host.engine.endpoint("l1", "left")["IPAddress"])
    assert host.pings(both, host.engine.endpoint("r1", "right")["IPAddress"])
    assert host.pings(right, host.engine.endpoint("both", "right")["IPAddress"])
    assert not host.pings(left, host.engine.endpoint("r1", "right")["IPAddress"])
    host.engine.disconnect("left", "both")
    assert host.pings(both, host.engine.endpoint("r1", "right")["IPAddress"])
    host.remove("both", "l1", "r1")
    host.remove_networks("left", "right")


def test_stopped_and_started(host: Host) -> None:
    host.network("net")
    host.run("one", "net")
    for _ in range(3):
        host.engine.request("POST", "/containers/one/restart?t=0")
    one = host.container("one")
    assert host.pings(one, host.engine.endpoint("one", "net")["Gateway"])
    host.engine.request("POST", "/containers/one/kill")
    host.remove("one")
    host.remove_networks("net")


def test_twenty_at_once(host: Host) -> None:
    host.network("net")

    def run(number: int) -> Any:
        document = {"Image": IMAGE, "Cmd": ["/bin/sleep", "1000000"], "HostConfig": {"NetworkMode": "net"}}
        with _Another(host.engine) as engine:
            engine.request("POST", f"/containers/create?name=box{number}", document)
            engine.request("POST", f"/containers/box{number}/start")
            return engine.request("GET", f"/containers/box{number}/json")["NetworkSettings"]["Networks"]["net"]

    with ThreadPoolExecutor(20) as pool:
        told = list(pool.map(run, range(20)))
    assert len({one["IPAddress"] for one in told}) == 20
    assert len({one["MacAddress"] for one in told}) == 20
    first = host.container("box0")
    assert all(host.pings(first, one["IPAddress"]) for one in told)
    host.remove(*[f"box{number}" for number in range(20)])
    host.remove_networks("net")


def test_published_ports(kept: Host) -> None:
    """Reached from the host and from beyond it, over restarts of the plugin, until the container ends."""
    kept.network("net")
    one = kept.run("one", "net", port=80, PortBindings={"80/tcp": [{"HostPort": "8080"}]})
    gateway = kept.engine.endpoint("one", "net")["Gateway"]
    with kept.outside("10.66.0.1/30", "10.66.0.2/30") as beyond:
        for again in (False, True):
            if again:
                kept.stop(signal.SIGKILL)
                kept.start(*kept.state)
            with kept.answering(one, 80, "well"):
                assert kept.fetch(gateway, 8080) == "well"
            with kept.answering(one, 80, "far"):
                assert kept.fetch("10.66.0.1", 8080, beyond) == "far"
        with pytest.raises(EngineError, match="8080"):  # it is taken
            kept.run("two", "net", port=80, PortBindings={"80/tcp": [{"HostPort": "8080"}]})
        kept.remove("one", "two")
        kept.run("three", "net", port=80, PortBindings={"80/tcp": [{"HostPort": "8080"}]})
        kept.remove("three")
        kept.run("four", "net", port=80)  # one that is only exposed
        assert kept.fetch(gateway, 8080) == ""
    kept.remove("four")
    kept.remove_networks("net")


def test_speaking_to_elsewhere(kept: Host) -> None:
    """As on the engine's own networks: under the host's address, unless told not to; not to other networks."""

    def reaches(pair: tuple[Container, str]) -> bool:
        return kept.pings(*pair, tries=1)

    addresses = ("10.67.0.1/30", "10.67.0.2/30", "fd67::1/64", "fd67::2/64")
    with kept.outside(*addresses) as beyond, kept.telling(beyond, 80):
        kept.network("out", config=[{"Subnet": "10.9.0.0/24"}, {"Subnet": "fd79::/64"}], EnableIPv6=True)
        kept.network("out2")
        own = {"com.docker.network.bridge.enable_ip_masquerade": "false"}
        kept.network("plain", config=[{"Subnet": "10.10.0.0/24"}], Options=own)
        back = ["nsenter", f"--net={beyond}", "ip", "route", "add", "10.10.0.0/24", "via", "10.67.0.1"]
        subprocess.run(back, check=True)
        kept.network("inner", config=[{"Subnet": "10.11.0.0/24", "Gateway": "10.11.0.1"}], Internal=True)
        one, two, three = kept.run("one", "out"), kept.run("two", "plain"), kept.run("three", "out2")
        four = kept.run("four", "inner")
        route = ["ip", "route", "add", "default", "via", "10.11.0.1"]  # it has none, and gets nowhere by one
        subprocess.run(["nsenter", f"--net={four.netns}", *route], check=True)
        refused = [(four, "10.67.0.2")]
        for here, other, network in ((one, "two", "plain"), (two, "one", "out"), (one, "three", "out2")):
            refused.append((here, kept.engine.endpoint(other, network)["IPAddress"]))
        for again in (False, True):
            if again:
                kept.stop(signal.SIGKILL)
                kept.start(*kept.state)
            assert kept.seen_as(one, "10.67.0.2", 80) == "10.67.0.1"
            assert kept.seen_as(one, "fd67::2", 80) == "fd67::1"
            assert kept.seen_as(two, "10.67.0.2", 80) == kept.engine.endpoint("two", "plain")["IPAddress"]
            with ThreadPoolExecutor(len(refused)) as pool:
                assert not any(pool.map(reaches, refused))
        kept.run("five", "out")
        assert kept.pings(one, kept.engine.endpoint("five", "out")["IPAddress"])
        assert kept.pings(three, "10.67.0.2")
        kept.remove("one", "five")
        kept.remove_networks("out")
        assert kept.pings(three, "10.67.0.2")
    kept.remove("two", "three", "four")
    kept.remove_networks("plain", "inner", "out2")


def test_macvlan(plain: Host) -> None:
    """The engine moves the link back to the host after Leave; then it goes."""
    plain.start("--driver", "macvlan", *plain.state)
    with plain.outside("10.66.0.1/24", "10.66.0.2/24"):
        plain.network("net", config=[{"Subnet": "10.66.0.0/24", "Gateway": "10.66.0.254"}], Options={"parent": "far0"})
        one, two = plain.run("one", "net", ip="10.66.0.9"), plain.run("two", "net", ip="10.66.0.10")
        assert plain.inside(one)["eth0"]["address"] == plain.engine.endpoint("one", "net")["MacAddress"]
        assert plain.pings(one, "10.66.0.2")
        assert plain.pings(one, "10.66.0.10")
        for how in (signal.SIGKILL, None):
            if how is not None:
                plain.stop(how)
                plain.start("--driver", "macvlan", *plain.state)
            plain.engine.disconnect("net", "two")
            assert set(plain.inside(two)) == {"lo"}
            assert plain.links() == set()
            plain.engine.connect("net", "two")
            assert plain.pings(two, "10.66.0.9")
        plain.remove("one", "two")
        assert plain.links() == set()
        plain.remove_networks("net")
    assert plain.stop() == 0


def test_as_a_managed_plugin(plain: Host, tmp_path: Path) -> None:
    """What ``driverapi serve --pack`` makes, as ``docker plugin`` takes it."""
    packed = subprocess.run(
        plain.command("--pack", str(tmp_path / "made")), capture_output=True, text=True, timeout=120
    )
    assert packed.stdout == f"docker plugin create {NAME} {tmp_path / 'made'} && docker plugin enable {NAME}\n"
    tree = io.BytesIO()
    with tarfile.open(fileobj=tree, mode="w") as tar:
        tar.add(tmp_path / "made", ".")
    engine, called = plain.engine, f"{NAME}:latest"
    engine.request("POST", f"/plugins/create?name={NAME}", tree.getvalue())
    try:
        engine.request("POST", f"/plugins/{NAME}/enable?timeout=30")
        engine.create_network("net", Driver=called, IPAM={"Driver": called})
        one, two = plain.run("one", "net"), plain.run("two", "net")
        assert plain.pings(one, engine.endpoint("two", "net")["IPAddress"])
        with plain.outside("10.67.0.1/30", "10.67.0.2/30"):
            assert plain.pings(one, "10.67.0.2")
        engine.request("POST", f"/plugins/{NAME}/disable?force=true")
        assert plain.pings(two, engine.endpoint("one", "net")["IPAddress"])  # they live
        engine.request("POST", f"/plugins/{NAME}/enable?timeout=30")
        assert plain.pings(plain.run("three", "net"), engine.endpoint("two", "net")["IPAddress"])
        plain.remove("one", "two", "three")
        plain.remove_networks("net")
        engine.request("POST", f"/plugins/{NAME}/disable")
    finally:
        engine.request("DELETE", f"/plugins/{NAME}?force=true")
    again = subprocess.run(plain.command("--pack", str(tmp_path / "made")), capture_output=True, text=True)
    assert "is not empty" in again.stderr


def test_prune(host: Host) -> None:
    for name in ("left", "right"):
        host.network(name)
    host.run("one", "left")
    told = host.engine.request("POST", "/networks/prune")
    assert told["NetworksDeleted"] == ["right"]
    host.remove("one")
    assert host.engine.request("POST", "/networks/prune")["NetworksDeleted"] == ["left"]
    assert host.links() == set()


def test_a_second_plugin_of_that_name_is_refused(host: Host) -> None:
    done = subprocess.run(host.command("--no-state"), capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (1, "")
    assert "listens on" in done.stderr
    host.network("net")  # the first goes on
    host.remove_networks("net")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_takes_all_away_when_it_ends(plain: Host, how: signal.Signals) -> None:
    plain.start("--no-state")
    plain.network("net")
    one = plain.run("one", "net")
    assert plain.stop(how) == 0
    assert plain.links() == set()
    assert set(plain.inside(one)) == {"lo"}
    plain.start("--no-state")  # to let the engine end what it has
    plain.remove("one")
    plain.remove_networks("net")
    plain.stop()


class _Another:
    """A connection of its own to an engine."""

    def __init__(self, engine: Engine) -> None:
        self._connection = _Connection(engine.socket)

    request = Engine.request

    def __enter__(self) -> _Another:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

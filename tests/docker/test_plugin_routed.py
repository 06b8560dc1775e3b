"""Driver routed, driven by a real Docker engine: addresses alone on their links, and the host between them."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from driverapi.bench.dockerd import Container, EngineError
from tests.docker.conftest import Host

CONFIG = [{"Subnet": "10.9.0.0/24"}, {"Subnet": "fd79::/64"}]


@pytest.fixture
def routed(plain: Host) -> Iterator[Host]:
    plain.start("--driver", "routed", *plain.state)
    yield plain
    assert plain.stop() == 0


def routes(host: Host, box: Container, family: str) -> list[dict[str, Any]]:
    command = ["nsenter", f"--net={box.netns}", "ip", "-j", f"-{family}", "route"]
    found: list[dict[str, Any]] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return [one for one in found if one["dst"] != "fe80::/64"]


def both(host: Host, box: str, network: str) -> tuple[str, str]:
    told = host.engine.endpoint(box, network)
    return told["IPAddress"], told["GlobalIPv6Address"]


def test_a_network_from_its_creation_to_its_end(routed: Host) -> None:
    host = routed
    host.network("net", config=CONFIG, EnableIPv6=True)
    one, two = host.run("one", "net", ip="10.9.0.77"), host.run("two", "net")
    told = host.engine.endpoint("one", "net")
    assert (told["IPAddress"], told["IPPrefixLen"], told["GlobalIPv6PrefixLen"]) == ("10.9.0.77", 32, 128)
    [v4, *_] = [one for one in host.inside(one)["eth0"]["addr_info"] if one["family"] == "inet"]
    assert (v4["local"], v4["prefixlen"]) == ("10.9.0.77", 32)
    assert [(route["dst"], route.get("gateway")) for route in routes(host, one, "4")] == [
        ("default", "10.9.0.1"),
        ("10.9.0.0/24", "10.9.0.1"),
        ("10.9.0.1", None),
    ]
    for how in (None, signal.SIGKILL):
        if how is not None:
            host.stop(how)
            host.start("--driver", "routed", *host.state)
        for address in (*both(host, "two", "net"), "10.9.0.1", "fd79::1"):
            assert host.pings(one, address), address
        assert host.pings(two, "10.9.0.77")
        assert all(host.from_host(address) for address in both(host, "one", "net"))
    assert not host.pings(one, "10.9.0.200", tries=1)
    host.engine.disconnect("net", "two")
    assert set(host.inside(two)) == {"lo"}
    host.engine.connect("net", "two")
    assert host.pings(one, both(host, "two", "net")[1])
    assert "docker_gwbridge" not in [net["Name"] for net in host.engine.request("GET", "/networks")]
    host.remove("one", "two")
    assert len(host.links()) == 1  # that with the gateways
    host.remove_networks("net")
    assert host.links() == set()


def test_elsewhere_and_other_networks(routed: Host) -> None:
    """It may begin to speak to elsewhere, which routes back to it; nobody else begins with it."""
    host = routed
    host.network("net", config=CONFIG[:1])
    host.network("other", config=[{"Subnet": "10.10.0.0/24"}])
    host.network("inner", config=[{"Subnet": "10.11.0.0/24"}], Internal=True)
    one, two, three = host.run("one", "net"), host.run("two", "other"), host.run("three", "inner")
    host.run("four", "inner")
    with host.outside("10.67.0.1/30", "10.67.0.2/30") as beyond:
        back = ["nsenter", f"--net={beyond}", "ip", "route", "add", "10.0.0.0/8", "via", "10.67.0.1"]
        subprocess.run(back, check=True)
        assert host.pings(one, "10.67.0.2")
        assert not host.pings(Container("", "", beyond), host.engine.endpoint("one", "net")["IPAddress"], tries=1)
        assert not host.pings(three, "10.67.0.2", tries=1)
    assert not host.pings(one, host.engine.endpoint("two", "other")["IPAddress"], tries=1)
    assert not host.pings(two, host.engine.endpoint("one", "net")["IPAddress"], tries=1)
    assert host.pings(three, host.engine.endpoint("four", "inner")["IPAddress"])
    assert [route["dst"] for route in routes(host, three, "4")] == ["10.11.0.0/24", "10.11.0.1"]
    host.engine.connect("other", "one")
    assert host.pings(one, host.engine.endpoint("two", "other")["IPAddress"])
    host.remove("one", "two", "three", "four")
    host.remove_networks("net", "other", "inner")


def test_what_is_refused(routed: Host) -> None:
    with pytest.raises(EngineError, match="--ipam-driver"):
        routed.network("net", ipam="default", config=CONFIG[:1])
    routed.network("net", config=CONFIG[:1])
    with pytest.raises(EngineError, match="publishes no ports"):
        routed.run("one", "net", port=80, PortBindings={"80/tcp": [{"HostPort": "8080"}]})
    routed.remove("one")
    routed.remove_networks("net")

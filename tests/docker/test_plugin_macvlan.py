"""Driver macvlan, driven by a real Docker engine, which moves the links itself."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator

import pytest

from driverapi.bench.dockerd import EngineError
from tests.docker.conftest import NAME, Host

OURS, THEIRS = "10.9.0.250/24", "10.9.0.254/24"
CONFIG = [{"Subnet": "10.9.0.0/24", "Gateway": "10.9.0.254"}]


@pytest.fixture
def on_wire(plain: Host) -> Iterator[Host]:
    """A plugin with state beside a link of the host, ``far0``, that another machine is on."""
    plain.start("--driver", "macvlan", *plain.state)
    with plain.outside(OURS, THEIRS):
        yield plain
        assert links(plain) == set()
    assert plain.stop() == 0


def links(host: Host) -> set[str]:
    """Links on the host that hang on the parent."""
    command = ["nsenter", f"--net=/proc/{host.engine.process}/ns/net", "ip", "-br", "link", "show", "type", "macvlan"]
    told = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return {line.split("@")[0] for line in told.splitlines()}


def test_a_network_from_its_creation_to_its_end(on_wire: Host) -> None:
    host = on_wire
    host.network("net", config=CONFIG, Options={"parent": "far0", "macvlan_mode": "bridge"})
    one, two = host.run("one", "net"), host.run("two", "net", mac="02:42:00:00:00:99")
    other = host.engine.endpoint("two", "net")
    assert host.inside(two)["eth0"]["address"] == "02:42:00:00:00:99"
    assert links(host) == set()  # they are inside
    for address in (other["IPAddress"], "10.9.0.254"):
        assert host.pings(one, address), address
    host.engine.disconnect("net", "two")
    assert set(host.inside(two)) == {"lo"}
    host.engine.connect("net", "two")
    assert host.pings(one, host.engine.endpoint("two", "net")["IPAddress"])
    host.remove("one", "two")
    host.remove_networks("net")


def test_options_that_are_refused(on_wire: Host) -> None:
    for options, says in (
        ({"parent": "far1"}, "no link 'far1'"),
        ({"parent": "far0", "macvlan_mode": "nat"}, "not one of bridge"),
        ({"parrent": "far0"}, "did you mean 'parent'"),
    ):
        with pytest.raises(EngineError, match=says):
            on_wire.network("net", config=CONFIG, Options=options)
    assert [net for net in on_wire.engine.request("GET", "/networks") if net["Driver"] == NAME] == []


def test_the_plugin_is_killed(on_wire: Host) -> None:
    host = on_wire
    host.network("net", config=CONFIG, Options={"parent": "far0"})
    one = host.run("one", "net")
    assert host.stop(signal.SIGKILL) != 0
    assert host.pings(one, "10.9.0.254")
    host.start("--driver", "macvlan", *host.state)
    assert host.pings(one, "10.9.0.254")
    two = host.run("two", "net")
    assert host.pings(two, host.engine.endpoint("one", "net")["IPAddress"])
    host.remove("one", "two")
    host.remove_networks("net")

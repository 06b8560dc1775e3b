"""Published ports over the dataplane in memory: who has which, and that each comes back once."""

from __future__ import annotations

from typing import Any

import pytest

from driverapi import errors, labels
from driverapi.network import Network
from driverapi.plan import PortMap
from tests.support import World, unchanged


@pytest.fixture
def web(world: World) -> Network:
    return world.ctl.create_network("bridge", "web", ipv4="10.77.0.0/16", ipv6="fd77::/64")


def ports(world: World) -> list[str]:
    return sorted(map(str, world.dataplane.ports.values()))


def test_publish_and_unpublish(world: World, web: Network) -> None:
    ep = web.create_endpoint("ep")
    assert ep.publish("8080:80", "0.0.0.0:53:53/udp") == ep.ports
    assert [str(one) for one in ep.ports] == [
        "0.0.0.0:8080->10.77.0.2:80/tcp",
        "[::]:8080->[fd77::2]:80/tcp",
        "0.0.0.0:53->10.77.0.2:53/udp",
    ]
    assert ep.info()["ports"] == [str(one) for one in ep.ports]
    ep.unpublish("8080:80")
    assert ports(world) == ["0.0.0.0:53->10.77.0.2:53/udp"]
    with unchanged(world), pytest.raises(errors.NotFoundError, match="'ep' has not published port 8080:80/tcp"):
        ep.unpublish("53/udp", "8080:80")
    ep.unpublish()
    ep.unpublish()
    assert (ports(world), ep.ports) == ([], [])


def test_ports_go_with_their_endpoint(world: World, web: Network) -> None:
    ep = web.create_endpoint("ep", publish=["80", "81/udp"])
    box = world.ctl.create_sandbox("box")
    ep.join(box)
    assert len(ports(world)) == 4
    ep.leave(box)
    assert len(ports(world)) == 4
    ep.delete()
    assert ports(world) == []


@pytest.mark.parametrize("name", [labels.PORT_MAP, "PortBindings", "io.docker.network.portmap"])
def test_ports_as_an_option(world: World, web: Network, name: str) -> None:
    ep = web.create_endpoint("ep", options={name: [{"Proto": 6, "Port": 80, "HostPort": 8080, "HostIP": "127.0.0.1"}]})
    assert ep.ports == [PortMap("tcp", bytes((127, 0, 0, 1)), 8080, bytes((10, 77, 0, 2)), 80)]


def test_attach_publishes_for_each(world: World, web: Network) -> None:
    endpoints = web.attach(3, publish=["9000-9001:80", "[::]:1000-1002:81"])
    assert [len(ep.ports) for ep in endpoints] == [3, 3, 0]
    assert isinstance(endpoints[2].error, errors.PortsExhaustedError)
    assert endpoints[2].name in str(endpoints[2].error)
    assert len(web.endpoints) == 2
    assert len(world.ctl.sandboxes) == 2
    web.detach(endpoints)
    assert ports(world) == []


def test_attach_publishes_for_those_of_a_warm_pool(world: World, web: Network) -> None:
    world.ctl.warm(web, 2)
    endpoints = web.attach(3, publish="9000-9001:80")
    assert [ep.error is None for ep in endpoints] == [True, True, False]
    assert [len(ep.ports) for ep in endpoints] == [2, 2, 0]
    world.ctl.warm(web, 0)
    assert len(web.endpoints) == 2
    assert len(world.ctl.sandboxes) == 2


def test_many_at_once_or_none(world: World, web: Network) -> None:
    one, other = web.create_endpoint("one"), web.create_endpoint("other")
    world.dataplane.foreign_ports.add(8001)
    with unchanged(world), pytest.raises(errors.PortTakenError, match=r"'other'.*8001"):
        web.publish([(one, "8000:80"), (other, "8001:80")])
    assert ports(world) == []
    found = web.publish([(one, "8002:80"), (other, ["8003:80", "8004:80"]), (one, "8005:80")])
    assert sorted(map(str, found)) == ports(world)
    assert [port.host_port for port in one.ports] == [8002, 8002, 8005, 8005]
    web.unpublish([(one, "8002:80"), (other, [])])
    assert [port.host_port for port in [*one.ports, *other.ports]] == [8005, 8005]
    assert web.publish([]) == []


BAD: list[tuple[str, type[Exception], Any]] = [
    ("cannot be understood", errors.InvalidError, lambda web, ep: ep.publish("x")),
    ("cannot be understood", errors.InvalidError, lambda web, ep: web.create_endpoint("new", publish="x")),
    ("cannot be understood", errors.InvalidError, lambda web, ep: web.attach(2, publish="x")),
    ("is no endpoint", errors.InvalidError, lambda web, ep: web.publish([("ep", "80")])),
    ("in use", errors.PortTakenError, lambda web, ep: ep.publish("81:80", "80:80")),
    ("in use", errors.PortTakenError, lambda web, ep: web.create_endpoint("new", publish="80:80")),
    ("all in use", errors.PortsExhaustedError, lambda web, ep: ep.publish("80-82:80", "80-82:81", "80-82:82")),
    ("no IPv4 address", errors.InvalidError, lambda web, ep: only_ipv6(web).publish("127.0.0.1:1:1")),
]


def only_ipv6(web: Network) -> Any:
    return web._controller.network("six").endpoint("ep")


@pytest.mark.parametrize(("says", "error", "call"), BAD)
def test_bad_input(world: World, web: Network, says: str, error: type[Exception], call: Any) -> None:
    ep = web.create_endpoint("ep")
    world.ctl.create_network("bridge", "six", ipv6="fd78::/64").create_endpoint("ep")
    world.dataplane.foreign_ports.add(80)
    with unchanged(world), pytest.raises(error, match=says):
        call(web, ep)
    assert ports(world) == []


def test_a_driver_without_ports(world: World) -> None:
    own = world.ctl.create_network("own", "own", ipv4="10.50.0.0/24")
    with unchanged(world), pytest.raises(errors.NotImplementedYetError, match="driver 'own' has no published ports"):
        own.create_endpoint("ep", publish="80")
    assert own.endpoints == []


def test_an_internal_network_publishes_nothing(world: World) -> None:
    net = world.ctl.create_network("bridge", "in", ipv4="10.51.0.0/24", options={labels.INTERNAL: True})
    with pytest.raises(errors.NotImplementedYetError, match=r"'ep'.*internal"):
        net.create_endpoint("ep", publish="80")


def test_deleted_endpoints_publish_nothing(world: World, web: Network) -> None:
    ep = web.create_endpoint("ep")
    ep.delete()
    for call in (lambda: ep.publish("80"), ep.unpublish, lambda: web.publish([(ep, "80")])):
        with pytest.raises(errors.NoEndpointError, match="'ep'"):
            call()
    assert ep.ports == []


def test_ports_that_cannot_be_taken_away_stay(world: World, web: Network) -> None:
    ep = web.create_endpoint("ep", publish="8080:80")
    world.dataplane.stuck["ports"] = errors.KernelError("refused", 1)
    for call in (ep.unpublish, ep.delete):
        with pytest.raises(errors.KernelError, match="refused"):
            call()
        assert len(ep.ports) == len(ports(world)) == 2
    world.dataplane.stuck.clear()
    ep.delete()
    assert ports(world) == []

"""The contract that users rely on, over the dataplane in memory; and every bad input that needs no kernel."""

from __future__ import annotations

import ipaddress
import os
import threading
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import netaddr
import pytest

from driverapi import Controller, DriverRegistry, Endpoint, Origin, Sandbox, errors, labels
from driverapi import controller as module
from driverapi.dataplane.contract import Ownership
from driverapi.drivers.bridge import BridgeDriver
from driverapi.errors import (
    AddressTakenError,
    BusyError,
    ConflictError,
    EndpointExistsError,
    InvalidError,
    JoinedError,
    KernelError,
    NetworkExistsError,
    NoDriverError,
    NoEndpointError,
    NoNetworkError,
    NoSandboxError,
    NotImplementedYetError,
    NotJoinedError,
    SandboxExistsError,
)
from driverapi.network import Network
from driverapi.testing import FakeDataplane
from tests.support import World, at_once, exactly_one, unchanged


@pytest.fixture
def web(world: World) -> Network:
    return world.ctl.create_network("bridge", "web", ipv4="10.77.0.0/16", ipv6="fd77::/64")


@pytest.fixture
def own(world: World) -> Network:
    return world.ctl.create_network("own", "own", ipv4="10.50.0.0/24")


# --- the contract of the design -------------------------------------------------------------------------------


def test_the_contract(world: World) -> None:
    ctl = world.ctl
    net = ctl.create_network("bridge", "web", ipv4="10.77.0.0/16", ipv6="fd77::/64", options={})
    box = ctl.create_sandbox("container-1")
    ep = net.create_endpoint("ep1", ipv4=None, ipv6=None, mac=None, options={})
    ep.join(box)
    assert ep.sandbox is box
    assert box.endpoints == [ep]
    assert ep.info() == {
        "id": ep.id,
        "name": "ep1",
        "network": "web",
        "network_id": net.id,
        "origin": "given",
        "sandbox": "container-1",
        "sandbox_key": box.key,
        "interfaces": [
            {
                "id": 0,
                "name": "eth0",
                "mac_address": "02:42:0a:4d:00:02",
                "address": "10.77.0.2/16",
                "address_ipv6": "fd77::2/64",
            }
        ],
        "gateway": "10.77.0.1",
        "gateway_ipv6": "fd77::1",
        "hosts_path": None,
        "resolv_conf_path": None,
    }
    assert ep.driver_info() == {"com.docker.network.endpoint.macaddress": "02:42:0a:4d:00:02"}
    (interface,) = ep.interfaces
    assert interface.mac_address == netaddr.EUI("02:42:0a:4d:00:02")
    assert (interface.address, interface.address_ipv6) == (
        netaddr.IPNetwork("10.77.0.2/16"),
        netaddr.IPNetwork("fd77::2/64"),
    )
    assert (net.gateway, net.gateway_ipv6) == (netaddr.IPAddress("10.77.0.1"), netaddr.IPAddress("fd77::1"))
    assert (net.ipv4, net.ipv6) == (netaddr.IPNetwork("10.77.0.0/16"), netaddr.IPNetwork("fd77::/64"))
    assert (net.name, net.type, net.endpoints, len(net.id)) == ("web", "bridge", [ep], 64)
    assert (ctl.networks, ctl.network("web"), ctl.network(net.id)) == ([net], net, net)
    assert (ctl.sandboxes, ctl.sandbox("container-1")) == ([box], box)
    assert net.endpoint("ep1") is ep
    ep.leave(box)
    assert (ep.sandbox, box.endpoints) == (None, [])
    ep.delete()
    eps = net.attach(100)
    assert [one.error for one in eps] == [None] * 100
    assert len({one.sandbox.key for one in eps if one.sandbox}) == 100
    assert len(ctl.sandboxes) == 101
    net.detach(eps)
    assert (net.endpoints, ctl.sandboxes) == ([], [box])
    with net.attached(50) as eps:
        assert len(net.endpoints) == 50
    assert (net.endpoints, ctl.sandboxes) == ([], [box])
    net.delete()
    assert ctl.networks == []


def test_attach_to_sandboxes_that_there_are(world: World, web: Network) -> None:
    boxes = [world.ctl.create_sandbox(f"box{number}") for number in range(3)]
    endpoints = web.attach([*boxes, boxes[0]])
    assert [endpoint.sandbox for endpoint in endpoints] == [*boxes, boxes[0]]
    assert endpoints[3].info()["interfaces"][0]["name"] == "eth1"
    web.detach(endpoints)
    assert world.ctl.sandboxes == boxes


def test_a_sandbox_that_exists_and_that_of_the_host(world: World, web: Network) -> None:
    existing = world.ctl.create_sandbox("existing", netns="/run/netns/x")
    assert (existing.key, existing.ownership) == ("/run/netns/x", Ownership.EXISTING)
    host = world.ctl.create_sandbox("host", host=True)
    assert host.ownership is Ownership.HOST
    web.attach([existing], strict=True)
    with pytest.raises(errors.BulkError) as caught:
        web.attach([host], strict=True)
    assert "no sandbox made with host=True" in str(caught.value.exceptions[0])


@pytest.mark.parametrize("driver", ["host", "null"])
def test_networks_without_interfaces(world: World, driver: str) -> None:
    network = world.ctl.create_network(driver, "plain")
    assert (network.gateway, network.ipv4) == (None, None)
    endpoints = network.attach(3, strict=True)
    assert [endpoint.interfaces for endpoint in endpoints] == [[]] * 3
    owners = {endpoint.sandbox.ownership for endpoint in endpoints if endpoint.sandbox}
    assert owners == {Ownership.HOST if driver == "host" else Ownership.OWNED}
    network.detach(endpoints)
    assert world.ctl.sandboxes == []


@pytest.mark.parametrize(
    ("ipv4", "ipv6", "mac"),
    [
        ("10.77.3.4", "fd77::34", "02:00:00:00:00:34"),
        (ipaddress.ip_address("10.77.3.4"), ipaddress.ip_address("fd77::34"), bytes.fromhex("020000000034")),
        (netaddr.IPAddress("10.77.3.4"), netaddr.IPAddress("fd77::34"), netaddr.EUI("02:00:00:00:00:34")),
    ],
)
def test_static_addresses(web: Network, ipv4: Any, ipv6: Any, mac: Any) -> None:
    endpoint = web.create_endpoint("static", ipv4=ipv4, ipv6=ipv6, mac=mac)
    assert repr(endpoint.interfaces) == "[<InterfaceInfo 0: 02:00:00:00:00:34 10.77.3.4/16 fd77::34/64>]"
    assert endpoint.origin is Origin.GIVEN
    endpoint.delete()
    web.create_endpoint("again", ipv4=ipv4, ipv6=ipv6, mac=mac)


def test_a_mac_may_come_as_a_label(web: Network) -> None:
    label = {"io.docker.network.endpoint.macaddress": "02:00:00:00:00:35"}
    assert str(web.create_endpoint("one", options=label).interfaces[0].mac_address) == "02:00:00:00:00:35"


def test_default_pools_and_gateways(world: World) -> None:
    first = world.ctl.create_network("bridge", "first")
    second = world.ctl.create_network("bridge", "second")
    assert [str(net.ipv4) for net in (first, second)] == ["172.17.0.0/16", "172.18.0.0/16"]
    chosen = world.ctl.create_network("bridge", "third", ipv4="10.1.0.0/24", gateway="10.1.0.254")
    assert str(chosen.gateway) == "10.1.0.254"
    assert str(chosen.create_endpoint("ep").interfaces[0].address) == "10.1.0.1/24"
    plain = world.ctl.create_network("own", "fourth", ipv4="10.2.0.0/24")
    assert (str(plain.ipv4), plain.gateway) == ("10.2.0.0/24", None)


def test_progress_is_told(web: Network) -> None:
    seen: list[int] = []
    endpoints = web.attach(10, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 10
    seen.clear()
    web.detach(endpoints, progress=seen.append)
    assert seen[-1] == 10


# --- exhaustion -----------------------------------------------------------------------------------------


def test_a_small_network_fills_up(world: World) -> None:
    small = world.ctl.create_network("bridge", "small", ipv4="10.9.0.0/29")
    endpoints = small.attach(10)
    assert [endpoint.error is None for endpoint in endpoints] == [True] * 5 + [False] * 5  # one is the gateway's
    for endpoint in endpoints[5:]:
        with pytest.raises(errors.AddressesExhaustedError, match=r"10\.9\.0\.0/29"):
            raise endpoint.error or AssertionError
        assert endpoint.sandbox is None
        with pytest.raises(errors.NoEndpointError, match=endpoint.name):
            endpoint.join(world.ctl.create_sandbox(endpoint.name))
        world.ctl.sandbox(endpoint.name).delete()
    assert len({id(endpoint.error) for endpoint in endpoints[5:]}) == 5
    assert small.endpoints == endpoints[:5]
    assert len(world.ctl.sandboxes) == len(world.dataplane.endpoints) == 5
    with unchanged(world), pytest.raises(errors.AddressesExhaustedError, match=r"10\.9\.0\.0/29"):
        small.create_endpoint("one more")
    small.detach(endpoints)
    assert small.endpoints == []
    assert [endpoint.error for endpoint in small.attach(5)] == [None] * 5


def test_the_smaller_family_counts(world: World) -> None:
    net = world.ctl.create_network("bridge", "net", ipv4="10.9.0.0/24", ipv6="fd09::/126")
    endpoints = net.attach(4)
    assert [endpoint.error is None for endpoint in endpoints] == [True, True, False, False]
    assert world.ipam.free(net._pools[4].id) == 254 - 1 - 2


def test_strict_raises_with_its_results(world: World) -> None:
    small = world.ctl.create_network("bridge", "small", ipv4="10.9.0.0/30")
    with pytest.raises(errors.BulkError, match="'small': 2 of 3 endpoints failed") as caught:
        small.attach(3, strict=True)
    assert [type(fault) for fault in caught.value.exceptions] == [errors.AddressesExhaustedError] * 2
    assert [endpoint.error is None for endpoint in caught.value.results] == [True, False, False]
    assert small.endpoints == caught.value.results[:1]


def test_attached_takes_away_what_came_up(world: World) -> None:
    small = world.ctl.create_network("bridge", "small", ipv4="10.9.0.0/30")

    def body() -> None:
        with small.attached(3) as endpoints:
            endpoints[0].leave()
            endpoints[0].delete()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        body()
    assert small.endpoints == []
    assert world.ctl.sandboxes == []


# --- bulk: the others stay --------------------------------------------------------------------------------


def test_one_that_fails_is_undone_and_named(world: World, web: Network) -> None:
    realise = world.dataplane.realise

    def fail(works: Any, progress: Any = None) -> Any:
        world.dataplane.faults[works[2].plan.owner] = errors.KernelError(f"endpoint {works[2].plan.name}: full", 28)
        return realise(works, progress)

    world.dataplane.realise = fail  # type: ignore[method-assign]
    endpoints = web.attach(5)
    assert [endpoint.error is None for endpoint in endpoints] == [True, True, False, True, True]
    assert str(endpoints[2].error) == f"endpoint {endpoints[2].name}: full"
    assert len(web.endpoints) == len(world.ctl.sandboxes) == 4
    assert "failed" in repr(endpoints[2])


def test_a_sandbox_that_cannot_be_made(world: World, web: Network) -> None:
    make = world.dataplane.make_sandboxes

    def fail(ids: Any) -> Any:
        world.dataplane.faults[ids[0]] = errors.KernelError("no space for namespaces", 28)
        return make(ids)

    world.dataplane.make_sandboxes = fail  # type: ignore[method-assign]
    endpoints = web.attach(2)
    assert [str(endpoint.error or "") for endpoint in endpoints] == ["no space for namespaces", ""]
    with unchanged(world), pytest.raises(errors.KernelError, match="no space"):
        world.ctl.create_sandbox("box")


def test_detach_goes_on_and_can_be_made_again(world: World, web: Network) -> None:
    endpoints = web.attach(3)
    world.dataplane.stuck[endpoints[1].id] = errors.KernelError("stuck", 16)
    with pytest.raises(errors.BulkError, match="'web': 1 faults") as caught:
        web.detach(endpoints)
    assert caught.value.results == endpoints
    assert [str(endpoint.error or "") for endpoint in endpoints] == ["", "stuck", ""]
    assert web.endpoints == [endpoints[1]]
    assert endpoints[1].sandbox in world.ctl.sandboxes
    world.dataplane.stuck.clear()
    web.detach(endpoints)
    assert (web.endpoints, world.ctl.sandboxes, endpoints[1].error) == ([], [], None)


def test_detach_after_a_driver_refused_to_delete(world: World, web: Network) -> None:
    endpoints = web.attach(2)
    world.bridge.refuse["delete_endpoint"] = errors.BusyError("not now")
    with pytest.raises(errors.BulkError):
        web.detach(endpoints)
    assert web.endpoints == endpoints
    assert world.dataplane.endpoints == {}
    del world.bridge.refuse["delete_endpoint"]
    web.detach(endpoints)
    assert web.endpoints == []


def test_detach_keeps_a_sandbox_that_another_network_is_in(world: World, web: Network, own: Network) -> None:
    (endpoint,) = web.attach(1)
    box = endpoint.sandbox
    assert box is not None
    other = own.create_endpoint("other")
    other.join(box)
    web.detach([endpoint])
    assert world.ctl.sandboxes == [box]
    assert other.info()["interfaces"][0]["name"] == "eth1"
    other.leave()
    box.delete()


def test_detach_takes_any_iterable_and_nothing_of_others(world: World, web: Network, own: Network) -> None:
    endpoints = web.attach(2)
    with unchanged(world):
        for bad in ([*endpoints, own.create_endpoint("ep")], [*endpoints, None], ["ep"]):
            if bad[-1] not in endpoints and isinstance(bad[-1], Endpoint):
                bad[-1].delete()
            with pytest.raises(errors.InvalidError, match="'web'"):
                web.detach(bad)  # type: ignore[arg-type]
    web.detach(endpoint for endpoint in endpoints)  # type: ignore[arg-type]
    assert web.endpoints == []
    web.detach(endpoints)


def test_an_interrupted_attach_leaves_nothing(world: World, web: Network) -> None:
    def interrupt(done: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with unchanged(world), pytest.raises(KeyboardInterrupt):
        web.attach(5, progress=interrupt)


def test_a_sandbox_whose_namespace_stays_can_be_deleted_again(world: World) -> None:
    box = world.ctl.create_sandbox("box")
    world.dataplane.stuck[box.key.rpartition("/")[2]] = errors.KernelError("busy", 16)
    with unchanged(world), pytest.raises(errors.KernelError, match="busy"):
        box.delete()
    world.dataplane.stuck.clear()
    box.delete()
    assert world.ctl.sandboxes == []


# --- what a driver chose itself -----------------------------------------------------------------------------


def test_addresses_that_a_driver_chose_are_recorded(world: World, own: Network) -> None:
    endpoint = own.create_endpoint("first")
    assert endpoint.origin is Origin.EMPTY
    assert str(endpoint.interfaces[0].address) == "10.50.0.7/24"
    with unchanged(world):
        with pytest.raises(errors.AddressTakenError, match=r"10\.50\.0\.7"):
            own.create_endpoint("second")
        with pytest.raises(errors.AddressTakenError, match=r"10\.50\.0\.7"):
            own.create_endpoint("given", ipv4="10.50.0.7")
    endpoint.delete()
    own.create_endpoint("second")


@pytest.mark.parametrize(
    ("chosen", "kind"),
    [
        (["10.50.0.8/24", "10.50.0.9/24", "10.50.0.8/24"], errors.AddressTakenError),
        (["10.50.0.8/24", "10.51.0.9/24"], errors.InvalidError),
        (["10.50.0.255/24"], errors.InvalidError),
    ],
)
def test_conflicts_in_what_a_driver_chose(world: World, own: Network, chosen: list[str], kind: type[Exception]) -> None:
    world.own_driver.chosen = chosen
    with unchanged(world), pytest.raises(kind):
        own.create_endpoint("ep")
    assert [method for method, _ in world.own.calls[-2:]] == ["create_endpoint", "delete_endpoint"]


def test_a_conflict_that_cannot_be_undone_stays_where_it_can_be_deleted(world: World, own: Network) -> None:
    world.own_driver.chosen = ["10.51.0.9/24"]
    world.own.refuse["delete_endpoint"] = RuntimeError("broken")
    with pytest.raises(errors.InvalidError) as caught:
        own.create_endpoint("ep")
    assert "broken" in caught.value.__notes__[0]
    del world.own.refuse["delete_endpoint"]
    own.endpoint("ep").delete()
    assert own.endpoints == []


def test_a_faulty_ipam_leaves_no_endpoint_behind(world: World, own: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError("ipam is gone")

    with monkeypatch.context() as patch:
        patch.setattr(type(world.ipam), "request_address", broken)
        with unchanged(world), pytest.raises(OSError, match="ipam is gone"):
            own.create_endpoint("ep")
    own.create_endpoint("ep")


def test_a_driver_that_says_exists_keeps_no_name(world: World, own: Network) -> None:
    world.own.refuse["create_endpoint"] = errors.EndpointExistsError("I have that one")
    with unchanged(world), pytest.raises(errors.EndpointExistsError, match="I have"):
        own.create_endpoint("ep")
    del world.own.refuse["create_endpoint"]
    own.create_endpoint("ep")


def test_a_driver_may_choose_an_address_again_at_once(
    world: World, own: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver has deleted an endpoint and gives its address to the next, before the pool has it back."""
    first = own.create_endpoint("first")
    held, opened = threading.Event(), threading.Event()
    release = world.ipam.release_addresses

    def slow(*args: Any) -> None:
        held.set()
        assert opened.wait(30)
        release(*args)

    with monkeypatch.context() as patch:
        patch.setattr(world.ipam, "release_addresses", slow)
        deletion = threading.Thread(target=first.delete)
        deletion.start()
        assert held.wait(30)
        threading.Timer(0.1, opened.set).start()
        assert str(own.create_endpoint("second").interfaces[0].address) == "10.50.0.7/24"
        deletion.join(30)


# --- notices ------------------------------------------------------------------------------------------------


def test_a_notice_keeps_its_addresses_and_makes_no_link(world: World, web: Network) -> None:
    elsewhere = web.notice_endpoint("elsewhere", ipv4="10.77.0.2", ipv6="fd77::2", mac="02:42:0a:4d:00:02")
    assert elsewhere.origin is Origin.NOTICED
    assert world.bridge.of(elsewhere.id) == ["create_endpoint"]
    here = web.create_endpoint("here")
    assert repr(here.interfaces[0]) == "<InterfaceInfo 0: 02:42:0a:4d:00:03 10.77.0.3/16 fd77::3/64>"
    box = world.ctl.create_sandbox("box")
    with unchanged(world):
        with pytest.raises(errors.ConflictError, match="'elsewhere' lives on another host"):
            elsewhere.join(box)
        with pytest.raises(errors.AddressTakenError, match=r"10\.77\.0\.2"):
            web.notice_endpoint("other", ipv4="10.77.0.2")
        with pytest.raises(errors.InvalidError, match=r"'nothing'.*at least one address"):
            web.notice_endpoint("nothing")
        with pytest.raises(errors.EndpointExistsError, match="'here'"):
            web.notice_endpoint("here", mac="02:00:00:00:00:77")
    assert not world.dataplane.endpoints
    elsewhere.delete()
    assert str(web.create_endpoint("next").interfaces[0].address) == "10.77.0.2/16"


# --- bad input: a typed error that names the thing, and the state as it was ---------------------------------------

# fmt: off
BAD: list[tuple[str, type[Exception], str, Callable[[Any], Any]]] = [
    # networks
    ("unknown driver", NoDriverError, "'overlay'", lambda f: f.ctl.create_network("overlay", "n")),
    ("driver that is no name", InvalidError, "None", lambda f: f.ctl.create_network(None, "n")),
    ("duplicate network", NetworkExistsError, "'web'", lambda f: f.ctl.create_network("bridge", "web")),
    ("unknown network", NoNetworkError, "'nope'", lambda f: f.ctl.network("nope")),
    ("empty name", InvalidError, "network name ''", lambda f: f.ctl.create_network("bridge", "")),
    ("long name", InvalidError, "network name", lambda f: f.ctl.create_network("bridge", "n" * 256)),
    ("name of bytes", InvalidError, "b'n'", lambda f: f.ctl.create_network("bridge", b"n")),
    ("name with a newline", InvalidError, r"'a\\nb'", lambda f: f.ctl.create_network("bridge", "a\nb")),
    ("prefix that is none", InvalidError, "10.0.0.0/33", lambda f: f.net("n", ipv4="10.0.0.0/33")),
    ("prefix with host bits", InvalidError, "10.0.0.1/8", lambda f: f.net("n", ipv4="10.0.0.1/8")),
    ("prefix of the other family", InvalidError, "fd0a::/64", lambda f: f.net("n", ipv4="fd0a::/64")),
    ("prefix that is a number", InvalidError, "7", lambda f: f.net("n", ipv6=7)),
    ("overlapping prefix", ConflictError, "10.77.3.0/24", lambda f: f.net("n", ipv4="10.77.3.0/24")),
    ("overlap in the second", ConflictError, "fd77::/80", lambda f: f.net("n", ipv4="10.1.0.0/24", ipv6="fd77::/80")),
    ("gateway outside", InvalidError, "10.2.0.1", lambda f: f.net("n", ipv4="10.1.0.0/24", gateway="10.2.0.1")),
    ("gateway that is none", InvalidError, "'gw'", lambda f: f.net("n", ipv4="10.1.0.0/24", gateway="gw")),
    ("gateway of all", InvalidError, "10.1.0.255", lambda f: f.net("n", ipv4="10.1.0.0/24", gateway="10.1.0.255")),
    ("gateway without prefix", InvalidError, "'n'", lambda f: f.net("n", ipv4="10.1.0.0/24", gateway_ipv6="fd01::1")),
    ("options that are none", InvalidError, "options", lambda f: f.net("n", options="mtu=9")),
    ("ipam data as an option", InvalidError, "ipam_data", lambda f: f.net("n", options={"driverapi.ipam_data": 1})),
    ("small MTU", InvalidError, "67", lambda f: f.net("n", ipv4="10.1.0.0/24", options={"Mtu": 67})),
    ("MTU too small for IPv6", InvalidError, "1279", lambda f: f.net("n", ipv6="fd01::/64", options={"Mtu": "1279"})),
    ("large MTU", InvalidError, "65536", lambda f: f.net("n", options={labels.MTU: 65536})),
    ("MTU that is none", InvalidError, "'big'", lambda f: f.net("n", options={"Mtu": "big"})),
    ("long bridge name", InvalidError, "b{16}", lambda f: f.net("n", options={"BridgeName": "b" * 16})),
    ("taken bridge name", KernelError, "lo", lambda f: f.net("n", options={"BridgeName": "lo"})),
    ("long interface prefix", InvalidError, "p{13}", lambda f: f.net("n", options={labels.IFACE_PREFIX: "p" * 13})),
    ("what needs rules", NotImplementedYetError, "masquerade",
     lambda f: f.net("n", options={"EnableIPMasquerade": "true"})),
    ("network with endpoints", BusyError, "'web' has 2 endpoints.*idle", lambda f: f.web.delete()),
    ("deleted network", NoNetworkError, "'gone'", lambda f: f.gone.delete()),
    ("endpoint on a deleted network", NoNetworkError, "'gone'", lambda f: f.gone.create_endpoint("ep")),
    # endpoints
    ("duplicate endpoint", EndpointExistsError, "'web'.*'idle'", lambda f: f.web.create_endpoint("idle")),
    ("unknown endpoint", NoEndpointError, "'web'.*'nope'", lambda f: f.web.endpoint("nope")),
    ("endpoint name that is none", InvalidError, "endpoint name 5", lambda f: f.web.create_endpoint(5)),
    ("empty endpoint name", InvalidError, "endpoint name ''", lambda f: f.web.create_endpoint("")),
    ("address outside", InvalidError, r"10.78.0.1.*10.77.0.0/16", lambda f: f.web.create_endpoint("n", "10.78.0.1")),
    ("address of the network", InvalidError, "10.77.0.0", lambda f: f.web.create_endpoint("n", "10.77.0.0")),
    ("address taken", AddressTakenError, "10.77.0.2", lambda f: f.web.create_endpoint("n", "10.77.0.2")),
    ("address of the gateway", AddressTakenError, "10.77.0.1 ", lambda f: f.web.create_endpoint("n", "10.77.0.1")),
    ("second address taken", AddressTakenError, "fd77::2",
     lambda f: f.web.create_endpoint("n", "10.77.9.9", "fd77::2")),
    ("address that is none", InvalidError, "'10.77.0.x'", lambda f: f.web.create_endpoint("n", "10.77.0.x")),
    ("address with a prefix", InvalidError, "10.77.0.9/16", lambda f: f.web.create_endpoint("n", "10.77.0.9/16")),
    ("address of the other family", InvalidError, "fd77::9", lambda f: f.web.create_endpoint("n", "fd77::9")),
    ("family that is not there", InvalidError, "'four' has no IPv6",
     lambda f: f.four.create_endpoint("n", ipv6="fd77::9")),
    ("MAC that is none", InvalidError, "'no mac'", lambda f: f.web.create_endpoint("n", mac="no mac")),
    ("MAC of a group", InvalidError, "01:00:5e:00:00:01",
     lambda f: f.web.create_endpoint("n", mac="01:00:5e:00:00:01")),
    ("MAC taken", AddressTakenError, "02:42:0a:4d:00:02",
     lambda f: f.web.create_endpoint("n", mac="02:42:0a:4d:00:02")),
    ("MAC in a label", InvalidError, "'no mac'",
     lambda f: f.web.create_endpoint("n", options={"MacAddress": "no mac"})),
    ("long interface name", InvalidError, "i{16}",
     lambda f: f.web.create_endpoint("n", options={labels.ENDPOINT_IFNAME: "i" * 16})),
    ("deleted endpoint", NoEndpointError, "'deleted'", lambda f: f.deleted.delete()),
    ("info of a deleted endpoint", NoEndpointError, "deleted", lambda f: f.deleted.info()),
    ("driver info of a deleted one", NoEndpointError, "'deleted'", lambda f: f.deleted.driver_info()),
    ("delete while joined", JoinedError, "'inside'", lambda f: f.inside.delete()),
    # joining
    ("join twice", JoinedError, "'inside' has joined", lambda f: f.inside.join(f.box)),
    ("join another", JoinedError, "'inside' has joined", lambda f: f.inside.join(f.spare)),
    ("join after deletion", NoEndpointError, "'deleted'", lambda f: f.deleted.join(f.box)),
    ("join a deleted sandbox", NoSandboxError, "'dropped'", lambda f: f.idle.join(f.dropped)),
    ("join a name", InvalidError, "'box'", lambda f: f.idle.join("box")),
    ("join nothing", InvalidError, "None", lambda f: f.idle.join(None)),
    ("join another controller's", InvalidError, "'foreign'", lambda f: f.idle.join(f.foreign)),
    ("join the host", ConflictError, "'idle'.*'bridge' join no sandbox", lambda f: f.idle.join(f.host)),
    ("join with bad options", InvalidError, "options", lambda f: f.idle.join(f.box, "x")),
    ("taken interface name", ConflictError, "'wan'.*{box}", lambda f: f.wan.join(f.box)),
    ("leave what was not joined", NotJoinedError, "'idle'", lambda f: f.idle.leave()),
    ("leave another", NotJoinedError, "'inside'.*{spare}", lambda f: f.inside.leave(f.spare)),
    ("leave a name", InvalidError, "'box'", lambda f: f.inside.leave("box")),
    ("leave after deletion", NoEndpointError, "'deleted'", lambda f: f.deleted.leave()),
    # sandboxes
    ("duplicate sandbox", SandboxExistsError, "'box'", lambda f: f.ctl.create_sandbox("box")),
    ("unknown sandbox", NoSandboxError, "'nope'", lambda f: f.ctl.sandbox("nope")),
    ("sandbox name that is none", InvalidError, "sandbox name", lambda f: f.ctl.create_sandbox("")),
    ("no such namespace", NoSandboxError, "/no/such", lambda f: f.ctl.create_sandbox("n", netns="/no/such")),
    ("both the host's and another", InvalidError, "not both",
     lambda f: f.ctl.create_sandbox("n", netns="/x", host=True)),
    ("namespace that is no path", InvalidError, "netns 5", lambda f: f.ctl.create_sandbox("n", netns=5)),
    ("namespace with a NUL", InvalidError, "netns", lambda f: f.ctl.create_sandbox("n", netns="/a\0b")),
    ("sandbox in use", BusyError, "'box'.*inside", lambda f: f.box.delete()),
    ("deleted sandbox", NoSandboxError, "'dropped'", lambda f: f.dropped.delete()),
    # bulk
    ("attach nothing", InvalidError, "None", lambda f: f.web.attach(None)),
    ("attach less than nothing", InvalidError, "-1", lambda f: f.web.attach(-1)),
    ("attach a truth value", InvalidError, "True", lambda f: f.web.attach(True)),
    ("attach a fraction", InvalidError, "1.5", lambda f: f.web.attach(1.5)),
    ("attach text", InvalidError, "'b'", lambda f: f.web.attach("box")),
    ("attach to what is none", InvalidError, "None", lambda f: f.web.attach([f.box, None])),
    ("attach to a deleted sandbox", NoSandboxError, "'dropped'", lambda f: f.web.attach([f.box, f.dropped])),
    ("attach to another controller's", InvalidError, "'foreign'", lambda f: f.web.attach([f.foreign])),
]
# fmt: on


class Full:
    """A world with one of each thing that a bad call may meet."""

    def __init__(self, world: World) -> None:
        self.ctl = ctl = world.ctl
        self.other = World()
        self.foreign = self.other.ctl.create_sandbox("foreign")
        self.web = ctl.create_network("bridge", "web", ipv4="10.77.0.0/16", ipv6="fd77::/64")
        self.four = ctl.create_network("bridge", "four", ipv4="10.4.0.0/24")
        self.gone = ctl.create_network("bridge", "gone", ipv4="10.3.0.0/24")
        self.gone.delete()
        self.box, self.spare, self.dropped = map(ctl.create_sandbox, ("box", "spare", "dropped"))
        self.host = ctl.create_sandbox("host", host=True)
        self.dropped.delete()
        self.inside = self.web.create_endpoint("inside")
        self.inside.join(self.box)
        self.idle = self.web.create_endpoint("idle")
        name = {"com.docker.network.endpoint.ifname": "wan"}
        self.four.create_endpoint("first", options=name).join(self.box)
        self.wan = self.four.create_endpoint("wan", options=name)
        self.deleted = self.four.create_endpoint("deleted")
        self.deleted.delete()
        world.dataplane.faults["/no/such"] = errors.NoSandboxError("'/no/such' is no network namespace")

    def net(self, name: str, **arguments: Any) -> Network:
        return self.ctl.create_network("bridge", name, **arguments)


@pytest.mark.parametrize(("kind", "names", "call"), [one[1:] for one in BAD], ids=[one[0] for one in BAD])
def test_bad_input(world: World, kind: type[Exception], names: str, call: Callable[[Any], Any]) -> None:
    full = Full(world)
    pattern = names.replace(".", r"\.").replace(r"\.*", ".*")
    pattern = pattern.replace("{box}", full.box.key).replace("{spare}", full.spare.key)
    calls = len(world.bridge.calls)
    with unchanged(world), pytest.raises(kind, match=pattern) as caught:
        call(full)
    assert isinstance(caught.value, errors.DriverAPIError)
    assert type(caught.value) is kind
    undone = [method for method, _ in world.bridge.calls[calls:]]
    assert undone in (
        [],
        ["create_network"],
        ["create_network", "delete_network"],
        ["create_endpoint"],
        ["join", "leave"],
    )
    full.other.ctl.close()


def test_state_is_not_in_this_version() -> None:
    with pytest.raises(errors.NotImplementedYetError, match="state"):
        Controller(state="path.db", dataplane=FakeDataplane())


# --- threads ------------------------------------------------------------------------------------------------


def test_one_network_name_by_64_threads(world: World) -> None:
    network = exactly_one(at_once(lambda _: world.ctl.create_network("bridge", "web")), errors.NetworkExistsError)
    assert world.ctl.networks == [network]
    assert len(world.dataplane.networks) == len(world.bridge_driver._networks) == len(world.ipam._pools) == 1


def test_one_endpoint_name_by_64_threads(world: World, web: Network) -> None:
    endpoint = exactly_one(at_once(lambda _: web.create_endpoint("ep")), errors.EndpointExistsError)
    assert web.endpoints == [endpoint]
    assert world.ipam.free(web._pools[4].id) == 2**16 - 2 - 2


def test_one_sandbox_name_by_64_threads(world: World) -> None:
    box = exactly_one(at_once(lambda _: world.ctl.create_sandbox("box")), errors.SandboxExistsError)
    assert world.ctl.sandboxes == [box]
    assert len(world.dataplane.sandboxes) == 1


def test_one_prefix_by_64_threads(world: World) -> None:
    exactly_one(
        at_once(lambda number: world.ctl.create_network("bridge", str(number), ipv4="10.1.0.0/16")),
        errors.ConflictError,
    )
    assert len(world.ctl.networks) == 1


def test_one_deletion_by_64_threads(world: World, web: Network) -> None:
    endpoint, box = web.create_endpoint("ep"), world.ctl.create_sandbox("box")
    exactly_one([one or True for one in at_once(lambda _: endpoint.delete())], errors.NoEndpointError)
    exactly_one([one or True for one in at_once(lambda _: box.delete())], errors.NoSandboxError)
    exactly_one([one or True for one in at_once(lambda _: web.delete())], errors.NoNetworkError)
    assert world.bridge.of(endpoint.id) == ["create_endpoint", "delete_endpoint"]


def test_names_and_addresses_that_go_round_among_threads(world: World, own: Network) -> None:
    """One name and one address, wanted by all: nobody is ever told that both it and another has it."""
    held = threading.Semaphore(1)

    def churn(number: int) -> int:
        won = 0
        for _ in range(20):
            try:
                endpoint = own.create_endpoint("ep", ipv4="10.50.0.9")
            except (errors.EndpointExistsError, errors.AddressTakenError):
                continue
            assert held.acquire(blocking=False), "two have one name"
            won += 1
            held.release()
            endpoint.delete()
        return won

    answers = at_once(churn, 16)
    assert not [answer for answer in answers if isinstance(answer, Exception)]
    assert sum(answers) > 0
    assert own.endpoints == []
    assert world.ipam.free(own._pools[4].id) == 254


def test_join_and_leave_by_threads_agree_in_the_end(world: World, web: Network) -> None:
    """Whatever raced, the endpoint, the sandboxes and the lifecycle say the same, and all can be deleted."""
    boxes = [world.ctl.create_sandbox(f"box{number}") for number in range(2)]
    endpoints = [web.create_endpoint(f"ep{number}") for number in range(2)]

    def churn(number: int) -> None:
        for turn in range(30):
            endpoint, box = endpoints[(number + turn) % 2], boxes[number // 2 % 2]
            try:
                endpoint.join(box) if number % 2 else endpoint.leave()
            except (errors.JoinedError, errors.NotJoinedError):
                continue

    assert at_once(churn, 16) == [None] * 16
    for endpoint in endpoints:
        netns = world.ctl._lifecycle.endpoint(endpoint.id).netns
        assert (endpoint.sandbox and endpoint.sandbox._netns) is netns
        assert [box for box in boxes if endpoint in box.endpoints] == ([endpoint.sandbox] if endpoint.sandbox else [])
        if endpoint.sandbox:
            endpoint.leave()
        endpoint.delete()
    for box in boxes:
        box.delete()


def test_a_sandbox_is_deleted_or_joined_never_both(world: World, web: Network) -> None:
    for turn in range(20):
        box, endpoint = world.ctl.create_sandbox("box"), web.create_endpoint("ep")
        joined, deleted = at_once(lambda number, e=endpoint, b=box: b.delete() if number else e.join(b), 2)
        assert (joined is None) != (deleted is None), turn
        if joined is None:
            assert isinstance(deleted, errors.BusyError)
            assert box.endpoints == [endpoint]
            endpoint.leave()
            box.delete()
        else:
            assert isinstance(joined, errors.NoSandboxError)
            assert not world.dataplane.sandboxes
        endpoint.delete()


def test_a_network_is_deleted_or_grows_never_both(world: World) -> None:
    for turn in range(20):
        net = world.ctl.create_network("bridge", "net", ipv4="10.1.0.0/16")
        made, deleted = at_once(lambda number, n=net: n.delete() if number else n.create_endpoint("ep"), 2)
        assert isinstance(made, Endpoint) != (deleted is None), turn
        if deleted is None:
            assert isinstance(made, errors.NoNetworkError)
        else:
            assert isinstance(deleted, errors.BusyError)
            made.delete()
            net.delete()


def test_attach_by_many_threads(world: World, web: Network) -> None:
    answers = at_once(lambda _: web.attach(20, strict=True), 16)
    addresses = [endpoint.interfaces[0].packed_address for answer in answers for endpoint in answer]
    assert len(set(addresses)) == 320
    assert at_once(lambda number: web.detach(answers[number]), 16) == [None] * 16
    assert world.ctl.sandboxes == web.endpoints == []


def test_sandbox_is_noted_while_it_is_joined(world: World, web: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second join that fails must not take the first one's endpoint out of the sandbox."""
    endpoint, box = web.create_endpoint("ep"), world.ctl.create_sandbox("box")
    lifecycle = world.ctl._lifecycle
    join = lifecycle.join

    def slow(*args: Any) -> Any:
        outcomes = join(*args)
        if outcomes == [None]:  # the winner is held up before it can go on
            with pytest.raises(errors.JoinedError):
                endpoint.join(box)
            with pytest.raises(errors.BusyError):
                box.delete()
        return outcomes

    monkeypatch.setattr(lifecycle, "join", slow)
    endpoint.join(box)
    assert box.endpoints == [endpoint]
    with pytest.raises(errors.BusyError, match="'box' is joined by ep"):
        box.delete()


# --- the end ------------------------------------------------------------------------------------------------


def closed_controller() -> tuple[World, Network, Endpoint, Sandbox]:
    world = World()
    web = world.ctl.create_network("bridge", "web", ipv4="10.77.0.0/16")
    box = world.ctl.create_sandbox("box")
    endpoint = web.create_endpoint("ep")
    endpoint.join(box)
    web.attach(3)
    web.create_endpoint("idle")
    web.notice_endpoint("elsewhere", ipv4="10.77.9.9")
    return world, web, endpoint, box


def uses(world: World, web: Network, endpoint: Endpoint, box: Sandbox) -> list[Callable[[], Any]]:
    return [
        lambda: world.ctl.create_network("bridge", "new"),
        lambda: world.ctl.create_sandbox("new"),
        lambda: world.ctl.__enter__(),
        lambda: web.create_endpoint("new"),
        lambda: web.notice_endpoint("new", ipv4="10.77.1.1"),
        lambda: web.attach(1),
        lambda: web.detach([endpoint]),
        web.delete,
        lambda: endpoint.join(box),
        endpoint.leave,
        endpoint.delete,
        endpoint.driver_info,
        box.delete,
    ]


def test_close_takes_all_away_and_nothing_works_after_it() -> None:
    world, web, endpoint, box = closed_controller()
    world.ctl.close()
    world.assert_empty()
    assert world.dataplane.closed
    for use in uses(world, web, endpoint, box):
        with pytest.raises(errors.ClosedError, match="closed; make another"):
            use()
    world.ctl.close()
    world.assert_empty()


def test_with_closes() -> None:
    world, *_ = closed_controller()
    with pytest.raises(ZeroDivisionError), world.ctl:
        1 / 0  # noqa: B018
    world.assert_empty()


def test_close_goes_on_and_tells_all() -> None:
    world, _web, endpoint, box = closed_controller()
    other = world.ctl.create_network("bridge", "other", ipv4="10.78.0.0/16")
    world.dataplane.stuck[endpoint.id] = errors.KernelError("first", 16)
    world.dataplane.stuck[other.id] = errors.KernelError("second", 16)
    world.dataplane.stuck[box.key.rpartition("/")[2]] = errors.KernelError("third", 16)
    with pytest.raises(errors.BulkError) as caught:
        world.ctl.close()
    told = [str(one) for one in caught.value.exceptions]
    assert [one for one in told if one in ("first", "second", "third")] == ["first", "second", "third"]
    assert any("'web' has 1 endpoints (ep" in one for one in told)
    assert set(world.dataplane.endpoints) == {endpoint.id}
    assert len(world.dataplane.sandboxes) == 1
    assert world.dataplane.closed


def test_close_by_many_threads() -> None:
    world, *_ = closed_controller()
    assert at_once(lambda _: world.ctl.close()) == [None] * 64
    world.assert_empty()


def test_a_network_that_is_made_during_close_goes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    create = world.bridge.inner.create_network

    def slow(*args: Any) -> None:
        create(*args)
        closer = threading.Thread(target=world.ctl.close)
        closing = threading.Event()
        monkeypatch.setattr(world.dataplane, "close", lambda: (closing.wait(30), None)[1])
        closer.start()
        while not world.ctl._closing:
            pass
        threading.Timer(0.2, closing.set).start()

    monkeypatch.setattr(world.bridge.inner, "create_network", slow)
    with pytest.raises(errors.ClosedError):
        world.ctl.create_network("bridge", "late")
    assert not world.dataplane.networks
    assert not world.bridge_driver._networks


def test_what_was_forgotten_is_closed_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    worlds = [closed_controller()[0] for _ in range(3)]
    monkeypatch.setattr(module, "_open", weakref.WeakSet(world.ctl for world in worlds))
    name = worlds[0].ctl.network("web").id
    worlds[0].dataplane.stuck[name] = errors.KernelError("stuck", 16)
    with pytest.raises(errors.BulkError):
        module._close_forgotten()
    for world in worlds[1:]:
        world.assert_empty()


# --- forks --------------------------------------------------------------------------------------------------


def test_use_after_fork() -> None:
    world, web, endpoint, box = closed_controller()
    before = world.state()
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # on 3.12: a fork beside threads
        pid = os.fork()
    if pid == 0:
        said = b"died"
        try:
            kinds = set()
            for use in uses(world, web, endpoint, box):
                try:
                    use()
                    kinds.add("nothing")
                except Exception as error:
                    kinds.add(f"{type(error).__name__}: {error}")
            world.ctl.close()  # does nothing: these things are the parent's
            assert world.state() == before
            assert not world.dataplane.closed
            with Controller(dataplane=FakeDataplane()) as mine:
                mine.create_network("bridge", "mine").attach(2, strict=True)
            said = "|".join(sorted(kinds)).encode()
        finally:
            os.write(write, said)
            os._exit(0)
    os.close(write)
    with open(read, "rb") as answer:
        said = answer.read()
    os.waitpid(pid, 0)
    assert said.decode() == (
        "ForkedError: this controller belongs to the parent process; make one in the child after the fork"
    )
    assert world.state() == before
    world.ctl.close()
    world.assert_empty()


# --- several controllers ----------------------------------------------------------------------------------------


def test_controllers_do_not_see_each_other() -> None:
    registry = DriverRegistry()
    registry.register("bridge", BridgeDriver())
    with Controller(dataplane=FakeDataplane(), registry=registry) as one:
        with Controller(dataplane=FakeDataplane(), registry=registry) as two:
            networks = [ctl.create_network("bridge", "web", ipv4="10.77.0.0/16") for ctl in (one, two)]
            for network in networks:
                network.attach(2, strict=True)
        assert len(networks[0].endpoints) == 2
    assert "networks" in repr(one)

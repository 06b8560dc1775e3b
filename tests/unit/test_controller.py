"""The contract that users rely on, over the dataplane in memory; and every bad input that needs no kernel."""

from __future__ import annotations

import ipaddress
import threading
from typing import Any

import netaddr
import pytest

from driverapi import Endpoint, Origin, errors
from driverapi.dataplane.contract import Ownership
from driverapi.network import Network
from tests.support import World, unchanged


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
        "ports": [],
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


def test_attached_and_strict_leaves_nothing(world: World) -> None:
    small = world.ctl.create_network("bridge", "small", ipv4="10.9.0.0/30")
    with pytest.raises(errors.BulkError, match="2 of 3"), small.attached(3, strict=True):
        raise AssertionError("it was not to come this far")
    assert small.endpoints == []
    assert world.ctl.sandboxes == []


def test_detach_takes_each_once(world: World, web: Network) -> None:
    endpoints = web.attach(3)
    web.detach(endpoints + endpoints)
    assert [endpoint.error for endpoint in endpoints] == [None] * 3
    assert (web.endpoints, world.ctl.sandboxes) == ([], [])
    with pytest.raises(errors.InvalidError, match="no endpoint of network"):
        web.detach([[]])  # type: ignore[list-item]


def test_progress_that_raises_undoes_the_attach(world: World, web: Network) -> None:
    def progress(_: int) -> None:
        raise ZeroDivisionError

    with unchanged(world), pytest.raises(ZeroDivisionError):
        web.attach(3, progress=progress)


def test_a_network_in_use_names_some_of_its_endpoints(world: World) -> None:
    small = world.ctl.create_network("bridge", "small", ipv4="10.9.0.0/24")
    first = small.create_endpoint("ep1")
    with pytest.raises(errors.BusyError, match=r"has 1 endpoint \(ep1\); delete"):
        small.delete()
    for number in range(2, 8):
        small.create_endpoint(f"ep{number}")
    first.delete()
    with pytest.raises(errors.BusyError, match=r"has 6 endpoints \(ep2, ep3, ep4, ep5, ep6, …\); delete"):
        small.delete()


@pytest.mark.parametrize("fails", [1, 2])
def test_a_deletion_that_the_ipam_stopped_can_go_on(
    world: World, web: Network, fails: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, calls = world.ipam.release_pool, []

    def stops(pool: str) -> None:
        calls.append(pool)
        if len(calls) == fails:
            raise errors.KernelError("injected", 5)
        release(pool)

    monkeypatch.setattr(world.ipam, "release_pool", stops)
    with pytest.raises(errors.KernelError, match="injected"):
        web.delete()
    web.delete()
    assert len(calls) == 3
    with pytest.raises(errors.NoNetworkError):
        world.ctl.network("web")
    world.ctl.create_network("bridge", "web", ipv4="10.77.0.0/16", ipv6="fd77::/64").delete()
    world.assert_empty()


def test_who_asks_for_what_is_not_there_is_told_what_is(world: World) -> None:
    ctl = world.ctl
    with pytest.raises(errors.NoNetworkError, match=r"no network 'wbe'; there is none$"):
        ctl.network("wbe")
    web = ctl.create_network("bridge", "web", ipv4="10.77.0.0/16")
    ctl.create_network("null", "back")
    with pytest.raises(errors.NoNetworkError, match=r"no network 'wbe'; there are: 'web', 'back'$"):
        ctl.network("wbe")
    with pytest.raises(errors.NoEndpointError, match=r"network 'web' has no endpoint 'x'; there is none$"):
        web.endpoint("x")
    for number in range(9):
        web.create_endpoint(f"e{number}")
        ctl.create_sandbox(f"s{number}")
    with pytest.raises(errors.NoEndpointError, match=r"has no endpoint 'x'; there are: 'e0', .*'e7', and more$"):
        web.endpoint("x")
    with pytest.raises(errors.NoSandboxError, match=r"no sandbox 'x'; there are: 's0', .*'s7', and more$"):
        ctl.sandbox("x")


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
        with unchanged(world), pytest.raises(errors.DriverFaultError, match="OSError: ipam is gone"):
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


def test_wishes_for_addresses(world: World) -> None:
    ctl = world.ctl
    net = ctl.create_network(
        "bridge",
        "web",
        ipv4="10.1.0.0/24",
        ipv6="fd01::/64",
        ip_range=["10.1.0.128/25", "fd01::8000/113"],
        aux_addresses={"router": "10.1.0.130", "other": "fd01::8002"},
        serial=True,
    )
    assert (str(net.gateway), str(net.gateway_ipv6)) == ("10.1.0.128", "fd01::8000")
    eps = net.attach(2, strict=True)
    given = [(str(one.interfaces[0].address.ip), str(one.interfaces[0].address_ipv6.ip)) for one in eps]
    assert given == [("10.1.0.129", "fd01::8001"), ("10.1.0.131", "fd01::8003")]
    net.detach(eps)
    [one] = net.attach(1, strict=True)
    assert str(one.interfaces[0].address.ip) == "10.1.0.132"
    for size, length in (("0.0.0.0/26", 26), ("0.0.0.0/20", 20)):
        assert ctl.create_network("bridge", size, ipv4=size, ipv6="::/64").ipv4.prefixlen == length
    with pytest.raises(errors.ConflictError, match=r"overlaps network 'web' 10\.1\.0\.0/24"):
        ctl.create_network("bridge", "two", ipv4="10.1.0.0/16")
    ctl.create_network("bridge", "two", ipv4="10.1.0.0/16", allow_overlap=True)


@pytest.mark.parametrize(
    ("names", "wishes"),
    [
        ("ip_range", {"ip_range": "10.2.0.0/24"}),
        ("ip_range", {"ip_range": ["10.1.0.0/25", "10.1.0.128/25"]}),
        ("ip_range", {"ip_range": "fd01::/80"}),
        ("aux address 'r'", {"aux_addresses": {"r": "nonsense"}}),
        ("10.2.0.1", {"aux_addresses": {"r": "10.2.0.1"}}),
        ("aux_addresses", {"aux_addresses": ["10.1.0.1"]}),
        ("serial", {"serial": "yes"}),
    ],
)
def test_wishes_that_cannot_be(world: World, names: str, wishes: dict[str, Any]) -> None:
    with unchanged(world), pytest.raises(errors.InvalidError, match=names):
        world.ctl.create_network("bridge", "web", ipv4="10.1.0.0/24", **wishes)

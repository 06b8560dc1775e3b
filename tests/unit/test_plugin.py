"""The plugin as an engine asks it, without a socket: every trap of the protocol, by the number it has in our notes.

1 is HTTP's (``test_plugin_http``), 15 and 16 are in ``test_plugin_state``, 19 in ``test_plugin_sockets``; 5 is why 4,
15 and 16 are as they are. A real engine asks in ``tests/docker``.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from driverapi import EndpointInfo, errors
from driverapi.drivers.null import NullDriver
from driverapi.streams.discovery import Node
from tests.plugins import END, KEY, NET, SPACE, AskedError, Engine
from tests.support import OwnDriver

MUTATING = [
    *(f"NetworkDriver.{verb}" for verb in ("CreateNetwork", "DeleteNetwork", "AllocateNetwork", "FreeNetwork")),
    *(f"NetworkDriver.{verb}" for verb in ("CreateEndpoint", "DeleteEndpoint", "Join", "Leave", "EndpointOperInfo")),
    *(f"NetworkDriver.{verb}" for verb in ("ProgramExternalConnectivity", "RevokeExternalConnectivity")),
    *(f"NetworkDriver.{verb}" for verb in ("DiscoverNew", "DiscoverDelete", "GwAllocCheck")),
    *(f"IpamDriver.{verb}" for verb in ("RequestPool", "ReleasePool", "RequestAddress", "ReleaseAddress")),
]


def test_2_success_is_200_and_has_a_body(engine: Engine) -> None:
    """201 and 204 are errors to an engine, and so is nothing."""
    one = {"NetworkID": NET, "EndpointID": END}
    asked: list[tuple[str, Any]] = [
        ("Plugin.Activate", {}),
        ("NetworkDriver.GetCapabilities", {}),
        ("NetworkDriver.GwAllocCheck", {}),
        ("NetworkDriver.AllocateNetwork", one),
        ("NetworkDriver.FreeNetwork", one),
        ("NetworkDriver.CreateNetwork", {**one, "IPv4Data": [{"Pool": "10.9.0.0/16", "Gateway": "10.9.0.1/16"}]}),
        ("NetworkDriver.CreateEndpoint", {**one, "Interface": {"Address": "10.9.0.2/16"}}),
        ("NetworkDriver.Join", {**one, "SandboxKey": KEY}),
        ("NetworkDriver.ProgramExternalConnectivity", one),
        ("NetworkDriver.EndpointOperInfo", one),
        ("NetworkDriver.RevokeExternalConnectivity", one),
        ("NetworkDriver.Leave", one),
        ("NetworkDriver.DeleteEndpoint", one),
        ("NetworkDriver.DeleteNetwork", one),
        ("NetworkDriver.DiscoverNew", {"DiscoveryType": 1, "DiscoveryData": {"Address": "10.0.0.1"}}),
        ("NetworkDriver.DiscoverDelete", {"DiscoveryType": 1, "DiscoveryData": {"Address": "10.0.0.1"}}),
        ("IpamDriver.GetCapabilities", {}),
        ("IpamDriver.GetDefaultAddressSpaces", {}),
        ("IpamDriver.RequestPool", {"Pool": "10.7.0.0/24"}),
        ("IpamDriver.RequestAddress", {"PoolID": "10.7.0.0/24"}),
        ("IpamDriver.ReleaseAddress", {"PoolID": "10.7.0.0/24", "Address": "10.7.0.1"}),
        ("IpamDriver.ReleasePool", {"PoolID": "10.7.0.0/24"}),
    ]
    assert {f"/{verb}" for verb, _ in asked} == set(engine.plugin._verbs)
    for verb, document in asked:
        status, answer, _ = engine.plugin.answer("POST", f"/{verb}", json.dumps(document).encode())
        assert (verb, status) == (verb, 200)
        assert answer.startswith(b"{")
        assert b'"Err' not in answer


def test_3_errors_are_in_the_key_that_is_read(engine: Engine) -> None:
    status, told = engine.raw("/NetworkDriver.DeleteNetwork", b'{"NetworkID": "x"}')
    assert (status, told) == (404, {"Err": "no network x", "Kind": "not-found"})
    status, told = engine.raw("/IpamDriver.ReleasePool", b'{"PoolID": "x"}')
    assert (status, told["Kind"]) == (404, "not-found")
    assert told["Error"] == told["Err"] == "no address pool 'x'"


@pytest.mark.parametrize("verb", MUTATING)
def test_4_an_empty_body_is_refused(endpoint: Engine, verb: str) -> None:
    before = endpoint.plugin.health()
    for body in (b"", b" \r\n"):
        status, told = endpoint.raw(f"/{verb}", body)
        assert (status, told["Kind"]) == (400, "invalid")
        assert "no body" in told["Err"]
    assert endpoint.plugin.health() == before


def test_4_what_is_asked_for_again_is_answered_again(engine: Engine) -> None:
    for _ in range(2):
        engine.network()
        assert engine.endpoint() == {"Interface": {"MacAddress": "02:42:0a:09:00:02"}}
    assert engine.plugin.health()["Endpoints"] == 1
    first, second = engine.join(), engine.join()
    assert first["InterfaceName"]["DstPrefix"] == second["InterfaceName"]["DstPrefix"] == "eth"
    assert len(engine.dataplane.endpoints) == 1
    for verb in ("Leave", "Leave", "DeleteEndpoint", "DeleteEndpoint"):
        assert engine.ask(verb, NetworkID=NET, EndpointID=END) == {}
    for _ in range(2):
        assert engine.ask("DeleteNetwork", NetworkID=NET) == {}
    engine.empty()


def test_4_another_network_of_that_id_is_refused(network: Engine) -> None:
    with pytest.raises(AskedError, match="is another") as refused:
        network.network(IPv4Data=[{"Pool": "10.8.0.0/16", "Gateway": "10.8.0.1/16"}])
    assert (refused.value.status, refused.value.document["Kind"]) == (409, "conflict")


def test_4_what_nobody_hears_of_is_undone(engine: Engine) -> None:
    """The connection is cut after the request was read: the engine will ask for no deletion."""

    def lost() -> None:
        assert engine.undo is not None
        engine.undo()

    engine.network()
    lost()
    engine.empty()
    engine.network()
    engine.endpoint()
    lost()
    assert engine.plugin.health()["Endpoints"] == 0
    engine.endpoint()
    engine.join()
    lost()
    assert engine.dataplane.endpoints == {}
    engine.ask("DeleteEndpoint", NetworkID=NET, EndpointID=END)
    pool = engine.ask("IpamDriver.RequestPool", AddressSpace=SPACE, Pool="10.7.0.0/30")["PoolID"]
    for _ in range(5):  # of two
        engine.ask("IpamDriver.RequestAddress", PoolID=pool)
        lost()
    lost()  # a second time does no harm
    engine.ask("IpamDriver.ReleasePool", PoolID=pool)
    engine.ask("IpamDriver.RequestPool", AddressSpace=SPACE, Pool="10.7.0.0/30")
    lost()
    engine.ask("IpamDriver.RequestPool", AddressSpace=SPACE, Pool="10.7.0.0/30")


def test_4_what_was_asked_for_again_meanwhile_stays(engine: Engine) -> None:
    """A client of ours asks again, whole, while the first answer is on its way to nobody."""
    for again in (engine.network, engine.endpoint, engine.join):
        again()
        first = engine.undo
        assert first is not None
        again()
        first()
    assert engine.plugin.health()["Endpoints"] == 1
    assert len(engine.dataplane.endpoints) == 1


def test_6_capabilities(engine: Engine) -> None:
    """7: with or without a body, in any order."""
    for body in (b"", b"{}", b"null"):
        assert engine.raw("/Plugin.Activate", body) == (200, {"Implements": ["NetworkDriver", "IpamDriver"]})
        status, told = engine.raw("/NetworkDriver.GetCapabilities", body)
        assert (status, told["Scope"], told["ConnectivityScope"]) == (200, "local", "local")
        status, told = engine.raw("/IpamDriver.GetCapabilities", body)
        assert (status, told) == (200, {"RequiresMACAddress": False, "RequiresRequestReplay": True})
        status, told = engine.raw("/IpamDriver.GetDefaultAddressSpaces", body)
        assert (status, told) == (200, {"LocalDefaultAddressSpace": SPACE, "GlobalDefaultAddressSpace": SPACE})


def test_6_nothing_but_an_unknown_verb_is_404_where_that_means_success(network: Engine) -> None:
    for verb in ("ProgramExternalConnectivity", "RevokeExternalConnectivity"):
        with pytest.raises(AskedError) as refused:
            network.ask("ProgramExternalConnectivity", NetworkID=NET, EndpointID="nobody", Options={})
        assert refused.value.status == 409, verb
    assert network.raw("/NetworkDriver.Sing", b"{}")[0] == 404


@pytest.mark.parametrize(
    "mac", [base64.b64encode(bytes.fromhex("0242aabbccdd")).decode(), "02:42:aa:bb:cc:dd", "02-42-AA-BB-CC-DD"]
)
def test_8_the_mac_of_an_option(network: Engine, mac: str) -> None:
    options = {"com.docker.network.endpoint.macaddress": mac, "my.own.option": "x"}
    assert network.endpoint(Options=options) == {"Interface": {"MacAddress": "02:42:aa:bb:cc:dd"}}


PORT = {"Proto": 6, "IP": "", "Port": 80, "HostIP": "", "HostPort": 8080, "HostPortEnd": 8080}


def program(engine: Engine, *ports: Any) -> Any:
    options = {"com.docker.network.portmap": list(ports), "com.docker.network.endpoint.exposedports": []}
    return engine.ask("ProgramExternalConnectivity", NetworkID=NET, EndpointID=END, Options=options)


def test_8_ports(network: Engine) -> None:
    exposed = [{"Proto": 6, "Port": 80}]
    network.endpoint(
        Options={"com.docker.network.endpoint.exposedports": exposed, "com.docker.network.portmap": [PORT]}
    )
    assert network.join()["InterfaceName"]["DstPrefix"] == "eth"
    assert network.dataplane.ports == {}
    for _ in range(2):
        assert program(network, PORT) == {}
        [told] = network.ask("EndpointOperInfo", NetworkID=NET, EndpointID=END)["Value"]["com.docker.network.portmap"]
        assert (told["HostPort"], told["Port"], told["IP"]) == (8080, 80, "10.9.0.2")
        assert len(network.dataplane.ports) == 1
    program(network, {**PORT, "HostPort": 8081, "HostPortEnd": 8081})  # and nothing else
    assert [one.host_port for one in network.dataplane.ports.values()] == [8081]
    with pytest.raises(AskedError, match="70000"):
        program(network, {**PORT, "HostPort": 70000})
    for _ in range(2):
        assert network.ask("RevokeExternalConnectivity", NetworkID=NET, EndpointID=END) == {}
        assert network.dataplane.ports == {}
    program(network, PORT)
    assert network.undo is not None
    network.undo()  # nobody heard of it
    assert network.dataplane.ports == {}
    program(network, PORT)
    network.ask("DeleteEndpoint", NetworkID=NET, EndpointID=END)  # without Revoke
    assert network.dataplane.ports == {}


def test_8_ports_of_a_driver_without() -> None:
    """Before the container starts."""
    own = Engine(OwnDriver(), name="own")
    own.ask("CreateNetwork", NetworkID=NET)
    with pytest.raises(AskedError, match="publishes no ports") as refused:
        own.endpoint(Options={"com.docker.network.portmap": [PORT]})
    assert refused.value.status == 501
    own.endpoint(address="", Options={"com.docker.network.portmap": []})
    own.ask("DeleteNetwork", NetworkID=NET)
    own.close()


@pytest.mark.parametrize(
    "options",
    [
        {"com.docker.network.generic": {"com.docker.network.driver.mtu": "1400"}},
        {"io.docker.network.driver.mtu": 1400, "com.docker.network.generic": None},
    ],
)
def test_8_options_of_a_network(engine: Engine, options: dict[str, Any]) -> None:
    engine.network(Options={"com.docker.network.enable_ipv6": False, **options})
    engine.endpoint()
    engine.join()
    [made] = engine.dataplane.endpoints.values()
    assert made.plan.interfaces[0].link.mtu == 1400  # type: ignore[union-attr]


def test_9_prefixes_in_and_addresses_out(network: Engine) -> None:
    network.endpoint()
    told = network.join()
    assert (told["Gateway"], told["GatewayIPv6"]) == ("10.9.0.1", "")
    assert told["StaticRoutes"] == []


def test_10_only_what_was_left_empty_is_filled(network: Engine) -> None:
    given = {"Address": "10.9.0.5/16", "AddressIPv6": "", "MacAddress": "02:42:0a:09:00:05"}
    assert network.endpoint(Interface=given) == {"Interface": None}
    own = Engine(OwnDriver(), name="own")
    own.ask("CreateNetwork", NetworkID=NET)
    for number, none in enumerate(({}, {"Interface": None}, {"Interface": {}})):
        told = own.ask("CreateEndpoint", NetworkID=NET, EndpointID=f"e{number}", Options=None, **none)
        assert told == {"Interface": {"Address": "10.50.0.7/24"}}
    own.close()


def test_an_address_is_that_of_one_endpoint(network: Engine) -> None:
    """Another engine's mistake, or a client's: refused in the protocol's form, and nothing changed."""
    network.endpoint("one", address="10.9.0.2/16")
    network.join("one")
    before = (network.plugin.health(), dict(network.dataplane.endpoints), network.plugin._store.records())
    for address, status, says in (
        ("10.9.0.2/16", 409, "that of endpoint one"),
        ("10.9.0.2/24", 409, "that of endpoint one"),
        ("10.9.0.1/16", 409, "gateway"),
        ("10.8.0.2/16", 400, "outside of the network's prefixes: 10.9.0.0/16"),
    ):
        with pytest.raises(AskedError, match=says) as refused:
            network.endpoint("two", address=address)
        assert refused.value.status == status
    for interface, says in (
        ({"AddressIPv6": "fd77::2/64"}, "outside of"),
        ({"Address": "10.9.0.3/16", "AddressIPv6": "fd77::2/64"}, "outside of"),
    ):
        with pytest.raises(AskedError, match=says):
            network.endpoint("two", Interface=interface)
    rows = [{"ID": number, "Address": "10.9.0.3/16"} for number in range(2)]
    with pytest.raises(AskedError, match="comes twice"):
        network.endpoint("two", Interface=None, Interfaces=rows)
    network.endpoint("three", address="10.9.0.3/16")
    with pytest.raises(AskedError, match="that of endpoint one"):  # its own are not lost by what is refused
        network.endpoint("three", address="10.9.0.2/16")
    with pytest.raises(AskedError, match="that of endpoint three"):
        network.endpoint("two", address="10.9.0.3/16")
    network.ask("DeleteEndpoint", NetworkID=NET, EndpointID="three")
    assert (network.plugin.health(), dict(network.dataplane.endpoints), network.plugin._store.records()) == before
    network.endpoint("two", address="10.9.0.3/16")  # it is free
    network.endpoint("two", address="10.9.0.4/16")  # another one, and the first is free again
    network.endpoint("three", address="10.9.0.3/16")
    network.network("other", IPv4Data=[{"Pool": "10.8.0.0/16", "Gateway": "10.8.0.1/16"}])
    network.endpoint("four", "other", "10.8.0.2/16")
    network.ask("DeleteEndpoint", NetworkID=NET, EndpointID="one")
    network.endpoint("five", address="10.9.0.2/16")


def test_an_address_of_a_driver_that_a_network_has_no_prefix_for() -> None:
    """What the engine's IPAM ``null`` gives is nothing to go by."""
    own = Engine(OwnDriver(), name="own")
    own.ask("CreateNetwork", NetworkID=NET, IPv4Data=[{"Pool": "0.0.0.0/0"}])
    assert own.endpoint("one", address="10.1.0.2/16") == {"Interface": None}
    with pytest.raises(AskedError, match="that of endpoint one"):
        own.endpoint("two", address="10.1.0.2/16")
    own.ask("DeleteNetwork", NetworkID=NET)
    own.close()


def test_13_a_network_that_could_not_be_deleted_goes_later(endpoint: Engine) -> None:
    """The engine passes over that error too, and its prefix would be in use for ever."""
    endpoint.dataplane.stuck[NET] = errors.KernelError("not now", 12)
    with pytest.raises(AskedError, match="not now"):
        endpoint.ask("DeleteNetwork", NetworkID=NET)
    assert endpoint.plugin._lifecycle.networks() == [NET]
    assert endpoint.plugin._reconciler._owed == {NET}
    endpoint.network()  # it is wanted after all
    assert endpoint.plugin._reconciler._owed == set()
    endpoint.dataplane.stuck.clear()
    endpoint.plugin._reconciler.owe(NET)  # look now, and not in some seconds
    end = time.monotonic() + 10
    while endpoint.plugin._lifecycle.networks() and time.monotonic() < end:
        time.sleep(0.005)
    endpoint.empty()
    assert endpoint.ask("DeleteNetwork", NetworkID=NET) == {}


def test_13_a_network_that_is_wanted_again_while_its_turn_is_waited_for_stays(network: Engine) -> None:
    reconciler = network.plugin._reconciler
    turns = reconciler._verbs._turns
    with turns.hold(NET):
        reconciler.owe(NET)
        while turns._turns[NET].users < 2:
            time.sleep(0.001)
        reconciler.owe_no_more(NET)  # as who has the turn does, where the engine asks for it
    while NET in turns._turns:
        time.sleep(0.001)
    assert network.plugin._lifecycle.networks() == [NET]


def test_what_could_not_be_kept_is_undone(network: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused, so the engine will ask for no deletion."""

    def full() -> None:
        raise errors.StateError("the disk is full")

    for verb in (network.endpoint, network.join):
        before = (network.plugin.health(), dict(network.dataplane.endpoints))
        with monkeypatch.context() as broken:
            broken.setattr(network.plugin._store, "flush", full)
            with pytest.raises(AskedError, match="disk is full"):
                verb()
        assert (network.plugin.health(), dict(network.dataplane.endpoints)) == before
        verb()


def test_13_what_could_not_be_taken_away_is_doubted(endpoint: Engine) -> None:
    """The engine passes over errors of Leave and DeleteEndpoint, and never asks again."""
    endpoint.join()
    for verb in ("Leave", "DeleteEndpoint"):
        endpoint.dataplane.stuck[END] = errors.KernelError("not now", 12)
        with pytest.raises(AskedError, match="not now"):
            endpoint.ask(verb, NetworkID=NET, EndpointID=END)
        assert endpoint.plugin._reconciler.doubted == [END]
        endpoint.plugin._reconciler.trust(END)
    endpoint.dataplane.stuck.clear()
    endpoint.ask("DeleteEndpoint", NetworkID=NET, EndpointID=END)


def test_11_the_name_of_the_link(network: Engine) -> None:
    network.endpoint()
    told = network.join()["InterfaceName"]
    [made] = network.dataplane.endpoints.values()
    assert told == {"SrcName": made.names[0], "DstPrefix": "eth"}


def test_12_from_start_to_end(engine: Engine) -> None:
    """As an engine does, addresses included; the pool goes before the network does."""
    for path in ("Plugin.Activate", "NetworkDriver.GetCapabilities", "IpamDriver.GetCapabilities"):
        engine.ask(path)
    pool = engine.ask("IpamDriver.RequestPool", AddressSpace=SPACE, Pool="", SubPool="", Options={}, V6=False)
    gateway = {"RequestAddressType": "com.docker.network.gateway"}
    at = engine.ask("IpamDriver.RequestAddress", PoolID=pool["PoolID"], Address="", Options=gateway)["Address"]
    data = {"AddressSpace": SPACE, "Pool": pool["Pool"], "Gateway": at}
    engine.network(IPv4Data=[data])
    mine = engine.ask("IpamDriver.RequestAddress", PoolID=pool["PoolID"], Address="", Options=None)["Address"]
    engine.endpoint(address=mine)
    assert engine.join()["Gateway"] == at.partition("/")[0]
    engine.ask("ProgramExternalConnectivity", NetworkID=NET, EndpointID=END, Options={"com.docker.network.portmap": []})
    for _ in range(2):
        told = engine.ask("EndpointOperInfo", NetworkID=NET, EndpointID=END)
        assert set(told["Value"]) == {"com.docker.network.endpoint.macaddress"}
    for verb in ("RevokeExternalConnectivity", "Leave", "DeleteEndpoint"):
        assert engine.ask(verb, NetworkID=NET, EndpointID=END) == {}
    for address in (mine, at):
        engine.ask("IpamDriver.ReleaseAddress", PoolID=pool["PoolID"], Address=address.partition("/")[0])
    engine.ask("IpamDriver.ReleasePool", PoolID=pool["PoolID"])
    engine.ask("DeleteNetwork", NetworkID=NET)
    engine.empty()
    assert engine.ipam._pools == {}


def test_13_a_deletion_without_a_leave_and_a_creation_of_what_is_there(endpoint: Engine) -> None:
    endpoint.join()
    with pytest.raises(AskedError, match="let it leave first"):  # a live sandbox is not cut off
        endpoint.endpoint()
    assert list(endpoint.dataplane.endpoints) == [END]
    endpoint.dataplane.lost.add(END)
    endpoint.endpoint()  # again, by an engine that has forgotten
    assert endpoint.dataplane.endpoints == {}
    endpoint.dataplane.lost.clear()
    with pytest.raises(AskedError, match="not 0"):
        endpoint.endpoint(Interface=None)
    assert endpoint.plugin.health()["Endpoints"] == 1  # as it was
    endpoint.join()
    endpoint.ask("DeleteEndpoint", NetworkID=NET, EndpointID=END)
    assert endpoint.dataplane.endpoints == {}
    endpoint.endpoint()
    endpoint.join()
    endpoint.ask("DeleteNetwork", NetworkID=NET)  # with an endpoint that the engine has forgotten
    endpoint.empty()


def test_14_networks_in_parallel(engine: Engine) -> None:
    """One that waits for its driver holds up nobody of another network."""
    may, waits = threading.Event(), threading.Event()

    class Slow(OwnDriver):
        def create_endpoint(self, network_id: str, endpoint_id: str, info: EndpointInfo, options: Any) -> None:
            if endpoint_id == "slow":
                waits.set()
                assert may.wait(10)
            super().create_endpoint(network_id, endpoint_id, info, options)

    slow = Engine(Slow(), name="slow")
    try:
        for id in ("left", "right"):
            slow.network(id)
        with ThreadPoolExecutor(1) as pool:
            pending = pool.submit(slow.endpoint, "slow", "left")
            assert waits.wait(10)
            slow.endpoint("quick", "right")
            slow.join("quick", "right")
            may.set()
            pending.result(10)
    finally:
        may.set()
        slow.close()


def test_17_no_second_interface_for_a_sandbox_without_a_way_out(engine: Engine) -> None:
    engine.network(Options={"com.docker.network.internal": True})
    engine.endpoint()
    told = engine.join()
    assert (told["Gateway"], told["DisableGatewayService"]) == ("", True)
    engine.ask("DeleteNetwork", NetworkID=NET)
    engine.network()
    engine.endpoint()
    assert engine.join()["DisableGatewayService"] is False


def test_18_each_pool_that_we_choose_is_another(engine: Engine) -> None:
    """The engine asks again while it refuses what it got, and gives all back then."""
    told = [engine.ask("IpamDriver.RequestPool", AddressSpace=SPACE, V6=False) for _ in range(5)]
    assert len({one["Pool"] for one in told}) == 5
    for one in told:
        engine.ask("IpamDriver.ReleasePool", PoolID=one["PoolID"])
    assert engine.ipam._pools == {}


def test_20_the_lists_of_the_first_generation(engine: Engine) -> None:
    own = Engine(OwnDriver(), name="own")
    request = {"NetworkID": "n", "EndpointID": "e"}
    own.ask("CreateNetwork", NetworkID="n", Options={})
    told = own.ask("CreateEndpoint", **request, Interfaces=[], Options={})
    assert told["Interfaces"][0]["ID"] == 0
    assert told["Interfaces"][0]["Address"] == "10.50.0.7/24"
    told = own.ask("Join", **request, SandboxKey=KEY, Options={})
    [name] = told["InterfaceNames"]
    assert name["SrcName"]
    assert name["DstName"] == "eth0"
    assert "InterfaceName" not in told
    own.close()
    engine.network()
    given = [{"ID": 3, "Address": "10.9.0.9/16", "AddressIPv6": "", "MacAddress": ""}]
    assert engine.ask("CreateEndpoint", NetworkID=NET, EndpointID=END, Interfaces=given) == {"Interfaces": None}


def test_21_todays_verbs(engine: Engine) -> None:
    assert engine.ask("GetCapabilities")["GwAllocChecker"] is True
    assert engine.ask("GwAllocCheck", Options={}) == {"SkipIPv4": False, "SkipIPv6": False}
    assert engine.ask("AllocateNetwork", NetworkID=NET, Options={}, IPv4Data=[]) == {"Options": {}}
    assert engine.ask("FreeNetwork", NetworkID=NET) == {}
    for verb in ("DiscoverNew", "DiscoverDelete"):
        assert engine.ask(verb, DiscoveryType=1, DiscoveryData={"Address": "10.0.0.1", "Self": True}) == {}


def test_what_the_engine_discovers_goes_to_the_driver() -> None:
    found: list[tuple[str, str, Any]] = []

    class Finder(NullDriver):
        def discover_new(self, kind: str, data: Any) -> None:
            found.append(("new", kind, data))

        def discover_delete(self, kind: str, data: Any) -> None:
            found.append(("gone", kind, data))

    engine = Engine(Finder())
    try:
        node = {"Address": "10.0.0.1", "BindAddress": "10.0.0.2", "Self": True}
        assert engine.ask("DiscoverNew", DiscoveryType=1, DiscoveryData=node) == {}
        # As libnetwork's documents write it, and as its types have it.
        assert engine.ask("DiscoverDelete", DiscoveryType=1, DiscoveryData={"Address": "10.0.0.1", "self": True}) == {}
        assert found == [
            ("new", "node", Node("10.0.0.1", "10.0.0.2", is_self=True)),
            ("gone", "node", Node("10.0.0.1", is_self=True)),
        ]
        node = {"Address": "10.0.0.1"}
        for status, type, data in (
            # 2 is a store to Docker 20.10 and keys to today's; 3 keys, and new keys; 4 nothing any more.
            *((501, number, {"Keys": ["aGVsbG8="], "Tags": [1]}) for number in (2, 3, 4)),
            *((400, number, node) for number in (0, -1, 5, None)),
            *((400, 1, bad) for bad in (None, {}, {"Address": "x"}, {"Address": ["10.0.0.1"]}, {**node, "Self": "no"})),
        ):
            for verb in ("DiscoverNew", "DiscoverDelete"):
                with pytest.raises(AskedError) as caught:
                    engine.ask(verb, DiscoveryType=type, DiscoveryData=data)
                assert (caught.value.status, type, data) == (status, type, data)
        assert len(found) == 2
    finally:
        engine.close()

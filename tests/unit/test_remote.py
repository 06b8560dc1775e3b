"""Docker plugins as drivers: what is asked, what comes of the answers, and what of plugins that misbehave."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from driverapi import Controller, errors, places
from driverapi.remote import RemoteDriver, RemoteIPAM
from driverapi.streams.discovery import Node
from driverapi.testing import DriverConformance, FakeDataplane
from tests.scripted import Overlaps, Tiny, World

NET = "1f" * 32
END = "2e" * 32
KEY = "/var/run/docker/netns/0123456789ab"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


@pytest.fixture
def directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have plugins be looked for in directories of the test."""
    for name in ("run", "etc", "lib"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(places, "SOCKETS", (tmp_path / "run",))
    monkeypatch.setattr(places, "SPECS", (tmp_path / "etc", tmp_path / "lib"))
    return tmp_path


# --- where plugins are ------------------------------------------------------------------------------


def sock(path: Path) -> socket.socket:
    path.parent.mkdir(exist_ok=True)
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    return made


def test_the_first_place_counts(directories: Path) -> None:
    spec = directories / "lib" / "x.json"
    spec.write_text(json.dumps({"Name": "x", "Addr": "https://10.0.0.5:99", "TLSConfig": {"CAFile": "/ca"}}))
    assert str(places.find("x")) == "https://10.0.0.5:99"
    assert places.find("x").tls == places.TlsFiles("/ca")
    (directories / "lib" / "x.spec").write_text("tcp://[::1]:7\n")
    assert (places.find("x").host, places.find("x").port, places.find("x").tls) == ("::1", 7, None)
    (directories / "etc" / "x").mkdir()
    (directories / "etc" / "x" / "x.spec").write_text("unix:///run/other.sock")
    assert places.find("x").path == "/run/other.sock"
    (directories / "etc" / "x" / "x.spec").unlink()
    (directories / "etc" / "x.json").write_text(json.dumps({"Addr": "tcp://10.0.0.6:6"}))
    assert places.find("x").host == "10.0.0.6"  # before the other directory's .spec
    with sock(directories / "run" / "x" / "x.sock"):
        assert places.find("x").path == str(directories / "run" / "x" / "x.sock")
        with sock(directories / "run" / "x.sock"):
            assert places.find("x").path == str(directories / "run" / "x.sock")
    assert places.names() == ["x"]


@pytest.mark.parametrize("name", ["", "../x", "a/b", "x\0", ".", "..", "é", "a" * 64, None, 7])
def test_names_that_no_plugin_has(directories: Path, name: Any) -> None:
    with pytest.raises(errors.NotFoundError, match="no plugin"):
        places.find(name)
    assert not places.there(name)


@pytest.mark.parametrize(
    "address", ["", "/run/x.sock", "unix://x.sock", "unix:///" + "x" * 120, "ftp://h:1", "tcp://h", "tcp://h:0",
                "tcp://h:65536", "tcp://:1", "tcp://h:1x", None]
)  # fmt: skip
def test_addresses_that_are_none(address: Any) -> None:
    with pytest.raises(errors.InvalidError, match="address"):
        places.place_of(address)


@pytest.mark.parametrize(
    ("name", "text"),
    [("x.spec", b""), ("x.spec", b"\xff"), ("x.json", b"{"), ("x.json", b'{"Name": "x"}'), ("x.json", b'{"Addr": 7}'),
     ("x.json", b'{"Addr": "nowhere"}'), ("x.json", b"[" * 60000)],
)  # fmt: skip
def test_a_broken_spec_file_is_named(directories: Path, name: str, text: bytes) -> None:
    (directories / "etc" / name).write_bytes(text)
    assert places.there("x")
    with pytest.raises(errors.InvalidError, match=r"spec file .*etc/x"):
        places.find("x")


def test_files_for_tls_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidError, match="TLS"):
        places.TlsFiles(str(tmp_path / "none.pem")).context()


def test_a_controller_finds_a_plugin_by_its_name(directories: Path) -> None:
    tiny = Tiny(directories / "run" / "found.sock")
    dataplane = FakeDataplane()
    tiny.links = dataplane.links
    with Controller(dataplane=dataplane) as ctl:
        assert "found" in ctl.registry.names()
        net = ctl.create_network("found", "net", ipv4="10.60.0.0/16", ipam="found")
        assert ctl.registry.is_plugin("found")
        assert ctl.ipams.is_plugin("found")
        assert [one.error for one in net.attach(2)] == [None, None]
        with pytest.raises(errors.NoDriverError, match="no driver for network type 'lost'"):
            ctl.create_network("lost", "other")
    assert [verb for verb, _ in tiny.asked].count("Plugin.Activate") == 1  # of its driver and its IPAM together
    tiny.stop()


def test_without_what_it_takes_to_ask_a_plugin(directories: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "driverapi.remote", None)  # as if httptools were not installed
    with Controller(dataplane=FakeDataplane()) as ctl, sock(directories / "run" / "found.sock"):
        with pytest.raises(errors.NoDriverError, match=r"'found'.*driverapi\[plugin\]"):
            ctl.create_network("found", "net")
        with pytest.raises(errors.NotFoundError, match=r"'found'.*driverapi\[plugin\]"):
            ctl.create_network("bridge", "net", ipam="found")


# --- what is asked, and what comes of it --------------------------------------------------------------


def test_the_life_of_an_endpoint(world: World) -> None:
    net = world.network(ipv6="fd60::/64", options={"mtu": 1400, "com.docker.network.internal": "true", "flag": True})
    made = world.tiny.documents("CreateNetwork")[0]
    assert made == {
        "NetworkID": net.id,
        "Options": {
            "com.docker.network.enable_ipv6": True,
            "com.docker.network.internal": True,
            "com.docker.network.generic": {"mtu": "1400", "flag": "true"},
        },
        "IPv4Data": [
            {"AddressSpace": "LocalDefault", "Pool": "10.60.0.0/16", "Gateway": "10.60.0.1/16", "AuxAddresses": {}}
        ],
        "IPv6Data": [
            {"AddressSpace": "LocalDefault", "Pool": "fd60::/64", "Gateway": "fd60::1/64", "AuxAddresses": {}}
        ],
    }
    options = {
        "colour": "red",
        "com.docker.network.endpoint.exposedports": "80/tcp,53/udp",
        "MacAddress": "02:00:00:00:00:09",
    }
    ep = net.create_endpoint("ep", options=options)
    assert world.tiny.documents("CreateEndpoint")[0] == {
        "NetworkID": net.id,
        "EndpointID": ep.id,
        "Interface": {"Address": "10.60.0.2/16", "AddressIPv6": "fd60::2/64", "MacAddress": "02:00:00:00:00:09"},
        "Options": {
            "colour": "red",
            "com.docker.network.endpoint.exposedports": [{"Proto": 6, "Port": 80}, {"Proto": 17, "Port": 53}],
            "com.docker.network.endpoint.macaddress": "AgAAAAAJ",
        },
    }
    box = world.ctl.create_sandbox("box")
    ep.join(box)
    assert world.tiny.documents("Join")[0] == {
        "NetworkID": net.id,
        "EndpointID": ep.id,
        "SandboxKey": box.key,
        "Options": {"com.docker.network.endpoint.exposedports": [{"Proto": 6, "Port": 80}, {"Proto": 17, "Port": 53}]},
    }
    plan = world.dataplane.endpoints[ep.id].plan
    assert plan.interfaces[0].link.source == f"t{ep.id[:8]}"
    assert world.dataplane.endpoints[ep.id].names == {0: "eth0"}
    assert [str(route.destination) for route in plan.routes] == ["10.99.0.0/16", "0.0.0.0/0"]
    assert ep.driver_info() == {"colour": "red"}
    ep.leave(box)
    ep.delete()
    net.delete()
    assert world.tiny.verbs() == [
        "CreateNetwork", "CreateEndpoint", "Join", "ProgramExternalConnectivity", "EndpointOperInfo",
        "RevokeExternalConnectivity", "Leave", "DeleteEndpoint", "DeleteNetwork",
    ]  # fmt: skip
    assert world.tiny.connections == 1
    assert [verb for verb, _ in world.tiny.asked[:2]] == ["Plugin.Activate", "NetworkDriver.GetCapabilities"]
    head = world.tiny.heads[-1]
    assert head["Accept"] == "application/vnd.docker.plugins.v1.2+json"
    assert "Content-Type" not in head


FORGOTTEN = (404, b'{"Err": "no endpoint"}')


@pytest.mark.parametrize("form", ["interface", "list"])
def test_an_endpoint_that_the_plugin_has_forgotten_is_created_again(tmp_path: Path, form: str) -> None:
    world = World(tmp_path, form=form)
    filled = {"MacAddress": "02:00:00:00:00:07"}
    world.tiny.script["CreateEndpoint"] = [{"Interface": filled} if form == "interface" else {"Interfaces": [filled]}]
    ep = world.network().create_endpoint("ep", options={"colour": "red"})
    world.tiny.script["Join"] = [FORGOTTEN]
    ep.join(world.ctl.create_sandbox("box"))
    first, again = world.tiny.documents("CreateEndpoint")
    interface = {"Address": "10.60.0.2/16", "AddressIPv6": "", "MacAddress": "02:00:00:00:00:07"}
    given = {"Interface": interface} if form == "interface" else {"Interfaces": [{"ID": 0, **interface}]}
    assert again == {**first, **given}
    assert world.tiny.verbs()[1:5] == ["CreateEndpoint", "Join", "CreateEndpoint", "Join"]
    ep.leave()
    world.tiny.script["Join"] = [FORGOTTEN, FORGOTTEN]
    with pytest.raises(errors.NoEndpointError):
        ep.join(world.ctl.sandbox("box"))
    world.close()


def test_an_endpoint_that_is_created_again_is_as_it_was(world: World) -> None:
    ep = world.network().create_endpoint("ep")
    world.tiny.script["Join"] = [FORGOTTEN]
    world.tiny.script["CreateEndpoint"] = [{"Interface": {"MacAddress": "02:00:00:00:00:08"}}]
    with pytest.raises(errors.PluginError, match="all of its own"):
        ep.join(world.ctl.create_sandbox("box"))
    assert world.tiny.verbs()[-1] == "DeleteEndpoint"
    ep.join(world.ctl.sandbox("box"))


def test_a_plugin_is_activated_once_by_its_driver_and_its_ipam_together(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path / "tiny.sock")
    dataplane = FakeDataplane()
    tiny.links = dataplane.links
    with Controller(dataplane=dataplane) as ctl:
        ctl.registry.register("tiny", RemoteDriver("tiny", f"unix://{tiny.path}"))
        ctl.ipams.register("tiny", RemoteIPAM("tiny", f"unix://{tiny.path}"))
        ctl.create_network("tiny", "net", ipv4="10.61.0.0/16").attach(1)
        ctl.create_network("tiny", "other", ipv4="10.60.0.0/16", ipam="tiny").attach(1)
    assert [verb for verb, _ in tiny.asked].count("Plugin.Activate") == 1
    tiny.stop()


def test_creations_of_one_network_go_one_by_one_whoever_asks(world: World) -> None:
    nets = [world.ctl.create_network("tiny", name, ipv4="10.60.0.0/16", allow_overlap=True) for name in ("a", "b")]
    world.tiny.during = overlaps = Overlaps({"CreateEndpoint": 2})
    threads = [threading.Thread(target=net.attach, args=(4,)) for net in nets for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(net.endpoints) for net in nets] == [12, 12]
    assert [overlaps.most["CreateEndpoint", net.id] for net in nets] == [1, 1]
    assert overlaps.most["CreateEndpoint"] == 2  # those of several networks go beside each other


def test_all_else_goes_sixteen_at_once(world: World) -> None:
    net = world.network()
    meet = dict.fromkeys(("Join", "ProgramExternalConnectivity", "Leave", "DeleteEndpoint"), 16)
    world.tiny.during = overlaps = Overlaps(meet)
    eps = net.attach(48)
    assert [ep.error for ep in eps] == [None] * 48
    net.detach(eps)
    assert {verb: overlaps.most[verb] for verb in meet} == meet
    assert overlaps.most["CreateEndpoint"] == 1


def test_a_plugin_fills_what_is_empty(world: World) -> None:
    world.tiny.script["CreateEndpoint"] = {"Interface": {"MacAddress": "02:00:00:00:00:07", "Unknown": [1]}, "More": 1}
    ep = world.network().create_endpoint("ep")
    assert str(ep.interfaces[0].mac_address) == "02:00:00:00:00:07"


def test_a_plugin_brings_the_addresses_where_nobody_gives_any(world: World) -> None:
    world.tiny.script["CreateEndpoint"] = {"Interface": {"Address": "10.7.0.2/24", "AddressIPv6": "fd07::2/64"}}
    net = world.ctl.create_network("tiny", "net", ipam="null")
    ep = net.create_endpoint("ep")
    assert [str(ep.interfaces[0].address), str(ep.interfaces[0].address_ipv6)] == ["10.7.0.2/24", "fd07::2/64"]


@pytest.mark.parametrize(
    "answer",
    [
        {"Interface": {"Address": "10.60.0.2/16"}},  # even the same
        {"Interface": {"Address": "10.60.0.77/16"}},
        {"Interface": {"MacAddress": "no"}},
        {"Interface": {"AddressIPv6": "10.0.0.1/8"}},
        {"Interface": {"AddressIPv6": "fd00::1"}},
        {"Interface": {"MacAddress": 7}},
        {"Interface": [1]},
        {"Interfaces": [{"Address": "10.60.0.77/16"}]},
        {"Interfaces": [{"ID": 0, "Address": "10.60.0.77/16"}]},
        {"Interfaces": [{"ID": 5, "MacAddress": "02:00:00:00:00:07"}]},
        {"Interfaces": [{}, {}]},
        {"Interfaces": 7},
        [],
        7,
    ],
)
@pytest.mark.parametrize("form", ["interface", "list"])
def test_an_endpoint_whose_answer_is_wrong_is_undone_at_the_plugin(tmp_path: Path, form: str, answer: Any) -> None:
    world = World(tmp_path, form=form)
    net = world.network()
    world.tiny.script["CreateEndpoint"] = [answer]
    with pytest.raises(errors.PluginError, match=r"plugin 'tiny'.*CreateEndpoint"):
        net.create_endpoint("ep")
    assert world.tiny.verbs() == ["CreateNetwork", "CreateEndpoint", "DeleteEndpoint"]
    created, deleted = world.tiny.documents("CreateEndpoint")[0], world.tiny.documents("DeleteEndpoint")[0]
    assert deleted == {"NetworkID": net.id, "EndpointID": created["EndpointID"]}
    assert str(net.create_endpoint("ep").interfaces[0].address) == "10.60.0.2/16"  # its address is free again
    world.close()


@pytest.mark.parametrize(
    "answer",
    [
        {"InterfaceName": {"SrcName": "a/b", "DstPrefix": "eth"}},
        {"InterfaceName": {"SrcName": "t1", "DstPrefix": "much-too-long-a-prefix"}},
        {"InterfaceName": "eth0"},
        {"InterfaceNames": [{"DstName": "eth0"}]},
        {"InterfaceNames": [{"SrcName": "a"}, {"SrcName": "b"}]},
        {"Gateway": "10.60.0.1/16"},
        {"Gateway": "fd00::1"},
        {"GatewayIPv6": "10.0.0.1"},
        {"StaticRoutes": [{"Destination": "here", "RouteType": 1}]},
        {"StaticRoutes": [{"Destination": "10.0.0.0/8", "RouteType": 0}]},
        {"StaticRoutes": [{"RouteType": 0}]},
        {"ResolvConfPath": "etc"},
    ],
)
@pytest.mark.parametrize("form", ["interface", "list"])
def test_a_join_whose_answer_is_wrong_is_left_at_the_plugin(tmp_path: Path, form: str, answer: Any) -> None:
    world = World(tmp_path, form=form)
    net = world.network()
    ep = net.create_endpoint("ep")
    box = world.ctl.create_sandbox("box")
    world.tiny.script["Join"] = [answer]
    with pytest.raises(errors.PluginError, match=r"plugin 'tiny'.*Join"):
        ep.join(box)
    assert world.tiny.verbs()[-2:] == ["Join", "Leave"]
    ep.join(box)
    ep.leave(box)
    world.close()


def test_a_link_that_is_not_there(world: World) -> None:
    net = world.network()
    world.tiny.script["Join"] = [{"InterfaceName": {"SrcName": "nolink", "DstPrefix": "eth"}}]
    [ep] = net.attach(1)
    assert isinstance(ep.error, errors.NotFoundError)
    assert world.tiny.verbs()[-2:] == ["Leave", "DeleteEndpoint"]


def test_the_generation_of_the_seed(world: World) -> None:
    world.tiny.script["NetworkDriver.GetCapabilities"] = (404, b"404 page not found")
    net = world.network()
    world.tiny.script["CreateEndpoint"] = {"Interfaces": None}
    ep = net.create_endpoint("ep", mac="02:00:00:00:00:01")
    interface = {"ID": 0, "Address": "10.60.0.2/16", "AddressIPv6": "", "MacAddress": "02:00:00:00:00:01"}
    assert world.tiny.documents("CreateEndpoint")[0]["Interfaces"] == [interface]
    world.tiny.links.add("seed0")
    world.tiny.script["Join"] = {"InterfaceNames": [{"SrcName": "seed0", "DstName": "lab7"}], "Gateway": "10.60.0.1"}
    box = world.ctl.create_sandbox("box")
    ep.join(box)
    assert world.dataplane.endpoints[ep.id].names == {0: "lab7"}


def test_a_plugin_of_the_seed_makes_any_number_of_interfaces(tmp_path: Path) -> None:
    world = World(tmp_path, form="list", requires_ipam=False)
    made = [{"ID": 3, "Address": "10.1.0.2/24"}, {"ID": 4, "AddressIPv6": "fd01::2/64"}]
    world.tiny.script["CreateEndpoint"] = {"Interfaces": made}
    world.tiny.script["Join"] = {
        "InterfaceNames": [{"SrcName": "a", "DstName": "x0"}, {"SrcName": "b", "DstName": "x1"}]
    }
    world.tiny.links |= {"a", "b"}
    net = world.ctl.create_network("tiny", "net")
    [ep] = net.attach(1)
    assert ep.error is None
    assert world.tiny.documents("CreateEndpoint")[0]["Interfaces"] == []
    assert [one.id for one in ep.interfaces] == [3, 4]
    assert world.dataplane.endpoints[ep.id].names == {3: "x0", 4: "x1"}
    world.close()


def test_other_machines_are_told(world: World) -> None:
    world.network()
    world.ctl.discover_new("node", Node("10.0.0.5", is_self=True))
    world.ctl.discover_delete("node", Node("10.0.0.6", "10.0.0.7"))
    world.ctl.discover_new("weather", "rain")
    assert world.tiny.documents("DiscoverNew") == [
        {"DiscoveryType": 1, "DiscoveryData": {"Address": "10.0.0.5", "BindAddress": "10.0.0.5", "Self": True}}
    ]
    assert world.tiny.documents("DiscoverDelete") == [
        {"DiscoveryType": 1, "DiscoveryData": {"Address": "10.0.0.6", "BindAddress": "10.0.0.7", "Self": False}}
    ]


def test_a_notice_of_an_endpoint_elsewhere_is_refused(world: World) -> None:
    net = world.network()
    with pytest.raises(errors.NotImplementedYetError, match="notice"):
        net.notice_endpoint("far", ipv4="10.60.0.9")


def test_auxiliary_addresses_are_told_by_name(world: World) -> None:
    world.network(
        ipv6="fd60::/64", aux_addresses={"router": "10.60.0.5", "DefaultGatewayIPv4": "10.60.0.6", "six": "fd60::5"}
    )
    made = world.tiny.documents("CreateNetwork")[0]
    assert made["IPv4Data"][0]["AuxAddresses"] == {"router": "10.60.0.5/16", "DefaultGatewayIPv4": "10.60.0.6/16"}
    assert made["IPv6Data"][0]["AuxAddresses"] == {"six": "fd60::5/64"}


@pytest.mark.parametrize(
    ("answer", "gateways"),
    [
        ({"SkipIPv4": True}, [None, "fd60::1"]),
        ({"SkipIPv4": True, "SkipIPv6": True}, [None, None]),
        ({}, ["10.60.0.1", "fd60::1"]),
    ],
)
def test_a_plugin_may_have_networks_without_gateways(world: World, answer: Any, gateways: list[Any]) -> None:
    world.tiny.script["NetworkDriver.GetCapabilities"] = {"Scope": "local", "GwAllocChecker": True}
    world.tiny.script["GwAllocCheck"] = answer
    net = world.network(ipv6="fd60::/64", options={"mode": "l3"})
    assert world.tiny.documents("GwAllocCheck") == [
        {"Options": {"com.docker.network.enable_ipv6": True, "com.docker.network.generic": {"mode": "l3"}}}
    ]
    assert [one and str(one) for one in (net.gateway, net.gateway_ipv6)] == gateways
    told = world.tiny.documents("CreateNetwork")[0]
    assert ["Gateway" in told[family][0] for family in ("IPv4Data", "IPv6Data")] == [
        one is not None for one in gateways
    ]
    named = world.ctl.create_network("tiny", "named", ipv4="10.61.0.0/16", gateway="10.61.0.9")
    assert str(named.gateway) == "10.61.0.9"


def test_a_plugin_that_does_not_check_gateways_is_not_asked(world: World) -> None:
    assert str(world.network().gateway) == "10.60.0.1"
    assert "GwAllocCheck" not in world.tiny.verbs()


@pytest.mark.parametrize("told", [{"Scope": "planet"}, {"Scope": "local", "ConnectivityScope": "planet"}])
def test_a_scope_that_is_none(world: World, told: Any) -> None:
    world.tiny.script["NetworkDriver.GetCapabilities"] = [told]
    with pytest.raises(errors.PluginError, match="'planet' is neither 'local' nor 'global'"):
        world.network()
    world.network()  # it has learnt meanwhile: nobody need start again


def ring() -> list[Any]:
    made: list[Any] = []
    made.append(made)
    return made


@pytest.mark.parametrize("value", ["\ud800", ring()])
def test_options_that_json_has_not(world: World, value: Any) -> None:
    with pytest.raises(errors.InvalidError, match="CreateNetwork: it cannot be told"):
        world.network(options={"x": value})
    net = world.network()
    with pytest.raises(errors.InvalidError, match="CreateEndpoint: it cannot be told"):
        net.create_endpoint("ep", options={"x": value})
    assert world.tiny.verbs() == ["CreateNetwork"]


def test_what_is_no_network_plugin(world: World) -> None:
    world.tiny.implements = ("IpamDriver",)
    with pytest.raises(errors.NoDriverError, match="it implements IpamDriver"):
        world.network()


# --- a no of the plugin -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "error", "kind"),
    [
        ({"Err": "bad wish"}, errors.PluginRefusedError, errors.Kind.INTERNAL),
        ((500, b'{"Err": "bad wish"}'), errors.PluginRefusedError, errors.Kind.INTERNAL),
        ((500, b"bad wish"), errors.PluginRefusedError, errors.Kind.INTERNAL),
        ((201, b"bad wish"), errors.PluginRefusedError, errors.Kind.INTERNAL),
        ((400, b'{"Err": "bad wish"}'), errors.InvalidError, errors.Kind.INVALID),
        ((409, b'{"Err": "bad wish"}'), errors.ConflictError, errors.Kind.CONFLICT),
        ((500, b'{"Err": "bad wish", "Kind": "conflict"}'), errors.ConflictError, errors.Kind.CONFLICT),
        ((501, b'{"Err": "bad wish"}'), errors.NotImplementedYetError, errors.Kind.UNSUPPORTED),
        ((507, b'{"Err": "bad wish"}'), errors.PluginRefusedError, errors.Kind.EXHAUSTED),
        ((403, b'{"Err": "bad wish"}'), errors.PluginRefusedError, errors.Kind.FORBIDDEN),
        ((404, b'{"Err": "bad wish"}'), errors.NoNetworkError, errors.Kind.NOT_FOUND),
        ({"Err": "bad wish", "Kind": "odd"}, errors.PluginRefusedError, errors.Kind.INTERNAL),
    ],
)
def test_a_no_keeps_its_kind(world: World, answer: Any, error: type[errors.DriverAPIError], kind: errors.Kind) -> None:
    net = world.network()
    world.tiny.script["CreateEndpoint"] = [answer]
    with pytest.raises(error, match="bad wish") as caught:
        net.create_endpoint("ep")
    assert type(caught.value) is error
    assert caught.value.kind is kind
    assert "DeleteEndpoint" not in world.tiny.verbs()  # it has changed nothing


def test_names_in_answers_are_taken_in_any_case_as_an_engine_does(world: World) -> None:
    net = world.network()
    world.tiny.script["CreateEndpoint"] = [{"err": "bad wish"}, {"interface": {"MACADDRESS": "02:00:00:00:00:07"}}]
    with pytest.raises(errors.PluginRefusedError, match="bad wish"):
        net.create_endpoint("ep")
    ep = net.create_endpoint("ep")
    assert str(ep.interfaces[0].mac_address) == "02:00:00:00:00:07"
    world.tiny.links.add("a")
    world.tiny.script["Join"] = {
        "interfacename": {"srcname": "a", "dstprefix": "lab"},
        "staticRoutes": [{"destination": "10.99.0.0/16", "routeType": 1}],
        "gateway": "10.0.0.1", "Gateway": "10.60.0.1",
    }  # fmt: skip
    ep.join(world.ctl.create_sandbox("box"))
    assert world.dataplane.endpoints[ep.id].names == {0: "lab0"}
    routes = world.dataplane.endpoints[ep.id].plan.routes
    assert [str(one.destination) for one in routes] == ["10.99.0.0/16", "0.0.0.0/0"]
    assert routes[1].gateway == bytes([10, 60, 0, 1])  # what is spelled right goes first


@pytest.mark.parametrize("verb", ["Leave", "DeleteEndpoint", "DeleteNetwork"])
@pytest.mark.parametrize(
    "answer",
    [(500, b'{"Err": "unknown endpoint"}'), {"Err": "unknown"}, (200, b""), (200, b"gone"), (404, b'{"Err":""}')],
)
def test_what_a_plugin_does_not_know_can_be_taken_away(world: World, verb: str, answer: Any) -> None:
    net = world.network()
    eps = net.attach(1)
    world.tiny.script[verb] = answer
    net.detach(eps)
    net.delete()
    assert world.ctl.networks == []


def test_what_a_plugin_will_not_take_away_stays(world: World) -> None:
    net = world.network()
    ep = net.create_endpoint("ep")
    world.tiny.script["DeleteEndpoint"] = [(409, b'{"Err": "in use"}')]
    with pytest.raises(errors.ConflictError, match="in use"):
        ep.delete()
    assert net.endpoints == [ep]
    ep.delete()


# --- our own plugin is one --------------------------------------------------------------------------------


class TestConformance(DriverConformance):
    """A driver that is asked over a socket is one."""

    devices = {"dev0"}  # noqa: RUF012 - as the base has it
    refuses_notices = True
    network_arguments = {"ipv4": "10.60.0.0/16"}  # noqa: RUF012

    @pytest.fixture(autouse=True)
    def _closed(self, tmp_path: Path) -> Iterator[None]:
        self.directory = tmp_path
        with contextlib.ExitStack() as self.opened:
            yield

    def make_driver(self) -> RemoteDriver:
        tiny = Tiny(self.directory / "tiny.sock")
        self.opened.callback(tiny.stop)
        tiny.script["Join"] = {"InterfaceName": {"SrcName": "dev0", "DstPrefix": "eth"}, "Gateway": "10.60.0.1"}
        driver = RemoteDriver("tiny", f"unix://{tiny.path}")
        self.opened.callback(driver._client.close)
        return driver

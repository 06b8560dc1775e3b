"""Options of the bridge driver: acted upon, true anyway, or refused; none is passed over in silence."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from driverapi import Controller, errors, labels
from driverapi.addresses import parse_network, parse_prefix
from driverapi.api import IPAMData
from driverapi.drivers.bridge import BridgeDriver
from driverapi.drivers.bridge_rules import rules_of
from driverapi.labels import PREFIX
from driverapi.plan import BridgeLink
from driverapi.testing import FakeDataplane
from tests.support import World, unchanged

REFUSED = [
    (PREFIX + "enable_ipv4", "false", "has an IPv4 prefix"),
    ("EnableIPTables", "true", "packet filter"),
    ("AllowNonDefaultBridge", False, "any name"),
    ("PortBindings", {"80/tcp": []}, "of an endpoint"),
    (PREFIX + "bridge.default_bridge", True, "default"),
    ("ParentEndpoints", ["other"], "of a join"),
    ("ChildEndpoints", ["other"], "of a join"),
    ("EnableIPForwarding", True, "driver_options="),
]


@pytest.mark.parametrize(("name", "value", "says"), REFUSED, ids=[one[0] for one in REFUSED])
def test_what_cannot_be_honoured_is_refused(world: World, name: str, value: Any, says: str) -> None:
    options = {name: value}
    with unchanged(world), pytest.raises(errors.NotImplementedYetError, match=says) as caught:
        world.ctl.create_network("bridge", "web", ipv4="10.1.0.0/16", options=options)
    assert repr(labels.canonical(name)) in str(caught.value)


ANYWAY = [
    {"EnableIPTables": False, "EnableIPMasquerade": "false", "EnableICC": True, "AllowNonDefaultBridge": "1"},
    {"EnableIPv6": False, PREFIX + "enable_ipv4": True, PREFIX + "bridge.inhibit_ipv4": "no"},
    {"FixedCIDR": "", "FixedCIDRv6": None, "DefaultGatewayIPv4": None, "PortBindings": [], "ParentEndpoints": ()},
]


@pytest.mark.parametrize("options", ANYWAY)
def test_what_is_done_anyway_is_taken(world: World, options: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    world.ctl.create_network("bridge", "web", ipv4="10.1.0.0/16", options=options)
    assert not caplog.records


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("bridge.gateway_mode_ipv4", "nap", "'nap' is not one of nat, nat-unprotected, routed, isolated"),
        ("bridge.gateway_mode_ipv6", 6, "6 is not one of nat"),
        ("bridge.trusted_host_interfaces", "eth0:e/1", "'e/1' has a character"),
        ("bridge.trusted_host_interfaces", 7, "7 is not text"),
        ("bridge.enable_icc", "perhaps", "truth value"),
        ("bridge.default_bridge", "perhaps", "truth value"),
        ("bridge.inhibit_ipv4", "perhaps", "truth value"),
        ("bridge.name", 7, "must be text"),
        ("bridge.name", "b" * 16, "15 bytes"),
        ("bridge.host_binding_ipv4", "::1", "use 127.0.0.1"),
        ("bridge.host_binding_ipv4", "fd00::1", "not an IPv4 address"),
        ("bridge.host_binding_ipv4", "224.0.0.1", "no address of one host"),
        ("host_ipv4", "::1", "not an IPv4 address"),
        ("host_ipv4", "192.0.2.1", "IPv4 leaves under: it needs gateway mode 'nat'"),
        ("host_ipv6", "192.0.2.1", "not an IPv6 address"),
        ("host_ipv6", "2001:db8::1", "IPv6 leaves under: it needs gateway mode 'nat'"),
        ("enable_ipv6", "perhaps", "truth value"),
    ],
)
def test_values_that_are_none(world: World, name: str, value: Any, says: str) -> None:
    with unchanged(world), pytest.raises(errors.InvalidError, match=says) as caught:
        world.ctl.create_network("bridge", "web", ipv4="10.1.0.0/16", options={PREFIX + name: value})
    assert name in str(caught.value)


@pytest.mark.parametrize("wish", [True, False])
def test_networks_of_a_driver_that_has_the_host_forward(wish: bool) -> None:
    options = {"bridge": {"EnableIPForwarding": wish}}
    with Controller(dataplane=FakeDataplane(), driver_options=options) as ctl:
        four = ctl.create_network("bridge", "four", ipv4="10.1.0.0/16")
        six = ctl.create_network("bridge", "six", ipv6="fd01::/64")
        inside = ctl.create_network("bridge", "in", ipv4="10.2.0.0/16", options={labels.INTERNAL: True})
        plans = [ctl._dataplane.networks[net.id] for net in (four, six, inside)]  # type: ignore[attr-defined]
        assert [plan.rules.forwards for plan in plans] == [wish, False, False]


def test_links_that_are_trusted() -> None:
    """As names: links that come later are trusted too."""
    options = labels.normalise({"io.docker.network.bridge.trusted_host_interfaces": "vxlan.1: eth1:vxlan.1"})
    assert rules_of(options, (), internal=False).trusted == ("vxlan.1", "eth1")
    assert rules_of({}, (), internal=False).trusted == ()
    with pytest.raises(errors.InvalidError, match="nothing is forwarded to an internal network"):
        rules_of(options, (), internal=True)


@pytest.mark.parametrize("driver", ["bridge", "routed"])
def test_part_of_a_prefix(driver: str) -> None:
    with Controller(dataplane=FakeDataplane()) as ctl:
        options = {"FixedCIDR": "10.1.7.0/30", "FixedCIDRv6": "fd01::700:0/126"}
        net = ctl.create_network(driver, "net", ipv4="10.1.0.0/16", ipv6="fd01::/64", options=options)
        endpoints = net.attach(4)
        assert str(net.gateway) == "10.1.7.0"
        assert [str(one.interfaces[0].address.ip) for one in endpoints[:3]] == ["10.1.7.1", "10.1.7.2", "10.1.7.3"]
        assert isinstance(endpoints[3].error, errors.AddressesExhaustedError)
        for bad in ({"FixedCIDR": "10.9.0.0/24"}, {"FixedCIDR": "fd01::/80"}, {"FixedCIDR": "all"}, {"FixedCIDRv6": 6}):
            with pytest.raises(errors.InvalidError):
                ctl.create_network(driver, "bad", ipv4="10.2.0.0/16", ipv6="fd02::/64", options=bad)
        with pytest.raises(errors.InvalidError, match="given twice"):
            ctl.create_network(
                driver, "bad", ipv4="10.2.0.0/16", ip_range="10.2.1.0/24", options={"FixedCIDR": "10.2.2.0/24"}
            )
        assert ctl.networks == [net]


def test_families_that_are_asked_for(world: World) -> None:
    both = world.ctl.create_network("bridge", "both", options={"EnableIPv6": "true"})
    assert both.ipv4 is not None
    assert both.ipv6 is not None
    assert both.ipv6.prefixlen == 64
    with_v4 = world.ctl.create_network("bridge", "four", ipv4="10.1.0.0/16", options={PREFIX + "enable_ipv6": True})
    assert (str(with_v4.ipv4), with_v4.ipv6 is None) == ("10.1.0.0/16", False)
    alone = world.ctl.create_network(
        "bridge", "six", options={PREFIX + "enable_ipv6": True, PREFIX + "enable_ipv4": "false"}
    )
    assert (alone.ipv4, alone.ipv6 is None) == (None, False)


def test_the_ipv4_gateway_is_another_machines(world: World) -> None:
    options = {PREFIX + "bridge.inhibit_ipv4": "true"}
    net = world.ctl.create_network("bridge", "net", ipv4="10.1.0.0/16", ipv6="fd01::/64", options=options)
    [link] = world.dataplane.networks[net.id].links
    assert isinstance(link, BridgeLink)
    assert [str(one) for one in link.addresses] == ["fd01::1/64"]
    [endpoint] = net.attach(1, strict=True)
    plan = world.dataplane.endpoints[endpoint.id].plan
    assert [one.ip for one in plan.neighbours] == [b"\xfd\1" + bytes(13) + b"\1"]
    assert [one.gateway for one in plan.routes] == [b"\x0a\1\0\1", b"\xfd\1" + bytes(13) + b"\1"]


def test_a_bridge_that_is_there(world: World) -> None:
    world.dataplane.links |= {"br0", "eth0"}
    world.dataplane.bridges.add("br0")
    net = world.ctl.create_network("bridge", "net", ipv4="10.1.0.0/16", options={"BridgeName": "br0"})
    for name in ("br0", "eth0"):
        with unchanged(world), pytest.raises(errors.KernelConflictError):
            world.ctl.create_network("bridge", "second", ipv4="10.2.0.0/16", options={"BridgeName": name})
    net.delete()
    assert world.dataplane.links == {"lo", "br0", "eth0"}
    world.dataplane.links -= {"br0", "eth0"}


def test_families_are_checked_against_the_prefixes(world: World) -> None:
    both = {"EnableIPv6": "true", PREFIX + "enable_ipv4": "true"}
    world.ctl.create_network("bridge", "both", ipv4="10.1.0.0/16", ipv6="fd01::/64", options=both)
    with pytest.raises(errors.NotImplementedYetError, match="has an IPv6 prefix"):
        world.ctl.create_network("bridge", "six", ipv6="fd02::/64", options={"EnableIPv6": False})
    with pytest.raises(errors.InvalidError, match="truth value"):
        world.ctl.create_network("bridge", "six", ipv6="fd02::/64", options={"EnableIPv6": "perhaps"})


@pytest.mark.parametrize("driver", ["bridge", "routed", "macvlan"])
def test_gateways_of_the_seed(world: World, driver: str) -> None:
    options = {"DefaultGatewayIPv4": "10.1.0.9", "DefaultGatewayIPv6": "fd01::9"}
    net = world.ctl.create_network(driver, "net", ipv4="10.1.0.0/16", ipv6="fd01::/64", options=options)
    assert (str(net.gateway), str(net.gateway_ipv6)) == ("10.1.0.9", "fd01::9")


def test_the_bridges_address_of_the_seed_is_prefix_and_gateway(world: World) -> None:
    net = world.ctl.create_network("bridge", "net", options={"AddressIPv4": "10.1.0.9/16"})
    assert (str(net.ipv4), str(net.gateway)) == ("10.1.0.0/16", "10.1.0.9")
    both = {"AddressIPv4": "10.2.0.1/16", "DefaultGatewayIPv4": "10.2.0.1"}
    world.ctl.create_network("bridge", "agreed", ipv4="10.2.0.0/16", gateway="10.2.0.1", options=both)
    with pytest.raises(errors.NotImplementedYetError, match=r"'AddressIPv4'.*use create_network\(ipv4="):
        world.ctl.create_network("routed", "other", options={"AddressIPv4": "10.3.0.1/16"})


GATEWAYS: list[tuple[dict[str, Any], dict[str, Any], str]] = [  # arguments, options, what is said
    ({}, {"AddressIPv4": "10.1.0.9"}, "'AddressIPv4'.*such as '10.77.0.1/16'"),
    ({}, {"AddressIPv4": "fd01::9/64"}, "'AddressIPv4'.*such as '10.77.0.1/16'"),
    ({}, {"AddressIPv4": "10.1.0.0/16"}, r"10\.1\.0\.0 stands for all"),
    ({}, {"AddressIPv4": 7}, "'AddressIPv4'"),
    ({"ipv4": "10.2.0.0/16"}, {"AddressIPv4": "10.1.0.9/16"}, r"prefix 10\.1\.0\.0/16, ipv4 says 10\.2\.0\.0/16"),
    ({"ipv4": "10.1.0.0/16", "gateway": "10.1.0.1"}, {"AddressIPv4": "10.1.0.9/16"}, r"is 10\.1\.0\.1 already"),
    ({}, {"AddressIPv4": "10.1.0.9/16", "DefaultGatewayIPv4": "10.1.0.1"}, r"is 10\.1\.0\.9 already.*inhibit_ipv4"),
    ({"ipv4": "10.1.0.0/16"}, {"DefaultGatewayIPv4": "fd01::9"}, "not an IPv4 address"),
    ({"ipv4": "10.1.0.0/16"}, {"DefaultGatewayIPv4": "10.2.0.9"}, "outside"),
    ({"ipv4": "10.1.0.0/16"}, {"DefaultGatewayIPv6": "fd01::9"}, "needs an IPv6 prefix"),
    ({"ipv6": "fd01::/64", "gateway_ipv6": "fd01::1"}, {"DefaultGatewayIPv6": "fd01::9"}, "is fd01::1 already"),
]


@pytest.mark.parametrize(("arguments", "options", "says"), GATEWAYS)
def test_gateways_that_cannot_be(world: World, arguments: dict[str, Any], options: dict[str, Any], says: str) -> None:
    with unchanged(world), pytest.raises(errors.InvalidError, match=says):
        world.ctl.create_network("bridge", "net", options=options, **arguments)


def test_a_gateway_that_an_engine_did_not_read() -> None:
    data = (IPAMData(parse_network("10.1.0.0/16"), parse_prefix("10.1.0.1/16")),)
    with pytest.raises(errors.InvalidError, match=r"'DefaultGatewayIPv4': 10\.1\.0\.9 is not the network's gateway"):
        BridgeDriver().create_network("id", {"DefaultGatewayIPv4": "10.1.0.9", labels.IPAM_DATA: data})


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("EnableIPMasq", "EnableIPMasquerade"),
        ("mtu", "Mtu"),
        ("FixedCidr", "FixedCIDR"),
        ("enable_icx", PREFIX + "bridge.enable_icc"),
    ],
)
def test_an_unknown_name_is_an_error_that_names_the_nearest(world: World, name: str, nearest: str) -> None:
    with unchanged(world), pytest.raises(errors.InvalidError, match=f"{name!r}; did you mean {nearest!r}"):
        world.ctl.create_network("bridge", "web", ipv4="10.1.0.0/16", options={name: 1})


def test_an_unknown_name_like_no_other(world: World) -> None:
    with unchanged(world), pytest.raises(errors.InvalidError, match=r"no option 'zzzz'$"):
        world.ctl.create_network("bridge", "web", options={"zzzz": 1})


def test_endpoints_and_joins_are_checked_too(world: World) -> None:
    web = world.ctl.create_network("bridge", "web", ipv4="10.1.0.0/16")
    box, endpoint = world.ctl.create_sandbox("box"), web.create_endpoint("ep")
    with unchanged(world):
        with pytest.raises(errors.NotImplementedYetError, match="portmap"):
            endpoint.join(box, {"PortBindings": {"80/tcp": []}})
        with pytest.raises(errors.InvalidError, match="'MacAdress'; did you mean 'MacAddress'"):
            web.create_endpoint("second", options={"MacAdress": "02:42:0a:01:00:09"})
        with pytest.raises(errors.NoEndpointError, match="other"):
            endpoint.join(box, {"ChildEndpoints": ["other"]})
        with pytest.raises(errors.InvalidError, match="'ParentEndpoints': 'other' is no list"):
            endpoint.join(box, {"ParentEndpoints": "other"})
    endpoint.join(box, {"ChildEndpoints": []})


def test_labels_of_others_pass_and_unknown_ones_of_ours_are_told(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.ctl.create_network("bridge", "quiet", options={"org.example.colour": "red", "my.own": 1})
    assert not caplog.records
    options = {PREFIX + "bridge.nam": "br0", labels.ENDPOINT_IFNAME: "lan"}
    with caplog.at_level(logging.WARNING):
        world.ctl.create_network("bridge", "told", options=options)
    unknown, elsewhere = [record.getMessage() for record in caplog.records]
    assert unknown == f"bridge: option '{PREFIX}bridge.nam' is ignored here; did you mean '{labels.BRIDGE_NAME}'?"
    assert elsewhere == f"bridge: option '{labels.ENDPOINT_IFNAME}' is ignored here"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        (PREFIX + "brige.inhibit_ipv4", labels.BRIDGE_INHIBIT_IPV4),
        ("com.docker.netwrok.driver.mtu", labels.MTU),
        ("comm.docker.network.bridge.enable_icc", labels.BRIDGE_ENABLE_ICC),
        ("bridge.gateway_mode_ipv4", labels.BRIDGE_GATEWAY_MODE_IPV4),
        ("org.example.driver.mtu", None),
        ("com.docker.compose.network", None),
    ],
)
def test_a_slip_in_a_label(world: World, caplog: pytest.LogCaptureFixture, name: str, nearest: str | None) -> None:
    world.ctl.create_network("bridge", "web", options={name: "1"})
    said = [record.getMessage() for record in caplog.records]
    told = [f"bridge: option {name!r} is ignored here; did you mean {nearest!r}?"]
    assert said == ([] if nearest is None else told)


def test_configuration() -> None:
    driver = BridgeDriver()
    driver.config({})
    driver.config({"EnableIPForwarding": "false", "EnableIPTables": False})
    with pytest.raises(errors.NotImplementedYetError, match="EnableIPTables"):
        driver.config({"EnableIPForwarding": True, "EnableIPTables": True})
    with pytest.raises(errors.InvalidError, match=r"EnableIPForwarding.*truth value"):
        driver.config({"EnableIPForwarding": "perhaps"})
    for name in ("EnableIPForward", "org.example.colour"):
        with pytest.raises(errors.InvalidError, match=name):
            driver.config({name: True})

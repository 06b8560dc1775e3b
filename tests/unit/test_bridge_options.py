"""Options of the bridge driver: acted upon, true anyway, or refused; none is passed over in silence."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from driverapi import errors, labels
from driverapi.drivers.bridge import BridgeDriver
from driverapi.labels import PREFIX
from tests.support import World, unchanged

REFUSED = [
    ("FixedCIDR", "10.1.1.0/24", r"create_network\(ipv4="),
    ("FixedCIDRv6", "fd01::/80", r"create_network\(ipv6="),
    ("DefaultGatewayIPv4", "10.1.0.9", r"create_network\(gateway="),
    ("DefaultGatewayIPv6", "fd01::9", r"create_network\(gateway_ipv6="),
    ("AddressIPv4", "10.1.0.9/16", r"create_network\(ipv4=…, gateway="),
    ("EnableIPv6", True, r"create_network\(ipv6="),
    (PREFIX + "enable_ipv4", "false", "has an IPv4 prefix"),
    ("EnableIPTables", "true", "packet filter"),
    ("AllowNonDefaultBridge", False, "any name"),
    ("PortBindings", {"80/tcp": []}, "of an endpoint"),
    (PREFIX + "bridge.default_bridge", True, "default"),
    ("ParentEndpoints", ["other"], "without links"),
    ("ChildEndpoints", ["other"], "without links"),
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


def test_families_are_checked_against_the_prefixes(world: World) -> None:
    both = {"EnableIPv6": "true", PREFIX + "enable_ipv4": "true"}
    world.ctl.create_network("bridge", "both", ipv4="10.1.0.0/16", ipv6="fd01::/64", options=both)
    with pytest.raises(errors.NotImplementedYetError, match="has an IPv6 prefix"):
        world.ctl.create_network("bridge", "six", ipv6="fd02::/64", options={"EnableIPv6": False})
    with pytest.raises(errors.InvalidError, match="truth value"):
        world.ctl.create_network("bridge", "six", ipv6="fd02::/64", options={"EnableIPv6": "perhaps"})


@pytest.mark.parametrize(
    ("name", "nearest"), [("EnableIPMasq", "EnableIPMasquerade"), ("mtu", "Mtu"), ("FixedCidr", "FixedCIDR")]
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
        with pytest.raises(errors.NotImplementedYetError, match="ChildEndpoints"):
            endpoint.join(box, {"ChildEndpoints": ["other"]})
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


def test_configuration() -> None:
    driver = BridgeDriver()
    driver.config({})
    driver.config({"EnableIPForwarding": "false", "EnableIPTables": False})
    with pytest.raises(errors.NotImplementedYetError, match="ip_forward"):
        driver.config({"EnableIPForwarding": True})
    for name in ("EnableIPForward", "org.example.colour"):
        with pytest.raises(errors.InvalidError, match=name):
            driver.config({name: True})

"""The plugin asked for what is none: an error in the protocol's own form, nothing changed; and what is no plugin."""

from __future__ import annotations

import json
from typing import Any

import pytest

from driverapi import errors
from driverapi.plan import GatewayLink, NetworkPlan
from driverapi.plugin import Plugin
from driverapi.testing import FakeDataplane
from tests.plugins import END, KEY, NET, SPACE, AskedError, Engine
from tests.support import OwnDriver

BAD: list[tuple[str, Any, int]] = [
    ("NetworkDriver.CreateNetwork", b"{", 400),
    ("NetworkDriver.CreateNetwork", b"[]", 400),
    ("NetworkDriver.CreateNetwork", b"\xff\xfe", 400),
    ("NetworkDriver.CreateNetwork", b"[" * 5000, 400),
    ("NetworkDriver.CreateNetwork", {}, 400),
    ("NetworkDriver.CreateNetwork", {"NetworkID": 7}, 400),
    ("NetworkDriver.CreateNetwork", {"NetworkID": "../../etc"}, 400),
    ("NetworkDriver.CreateNetwork", {"NetworkID": "a\0b"}, 400),
    ("NetworkDriver.CreateNetwork", {"NetworkID": "x" * 300}, 400),
    ("NetworkDriver.CreateNetwork", {"NetworkID": "n", "Options": []}, 400),
    ("NetworkDriver.CreateNetwork", {"NetworkID": "n", "IPv4Data": [{"Pool": "10.0.0.0/33"}]}, 400),
    ("NetworkDriver.CreateNetwork", {"NetworkID": "n", "IPv4Data": [{"Pool": "fd00::/64"}]}, 400),
    ("NetworkDriver.CreateNetwork", {"NetworkID": "n", "IPv4Data": [{"Pool": "10.0.0.1/16"}]}, 400),
    ("NetworkDriver.CreateNetwork", {"NetworkID": "n", "Options": {"driverapi.ipam_data": []}}, 400),
    ("NetworkDriver.CreateNetwork", {"NetworkID": "n", "Options": {"com.docker.network.bridge.name": "a/b"}}, 400),
    ("NetworkDriver.CreateNetwork", {"NetworkID": "n", "Options": {"com.docker.network.generic": 5}}, 400),
    ("NetworkDriver.DeleteNetwork", {"NetworkID": "never"}, 404),
    ("NetworkDriver.CreateEndpoint", {"NetworkID": "never", "EndpointID": "e"}, 404),
    ("NetworkDriver.CreateEndpoint", {"NetworkID": NET}, 400),
    ("NetworkDriver.CreateEndpoint", {"NetworkID": NET, "EndpointID": "e\n"}, 400),
    ("NetworkDriver.CreateEndpoint", {"NetworkID": NET, "EndpointID": "e", "Interface": {"Address": "moon"}}, 400),
    ("NetworkDriver.CreateEndpoint", {"NetworkID": NET, "EndpointID": "e", "Interface": {"MacAddress": "zz"}}, 400),
    ("NetworkDriver.CreateEndpoint", {"NetworkID": NET, "EndpointID": "e", "Interface": {"Address": 5}}, 400),
    ("NetworkDriver.CreateEndpoint", {"NetworkID": NET, "EndpointID": "e", "Interfaces": [1]}, 400),
    ("NetworkDriver.DeleteEndpoint", {"NetworkID": NET, "EndpointID": "never"}, 404),
    ("NetworkDriver.EndpointOperInfo", {"NetworkID": NET, "EndpointID": "never"}, 404),
    ("NetworkDriver.Join", {"NetworkID": NET, "EndpointID": "never", "SandboxKey": KEY}, 404),
    ("NetworkDriver.Join", {"NetworkID": NET, "EndpointID": END}, 400),
    ("NetworkDriver.Join", {"NetworkID": NET, "EndpointID": END, "SandboxKey": "a\0b"}, 400),
    ("NetworkDriver.Join", {"NetworkID": "other", "EndpointID": END, "SandboxKey": KEY}, 404),
    ("NetworkDriver.Leave", {"NetworkID": NET, "EndpointID": "never"}, 404),
    ("IpamDriver.RequestPool", {"AddressSpace": "moon"}, 400),
    ("IpamDriver.RequestPool", {"Pool": "10.0.0.0/99"}, 400),
    ("IpamDriver.RequestPool", {"SubPool": "10.0.0.0/24"}, 400),
    ("IpamDriver.RequestPool", {"V6": "yes"}, 400),
    ("IpamDriver.ReleasePool", {}, 404),
    ("IpamDriver.RequestAddress", {"PoolID": "moon"}, 404),
    ("IpamDriver.RequestAddress", {"PoolID": "10.7.0.0/16", "Address": "10.8.0.1"}, 400),
    ("IpamDriver.RequestAddress", {"PoolID": "10.7.0.0/16", "Address": "10.7.0.9/99"}, 400),
    ("IpamDriver.ReleaseAddress", {"PoolID": "10.7.0.0/16"}, 400),
    ("IpamDriver.ReleaseAddress", {"PoolID": "moon", "Address": "10.7.0.1"}, 404),
]


@pytest.mark.parametrize(("verb", "body", "status"), BAD, ids=lambda value: str(value)[:50])
def test_bad_input(endpoint: Engine, verb: str, body: Any, status: int) -> None:
    """A clear error in the protocol's own form, and nothing changed."""
    endpoint.ask("IpamDriver.RequestPool", AddressSpace=SPACE, Pool="10.7.0.0/16")
    before = (endpoint.plugin.health(), dict(endpoint.dataplane.endpoints), endpoint.plugin._store.records())
    told, document = endpoint.raw(f"/{verb}", body if isinstance(body, bytes) else json.dumps(body).encode())
    assert (told, set(document) - {"Error"}) == (status, {"Err", "Kind"})
    assert len(document["Err"]) > 8
    assert ("Error" in document) == verb.startswith("Ipam")
    assert (endpoint.plugin.health(), dict(endpoint.dataplane.endpoints), endpoint.plugin._store.records()) == before


def test_unknown_fields_and_nulls_are_passed_over(engine: Engine) -> None:
    data = [{"Pool": "10.9.0.0/16", "Gateway": None, "AuxAddresses": None, "Wind": 5}]
    engine.ask("CreateNetwork", NetworkID="n", Options=None, IPv4Data=data, IPv6Data=None, Weather="fine")
    interface = {"Address": "10.9.0.7/16", "MacAddress": None, "AddressIPv6": None}
    engine.ask("CreateEndpoint", NetworkID="n", EndpointID="e", Interface=interface, Options=None, More=[1, {}])
    engine.ask("DeleteNetwork", NetworkID="n")


def test_other_methods_and_paths(engine: Engine) -> None:
    assert engine.raw("/health", method="GET")[1]["Status"] == "ok"
    assert engine.raw("/health")[0] == 405
    assert engine.raw("/Plugin.Activate", method="GET")[0] == 405
    for path in ("/", "/nothing", "/NetworkDriver.", "/../etc/passwd", "/%00"):
        assert engine.raw(path)[0] == 404


def test_a_fault_of_the_driver_is_told_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(OwnDriver):
        def create_network(self, network_id: str, options: Any) -> None:
            raise RuntimeError("it is broken")

    broken = Engine(Broken(), name="broken")
    with pytest.raises(AskedError, match="it is broken") as refused:
        broken.network()
    assert refused.value.status == 500
    broken.empty()
    broken.close()


def test_kinds_are_statuses() -> None:
    class Full(OwnDriver):
        def create_network(self, network_id: str, options: Any) -> None:
            raise errors.AddressesExhaustedError("full") if network_id == "full" else errors.NoPermissionError("no", 1)

    full = Engine(Full(), name="full")
    for id, status in (("full", 507), ("no", 403)):
        with pytest.raises(AskedError) as refused:
            full.network(id)
        assert refused.value.status == status
    full.close()


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a\0", "-x", "x" * 64, 7])
def test_names_that_are_none(name: Any) -> None:
    with pytest.raises(errors.InvalidError, match="plugin name"):
        Plugin("null", name=name, dataplane=FakeDataplane())


def test_drivers_that_are_none() -> None:
    with pytest.raises(errors.NoDriverError):
        Plugin("moon", dataplane=FakeDataplane())
    with pytest.raises(errors.InvalidError, match="give an instance"):
        Plugin(OwnDriver, dataplane=FakeDataplane())  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidError, match="grace"):
        Plugin("null", dataplane=FakeDataplane(), grace=-1)


def test_a_driver_whose_addresses_stand_alone() -> None:
    """Its own IPAM gives them so, and the engine is told how to reach the gateway; another IPAM cannot."""
    routed = Engine("routed")
    with pytest.raises(AskedError, match="--ipam-driver") as refused:
        routed.network(IPv4Data=[{"AddressSpace": "LocalDefault", "Pool": "10.9.0.0/16", "Gateway": "10.9.0.1/16"}])
    assert refused.value.status == 501
    routed.empty()
    pool = routed.ask("IpamDriver.RequestPool", AddressSpace=SPACE, Pool="10.9.0.0/16")["PoolID"]
    gateway = {"RequestAddressType": "com.docker.network.gateway"}
    assert routed.ask("IpamDriver.RequestAddress", PoolID=pool, Options=gateway)["Address"] == "10.9.0.1/16"
    mine = routed.ask("IpamDriver.RequestAddress", PoolID=pool, Options={})["Address"]
    assert mine == "10.9.0.2/32"
    six = {"AddressSpace": SPACE, "Pool": "fd77::/64", "Gateway": "fd77::1/64"}
    routed.network(IPv6Data=[six], Options={})
    with pytest.raises(AskedError, match=r"give 10\.9\.0\.2/32"):
        routed.endpoint()
    routed.endpoint(Interface={"Address": mine, "AddressIPv6": "fd77::2/128"})
    told = routed.join()
    assert (told["Gateway"], told["GatewayIPv6"], told["DisableGatewayService"]) == ("10.9.0.1", "fd77::1", False)
    assert told["StaticRoutes"] == [
        {"Destination": "10.9.0.1/32", "RouteType": 1},
        {"Destination": "fd77::1/128", "RouteType": 1},
        {"Destination": "10.9.0.0/16", "RouteType": 0, "NextHop": "10.9.0.1"},
        {"Destination": "fd77::/64", "RouteType": 0, "NextHop": "fd77::1"},
    ]
    routed.ask("DeleteNetwork", NetworkID=NET)
    routed.close()


def test_a_driver_that_does_not_say_that_its_addresses_stand_alone() -> None:
    class Silent(OwnDriver):
        def network_plan(self, network_id: str) -> NetworkPlan:
            return NetworkPlan((GatewayLink("gateway", b"\2\0\0\0\0\1"),))

    silent = Engine(Silent(), name="silent")
    with pytest.raises(AskedError, match="lone_addresses = True") as refused:
        silent.network()
    assert refused.value.status == 501
    silent.empty()
    silent.close()


def test_a_driver_of_the_hosts_own_namespace() -> None:
    """Told when it is to be served, and not to each container."""
    with pytest.raises(errors.NotImplementedYetError, match="docker run --network host"):
        Plugin("host", dataplane=FakeDataplane())


def test_an_ipam_by_its_name() -> None:
    made = Plugin("null", dataplane=FakeDataplane(), ipam="default")
    assert made.answer("POST", "/IpamDriver.RequestPool", b"{}")[0] == 200
    made.close()
    with pytest.raises(errors.NotFoundError, match="moon"):
        Plugin("null", dataplane=FakeDataplane(), ipam="moon")


def test_a_driver_object() -> None:
    made = Plugin(OwnDriver(), dataplane=FakeDataplane(), options=None)
    assert made.name == "driverapi-own"
    assert "driver own" in repr(made)
    made.close()
    made.close()

"""The conformance suite, over every driver: those of the package, one in the seed's style, and the example."""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from driverapi import Driver, EndpointInfo, JoinInfo, errors
from driverapi.drivers.bridge import BridgeDriver
from driverapi.drivers.host import HostDriver
from driverapi.drivers.ipvlan import IpvlanDriver
from driverapi.drivers.macvlan import MacvlanDriver
from driverapi.drivers.null import NullDriver
from driverapi.drivers.routed import RoutedDriver
from driverapi.registry import BUILTIN
from driverapi.testing import DriverConformance

LABNET = Path(__file__).parents[2] / "examples" / "thirdparty" / "labnet.py"


class TestNull(DriverConformance):
    def make_driver(self) -> Driver:
        return NullDriver()


class TestHost(DriverConformance):
    one_network = True

    def make_driver(self) -> Driver:
        return HostDriver()


class TestBridge(DriverConformance):
    def make_driver(self) -> Driver:
        return BridgeDriver()


class TestBridgeWithANameOfItsOwn(DriverConformance):
    """A bridge that has a fixed name on the host is gone from there when its network is."""

    network_arguments: ClassVar[Mapping[str, Any]] = {
        **DriverConformance.network_arguments,
        "options": {"com.docker.network.bridge.name": "br-lab"},
    }
    second_network_arguments: ClassVar[Mapping[str, Any]] = {"options": {"com.docker.network.bridge.name": "br-lab2"}}

    def make_driver(self) -> Driver:
        return BridgeDriver()


class TestBridgesOfOthers(TestBridgeWithANameOfItsOwn):
    """Bridges that were there are there when their networks are gone."""

    @property
    def bridges(self) -> set[str]:
        return {"br-lab", "br-lab2"}


class TestRouted(DriverConformance):
    def make_driver(self) -> Driver:
        return RoutedDriver()


class TestRoutedIPv6Alone(DriverConformance):
    network_arguments: ClassVar[Mapping[str, Any]] = {"ipv6": "fd99::/64"}

    def make_driver(self) -> Driver:
        return RoutedDriver()


class TestMacvlan(DriverConformance):
    def make_driver(self) -> Driver:
        return MacvlanDriver()


class TestMacvlanOnVlans(DriverConformance):
    """A VLAN that was made for a network is gone with it; the suite's dataplane looks."""

    network_arguments: ClassVar[Mapping[str, Any]] = {
        **DriverConformance.network_arguments,
        "options": {"parent": "eth7.10", "macvlan_mode": "private"},
    }
    second_network_arguments: ClassVar[Mapping[str, Any]] = {"options": {"parent": "eth7.11"}}

    @property
    def devices(self) -> set[str]:
        return {"eth7"}

    def make_driver(self) -> Driver:
        return MacvlanDriver()


class Ipvlan(DriverConformance):
    """What an endpoint's MAC address is, is the parent's: so given ones are refused, and those of others noted."""

    network_arguments: ClassVar[Mapping[str, Any]] = {
        **DriverConformance.network_arguments,
        "options": {"parent": "eth7"},
    }
    refuses_given = True

    @property
    def devices(self) -> set[str]:
        return {"eth7"}

    def make_driver(self) -> Driver:
        return IpvlanDriver()


class TestIpvlan(Ipvlan):
    pass


class TestIpvlanL3(Ipvlan):
    network_arguments: ClassVar[Mapping[str, Any]] = {
        **DriverConformance.network_arguments,
        "options": {"parent": "eth7", "ipvlan_mode": "l3s", "ipvlan_flag": "vepa"},
    }


class SeedStyle(Driver):
    """A driver as the seed knew them: it has made its devices already, and says which one goes where."""

    def __init__(self, devices: set[str]) -> None:
        self._lock = threading.Lock()
        self._spare = sorted(devices)
        self._used: dict[str, str] = {}
        self._endpoints: dict[str, set[str]] = {}

    def type(self) -> str:
        return "seed"

    def create_network(self, network_id: str, options: Any) -> None:
        self._endpoints[network_id] = set()

    def delete_network(self, network_id: str) -> None:
        del self._endpoints[network_id]

    def create_endpoint(self, network_id: str, endpoint_id: str, info: EndpointInfo, options: Any) -> None:
        if not info.interfaces:
            info.add_interface(1)
        self._endpoints[network_id].add(endpoint_id)

    def delete_endpoint(self, network_id: str, endpoint_id: str) -> None:
        self._endpoints[network_id].remove(endpoint_id)

    def join(self, network_id: str, endpoint_id: str, sandbox_key: str, info: JoinInfo, options: Any) -> None:
        with self._lock:
            if not self._spare:
                raise errors.AddressesExhaustedError("no device is left")
            self._used[endpoint_id] = device = self._spare.pop()
        for name in info.interface_names:
            name.set_names(device, "eth0")
        info.set_hosts_path("/etc/hosts")

    def leave(self, network_id: str, endpoint_id: str) -> None:
        with self._lock:
            self._spare.append(self._used.pop(endpoint_id))


class TestSeedStyle(DriverConformance):
    """The suite's dataplane is told of the devices; that they are back in the end is checked by it."""

    @property
    def devices(self) -> set[str]:
        return {"seed0", "seed1"}

    def make_driver(self) -> Driver:
        return SeedStyle(self.devices)

    def test_the_device_goes_and_comes_back(self) -> None:
        with self._network() as (controller, network, _, dataplane):
            boxes = [controller.create_sandbox(f"box{number}") for number in range(3)]
            endpoints = network.attach(boxes)
            assert [type(endpoint.error) for endpoint in endpoints] == [
                type(None),
                type(None),
                errors.AddressesExhaustedError,
            ]
            assert dataplane.links == {"lo"}
            assert endpoints[0].info()["interfaces"][0]["name"] == "eth0"
            assert endpoints[0].info()["hosts_path"] == "/etc/hosts"
            network.detach(endpoints)
            assert dataplane.links == {"lo", "seed0", "seed1"}


class TestLabnet(DriverConformance):
    refuses_given = True
    refuses_notices = True

    def make_driver(self) -> Driver:
        spec = importlib.util.spec_from_file_location("labnet_of_the_example", LABNET)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        driver: Driver = module.LabDriver()
        return driver

    def test_numbers_tell_addresses(self) -> None:
        with self._network() as (_, network, _, _):
            seventh = network.create_endpoint("seventh", options={"labnet.node": "7"})
            assert repr(seventh.interfaces) == "[<InterfaceInfo 0: 02:6c:61:62:00:07 10.99.0.7/16>]"
            assert str(network.create_endpoint("first").interfaces[0].address) == "10.99.0.1/16"
            for bad, kind in ((7, errors.AddressTakenError), (0, errors.InvalidError), (65535, errors.InvalidError)):
                with pytest.raises(kind):
                    network.create_endpoint("bad", options={"labnet.node": bad})
            assert {endpoint.name for endpoint in network.endpoints} == {"seventh", "first"}

    def test_no_node_has_the_mac_of_the_bridge(self) -> None:
        with self._network() as (_, network, driver, _):
            network.delete()
            wide = DriverConformance.network_arguments | {"ipv4": "10.96.0.0/12"}
            network = network._controller.create_network("conformance", "wide", **wide)
            (bridge,) = driver.network_plan(network.id).links
            last = network.create_endpoint("last", options={"labnet.node": 65535})
            assert last.interfaces[0].packed_mac == b"\2lab\xff\xff" != bridge.mac

    def test_a_deletion_may_come_twice(self) -> None:
        with self._network() as (_, network, driver, _):
            endpoint = network.create_endpoint("ep")
            for _ in range(2):
                driver.delete_endpoint(network.id, endpoint.id)

    def test_the_example_is_short(self) -> None:
        assert len(LABNET.read_text().splitlines()) <= 60


def test_every_driver_of_the_package_is_here() -> None:
    tested = {
        suite().make_driver().type()
        for suite in globals().values()
        if isinstance(suite, type) and issubclass(suite, DriverConformance) and suite is not DriverConformance
    }
    assert set(BUILTIN) <= tested


# --- the suite itself: drivers that break the contract must not pass it ---------------------------------------


class Sound(Driver):
    """A driver to break: correct but for what the classes below change."""

    def __init__(self) -> None:
        self.networks: dict[str, set[str]] = {}

    def type(self) -> str:
        return "broken"

    def create_network(self, network_id: str, options: Any) -> None:
        self.networks[network_id] = set()

    def delete_network(self, network_id: str) -> None:
        del self.networks[network_id]

    def create_endpoint(self, network_id: str, endpoint_id: str, info: EndpointInfo, options: Any) -> None:
        if not info.interfaces:
            info.add_interface(0)
        self.networks[network_id].add(endpoint_id)

    def delete_endpoint(self, network_id: str, endpoint_id: str) -> None:
        self.networks[network_id].remove(endpoint_id)

    def join(self, network_id: str, endpoint_id: str, sandbox_key: str, info: JoinInfo, options: Any) -> None:
        pass

    def leave(self, network_id: str, endpoint_id: str) -> None:
        pass


class NoName(Sound):
    def type(self) -> str:
        return ""


class TakesAnyConfiguration(Sound):
    def config(self, options: Any) -> None:
        pass


class CannotLeave(Sound):
    def leave(self, network_id: str, endpoint_id: str) -> None:
        raise RuntimeError("never")


class CannotJoinAgain(Sound):
    """It keeps a join that was undone."""

    def __init__(self) -> None:
        super().__init__()
        self.joined: set[str] = set()

    def join(self, network_id: str, endpoint_id: str, sandbox_key: str, info: JoinInfo, options: Any) -> None:
        if endpoint_id in self.joined:
            raise errors.JoinedError(endpoint_id)
        self.joined.add(endpoint_id)


class OneNetworkOnly(Sound):
    def create_network(self, network_id: str, options: Any) -> None:
        self.networks = {network_id: set()}


class OneCallAtATime(Sound):
    """It cannot stand two creations at once."""

    def __init__(self) -> None:
        super().__init__()
        self.alone = threading.Lock()

    def create_endpoint(self, network_id: str, endpoint_id: str, info: EndpointInfo, options: Any) -> None:
        if not self.alone.acquire(blocking=False):
            raise RuntimeError("two at once")
        time.sleep(0.001)
        super().create_endpoint(network_id, endpoint_id, info, options)
        self.alone.release()


class LeavesItsDevice(Sound):
    """It names a device that is not there."""

    def join(self, network_id: str, endpoint_id: str, sandbox_key: str, info: JoinInfo, options: Any) -> None:
        for name in info.interface_names:
            name.set_names("nowhere", "eth0")


class RefusesAddresses(Sound):
    """It never said that it would."""

    def create_endpoint(self, network_id: str, endpoint_id: str, info: EndpointInfo, options: Any) -> None:
        if info.interfaces:
            raise errors.InvalidError("none may be given")
        super().create_endpoint(network_id, endpoint_id, info, options)


class TwoNetworksAtMostOneFamily(Sound):
    """It cannot stand the arguments that its author has declared."""

    def create_network(self, network_id: str, options: Any) -> None:
        if self.networks and len(options["driverapi.ipam_data"]) > 1:
            raise RuntimeError("two families, twice")
        super().create_network(network_id, options)


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (RefusesAddresses, "test_given_interfaces_are_kept"),
        (RefusesAddresses, "test_notice_makes_nothing"),
        (TwoNetworksAtMostOneFamily, "test_two_networks"),
        (NoName, "test_type_is_a_name"),
        (TakesAnyConfiguration, "test_unknown_configuration_is_refused"),
        (CannotLeave, "test_whole_life"),
        (LeavesItsDevice, "test_whole_life"),
        (CannotJoinAgain, "test_failure_below_is_undone_in_reverse"),
        (OneNetworkOnly, "test_two_networks"),
        (OneCallAtATime, "test_many_threads"),
    ],
)
def test_a_broken_driver_does_not_pass(broken: type[Driver], test: str) -> None:
    class Suite(DriverConformance):
        def make_driver(self) -> Driver:
            return made()

    made: type[Driver] = Sound
    getattr(Suite(), test)()
    made = broken
    with pytest.raises((AssertionError, errors.DriverAPIError)):
        getattr(Suite(), test)()


@pytest.mark.parametrize("test", ["test_given_interfaces_are_kept", "test_notice_makes_nothing"])
def test_a_refusal_is_the_drivers_own(test: str) -> None:
    class Suite(DriverConformance):
        refuses_given = True
        refuses_notices = True

        def make_driver(self) -> Driver:
            return made()

    made: type[Driver] = RefusesAddresses
    getattr(Suite(), test)()
    made = Sound
    with pytest.raises(AssertionError, match="was not raised"):
        getattr(Suite(), test)()
    made = RefusesAddresses
    Suite.network_arguments = {}  # then a notice of a MAC address is all that can be given
    getattr(Suite(), test)()
    Suite._given = lambda _, number: {"mac": "ff:ff:ff:ff:ff:ff"}  # type: ignore[method-assign]
    with pytest.raises(AssertionError, match="not by the driver"):
        getattr(Suite(), test)()

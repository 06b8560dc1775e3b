"""For authors of drivers and IPAMs: the conformance suites, and a dataplane that needs no kernel.

Derive a class and let pytest collect it::

    from driverapi.testing import DriverConformance

    class TestMine(DriverConformance):
        def make_driver(self):
            return MyDriver()

and so with :class:`IPAMConformance` and ``make_ipam``.

Every test makes a driver of its own, and stands on the same Controller and Lifecycle as a
real network, over :class:`FakeDataplane`. Nothing here needs root.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from io import StringIO
from typing import Any, ClassVar

from driverapi import errors, trace
from driverapi.addresses import Address, format_ip, parse_mac, parse_network
from driverapi.api import Driver, EndpointInfo, JoinInfo, Options, Origin
from driverapi.controller import Controller
from driverapi.dataplane.fake import FakeDataplane, FakeNetns, FakeRealised
from driverapi.ipam.conformance import IPAMConformance
from driverapi.network import Network
from driverapi.registry import DriverRegistry
from driverapi.sandbox import Sandbox

__all__ = [
    "DriverConformance",
    "FakeDataplane",
    "FakeNetns",
    "FakeRealised",
    "IPAMConformance",
    "Recorder",
    "traced",
]


@contextmanager
def traced() -> Iterator[StringIO]:
    """Collect, as text, every netlink message that is sent meanwhile, and its answer: see :mod:`driverapi.trace`."""
    text = StringIO()
    with trace.to(text):
        yield text


class Recorder(Driver):
    """A driver around another that notes every call that came, and may be told to refuse one.

    Attributes
    ----------
    calls : list of (str, str)
        The method and the id of the endpoint (of the network for the network's methods).
    refuse : dict
        Error to raise for a method, before the inner driver is asked.
    """

    def __init__(self, inner: Driver) -> None:
        self.inner = inner
        self.calls: list[tuple[str, str]] = []
        self.refuse: dict[str, BaseException] = {}
        self.requires_ipam = inner.requires_ipam
        self.host_sandbox = inner.host_sandbox
        self.shares_prefixes = inner.shares_prefixes
        self.leaves_first = inner.leaves_first
        self.engine_options = inner.engine_options
        if hasattr(inner, "has_gateway"):
            self.has_gateway = inner.has_gateway
        if hasattr(inner, "get_skip_gw_alloc"):
            self.get_skip_gw_alloc = inner.get_skip_gw_alloc
        if hasattr(inner, "network_plan"):
            self.network_plan = inner.network_plan
        if hasattr(inner, "port_policy"):
            self.port_policy = inner.port_policy
        if hasattr(inner, "pairs"):
            self.pairs = inner.pairs
        if hasattr(inner, "program_external_connectivity"):
            self.program_external_connectivity = inner.program_external_connectivity
        if hasattr(inner, "revoke_external_connectivity"):
            self.revoke_external_connectivity = inner.revoke_external_connectivity

    def _note(self, method: str, id: str) -> None:
        self.calls.append((method, id))
        if method in self.refuse:
            raise self.refuse[method]

    def of(self, id: str) -> list[str]:
        """Return the methods that were called for an id, in order."""
        return [method for method, other in self.calls if other == id]

    def type(self) -> str:
        """Return the inner driver's type."""
        return self.inner.type()

    def config(self, options: Options) -> None:
        """Pass on."""
        self.inner.config(options)

    def create_network(self, network_id: str, options: Options) -> None:
        """Note and pass on."""
        self._note("create_network", network_id)
        self.inner.create_network(network_id, options)

    def delete_network(self, network_id: str) -> None:
        """Note and pass on."""
        self._note("delete_network", network_id)
        self.inner.delete_network(network_id)

    def create_endpoint(self, network_id: str, endpoint_id: str, info: EndpointInfo, options: Options) -> None:
        """Note and pass on."""
        self._note("create_endpoint", endpoint_id)
        self.inner.create_endpoint(network_id, endpoint_id, info, options)

    def delete_endpoint(self, network_id: str, endpoint_id: str) -> None:
        """Note and pass on."""
        self._note("delete_endpoint", endpoint_id)
        self.inner.delete_endpoint(network_id, endpoint_id)

    def endpoint_oper_info(self, network_id: str, endpoint_id: str) -> Mapping[str, Any]:
        """Pass on."""
        return self.inner.endpoint_oper_info(network_id, endpoint_id)

    def join(self, network_id: str, endpoint_id: str, sandbox_key: str, info: JoinInfo, options: Options) -> None:
        """Note and pass on."""
        self._note("join", endpoint_id)
        self.inner.join(network_id, endpoint_id, sandbox_key, info, options)

    def leave(self, network_id: str, endpoint_id: str) -> None:
        """Note and pass on."""
        self._note("leave", endpoint_id)
        self.inner.leave(network_id, endpoint_id)


class DriverConformance(ABC):
    """What every driver must do; a class of pytest tests to derive from."""

    network_arguments: ClassVar[Mapping[str, Any]] = {"ipv4": "10.99.0.0/16", "ipv6": "fd99::/64"}
    """What ``create_network`` is called with, besides the driver and the name."""

    second_network_arguments: ClassVar[Mapping[str, Any]] = {}
    """What is different for a second network, besides its prefixes: those are the next ones of the same length."""

    refuses_given: ClassVar[bool] = False
    """True for a driver that gives addresses itself, and so refuses endpoints whose addresses are given."""

    refuses_notices: ClassVar[bool] = False
    """True for a driver that refuses to take note of endpoints on other hosts."""

    one_network: ClassVar[bool] = False
    """True for a driver that has one network at most, and refuses another."""

    @abstractmethod
    def make_driver(self) -> Driver:
        """Make a new driver."""

    @property
    def devices(self) -> set[str]:
        """Names of links that exist on the host, for a driver that expects its own."""
        return set()

    @property
    def bridges(self) -> set[str]:
        """Names of bridges that exist on the host, for a driver that uses those of others."""
        return set()

    # --- set-up ---------------------------------------------------------------------------------

    @contextmanager
    def _network(self) -> Iterator[tuple[Controller, Network, Recorder, FakeDataplane]]:
        driver = Recorder(self.make_driver())
        dataplane = FakeDataplane()
        dataplane.links |= self.devices | self.bridges
        dataplane.bridges |= self.bridges
        registry = DriverRegistry()
        registry.register("conformance", driver)
        with Controller(dataplane=dataplane, registry=registry) as controller:
            network = controller.create_network("conformance", "one", **self.network_arguments)
            yield controller, network, driver, dataplane
        assert not dataplane.endpoints, "the dataplane still has endpoints after close"
        assert not dataplane.networks, "the dataplane still has networks after close"
        assert not dataplane.sandboxes, "the dataplane still has sandboxes after close"
        assert dataplane.links == {"lo"} | self.devices | self.bridges, "devices of the host are not as they were"

    def _second(self) -> dict[str, Any]:
        """Give the arguments of a second network."""
        arguments = dict(self.network_arguments)
        for family in {"ipv4", "ipv6"} & set(arguments):
            first = parse_network(arguments[family])
            after = int.from_bytes(first.ip, "big") + (1 << (first.bits - first.prefix))
            arguments[family] = Address(after.to_bytes(len(first.ip), "big"), first.prefix)
        return {**arguments, **self.second_network_arguments}

    def _given(self, number: int) -> dict[str, Any]:
        """Give addresses for an endpoint, as text: that many after the first of each prefix."""
        given = {"mac": f"02:42:aa:bb:cc:{number:02x}"}
        for family in ("ipv4", "ipv6"):
            if family in self.network_arguments:
                first = parse_network(self.network_arguments[family])
                ip = int.from_bytes(first.ip, "big") + number
                given[family] = format_ip(ip.to_bytes(len(first.ip), "big"))
        return given

    @staticmethod
    @contextmanager
    def _refused(network: Network, driver: Recorder) -> Iterator[None]:
        """Expect that the driver itself refuses an endpoint, and that nothing of it stays."""
        with _raises(errors.InvalidError, errors.NotImplementedYetError, errors.ConflictError):
            yield
        assert driver.calls[-1][0] == "create_endpoint", "it was refused, but not by the driver"
        assert network.endpoints == []

    @staticmethod
    def _box(controller: Controller, network: Network, name: str = "box") -> Sandbox:
        assert network._driver is not None
        return controller.create_sandbox(name, host=network._driver.host_sandbox)

    # --- the tests ------------------------------------------------------------------------------

    def test_type_is_a_name(self) -> None:
        """``type`` says the network type."""
        driver = self.make_driver()
        assert isinstance(driver, Driver)
        assert isinstance(driver.type(), str)
        assert driver.type()

    def test_unknown_configuration_is_refused(self) -> None:
        """``config`` takes nothing it does not know."""
        with _raises(errors.DriverAPIError):
            self.make_driver().config({"com.example.no-such-option": "1"})

    def test_whole_life(self) -> None:
        """Create, join, leave, delete; and the same again on the same network."""
        with self._network() as (controller, network, driver, _):
            box = self._box(controller, network)
            for round in range(2):
                endpoint = network.create_endpoint(f"ep{round}")
                assert isinstance(endpoint.driver_info(), Mapping)
                endpoint.join(box)
                assert endpoint.sandbox is box
                endpoint.leave(box)
                endpoint.delete()
                assert driver.of(endpoint.id) == ["create_endpoint", "join", "leave", "delete_endpoint"]
            box.delete()
            assert network.endpoints == []

    def test_given_interfaces_are_kept(self) -> None:
        """What the caller gave is consumed as it is, or (``refuses_given``) the driver refuses the endpoint."""
        given = self._given(5)
        with self._network() as (_, network, driver, _):
            if self.refuses_given:
                with self._refused(network, driver):
                    network.create_endpoint("given", **given)
                return
            endpoint = network.create_endpoint("given", **given)
            assert len(endpoint.interfaces) == 1
            info = endpoint.interfaces[0]
            assert info.packed_mac == parse_mac(given["mac"])
            assert [format_ip(one.ip) for one in info.packed_addresses] == [
                given[family] for family in ("ipv4", "ipv6") if family in given
            ]
            endpoint.delete()

    def test_notice_makes_nothing(self) -> None:
        """An endpoint of another host is noted and joins nothing here, or (``refuses_notices``) it is refused."""
        with self._network() as (controller, network, driver, dataplane):
            if self.refuses_notices:
                with self._refused(network, driver):
                    network.notice_endpoint("elsewhere", **self._given(6))
                return
            endpoint = network.notice_endpoint("elsewhere", **self._given(6))
            assert endpoint.origin is Origin.NOTICED
            box = self._box(controller, network)
            with _raises(errors.ConflictError):
                endpoint.join(box)
            assert not dataplane.endpoints
            assert "join" not in driver.of(endpoint.id)
            endpoint.delete()

    def test_failure_below_is_undone_in_reverse(self) -> None:
        """When the dataplane fails, the driver's ``leave`` is called; the endpoint can go or try again."""
        with self._network() as (controller, network, driver, dataplane):
            endpoint = network.create_endpoint("ep")
            box = self._box(controller, network)
            dataplane.faults[endpoint.id] = errors.KernelError("no", 28)
            with _raises(errors.KernelError):
                endpoint.join(box)
            assert driver.of(endpoint.id) == ["create_endpoint", "join", "leave"]
            assert endpoint.sandbox is None
            del dataplane.faults[endpoint.id]
            endpoint.join(box)
            endpoint.leave()
            endpoint.delete()

    def test_refusals_leave_no_trace(self) -> None:
        """A method that raises has changed nothing, and what was done before it is undone."""
        with self._network() as (_, network, driver, dataplane):
            driver.refuse["create_endpoint"] = RuntimeError("broken")
            with _raises(errors.DriverFaultError):
                network.create_endpoint("ep")
            del driver.refuse["create_endpoint"]
            driver.refuse["join"] = RuntimeError("broken")
            failed = network.attach(2)
            assert [type(endpoint.error) for endpoint in failed] == [errors.DriverFaultError] * 2
            for endpoint in failed:
                assert driver.of(endpoint.id) == ["create_endpoint", "join", "delete_endpoint"]
            del driver.refuse["join"]
            assert network.endpoints == []
            assert not dataplane.sandboxes

    def test_two_networks(self) -> None:
        """Networks of one driver do not see each other, or (``one_network``) there is no second."""
        driver = self.make_driver()
        registry = DriverRegistry()
        registry.register("conformance", driver)
        dataplane = FakeDataplane()
        dataplane.links |= self.devices | self.bridges
        dataplane.bridges |= self.bridges
        with Controller(dataplane=dataplane, registry=registry) as controller:
            one = controller.create_network("conformance", "one", **self.network_arguments)
            if self.one_network:
                with _raises(errors.ConflictError):
                    controller.create_network("conformance", "two", **self._second())
                assert controller.networks == [one]
                one.delete()
                one = controller.create_network("conformance", "again", **self._second())
            else:
                two = controller.create_network("conformance", "two", **self._second())
            box = self._box(controller, one)
            endpoint = one.create_endpoint("ep")
            if not self.one_network:
                two.delete()
            endpoint.join(box)
            endpoint.leave()

    def test_many_threads(self) -> None:
        """Endpoints of one network may be made and deleted by several threads at once."""
        faults: list[BaseException] = []
        with self._network() as (_, network, _, _):

            def churn(number: int) -> None:
                try:
                    for round in range(8):
                        network.create_endpoint(f"{number}-{round}").delete()
                except BaseException as fault:
                    faults.append(fault)

            threads = [threading.Thread(target=churn, args=(number,)) for number in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            assert not faults
            assert network.endpoints == []


def _raises(*kinds: type[BaseException]) -> AbstractContextManager[None]:
    """Do as ``pytest.raises``, which this module does without."""

    @contextmanager
    def expect() -> Iterator[None]:
        try:
            yield
        except kinds:
            return
        raise AssertionError(f"{' or '.join(kind.__name__ for kind in kinds)} was not raised")

    return expect()

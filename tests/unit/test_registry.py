"""The registry: check and set in one step; drivers that are built in, installed, or broken."""

from __future__ import annotations

import sys
import time
import types
from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from driverapi import Controller, DriverRegistry, byname, errors
from driverapi import registry as module
from driverapi.api import Options
from driverapi.drivers.null import NullDriver
from driverapi.testing import FakeDataplane
from tests.support import OwnDriver, at_once, exactly_one

Install = Callable[[dict[str, Any]], None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Have entry points, each of them loading what is given, or raising it."""

    def install(drivers: dict[str, Any]) -> None:
        holder = types.ModuleType("third_party_of_a_test")
        monkeypatch.setitem(sys.modules, holder.__name__, holder)
        points = []
        for number, (name, made) in enumerate(drivers.items()):
            if not isinstance(made, BaseException):
                setattr(holder, f"maker{number}", made)
            points.append(EntryPoint(name, f"{holder.__name__}:maker{number}", module.ENTRY_POINTS))
        monkeypatch.setattr(byname, "_entry_points", lambda group: points if group == module.ENTRY_POINTS else [])

    return install


def test_check_and_set_is_one_step() -> None:
    registry = DriverRegistry()
    drivers = [NullDriver() for _ in range(64)]

    def register(number: int) -> int:
        registry.register("lab", drivers[number])
        return number

    winner = exactly_one(at_once(register), errors.ActiveRegistrationError)
    assert registry.get("lab") is drivers[winner]


def test_a_duplicate_names_the_type() -> None:
    registry = DriverRegistry()
    registry.register_driver("lab", first := NullDriver())
    with pytest.raises(errors.ActiveRegistrationError, match="'lab'") as caught:
        registry.register("lab", NullDriver())
    assert caught.value.network_type == "lab"
    assert registry.get("lab") is first


@pytest.mark.parametrize("name", ["", None, 5, b"lab", ["lab"], {}])
def test_names_that_are_none(name: Any) -> None:
    registry = DriverRegistry()
    before = registry.names()
    with pytest.raises(errors.InvalidError, match="network type"):
        registry.register(name, NullDriver())
    with pytest.raises(errors.InvalidError, match="network type"):
        registry.get(name)
    assert registry.names() == before


@pytest.mark.parametrize("driver", [None, "bridge", NullDriver, object()])
def test_what_is_no_driver(driver: Any) -> None:
    registry = DriverRegistry()
    with pytest.raises(errors.InvalidError, match="no Driver"):
        registry.register("lab", driver)
    with pytest.raises(errors.NoDriverError):
        registry.get("lab")


def test_built_in_drivers_are_made_once() -> None:
    registry = DriverRegistry()
    assert set(module.BUILTIN) <= set(registry.names())
    for name in module.BUILTIN:
        found = at_once(lambda _, name=name: registry.get(name), 8)
        assert {id(one) for one in found} == {id(registry.get(name))}
        assert registry.get(name).type() == name
    assert DriverRegistry().get("bridge") is not registry.get("bridge")


def test_unknown_names_what_there_is() -> None:
    with pytest.raises(errors.NoDriverError, match=r"'overlay'.*bridge.*host.*null"):
        DriverRegistry().get("overlay")


def test_entry_points(install: Install) -> None:
    install({"lab": NullDriver, "made": lambda: NullDriver()})
    registry = DriverRegistry()
    assert {"lab", "made"} <= set(registry.names())
    assert isinstance(registry.get("lab"), NullDriver)
    assert registry.get("made") is registry.get("made") is not registry.get("lab")
    with pytest.raises(errors.ActiveRegistrationError):
        registry.register("lab", NullDriver())


def test_an_entry_point_does_not_replace_a_built_in(install: Install) -> None:
    install({"bridge": NullDriver})
    assert DriverRegistry().get("bridge").type() == "bridge"


@pytest.mark.parametrize("made", [ImportError("gone"), lambda: 1 / 0, lambda: "a text", NullDriver(), 5])
def test_broken_entry_points(install: Install, made: Any) -> None:
    install({"broken": made, "good": NullDriver})
    registry = DriverRegistry()
    with pytest.raises(errors.DriverFaultError, match="'broken'"):
        registry.get("broken")
    with pytest.raises(errors.DriverFaultError):  # not registered by the first try
        registry.get("broken")
    assert "broken" in registry.names()
    assert isinstance(registry.get("good"), NullDriver)
    registry.register("broken", replaced := NullDriver())
    assert registry.get("broken") is replaced


# --- configuration ------------------------------------------------------------------------------------------


class Configurable(OwnDriver):
    """It notes each configuration, and may not like it; its networks too, to see the order."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []
        self.fault: BaseException | None = None

    def config(self, options: Options) -> None:
        self.calls.append(options)
        time.sleep(0.001)  # time for another thread to come
        if self.fault is not None:
            raise self.fault

    def create_network(self, network_id: str, options: Options) -> None:
        self.calls.append("network")
        super().create_network(network_id, options)


@pytest.fixture
def lab() -> tuple[DriverRegistry, Configurable]:
    registry = DriverRegistry()
    registry.register("lab", driver := Configurable())
    return registry, driver


def test_a_driver_is_configured_once(lab: tuple[DriverRegistry, Configurable]) -> None:
    registry, driver = lab
    assert all(one is driver for one in at_once(lambda _: registry.configure("lab", {"Mtu": 1400}), 8))
    assert driver.calls == [{"com.docker.network.driver.mtu": 1400}]
    with pytest.raises(errors.ConflictError, match="'lab' is configured already"):
        registry.configure("lab", {"Mtu": 1500})
    assert len(driver.calls) == 1


def test_a_refused_configuration_can_be_followed_by_another(lab: tuple[DriverRegistry, Configurable]) -> None:
    registry, driver = lab
    for fault, kind in ((errors.InvalidError("no"), errors.InvalidError), (KeyError("x"), errors.DriverFaultError)):
        driver.fault = fault
        with pytest.raises(kind):
            registry.configure("lab", {"a.b": 1})
    driver.fault = None
    registry.configure("lab", {"a.b": 2})
    assert driver.calls[-1] == {"a.b": 2}
    with pytest.raises(errors.NoDriverError, match="'nope'"):
        registry.configure("nope", {})
    with pytest.raises(errors.InvalidError, match="options"):
        registry.configure("lab", 5)  # type: ignore[arg-type]


def test_a_driver_may_register_others_while_it_is_configured() -> None:
    class Opener(Configurable):
        def config(self, options: Options) -> None:
            registry.register_driver("second", second)
            registry.configure("second", options)

    registry, second = DriverRegistry(), Configurable()
    registry.register("first", Opener())
    registry.configure("first", {"a.b": 1})
    assert second.calls == [{"a.b": 1}]


def test_a_controller_configures_before_the_first_network(lab: tuple[DriverRegistry, Configurable]) -> None:
    registry, driver = lab
    options = {"lab": {"a.b": 1}, "bridge": {"EnableIPTables": True}}
    for _ in range(2):
        with Controller(registry=registry, driver_options=options, dataplane=FakeDataplane()) as ctl:
            ctl.create_network("lab", "one")
            ctl.create_network("lab", "two")
            ctl.create_network("null", "none")
            with pytest.raises(errors.NotImplementedYetError, match="EnableIPTables"):
                ctl.create_network("bridge", "web")
            assert len(ctl.networks) == 3
    assert driver.calls == [{"a.b": 1}, "network", "network", "network", "network"]


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({"brigde": {}}, errors.NoDriverError, "'brigde'; there are: bridge"),
        ({5: {}}, errors.NoDriverError, "5"),
        ({"bridge": "x"}, errors.InvalidError, "mapping"),
        ("bridge", errors.InvalidError, "driver_options"),
    ],
)
def test_driver_options_that_are_none(options: Any, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        Controller(driver_options=options, dataplane=FakeDataplane())

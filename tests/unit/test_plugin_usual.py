"""What a network of an engine has where nothing is said: that of driver ``bridge`` masquerades, as the engine's own."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from driverapi import Controller, errors
from driverapi.drivers.bridge import BridgeDriver
from driverapi.plan import NetworkPlan, NetworkRules
from driverapi.testing import FakeDataplane
from tests.plugins import NET, SPACE, AskedError, Engine
from tests.support import OwnDriver

MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
MODE = "com.docker.network.bridge.gateway_mode_ipv"
OTHER = "3d" * 32
FOUR = [{"AddressSpace": SPACE, "Pool": "10.9.0.0/16", "Gateway": "10.9.0.1/16"}]
SIX = [{"AddressSpace": SPACE, "Pool": "fd77::/64", "Gateway": "fd77::1/64"}]


def given(**generic: Any) -> dict[str, Any]:
    """Return the options of a network as an engine sends them."""
    return {"com.docker.network.generic": generic}


def rules(engine: Engine, network: str = NET) -> NetworkRules:
    found = engine.dataplane.networks[network].rules
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("options", "masquerades", "protects", "begins"),
    [
        ({}, (4, 6), (4, 6), (4, 6)),
        (given(**{MASQUERADE: "true"}), (4, 6), (4, 6), (4, 6)),
        (given(**{MASQUERADE: "false"}), (), (), (4, 6)),
        (given(EnableIPMasquerade="false"), (), (), (4, 6)),
        (given(**{"io.docker.network.bridge.enable_ip_masquerade": "0"}), (), (), (4, 6)),
        (given(**{f"{MODE}4": "routed"}), (6,), (4, 6), (4, 6)),
        (given(**{f"{MODE}4": "routed", f"{MODE}6": "routed"}), (), (4, 6), (4, 6)),
        (given(**{f"{MODE}4": "nat-unprotected"}), (4, 6), (6,), (4, 6)),
        (given(**{f"{MODE}4": "nat", MASQUERADE: "false"}), (), (4,), (4, 6)),
        ({"com.docker.network.internal": True}, (), (), ()),
        ({"com.docker.network.internal": True, **given(**{f"{MODE}4": "isolated"})}, (), (), ()),
    ],
)
def test_what_masquerades(
    engine: Engine,
    options: dict[str, Any],
    masquerades: tuple[int, ...],
    protects: tuple[int, ...],
    begins: tuple[int, ...],
) -> None:
    for _ in range(2):  # it is asked for again, and is the same
        engine.network(Options=options, IPv4Data=FOUR, IPv6Data=SIX)
    found = rules(engine)
    assert (found.masquerade, found.protected, found.begins) == (masquerades, protects, begins)
    with pytest.raises(AskedError, match="is another"):
        engine.network(Options=given(**{"com.docker.network.driver.mtu": "1400"}), IPv4Data=FOUR, IPv6Data=SIX)


@pytest.mark.parametrize(("four", "six", "families"), [(FOUR, [], (4,)), ([], SIX, (6,))])
def test_the_families_that_a_network_has(engine: Engine, four: Any, six: Any, families: tuple[int, ...]) -> None:
    engine.network(Options={}, IPv4Data=four, IPv6Data=six)
    assert rules(engine).masquerade == families


def test_a_controllers_networks_have_no_rules() -> None:
    with Controller(dataplane=(dataplane := FakeDataplane())) as ctl:
        net = ctl.create_network("bridge", "web", ipv4="10.7.0.0/16")
        plan = dataplane.networks[net.id]
        assert plan.rules is not None
        assert not plan.rules.wanted


class Told(OwnDriver):
    """A third party's driver: what its networks were given."""

    def __init__(self, usual: Any = None) -> None:
        super().__init__()
        self.given: list[dict[str, Any]] = []
        if usual is not None:
            self.engine_options = usual

    def create_network(self, network_id: str, options: Mapping[str, Any]) -> None:
        super().create_network(network_id, options)
        self.given.append({key: value for key, value in options.items() if not key.startswith("driverapi.")})


def test_other_drivers_have_what_they_say() -> None:
    for usual, has in (
        (None, {}),
        ({"colour": "red", "Mtu": 1400}, {"colour": "red", "com.docker.network.driver.mtu": 1400}),
    ):
        driver = Told(usual)
        engine = Engine(driver)
        engine.network(Options=given(size="3"))
        engine.network(OTHER, Options=given(colour="blue"), IPv4Data=[])
        assert driver.given == [{**has, "size": "3"}, {**has, "colour": "blue"}]
        engine.close()
    with pytest.raises(errors.InvalidError, match="mapping of label to value"):
        Engine(Told(["colour"]))


def test_what_was_made_before_keeps_what_it_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By an earlier version, that said nothing where nothing was said; and over restarts."""
    with monkeypatch.context() as earlier:
        earlier.setattr(BridgeDriver, "engine_options", {})
        engine = Engine(state=tmp_path / "state.db")
        request = engine.network()
    for killed in (True, False):
        engine.restart(killed=killed)
        assert not rules(engine).wanted
        assert engine.ask("CreateNetwork", **request) == {}  # it is the same
        assert not rules(engine).begins
    data = [{"AddressSpace": SPACE, "Pool": "10.8.0.0/16", "Gateway": "10.8.0.1/16"}]
    new = engine.network(OTHER, IPv4Data=data)
    for killed in (True, False):
        assert (rules(engine).masquerade, rules(engine, OTHER).masquerade) == ((), (4,))
        assert engine.ask("CreateNetwork", **new) == {}
        engine.restart(killed=killed)
    engine.close()


class Lacking(FakeDataplane):
    """A host that can have no rules."""

    refusal: Exception

    def realise_network(self, network: str, plan: NetworkPlan) -> None:
        """Refuse a network that wants rules."""
        if plan.rules is not None and plan.rules.wanted:
            raise self.refusal
        super().realise_network(network, plan)


@pytest.mark.parametrize(
    "kind", [errors.KernelUnsupportedError, errors.NoPermissionError, errors.KernelConflictError, errors.KernelError]
)
def test_a_host_that_cannot(
    kind: type[errors.KernelError], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """There it is as it was, and told; who asks for it is refused. What fails for the moment is asked for again."""
    monkeypatch.setattr("tests.plugins.FakeDataplane", Lacking)
    monkeypatch.setattr(Lacking, "refusal", kind("the program nft is not there", 2), raising=False)
    engine = Engine(state=tmp_path / "state.db")
    for options in (
        given(**{MASQUERADE: "true"}),
        given(**{"com.docker.network.host_ipv4": "10.0.0.1"}),
        {"com.docker.network.internal": True},
    ):
        with pytest.raises(AskedError, match="nft"):
            engine.network(Options=options)
    assert engine.plugin.health()["Networks"] == 0
    if kind is errors.KernelError:
        with pytest.raises(AskedError, match="nft"):
            engine.network()
        engine.close()
        return
    with caplog.at_level(logging.WARNING, "driverapi.plugin"):
        request = engine.network()
    [told] = [one for one in caplog.records if getattr(one, "event", "") == "plugin.no_default"]
    assert told.getMessage() == f"network {NET[:12]} is made without {MASQUERADE}: the program nft is not there"
    assert not rules(engine).wanted
    engine.restart(killed=True)
    assert engine.ask("CreateNetwork", **request) == {}
    assert not rules(engine).wanted
    assert len([one for one in caplog.records if getattr(one, "event", "") == "plugin.no_default"]) == 1
    engine.ask("DeleteNetwork", NetworkID=NET)
    engine.empty()
    engine.close()

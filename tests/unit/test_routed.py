"""Driver routed, without a kernel: what it declares, and what it makes of options."""

from __future__ import annotations

from typing import Any

import pytest

from driverapi import Controller, VethLink, errors, labels
from driverapi.plan import BridgeLink, GatewayLink, NetworkPlan, check_link, check_network_plan
from driverapi.testing import FakeDataplane

MAC = b"\x02\0\0\0\0\1"


def test_what_it_declares() -> None:
    dataplane = FakeDataplane()
    with Controller(dataplane=dataplane) as ctl:
        net = ctl.create_network("routed", "net", ipv4="10.1.0.0/16", ipv6="fd01::/64", options={"Mtu": 1400})
        [gateway] = dataplane.networks[net.id].links
        assert isinstance(gateway, GatewayLink)
        assert [str(one) for one in gateway.addresses] == ["10.1.0.1/16", "fd01::1/64"]
        assert gateway.forward
        [endpoint] = net.attach(1, strict=True)
        plan = dataplane.endpoints[endpoint.id].plan
        [interface] = plan.interfaces
        assert interface.link == VethLink(mtu=1400, gateway=gateway.name)
        assert [str(one) for one in interface.addresses] == ["10.1.0.2/32", "fd01::2/128"]
        assert [str(one) for one in endpoint.interfaces[0].packed_addresses] == ["10.1.0.2/16", "fd01::2/64"]
        assert {one.mac for one in plan.neighbours} == {gateway.mac}
        destinations = [str(route.destination) for route in plan.routes]
        assert destinations == ["10.1.0.0/16", "fd01::/64", "0.0.0.0/0", "::/0"]


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        (labels.BRIDGE_NAME, "br0", errors.NotImplementedYetError),
        ("EnableIPMasquerade", True, errors.NotImplementedYetError),
        ("PortBindings", {"80/tcp": []}, errors.NotImplementedYetError),
        ("driverapi.forward", "none", errors.InvalidError),
        ("forwarding", "none", errors.InvalidError),
        (labels.FORWARDING, "host", errors.InvalidError),
        (labels.MTU, 1279, errors.InvalidError),
    ],
)
def test_options_that_are_refused(name: str, value: Any, kind: type[Exception]) -> None:
    with Controller(dataplane=FakeDataplane()) as ctl:
        with pytest.raises(kind, match=labels.canonical(name)):
            ctl.create_network("routed", "net", ipv6="fd01::/64", options={name: value})
        assert ctl.networks == []


def test_the_bridge_has_no_forwarding_option() -> None:
    with Controller(dataplane=FakeDataplane()) as ctl, pytest.raises(errors.InvalidError, match=labels.FORWARDING):
        ctl.create_network("bridge", "net", options={labels.FORWARDING: "none"})


def test_the_driver_takes_no_configuration() -> None:
    with (
        Controller(dataplane=FakeDataplane(), driver_options={"routed": {"EnableIPForwarding": False}}) as ctl,
        pytest.raises(errors.InvalidError, match="EnableIPForwarding"),
    ):
        ctl.create_network("routed", "net")


def test_plans_are_checked() -> None:
    with pytest.raises(errors.InvalidError, match="a master or a gateway"):
        check_link(VethLink(master="one", gateway="two"), "it")
    plan = NetworkPlan((BridgeLink("same", MAC), GatewayLink("same", MAC)))
    with pytest.raises(errors.InvalidError, match="two links are named 'same'"):
        check_network_plan(plan, "it")
    with pytest.raises(errors.InvalidError, match="BridgeLink, a GatewayLink or a ParentLink"):
        check_network_plan(NetworkPlan((VethLink(),)), "it")  # type: ignore[arg-type]

"""Drivers that the lifecycle gives no faith to: plans that cannot be, and a leave that is refused."""

from __future__ import annotations

from typing import Any

import pytest

from driverapi import errors
from driverapi.plan import BridgeLink, NetworkPlan
from tests.support import World


@pytest.mark.parametrize(
    "plan",
    [
        "bridge",
        NetworkPlan(("bridge",)),  # type: ignore[arg-type]
        NetworkPlan((BridgeLink("br", b"xx"),)),
        NetworkPlan((BridgeLink("br", b"\2\0\0\0\0\1", mtu=-1),)),
        NetworkPlan((BridgeLink("a name too long for it", b"\2\0\0\0\0\1"),)),
        NetworkPlan((BridgeLink("br", b"\2\0\0\0\0\1", addresses=("10.0.0.1/24",)),)),  # type: ignore[arg-type]
        NetworkPlan((BridgeLink("br", b"\2\0\0\0\0\1"), BridgeLink("br", b"\2\0\0\0\0\2"))),
    ],
)
def test_a_network_plan_that_no_kernel_could_take(plan: Any) -> None:
    world = World()
    world.bridge.network_plan = lambda network_id: plan  # type: ignore[method-assign]
    with pytest.raises(errors.InvalidError, match="driver 'bridge'"):
        world.ctl.create_network("bridge", "web", ipv4="10.77.0.0/16")
    assert world.ctl.networks == []
    assert world.bridge_driver._networks == {}
    world.ctl.close()
    world.assert_empty()


def test_a_leave_that_the_driver_refused_is_owed() -> None:
    """A driver that raised has changed nothing: it is asked to leave again, before it joins or deletes."""
    world = World()
    web = world.ctl.create_network("bridge", "web", ipv4="10.77.0.0/16")
    box = world.ctl.create_sandbox("box")
    endpoint = web.create_endpoint("ep")
    endpoint.join(box)
    world.bridge.refuse["leave"] = RuntimeError("broken")
    with pytest.raises(errors.DriverFaultError):
        endpoint.leave()
    assert endpoint.sandbox is None
    with pytest.raises(errors.DriverFaultError):
        endpoint.delete()
    with pytest.raises(errors.DriverFaultError):
        endpoint.join(box)
    assert world.bridge.of(endpoint.id) == ["create_endpoint", "join", "leave", "leave", "leave"]
    del world.bridge.refuse["leave"]
    endpoint.delete()
    assert world.bridge.of(endpoint.id)[-2:] == ["leave", "delete_endpoint"]
    world.ctl.close()
    world.assert_empty()

"""What a user wants of an endpoint whatever its driver: routes, the default route's priority, sysctls."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driverapi import Controller, DriverRegistry, Endpoint, Sandbox, aio, errors, labels
from driverapi.addresses import parse_network
from driverapi.control.joining import NOTHING, JoinWishes, wishes_of, with_arguments
from driverapi.dataplane.contract import Work
from driverapi.dataplane.fake import FakeNetns, FakeRealised, FakeSurvey
from driverapi.plan import EndpointPlan, Route, Sysctl
from driverapi.testing import FakeDataplane
from tests.support import OwnDriver, World, unchanged

ROUTES, PRIORITY, SYSCTLS = labels.ENDPOINT_ROUTES, labels.GW_PRIORITY, labels.ENDPOINT_SYSCTLS
MARTIANS = Sysctl("ipv4", "conf", "log_martians", "1")


def test_they_are_read_of_text_and_of_sequences() -> None:
    wanted = JoinWishes(
        -7,
        (Route(parse_network("10.9.0.0/16"), b"\x0a\x4d\0\3"), Route(parse_network("fd09::/64"))),
        (MARTIANS, Sysctl("ipv6", "neigh", "base_reachable_time_ms", "3000")),
    )
    text = {
        PRIORITY: " -7",
        ROUTES: "10.9.0.0/16 via 10.77.0.3, fd09::/64",
        SYSCTLS: "net.ipv4.conf.IFNAME.log_martians=1, net.ipv6.neigh.IFNAME.base_reachable_time_ms = 3000,",
    }
    assert wishes_of(text) == wanted
    assert (
        wishes_of({key: value.strip(",").split(",") for key, value in text.items() if key != PRIORITY}, text) == wanted
    )
    mapping = {"net.ipv4.conf.IFNAME.log_martians": 1, "net.ipv6.neigh.IFNAME.base_reachable_time_ms": "3000"}
    arguments = with_arguments({"x": 1}, -7, ["10.9.0.0/16 via 10.77.0.3", "fd09::/64"], mapping)
    assert wishes_of(arguments) == wanted
    assert arguments["x"] == 1
    assert wishes_of({"x": 1}, {}) is NOTHING
    assert with_arguments({"x": 1}, None, (), {}) == {"x": 1}


def test_what_is_said_last_counts() -> None:
    first = {PRIORITY: 3, ROUTES: "10.9.0.0/16, 10.8.0.0/16", SYSCTLS: "net.ipv4.conf.IFNAME.log_martians=0"}
    last = {PRIORITY: 4, ROUTES: "10.9.0.0/16 via 10.77.0.3", SYSCTLS: "net.ipv4.conf.IFNAME.log_martians=1"}
    both = wishes_of(first, last)
    hops = {str(route.destination): route.gateway for route in both.routes}
    assert (both.priority, hops) == (4, {"10.9.0.0/16": b"\x0a\x4d\0\3", "10.8.0.0/16": None})
    assert both.sysctls == (MARTIANS,)


WRONG: list[tuple[str, Any, str]] = [
    (PRIORITY, "x", "number"),
    (PRIORITY, 1 << 31, "number"),
    (PRIORITY, f"-{(1 << 31) + 1}", "number"),
    (PRIORITY, True, "number"),
    (PRIORITY, 1.5, "number"),
    (PRIORITY, "--1", "number"),
    (ROUTES, "10.9.0.0", "prefix"),
    (ROUTES, "10.9.0.1/16", "host bits"),
    (ROUTES, "10.9.0.0/16 via", "'PREFIX via ADDRESS'"),
    (ROUTES, "10.9.0.0/16 by 10.77.0.3", "'PREFIX via ADDRESS'"),
    (ROUTES, "10.9.0.0/16 via 10.77.0.3/16", "next hop"),
    (ROUTES, "10.9.0.0/16 via fd77::3", "mixes"),
    (ROUTES, "10.9.0.0/16, 10.9.0.0/16 via 10.77.0.3", "twice"),
    (ROUTES, "0.0.0.0/0 via 10.77.0.3", "default route"),
    (ROUTES, ["::/0"], "default route"),
    (ROUTES, 7, "neither text"),
    (ROUTES, [7], "neither text"),
    (ROUTES, b"10.9.0.0/16", "neither text"),
    (SYSCTLS, "net.ipv4.ip_forward=1", "no sysctl of an interface"),
    (SYSCTLS, "net.ipv4.conf.all.forwarding=1", "no sysctl of an interface"),
    (SYSCTLS, "net.ipv4.conf.eth0.forwarding=1", "no sysctl of an interface"),
    (SYSCTLS, "net.ipv4.conf.IFNAME.log_martians", "no sysctl of an interface"),
    (SYSCTLS, "net.ipv4.conf.IFNAME...=1", "no sysctl of an interface"),
    (SYSCTLS, "net.ipv4.conf.IFNAME.a/b=1", "no sysctl of an interface"),
    (SYSCTLS, "net.ipv4.conf.IFNAME.A=1", "no sysctl of an interface"),
    (SYSCTLS, "net.ipv4.conf.IFNAME.a\nb=1", "no sysctl of an interface"),
    (SYSCTLS, "net.ipv4.route.IFNAME.flush=1", "no sysctl of an interface"),
    (SYSCTLS, "net.core.conf.IFNAME.x=1", "no sysctl of an interface"),
    (SYSCTLS, "kernel.hostname=1", "no sysctl of an interface"),
    (SYSCTLS, "net.ipv4.conf.IFNAME.log_martians=", "no value"),
    (SYSCTLS, "net.ipv4.conf.IFNAME.log_martians=1\n2", "no value"),
    (SYSCTLS, "net.ipv4.conf.IFNAME.log_martians=" + "1" * 129, "no value"),
    (SYSCTLS, "net.ipv4.conf.IFNAME.log_martians=1,net.ipv4.conf.IFNAME.log_martians=2", "twice"),
    (SYSCTLS, 1, "neither text"),
]


@pytest.mark.parametrize(("name", "value", "says"), WRONG)
def test_what_cannot_be_is_refused_before_anything_is_done(world: World, name: str, value: Any, says: str) -> None:
    net = world.ctl.create_network("bridge", "web", ipv4="10.77.0.0/16", ipv6="fd77::/64")
    endpoint, box = net.create_endpoint("one"), world.ctl.create_sandbox("box")
    with unchanged(world), pytest.raises(errors.InvalidError, match=says) as caught:
        net.create_endpoint("two", options={name: value})
    assert repr(name) in str(caught.value)
    with unchanged(world), pytest.raises(errors.InvalidError, match=says):
        endpoint.join(box, {name: value})


def test_an_option_and_its_argument_are_not_both_given(world: World) -> None:
    net = world.ctl.create_network("bridge", "web", ipv4="10.77.0.0/16")
    endpoint, box = net.create_endpoint("one"), world.ctl.create_sandbox("box")
    with unchanged(world), pytest.raises(errors.InvalidError, match=r"gw_priority.*leave one out"):
        endpoint.join(box, {PRIORITY: 1}, priority=1)


@given(st.text("netipv46conf.IFNAME=_/1 \n", max_size=60))
def test_of_any_text_only_words_come_through(text: str) -> None:
    try:
        found = wishes_of({SYSCTLS: text}).sysctls
    except errors.InvalidError:
        return
    for one in found:
        assert one.family in ("ipv4", "ipv6", "mpls")
        assert one.group in ("conf", "neigh")
        assert one.name.replace("_", "").isalnum()
        assert one.value.isprintable()


@given(st.text("0123456789abcdef:./ via,", max_size=60))
def test_of_any_text_only_prefixes_come_through(text: str) -> None:
    try:
        found = wishes_of({ROUTES: text}).routes
    except errors.InvalidError:
        return
    for one in found:
        assert one.destination.prefix
        assert one.destination == one.destination.network


def holder(world: World, box: Sandbox, version: int = 4) -> str | None:
    assert isinstance(box._netns, FakeNetns)
    found = world.dataplane.default_route(box._netns, version)
    return None if found is None else next(one.network.name for one in box.endpoints if one.id == found[0])


def test_the_highest_priority_has_the_default_route_and_the_next_inherits(world: World) -> None:
    box = world.ctl.create_sandbox("box")
    endpoints: dict[str, Endpoint] = {}
    for number, (name, priority) in enumerate([("a", None), ("b", 5), ("c", -1), ("d", 5), ("e", 9)]):
        net = world.ctl.create_network(
            "bridge", name, ipv4=f"10.{number}.0.0/16", ipv6="::/64" if name == "c" else None
        )
        endpoints[name] = net.create_endpoint("one", options={} if priority is None else {PRIORITY: priority})
    for name, expected in (("a", "a"), ("c", "a"), ("b", "b"), ("d", "b"), ("e", "e")):
        endpoints[name].join(box)
        assert holder(world, box) == expected
    assert holder(world, box, 6) == "c", "each family by itself"
    for name, expected in (("e", "b"), ("b", "d"), ("d", "a"), ("a", "c")):
        endpoints[name].leave()
        assert holder(world, box) == expected
    endpoints["a"].join(box, priority=-2)
    assert holder(world, box) == "c"


def test_sysctls_and_routes_are_the_endpoints(world: World) -> None:
    net = world.ctl.create_network("bridge", "web", ipv4="10.77.0.0/16")
    box = world.ctl.create_sandbox("box")
    endpoint = net.create_endpoint("one", options={SYSCTLS: "net.ipv4.conf.IFNAME.log_martians=1"})
    endpoint.join(box, sysctls={"net.ipv4.conf.IFNAME.arp_ignore": 2}, routes=["10.9.0.0/16 via 10.77.0.3"])
    assert isinstance(box._netns, FakeNetns)
    assert world.dataplane.sysctls(box._netns) == {
        "net.ipv4.conf.eth0.log_martians": "1",
        "net.ipv4.conf.eth0.arp_ignore": "2",
    }
    destinations = [str(route.destination) for route in world.dataplane.endpoints[endpoint.id].plan.routes]
    assert destinations == ["10.9.0.0/16", "0.0.0.0/0"]
    endpoint.leave()
    assert world.dataplane.sysctls(box._netns) == {}


HOPS = [  # of the driver, the next hop, what is said to do
    ("bridge", "10.200.0.1", r"name one of 10\.77\.0\.0/16$"),
    ("bridge", "0.0.0.0", r"name one of 10\.77\.0\.0/16$"),
    ("bridge", "10.77.0.9", "the endpoint's own address"),
    ("bridge", "fd78::1", "name one of fd77::/64$"),
    ("bridge", "fd77::9", "the endpoint's own address"),
    ("routed", "10.77.0.3", r"name one of 10\.77\.0\.1$"),
    ("routed", "fd77::3", "name one of fd77::1$"),
]


@pytest.mark.parametrize(("driver", "hop", "says"), HOPS)
def test_a_next_hop_that_is_on_no_link_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch, driver: str, hop: str, says: str
) -> None:
    net = world.ctl.create_network(driver, "web", ipv4="10.77.0.0/16", ipv6="fd77::/64")
    endpoint, box = net.create_endpoint("one", ipv4="10.77.0.9", ipv6="fd77::9"), world.ctl.create_sandbox("box")
    to = "fd09::/64" if ":" in hop else "10.9.0.0/16"
    left: list[str] = []
    monkeypatch.setattr(net._driver, "leave", lambda _, endpoint: left.append(endpoint))
    with unchanged(world), pytest.raises(errors.InvalidError, match=says) as caught:
        endpoint.join(box, routes=[f"{to} via {hop}"])
    assert f"endpoint 'one': next hop {hop} of the route to {to}" in str(caught.value)
    assert left == [endpoint.id], "the driver had been asked"
    endpoint.join(box)


@pytest.mark.parametrize("driver", ["bridge", "routed"])
def test_next_hops_that_are_reached(world: World, driver: str) -> None:
    """The gateway, what a route says is on the link, a link-local address."""
    net = world.ctl.create_network(driver, "web", ipv4="10.77.0.0/16", ipv6="fd77::/64")
    routes = ["10.9.0.0/16 via 10.77.0.1", "10.5.0.1/32", "10.6.0.0/16 via 10.5.0.1", "fd09::/64 via fe80::1"]
    net.create_endpoint("one").join(world.ctl.create_sandbox("box"), routes=routes)


@pytest.mark.parametrize("driver", ["null", "host"])
def test_without_an_interface_there_is_nothing_to_set(world: World, driver: str) -> None:
    net = world.ctl.create_network(driver, driver)
    endpoint, box = net.create_endpoint("one"), world.ctl.create_sandbox("box", host=driver == "host")
    wants: list[dict[str, Any]] = [
        {"routes": ["10.9.0.0/16"]},
        {"sysctls": {"net.ipv4.conf.IFNAME.log_martians": 1}},
    ]
    for want in wants:
        with unchanged(world), pytest.raises(errors.DriverAPIError, match=r"interface|host's own"):
            endpoint.join(box, **want)
    endpoint.join(box, priority=3)


def test_of_a_network_they_are_ignored_with_a_warning(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.ctl.create_network("bridge", "web", ipv4="10.1.0.0/16", options={PRIORITY: 1})
    assert [record.message for record in caplog.records] == [f"bridge: option {PRIORITY!r} is ignored here"]


def test_a_state_has_them_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataplane = FakeDataplane()

    def start() -> Controller:
        registry = DriverRegistry()
        registry.register("own", OwnDriver())
        return Controller(state=tmp_path / "state.db", dataplane=dataplane, registry=registry)

    with start() as ctl:
        box = ctl.create_sandbox("box")
        for number, name in enumerate("ab"):
            net = ctl.create_network("bridge", name, ipv4=f"10.{number}.0.0/16")
            endpoint = net.create_endpoint("one", options={SYSCTLS: ["net.ipv4.conf.IFNAME.log_martians=1"]})
            endpoint.join(box, priority=number, routes=[f"10.{number + 7}.0.0/16"])
        before = {id: one.plan for id, one in dataplane.endpoints.items()}
    asked: list[EndpointPlan] = []
    take = FakeSurvey.endpoints

    def endpoints(self: FakeSurvey, works: Sequence[Work], kept: Sequence[object]) -> list[FakeRealised | None]:
        asked.extend(work.plan for work in works)
        return take(self, works, kept)

    monkeypatch.setattr(FakeSurvey, "endpoints", endpoints)
    with start() as ctl:
        assert {plan.owner: plan for plan in asked} == before
        assert len(ctl.sandbox("box").endpoints) == 2


def test_asyncio_has_the_same_arguments() -> None:
    dataplane = FakeDataplane()

    async def main() -> None:
        async with aio.Controller(dataplane=dataplane) as ctl:
            net = await ctl.create_network("bridge", "web", ipv4="10.77.0.0/16")
            box = await ctl.create_sandbox("box")
            endpoint = await net.create_endpoint("one")
            sysctls = {"net.ipv4.conf.IFNAME.log_martians": 1}
            await endpoint.join(box, priority=3, routes=["10.9.0.0/16"], sysctls=sysctls)
            plan = dataplane.endpoints[endpoint.id].plan
            assert (plan.priority, plan.sysctls) == (3, (MARTIANS,))
            assert str(plan.routes[0].destination) == "10.9.0.0/16"

    asyncio.run(main())

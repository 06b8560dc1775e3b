"""Metrics: what happened is counted, what there is is looked up, and nobody who does not watch pays."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from driverapi import Controller, Network, errors, metrics
from driverapi.testing import FakeDataplane
from tests.support import World, at_once

# What dashboards rely on. Add to it; what is here stays as it is.
STABLE = {
    "driverapi_operations": ("counter", ("driver", "verb")),
    "driverapi_failures": ("counter", ("driver", "kind", "verb")),
    "driverapi_call_duration_seconds": ("histogram", ("driver", "verb")),
    "driverapi_problems": ("counter", ("event",)),
    "driverapi_networks": ("gauge", ("controller",)),
    "driverapi_sandboxes": ("gauge", ("controller",)),
    "driverapi_endpoints": ("gauge", ("controller", "driver", "network")),
    "driverapi_pool_addresses_used": ("gauge", ("controller", "driver", "network", "prefix")),
    "driverapi_pool_addresses": ("gauge", ("controller", "driver", "network", "prefix")),
    "driverapi_warm_ready": ("gauge", ("controller", "driver", "network")),
    "driverapi_warm_size": ("gauge", ("controller", "driver", "network")),
}


@pytest.fixture
def registry(world: World) -> CollectorRegistry:
    registry = CollectorRegistry()
    metrics.watch(world.ctl, registry)
    return registry


@pytest.fixture
def web(world: World, registry: CollectorRegistry) -> Network:
    return world.ctl.create_network("bridge", "web", ipv4="10.7.0.0/16", ipv6="fd07::/64")


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"driverapi_{name}", labels)


WEB = {"controller": "", "network": "web", "driver": "bridge"}


def test_what_is_done_is_counted(world: World, web: Network, registry: CollectorRegistry) -> None:
    endpoints = web.attach(500)
    web.detach(endpoints[:200])
    for verb, count in (("create", 500), ("join", 500), ("leave", 200), ("delete", 200)):
        assert value(registry, "operations_total", verb=verb, driver="bridge") == count
        assert value(registry, "failures_total", verb=verb, driver="bridge", kind="internal") is None
        calls = value(registry, "call_duration_seconds_count", verb=verb, driver="bridge")
        assert calls == value(registry, "call_duration_seconds_bucket", verb=verb, driver="bridge", le="+Inf")
        assert calls is not None
        assert 1 <= calls < 20  # slices, not endpoints
        spent = value(registry, "call_duration_seconds_sum", verb=verb, driver="bridge")
        assert spent is not None
        assert spent > 0
    assert value(registry, "operations_total", verb="create_network", driver="bridge") == 1


def test_durations_fall_into_their_buckets(registry: CollectorRegistry, world: World) -> None:
    watched = metrics.watch(world.ctl, registry)
    for seconds in (0.0001, 0.0005, 0.0007, 3.0, 60.0):
        watched.called("join", "x", 1, (), seconds)
    found = {
        bound: value(registry, "call_duration_seconds_bucket", verb="join", driver="x", le=bound)
        for bound in ("0.0005", "0.001", "2.5", "5.0", "10.0", "+Inf")
    }
    assert found == {"0.0005": 2, "0.001": 3, "2.5": 3, "5.0": 4, "10.0": 4, "+Inf": 5}
    assert value(registry, "call_duration_seconds_sum", verb="join", driver="x") == pytest.approx(63.0013)


def test_what_there_is_is_looked_up(world: World, web: Network, registry: CollectorRegistry) -> None:
    web.attach(3)
    box = world.ctl.create_sandbox("box")
    assert value(registry, "networks", controller="") == 1
    assert value(registry, "sandboxes", controller="") == 4
    assert value(registry, "endpoints", **WEB) == 3
    assert value(registry, "pool_addresses", prefix="10.7.0.0/16", **WEB) == 65_534
    # Gateway and three endpoints.
    assert value(registry, "pool_addresses_used", prefix="10.7.0.0/16", **WEB) == 4
    assert value(registry, "pool_addresses", prefix="fd07::/64", **WEB) == 2**64 - 1
    assert value(registry, "warm_ready", **WEB) is None
    box.delete()
    assert value(registry, "sandboxes", controller="") == 3


def test_part_of_a_prefix_is_what_a_pool_has(world: World, registry: CollectorRegistry) -> None:
    net = world.ctl.create_network("bridge", "part", ipv4="10.8.0.0/24", ip_range="10.8.0.64/28")
    labels = {"controller": "", "network": "part", "driver": "bridge", "prefix": "10.8.0.0/24"}
    net.attach(3)
    assert value(registry, "pool_addresses", **labels) == 16
    assert value(registry, "pool_addresses_used", **labels) == 4


@pytest.mark.parametrize("fault", [errors.NotFoundError("gone"), ValueError("boom")])
def test_an_ipam_that_cannot_be_asked_is_left_out(
    world: World, web: Network, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def refuse(*_: object) -> None:
        raise fault

    monkeypatch.setattr(type(world.ipam), "use", refuse)
    assert value(registry, "pool_addresses", prefix="10.7.0.0/16", **WEB) is None
    assert value(registry, "networks", controller="") == 1
    with world.ctl.events() as stream:
        web.attach(1, strict=True)
        assert [type(one).__name__ for one in iter(lambda: stream.get(0), None)] == ["EndpointUp"]


def test_warm_pools(world: World, web: Network, registry: CollectorRegistry) -> None:
    world.ctl.warm(web, 4)
    assert value(registry, "warm_ready", **WEB) == 4
    assert value(registry, "warm_size", **WEB) == 4
    assert value(registry, "endpoints", **WEB) == 0
    web.attach(1)
    assert value(registry, "operations_total", verb="take", driver="bridge") == 1
    assert value(registry, "endpoints", **WEB) == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (errors.KernelLimitError("x"), "exhausted"),
        (errors.NoPermissionError("x"), "forbidden"),
        (OSError(), "internal"),
    ],
)
def test_errors_by_kind(world: World, web: Network, registry: CollectorRegistry, fault: Exception, kind: str) -> None:
    world.bridge.refuse["join"] = fault
    web.attach(5)
    world.bridge.refuse.clear()
    assert value(registry, "failures_total", verb="join", driver="bridge", kind=kind) == 5
    assert value(registry, "operations_total", verb="join", driver="bridge") == 0


def test_what_the_network_refuses(world: World, registry: CollectorRegistry) -> None:
    small = world.ctl.create_network("bridge", "small", ipv4="10.9.0.0/29")  # five for endpoints
    endpoints = small.attach(7)
    failed = sum(one.error is not None for one in endpoints)
    assert failed
    assert value(registry, "failures_total", verb="create", driver="bridge", kind="exhausted") == failed


def test_networks_that_fail(world: World, registry: CollectorRegistry) -> None:
    world.own.refuse["create_network"] = errors.InvalidError("no")
    with pytest.raises(errors.InvalidError):
        world.ctl.create_network("own", "n")
    world.own.refuse.clear()
    assert value(registry, "failures_total", verb="create_network", driver="own", kind="invalid") == 1


def test_problems_are_counted_whether_logged_or_not(world: World, web: Network, registry: CollectorRegistry) -> None:
    before = value(registry, "problems_total", event="endpoint.failed") or 0
    with pytest.raises(errors.AddressTakenError):
        [web.create_endpoint(name, ipv4="10.7.0.9") for name in ("a", "b")]
    assert value(registry, "problems_total", event="endpoint.failed") == before + 1


def test_names_and_labels_stay(world: World, web: Network, registry: CollectorRegistry) -> None:
    world.ctl.warm(web, 1)
    small = world.ctl.create_network("bridge", "small", ipv4="10.9.0.0/30")
    small.attach(5)
    families = {one.name: one for one in text_string_to_metric_families(generate_latest(registry).decode())}
    found = {name: (one.type, tuple(sorted(set(one.samples[0].labels) - {"le"}))) for name, one in families.items()}
    assert found == STABLE


def test_the_documentation_lists_them() -> None:
    text = (Path(__file__).parents[2] / "docs" / "watching.md").read_text()
    for name, (kind, labels) in STABLE.items():
        full = f"{name}_total" if kind == "counter" else name
        (line,) = [line for line in text.splitlines() if line.startswith(f"| `{full}` |")]
        assert line.split("|")[2].strip() == kind
        assert {label.strip() for label in line.split("|")[3].split(",")} == set(labels)


# --- who is watched ---------------------------------------------------------------------------------------


def test_twice_is_once(world: World, web: Network, registry: CollectorRegistry) -> None:
    assert metrics.watch(world.ctl, registry) is metrics.watch(world.ctl, registry)
    web.attach(2)
    assert value(registry, "operations_total", verb="join", driver="bridge") == 2


def test_two_controllers_in_one_registry(world: World, web: Network, registry: CollectorRegistry) -> None:
    with Controller(dataplane=FakeDataplane()) as other:
        metrics.watch(other, registry)
        net = other.create_network("bridge", "second", ipv4="10.8.0.0/24")
        net.attach(2)
        web.attach(3)
        assert value(registry, "operations_total", verb="join", driver="bridge") == 5
        assert value(registry, "endpoints", controller="", network="second", driver="bridge") == 2
    assert value(registry, "endpoints", controller="", network="second", driver="bridge") is None
    assert value(registry, "operations_total", verb="leave", driver="bridge") == 2


def test_two_registries(world: World, web: Network, registry: CollectorRegistry) -> None:
    other = CollectorRegistry()
    metrics.watch(world.ctl, other)
    web.attach(2)
    metrics.unwatch(world.ctl, other)
    web.attach(2)
    assert value(other, "operations_total", verb="join", driver="bridge") == 2
    assert value(other, "networks", controller="") is None
    assert value(registry, "operations_total", verb="join", driver="bridge") == 4


def test_unwatching_what_is_not_watched(world: World) -> None:
    metrics.unwatch(world.ctl, CollectorRegistry())


def test_names_that_another_has(world: World) -> None:
    registry = CollectorRegistry()

    class Other(metrics.Collector):
        def collect(self) -> Any:
            return [metrics.GaugeMetricFamily("driverapi_networks", "not ours")]

        describe = collect

    registry.register(Other())
    with pytest.raises(ValueError, match="driverapi_networks"):
        metrics.watch(world.ctl, registry)
    assert not world.ctl._lifecycle.watch.observers


def test_a_forgotten_registry_and_a_forgotten_controller_go() -> None:
    registry = CollectorRegistry()
    ctl = Controller(dataplane=FakeDataplane())
    metrics.watch(ctl, registry)
    gone = weakref.ref(ctl)
    ctl.close()
    del ctl
    gc.collect()
    assert gone() is None
    assert value(registry, "networks", controller="") is None


def test_by_many_threads(world: World, web: Network, registry: CollectorRegistry) -> None:
    def work(number: int) -> None:
        if number % 4 == 0:
            generate_latest(registry)
        else:
            web.detach(web.attach(2))

    assert not [one for one in at_once(work, 16) if one is not None]
    for verb in ("create", "join", "leave", "delete"):
        assert value(registry, "operations_total", verb=verb, driver="bridge") == 24

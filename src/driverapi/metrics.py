"""Prometheus metrics of controllers: ``pip install 'driverapi[metrics]'``.

>>> from driverapi import metrics
>>> metrics.watch(ctl)  # doctest: +SKIP

What happens is counted as it happens, once per call; what there is (networks, endpoints, addresses, warm pools) is
looked up when somebody scrapes. ``docs/watching.md`` lists the metrics; their names and labels are stable.
"""

from __future__ import annotations

import threading
import weakref
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, final

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from driverapi.events import kind_of, problems

if TYPE_CHECKING:
    from driverapi.controller import Controller
    from driverapi.network import Network

__all__ = ["BUCKETS", "Metrics", "unwatch", "watch"]

BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds: one endpoint takes about a millisecond, a thousand take half a second."""

_by_registry: weakref.WeakKeyDictionary[CollectorRegistry, Metrics] = weakref.WeakKeyDictionary()
_registering: Final = threading.Lock()


def watch(controller: Controller, registry: CollectorRegistry = REGISTRY) -> Metrics:
    """Count what a controller does from now on, and show what it has, in a registry.

    A second time does nothing. Several controllers share a registry's metrics: what they have is told apart by
    their instance ids, what they do is counted together. A controller that is closed is forgotten, and its
    counts stay.

    Raises
    ------
    ValueError
        The registry has metrics of these names that are not ours.
    """
    with _registering:
        found = _by_registry.get(registry)
        if found is None:
            found = Metrics()
            registry.register(found)
            _by_registry[registry] = found
    found._add(controller)
    return found


def unwatch(controller: Controller, registry: CollectorRegistry = REGISTRY) -> None:
    """Count what a controller does no more; its counts stay. One that is not watched is passed over."""
    with _registering:
        found = _by_registry.get(registry)
    if found is not None:
        found._discard(controller)


class _Durations:
    """A histogram: how many calls were as short as each bucket, and their sum."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.sum += seconds

    def cumulated(self) -> list[tuple[str, float]]:
        total = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip([*map(str, BUCKETS), "+Inf"], self.counts, strict=True):
            total += count
            buckets.append((bound, total))
        return buckets


@final
class Metrics(Collector):
    """The metrics of one registry; made by :func:`watch`.

    Thread safety: all methods.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._controllers: weakref.WeakSet[Controller] = weakref.WeakSet()
        self._done: dict[tuple[str, str], int] = {}  # by verb and driver
        self._failed: dict[tuple[str, str, str], int] = {}  # by verb, driver and kind of error
        self._durations: dict[tuple[str, str], _Durations] = {}

    def _add(self, controller: Controller) -> None:
        with self._lock:
            if controller not in self._controllers:
                self._controllers.add(controller)
                controller._lifecycle.watch.add(self)

    def _discard(self, controller: Controller) -> None:
        with self._lock:
            self._controllers.discard(controller)
            controller._lifecycle.watch.remove(self)

    def called(self, verb: str, driver: str, done: int, faults: Sequence[BaseException], seconds: float | None) -> None:
        """Count one call (see :class:`driverapi.lifecycle.watching.Observer`)."""
        with self._lock:
            key = (verb, driver)
            self._done[key] = self._done.get(key, 0) + done
            for fault in faults:
                failure = (verb, driver, kind_of(fault))
                self._failed[failure] = self._failed.get(failure, 0) + 1
            if seconds is not None:
                durations = self._durations.get(key)
                if durations is None:
                    durations = self._durations[key] = _Durations()
                durations.add(seconds)

    def describe(self) -> Iterable[Metric]:
        """Give the names without looking anything up: what a registry asks when it registers."""
        return _families().values()

    def collect(self) -> Iterable[Metric]:
        """Give what was counted, and look up what there is."""
        families = _families()
        with self._lock:
            for labels, count in self._done.items():
                families["done"].add_metric(labels, count)
            for failure, count in self._failed.items():
                families["failed"].add_metric(failure, count)
            for labels, durations in self._durations.items():
                families["seconds"].add_metric(labels, buckets=durations.cumulated(), sum_value=durations.sum)
            controllers = list(self._controllers)
        for event, count in problems().items():
            families["problems"].add_metric([event], count)
        for controller in controllers:
            if controller._gate.closed:
                self._discard(controller)
            elif controller._gate.ours:  # a child process has its own
                _look(controller, families)
        return families.values()


def _families() -> dict[str, Any]:
    """Return all metrics without samples."""
    network = ("controller", "network", "driver")
    pool = (*network, "prefix")
    return {
        "done": CounterMetricFamily(
            "driverapi_operations",
            "Endpoints, or networks, for which a verb succeeded; 'take': out of a warm pool.",
            labels=("verb", "driver"),
        ),
        "failed": CounterMetricFamily(
            "driverapi_failures",
            "Endpoints, or networks, for which a verb failed and was undone, by kind of error.",
            labels=("verb", "driver", "kind"),
        ),
        "seconds": HistogramMetricFamily(
            "driverapi_call_duration_seconds",
            "Duration of a call: for one endpoint, or for a slice of a bulk call.",
            labels=("verb", "driver"),
        ),
        "problems": CounterMetricFamily(
            "driverapi_problems", "Events of level WARNING and above in this process.", labels=("event",)
        ),
        "networks": GaugeMetricFamily("driverapi_networks", "Networks that are ready.", labels=("controller",)),
        "sandboxes": GaugeMetricFamily(
            "driverapi_sandboxes", "Sandboxes, without those of warm pools.", labels=("controller",)
        ),
        "endpoints": GaugeMetricFamily(
            "driverapi_endpoints", "Endpoints, without those of warm pools.", labels=network
        ),
        "used": GaugeMetricFamily(
            "driverapi_pool_addresses_used", "Addresses of a pool that cannot be given now.", labels=pool
        ),
        "addresses": GaugeMetricFamily("driverapi_pool_addresses", "Addresses that a pool has to give.", labels=pool),
        "ready": GaugeMetricFamily("driverapi_warm_ready", "Endpoints that are ready in a warm pool.", labels=network),
        "size": GaugeMetricFamily("driverapi_warm_size", "Endpoints that a warm pool shall keep.", labels=network),
    }


def _look(controller: Controller, families: Mapping[str, Any]) -> None:
    """Add what a controller has."""
    id = "" if controller._instance is None else controller._instance.id
    networks = controller.networks
    families["networks"].add_metric([id], len(networks))
    families["sandboxes"].add_metric([id], len(controller.sandboxes))
    for network in networks:
        labels = [id, network.name, network.type]
        families["endpoints"].add_metric(labels, len(network.endpoints))
        for prefix, total, free in _pools(network):
            families["addresses"].add_metric([*labels, prefix], total)
            families["used"].add_metric([*labels, prefix], total - free)
        if network._warm.size:
            families["ready"].add_metric(labels, network._warm.ready)
            families["size"].add_metric(labels, network._warm.size)


def _pools(network: Network) -> Iterator[tuple[str, int, int]]:
    """Give prefix, number of addresses and number of free ones of each pool of a network."""
    for pool in list(network._pools.values()):
        seen = network._addressing.use(pool)
        if seen is not None:  # else the network was deleted just now
            yield str(pool.prefix), *seen

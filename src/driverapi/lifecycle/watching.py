"""Who watches the lifecycle: log records, and observers that count.

The lifecycle and the network tell a :class:`Watch` what became of a call, once per call. If nobody listens that
costs a clock and a look at the outcomes, whatever the number of endpoints.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from logging import DEBUG, INFO
from time import perf_counter
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, Protocol, TypeAlias, TypeVar

from driverapi import errors
from driverapi.events import emit, enabled, kind_of, logger_of, of_fault, of_network

if TYPE_CHECKING:
    from driverapi.controller import Controller
    from driverapi.endpoint import Endpoint
    from driverapi.lifecycle.records import EndpointRecord, NetworkRecord
    from driverapi.network import Network
    from driverapi.sandbox import Sandbox

__all__ = [
    "Observer",
    "Watch",
    "attaching",
    "closing",
    "detaching",
    "logged",
    "network_verb",
    "opened",
    "sandbox_made",
    "taken",
    "undo_failed",
    "verb",
]

P = ParamSpec("P")
R = TypeVar("R")

_PAST: Final = {
    "create": "created",
    "join": "joined",
    "leave": "left",
    "delete": "deleted",
    "attach": "attached",
    "detach": "detached",
}


logged: Final = logger_of("endpoints.attached").isEnabledFor
"""Whether a level is logged of calls for several endpoints: what the shortest path of all asks."""


class Observer(Protocol):
    """Counts calls. It must be quick, and not call the controller: the caller waits for it.

    Thread safety: it is called by any thread.
    """

    def called(self, verb: str, driver: str, done: int, faults: Sequence[BaseException], seconds: float | None) -> None:
        """Take note of a call.

        Parameters
        ----------
        verb : str
            ``create``, ``join``, ``leave``, ``delete``; ``create_network``, ``delete_network``; ``take`` out of a
            warm pool.
        driver : str
            Network type; empty where the network is not known.
        done : int
            Endpoints, or networks, for which it succeeded.
        faults : sequence of exception
            Why it failed for others.
        seconds : float or None
            Of the whole call; None where nothing was done: refused by the network, or taken.
        """


_Known: TypeAlias = "EndpointRecord | NetworkRecord | None"


class _Lifecycle(Protocol):
    watch: Watch
    _networks: dict[str, NetworkRecord]
    _endpoints: dict[str, EndpointRecord]


class Watch:
    """What one lifecycle tells, and to whom.

    Attributes
    ----------
    networks : mapping
        By name; where log records find the name of a network.
    observers : tuple of Observer
        Who is told of each call.

    Notes
    -----
    Thread safety: all methods.
    """

    def __init__(self) -> None:
        self.networks: Mapping[str, Network] = {}
        self.observers: tuple[Observer, ...] = ()
        self._lock = threading.Lock()
        self._inside = threading.local()

    def add(self, observer: Observer) -> None:
        """Tell an observer of each call from now on."""
        with self._lock:
            self.observers += (observer,)

    def remove(self, observer: Observer) -> None:
        """Tell it no more; one that is not told is passed over."""
        with self._lock:
            self.observers = tuple(one for one in self.observers if one is not observer)

    def name_of(self, network: str) -> str:
        """Return the name of a network; empty where it has none here."""
        return next((one.name for one in dict(self.networks).values() if one.id == network), "")

    def tell(self, verb: str, driver: str, done: int, faults: Sequence[BaseException], seconds: float | None) -> None:
        """Tell the observers; one that raises is told no more."""
        for observer in self.observers:
            try:
                observer.called(verb, driver, done, faults, seconds)
            except Exception as fault:
                self.remove(observer)
                emit("watch.failed", **of_fault(fault))

    @contextmanager
    def within(self) -> Iterator[None]:
        """Log the calls of this thread singly, at DEBUG, for the time of a block: it is logged as a whole."""
        before, self._inside.bulk = self.bulk, True
        try:
            yield
        finally:
            self._inside.bulk = before

    @property
    def bulk(self) -> bool:
        """Whether the calling thread is within a call that is logged as a whole."""
        return getattr(self._inside, "bulk", False)

    @property
    def wanted(self) -> bool:
        """Whether anybody wants to hear of what went well."""
        return bool(self.observers) or enabled("endpoint.joined") or enabled("endpoints.joined")

    # --- what became of calls ------------------------------------------------------------------

    def called(
        self,
        verb: str,
        requests: Sequence[Any],
        known: Sequence[_Known],
        outcomes: Sequence[Exception | None],
        seconds: float,
    ) -> None:
        """Take note of a call of the lifecycle."""
        faults = [outcome for outcome in outcomes if outcome is not None]
        if self.observers:
            self._count(verb, known, outcomes, faults, seconds)
        many = self.bulk or len(requests) != 1
        level = DEBUG if many else None
        if (faults and not many) or enabled(f"endpoint.{_PAST[verb]}", level):
            for request, one, outcome in zip(requests, known, outcomes, strict=True):
                self._log(verb, request, one, outcome, seconds, level)
        if many and not self.bulk:
            networks = {_network(one) for one in known}
            network = networks.pop() if len(networks) == 1 else None
            self.log_bulk(verb, network.id if network else None, _type(network), len(requests), faults, seconds)

    def _count(
        self,
        verb: str,
        known: Sequence[_Known],
        outcomes: Sequence[Exception | None],
        faults: Sequence[Exception],
        seconds: float,
    ) -> None:
        networks = {_network(one) for one in known}
        if len(networks) == 1:
            self.tell(verb, _type(networks.pop()), len(known) - len(faults), faults, seconds)
            return
        drivers: dict[str, list[Exception | None]] = {}
        for one, outcome in zip(known, outcomes, strict=True):
            drivers.setdefault(_type(_network(one)), []).append(outcome)
        for driver, some in drivers.items():
            faults = [outcome for outcome in some if outcome is not None]
            self.tell(verb, driver, len(some) - len(faults), faults, seconds)

    def _log(
        self, verb: str, request: Any, known: _Known, outcome: Exception | None, seconds: float, level: int | None
    ) -> None:
        id = request if isinstance(request, str) else request.endpoint
        netns = getattr(request, "netns", None)
        name = getattr(request, "name", "") or getattr(known, "name", "") or id[:12]
        network = _network(known)
        fields: dict[str, Any] = {"endpoint": id, "endpoint_name": name, "seconds": seconds}
        if netns is not None:
            fields["sandbox"] = netns.key
        if network is not None:
            fields |= self._of_network(network.id, _type(network))
        else:  # there is none of that id; of an endpoint that is unknown not even that is known
            fields["network"] = getattr(request, "network", None)
        if outcome is None:
            emit(f"endpoint.{_PAST[verb]}", level, **fields)
        else:
            emit("endpoint.failed", level, verb=verb, **fields, **of_fault(outcome))

    def log_bulk(
        self,
        verb: str,
        network: str | None,
        driver: str,
        count: int,
        faults: Sequence[BaseException],
        seconds: float,
    ) -> None:
        """Log a call for several endpoints as a whole, and its failures by kind."""
        fields: dict[str, Any] = {"count": count - len(faults), "failed": len(faults), "seconds": seconds}
        if network is not None:
            fields |= self._of_network(network, driver)
        emit(f"endpoints.{_PAST[verb]}", **fields)
        kinds: dict[str, list[BaseException]] = {}
        for fault in faults:
            kinds.setdefault(kind_of(fault), []).append(fault)
        for alike in kinds.values():
            several = fields | {"verb": verb, "failed": len(alike), "count": None, **of_fault(alike[0])}
            emit("endpoints.failed", **several)

    def _of_network(self, network: str, driver: str) -> dict[str, Any]:
        return {"network": network, "network_name": self.name_of(network), "driver": driver}

    def refused(self, network: Network, endpoints: Sequence[Endpoint]) -> None:
        """Take note of endpoints that failed before the driver was asked, or because of what it chose."""
        faults = [endpoint.error for endpoint in endpoints if endpoint.error is not None]
        if not faults:
            return
        self.tell("create", network.type, 0, faults, None)
        if not self.bulk:
            for endpoint, fault in zip(endpoints, faults, strict=False):
                emit(
                    "endpoint.failed",
                    verb="create",
                    endpoint=endpoint.id,
                    endpoint_name=endpoint.name,
                    **of_network(network),
                    **of_fault(fault),
                )


# --- decorators ----------------------------------------------------------------------------------

L = TypeVar("L", bound=_Lifecycle)


def verb(
    name: str,
) -> Callable[
    [Callable[Concatenate[L, Sequence[Any], P], list[Exception | None]]],
    Callable[Concatenate[L, Sequence[Any], P], list[Exception | None]],
]:
    """Watch a method of the lifecycle that takes requests, or ids of endpoints, and answers outcomes."""

    def decorate(
        method: Callable[Concatenate[L, Sequence[Any], P], list[Exception | None]],
    ) -> Callable[Concatenate[L, Sequence[Any], P], list[Exception | None]]:
        @functools.wraps(method)
        def call(self: L, requests: Sequence[Any], /, *args: P.args, **kwargs: P.kwargs) -> list[Exception | None]:
            if not requests:  # a step of a call that had nothing to do
                return method(self, requests, *args, **kwargs)
            watch = self.watch
            known = _before(self, requests) if watch.wanted else None
            began = perf_counter()
            try:
                outcomes = method(self, requests, *args, **kwargs)
            except BaseException as error:
                emit(
                    "endpoints.interrupted",
                    verb=name,
                    count=len(requests),
                    seconds=perf_counter() - began,
                    **of_fault(error),
                )
                raise
            if known is not None or outcomes.count(None) != len(outcomes):
                seconds = perf_counter() - began
                watch.called(name, requests, known or _before(self, requests), outcomes, seconds)
            return outcomes

        return call

    return decorate


def network_verb(name: str) -> Callable[[Callable[Concatenate[L, str, P], R]], Callable[Concatenate[L, str, P], R]]:
    """Watch a method of the lifecycle that creates or deletes the network of an id."""
    past = "created" if name == "create_network" else "deleted"

    def decorate(method: Callable[Concatenate[L, str, P], R]) -> Callable[Concatenate[L, str, P], R]:
        @functools.wraps(method)
        def call(self: L, id: str, /, *args: P.args, **kwargs: P.kwargs) -> R:
            watch, record = self.watch, self._networks.get(id)
            if record is None and past == "deleted":  # the undo of a creation may ask without knowing
                return method(self, id, *args, **kwargs)
            driver = record.driver if record is not None else next(iter(args), None)
            began = perf_counter()
            try:
                done = method(self, id, *args, **kwargs)
            except BaseException as error:
                seconds = perf_counter() - began
                watch.tell(name, _driver_type(driver), 0, [error], seconds)
                fields = watch._of_network(id, _driver_type(driver))
                emit("network.failed", verb=name, seconds=seconds, **fields, **of_fault(error))
                raise
            seconds = perf_counter() - began
            watch.tell(name, _driver_type(driver), 1, [], seconds)
            if enabled(f"network.{past}"):
                emit(f"network.{past}", seconds=seconds, **watch._of_network(id, _driver_type(driver)))
            return done

        return call

    return decorate


class _Network(Protocol):
    id: str
    type: str
    _controller: Any


N = TypeVar("N", bound=_Network)


def attaching(
    method: Callable[Concatenate[N, P], list[Endpoint]],
) -> Callable[Concatenate[N, P], list[Endpoint]]:
    """Watch a method of a network that attaches endpoints: one record for all of them."""

    @functools.wraps(method)
    def call(self: N, /, *args: P.args, **kwargs: P.kwargs) -> list[Endpoint]:
        watch: Watch = self._controller._lifecycle.watch
        began = perf_counter()
        try:
            with watch.within():
                endpoints = method(self, *args, **kwargs)
        except errors.BulkError as failed:
            _log_attached(self, watch, failed.results, began)
            raise
        _log_attached(self, watch, endpoints, began)
        return endpoints

    return call


def _log_attached(network: _Network, watch: Watch, endpoints: Sequence[Endpoint], began: float) -> None:
    faults = [endpoint.error for endpoint in endpoints if endpoint.error is not None]
    if faults or enabled("endpoints.attached"):
        watch.log_bulk("attach", network.id, network.type, len(endpoints), faults, perf_counter() - began)


def detaching(
    method: Callable[Concatenate[N, Sequence[Endpoint], P], None],
) -> Callable[Concatenate[N, Sequence[Endpoint], P], None]:
    """Watch a method of a network that detaches endpoints: one record for all of them."""

    @functools.wraps(method)
    def call(self: N, endpoints: Sequence[Endpoint], /, *args: P.args, **kwargs: P.kwargs) -> None:
        watch: Watch = self._controller._lifecycle.watch
        began = perf_counter()
        faults: Sequence[Exception] = ()
        try:
            with watch.within():
                method(self, endpoints, *args, **kwargs)
        except errors.BulkError as failed:
            faults = failed.exceptions
            raise
        finally:
            if faults or enabled("endpoints.detached"):
                watch.log_bulk("detach", self.id, self.type, len(endpoints), faults, perf_counter() - began)

    return call


def taken(network: _Network, endpoints: list[Endpoint]) -> list[Endpoint]:
    """Take note of endpoints that came out of a warm pool, and return them; called where somebody wants to know."""
    watch: Watch = network._controller._lifecycle.watch
    if watch.observers:
        watch.tell("take", network.type, len(endpoints), (), None)
    if logged(INFO):
        watch.log_bulk("attach", network.id, network.type, len(endpoints), (), 0.0)
    return endpoints


def opened(controller: Controller) -> None:
    """Take note of a controller that is made."""
    emit("controller.opened", controller=_id_of(controller))


def closing(method: Callable[[Controller], None]) -> Callable[[Controller], None]:
    """Watch the method that takes away all that a controller made: what it does is logged as a whole."""

    @functools.wraps(method)
    def call(self: Controller) -> None:
        try:
            with self._lifecycle.watch.within():
                method(self)
        except errors.BulkError as failed:
            emit(
                "controller.close_failed",
                controller=_id_of(self),
                failed=len(failed.exceptions),
                **of_fault(failed.exceptions[0]),
            )
            raise
        emit("controller.closed", controller=_id_of(self))

    return call


def sandbox_made(sandbox: Sandbox) -> None:
    """Take note of a sandbox that somebody asked for by name."""
    if enabled("sandbox.created"):
        emit("sandbox.created", sandbox=sandbox._place().key)


def undo_failed(fault: BaseException) -> None:
    """Take note of a step of an undo that failed: something may be left behind."""
    emit("undo.failed", **of_fault(fault))


# --- helpers -------------------------------------------------------------------------------------


def _before(lifecycle: _Lifecycle, requests: Sequence[Any]) -> list[_Known]:
    """Say what each position of a call is about: an endpoint, or the network of one that is to be created."""
    if not requests:
        return []
    endpoints, networks = lifecycle._endpoints, lifecycle._networks
    if isinstance(requests[0], str):
        return [endpoints.get(id) for id in requests]
    if hasattr(requests[0], "network"):
        return [networks.get(request.network) for request in requests]
    return [endpoints.get(request.endpoint) for request in requests]


def _id_of(controller: Controller) -> str:
    return "" if controller._instance is None else controller._instance.id


def _network(known: _Known) -> NetworkRecord | None:
    found: Any = getattr(known, "network", known)  # of an endpoint its network; a network is one itself
    network: NetworkRecord | None = found
    return network


def _type(network: NetworkRecord | None) -> str:
    return "" if network is None else network.driver.type()


def _driver_type(driver: object) -> str:
    kind = getattr(driver, "type", None)
    return str(kind()) if callable(kind) else ""

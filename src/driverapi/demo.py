"""The work of ``driverapi demo``: bring sandboxes up, have them ping, take all away, count what is left.

It makes links in the network namespace of the calling thread: whoever calls :func:`run`
stands in a private one already. Nothing here prints or parses options.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from driverapi import errors
from driverapi.addresses import format_ip
from driverapi.controller import Controller
from driverapi.endpoint import Endpoint
from driverapi.ipam.default import SPACE, DefaultIPAM
from driverapi.leftovers import Left, take_inventory, wait_until_drained
from driverapi.network import Network
from driverapi.pinger import Ping, PingResult, ping
from driverapi.registry import DriverRegistry

__all__ = ["IPV4", "IPV6", "MAX_ENDPOINTS", "Observer", "Phase", "Report", "run"]

IPV4: Final = "10.77.0.0/16"
IPV6: Final = "fd77::/64"

MAX_ENDPOINTS: Final = 60_000
"""What the IPv4 prefix has room for, with something to spare."""

RUN_DIR: Final = "/run/driverapi"

PINGS: Final = 4
"""Pings of one sandbox: the gateway and a neighbour, in both families."""

_ERRORS_KEPT: Final = 20


class Observer:
    """Who wants to know how far the work is; the methods of this one do nothing."""

    def begin(self, phase: str, total: int) -> None:
        """Take note that a phase begins, of so many steps (0: not known)."""

    def advance(self, done: int) -> None:
        """Take note of how many steps of the phase are done."""

    def end(self) -> None:
        """Take note that the phase is over."""


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase: what it counted and how long it took.

    Attributes
    ----------
    count : int
        Networks of phase ``network``; endpoints that came up of all others.
    seconds : float
        Wall-clock time.
    """

    count: int
    seconds: float

    @property
    def per_second(self) -> float:
        """How many a second."""
        return self.count / self.seconds if self.seconds > 0 else 0.0


@dataclass(slots=True)
class Report:
    """What a run did, and what it left.

    Attributes
    ----------
    endpoints : int
        How many were wanted.
    driver : str
        The network type.
    phases : dict
        ``network`` (created), ``attach``, ``ping``, ``detach``, ``drain`` (network deleted,
        controller closed, and the kernel done with it), in this order.
    up : int
        Endpoints that attach brought up.
    reachable : int
        Sandboxes of which all four pings were answered.
    left : Left
        What was there after the drain that was not there before; an address that did not
        come back to its pool counts as well.
    made : Left
        The same counts while all was up, the addresses inside the sandboxes included.
    errors : list of str
        The first failures, in words.
    error_count : int
        All of them.
    round_trips : list of float
        Seconds, of the pings that were answered.
    """

    endpoints: int
    driver: str
    phases: dict[str, Phase] = field(default_factory=dict)
    up: int = 0
    reachable: int = 0
    left: Left = field(default_factory=lambda: Left(0, 0, 0))
    made: Left = field(default_factory=lambda: Left(0, 0, 0))
    errors: list[str] = field(default_factory=list)
    error_count: int = 0
    round_trips: list[float] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether all were reachable, nothing failed and nothing is left."""
        return self.reachable == self.endpoints and not self.left and not self.error_count

    def note(self, what: str) -> None:
        """Count a failure, and keep its words if it is among the first."""
        self.error_count += 1
        if len(self.errors) < _ERRORS_KEPT:
            self.errors.append(what)

    def document(self) -> dict[str, Any]:
        """Return it as plain data, for JSON."""
        return {
            "endpoints": self.endpoints,
            "driver": self.driver,
            "phases": {
                name: {"seconds": round(phase.seconds, 6), "per_second": round(phase.per_second, 3)}
                for name, phase in self.phases.items()
            },
            "reachable": self.reachable,
            "left": _counts(self.left),
            "made": _counts(self.made),
            "pings": {
                "sent": self.up * PINGS,
                "answered": len(self.round_trips),
                "median_seconds": round(statistics.median(self.round_trips), 6) if self.round_trips else None,
                "max_seconds": round(max(self.round_trips), 6) if self.round_trips else None,
            },
            "errors": self.errors,
            "error_count": self.error_count,
            "kernel": os.uname().release,
        }


def _counts(what: Left) -> dict[str, int]:
    return {"links": what.links, "namespaces": what.namespaces, "addresses": what.addresses}


def run(
    endpoints: int,
    driver: str = "bridge",
    *,
    observer: Observer | None = None,
    registry: DriverRegistry | None = None,
    run_dir: str = RUN_DIR,
) -> Report:
    """Bring up so many sandboxes on one network, ping, take all away, and count.

    Parameters
    ----------
    endpoints : int
        1…60,000.
    driver : str
        A network type whose endpoints get their addresses from the controller.
    registry : DriverRegistry, optional
        Where the driver comes from.
    run_dir : str
        Directory for the namespaces.

    Raises
    ------
    errors.InvalidError
        The number is out of range, or the driver gives no addresses.
    errors.NoDriverError
        There is no such driver.
    errors.DriverAPIError
        The network could not be made. What fails later is in the report.

    Notes
    -----
    Whatever ends it, a KeyboardInterrupt too, all that it made is taken away.
    """
    if isinstance(endpoints, bool) or not isinstance(endpoints, int) or not 1 <= endpoints <= MAX_ENDPOINTS:
        raise errors.InvalidError(f"endpoints must be a number from 1 to {MAX_ENDPOINTS}, not {endpoints!r}")
    registry = DriverRegistry() if registry is None else registry
    found = registry.get(driver)
    if found.host_sandbox or not found.requires_ipam:
        raise errors.InvalidError(
            f"driver {driver!r} gives sandboxes no addresses of a network, so there is nothing to ping; "
            "choose another, such as 'bridge'"
        )
    work = _Run(Report(endpoints, driver), observer or Observer(), run_dir, registry)
    try:
        work.up()
        work.ping()
        work.down()
    except BaseException:
        with contextlib.suppress(errors.BulkError):  # what ended the run is what the caller must hear of
            work.controller.close()
        raise
    work.drain()
    return work.report


class _Run:
    """The phases, one after the other."""

    def __init__(self, report: Report, observer: Observer, run_dir: str, registry: DriverRegistry) -> None:
        self.report = report
        self._observer = observer
        self._run_dir = run_dir
        self._before = take_inventory(run_dir)
        self._ipam = DefaultIPAM()  # one of our own, to be asked for what did not come back
        self.controller = Controller(run_dir=run_dir, registry=registry, ipam=self._ipam)
        self._network: Network
        self._endpoints: list[Endpoint] = []
        self._free_before = 0  # addresses in the pools before attach
        self._kept = 0  # those that did not come back

    @contextlib.contextmanager
    def _phase(self, name: str, count: int, total: int) -> Iterator[None]:
        self._observer.begin(name, total)
        start = time.monotonic()
        yield
        self.report.phases[name] = Phase(count, time.monotonic() - start)
        self._observer.end()

    def up(self) -> None:
        """Make the network and attach."""
        report = self.report
        with self._phase("network", 1, 0):
            self._network = self.controller.create_network(report.driver, "demo", ipv4=IPV4, ipv6=IPV6)
        self._free_before = self._free()
        with self._phase("attach", report.endpoints, report.endpoints):
            self._endpoints = self._network.attach(report.endpoints, progress=self._observer.advance)
        for endpoint in self._endpoints:
            if endpoint.error is not None:
                report.note(f"attach: {endpoint.error}")
        report.up = len(self._up())
        report.phases["attach"] = Phase(report.up, report.phases["attach"].seconds)
        made = take_inventory(self._run_dir).since(self._before)
        inside = sum(len(one.packed_addresses) for endpoint in self._up() for one in endpoint.interfaces)
        report.made = Left(made.links, made.namespaces, made.addresses + inside)

    def _up(self) -> list[Endpoint]:
        return [endpoint for endpoint in self._endpoints if endpoint.error is None]

    def _free(self) -> int:
        return sum(self._ipam.free(f"{SPACE}/{prefix}") for prefix in (IPV4, IPV6))

    def ping(self) -> None:
        """Have each sandbox ping the gateway and its neighbour, in both families."""
        up = self._up()
        requests: list[Ping] = []
        owners: list[int] = []
        for number, endpoint in enumerate(up):
            try:
                wanted = self._requests(endpoint, up[(number + 1) % len(up)])
            except errors.InvalidError as error:
                self.report.note(f"ping from {endpoint.name}: {error}")
                continue
            requests += wanted
            owners += [number] * len(wanted)
        with self._phase("ping", len(up), len(requests)):
            results = ping(requests, progress=self._observer.advance)
        self._judge(up, owners, results)

    def _requests(self, endpoint: Endpoint, neighbour: Endpoint) -> list[Ping]:
        """Return the four pings of a sandbox.

        The neighbours make a ring: each sandbox pings the next, the last one the first.
        A sandbox that is alone has none, and pings the gateway twice. On a parent there is no gateway
        of the host's: there it pings its neighbour twice.
        """
        own, other = _place(endpoint), _place(neighbour)
        host = f"/proc/{os.getpid()}/ns/net"
        gateways = [None if one is None else one.packed for one in (self._network.gateway, self._network.gateway_ipv6)]
        wanted = []
        on_parent = self._network._driver is not None and self._network._driver.shares_prefixes
        for version, gateway, target in zip((4, 6), gateways, _addresses(neighbour), strict=True):
            if on_parent and target is not None:
                wanted += [Ping(own, target, target_namespace=other)] * 2
                continue
            if gateway is None:
                raise errors.InvalidError(f"the network has no IPv{version} gateway")
            wanted.append(Ping(own, gateway, target_namespace=host))
            if neighbour is endpoint:
                wanted.append(Ping(own, gateway, target_namespace=host))
            elif target is None:
                raise errors.InvalidError(f"its neighbour {neighbour.name} has no IPv{version} address")
            else:
                wanted.append(Ping(own, target, target_namespace=other))
        return wanted

    def _judge(self, up: Sequence[Endpoint], owners: Sequence[int], results: Sequence[PingResult]) -> None:
        report = self.report
        answered = [0] * len(up)
        for owner, result in zip(owners, results, strict=True):
            if result.seconds is not None:
                answered[owner] += 1
                report.round_trips.append(result.seconds)
            else:
                report.note(f"ping from {up[owner].name} to {format_ip(result.request.target)}: {result.error}")
        report.reachable = sum(1 for count in answered if count == PINGS)

    def down(self) -> None:
        """Detach, and see whether all addresses came back to the pools."""
        with self._phase("detach", self.report.up, self.report.up):
            try:
                self._network.detach(self._endpoints, progress=self._observer.advance)
            except errors.BulkError as failed:
                for error in failed.exceptions:
                    self.report.note(f"detach: {error}")
        self._kept = self._free_before - self._free()

    def drain(self) -> None:
        """Delete the network, close, and wait until the kernel is done with it."""
        report = self.report
        with self._phase("drain", report.up, 0):
            try:
                self._network.delete()
            except errors.DriverAPIError as error:
                report.note(f"delete network: {error}")
            try:
                self.controller.close()
            except errors.BulkError as failed:
                for fault in failed.exceptions:
                    report.note(f"close: {fault}")
            left = wait_until_drained(self._before, self._run_dir, 30 + report.endpoints * 0.01)
        report.left = Left(left.links, left.namespaces, left.addresses + self._kept)


def _place(endpoint: Endpoint) -> str:
    if endpoint.sandbox is None:
        raise errors.InvalidError(f"{endpoint.name} is in no sandbox")
    return endpoint.sandbox.key


def _addresses(endpoint: Endpoint) -> tuple[bytes | None, bytes | None]:
    """Return the first address of each family."""
    four = [one.packed_address for one in endpoint.interfaces]
    six = [one.packed_address_ipv6 for one in endpoint.interfaces]
    return (
        next((one.ip for one in four if one is not None), None),
        next((one.ip for one in six if one is not None), None),
    )

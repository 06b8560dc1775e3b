"""Any driver, and an IPAM, served to a Docker engine: its network plugin and its IPAM plugin in one process."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, final

from driverapi import errors, labels
from driverapi.api import Driver
from driverapi.control import keeping
from driverapi.control.keeping import note_given_up
from driverapi.events import emit, of_fault
from driverapi.ipam.default import DefaultIPAM
from driverapi.ipam.registry import IPAMRegistry
from driverapi.lifecycle.lifecycle import Lifecycle
from driverapi.plugin.addresses import AddressVerbs
from driverapi.plugin.firewall import Firewall
from driverapi.plugin.http import HttpServer, Undo
from driverapi.plugin.networks import NetworkVerbs
from driverapi.plugin.reconcile import GRACE, Reconciler
from driverapi.plugin.sockets import PLUGINS, Tls, UnixListener, listen_tcp
from driverapi.plugin.turns import Made
from driverapi.plugin.wire import encode, refusal, status_of
from driverapi.registry import DriverRegistry
from driverapi.store.memory import MemoryStore

if TYPE_CHECKING:
    from driverapi.dataplane.contract import Dataplane
    from driverapi.instance import Instance
    from driverapi.ipam.contract import IPAM
    from driverapi.lifecycle.restore import Restored
    from driverapi.store.contract import Store

__all__ = ["HEALTH", "LISTS", "Plugin"]

HEALTH: Final = "/health"
"""``GET`` it to see that the plugin is alive, and how much it has."""

LISTS: Final = "/networks"
"""``GET`` it to see which networks and pools it has: an engine's that it has lost are deleted by nobody else."""

_IMPLEMENTS: Final = {"Implements": ["NetworkDriver", "IpamDriver"]}
_ENDS: Final = ("NetworkDriver.Leave", "NetworkDriver.DeleteEndpoint")
_OPTIONAL: Final = ("NetworkDriver.ProgramExternalConnectivity", "NetworkDriver.RevokeExternalConnectivity")


@final
class Plugin:
    """A driver as a Docker network plugin.

    Parameters
    ----------
    driver : str or Driver
        A network type, or a driver.
    name : str, optional
        What the engine calls it, as in ``docker network create -d NAME``; by default ``driverapi-TYPE``.
    options : mapping, optional
        Configuration of the driver.
    state, durability, run_dir, registry, dataplane
        As for :class:`driverapi.Controller`.
    ipam : str or IPAM, optional
        Who gives addresses to who asks for ``--ipam-driver NAME``; an installed one by its name.
    grace : float
        Seconds after which an endpoint is taken away that no sandbox uses, and that its engine may have forgotten: see
        :mod:`driverapi.plugin.reconcile`.

    Attributes
    ----------
    restored : Restored or None
        With state: what was found.

    Raises
    ------
    errors.NoDriverError, errors.InvalidError
        There is no such driver; an option or the name is none.
    errors.NotImplementedYetError
        The driver's endpoints are in the host's own namespace: an engine gives each container one of its own.
    errors.KernelError
        No netlink socket, or no directory, could be had.
    errors.StateBusyError, errors.StateDamagedError, errors.StateError
        As for a controller; the state is a controller's, or of another driver.

    Notes
    -----
    It answers once :meth:`listen` or :meth:`listen_tcp` was called. Closed, it leaves networks and endpoints
    only with state; without, it takes all away. An engine creates no network a second time, so one that keeps no
    state is for tests.

    Thread safety: all methods.
    """

    def __init__(
        self,
        driver: str | Driver,
        *,
        name: str | None = None,
        options: Mapping[str, Any] | None = None,
        state: str | os.PathLike[str] | None = None,
        durability: str = "normal",
        grace: float = GRACE,
        run_dir: str | os.PathLike[str] | None = None,
        registry: DriverRegistry | None = None,
        dataplane: Dataplane | None = None,
        ipam: str | IPAM | None = None,
    ) -> None:
        self._driver = _servable(_driver_of(driver, DriverRegistry() if registry is None else registry, options))
        self.name = _checked_name(f"driverapi-{self._driver.type()}" if name is None else name)
        self._closed = False
        self._lock = threading.Lock()
        self._listeners: list[UnixListener] = []
        self._instance: Instance | None = None
        with contextlib.ExitStack() as undo:
            kept = self._state = None if state is None else keeping.open_state(state, durability, plugin=self.name)
            self._store: Store = MemoryStore() if kept is None else kept
            undo.callback(self._store.close)
            if dataplane is None:
                # Imported late: a fake dataplane needs neither.
                from driverapi.dataplane.linux import LinuxDataplane, ids_in_use
                from driverapi.instance import Instance

                self._instance = Instance.of(kept, run_dir, avoid=ids_in_use())
                undo.callback(self._instance.close if kept is None else self._instance.rest)
                dataplane = LinuxDataplane(self._instance)
                undo.callback(dataplane.close)
            self._dataplane = dataplane
            self._lifecycle = Lifecycle(dataplane, self._store)
            self._firewall = None if self._instance is None else Firewall(self._instance.id)
            keeps = kept is not None
            self._networks = NetworkVerbs(self._driver, self._lifecycle, dataplane, self._firewall, keeps=keeps)
            self._addresses = AddressVerbs(_ipam_of(ipam), dataplane, self._store, alone=self._driver.lone_addresses)
            self._reconciler = Reconciler(self._networks, self._give_up, self._addresses.reap, grace=grace)
            self._networks.reconciler, self._networks.addresses = self._reconciler, self._addresses
            self.restored: Restored | None = None
            if kept is not None:
                from driverapi.plugin.restore import restore

                keeping.begin(kept)
                kept.put_fact("driver", self._driver.type())
                self.restored = restore(self._driver, self._lifecycle, dataplane, kept, self._networks, self._addresses)
                if self._firewall is not None:
                    self._firewall.tidy()
            undo.pop_all()
        self._reconciler.doubt(self._lifecycle.endpoints(), started=True)
        self._reconciler.reap()
        self._verbs: dict[str, Callable[[bytes], Any]] = {"/Plugin.Activate": self._activate}
        self._verbs |= {f"/NetworkDriver.{verb}": answer for verb, answer in self._networks.verbs.items()}
        self._verbs |= {f"/IpamDriver.{verb}": answer for verb, answer in self._addresses.verbs.items()}
        self._http = HttpServer(self.answer)

    # --- where it is found ------------------------------------------------------------------------

    def listen(self, socket: str | os.PathLike[str] | None = None) -> Path:
        """Answer on a unix socket, by default in Docker's directory of plugins; return its path.

        Raises
        ------
        errors.ConflictError
            A plugin listens there already.
        """
        listener = UnixListener(PLUGINS / f"{self.name}.sock" if socket is None else socket)
        self._listeners.append(listener)
        self._http.listen(listener.socket)
        return listener.path

    def listen_tcp(self, address: str, tls: Tls | None) -> tuple[str, int]:
        """Answer on ``HOST:PORT``; return the address, with the port that the kernel chose for 0.

        Parameters
        ----------
        tls : Tls or None
            None is for tests: whoever can connect can change the host's network.
        """
        context = None if tls is None else tls.context()
        listening = listen_tcp(address)
        self._http.listen(listening, context)
        host, port = listening.getsockname()[:2]
        return host, port

    def serve(self, socket: str | os.PathLike[str] | None = None) -> None:
        """Listen as :meth:`listen` does, until SIGTERM or SIGINT; of the main thread.

        Raises
        ------
        errors.InvalidError
            The calling thread is not the main one: only that hears of signals.
        """
        if threading.current_thread() is not threading.main_thread():
            raise errors.InvalidError("serve() is of the main thread, which hears of signals; use listen()")
        stop = threading.Event()
        before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            self.listen(socket)
            stop.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    # --- requests ---------------------------------------------------------------------------------

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes, Undo | None]:
        """Answer one request: status, body, and what is to be called if the answer cannot be delivered."""
        verb = self._verbs.get(path)
        if verb is None or method != "POST":
            return *self._answer_other(method, path), None
        ipam = path.startswith("/IpamDriver.")
        document: Any = None
        try:
            document = verb(body)
            self._store.flush()
        except Exception as error:
            if not body and path[1:] in _ENDS:  # the request was lost: what should have ended may be anything
                self._reconciler.doubt(self._lifecycle.endpoints())
            if isinstance(document, Made):  # it could not be kept: who is told so never asks for its end
                self._take_back(path[1:], document)
            status = status_of(error)
            if not isinstance(error, errors.DriverAPIError):
                emit("plugin.fault", verb=path[1:], **of_fault(error))
            if status == 404 and path[1:] in _OPTIONAL:  # to the engine it would mean: no such verb, all is well
                status = 409
            return status, refusal(error, ipam=ipam), None
        if isinstance(document, Made):
            return 200, encode(document.document), partial(self._take_back, path[1:], document)
        return 200, encode(document), None

    def _take_back(self, verb: str, made: Made) -> None:
        """Undo what nobody has been told of."""
        try:
            made.undo()
            self._store.flush()
        except Exception as error:
            emit("plugin.fault", verb=verb, **of_fault(error))

    def _answer_other(self, method: str, path: str) -> tuple[int, bytes]:
        shown = {HEALTH: self.health, LISTS: self.lists}.get(path)
        if shown is not None and method in ("GET", "HEAD"):
            return 200, encode(shown())
        if path in self._verbs or shown is not None:
            wanted = "POST" if shown is None else "GET"
            refused: errors.DriverAPIError = errors.InvalidError(f"{path[:80]} is asked for with {wanted}")
            return 405, refusal(refused, ipam=True)
        refused = errors.NotImplementedYetError(f"this plugin has no verb {path[:80]!r}")
        return 404, refusal(refused, ipam=True)

    def _activate(self, body: bytes) -> dict[str, Any]:
        """Answer an engine that has started, or that has found us."""
        self._addresses.begin_again()
        self._reconciler.doubt(self._lifecycle.endpoints(), started=True)
        if self._firewall is not None:
            self._firewall.begin_again()
        emit("plugin.activated", driver=self._driver.type())
        return _IMPLEMENTS

    def _give_up(self, endpoint: str) -> None:
        """Take away an endpoint that its engine has forgotten; the caller has its turn."""
        network = self._networks.network_of(endpoint)
        ours, since = self._networks.ours_of(endpoint), self._networks.since(endpoint)
        addresses = self._networks.addresses_of(endpoint)
        self._networks.take_away(endpoint)
        for prefix, ip in ours:
            self._addresses.forget(prefix, ip, since)
        emit("plugin.reconciled", network=network, endpoint=endpoint, address=", ".join(addresses))
        if self._state is not None:
            note_given_up(self._state, network, endpoint, addresses)
            self._state.flush()

    def health(self) -> dict[str, Any]:
        """Return what it is and has, as ``GET /health`` tells it."""
        networks, endpoints = self._lifecycle.counts()
        return {
            "Status": "ok",
            "Name": self.name,
            "Driver": self._driver.type(),
            "Networks": networks,
            "Endpoints": endpoints,
        }

    def lists(self) -> dict[str, Any]:
        """Return which networks and pools it has, by the engine's ids, as ``GET /networks`` tells it."""
        return {"Networks": self._networks.listed(), "Pools": self._addresses.listed()}

    # --- its own life -----------------------------------------------------------------------------

    def close(self, grace: float = 30.0) -> None:
        """Take no more requests, finish those under way, and, without state, take away what it made.

        A second time does nothing.

        Parameters
        ----------
        grace : float
            Seconds for what is under way.

        Raises
        ------
        errors.BulkError
            Something could not be taken away; the rest is gone.
        errors.BusyError
            A request was not finished in time: nothing was taken away.
        """
        with self._lock:
            if self._closed:
                return
            began = perf_counter()
            for listener in self._listeners:
                listener.remove()
            if not self._http.close(grace):
                raise errors.BusyError(f"a request is still under way after {perf_counter() - began:.1f} s")
            self._closed = True
        self._reconciler.close()
        networks = self._lifecycle.networks()
        faults = self._take_all_away(networks) if self._state is None else []
        if self._firewall is not None and (self._state is None or not networks):
            self._firewall.withdraw_all()
        self._dataplane.close()
        if self._state is not None:
            keeping.end(self._state)
        self._store.close()
        if self._instance is not None:
            if self._state is not None and networks:
                self._instance.rest()
            else:
                self._instance.close()
        if faults:
            raise errors.BulkError("close: not everything could be taken away", faults)

    def _take_all_away(self, networks: Sequence[str]) -> list[Exception]:
        """Take away what is not kept; return what could not be."""
        faults: list[Exception] = []
        for network in networks:
            try:
                for endpoint in self._lifecycle.endpoints_of(network):
                    self._networks.take_away(endpoint)
                self._lifecycle.delete_network(network)
            except Exception as fault:
                faults.append(fault)
        return faults

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Plugin {self.name}, driver {self._driver.type()}>"


def _checked_name(name: str) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", name):
        raise errors.InvalidError(
            f"plugin name {name!r} is none: it has 1 to 63 letters, digits and '_.-', and begins with a letter or digit"
        )
    return name


def _ipam_of(ipam: str | IPAM | None) -> IPAM:
    if ipam is None:
        return DefaultIPAM()
    return IPAMRegistry().get(ipam) if isinstance(ipam, str) else ipam


def _servable(driver: Driver) -> Driver:
    if driver.host_sandbox:
        raise errors.NotImplementedYetError(
            f"driver {driver.type()!r} has endpoints in the host's own namespace, and an engine gives each container "
            "one of its own; use the engine's network: docker run --network host"
        )
    return driver


def _driver_of(driver: str | Driver, registry: DriverRegistry, options: Mapping[str, Any] | None) -> Driver:
    if isinstance(driver, str):
        found = registry.get(driver)
        if options:
            registry.configure(driver, labels.normalise(options))
        return found
    if not isinstance(driver, Driver):
        raise errors.InvalidError(
            f"{driver!r} is no Driver: name one, or give an instance of a class derived from Driver"
        )
    if options:
        driver.config(labels.normalise(options))
    return driver

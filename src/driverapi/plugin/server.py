"""Any driver, and an IPAM, served to a Docker engine: its network plugin and its IPAM plugin in one process."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, final

from driverapi import errors, labels
from driverapi.events import emit, of_fault
from driverapi.ipam.default import DefaultIPAM
from driverapi.lifecycle import Lifecycle
from driverapi.plugin.addresses import AddressVerbs
from driverapi.plugin.firewall import Firewall
from driverapi.plugin.http import HttpServer
from driverapi.plugin.networks import NetworkVerbs
from driverapi.plugin.sockets import PLUGINS, Tls, UnixListener, listen_tcp
from driverapi.plugin.wire import encode, refusal, status_of
from driverapi.registry import DriverRegistry
from driverapi.store.memory import MemoryStore

if TYPE_CHECKING:
    from driverapi.api import Driver
    from driverapi.dataplane.contract import Dataplane
    from driverapi.instance import Instance
    from driverapi.ipam.contract import IPAM
    from driverapi.store.contract import Store

__all__ = ["HEALTH", "Plugin"]

HEALTH: Final = "/health"
"""``GET`` it to see that the plugin is alive, and what it has."""

_IMPLEMENTS: Final = {"Implements": ["NetworkDriver", "IpamDriver"]}
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
    run_dir, registry, dataplane, ipam
        As for :class:`driverapi.Controller`.

    Raises
    ------
    errors.NoDriverError, errors.InvalidError
        There is no such driver; an option or the name is none.
    errors.KernelError
        No netlink socket, or no directory, could be had.

    Notes
    -----
    It answers once :meth:`listen` or :meth:`listen_tcp` was called. Closed, it leaves networks and endpoints
    only with state; without, it takes all away.

    Thread safety: all methods.
    """

    def __init__(
        self,
        driver: str | Driver,
        *,
        name: str | None = None,
        options: Mapping[str, Any] | None = None,
        run_dir: str | os.PathLike[str] | None = None,
        registry: DriverRegistry | None = None,
        dataplane: Dataplane | None = None,
        ipam: IPAM | None = None,
    ) -> None:
        self._driver = _driver_of(driver, DriverRegistry() if registry is None else registry, options)
        self.name = _checked_name(f"driverapi-{self._driver.type()}" if name is None else name)
        self._closed = False
        self._lock = threading.Lock()
        self._listeners: list[UnixListener] = []
        self._instance: Instance | None = None
        with contextlib.ExitStack() as undo:
            self._store: Store = MemoryStore()
            undo.callback(self._store.close)
            if dataplane is None:
                # Imported late: a fake dataplane needs neither.
                from driverapi.dataplane.linux import LinuxDataplane, ids_in_use
                from driverapi.instance import Instance

                self._instance = Instance.of(None, run_dir, avoid=ids_in_use())
                undo.callback(self._instance.close)
                dataplane = LinuxDataplane(self._instance)
                undo.callback(dataplane.close)
            self._dataplane = dataplane
            self._lifecycle = Lifecycle(dataplane, self._store)
            self._firewall = None if self._instance is None else Firewall(self._instance.id)
            self._networks = NetworkVerbs(self._driver, self._lifecycle, dataplane, self._firewall)
            self._addresses = AddressVerbs(DefaultIPAM() if ipam is None else ipam, dataplane, self._store)
            undo.pop_all()
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

    # --- requests ---------------------------------------------------------------------------------

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """Answer one request: status and body."""
        verb = self._verbs.get(path)
        if verb is None or method != "POST":
            return self._answer_other(method, path)
        ipam = path.startswith("/IpamDriver.")
        try:
            document = verb(body)
            self._store.flush()
        except Exception as error:
            status = status_of(error)
            if not isinstance(error, errors.DriverAPIError):
                emit("plugin.fault", verb=path[1:], **of_fault(error))
            if status == 404 and path[1:] in _OPTIONAL:  # to the engine it would mean: no such verb, all is well
                status = 409
            return status, refusal(error, ipam=ipam)
        return 200, encode(document)

    def _answer_other(self, method: str, path: str) -> tuple[int, bytes]:
        if path == HEALTH and method in ("GET", "HEAD"):
            return 200, encode(self.health())
        if path in self._verbs or path == HEALTH:
            wanted = "GET" if path == HEALTH else "POST"
            refused: errors.DriverAPIError = errors.InvalidError(f"{path[:80]} is asked for with {wanted}")
            return 405, refusal(refused, ipam=True)
        refused = errors.NotImplementedYetError(f"this plugin has no verb {path[:80]!r}")
        return 404, refusal(refused, ipam=True)

    def _activate(self, body: bytes) -> dict[str, Any]:
        """Answer an engine that has started, or that has found us."""
        self._addresses.begin_again()
        if self._firewall is not None:
            self._firewall.begin_again()
        emit("plugin.activated", driver=self._driver.type())
        return _IMPLEMENTS

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

    # --- its own life -----------------------------------------------------------------------------

    def close(self, grace: float = 30.0) -> None:
        """Take no more requests, finish those under way, and take away what it made. A second time does nothing.

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
        faults: list[Exception] = []
        for network in self._lifecycle.networks():
            try:
                for endpoint in self._lifecycle.endpoints_of(network):
                    self._networks.take_away(endpoint)
                self._lifecycle.delete_network(network)
            except Exception as fault:
                faults.append(fault)
        if self._firewall is not None:
            self._firewall.withdraw()
        self._dataplane.close()
        self._store.close()
        if self._instance is not None:
            self._instance.close()
        if faults:
            raise errors.BulkError("close: not everything could be taken away", faults)

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


def _driver_of(driver: str | Driver, registry: DriverRegistry, options: Mapping[str, Any] | None) -> Driver:
    if isinstance(driver, str):
        found = registry.get(driver)
        if options:
            registry.configure(driver, labels.normalise(options))
        return found
    if options:
        driver.config(labels.normalise(options))
    return driver

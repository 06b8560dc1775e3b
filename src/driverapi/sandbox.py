"""A sandbox: the network namespace of one container."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from driverapi import errors
from driverapi.control.gate import changes, reads
from driverapi.control.keeping import sandbox_record
from driverapi.counters import InterfaceStatistics, statistics_of_many
from driverapi.dataplane.contract import Netns, Ownership
from driverapi.events import emit
from driverapi.store.contract import State

if TYPE_CHECKING:
    from driverapi.controller import Controller
    from driverapi.endpoint import Endpoint
    from driverapi.services.files import Files
    from driverapi.store.contract import Store

__all__ = ["Sandbox"]


@final
class Sandbox:
    """A network namespace that endpoints join; made by ``Controller.create_sandbox`` or ``Network.attach``.

    Attributes
    ----------
    name : str
        Unique within the controller.

    Notes
    -----
    Thread safety: all methods.
    """

    def __init__(self, controller: Controller, name: str, netns: Netns | None = None) -> None:
        self.name = name
        self._controller = controller
        self._gate = controller._gate
        self._netns = netns
        self._endpoints: set[Endpoint] = set()
        self._joining = 0  # calls that are about to join an endpoint, or try to
        self._deleted = False
        self._warm = False  # that of an endpoint of a warm pool
        self._made = False  # for an endpoint, by a bulk call: after a crash it goes with that
        self._files: Files | None = None  # if it is served with any

    @property
    @reads
    def key(self) -> str:
        """Path of its namespace: what ``nsenter --net=`` takes (libnetwork: ``Sandbox.Key``)."""
        return self._place().key

    @property
    def ownership(self) -> Ownership:
        """Whether the namespace is ours, somebody's or the host's."""
        return self._place().ownership

    @property
    @reads
    def endpoints(self) -> list[Endpoint]:
        """The endpoints that have joined it."""
        with self._controller._lock:
            return list(self._endpoints)

    @property
    def hosts_path(self) -> str | None:
        """What is to be its ``/etc/hosts``: a file of ours, or of a driver's; None where there is neither."""
        return self._path("hosts")

    @property
    def resolv_conf_path(self) -> str | None:
        """What is to be its ``/etc/resolv.conf``, as :attr:`hosts_path`."""
        return self._path("resolv.conf")

    @reads
    def _path(self, name: str) -> str | None:
        """Return the path of a file: a driver's goes before ours (seed: "the overriding path to use")."""
        records = self._controller._lifecycle._endpoints
        for endpoint in sorted(self.endpoints, key=lambda one: (one.network.name, one.name)):
            join = records[endpoint.id].join if endpoint.id in records else None
            chosen = None if join is None else join.hosts_path if name == "hosts" else join.resolv_conf_path
            if chosen is not None:
                return chosen
        files = self._files
        return None if files is None else f"{files.directory}/{name}"

    @changes
    def statistics(self) -> dict[str, InterfaceStatistics]:
        """Return what went through its interfaces, by their names: those of endpoints."""
        return {
            name: one for _, many in statistics_of_many(self._controller, self.endpoints) for name, one in many.items()
        }

    @changes
    def refresh(self) -> None:
        """Write its files now where they are not as they should be: after the host has other name servers, say.

        Raises
        ------
        errors.InvalidError
            It was made without ``services``.
        errors.KernelError
            They could not be written.
        """
        self._controller._files.renew(self)

    @changes
    def delete(self) -> None:
        """Delete it; a namespace that is ours goes, another stays as it is.

        Raises
        ------
        errors.BusyError
            Endpoints have joined it.
        """
        with self._controller._lock:
            if self._deleted:
                raise errors.NoSandboxError(f"sandbox {self.name!r} is deleted")
            if not self._retire():
                names = ", ".join(sorted(endpoint.name for endpoint in self._endpoints)[:5])
                raise errors.BusyError(
                    f"sandbox {self.name!r} is joined by {names or 'one just now'}; let them leave first"
                )
        store = self._controller._store
        try:
            if store.keeps:
                store.put([sandbox_record(self, State.DELETING)])
            refused = self._controller._drop_sandboxes([self])[0]
        except BaseException:
            self._stay(store)
            raise
        if refused is not None:
            self._stay(store)
            raise refused
        emit("sandbox.deleted", sandbox=self._place().key)

    def _stay(self, store: Store) -> None:
        """Be there, unless it was dropped: its deletion failed."""
        with self._controller._lock:
            self._deleted = self._controller._sandboxes.get(self.name) is not self
        if store.keeps and not self._deleted:
            store.owe([sandbox_record(self)])

    def _retire(self) -> bool:
        """Let no further endpoint join, if none has joined; tell whether it is ours to drop now."""
        with self._controller._lock:
            if self._deleted or self._endpoints or self._joining:
                return False
            self._deleted = True
            return True

    def _place(self) -> Netns:
        if self._netns is None:
            raise errors.NoSandboxError(f"sandbox {self.name!r} is being made")
        return self._netns

    def _enter(self) -> None:
        """Note that an endpoint is about to join: until :meth:`_exit` the sandbox cannot be deleted."""
        with self._controller._lock:
            if self._deleted:
                raise errors.NoSandboxError(f"sandbox {self.name!r} is deleted")
            self._joining += 1

    def _exit(self) -> None:
        with self._controller._lock:
            self._joining -= 1

    def _note(self, endpoint: Endpoint, inside: bool) -> None:
        """Take from the lifecycle whether an endpoint is in here."""
        before = endpoint.sandbox
        with self._controller._lock:
            if inside:
                self._endpoints.add(endpoint)
                endpoint.sandbox = self
            else:
                self._endpoints.discard(endpoint)
                if endpoint.sandbox is self:
                    endpoint.sandbox = None
        hub = self._controller._hub
        if hub.active and not endpoint._warm:
            if inside:
                hub.came_up(endpoint)
            elif before is self:
                hub.went_down(endpoint, self._place().key)
        self._controller._files.moved(endpoint, self)

    def __repr__(self) -> str:
        return f"<Sandbox {self.name!r}{' deleted' if self._deleted else ''}>"

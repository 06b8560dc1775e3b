"""The controller: networks and sandboxes by name, on one instance of a dataplane."""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import threading
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, final

from driverapi import errors, labels
from driverapi.api import Driver
from driverapi.control import keeping
from driverapi.control.checks import check_name, checked_options, checked_path
from driverapi.control.gate import Gate, changes, reads
from driverapi.control.leasing import AddressLease, collect, end_leases
from driverapi.control.pooling import give_pools_back, ipam_wishes, take_pools
from driverapi.control.warm import WarmPool
from driverapi.dataplane.contract import Dataplane, Keeps, Netns
from driverapi.hints import there_are
from driverapi.instance import Instance
from driverapi.ipam.contract import IPAM
from driverapi.ipam.default import DefaultIPAM
from driverapi.ipam.options import prefixes_asked
from driverapi.ipam.registry import IPAMRegistry
from driverapi.ipam.wishes import wishes_of
from driverapi.lifecycle.lifecycle import Lifecycle
from driverapi.lifecycle.watching import closing, opened, sandbox_made
from driverapi.network import Network
from driverapi.registry import DriverRegistry
from driverapi.sandbox import Sandbox
from driverapi.services.files import SandboxFiles
from driverapi.services.services import Services, services_of
from driverapi.store.contract import Store
from driverapi.store.memory import MemoryStore
from driverapi.streams.hub import Hub
from driverapi.streams.streaming import Tells

if TYPE_CHECKING:
    from driverapi.addresses import IPLike, PrefixLike
    from driverapi.endpoint import Endpoint
    from driverapi.lifecycle.restore import Restored

__all__ = ["Controller"]

_open: weakref.WeakSet[Controller] = weakref.WeakSet()


@final
class Controller(Tells):
    """Makes networks and sandboxes; without state, takes away all that it made when it is closed.

    Parameters
    ----------
    state : path, optional
        A file to keep the state in: then all stays when the controller is closed, or killed, and is there again when
        one is made with that file (see :mod:`driverapi.lifecycle.restore`). By default none is kept.
    durability : str
        Of the state: ``"full"``, ``"normal"`` or ``"none"``; :mod:`driverapi.store.sqlite` says what each can lose.
    lost : str
        What becomes of endpoints that had joined a sandbox and are found out of it, as after a reboot: ``"keep"``
        has them be there, with their addresses, to join again; ``"release"`` deletes them.
    quarantine : float
        Seconds for which an address that was given back is not given again, unless there is no other; over restarts
        too, with state. Of the built-in IPAM.
    hold_ports : bool
        Hold a published port of the host with a socket, so that nobody else takes it: a descriptor for each.
    run_dir : path, optional
        Directory for the namespaces of sandboxes; ``/run/driverapi`` for root, else in
        ``XDG_RUNTIME_DIR``; the environment's ``DRIVERAPI_RUN_DIR`` goes before both.
    registry : DriverRegistry, optional
        Where drivers come from; by default one of its own, with the built-in and the installed ones.
    driver_options : mapping, optional
        Configuration of drivers: network type to options, as ``{"bridge": {"EnableIPForwarding": False}}``.
        Each is given to its driver before that driver's first network.
    dataplane : Dataplane, optional
        What realises plans; by default the Linux kernel, in the namespace of the calling thread.
    ipam : IPAM, optional
        Who gives addresses; by default the built-in one, with address spaces of its own.
    ipams : IPAMRegistry, optional
        Where networks find an IPAM by its name; by default one of its own. ``ipam`` is its ``"default"``.

    Raises
    ------
    errors.NoDriverError, errors.InvalidError
        ``driver_options`` names a driver that there is not, or is no mapping of options.
    errors.KernelError
        No netlink socket, or no directory, could be had.
    errors.StateBusyError, errors.StateDamagedError, errors.StateError
        Another controller has the state (the text has its process); it is damaged; it cannot be read or written.

    Notes
    -----
    With state, ``restored`` says what was found (:class:`driverapi.lifecycle.restore.Restored`); else it is None.

    Thread safety: all methods, and those of its networks, endpoints and sandboxes.
    It cannot be used in a child process after a fork: a child makes its own.
    """

    def __init__(
        self,
        *,
        state: str | os.PathLike[str] | None = None,
        durability: str = "normal",
        lost: str = "keep",
        quarantine: float = 0.0,
        hold_ports: bool = True,
        run_dir: str | os.PathLike[str] | None = None,
        registry: DriverRegistry | None = None,
        driver_options: Mapping[str, Mapping[str, Any]] | None = None,
        dataplane: Dataplane | None = None,
        ipam: IPAM | None = None,
        ipams: IPAMRegistry | None = None,
    ) -> None:
        if lost not in ("keep", "release"):
            raise errors.InvalidError(f"lost {lost!r} is neither 'keep' nor 'release'")
        if registry is not None and not isinstance(registry, DriverRegistry):
            raise errors.InvalidError(f"registry {registry!r} is no DriverRegistry")
        for what, given, verb in (("dataplane", dataplane, "realise"), ("ipam", ipam, "request_pool")):
            if given is not None and not callable(getattr(given, verb, None)):
                raise errors.InvalidError(f"{what} {given!r} has no method {verb}: it is none")
        self.registry = DriverRegistry() if registry is None else registry
        self._driver_options = checked_options(self.registry, driver_options)
        if state is not None and dataplane is not None and not isinstance(dataplane, Keeps):
            raise errors.InvalidError(f"dataplane {dataplane!r} cannot know its things again; leave state out")
        self._lock = threading.RLock()
        self._networks: dict[str, Network] = {}
        self._sandboxes: dict[str, Sandbox] = {}
        self._hub = Hub(self)
        self._leasing = threading.Lock()  # while leases begin and end, in the IPAM and in the store
        self._instance: Instance | None = None
        if quarantine and ipam is not None:
            raise errors.InvalidError("quarantine is the built-in IPAM's: give it to yours, or leave ipam out")
        self._ipam: IPAM = DefaultIPAM(quarantine) if ipam is None else ipam
        self.ipams = IPAMRegistry() if ipams is None else ipams
        self.ipams.register("default", self._ipam)
        self.restored: Restored | None = None
        with contextlib.ExitStack() as undo:
            kept = self._state = None if state is None else keeping.open_state(state, durability)
            self._store: Store = MemoryStore() if kept is None else kept
            undo.callback(self._store.close)
            if dataplane is None:
                # Imported late: a fake dataplane needs neither.
                from driverapi.dataplane.linux import LinuxDataplane, ids_in_use

                self._instance = Instance.of(kept, run_dir, avoid=ids_in_use())
                undo.callback(self._instance.close if kept is None else self._instance.rest)
                dataplane = LinuxDataplane(self._instance, hold_ports=bool(hold_ports))
                undo.callback(dataplane.close)
            self._dataplane: Dataplane = dataplane
            self._gate = Gate(self._settle)
            self._files = SandboxFiles(self, None if self._instance is None else self._instance.directory)
            undo.callback(self._files.stop)
            self._lifecycle = Lifecycle(self._dataplane, self._store, quarantine=quarantine)
            self._lifecycle.watch.networks = self._networks
            if kept is not None:
                from driverapi.lifecycle.restore import restore

                with self._gate.call():
                    keeping.begin(kept)
                    self.restored = restore(self, release=lost == "release")
            undo.pop_all()
        _open.add(self)
        opened(self)

    # --- networks -------------------------------------------------------------------------------

    @property
    @reads
    def networks(self) -> list[Network]:
        """The networks that are ready."""
        with self._lock:
            return [network for network in self._networks.values() if network._driver is not None]

    @reads
    def network(self, name: str) -> Network:
        """Return the network of a name or an id.

        Raises
        ------
        errors.NoNetworkError
            There is none.
        """
        for network in self.networks:
            if name in (network.name, network.id):
                return network
        raise errors.NoNetworkError(f"no network {name!r}; {there_are(one.name for one in self.networks)}")

    @changes
    def create_network(
        self,
        driver: str,
        name: str,
        *,
        ipv4: PrefixLike | None = None,
        ipv6: PrefixLike | None = None,
        gateway: IPLike | None = None,
        gateway_ipv6: IPLike | None = None,
        ip_range: PrefixLike | Sequence[PrefixLike] = (),
        aux_addresses: Mapping[str, IPLike] | None = None,
        serial: bool = False,
        allow_overlap: bool = False,
        ipam: str = "default",
        ipam_options: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Network:
        """Create a network.

        Parameters
        ----------
        driver : str
            The network type: ``"bridge"``, ``"routed"``, ``"host"``, ``"null"`` or an installed one.
        name : str
            Unique within the controller.
        ipv4, ipv6 : prefix, optional
            ``"0.0.0.0/24"`` and ``"::/64"`` ask for any free one of that size. Where the driver wants addresses and
            neither is given, a free IPv4 prefix is chosen.
        gateway, gateway_ipv6 : address, optional
            By default the first address of the prefix, where the driver wants addresses.
        ip_range : prefix or sequence of prefixes, optional
            Part of the prefix of that family which addresses are given from; others may be asked for.
        aux_addresses : mapping, optional
            Addresses that no endpoint may have, by any name: those of routers, say.
        serial : bool
            Give the next address after the last that was given, and not the lowest that is free.
        allow_overlap : bool
            The prefixes may overlap those of other networks, of the host's routes and of its name servers.
        ipam : str
            Who gives addresses: ``"default"``, ``"null"`` (nobody) or an installed one (``driverapi.ipams``).
        ipam_options : mapping, optional
            What it is told: ``driverapi.ipam.space`` (``local``, ``global``), ``com.docker.network.ipam.serial``, and
            what that IPAM alone understands.
        options : mapping, optional
            Labels, of either generation (see :mod:`driverapi.labels`).

        Raises
        ------
        errors.NoDriverError, errors.NotFoundError
            No driver of that type; no IPAM of that name.
        errors.NetworkExistsError
            The name is taken.
        errors.InvalidError, errors.ConflictError
            A prefix is none, or overlaps that of another network; an option is wrong, or a driver option.
        errors.KernelError
            The kernel refused what the network needs; nothing of it is left.
        """
        check_name(name, "network name")
        options = labels.normalise(options)
        self._check_kept(options, f"network {name!r}")
        found = self._configured(driver)
        serial, space, more = ipam_wishes(ipam_options, serial=serial)
        self._check_kept(more, f"network {name!r}")
        said = options if found.requires_ipam else {}
        asked = prefixes_asked(said, ipv4, ipv6, gateway, gateway_ipv6, ip_range)
        wishes = wishes_of(*asked, aux_addresses, serial=serial, space=space, options=more)
        network = Network(self, secrets.token_hex(32), name, driver, ipam)
        try:
            with self._lock:
                if name in self._networks:
                    raise errors.NetworkExistsError(f"network {name!r} exists already; choose another name")
                self._networks[name] = network
            data = take_pools(self, network, found, wishes, options, allow_overlap=allow_overlap)
            for ours in (labels.IPAM_DATA, labels.MEMORY):
                if ours in options:
                    raise errors.InvalidError(f"option {ours!r} is not for users; leave it out")
            note = keeping.note_of_network(network, data, options, wishes) if self._store.keeps else None
            self._lifecycle.create_network(network.id, found, {**options, labels.IPAM_DATA: data}, note, name)
            network._driver = found
            self._gate.safe_point()
        except BaseException:
            network._driver = None
            try:
                with suppress(errors.NoNetworkError):  # there is one if an interrupt came late
                    self._lifecycle.delete_network(network.id)
                give_pools_back(network)
            finally:
                with self._lock:
                    if self._networks.get(name) is network:
                        del self._networks[name]
            raise
        return network

    def _configured(self, driver: str) -> Driver:
        """Return a driver, with its options if it was given any."""
        found = self.registry.get(driver)
        if driver in self._driver_options:
            self.registry.configure(driver, self._driver_options[driver])
        return found

    def _delete_network(self, network: Network) -> None:
        if self._lifecycle.has_network(network.id):  # else an earlier deletion came this far
            self._lifecycle.delete_network(network.id)
        end_leases(network)
        with self._lock:
            del self._networks[network.name]

    @changes
    def gc(self, owners: Collection[str]) -> list[AddressLease]:
        """End the leases of all owners but these, in one transaction of the state; return them. Endpoints stay.

        Raises
        ------
        errors.InvalidError
            The owners are no collection of text.
        """
        return collect(self, owners)

    def warm(self, network: Network | str, n: int, *, wait: bool = True) -> WarmPool:
        """Keep ``n`` complete endpoints of a network ready, which ``Network.attach`` then takes without kernel work.

        They are refilled in the background. A request for certain addresses, options or sandboxes goes past them.
        Each holds an address of each prefix, a namespace and a link; see :mod:`driverapi.control.warm`.

        Parameters
        ----------
        network : Network or str
            A network of this controller, or its name or id.
        n : int
            How many, at most 10,000; 0 ends the pool and takes away what is ready.
        wait : bool
            Return only when they are ready, or when making them has failed (``pool.fault`` says how).

        Returns
        -------
        WarmPool
            The network's one pool, whatever its size.

        Raises
        ------
        errors.InvalidError, errors.NoNetworkError
            No such number; no network of this controller.
        """
        pool = self._keep_warm(network, n)
        if wait:
            pool.wait()  # outside of the gate: it can be interrupted, and closed, meanwhile
        return pool

    @changes
    def _keep_warm(self, network: Network | str, n: int) -> WarmPool:
        if isinstance(network, str):
            network = self.network(network)
        if not isinstance(network, Network) or network._controller is not self:
            raise errors.InvalidError(f"{network!r} is no network of this controller")
        return network._keep_warm(n)

    # --- sandboxes ------------------------------------------------------------------------------

    @property
    @reads
    def sandboxes(self) -> list[Sandbox]:
        """The sandboxes that there are, but for those of warm pools that nobody has taken yet."""
        with self._lock:
            return [box for box in self._sandboxes.values() if box._netns is not None and not box._warm]

    @reads
    def sandbox(self, name: str) -> Sandbox:
        """Return the sandbox of a name.

        Raises
        ------
        errors.NoSandboxError
            There is none.
        """
        check_name(name, "sandbox name")
        with self._lock:
            found = self._sandboxes.get(name)
        if found is None or found._netns is None or found._warm:
            raise errors.NoSandboxError(f"no sandbox {name!r}; {there_are(one.name for one in self.sandboxes)}")
        return found

    @changes
    def create_sandbox(
        self,
        name: str,
        *,
        netns: str | os.PathLike[str] | None = None,
        host: bool = False,
        services: bool | Services | None = None,
    ) -> Sandbox:
        """Create a sandbox: with a namespace of its own, or for one that exists.

        Parameters
        ----------
        netns : path, optional
            A namespace that exists; it stays when the sandbox is deleted.
        host : bool
            The host's own namespace, for endpoints of driver ``host``.
        services : bool or Services, optional
            Keep an ``/etc/hosts`` and a ``/etc/resolv.conf`` for it (``box.hosts_path``).

        Raises
        ------
        errors.SandboxExistsError
            The name is taken.
        errors.NoSandboxError
            ``netns`` is no network namespace.
        errors.KernelError
            The namespace could not be made.
        """
        check_name(name, "sandbox name")
        if host and netns is not None:
            raise errors.InvalidError("a sandbox is either the host's or that of netns, not both")
        path = None if netns is None else checked_path(netns)
        serve = services_of(services)
        sandbox, id = Sandbox(self, name), secrets.token_hex(8)
        try:
            with self._lock:
                if name in self._sandboxes:
                    raise errors.SandboxExistsError(f"sandbox {name!r} exists already; choose another name")
                self._sandboxes[name] = sandbox
            if host:
                sandbox._netns = self._dataplane.host_sandbox()
            elif path is not None:
                sandbox._netns = self._dataplane.open_sandbox(path)
            else:
                made = self._dataplane.make_sandboxes([id])
                refused = self._dataplane.wait_sandboxes(made)[0]
                if refused is not None:
                    raise refused
                sandbox._netns = made[0]
            if serve is not None:
                self._files.open(sandbox, serve)
            self._gate.safe_point()
            if self._store.keeps:
                self._store.put([keeping.sandbox_record(sandbox)])
            sandbox_made(sandbox)
        except BaseException:
            self._discard_sandboxes([sandbox], [id])
            raise
        return sandbox

    def _make_sandboxes(self, count: int, *, host: bool = False, warm: bool = False) -> list[Sandbox]:
        """Begin to make sandboxes for a bulk call; named by their ids."""
        ids = [secrets.token_hex(8) for _ in range(count)]
        made: list[Sandbox] = []
        try:
            if host:
                places: Sequence[Netns] = [self._dataplane.host_sandbox() for _ in ids]
            else:
                places = self._dataplane.make_sandboxes(ids)
            made = [Sandbox(self, id, netns) for id, netns in zip(ids, places, strict=True)]
            for sandbox in made:
                sandbox._warm = warm
                sandbox._made = True
            with self._lock:
                self._sandboxes.update((sandbox.name, sandbox) for sandbox in made)
            if self._store.keeps:
                self._store.put([keeping.sandbox_record(sandbox) for sandbox in made])
        except BaseException:
            self._discard_sandboxes(made, ids)
            raise
        return made

    def _discard_sandboxes(self, sandboxes: Sequence[Sandbox], ids: Sequence[str]) -> None:
        """Undo a making that failed or was interrupted, wherever it was."""
        self._files.close(sandboxes)
        self._dataplane.discard_sandboxes(ids)
        with self._lock:
            for sandbox in sandboxes:
                if self._sandboxes.get(sandbox.name) is sandbox:
                    del self._sandboxes[sandbox.name]
        self._store.owe(gone=[keeping.sandbox_id(sandbox) for sandbox in sandboxes if sandbox._netns is not None])

    def _settle(self) -> None:
        """Do what a call owes when it ends."""
        self._store.flush()
        self._files.settle()

    def _check_kept(self, options: Mapping[str, Any], what: str) -> None:
        """See that options can be kept, where they must be."""
        if options and self._store.keeps:
            keeping.check_options(options, what)

    def _keep_sandbox(self, endpoint: Endpoint) -> None:
        """Have the sandbox that was made for an endpoint be one by itself: the endpoint goes, or parts from it."""
        sandbox = endpoint._made_sandbox
        if sandbox is not None and sandbox._made and not sandbox._deleted:
            sandbox._made = False
            if self._store.keeps:
                self._store.owe([keeping.sandbox_record(sandbox)])  # the endpoint's own record is not written before it

    def _drop_sandboxes(self, sandboxes: Sequence[Sandbox]) -> list[Exception | None]:
        """Drop sandboxes; one that the dataplane does not let go stays, and can be deleted again."""
        if not sandboxes:
            return []
        stay = set(sandboxes)
        with self._lock:
            for sandbox in sandboxes:
                sandbox._deleted = True
        try:
            answers = self._dataplane.drop_sandboxes([sandbox._netns for sandbox in sandboxes])
            stay = {sandbox for sandbox, refused in zip(sandboxes, answers, strict=True) if refused is not None}
        finally:
            with self._lock:
                for sandbox in sandboxes:
                    sandbox._deleted = sandbox not in stay
                    if sandbox._deleted and self._sandboxes.get(sandbox.name) is sandbox:
                        del self._sandboxes[sandbox.name]
            self._store.owe(gone=[keeping.sandbox_id(sandbox) for sandbox in sandboxes if sandbox._deleted])
            self._files.close(sandbox for sandbox in sandboxes if sandbox._deleted and sandbox._files is not None)
        return answers

    def _check_sandbox(self, sandbox: Sandbox, *, deleted_too: bool = False) -> None:
        if not isinstance(sandbox, Sandbox):
            raise errors.InvalidError(f"{sandbox!r} is no Sandbox; make one with create_sandbox")
        if sandbox._controller is not self:
            raise errors.InvalidError(f"sandbox {sandbox.name!r} belongs to another controller")
        if sandbox._deleted and not deleted_too:
            raise errors.NoSandboxError(f"sandbox {sandbox.name!r} is deleted")

    # --- its own life ---------------------------------------------------------------------------

    def close(self) -> None:
        """Take away everything it made: endpoints, networks, sandboxes. A second time does nothing.

        With state, everything stays but for warm pools, and is there for the next controller on that state.
        Calls of other threads that are under way are waited for; new ones are refused. In a
        child process it does nothing: all is the parent's.

        Raises
        ------
        errors.BulkError
            Something could not be taken away; the rest is gone, and what is left can be closed again.
        errors.BusyError
            It is called from inside a call of the controller, as from ``progress``.
        """
        if not self._gate.ours:
            return
        with self._gate.closing() as first:
            if first:
                self._end()

    @closing
    def _end(self) -> None:
        faults: list[Exception] = []
        self._hub.close()

        def attempt(step: Callable[[], object]) -> None:
            try:
                step()
            except Exception as fault:
                faults.append(fault)

        for network in self.networks:
            if self._store.keeps:
                attempt(network._warm.end)
                continue
            network._warm.close()
            attempt(partial(network._take_away, network._everyone(), faults=faults))
            attempt(network._delete)
        with self._lock:
            there = [sandbox for sandbox in self._sandboxes.values() if sandbox._netns is not None]
        if not self._store.keeps:
            attempt(lambda: faults.extend(fault for fault in self._drop_sandboxes(there) if fault is not None))
        if faults:
            raise errors.BulkError("close: not everything could be taken away; close it again", faults)
        attempt(self._files.end)
        attempt(partial(self._dataplane.close, [sandbox.key for sandbox in there]))
        if self._state is not None and not faults:
            attempt(partial(keeping.end, self._state))
        attempt(self._store.close)
        if self._instance is not None:
            attempt(self._instance.rest if self._store.keeps and (self._networks or there) else self._instance.close)
        _open.discard(self)
        if faults:
            raise errors.BulkError("close: all is taken away, but not everything let go", faults)

    @changes
    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        id = "" if self._instance is None else f" {self._instance.id}"
        return f"<Controller{id}, {len(self._networks)} networks, {len(self._sandboxes)} sandboxes>"


def _close_forgotten() -> None:
    """Close what was not closed when the interpreter ends: nothing stays behind a plain exit."""
    faults: list[Exception] = []
    for controller in list(_open):
        try:
            controller.close()
        except errors.BulkError as fault:
            faults.append(fault)
    if faults:
        raise errors.BulkError("at the interpreter's end", faults)


atexit.register(_close_forgotten)

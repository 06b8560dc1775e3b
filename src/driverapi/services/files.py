"""The files of sandboxes: ``/etc/hosts`` and ``/etc/resolv.conf``, in a directory of ours for each.

They are made when the sandbox is (``create_sandbox(services=…)``; no other sandbox has any), and go with it. When
endpoints come and go on its networks they are written anew: its own lines before the call returns that had it join
or leave, those of its peers a moment later, once for all that happened meanwhile, however many calls that were.

A new file takes the place of the old one (``rename(2)``, mode 0644); no link is ever followed, neither of the file nor
of its directory, which may be mounted into a container. What a user writes into them stays: see
:mod:`driverapi.services.hosts` and :mod:`driverapi.services.resolvconf`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, final

from driverapi import errors
from driverapi.addresses import format_ip
from driverapi.api import Origin
from driverapi.events import emit, of_fault
from driverapi.paths import check_id, private_directory, put_file, write_all
from driverapi.services import hosts, resolvconf
from driverapi.services.hostresolver import host_resolv_conf
from driverapi.services.hosts import HostsEntry, is_hostname

if TYPE_CHECKING:
    from driverapi.controller import Controller
    from driverapi.endpoint import Endpoint
    from driverapi.network import Network
    from driverapi.sandbox import Sandbox
    from driverapi.services.services import Services

__all__ = ["Files", "SandboxFiles"]

QUIET: Final = 0.05
"""Seconds without any change, and without a call under way, after which the files of peers are written."""

LATEST: Final = 2.0
"""Seconds after the first change by which they are written, however much goes on."""

HOSTS, RESOLV_CONF = "hosts", "resolv.conf"

_MOST: Final = 1 << 20  # bytes of a file; a longer one is no such file, and left alone


@final
@dataclass(eq=False, slots=True)
class Files:
    """The files of one sandbox.

    Attributes
    ----------
    id : str
        Name of its directory.
    writes : int
        How often a file of it was written.
    """

    id: str
    services: Services
    directory: str = ""
    writes: int = 0


@final
class SandboxFiles:
    """The files of the sandboxes of one controller.

    Parameters
    ----------
    base : path, optional
        Directory of the instance; without one (a dataplane in memory) a temporary directory, which goes at the end.

    Notes
    -----
    Thread safety: all methods.
    """

    def __init__(self, controller: Controller, base: Path | None) -> None:
        self._controller = controller
        self._base = base
        self._temporary: str | None = None
        self._lock = threading.Lock()  # guards what follows
        self._served: dict[Sandbox, Files] = {}
        self._own: set[Sandbox] = set()  # which have joined or left
        self._dirty: set[Network] = set()
        self._changes = 0
        self._thread: threading.Thread | None = None
        self._hurry = threading.Event()
        self._writing = threading.Lock()  # held while files are written

    # --- what happens ---------------------------------------------------------------------------

    def open(self, sandbox: Sandbox, services: Services, id: str | None = None) -> None:
        """Serve a sandbox from now on.

        Parameters
        ----------
        id : str, optional
            Of files that an earlier process had made: they are looked at when the call ends.

        Raises
        ------
        errors.KernelError
            They could not be made, and nothing is left of them.
        """
        files = Files(check_id(id or secrets.token_hex(8), "files id"), services)
        files.directory = str(self._place() / files.id)
        with self._lock:
            self._served[sandbox] = sandbox._files = files
        if id is not None:
            self.moved(None, sandbox)
            return
        try:
            self.renew(sandbox)
        except BaseException:
            self.close([sandbox])
            raise

    def close(self, sandboxes: Iterable[Sandbox]) -> None:
        """Serve sandboxes no more, and take their files away."""
        for sandbox in sandboxes:
            with self._lock:
                self._own.discard(sandbox)
                files = self._served.pop(sandbox, None)
                sandbox._files = None
            if files is not None:
                with self._writing:  # who writes just now may have seen it served
                    shutil.rmtree(files.directory, ignore_errors=True)

    def moved(self, endpoint: Endpoint | None, sandbox: Sandbox) -> None:
        """Take note that an endpoint has joined a sandbox, or left it."""
        if not self._served:
            return
        with self._lock:
            if sandbox in self._served:
                self._own.add(sandbox)
        if endpoint is not None:
            self.changed(endpoint.network)

    def changed(self, network: Network) -> None:
        """Take note that other endpoints are on a network than before."""
        if not self._served:
            return
        with self._lock:
            self._changes += 1
            self._dirty.add(network)
            if self._thread is None and not self._hurry.is_set():
                thread = threading.Thread(target=self._run, name="driverapi-files", daemon=True)
                with contextlib.suppress(RuntimeError):  # no thread is to be had: at the next change, or the end
                    thread.start()
                    self._thread = thread

    def settle(self) -> None:
        """Write the files of sandboxes which have joined or left; called at the end of each call."""
        if self._own:
            with self._lock:
                own, self._own = self._own, set()
            self._write(own)

    def stop(self) -> None:
        """Let the thread end; what it would have written is written by :meth:`end`."""
        self._hurry.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def end(self) -> None:
        """Write what is to be written, and nothing any more."""
        self.stop()
        self._write_dirty()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def sweep(self) -> None:
        """Take away what an earlier process left of sandboxes that are no more."""
        if self._base is None:
            return
        known = {files.id for files in self._served.values()}
        place = self._base / "files"
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(place):
                if name not in known:
                    shutil.rmtree(place / name, ignore_errors=True)

    def renew(self, sandbox: Sandbox) -> None:
        """Write the files of a sandbox where they are not as they should be.

        Raises
        ------
        errors.KernelError
            They could not be written.
        """
        files = sandbox._files
        if files is None:
            raise errors.InvalidError(f"sandbox {sandbox.name!r} has no files: make it with services=True")
        try:
            with self._writing:
                if sandbox in self._served:
                    self._renew(sandbox, files, {}, resolver=True)
        except OSError as error:
            kind = errors.NoPermissionError if isinstance(error, PermissionError) else errors.KernelError
            raise kind(
                f"sandbox {sandbox.name!r}: write {files.directory}: {error.strerror or error}", error.errno or 0
            ) from error

    # --- when it is written -----------------------------------------------------------------------

    def _run(self) -> None:
        """Write for as long as there is something, each time when it has become quiet."""
        while True:
            began, seen = time.monotonic(), -1
            while not self._hurry.wait(QUIET) and time.monotonic() - began < LATEST:
                before, seen = seen, self._changes
                if seen == before and not self._controller._gate.busy:
                    break
            if not self._hurry.is_set():
                self._write_dirty()
            with self._lock:
                if self._hurry.is_set() or not self._dirty:
                    self._thread = None
                    return

    def _write_dirty(self) -> None:
        """Write the files of all whom a change concerns."""
        with self._lock:
            dirty, self._dirty = self._dirty, set()
            own, self._own = self._own, set()
            served = list(self._served)
        concerned = [box for box in served if box not in own and any(one.network in dirty for one in box.endpoints)]
        self._write(own, concerned)

    def _write(self, own: Collection[Sandbox], peers: Collection[Sandbox] = ()) -> None:
        """Write files; one that cannot be is logged, and tried again at the next change."""
        blocks: dict[Network, str] = {}
        with self._writing:
            for several, resolver in ((own, True), (peers, False)):
                for sandbox in several:
                    files = self._served.get(sandbox)
                    if files is None:
                        continue
                    try:
                        self._renew(sandbox, files, blocks, resolver=resolver)
                    except OSError as error:
                        emit("sandbox.files_failed", sandbox=sandbox.name, **of_fault(error))

    # --- what is written --------------------------------------------------------------------------

    def _renew(self, sandbox: Sandbox, files: Files, blocks: dict[Network, str], *, resolver: bool) -> None:
        endpoints = sorted(sandbox.endpoints, key=lambda one: (one.network.name, one.name))
        block = ""
        for network in {one.network: None for one in endpoints}:
            if network not in blocks:
                blocks[network] = hosts.format_entries(_peers(network))
            block += blocks[network]

        def renewed(text: str | None) -> str | None:
            return hosts.build(files.services.entries, block) if text is None else hosts.renew(text, block)

        def resolved(text: str | None) -> str | None:
            if text is not None and not resolvconf.is_ours(text):
                return None
            families = {":" in ip for one in endpoints for ip in _addresses(one)}
            wanted = files.services.resolv_conf(
                host_resolv_conf(), ipv6=True in families, ipv4=families != {True}
            )  # who has no address yet is taken to get one of IPv4
            return resolvconf.build(wanted)

        with _opened(files.directory) as directory:
            _replace(directory, files, HOSTS, renewed)
            if resolver:
                _replace(directory, files, RESOLV_CONF, resolved)

    def _place(self) -> Path:
        """Return the directory that has one for each sandbox."""
        if self._base is not None:
            try:
                return private_directory(self._base / "files", "directory of files")
            except OSError as error:
                if isinstance(error, errors.DriverAPIError):
                    raise
                raise errors.KernelError(f"make {self._base / 'files'}: {error.strerror}", error.errno or 0) from error
        with self._lock:
            if self._temporary is None:
                import tempfile  # late: only for tests

                self._temporary = tempfile.mkdtemp(prefix="driverapi-")
            return Path(self._temporary)


def _addresses(endpoint: Endpoint) -> list[str]:
    rows = endpoint._info._rows
    found = [ip for row in range(len(rows)) for ip in (rows.ipv4(row), rows.ipv6(row)) if ip is not None]
    return [format_ip(ip) for ip in found]


def _peers(network: Network) -> list[HostsEntry]:
    """Return the lines of all that are in sandboxes of a network, here or on other hosts: the same for each of them."""
    found = []
    domain = network.name if is_hostname(network.name) else ""
    for endpoint in network._everyone():
        sandbox = endpoint.sandbox
        if endpoint._warm or (sandbox is None and endpoint.origin is not Origin.NOTICED):
            continue
        files = None if sandbox is None else sandbox._files
        names = list(files.services.names(sandbox.name)) if sandbox is not None and files is not None else []
        if is_hostname(endpoint.name):
            names += [endpoint.name, f"{endpoint.name}.{domain}"] if domain else [endpoint.name]
        if names:
            together = tuple(dict.fromkeys(names))
            found += [HostsEntry(ip, together) for ip in _addresses(endpoint)]
    return found


# --- files ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    """Open a directory of ours, and make it where it is not there: nothing else, and no link."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        directory = os.open(path, flags)
    except FileNotFoundError:
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
        directory = os.open(path, flags)
        os.fchmod(directory, 0o755)  # whatever the umask; the directory above lets nobody else in
    try:
        yield directory
    finally:
        os.close(directory)


def _replace(directory: int, files: Files, name: str, make: Callable[[str | None], str | None]) -> None:
    """Have a file be what ``make`` makes of its text; None, and the same, leave it."""
    text = _read(directory, name)
    if text is False:
        return
    made = make(text)
    if made is None or made == text:
        return
    data = made.encode("utf-8", "surrogateescape")
    if files.services.in_place and text is not None:
        _overwrite(directory, name, data)
    else:
        put_file(directory, name, data)
    files.writes += 1


def _read(directory: int, name: str) -> str | Literal[False] | None:
    """Return the text of a file; None where there is none, False where it is to be left alone.

    What is no ordinary file is none: a link, say, that who has the directory mounted has put there.
    """
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
            return None
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        if status.st_size > _MOST:
            return False
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(_MOST).decode("utf-8", "surrogateescape")
    finally:
        os.close(descriptor)


def _overwrite(directory: int, name: str, data: bytes) -> None:
    descriptor = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    try:
        write_all(descriptor, data)
        os.ftruncate(descriptor, len(data))
    finally:
        os.close(descriptor)

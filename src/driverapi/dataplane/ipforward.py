"""``net.ipv4.ip_forward``, which is the machine's: switched on for networks that ask for it, and back after the last.

What is to be put back stands in a file in the run directory, which all instances of it share. It is written before the
switch is, and taken away after that is as it was: whoever is killed in between leaves the duty to the next that takes a
network away, starts again, or to ``doctor``.

The kernel gives each device the value of the switch when that changes (``inet_forward_change``). So it goes back only
when no link of ours is left, of whichever instance: those of other networks have to forward by themselves. Devices of
others that did so before are told to do so again. A bridge that others made is no link of ours: so who wants the switch
on holds a shared lock on the file, too (flock(2)).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final, final

from driverapi._native import NetlinkError, NetlinkSocket
from driverapi.dataplane.failures import failure, unwritten
from driverapi.dataplane.forwarding import SWITCHES, Forwarding
from driverapi.events import emit
from driverapi.instance import is_marked_group
from driverapi.machine import boot_id, namespace_id

__all__ = ["HostForwarding", "host_forwarding"]

_NAME: Final = SWITCHES[4]


@final
class HostForwarding:
    """The switch of one network namespace: that of the thread that makes it.

    Thread safety: all methods.
    """

    def __init__(self, run_dir: Path, forwarding: Forwarding, host: NetlinkSocket) -> None:
        self._forwarding = forwarding
        self._host = host
        self._base = run_dir
        self._path = run_dir / f"forwarding-{namespace_id()}"
        self._lock = threading.Lock()
        self._wanting: set[str] = set()
        self._held = -1  # descriptor of the file, with a lock, as long as a network wants the switch on

    def close(self) -> None:
        """Let go of the descriptor; what is to be put back stays to be."""
        with self._lock:
            self._let_go()

    def want(self, network: str) -> None:
        """Have the host forward as long as a network is there.

        Raises
        ------
        errors.NoPermissionError, errors.KernelError
            The switch, or the file, cannot be written; nothing was changed.
        """
        with self._lock:
            if network in self._wanting:
                return
            with self._alone():
                if not self._forwarding.for_all(4):
                    ours = self._owed() is None
                    if ours:
                        self._write(self._forwarding.devices(4))
                    try:
                        self._forwarding.switch_all(on=True)
                    except OSError:
                        if ours:
                            self._path.unlink(missing_ok=True)
                        raise
                    emit("host.forwarding", option=f"{_NAME}=1")
                self._hold()
            self._wanting.add(network)

    def unwant(self, network: str = "") -> None:
        """Undo of :meth:`want`, for a network that is gone; put back what nobody wants any more, whoever wanted it.

        Raises
        ------
        errors.NoPermissionError, errors.KernelError
            The switch cannot be written: it stays as it is, and is put back later.
        """
        with self._lock:
            self._wanting.discard(network)
            if self._wanting:
                return
            self._let_go()
            if not self._path.exists():
                return
            with self._alone():
                devices = self._owed()
                if devices is not None and self._is_needed():
                    return
                if devices is not None:
                    self._forwarding.switch_all(on=False)
                    for device in devices:
                        with contextlib.suppress(FileNotFoundError):  # it is gone
                            self._forwarding.switch_on(device, 4)
                    emit("host.forwarding", option=f"{_NAME}=0")
                self._path.unlink(missing_ok=True)

    def is_left_on(self) -> bool:
        """Tell whether it is to be put back now: no network that wants it is left."""
        if not self._path.exists():
            return False
        with self._alone():
            return self._owed() is not None and not self._is_needed()

    # --- inside ---------------------------------------------------------------------------------

    def _hold(self) -> None:
        """Have others know that it is wanted, if it is to be put back at all."""
        if self._held < 0:
            with contextlib.suppress(FileNotFoundError):  # it was on before any of us
                self._held = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
                fcntl.flock(self._held, fcntl.LOCK_SH)

    def _let_go(self) -> None:
        if self._held >= 0:
            os.close(self._held)
            self._held = -1

    def _is_held(self) -> bool:
        """Tell whether some controller wants it: one that lives."""
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def _is_needed(self) -> bool:
        try:
            return self._is_held() or any(is_marked_group(link.group) for link in self._host.dump_links())
        except NetlinkError as error:
            raise failure("read the host's links", error) from error

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other instances of the run directory out meanwhile."""
        try:
            descriptor = os.open(self._base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
            finally:
                os.close(descriptor)
        except OSError as error:
            raise unwritten(_NAME, error, "set it yourself, and leave EnableIPForwarding out") from error

    def _owed(self) -> list[str] | None:
        """Return which devices forwarded by themselves before; None where nothing is to be put back in this boot."""
        try:
            boot, *devices = self._path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        except (FileNotFoundError, ValueError):
            return None
        return devices if boot == boot_id() else None

    def _write(self, devices: list[str]) -> None:
        """Write it as a whole: half of it would be taken for all."""
        new = self._path.with_suffix(".new")
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write("\n".join([boot_id(), *devices, ""]))
        os.replace(new, self._path)


@contextlib.contextmanager
def host_forwarding(run_dir: Path) -> Iterator[HostForwarding]:
    """Have the switch of the calling thread's network namespace, for who has no dataplane."""
    forwarding = Forwarding()
    try:
        with NetlinkSocket() as host:
            yield HostForwarding(run_dir, forwarding, host)
    finally:
        forwarding.close()

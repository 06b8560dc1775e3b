"""The identity of one controller in the kernel and in the file system.

Each controller has an instance id (16 bits, four hex digits) and, for as long as it lives,
holds the lock of the directory of that id. All that it makes carries the id from birth: the
name and the ``IFLA_GROUP`` of every link, the directory of every namespace. So two
controllers never touch each other's things, and what has our mark but no living holder of
the lock belongs to nobody.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import re
import secrets
import shutil
import socket
import time
import weakref
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Final

from driverapi import errors
from driverapi.paths import check_id, private_directory

if TYPE_CHECKING:
    from driverapi.store.sqlite import SqliteStore

__all__ = ["GROUPS", "GROUP_MARK", "LINK_MARK", "STATE", "Instance", "default_run_dir", "is_marked_group"]

LINK_MARK: Final = "dv"
"""How the names of all our links begin; the instance id follows."""

GROUP_MARK: Final = 1 << 30
"""The bit that all our link groups have; the instance id stands in the 16 bits below."""

GROUPS: Final = 1 << 14
"""Link groups that an instance has for itself."""

STATE: Final = "state"
"""File in the directory of an instance: the path of the state that its things belong to."""

_TRIES: Final = 20
_PAUSE: Final = 0.01  # seconds

_FIRST_INDEX: Final = 1 << 30  # our ifindexes: far above what the kernel counts up to by itself
_INDEXES: Final = (1 << 30) - 1

_NUMBERS: Final = 1 << 15  # of namespaces, for each instance: 2**31 are there for 2**16 of them

_open: weakref.WeakSet[Instance] = weakref.WeakSet()


def is_marked_group(group: int) -> bool:
    """Tell whether a link group is one of any instance's."""
    return GROUP_MARK <= group < GROUP_MARK << 1


def default_run_dir() -> Path:
    """Return the directory under which instances keep their namespaces.

    ``DRIVERAPI_RUN_DIR`` if set, ``/run/driverapi`` for root, else in ``XDG_RUNTIME_DIR``.
    """
    given = os.environ.get("DRIVERAPI_RUN_DIR")
    if given:
        return Path(given)
    if os.geteuid() == 0:
        return Path("/run/driverapi")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if not runtime:
        raise errors.InvalidError(
            "no directory for namespaces: set DRIVERAPI_RUN_DIR or XDG_RUNTIME_DIR, or run as root"
        )
    return Path(runtime) / "driverapi"


class Instance:
    """An instance id, its directory and its lock; names and numbers that carry the id.

    Parameters
    ----------
    run_dir : path, optional
        Where the directory of the instance stands; by default :func:`default_run_dir`.
    avoid : collection of str
        Ids that links in this network namespace carry, whoever's they are.
    before : str, optional
        The id of an instance that has ended, to be it again.
    state : path, optional
        What its things belong to when no process does; told in its directory, for ``doctor``.

    Raises
    ------
    errors.KernelError
        The directory cannot be made or locked.
    errors.UnsafePathError
        Others can change it: it is theirs, writable by them, or a symbolic link.
    errors.StateBusyError
        The instance ``before`` is alive.

    Notes
    -----
    Thread safety: all methods.
    """

    def __init__(
        self,
        run_dir: str | os.PathLike[str] | None = None,
        *,
        avoid: Collection[str] = (),
        before: str | None = None,
        state: Path | None = None,
    ) -> None:
        base = default_run_dir() if run_dir is None else _checked(run_dir)
        self._lock = -1
        self._flag: socket.socket | None = None
        try:
            base = private_directory(base, "run_dir")
            again = None if before is None else _claim_again(base, check_id(before, "instance id"), avoid)
            self.id, self.directory, self._flag = again or _claim(base, avoid)
            try:
                self._lock = _lock(self.directory)
                if state is not None:
                    _tell(self.directory / STATE, os.fsencode(state))
                self.namespaces.mkdir(mode=0o700, exist_ok=True)
                private_directory(self.namespaces, "directory of namespaces", make=False)
            except BaseException:
                self._let_go()
                if again is None:
                    with contextlib.suppress(OSError):  # without descriptors: they may be what there is none of
                        (self.directory / "lock").unlink(missing_ok=True)
                        (self.directory / STATE).unlink(missing_ok=True)
                        self.directory.rmdir()
                raise
        except errors.DriverAPIError:
            raise
        except PermissionError as error:
            raise errors.NoPermissionError(
                f"no permission for {base}: {error.strerror}; give a run_dir of your own", error.errno or 0
            ) from error
        except OSError as error:
            raise errors.KernelError(
                f"instance directory in {base}: {error.strerror or error}", error.errno or 0
            ) from error
        self.number = int(self.id, 16)
        self._names = itertools.count(1)
        self._indexes = itertools.count(secrets.randbelow(_INDEXES))
        self._numbers = itertools.count(1)
        _open.add(self)

    @classmethod
    def of(cls, state: SqliteStore | None, run_dir: str | os.PathLike[str] | None, avoid: Collection[str]) -> Instance:
        """Return the instance of a state, the same each time; without state a new one.

        Raises
        ------
        errors.InvalidError
            The state has namespaces in another directory.
        """
        if state is None:
            return cls(run_dir, avoid=avoid)
        before, base = state.fact("instance"), state.fact("run_dir")
        if base is not None and run_dir is not None and _checked(run_dir) != Path(base):
            if before is not None and (Path(base) / before).exists():
                raise errors.InvalidError(
                    f"state {state.path} has its namespaces in {base}: give that run_dir, or none"
                )
            base = None
        made = cls(base or run_dir, avoid=avoid, before=before, state=state.path)
        state.put_fact("instance", made.id)
        state.put_fact("run_dir", str(made.directory.parent))
        return made

    @property
    def namespaces(self) -> Path:
        """Directory of the namespaces of owned sandboxes."""
        return self.directory / "ns"

    def group(self, number: int) -> int:
        """Return the link group of a number 0…GROUPS-1."""
        return GROUP_MARK | self.number << 14 | number

    def has_group(self, group: int) -> bool:
        """Tell whether a link group is one of the instance's."""
        return 0 <= group - self.group(0) < GROUPS

    def link_name(self, kind: str) -> str:
        """Return a name that no link had before: mark, id, one letter for the kind, a number."""
        return f"{LINK_MARK}{self.id}{kind}{next(self._names) & 0xFFFFFFFF:x}"

    def link_index(self) -> int:
        """Return an ifindex that is most likely free (``EBUSY`` says when it is not)."""
        return _FIRST_INDEX + next(self._indexes) % _INDEXES

    def namespace_number(self) -> int:
        """Return a number for a namespace (``NETNSA_NSID``), each below the one before."""
        return (self.number + 1) * _NUMBERS - 1 - next(self._numbers) % _NUMBERS

    def go_on_after(self, names: Collection[str], numbers: Collection[int]) -> None:
        """Have :meth:`link_name` and :meth:`namespace_number` go on after what there is."""
        first = (self.number + 1) * _NUMBERS - 1
        self._numbers = itertools.count(
            max((first - one for one in numbers if 0 <= first - one < _NUMBERS), default=0) + 1
        )
        used = [int(name[7:], 16) for name in names if re.fullmatch(rf"{LINK_MARK}{self.id}[a-z][0-9a-f]+", name)]
        self._names = itertools.count(max(used, default=0) + 1)

    def rest(self) -> None:
        """Let the lock go, and leave all as it is: it belongs to a state."""
        self._let_go()

    def close(self) -> None:
        """Remove the directory and let the lock go; what still stands in it stays, for ``doctor``."""
        if self._lock < 0:
            return
        with contextlib.suppress(OSError):  # a namespace that could not be dropped keeps its directory
            self.namespaces.rmdir()
            shutil.rmtree(self.directory)
        self._let_go()

    def _let_go(self) -> None:
        descriptor, self._lock = self._lock, -1
        if descriptor >= 0:
            os.close(descriptor)
        if self._flag is not None:
            self._flag.close()
            self._flag = None


def _checked(run_dir: str | os.PathLike[str]) -> Path:
    try:
        path = os.fsdecode(run_dir)
        os.fsencode(path)
    except (TypeError, UnicodeError):
        path = ""
    if not path or "\0" in path or isinstance(run_dir, bytes):
        raise errors.InvalidError(f"run_dir {run_dir!r} is not the path of a directory")
    return Path(path).absolute()


def _claim(base: Path, avoid: Collection[str]) -> tuple[str, Path, socket.socket]:
    """Take an id that nobody has: in the network namespace, whose links carry it, and in the directory."""
    for _ in range(1000):
        id = f"{secrets.randbelow(1 << 16):04x}"
        flag = None if id in avoid else _raise_flag(id)
        if flag is None:
            continue
        directory = base / id
        try:
            directory.mkdir(mode=0o700)
        except FileExistsError:
            flag.close()
            continue
        except BaseException:
            flag.close()
            raise
        return id, directory, flag
    raise FileExistsError(f"{base} is full of instances; remove the dead ones")


def _claim_again(base: Path, id: str, avoid: Collection[str]) -> tuple[str, Path, socket.socket] | None:
    """Take the id of an instance that has ended; None where others have it since, and nothing is left of it here."""
    directory = base / id
    flag = _raise_flag(id)
    if directory.is_dir():
        if flag is None:
            raise errors.StateBusyError(f"instance {id} of {base} is alive; end it first")
        private_directory(directory, "directory of the instance", make=False)
        return id, directory, flag
    if flag is not None:
        directory.mkdir(mode=0o700)
        return id, directory, flag
    return None


def _raise_flag(id: str) -> socket.socket | None:
    """Bind an abstract unix address of the id; None where another instance of this network namespace has it.

    Such an address belongs to the network namespace and goes with its holder: instances with
    directories of their own, in mount namespaces of their own, still see each other.
    """
    flag = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        flag.bind(f"\0driverapi-{id}")
    except OSError as error:
        flag.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise
    return flag


def _tell(path: Path, text: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.write(descriptor, text)
    finally:
        os.close(descriptor)


def _lock(directory: Path) -> int:
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        for left in reversed(range(_TRIES)):  # who looks whether it is held, holds it for a moment
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not left:
                    raise errors.StateBusyError(f"instance {directory} is alive; end it first") from None
                time.sleep(_PAUSE)
            else:
                break
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _after_fork() -> None:
    # A child shares the lock's open file: it would keep a dead parent's instance alive.
    for instance in list(_open):
        instance._let_go()


os.register_at_fork(after_in_child=_after_fork)

"""Directories that nobody else can change: root follows no links of others, and trusts no files of theirs."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from pathlib import Path
from typing import Final

from driverapi import errors

__all__ = ["absolute", "check_id", "check_private_file", "path_text", "private_directory", "put_file", "write_all"]

_WRITABLE_BY_GROUP: Final = 0o020
_WRITABLE_BY_ALL: Final = 0o002
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")


def absolute(path: object, what: str) -> str:
    """Return text that is an absolute path; ``what`` is how the error calls it.

    Raises
    ------
    errors.InvalidError
        It is none.
    """
    if not isinstance(path, str) or not path.startswith("/") or "\0" in path:
        raise errors.InvalidError(f"{what} {path!r} is not an absolute path")
    return path


def path_text(path: str | os.PathLike[str]) -> str:
    """Return a path as text; nothing where it cannot be one."""
    try:
        text = os.fsdecode(path)
        os.fsencode(text)
    except (TypeError, UnicodeError):
        return ""
    return "" if "\0" in text else text


def private_directory(path: str | os.PathLike[str], what: str, *, make: bool = True) -> Path:
    """Return a directory that only this user, and root, can change; made with mode 0700 where it is not there.

    None of the directories above it may be another user's, or writable by others unless it is sticky (as ``/tmp`` is):
    who can rename one of them can put another in the place of ours. Symbolic links above it are resolved
    once, here; it must not be one itself.

    Parameters
    ----------
    path : path
        Absolute, or from the working directory.
    what : str
        How errors call it.
    make : bool
        Make it, and what is missing above it; else ``FileNotFoundError``.

    Returns
    -------
    Path
        Absolute and without links.

    Raises
    ------
    errors.UnsafePathError
        Somebody else can change it; nothing was made.
    OSError
        It cannot be made, or is no directory.
    """
    path = Path(path).absolute()
    if path.name in ("", ".."):
        path = Path(os.path.realpath(path))
    above, name = path.parent, path.name
    found, missing = Path(os.path.realpath(above)), []
    while not found.exists() and found != found.parent:
        missing.append(found.name)
        found = found.parent
    for directory in (found, *found.parents):
        _check(directory, what, directory.lstat(), sticky=True)
    if missing and not make:
        raise FileNotFoundError(errno.ENOENT, f"{path} is not there", str(path))
    for part in reversed(missing):
        found = found / part
        found.mkdir(mode=0o755, exist_ok=True)  # whatever the umask: writable by nobody else
        _check(found, what, found.lstat(), sticky=True)
    place = found / name if name else found
    try:
        if make:
            place.mkdir(mode=0o700)
        else:
            _check(place, what, place.lstat(), sticky=False)
    except FileExistsError:
        _check(place, what, place.lstat(), sticky=False)
    return place


def check_id(name: str, what: str) -> str:
    """Return an id that becomes the name of a file; nothing that could lead elsewhere.

    Raises
    ------
    errors.InvalidError
        It is not 1 to 255 letters and digits of ASCII, ``-`` and ``_``.
    """
    if not isinstance(name, str) or not _ID.fullmatch(name):
        raise errors.InvalidError(f"{what} {name!r} must be letters, digits, '-' and '_', 255 at most")
    return name


def check_private_file(path: Path, what: str) -> None:
    """Refuse a file that is a link, another user's, or that others can write; one that is not there passes.

    Raises
    ------
    errors.UnsafePathError
        It is.
    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(status.st_mode):
        kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "no ordinary file"
        raise errors.UnsafePathError(f"{what} {path} is {kind}; name the file itself")
    _check_owner(path, what, status)


def _check(path: Path, what: str, status: os.stat_result, *, sticky: bool) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise errors.UnsafePathError(f"{what} {path} is a symbolic link; name the directory itself")
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, f"{path} is no directory", str(path))
    if not (sticky and status.st_mode & stat.S_ISVTX):
        _check_owner(path, what, status, above=sticky)
    elif status.st_uid not in _trusted(above=True):
        raise errors.UnsafePathError(_owned(path, what, status))


def _check_owner(path: Path, what: str, status: os.stat_result, *, above: bool = False) -> None:
    if status.st_uid not in _trusted(above=above):
        raise errors.UnsafePathError(_owned(path, what, status))
    group = status.st_mode & _WRITABLE_BY_GROUP and status.st_gid not in (0, os.getegid())
    if group or status.st_mode & _WRITABLE_BY_ALL:
        everybodys = status.st_mode & stat.S_ISVTX and stat.S_ISDIR(status.st_mode)  # as /tmp: to be left as it is
        advice = "make one of your own in it" if everybodys else "take that away (chmod go-w), or choose another"
        raise errors.UnsafePathError(
            f"{what} {path} can be changed by others (mode {stat.S_IMODE(status.st_mode):04o}); {advice}"
        )


def _owned(path: Path, what: str, status: os.stat_result) -> str:
    return f"{what} {path} belongs to user {status.st_uid}, not to {os.geteuid()}; choose one of your own"


def _trusted(*, above: bool) -> set[int]:
    """Return whose a directory may be: ours; above it root's, too, which has another number in a user namespace."""
    users = {os.geteuid()}
    if above:
        users.add(0)
        if not _all_users_are_here():
            users.add(int(Path("/proc/sys/kernel/overflowuid").read_text()))
    return users


def _all_users_are_here() -> bool:
    """Tell whether this user namespace has every user, as the first one: then 65534 is really nobody."""
    try:
        return Path("/proc/self/uid_map").read_text().split() == ["0", "0", "4294967295"]
    except OSError:
        return True


def put_file(directory: int, name: str, data: bytes) -> None:
    """Put a new file, mode 0644, in the place of what has that name: whole or not at all, and through no link.

    Parameters
    ----------
    directory : int
        A descriptor of it.

    Raises
    ------
    OSError
        It could not be; what was there is as it was.
    """
    new = f".{name}.{secrets.token_hex(8)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(new, flags, 0o600, dir_fd=directory)
    try:
        try:
            write_all(descriptor, data)
            os.fchmod(descriptor, 0o644)  # whatever the umask
        finally:
            os.close(descriptor)
        os.rename(new, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new, dir_fd=directory)
        raise


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it: one ``write`` may take less."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]

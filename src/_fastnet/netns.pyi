from collections.abc import Sequence
from types import TracebackType
from typing import Never, Self, final

from _fastnet.socket import NetlinkSocket

CLONE_NEWNET: int
CLONE_NEWNS: int
CLONE_NEWUSER: int

@final
class Namespace:
    """A network namespace held by a descriptor, with a netlink socket inside it."""

    def __init__(self, *args: Never, **kwargs: Never) -> None: ...
    @property
    def path(self) -> str | None: ...
    @property
    def socket(self) -> NetlinkSocket: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...
    @property
    def closed(self) -> bool: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

def create(paths: Sequence[str | None], /) -> list[Namespace | OSError]:
    """Make one namespace per path, bind it there (None: anonymous), open a netlink socket in it.

    All on one private pthread, without the GIL; the calling thread never changes its namespace.
    """

def open(path: str, /) -> Namespace:
    """Open an existing namespace by its path; OSError where it is none."""

def socket_in(path: str, family: int, type: int, protocol: int, /) -> int:
    """A socket (descriptor) of any kind opened inside the namespace at ``path``."""

def file_in(path: str, file: str, flags: int, /) -> int:
    """A file (descriptor) opened as a process inside the namespace at ``path`` would: of ``/proc/sys/net``, say."""

def drop(paths: Sequence[str], /) -> list[OSError | None]:
    """Unmount and unlink, one answer per path; a path that is gone already is no error."""

def unshare(flags: int, /) -> None:
    """unshare(2) of the calling thread (Python 3.11 has no os.unshare)."""

def identity(path: str, /) -> tuple[int, int]:
    """(device, inode) of the namespace at ``path``: equal for the same namespace."""

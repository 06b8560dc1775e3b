"""Where a process is: which boot of which machine, and which of its network namespaces."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Final

__all__ = ["boot_id", "namespace_id"]

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_SO_NETNS_COOKIE: Final = 71  # include/uapi/asm-generic/socket.h


def boot_id() -> str:
    """Return what no other boot has, of this machine or another.

    Raises
    ------
    OSError
        The kernel does not tell.
    """
    return _BOOT.read_text(encoding="ascii").strip()


def namespace_id() -> str:
    """Return what no other network namespace has in this boot; the number of its file comes again when it is gone.

    Raises
    ------
    OSError
        The kernel does not tell.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asking:
        try:
            return f"{int.from_bytes(asking.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8), sys.byteorder):x}"
        except OSError:  # before Linux 5.14
            return f"{os.stat('/proc/thread-self/ns/net').st_ino:x}"

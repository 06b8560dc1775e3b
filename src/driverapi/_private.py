"""A network and mount namespace of the process's own, for the demo, the benchmarks and the kernel tests.

Importing it loads next to nothing, and using it starts no thread: it comes before all that might.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import socket
import struct
from pathlib import Path

__all__ = ["enter_private_namespaces"]

# include/uapi/linux/mount.h
_MS_NOSUID = 2
_MS_NODEV = 4
_MS_REC = 0x4000
_MS_PRIVATE = 1 << 18
# include/uapi/linux/sockios.h, if.h
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1


def enter_private_namespaces() -> None:
    """Move the whole process into a new network and mount namespace, with ``lo`` up and a fresh tmpfs on ``/run``.

    Without the privilege to do so it enters a user namespace too, in which it is root (and its files stay its own).
    There is no way back: everything that the process makes afterwards goes when it ends.

    Raises
    ------
    RuntimeError
        The process has more than one thread: namespaces are entered by a thread, not by a process.
    OSError
        A step was refused; ``strerror`` says which and what may be done. The process may then stand in some of the
        namespaces and should end.

    Notes
    -----
    Thread safety: to be called before any other thread exists.
    """
    threads = len(os.listdir("/proc/self/task"))
    if threads > 1:
        raise RuntimeError(
            f"private namespaces must be entered before any thread is started; the process has {threads} threads"
        )
    from driverapi._native import CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWUSER

    uid, gid = os.geteuid(), os.getegid()
    flags = CLONE_NEWNET | CLONE_NEWNS
    if uid != 0 or _refused(flags):
        if code := _refused(flags | CLONE_NEWUSER):
            raise OSError(
                code,
                f"{os.strerror(code)}: user namespaces are not allowed here; run as root, or allow them "
                "(sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces, "
                "kernel.apparmor_restrict_unprivileged_userns; in a container: --privileged)",
            )
        _map_ids(uid, gid)
    libc = ctypes.CDLL(None, use_errno=True)
    _mount(libc, b"none", b"/", None, _MS_REC | _MS_PRIVATE)
    _mount(libc, b"tmpfs", b"/run", b"tmpfs", _MS_NOSUID | _MS_NODEV, b"mode=755")
    _bring_up_loopback()


def _refused(flags: int) -> int:
    """Unshare; return 0, or the error number where it is not permitted."""
    from driverapi._native import unshare

    try:
        unshare(flags)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.ENOSPC, errno.EUSERS, errno.EINVAL):
            return error.errno
        raise
    return 0


def _map_ids(uid: int, gid: int) -> None:
    """Be root inside the user namespace; outside we stay who we are."""
    # Absent on kernels before 3.19, and then not needed.
    with contextlib.suppress(FileNotFoundError):
        Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")


def _mount(
    libc: ctypes.CDLL, source: bytes, target: bytes, kind: bytes | None, flags: int, data: bytes | None = None
) -> None:
    if libc.mount(source, target, kind, ctypes.c_ulong(flags), data) != 0:
        code = ctypes.get_errno()
        what = f"mount a {kind.decode()}" if kind else "make the mounts private"
        raise OSError(code, f"{what}: {os.strerror(code)}", target.decode())


def _bring_up_loopback() -> None:
    """Equivalent to: ``ip link set lo up``."""
    # struct ifreq { char ifrn_name[IFNAMSIZ]; short ifru_flags; … }, 40 bytes at most.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
        answer = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16sh22x", b"lo", 0))
        (flags,) = struct.unpack_from("h", answer, 16)
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | _IFF_UP))

"""Settings of interfaces inside sandboxes, by the files below ``/proc/sys/net``: there is no message for most of them.

Each file is opened as a process inside of the sandbox's namespace would open it; its path is made of words that were
checked (:mod:`driverapi.control.joining`) and of the name of a link that is there.
"""

from __future__ import annotations

import errno
import os

from driverapi import errors
from driverapi._native import file_in
from driverapi.dataplane.kernel import LinuxRealised
from driverapi.plan import Sysctl

__all__ = ["put_sysctl", "set_sysctls"]

_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def set_sysctls(job: LinuxRealised) -> None:
    """Set what an endpoint wants of its interfaces, before they come up; they go with the interfaces.

    Raises
    ------
    errors.InvalidError
        It has no interface; the kernel has no such setting, or refuses the value.
    errors.NoPermissionError
        This process may not.
    """
    if not job.plan.sysctls:
        return
    if not job.interfaces:
        raise errors.InvalidError(f"{job.what}: sysctls need an interface with a link")
    for interface in job.interfaces:
        for sysctl in job.plan.sysctls:
            put_sysctl(job.what, job.netns.key, interface.name, sysctl)


def put_sysctl(what: str, netns: str, interface: str, sysctl: Sysctl) -> None:
    """Set one; see :func:`set_sysctls`."""
    path = f"/proc/sys/net/{sysctl.family}/{sysctl.group}/{interface}/{sysctl.name}"
    try:
        descriptor = file_in(netns, path, os.O_WRONLY)
        try:
            os.write(descriptor, sysctl.value.encode("ascii"))
        finally:
            os.close(descriptor)
    except OSError as error:
        name = f"{what}: sysctl {sysctl.of(interface)}"
        if error.errno in _FORBIDDEN:
            raise errors.NoPermissionError(
                f"{name}: {error.strerror}; this needs CAP_NET_ADMIN and a /proc/sys that can be written",
                error.errno or 0,
            ) from error
        if error.errno == errno.ENOENT and error.filename == path:
            raise errors.InvalidError(f"{name}: this kernel has no such setting of an interface") from error
        if error.errno in (errno.EINVAL, errno.ERANGE, errno.EIO):
            raise errors.InvalidError(f"{name}: the kernel refuses the value {sysctl.value!r}") from error
        raise errors.KernelError(f"{name}: {error.strerror}", error.errno or 0) from error

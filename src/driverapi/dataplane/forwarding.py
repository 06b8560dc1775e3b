"""Forwarding for routed endpoints: which switches are set, and how those of IPv6 are.

For each host end of a network that forwards, and for nothing else:

* IPv4: the device's ``forwarding`` (``IFLA_INET_CONF``; one message for a chunk of host ends). The
  kernel asks the device that a packet comes in by (``IN_DEV_FORWARD`` in ``ip_route_input_slow``).
* IPv6: the device's ``net.ipv6.conf.DEVICE.force_forwarding`` (Linux 6.17), unless
  ``net.ipv6.conf.all.forwarding`` is on already. There is no netlink message for it.

Both go with the device. ``net.ipv4.ip_forward`` is written where its user asks for that (:mod:`driverapi.dataplane.
ipforward`), ``net.ipv6.conf.all.forwarding`` never: it would make a router of every interface, and end its use of
router advertisements.

What follows from that: an answer from beyond the host comes in by a link that is not ours, and is forwarded
only if the host forwards from there. And who switches ``ip_forward`` off (from on) switches it off for every
device (``inet_forward_change()``), for endpoints that are up too; likewise endpoints that came up while
``net.ipv6.conf.all.forwarding`` was on forward no IPv6 once it is off.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from typing import Final

from driverapi import errors

__all__ = ["SWITCHES", "Forwarding"]

SWITCHES: Final = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}
"""By which a machine forwards what comes in by any of its devices."""

_CONF: Final = {4: "/proc/sys/net/ipv4/conf", 6: "/proc/sys/net/ipv6/conf"}
_SWITCH: Final = {4: "forwarding", 6: "force_forwarding"}  # of one device, and enough there
_NO_DEVICES: Final = frozenset({"all", "default", "lo"})


class Forwarding:
    """The switches of one network namespace: that of the thread that makes it.

    Thread safety: all methods.
    """

    def __init__(self) -> None:
        self._conf: dict[int, int] = {}
        for version, path in _CONF.items():
            # An open directory stays that of the namespace, whichever thread walks from it.
            with contextlib.suppress(OSError):  # without IPv6, or without /proc: who needs it is told then
                self._conf[version] = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Let go of the descriptors."""
        while self._conf:
            os.close(self._conf.popitem()[1])

    def for_all(self, version: int = 6) -> bool:
        """Tell whether the host forwards IPv6, or IPv4, from every device anyway."""
        return self._read("all/forwarding", version) == b"1"

    def from_elsewhere(self, version: int, ours: Callable[[str], bool]) -> bool:
        """Tell whether the host forwards what comes in by some device that is not ours, or nobody can tell."""
        if version not in self._conf or self.for_all(version):
            return True
        devices = (name for name in self._names(version) if name not in _NO_DEVICES and not ours(name))
        return any(self._read(f"{name}/{_SWITCH[version]}", version) == b"1" for name in devices)

    def devices(self, version: int) -> list[str]:
        """Return the names of devices that forward by themselves; ``default``, if new ones would."""
        names = sorted(name for name in self._names(version) if name != "all")
        return [name for name in names if self._read(f"{name}/{_SWITCH[version]}", version) == b"1"]

    def check(self, what: str) -> None:
        """See that it can be switched on for single devices, or is on for all.

        Raises
        ------
        errors.KernelUnsupportedError
            Neither; the text says what to do.
        """
        if self._read("all/force_forwarding") is None and not self.for_all():
            raise errors.KernelUnsupportedError(
                f"{what}: this kernel cannot forward IPv6 from single devices (Linux 6.17 can), and that is not "
                "switched on for all of them silently: run 'sysctl net.ipv6.conf.all.forwarding=1' first (with "
                "accept_ra=2 where an interface needs router advertisements), leave ipv6 out, or give the network "
                "the option driverapi.forwarding=none",
                errno.EOPNOTSUPP,
            )

    def switch_on(self, device: str, version: int = 6) -> None:
        """Have what comes in by a device forwarded."""
        self._put(f"{device}/{_SWITCH[version]}", b"1", version)

    def switch_all(self, *, on: bool) -> None:
        """Have IPv4 from every device forwarded, or from none: the machine's switch."""
        self._put("all/forwarding", b"1" if on else b"0", 4)

    def _put(self, name: str, value: bytes, version: int) -> None:
        # ipv6_sysctl_forward and its like answer ERESTARTNOINTR while RTNL is held: the kernel asks again itself.
        descriptor = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=self._conf.get(version, -1))
        try:
            os.write(descriptor, value)
        finally:
            os.close(descriptor)

    def _names(self, version: int) -> list[str]:
        if version not in self._conf:
            return []
        listing = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._conf[version])
        try:
            return os.listdir(listing)
        finally:
            os.close(listing)

    def _read(self, name: str, version: int = 6) -> bytes | None:
        if version not in self._conf:
            return None
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._conf[version])
        except FileNotFoundError:
            return None
        except OSError as error:  # out of descriptors, say: that tells nothing of this kernel
            raise errors.KernelError(
                f"read IPv{version}'s switch {name}: {error.strerror}", error.errno or 0
            ) from error
        try:
            return os.read(descriptor, 16).strip()
        finally:
            os.close(descriptor)

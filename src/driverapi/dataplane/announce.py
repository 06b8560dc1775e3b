"""Tells the neighbours that an address has another MAC than they may remember.

An address that is given again keeps its MAC as a rule (02:42 and the IPv4 address): then nobody remembers
anything wrong, and nothing is sent. On a bridge an announcement costs as many copies as there are ports.
"""

from __future__ import annotations

import errno
import socket
import struct
import time
from collections.abc import Iterable
from typing import Final

from driverapi import errors
from driverapi._native import Batch, socket_in
from driverapi.dataplane.failures import first_failure
from driverapi.dataplane.kernel import Interface, Kernel, LinuxRealised, link
from driverapi.dataplane.routes import neighbours_inside
from driverapi.dataplane.sysctls import put_sysctl
from driverapi.events import emit, of_fault
from driverapi.plan import Sysctl

__all__ = ["announce"]

_ADVERTISEMENT: Final = 136  # Neighbor Advertisement (RFC 4861, section 4.4)
_OVERRIDE: Final = 0x20000000
_TARGET_LINK_LAYER: Final = 2  # option: Target Link-Layer Address, 1 unit of 8 bytes
_EVERYBODY: Final = "ff02::1"
_RUNNING: Final = 0x40  # include/uapi/linux/if.h: IFF_RUNNING = 1<<6

WATCHED: Final = 0.1
"""Seconds that a link may take until it can send."""


def announce(kernel: Kernel, jobs: Iterable[LinuxRealised]) -> None:
    """Announce the addresses of endpoints that are up and whose plans ask for it; a failure is logged."""
    for job in jobs:
        if job.plan.announce and job.error is None:
            for interface in job.interfaces:
                try:
                    _wait_until_running(kernel, job, interface)
                    _announce(job, interface)
                except (OSError, errors.DriverAPIError) as error:  # the endpoint is up all the same
                    emit(
                        "endpoint.not_announced",
                        endpoint=job.plan.owner,
                        endpoint_name=job.plan.name,
                        network=job.plan.network,
                        **of_fault(error),
                    )


def _wait_until_running(kernel: Kernel, job: LinuxRealised, interface: Interface) -> None:
    """Wait for the kernel's link watch: it lets both ends send, and a bridge forward, a moment after they are up."""
    end = time.monotonic() + WATCHED
    for socket_, index in ((kernel.host, interface.host_index), (job.use().socket, interface.index)):
        while index and time.monotonic() < end:
            found = link(socket_, index=index)
            if found is None or found.flags & _RUNNING:
                break
            time.sleep(0.0005)


def _announce(job: LinuxRealised, interface: Interface) -> None:
    """By the kernel itself: it announces the addresses of a link whose MAC is set, where that is switched on.

    IPv4 by ``arp_notify``, a gratuitous ARP request (``inetdev_event``); IPv6 by ``ndisc_notify``, an unsolicited
    neighbour advertisement (``ndisc_netdev_event``, RFC 4861, section 7.2.6), for which there is a file only. Both are
    switched off again: a later change of the link is its user's.
    """
    mac = interface.plan.mac
    versions = {one.version for one in interface.plan.addresses}
    if mac is None or not versions:
        return
    by_hand = 6 in versions and not _notify_ipv6(job, interface, "1")
    batch = Batch()
    if 4 in versions:
        batch.set_link_ipv4(interface.index, arp_notify=1)
    batch.set_link(interface.index, mac=mac)
    if 4 in versions:
        batch.set_link_ipv4(interface.index, arp_notify=0)
    # With a link's MAC its neighbour entries go, those that are permanent too (neigh_changeaddr).
    for where, neighbour in neighbours_inside(job):
        if where is interface:
            batch.add_neighbour(interface.index, neighbour.ip, neighbour.mac)
    refused = first_failure(job.what, job.use().socket, batch, (errno.EEXIST,))
    if by_hand:
        _advertise(job, interface, mac)
    elif 6 in versions:
        _notify_ipv6(job, interface, "0")
    if refused is not None:
        raise refused


def _notify_ipv6(job: LinuxRealised, interface: Interface, value: str) -> bool:
    """Switch the kernel's own announcements on or off; False where that cannot be."""
    try:
        put_sysctl(job.what, job.netns.key, interface.name, Sysctl("ipv6", "conf", "ndisc_notify", value))
    except errors.DriverAPIError:  # /proc is not there, or must not be written
        return False
    return True


def _advertise(job: LinuxRealised, interface: Interface, mac: bytes) -> None:
    """Send what the kernel would."""
    for address in interface.plan.addresses:
        if address.version != 6:
            continue
        descriptor = socket_in(job.netns.key, socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        with socket.socket(fileno=descriptor) as raw:  # the kernel fills the checksum in
            raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
            raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, interface.index)
            raw.bind((socket.inet_ntop(socket.AF_INET6, address.ip), 0))
            message = struct.pack(
                "!BBHI16sBB6s", _ADVERTISEMENT, 0, 0, _OVERRIDE, address.ip, _TARGET_LINK_LAYER, 1, mac
            )
            raw.sendto(message, (_EVERYBODY, 0, 0, interface.index))

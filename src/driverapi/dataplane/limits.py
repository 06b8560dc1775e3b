"""Limits of an endpoint's bandwidth: a token bucket (``tbf``) on each end of its pair that has one.

What goes to the sandbox waits at the host's end, what comes from it at its own: who may administer the sandbox's
network may take that one away. ``ip link del`` takes both.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence
from typing import Final

from driverapi import errors
from driverapi._native import Batch, NetlinkError, NetlinkSocket
from driverapi.dataplane.contract import Ownership
from driverapi.dataplane.failures import failure
from driverapi.dataplane.kernel import Kernel, LinuxRealised, attempt
from driverapi.plan import VethLink

__all__ = ["limit", "token_bucket"]

# include/uapi/linux/rtnetlink.h: RTM_NEWQDISC 36, TCA_KIND 1, TCA_OPTIONS 2; netlink.h: NLM_F_REPLACE, NLM_F_CREATE;
#     pkt_sched.h: #define TC_H_ROOT (0xFFFFFFFFU), TC_LINKLAYER_ETHERNET 1; enum { TCA_TBF_PARMS 1, TCA_TBF_RATE64 4,
#     TCA_TBF_BURST 6 }
_NEWQDISC, _FLAGS, _ROOT, _ETHERNET = 36, 0x500, 0xFFFFFFFF, 1
_KIND, _OPTIONS, _PARMS, _RATE64, _BURST = 1, 2, 1, 4, 6

_LEAST_BURST: Final = 1 << 15  # bytes
_BURST_SECONDS: Final = 0.01
_QUEUE_SECONDS: Final = 0.05  # that a packet waits at most; later ones are dropped


def token_bucket(index: int, rate: int) -> bytes:
    """Return the message that limits what a link sends. Equivalent to: ``tc qdisc replace dev LINK root tbf …``.

    Parameters
    ----------
    index : int
        Its ifindex.
    rate : int
        Bits per second.
    """
    each = rate // 8
    burst = max(_LEAST_BURST, int(each * _BURST_SECONDS))
    queue = burst + int(each * _QUEUE_SECONDS)
    # struct tc_ratespec { u8 cell_log; u8 linklayer; u16 overhead; s16 cell_align; u16 mpu; u32 rate; }
    spec = struct.pack("=BBHhHI", 0, _ETHERNET, 0, 0, 0, min(each, 0xFFFFFFFF))
    # struct tc_tbf_qopt { struct tc_ratespec rate, peakrate; u32 limit, buffer, mtu; }
    parameters = _attribute(_PARMS, spec + bytes(12) + struct.pack("=III", min(queue, 0xFFFFFFFF), 0, 0))
    parameters += _attribute(_BURST, struct.pack("=I", min(burst, 0xFFFFFFFF)))
    if each > 0xFFFFFFFF:
        parameters += _attribute(_RATE64, struct.pack("=Q", each))
    # struct tcmsg { u8 family; u8 pad; u16 pad; int ifindex; u32 handle, parent, info; }
    body = struct.pack("=BBHiIII", 0, 0, 0, index, 0, _ROOT, 0)
    body += _attribute(_KIND, b"tbf\0") + _attribute(_OPTIONS, parameters)
    return struct.pack("=IHHII", 16 + len(body), _NEWQDISC, _FLAGS, 0, 0) + body


def limit(kernel: Kernel, jobs: Sequence[LinuxRealised]) -> None:
    """Limit the endpoints that ask for it; what the kernel refuses is the endpoint's own failure."""
    for job in jobs:
        for interface in job.interfaces:
            link = interface.plan.link
            if job.error is None and isinstance(link, VethLink) and (link.rate_in or link.rate_out):
                if link.rate_in:
                    attempt(job, _put, job, kernel.host, interface.host_index, link.rate_in)
                if link.rate_out:
                    attempt(job, _put_inside, job, interface.index, link.rate_out)


def _put_inside(job: LinuxRealised, index: int, rate: int) -> None:
    if job.netns.ownership is Ownership.FOREIGN:
        raise errors.NotImplementedYetError(
            f"{job.what}: what it sends cannot be limited, as a Docker engine puts the link into the sandbox and the "
            "limit is lost on the way; leave rate_out out"
        )
    _put(job, job.use().socket, index, rate)


def _put(job: LinuxRealised, socket: NetlinkSocket, index: int, rate: int) -> None:
    batch = Batch(256)
    batch.append(token_bucket(index, rate))
    error: NetlinkError | None = socket.execute(batch).error(0)
    if error is None:
        return
    if error.errno in (errno.ENOENT, errno.EOPNOTSUPP):
        raise errors.KernelUnsupportedError(
            f"{job.what}: this kernel cannot limit bandwidth: it lacks tbf (CONFIG_NET_SCH_TBF)",
            errno.EOPNOTSUPP,
        ) from error
    raise failure(job.what, error)


def _attribute(type: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), type) + value + bytes(-len(value) % 4)

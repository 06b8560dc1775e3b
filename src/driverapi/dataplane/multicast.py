"""IPv6's multicast routes of host ends, taken away: they are of no use and cost much.

The kernel gives every link that comes up a route for ``ff00::/8`` of its own (``addrconf_add_mroute``,
net/ipv6/addrconf.c), and walks over all routes of the namespace whenever a link comes up, gets its
carrier or goes (``fib6_clean_all``). So each endpoint costs a walk over the routes of all others. The
host sends no multicast by host ends: ports of a bridge, or links of routed endpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from driverapi._native import Batch
from driverapi.dataplane.kernel import Interface

__all__ = ["forget_multicast"]

_MULTICAST: Final = b"\xff" + bytes(15)
_TABLE_LOCAL: Final = 255  # RT_TABLE_LOCAL of linux/rtnetlink.h


def forget_multicast(born: Sequence[Interface]) -> Batch:
    """Make what deletes the routes of host ends that have come up; a refusal is no failure: without IPv6, say."""
    batch = Batch()
    for interface in born:
        batch.delete_route(_MULTICAST, 8, index=interface.host_index, table=_TABLE_LOCAL)
    return batch

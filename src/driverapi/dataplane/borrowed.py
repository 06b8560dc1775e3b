"""Bridges that somebody else made: used under their names, and left as they were when the network goes.

Nothing of such a bridge is changed but that it comes up, and that it has the gateway's addresses for as long as the
network is there, unless it had them before. It has a MAC address of its own, which may follow its ports: so there
are no permanent neighbour entries. It does not grow: it takes as many ports as the kernel allows.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

from driverapi import errors
from driverapi._native import Batch
from driverapi.dataplane.failures import first_failure
from driverapi.dataplane.kernel import GONE, Kernel
from driverapi.dataplane.kernel import link as find_link
from driverapi.dataplane.star import Star
from driverapi.instance import is_marked_group
from driverapi.plan import BridgeLink

__all__ = ["borrow", "borrow_again", "give_back"]

_Key = tuple[str, str]  # a network and a name in its plan


def borrow(kernel: Kernel, key: _Key, link: BridgeLink) -> bool:
    """Take the bridge that has the name of a plan's; False where there is no link of that name.

    Raises
    ------
    errors.KernelConflictError
        It is no bridge, or another network's, of this controller or of another.
    """
    what = kernel.what(key[0])
    found = find_link(kernel.host, name=link.name)
    if found is None:
        return False
    if found.kind != "bridge":
        raise errors.KernelConflictError(
            f"{what}: {found.name!r} is there and is no bridge; choose another name", errno.EEXIST
        )
    if is_marked_group(found.group) or found.index in kernel.masters.values():
        raise errors.KernelConflictError(
            f"{what}: bridge {found.name!r} is another network's; choose another name", errno.EEXIST
        )
    there = {(one.address, one.prefix) for one in kernel.host.dump_addresses(index=found.index)}
    missing = [(one.ip, one.prefix) for one in link.addresses if (one.ip, one.prefix) not in there]
    kernel.masters[key] = found.index
    _dress(kernel, key, link, missing)
    return True


def borrow_again(kernel: Kernel, key: _Key, link: BridgeLink, index: int, added: Sequence[tuple[bytes, int]]) -> None:
    """Take a bridge that an earlier process had borrowed."""
    kernel.masters[key] = index
    _dress(kernel, key, link, [(ip, prefix) for ip, prefix in added])


def _dress(kernel: Kernel, key: _Key, link: BridgeLink, missing: list[tuple[bytes, int]]) -> None:
    what, index = kernel.what(key[0]), kernel.masters[key]
    kernel.borrowed[key] = missing  # first: after an interrupt they are taken away, there or not
    batch = Batch()
    for ip, prefix in missing:
        batch.add_address(index, ip, prefix)
    batch.set_link(index, up=True)
    refused = first_failure(what, kernel.host, batch, (errno.EEXIST,))
    if refused is not None:
        raise refused
    kernel.stars[key] = Star(kernel, what, index, link.mtu, instead_of=link.mac)


def give_back(kernel: Kernel, key: _Key) -> None:
    """Take the addresses of a network off the bridge that it had.

    Raises
    ------
    errors.KernelError
        The kernel refused; the network has the bridge still.
    """
    index = kernel.masters[key]
    batch = Batch()
    for ip, prefix in kernel.borrowed[key]:
        batch.delete_address(index, ip, prefix)
    refused = first_failure(kernel.what(key[0]), kernel.host, batch, GONE) if len(batch) else None
    if refused is not None:
        raise refused
    del kernel.masters[key], kernel.borrowed[key]
    kernel.stars.pop(key, None)

"""IPAM ``null``: no pools, no addresses (libnetwork: ``ipams/null``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, final

from driverapi import errors
from driverapi.addresses import Address
from driverapi.ipam.contract import Pool

__all__ = ["NullIPAM"]


@final
class NullIPAM:
    """For networks without addresses, or whose endpoints bring their own: nothing is given, nothing is checked.

    Thread safety: all methods.
    """

    gives_addresses: Final = False

    def request_pool(self, prefix: Address | None = None, **wishes: Any) -> Pool:
        """Refuse: there are none."""
        del wishes
        which = "" if prefix is None else f" {prefix}"
        raise errors.InvalidError(f"IPAM 'null' has no pools; leave the prefix{which} out, or choose another IPAM")

    def release_pool(self, pool: str) -> None:
        """Refuse: it is none of ours."""
        raise _none(pool)

    def request_addresses(self, pool: str, count: int) -> list[Address]:
        """Refuse."""
        del count
        raise _none(pool)

    def request_address(self, pool: str, wanted: bytes) -> Address:
        """Refuse."""
        del wanted
        raise _none(pool)

    def release_addresses(self, pool: str, addresses: Sequence[bytes]) -> None:
        """Refuse."""
        del addresses
        raise _none(pool)

    def free(self, pool: str) -> int:
        """Refuse."""
        raise _none(pool)


def _none(pool: str) -> errors.NotFoundError:
    return errors.NotFoundError(f"no address pool {pool!r}: IPAM 'null' has none")

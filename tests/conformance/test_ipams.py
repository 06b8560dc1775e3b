"""This package's IPAM keeps the contract that third parties' are held to; the suite finds one that does not."""

from __future__ import annotations

from typing import Any

import pytest

from driverapi.addresses import Address
from driverapi.ipam.contract import IPAM, Pool
from driverapi.ipam.default import DefaultIPAM
from driverapi.testing import IPAMConformance


class TestDefault(IPAMConformance):
    def make_ipam(self) -> IPAM:
        return DefaultIPAM()


class TestDefaultIPv6(IPAMConformance):
    prefix = "fd99::/124"
    other_prefix = "fd98::/124"

    def make_ipam(self) -> IPAM:
        return DefaultIPAM()


class TestDefaultWithQuarantine(IPAMConformance):
    def make_ipam(self) -> IPAM:
        return DefaultIPAM(quarantine=60.0)


class _Careless:
    """Gives what it is told to, and tells nobody who has what."""

    def __init__(self) -> None:
        self.inner = DefaultIPAM()

    def request_pool(self, prefix: Address | None = None, **wishes: object) -> Pool:
        del wishes
        return self.inner.request_pool(prefix, allow_overlap=True)

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)


class _Suite(IPAMConformance):
    def make_ipam(self) -> IPAM:
        careless: Any = _Careless()
        ipam: IPAM = careless
        return ipam


def test_the_suite_finds_an_ipam_that_does_not_check() -> None:
    with pytest.raises(AssertionError, match="ConflictError was not raised"):
        _Suite().test_overlaps_are_refused_by_name()

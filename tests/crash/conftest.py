"""The private kernel of ``tests/kernel``, for the tests here that use it."""

from __future__ import annotations

import pytest

from tests.kernel import conftest as kernel

host = kernel.host
same_descriptors = kernel.same_descriptors


@pytest.fixture
def private_kernel() -> None:
    """Fail or skip where there is none."""
    kernel.check_private_kernel()

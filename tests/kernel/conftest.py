"""Puts the test process into a private network and mount namespace before any kernel test runs.

At import, because no thread exists then. Tests of other directories in the same run are not hurt by it.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest

from driverapi._private import enter_private_namespaces

_KEY = "DRIVERAPI_TEST_PRIVATE"  # holds the pid that entered: a conftest may be imported twice


def _enter() -> str:
    """Enter once per process; give the reason why not."""
    if os.environ.get(_KEY) == str(os.getpid()):
        return ""
    try:
        enter_private_namespaces()
    except (OSError, RuntimeError) as error:
        return f"no private namespaces: {error}"
    os.environ[_KEY] = str(os.getpid())
    return ""


_REFUSED = _enter()


@pytest.fixture(autouse=True)
def _private_kernel() -> None:
    """Fail (where the environment demands the kernel) or skip what cannot run here."""
    if _REFUSED:
        if os.environ.get("DRIVERAPI_REQUIRE_KERNEL") == "1":
            pytest.fail(_REFUSED)
        pytest.skip(_REFUSED)


@pytest.fixture
def same_descriptors() -> Iterator[None]:
    """Check that a test leaves as many descriptors open as it found."""
    gc.collect()
    before = os.listdir("/proc/self/fd")
    yield
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == len(before)

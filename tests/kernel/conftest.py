"""Puts the test process into a private network and mount namespace before any kernel test runs.

At import, because no thread exists then. Tests of other directories in the same run are not hurt by it.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest

from _fastnet.batch import Batch
from _fastnet.socket import NetlinkSocket
from driverapi._private import enter_private_namespaces
from driverapi.leftovers import namespace_mounts

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


def check_private_kernel() -> None:
    """Fail (where the environment demands the kernel) or skip what cannot run here."""
    if _REFUSED:
        if os.environ.get("DRIVERAPI_REQUIRE_KERNEL") == "1":
            pytest.fail(_REFUSED)
        pytest.skip(_REFUSED)


@pytest.fixture(autouse=True)
def _private_kernel() -> Iterator[None]:
    """Have a kernel to ourselves, and leave no namespace in it: who comes next would find that."""
    check_private_kernel()
    before = namespace_mounts("")
    yield
    assert namespace_mounts("") <= before


@pytest.fixture
def same_descriptors() -> Iterator[None]:
    """Check that a test leaves as many descriptors open as it found."""
    gc.collect()
    before = os.listdir("/proc/self/fd")
    yield
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == len(before)


@pytest.fixture
def host() -> Iterator[NetlinkSocket]:
    """A socket in the private namespace, which is left with ``lo`` alone."""
    with NetlinkSocket(send_buffer=1 << 20, receive_buffer=1 << 20) as opened:
        yield opened
        batch = Batch()
        for link in opened.dump_links():
            if link.index != 1:
                batch.delete_link(link.index)
        opened.execute(batch)  # the second end of a pair is gone already
        assert [link.name for link in opened.dump_links()] == ["lo"]

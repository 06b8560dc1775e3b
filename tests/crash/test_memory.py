"""One allocation of a call fails, each in turn: afterwards the controller can be closed, and nothing is left."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator

import pytest

from driverapi import Controller, errors
from driverapi.testing import FakeDataplane

# CPython's own tests have it; some distributions leave it out.
nomemory = pytest.importorskip("_testcapi")

STRIDE = 3
"""Every third allocation is tried: they are some hundreds a verb."""

VERBS: dict[str, Callable[[Controller], object]] = {
    "attach": lambda ctl: ctl.network("web").attach(2, strict=True),
    "create": lambda ctl: ctl.network("web").create_endpoint("more"),
    "join": lambda ctl: ctl.network("web").endpoint("idle").join(ctl.sandbox("box")),
    "leave": lambda ctl: ctl.network("web").endpoint("in").leave(),
    "delete": lambda ctl: ctl.network("web").endpoint("idle").delete(),
    "detach": lambda ctl: ctl.network("web").detach(ctl.network("web").endpoints),
    "create network": lambda ctl: ctl.create_network("bridge", "lan", ipv4="10.9.0.0/24"),
    "delete network": lambda ctl: ctl.network("other").delete(),
    "create sandbox": lambda ctl: ctl.create_sandbox("third"),
    "delete sandbox": lambda ctl: ctl.sandbox("spare").delete(),
}


@pytest.fixture
def quiet() -> Iterator[None]:
    """No log record and no collection of garbage in between: they would have the allocation that is to fail."""
    logging.disable()
    gc.disable()
    yield
    gc.enable()
    logging.disable(logging.NOTSET)


def start(plane: FakeDataplane) -> Controller:
    ctl = Controller(dataplane=plane)
    web = ctl.create_network("bridge", "web", ipv4="10.1.0.0/24")
    ctl.create_network("bridge", "other", ipv4="10.2.0.0/24")
    box = ctl.create_sandbox("box")
    ctl.create_sandbox("spare")
    web.create_endpoint("idle")
    web.create_endpoint("in").join(box)
    web.attach(1, strict=True)
    return ctl


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of a generator that could not end
@pytest.mark.parametrize("verb", VERBS)
def test_closed_after_one_allocation_failed(verb: str, quiet: None) -> None:
    failed = 0
    for number in range(0, 240, STRIDE):
        plane = FakeDataplane()
        ctl = start(plane)
        try:
            nomemory.set_nomemory(number, number + 1)
            try:
                VERBS[verb](ctl)
            finally:
                nomemory.remove_mem_hooks()
        except (MemoryError, errors.DriverAPIError):
            failed += 1
        except (SystemError, RuntimeError, KeyError):  # CPython's own, where it does not look for it
            failed += 1
        ctl.close()
        assert (plane.links, plane.networks, plane.endpoints, plane.sandboxes) == ({"lo"}, {}, {}, {}), number
    assert failed > 5

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support import World

if TYPE_CHECKING:
    from tests.plugins import Engine


@pytest.fixture
def world() -> Iterator[World]:
    """A world that must be empty after its controller is closed."""
    world = World()
    yield world
    world.ctl.close()
    world.assert_empty()


@pytest.fixture
def engine() -> Iterator[Engine]:
    from tests.plugins import Engine  # tests of the native core run without what it needs

    made = Engine()
    yield made
    made.close()
    assert made.dataplane.endpoints == made.dataplane.networks == {}


@pytest.fixture
def network(engine: Engine) -> Engine:
    engine.network()
    return engine


@pytest.fixture
def endpoint(network: Engine) -> Engine:
    network.endpoint()
    return network

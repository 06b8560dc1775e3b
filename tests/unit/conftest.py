from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import World


@pytest.fixture
def world() -> Iterator[World]:
    """A world that must be empty after its controller is closed."""
    world = World()
    yield world
    world.ctl.close()
    world.assert_empty()

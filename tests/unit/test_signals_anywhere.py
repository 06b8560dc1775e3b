"""A signal at any moment of a call: its own exception comes out, and nothing is stuck after it.

Python runs handlers after calls of C functions, at the beginning of functions and at jumps back; nowhere else.
"""

from __future__ import annotations

import dis
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest

from tests.support import World

FILES: Final = ("contextlib.py", "controller.py", "gate.py", "network.py", "signals.py", "threading.py", "warm.py")
MOST: Final = 4000
"""Places in one call; far more than there are."""


class Struck(BaseException):
    """What the handler raises."""


@pytest.fixture(autouse=True)
def _handler() -> Iterator[None]:
    def strike(*_: object) -> None:
        raise Struck

    before = signal.signal(signal.SIGUSR1, strike)
    yield
    signal.signal(signal.SIGUSR1, before)


def struck_at(place: int, call: Callable[[], object]) -> tuple[bool, bool]:
    """Make a call; at the ``place``-th moment in one of the files the signal comes.

    Tells whether it came, and whether its exception came out.
    """
    seen = 0
    last: dict[FrameType, str] = {}

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal seen
        if Path(frame.f_code.co_filename).name not in FILES:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            if last.get(frame, "RESUME").startswith(("CALL", "JUMP_BACKWARD", "RESUME")):
                seen += 1
                if seen == place:
                    sys.settrace(None)
                    frame.f_trace = None
                    signal.raise_signal(signal.SIGUSR1)
            last[frame] = dis.opname[frame.f_code.co_code[frame.f_lasti]]
        elif event == "return" and frame.f_back is not None:
            last[frame.f_back] = event  # what called it was no C function
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except Struck:
        return True, True
    finally:
        sys.settrace(before)
    return seen >= place, False


def in_time(call: Callable[[], object]) -> None:
    """Make a call that must not hang."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "it hangs"
    assert not raised, raised


def use(world: World) -> None:
    """Use everything that could be stuck; a controller that is closed has nothing."""
    if not world.ctl._gate.closed:
        web = world.ctl.network("web")
        web._warm.wait(5)
        web.detach(web.attach(2))


CALLS: Final[dict[str, Callable[[World], object]]] = {
    "take": lambda world: world.ctl.network("web").attach(1),
    "warm": lambda world: world.ctl.warm("web", 4),
    "wait": lambda world: world.ctl.network("web")._warm.wait(0.001),
    "close": lambda world: world.ctl.close(),
}


@pytest.mark.parametrize("what", CALLS)
def test_anywhere(what: str) -> None:
    came_out = 0
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGUSR1)]
    for place in range(1, MOST):
        world = World()
        world.ctl.create_network("bridge", "web", ipv4="10.77.0.0/24")
        if what != "warm":
            world.ctl.warm("web", 3)
        came, out = struck_at(place, partial(CALLS[what], world))
        came_out += out
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGUSR1)] == handlers
        in_time(partial(use, world))
        in_time(world.ctl.close)
        world.assert_empty()
        if not came:
            break
    assert came_out > 0
    assert place < MOST - 1

"""Arguments that run code of the caller's while a call is under way: numbers that lie, truths that append, clocks."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from _fastnet import Batch, InterfaceList, IPPool
from _fastnet.errors import NotTaken

V4, MAC = b"\x0a\0\0\1", b"\2\0\0\0\0\1"


class Lying(int):
    """An integer that says yes to every comparison."""

    def __lt__(self, other: object) -> bool:
        return True

    __le__ = __gt__ = __ge__ = __lt__


class Appends:
    """True, and appends to a batch when asked."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.done = False

    def __bool__(self) -> bool:
        if not self.done:
            self.done = True
            for _ in range(5000):
                self.batch.set_link(1, up=True)
        return True


class Pins(Appends):
    def __bool__(self) -> bool:
        self.view = memoryview(self.batch)
        return True


class Clears(Appends):
    def __bool__(self) -> bool:
        self.batch.clear()
        return True


# Every verb with an argument whose truth is taken as Python takes it.
FLAGS: list[tuple[str, tuple[Any, ...], str]] = [
    ("add_veth", ("a", "b"), "up"),
    ("add_link", ("a", "dummy"), "up"),
    ("add_bridge", ("a",), "up"),
    ("add_vxlan", ("a", 5), "up"),
    ("add_vxlan", ("a", 0), "external"),
    ("add_macvlan", ("a", 3), "up"),
    ("add_ipvlan", ("a", 3), "up"),
    ("add_vlan", ("a", 3, 5), "up"),
    ("add_dummy", ("a",), "up"),
    ("add_ifb", ("a",), "up"),
    ("add_address", (3, b"\xfd" + bytes(15), 64), "nodad"),
    ("add_address", (3, V4, 24), "noprefixroute"),
    ("add_address", (3, V4, 24), "replace"),
    ("add_route", (V4, 32, 3), "replace"),
    ("add_neighbour", (3, V4, MAC), "replace"),
    ("add_neighbour", (3, V4, MAC), "router"),
    ("add_fdb", (3, MAC), "master"),
    ("add_fdb", (3, MAC), "replace"),
    ("delete_fdb", (3, MAC), "master"),
    ("add_rule", (), "invert"),
]


def call(batch: Batch, verb: str, args: tuple[Any, ...], flag: str, value: object) -> object:
    if verb == "add_route":
        return batch.add_route(args[0], args[1], index=args[2], **{flag: value})  # type: ignore[arg-type]
    return getattr(batch, verb)(*args, **{flag: value})


@pytest.mark.parametrize(("verb", "args", "flag"), FLAGS)
def test_a_flag_that_appends(verb: str, args: tuple[Any, ...], flag: str) -> None:
    wanted, batch = Batch(), Batch()
    call(wanted, verb, args, flag, True)
    batch.set_link(7, up=False)
    try:
        place = call(batch, verb, args, flag, Appends(batch))
    except TypeError:  # a flag that takes nothing but True and False never asks
        assert len(batch) == 1
        return
    assert place == len(batch) - 1 == 5001
    assert batch.message(5001) == wanted.message(0)
    assert b"".join(batch.message(i) for i in range(len(batch))) == bytes(batch)


@pytest.mark.parametrize(("verb", "args", "flag"), FLAGS)
def test_a_flag_that_pins(verb: str, args: tuple[Any, ...], flag: str) -> None:
    batch = Batch()
    pins = Pins(batch)
    with pytest.raises((BufferError, TypeError)):
        call(batch, verb, args, flag, pins)
    assert len(batch) == 0
    assert bytes(batch) == b""


@pytest.mark.parametrize(("verb", "args", "flag"), FLAGS)
def test_a_flag_that_clears(verb: str, args: tuple[Any, ...], flag: str) -> None:
    wanted, batch = Batch(), Batch()
    call(wanted, verb, args, flag, True)
    for _ in range(50):
        batch.set_link(7, up=False)
    try:
        assert call(batch, verb, args, flag, Clears(batch)) == 0
    except TypeError:
        return
    assert bytes(batch) == bytes(wanted)


@pytest.mark.parametrize("position", [10**6, -1, 2**63, 2**200])
def test_a_position_that_lies(position: int) -> None:
    batch = Batch()
    batch.set_link(1, up=True)
    for method in batch.message, batch.operation:
        with pytest.raises(IndexError, match="of a batch of 1 messages"):
            method(Lying(position))
    with pytest.raises(IndexError, match="of a batch of 1 messages"):
        batch.repeat(Lying(position), [1])
    assert batch.message(Lying(0)) == bytes(batch)


def test_a_clock_that_adds_rows() -> None:
    interfaces = InterfaceList()
    interfaces.extend(8)
    ticks = iter(range(1, 1000))

    def clock() -> float:
        interfaces.extend(10_000)
        return float(next(ticks))

    pool = IPPool("10.0.0.0/28", quarantine=100.0, clock=clock)
    pool.release_many(pool.allocate_many(14))
    pool.fill(interfaces, 0, 8)
    given = [interfaces.ipv4(row) for row in range(8)]
    assert given == [bytes((10, 0, 0, n)) for n in range(1, 9)]
    assert len(pool) == 8
    assert pool.drain(interfaces, 0, 8) == 8
    assert [interfaces.ipv4(row) for row in range(8)] == [None] * 8
    assert len(pool) == 0


def test_ordinals_given_back_by_their_own_iterator() -> None:
    pool = IPPool("10.0.0.0/24")
    given = list(pool.allocate_many(20))

    def addresses() -> Any:
        yield from given
        pool.release(given[3])

    with pytest.raises(NotTaken):
        pool.release_many(addresses())
    assert len(pool) == 19


def test_a_batch_says_why_it_cannot_be_pickled() -> None:
    for how in copy.copy, copy.deepcopy, pickle.dumps:
        with pytest.raises(TypeError, match="a Batch cannot be pickled or copied"):
            how(Batch())

"""Many sockets and batches in one call, and who is told of every exchange."""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
import time
from typing import Any

import pytest

from _fastnet import netns
from _fastnet.answers import Answers
from _fastnet.batch import Batch
from _fastnet.records import links
from _fastnet.socket import NetlinkSocket, execute_many, observe


def names(where: NetlinkSocket) -> set[str]:
    return {link.name for link in where.dump_links()}


def made(answer: netns.Namespace | OSError) -> netns.Namespace:
    assert isinstance(answer, netns.Namespace), answer
    return answer


def test_execute_many_gives_each_pair_its_own_answers(host: NetlinkSocket) -> None:
    boxes = [made(answer) for answer in netns.create([None] * 5)]
    batches = []
    for number in range(5):
        batch = Batch()
        batch.set_link(1, up=True)
        batch.set_link(1000 + number, up=True)
        batch.add_address(1, bytes([10, 1, 0, number]), 32)
        batches.append(batch)
    answers = execute_many((box.socket for box in boxes), batches)
    assert [list(one) for one in answers] == [[0, errno.ENODEV, 0]] * 5
    assert [str(one.error(1)) for one in answers] == [
        f"[Errno 19] set link {1000 + number}: No such device" for number in range(5)
    ]
    for number, box in enumerate(boxes):
        mine = bytes([10, 1, 0, number])
        assert mine in [one.address for one in box.socket.dump_addresses(socket.AF_INET)]
    # One batch for all, and one socket twice.
    everywhere = Batch()
    everywhere.add_address(1, b"\x0a\2\0\1", 32)
    ends = [boxes[0].socket, boxes[1].socket, boxes[0].socket]
    assert [list(one) for one in execute_many(ends, [everywhere] * 3)] == [[0], [0], [errno.EEXIST]]
    assert execute_many([], []) == []
    for box in boxes:
        box.close()


def test_execute_many_sends_nothing_where_the_arguments_are_bad(host: NetlinkSocket) -> None:
    batch = Batch()
    batch.add_veth("a", "b")
    closed = NetlinkSocket()
    closed.close()
    bad: list[tuple[Any, Any, type[Exception]]] = [
        ([host, closed], [batch, batch], ValueError),
        ([host], [batch, batch], ValueError),
        ([host, 3], [batch, batch], TypeError),
        ([host, host], [batch, None], TypeError),
        (host, [batch], TypeError),
    ]
    for sockets, batches, error in bad:
        with pytest.raises(error):
            execute_many(sockets, batches)
    assert names(host) == {"lo"}
    batch.set_link(1, up=True)  # it is pinned no more


def test_execute_many_refuses_a_batch_under_way(host: NetlinkSocket) -> None:
    """The observer runs while its batch is still being executed."""
    batch, other = Batch(), Batch()
    batch.set_link(1, up=True)
    other.add_veth("a", "b")
    refused: list[BaseException] = []

    def again(*_: Any) -> None:
        former = observe(None)
        try:
            execute_many([host, host], [other, batch])
        except BufferError as error:
            refused.append(error)
        observe(former)

    observe(again)
    try:
        host.execute(batch).check()
    finally:
        observe(None)
    assert len(refused) == 1
    assert names(host) == {"lo"}
    assert list(execute_many([host], [other])[0]) == [0]


def test_execute_many_from_threads_that_share_sockets(host: NetlinkSocket) -> None:
    boxes = [made(answer) for answer in netns.create([None] * 3)]
    wrong: list[Any] = []

    def work(number: int) -> None:
        batches = [Batch() for _ in boxes]
        for batch in batches:
            batch.set_link(1, up=True)
            batch.set_link(5000 + number, up=True)
        order = boxes if number % 2 else boxes[::-1]
        for _ in range(100):
            for answers in execute_many([box.socket for box in order], batches):
                error = answers.error(1)
                if list(answers) != [0, errno.ENODEV] or error is None or str(5000 + number) not in error.operation:
                    wrong.append(answers)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    for box in boxes:
        box.close()


def test_an_observer_is_told_of_every_datagram(host: NetlinkSocket) -> None:
    told: list[tuple[int, list[tuple[int, bool, bytes]], Answers | None]] = []
    (box,) = (made(answer) for answer in netns.create([None]))
    batch = Batch()
    batch.set_link(1, up=True)
    batch.set_link(77, up=True)
    batch.set_link(1, up=True)
    assert observe(lambda *event: told.append(event)) is None
    try:
        answers = box.socket.execute(batch)
        execute_many([host, box.socket], [batch, batch])
        box.socket.dump_links()
    finally:
        observe(None)
    host.execute(batch)
    inside, here = os.fstat(box.fileno()).st_ino, os.stat("/proc/self/ns/net").st_ino
    assert [namespace for namespace, _, _ in told] == [inside, here, inside, inside]
    assert told[0][2] is answers
    assert told[3][2] is None
    for _, datagrams, _ in told[:3]:
        assert [sent for _, sent, _ in datagrams] == [True, False, False]  # an error, and the last one's success
        request = datagrams[0][2]
        assert len(request) == batch.nbytes
        assert abs(datagrams[0][0] / 1e9 - time.time()) < 60
        last = request[-len(batch.message(2)) :]
        assert int.from_bytes(last[6:8], "little") & 4  # as sent: with NLM_F_ACK
    assert links(told[3][1][1][2])[0].name == "lo"
    box.close()


def test_an_observer_that_fails_costs_nobody_the_answers(host: NetlinkSocket) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("the disk is full")

    caught: list[Any] = []
    hook, sys.unraisablehook = sys.unraisablehook, lambda unraisable: caught.append(unraisable.exc_value)
    batch = Batch()
    batch.set_link(1, up=True)
    observe(fail)
    try:
        assert list(host.execute(batch)) == [0]
        assert len(host.dump_links()) == 1
        assert [list(one) for one in execute_many([host], [batch])] == [[0]]
    finally:
        observe(None)
        sys.unraisablehook = hook
    assert [str(error) for error in caught] == ["the disk is full"] * 3
    with pytest.raises(TypeError, match="callable"):
        observe(3)  # type: ignore[arg-type]

"""Many ports bound at once."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

import pytest

from _fastnet.hostports import bind_ports, close_all

LOCAL = {socket.AF_INET: bytes((127, 0, 0, 1)), socket.AF_INET6: bytes(15) + b"\1"}


def free_ports(count: int) -> list[int]:
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in taken]
    for one in taken:
        one.close()
    return ports


@pytest.mark.parametrize("kind", [(socket.SOCK_STREAM, socket.IPPROTO_TCP), (socket.SOCK_DGRAM, socket.IPPROTO_UDP)])
def test_each_is_bound_until_it_is_closed(kind: tuple[int, int]) -> None:
    ports = free_ports(20)
    found, refused = bind_ports(socket.AF_INET, *kind, LOCAL[socket.AF_INET], ports)
    try:
        assert refused == 0
        for descriptor, port in zip(found, ports, strict=True):
            assert not os.get_inheritable(descriptor)
            with socket.socket(fileno=os.dup(descriptor)) as one:
                assert (one.type, one.getsockname()) == (kind[0], ("127.0.0.1", port))
        again, refused = bind_ports(socket.AF_INET, *kind, LOCAL[socket.AF_INET], [ports[3]])
        assert (again, refused) == ([], errno.EADDRINUSE)
    finally:
        close_all(found)
    with pytest.raises(OSError):
        os.fstat(found[0])


def test_it_stops_at_the_first_that_is_taken_and_leaves_the_others_to_the_caller() -> None:
    ports = free_ports(4)
    with socket.create_server(("127.0.0.1", ports[2])):
        found, refused = bind_ports(socket.AF_INET, socket.SOCK_STREAM, 0, LOCAL[socket.AF_INET], ports)
    close_all(found)
    assert (len(found), refused) == (2, errno.EADDRINUSE)


def test_without_keeping_nothing_stays() -> None:
    before = os.listdir("/proc/self/fd")
    ports = free_ports(10)
    assert bind_ports(socket.AF_INET, socket.SOCK_STREAM, 0, bytes(4), ports, keep=False) == ([0] * 10, 0)
    assert len(os.listdir("/proc/self/fd")) == len(before)
    close_all([0, -1])  # passed over
    os.fstat(0)


def test_ipv6_is_ipv6_alone() -> None:
    (port,) = free_ports(1)
    found, refused = bind_ports(socket.AF_INET6, socket.SOCK_STREAM, 0, bytes(16), [port])
    try:
        if refused:
            pytest.skip("no IPv6 here")
        with socket.create_server(("127.0.0.1", port)):
            pass
    finally:
        close_all(found)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((socket.AF_UNIX, 1, 0, bytes(4), [1]), ValueError),
        ((socket.AF_INET, 1, 0, bytes(16), [1]), ValueError),
        ((socket.AF_INET6, 1, 0, bytes(4), [1]), ValueError),
        ((socket.AF_INET, 1, 0, "127.0.0.1", [1]), TypeError),
        ((socket.AF_INET, 1, 0, bytes(4), (1,)), TypeError),
        ((socket.AF_INET, 1, 0, bytes(4), [-1]), ValueError),
        ((socket.AF_INET, 1, 0, bytes(4), [65536]), ValueError),
        ((socket.AF_INET, 1, 0, bytes(4), ["1"]), TypeError),
        ((socket.AF_INET, -1, 0, bytes(4), [1]), ValueError),
    ],
)
def test_bad_input(arguments: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        bind_ports(*arguments)

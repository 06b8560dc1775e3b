"""Many ports bound at once."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

import pytest

from _fastnet.hostports import bind_ports, close_all
from driverapi import errors
from driverapi.dataplane.firewall.hostports import HostPorts
from driverapi.plan import PortWish

LOCAL = {socket.AF_INET: bytes((127, 0, 0, 1)), socket.AF_INET6: bytes(15) + b"\1"}


HERE = "127.77.1.2"  # where nobody else is: what connects comes from 127.0.0.1


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    taken = [socket.create_server((host, 0)) for _ in range(count)]
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


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("at", [10, 290, 300])
def test_many_are_shared_out_and_stop_at_the_first_that_is_taken(at: int, keep: bool) -> None:
    """Which thread finds which: those before the first are the caller's, those after it are closed."""
    ports = free_ports(300, HERE)
    packed = socket.inet_aton(HERE)
    before = len(os.listdir("/proc/self/fd"))
    taken = [socket.create_server((HERE, port)) for port in ports[at : at + 1] + ports[at + 5 : at + 6]]
    found, refused = bind_ports(socket.AF_INET, socket.SOCK_STREAM, 0, packed, ports, keep=keep)
    try:
        assert (len(found), refused) == (at, errno.EADDRINUSE if taken else 0)
        assert len(os.listdir("/proc/self/fd")) == before + len(taken) + keep * at
        for descriptor, port in zip(found, ports, strict=False):
            if keep:
                with socket.socket(fileno=os.dup(descriptor)) as one:
                    assert one.getsockname() == (HERE, port)
    finally:
        close_all(found)
        for one in taken:
            one.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert bind_ports(socket.AF_INET, socket.SOCK_STREAM, 0, packed, ports, keep=False) == ([0] * 300, 0)


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


def wish(host: str, port: int, last: int = 0) -> PortWish:
    return PortWish("tcp", ((socket.inet_aton(host), bytes((10, 77, 0, 2))),), 80, port, last or port)


@pytest.mark.parametrize("hold", [True, False])
@pytest.mark.parametrize(("first", "second"), [("0.0.0.0", HERE), (HERE, "0.0.0.0"), (HERE, HERE)])
def test_every_address_and_one_are_in_each_others_way(first: str, second: str, hold: bool) -> None:
    before = len(os.listdir("/proc/self/fd"))
    other, port, free = free_ports(3, HERE)
    ports = HostPorts(hold=hold)
    try:
        held = ports.take([wish(first, port)])
        here = len(os.listdir("/proc/self/fd"))
        with pytest.raises(errors.PortTakenError, match=f"port {port}/tcp of {second} is published already"):
            ports.take([wish(second, other), wish(second, port)])
        with pytest.raises(errors.PortTakenError, match="published already"):  # twice in one call
            ports.take([wish(second, other), wish(second, other)])
        assert len(os.listdir("/proc/self/fd")) == here
        ports.release(held)
        ports.release(held)  # passed over
        assert [one.host_port for one in ports.take([wish(second, port), wish(second, other), wish(first, free)])] == [
            port,
            other,
            free,
        ]
    finally:
        ports.close()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.fixture
def span() -> tuple[int, int]:
    """Ten ports that nobody has."""
    return next((low, low + 9) for low in free_ports(20, HERE) if low < 65_000)


@pytest.mark.parametrize("foreign", [(), (0,), (3, 4), (0, 9)])
def test_those_of_one_range_get_the_first_that_are_free(span: tuple[int, int], foreign: tuple[int, ...]) -> None:
    """They are bound together; where somebody has one of them, without that one."""
    low, high = span
    ports = HostPorts()
    others = [socket.create_server((HERE, low + number)) for number in foreign]
    try:
        ports.take([wish(HERE, low + 5)])
        free = [number for number in range(low, high + 1) if number - low not in (*foreign, 5)]
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(errors.PortsExhaustedError, match=f"ports {low}…{high}/tcp are all in use"):
            ports.take([wish(HERE, low, high)] * (len(free) + 1))
        assert len(os.listdir("/proc/self/fd")) == before
        found = ports.take([wish(HERE, low, high)] * len(free))
        assert [one.host_port for one in found] == free
    finally:
        ports.close()
        for one in others:
            one.close()


def test_one_that_cannot_be_had_is_no_matter_of_the_others(span: tuple[int, int]) -> None:
    low, _ = span
    ports = HostPorts()
    wishes = [[wish(HERE, low), wish(HERE, low + 1)], [wish(HERE, low + 2), wish(HERE, low + 3)], [wish(HERE, low + 4)]]
    try:
        with socket.create_server((HERE, low + 3)):
            first, second, third = ports.take_each(wishes)
        assert isinstance(first, list)
        assert isinstance(third, list)
        assert [one.host_port - low for one in first + third] == [0, 1, 4]
        assert isinstance(second, errors.PortTakenError)
        ports.release(first + third)
        assert [
            [one.host_port - low for one in some] for some in ports.take_each(wishes) if isinstance(some, list)
        ] == [
            [0, 1],
            [2, 3],
            [4],
        ]
    finally:
        ports.close()

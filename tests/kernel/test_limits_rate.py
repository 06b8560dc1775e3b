"""Bandwidth limits of endpoints: measured, and where the kernel cannot."""

from __future__ import annotations

import shutil
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from driverapi import Controller, errors, labels
from driverapi._native import socket_in
from driverapi.dataplane.limits import token_bucket
from driverapi.endpoint import Endpoint
from tests.kernel.traffic import ip_of, place, run

MEGABIT = 1_000_000


@pytest.fixture
def ctl(same_descriptors: None) -> Iterator[Controller]:
    with Controller() as controller:
        yield controller


def rate(sender: str, receiver: str, target: str, size: int) -> float:
    """Return bits per second of a TCP stream from one namespace to another."""
    listening = socket.socket(fileno=socket_in(receiver, socket.AF_INET, socket.SOCK_STREAM, 0))
    sending = socket.socket(fileno=socket_in(sender, socket.AF_INET, socket.SOCK_STREAM, 0))
    with listening, sending:
        listening.bind(("", 0))
        listening.listen()
        listening.settimeout(10)
        sending.settimeout(10)
        sending.connect((target, listening.getsockname()[1]))
        taking, _ = listening.accept()
        taking.settimeout(10)

        def send() -> None:
            sending.sendall(bytes(size))
            sending.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=send)
        with taking:
            begin = time.perf_counter()
            thread.start()
            got = 0
            while chunk := taking.recv(1 << 16):
                got += len(chunk)
            seconds = time.perf_counter() - begin
        thread.join()
    assert got == size
    return got * 8 / seconds


@pytest.mark.parametrize("driver", ["bridge", "routed"])
def test_what_an_endpoint_gets_and_sends_is_limited(ctl: Controller, driver: str) -> None:
    net = ctl.create_network(driver, "web", ipv4="10.77.0.0/24")
    slow = net.create_endpoint("slow", options={labels.RATE_IN: "16mbit", labels.RATE_OUT: 8 * MEGABIT})
    free = net.create_endpoint("free")
    for endpoint in (slow, free):
        endpoint.join(ctl.create_sandbox(endpoint.name))

    def measured(one: Endpoint, other: Endpoint, size: int) -> float:
        return rate(place(one), place(other), ip_of(other), size)

    # A burst passes at once, so what is measured is a little more than the limit.
    assert 12 * MEGABIT < measured(free, slow, 1_000_000) < 20 * MEGABIT
    assert 6 * MEGABIT < measured(slow, free, 500_000) < 10.5 * MEGABIT
    slow.leave()
    slow.delete()


@pytest.mark.skipif(shutil.which("tc") is None, reason="tc is not installed")
def test_it_is_what_tc_makes(ctl: Controller) -> None:
    net = ctl.create_network("bridge", "web", ipv4="10.77.0.0/24")
    slow = net.create_endpoint("slow", options={labels.RATE_OUT: "80mbit"})
    slow.join(ctl.create_sandbox("box"))
    said = run("nsenter", f"--net={place(slow)}", "tc", "qdisc", "show", "dev", "eth0")
    assert "qdisc tbf" in said
    assert "root" in said
    assert "rate 80Mbit" in said


def test_a_kernel_without_it_is_a_clear_error(ctl: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "driverapi.dataplane.limits.token_bucket", lambda *given: token_bucket(*given).replace(b"tbf\0", b"tbq\0")
    )
    net = ctl.create_network("bridge", "web", ipv4="10.77.0.0/24")
    slow = net.create_endpoint("slow", options={labels.RATE_IN: "80mbit"})
    with pytest.raises(errors.KernelUnsupportedError, match=r"'slow'.*CONFIG_NET_SCH_TBF"):
        slow.join(ctl.create_sandbox("box"))
    assert slow.sandbox is None


def test_fast_ones_have_64_bits() -> None:
    def attributes(data: bytes) -> dict[int, Any]:
        found = {}
        while data:
            size, kind = struct.unpack_from("=HH", data)
            found[kind] = data[4:size]
            data = data[(size + 3) & ~3 :]
        return found

    message = token_bucket(7, 10**12)
    assert struct.unpack_from("=IHH", message) == (len(message), 36, 0x500)
    assert struct.unpack_from("=i", message, 20) == (7,)
    options = attributes(attributes(message[36:])[2])
    assert struct.unpack("=Q", options[4]) == (10**12 // 8,)
    assert 4 not in attributes(attributes(token_bucket(7, 8 * 10**9)[36:])[2])

"""Counters of interfaces: as the kernel has them, seen from inside a sandbox and from the host."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from driverapi import Controller, InterfaceStatistics, Sandbox, errors
from driverapi.dataplane import counting


def inside(box: Sandbox, *command: str) -> str:
    arguments = ["nsenter", f"--net={box.key}", *command]
    return subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=20).stdout


def files(box: Sandbox, name: str) -> InterfaceStatistics:
    """What the kernel's file says."""
    [line] = [line for line in inside(box, "cat", "/proc/net/dev").splitlines() if line.strip().startswith(f"{name}:")]
    numbers = [int(word) for word in line.split(":")[1].split()]
    return InterfaceStatistics(*numbers[:4], *numbers[8:12])


@pytest.mark.parametrize("driver", ["bridge", "routed", "macvlan"])
@pytest.mark.parametrize("few", [0, 8])
def test_what_goes_through_is_counted(tmp_path: Path, driver: str, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "FEW", few)
    with Controller(run_dir=tmp_path) as ctl:
        net = ctl.create_network(driver, "web", ipv4="10.77.0.0/24")
        box = ctl.create_sandbox("box")
        endpoint = net.create_endpoint("one")
        endpoint.join(box)
        other = net.attach(2)[0].interfaces[0].address.ip
        before = endpoint.statistics()["eth0"]
        inside(
            box, "ping", "-q", "-c", "5", "-i", "0.01", "-s", "1000", "10.77.0.1" if driver != "macvlan" else str(other)
        )
        after = endpoint.statistics()["eth0"]
        assert after.tx_packets - before.tx_packets >= 5
        assert after.rx_bytes - before.rx_bytes >= 5 * 1042
        assert after == files(box, "eth0")
        assert net.statistics()["one"]["eth0"] == after, "the host's end tells the same"
        assert box.statistics() == {"eth0": after}
        assert len(net.statistics()) == 3


def test_a_link_that_somebody_took_away_is_gone(tmp_path: Path) -> None:
    with Controller(run_dir=tmp_path) as ctl:
        net = ctl.create_network("bridge", "web", ipv4="10.77.0.0/24")
        box = ctl.create_sandbox("box")
        endpoint = net.create_endpoint("one")
        endpoint.join(box)
        [other] = net.attach(1)
        inside(box, "ip", "link", "del", "eth0")
        with pytest.raises(errors.NotFoundError, match="endpoint 'one': its interface 'eth0' is gone"):
            endpoint.statistics()
        assert list(net.statistics()) == [other.name]


def test_a_device_that_its_driver_made_is_asked_inside(tmp_path: Path) -> None:
    with Controller(run_dir=tmp_path) as ctl:
        try:
            net = ctl.create_network("macvlan", "mac", ipv4="10.77.0.0/24")
        except errors.DriverAPIError as error:
            pytest.skip(str(error))
        [endpoint] = net.attach(1, strict=True)
        assert list(net.statistics()[endpoint.name]) == ["eth0"]
        assert list(endpoint.statistics()) == ["eth0"]

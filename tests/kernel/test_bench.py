"""Family ``bringup`` of the benchmarks: everyone makes the same, and the check would see it if not."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from driverapi import Controller, Endpoint, Network
from driverapi._native import Batch, Namespace, open_namespace
from driverapi.bench import Workload, WrongResultError, probe, runner, workloads

LO = 1


@pytest.fixture
def network() -> Iterator[Network]:
    with Controller() as controller:
        yield controller.create_network("bridge", "bench", ipv4="10.9.0.0/24", ipv6="fd09::/64")


def look(endpoints: list[Endpoint], *, addresses: list[str] | None = None, pings: int = 25) -> None:
    """Check sandboxes as the benchmark does."""
    paths = [one.sandbox.key for one in endpoints if one.sandbox is not None]
    assert len(paths) == len(endpoints)
    probe.check_sandboxes(paths, ["10.9.0.1", "fd09::1"], addresses=addresses, pings=pings, timeout=0.3)


def index_of(namespace: Namespace, name: str) -> int:
    """Return a link's index."""
    return next(link.index for link in namespace.socket.dump_links() if link.name == name)


def test_what_is_right_passes(network: Network) -> None:
    endpoints = network.attach(3)
    look(endpoints, addresses=[str(one.interfaces[0].packed_address).split("/")[0] for one in endpoints])


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ("lo", "lo is down"),
        ("eth0", "eth0: No such device"),
        ("address", "eth0 has 10.9.0.99, not"),
        ("route", "no default route by 10.9.0.1"),
        ("route6", "no default route by fd09::1"),
        ("bridge", "no answer from 10.9.0.1"),
    ],
)
def test_what_is_wrong_is_seen(network: Network, broken: str, says: str) -> None:
    """Each thing is broken in the second of two sandboxes."""
    endpoints = network.attach(2)
    addresses = [str(one.interfaces[0].packed_address).split("/")[0] for one in endpoints]
    box = endpoints[1].sandbox
    assert box is not None
    with open_namespace(box.key) as namespace:
        eth0 = index_of(namespace, "eth0")
        batch = Batch()
        if broken == "lo":
            batch.set_link(LO, up=False)
        elif broken == "eth0":
            batch.delete_link(eth0)
        elif broken == "address":
            batch.delete_address(eth0, ip_address(addresses[1]).packed, 24)
            batch.add_address(eth0, ip_address("10.9.0.99").packed, 24)
            batch.add_route(gateway=ip_address("10.9.0.1").packed, index=eth0)
        elif broken == "route":
            batch.delete_route(family=2)
        elif broken == "route6":
            batch.delete_route(family=10)
        else:
            # A gateway that is somebody else's hardware: it is there, and does not answer.
            batch.add_neighbour(eth0, ip_address("10.9.0.1").packed, bytes.fromhex("020000000099"))
        namespace.socket.execute(batch).check()
    with pytest.raises(WrongResultError, match=says) as caught:
        look(endpoints, addresses=addresses)
    assert str(box.key) in str(caught.value)


def test_a_namespace_that_is_none(network: Network) -> None:
    (endpoint,) = network.attach(1)
    assert endpoint.sandbox is not None
    with pytest.raises(WrongResultError, match="Invalid argument"):
        probe.check_sandboxes(["/proc/self/status"], ["10.9.0.1"])


def test_links_that_stay_are_an_error(network: Network) -> None:
    before = probe.host_links()
    network.attach(1)
    with pytest.raises(WrongResultError, match="1 links are left on the host"):
        probe.wait_for_links(before, seconds=0.05)


@pytest.mark.parametrize("workload", [one for one in workloads() if one.family == "bringup"], ids=lambda one: one.name)
def test_all_contenders_bring_up_the_same(workload: Workload) -> None:
    """Each in its own namespaces; what each has made is read back and pinged by its worker."""
    up, down = runner.run_workload(workload, quick=True)
    for row in (up, down):
        figures = {"driverapi": row["ours"], **row["peers"]}
        assert set(figures) == {one.name for one in workload.contenders}
        assert {name: one["error"] for name, one in figures.items() if "error" in one} == {}
        assert all(figure["median"] > 0 for figure in figures.values())

"""Bridge networks on the real kernel: what is asked for is what pyroute2 reads back, and then nothing is left."""

from __future__ import annotations

import os
import random
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest
from pyroute2 import IPRoute, NetNS

from driverapi import Controller, DriverRegistry, errors
from driverapi._native import Batch, NetlinkError, NetlinkSocket
from driverapi.dataplane import networks, teardown
from driverapi.dataplane.failures import carry_out
from driverapi.dataplane.groups import COMMON
from driverapi.dataplane.star import Star
from driverapi.drivers.bridge import BridgeDriver
from driverapi.network import Network
from driverapi.testing import Recorder

IF_OPER_UP = 6  # linux/if.h


def host_links() -> set[str]:
    with IPRoute() as ip:
        return {link.get("ifname") for link in ip.get_links()}


@pytest.fixture
def clean() -> Iterator[None]:
    """The host has the same links after the test, and this process the same descriptors."""
    before, descriptors = host_links(), len(os.listdir("/proc/self/fd"))
    yield
    assert host_links() == before
    assert len(os.listdir("/proc/self/fd")) == descriptors


@pytest.fixture
def controller(clean: None) -> Iterator[Controller]:
    with Controller() as controller:
        yield controller
        namespaces = controller._instance.namespaces
    assert not namespaces.exists()


@pytest.fixture
def recorded(clean: None) -> Iterator[tuple[Network, Recorder, Controller]]:
    driver = Recorder(BridgeDriver())
    registry = DriverRegistry()
    registry.register("recorded", driver)
    with Controller(registry=registry) as controller:
        yield controller.create_network("recorded", "net", ipv4="10.5.0.0/16", ipv6="fd05::/64"), driver, controller


def inside(key: str) -> NetNS:
    return NetNS(key, flags=0)


def test_what_the_kernel_has(controller: Controller) -> None:
    network = controller.create_network(
        "bridge", "web", ipv4="10.77.0.0/16", ipv6="fd77::/64", options={"com.docker.network.driver.mtu": "1400"}
    )
    endpoints = network.attach(5, strict=True)
    group = controller._instance.group(0) >> 14
    with IPRoute() as ip:
        bridge = next(link for link in ip.get_links() if link.get(("linkinfo", "kind")) == "bridge")
        ports = [link for link in ip.get_links() if link.get("master") == bridge["index"]]
        assert len(ports) == 5
        for port in ports:
            assert port.get("ifname").startswith("dv" + controller._instance.id)
            assert port.get("group") >> 14 == group
            assert port.get("num_tx_queues") == port.get("num_rx_queues") == 1
            assert port.get("mtu") == 1400
            assert port["state"] == "up"
        assert bridge.get("ifname").startswith("dv" + controller._instance.id)
        assert bridge.get("group") >> 14 == group
        addresses = {one.get("address") for one in ip.get_addr(index=bridge["index"])}
        assert addresses == {"10.77.0.1", "fd77::1"}
        for endpoint in endpoints:
            info = endpoint.interfaces[0]
            pinned = {
                one.get("dst"): one.get("lladdr")
                for family in (socket.AF_INET, socket.AF_INET6)
                for one in ip.get_neighbours(family, ifindex=bridge["index"])
                if one["state"] & 0x80  # NUD_PERMANENT
            }
            assert pinned[str(info.address.ip)] == str(info.mac_address)
            assert pinned[str(info.address_ipv6.ip)] == str(info.mac_address)
    for endpoint in endpoints:
        info = endpoint.interfaces[0]
        with inside(endpoint.sandbox.key) as ns:
            links = {link.get("ifname"): link for link in ns.get_links()}
            assert links["lo"]["state"] == "up"
            eth0 = links["eth0"]
            assert eth0["state"] == "up"
            assert eth0.get("address") == str(info.mac_address)
            assert eth0.get("mtu") == 1400
            assert eth0.get("num_tx_queues") == eth0.get("num_rx_queues") == 1
            have = {(one.get("address"), one["prefixlen"]) for one in ns.get_addr(index=eth0["index"])}
            assert have == {(str(info.address.ip), 16), (str(info.address_ipv6.ip), 64)}  # no link-local address
            for one in ns.get_addr(index=eth0["index"], family=socket.AF_INET6):
                assert not one.get("flags") & 0x40  # IFA_F_TENTATIVE: usable at once
            gateways = {one.get("gateway") for one in ns.get_default_routes()}
            assert {"10.77.0.1", "fd77::1"} == gateways
    network.detach(endpoints)
    assert [link for link in host_links() if "e" in link[6:7]] == []
    assert controller.sandboxes == []


@pytest.mark.parametrize(
    ("prefixes", "families"), [({"ipv4": "10.1.0.0/24"}, {4}), ({"ipv6": "fd01::/64"}, {6}), ({}, {4})]
)
def test_families(controller: Controller, prefixes: dict[str, str], families: set[int]) -> None:
    network = controller.create_network("bridge", "net", **prefixes)
    [endpoint] = network.attach(1, strict=True)
    info = endpoint.interfaces[0]
    assert (info.address is not None, info.address_ipv6 is not None) == (4 in families, 6 in families)
    assert (network.gateway is not None, network.gateway_ipv6 is not None) == (4 in families, 6 in families)


def test_static_addresses_and_several_networks_in_one_sandbox(controller: Controller) -> None:
    one = controller.create_network("bridge", "one", ipv4="10.1.0.0/24")
    two = controller.create_network("bridge", "two", ipv4="10.2.0.0/24")
    box = controller.create_sandbox("box")
    first = one.create_endpoint("ep", ipv4="10.1.0.77", mac="02:00:00:00:00:77")
    second = two.create_endpoint("ep", options={"com.docker.network.endpoint.ifname": "data7"})
    first.join(box)
    second.join(box)
    assert first.info()["interfaces"][0]["name"] == "eth0"
    with inside(box.key) as ns:
        links = {link.get("ifname"): link for link in ns.get_links()}
        assert set(links) == {"lo", "eth0", "data7"}
        assert links["eth0"].get("address") == "02:00:00:00:00:77"
        assert [one.get("gateway") for one in ns.get_default_routes()] == ["10.1.0.1"]
        first.leave(box)
        # The second network's gateway takes over; the other interface is untouched.
        assert [one.get("gateway") for one in ns.get_default_routes()] == ["10.2.0.1"]
        assert {link.get("ifname") for link in ns.get_links()} == {"lo", "data7"}
        first.join(box)
        assert first.info()["interfaces"][0]["name"] == "eth0"
    with pytest.raises(errors.BusyError, match="box"):
        box.delete()
    first.leave()
    second.leave()
    box.delete()


def test_existing_sandbox_with_collisions(controller: Controller) -> None:
    """Somebody's namespace may have our names and indexes already, and may get them later."""
    theirs = controller.create_sandbox("theirs")  # stands for somebody's: a path is all that is used of it
    with inside(theirs.key) as ns:
        ns.link("add", ifname="eth0", kind="bridge", index=64)
        box = controller.create_sandbox("box", netns=theirs.key)
        ns.link("add", ifname="eth1", kind="bridge", index=65)  # behind our back
        network = controller.create_network("bridge", "net", ipv4="10.1.0.0/24")
        endpoints = network.attach([box, box], strict=True)
        assert {one.info()["interfaces"][0]["name"] for one in endpoints} == {"eth2", "eth3"}
        exact = network.create_endpoint("exact", options={"com.docker.network.endpoint.ifname": "eth0"})
        before = len(ns.get_links())
        with pytest.raises(errors.ConflictError, match="'eth0' is taken"):
            exact.join(box)
        assert len(ns.get_links()) == before
        network.detach(endpoints)
        assert {link.get("ifname") for link in ns.get_links()} == {"lo", "eth0", "eth1"}
        box.delete()
        assert {link.get("ifname") for link in ns.get_links()} == {"lo", "eth0", "eth1"}


def test_refused_in_the_middle_of_a_bulk(
    recorded: tuple[Network, Recorder, Controller], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel refuses some endpoints: those are undone step by step, the others stay."""
    network, driver, controller = recorded

    def refuse(star: Star) -> NoReturn:
        raise errors.KernelLimitError("no further bridge", 54)

    monkeypatch.setattr(Star, "_grow", refuse)
    monkeypatch.setattr("driverapi.dataplane.star.PORTS", 100)
    network.delete()
    network = controller.create_network("recorded", "net", ipv4="10.5.0.0/16", ipv6="fd05::/64")
    endpoints = network.attach(107)
    failed = [endpoint for endpoint in endpoints if endpoint.error is not None]
    assert len(failed) == 7
    for endpoint in failed:
        assert isinstance(endpoint.error, errors.KernelError)
        assert endpoint.error.kind is errors.Kind.EXHAUSTED
        assert driver.of(endpoint.id) == ["create_endpoint", "join", "leave", "delete_endpoint"]
        assert endpoint.sandbox is None
    assert len(network.endpoints) == len(controller.sandboxes) == 100
    assert len([name for name in host_links() if name.startswith("dv")]) == 101  # the bridge too
    # Their addresses are free: what is deleted and the failed leave room for all that can be.
    free = {pool.prefix.version: controller._ipam.free(pool.id) for pool in network._pools.values()}
    assert free[4] == 2**16 - 2 - 1 - 100
    network.detach(endpoints)
    assert network.endpoints == controller.sandboxes == []
    assert len([name for name in host_links() if name.startswith("dv")]) == 1


def test_interrupt_leaves_nothing(recorded: tuple[Network, Recorder, Controller]) -> None:
    network, driver, controller = recorded
    before = host_links()

    def interrupt(done: int) -> None:
        if done > 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        network.attach(200, progress=interrupt)
    assert network.endpoints == controller.sandboxes == []
    assert host_links() == before
    assert list(controller._instance.namespaces.iterdir()) == []
    joined = [id for method, id in driver.calls if method == "join"]
    assert 100 < len(joined) <= 200
    assert all(driver.of(id) == ["create_endpoint", "join", "leave", "delete_endpoint"] for id in joined)


def test_refused_network_leaves_nothing(controller: Controller) -> None:
    before = host_links()
    with pytest.raises(errors.KernelError, match="lo") as caught:
        controller.create_network("bridge", "net", ipv4="10.1.0.0/24", options={"com.docker.network.bridge.name": "lo"})
    assert caught.value.kind is errors.Kind.CONFLICT
    for mtu in ("67", "65536", "many", "1279"):
        with pytest.raises(errors.InvalidError, match="mtu"):
            controller.create_network("bridge", "net", ipv6="fd01::/64", options={"com.docker.network.driver.mtu": mtu})
    with pytest.raises(errors.InvalidError, match="15 bytes"):
        controller.create_network(
            "bridge", "net", ipv4="10.1.0.0/24", options={"com.docker.network.bridge.name": "a-name-of-sixteen"}
        )
    assert host_links() == before
    assert controller.networks == []
    controller.create_network("bridge", "net", ipv4="10.1.0.0/24").delete()


@pytest.mark.parametrize("done", [False, True])
def test_a_network_that_fails_half_way_leaves_nothing(
    controller: Controller, monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    """Its bridge is there when the messages that dress it fail, before or after they are done."""
    before, real = host_links(), networks.first_failure

    def failing(*arguments: Any) -> NoReturn:
        monkeypatch.setattr(networks, "first_failure", real)  # the undo works
        if done:
            real(*arguments)
        raise errors.KernelError("refused", 12)

    monkeypatch.setattr(networks, "first_failure", failing)
    with pytest.raises(errors.KernelError, match="refused"):
        controller.create_network("bridge", "net", ipv4="10.1.0.0/24")
    assert host_links() == before
    controller.create_network("bridge", "net", ipv4="10.1.0.0/24").delete()


def test_a_number_that_is_somebody_elses_is_left_to_them(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where each number that is tried is taken, the undo deletes none of those links."""
    with IPRoute() as ip:
        ip.link("add", ifname="theirs0", kind="bridge")
        [index] = ip.link_lookup(ifname="theirs0")
        try:
            with monkeypatch.context() as patch:
                patch.setattr(type(controller._instance), "link_index", lambda instance: index)
                with pytest.raises(errors.KernelError):
                    controller.create_network("bridge", "net", ipv4="10.1.0.0/24")
            assert "theirs0" in host_links()
        finally:
            ip.link("del", index=index)


def test_the_link_is_gone_already(controller: Controller) -> None:
    """What somebody deleted behind our back is as wanted: taking it away is no error."""
    network = controller.create_network("bridge", "net", ipv4="10.1.0.0/24")
    endpoints = network.attach(3, strict=True)
    with IPRoute() as ip:
        for name in host_links():
            if name.startswith("dv") and name[6] == "e":
                ip.link("del", index=ip.link_lookup(ifname=name)[0])
    network.detach(endpoints)
    assert network.endpoints == []


def test_endpoints_that_all_fail_keep_no_group(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(star: Star) -> NoReturn:
        raise errors.KernelLimitError("no port", 54)

    monkeypatch.setattr(Star, "take_port", refuse)
    network = controller.create_network("bridge", "net", ipv4="10.1.0.0/24")
    assert all(isinstance(one.error, errors.KernelLimitError) for one in network.attach(3))
    groups = controller._dataplane._kernel.groups  # type: ignore[attr-defined]
    assert set(groups._members) == {COMMON}


def test_part_of_a_bulk_goes(controller: Controller) -> None:
    network = controller.create_network("bridge", "net", ipv4="10.1.0.0/24")
    endpoints = network.attach(10, strict=True)
    network.detach(endpoints[2:7])
    assert len([name for name in host_links() if name.startswith("dv")]) == 1 + 5
    again = network.attach(5, strict=True)
    network.detach(again + endpoints[:2] + endpoints[7:])
    assert len([name for name in host_links() if name.startswith("dv")]) == 1


def test_what_is_attached_can_be_spoken_to_at_once(controller: Controller) -> None:
    """A bridge has no carrier before its first endpoint, and drops what the host sends until the kernel has noticed."""
    with NetlinkSocket() as host:
        for _ in range(10):
            net = controller.create_network("bridge", "net", ipv4="10.5.0.0/24")
            endpoints = net.attach(1, strict=True)
            states = {link.name: link.operstate for link in host.dump_links() if link.index != 1}
            assert set(states.values()) == {IF_OPER_UP}, states
            net.detach(endpoints)
            net.delete()


def test_one_network_name_from_many_threads(controller: Controller) -> None:
    results: list[object] = []
    gate = threading.Barrier(64)

    def create(number: int) -> None:
        gate.wait(30)
        try:
            results.append(controller.create_network("bridge", "same", ipv4=f"10.{number}.0.0/24"))
        except errors.NetworkExistsError as error:
            results.append(error)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 64
    assert len([one for one in results if isinstance(one, Network)]) == 1
    assert len([name for name in host_links() if name.startswith("dv")]) == 1


def test_many_threads_on_one_network(controller: Controller) -> None:
    network = controller.create_network("bridge", "net", ipv4="10.9.0.0/16", ipv6="fd09::/64")
    shared = controller.create_sandbox("shared")
    faults: list[BaseException] = []

    def churn(number: int) -> None:
        try:
            for round in range(3):
                endpoints = network.attach(5, strict=True)
                one = network.create_endpoint(f"{number}-{round}")
                one.join(shared)
                one.leave(shared)
                one.delete()
                network.detach(endpoints)
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=churn, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert faults == []
    assert network.endpoints == []
    assert len([name for name in host_links() if name.startswith("dv")]) == 1


def test_parts_of_many_groups_go_together(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deletion waits for the kernel: in whatever order endpoints are taken away, it is one for fifty."""
    net = controller.create_network("bridge", "web", ipv4="10.77.0.0/16")
    endpoints = net.attach(400, strict=True)
    random.Random(5).shuffle(endpoints)
    waits: list[str] = []

    def counted(socket: NetlinkSocket, batch: Batch) -> dict[int, NetlinkError]:
        waits.extend(re.findall("delete link.*", batch.describe()))
        return carry_out(socket, batch)

    monkeypatch.setattr(teardown, "carry_out", counted)
    net.detach(endpoints[:300])
    assert len(waits) == 6
    assert len(net.endpoints) == 100
    net.detach(net.endpoints)
    net.delete()

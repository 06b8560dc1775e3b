"""Bridge networks that outgrow one bridge, on the real kernel; most with bridges of a few ports, to be quick."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from pyroute2 import IPRoute

from driverapi import Controller, errors
from driverapi._native import Batch, NetlinkError, NetlinkSocket
from driverapi.dataplane import star as stars
from driverapi.dataplane.groups import COMMON
from driverapi.endpoint import Endpoint
from driverapi.network import Network
from driverapi.pinger import Ping, ping

HOST = f"/proc/{os.getpid()}/ns/net"
BOTH = {"ipv4": "10.6.0.0/16", "ipv6": "fd06::/64"}


def links() -> set[str]:
    with IPRoute() as ip:
        return {link.get("ifname") for link in ip.get_links()}


def kinds() -> str:
    """Letters of what our links are, but for endpoints: b(ridge), l(eaf), h(ub), a(nswerer), t(runk)."""
    return "".join(sorted(name[6] for name in links() if name.startswith("dv") and name[6] != "e"))


def entries() -> tuple[int, int]:
    """Static entries of forwarding tables, and permanent neighbours."""
    with IPRoute() as ip:
        fdb = [one for one in ip.fdb("dump") if one["state"] & 0x40]  # NUD_NOARP
        neighbours = [one for family in (2, 10) for one in ip.get_neighbours(family) if one["state"] & 0x80]
    return len(fdb), len(neighbours)


def flooded() -> dict[str, int]:
    """Of each port: how many of unknown, multicast and broadcast frames are flooded to it."""
    found = {}
    with IPRoute() as ip:
        for link in ip.get_links():
            data = link.get(("linkinfo", "slave_data"))
            if data is not None:
                names = ("unicast_flood", "mcast_flood", "bcast_flood")
                found[link.get("ifname")] = sum(data.get("IFLA_BRPORT_" + name.upper()) for name in names)
    return found


def indexes() -> set[int]:
    with IPRoute() as ip:
        return {link["index"] for link in ip.get_links()}


def own(controller: Controller) -> set[int]:
    """Of the links that the star of the only network has made."""
    [star] = controller._dataplane._kernel.stars.values()  # type: ignore[attr-defined]
    return set(star.links)


def place(endpoint: Endpoint) -> str:
    assert endpoint.sandbox is not None
    return endpoint.sandbox.key


def addresses(endpoint: Endpoint) -> list[bytes]:
    return [one.ip for one in endpoint.interfaces[0].packed_addresses]


def unreached(network: Network, endpoints: Sequence[Endpoint], strides: Sequence[int]) -> list[str]:
    """Have each ping the gateway, the host each, and each those so many places further; tell what failed."""
    gateways = [one.packed for one in (network.gateway, network.gateway_ipv6) if one is not None]
    requests = []
    for number, endpoint in enumerate(endpoints):
        others = [endpoints[(number + stride) % len(endpoints)] for stride in strides]
        targets = gateways + [ip for other in others for ip in addresses(other)]
        requests += [Ping(place(endpoint), target) for target in targets]
        requests += [Ping(HOST, ip) for ip in addresses(endpoint)]
    return [one.error for one in ping(requests, timeout=4.0) if not one.answered]


@pytest.fixture
def controller(same_descriptors: None) -> Iterator[Controller]:
    before = links()
    with Controller() as controller:
        yield controller
    assert links() == before
    assert entries() == (0, 0)


@pytest.fixture
def few_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stars, "PORTS", 8)
    monkeypatch.setattr(stars, "FLOODED", 20)


def test_a_small_network_pays_nothing(controller: Controller, few_ports: None) -> None:
    network = controller.create_network("bridge", "net", **BOTH)
    endpoints = network.attach(8, strict=True)
    assert kinds() == "b"
    assert entries() == (0, 16)  # the bridge's neighbours
    assert set(flooded().values()) == {3}
    assert unreached(network, endpoints, range(8)) == []


@pytest.mark.parametrize("prefixes", [BOTH, {"ipv4": "10.6.0.0/16"}, {"ipv6": "fd06::/64"}])
def test_all_reach_all(controller: Controller, few_ports: None, prefixes: dict[str, str]) -> None:
    network = controller.create_network("bridge", "net", **prefixes)
    endpoints = network.attach(40, strict=True)
    assert kinds() == "abhllll" + "t" * 14  # pairs: five trunks of bridges, the answerer's, and the one with no use
    assert unreached(network, endpoints, (1, 3, 7, 8, 9, 20, 33)) == []
    ports = flooded()
    assert {count for name, count in ports.items() if name[6] == "e"} == {0}
    assert entries() == (40 * 3, 40 * 2 * len(prefixes))


def test_a_network_falls_quiet(controller: Controller, few_ports: None) -> None:
    """Floods go on across bridges until they would reach too many."""
    network = controller.create_network("bridge", "net", **BOTH)
    endpoints = network.attach(20, strict=True)
    assert set(flooded().values()) == {3, 2}  # two: the answerer's trunk, that has no need of unknown frames
    assert unreached(network, endpoints, (1, 9)) == []
    endpoints += network.attach(1, strict=True)
    ports = flooded()
    assert {count for name, count in ports.items() if name[6] == "e"} == {0}
    assert unreached(network, endpoints, (1, 9, 20)) == []


def test_a_network_that_lives_grows_and_shrinks(controller: Controller, few_ports: None) -> None:
    network = controller.create_network("bridge", "net", **BOTH)
    old = network.attach(5, strict=True)
    assert unreached(network, old, (1, 2)) == []  # the bridge has learned them, which is no obstacle
    new = network.attach(20, strict=True)
    assert unreached(network, old + new, (1, 5, 12)) == []
    network.detach(old[1:] + new[::2])
    left = old[:1] + new[1::2]
    assert entries() == (len(left) * 3, len(left) * 4)
    assert unreached(network, left, (1, 4)) == []
    before = kinds()
    again = network.attach(14, strict=True)
    assert kinds() == before, "there was room on the bridges that there are"
    assert unreached(network, left + again, (1, 6, 11)) == []
    network.detach(left + again)
    assert entries() == (0, 0)
    network.delete()
    assert kinds() == ""
    groups = controller._dataplane._kernel.groups  # type: ignore[attr-defined]
    assert set(groups._members) == {COMMON}, "the star's number is lost"


def test_an_endpoint_by_itself(controller: Controller, few_ports: None) -> None:
    network = controller.create_network("bridge", "net", **BOTH, options={"com.docker.network.driver.mtu": 1400})
    many = network.attach(8, strict=True)
    box = controller.create_sandbox("box")
    one = network.create_endpoint("one", mac="02:00:00:00:00:99")
    for _ in range(2):
        one.join(box)
        assert unreached(network, [one, *many], (1, 2, 8)) == []
        with IPRoute() as ip:
            ours = [link for link in ip.get_links() if link.get("ifname").startswith("dv")]
            assert {link.get("mtu") for link in ours} == {1400}
        one.leave()
        assert entries()[0] == 8 * 3


def test_somebody_else_has_ports(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel says that a bridge is full before we think so: the endpoint goes to the next."""
    monkeypatch.setattr(stars, "PORTS", 2000)
    network = controller.create_network("bridge", "net", ipv4="10.6.0.0/16")
    endpoints = network.attach(1022, strict=True)
    monkeypatch.setattr(stars, "PORTS", 8)
    with IPRoute() as ip:
        for name in ("theirs0", "theirs1"):
            ip.link("add", ifname=name, kind="veth", peer={"ifname": name + "p"})
        bridge = ip.link_lookup(kind="bridge")[0]
        ip.link("set", index=ip.link_lookup(ifname="theirs0")[0], master=bridge)
    try:
        # Full to the last port: there is none for a trunk either.
        [refused] = network.attach(1)
        assert isinstance(refused.error, errors.KernelLimitError)
        assert kinds() == "b"
        network.detach(endpoints[:1])
        assert unreached(network, network.attach(1, strict=True), (0,)) == []
    finally:
        with IPRoute() as ip:
            for name in ("theirs0", "theirs1"):
                ip.link("del", ifname=name)
    assert unreached(network, network.attach(1, strict=True), (0,)) == []


@pytest.mark.parametrize("count", [8, 16])
@pytest.mark.parametrize(
    ("error", "done"),
    [(errors.KernelError("no", 12), False), (errors.KernelError("no", 12), True), (KeyboardInterrupt(), True)],
)
def test_growth_that_fails_at_any_step(
    controller: Controller,
    few_ports: None,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    done: bool,
    count: int,
) -> None:
    """Whatever fails, before or after it is done, the network is as it was, and grows the next time.

    The first growth makes all bridges, the second one leaf.
    """
    network = controller.create_network("bridge", "net", **BOTH)
    endpoints = network.attach(count, strict=True)
    before, shape = (links(), entries(), flooded()), kinds()
    box = controller.create_sandbox("box")
    one = network.create_endpoint("one")
    names = ("carry_out", "carry_out_once", "first_failure")
    real: dict[str, Callable[..., Any]] = {name: getattr(stars, name) for name in names}
    steps = grown = 0

    def failing(name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal steps
            steps -= 1
            if steps == 0 and not done:
                raise error
            result = real[name](*arguments, **named)
            if steps == 0:
                raise error
            return result

        return call

    for name in real:
        monkeypatch.setattr(stars, name, failing(name))
    for number in range(1, 100):
        steps = number
        try:
            one.join(box)
        except (errors.KernelError, KeyboardInterrupt):
            steps = 0
            assert one.sandbox is None
            if kinds() == shape:
                assert (links(), entries(), flooded()) == before, f"step {number}"
            else:  # it had grown, and stays so until the network goes
                grown += 1
                assert entries() == (count * 3, count * 4)
            assert own(controller) <= indexes()
            continue
        break
    assert number > (5 if count == 8 else 2)
    assert grown >= 1
    steps = 0
    assert unreached(network, [one, *endpoints], (1, 4)) == []


def test_growth_where_a_name_is_taken(controller: Controller, few_ports: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is made anew under other names, and of the first attempt nothing stays."""
    network = controller.create_network("bridge", "net", **BOTH)
    endpoints = network.attach(8, strict=True)
    kind, real = type(controller._instance), type(controller._instance).link_name
    asked = []

    def taken(instance: Any, letter: str) -> str:
        asked.append(letter)
        return "lo" if asked.count(letter) == 1 and letter in "al" else real(instance, letter)

    monkeypatch.setattr(kind, "link_name", taken)
    endpoints += network.attach(1, strict=True)
    assert [asked.count(letter) for letter in "hal"] == [2, 2, 2]
    assert kinds() == "abhl" + "t" * 8
    assert own(controller) <= indexes()
    assert unreached(network, endpoints, (1, 4)) == []


def test_entries_that_are_refused(controller: Controller, few_ports: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who cannot be made known is undone; who cannot be forgotten is to be taken away again."""
    network = controller.create_network("bridge", "net", **BOTH)
    endpoints = network.attach(10, strict=True)
    real = stars.carry_out

    def refuse(socket: NetlinkSocket, batch: Batch) -> dict[int, NetlinkError]:
        monkeypatch.setattr(stars, "carry_out", real)  # the next time it works
        last = len(batch) - 1
        some = Batch()
        for position in range(last):
            some.append(batch.message(position))
        assert real(socket, some) == {}
        return {last: NetlinkError(errno.ENOMEM, batch.operation(last))}

    monkeypatch.setattr(stars, "carry_out", refuse)
    first, second = network.attach(2)
    assert (first.error, type(second.error)) == (None, errors.KernelError)
    assert entries() == (11 * 3, 11 * 4)
    monkeypatch.setattr(stars, "carry_out", refuse)
    with pytest.raises(errors.BulkError) as caught:
        network.detach([endpoints[0], first])
    assert (endpoints[0].error, type(first.error), len(caught.value.exceptions)) == (None, errors.KernelError, 1)
    network.detach([endpoints[0], first])
    assert entries() == (9 * 3, 9 * 4)
    assert unreached(network, endpoints[1:], (1, 4)) == []


def test_many_threads_grow_one_network(controller: Controller, few_ports: None) -> None:
    network = controller.create_network("bridge", "net", **BOTH)
    faults: list[BaseException] = []
    stay: list[Endpoint] = []

    def churn() -> None:
        try:
            for _ in range(3):
                network.detach(network.attach(5, strict=True))
            stay.extend(network.attach(5, strict=True))
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=churn) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert faults == []
    assert len(stay) == 40
    assert entries() == (40 * 3, 40 * 4)
    assert unreached(network, stay, (1, 17)) == []


def test_two_networks_grow_apart(controller: Controller, few_ports: None) -> None:
    one = controller.create_network("bridge", "one", ipv4="10.6.0.0/16")
    two = controller.create_network("bridge", "two", ipv4="10.7.0.0/16")
    first, second = one.attach(20, strict=True), two.attach(20, strict=True)
    one.detach(first)
    one.delete()
    assert unreached(two, second, (1, 9)) == []


def test_more_endpoints_than_a_bridge_takes_ports(controller: Controller) -> None:
    """With the real numbers: neighbours across bridges are reached, in both families."""
    network = controller.create_network("bridge", "net", **BOTH)
    endpoints = network.attach(1100, strict=True)
    assert kinds() == "abhll" + "t" * 10
    sample = endpoints[:40] + endpoints[480:520] + endpoints[-40:]
    assert unreached(network, sample, (1, 41, 80)) == []
    network.detach(endpoints)
    assert entries() == (0, 0)

"""Threads: exactly one wins, and what raced agrees in the end."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from driverapi import Endpoint, errors
from driverapi.network import Network
from tests.support import World, at_once, exactly_one


@pytest.fixture
def web(world: World) -> Network:
    return world.ctl.create_network("bridge", "web", ipv4="10.77.0.0/16", ipv6="fd77::/64")


@pytest.fixture
def own(world: World) -> Network:
    return world.ctl.create_network("own", "own", ipv4="10.50.0.0/24")


def test_one_network_name_by_64_threads(world: World) -> None:
    network = exactly_one(at_once(lambda _: world.ctl.create_network("bridge", "web")), errors.NetworkExistsError)
    assert world.ctl.networks == [network]
    assert len(world.dataplane.networks) == len(world.bridge_driver._networks) == len(world.ipam._pools) == 1


def test_one_endpoint_name_by_64_threads(world: World, web: Network) -> None:
    endpoint = exactly_one(at_once(lambda _: web.create_endpoint("ep")), errors.EndpointExistsError)
    assert web.endpoints == [endpoint]
    assert world.ipam.free(web._pools[4].id) == 2**16 - 2 - 2


def test_one_sandbox_name_by_64_threads(world: World) -> None:
    box = exactly_one(at_once(lambda _: world.ctl.create_sandbox("box")), errors.SandboxExistsError)
    assert world.ctl.sandboxes == [box]
    assert len(world.dataplane.sandboxes) == 1


def test_one_prefix_by_64_threads(world: World) -> None:
    exactly_one(
        at_once(lambda number: world.ctl.create_network("bridge", str(number), ipv4="10.1.0.0/16")),
        errors.ConflictError,
    )
    assert len(world.ctl.networks) == 1


def test_one_deletion_by_64_threads(world: World, web: Network) -> None:
    endpoint, box = web.create_endpoint("ep"), world.ctl.create_sandbox("box")
    exactly_one([one or True for one in at_once(lambda _: endpoint.delete())], errors.NoEndpointError)
    exactly_one([one or True for one in at_once(lambda _: box.delete())], errors.NoSandboxError)
    exactly_one([one or True for one in at_once(lambda _: web.delete())], errors.NoNetworkError)
    assert world.bridge.of(endpoint.id) == ["create_endpoint", "delete_endpoint"]


def test_names_and_addresses_that_go_round_among_threads(world: World, own: Network) -> None:
    """One name and one address, wanted by all: nobody is ever told that both it and another has it."""
    held = threading.Semaphore(1)

    def churn(number: int) -> int:
        won = 0
        for _ in range(20):
            try:
                endpoint = own.create_endpoint("ep", ipv4="10.50.0.9")
            except (errors.EndpointExistsError, errors.AddressTakenError):
                continue
            assert held.acquire(blocking=False), "two have one name"
            won += 1
            held.release()
            endpoint.delete()
        return won

    answers = at_once(churn, 16)
    assert not [answer for answer in answers if isinstance(answer, Exception)]
    assert sum(answers) > 0
    assert own.endpoints == []
    assert world.ipam.free(own._pools[4].id) == 254


def test_join_and_leave_by_threads_agree_in_the_end(world: World, web: Network) -> None:
    """Whatever raced, the endpoint, the sandboxes and the lifecycle say the same, and all can be deleted."""
    boxes = [world.ctl.create_sandbox(f"box{number}") for number in range(2)]
    endpoints = [web.create_endpoint(f"ep{number}") for number in range(2)]

    def churn(number: int) -> None:
        for turn in range(30):
            endpoint, box = endpoints[(number + turn) % 2], boxes[number // 2 % 2]
            try:
                endpoint.join(box) if number % 2 else endpoint.leave()
            except (errors.JoinedError, errors.NotJoinedError):
                continue

    assert at_once(churn, 16) == [None] * 16
    for endpoint in endpoints:
        netns = world.ctl._lifecycle.endpoint(endpoint.id).netns
        assert (endpoint.sandbox and endpoint.sandbox._netns) is netns
        assert [box for box in boxes if endpoint in box.endpoints] == ([endpoint.sandbox] if endpoint.sandbox else [])
        if endpoint.sandbox:
            endpoint.leave()
        endpoint.delete()
    for box in boxes:
        box.delete()


def test_a_sandbox_is_deleted_or_joined_never_both(world: World, web: Network) -> None:
    for turn in range(20):
        box, endpoint = world.ctl.create_sandbox("box"), web.create_endpoint("ep")
        joined, deleted = at_once(lambda number, e=endpoint, b=box: b.delete() if number else e.join(b), 2)
        assert (joined is None) != (deleted is None), turn
        if joined is None:
            assert isinstance(deleted, errors.BusyError)
            assert box.endpoints == [endpoint]
            endpoint.leave()
            box.delete()
        else:
            assert isinstance(joined, errors.NoSandboxError)
            assert not world.dataplane.sandboxes
        endpoint.delete()


def test_a_network_is_deleted_or_grows_never_both(world: World) -> None:
    for turn in range(20):
        net = world.ctl.create_network("bridge", "net", ipv4="10.1.0.0/16")
        made, deleted = at_once(lambda number, n=net: n.delete() if number else n.create_endpoint("ep"), 2)
        assert isinstance(made, Endpoint) != (deleted is None), turn
        if deleted is None:
            assert isinstance(made, errors.NoNetworkError)
        else:
            assert isinstance(deleted, errors.BusyError)
            made.delete()
            net.delete()


def test_attach_by_many_threads(world: World, web: Network) -> None:
    answers = at_once(lambda _: web.attach(20, strict=True), 16)
    addresses = [endpoint.interfaces[0].packed_address for answer in answers for endpoint in answer]
    assert len(set(addresses)) == 320
    assert at_once(lambda number: web.detach(answers[number]), 16) == [None] * 16
    assert world.ctl.sandboxes == web.endpoints == []


def test_sandbox_is_noted_while_it_is_joined(world: World, web: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second join that fails must not take the first one's endpoint out of the sandbox."""
    endpoint, box = web.create_endpoint("ep"), world.ctl.create_sandbox("box")
    lifecycle = world.ctl._lifecycle
    join = lifecycle.join

    def slow(*args: Any) -> Any:
        outcomes = join(*args)
        if outcomes == [None]:  # the winner is held up before it can go on
            with pytest.raises(errors.JoinedError):
                endpoint.join(box)
            with pytest.raises(errors.BusyError):
                box.delete()
        return outcomes

    monkeypatch.setattr(lifecycle, "join", slow)
    endpoint.join(box)
    assert box.endpoints == [endpoint]
    with pytest.raises(errors.BusyError, match="'box' is joined by ep"):
        box.delete()

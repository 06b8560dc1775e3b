"""Docker plugins as drivers that are away, slow, or broken: what it costs, and what is undone."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from driverapi import Controller, errors
from driverapi.places import Place
from driverapi.remote import RemoteDriver, client
from driverapi.remote.breaker import FIRST, LONGEST, Breaker
from driverapi.remote.connection import MAX_ANSWER, Connection, LateError
from driverapi.remote.debts import HEARD
from driverapi.testing import FakeDataplane
from tests.scripted import World, raw


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (raw(b"nonsense\r\n\r\n"), "no HTTP"),
        (raw(OK + b"Content-Length: 99999999999\r\n\r\n"), "limit"),
        (raw(OK + b"Content-Length: x\r\n\r\n"), "no HTTP"),
        (raw(OK + b"Transfer-Encoding: chunked\r\n\r\n", *[b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n"] * 20), "more than"),
        (raw(OK + b"\r\n", b"x" * (MAX_ANSWER + 1)), "more than"),
        (raw(OK + b"X: " + b"y" * 70000 + b"\r\n\r\n"), "headers|no HTTP"),
        (raw(OK + b"Content-Length: 1\r\n\r\n{"), "not what it should be"),
        (raw(OK + b"Content-Length: 0\r\n\r\n"), "it is empty"),
        (raw(OK + b"Content-Length: 5\r\n\r\n" + b"\xff" * 5), "not what it should be"),
        (raw(OK + b"Content-Length: 60000\r\n\r\n" + b"[" * 60000), "not what it should be"),
        (raw(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), "another protocol|no HTTP"),
    ],
)  # fmt: skip
def test_answers_that_cannot_be_read(world: World, answer: Any, said: str) -> None:
    net = world.network()
    world.tiny.script["CreateEndpoint"] = [answer]
    with pytest.raises(errors.PluginError, match=said):
        net.create_endpoint("ep")
    assert world.tiny.verbs()[-1] == "DeleteEndpoint"
    net.create_endpoint("ep")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 2", OK + b"Content-Length: 9\r\n\r\n{}"])
def test_a_connection_that_is_cut_is_tried_again_whole(world: World, answer: bytes) -> None:
    net = world.network()
    world.tiny.script["CreateEndpoint"] = [raw(answer), raw(answer)]
    net.create_endpoint("ep")
    first, second, third = world.tiny.documents("CreateEndpoint")
    assert first == second == third
    assert first["Interface"]["Address"] == "10.60.0.2/16"


def test_a_connection_that_is_always_cut(world: World) -> None:
    net = world.network()
    world.tiny.script["CreateEndpoint"] = raw(b"")
    with pytest.raises(errors.PluginError, match=r"closed before the answer was whole.*not known"):
        net.create_endpoint("ep")
    assert 3 <= world.tiny.verbs().count("CreateEndpoint") <= 4
    assert world.tiny.verbs()[-1] == "DeleteEndpoint"


def test_answers_in_other_forms(world: World) -> None:
    net = world.network()
    body = b'{"Interface": {"MacAddress": "02:00:00:00:00:07"}}'
    forms = [
        OK + b"\r\n" + body,  # until the end
        b"HTTP/1.0 200 OK\r\n\r\n" + body,
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: %d\r\n\r\n" % len(body) + body,
        OK + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body),
    ]
    for number, form in enumerate(forms):
        world.tiny.script["CreateEndpoint"] = [raw(*[form[at : at + 7] for at in range(0, len(form), 7)])]
        ep = net.create_endpoint(f"ep{number}")
        assert str(ep.interfaces[0].mac_address) == "02:00:00:00:00:07"
    world.tiny.script["CreateEndpoint"] = [(200, b"null")]
    net.create_endpoint("null")


def test_a_plugin_that_does_not_answer_costs_one_timeout(tmp_path: Path) -> None:
    world = World(tmp_path, timeout=0.2)
    net = world.network()
    world.tiny.script["CreateEndpoint"] = lambda connection: time.sleep(0.6)
    began = time.monotonic()
    eps = net.attach(50)
    assert time.monotonic() - began < 5
    assert all(isinstance(ep.error, errors.PluginDownError) for ep in eps)
    assert "asked again in" in str(eps[-1].error)
    assert world.tiny.verbs().count("CreateEndpoint") == 1
    world.tiny.script.clear()
    world.driver._client._breaker._until = 0.0  # its pause is over
    assert net.attach(1)[0].error is None
    assert world.tiny.verbs().count("DeleteEndpoint") == 1  # what it may have made, and was not told of then
    world.close()


def test_an_answer_that_trickles_has_the_same_deadline(tmp_path: Path) -> None:
    world = World(tmp_path, timeout=0.3)
    net = world.network()
    world.tiny.script["CreateEndpoint"] = [raw(OK, *[b"X: y\r\n"] * 8, pause=0.1)]
    with pytest.raises(errors.PluginDownError, match="no answer in time"):
        net.create_endpoint("ep")
    world.close()


def test_a_plugin_that_is_away_costs_one_attempt(world: World) -> None:
    net = world.network()
    ep = net.create_endpoint("ep")
    world.tiny.stop()
    began = time.monotonic()
    eps = net.attach(100)
    assert time.monotonic() - began < 5
    assert all(isinstance(one.error, errors.PluginDownError) for one in eps)
    with pytest.raises(errors.PluginDownError, match="start it"):
        ep.delete()
    assert net.endpoints == [ep]
    world.tiny.start()
    ep.delete()
    assert net.attach(1)[0].error is None


def test_a_plugin_that_starts_anew_is_waited_for(tmp_path: Path) -> None:
    world = World(tmp_path, patience=5.0)
    net = world.network()
    world.tiny.stop()
    threading.Timer(0.2, world.tiny.start).start()
    net.create_endpoint("ep")
    world.close()


def test_a_plugin_that_was_never_there(tmp_path: Path) -> None:
    with Controller(dataplane=FakeDataplane()) as ctl:
        ctl.registry.register("gone", RemoteDriver("gone", f"unix://{tmp_path}/gone.sock"))
        with pytest.raises(errors.PluginDownError, match=r"gone\.sock: No such file.*start it"):
            ctl.create_network("gone", "net")
        assert ctl.networks == []


def test_an_undo_that_the_plugin_could_not_hear_is_told_it_later(world: World) -> None:
    net = world.network()

    def die(connection: socket.socket) -> bool:
        world.tiny.stop()
        return False

    world.tiny.script["CreateEndpoint"] = [die]
    with pytest.raises(errors.PluginError):
        net.create_endpoint("ep")
    world.tiny.start()
    net.create_endpoint("other")
    deleted = world.tiny.documents("DeleteEndpoint")
    assert [one["EndpointID"] for one in deleted] == [world.tiny.documents("CreateEndpoint")[0]["EndpointID"]]


def test_an_undo_that_is_always_cut_is_told_later(world: World) -> None:
    net = world.network()
    world.tiny.script["CreateEndpoint"] = [{"Interface": {"Address": "10.60.0.9/16"}}]
    world.tiny.script["DeleteEndpoint"] = raw(b"")
    with pytest.raises(errors.PluginError, match="was not asked"):
        net.create_endpoint("ep")
    before = world.tiny.documents("DeleteEndpoint")
    del world.tiny.script["DeleteEndpoint"]
    net.create_endpoint("other")
    assert world.tiny.documents("DeleteEndpoint") == [*before, before[-1]]
    net.create_endpoint("third")
    assert len(world.tiny.documents("DeleteEndpoint")) == len(before) + 1  # once


def test_an_undo_that_a_plugin_hangs_in_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    net = world.network()
    asked = world.driver._client
    asked.timeout = 0.05
    world.tiny.script["CreateEndpoint"] = [{"Interface": {"Address": "10.60.0.9/16"}}]
    world.tiny.script["DeleteEndpoint"] = lambda connection: time.sleep(0.1)
    with pytest.raises(errors.PluginError, match="was not asked"):
        net.create_endpoint("ep")
    for _ in range(HEARD - 1):
        asked._breaker.retry()
        with pytest.raises(errors.PluginDownError):
            net.create_endpoint("ep")
    asked._breaker.retry()
    net.create_endpoint("ep")
    assert world.tiny.verbs().count("DeleteEndpoint") == HEARD


def test_an_undo_is_kept_for_a_plugin_that_is_not_there(world: World) -> None:
    net = world.network()
    world.tiny.script["CreateEndpoint"] = [{"Interface": {"Address": "10.60.0.9/16"}}]
    world.tiny.script["DeleteEndpoint"] = [lambda connection: world.tiny.stop() or False]
    with pytest.raises(errors.PluginError, match="was not asked"):
        net.create_endpoint("ep")
    for _ in range(3 * HEARD):
        with pytest.raises(errors.PluginDownError):
            net.create_endpoint("ep")
    world.tiny.start()
    net.create_endpoint("ep")
    assert world.tiny.verbs().count("DeleteEndpoint") == 2


def test_an_endpoint_that_is_forgotten_everywhere_is_forgotten_here(world: World) -> None:
    [ep] = world.network().attach(1)
    world.tiny.script["DeleteEndpoint"] = (404, b'{"Err": "no endpoint", "Kind": "not_found"}')
    ep.network.detach([ep])
    driver = world.driver
    assert not driver._asked
    assert not driver._joined
    assert not driver._programmed


def test_an_interrupt_of_a_detach_leaves_what_can_be_detached_again(world: World) -> None:
    net = world.network()
    eps = net.attach(100)
    world.tiny.script["Leave"] = raw(OK + b"Content-Length: 2\r\n\r\n", b"{}", pause=0.05, then=True)
    done = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT))
    done.start()
    with pytest.raises(KeyboardInterrupt):
        net.detach(eps)
    done.join()
    assert 0 < world.tiny.verbs().count("Leave") < 100
    world.tiny.script.clear()
    net.detach(eps)
    assert net.endpoints == []
    assert world.dataplane.endpoints == {}
    left = {one["EndpointID"] for one in world.tiny.documents("Leave")}
    assert left == {ep.id for ep in eps}


@pytest.mark.parametrize("wrong", [{"timeout": 0}, {"timeout": "1"}, {"patience": -1}, {"form": "both"}])
def test_arguments_that_are_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidError):
        RemoteDriver("x", **wrong)
    with pytest.raises(errors.InvalidError, match="name"):
        RemoteDriver("")


def test_addresses_of_one_host_share_the_time_of_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    there = socket.create_server(("127.0.0.1", 0))
    silent = socket.create_server(("127.0.0.1", 0), backlog=0)
    filling = [socket.socket() for _ in range(3)]  # its queue is full: nobody answers
    for one in filling:
        one.setblocking(False)
        one.connect_ex(silent.getsockname())
    addresses = [*[silent.getsockname()] * 2, there.getsockname()]
    known = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: [(*known, one) for one in addresses])
    place = Place(host="many.example", port=1)
    Connection(place, None, time.monotonic() + 0.3).close()
    addresses[:] = [silent.getsockname()] * 20
    began = time.monotonic()
    with pytest.raises(LateError):
        Connection(place, None, began + 0.2)
    assert time.monotonic() - began < 2  # and not 4: so much for each
    for one in (silent, *filling, there):
        one.close()


def test_a_plugin_whose_queue_is_full_is_waited_for(tmp_path: Path) -> None:
    place = Place(path=str(tmp_path / "full.sock"))
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as first:
        listening.bind(place.path)
        listening.listen(0)
        first.connect(place.path)
        with pytest.raises(LateError):
            Connection(place, None, time.monotonic() + 0.02)
        accepting = threading.Timer(0.05, lambda: listening.accept()[0].close())
        accepting.start()
        Connection(place, None, time.monotonic() + 10).close()
        accepting.join()


# --- the breaker ------------------------------------------------------------------------------------------


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_breaker_lets_one_through_now_and_then() -> None:
    clock = Clock()
    breaker = Breaker("plugin 'x'", clock)
    first = breaker.enter()
    assert breaker.fail("no answer", first)
    assert not breaker.fail("no answer", first)  # that began with the first
    with pytest.raises(errors.PluginDownError, match=r"plugin 'x': no answer; it is asked again in 1\.0 s"):
        breaker.enter()
    pauses = []
    for _ in range(8):
        pauses.append(breaker._until - clock.now)
        clock.now = breaker._until
        again = breaker.enter()
        with pytest.raises(errors.PluginDownError):  # the others wait for what comes of that one
            breaker.enter()
        clock.now += 0.1
        assert not breaker.fail("no answer", again)
    assert pauses == pytest.approx([FIRST, 2, 4, 8, 16, LONGEST, LONGEST, LONGEST])
    assert breaker.is_open
    clock.now = breaker._until
    breaker.enter()
    assert breaker.succeed()
    assert not breaker.is_open
    breaker.enter()
    breaker.enter()
    assert not breaker.succeed()


def hanging(tmp_path: Path) -> tuple[World, Any]:
    """Have a plugin that did not answer one call in time."""
    world = World(tmp_path, timeout=0.2)
    net = world.network()
    world.tiny.script["CreateEndpoint"] = [lambda connection: time.sleep(0.4)]
    with pytest.raises(errors.PluginDownError, match="no answer in time"):
        net.create_endpoint("ep")
    world.driver._client.timeout = 30.0
    world.tiny.asked.clear()
    return world, net


def test_a_plugin_that_is_silent_still_costs_a_short_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PROBE", 0.05)
    world, net = hanging(tmp_path)
    world.tiny.script["GetCapabilities"] = lambda connection: time.sleep(1)
    for _ in range(3):
        world.driver._client._breaker.retry()
        with pytest.raises(errors.PluginDownError, match=r"was not asked for.*no answer in time") as caught:
            net.create_endpoint("ep")
        assert caught.value.outcome == "nothing"
    assert {verb for verb, _ in world.tiny.asked} == {"NetworkDriver.GetCapabilities"}
    world.close()


def test_a_plugin_that_hangs_in_one_verb_alone_is_asked_ever_more_seldom(tmp_path: Path) -> None:
    world, _ = hanging(tmp_path)
    asked = world.driver._client
    asked.timeout = 0.1
    world.tiny.script["EndpointOperInfo"] = lambda connection: time.sleep(0.2)
    pauses = []
    for _ in range(3):
        asked._breaker.retry()
        with pytest.raises(errors.PluginDownError):
            asked.call("NetworkDriver.EndpointOperInfo", {}, dict)
        pauses.append(asked._breaker._pause)
    assert pauses == [2 * FIRST, 4 * FIRST, 8 * FIRST]
    world.close()


def test_a_plugin_that_was_silent_and_starts_anew_is_asked_at_once(tmp_path: Path) -> None:
    world, net = hanging(tmp_path)
    world.driver._client._breaker._until += 3600
    with pytest.raises(errors.PluginDownError, match="asked again in"):
        net.create_endpoint("ep")
    world.tiny.stop()
    with pytest.raises(errors.PluginDownError, match="asked again in"):  # there is none yet
        net.create_endpoint("ep")
    world.tiny.start()
    net.create_endpoint("ep")
    assert not world.driver._client._breaker.is_open
    world.close()


def test_a_host_that_cannot_be_reached_slowly_is_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_SLOW", 0.0)
    driver = RemoteDriver("off", "tcp://127.0.0.1:1")
    with pytest.raises(errors.PluginDownError, match="start it"):
        driver.create_network("n" * 64, {})
    with pytest.raises(errors.PluginDownError, match="asked again in"):
        driver.create_network("n" * 64, {})


# --- interrupts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["CreateEndpoint", "Join", "ProgramExternalConnectivity"])
def test_an_interrupt_undoes_the_call(world: World, verb: str) -> None:
    net = world.network()
    slow = raw(OK + b"Content-Length: 2\r\n\r\n", b"{}", pause=0.05, then=True)
    world.tiny.script[verb] = slow
    done = threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT))
    done.start()
    with pytest.raises(KeyboardInterrupt):
        net.attach(200)
    done.join()
    assert net.endpoints == []
    created = [one["EndpointID"] for one in world.tiny.documents("CreateEndpoint")]
    deleted = [one["EndpointID"] for one in world.tiny.documents("DeleteEndpoint")]
    assert sorted(created) == sorted(deleted)
    joined = {one["EndpointID"] for one in world.tiny.documents("Join")}
    assert joined == {one["EndpointID"] for one in world.tiny.documents("Leave")}
    assert len(world.tiny.documents(verb)) < 200
    assert world.dataplane.endpoints == {}
    world.tiny.script.clear()
    assert net.attach(1)[0].error is None

"""Ports that a Docker plugin publishes: when it is asked for what, and what becomes of a no."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from driverapi import Controller, errors, places
from driverapi.drivers.null import NullDriver
from driverapi.ports.external import ProgramsExternal
from driverapi.remote import RemoteDriver
from driverapi.testing import FakeDataplane
from tests.scripted import Tiny, World, raw

PORTS = "com.docker.network.portmap"
EXPOSED = "com.docker.network.endpoint.exposedports"
PROGRAM, REVOKE = "ProgramExternalConnectivity", "RevokeExternalConnectivity"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def binding(
    port: int, host_port: int = 0, host: str = "", proto: int = 6, end: int = 0, ip: str = ""
) -> dict[str, Any]:
    end = end or host_port
    return {"Proto": proto, "IP": ip, "Port": port, "HostIP": host, "HostPort": host_port, "HostPortEnd": end}


def told(*bindings: dict[str, Any]) -> dict[str, Any]:
    return {"Value": {PORTS: list(bindings)}}


def texts(endpoint: Any) -> list[str]:
    return [str(one) for one in endpoint.ports]


def test_who_publishes_itself() -> None:
    assert isinstance(RemoteDriver("x"), ProgramsExternal)
    assert not isinstance(NullDriver(), ProgramsExternal)


def test_ports_are_programmed_after_the_join_and_revoked_before_the_leave(world: World) -> None:
    net = world.network(ipv6="fd60::/64")
    inside: list[bool] = []

    def noting(connection: socket.socket) -> bool:
        inside.append(bool(world.dataplane.endpoints))
        return raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", then=True)(connection)

    for verb in (PROGRAM, REVOKE, "Leave"):
        world.tiny.script[verb] = noting
    ep = net.create_endpoint("ep", options={EXPOSED: "80,90"}, publish=["8080:80", "127.0.0.1:5300-5310:53/udp"])
    wanted = {
        EXPOSED: [{"Proto": 6, "Port": 80}, {"Proto": 6, "Port": 90}, {"Proto": 17, "Port": 53}],
        PORTS: [binding(80, 8080), binding(53, 5300, "127.0.0.1", 17, 5310)],
    }
    assert world.tiny.documents("CreateEndpoint")[0]["Options"] == wanted
    assert ep.ports == []  # it is in no sandbox
    world.tiny.script["EndpointOperInfo"] = told(
        binding(80, 8080, "0.0.0.0", ip="10.60.0.2"), binding(53, 5302, "127.0.0.1", 17, ip="10.60.0.2")
    )
    ep.join(world.ctl.create_sandbox("box"))
    assert world.tiny.documents("Join")[0]["Options"] == wanted
    ids = {"NetworkID": net.id, "EndpointID": ep.id}
    assert world.tiny.documents(PROGRAM) == [{**ids, "Options": wanted}]
    assert texts(ep) == ["0.0.0.0:8080->10.60.0.2:80/tcp", "127.0.0.1:5302->10.60.0.2:53/udp"]
    assert ep.info()["ports"] == texts(ep)
    ep.leave()
    assert ep.ports == []
    assert world.tiny.documents(REVOKE) == [ids]
    assert world.tiny.verbs()[2:] == ["Join", PROGRAM, "EndpointOperInfo", REVOKE, "Leave"]
    assert inside == [True, True, True]  # as from an engine, the link is in the sandbox all the time
    assert world.dataplane.endpoints == {}
    ep.join(world.ctl.create_sandbox("other"))
    assert world.tiny.documents(PROGRAM)[1] == {**ids, "Options": wanted}


@pytest.mark.parametrize("answer", [{}, {"Value": None}, {"Value": {PORTS: "?"}}, told({"Port": 80}), (500, b"no")])
def test_a_plugin_that_does_not_say_what_is_published(world: World, answer: Any) -> None:
    world.tiny.script["EndpointOperInfo"] = answer
    [ep] = world.network().attach(1, publish=["8080:80", "81", "9000-9010:82"])
    assert ep.error is None
    assert texts(ep) == ["0.0.0.0:8080->10.60.0.2:80/tcp"]  # of the others it is not known


def test_a_plugin_that_refuses_a_port(world: World) -> None:
    net = world.network()
    world.tiny.script[PROGRAM] = [{}, {"Err": "port is taken", "Kind": "conflict"}, {}]
    eps = net.attach(3, publish="8080:80")
    [failed] = [ep for ep in eps if ep.error is not None]
    assert isinstance(failed.error, errors.ConflictError)
    assert "port is taken" in str(failed.error)
    assert set(world.dataplane.endpoints) == {ep.id for ep in eps} - {failed.id}
    asked = [verb.partition(".")[2] for verb, one in world.tiny.asked if one and one.get("EndpointID") == failed.id]
    assert asked == ["CreateEndpoint", "Join", PROGRAM, "Leave", "DeleteEndpoint"]
    ep = net.create_endpoint("ep", publish="8081:80")
    world.tiny.script[PROGRAM] = [{"Err": "port is taken"}]
    box = world.ctl.create_sandbox("box")
    with pytest.raises(errors.PluginRefusedError, match="port is taken"):
        ep.join(box)
    ep.join(box)
    assert texts(ep) == [f"0.0.0.0:8081->{ep.interfaces[0].address.ip}:80/tcp"]


def test_what_may_have_been_published_is_revoked(world: World) -> None:
    world.tiny.script[PROGRAM] = raw(b"")
    [ep] = world.network().attach(1, publish="8080:80")
    assert isinstance(ep.error, errors.PluginError)
    assert world.tiny.verbs()[-3:] == [REVOKE, "Leave", "DeleteEndpoint"]


@pytest.mark.parametrize("answer", [(404, b"404 page not found"), (404, b'{"Err": "no such verb"}')])
def test_a_plugin_without_the_verb(world: World, answer: Any) -> None:
    world.tiny.script[PROGRAM] = world.tiny.script[REVOKE] = answer
    net = world.network()
    eps = [net.attach(1)[0] for _ in range(3)]
    assert [ep.error for ep in eps] == [None] * 3
    assert world.tiny.verbs().count(PROGRAM) == 1  # and it is not asked again in vain
    [ep] = net.attach(1, publish="8080:80")
    assert isinstance(ep.error, errors.NotImplementedYetError)
    assert "'tiny' publishes no ports" in str(ep.error)
    net.detach(eps)
    assert REVOKE not in world.tiny.verbs()


def test_an_endpoint_without_gateway_and_ports_is_not_programmed(world: World) -> None:
    world.tiny.links.add("a")
    world.tiny.script["Join"] = [{"InterfaceName": {"SrcName": "a", "DstPrefix": "eth"}}]
    net = world.network()
    net.detach(net.attach(1))
    assert not {PROGRAM, REVOKE} & set(world.tiny.verbs())


def test_the_generation_of_the_seed_had_no_such_verbs(tmp_path: Path) -> None:
    world = World(tmp_path, form="list")
    net = world.network()
    net.detach(net.attach(1))
    assert not {PROGRAM, REVOKE} & set(world.tiny.verbs())
    world.close()


@pytest.mark.parametrize("answer", [(500, b"no"), (409, b'{"Err": "busy"}'), (404, b"no")])
def test_a_no_to_a_revocation_is_passed_over(world: World, answer: Any) -> None:
    world.tiny.script[REVOKE] = answer
    net = world.network()
    net.detach(net.attach(1, publish="8080:80"))
    assert world.tiny.verbs()[-3:] == [REVOKE, "Leave", "DeleteEndpoint"]


def test_a_plugin_that_is_away_revokes_when_it_is_back(world: World) -> None:
    net = world.network()
    eps = net.attach(2, publish="80")
    world.tiny.stop()
    with pytest.raises(errors.BulkError):
        net.detach(eps)
    assert world.dataplane.endpoints == {}
    world.tiny.start()
    net.detach(eps)
    assert world.tiny.verbs().count(REVOKE) == world.tiny.verbs().count("Leave") == 2


def test_ports_of_an_endpoint_that_is_up(world: World) -> None:
    world.tiny.script["EndpointOperInfo"] = {}
    net = world.network()
    ep = net.create_endpoint("ep", publish="8080:80")
    assert ep.publish("8081:81") == []  # it is programmed with the join
    box = world.ctl.create_sandbox("box")
    ep.join(box)
    assert world.tiny.documents(PROGRAM)[-1]["Options"][PORTS] == [binding(80, 8080), binding(81, 8081)]
    [port] = ep.publish("127.0.0.1:53:53/udp")
    assert str(port) == "127.0.0.1:53->10.60.0.2:53/udp"
    assert world.tiny.verbs()[-3:] == [REVOKE, PROGRAM, "EndpointOperInfo"]
    before = ep.ports
    assert len(before) == 3
    world.tiny.script[PROGRAM] = [{"Err": "taken"}]
    with pytest.raises(errors.PluginRefusedError, match="taken"):
        ep.publish("90:90")
    assert ep.ports == before
    assert [one["Port"] for one in world.tiny.documents(PROGRAM)[-1]["Options"][PORTS]] == [80, 81, 53]
    with pytest.raises(errors.NotFoundError, match="99"):
        ep.unpublish("99")
    ep.unpublish("8081:81", "53/udp")
    assert texts(ep) == ["0.0.0.0:8080->10.60.0.2:80/tcp"]
    ep.unpublish()
    assert ep.ports == []
    assert PORTS not in world.tiny.documents(PROGRAM)[-1]["Options"]
    ep.leave()
    ep.join(box)
    assert PORTS not in world.tiny.documents("Join")[-1]["Options"]


def test_a_port_that_the_plugin_chose_is_taken_away_by_its_number(world: World) -> None:
    [ep] = world.network().attach(1)
    chosen, other = binding(80, 32768, ip="10.60.0.2"), binding(81, 7, ip="10.60.0.2")
    world.tiny.script["EndpointOperInfo"] = told(chosen)
    assert [one.host_port for one in ep.publish("80")] == [32768]
    world.tiny.script["EndpointOperInfo"] = told(chosen, other)
    assert [one.host_port for one in ep.publish("1-9:81")] == [7]
    with pytest.raises(errors.NotFoundError):
        ep.unpublish("8:81")
    ep.unpublish("7:81")
    assert world.tiny.documents(PROGRAM)[-1]["Options"][PORTS] == [binding(80)]
    world.tiny.script["EndpointOperInfo"] = told(chosen)
    ep.publish("8080:80")
    ep.unpublish("32768:80")
    assert world.tiny.documents(PROGRAM)[-1]["Options"][PORTS] == [binding(80, 8080)]


def test_progress_does_not_go_back_while_ports_are_programmed(world: World) -> None:
    world.tiny.script[PROGRAM] = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"{}", pause=0.1, then=True)
    seen: list[int] = []
    world.network().attach(2, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 2


def test_many_or_none(world: World) -> None:
    net = world.network()
    eps = net.attach(2)
    world.tiny.script[PROGRAM] = [{}, {"Err": "taken"}]
    with pytest.raises(errors.PluginRefusedError, match="taken"):
        net.publish([(eps[0], "8080:80"), (eps[1], "8080:80")])
    assert [ep.ports for ep in eps] == [[], []]
    assert PORTS not in world.tiny.documents(PROGRAM)[-1]["Options"]
    assert len(net.publish([(eps[0], "8080:80"), (eps[1], "8081:81")])) == 2


def test_what_cannot_be_kept_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "SOCKETS", (tmp_path,))
    tiny = Tiny(tmp_path / "tiny.sock")
    dataplane = FakeDataplane()
    tiny.links = dataplane.links
    with Controller(state=str(tmp_path / "state.db"), dataplane=dataplane) as ctl:
        net = ctl.create_network("tiny", "net", ipv4="10.60.0.0/16")
        (ep,) = net.attach(1, strict=True)

        def full(*_: Any) -> None:
            raise errors.StateError("disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(ctl._store, "put", full)
            with pytest.raises(errors.StateError, match="disk is full"):
                ep.publish("8080:80")
        assert ep.ports == []
        assert PORTS not in tiny.documents(PROGRAM)[-1]["Options"]
        net.detach([ep])
        net.delete()
    tiny.stop()


def test_ports_outlive_a_controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "SOCKETS", (tmp_path,))
    tiny = Tiny(tmp_path / "tiny.sock")
    dataplane = FakeDataplane()
    tiny.links = dataplane.links
    tiny.script["EndpointOperInfo"] = {}

    def controller() -> Controller:
        return Controller(state=tmp_path / "state.db", dataplane=dataplane)

    ctl = controller()
    net = ctl.create_network("tiny", "net", ipv4="10.60.0.0/16")
    net.attach(1, publish="8080:80")
    lost = net.create_endpoint("lost", publish="8081:80")
    lost.join(ctl.create_sandbox("box"))
    gone = net.create_endpoint("gone", publish="8083:80")
    gone.join(ctl.create_sandbox("gone"))
    later = net.create_endpoint("later")
    later.publish("8082:80")
    gone_id = ctl.sandbox("gone").key.rpartition("/")[2]
    ctl.close()
    del dataplane.endpoints[lost.id]  # as if its link were lost meanwhile
    del dataplane.sandboxes[gone_id]
    tiny.asked.clear()
    ctl = controller()
    assert ctl.restored is not None
    assert ctl.restored.ports_lost == ()
    assert dataplane.ports == {}  # they are the plugin's
    assert tiny.asked == []
    net = ctl.network("net")
    _, lost, gone, later = net.endpoints
    assert [texts(ep) for ep in net.endpoints] == [["0.0.0.0:8080->10.60.0.2:80/tcp"], [], [], []]
    up = ["Join", PROGRAM, "EndpointOperInfo"]
    for ep, asked in ((lost, [REVOKE, "Leave", *up]), (gone, [REVOKE, "Leave", *up]), (later, up)):
        tiny.asked.clear()
        ep.join(ctl.create_sandbox(f"for {ep.name}"))
        assert tiny.verbs() == asked  # the plugin had it in a sandbox yet
        assert len(ep.ports) == 1
    tiny.asked.clear()
    net.detach(net.endpoints)
    assert tiny.verbs().count(REVOKE) == 4
    ctl.close()
    tiny.stop()

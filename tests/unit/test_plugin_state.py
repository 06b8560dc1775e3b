"""The plugin over restarts of either side (points 15 and 16): what is there again, what is doubted, what goes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from driverapi import Controller, errors
from driverapi.control.keeping import given_up
from driverapi.plugin import Plugin, reconcile
from driverapi.store.sqlite import SqliteStore
from driverapi.testing import FakeDataplane
from tests.plugins import END, NET, SPACE, AskedError, Engine
from tests.support import OwnDriver


def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "plugin.db"


@pytest.fixture
def engine(state: Path) -> Iterator[Engine]:
    made = Engine(state=state, grace=0.5)
    yield made
    made.close()


def pool(engine: Engine) -> str:
    id: str = engine.ask("IpamDriver.RequestPool", AddressSpace=SPACE, Pool="10.9.0.0/16")["PoolID"]
    engine.ask("IpamDriver.RequestAddress", PoolID=id, Address="10.9.0.1")
    return id


def address(engine: Engine, id: str, wanted: str = "") -> str:
    told: str = engine.ask("IpamDriver.RequestAddress", PoolID=id, Address=wanted)["Address"]
    return told


@pytest.mark.parametrize("killed", [False, True])
def test_16_all_is_there_again(engine: Engine, killed: bool) -> None:
    id = pool(engine)
    request = engine.network()
    mine = address(engine, id)
    engine.endpoint(address=mine)
    joined = engine.join()
    before = dict(engine.dataplane.endpoints)
    for _ in range(3):
        engine.restart(killed=killed)
        assert engine.plugin.restored is not None
        assert not engine.plugin.restored.mended
        assert (engine.plugin.restored.networks, engine.plugin.restored.joined) == (1, 1)
        assert engine.dataplane.endpoints == before
        assert engine.ask("CreateNetwork", **request) == {}  # the same
        with pytest.raises(AskedError, match="is another"):
            engine.network(Options={"com.docker.network.driver.mtu": 1300})
        told = engine.ask("EndpointOperInfo", NetworkID=NET, EndpointID=END)["Value"]
        assert told == {"com.docker.network.endpoint.macaddress": "02:42:0a:09:00:02"}
        assert address(engine, id) != mine  # it is not given twice
    assert engine.join()["InterfaceName"]["DstPrefix"] == joined["InterfaceName"]["DstPrefix"]
    for verb in ("Leave", "DeleteEndpoint"):
        engine.ask(verb, NetworkID=NET, EndpointID=END)
    engine.ask("IpamDriver.ReleasePool", PoolID=id)
    engine.ask("DeleteNetwork", NetworkID=NET)
    engine.restart(killed=killed)
    engine.empty()
    assert engine.ipam._pools == {}
    assert engine.plugin._store.records() == []


def test_16_a_port_that_is_lost_takes_no_other_with_it(engine: Engine) -> None:
    engine.network()
    engine.endpoint()
    engine.join()
    ports = [{"Proto": 6, "Port": 80, "HostPort": port, "HostPortEnd": port} for port in (8080, 8081)]
    engine.ask(
        "ProgramExternalConnectivity", NetworkID=NET, EndpointID=END, Options={"com.docker.network.portmap": ports}
    )
    lost = next(port for port in engine.dataplane.ports.values() if port.host_port == 8080)
    engine.dataplane.foreign_ports.add(8080)
    for gone in ((lost,), ()):
        engine.restart(killed=True)
        assert engine.plugin.restored is not None
        assert [port for *_, port in engine.plugin.restored.lost_ports] == list(gone)
        assert [port.host_port for port in engine.dataplane.ports.values()] == [8081]
        [told] = engine.ask("EndpointOperInfo", NetworkID=NET, EndpointID=END)["Value"]["com.docker.network.portmap"]
        assert told["HostPort"] == 8081


def test_16_the_engine_asks_again_for_what_it_had(engine: Engine) -> None:
    """After its start, once each, and by name."""
    id = pool(engine)
    mine = address(engine, id)
    for restart in (lambda: None, engine.restart):
        restart()
        with pytest.raises(AskedError):  # without a start it is somebody's
            address(engine, id, mine)
        engine.ask("Plugin.Activate")
        assert engine.ask("IpamDriver.RequestPool", AddressSpace=SPACE, Pool="10.9.0.0/16")["PoolID"] == id
        assert address(engine, id, mine.partition("/")[0]) == mine
        with pytest.raises(AskedError) as refused:
            address(engine, id, mine)
        assert refused.value.document["Kind"] == "conflict"
        with pytest.raises(AskedError):
            engine.ask("IpamDriver.RequestPool", AddressSpace=SPACE, Pool="10.9.0.0/16")


def test_the_form_of_the_first_generation_is_not_known_any_more(state: Path) -> None:
    """So Join is answered in both."""
    own = Engine(OwnDriver(), name="own", state=state)
    own.ask("CreateNetwork", NetworkID=NET)
    own.ask("CreateEndpoint", NetworkID=NET, EndpointID=END, Interfaces=[])
    own.restart()
    told = own.join()
    assert told["InterfaceName"]["SrcName"] == told["InterfaceNames"][0]["SrcName"]
    own.ask("DeleteNetwork", NetworkID=NET)
    own.close()


def test_15_what_the_engine_has_forgotten_goes(engine: Engine, state: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It was killed: no Leave, no DeleteEndpoint, and another endpoint for the same container."""
    id = pool(engine)
    engine.network()
    lives, dies, never = "a1" * 32, "b2" * 32, "c3" * 32
    addresses = {one: address(engine, id) for one in (lives, dies, never)}
    for one, its in addresses.items():
        engine.endpoint(one, address=its)
        if one != never:
            engine.join(one)
    time.sleep(0.7)
    assert engine.plugin.health()["Endpoints"] == 3  # nobody doubts them
    engine.dataplane.lost.add(dies)
    with caplog.at_level(logging.WARNING, "driverapi"):
        engine.ask("Plugin.Activate")
        assert engine.plugin.health()["Endpoints"] == 3  # not at once
        until(lambda: engine.plugin._reconciler.doubted == [lives])
    assert list(engine.dataplane.endpoints) == [lives]
    told = {record.endpoint: record for record in caplog.records if record.event == "plugin.reconciled"}  # type: ignore[attr-defined]
    assert set(told) == {dies, never}
    for gone in (dies, never):  # given again, once
        assert address(engine, id, addresses[gone].partition("/")[0]) == addresses[gone]
    kept = addresses[lives].partition("/")[0]
    assert address(engine, id, kept) == addresses[lives]  # the engine's replay, once
    with pytest.raises(AskedError):
        address(engine, id, kept)
    found = given_up(SqliteStore(state, reading=True))
    assert {one["endpoint"] for one in found} == {dies, never}
    assert {text for one in found for text in one["addresses"]} == {
        addresses[one].partition("/")[0] for one in (dies, never)
    }
    assert engine.ask("DeleteEndpoint", NetworkID=NET, EndpointID=dies) == {}  # it comes after all


def test_15_an_endpoint_that_the_engine_goes_on_with_stays(engine: Engine) -> None:
    engine.network()
    engine.endpoint()
    engine.ask("Plugin.Activate")
    engine.endpoint()
    assert engine.plugin._reconciler.doubted == []
    engine.join()
    engine.dataplane.lost.add(END)
    time.sleep(0.8)
    assert engine.plugin.health()["Endpoints"] == 1


def test_what_the_user_of_a_pool_wants_of_it(engine: Engine) -> None:
    """``--ipam-opt``, over a restart too; what the IPAM does not know is refused, and not passed over."""
    pool = {"AddressSpace": SPACE, "Pool": "10.9.0.0/29", "V6": False}
    with pytest.raises(AskedError, match=r"no option 'colour'") as refused:
        engine.ask("IpamDriver.RequestPool", **pool, Options={"colour": "blue"})
    assert refused.value.status == 400
    id = engine.ask("IpamDriver.RequestPool", **pool, Options={"com.docker.network.ipam.serial": "true"})["PoolID"]
    for after in (3, 4):  # the next after the last, and not the lowest that is free
        one, *_ = [address(engine, id) for _ in range(5 - after)]
        assert one == "10.9.0.1/29"
        engine.ask("IpamDriver.ReleaseAddress", PoolID=id, Address="10.9.0.1")
        assert address(engine, id) == f"10.9.0.{after}/29"
        engine.restart(killed=True)
    engine.ask("IpamDriver.ReleasePool", PoolID=id)


def test_a_pool_by_its_size(engine: Engine) -> None:
    for pool, six, length in (("0.0.0.0/24", False, "/24"), ("::/80", True, "/80"), ("0.0.0.0/20", None, "/20")):
        told = engine.ask("IpamDriver.RequestPool", AddressSpace=SPACE, Pool=pool, V6=six)
        assert told["Pool"].endswith(length)
        assert not told["Pool"].startswith(("0.0.0.0", "::"))
        engine.restart()
        engine.ask("IpamDriver.ReleasePool", PoolID=told["PoolID"])
    for pool, six in (("10.9.0.0/16", True), ("fd77::/64", False)):
        with pytest.raises(AskedError, match="V6 says"):
            engine.ask("IpamDriver.RequestPool", Pool=pool, V6=six)


def test_5_what_was_deleted_while_the_plugin_was_away_can_be_found_and_deleted(engine: Engine) -> None:
    """The engine never asks again, and nothing tells such a network from an idle one."""
    id = pool(engine)
    engine.network()
    engine.endpoint(address=address(engine, id))
    engine.restart(killed=True)
    status, told = engine.raw("/networks", method="GET")
    assert (status, told) == (
        200,
        {
            "Networks": [{"NetworkID": NET, "Prefixes": ["10.9.0.0/16"], "Endpoints": 1}],
            "Pools": [{"PoolID": id, "Addresses": 2}],
        },
    )
    with pytest.raises(AskedError, match=r"10\.9\.0\.0/16"):
        pool(engine)
    engine.ask("DeleteNetwork", NetworkID=told["Networks"][0]["NetworkID"])
    engine.ask("IpamDriver.ReleasePool", PoolID=told["Pools"][0]["PoolID"])
    assert engine.raw("/networks", method="GET")[1] == {"Networks": [], "Pools": []}
    assert engine.raw("/networks")[0] == 405
    assert pool(engine) == id


@pytest.mark.parametrize("killed", [False, True])
def test_4_an_address_that_is_not_given_back(engine: Engine, killed: bool) -> None:
    """The plugin was killed inside ``ReleaseAddress``, or never heard it: the engine asks again with an empty body."""
    id = pool(engine)
    engine.network()
    lost, back, again = (address(engine, id) for _ in range(3))
    for end, its in ((END, lost), ("b2" * 32, back), ("c3" * 32, again)):
        engine.endpoint(end, address=its)
        engine.ask("DeleteEndpoint", NetworkID=NET, EndpointID=end)
    if killed:
        engine.restart(killed=True)
    engine.endpoint("d4" * 32, address=again)  # by an engine that keeps it for that
    engine.join("d4" * 32)
    engine.ask("IpamDriver.ReleaseAddress", PoolID=id, Address=back.partition("/")[0])
    assert address(engine, id) == back  # it is somebody's again
    with pytest.raises(AskedError):
        address(engine, id, lost)
    if killed:
        engine.restart(killed=True)
    until(lambda: len(engine.plugin._addresses._pools[id].addresses) == 3)
    time.sleep(0.2)
    assert len(engine.plugin._addresses._pools[id].addresses) == 3  # and of the gateway
    assert address(engine, id) == lost
    engine.ask("DeleteNetwork", NetworkID=NET)


def test_4_an_end_that_was_lost(engine: Engine) -> None:
    engine.network()
    for endpoint, last in (("lives", 2), ("dead", 3)):
        engine.endpoint(endpoint, address=f"10.9.0.{last}/16")
        engine.join(endpoint)
    engine.dataplane.lost.add("dead")
    for verb in ("Join", "EndpointOperInfo"):
        assert engine.raw(f"/NetworkDriver.{verb}")[0] == 400
    assert engine.plugin._reconciler.doubted == []
    assert engine.raw("/NetworkDriver.Leave")[0] == 400
    until(lambda: engine.plugin._reconciler.doubted == ["lives"])
    assert engine.plugin._lifecycle.endpoints() == ["lives"]
    engine.ask("DeleteNetwork", NetworkID=NET)


@pytest.mark.parametrize("restarted", [False, True])
def test_15_an_address_that_was_given_anew_stays_taken(engine: Engine, restarted: bool) -> None:
    """The engine has given it back and asked for it again, for a container that is on its way."""
    id = pool(engine)
    engine.network()
    mine = address(engine, id)
    engine.endpoint(address=mine)
    engine.restart() if restarted else engine.ask("Plugin.Activate")
    engine.ask("IpamDriver.ReleaseAddress", PoolID=id, Address=mine.partition("/")[0])
    assert address(engine, id) == mine
    until(lambda: engine.plugin._reconciler.doubted == [])
    assert engine.plugin.health()["Endpoints"] == 0
    assert address(engine, id) != mine
    engine.endpoint("new", address=mine)
    engine.ask("DeleteNetwork", NetworkID=NET)


def test_15_another_ipams_addresses_are_left_alone(engine: Engine) -> None:
    id = pool(engine)
    engine.network(IPv4Data=[{"AddressSpace": "LocalDefault", "Pool": "10.9.0.0/16", "Gateway": "10.9.0.1/16"}])
    mine = address(engine, id)
    engine.endpoint(address=mine)
    engine.ask("Plugin.Activate")
    until(lambda: engine.plugin._reconciler.doubted == [])
    assert address(engine, id) != mine


@pytest.mark.parametrize("restarted", [False, True])
def test_15_an_address_of_what_the_engine_has_forgotten(engine: Engine, restarted: bool) -> None:
    """Its own IPAM gives it at once to the new endpoint of the same container; one that lives keeps it."""
    engine.network(IPv4Data=[{"AddressSpace": "LocalDefault", "Pool": "10.9.0.0/16", "Gateway": "10.9.0.1/16"}])
    for one, address in (("old", "10.9.0.2/16"), ("lives", "10.9.0.3/16")):
        engine.endpoint(one, address=address)
        engine.join(one)
    engine.dataplane.lost.add("old")
    if not restarted:
        with pytest.raises(AskedError, match="that of endpoint old"):  # an engine that knows it would have deleted it
            engine.endpoint("new", address="10.9.0.2/16")
    engine.restart() if restarted else engine.ask("Plugin.Activate")
    engine.endpoint("new", address="10.9.0.2/16")
    engine.join("new")
    assert sorted(engine.dataplane.endpoints) == ["lives", "new"]
    engine.ask("Plugin.Activate")
    ending = threading.Timer(0.1, engine.dataplane.lost.add, ["new"])  # the kernel clears its sandbox up
    ending.start()
    engine.endpoint("newer", address="10.9.0.2/16")
    ending.join()
    reconcile._PATIENCE, patience = 0.05, reconcile._PATIENCE  # type: ignore[misc]
    try:
        with pytest.raises(AskedError, match="that of endpoint lives"):
            engine.endpoint("other", address="10.9.0.3/16")
    finally:
        reconcile._PATIENCE = patience  # type: ignore[misc]
    assert sorted(engine.dataplane.endpoints) == ["lives"]
    engine.dataplane.lost.clear()
    engine.ask("DeleteNetwork", NetworkID=NET)


def test_an_endpoint_whose_end_nobody_told_of_has_its_address_for_the_grace(engine: Engine) -> None:
    """The plugin was there and did not hear: stopped by SIGSTOP, say."""
    engine.network(IPv4Data=[{"AddressSpace": "LocalDefault", "Pool": "10.9.0.0/16", "Gateway": "10.9.0.1/16"}])
    engine.endpoint("old")
    engine.join("old")
    engine.dataplane.lost.add("old")
    with pytest.raises(AskedError, match="that of endpoint old"):
        engine.endpoint("new")
    until(lambda: engine.plugin._reconciler.doubted == [])
    engine.endpoint("new")
    engine.ask("DeleteNetwork", NetworkID=NET)


def test_looking_goes_on_when_the_kernel_did_not_tell(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.network()
    engine.endpoint()
    used, times = engine.plugin._networks.used, []

    def failing(endpoints: list[str]) -> dict[str, bool | None]:
        times.append(time.monotonic())
        if len(endpoints) == 1 and 2 < len(times) < 9:
            raise errors.KernelError("busy", 16)
        return used(endpoints)

    monkeypatch.setattr(engine.plugin._networks, "used", failing)
    engine.ask("Plugin.Activate")
    until(lambda: engine.plugin.health()["Endpoints"] == 0)
    engine.ask("DeleteNetwork", NetworkID=NET)


def test_containers_that_stopped_while_the_plugin_was_away(engine: Engine) -> None:
    """The engine has asked for their end in vain, and will not again."""
    id = pool(engine)
    engine.network()
    mine = address(engine, id)
    engine.endpoint(address=mine)
    engine.join()
    engine.dataplane.lost.add(END)
    engine.restart(killed=True)
    assert engine.plugin.restored is not None
    assert engine.plugin.restored.down == ((NET[:12], END[:12]),)
    until(lambda: engine.plugin._reconciler.doubted == [])
    assert address(engine, id) == mine
    engine.ask("DeleteNetwork", NetworkID=NET)


@pytest.mark.parametrize(
    "fault", ["CreateNetwork", "CreateEndpoint", "Join", "Leave", "DeleteEndpoint", "DeleteNetwork"]
)
@pytest.mark.parametrize("late", [False, True])
def test_killed_inside_any_verb(state: Path, fault: str, late: bool) -> None:
    """Before and after the driver or the dataplane was asked: the next start knows, and the verb can come again."""
    engine = Engine(state=state, grace=0.1)
    plugin = engine.plugin
    verbs = ["CreateNetwork", "CreateEndpoint", "Join", "Leave", "DeleteEndpoint", "DeleteNetwork"]
    ask: dict[str, Callable[[], object]] = {
        "CreateNetwork": engine.network,
        "CreateEndpoint": engine.endpoint,
        "Join": engine.join,
        "Leave": lambda: engine.ask("Leave", NetworkID=NET, EndpointID=END),
        "DeleteEndpoint": lambda: engine.ask("DeleteEndpoint", NetworkID=NET, EndpointID=END),
        "DeleteNetwork": lambda: engine.ask("DeleteNetwork", NetworkID=NET),
    }
    for verb in verbs[: verbs.index(fault)]:
        ask[verb]()
    store = plugin._state
    assert store is not None
    left = [1 if late else 0]
    write = store._write

    class KilledError(BaseException):
        pass

    def dying(*arguments: object) -> None:
        if not left[0]:
            raise KilledError
        left[0] -= 1
        write(*arguments)  # type: ignore[arg-type]

    store._write = dying  # type: ignore[method-assign]
    with pytest.raises(KilledError):
        ask[fault]()
    store._write = write  # type: ignore[method-assign]
    store._owed.clear()
    engine.restart(killed=True)
    for verb in verbs[3:5]:  # an engine that was refused ends what it had begun
        with suppress(AskedError):
            ask[verb]()
    for verb in verbs:
        ask[verb]()
    engine.empty()
    engine.restart(killed=True)
    engine.empty()
    assert engine.plugin._store.records() == []
    engine.close()


def test_whose_state_it_is(tmp_path: Path, state: Path) -> None:
    engine = Engine(state=state)
    engine.network()
    with pytest.raises(errors.StateBusyError):
        Plugin("bridge", state=state, dataplane=FakeDataplane())
    engine.close()
    with pytest.raises(errors.StateError, match="not 'null'"):
        Plugin("null", state=state, dataplane=engine.dataplane)
    engine.restart()
    engine.ask("DeleteNetwork", NetworkID=NET)
    engine.close()
    engine.close()


def test_a_state_is_a_controllers_or_a_plugins(tmp_path: Path) -> None:
    """Each would take the other's things for what nobody owns."""
    for name, plugin in (("controller", ""), ("plugin", "dv")):
        store = SqliteStore(tmp_path / f"{name}.db")
        store.put_fact("instance", "12ab")
        if plugin:
            store.put_fact("plugin", plugin)
        store.close()
    with pytest.raises(errors.StateError, match="that of plugin 'dv'"):
        Controller(state=tmp_path / "plugin.db", dataplane=FakeDataplane())
    with pytest.raises(errors.StateError, match="that of a controller"):
        Plugin("null", state=tmp_path / "controller.db", dataplane=FakeDataplane())


def test_a_driver_that_does_not_take_its_network(state: Path) -> None:
    driver = OwnDriver()
    own = Engine(driver, name="own", state=state)
    own.ask("CreateNetwork", NetworkID=NET)
    own.close()
    before = SqliteStore(state, reading=True).records()

    class Refuses(OwnDriver):
        def create_network(self, network_id: str, options: object) -> None:
            raise errors.InvalidError("not today")

    with pytest.raises(errors.InvalidError, match="not today") as refused:
        Plugin(Refuses(), name="own", state=state, dataplane=own.dataplane)
    assert "nothing was changed" in refused.value.__notes__[0]
    assert SqliteStore(state, reading=True).records() == before
    own.restart()
    own.ask("DeleteNetwork", NetworkID=NET)
    own.close()

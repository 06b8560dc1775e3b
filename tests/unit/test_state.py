"""A controller that starts again on its state, over a dataplane in memory that survives as a kernel would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from driverapi import Controller, DriverRegistry, errors
from driverapi.dataplane.contract import Swept
from driverapi.lifecycle.restore import Restored
from driverapi.network import Network
from driverapi.store.contract import Kind, State
from driverapi.store.sqlite import SqliteStore
from driverapi.testing import FakeDataplane
from tests.support import OwnDriver


class Machine:
    """What stays when a controller ends: the state, and the kernel."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "state.db"
        self.dataplane = FakeDataplane()

    def start(self, **options: Any) -> Controller:
        registry = DriverRegistry()
        registry.register("own", OwnDriver())
        return Controller(state=self.path, dataplane=self.dataplane, registry=registry, **options)

    def kill(self, ctl: Controller) -> None:
        """End a controller as SIGKILL does: its locks go, and nothing else happens."""
        ctl._store.close()
        ctl._gate._state = type(ctl._gate._state).CLOSED
        ctl._store = ctl._lifecycle._store = None  # type: ignore[assignment]

    def rows(self) -> dict[str, tuple[Kind, State]]:
        store = SqliteStore(self.path, reading=True)
        try:
            return {record.id: (record.kind, record.state) for record in store.records()}
        finally:
            store.close()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def picture(ctl: Controller) -> dict[str, Any]:
    """All that a user sees, and that the drivers and pools have."""
    return {
        "sandboxes": {box.name: (box.key, box.ownership, {one.name for one in box.endpoints}) for box in ctl.sandboxes},
        "pools": {id: one.pool.free for id, one in ctl._ipam._pools.items()},  # type: ignore[attr-defined]
        **{
            network.name: {
                "id": network.id,
                "type": network.type,
                "prefixes": (network.ipv4, network.ipv6, network.gateway, network.gateway_ipv6),
                "endpoints": {endpoint.name: endpoint.info() for endpoint in network.endpoints},
                "driver": {endpoint.name: dict(endpoint.driver_info()) for endpoint in network.endpoints},
                "taken": {endpoint.name: sorted(endpoint._taken) for endpoint in network.endpoints},
            }
            for network in ctl.networks
        },
    }


def full(ctl: Controller) -> tuple[Network, Network]:
    """A bit of everything."""
    web = ctl.create_network("bridge", "web", ipv4="10.1.0.0/24", ipv6="fd01::/64", options={"driver.mtu.x": "1"})
    six = ctl.create_network("bridge", "six", ipv6="fd06::/64")
    own = ctl.create_network("own", "own")
    ctl.create_network("null", "nothing")
    host = ctl.create_network("host", "host")
    box, theirs = ctl.create_sandbox("box"), ctl.create_sandbox("theirs", netns="/run/netns/theirs")
    web.attach(5, strict=True)
    web.create_endpoint("idle", ipv4="10.1.0.77", mac="02:00:00:00:00:77")
    web.create_endpoint("in-box", options={"com.docker.network.endpoint.ifname": "lan7"}).join(box)
    six.create_endpoint("in-box").join(box)
    own.create_endpoint("chosen").join(theirs)
    web.notice_endpoint("far", ipv4="10.1.0.99")
    host.attach(1, strict=True)
    return web, own


def test_all_is_there_again(machine: Machine) -> None:
    ctl = machine.start()
    assert ctl.restored == Restored(seconds=ctl.restored.seconds)
    full(ctl)
    before, kernel = picture(ctl), sorted(machine.dataplane.endpoints)
    ctl.close()
    for _ in range(2):
        ctl = machine.start()
        assert picture(ctl) == before
        assert sorted(machine.dataplane.endpoints) == kernel
        assert ctl.restored is not None
        assert not ctl.restored.mended
        assert (ctl.restored.networks, ctl.restored.endpoints, ctl.restored.joined) == (5, 11, 9)
        machine.kill(ctl)
    ctl = machine.start()
    for network in ctl.networks:
        network.detach(network.endpoints)
        network.delete()
    for box in ctl.sandboxes:
        box.delete()
    ctl.close()
    assert machine.rows() == {}
    assert (machine.dataplane.endpoints, machine.dataplane.networks, machine.dataplane.sandboxes) == ({}, {}, {})


def test_addresses_are_given_once(machine: Machine) -> None:
    ctl = machine.start()
    web = ctl.create_network("bridge", "web", ipv4="10.1.0.0/28")
    first = {str(one.interfaces[0].address) for one in web.attach(6, strict=True)}
    machine.kill(ctl)
    ctl = machine.start()
    more = ctl.network("web").attach(7, strict=True)
    assert len(first | {str(one.interfaces[0].address) for one in more}) == 13
    with pytest.raises(errors.BulkError, match="1 of 1"):
        ctl.network("web").attach(1, strict=True)
    with pytest.raises(errors.ConflictError):
        ctl.create_network("bridge", "two", ipv4="10.1.0.0/16")
    ctl.close()


def test_wishes_for_addresses_outlive_a_restart(machine: Machine) -> None:
    ctl = machine.start()
    web = ctl.create_network(
        "bridge", "web", ipv4="10.1.0.0/24", ip_range="10.1.0.128/25", aux_addresses={"r": "10.1.0.130"}, serial=True
    )
    web.attach(1, strict=True)
    ctl.create_network("bridge", "over", ipv4="10.1.0.0/16", allow_overlap=True).attach(1, strict=True)
    before = picture(ctl)
    machine.kill(ctl)
    ctl = machine.start()
    assert picture(ctl) == before
    [one] = ctl.network("web").attach(1, strict=True)
    assert str(one.interfaces[0].address.ip) == "10.1.0.131"
    ctl.close()


def test_quarantine_outlives_a_restart(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000_000.0]
    monkeypatch.setattr("driverapi.lifecycle.notes.time.time", lambda: now[0])
    ctl = machine.start(quarantine=60)
    web = ctl.create_network("bridge", "web", ipv4="10.1.0.0/28", ipv6="fd01::/64")
    web.detach(web.attach(3, strict=True))
    resting = {f"10.1.0.{host}" for host in (2, 3, 4)}
    machine.kill(ctl)
    now[0] += 30
    ctl = machine.start(quarantine=60)
    assert not ctl.restored.mended  # type: ignore[union-attr]
    web = ctl.network("web")
    assert web.endpoints == []
    eps = web.attach(10, strict=True)
    assert not {str(one.interfaces[0].address.ip) for one in eps} & resting
    last = [str(one.interfaces[0].address.ip) for one in web.attach(3, strict=True)]
    assert last == ["10.1.0.2", "10.1.0.3", "10.1.0.4"]  # there is no other: in the order of their release
    assert len(machine.rows()) == 1 + 13 * 2 + 3
    now[0] += 31
    web.detach(eps)
    assert len(machine.rows()) == 1 + 3 * 2 + 10  # the others have rested long enough
    machine.kill(ctl)
    now[0] -= 10_000  # the clock was set back: no address rests for ever
    ctl = machine.start(quarantine=60)
    assert len(machine.rows()) == 1 + 3 * 2
    machine.kill(ctl)
    ctl = machine.start()
    web = ctl.network("web")
    web.detach(web.endpoints)
    assert len(machine.rows()) == 1
    web.delete()
    ctl.close()
    assert machine.rows() == {}


def test_a_network_takes_what_rests_with_it(machine: Machine) -> None:
    ctl = machine.start(quarantine=60)
    web = ctl.create_network("bridge", "web", ipv4="10.1.0.0/28")
    web.detach(web.attach(3, strict=True))
    web.delete()
    assert machine.rows() == {}
    ctl.close()
    with pytest.raises(errors.InvalidError, match="quarantine"):
        machine.start(quarantine=-1)


def test_a_reboot(machine: Machine) -> None:
    ctl = machine.start()
    full(ctl)
    machine.kill(ctl)
    machine.dataplane = FakeDataplane()
    machine.dataplane.faults["/run/netns/theirs"] = errors.NoSandboxError("gone")
    ctl = machine.start()
    found = ctl.restored
    assert found is not None
    assert sorted(found.rebuilt) == ["six", "web"]
    assert len(found.down) == 8  # all but that on the host
    assert {"box", "theirs"} < set(found.gone)
    assert sorted(machine.dataplane.networks) == sorted(ctl.network(name).id for name in found.rebuilt)
    web = ctl.network("web")
    assert {str(one.interfaces[0].address.ip) for one in web.endpoints} >= {"10.1.0.77", "10.1.0.2"}
    web.endpoint("in-box").join(ctl.create_sandbox("again"))
    ctl.close()
    ctl = machine.start()
    assert ctl.restored is not None
    assert not ctl.restored.mended
    ctl.close()


def test_a_reboot_that_releases(machine: Machine) -> None:
    ctl = machine.start()
    full(ctl)
    machine.kill(ctl)
    machine.dataplane = FakeDataplane()
    ctl = machine.start(lost="release")
    assert {one.name for one in ctl.network("web").endpoints} == {"idle", "far"}
    assert ctl.network("own").endpoints == []
    ctl.close()


def test_a_link_that_somebody_deleted(machine: Machine) -> None:
    ctl = machine.start()
    web, _ = full(ctl)
    victim = web.endpoint("in-box")
    machine.kill(ctl)
    assert machine.dataplane.remove([machine.dataplane.endpoints[victim.id]]) == [None]
    ctl = machine.start()
    assert ctl.restored is not None
    assert ctl.restored.down == (("web", "in-box"),)
    again = ctl.network("web").endpoint("in-box")
    assert again.sandbox is None
    again.join(ctl.sandbox("box"))
    ctl.close()


def test_warm_endpoints_are_nobodys(machine: Machine) -> None:
    ctl = machine.start()
    web = ctl.create_network("bridge", "web", ipv4="10.1.0.0/24")
    pool = ctl.warm(web, 4)
    taken = web.attach(2, strict=True)
    pool.wait()
    names = {one.name for one in taken}
    web._warm.close()  # so that nothing is made while it is killed
    machine.kill(ctl)
    ctl = machine.start()
    assert {one.name for one in ctl.network("web").endpoints} == names
    assert ctl.restored is not None
    assert len(machine.dataplane.endpoints) == 2
    assert len(machine.dataplane.sandboxes) == 2
    assert len(machine.rows()) == 5
    ctl.close()


@pytest.mark.parametrize("durability", ["full", "normal", "none"])
def test_a_sandbox_that_was_made_by_attach_and_kept(machine: Machine, durability: str) -> None:
    ctl = machine.start(durability=durability)
    web = ctl.create_network("bridge", "web", ipv4="10.1.0.0/24")
    one, two = web.attach(2, strict=True)
    assert one.sandbox is not None
    assert two.sandbox is not None
    boxes = {one.sandbox.name, two.sandbox.name}
    one.leave()
    machine.kill(ctl)
    ctl = machine.start()
    assert {box.name for box in ctl.sandboxes} == boxes
    web = ctl.network("web")
    web.detach(web.endpoints)
    assert len(ctl.sandboxes) == 1  # what was parted from is by itself
    ctl.close()


@pytest.mark.parametrize("dropped", [False, True])
def test_a_sandbox_that_was_being_deleted(machine: Machine, monkeypatch: pytest.MonkeyPatch, dropped: bool) -> None:
    """Its deletion is finished, and it is not reported as gone."""
    ctl = machine.start()
    box = ctl.create_sandbox("box")
    ctl.create_sandbox("other")
    drop = machine.dataplane.drop_sandboxes

    def die(netns: Any) -> Any:
        if dropped:
            drop(netns)
        machine.kill(ctl)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(machine.dataplane, "drop_sandboxes", die)
        with pytest.raises((KeyboardInterrupt, AttributeError, errors.ClosedError)):
            box.delete()
    assert machine.rows()["sandbox box"] == (Kind.SANDBOX, State.DELETING)
    ctl = machine.start()
    assert ctl.restored is not None
    assert (ctl.restored.gone, ctl.restored.finished) == ((), 1)
    assert [one.name for one in ctl.sandboxes] == ["other"]
    assert list(machine.rows()) == ["sandbox other"]
    assert len(machine.dataplane.sandboxes) == 1
    ctl.close()


def test_a_sandbox_whose_deletion_is_refused(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    ctl = machine.start()
    box = ctl.create_sandbox("box")
    with monkeypatch.context() as patch:
        patch.setattr(machine.dataplane, "drop_sandboxes", lambda netns: [errors.KernelError("no", 16)])
        with pytest.raises(errors.KernelError):
            box.delete()
    assert machine.rows()["sandbox box"] == (Kind.SANDBOX, State.CREATED)
    with monkeypatch.context() as patch:
        patch.setattr(ctl._store, "put", _full)
        with pytest.raises(errors.StateError):
            box.delete()
    ctl.create_network("bridge", "web", ipv4="10.1.0.0/24").create_endpoint("e").join(box)
    machine.kill(ctl)
    ctl = machine.start()
    assert ctl.restored is not None
    assert not ctl.restored.mended
    ctl.close()


def _full(*_: object) -> None:
    raise errors.StateError("the disk is full")


def test_what_cannot_be_kept_is_refused(machine: Machine) -> None:
    ctl = machine.start()
    web = ctl.create_network("bridge", "web", ipv4="10.1.0.0/24")
    before, rows = picture(ctl), machine.rows()
    bad = {"a.b": object()}
    calls: list[Callable[[], Any]] = [
        lambda: ctl.create_network("bridge", "two", ipv4="10.2.0.0/24", options=bad),
        lambda: web.create_endpoint("one", options=bad),
        lambda: web.create_endpoint("one", options={"a.b": (1, 2)}),
    ]
    for call in calls:
        with pytest.raises(errors.InvalidError, match=r"a\.b"):
            call()
    assert (picture(ctl), machine.rows()) == (before, rows)
    ctl.close()


def test_a_driver_that_is_not_there_any_more(machine: Machine) -> None:
    ctl = machine.start()
    full(ctl)
    machine.kill(ctl)
    rows, kernel = machine.rows(), sorted(machine.dataplane.endpoints)
    with pytest.raises(errors.NoDriverError, match="own") as caught:
        Controller(state=machine.path, dataplane=machine.dataplane)
    assert any("'own' of the state" in note for note in caught.value.__notes__)
    assert (machine.rows(), sorted(machine.dataplane.endpoints)) == (rows, kernel)
    ctl = machine.start()  # the lock is free
    assert not ctl.restored.mended  # type: ignore[union-attr]
    ctl.close()


def test_what_nobody_knows_is_swept(machine: Machine) -> None:
    ctl = machine.start()
    web = ctl.create_network("bridge", "web", ipv4="10.1.0.0/24")
    web.attach(3, strict=True)
    machine.kill(ctl)
    store = SqliteStore(machine.path)
    ids = [record.id for record in store.records() if record.kind is not Kind.NETWORK]
    store.put([], ids)
    store.close()
    ctl = machine.start()
    assert ctl.restored is not None
    assert ctl.restored.swept == Swept(3, 3)
    assert machine.dataplane.endpoints == {}
    ctl.close()


@pytest.mark.parametrize(
    ("whole", "damaged"), [(b"\xa5given", b"\xa5giVen"), (b"\xa5owned", b"\xa5owmed"), (b"bridge", b"\xc1ridge")]
)
def test_a_record_that_says_nothing(machine: Machine, whole: bytes, damaged: bytes) -> None:
    """The start is refused, and the good copy is the one before."""
    ctl = machine.start()
    ctl.create_network("bridge", "web", ipv4="10.1.0.0/24").attach(3, strict=True)
    ctl.close()
    machine.start().close()
    content = machine.path.read_bytes()
    assert whole in content
    machine.path.write_bytes(content.replace(whole, damaged))
    for _ in range(2):
        with pytest.raises(errors.StateDamagedError, match=r"\.good"):
            machine.start()
    machine.path.with_name(f"{machine.path.name}.good").replace(machine.path)
    ctl = machine.start()
    assert len(ctl.network("web").endpoints) == 3
    ctl.close()


def test_two_controllers_on_one_state(machine: Machine) -> None:
    ctl = machine.start()
    with pytest.raises(errors.StateBusyError):
        machine.start()
    ctl.close()
    machine.start().close()

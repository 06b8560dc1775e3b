"""State on the real kernel: what lives is known again, what is half there goes, and traffic does not notice."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from _fastnet.batch import Batch
from _fastnet.netns import drop, identity
from _fastnet.netns import open as open_namespace
from _fastnet.socket import NetlinkSocket
from driverapi import Controller, Endpoint, Network, errors
from driverapi.dataplane import star
from driverapi.dataplane.groups import COMMON
from driverapi.leftovers import take_inventory, wait_until_drained

DUAL = {"ipv4": "10.77.0.0/20", "ipv6": "fd77::/64"}


class Place:
    """A directory for state and namespaces."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.open: Controller | None = None

    def start(self, **options: Any) -> Controller:
        self.open = Controller(state=self.directory / "state.db", run_dir=self.directory / "run", **options)
        return self.open

    def kill(self) -> None:
        """End the controller as SIGKILL does: its locks and descriptors go, and nothing else happens."""
        ctl = self.open
        assert ctl is not None
        assert ctl._instance is not None
        for network in ctl.networks:
            network._warm._size = 0
        ctl._store.close()
        ctl._dataplane._kernel.close()  # type: ignore[attr-defined]
        ctl._instance._let_go()
        ctl._gate._state = type(ctl._gate._state).CLOSED
        ctl._store = ctl._lifecycle._store = None  # type: ignore[assignment]

    def clear(self) -> None:
        """Take all away; nothing is left."""
        ctl = self.open
        assert ctl is not None
        for network in ctl.networks:
            network.detach(network.endpoints)
            network.delete()
        for box in ctl.sandboxes:
            box.delete()
        groups = ctl._dataplane._kernel.groups  # type: ignore[attr-defined]
        assert set(groups._members) == {COMMON}, "a number of a group is lost"
        ctl.close()


@pytest.fixture
def place(tmp_path: Path, host: NetlinkSocket) -> Iterator[Place]:
    run = str(tmp_path / "run")
    before = take_inventory(run)
    yield Place(tmp_path)
    assert not wait_until_drained(before, run, 20)
    assert list((tmp_path / "run").iterdir()) == []


def ping(source: Endpoint, target: Any) -> bool:
    assert source.sandbox is not None
    command = ["nsenter", f"--net={source.sandbox.key}", "ping", "-c1", "-W2", "-q", str(target)]
    return not subprocess.run(command, check=False, capture_output=True).returncode


def addresses(network: Network) -> dict[str, str]:
    return {one.name: str(one.interfaces[0].address) for one in network.endpoints}


@pytest.mark.parametrize("driver", ["bridge", "routed"])
def test_what_lives_is_adopted(place: Place, driver: str, host: NetlinkSocket, same_descriptors: None) -> None:
    ctl = place.start()
    web = ctl.create_network(driver, "web", **DUAL)
    web.attach(120, strict=True)
    other = ctl.create_network(driver, "other", ipv6="fd78::/64")
    box = ctl.create_sandbox("box")
    for network in (web, other):  # the first has the default route, the second inherits it
        network.create_endpoint("in-box").join(box)
    before = (addresses(web), sorted(link.name for link in host.dump_links()), identity(box.key))
    place.kill()
    ctl = place.start()
    web, box = ctl.network("web"), ctl.sandbox("box")
    assert (addresses(web), sorted(link.name for link in host.dump_links()), identity(box.key)) == before
    assert ctl.restored is not None
    assert not ctl.restored.mended, ctl.restored
    assert ctl.restored.joined == 122
    one, *_, last = web.endpoints
    for address in (web.gateway, web.gateway_ipv6, last.interfaces[0].address.ip, last.interfaces[0].address_ipv6.ip):
        assert ping(one, address), address
    more = web.attach(30, strict=True)
    assert ping(more[-1], one.interfaces[0].address.ip)
    assert ping(one, more[0].interfaces[0].address_ipv6.ip)
    if driver == "bridge":
        assert ping(last, more[3].interfaces[0].address.ip)
    web.endpoint("in-box").leave()
    with open_namespace(box.key) as inside:
        defaults = {route.gateway for route in inside.socket.dump_routes() if not route.prefix and route.gateway}
    assert {len(gateway) for gateway in defaults} == {16}  # IPv4 went with the first, IPv6 was inherited
    web.detach(web.endpoints[:60])
    place.clear()


def test_a_star_is_adopted(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(star, "PORTS", 20)
    monkeypatch.setattr(star, "FLOODED", 30)
    ctl = place.start()
    web = ctl.create_network("bridge", "web", **DUAL)
    web.attach(50, strict=True)
    place.kill()
    ctl = place.start()
    assert ctl.restored is not None
    assert not ctl.restored.mended, ctl.restored
    web = ctl.network("web")
    old = web.endpoints
    new = web.attach(30, strict=True)
    for source, target in ((old[0], old[49]), (old[45], new[0]), (new[29], old[3]), (new[1], new[25])):
        assert ping(source, target.interfaces[0].address.ip)
        assert ping(source, target.interfaces[0].address_ipv6.ip)
    web.detach(old)
    assert ping(new[0], new[29].interfaces[0].address.ip)
    place.kill()
    ctl = place.start()
    assert ctl.restored is not None
    assert not ctl.restored.mended, ctl.restored
    assert len(ctl.network("web").endpoints) == 30
    place.clear()


@pytest.mark.parametrize("driver", ["bridge", "routed"])
def test_what_is_not_whole_is_mended(place: Place, driver: str, host: NetlinkSocket) -> None:
    ctl = place.start()
    web = ctl.create_network(driver, "web", **DUAL)
    eps = web.attach(10, strict=True)
    links = [ctl._lifecycle.endpoint(one.id).realised.interfaces[0].host_index for one in eps]
    keys = [one.sandbox.key for one in eps if one.sandbox is not None]
    names = [one.name for one in eps]
    place.kill()
    batch = Batch()
    batch.delete_link(links[0])
    batch.add_bridge(f"dv{ctl._instance.id}eff", group=ctl._instance.group(9))  # type: ignore[union-attr]
    batch.add_bridge("dv-theirs", group=77)
    assert host.execute(batch).ok
    with open_namespace(keys[1]):  # somebody lives in it, but its path is gone
        assert drop([keys[1]]) == [None]
        ctl = place.start()
    found = ctl.restored
    assert found is not None
    assert {name for _, name in found.down} == {names[0], names[1]}
    assert set(found.gone) == {keys[1].rpartition("/")[2]}
    assert found.swept.links == 2
    [theirs] = [link.index for link in host.dump_links() if link.name == "dv-theirs"]
    batch.clear()
    batch.delete_link(theirs)
    assert host.execute(batch).ok
    web = ctl.network("web")
    assert ping(web.endpoint(names[2]), web.gateway)
    web.endpoint(names[0]).join(ctl.create_sandbox("again"))
    assert ping(web.endpoint(names[0]), web.gateway)
    place.clear()


@pytest.mark.parametrize("driver", ["bridge", "routed"])
def test_after_a_reboot(place: Place, driver: str, host: NetlinkSocket) -> None:
    ctl = place.start()
    web = ctl.create_network(driver, "web", **DUAL)
    web.attach(10, strict=True)
    web.create_endpoint("named", ipv4="10.77.1.1").join(ctl.create_sandbox("box"))
    instance = ctl._instance
    assert instance is not None
    place.kill()
    batch = Batch()
    for link in host.dump_links():
        if link.index != 1:
            batch.delete_link(link.index)
    for route in host.dump_routes():
        if route.type == 6:
            batch.delete_route(route.destination, route.prefix, metric=route.metric)
    host.execute(batch)
    drop([str(path) for path in instance.namespaces.iterdir()])
    for name in ("lock", "state"):
        (instance.directory / name).unlink()
    instance.namespaces.rmdir()
    instance.directory.rmdir()
    ctl = place.start()
    found = ctl.restored
    assert found is not None
    assert found.rebuilt == ("web",)
    assert len(found.down) == 11
    web = ctl.network("web")
    assert len(web.endpoints) == 11
    named = web.endpoint("named")
    named.join(ctl.create_sandbox("box"))
    assert ping(named, web.gateway)
    place.clear()


def test_another_directory_is_refused_while_namespaces_are_in_the_first(place: Place, tmp_path: Path) -> None:
    ctl = place.start()
    ctl.create_network("bridge", "web", **DUAL).attach(1, strict=True)
    place.kill()
    with pytest.raises(errors.InvalidError, match="run_dir"):
        Controller(state=place.directory / "state.db", run_dir=tmp_path / "other")
    Controller(state=place.directory / "state.db").close()  # none given: the one that it had
    place.start()
    place.clear()


def test_a_copy_of_a_living_state_is_refused(place: Place, tmp_path: Path) -> None:
    place.start().create_network("bridge", "web", **DUAL)
    store = place.open._store  # type: ignore[union-attr]
    copy = tmp_path / "copy.db"
    copy.touch(mode=0o600)
    store._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[attr-defined]
    copy.write_bytes((place.directory / "state.db").read_bytes())
    with pytest.raises(errors.StateBusyError, match="alive"):
        Controller(state=copy, run_dir=place.directory / "run")
    place.clear()

"""Leases: addresses that have an owner and no endpoint; who is no more has none, over restarts too."""

from __future__ import annotations

import asyncio
import ipaddress
import threading
from pathlib import Path
from typing import Any

import pytest

from driverapi import Controller, aio, errors
from driverapi.control.leasing import AddressLease
from driverapi.ipam.default import DefaultIPAM
from driverapi.store.sqlite import SqliteStore
from driverapi.store.view import view
from driverapi.testing import FakeDataplane
from tests.support import at_once


class Machine:
    """What stays when a controller ends."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "state.db"
        self.dataplane = FakeDataplane()

    def start(self, **options: Any) -> Controller:
        return Controller(state=self.path, dataplane=self.dataplane, **options)

    def leases(self) -> int:
        store = SqliteStore(self.path, reading=True)
        try:
            return sum(record.id.startswith("lease ") for record in store.records())
        finally:
            store.close()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_an_address_for_an_owner(machine: Machine) -> None:
    with machine.start() as ctl:
        net = ctl.create_network("bridge", "web", ipv4="10.0.0.0/24", ipv6="fd00::/64")
        first = net.leases.take("vm-1")
        assert first == AddressLease("web", "10.0.0.2/24", "vm-1", None)
        assert net.leases.take("vm-1", version=6).address == "fd00::2/64"
        assert net.leases.take("vm-2", "10.0.0.77", mac="02:00:00:00:00:07").mac == "02:00:00:00:00:07"
        assert net.create_endpoint("ep").interfaces[0].packed_address != first.address
        with pytest.raises(errors.AddressTakenError, match=r"10\.0\.0\.2.*leased to 'vm-1'"):
            net.create_endpoint("other", ipv4="10.0.0.2")
        with pytest.raises(errors.AddressTakenError, match="leased to 'vm-1'"):
            net.leases.take("vm-3", "10.0.0.2")
        assert len(net.leases) == machine.leases() == 3
        net.leases.release("10.0.0.2")
        with pytest.raises(errors.NotFoundError, match=r"'web' has no lease of 10\.0\.0\.2"):
            net.leases.release("10.0.0.2")
        assert len(net.leases) == machine.leases() == 2
        net.create_endpoint("other", ipv4="10.0.0.2")


def test_a_lease_is_released_as_it_was_given(machine: Machine) -> None:
    with machine.start() as ctl:
        net = ctl.create_network("bridge", "web", ipv4="10.0.0.0/24", ipv6="fd00::/64")
        other = ctl.create_network("bridge", "other", ipv4="10.0.1.0/24")
        one, two, three = net.leases.take("vm"), net.leases.take("vm", version=6), net.leases.take("vm")
        with pytest.raises(errors.NotFoundError, match="network 'other' has no lease AddressLease"):
            other.leases.release(one)
        for lease in (one, two.address, ipaddress.ip_interface(three.address)):
            net.leases.release(lease)
        assert list(net.leases) == []
        for wrong in (None, "vm", "10.0.0.2/99"):
            with pytest.raises(errors.InvalidError):
                net.leases.release(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"owner": ""}, "owner ''"),
        ({"owner": 7}, "owner 7"),
        ({"owner": "a\n"}, "owner"),
        ({"owner": "vm", "address": "10.1.0.1"}, "outside"),
        ({"owner": "vm", "address": "fd00::1"}, "no IPv6 prefix"),
        ({"owner": "vm", "version": 6}, "no IPv6 prefix"),
        ({"owner": "vm", "version": 5}, "no IPv5 prefix"),
        ({"owner": "vm", "mac": "nonsense"}, "MAC"),
    ],
)
def test_bad_leases(machine: Machine, arguments: dict[str, Any], said: str) -> None:
    with machine.start() as ctl:
        net = ctl.create_network("bridge", "web", ipv4="10.0.0.0/24")
        with pytest.raises(errors.InvalidError, match=said):
            net.leases.take(**arguments)
        assert len(net.leases) == machine.leases() == 0
        net.delete()
        with pytest.raises(errors.NoNetworkError):
            net.leases.take("vm")


def test_who_is_no_more_has_none(machine: Machine) -> None:
    with machine.start() as ctl:
        web = ctl.create_network("bridge", "web", ipv4="10.0.0.0/24")
        lab = ctl.create_network("bridge", "lab", ipv6="fd00::/64")
        endpoint = web.create_endpoint("ep")
        for owner in ("vm-1", "vm-2", "vm-2"):
            web.leases.take(owner)
        lab.leases.take("vm-2")
        free = ctl._ipam.free(web._pools[4].id)
        gone = ctl.gc(["vm-1"])
        assert sorted((one.network, one.owner) for one in gone) == [("lab", "vm-2"), ("web", "vm-2"), ("web", "vm-2")]
        assert [one.owner for one in web.leases] == ["vm-1"]
        assert ctl._ipam.free(web._pools[4].id) == free + 2
        assert machine.leases() == 1
        assert web.endpoints == [endpoint]
        for bad in ("vm-1", 7, [7]):
            with pytest.raises(errors.InvalidError):
                ctl.gc(bad)  # type: ignore[arg-type]
        assert machine.leases() == 1


def test_a_state_that_cannot_be_written_keeps_all(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise errors.StateError("disk full")

    with machine.start() as ctl:
        net = ctl.create_network("bridge", "web", ipv4="10.0.0.0/24")
        net.leases.take("vm-1")
        free = ctl._ipam.free(net._pools[4].id)
        with monkeypatch.context() as broken:
            broken.setattr(ctl._store, "put", full)
            for step in (
                lambda: net.leases.take("vm-2"),
                lambda: net.leases.release("10.0.0.2"),
                lambda: ctl.gc([]),
            ):
                with pytest.raises(errors.StateError):
                    step()
        assert [one.owner for one in net.leases] == ["vm-1"]
        assert ctl._ipam.free(net._pools[4].id) == free


def test_they_are_there_after_a_restart(machine: Machine) -> None:
    with machine.start() as ctl:
        net = ctl.create_network("bridge", "web", ipv4="10.0.0.0/24")
        before = [net.leases.take("vm-1"), net.leases.take("vm-2", mac="02:00:00:00:00:07")]
        ctl.create_network("bridge", "gone", ipv4="10.1.0.0/24").leases.take("vm-1")
        ctl.network("gone").delete()
        assert machine.leases() == 2
    with machine.start() as ctl:
        net = ctl.network("web")
        assert list(net.leases) == before
        net.leases.release("10.0.0.3")
        assert net.leases.take("vm-9", mac="02:00:00:00:00:07").address == "10.0.0.3/24"
        assert [one.owner for one in ctl.gc({"vm-9"})] == ["vm-1"]
    with machine.start() as ctl:
        assert [one.owner for one in ctl.network("web").leases] == ["vm-9"]


def test_pools_of_one_prefix_keep_their_ids(machine: Machine) -> None:
    """Over a restart, though an earlier one is gone; and in what is shown of the state."""
    with machine.start() as ctl:
        first, second, _ = (ctl.create_network("bridge", n, ipv4="10.0.0.0/24", allow_overlap=True) for n in "abc")
        assert second._pools[4].id == "local/10.0.0.0/24#2"
        first.delete()
    with machine.start() as ctl:
        assert [net._pools[4].id for net in ctl.networks] == ["local/10.0.0.0/24#2", "local/10.0.0.0/24#3"]
        new = ctl.create_network("bridge", "d", ipv4="10.0.0.0/24", allow_overlap=True)
        assert new._pools[4].id == "local/10.0.0.0/24"
        assert {one.network: one.id for one in view(machine.path).pools} == {
            net.name: net._pools[4].id for net in ctl.networks
        }


def test_threads_get_different_addresses(machine: Machine) -> None:
    with machine.start() as ctl:
        net = ctl.create_network("bridge", "web", ipv4="10.0.0.0/24")
        given = at_once(lambda number: net.leases.take(f"vm-{number % 2}").address)
        assert len(set(given)) == 64
        at_once(lambda number: ctl.gc(["vm-0"]) if number == 7 else None)
        assert {one.owner for one in net.leases} == {"vm-0"}


def test_a_mac_has_its_address_again(machine: Machine) -> None:
    mac = "02:00:00:00:00:07"
    with machine.start() as ctl:
        net = ctl.create_network("bridge", "web", ipv4="10.0.0.0/24", ipv6="fd00::/64")
        net.create_endpoint("first")
        had = [str(one) for one in net.create_endpoint("ep", mac=mac).interfaces[0].packed_addresses]
        net.endpoint("first").delete()
        net.endpoint("ep").delete()
        again = net.create_endpoint("again", mac=mac)
        assert [str(one) for one in again.interfaces[0].packed_addresses] == had == ["10.0.0.3/24", "fd00::3/64"]
        again.delete()
        net.create_endpoint("thief", ipv4="10.0.0.3")
        third = net.create_endpoint("third", mac=mac).interfaces[0].packed_addresses
        assert [str(one) for one in third] == ["10.0.0.2/24", "fd00::3/64"]
    with machine.start() as ctl:
        net = ctl.network("web")
        net.endpoint("third").delete()
        fourth = net.create_endpoint("fourth", mac=mac).interfaces[0].packed_addresses
        assert [str(one) for one in fourth] == ["10.0.0.2/24", "fd00::3/64"]


def test_a_network_that_goes_while_a_lease_is_taken(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    with machine.start() as ctl:
        net = ctl.create_network("bridge", "web", ipv4="10.0.0.0/24")
        lease = DefaultIPAM.lease
        goes = threading.Thread(target=net.delete)

        def slow(*arguments: Any, **more: Any) -> Any:
            taken = lease(*arguments, **more)
            goes.start()
            goes.join(0.2)
            return taken

        monkeypatch.setattr(DefaultIPAM, "lease", slow)
        net.leases.take("vm-1")
        goes.join(30)
        assert machine.leases() == 0
        assert ctl._ipam.pools() == []  # type: ignore[attr-defined]
        with pytest.raises(errors.NoNetworkError):
            net.leases.take("vm-1")


def test_a_network_that_is_half_gone_has_no_leases(machine: Machine) -> None:
    with machine.start() as ctl:
        net = ctl.create_network("bridge", "web", ipv4="10.0.0.0/24")
        net.leases.take("vm-1")
        ctl._ipam.release_pool(net._pools[4].id)
        assert list(net.leases) == ctl.gc([]) == []


def test_for_asyncio(machine: Machine) -> None:
    async def run() -> None:
        async with aio.Controller(state=machine.path, dataplane=machine.dataplane) as ctl:
            net = await ctl.create_network("bridge", "web", ipv4="10.0.0.0/24", ipam="default", ipam_options={})
            assert (await net.lease("vm-1")).address == "10.0.0.2/24"
            assert (await net.lease("vm-2", "10.0.0.9")).owner == "vm-2"
            assert len(net.leases) == 2
            await net.release("10.0.0.9")
            assert [one.owner for one in await ctl.gc([])] == ["vm-1"]

    asyncio.run(run())

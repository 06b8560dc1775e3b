"""What every IPAM must do: a class of pytest tests to derive from; see :mod:`driverapi.testing`."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from driverapi import errors
from driverapi.addresses import Address, format_ip, parse_network
from driverapi.ipam.contract import IPAM, Avoid, ByMAC, KeepsLeases

__all__ = ["IPAMConformance"]


class IPAMConformance(ABC):
    """What every IPAM must do; a class of pytest tests to derive from.

    An IPAM that has the methods of :class:`~driverapi.ipam.contract.ByMAC` or
    :class:`~driverapi.ipam.contract.KeepsLeases` is held to what they say, too.
    """

    prefix: ClassVar[str] = "10.99.0.0/28"
    """What a pool is asked for; a /28 or an IPv6 /124, so that it can be emptied."""

    other_prefix: ClassVar[str] = "10.98.0.0/28"
    """Another, that does not overlap it."""

    gives_default_pools: ClassVar[bool] = True
    """False for an IPAM that has to be given a prefix."""

    @abstractmethod
    def make_ipam(self) -> IPAM:
        """Make an IPAM in which nothing is taken."""

    def _pool(self) -> tuple[IPAM, str, Address]:
        ipam, prefix = self.make_ipam(), parse_network(self.prefix)
        pool = ipam.request_pool(prefix, version=prefix.version, avoid=(), owner="network 'conformance'")
        assert isinstance(pool.id, str)
        assert pool.prefix == prefix
        return ipam, pool.id, prefix

    def test_addresses_are_of_the_pool_and_distinct(self) -> None:
        """They have the pool's prefix length, none comes twice, none stands for the whole prefix."""
        ipam, pool, prefix = self._pool()
        free = ipam.free(pool)
        given = ipam.request_addresses(pool, 5)
        assert len({one.ip for one in given}) == 5
        for one in given:
            assert one.ip in prefix
            assert one.ip != prefix.ip
            assert one.prefix == prefix.prefix
        assert ipam.free(pool) == free - 5
        assert ipam.request_addresses(pool, 0) == []

    def test_all_or_none(self) -> None:
        """More than are free is an ``AddressesExhaustedError``, and takes none."""
        ipam, pool, _ = self._pool()
        free = ipam.free(pool)
        with _raises(errors.AddressesExhaustedError):
            ipam.request_addresses(pool, free + 1)
        assert ipam.free(pool) == free
        assert len(ipam.request_addresses(pool, free)) == free
        with _raises(errors.AddressesExhaustedError):
            ipam.request_addresses(pool, 1)

    def test_a_wanted_address(self) -> None:
        """It is given once; one that is taken, or outside, is refused by name, and one that went back is free."""
        ipam, pool, prefix = self._pool()
        wanted = ipam.request_addresses(pool, 1)[0].ip
        with _raises(errors.AddressTakenError, format_ip(wanted)):
            ipam.request_address(pool, wanted)
        ipam.release_addresses(pool, [wanted])
        given = ipam.request_address(pool, wanted)
        assert (given.ip, given.prefix) == (wanted, prefix.prefix)
        outside = parse_network(self.other_prefix).ip[:-1] + b"\5"
        with _raises(errors.InvalidError, format_ip(outside)):
            ipam.request_address(pool, outside)

    def test_release(self) -> None:
        """An address that is not taken may be given back; one outside may not, and then none is."""
        ipam, pool, _ = self._pool()
        free = ipam.free(pool)
        one, two = (address.ip for address in ipam.request_addresses(pool, 2))
        ipam.release_addresses(pool, [one, one])
        ipam.release_addresses(pool, [one])
        assert ipam.free(pool) == free - 1
        with _raises(errors.InvalidError):
            ipam.release_addresses(pool, [two, parse_network(self.other_prefix).ip])
        assert ipam.free(pool) == free - 1

    def test_pools_come_and_go(self) -> None:
        """A pool that went back is unknown, its prefix is free again; an unknown pool is named."""
        ipam, pool, prefix = self._pool()
        ipam.request_addresses(pool, 1)
        ipam.release_pool(pool)
        calls: tuple[tuple[str, Any], ...] = (
            ("release_pool", ()),
            ("free", ()),
            ("request_addresses", (1,)),
            ("request_address", (prefix.ip,)),
            ("release_addresses", ([prefix.ip],)),
        )
        for verb, arguments in calls:
            with _raises(errors.NotFoundError, pool):
                getattr(ipam, verb)(pool, *arguments)
        again = ipam.request_pool(prefix, version=prefix.version, avoid=(), owner="network 'again'")
        assert ipam.free(again.id) > 0

    def test_overlaps_are_refused_by_name(self) -> None:
        """The error says who has what."""
        ipam, _, prefix = self._pool()
        larger = Address(prefix.ip, prefix.prefix - 1).network
        for wanted in (prefix, larger):
            with _raises(errors.ConflictError, "network 'conformance'", str(prefix)):
                ipam.request_pool(wanted, version=prefix.version, avoid=(), owner="network 'second'")
        other = parse_network(self.other_prefix)
        avoid = [Avoid(other, "the host's route to")]
        with _raises(errors.ConflictError, "the host's route to", str(other)):
            ipam.request_pool(other, version=other.version, avoid=avoid, owner="network 'second'")
        ipam.request_pool(other, version=other.version, avoid=(), owner="network 'second'")

    def test_default_pools(self) -> None:
        """They overlap neither each other nor what is to be avoided."""
        if not self.gives_default_pools:
            return
        ipam = self.make_ipam()
        first = ipam.request_pool(None, version=4, avoid=(), owner="network 'first'")
        ipam.release_pool(first.id)
        avoid = [Avoid(first.prefix, "the host's route to")]
        second = ipam.request_pool(None, version=4, avoid=avoid, owner="network 'second'")
        assert not second.prefix.overlaps(first.prefix)
        third = ipam.request_pool(None, version=4, avoid=avoid, owner="network 'third'")
        assert not third.prefix.overlaps(second.prefix)
        assert not third.prefix.overlaps(first.prefix)

    def test_many_threads(self) -> None:
        """No address is given to two."""
        ipam, pool, _ = self._pool()
        free = ipam.free(pool)
        given: list[bytes] = []
        refused: list[Exception] = []

        def take() -> None:
            try:
                given.extend(one.ip for one in ipam.request_addresses(pool, 2))
            except errors.AddressesExhaustedError as error:
                refused.append(error)

        threads = [threading.Thread(target=take) for _ in range(free)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(set(given)) == len(given) == free // 2 * 2
        assert len(refused) == free - free // 2

    def test_under_a_controller(self) -> None:
        """A network of it comes up and goes, and nothing is left behind."""
        from driverapi.controller import Controller
        from driverapi.dataplane.fake import FakeDataplane
        from driverapi.ipam.registry import IPAMRegistry

        ipam, ipams = self.make_ipam(), IPAMRegistry()
        ipams.register("conformance", ipam)
        arguments: dict[str, Any] = {f"ipv{parse_network(self.prefix).version}": self.prefix}
        with Controller(dataplane=FakeDataplane(), ipams=ipams) as controller:
            network = controller.create_network("bridge", "web", **arguments, ipam="conformance")
            (pool,) = network._pools.values()
            free = ipam.free(pool.id)
            endpoints = network.attach(3, strict=True)
            assert ipam.free(pool.id) == free - 3
            network.detach(endpoints)
            assert ipam.free(pool.id) == free
            network.delete()
            with _raises(errors.NotFoundError):
                ipam.free(pool.id)

    def test_a_mac_has_its_address_again(self) -> None:
        """``ByMAC``: where it is free; else another is given."""
        ipam, pool, _ = self._pool()
        if not isinstance(ipam, ByMAC):
            return
        mac, other = bytes.fromhex("0242ac110002"), bytes.fromhex("0242ac110003")
        ipam.request_addresses(pool, 1)
        first = ipam.request_by_mac(pool, mac)
        ipam.release_addresses(pool, [first.ip])
        assert ipam.request_by_mac(pool, mac) == first
        ipam.release_addresses(pool, [first.ip])
        ipam.request_address(pool, first.ip)
        assert ipam.request_by_mac(pool, mac) != first
        ipam.release_addresses(pool, [first.ip])
        ipam.remember_mac(pool, other, first.ip)
        assert ipam.request_by_mac(pool, other) == first

    def test_leases(self) -> None:
        """``KeepsLeases``: they have an owner, and end by ``gc`` where he is no more, all in one step."""
        ipam, pool, prefix = self._pool()
        if not isinstance(ipam, KeepsLeases):
            return
        free = ipam.free(pool)
        nobodys = ipam.request_addresses(pool, 1)[0]
        kept = ipam.lease(pool, "vm-1")
        gone = [ipam.lease(pool, "vm-2"), ipam.lease(pool, "vm-2", mac=bytes.fromhex("0242ac110002"))]
        with _raises(errors.AddressTakenError):
            ipam.lease(pool, "vm-3", wanted=kept.address.ip)
        with _raises(errors.InvalidError):
            ipam.lease(pool, "")
        assert (kept.pool, kept.owner, kept.address.prefix) == (pool, "vm-1", prefix.prefix)
        assert _texts(ipam.leases(pool)) == _texts([kept, *gone])
        assert _texts(ipam.gc({"vm-1"})) == _texts(gone)
        assert ipam.gc({"vm-1"}) == []
        assert _texts(ipam.leases()) == _texts([kept])
        assert ipam.free(pool) == free - 2
        ipam.release_addresses(pool, [kept.address.ip, nobodys.ip])
        assert ipam.leases(pool) == []
        assert ipam.free(pool) == free


def _texts(leases: list[Any]) -> list[str]:
    return sorted(f"{one.owner} {one.address}" for one in leases)


@contextmanager
def _raises(kind: type[BaseException], *said: str) -> Iterator[None]:
    """Do as ``pytest.raises``, which this module does without; the error says all of that."""
    try:
        yield
    except kind as error:
        missing = [text for text in said if text not in str(error)]
        if missing:
            raise AssertionError(f"the error does not name {missing[0]!r}: {error}") from error
        return
    raise AssertionError(f"{kind.__name__} was not raised")

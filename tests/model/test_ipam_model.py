"""The built-in IPAM against a twin of dicts and sets that looks at every pool and every address, step by step."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from driverapi import errors
from driverapi.addresses import Address, format_ip, parse_network
from driverapi.ipam.contract import Avoid, Lease
from driverapi.ipam.default import DefaultIPAM

# All but the last two within one /26, so that they meet; those two within the default prefixes.
PREFIXES = st.sampled_from(
    [
        *[f"10.0.0.{first}/{length}" for length in (26, 27, 28, 29) for first in range(0, 64, 2 ** (32 - length))],
        "10.0.0.4/31",
        "10.0.0.9/32",
        "172.18.0.0/15",
        "172.17.64.0/18",
    ]
)
PARTS = st.sampled_from([f"10.0.0.{first}/{length}" for length in (28, 30) for first in range(0, 64, 16)])
SIZES = st.integers(16, 21)
SPACES = st.sampled_from(["local", "local", "global"])
WHICH = st.integers(0, 9)
HOSTS = st.integers(0, 64)
MACS = st.sampled_from([bytes([2, 0, 0, 0, 0, number]) for number in range(3)])
OWNERS = st.sampled_from(["vm-1", "vm-2", "vm-3"])

DEFAULTS = {
    "local": [
        *[(IPv4Network(f"172.{second}.0.0/16"), 16) for second in range(17, 32)],
        (IPv4Network("192.168.0.0/16"), 20),
    ],
    "global": [(IPv4Network("10.0.0.0/8"), 24)],
}


@dataclass(eq=False)
class Pool:
    space: str
    prefix: IPv4Network
    part: IPv4Network | None
    serial: bool
    owner: str
    taken: dict[int, tuple[str, bytes | None] | None] = field(default_factory=dict)  # address to its lease
    macs: dict[bytes, int] = field(default_factory=dict)
    family: list[Pool] = field(default_factory=list)
    cursor: int = 0

    @property
    def hosts(self) -> list[int]:
        """Return what may be asked for: the rules of RFC 3021."""
        every = [int(self.prefix.network_address) + number for number in range(self.prefix.num_addresses)]
        return every if self.prefix.prefixlen > 30 else every[1:-1]

    @property
    def given(self) -> list[int]:
        """Return what is given by itself."""
        low, high = (int(end) for end in (self._range[0], self._range[-1]))
        return [host for host in self.hosts if low <= host <= high]

    @property
    def _range(self) -> IPv4Network:
        return self.prefix if self.part is None else self.part

    def is_taken(self, host: int) -> bool:
        return any(host in one.taken for one in self.family)

    @property
    def free(self) -> list[int]:
        return [host for host in self.given if not self.is_taken(host)]

    def order(self) -> Iterator[int]:
        free = self.free
        if not self.serial:
            yield from free
            return
        while free:
            host = next((one for one in free if one >= self.cursor), free[0])
            self.cursor = host + 1
            free.remove(host)
            yield host


class Twin:
    """Lists, searched from the beginning."""

    def __init__(self) -> None:
        self.pools: dict[str, Pool] = {}

    def request_pool(
        self,
        text: str | None,
        space: str,
        size: int | None,
        part: str | None,
        avoid: list[IPv4Network],
        owner: str,
        *,
        serial: bool,
        allow: bool,
    ) -> str:
        if text is None:
            prefix = self._default(space, size, avoid)
        else:
            prefix = IPv4Network(text)
            if not allow and any(prefix.overlaps(one) for one in (*(p.prefix for p in self.pools.values()), *avoid)):
                raise errors.ConflictError
        within = None if part is None else IPv4Network(part)
        family: list[Pool] = []
        if within is not None:
            if not within.subnet_of(prefix):
                raise errors.InvalidError
            kin = [one for one in self.pools.values() if (one.space, one.prefix) == (space, prefix) and one.part]
            if any(one.part is not None and one.part.overlaps(within) for one in kin):
                raise errors.ConflictError
            family = kin[0].family if kin else []
        made = Pool(space, prefix, within, serial, owner, family=family)
        family.append(made)
        if not made.given:
            family.remove(made)
            raise errors.InvalidError
        id = base = f"{space}/{prefix}" if within is None else f"{space}/{prefix}/{within}"
        number = 1
        while id in self.pools:
            number += 1
            id = f"{base}#{number}"
        self.pools[id] = made
        return id

    def _default(self, space: str, size: int | None, avoid: list[IPv4Network]) -> IPv4Network:
        taken = [one.prefix for one in self.pools.values()] + avoid
        if size is not None and size < min(whole.prefixlen for whole, _ in DEFAULTS[space]):
            raise errors.InvalidError
        for whole, length in DEFAULTS[space]:
            wanted = length if size is None else size
            near = [one for one in taken if one.overlaps(whole)]
            for candidate in whole.subnets(new_prefix=wanted) if wanted >= whole.prefixlen else ():
                if not any(candidate.overlaps(one) for one in near):
                    return candidate
        raise errors.AddressesExhaustedError

    def take(self, id: str, host: int) -> int:
        pool = self.pools[id]
        if host not in pool.hosts:
            raise errors.InvalidError
        if pool.is_taken(host):
            raise errors.AddressTakenError
        pool.taken[host] = None
        return host

    def give(self, id: str, count: int) -> list[int]:
        pool = self.pools[id]
        if count > len(pool.free):
            if pool.serial:  # all were tried, so it goes on after the last of them
                for _ in pool.order():
                    pass
            raise errors.AddressesExhaustedError
        order = pool.order()
        found = [next(order) for _ in range(count)]
        pool.taken.update(dict.fromkeys(found))
        return found

    def by_mac(self, id: str, mac: bytes) -> int:
        pool = self.pools[id]
        host = pool.macs.get(mac)
        if host is not None and not pool.is_taken(host):
            pool.taken[host] = None
        else:
            host = self.give(id, 1)[0]
        pool.macs.pop(mac, None)
        pool.macs[mac] = host
        return host

    def gc(self, owners: set[str]) -> set[tuple[str, int]]:
        dead = {
            (id, host)
            for id, pool in self.pools.items()
            for host, lease in pool.taken.items()
            if lease is not None and lease[0] not in owners
        }
        for id, host in dead:
            del self.pools[id].taken[host]
        return dead


def number(ip: bytes) -> int:
    return int.from_bytes(ip, "big")


def packed(host: int) -> bytes:
    return host.to_bytes(4, "big")


class IPAMMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.ipam = DefaultIPAM()
        self.twin = Twin()
        self.owners = 0

    def same(self, real: Callable[[], Any], twin: Callable[[], Any]) -> Any:
        """Do one thing in both: the same answer, or an error of the same class, that names what it is about."""
        try:
            wanted = twin()
        except errors.DriverAPIError as error:
            with pytest.raises(type(error)):
                real()
            return None
        got = real()
        assert got == wanted
        return wanted

    def pick(self, which: int) -> str:
        return list(self.twin.pools)[which % len(self.twin.pools)]

    def host(self, id: str, host: int) -> int:
        return int(self.twin.pools[id].prefix.network_address) + host

    # --- pools ----------------------------------------------------------------------------------

    @rule(
        prefix=PREFIXES,
        part=st.none() | PARTS,
        allow=st.booleans(),
        serial=st.booleans(),
        space=SPACES,
        avoid=st.none() | PREFIXES,
    )
    def request_pool(
        self, prefix: str, part: str | None, allow: bool, serial: bool, space: str, avoid: str | None
    ) -> None:
        if len(self.twin.pools) >= 12:
            return
        self.owners += 1
        owner = f"network 'net{self.owners}'"
        avoiding = [] if avoid is None else [avoid]

        def request() -> str:
            try:
                return self.ipam.request_pool(
                    parse_network(prefix),
                    within=None if part is None else parse_network(part),
                    avoid=[Avoid(parse_network(one), "the host's route to") for one in avoiding],
                    allow_overlap=allow,
                    serial=serial,
                    owner=owner,
                    space=space,
                ).id
            except errors.ConflictError as error:
                names = {"the host's route to", *(one.owner for one in self.twin.pools.values())}
                if not any(name in str(error) for name in names):
                    raise AssertionError(f"nothing is named: {error}") from error
                raise

        networks = [IPv4Network(one) for one in avoiding]
        self.same(
            request,
            lambda: self.twin.request_pool(prefix, space, None, part, networks, owner, serial=serial, allow=allow),
        )

    @rule(part=st.sampled_from([f"10.0.0.{first}/28" for first in (0, 16, 32)]))
    def request_part(self, part: str) -> None:
        """Request one of several pools that share a prefix: drawn by chance they would hardly meet."""
        self.request_pool("10.0.0.0/26", part, True, False, "local", None)

    @rule(size=st.none() | SIZES, space=SPACES, avoid=st.lists(PREFIXES, max_size=2))
    def request_default(self, size: int | None, space: str, avoid: list[str]) -> None:
        if len(self.twin.pools) >= 12:
            return
        away = [Avoid(parse_network(one), "the host's route to") for one in avoid]
        networks = [IPv4Network(one) for one in avoid]
        self.same(
            lambda: self.ipam.request_pool(size=size, space=space, avoid=away, owner="network 'any'").id,
            lambda: self.twin.request_pool(
                None, space, size, None, networks, "network 'any'", serial=False, allow=False
            ),
        )

    @precondition(lambda self: self.twin.pools)
    @rule(which=WHICH)
    def release_pool(self, which: int) -> None:
        id = self.pick(which)
        self.ipam.release_pool(id)
        pool = self.twin.pools.pop(id)
        pool.family.remove(pool)
        for verb in (self.ipam.release_pool, self.ipam.free):
            with pytest.raises(errors.NotFoundError, match="no address pool"):
                verb(id)

    # --- addresses ------------------------------------------------------------------------------

    @precondition(lambda self: self.twin.pools)
    @rule(which=WHICH, count=st.integers(0, 20))
    def request_addresses(self, which: int, count: int) -> None:
        id = self.pick(which)
        if self.twin.pools[id].prefix.prefixlen < 26 and count:  # the twin would list a /15
            return
        self.same(
            lambda: [number(one.ip) for one in self.ipam.request_addresses(id, count)],
            lambda: self.twin.give(id, count),
        )

    def small(self, which: int) -> str | None:
        id = self.pick(which)
        return id if self.twin.pools[id].prefix.prefixlen >= 26 else None

    @precondition(lambda self: self.twin.pools)
    @rule(which=WHICH, host=HOSTS)
    def request_address(self, which: int, host: int) -> None:
        id = self.small(which)
        if id is not None:
            self.take_both(id, self.host(id, host))

    def take_both(self, id: str, wanted: int) -> None:
        self.same(lambda: number(self.ipam.request_address(id, packed(wanted)).ip), lambda: self.twin.take(id, wanted))

    @precondition(lambda self: any(len(pool.family) > 1 for pool in self.twin.pools.values()))
    @rule(which=WHICH, other=WHICH, host=st.integers(0, 63), back=st.booleans())
    def meet(self, which: int, other: int, host: int, back: bool) -> None:
        """Ask one of those for an address, and another for the same; the second may give back what is not his."""
        kin = [id for id, pool in self.twin.pools.items() if len(pool.family) > 1]
        for id in (kin[which % len(kin)], kin[other % len(kin)]):
            wanted = self.host(id, host)
            self.take_both(id, wanted)
        if back:
            self.ipam.release_addresses(id, [packed(wanted)])
            self.twin.pools[id].taken.pop(wanted, None)

    @precondition(lambda self: self.twin.pools)
    @rule(which=WHICH, hosts=st.lists(HOSTS, max_size=4))
    def release_addresses(self, which: int, hosts: list[int]) -> None:
        id = self.small(which)
        if id is None:
            return
        pool = self.twin.pools[id]
        wanted = [self.host(id, host) for host in hosts]
        if any(packed(one) not in Address(packed(int(pool.prefix[0])), pool.prefix.prefixlen) for one in wanted):
            with pytest.raises(errors.InvalidError, match="outside"):
                self.ipam.release_addresses(id, [packed(one) for one in wanted])
            return
        self.ipam.release_addresses(id, [packed(one) for one in wanted])
        for one in wanted:
            pool.taken.pop(one, None)

    @precondition(lambda self: self.twin.pools)
    @rule(which=WHICH, mac=MACS)
    def request_by_mac(self, which: int, mac: bytes) -> None:
        id = self.small(which)
        if id is None:
            return
        self.same(lambda: number(self.ipam.request_by_mac(id, mac).ip), lambda: self.twin.by_mac(id, mac))

    # --- leases ---------------------------------------------------------------------------------

    @precondition(lambda self: self.twin.pools)
    @rule(which=WHICH, owner=OWNERS, host=st.none() | HOSTS, mac=st.none() | MACS)
    def lease(self, which: int, owner: str, host: int | None, mac: bytes | None) -> None:
        id = self.small(which)
        if id is None:
            return
        wanted = None if host is None else self.host(id, host)
        pool = self.twin.pools[id]

        def take() -> int:
            if wanted is not None:
                taken = self.twin.take(id, wanted)
                if mac is not None:
                    pool.macs.pop(mac, None)
                    pool.macs[mac] = taken
            else:
                taken = self.twin.give(id, 1)[0] if mac is None else self.twin.by_mac(id, mac)
            pool.taken[taken] = owner, mac
            return taken

        self.same(
            lambda: number(
                self.ipam.lease(id, owner, wanted=None if wanted is None else packed(wanted), mac=mac).address.ip
            ),
            take,
        )

    @rule(owners=st.sets(OWNERS))
    def gc(self, owners: set[str]) -> None:
        gone = self.ipam.gc(owners)
        assert {(one.pool, number(one.address.ip)) for one in gone} == self.twin.gc(owners)

    # --- both are the same ------------------------------------------------------------------------

    @invariant()
    def same_things(self) -> None:
        use = {one.id: one for one in self.ipam.pools()}
        assert set(use) == set(self.twin.pools)
        leases: dict[str, list[Lease]] = {}
        for one in self.ipam.leases():
            leases.setdefault(one.pool, []).append(one)
        for id, pool in self.twin.pools.items():
            assert use[id].owner == pool.owner
            if pool.prefix.prefixlen < 26:
                continue
            assert use[id].size == len(pool.given)
            assert use[id].free == len(pool.free), id
            wanted = {host: lease for host, lease in pool.taken.items() if lease is not None}
            assert {number(one.address.ip): (one.owner, one.mac) for one in leases.get(id, ())} == wanted
        free = [whole for space in self.ipam._wholes.values() for whole, _ in space]
        if not self.twin.pools:  # nothing is in use, and nothing is remembered of what was
            assert all(one.largest == one.whole.prefix for one in free)
            assert all(len(index) == 0 for index in self.ipam._in_use.values())
            assert self.ipam._parts == {}

    def teardown(self) -> None:
        for id in list(self.twin.pools):
            self.ipam.release_pool(id)
            del self.twin.pools[id]
        self.same_things()


def test_the_twin_is_what_it_should_be() -> None:
    twin = Twin()
    id = twin.request_pool(None, "local", 20, None, [], "x", serial=False, allow=False)
    assert id == "local/172.17.0.0/20"
    assert [format_ip(packed(one)) for one in twin.pools[id].hosts[:2]] == ["172.17.0.1", "172.17.0.2"]


LONG = os.environ.get("DRIVERAPI_LONG", "") not in ("", "0")
TestIPAM = IPAMMachine.TestCase
TestIPAM.settings = settings(max_examples=2000 if LONG else 150, stateful_step_count=120 if LONG else 40, deadline=None)

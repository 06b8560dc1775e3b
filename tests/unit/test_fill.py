"""Pools and interface lists: addresses written into rows, and taken out of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from _fastnet.errors import Exhausted, NotTaken, OutOfRange, Taken
from _fastnet.iflist import InterfaceList
from _fastnet.ippool import IPPool
from _fastnet.macpool import MACPool


def rows(count: int) -> InterfaceList:
    interfaces = InterfaceList()
    interfaces.extend(count)
    return interfaces


def whole(interfaces: InterfaceList) -> list[object]:
    """Everything that the list says."""
    n = interfaces
    return [
        (n.id(row), n.mac(row), n.ipv4(row), n.ipv4_prefix(row), n.ipv6(row), n.ipv6_prefix(row))
        for row in range(len(n))
    ]


@pytest.mark.parametrize("options", [{}, {"exclude": ["10.0.0.3", "10.0.0.66-10.0.0.90"]}, {"range": "10.0.1.0/24"}])
def test_ipv4(options: dict[str, object]) -> None:
    interfaces, pool, other = rows(200), *(IPPool("10.0.0.0/16", **options) for _ in range(2))  # type: ignore[arg-type]
    pool.allocate()
    other.allocate()
    pool.fill(interfaces, 10, 150)
    given = other.allocate_many(150)
    assert interfaces.column("ipv4").tobytes()[40:640] == b"".join(given.packed(at) for at in range(150))
    assert {interfaces.ipv4_prefix(row) for row in range(10, 160)} == {16}
    assert {interfaces.ipv4(row) for row in (*range(10), *range(160, 200))} == {None}
    assert {interfaces.mac(row) or interfaces.ipv6(row) for row in range(200)} == {None}
    assert len(pool) == 151
    assert pool.drain(interfaces, 0, 100) == 90
    assert len(pool) == 61
    assert (interfaces.ipv4(99), interfaces.ipv4_prefix(99), interfaces.ipv4(100)) == (None, 0, given.packed(90))
    assert pool.drain(interfaces, 0, 200) == 60
    assert whole(interfaces) == whole(rows(200))


def test_ipv6_beside_ipv4() -> None:
    interfaces, four, six = rows(70), IPPool("10.0.0.0/16"), IPPool("fd00:1:2:3::/64")
    four.fill(interfaces, 0, 70)
    six.fill(interfaces, 0, 70)
    wanted = IPPool("fd00:1:2:3::/64").allocate_many(70)
    assert [interfaces.ipv6(row) for row in range(70)] == [wanted.packed(row) for row in range(70)]
    assert (interfaces.ipv6_prefix(69), interfaces.ipv4(69), interfaces.ipv4_prefix(69)) == (64, b"\n\0\0F", 16)
    assert four.drain(interfaces, 0, 70) == 70
    assert [interfaces.ipv6(row) for row in range(70)] == [wanted.packed(row) for row in range(70)]
    assert six.drain(interfaces, 0, 70) == 70
    assert len(six) == len(four) == 0


def test_macs_are_derived_where_they_can_be() -> None:
    interfaces, addresses, pool = rows(6), IPPool("10.0.0.0/24"), MACPool(4)
    addresses.fill(interfaces, 0, 4)
    pool.derive(b"\n\0\0\2")
    pool.fill(interfaces, 0, 6)
    macs = [interfaces.mac(row) for row in range(6)]
    assert [macs[0], macs[2], macs[3]] == [b"\x02\x42\n\0\0" + bytes([last]) for last in (1, 3, 4)]
    drawn = [macs[1], macs[4], macs[5]]
    assert all(mac is not None and mac[0] == 2 and mac[1] != 0x42 for mac in drawn)
    assert len(set(macs)) == 6
    assert len(pool) == 7
    assert all(mac in pool for mac in macs)
    assert pool.drain(interfaces, 1, 3) == 3
    assert [interfaces.mac(row) is None for row in range(6)] == [False, True, True, True, False, False]
    assert interfaces.ipv4(1) == b"\n\0\0\2"
    assert pool.drain(interfaces, 0, 6) == 3
    assert len(pool) == 1


@pytest.mark.parametrize("pool", [IPPool("10.0.0.0/29"), IPPool("fd00::/125"), MACPool(1)], ids=["v4", "v6", "mac"])
@pytest.mark.parametrize(
    ("start", "count"),
    [(-1, 1), (0, 5), (4, 1), (5, 0), (2, 3), (0, -1), (2**64, 1), (0, 2**64), (2**63, 2**63), (3, 2**64 - 2)],
)
def test_rows_that_are_not_there(pool: IPPool | MACPool, start: int, count: int) -> None:
    interfaces = rows(4)
    for method in (pool.fill, pool.drain):
        with pytest.raises(IndexError, match="of 4"):
            method(interfaces, start, count)
    assert whole(interfaces) == whole(rows(4))
    assert len(pool) == 0


def test_no_rows_are_fine() -> None:
    for pool in (IPPool("10.0.0.0/29"), MACPool(1)):
        for start in (0, 4):
            pool.fill(rows(4), start, 0)
            assert pool.drain(rows(4), start, 0) == 0
        assert pool.drain(rows(4), 0, 4) == 0


def test_types() -> None:
    for pool in (IPPool("10.0.0.0/29"), MACPool(1)):
        for method in (pool.fill, pool.drain):
            for bad in ((None, 0, 1), ([], 0, 1), (rows(1), "0", 1), (rows(1), 0, None), (rows(1), 0.0, 1)):
                with pytest.raises(TypeError):
                    method(*bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("prefix", ["10.0.0.0/29", "fd00::/125"])
def test_fill_is_all_or_nothing(prefix: str) -> None:
    interfaces, pool = rows(20), IPPool(prefix)
    with pytest.raises(Exhausted, match="free"):
        pool.fill(interfaces, 0, 8)
    assert (whole(interfaces), len(pool)) == (whole(rows(20)), 0)
    pool.fill(interfaces, 5, 1)
    before = whole(interfaces)
    with pytest.raises(Taken, match="row 5 has an IPv"):
        pool.fill(interfaces, 2, 4)
    assert (whole(interfaces), len(pool)) == (before, 1)
    macs = MACPool(1)
    macs.fill(interfaces, 3, 1)
    before = whole(interfaces)
    with pytest.raises(Taken, match="row 3 has a MAC"):
        macs.fill(interfaces, 0, 20)
    assert (whole(interfaces), len(macs)) == (before, 1)


def drain_pools(interfaces: InterfaceList) -> list[tuple[IPPool | MACPool, Callable[[int, int], None]]]:
    """Filled pools, each with what copies a row's field to another row."""
    four, six, mac = IPPool("10.0.0.0/16"), IPPool("fd00::/64"), MACPool(1)
    for pool in (four, six, mac):
        pool.fill(interfaces, 0, 100)
    return [
        (four, lambda source, to: interfaces.set_ipv4(to, interfaces.ipv4(source) or b"", 16)),
        (six, lambda source, to: interfaces.set_ipv6(to, interfaces.ipv6(source) or b"", 64)),
        (mac, lambda source, to: interfaces.set_mac(to, interfaces.mac(source) or b"")),
    ]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_drain_is_all_or_nothing(which: int) -> None:
    interfaces = rows(101)
    pool, copy = drain_pools(interfaces)[which]
    copy(50, 100)
    before = whole(interfaces)
    with pytest.raises(NotTaken, match="twice"):
        pool.drain(interfaces, 0, 101)
    assert (whole(interfaces), len(pool)) == (before, 100)
    assert pool.drain(interfaces, 50, 1) == 1
    before = whole(interfaces)
    with pytest.raises(NotTaken, match="not taken"):
        pool.drain(interfaces, 0, 101)
    assert (whole(interfaces), len(pool)) == (before, 99)
    assert pool.drain(interfaces, 0, 100) == 99


def test_drain_of_what_is_not_the_pools() -> None:
    interfaces, pool = rows(3), IPPool("10.0.0.0/24", range="10.0.0.128/25", exclude=["10.0.0.200"])
    pool.fill(interfaces, 0, 2)
    for address, error in ((b"\n\0\1\1", OutOfRange), (b"\n\0\0\0", NotTaken), (b"\n\0\0\xc8", NotTaken)):
        interfaces.set_ipv4(2, address, 24)
        with pytest.raises(error):
            pool.drain(interfaces, 0, 3)
        assert len(pool) == 2
    # One that was wanted, outside of the range.
    pool.reserve("10.0.0.7")
    interfaces.set_ipv4(2, b"\n\0\0\7", 24)
    assert pool.drain(interfaces, 0, 3) == 3
    assert len(pool) == 0


def test_a_view_sees_what_is_filled() -> None:
    """Filling adds no row, so a view may stay."""
    interfaces, pool = rows(3), IPPool("10.0.0.0/24")
    with interfaces.column("ipv4") as view:
        pool.fill(interfaces, 0, 3)
        assert view.tolist() == [[10, 0, 0, 1], [10, 0, 0, 2], [10, 0, 0, 3]]


def test_rows_grow_inside_an_argument() -> None:
    interfaces, pool = rows(1), IPPool("10.0.0.0/16")

    class Meddler:
        def __init__(self, number: int) -> None:
            self.number = number

        def __index__(self) -> int:
            interfaces.extend(1000)
            return self.number

    pool.fill(interfaces, Meddler(0), Meddler(1500))  # type: ignore[arg-type]
    assert interfaces.ipv4(1499) == b"\n\0\5\xdc"
    assert len(interfaces) == 2001

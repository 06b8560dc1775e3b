"""IPPool: sub-ranges and exclusions."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from _fastnet.errors import Excluded, Exhausted, NotTaken, OutOfRange, Reserved, Taken
from _fastnet.ippool import IPPool


def number(text: str) -> int:
    return int(ip_address(text))


@pytest.mark.parametrize(
    ("prefix", "part", "first", "last"),
    [
        ("10.0.0.0/8", "10.0.8.0/24", "10.0.8.0", "10.0.8.255"),
        ("10.0.0.0/8", "10.0.8.10-10.0.9.20", "10.0.8.10", "10.0.9.20"),
        ("10.0.0.0/24", "10.0.0.0/25", "10.0.0.1", "10.0.0.127"),
        ("10.0.0.0/24", "10.0.0.250-10.0.0.255", "10.0.0.250", "10.0.0.254"),
        ("10.0.0.0/24", "10.0.0.7", "10.0.0.7", "10.0.0.7"),
        ("10.0.0.0/24", "10.0.0.0/24", "10.0.0.1", "10.0.0.254"),
        ("10.0.0.4/31", "10.0.0.5/32", "10.0.0.5", "10.0.0.5"),
        ("fd00::/64", "fd00::/120", "fd00::1", "fd00::ff"),
        ("fd00::/64", "fd00::ff00-fd00::ffff", "fd00::ff00", "fd00::ffff"),
        ("fd00::/48", "fd00:0:0:5::/120", "fd00:0:0:5::", "fd00:0:0:5::ff"),
    ],
)
def test_range(prefix: str, part: str, first: str, last: str) -> None:
    wanted = list(range(number(first), number(last) + 1))
    pool = IPPool(prefix, range=part)
    assert pool.size == pool.free == len(wanted)
    assert (pool.network, pool.prefix_length) == (
        int(ip_network(prefix).network_address),
        ip_network(prefix).prefixlen,
    )
    assert list(pool.allocate_many(len(wanted))) == wanted
    with pytest.raises(Exhausted):
        pool.allocate()
    pool.release_many(wanted)
    assert [pool.allocate_next() for _ in wanted] == wanted
    with pytest.raises(Exhausted):
        pool.allocate_many(1)
    pool.release(last)
    assert pool.allocate_text() == last
    pool.release(ip_address(first).packed)
    assert pool.allocate_packed() == ip_address(first).packed


def test_wanted_outside_of_the_range() -> None:
    pool = IPPool("10.0.0.0/16", range="10.0.8.0/24")
    pool.reserve("10.0.0.5")
    assert ("10.0.0.5" in pool, len(pool), pool.free, bool(pool)) == (True, 1, 256, True)
    with pytest.raises(Taken, match=r"10\.0\.0\.5 is taken"):
        pool.reserve("10.0.0.5")
    with pytest.raises(NotTaken, match=r"10\.0\.0\.6 is not taken"):
        pool.release("10.0.0.6")
    for ruled in ("10.0.0.0", "10.0.255.255"):
        with pytest.raises(Reserved):
            pool.reserve(ruled)
    with pytest.raises(OutOfRange, match="does not lie"):
        pool.reserve("10.1.0.0")
    inside = pool.allocate_many(2)
    pool.reserve("10.0.77.7")
    for bad in (
        [*inside, "10.0.0.5", "10.0.0.6"],
        ["10.0.0.5", "10.0.8.9", *inside],
        ["10.0.0.5", inside[0], "10.0.0.5"],
        ["10.0.0.5", inside[0], inside[0]],
        ["10.0.0.5", "10.0.0.0"],
    ):
        with pytest.raises(NotTaken):
            pool.release_many(bad)
        assert len(pool) == 4
    pool.release_many(["10.0.77.7", inside[1], number("10.0.0.5"), inside[0]])
    assert (len(pool), pool.free, bool(pool)) == (0, 256, False)


def test_range_past_the_window() -> None:
    pool = IPPool("fd00::/48", range="fd00:0:0:5::/64")
    assert pool.size == 2**64
    assert pool.allocate_text() == "fd00:0:0:5::"
    pool.reserve("fd00:0:0:5:ffff:ffff:ffff:ffff")
    pool.reserve("fd00::1")
    with pytest.raises(Reserved, match="anycast"):
        pool.reserve("fd00::")
    with pytest.raises(OutOfRange, match="first 2"):
        pool.reserve("fd00:0:0:6::")
    assert len(pool) == 3
    assert pool.nbytes < 2048


@pytest.mark.parametrize(
    ("part", "error"),
    [
        ("10.0.0.0/7", ValueError),
        ("10.1.0.0/24", OutOfRange),
        ("9.255.255.255-10.0.0.5", OutOfRange),
        ("10.0.0.5-10.1.0.0", OutOfRange),
        ("10.0.0.9-10.0.0.5", ValueError),
        ("10.0.0.5-fd00::1", ValueError),
        ("fd00::/120", OutOfRange),
        ("10.0.0.5 - 10.0.0.9", ValueError),
        ("10.0.0.5-", ValueError),
        ("-", ValueError),
        ("", ValueError),
        ("10.0.0.1/24", ValueError),
        ("10.0.0.0", ValueError),  # all of it is reserved by rule
        (b"10.0.8.0/24", TypeError),
        (5, TypeError),
    ],
)
def test_no_range(part: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        IPPool("10.0.0.0/16", range=part)


def test_range_over_two_windows() -> None:
    with pytest.raises(ValueError, match="one /64"):
        IPPool("fd00::/48", range="fd00::5-fd00:0:0:1::5")
    with pytest.raises(ValueError, match="one /64"):
        IPPool("fd00::/48", range="fd00::/63")


@pytest.mark.parametrize(
    ("prefix", "exclude"),
    [
        ("10.0.0.0/24", ["10.0.0.1", "10.0.0.2", "10.0.0.3-10.0.0.9"]),
        ("10.0.0.0/24", ["10.0.0.64/26", "10.0.0.128/26", "10.0.0.100-10.0.0.140"]),
        ("10.0.0.0/24", [number("10.0.0.7"), ip_address("10.0.0.9").packed, "10.0.0.255", "10.0.0.0"]),
        ("10.0.0.0/24", [f"10.0.0.{host}" for host in range(1, 255, 2)]),
        ("10.0.0.0/24", "10.0.0.0/25"),
        ("10.0.0.0/22", ["10.0.0.0/24", "10.0.3.0/24", "10.0.1.128/25"]),
        ("10.0.0.4/31", ["10.0.0.4"]),
        ("fd00::/120", ["fd00::/121"]),
        ("fd00::/120", ["fd00::80/121", "fd00::5"]),
        ("fd00::4/127", ["fd00::5"]),
        ("10.0.0.0/24", []),
    ],
)
@pytest.mark.parametrize("serial", [False, True])
def test_exclusions(prefix: str, exclude: list[str | int | bytes] | str, serial: bool) -> None:
    kept: set[int] = set()
    for one in [exclude] if isinstance(exclude, str) else exclude:
        if isinstance(one, str) and "-" in one:
            low, high = one.split("-")
            kept.update(range(number(low), number(high) + 1))
        elif isinstance(one, str):
            kept.update(map(int, ip_network(one)))
        else:
            kept.add(int(ip_address(one)))
    hosts = set(map(int, ip_network(prefix).hosts()))
    wanted = sorted(hosts - kept)
    pool = IPPool(prefix, exclude=exclude)
    assert pool.size == pool.free == len(wanted)
    take = pool.allocate_next if serial else pool.allocate
    assert [take() for _ in wanted] == wanted
    with pytest.raises(Exhausted):
        take()
    for address in kept & hosts:
        assert address not in pool
        with pytest.raises(Excluded, match=f"{ip_address(address)} is excluded"):
            pool.reserve(address)
        with pytest.raises(NotTaken, match="excluded"):
            pool.release(address)
        with pytest.raises(NotTaken, match="excluded"):
            pool.release_many([wanted[0], address])
    assert len(pool) == len(wanted)
    pool.release_many(wanted)
    assert list(pool.allocate_many(len(wanted))) == wanted


def test_excluded_is_reserved() -> None:
    assert issubclass(Excluded, Reserved)
    pool = IPPool("10.0.0.0/24", exclude=["10.0.0.0", "10.0.0.5"])
    with pytest.raises(Reserved, match="network address") as caught:
        pool.reserve("10.0.0.0")
    assert not isinstance(caught.value, Excluded)


def test_exclusions_of_any_size_cost_nothing() -> None:
    pool = IPPool("fd00::/64", exclude=["fd00::/65", "fd00:0:0:0:c000::/66"])
    assert pool.size == 2**62
    assert pool.nbytes < 2048
    assert pool.allocate_text() == "fd00::8000:0:0:0"
    pool.reserve("fd00::bfff:ffff:ffff:ffff")
    for kept in ("fd00::7fff:ffff:ffff:ffff", "fd00::c000:0:0:0"):
        with pytest.raises(Excluded):
            pool.reserve(kept)


def test_exclusions_around_a_range() -> None:
    pool = IPPool("10.0.0.0/16", range="10.0.8.0/24", exclude=["10.0.8.0-10.0.8.9", "10.0.8.20", "10.0.0.0/24"])
    assert pool.size == 256 - 11
    assert [pool.allocate_text() for _ in range(12)][-3:] == ["10.0.8.19", "10.0.8.21", "10.0.8.22"]
    for kept in ("10.0.8.5", "10.0.8.20", "10.0.0.1"):
        with pytest.raises(Excluded):
            pool.reserve(kept)
    pool.reserve("10.0.1.1")


@pytest.mark.parametrize(
    ("exclude", "error"),
    [
        (["10.1.0.0/24"], OutOfRange),
        (["fd00::1"], OutOfRange),
        ([2**32], OutOfRange),
        ([-1], OutOfRange),
        ([2**20000], OutOfRange),
        (["10.0.0.9-10.0.0.1"], ValueError),
        (["10.0.0.1/24"], ValueError),
        (["x"], ValueError),
        ([b"12345"], ValueError),
        ([None], TypeError),
        ([1.5], TypeError),
        (5, TypeError),
        (None, TypeError),
        (["10.0.0.0/16"], ValueError),
        (["10.0.0.1-10.0.255.254"], ValueError),
    ],
    ids=list("abcdefghijklmno"),
)
def test_no_exclusion(exclude: list[object], error: type[Exception]) -> None:
    with pytest.raises(error):
        IPPool("10.0.0.0/16", exclude=exclude)  # type: ignore[arg-type]


def test_by_keyword_only() -> None:
    with pytest.raises(TypeError):
        IPPool("10.0.0.0/8", "10.0.8.0/24")  # type: ignore[misc]
    with pytest.raises(TypeError):
        IPPool("10.0.0.0/8", ranges="10.0.8.0/24")  # type: ignore[call-arg]

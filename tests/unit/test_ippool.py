"""IPPool: prefixes, rules, windows, forms of an address, bulk."""

from __future__ import annotations

import array
import pickle
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

import pytest

from _fastnet.addresses import Addresses
from _fastnet.errors import Exhausted, NotTaken, OutOfRange, Reserved, Taken
from _fastnet.ippool import IPPool


@pytest.mark.parametrize(
    ("prefix", "size"),
    [
        ("0.0.0.0/0", 2**32 - 2),
        ("10.0.0.0/8", 2**24 - 2),
        ("10.0.0.0/24", 254),
        ("10.0.0.4/30", 2),
        ("10.0.0.4/31", 2),
        ("10.0.0.4/32", 1),
        ("::/0", 2**64 - 1),
        ("fd00::/48", 2**64 - 1),
        ("fd00::/63", 2**64 - 1),
        ("fd00::/64", 2**64 - 1),
        ("fd00::/65", 2**63 - 1),
        ("fd00::/120", 255),
        ("fd00::4/126", 3),
        ("fd00::4/127", 2),
        ("fd00::4/128", 1),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", 1),
    ],
)
def test_size_and_first(prefix: str, size: int) -> None:
    pool = IPPool(prefix)
    network = ip_network(prefix)
    assert (pool.size, pool.free, len(pool)) == (size, size, 0)
    assert (pool.version, pool.prefix_length) == (network.version, network.prefixlen)
    assert pool.network == int(network.network_address)
    assert pool.nbytes < 1024
    # IPv4's hosts() knows RFC 3021, IPv6's the anycast address.
    first = ip_address(str(next(iter(network.hosts()))))
    assert pool.allocate() == int(first)
    assert (len(pool), pool.free) == (1, size - 1)
    pool.release(str(first))
    assert pool.allocate_text() == str(first)
    pool.release(first.packed)
    assert pool.allocate_packed() == first.packed
    pool.release(int(first))
    assert pool.free == size


@pytest.mark.parametrize(
    "prefix", ["10.9.8.0/24", "10.9.8.4/30", "10.9.8.4/31", "10.9.8.4/32", "fd00::/120", "::4/127"]
)
def test_gives_what_ipaddress_calls_hosts(prefix: str) -> None:
    hosts = [int(host) for host in ip_network(prefix).hosts()]
    assert list(IPPool(prefix).allocate_many(len(hosts))) == hosts
    pool = IPPool(prefix)
    assert [pool.allocate_next() for _ in hosts] == hosts
    for method in (pool.allocate, pool.allocate_next, pool.allocate_text, pool.allocate_packed):
        with pytest.raises(Exhausted, match=prefix):
            method()
    with pytest.raises(Exhausted, match="0 free"):
        pool.allocate_many(1)
    pool.release(hosts[-1])
    assert pool.allocate_next() == hosts[-1]


@pytest.mark.parametrize(
    ("prefix", "text"),
    [
        ("10.0.0.1/8", "its network is 10.0.0.0/8"),
        ("10.0.0.1/31", "its network is 10.0.0.0/31"),
        ("1.2.3.4/0", "its network is 0.0.0.0/0"),
        ("fd00::1/64", "its network is fd00::/64"),
        ("fd00:0:0:1::/63", "its network is fd00::/63"),
        ("fd00:8::/16", "its network is fd00::/16"),
        ("1::/0", "its network is ::/0"),
    ],
)
def test_host_bits(prefix: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        IPPool(prefix)


@pytest.mark.parametrize(
    "prefix",
    [
        "10.0.0.0",
        "10.0.0.0/",
        "/8",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "10.0.0.0/08",
        "10.0.0.0/8/8",
        "10.0.0.0/255.0.0.0",
        "fd00::/129",
        "10.0.0/8",
        "010.0.0.0/8",
        "fd00::%eth0/64",
        "fd00::/1e1",
        "fd00::/6\uff14",
        "",
        " 10.0.0.0/8",
        "10.0.0.0/ 8",
        "10.0.0.0/8\n",
        "10.0.0.0\0/8",
        "10.0.0.0/\xb2",
        "\ud800/8",
        pytest.param("x" * 10000 + "/8", id="long"),
    ],
)
def test_no_prefix(prefix: str) -> None:
    with pytest.raises(ValueError):
        IPPool(prefix)


@pytest.mark.parametrize("prefix", [None, 8, b"10.0.0.0/8", ip_network("10.0.0.0/8")])
def test_prefix_of_another_type(prefix: object) -> None:
    with pytest.raises(TypeError):
        IPPool(prefix)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("prefix", "address", "what"),
    [
        ("10.0.0.0/24", "10.0.0.0", "network address"),
        ("10.0.0.0/24", "10.0.0.255", "broadcast address"),
        ("fd00::/64", "fd00::", "anycast"),
        ("fd00::/48", "fd00::", "anycast"),
    ],
)
def test_reserved_by_rule(prefix: str, address: str, what: str) -> None:
    pool = IPPool(prefix)
    size = pool.size
    with pytest.raises(Reserved, match=what):
        pool.reserve(address)
    assert issubclass(Reserved, Taken)
    with pytest.raises(NotTaken, match=what):
        pool.release(address)
    pool.reserve(int(ip_address(address)) + (1 if "255" not in address else -1))
    with pytest.raises(NotTaken, match=what):
        pool.release_many([pool.network + (1 if "255" not in address else 254), address])
    assert address not in pool
    assert (pool.size, pool.free, len(pool)) == (size, size - 1, 1)


def test_last_of_ipv6_is_given() -> None:
    pool = IPPool("fd00::/64")
    pool.reserve("fd00::ffff:ffff:ffff:ffff")
    assert "fd00:0:0:0:ffff:ffff:ffff:ffff" in pool
    with pytest.raises(OutOfRange, match=r"does not lie in IPPool\('fd00::/64'\)"):
        pool.reserve("fd00:0:0:1::")


@pytest.mark.parametrize("prefix", ["fd00::/48", "fd00::/63", "fd00::/8", "f000::/4"])
def test_window(prefix: str) -> None:
    pool = IPPool(prefix)
    network = ip_network(prefix)
    inside = network.network_address + 2**64 - 1
    past = network.network_address + 2**64
    last = network.broadcast_address
    beyond = last + 1 if int(last) < 2**128 - 1 else network.network_address - 1
    pool.reserve(str(inside))
    for address in (past, last):
        for form in (str(address), address.packed, int(address)):
            with pytest.raises(OutOfRange, match="first 2"):
                pool.reserve(form)
            assert form not in pool
    for address in (beyond, network.network_address - 1):
        for form in (str(address), address.packed, int(address)):
            with pytest.raises(OutOfRange, match="does not lie"):
                pool.reserve(form)
    assert len(pool) == 1


def test_window_of_everything() -> None:
    pool = IPPool("::/0")
    pool.reserve("::ffff:ffff:ffff:ffff")
    for form in ("0:0:0:1::", 2**64, 2**128 - 1):
        with pytest.raises(OutOfRange, match="first 2"):
            pool.reserve(form)
    for form in (2**128, -1):
        with pytest.raises(OutOfRange, match="does not lie"):
            pool.reserve(form)


@pytest.mark.parametrize(
    "address",
    [
        -1,
        0,
        2**32,
        2**64 + 167772161,
        2**128,
        pytest.param(10**5000, id="huge"),
        "11.0.0.1",
        bytes(4),
        "::1",
        bytes(16),
    ],
)
def test_addresses_outside(address: int | str | bytes) -> None:
    pool = IPPool("10.0.0.0/8")
    for method in (pool.reserve, pool.release):
        with pytest.raises(OutOfRange):
            method(address)
    with pytest.raises(OutOfRange):
        pool.release_many([address])
    assert address not in pool
    assert pool.free == pool.size


def test_other_family() -> None:
    with pytest.raises(OutOfRange, match="other family"):
        IPPool("fd00::/64").reserve("10.0.0.1")
    with pytest.raises(OutOfRange, match="other family"):
        IPPool("10.0.0.0/8").reserve("::ffff:10.0.0.1")
    with pytest.raises(OutOfRange, match="IPv4"):
        IPPool("fd00::/64").release_many(IPPool("10.0.0.0/8").allocate_many(1))


@pytest.mark.parametrize(
    "address", ["", "x", "10.0.0", "10.0.0.1/8", " 10.0.0.1", b"", b"10.0.0.1", bytes(5), "10.0.0.01"]
)
def test_no_address(address: str | bytes) -> None:
    pool = IPPool("10.0.0.0/8")
    for method in (pool.reserve, pool.release, pool.__contains__):
        with pytest.raises(ValueError, match=r"no IPv4 or IPv6 address|4 or 16 bytes") as caught:
            method(address)
        assert not isinstance(caught.value, OutOfRange)


@pytest.mark.parametrize("address", [None, 1.0, [1], bytearray(4)])
def test_address_of_another_type(address: object) -> None:
    pool = IPPool("10.0.0.0/8")
    methods: list[Callable[[Any], object]] = [pool.reserve, pool.release, pool.__contains__]
    for method in methods:
        with pytest.raises(TypeError):
            method(address)


def test_taken_and_not_taken() -> None:
    pool = IPPool("10.0.0.0/8")
    pool.reserve("10.0.0.1")
    with pytest.raises(Taken, match=r"10\.0\.0\.1 is taken"):
        pool.reserve(b"\n\0\0\1")
    assert pool.allocate_text() == "10.0.0.2"
    with pytest.raises(NotTaken, match=r"10\.0\.0\.3 is not taken"):
        pool.release("10.0.0.3")


def test_bulk_of_ipv4() -> None:
    pool = IPPool("10.0.0.0/16")
    pool.reserve("10.0.0.2")
    given = pool.allocate_many(1000)
    wanted = [int(ip_address("10.0.0.0")) + i for i in range(1, 1002) if i != 2]
    assert isinstance(given, Addresses)
    assert isinstance(given, Sequence)
    assert list(given) == wanted
    assert list(reversed(given)) == wanted[::-1]
    view = memoryview(given)
    assert (view.format, view.shape, view.itemsize, view.readonly, view.tolist()) == (
        "I",
        (1000,),
        4,
        True,
        wanted,
    )
    assert (given.version, given[-1], given.text(1), given.packed(-1)) == (
        4,
        wanted[-1],
        "10.0.0.3",
        b"\n\0\3\xe9",
    )
    assert (given.index(wanted[5]), wanted[5] in given, pool.network + 2 in given) == (5, True, False)
    pool.release_many(given)
    assert len(pool) == 1


def test_bulk_of_ipv6() -> None:
    pool = IPPool("fd00::/64")
    pool.reserve("fd00::2")
    given = pool.allocate_many(200)
    wanted = [int(ip_address("fd00::")) + i for i in range(1, 202) if i != 2]
    assert list(given) == wanted
    assert list(reversed(given)) == wanted[::-1]
    view = memoryview(given)
    assert (view.format, view.shape, view.strides, view.readonly) == ("B", (200, 16), (16, 1), True)
    assert bytes(given) == b"".join(address.to_bytes(16, "big") for address in wanted)
    assert (given.version, given[-1], given.text(1), given.packed(0)) == (
        6,
        wanted[-1],
        "fd00::3",
        bytes(given)[:16],
    )
    assert (given.index(wanted[5]), wanted[5] in given, wanted[0] + 1 in given, 0 in given) == (
        5,
        True,
        False,
        False,
    )
    with pytest.raises(IndexError):
        given.text(200)
    with pytest.raises(TypeError):
        given.__contains__("fd00::1")
    pool.release_many(given)
    assert len(pool) == 1


@pytest.mark.parametrize("prefix", ["10.0.0.0/8", "fd00::/64"])
def test_release_many_forms(prefix: str) -> None:
    pool = IPPool(prefix)
    given = pool.allocate_many(6)
    pool.release_many([given[0], given.text(1), given.packed(2)])
    pool.release_many(address for address in given if address in pool)
    assert len(pool) == 0
    given = pool.allocate_many(3)
    for bad in ("10.0.0.1", b"\n\0\0\1", bytearray(4)):
        with pytest.raises(TypeError, match="release takes one"):
            pool.release_many(bad)
    for extra, error, text in (
        (given[0], NotTaken, "twice"),
        (given[2] + 1, NotTaken, "not taken"),
        (-5, OutOfRange, "does not lie"),
    ):
        with pytest.raises(error, match=text):
            pool.release_many([*given, extra])
        assert len(pool) == 3


def test_release_many_from_integers_in_a_buffer() -> None:
    pool = IPPool("10.0.0.0/8")
    given = pool.allocate_many(3)
    pool.release_many(array.array("Q", list(given)))
    assert len(pool) == 0
    pool.allocate_many(2)
    with pytest.raises(OutOfRange):
        pool.release_many(array.array("Q", [pool.network + 1, pool.network - 1]))
    with pytest.raises(OutOfRange):
        pool.release_many(IPPool("11.0.0.0/8").allocate_many(1))
    assert len(pool) == 2


def test_bulk_is_all_or_nothing() -> None:
    pool = IPPool("10.0.0.0/24")
    for count in (255, 2**64, 10**5000):
        with pytest.raises(Exhausted, match="254 free"):
            pool.allocate_many(count)
    with pytest.raises(ValueError, match="negative"):
        pool.allocate_many(-1)
    with pytest.raises(TypeError, match="count"):
        pool.allocate_many("1")  # type: ignore[arg-type]
    assert len(pool.allocate_many(0)) == len(pool) == 0
    with pytest.raises(MemoryError):
        IPPool("fd00::/64").allocate_many(2**60)
    with pytest.raises(Exhausted, match="551616 addresses"):
        IPPool("fd00::/64").allocate_many(2**64)


def test_no_copies() -> None:
    pool = IPPool("10.0.0.0/24")
    for thing in (pool, pool.allocate_many(1)):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(thing)
    assert repr(pool) == "IPPool('10.0.0.0/24')"
    assert repr(pool.allocate_many(2)) == "<Addresses: 2 of IPv4>"
    assert memoryview(Addresses()).nbytes == 0


def test_what_hosts_means_to_ipaddress() -> None:
    """The rules here are those that the tests above lean on."""
    assert len(list(IPv4Network("10.0.0.0/31").hosts())) == 2
    assert len(list(IPv6Network("fd00::/127").hosts())) == 2
    assert len(list(IPv6Network("fd00::/126").hosts())) == 3


@pytest.mark.parametrize("bit", [0, 1, 2, 25, 26, 27, 55, 56, 57, 63])
@pytest.mark.parametrize("below", [0, 1])
def test_ints_of_every_length(bit: int, below: int) -> None:
    """Where a digit of CPython's ints ends, and one less."""
    for low in (0, 1, 2**30 - 1, 2**30, 2**60 - 1, 2**60, 2**64 - 4):
        base = ((1 << bit) - below << 64) + (low & ~3)
        pool = IPPool(f"{IPv6Address(base)}/126")
        given = [pool.allocate(), pool.allocate_next()]
        assert given == [base + 1, base + 2]
        assert pool.allocate_many(1)[0] == base + 3
        assert [hash(one) for one in given] == [hash(base + 1), hash(base + 2)]
        assert all(one in pool for one in given)
        for one in given:
            pool.release(one)
        assert len(pool) == 1

"""The built-in IPAM: what libnetwork's users rely on, and what every bad request gets."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driverapi import errors
from driverapi.addresses import Address, format_ip, parse_ip, parse_network
from driverapi.ipam import default
from driverapi.ipam.contract import Avoid, PoolId
from driverapi.ipam.default import DefaultIPAM
from tests.support import at_once


@pytest.fixture
def ipam() -> DefaultIPAM:
    return DefaultIPAM()


def pool(ipam: DefaultIPAM, prefix: str) -> str:
    return ipam.request_pool(parse_network(prefix)).id


def texts(addresses: list[Address]) -> list[str]:
    return [str(address) for address in addresses]


@pytest.mark.parametrize(
    ("prefix", "first", "last", "size"),
    [
        ("10.0.0.0/24", "10.0.0.1", "10.0.0.254", 254),
        ("10.0.0.0/30", "10.0.0.1", "10.0.0.2", 2),
        ("10.0.0.0/31", "10.0.0.0", "10.0.0.1", 2),  # RFC 3021
        ("10.0.0.9/32", "10.0.0.9", "10.0.0.9", 1),
        ("fd00::/120", "fd00::1", "fd00::ff", 255),  # no broadcast; the subnet-router anycast is kept
        ("fd00::/126", "fd00::1", "fd00::3", 3),
    ],
)
def test_what_a_pool_gives(ipam: DefaultIPAM, prefix: str, first: str, last: str, size: int) -> None:
    id = pool(ipam, prefix)
    assert ipam.free(id) == size
    got = ipam.request_addresses(id, size)
    assert [format_ip(got[0].ip), format_ip(got[-1].ip)] == [first, last]
    assert {address.prefix for address in got} == {parse_network(prefix).prefix}
    assert len({address.ip for address in got}) == size
    with pytest.raises(errors.AddressesExhaustedError, match=f"{prefix} has 0 free addresses, 1 are wanted"):
        ipam.request_addresses(id, 1)


def test_the_lowest_free_come_first_and_all_or_none(ipam: DefaultIPAM) -> None:
    id = pool(ipam, "10.0.0.0/29")
    ipam.request_address(id, parse_ip("10.0.0.2"))
    assert texts(ipam.request_addresses(id, 2)) == ["10.0.0.1/29", "10.0.0.3/29"]
    with pytest.raises(errors.AddressesExhaustedError, match="3 free addresses, 4 are wanted"):
        ipam.request_addresses(id, 4)
    assert ipam.free(id) == 3
    assert ipam.request_addresses(id, 0) == []
    ipam.release_addresses(id, [parse_ip("10.0.0.1"), parse_ip("10.0.0.2")])
    assert texts(ipam.request_addresses(id, 2)) == ["10.0.0.1/29", "10.0.0.2/29"]


def test_a_wanted_address(ipam: DefaultIPAM) -> None:
    id = pool(ipam, "10.0.0.0/24")
    assert str(ipam.request_address(id, parse_ip("10.0.0.77"))) == "10.0.0.77/24"
    with pytest.raises(errors.AddressTakenError, match=r"10\.0\.0\.77.*10\.0\.0\.0/24"):
        ipam.request_address(id, parse_ip("10.0.0.77"))
    for bad in ("10.0.1.1", "11.0.0.1", "fd00::1", "10.0.0.0", "10.0.0.255"):
        with pytest.raises(errors.InvalidError, match=bad.replace(".", r"\.")):
            ipam.request_address(id, parse_ip(bad))
    assert ipam.free(id) == 253


def test_reserved_of_ipv6(ipam: DefaultIPAM) -> None:
    id = pool(ipam, "fd00::/64")
    with pytest.raises(errors.InvalidError, match="fd00:: stands for all"):
        ipam.request_address(id, parse_ip("fd00::"))
    assert str(ipam.request_address(id, parse_ip("fd00::ffff:ffff:ffff:ffff"))) == "fd00::ffff:ffff:ffff:ffff/64"
    edge = pool(ipam, "fd01::/127")
    assert str(ipam.request_address(edge, parse_ip("fd01::"))) == "fd01::/127"


def test_release_twice_and_of_what_was_never_given(ipam: DefaultIPAM) -> None:
    id = pool(ipam, "10.0.0.0/29")
    (one,) = ipam.request_addresses(id, 1)
    ipam.release_addresses(id, [one.ip, one.ip])
    ipam.release_addresses(id, [one.ip, parse_ip("10.0.0.5")])
    ipam.release_addresses(id, [])
    assert ipam.free(id) == 6


@pytest.mark.parametrize("outside", ["10.0.1.1", "fd00::1"])
def test_release_of_an_address_outside(ipam: DefaultIPAM, outside: str) -> None:
    id = pool(ipam, "10.0.0.0/29")
    (one,) = ipam.request_addresses(id, 1)
    with pytest.raises(errors.InvalidError, match=f"{outside}.*outside"):
        ipam.release_addresses(id, [one.ip, parse_ip(outside)])
    assert ipam.free(id) == 5  # nothing of the call was done


@pytest.mark.parametrize("reserved", ["10.0.0.0", "10.0.0.7"])
def test_release_of_a_reserved_address_does_not_free_it(ipam: DefaultIPAM, reserved: str) -> None:
    id = pool(ipam, "10.0.0.0/29")
    ipam.release_addresses(id, [parse_ip(reserved)])
    assert ipam.free(id) == 6
    assert reserved not in [format_ip(one.ip) for one in ipam.request_addresses(id, 6)]


def test_pools_do_not_overlap(ipam: DefaultIPAM) -> None:
    id = pool(ipam, "10.0.0.0/16")
    for other in ("10.0.0.0/16", "10.0.3.0/24", "10.0.0.0/8", "8.0.0.0/5"):
        with pytest.raises(errors.ConflictError, match=r"overlaps a pool 10\.0\.0\.0/16"):
            pool(ipam, other)
    pool(ipam, "10.1.0.0/16")
    pool(ipam, "fc00::/7")
    ipam.release_pool(id)
    with pytest.raises(errors.NotFoundError, match=r"10\.0\.0\.0/16"):
        ipam.release_pool(id)
    pool(ipam, "10.0.3.0/24")


@pytest.mark.parametrize("call", ["release_pool", "free", "request_addresses", "request_address", "release_addresses"])
def test_unknown_pools_are_named(ipam: DefaultIPAM, call: str) -> None:
    more: dict[str, tuple[Any, ...]] = {
        "request_addresses": (1,),
        "request_address": (bytes(4),),
        "release_addresses": ([bytes(4)],),
    }
    with pytest.raises(errors.NotFoundError, match="'local/nonsense'"):
        getattr(ipam, call)("local/nonsense", *more.get(call, ()))


def test_default_pools(ipam: DefaultIPAM) -> None:
    assert str(ipam.request_pool().prefix) == "172.17.0.0/16"
    taken = pool(ipam, "172.18.128.0/24")
    avoid = [Avoid(parse_network(prefix), "the host's route to") for prefix in ("172.19.0.0/30", "fd00::/8")]
    assert str(ipam.request_pool(avoid=avoid).prefix) == "172.20.0.0/16"
    ipam.release_pool(taken)
    assert str(ipam.request_pool().prefix) == "172.18.0.0/16"
    rest = [str(ipam.request_pool().prefix) for _ in range(12 + 16)]
    assert (rest[0], rest[-1]) == ("172.19.0.0/16", "192.168.240.0/20")
    with pytest.raises(errors.AddressesExhaustedError, match="give one"):
        ipam.request_pool()
    unique = [ipam.request_pool(version=6).prefix for _ in range(3)]
    assert len({one.ip[:6] for one in unique}) == 1  # a /48 of its own (RFC 4193)
    assert {(one.ip[0], one.prefix) for one in unique} == {(0xFD, 64)}
    assert len({one.ip for one in unique}) == 3


@pytest.mark.parametrize("size", [15, 32, 0, -1])
def test_sizes_that_cannot_be_had(ipam: DefaultIPAM, size: int) -> None:
    with pytest.raises(errors.InvalidError, match="length"):
        ipam.request_pool(size=size)


def test_pools_by_size(ipam: DefaultIPAM) -> None:
    pool(ipam, "172.17.0.0/25")
    assert [str(ipam.request_pool(size=size).prefix) for size in (24, 24, 26, 20)] == [
        "172.17.1.0/24",
        "172.17.2.0/24",
        "172.17.0.128/26",
        "172.17.16.0/20",
    ]
    assert ipam.request_pool(version=6, size=80).prefix.prefix == 80


@given(st.lists(st.integers(16, 28), max_size=24))
def test_pools_by_size_never_overlap(sizes: list[int]) -> None:
    ipam = DefaultIPAM()
    given = [ipam.request_pool(size=size).prefix for size in sizes]
    for number, one in enumerate(given):
        assert one == one.network
        assert not any(one.overlaps(other) for other in given[:number])


def test_part_of_a_pool(ipam: DefaultIPAM) -> None:
    whole, part = parse_network("10.0.0.0/24"), parse_network("10.0.0.64/29")
    id = ipam.request_pool(whole, within=part, exclude=[bytes([10, 0, 0, 66])]).id
    assert id == "local/10.0.0.0/24/10.0.0.64/29"
    assert [one.ip[3] for one in ipam.request_addresses(id, 3)] == [64, 65, 67]
    with pytest.raises(errors.AddressesExhaustedError, match=r"10\.0\.0\.64/29 has 4 free.*a larger ip_range"):
        ipam.request_addresses(id, 5)
    assert str(ipam.request_address(id, bytes([10, 0, 0, 200]))) == "10.0.0.200/24"  # outside of the part, if asked for
    with pytest.raises(errors.DriverAPIError, match=r"10\.0\.0\.66"):
        ipam.request_address(id, bytes([10, 0, 0, 66]))
    with pytest.raises(errors.InvalidError, match="no part"):
        ipam.request_pool(parse_network("10.1.0.0/24"), within=part)
    with pytest.raises(errors.InvalidError, match="outside"):
        ipam.request_pool(parse_network("10.1.0.0/24"), exclude=[bytes([10, 2, 0, 1])])


def test_serial_addresses(ipam: DefaultIPAM) -> None:
    id = ipam.request_pool(parse_network("10.0.0.0/29"), serial=True).id
    assert [one.ip[3] for one in ipam.request_addresses(id, 2)] == [1, 2]
    ipam.release_addresses(id, [bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])])
    assert [one.ip[3] for one in ipam.request_addresses(id, 4)] == [3, 4, 5, 6]
    before = ipam.free(id)
    with pytest.raises(errors.AddressesExhaustedError):
        ipam.request_addresses(id, 3)
    assert ipam.free(id) == before == 2


def test_conflicts_name_what_is_in_the_way(ipam: DefaultIPAM) -> None:
    ipam.request_pool(parse_network("10.0.8.0/24"), owner="network 'web'")
    with pytest.raises(errors.ConflictError, match=r"10\.0\.0\.0/16 overlaps network 'web' 10\.0\.8\.0/24"):
        pool(ipam, "10.0.0.0/16")
    avoid = [Avoid(parse_network("10.9.0.1/32"), "the host's name server")]
    with pytest.raises(errors.ConflictError, match=r"name server 10\.9\.0\.1/32"):
        ipam.request_pool(parse_network("10.9.0.0/16"), avoid=avoid)
    first = ipam.request_pool(parse_network("10.0.8.0/24"), avoid=avoid, allow_overlap=True)
    assert first.id == "local/10.0.8.0/24#2"
    ipam.release_pool(first.id)
    use = ipam.pools()
    assert [(one.owner, one.size, one.taken) for one in use] == [("network 'web'", 254, 0)]


@pytest.mark.parametrize(
    "prefix",
    [
        "0.0.0.0/8",
        "0.1.2.0/24",
        "0.0.0.0/0",
        "127.0.0.0/16",
        "224.0.0.0/24",
        "239.1.0.0/16",
        "240.0.0.0/8",
        "255.255.255.255/32",
        "128.0.0.0/1",
        "::/0",
        "::/128",
        "::1/128",
        "::/64",
        "::ffff:10.0.0.0/120",
        "ff02::/64",
    ],
)
def test_prefixes_that_no_endpoint_can_have(ipam: DefaultIPAM, prefix: str) -> None:
    with pytest.raises(errors.InvalidError, match=f"prefix {prefix}: .*no endpoint can have it; choose another"):
        pool(ipam, prefix)
    for beside in ("126.0.0.0/8", "223.255.255.0/24", "1.0.0.0/8", "fe80::/64", "::1:0:0:0/80"):
        assert pool(ipam, beside)


def test_a_huge_pool_costs_nothing(ipam: DefaultIPAM) -> None:
    id = pool(ipam, "fd00::/64")
    assert ipam.free(id) == 2**64 - 1
    assert texts(ipam.request_addresses(id, 2)) == ["fd00::1/64", "fd00::2/64"]


def test_threads_get_different_addresses(ipam: DefaultIPAM) -> None:
    id = pool(ipam, "10.0.0.0/16")
    answers = at_once(lambda _: ipam.request_addresses(id, 50))
    assert len({address.ip for got in answers for address in got}) == 64 * 50


@given(st.integers(24, 32), st.lists(st.tuples(st.sampled_from(["free", "wanted", "back"]), st.integers(0, 255))))
def test_against_a_slow_twin(length: int, steps: list[tuple[str, int]]) -> None:
    ipam = DefaultIPAM()
    network = ipaddress.ip_network(("10.0.0.0", length))
    hosts = {host.packed for host in network.hosts()}
    id, taken = pool(ipam, str(network)), set()
    for verb, number in steps:
        ip = bytes([10, 0, 0, number])
        try:
            if verb == "free":
                (got,) = ipam.request_addresses(id, 1)
                assert got.ip == min(hosts - taken)
                taken.add(got.ip)
            elif verb == "wanted":
                ipam.request_address(id, ip)
                assert ip in hosts - taken
                taken.add(ip)
            else:
                ipam.release_addresses(id, [ip])
                taken.discard(ip)
        except errors.AddressesExhaustedError:
            assert taken == hosts
        except errors.AddressTakenError:
            assert ip in taken
        except errors.InvalidError:
            assert ip not in hosts
        assert ipam.free(id) == len(hosts) - len(taken)


@pytest.mark.parametrize(
    "text",
    ["local/10.0.0.0/16", "global/10.0.0.0/16/10.0.8.0/24", "local/fd00::/64", "local/10.0.0.0/16#2"],
)
def test_the_text_of_a_pools_id(text: str) -> None:
    assert str(PoolId.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "local",
        "10.0.0.0/16",
        "/10.0.0.0/16",
        "local/10.0.0.0",
        "local/10.0.0.1/16",
        "local/10.0.0.0/16/10.1.0.0/24",
        "local/10.0.0.0/16/10.0.0.0/8",
        "local/10.0.0.0/16#1",
        "local/10.0.0.0/16#x",
        "local/10.0.0.0/16#",
        7,
    ],
)
def test_text_that_is_no_pools_id(text: str) -> None:
    with pytest.raises(errors.InvalidError):
        PoolId.parse(text)


def test_address_spaces(ipam: DefaultIPAM) -> None:
    wide = ipam.request_pool(space="global")
    assert (wide.id, str(ipam.request_pool(space="global").prefix)) == ("global/10.0.0.0/24", "10.0.1.0/24")
    assert str(ipam.request_pool(space="global", size=16).prefix) == "10.1.0.0/16"
    with pytest.raises(errors.InvalidError, match="no address space 'mine'"):
        ipam.request_pool(space="mine")
    with pytest.raises(errors.ConflictError, match=r"10\.0\.0\.0/24"):
        pool(ipam, "10.0.0.0/25")  # both are routed by this machine
    six = [ipam.request_pool(version=6, space=space).prefix for space in ("local", "global")]
    assert not six[0].overlaps(six[1])


def test_pools_that_share_a_prefix_by_parts(ipam: DefaultIPAM) -> None:
    whole = parse_network("10.0.0.0/24")
    parts = [parse_network(f"10.0.0.{first}/28") for first in (16, 32)]
    one = ipam.request_pool(whole, within=parts[0], owner="network 'one'").id
    ipam.request_address(one, bytes([10, 0, 0, 33]))  # of the other's part, before there is one
    with pytest.raises(errors.ConflictError, match=r"overlaps network 'one' 10\.0\.0\.0/24"):
        ipam.request_pool(whole, within=parts[1])
    with pytest.raises(
        errors.ConflictError, match=r"10\.0\.0\.16/30 overlaps 10\.0\.0\.16/28, which network 'one' has"
    ):
        ipam.request_pool(whole, within=parse_network("10.0.0.16/30"), allow_overlap=True)
    two = ipam.request_pool(whole, within=parts[1], allow_overlap=True).id
    assert texts(ipam.request_addresses(two, 2)) == ["10.0.0.32/24", "10.0.0.34/24"]
    for taken in (32, 33, 34):
        with pytest.raises(errors.AddressTakenError):
            ipam.request_address(one, bytes([10, 0, 0, taken]))
    ipam.request_address(two, bytes([10, 0, 0, 200]))  # of neither part
    with pytest.raises(errors.AddressTakenError):
        ipam.request_address(one, bytes([10, 0, 0, 200]))
    ipam.release_addresses(two, [bytes([10, 0, 0, 200])])
    ipam.request_address(one, bytes([10, 0, 0, 200]))
    ipam.request_address(two, bytes([10, 0, 0, 16]))
    assert texts(ipam.request_addresses(one, 1)) == ["10.0.0.17/24"]
    ipam.release_pool(two)
    assert texts(ipam.request_addresses(one, 1)) == ["10.0.0.16/24"]
    with pytest.raises(errors.ConflictError):
        pool(ipam, "10.0.0.128/25")
    ipam.release_pool(one)
    pool(ipam, "10.0.0.128/25")  # the prefix went with its last part
    assert ipam._parts == {}


def test_macs_are_remembered_up_to_a_number(ipam: DefaultIPAM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(default, "REMEMBERED", 2)
    id = pool(ipam, "10.0.0.0/24")
    macs = [bytes([2, 0, 0, 0, 0, number]) for number in range(3)]
    given = [ipam.request_by_mac(id, mac).ip for mac in macs]
    ipam.release_addresses(id, given)
    assert [ipam.request_by_mac(id, mac).ip for mac in (macs[2], macs[0])] == [given[2], given[0]]
    ipam.remember_mac(id, macs[1], bytes([10, 0, 0, 9]))
    assert format_ip(ipam.request_by_mac(id, macs[1]).ip) == "10.0.0.9"


def test_a_mac_has_its_address_again_from_quarantine() -> None:
    ipam = DefaultIPAM(quarantine=3600)
    id = pool(ipam, "10.0.0.0/24")
    given = ipam.request_by_mac(id, b"\2\0\0\0\0\1")
    ipam.release_addresses(id, [given.ip])
    assert ipam.request_addresses(id, 1)[0] != given
    assert ipam.request_by_mac(id, b"\2\0\0\0\0\1") == given


def test_options_that_it_does_not_know(ipam: DefaultIPAM) -> None:
    with pytest.raises(errors.InvalidError, match="no option 'row'"):
        ipam.request_pool(options={"row": 1})
    with pytest.raises(errors.InvalidError, match=r"serail'; did you mean 'com\.docker\.network\.ipam\.serial'"):
        ipam.request_pool(options={"com.docker.network.ipam.serail": "1"})
    with pytest.raises(errors.InvalidError, match="owners that live"):
        ipam.gc("vm-1")


def test_what_was_given_back_is_free_in_every_order(ipam: DefaultIPAM) -> None:
    before = [ipam.request_pool(size=20) for _ in range(40)]
    for one in before[3::2]:
        ipam.release_pool(one.id)
    assert str(ipam.request_pool(size=24).prefix) == "172.17.48.0/24"
    assert str(ipam.request_pool(size=20).prefix) == str(before[5].prefix)
    assert str(ipam.request_pool(size=16).prefix) == "172.20.0.0/16"

"""Every form in which an address may be written, and every kind of thing that is none."""

from __future__ import annotations

import ipaddress
from typing import Any

import netaddr
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driverapi import errors
from driverapi.addresses import Address, format_ip, format_mac, parse_ip, parse_mac, parse_network, parse_prefix

V4, V6 = bytes([10, 0, 0, 2]), bytes.fromhex("fd00" + "0" * 27 + "2")


@pytest.mark.parametrize(
    ("value", "packed"),
    [
        ("10.0.0.2", V4),
        ("fd00::2", V6),
        ("FD00:0:0::0002", V6),
        ("::ffff:1.2.3.4", bytes(10) + b"\xff\xff\1\2\3\4"),
        (ipaddress.ip_address("10.0.0.2"), V4),
        (ipaddress.ip_address("fd00::2"), V6),
        (netaddr.IPAddress("10.0.0.2"), V4),
        (netaddr.IPAddress("fd00::2"), V6),
        (V4, V4),
        (V6, V6),
    ],
)
def test_ip(value: Any, packed: bytes) -> None:
    assert parse_ip(value) == packed


@pytest.mark.parametrize(
    "value",
    [
        "",
        " 10.0.0.2",
        "10.0.0.2\n",
        "10.0.0.256",
        "10.0.0",
        "010.0.0.2",
        "10.0.0.2/24",
        "fe80::1%eth0",
        "1::2::3",
        "10.0.0.2\0",
        "\ud800",
        "web",
        None,
        2,
        1.5,
        b"",
        b"\n\0\0",
        bytearray(V4),
        ["10.0.0.2"],
        ipaddress.ip_interface("10.0.0.2/24"),
        ipaddress.ip_network("10.0.0.0/24"),
        netaddr.IPNetwork("10.0.0.2/24"),
        netaddr.EUI("02:42:0a:00:00:02"),
    ],
)
def test_what_is_no_ip(value: Any) -> None:
    with pytest.raises(errors.InvalidError, match="gateway") as caught:
        parse_ip(value, "gateway")
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("10.0.0.2/16", "10.0.0.2/16"),
        ("10.0.0.2", "10.0.0.2/32"),
        ("fd00::2/64", "fd00::2/64"),
        ("fd00::2", "fd00::2/128"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
        (Address(V4, 9), "10.0.0.2/9"),
        (ipaddress.ip_interface("10.0.0.2/16"), "10.0.0.2/16"),
        (ipaddress.ip_interface("fd00::2/64"), "fd00::2/64"),
        (ipaddress.ip_network("10.0.0.0/16"), "10.0.0.0/16"),
        (ipaddress.ip_network("fd00::/64"), "fd00::/64"),
        (netaddr.IPNetwork("10.0.0.2/16"), "10.0.0.2/16"),
        (netaddr.IPNetwork("fd00::2/64"), "fd00::2/64"),
        (ipaddress.ip_address("10.0.0.2"), "10.0.0.2/32"),
        (netaddr.IPAddress("fd00::2"), "fd00::2/128"),
        (V6, "fd00::2/128"),
    ],
)
def test_prefix(value: Any, text: str) -> None:
    assert str(parse_prefix(value)) == text


@pytest.mark.parametrize(
    "value",
    [
        "10.0.0.2/33",
        "10.0.0.2/-1",
        "10.0.0.2/",
        "10.0.0.2/8/9",
        "10.0.0.2/ 8",
        "10.0.0.2/٨",
        "fd00::2/129",
        "10.0.0.2/00009999",
        "10.0.0.2/99999999999999",
        "10.0.0.2/255.255.0.0",
        "/8",
        "",
        None,
        7,
        object(),
    ],
)
def test_what_is_no_prefix(value: Any) -> None:
    with pytest.raises(errors.InvalidError, match="pool"):
        parse_prefix(value, "pool")


@pytest.mark.parametrize(
    "value", ["10.0.0.1/16", ipaddress.ip_interface("10.0.0.1/16"), netaddr.IPNetwork("10.0.0.1/16")]
)
def test_a_network_has_no_host_bits(value: Any) -> None:
    with pytest.raises(errors.InvalidError, match=r"10\.0\.0\.1/16 has host bits set; write 10\.0\.0\.0/16"):
        parse_network(value)


@pytest.mark.parametrize("value", ["10.0.0.0", V4, ipaddress.ip_address("10.0.0.0"), netaddr.IPAddress("10.0.0.0")])
def test_a_network_is_no_bare_address(value: Any) -> None:
    with pytest.raises(errors.InvalidError, match="prefix"):
        parse_network(value)


def test_a_network_of_the_other_family() -> None:
    assert parse_network("fd00::/64", version=6) == Address(bytes.fromhex("fd") + bytes(15), 64)
    with pytest.raises(errors.InvalidError, match="ipv4 'fd00::/64' is not an IPv4 prefix"):
        parse_network("fd00::/64", "ipv4", 4)


@pytest.mark.parametrize(
    "value",
    ["02:42:0a:00:00:02", "02-42-0A-00-00-02", netaddr.EUI("02:42:0a:00:00:02"), bytes.fromhex("02420a000002")],
)
def test_mac(value: Any) -> None:
    assert format_mac(parse_mac(value)) == "02:42:0a:00:00:02"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "02:42:0a:00:00",
        "02:42:0a:00:00:02:03",
        "2:42:0a:00:00:02",
        "0g:42:0a:00:00:02",
        "02420a000002",
        "02:42:0a:00:00:0²",
        "02:42:0a:00:00:+2",
        None,
        2,
        b"\x02\x02",
        V4,
        ipaddress.ip_address("10.0.0.2"),
        netaddr.EUI("02-42-0a-00-00-02-00-00", version=64),
    ],
)
def test_what_is_no_mac(value: Any) -> None:
    with pytest.raises(errors.InvalidError, match="hardware"):
        parse_mac(value, "hardware")


@pytest.mark.parametrize("mac", ["01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"])
def test_a_mac_that_no_interface_may_have(mac: str) -> None:
    with pytest.raises(errors.InvalidError, match=f"{mac}.*unicast"):
        parse_mac(mac)


@given(st.ip_addresses())
def test_all_forms_agree(ip: Any) -> None:
    forms = [str(ip), ip, netaddr.IPAddress(str(ip)), ip.packed]
    assert {parse_ip(form) for form in forms} == {ip.packed}
    assert parse_ip(format_ip(ip.packed)) == ip.packed


@given(st.ip_addresses(), st.data())
def test_prefixes_agree_with_ipaddress(ip: Any, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, ip.max_prefixlen))
    interface = ipaddress.ip_interface(f"{ip}/{length}")
    ours = parse_prefix(str(interface))
    assert ours == parse_prefix(interface) == parse_prefix(netaddr.IPNetwork(str(interface)))
    assert ours.network.ip == interface.network.network_address.packed
    assert ours.version == ip.version
    assert ours.to_netaddr() == netaddr.IPNetwork(str(interface))


@given(st.ip_addresses(v=4), st.integers(0, 32), st.ip_addresses(v=4), st.integers(0, 32))
def test_overlaps_agrees_with_ipaddress(one: Any, a: int, two: Any, b: int) -> None:
    first = ipaddress.ip_network((one, a), strict=False)
    second = ipaddress.ip_network((two, b), strict=False)
    assert parse_network(first).overlaps(parse_network(second)) == first.overlaps(second)
    assert (second.network_address.packed in parse_network(first)) == (second.network_address in first)


@pytest.mark.parametrize("text", ["::102:304", "::ffff:1.2.3.4", "::", "::1", "1:0:0:2::", "fd00::1:0:0:1"])
def test_text_of_ipv6_is_as_the_rfc_wants_it(text: str) -> None:
    assert format_ip(ipaddress.ip_address(text).packed) == text


def test_one_separator_in_a_mac() -> None:
    with pytest.raises(errors.InvalidError, match="MAC address"):
        parse_mac("02:42-0a:00:00:02")


def test_families_do_not_overlap() -> None:
    assert not parse_network("0.0.0.0/0").overlaps(parse_network("::/0"))

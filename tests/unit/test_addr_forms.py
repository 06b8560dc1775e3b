"""Every textual form of an address, and what is none, against ipaddress and netaddr."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import netaddr
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from _fastnet.addr import ip_text, mac_text, pack_ip, pack_mac
from _fastnet.ippool import IPPool

GROUPS = st.lists(st.one_of(st.just(0), st.just(0), st.integers(0, 0xFFFF), st.integers(0, 15)), min_size=8, max_size=8)
ADDRESSES = st.one_of(
    st.integers(0, 2**32 - 1).map(IPv4Address),
    st.integers(0, 2**128 - 1).map(IPv6Address),
    GROUPS.map(lambda groups: IPv6Address(b"".join(group.to_bytes(2, "big") for group in groups))),
)


@st.composite
def forms_of_ipv6(draw: st.DrawFn) -> tuple[bytes, str]:
    """An address and one of its texts (RFC 4291 section 2.2): zeros before digits, cases, a gap, a dotted end."""
    groups = draw(GROUPS)
    packed = b"".join(group.to_bytes(2, "big") for group in groups)
    parts = []
    for group in groups:
        digits = f"{group:0{draw(st.integers(1, 4))}x}"
        parts.append(digits.upper() if draw(st.booleans()) else digits)
    if draw(st.booleans()):
        parts[6:] = [str(IPv4Address(packed[12:]))]
    zeros = [
        (first, stop)
        for first in range(len(parts))
        for stop in range(first + 1, len(parts) + 1)
        if all(part.strip("0") == "" for part in parts[first:stop])
    ]
    if zeros and draw(st.booleans()):
        first, stop = draw(st.sampled_from(zeros))
        return packed, ":".join(parts[:first]) + "::" + ":".join(parts[stop:])
    return packed, ":".join(parts)


@given(forms_of_ipv6())
@settings(max_examples=1000)
def test_every_form_of_ipv6(form: tuple[bytes, str]) -> None:
    packed, text = form
    assert pack_ip(text) == packed == IPv6Address(text).packed
    assert int(netaddr.IPAddress(text, 6)) == int.from_bytes(packed, "big")
    assert pack_ip(ip_text(packed)) == packed


def native(text: str) -> bytes | None:
    try:
        return pack_ip(text)
    except ValueError:
        return None


def stdlib(text: str) -> bytes | None:
    try:
        return None if "%" in text else ip_address(text).packed
    except ValueError:
        return None


def by_netaddr(text: str) -> bytes | None:
    """Strictly: no hexadecimal, octal or short IPv4; and netaddr takes neither blanks nor zones."""
    try:
        address = netaddr.IPAddress(text, flags=netaddr.INET_PTON)
    except (netaddr.AddrFormatError, ValueError):
        return None
    return int(address).to_bytes(4 if address.version == 4 else 16, "big")


@st.composite
def nearly_addresses(draw: st.DrawFn) -> str:
    """A text of an address with one or two characters wrong, missing or too many."""
    text = draw(st.one_of(forms_of_ipv6().map(lambda form: form[1]), ADDRESSES.map(str)))
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(text)))
        new = draw(st.sampled_from([*"019fFg:.%/ -+\0\u0661", "", "::"]))
        text = text[:at] + new + text[at + draw(st.integers(0, 1)) :]
    return text


@given(nearly_addresses())
@settings(max_examples=3000)
@example("1.2.3")
@example("1.2.3.4 ")
@example("0x1.2.3.4")
@example("1.2.3.4\n")
@example("1.2.3.4\0")
@example("::ffff:1.2.3")
@example("::1.2.3.256")
@example("1::2::3")
@example("::1%0")
@example("[::1]")
@example("")
def test_what_is_none_is_none_to_all_three(text: str) -> None:
    got = native(text)
    assert got == stdlib(text)
    try:
        assert got == by_netaddr(text)
    except UnicodeEncodeError:  # netaddr's own, of text that is not ASCII
        assert got is None


@given(ADDRESSES)
def test_text_is_what_both_write(address: IPv4Address | IPv6Address) -> None:
    text = ip_text(address.packed)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    # RFC 5952 section 5; older Pythons write these in hexadecimal.
    assert text == (f"::ffff:{mapped}" if mapped else str(address))
    if address.version == 4 or int(address) >> 32:  # netaddr also dots the IPv4-compatible ones
        assert text == str(netaddr.IPAddress(int(address), address.version))


def eui(text: str) -> bytes | None:
    try:
        return bytes(netaddr.EUI(text, version=48).packed)
    except (netaddr.AddrFormatError, ValueError):
        return None


@given(st.binary(min_size=6, max_size=6), st.data())
@settings(max_examples=500)
def test_mac_forms(packed: bytes, data: st.DataObject) -> None:
    text = packed.hex(data.draw(st.sampled_from([":", "-"])))
    text = data.draw(st.sampled_from([text, text.upper()]))
    assert pack_mac(text) == packed == eui(text)
    assert eui(mac_text(packed)) == packed
    at = data.draw(st.integers(0, 16))
    new = data.draw(st.sampled_from(["", "0", "f", "g", ":", "-", ".", " ", "\0", "\u0661", "00"]))
    spoilt = text[:at] + new + text[at + data.draw(st.integers(0, 1)) :]
    try:
        got = pack_mac(spoilt)
    except ValueError:
        # We want two digits each and one kind of sign; netaddr takes more.
        assert len(spoilt) != 17 or eui(spoilt) is None or len({*spoilt} & {*":-."}) != 1
    else:
        assert got == eui(spoilt)


PREFIXES = ["10.0.0.0/8", "0.0.0.0/0", "192.0.2.0/24", "fd00::/64", "fd00:1:2:3::/64", "::/0", "2001:db8::/96", "::/96"]


@given(st.sampled_from(PREFIXES), st.data())
@settings(max_examples=500)
def test_forms_of_one_address_are_one(prefix: str, data: st.DataObject) -> None:
    network = ip_network(prefix)
    span = 2 ** min(network.max_prefixlen - network.prefixlen, 64)
    address = network.network_address + data.draw(st.integers(1, span - 2))
    mapped = IPv6Address(address.packed).ipv4_mapped if address.version == 6 else None
    forms = [int(address), address.packed, str(address), address.exploded]
    pool = IPPool(prefix)
    for way_in in forms:
        pool.reserve(way_in)
        assert all(form in pool for form in forms)
        assert len(pool) == 1
        pool.release(data.draw(st.sampled_from(forms)))
        pool.reserve(way_in)
        pool.release_many([data.draw(st.sampled_from(forms))])
    assert len(pool) == 0
    # And out: the pool's first free one is made to be this one.
    pool = IPPool(prefix, range=str(address))
    assert pool.allocate() == int(address)
    pool.release(address.packed)
    assert pool.allocate_packed() == address.packed
    pool.release(int(address))
    assert pool.allocate_text() == (f"::ffff:{mapped}" if mapped else str(address))
    pool.release(str(address))
    given = pool.allocate_many(1)
    assert (given[0], given.packed(0)) == (int(address), address.packed)


@pytest.mark.parametrize("text", ["10.0.0.1/8", "fd00::1/64", "fe80::1%eth0", "::1%", "10.0.0.1%1"])
def test_no_length_and_no_zone(text: str) -> None:
    with pytest.raises(ValueError, match="no IPv4 or IPv6 address"):
        pack_ip(text)

"""Address text against ipaddress and netaddr."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import netaddr
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from _fastnet.addr import ip_text, mac_text, pack_ip, pack_mac

GROUPS = st.lists(st.one_of(st.just(0), st.just(0), st.integers(0, 0xFFFF)), min_size=8, max_size=8)


@given(st.integers(0, 2**32 - 1))
def test_ipv4(address: int) -> None:
    text = str(IPv4Address(address))
    packed = address.to_bytes(4, "big")
    assert ip_text(packed) == text == str(netaddr.IPAddress(address, 4))
    assert pack_ip(text) == packed


@given(GROUPS)
@example([0] * 8)
@example([0] * 7 + [1])
@example([0] * 6 + [1, 2])
@example([0] * 5 + [0xFFFF, 0x0102, 0x0304])
@example([1, 0, 0, 2, 0, 0, 3, 4])
@example([1, 0, 2, 0, 3, 0, 4, 0])
@example([0, 0, 1, 2, 3, 4, 0, 0])
@example([1, 2, 3, 4, 5, 6, 0, 0])
@example([0, 0, 2, 3, 4, 5, 6, 7])
def test_ipv6_text(groups: list[int]) -> None:
    packed = b"".join(group.to_bytes(2, "big") for group in groups)
    text = ip_text(packed)
    assert pack_ip(text) == packed == IPv6Address(text).packed
    mapped = IPv6Address(packed).ipv4_mapped
    # Older Pythons write the mapped ones in hexadecimal; RFC 5952 section 5 has them dotted.
    assert text == (f"::ffff:{mapped}" if mapped else str(IPv6Address(packed)))
    if groups[:6] != [0] * 6:
        # netaddr also dots the long deprecated IPv4-compatible ones.
        assert text == str(netaddr.IPAddress(packed.hex() and int.from_bytes(packed, "big"), 6))
    assert pack_ip(text.upper()) == packed
    assert pack_ip(IPv6Address(packed).exploded) == packed


PIECES = st.lists(
    st.sampled_from(
        [
            "0",
            "1",
            "ffff",
            "00001",
            "0001",
            "g",
            ":",
            ":",
            ":",
            "::",
            ".",
            "1.2.3.4",
            "256",
            "01",
            "255",
            "%1",
            " ",
        ]
    ),
    max_size=20,
).map("".join)


@given(st.one_of(PIECES, st.text(alphabet="0123456789abcdefABCDEF:.%/ g", max_size=45), st.text(max_size=20)))
@settings(max_examples=1500)
@example("1:2:3:4:5:6:7::")
@example("::2:3:4:5:6:7:8")
@example("1:2:3:4::5:6:7:8")
@example("1:2:3:4:5:6:1.2.3.4")
@example("1:2:3:4:5:6:7:1.2.3.4")
@example("::1:2:3:4:5:6:1.2.3.4")
@example("::1:2:3:4:5:1.2.3.4")
@example("1.2.3.4::")
@example("::1.2.3.4:5")
@example("::ffff:1.2.3.04")
@example(":1::2")
@example("1::2:")
@example(":::")
@example(":")
@example("::")
@example("fe80::1%eth0")
@example("1:2:3:4:5:6:7:8:9")
@example("12345::")
@example("1.2.3.4.")
@example("1.2.3.4.5")
@example("1..2.3")
@example("1.2.3.0")
@example("1.2.3.00")
@example("1.2.3.1234")
def test_reads_what_ipaddress_reads(text: str) -> None:
    try:
        wanted = ip_address(text)
    except ValueError:
        wanted = None
    if wanted is None or "%" in text:
        with pytest.raises(ValueError):
            pack_ip(text)
    else:
        assert pack_ip(text) == wanted.packed


@given(st.binary(min_size=6, max_size=6))
def test_mac(packed: bytes) -> None:
    text = packed.hex(":")
    eui = netaddr.EUI(int.from_bytes(packed, "big"), 48, dialect=netaddr.mac_unix_expanded)
    assert mac_text(packed) == text == str(eui)
    for form in (text, text.upper(), text.replace(":", "-")):
        assert pack_mac(form) == packed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "02:42",
        "02:42:0a:00:00:0",
        "02:42:0a:00:00:011",
        "02:42:0a:00-00:01",
        "02:42:0a:00:00:0g",
        "02420a000001xxxxx",
    ],
)
def test_no_mac(text: str) -> None:
    with pytest.raises(ValueError, match="no MAC address"):
        pack_mac(text)


def test_wrong_types_and_lengths() -> None:
    for function in (pack_ip, pack_mac):
        for bad in (None, b"x", 1):
            with pytest.raises(TypeError):
                function(bad)  # type: ignore[arg-type]
    for writer, lengths in ((ip_text, (0, 3, 5, 15, 17)), (mac_text, (0, 5, 7))):
        with pytest.raises(TypeError):
            writer("x")  # type: ignore[arg-type]
        for length in lengths:
            with pytest.raises(ValueError, match="bytes"):
                writer(bytes(length))
    with pytest.raises(ValueError, match=r"xxx\.\.\."):
        pack_ip("x" * 10**6)

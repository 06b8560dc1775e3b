"""What users write of ports."""

from __future__ import annotations

from typing import Any

import pytest

from _fastnet.portmaps import plain_ports
from driverapi import errors
from driverapi.addresses import Address
from driverapi.plan import PortWish
from driverapi.ports.spec import PortPolicy, PortSpec, parse_ports, wishes_of

LOCAL = bytes((127, 0, 0, 1))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("80", [PortSpec(80)]),
        (80, [PortSpec(80)]),
        ("0:80", [PortSpec(80)]),
        ("80/udp", [PortSpec(80, "udp")]),
        ("8080:80", [PortSpec(80, "tcp", None, 8080, 8080)]),
        ("8080:80/SCTP", [PortSpec(80, "sctp", None, 8080, 8080)]),
        ("127.0.0.1:8080:80", [PortSpec(80, "tcp", LOCAL, 8080, 8080)]),
        ("127.0.0.1::80", [PortSpec(80, "tcp", LOCAL)]),
        ("[fd00::1]:8080:80/udp", [PortSpec(80, "udp", b"\xfd" + bytes(14) + b"\1", 8080, 8080)]),
        ("[::]:8080:80", [PortSpec(80, "tcp", bytes(16), 8080, 8080)]),
        ("8000-8010:80", [PortSpec(80, "tcp", None, 8000, 8010)]),
        ("8000-8001:80-81", [PortSpec(80, "tcp", None, 8000, 8000), PortSpec(81, "tcp", None, 8001, 8001)]),
        ("80-81/udp", [PortSpec(80, "udp"), PortSpec(81, "udp")]),
        (PortSpec(80, "tcp", None, 8080), [PortSpec(80, "tcp", None, 8080, 8080)]),
        ({"Proto": 17, "Port": 53, "HostIP": "127.0.0.1", "HostPort": 5353}, [PortSpec(53, "udp", LOCAL, 5353, 5353)]),
        ({"Proto": "tcp", "Port": "80", "HostPort": 0}, [PortSpec(80)]),
        ({"Port": 80, "HostPort": 8000, "HostPortEnd": 8010}, [PortSpec(80, "tcp", None, 8000, 8010)]),
        ({"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}, [PortSpec(80, "tcp", None, 8080, 8080)]),
        ({"80/tcp": None, "53/udp": [{}]}, [PortSpec(80), PortSpec(53, "udp")]),
        (["80", ["81", 82]], [PortSpec(80), PortSpec(81), PortSpec(82)]),
        (None, []),
        ([], []),
    ],
)
def test_what_is_understood(given: Any, expected: list[PortSpec]) -> None:
    found = parse_ports(given)
    assert found == expected
    assert parse_ports(list(map(str, found))) == expected  # and written as it is read


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ("", "cannot be understood"),
        ("x", "cannot be understood"),
        ("80:", "cannot be understood"),
        ("1:2:3:4", "cannot be understood"),
        ("0", "not a port"),
        ("65536", "not a port"),
        ("8080:0", "not a port"),
        ("70000:80", "not a port"),
        ("90-80", "no range"),
        ("8000-8001:80-82", "differ in length"),
        ("80/icmp", "none of tcp, udp, sctp"),
        ("1.2.3:80:80", "1.2.3"),
        ("[::1]:90:90", r"\[::1\]:90:90.*use 127.0.0.1, another IPv6"),
        ("[::1]::90", "use 127.0.0.1"),
        ({"Port": 80, "HostIP": "::1"}, "use 127.0.0.1"),
        ({"80/tcp": [{"HostIp": "::1", "HostPort": "80"}]}, "use 127.0.0.1"),
        (PortSpec(80, "tcp", bytes(15) + b"\1"), "use 127.0.0.1"),
        ("[::ffff:192.0.2.1]:90:90", "write 192.0.2.1"),
        ("[fe80::1]:90:90", "is a link-local address"),
        ("[ff02::1]:90:90", "is a multicast address"),
        ("224.0.0.1:90:90", "no address of one host"),
        ("255.255.255.255:90:90", "no address of one host"),
        (True, "no port"),
        (-1, "cannot be understood"),
        (b"80", "are none"),
        (1.5, "are none"),
        ({"Port": 80, "Proto": 1}, "none of"),
        ({"Port": "x"}, "cannot be understood"),
        ({"Port": 80, "HostPort": 90, "HostPortEnd": 80}, "no ports of the host"),
        ({"80/tcp": ["8080"]}, "cannot be understood"),
        ({"80/tcp": 8080}, "cannot be understood"),
        ({"80/tcp": {"HostPort": "8080"}}, "cannot be understood"),
        (PortSpec(0), "not a port"),
        (PortSpec(80, "tcp", None, 0, 90), "no ports of the host"),
    ],
)
def test_what_is_not(given: Any, word: str) -> None:
    with pytest.raises(errors.InvalidError, match=word):
        parse_ports(given)


IPV4 = Address(bytes((10, 77, 0, 2)), 16)
IPV6 = Address(b"\xfd" + bytes(14) + b"\2", 64)


def test_wishes_are_of_the_families_that_there_are() -> None:
    both = wishes_of(parse_ports("8080:80"), [IPV4, IPV6], PortPolicy(), "endpoint 'e'")
    assert both == [PortWish("tcp", ((bytes(4), IPV4.ip), (bytes(16), IPV6.ip)), 80, 8080, 8080)]
    bound = wishes_of(parse_ports("80"), [IPV4, IPV6], PortPolicy(binding=(LOCAL,)), "e")
    assert bound == [PortWish("tcp", ((LOCAL, IPV4.ip), (bytes(16), IPV6.ip)), 80)]
    one = wishes_of(parse_ports("127.0.0.1:1:80"), [IPV4, IPV6], PortPolicy(), "e")
    assert one == [PortWish("tcp", ((LOCAL, IPV4.ip),), 80, 1, 1)]
    only = wishes_of(parse_ports("80"), [IPV4, IPV6], PortPolicy(families=(6,)), "e")
    assert only == [PortWish("tcp", ((bytes(16), IPV6.ip),), 80)]


def test_a_port_that_leads_nowhere_is_refused() -> None:
    with pytest.raises(errors.InvalidError, match=r"endpoint 'e': port .*fd00::1.*no IPv6 address"):
        wishes_of(parse_ports("[fd00::1]:1:80"), [IPV4], PortPolicy(), "endpoint 'e'")
    with pytest.raises(errors.InvalidError, match="no address"):
        wishes_of(parse_ports("80"), [], PortPolicy(), "endpoint 'e'")
    with pytest.raises(errors.NotImplementedYetError, match="is internal"):
        wishes_of(parse_ports("80"), [IPV4], PortPolicy(refused="the network is internal"), "endpoint 'e'")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8080:80", (8080, 80)),
        ("1:65535", (1, 65535)),
        ("65535:1", (65535, 1)),
        ("00080:00443", (80, 443)),
        *(
            (text, (0, 0))
            for text in ("", ":", "80", "80:", ":80", "0:80", "80:0", "65536:80", "80:65536", "000080:80")
        ),
        *(
            (text, (0, 0))
            for text in ("1:2:3", "1-2:3", "1:2/tcp", "-1:2", "+1:2", " 1:2", "1:2 ", "1.0:2", "1:2\0", "/:2")
        ),
        *((text, (0, 0)) for text in ("\u0661:2", "1:\u0662", "1:2é", "[::1]:1:2", b"1:2", 80, None, ["1:2"])),
    ],
)
def test_plain_text_is_read_by_the_short_way_alone(text: object, expected: tuple[int, int]) -> None:
    assert divmod(plain_ports(text), 65536) == expected
    if expected != (0, 0):
        assert parse_ports(str(text)) == parse_ports({"Port": expected[1], "HostPort": expected[0]})

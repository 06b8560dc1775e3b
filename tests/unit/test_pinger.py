from __future__ import annotations

import socket
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driverapi import errors, pinger
from driverapi.pinger import Ping, checksum, echo_request, echo_request_v6, parse_reply, parse_reply_v6, ping

TARGET = bytes([10, 0, 0, 1])
TARGET_V6 = bytes.fromhex("fd770000000000000000000000000001")


def slow_checksum(data: bytes) -> int:
    """RFC 1071 by the letter: one's complement addition, one word after the other."""
    total = 0
    for at in range(0, len(data), 2):
        total += int.from_bytes(data[at : at + 2].ljust(2, b"\0"), "big")
        if total > 0xFFFF:
            total -= 0xFFFF
    return total ^ 0xFFFF


def ipv4_packet(body: bytes, *, source: bytes = TARGET, options: bytes = b"", protocol: int = 1) -> bytes:
    first = 0x40 | (20 + len(options)) // 4
    header = struct.pack("!BBHHHBBH", first, 0, 20 + len(options) + len(body), 0, 0, 64, protocol, 0)
    return header + source + bytes([10, 0, 0, 2]) + options + body


def reply_to(request: bytes, **changes: int) -> bytes:
    """Turn an ICMP echo request into its reply, or into something near it."""
    _, _, _, identifier, sequence = struct.unpack_from("!BBHHH", request)
    fields = {"kind": 0, "code": 0, "identifier": identifier, "sequence": sequence} | changes
    rest = struct.pack("!HH", fields["identifier"], fields["sequence"]) + request[8:]
    blank = struct.pack("!BBH", fields["kind"], fields["code"], 0) + rest
    return struct.pack("!BBH", fields["kind"], fields["code"], checksum(blank)) + rest


def reply_to_v6(request: bytes) -> bytes:
    return b"\x81" + request[1:]


class TestMessages:
    def test_checksum_of_the_rfc(self) -> None:
        # RFC 1071, section 3: these words sum up to ddf2
        assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xDDF2 ^ 0xFFFF

    @given(st.binary(max_size=200))
    def test_checksum_is_that_of_a_slow_twin(self, data: bytes) -> None:
        assert checksum(data) == slow_checksum(data)

    def test_request_on_the_wire(self) -> None:
        assert echo_request(0x1234, 0x0102, b"abcd") == bytes.fromhex("0800 2003 1234 0102 61626364")

    def test_request_carries_its_checksum(self) -> None:
        assert checksum(echo_request(7, 9, b"odd")) == 0

    def test_v6_request_on_the_wire(self) -> None:
        assert echo_request_v6(0x1234, 0x0102, b"ab") == bytes.fromhex("8000 0000 1234 0102 6162")

    def test_reply(self) -> None:
        reply = parse_reply(ipv4_packet(reply_to(echo_request(3, 4, b"payload"))))
        assert reply == pinger.Reply(TARGET, 3, 4, b"payload")

    def test_reply_behind_options(self) -> None:
        reply = parse_reply(ipv4_packet(reply_to(echo_request(3, 4, b"x")), options=bytes([1] * 8)))
        assert reply == pinger.Reply(TARGET, 3, 4, b"x")

    def test_v6_reply(self) -> None:
        reply = parse_reply_v6(reply_to_v6(echo_request_v6(3, 4, b"payload")), TARGET_V6)
        assert reply == pinger.Reply(TARGET_V6, 3, 4, b"payload")

    good = reply_to(echo_request(3, 4, b"payload"))

    @pytest.mark.parametrize(
        "packet",
        [
            pytest.param(b"", id="nothing"),
            pytest.param(ipv4_packet(good)[:19], id="half a header"),
            pytest.param(ipv4_packet(good[:7]), id="half an ICMP header"),
            pytest.param(b"\x65" + ipv4_packet(good)[1:], id="version 6"),
            pytest.param(b"\x44" + ipv4_packet(good)[1:], id="header of 16 bytes"),
            pytest.param(b"\x4f" + ipv4_packet(good)[1:], id="header longer than the packet"),
            pytest.param(ipv4_packet(good, protocol=17), id="UDP"),
            pytest.param(ipv4_packet(good[:-1] + b"\xff"), id="wrong checksum"),
            pytest.param(ipv4_packet(echo_request(3, 4, b"payload")), id="a request"),
            pytest.param(ipv4_packet(reply_to(echo_request(3, 4, b""), kind=3)), id="unreachable"),
            pytest.param(ipv4_packet(reply_to(echo_request(3, 4, b""), code=1)), id="code 1"),
        ],
    )
    def test_what_is_no_reply(self, packet: bytes) -> None:
        assert parse_reply(packet) is None

    @pytest.mark.parametrize("message", [b"", b"\x81\0\0\0\0\0\0", echo_request_v6(3, 4, b""), b"\x81\x01" + bytes(6)])
    def test_what_is_no_v6_reply(self, message: bytes) -> None:
        assert parse_reply_v6(message, TARGET_V6) is None

    @given(st.binary(max_size=80))
    def test_rubbish_is_no_reply_and_no_error(self, data: bytes) -> None:
        parse_reply(data)
        parse_reply_v6(data, TARGET_V6)

    @given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.binary(max_size=60))
    def test_round_trip(self, identifier: int, sequence: int, payload: bytes) -> None:
        reply = parse_reply(ipv4_packet(reply_to(echo_request(identifier, sequence, payload))))
        assert reply == pinger.Reply(TARGET, identifier, sequence, payload)


class Wire:
    """A kernel that is none: opens socket pairs in place of raw sockets, and answers as told.

    The far ends are read when a request is sent, so there is no thread.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.requests: list[bytes] = []
        self.forgotten: list[list[str]] = []
        self.opened: list[tuple[str, int, bytes | None]] = []
        self.open_now = 0
        self.most_open = 0
        self.answers: list[object] = []  # what each request gets: a function of it, bytes, or an error
        wire = self

        class Raw(socket.socket):
            far: socket.socket

            def sendto(self, data: bytes, address: tuple[str, int]) -> int:  # type: ignore[override]
                wire.requests.append(data)
                answer = wire.answers.pop(0) if wire.answers else None
                if isinstance(answer, OSError):
                    raise answer
                for one in answer(data) if callable(answer) else ():
                    self.far.send(one)
                return len(data)

            def close(self) -> None:
                wire.open_now -= 1
                self.far.close()
                super().close()

        def open_echo(namespace: str, size: int, source: bytes | None) -> socket.socket:
            if namespace == "/gone":
                raise FileNotFoundError(2, "No such file or directory")
            near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            raw = Raw(fileno=near.detach())
            raw.far = far
            raw.setblocking(False)
            # the family says how replies are parsed
            Raw.family = property(lambda _: socket.AF_INET if size == 4 else socket.AF_INET6)  # type: ignore[assignment]
            wire.opened.append((namespace, size, source))
            wire.open_now += 1
            wire.most_open = max(wire.most_open, wire.open_now)
            return raw

        monkeypatch.setattr(pinger, "_open_echo", open_echo)
        monkeypatch.setattr(pinger, "forget_neighbours", lambda places: wire.forgotten.append(list(places)))


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    return Wire(monkeypatch)


def right(request: bytes) -> list[bytes]:
    return [ipv4_packet(reply_to(request))]


HERE = Ping("/a", TARGET)
QUICK = {"tries": 2, "timeout": 0.09}


class TestPing:
    def test_answered(self, wire: Wire) -> None:
        wire.answers = [right]
        (result,) = ping([HERE], **QUICK)
        assert (result.answered, result.error, result.request) == (True, "", HERE)
        assert result.seconds is not None
        assert 0 <= result.seconds < 1
        assert len(wire.requests) == 1
        assert wire.open_now == 0

    @pytest.mark.parametrize(
        "wrong",
        [
            pytest.param(lambda sent: [ipv4_packet(reply_to(sent), source=b"\x0a\0\0\x09")], id="source"),
            pytest.param(
                lambda sent: [ipv4_packet(reply_to(sent, identifier=(sent[4] << 8 | sent[5]) + 1 & 0xFFFF))],
                id="identifier",
            ),
            pytest.param(lambda sent: [ipv4_packet(reply_to(sent, sequence=5))], id="sequence"),
            pytest.param(lambda sent: [ipv4_packet(reply_to(sent[:8] + b"other payload"))], id="payload"),
            pytest.param(lambda sent: [ipv4_packet(reply_to(sent[:-1]))], id="payload cut short"),
            pytest.param(lambda sent: [b"", b"rubbish"], id="rubbish"),
            pytest.param(lambda sent: [ipv4_packet(sent)], id="the request itself"),
        ],
    )
    def test_a_wrong_reply_is_none(self, wire: Wire, wrong: object) -> None:
        wire.answers = [wrong, wrong]
        (result,) = ping([HERE], **QUICK)
        assert not result.answered
        assert result.seconds is None
        assert result.error == "no answer from 10.0.0.1 in 0.09 s, 2 tries"

    def test_a_lost_frame_is_sent_again(self, wire: Wire) -> None:
        wire.answers = [None, right]
        (result,) = ping([HERE], **QUICK)
        assert result.answered
        assert [sent[6:8] for sent in wire.requests] == [b"\0\0", b"\0\1"]
        assert result.seconds is not None
        assert result.seconds < 0.03, "the round trip is that of the try that was answered"

    def test_a_late_reply_to_an_earlier_try_counts(self, wire: Wire) -> None:
        first: list[bytes] = []

        def keep(request: bytes) -> list[bytes]:
            first.append(request)
            return []

        wire.answers = [keep, lambda _: right(first[0])]
        (result,) = ping([HERE], **QUICK)
        assert result.answered
        assert result.seconds is not None
        assert result.seconds >= 0.03, "from the first try on"

    def test_duplicates_are_counted_once(self, wire: Wire) -> None:
        wire.answers = [lambda sent: right(sent) * 3, right]
        assert [one.answered for one in ping([HERE, HERE], **QUICK)] == [True, True]

    def test_a_reply_that_another_sandbox_got_is_none(self, wire: Wire) -> None:
        first: list[bytes] = []

        def keep(request: bytes) -> list[bytes]:
            first.append(request)
            return []

        wire.answers = [keep, lambda sent: right(first[0]) + right(sent)]
        lost, here = ping([Ping("/other", TARGET), HERE], **QUICK)
        assert (lost.answered, here.answered) == (False, True)

    def test_bounded_tries(self, wire: Wire) -> None:
        start = time.monotonic()
        ping([HERE], tries=3, timeout=0.14)
        assert time.monotonic() - start >= 0.14
        assert len(wire.requests) == 3

    def test_the_kernel_refuses(self, wire: Wire) -> None:
        wire.answers = [OSError(101, "Network is unreachable")] * 2
        (result,) = ping([HERE], **QUICK)
        assert result.error == "send to 10.0.0.1: Network is unreachable"
        assert len(wire.requests) == 2

    def test_the_kernel_refuses_once(self, wire: Wire) -> None:
        wire.answers = [OSError(105, "No buffer space available"), right]
        (result,) = ping([HERE], **QUICK)
        assert result.answered
        assert result.error == ""

    def test_no_namespace(self, wire: Wire) -> None:
        wire.answers = [right]
        gone, here = ping([Ping("/gone", TARGET), HERE], **QUICK)
        assert gone.error == "no socket in /gone: No such file or directory"
        assert here.answered

    def test_waves(self, wire: Wire) -> None:
        wire.answers = [right] * 10
        done: list[int] = []
        requests = [Ping(f"/{number}", TARGET, target_namespace="/host") for number in range(10)]
        results = ping(requests, wave=4, progress=done.append)
        assert [one.request for one in results] == requests
        assert all(one.answered for one in results)
        assert done == [4, 8, 10]
        assert wire.most_open == 4, "a wave's sockets are closed before the next"
        assert wire.forgotten == [
            ["/0", "/host", "/1", "/2", "/3"],
            ["/4", "/host", "/5", "/6", "/7"],
            ["/8", "/host", "/9"],
        ]

    def test_a_namespace_shares_its_socket(self, wire: Wire) -> None:
        wire.answers = [right] * 3
        ping([HERE, HERE, Ping("/a", TARGET, source=TARGET)], **QUICK)
        assert wire.opened == [("/a", 4, None), ("/a", 4, TARGET)]

    def test_sockets_are_closed_after_a_failure(self, wire: Wire) -> None:
        def interrupt(_: bytes) -> list[bytes]:
            raise KeyboardInterrupt

        wire.answers = [interrupt]
        with pytest.raises(KeyboardInterrupt):
            ping([HERE], **QUICK)
        assert wire.open_now == 0

    def test_nothing_to_do(self, wire: Wire) -> None:
        assert ping([]) == []
        assert not wire.opened

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"wave": 0}, "wave must be a number from 1 to 65536, not 0"),
            ({"wave": 65537}, "wave must"),
            ({"wave": True}, "wave must"),
            ({"tries": 0}, "tries must be a number from 1 to 16, not 0"),
            ({"tries": 17}, "tries must"),
            ({"timeout": 0}, "timeout must be seconds, more than 0"),
            ({"timeout": float("nan")}, "timeout must"),
            ({"timeout": float("inf")}, "timeout must"),
            ({"timeout": "1"}, "timeout must"),
        ],
    )
    def test_wrong_numbers(self, wire: Wire, change: dict[str, int], says: str) -> None:
        with pytest.raises(errors.InvalidError, match=says):
            ping([HERE], **change)
        assert not wire.opened

    @pytest.mark.parametrize(
        "request_", [Ping("/a", b"123"), Ping("/a", "10.0.0.1"), Ping("/a", TARGET, source=TARGET_V6)]
    )
    def test_wrong_addresses(self, wire: Wire, request_: Ping) -> None:
        with pytest.raises(errors.InvalidError):
            ping([HERE, request_])
        assert not wire.opened

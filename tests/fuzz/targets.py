"""Every parser of bytes or text that comes from elsewhere: how to feed it, and what it may raise.

A target takes bytes, whatever they are, and returns, or raises one of its own errors. What it
gives is read to the end and must be bounded by what it was given.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from typing import Any

from _fastnet import records
from _fastnet.addr import ip_text, mac_text, pack_ip, pack_mac
from _fastnet.attributes import missing_name, path_of
from _fastnet.batch import Batch
from _fastnet.ippool import IPPool
from _fastnet.macpool import MACPool
from _fastnet.socket import read_answers
from driverapi.addresses import parse_ip, parse_mac, parse_network, parse_prefix
from driverapi.trace import Trace


@dataclass(frozen=True)
class Target:
    """A parser, what it may raise, and whether mutations keep the netlink framing's look."""

    run: Callable[[bytes], None]
    raises: tuple[type[Exception], ...] = (ValueError,)


def _weight(value: Any) -> int:
    if isinstance(value, bytes | str):
        return len(value)
    if isinstance(value, tuple):
        return sum(map(_weight, value))
    return 8


def _records(parse: Callable[[bytes], list[Any]]) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        found = parse(data)
        assert len(found) * 16 <= len(data), "more records than messages"
        for record in found:
            names = [name for name in dir(record) if not name.startswith("_")]
            values = [getattr(record, name) for name in names]
            assert all(_weight(value) <= 3 * len(data) + 8 for value in values), "an attribute is longer than the bytes"
            assert len(repr(record)) < 20 * len(data) + 300

    return run


def five() -> Batch:
    """Give the batch that `answers` is about."""
    batch = Batch()
    batch.add_veth("a", "b", index=20, mtu=1400)
    batch.set_link(20, up=True)
    batch.add_address(20, b"\x0a\1\0\1", 16)
    batch.get_link(20)
    batch.delete_link(20)
    return batch


def _answers(data: bytes) -> None:
    batch = five()
    answers = read_answers(batch, data)
    statuses = list(answers)
    assert len(statuses) == len(batch)
    for position, status in enumerate(statuses):
        error = answers.error(position)
        assert (error is None) == (status == 0)
        assert len(str(error)) < 8 * len(data) + 400
    assert sum(map(len, answers.replies())) <= len(data)
    assert answers.ok == (not answers.failed and not answers.unknown)


def _attributes(data: bytes) -> None:
    offset = struct.unpack_from("=i", data)[0] if len(data) >= 4 else -1
    message = data[4:]
    for place in (offset, offset % (len(message) + 8)):
        assert len(path_of(message, place)) < 400
        if len(message) >= 16:
            assert len(missing_name(message, place & 0xFFFF, place)) < 500


def _describe(data: bytes) -> None:
    batch = Batch()
    batch.append(data)
    assert len(batch.describe()) < 40 * len(data) + 400
    assert len(batch.operation(0)) < 40 * len(data) + 400


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _addresses(data: bytes) -> None:
    text = _text(data)
    refused = 0
    for parse in (pack_ip, pack_mac, parse_ip, parse_prefix, parse_network, parse_mac):
        try:
            value = parse(text)
        except ValueError:
            refused += 1
            continue
        if parse is pack_ip:
            assert pack_ip(ip_text(value)) == value
        elif parse is pack_mac:
            assert pack_mac(mac_text(value)) == value
    if refused == 6:
        raise ValueError("no address")


def _pools(data: bytes) -> None:
    pool = IPPool(_text(data))
    assert pool.size >= 1
    assert pool.prefix_length in range(129)


def _mac_pools(data: bytes) -> None:
    MACPool().reserve(_text(data))


def _trace(data: bytes) -> None:
    text = StringIO()
    with Trace(text) as trace:
        trace.record(1, [(0, True, data), (1, False, data)], None)
        trace.record(1, [(0, True, data[:40]), (1, False, data)], read_answers(Batch(), data))
    assert trace.error is None
    assert len(text.getvalue()) < 60 * len(data) + 1000


TARGETS: dict[str, Target] = {
    "links": Target(_records(records.links)),
    "addresses": Target(_records(records.addresses)),
    "routes": Target(_records(records.routes)),
    "neighbours": Target(_records(records.neighbours)),
    "rules": Target(_records(records.rules)),
    "answers": Target(_answers, ()),
    "attributes": Target(_attributes, ()),
    "describe": Target(_describe),
    "text": Target(_addresses),
    "pools": Target(_pools),
    "macs": Target(_mac_pools),
    "trace": Target(_trace, ()),
}

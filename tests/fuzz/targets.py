"""Every parser of bytes or text that comes from elsewhere: how to feed it, and what it may raise.

A target takes bytes, whatever they are, and returns, or raises one of its own errors. What it
gives is read to the end and must be bounded by what it was given.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from io import StringIO
from typing import Any

from _fastnet import records
from _fastnet.addr import ip_text, mac_text, pack_ip, pack_mac
from _fastnet.attributes import missing_name, path_of
from _fastnet.batch import Batch
from _fastnet.bitmap import Bitmap
from _fastnet.errors import SnapshotError
from _fastnet.ippool import IPPool
from _fastnet.macpool import MACPool
from _fastnet.socket import read_answers
from driverapi.addresses import parse_ip, parse_mac, parse_network, parse_prefix
from driverapi.plugin.http import _BadRequestError, _Request
from driverapi.trace import Trace
from tests.plugins import END, NET, Engine


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


def _checksum(data: bytes) -> bytes:
    return data[:-4] + struct.pack("<I", zlib.crc32(data[:-4]))


def seal_bitmap(data: bytes) -> bytes:
    """Mend length and checksum, so that what stands between is read."""
    if len(data) < 52:
        return data
    return _checksum(data[:40] + struct.pack("<Q", len(data) - 52) + data[48:])


def seal_pool(data: bytes) -> bytes:
    """The same for a pool, and for the bitmaps in it."""
    if len(data) < 36:
        return data
    text, places, _, other = struct.unpack_from("<4I", data, 8)
    size = len(data) - 36 - text - 16 * places - other
    if size < 0:
        return _checksum(data)
    at = 32 + text
    first, second, rest = data[at : at + size], data[at + size : at + size + other], data[at + size + other :]
    head = data[:16] + struct.pack("<I", size) + data[20:at]
    return _checksum(head + seal_bitmap(first) + seal_bitmap(second) + rest)


def _refused(restore: Callable[[bytes], object], data: bytes) -> None:
    """As it comes: nearly always the checksum finds it."""
    with suppress(SnapshotError):
        restore(data)


def _bitmaps(data: bytes) -> None:
    _refused(Bitmap.restore, data)
    data = seal_bitmap(data)
    bitmap = Bitmap.restore(data)
    again = bitmap.snapshot()
    assert (again[:32], again[40:-4]) == (data[:32], data[40:-4]), "a bitmap has two forms"
    assert bitmap.nbytes < 2_300_000 + 400 * len(data), "a short snapshot takes much memory"
    free = bitmap.free
    assert free == bitmap.size - bitmap.count_taken(0, bitmap.size)
    if free:
        bitmap.release(bitmap.allocate())
        bitmap.release(bitmap.allocate_next())
        assert bitmap.find_run(1) not in bitmap
    assert bitmap.free == free


def _pool_of(data: bytes) -> IPPool:
    return IPPool.restore(data, clock=lambda: 7.0)


def _pool_snapshots(data: bytes) -> None:
    _refused(_pool_of, data)
    pool = _pool_of(seal_pool(data))
    assert pool.nbytes < 5_000_000 + 500 * len(data), "a short snapshot takes much memory"
    again = _pool_of(pool.snapshot())
    for name in ("size", "free", "quarantined", "version", "prefix_length", "network"):
        assert getattr(pool, name) == getattr(again, name), name
    assert repr(pool) == repr(again)
    for allocate in ("allocate", "allocate_next", "allocate_text"):
        if pool.free:
            address = getattr(pool, allocate)()
            assert address == getattr(again, allocate)()
            assert address in pool
            pool.release(address)
            again.release(address)


def _http(data: bytes) -> None:
    """Bytes of a connection, in two pieces: whole requests, or one of the refusals."""
    cut = data[0] * len(data) // 256 if data else 0
    for pieces in ((data[1:],), (data[1:cut], data[max(cut, 1) :])):
        sent: list[bytes] = []
        request = _Request(sent.append)
        for piece in pieces:
            if piece:
                request.feed(piece)
        for method, path, body, _ in request.ready:
            assert len(method) + len(path) + len(body) <= len(data)
        assert len(b"".join(sent)) <= 25 * len(data)


_engine: Engine | None = None


def _verbs(data: bytes) -> None:
    """A path, a newline and a body: an answer in the protocol's form, and nothing changed by what is refused."""
    global _engine
    if _engine is None:
        _engine = Engine()
        _engine.network()
        _engine.endpoint()
        _engine.ask("IpamDriver.RequestPool", Pool="10.7.0.0/24")
    engine, lifecycle = _engine, _engine.plugin._lifecycle
    path, _, body = data.partition(b"\n")
    before = (lifecycle.networks(), lifecycle.endpoints(), sorted(engine.plugin._addresses._pools))
    status, document = engine.raw(path.decode("latin-1"), body)
    assert isinstance(document, dict)
    if status != 200:
        assert document["Err"]
        assert status != 500, document
        assert (lifecycle.networks(), lifecycle.endpoints(), sorted(engine.plugin._addresses._pools)) == before
        raise ValueError(document["Err"])
    if not (before[0] == [NET] == lifecycle.networks() and before[1] == [END] == lifecycle.endpoints()) or (
        len(before[2]) != 1 or sorted(engine.plugin._addresses._pools) != before[2]
    ):
        engine.close()
        _engine = None


TARGETS: dict[str, Target] = {
    "http": Target(_http, (_BadRequestError,)),
    "verbs": Target(_verbs),
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
    "bitmaps": Target(_bitmaps, (SnapshotError,)),
    "snapshots": Target(_pool_snapshots, (SnapshotError,)),
}

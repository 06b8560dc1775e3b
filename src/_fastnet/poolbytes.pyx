"""The bytes of a pool's snapshot, written and read; see the declaration file."""

import struct
import zlib

from libc.stdint cimport uint64_t

from _fastnet.addrspace cimport AddressSpace
from _fastnet.bitmap cimport Bitmap
from _fastnet.quarantine cimport Quarantine

from _fastnet.errors import SnapshotError

_HEADER = struct.Struct("<4sHHIIIIQ")
_MAGIC = b"FNip"
_VERSION = 1


cdef bytes encode_pool(AddressSpace space, Bitmap bitmap, Bitmap aside, Quarantine rest, uint64_t now):
    cdef list places = [] if rest is None else rest.places(now)
    cdef bytes text = space.told().encode()
    cdef bytes taken = bitmap.snapshot()
    cdef bytes other = b"" if aside is None else aside.snapshot()
    if max(len(taken), len(other), len(text), len(places)) >> 32:
        raise MemoryError
    whole = b"".join(
        [
            _HEADER.pack(
                _MAGIC, _VERSION, 0, len(text), len(places), len(taken), len(other), 0 if rest is None else rest.period
            ),
            text,
            taken,
            other,
            *[struct.pack("<QQ", *place) for place in places],
        ]
    )
    return whole + struct.pack("<I", zlib.crc32(whole))


cdef tuple decode_pool(object data):
    cdef bytes own = bytes(memoryview(data))
    cdef Bitmap bitmap, aside = None
    cdef AddressSpace space
    if len(own) < _HEADER.size + 4 or not own.startswith(_MAGIC):
        raise SnapshotError("this is no snapshot of a pool")
    magic, version, zero, text_size, count, size, other_size, period = _HEADER.unpack_from(own)
    if version != _VERSION:
        raise SnapshotError(f"a pool's snapshot of version {version}: this one reads version {_VERSION}")
    if zero or len(own) != _HEADER.size + text_size + size + other_size + 16 * count + 4:
        raise SnapshotError(f"a pool's snapshot of {len(own)} bytes is cut short or damaged")
    if zlib.crc32(own[: len(own) - 4]) != struct.unpack_from("<I", own, len(own) - 4)[0]:
        raise SnapshotError("a pool's snapshot is damaged: its checksum does not hold")
    at = _HEADER.size
    try:
        prefix, part, *kept = own[at : at + text_size].decode("ascii").split("\n")
        space = AddressSpace(prefix, part or None, kept)
    except ValueError as error:
        raise SnapshotError(f"a pool's snapshot contradicts itself: {error}") from None
    at += text_size
    bitmap = Bitmap.restore(own[at : at + size])
    at += size
    if other_size:
        aside = Bitmap.restore(own[at : at + other_size])
    at += other_size
    if (
        bitmap.last != space.last
        or (aside is not None) != space.ranged
        or (aside is not None and aside.last != space.aside_last)
        or period > <uint64_t>10**18
        or (count and not period)
    ):
        raise SnapshotError("a pool's snapshot contradicts itself: its parts do not belong together")
    return space, bitmap, aside, period, list(struct.iter_unpack("<QQ", own[at : len(own) - 4]))

"""Mutations of bytes, drawn from a seeded generator: flips, cuts, lengths that lie, splices."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

LIMIT = 1 << 16  # bytes, beyond which nothing grows
NUMBERS = (0, 1, 2, 3, 4, 7, 15, 16, 17, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutate(data: bytes, corpus: Sequence[bytes], random: random.Random) -> bytes:
    """Give a changed copy: one to six mutations, one after the other."""
    raw = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
        random.choice(MUTATIONS)(raw, corpus, random)
    return bytes(raw[:LIMIT])


def flip_bit(raw: bytearray, corpus: Sequence[bytes], random: random.Random) -> None:
    if raw:
        raw[random.randrange(len(raw))] ^= 1 << random.randrange(8)


def set_byte(raw: bytearray, corpus: Sequence[bytes], random: random.Random) -> None:
    if raw:
        raw[random.randrange(len(raw))] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))


def cut(raw: bytearray, corpus: Sequence[bytes], random: random.Random) -> None:
    del raw[random.randrange(len(raw) + 1) :]


def drop(raw: bytearray, corpus: Sequence[bytes], random: random.Random) -> None:
    at = random.randrange(len(raw) + 1)
    del raw[at : at + random.choice((1, 2, 4, 8, random.randrange(64)))]


def grow(raw: bytearray, corpus: Sequence[bytes], random: random.Random) -> None:
    at = random.randrange(len(raw) + 1)
    raw[at:at] = random.randbytes(random.choice((1, 2, 4, 8, random.randrange(64))))


def lie(raw: bytearray, corpus: Sequence[bytes], random: random.Random) -> None:
    """Overwrite an aligned 16- or 32-bit number, as every length is."""
    wide = random.random() < 0.5
    if len(raw) >= 4:
        at = random.randrange(len(raw) // 4) * 4
        number = random.choice((*NUMBERS, len(raw), len(raw) - at, len(raw) - at + 1))
        raw[at : at + (4 if wide else 2)] = struct.pack("=I", number & 0xFFFFFFFF)[: 4 if wide else 2]


def nudge(raw: bytearray, corpus: Sequence[bytes], random: random.Random) -> None:
    """Make an aligned 16-bit number a little more or less."""
    if len(raw) >= 4:
        at = random.randrange(len(raw) // 4) * 4
        number = struct.unpack_from("=H", raw, at)[0] + random.randrange(-8, 9)
        struct.pack_into("=H", raw, at, number & 0xFFFF)


def splice(raw: bytearray, corpus: Sequence[bytes], random: random.Random) -> None:
    other = random.choice(corpus)
    start = random.randrange(len(other) + 1)
    at = random.randrange(len(raw) + 1) & ~3
    raw[at:] = other[start & ~3 :]


def repeat(raw: bytearray, corpus: Sequence[bytes], random: random.Random) -> None:
    if len(raw) < LIMIT // 2:
        raw += bytes(raw)


MUTATIONS = (flip_bit, set_byte, cut, drop, grow, lie, lie, nudge, nudge, splice, repeat)

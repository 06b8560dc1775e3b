"""Slow pure twins of the native types: the same meaning, told in sets and lists."""

from __future__ import annotations

from _fastnet.errors import Exhausted, NotTaken, OutOfRange, Taken


class BitmapTwin:
    """Ordinals 0…size-1 as a set of the taken ones."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.taken: set[int] = set()
        self.cursor = 0

    @property
    def free(self) -> int:
        return self.size - len(self.taken)

    def _search(self, start: int) -> int | None:
        while start in self.taken:
            start += 1
        return start if start < self.size else None

    def allocate(self) -> int:
        found = self._search(0)
        if found is None:
            raise Exhausted
        self.taken.add(found)
        return found

    def allocate_next(self) -> int:
        found = self._search(self.cursor)
        if found is None:
            found = self._search(0)
        if found is None:
            raise Exhausted
        self.taken.add(found)
        self.cursor = (found + 1) % self.size
        return found

    def allocate_many(self, count: int) -> list[int]:
        if count > self.free:
            raise Exhausted
        return [self.allocate() for _ in range(count)]

    def reserve(self, ordinal: int) -> None:
        if not 0 <= ordinal < self.size:
            raise OutOfRange
        if ordinal in self.taken:
            raise Taken
        self.taken.add(ordinal)

    def release(self, ordinal: int) -> None:
        if not 0 <= ordinal < self.size:
            raise OutOfRange
        if ordinal not in self.taken:
            raise NotTaken
        self.taken.remove(ordinal)

    def release_many(self, ordinals: list[int]) -> None:
        left = set(self.taken)
        for ordinal in ordinals:
            if not 0 <= ordinal < self.size:
                raise OutOfRange
            if ordinal not in left:
                raise NotTaken
            left.remove(ordinal)
        self.taken = left


class PoolTwin:
    """A prefix over a bitmap twin; what a rule reserves is taken in it from the start."""

    def __init__(self, network: int, host_bits: int, version: int) -> None:
        self.network = network
        self.bits = BitmapTwin(2 ** min(host_bits, 64))
        self.ruled: set[int] = set()
        if host_bits > 1:
            self.ruled.add(0)
            if version == 4:
                self.ruled.add(self.bits.size - 1)
        self.bits.taken |= self.ruled

    @property
    def size(self) -> int:
        return self.bits.size - len(self.ruled)

    @property
    def free(self) -> int:
        return self.bits.free

    def taken(self) -> set[int]:
        return {self.network + ordinal for ordinal in self.bits.taken - self.ruled}

    def allocate(self) -> int:
        return self.network + self.bits.allocate()

    def allocate_next(self) -> int:
        return self.network + self.bits.allocate_next()

    def allocate_many(self, count: int) -> list[int]:
        return [self.network + ordinal for ordinal in self.bits.allocate_many(count)]

    def reserve(self, address: int) -> None:
        self.bits.reserve(address - self.network)

    def release(self, address: int) -> None:
        if address - self.network in self.ruled:
            raise NotTaken
        self.bits.release(address - self.network)

    def release_many(self, addresses: list[int]) -> None:
        if any(not 0 <= address - self.network < self.bits.size for address in addresses):
            raise OutOfRange
        if any(address - self.network in self.ruled for address in addresses):
            raise NotTaken
        self.bits.release_many([address - self.network for address in addresses])


class MACTwin:
    """The MACs held, as a set; what is drawn is the native pool's to say."""

    def __init__(self) -> None:
        self.held: set[int] = set()

    def take(self, mac: int) -> None:
        if mac in self.held:
            raise Taken
        self.held.add(mac)

    def reserve(self, mac: int) -> None:
        if mac >> 48:
            raise OutOfRange
        if mac >> 40 & 1 or mac == 0:
            raise ValueError
        self.take(mac)

    def release(self, mac: int) -> None:
        if mac not in self.held:
            raise NotTaken
        self.held.remove(mac)


class InterfaceTwin:
    """Rows as lists: id, MAC, IPv4, its prefix, IPv6, its prefix."""

    def __init__(self) -> None:
        self.rows: list[list[object]] = []

    def append(self, number: int, mac: bytes | None, ipv4: bytes | None, ipv6: bytes | None) -> int:
        if self.find(number) >= 0:
            raise Taken
        self.rows.append([number, mac, ipv4, 32 if ipv4 else 0, ipv6, 128 if ipv6 else 0])
        return len(self.rows) - 1

    def find(self, wanted: int) -> int:
        for number, row in enumerate(self.rows):
            if row[0] == wanted:
                return number
        return -1

"""Slow pure twins of the native types: the same meaning, told in sets and lists."""

from __future__ import annotations

from _fastnet.errors import Excluded, Exhausted, NotTaken, OutOfRange, Reserved, Taken


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
    """A pool told in sets: what may be given, what may be wanted, what is taken, and who waits since when."""

    def __init__(
        self,
        network: int,
        host_bits: int,
        version: int,
        part: tuple[int, int] | None = None,
        kept: list[tuple[int, int]] | None = None,
        quarantine: float = 0,
    ) -> None:
        self.network = network
        self.end = network + 2**host_bits
        self.part = part
        self.kept = kept or []
        self.ruled: set[int] = set()
        if host_bits > 1:
            self.ruled.add(network)
            if version == 4:
                self.ruled.add(self.end - 1)
        self.window = network + 2 ** min(host_bits, 64)
        self.first, self.stop = (part[0], part[1] + 1) if part else (network, self.window)
        self.held: set[int] = set()
        self.queue: list[tuple[int, float]] = []
        self.cursor = self.first
        self.quarantine = quarantine
        self.now = 0.0

    def excluded(self, address: int) -> bool:
        return any(low <= address <= high for low, high in self.kept)

    @property
    def size(self) -> int:
        out = sum(self.first <= address < self.stop for address in self.ruled if not self.excluded(address))
        for low, high in self.kept:
            out += max(0, min(high + 1, self.stop) - max(low, self.first))
        return self.stop - self.first - out

    @property
    def free(self) -> int:
        return self.size - sum(self.first <= address < self.stop for address in self.held)

    def waiting(self) -> list[int]:
        """Who waits now, in the order of release."""
        self.queue = [(address, due) for address, due in self.queue if due > self.now]
        return [address for address, _ in self.queue]

    def taken(self) -> set[int]:
        return self.held

    def _search(self, start: int, never: set[int]) -> int | None:
        while start < self.stop:
            ends = [high + 1 for low, high in self.kept if low <= start <= high]
            if ends:
                start = ends[0]
            elif start in self.ruled or start in never:
                start += 1
            else:
                return start
        return None

    def _take(self, start: int) -> int:
        never = self.held.union(self.waiting())
        found = self._search(start, never)
        if found is None:
            found = self._search(self.first, never)
        if found is None:
            if not self.queue:
                raise Exhausted
            found = self.queue[0][0]
        self._leave(found)
        self.held.add(found)
        return found

    def _leave(self, address: int) -> None:
        self.queue = [(one, due) for one, due in self.queue if one != address]

    def allocate(self) -> int:
        return self._take(self.first)

    def allocate_next(self) -> int:
        found = self._take(self.cursor)
        self.cursor = found + 1
        return found

    def allocate_many(self, count: int) -> list[int]:
        if count > self.free:
            raise Exhausted
        return sorted(self.allocate() for _ in range(count))

    def _check(self, address: int) -> None:
        if not self.network <= address < self.end:
            raise OutOfRange
        if address in self.ruled:
            raise Reserved
        if self.excluded(address):
            raise Excluded
        if not self.first <= address < self.stop and address >= self.window:
            raise OutOfRange

    def reserve(self, address: int) -> None:
        self._check(address)
        if address in self.held:
            raise Taken
        self._leave(address)
        self.held.add(address)

    def release(self, address: int) -> None:
        self.release_many([address])

    def release_many(self, addresses: list[int]) -> None:
        left = set(self.held)
        for address in addresses:
            try:
                self._check(address)
            except Reserved:
                raise NotTaken from None
            if address not in left:
                raise NotTaken
            left.remove(address)
        self.held = left
        if self.quarantine:
            self.queue += [
                (address, self.now + self.quarantine) for address in addresses if self.first <= address < self.stop
            ]


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

    def release_many(self, macs: list[int]) -> None:
        if len(set(macs)) < len(macs) or not self.held.issuperset(macs):
            raise NotTaken
        self.held.difference_update(macs)


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

"""What stands in the sets and maps of an instance's table, and what is to be changed of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, final

from driverapi._native import NftBatch, translations
from driverapi.addresses import Address
from driverapi.dataplane.firewall.ruleset import FAMILIES, SETS
from driverapi.plan import PROTOCOLS, PortMap

__all__ = [
    "Change",
    "Contents",
    "Element",
    "Elements",
    "index_key",
    "mac_key",
    "name_key",
    "port_elements",
    "prefix_key",
]

Element = tuple[str, bytes, bytes]
"""Name of the set, key, and datum (empty of a set). Of an interval the key is an address and a length."""

Elements = Mapping[str, Mapping[bytes, bytes]]
"""The same of many: by set, and by key."""

_OF_PORTS: Final = ("any4", "any6", "ports4", "ports6", "open4", "open6")


def prefix_key(prefix: Address) -> bytes:
    """Return the key of a prefix, of any address in it."""
    bits = 8 * len(prefix.ip)
    free = bits - prefix.prefix
    low = int.from_bytes(prefix.ip, "big") >> free << free
    return low.to_bytes(bits // 8, "big") + bytes((prefix.prefix,))


def index_key(*indexes: int) -> bytes:
    """Return the key of one ifindex, or of several together."""
    return b"".join(index.to_bytes(4, sys.byteorder) for index in indexes)


def mac_key(mac: bytes) -> bytes:
    """Return the part of a concatenation that a MAC address is."""
    return mac + b"\0\0"


def name_key(name: str) -> bytes:
    """Return the part of a concatenation that a link's name is (``IFNAMSIZ``)."""
    return os.fsencode(name).ljust(16, b"\0")


def port_elements(ports: Sequence[PortMap]) -> Elements:
    """Return the elements of published ports."""
    return translations(list(ports), PROTOCOLS, _OF_PORTS)


@final
class Change:
    """Elements to take away, then elements to add: one transaction."""

    def __init__(self, gone: Elements | Iterable[Element] = (), new: Elements | Iterable[Element] = ()) -> None:
        self.gone = _by_set(gone)
        self.new = _by_set(new)

    def __bool__(self) -> bool:
        """Tell whether it changes anything."""
        return bool(self.gone or self.new)

    @property
    def families(self) -> set[str]:
        """Of the tables that it is about."""
        return {SETS[name].family for name in (*self.gone, *self.new)}

    def encode(self, batch: NftBatch) -> None:
        """Append its messages."""
        for name, elements in self.gone.items():
            _put(batch, name, elements, adding=False)
        for name, elements in self.new.items():
            _put(batch, name, elements, adding=True)


@final
class Contents:
    """The elements that are to be there.

    Thread safety: none.
    """

    def __init__(self) -> None:
        self._sets: dict[str, dict[bytes, bytes]] = {name: {} for name in SETS}

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return any(self._sets.values())

    def has(self, element: Element) -> bool:
        """Tell whether a set has that key."""
        return element[1] in self._sets[element[0]]

    def known(self, elements: Elements) -> Elements:
        """Return those of some whose sets have their keys."""
        found = {}
        for name, some in elements.items():
            there = self._sets[name]
            if some.keys() <= there.keys():  # as nearly always
                found[name] = some
            elif left := {key: data for key, data in some.items() if key in there}:
                found[name] = left
        return found

    def take(self, other: Contents) -> None:
        """Have what another has."""
        self._sets = {name: dict(elements) for name, elements in other._sets.items()}

    def apply(self, change: Change) -> None:
        """Take note of a change that was made."""
        for name, elements in change.gone.items():
            there = self._sets[name]
            for key in elements:
                there.pop(key, None)
        for name, elements in change.new.items():
            self._sets[name].update(elements)

    @property
    def families(self) -> set[str]:
        """Of the tables that have elements."""
        return {SETS[name].family for name, elements in self._sets.items() if elements}

    def whole(self, batch: NftBatch) -> None:
        """Append the messages that empty every set and fill it with what is to be there."""
        families = self.families
        for name, one in SETS.items():
            if one.family in families:
                batch.turn(FAMILIES[one.family])
                batch.flush(name)
        for name, elements in self._sets.items():
            if elements:
                _put(batch, name, elements, adding=True)


def _by_set(elements: Elements | Iterable[Element]) -> Elements:
    if isinstance(elements, Mapping):
        return elements
    found: dict[str, dict[bytes, bytes]] = {}
    for name, key, data in elements:
        found.setdefault(name, {})[key] = data
    return found


def _put(batch: NftBatch, name: str, elements: Mapping[bytes, bytes], *, adding: bool) -> None:
    """Append the messages for elements of one set."""
    of = SETS[name]
    batch.turn(FAMILIES[of.family])
    verb = batch.add if adding else batch.delete
    data = b"".join(elements.values()) if of.data and adding else None
    if not of.interval:
        verb(name, b"".join(elements), data, key_size=of.key)
        return
    for key, value in elements.items():  # one after the other: a start within an open interval would be an overlap
        start, end = _span(key)
        verb(name, start, value if data is not None else None, key_size=of.key)
        if end:
            verb(name, end, key_size=of.key, ends=True)


def _span(key: bytes) -> tuple[bytes, bytes]:
    """Return the first address of a prefix, and the first after it: nothing where the prefix ends the space."""
    first, length = key[:-1], key[-1]
    bits = 8 * len(first)
    after = int.from_bytes(first, "big") + (1 << (bits - length))
    return first, b"" if after >> bits else after.to_bytes(bits // 8, "big")

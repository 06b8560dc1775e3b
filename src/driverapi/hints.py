"""What an error about a name that nothing has says further: which names there are."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

__all__ = ["there_are"]

_SHOWN: Final = 8


def there_are(names: Iterable[str]) -> str:
    """Return the end of a sentence on a name that nothing has: the first names that something has.

    Nothing is compared or sorted: programs ask for what is not there all day long.
    """
    some = list(islice(names, _SHOWN + 1))
    if not some:
        return "there is none"
    return f"there are: {', '.join(map(repr, some[:_SHOWN]))}{', and more' if len(some) > _SHOWN else ''}"

from collections.abc import Iterator
from typing import Final, Never, final

from _fastnet.errors import NetlinkError

UNKNOWN: Final[int]
"""The kernel's answer was lost (``ENOBUFS``): the operation may or may not have been done."""

@final
class Answers:
    """What the kernel said of each message of one batch."""

    def __init__(self, *args: Never, **kwargs: Never) -> None: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[int]: ...
    def __getitem__(self, position: int, /) -> int:
        """0 done, an errno (positive) refused, ``UNKNOWN`` (-1) lost."""
    @property
    def ok(self) -> bool: ...
    @property
    def failed(self) -> list[int]: ...
    @property
    def unknown(self) -> list[int]: ...
    def error(self, position: int, /) -> NetlinkError | None: ...
    def replies(self) -> list[bytes]:
        """Messages that are not acknowledgements (answers to ``get_link``), in order."""
    def check(self) -> None:
        """Raise the first failure; an unknown answer raises with ENOBUFS."""

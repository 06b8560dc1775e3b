from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self, final

from _fastnet.answers import Answers
from _fastnet.batch import Batch
from _fastnet.records import AddressRecord, LinkRecord, NeighbourRecord, RouteRecord

@final
class NetlinkSocket:
    """A NETLINK_ROUTE socket in the namespace it was opened in."""

    def __init__(self, fileno: int = -1, /, *, send_buffer: int = 0, receive_buffer: int = 0) -> None:
        """Open one in the calling thread's namespace, or take over a descriptor (which is then closed by us)."""
    @property
    def max_batch_bytes(self) -> int: ...
    @property
    def max_unanswered(self) -> int: ...
    def fileno(self) -> int: ...
    def execute(self, batch: Batch, /) -> Answers: ...
    def dump_links(self) -> list[LinkRecord]: ...
    def dump_addresses(self, family: int = 0, /) -> list[AddressRecord]: ...
    def dump_routes(self, family: int = 0, /) -> list[RouteRecord]: ...
    def dump_neighbours(self, family: int = 0, /) -> list[NeighbourRecord]: ...
    def close(self) -> None: ...
    @property
    def closed(self) -> bool: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

def execute_many(sockets: Iterable[NetlinkSocket], batches: Iterable[Batch], /) -> list[Answers]:
    """Execute one batch on each of many sockets, one after the other, without the GIL in between."""

observer: Callable[[int, list[tuple[int, bool, bytes]], Answers | None], Any] | None

def observe(
    told: Callable[[int, list[tuple[int, bool, bytes]], Answers | None], Any] | None, /
) -> Callable[[int, list[tuple[int, bool, bytes]], Answers | None], Any] | None:
    """Have somebody told of every exchange of this process from now on, and give who was before."""

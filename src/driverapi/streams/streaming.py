"""What a controller tells: the verbs about events and discovery of :class:`driverapi.Controller`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from driverapi.control.gate import Gate, changes
from driverapi.streams.discovery import tell_gone, tell_new
from driverapi.streams.stream import QUEUE, Stream

if TYPE_CHECKING:
    from driverapi.streams.hub import Hub

__all__ = ["Tells"]


class Tells:
    """The part of a controller that tells others what happens.

    Thread safety: all methods.
    """

    _gate: Gate
    _hub: Hub

    @changes
    def events(self, size: int = QUEUE) -> Stream:
        """Return a stream of what happens to endpoints, links and pools from now on; see :mod:`driverapi.streams`.

        Parameters
        ----------
        size : int
            Events that may wait for the reader; of more he is told the number (``Overflow``).

        Raises
        ------
        errors.InvalidError
            No such size.
        errors.KernelError
            The kernel cannot be listened to.
        """
        return self._hub.subscribe(size)

    @changes
    def discover_new(self, kind: str, data: Any) -> None:
        """Tell the drivers that something new was discovered, as another machine (seed: ``DiscoverNew``).

        Parameters
        ----------
        kind : str
            ``"node"``, with a :class:`driverapi.streams.discovery.Node`, or what drivers know by another name.

        Raises
        ------
        errors.InvalidError
            The kind is no text, or the data is none of that kind.
        errors.BulkError
            Drivers failed; the others were told.
        """
        tell_new(self, kind, data)  # type: ignore[arg-type]

    @changes
    def discover_delete(self, kind: str, data: Any) -> None:
        """Tell the drivers that what was discovered is gone (seed: ``DiscoverDelete``); as :meth:`discover_new`."""
        tell_gone(self, kind, data)  # type: ignore[arg-type]

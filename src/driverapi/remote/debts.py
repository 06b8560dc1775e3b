"""What a plugin did not hear of, and is told when it is there again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, final

from driverapi import errors

__all__ = ["HEARD", "Debt", "Debts"]

Debt = tuple[str, str, str]
"""A verb that takes something away; a network or pool; an endpoint or address, or nothing."""

HEARD: Final = 4
"""How often a plugin is told to take something away that it does not answer."""


@final
class Debts:
    """What one plugin is yet to be told, oldest first.

    Parameters
    ----------
    most : int
        So many at the most are kept; what comes then is forgotten.

    Thread safety: all methods; what is asked for while somebody pays waits in :meth:`pay`.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._paying = threading.Lock()
        self._times: dict[Debt, int] = {}  # how often the plugin was asked and did not answer

    def __len__(self) -> int:
        return len(self._times)

    def owe(self, debt: Debt) -> None:
        """Take note of what the plugin was asked for once, and did not answer."""
        with self._lock:
            if len(self._times) < self._most:
                self._times[debt] = 1

    def pay(self, tell: Callable[[Debt], None]) -> None:
        """Tell the plugin all; what it does not hear now either comes with the next call.

        Each is owed until it is told, and nobody else gets by meanwhile: a Leave that comes late would undo a Join, and
        an address that is given back late may be somebody's by then.

        Parameters
        ----------
        tell : callable
            Tells one. Any error of the plugin's but that it is down means that it has heard.

        Raises
        ------
        errors.PluginDownError
            The plugin did not answer. What it hangs in is given up after some times: nothing else would ever be asked
            of it.
        """
        with self._paying:
            while True:
                with self._lock:
                    if not self._times:
                        return
                    debt, times = next(iter(self._times.items()))
                try:
                    tell(debt)
                except errors.PluginDownError as error:
                    times += error.outcome != "nothing"
                    with self._lock:
                        if times < HEARD:
                            self._times[debt] = times
                        else:
                            del self._times[debt]
                    raise
                except errors.DriverAPIError:
                    pass  # it heard it, and the log has what it said
                with self._lock:
                    del self._times[debt]

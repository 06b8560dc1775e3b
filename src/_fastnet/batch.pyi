from typing import final

from _fastnet.columns import Columns

@final
class Batch(Columns):
    """rtnetlink messages one after the other in one buffer. No I/O.

    Every verb appends one message and returns its position (0, 1, …).
    Names are text or bytes, 1…15 bytes. ``mac`` is 6 bytes, addresses are 4 or 16 bytes (network order).
    ``index`` is an ifindex, 0 = not given. ``namespace`` is a descriptor of a network namespace, -1 = the socket's own.
    """

"""The same verbs for asyncio: nothing here blocks the loop.

::

    async with aio.Controller() as ctl:
        net = await ctl.create_network("bridge", "web", ipv4="10.77.0.0/16")
        async with net.attached(100) as eps:
            ...

Each verb runs in a thread of the controller's own; the native core lets go of the GIL while the kernel works.
What is only read (names, addresses, listings) needs no ``await``, and so does nothing that a warm pool has ready.

Cancelling. A task that is cancelled in the middle of a verb gets its ``CancelledError`` when nothing of the
verb is left: what makes things is undone (``attach`` at its next chunk, the others once they are through), what
takes things away is carried to its end. A second cancellation changes nothing.
"""

from driverapi.aio.stream import Events
from driverapi.aio.verbs import Controller, Endpoint, Network, Sandbox

__all__ = ["Controller", "Endpoint", "Events", "Network", "Sandbox"]

"""What a dataplane is: plans and sandboxes in, outcomes out."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

from driverapi.addresses import Address
from driverapi.plan import EndpointPlan, NetworkPlan, PortMap, PortWish

__all__ = [
    "CHUNK",
    "PAUSE",
    "Counts",
    "Dataplane",
    "Keeps",
    "Netns",
    "Ownership",
    "Progress",
    "Publishes",
    "Realised",
    "Survey",
    "Swept",
    "Work",
]

CHUNK: Final = 50
"""Endpoints that are made, and at best deleted, together, and whose namespaces are then given up together.

The kernel holds its global lock while it deletes a group of links, and again while it cleans up the
namespaces that it finds given up: whoever attaches a single endpoint meanwhile waits. Measured beside
teardowns of 1,000, bridged and routed (2 CPUs, Linux 6.18), the wait of one in a hundred and the
teardown itself::

    all namespaces at the end    135, 151 ms    0.75, 0.73 s
    128                          101, 102 ms    0.85, 0.94 s
    64                            55,  52 ms    0.89, 0.72 s
    48                            48,  47 ms    0.88, 0.77 s
    32                            48,  46 ms    1.14, 1.04 s
"""

PAUSE: Final = 0.01
"""Seconds between giving namespaces up and the next deletion of many links.

The cleaning up is then under way, and who waits for a single endpoint comes after it, not after the
deletion too. Measured as above, later and with chunks of 50: the wait of one in ten, of one in a
hundred, and the teardown::

    none     33-40, 31 ms    50-97, 47-61 ms    0.79, 0.73 s
    5 ms         8,  4 ms       48, 44 ms       0.89, 0.80 s
    10 ms     5-14, 4-7 ms   44-66, 45-55 ms    0.95, 0.88 s
"""

Progress = Callable[[int], None]
"""Called now and then during a bulk call with the number of endpoints that are finished."""


class Ownership(enum.Enum):
    """Whose the namespace of a sandbox is."""

    OWNED = "owned"
    """Made by us, bound to a path of ours; it goes when the sandbox goes."""
    EXISTING = "existing"
    """Somebody's, known by its path; names and indexes in it may be taken."""
    HOST = "host"
    """The host's own; nothing is made in it and no undo touches it."""
    FOREIGN = "foreign"
    """Somebody's who moves the links in, names them and sets them up himself: a Docker engine. Both ends of a pair
    are made on the host's side, and known again by the host end; nothing ever looks into the namespace."""


class Netns(Protocol):
    """The network namespace of one sandbox, as its dataplane knows it."""

    @property
    def key(self) -> str:
        """Path of the namespace."""

    @property
    def ownership(self) -> Ownership:
        """Whose it is."""


@dataclass(frozen=True, slots=True)
class Work:
    """One endpoint to realise: its plan, and the namespace it goes to."""

    plan: EndpointPlan
    netns: Netns


class Realised(Protocol):
    """What the dataplane made for one endpoint; handed back to ``remove``."""

    @property
    def names(self) -> dict[int, str]:
        """Name in the sandbox of each interface, by the interface's id."""


class Dataplane(Protocol):
    """Realises the plans of one call, one or ten thousand, in the fewest operations.

    Every method that takes many answers for each of them, in order: an error, or what was
    made. It never raises for a part of them; a ``BaseException`` (an interrupt) leaves
    nothing behind of the call it came in. Errors are of :mod:`driverapi.errors`.

    Thread safety: all methods.
    """

    def make_sandboxes(self, ids: Sequence[str]) -> Sequence[Netns]:
        """Begin to make a namespace per id, in the background; ids become the names of files."""

    def wait_sandboxes(self, netns: Sequence[Any]) -> list[Exception | None]:
        """Wait until they are made."""

    def open_sandbox(self, path: str) -> Netns:
        """Take an existing namespace, known by its path."""

    def host_sandbox(self) -> Netns:
        """Return the host's own namespace."""

    def foreign_sandbox(self, key: str) -> Netns:
        """Take a namespace that is never looked into; the names of what is realised for it are names on the host."""

    def held(self, realised: Sequence[Any]) -> list[bool]:
        """Tell of each that was realised for a foreign sandbox whether that has its links."""

    def discard_sandboxes(self, ids: Sequence[str]) -> None:
        """Drop whatever there is of sandboxes whose making was interrupted; unknown ids are passed over."""

    def drop_sandboxes(self, netns: Sequence[Any]) -> list[Exception | None]:
        """Unbind those that are owned; the kernel frees a namespace when its last user goes."""

    def realise_network(self, network: str, plan: NetworkPlan) -> None:
        """Make what a network needs on the host, all or nothing."""

    def remove_network(self, network: str) -> None:
        """Take it away; what is gone already is passed over."""

    def realise(self, works: Sequence[Work], progress: Progress | None = None) -> list[Any]:
        """Realise endpoints; answers a ``Realised`` or an ``Exception`` for each."""

    def remove(self, realised: Sequence[Any], progress: Progress | None = None) -> list[Exception | None]:
        """Take away what was realised; what is gone already is passed over."""

    def host_prefixes(self, but: str = "") -> list[Address]:
        """Prefixes that the host has routes to, for choosing others; but for those by a link of that name."""

    def close(self, keep: Collection[str] = ()) -> None:
        """Let go of descriptors; what was realised stays, and sandboxes whose keys are in ``keep``."""


@runtime_checkable
class Publishes(Protocol):
    """A dataplane that publishes ports of sandboxes on the host. Each call is one transaction, whatever its size."""

    def publish(self, wanted: Sequence[tuple[str, Sequence[PortWish]]]) -> list[Any]:
        """Publish ports of endpoints, each of a network (by its id); answers a list of ``PortMap``, or an error."""

    def unpublish(self, ports: Sequence[PortMap]) -> None:
        """Take published ports away; those that are not published are passed over.

        Raises
        ------
        errors.KernelError
            It was refused: all are published still.
        """


@dataclass(frozen=True, slots=True)
class Swept:
    """How much of what carried our mark, and that nobody knew, was taken away."""

    links: int = 0
    namespaces: int = 0
    routes: int = 0
    neighbours: int = 0

    def __bool__(self) -> bool:
        """Tell whether it was anything."""
        return bool(self.links or self.namespaces or self.routes or self.neighbours)


@runtime_checkable
class Counts(Protocol):
    """A dataplane that knows what went through interfaces."""

    def counters(self, realised: Sequence[Any], *, inside: bool) -> list[Any]:
        """Return, for each, an ``InterfaceStatistics`` by each interface's id, or an ``Exception``.

        ``inside``: as the sandbox counts; else as can be seen of many at once.
        """


@runtime_checkable
class Keeps(Protocol):
    """A dataplane whose things can be known again by another process: needed where there is state.

    What it gives to be kept is plain: text, bytes, numbers, None, lists and mappings of them.
    """

    def kept(self, realised: Any) -> object:
        """Return what is needed to know again what was made for an endpoint."""

    def kept_network(self, network: str) -> object:
        """Return what is needed to know again what a network has on the host."""

    def survey(self) -> Survey:
        """Look at what there is that an earlier process made."""


class Survey(Protocol):
    """What there is of an earlier process. In the order of its methods; nobody else makes anything meanwhile."""

    def sandboxes(self, keys: Sequence[tuple[str, Ownership]]) -> list[Any]:
        """Take sandboxes by their paths; answers a ``Netns``, or ``None`` where it is gone."""

    def network(self, network: str, plan: NetworkPlan, kept: object) -> bool:
        """Take what a network has on the host; where not all of it is there, make it anew and answer False."""

    def endpoints(self, works: Sequence[Work], kept: Sequence[object]) -> list[Any]:
        """Take endpoints; answers a ``Realised``, or ``None`` for one of which not all is there."""

    def ports(self, published: Sequence[tuple[str, Sequence[PortMap]]]) -> list[dict[PortMap, Exception]]:
        """Have ports of endpoints published, each of a network, and no others. Of a dataplane that ``Publishes``.

        For each endpoint: those that cannot be, and why; the others are.
        """

    def sweep(self) -> Swept:
        """Take away all of ours that was not taken."""

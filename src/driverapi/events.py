"""What is logged: one table of events, and the only place that logs.

Each record goes to the logger ``driverapi.WORD``, WORD being the first of the event's name, and has the attributes of
:data:`FIELDS` besides its text: ``event`` always, the others ``None`` where the event does not know them. Names of
events, their levels and fields are stable: a minor version may add some, and takes none away. A singular name
(``endpoint.joined``) is about one thing, a plural one (``endpoints.attached``) about a call, and counts.
``docs/watching.md`` has the same table to read.

No handler is installed here; ``logging.getLogger("driverapi").setLevel(logging.INFO)`` and a handler of the
program's own show what goes on.

Thread safety: all functions.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from logging import DEBUG, ERROR, INFO, WARNING
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from driverapi.network import Network

__all__ = [
    "EVENTS",
    "FIELDS",
    "Event",
    "emit",
    "enabled",
    "kind_of",
    "logger_of",
    "of_fault",
    "of_network",
    "problems",
    "table",
    "told_to",
]

FIELDS: Final = MappingProxyType(
    {
        "event": "name of the event",
        "controller": "instance id of the controller: four hexadecimal digits",
        "network": "id of the network",
        "network_name": "its name; empty where an id is all that there is",
        "driver": "its network type",
        "endpoint": "id of the endpoint",
        "endpoint_name": "its name",
        "sandbox": "key of the sandbox: the path of its namespace",
        "verb": "what was asked for: create, join, leave, delete, attach, detach, create_network, delete_network",
        "count": "how many it is done for",
        "failed": "how many failed, each undone",
        "seconds": "how long the call took; of warm.refill_failed: until the next try",
        "address": "an address of an endpoint",
        "ports": "published ports, as text, with commas between",
        "option": "name of an option",
        "hint": "what was probably meant",
        "error_kind": "value of the error's errors.Kind; 'internal' of errors that are not ours",
        "error": "text of the error; of several, of the first",
    }
)
"""Attributes that every record has, and what they hold."""


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of record.

    Attributes
    ----------
    level : int
        Of :mod:`logging`.
    text : str
        The message, with fields as ``%(count)d``.
    meaning : str
        When it is logged.
    fields : tuple of str
        Those that it fills, of :data:`FIELDS`.
    """

    level: int
    text: str
    meaning: str
    fields: tuple[str, ...]


_NETWORK: Final = ("network", "network_name", "driver")
_ENDPOINT: Final = (*_NETWORK, "endpoint", "endpoint_name")
_CALL: Final = (*_NETWORK, "count", "failed", "seconds")
_FAULT: Final = ("error_kind", "error")

EVENTS: Final = MappingProxyType(
    {
        "controller.opened": Event(INFO, "controller %(controller)s is open", "A controller is made.", ("controller",)),
        "controller.closed": Event(
            INFO, "controller %(controller)s is closed", "All that it made is taken away.", ("controller",)
        ),
        "controller.close_failed": Event(
            ERROR,
            "controller %(controller)s could not take everything away: %(failed)d faults, first: %(error)s",
            "Something stayed behind; the controller can be closed again.",
            ("controller", "failed", *_FAULT),
        ),
        "network.created": Event(
            INFO,
            "network %(network_name)s (%(network).12s, %(driver)s) is created",
            "A network is ready.",
            (*_NETWORK, "seconds"),
        ),
        "network.deleted": Event(
            INFO,
            "network %(network_name)s (%(network).12s, %(driver)s) is deleted",
            "A network is gone.",
            (*_NETWORK, "seconds"),
        ),
        "network.failed": Event(
            WARNING,
            "network %(network_name)s (%(network).12s, %(driver)s): %(verb)s failed: %(error)s",
            "A network could not be created, and is undone, or not deleted, and is there still.",
            (*_NETWORK, "verb", "seconds", *_FAULT),
        ),
        "host.forwarding": Event(
            INFO,
            "%(option)s",
            "A sysctl of the machine was written: for the first network that has the host forward, or after the last.",
            ("option",),
        ),
        "network.not_forwarded": Event(
            WARNING,
            "network %(network_name)s (%(network).12s): %(option)s is 0, and no other link forwards by itself: from "
            "elsewhere nobody reaches its ports, and what it sends there gets no answer: set it to 1 (sysctl -w)",
            "A network got its rules (when it was made, or with its first port), and what comes in by links that are "
            "not ours is not forwarded: set the option, or forwarding of those links. Once for each family.",
            ("network", "network_name", "option"),
        ),
        "network.parent_lost": Event(
            ERROR,
            "network %(network)s is there without its parent: %(error)s",
            "A controller has started again, and the link that a network was on is gone: no endpoint can join.",
            ("network", "network_name", *_FAULT),
        ),
        "endpoint.created": Event(
            INFO,
            "endpoint %(endpoint_name)s on network %(network).12s is created",
            "An endpoint has its addresses. In a call for several: at DEBUG, as the next three.",
            (*_ENDPOINT, "seconds"),
        ),
        "endpoint.joined": Event(
            INFO,
            "endpoint %(endpoint_name)s on network %(network).12s is in %(sandbox)s",
            "Its interfaces are up in the sandbox.",
            (*_ENDPOINT, "sandbox", "seconds"),
        ),
        "endpoint.left": Event(
            INFO,
            "endpoint %(endpoint_name)s on network %(network).12s has left %(sandbox)s",
            "Its interfaces are gone from the sandbox.",
            (*_ENDPOINT, "sandbox", "seconds"),
        ),
        "endpoint.deleted": Event(
            INFO,
            "endpoint %(endpoint_name)s on network %(network).12s is deleted",
            "The driver has forgotten it.",
            (*_ENDPOINT, "seconds"),
        ),
        "endpoint.failed": Event(
            WARNING,
            "endpoint %(endpoint_name)s on network %(network).12s: %(verb)s failed: %(error)s",
            "What was asked for one endpoint failed, and is undone. In a call for several: at DEBUG.",
            (*_ENDPOINT, "verb", "sandbox", "seconds", *_FAULT),
        ),
        "endpoints.created": Event(
            INFO,
            "%(count)d endpoints created, %(failed)d failed, in %(seconds).3f s",
            "A call for several ended that is no part of an attach or a detach. The next three likewise.",
            _CALL,
        ),
        "endpoints.joined": Event(
            INFO,
            "%(count)d endpoints joined, %(failed)d failed, in %(seconds).3f s",
            "They are in their sandboxes.",
            _CALL,
        ),
        "endpoints.left": Event(
            INFO,
            "%(count)d endpoints left, %(failed)d failed, in %(seconds).3f s",
            "They are out of their sandboxes.",
            _CALL,
        ),
        "endpoints.deleted": Event(
            INFO,
            "%(count)d endpoints deleted, %(failed)d failed, in %(seconds).3f s",
            "The driver has forgotten them.",
            _CALL,
        ),
        "endpoints.attached": Event(
            INFO,
            "network %(network_name)s: %(count)d endpoints attached, %(failed)d failed, in %(seconds).3f s",
            "Network.attach ended; out of a warm pool, too.",
            _CALL,
        ),
        "endpoints.detached": Event(
            INFO,
            "network %(network_name)s: %(count)d endpoints detached, %(failed)d failed, in %(seconds).3f s",
            "Network.detach ended.",
            _CALL,
        ),
        "endpoints.failed": Event(
            WARNING,
            "%(failed)d endpoints: %(verb)s failed (%(error_kind)s), the first: %(error)s",
            "Some of a call for several failed: one record for each kind of error.",
            (*_NETWORK, "verb", "failed", "seconds", *_FAULT),
        ),
        "endpoints.interrupted": Event(
            WARNING,
            "%(verb)s of %(count)d endpoints ended early: %(error)s",
            "An interrupt, or a fault of the store, ended a call. What it had made is undone.",
            ("verb", "count", "seconds", *_FAULT),
        ),
        "ports.lost": Event(
            WARNING,
            "endpoint %(endpoint_name)s on network %(network).12s has lost its published ports %(ports)s: %(error)s",
            "After a restart: somebody has these ports of the host since, or the kernel refused. Others of it stay.",
            (*_ENDPOINT, "ports", *_FAULT),
        ),
        "sandbox.created": Event(
            INFO, "sandbox %(sandbox)s is there", "create_sandbox ended; not logged for those of attach.", ("sandbox",)
        ),
        "sandbox.deleted": Event(INFO, "sandbox %(sandbox)s is deleted", "Sandbox.delete ended.", ("sandbox",)),
        "sandbox.files_failed": Event(
            ERROR,
            "files of sandbox %(sandbox)s could not be written: %(error)s",
            "Its /etc/hosts or /etc/resolv.conf is not up to date; it is tried again at the next change.",
            ("sandbox", *_FAULT),
        ),
        "undo.failed": Event(
            ERROR,
            "a step of an undo failed: %(error)s",
            "While undoing after an error, another came, and is a note of the first: something may be left behind.",
            _FAULT,
        ),
        "warm.refilled": Event(
            DEBUG,
            "warm pool of network %(network_name)s: %(count)d more are ready",
            "Endpoints were made before anybody asked for them.",
            (*_NETWORK, "count"),
        ),
        "warm.refill_failed": Event(
            WARNING,
            "warm pool of network %(network_name)s: %(error)s; next try in %(seconds).1f s",
            "It is tried again, at longer and longer intervals.",
            (*_NETWORK, "seconds", *_FAULT),
        ),
        "warm.takeaway_failed": Event(
            ERROR,
            "warm endpoint %(endpoint_name)s could not be taken away: %(error)s",
            "An endpoint that nobody had taken resists; from now on the network shows it, and it can be detached.",
            (*_ENDPOINT, *_FAULT),
        ),
        "aio.cancelled_failed": Event(
            ERROR,
            "a verb whose task was cancelled failed: %(error)s",
            "Nobody waits for its outcome any more.",
            _FAULT,
        ),
        "ipam.not_released": Event(
            WARNING,
            "network %(network_name)s: its IPAM did not take %(count)d addresses back: %(error)s",
            "Endpoints are gone whose addresses may be taken still, where an IPAM of others gives them.",
            ("network_name", "count", *_FAULT),
        ),
        "driver.option_ignored": Event(
            WARNING,
            "%(driver)s: option %(option)r is ignored here%(hint)s",
            "A network or an endpoint was made with an option that this driver does not have.",
            ("driver", "option", "hint"),
        ),
        "driver.mac_drawn": Event(
            DEBUG,
            "the MAC derived from %(address)s is in use, drawing one",
            "A user chose the MAC address that an endpoint would have had.",
            ("address",),
        ),
        "bridge.still_flooded": Event(
            WARNING,
            "some endpoints are still flooded to: %(error)s",
            "A network has grown beyond one bridge, and the flooding could not be ended everywhere.",
            _FAULT,
        ),
        "route.not_passed_on": Event(
            ERROR,
            "the default route of %(sandbox)s could not be passed on: %(error)s",
            "The endpoint that had the default route has left, and no other of the sandbox has it now.",
            ("sandbox", *_FAULT),
        ),
        "endpoint.not_announced": Event(
            WARNING,
            "endpoint %(endpoint_name)s is not announced to its neighbours: %(error)s",
            "It is up; who knew its address with another MAC has to find out.",
            ("network", "endpoint", "endpoint_name", *_FAULT),
        ),
        "conntrack.absent": Event(
            DEBUG, "no connection tracking here: %(error)s", "Nothing is to be forgotten, then.", _FAULT
        ),
        "conntrack.still_tracked": Event(
            WARNING,
            "connections of %(count)d addresses may still be tracked: %(error)s",
            "Addresses are free again whose connections the kernel could not be made to forget.",
            ("count", *_FAULT),
        ),
        "state.restored": Event(
            INFO,
            "state restored in %(seconds).3f s: %(count)d endpoints are up, %(failed)d are not any more",
            "A controller with state has started again.",
            ("controller", "count", "failed", "seconds"),
        ),
        "state.owed": Event(
            WARNING,
            "%(error)s; it will be written later",
            "What was done could not be written; it is written with what comes next.",
            _FAULT,
        ),
        "remote.failed": Event(
            WARNING,
            "plugin %(driver)s: %(verb)s failed: %(error)s",
            "A Docker plugin that is a driver or an IPAM here said no, could not be asked, or answered what cannot be.",
            ("driver", "verb", "seconds", *_FAULT),
        ),
        "remote.ignored": Event(
            WARNING,
            "plugin %(driver)s: %(verb)s: %(error)s; it is taken as done",
            "Such a plugin did not take something away, and did not say why in a way that is known.",
            ("driver", "verb", "network", *_FAULT),
        ),
        "remote.forgotten": Event(
            WARNING,
            "plugin %(driver)s has forgotten an endpoint: %(error)s; it is created there again",
            "Such a plugin knew nothing of an endpoint that was to join a sandbox.",
            ("driver", "network", "endpoint", *_FAULT),
        ),
        "remote.down": Event(
            WARNING,
            "plugin %(driver)s does not answer: %(error)s; it is asked now and then",
            "Such a plugin did not answer in time: other calls fail at once.",
            ("driver", "error"),
        ),
        "remote.back": Event(
            INFO,
            "plugin %(driver)s answers again",
            "The first answer after that.",
            ("driver",),
        ),
        "plugin.activated": Event(
            INFO,
            "an engine has activated the plugin of driver %(driver)s",
            "A Docker engine has started, or found the plugin.",
            ("driver",),
        ),
        "plugin.reconciled": Event(
            WARNING,
            "endpoint %(endpoint).12s was in no sandbox any more: taken away (%(address)s)",
            "A plugin took away an endpoint that its engine had forgotten; without state nothing else tells of it.",
            ("network", "endpoint", "address"),
        ),
        "plugin.not_reconciled": Event(
            WARNING,
            "what an engine may have forgotten could not be looked at, or taken away: %(error)s",
            "It is tried again.",
            _FAULT,
        ),
        "plugin.no_rule": Event(
            WARNING,
            "sandboxes of a bridge may not hear of each other: %(error)s",
            "A rule that lets packets pass beside a Docker engine could not be made.",
            _FAULT,
        ),
        "plugin.no_default": Event(
            WARNING,
            "network %(network).12s is made without %(option)s: %(error)s",
            "A plugin made a network without what its engine's networks have where nothing is said: this host cannot.",
            ("network", "option", *_FAULT),
        ),
        "plugin.fault": Event(
            ERROR,
            "%(verb)s failed inside: %(error)s",
            "A request met an error that is none of this package's: a fault of a driver, or ours.",
            ("verb", *_FAULT),
        ),
        "stream.failed": Event(
            ERROR,
            "what the kernel says could not be read: %(error)s",
            "Readers of Controller.events may miss something about links.",
            _FAULT,
        ),
        "watch.failed": Event(
            ERROR,
            "an observer failed and is told no more: %(error)s",
            "What metrics are counted by raised; the call that it was told of is not touched by it.",
            _FAULT,
        ),
    }
)
"""All events by name."""

_BLANK: Final = dict.fromkeys(FIELDS)
_LOGGERS: Final = {word: logging.getLogger(f"driverapi.{word}") for word in {name.split(".")[0] for name in EVENTS}}
_counting: Final = threading.Lock()
_problems: Counter[str] = Counter()

logging.getLogger("driverapi").addHandler(logging.NullHandler())


def logger_of(event: str) -> logging.Logger:
    """Return the logger of an event."""
    return _LOGGERS[event.partition(".")[0]]


def enabled(event: str, level: int | None = None) -> bool:
    """Tell whether anybody would see an event, at its own level or at another."""
    found = EVENTS[event]
    return logger_of(event).isEnabledFor(found.level if level is None else level)


def emit(event: str, level: int | None = None, **fields: Any) -> None:
    """Log an event.

    Parameters
    ----------
    event : str
        One of :data:`EVENTS`; any other is a ``KeyError``.
    level : int, optional
        In place of the event's own.
    **fields
        Of :data:`FIELDS`.
    """
    found = EVENTS[event]
    if level is None:
        level = found.level
    if level >= WARNING:
        with _counting:
            _problems[event] += 1
    logger = logger_of(event)
    if logger.isEnabledFor(level):
        values = {**_BLANK, **fields, "event": event}
        shown = values if values["network"] else {**values, "network": "(unknown)"}
        logger.log(level, found.text, shown, extra=values, stacklevel=2)


@contextmanager
def told_to(handler: logging.Handler) -> Iterator[None]:
    """Have a handler told of all that is logged, for the time of a block."""
    logger = logging.getLogger("driverapi")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def problems() -> dict[str, int]:
    """Return how many events of level WARNING and above there were in this process, by name; logged or not."""
    with _counting:
        return dict(_problems)


def kind_of(error: BaseException) -> str:
    """Return the value of an error's kind; ``"internal"`` of an error that is not ours."""
    kind = getattr(error, "kind", None)
    value = getattr(kind, "value", None)
    return value if isinstance(value, str) else "internal"


def of_fault(error: BaseException) -> dict[str, Any]:
    """Return the fields of an error."""
    return {"error_kind": kind_of(error), "error": str(error) or type(error).__name__}


def of_network(network: Network) -> dict[str, Any]:
    """Return the fields of a network."""
    return {"network": network.id, "network_name": network.name, "driver": network.type}


def table() -> str:
    """Return the events as a table of Markdown."""
    lines = ["| event | level | meaning | fields |", "|---|---|---|---|"]
    lines += [
        f"| `{name}` | {logging.getLevelName(event.level)} | {event.meaning} | {', '.join(event.fields)} |"
        for name, event in EVENTS.items()
    ]
    return "\n".join(lines)

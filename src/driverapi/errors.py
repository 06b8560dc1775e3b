"""Every error of the package: one base, a class per case, a kind per class.

Each error names the thing it is about, says what to do, and leaves the state as it was.
The seed's own errors keep their names in the docstrings (``ErrNoNetwork`` …).
Each class is also the exception of Python's own that fits, so ``except LookupError`` and
``except PermissionError`` mean what a reader expects.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any, Self

__all__ = [
    "ActiveRegistrationError",
    "AddressTakenError",
    "AddressesExhaustedError",
    "BulkError",
    "BusyError",
    "ClosedError",
    "ConflictError",
    "DriverAPIError",
    "DriverFaultError",
    "EndpointExistsError",
    "ForkedError",
    "InterfacesGivenError",
    "InvalidError",
    "JoinedError",
    "KernelConflictError",
    "KernelError",
    "KernelLimitError",
    "KernelUnsupportedError",
    "Kind",
    "NetworkExistsError",
    "NoDriverError",
    "NoEndpointError",
    "NoNetworkError",
    "NoPermissionError",
    "NoSandboxError",
    "NotFoundError",
    "NotImplementedYetError",
    "NotJoinedError",
    "PluginDownError",
    "PluginError",
    "PluginRefusedError",
    "PortTakenError",
    "PortsExhaustedError",
    "SandboxExistsError",
    "SealedError",
    "StateBusyError",
    "StateDamagedError",
    "StateError",
    "UnsafePathError",
]


class Kind(enum.Enum):
    """What a caller can do about an error; the wire of a plugin maps it to a status."""

    INVALID = "invalid"
    """The request can never succeed as it is: change it."""
    NOT_FOUND = "not-found"
    """What it names does not exist."""
    CONFLICT = "conflict"
    """Something else has what it wants, or the state forbids it now."""
    EXHAUSTED = "exhausted"
    """Nothing is left to give: release something, or ask for a larger pool."""
    FORBIDDEN = "forbidden"
    """The process may not do it."""
    UNSUPPORTED = "unsupported"
    """This driver, package or kernel cannot do it."""
    INTERNAL = "internal"
    """A driver or the kernel failed."""


class DriverAPIError(Exception):
    """Base of every error of this package.

    Parameters
    ----------
    message : str
        What is wrong, with the name of the thing, and what to do.
    """

    kind: Kind = Kind.INTERNAL

    def __str__(self) -> str:
        """Return the message alone."""
        return str(self.args[0]) if self.args else type(self).__name__


# --- the seed's errors, and the two bases that more of ours have -----------------------------------


class ConflictError(DriverAPIError, ValueError):
    """Something else has what was asked for, or its state forbids the call."""

    kind = Kind.CONFLICT


class EndpointExistsError(ConflictError):
    """The network has an endpoint of that name or id already (seed: ``ErrEndpointExists``)."""


class NotFoundError(DriverAPIError, LookupError):
    """Base of the errors that say: no such thing."""

    kind = Kind.NOT_FOUND


class NoNetworkError(NotFoundError):
    """No network of that name or id (seed: ``ErrNoNetwork``)."""


class NoEndpointError(NotFoundError):
    """No endpoint of that name or id (seed: ``ErrNoEndpoint``)."""


class NotImplementedYetError(DriverAPIError, NotImplementedError):
    """The driver, this package or this kernel does not do that (seed: ``ErrNotImplemented``)."""

    kind = Kind.UNSUPPORTED


class ActiveRegistrationError(ConflictError):
    """A driver is registered for that network type already (seed: ``ErrActiveRegistration``)."""

    def __init__(self, network_type: str) -> None:
        super().__init__(
            f"driver already registered for type {network_type!r}; choose another name, or register it "
            "in a DriverRegistry of its own"
        )
        self.network_type = network_type

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        """Pickle by the network type, not by the text made of it."""
        return type(self), (self.network_type,)


# --- names and states ----------------------------------------------------------------------------


class InvalidError(DriverAPIError, ValueError):
    """A value that no state could make right: a prefix that is none, an unknown option."""

    kind = Kind.INVALID


class NoDriverError(NotFoundError):
    """No driver of that network type is registered, built in or installed."""


class NoSandboxError(NotFoundError):
    """No such sandbox, or the path is not a network namespace."""


class NetworkExistsError(ConflictError):
    """A network of that name exists already."""


class SandboxExistsError(ConflictError):
    """A sandbox of that name exists already."""


class BusyError(ConflictError):
    """What should be deleted is in use, or another call is at work on it."""


class JoinedError(ConflictError):
    """The endpoint has joined a sandbox already."""


class NotJoinedError(ConflictError):
    """The endpoint has not joined that sandbox."""


class AddressTakenError(ConflictError):
    """The wanted IP or MAC address is in use."""


class AddressesExhaustedError(DriverAPIError, LookupError):
    """The pool has no free address left."""

    kind = Kind.EXHAUSTED


class PortTakenError(ConflictError):
    """The wanted port of the host is in use: published already, or by a process that is not ours."""


class PortsExhaustedError(DriverAPIError, LookupError):
    """Every port of the range is in use."""

    kind = Kind.EXHAUSTED


class ClosedError(DriverAPIError, ValueError):
    """The controller, or what belonged to it, was closed or deleted."""

    kind = Kind.CONFLICT


class ForkedError(DriverAPIError, RuntimeError):
    """The controller belongs to the parent process; a child makes its own."""

    kind = Kind.FORBIDDEN


class StateError(DriverAPIError, RuntimeError):
    """The state could not be read or written: a full disk, say. What was asked for is undone."""

    kind = Kind.INTERNAL


class StateBusyError(StateError, ConflictError):
    """Another controller has the state open for writing; the text names its process."""

    kind = Kind.CONFLICT


class StateDamagedError(StateError):
    """The state is not what was written; the text names the last good copy."""


class UnsafePathError(DriverAPIError, PermissionError):
    """Another user could change a directory or a file that this package would trust."""

    kind = Kind.FORBIDDEN


# --- the rules of the contract with drivers ------------------------------------------------------


class InterfacesGivenError(ConflictError):
    """The driver was given interfaces: it may consume or refuse them, not add or change any."""


class SealedError(ConflictError):
    """A driver kept an ``EndpointInfo`` or ``JoinInfo`` and used it after the call it was for."""


class DriverFaultError(DriverAPIError, RuntimeError):
    """A driver, or an IPAM, raised an error that is none of this package's, which is the ``__cause__``.

    Or an IPAM gave what was not asked for.
    """


# --- plugins of a Docker engine that are drivers here ----------------------------------------------


class PluginError(DriverAPIError, RuntimeError):
    """A plugin answered what cannot be, or its connection was cut.

    Attributes
    ----------
    outcome : str
        What is known of the request: ``"nothing"`` was done, it is ``"unknown"``, or it was ``"answered"``.
    """

    outcome: str = "unknown"

    def __init__(self, message: str, outcome: str = "unknown") -> None:
        super().__init__(message)
        self.outcome = outcome

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the outcome."""
        return type(self), (str(self), self.outcome)


class PluginDownError(PluginError, ConnectionError):
    """A plugin is not there, or does not answer in time."""


class PluginRefusedError(PluginError):
    """A plugin said no, for a reason that no other class of this package has.

    Attributes
    ----------
    kind : Kind
        What the plugin said, or what its status means.
    """

    def __init__(self, message: str, kind: Kind = Kind.INTERNAL) -> None:
        super().__init__(message, "nothing")
        self.kind = kind

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the kind."""
        return type(self), (str(self), self.kind)


# --- the kernel ----------------------------------------------------------------------------------


class KernelError(DriverAPIError, OSError):
    """The kernel refused an operation.

    Attributes
    ----------
    errno : int
        The kernel's error number (positive).
    """

    def __init__(self, message: str, errno: int = 0) -> None:
        super().__init__(errno, message)

    def __str__(self) -> str:
        """Return the message, which names the operation and the kernel's own words."""
        return str(self.args[1])

    def __reduce__(self) -> tuple[type[Self], tuple[str, int]]:
        """Pickle by the constructor's own order of arguments."""
        return type(self), (self.args[1], self.args[0])


class NoPermissionError(KernelError, PermissionError):
    """The process lacks the capability: run as root, or inside a user namespace."""

    kind = Kind.FORBIDDEN


class KernelConflictError(KernelError):
    """A name or a number that the operation needs is taken in the kernel."""

    kind = Kind.CONFLICT


class KernelLimitError(KernelError):
    """A limit of the kernel is reached: the ports of a bridge, say."""

    kind = Kind.EXHAUSTED


class KernelUnsupportedError(KernelError):
    """The kernel was built without what the operation needs."""

    kind = Kind.UNSUPPORTED


# --- many at once --------------------------------------------------------------------------------


class BulkError(DriverAPIError, ExceptionGroup[Exception]):
    """Some endpoints of a bulk call failed: ``attach(…, strict=True)``, or a ``detach``.

    ``except DriverAPIError`` catches it whole, ``except* BusyError`` the part that is meant.

    Attributes
    ----------
    kind : Kind
        That of the errors in it, where they have the same; else ``Kind.INTERNAL``.
    results : list of Endpoint
        All endpoints of the call in order: those that are done, and those with ``.error`` set.
    """

    results: list[Any]

    def __new__(cls, message: str, exceptions: Sequence[Exception], results: Sequence[Any] = ()) -> Self:
        """Make the group; ``results`` travels along when it is split."""
        self = super().__new__(cls, message, exceptions)
        self.results = list(results)
        kinds = {one.kind if isinstance(one, DriverAPIError) else Kind.INTERNAL for one in self.exceptions}
        self.kind = kinds.pop() if len(kinds) == 1 else Kind.INTERNAL
        return self

    def __init__(self, message: str, exceptions: Sequence[Exception], results: Sequence[Any] = ()) -> None:
        super().__init__(message, exceptions)

    def __str__(self) -> str:
        """Return the message and how many errors there are."""
        return ExceptionGroup.__str__(self)

    def derive(self, excs: Sequence[Any], /) -> Any:
        """Keep the class and the results of a part of the group (``except*``)."""
        return BulkError(self.message, excs, self.results)

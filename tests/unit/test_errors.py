"""Errors: a kind each, Python's own class each, and whole after a trip to another process."""

from __future__ import annotations

import copy
import errno
import pickle

import pytest

from driverapi import errors
from driverapi._native import NetlinkError
from driverapi.dataplane.failures import failure
from driverapi.errors import DriverAPIError, Kind

CLASSES = [
    one for name in errors.__all__ if isinstance(one := getattr(errors, name), type) and issubclass(one, DriverAPIError)
]

OWN = {
    errors.NoNetworkError: (Kind.NOT_FOUND, LookupError),
    errors.NoEndpointError: (Kind.NOT_FOUND, LookupError),
    errors.NoDriverError: (Kind.NOT_FOUND, LookupError),
    errors.NoSandboxError: (Kind.NOT_FOUND, LookupError),
    errors.EndpointExistsError: (Kind.CONFLICT, ValueError),
    errors.NetworkExistsError: (Kind.CONFLICT, ValueError),
    errors.SandboxExistsError: (Kind.CONFLICT, ValueError),
    errors.ActiveRegistrationError: (Kind.CONFLICT, ValueError),
    errors.AddressTakenError: (Kind.CONFLICT, ValueError),
    errors.JoinedError: (Kind.CONFLICT, ValueError),
    errors.NotJoinedError: (Kind.CONFLICT, ValueError),
    errors.SealedError: (Kind.CONFLICT, ValueError),
    errors.BusyError: (Kind.CONFLICT, ValueError),
    errors.ClosedError: (Kind.CONFLICT, ValueError),
    errors.InterfacesGivenError: (Kind.CONFLICT, ValueError),
    errors.InvalidError: (Kind.INVALID, ValueError),
    errors.AddressesExhaustedError: (Kind.EXHAUSTED, LookupError),
    errors.NotImplementedYetError: (Kind.UNSUPPORTED, NotImplementedError),
    errors.ForkedError: (Kind.FORBIDDEN, RuntimeError),
    errors.NoPermissionError: (Kind.FORBIDDEN, PermissionError),
    errors.UnsafePathError: (Kind.FORBIDDEN, PermissionError),
    errors.DriverFaultError: (Kind.INTERNAL, RuntimeError),
    errors.PluginError: (Kind.INTERNAL, RuntimeError),
    errors.PluginDownError: (Kind.INTERNAL, ConnectionError),
    errors.PluginRefusedError: (Kind.INTERNAL, RuntimeError),
    errors.KernelError: (Kind.INTERNAL, OSError),
    errors.KernelConflictError: (Kind.CONFLICT, OSError),
    errors.KernelLimitError: (Kind.EXHAUSTED, OSError),
    errors.KernelUnsupportedError: (Kind.UNSUPPORTED, OSError),
}


@pytest.mark.parametrize("kind", OWN, ids=lambda one: one.__name__)
def test_kind_and_pythons_own(kind: type[DriverAPIError]) -> None:
    expected, base = OWN[kind]
    assert kind.kind is expected
    assert issubclass(kind, base)


def test_what_exists_already_is_a_conflict() -> None:
    for kind in (errors.EndpointExistsError, errors.NetworkExistsError, errors.ActiveRegistrationError):
        assert issubclass(kind, errors.ConflictError)


@pytest.mark.parametrize("kind", [one for one in CLASSES if one is not errors.BulkError], ids=lambda one: one.__name__)
def test_text_and_pickle(kind: type[DriverAPIError]) -> None:
    error = kind("network 'web': no")
    assert "network 'web': no" in str(error)
    assert kind.__doc__
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is kind
        assert str(again) == str(error)
        assert again.args == error.args


@pytest.mark.parametrize("kind", [errors.KernelError, errors.NoPermissionError, errors.KernelLimitError])
def test_errno_survives(kind: type[errors.KernelError]) -> None:
    error = kind("add link dv1: No such device", 19)
    again = pickle.loads(pickle.dumps(error))
    assert (error.errno, again.errno) == (19, 19)
    assert str(error) == str(again) == "add link dv1: No such device"


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EEXIST, errors.KernelConflictError),
        (errno.EBUSY, errors.KernelConflictError),
        (errno.EXFULL, errors.KernelLimitError),
        (errno.EOPNOTSUPP, errors.KernelUnsupportedError),
        (errno.EPERM, errors.NoPermissionError),
        (errno.ENODEV, errors.KernelError),
    ],
)
def test_a_refusal_of_the_kernel_is_typed(number: int, kind: type[errors.KernelError]) -> None:
    said = NetlinkError(number, "add veth dv1")
    error = failure("endpoint 'web'", said)
    assert type(error) is kind
    assert (error.errno, error.__cause__) == (number, said)
    assert str(error).startswith("endpoint 'web': add veth dv1: ")
    assert type(pickle.loads(pickle.dumps(error))) is kind


def test_registration_names_the_type() -> None:
    error = pickle.loads(pickle.dumps(errors.ActiveRegistrationError("lab")))
    assert error.network_type == "lab"
    assert str(error).count("'lab'") == 1
    assert "unregister" not in str(error)  # there is no such thing


def test_every_seed_error_is_named() -> None:
    seed = {"ErrEndpointExists", "ErrNoNetwork", "ErrNoEndpoint", "ErrNotImplemented", "ErrActiveRegistration"}
    told = " ".join(one.__doc__ or "" for one in CLASSES)
    assert {name for name in seed if name in told} == seed


def bulk() -> errors.BulkError:
    return errors.BulkError("attach", [errors.InvalidError("a"), errors.BusyError("b")], ["one", "two"])


def test_bulk_splits_and_keeps_its_results() -> None:
    match, rest = bulk().split(errors.BusyError)
    assert type(match) is type(rest) is errors.BulkError
    assert [str(one) for one in match.exceptions] == ["b"]
    assert [str(one) for one in rest.exceptions] == ["a"]
    assert match.results == rest.results == ["one", "two"]
    assert errors.BulkError("none named", [ValueError()]).results == []


def test_bulk_is_one_of_ours() -> None:
    error = bulk()
    assert isinstance(error, DriverAPIError)
    assert isinstance(error, ExceptionGroup)
    assert str(error) == "attach (2 sub-exceptions)"
    assert error.kind is Kind.INTERNAL
    assert [one.kind for one in error.split(errors.BusyError) if one is not None] == [Kind.CONFLICT, Kind.INVALID]
    assert errors.BulkError("any", [ValueError(), errors.BusyError("b")]).kind is Kind.INTERNAL
    again = pickle.loads(pickle.dumps(error.split(errors.BusyError)[0]))
    assert (str(again), again.kind, again.results) == ("attach (1 sub-exception)", Kind.CONFLICT, ["one", "two"])


def test_bulk_is_caught_by_kind_and_pickled() -> None:
    seen: list[object] = []
    try:
        raise bulk()
    except* errors.InvalidError as group:
        seen.append(group.results)
    except* errors.BusyError as group:
        seen.append(len(group.exceptions))
    assert seen == [["one", "two"], 1]
    again = pickle.loads(pickle.dumps(bulk()))
    assert again.results == ["one", "two"]
    assert [type(one) for one in again.exceptions] == [errors.InvalidError, errors.BusyError]


def test_bulk_holds_exceptions_only() -> None:
    with pytest.raises(TypeError):
        errors.BulkError("no", [KeyboardInterrupt()])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="non-empty"):
        errors.BulkError("none", [])

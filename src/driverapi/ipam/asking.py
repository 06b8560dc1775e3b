"""What is asked of an IPAM, and what comes of its faults: always an error of this package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn, ParamSpec, TypeVar

from driverapi import errors
from driverapi.addresses import Address, format_ip
from driverapi.ipam.contract import IPAM, ByMAC, Pool
from driverapi.ipam.default import DefaultIPAM

__all__ = ["ask", "ask_address", "ask_addresses", "ask_by_mac", "check_pool"]

P = ParamSpec("P")
T = TypeVar("T")


def ask(method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a method of an IPAM; what it raises that is not ours comes as the cause of a ``DriverFaultError``."""
    try:
        return method(*args, **kwargs)
    except errors.DriverAPIError:
        raise
    except Exception as fault:
        name = getattr(method, "__qualname__", repr(method))
        raise errors.DriverFaultError(f"IPAM: {name} failed: {type(fault).__name__}: {fault}") from fault


def check_pool(ipam: IPAM, given: object, version: int) -> Pool:
    """Return what an IPAM gave for a pool, if it is one; else it goes back as far as that can be.

    Raises
    ------
    errors.DriverFaultError
        It is no pool, or one of the other family.
    """
    if type(ipam) is DefaultIPAM:
        assert isinstance(given, Pool)
        return given
    if isinstance(given, Pool) and isinstance(given.id, str) and given.id:
        prefix: object = given.prefix
        if isinstance(prefix, Address) and prefix.version == version and prefix == prefix.network:
            return given
        fault = _fault(ipam, "request_pool", given, f"a pool with a prefix of IPv{version}")
        _undo(fault, ipam.release_pool, given.id)
        raise fault
    raise _fault(ipam, "request_pool", given, "a pool")


def ask_addresses(ipam: IPAM, pool: Pool, count: int) -> list[Address]:
    """Take that many addresses; where it gave others, or not as many, those of the pool go back.

    Raises
    ------
    errors.DriverFaultError
        So it was, or it failed.
    """
    given: object = ask(ipam.request_addresses, pool.id, count)
    listed = given if isinstance(given, list) else []
    if type(ipam) is DefaultIPAM:
        return listed
    ours = {one.ip for one in listed if _is_of(pool, one)}
    if len(ours) == len(listed) == count:
        return listed
    fault = _fault(ipam, "request_addresses", given, f"{count} addresses of {pool.prefix}")
    _give_back(fault, ipam, pool, list(ours))
    raise fault


def ask_address(ipam: IPAM, pool: Pool, wanted: bytes) -> Address:
    """Take a given address; where it gave another of the pool, that goes back.

    Raises
    ------
    errors.DriverFaultError
        So it was, or it failed.
    """
    given: object = ask(ipam.request_address, pool.id, wanted)
    if isinstance(given, Address) and given.ip == wanted:
        return given
    return _refuse(ipam, pool, "request_address", given, f"address {format_ip(wanted)}")


def ask_by_mac(ipam: IPAM, pool: Pool, mac: bytes) -> Address:
    """Take an address for a MAC, of an IPAM that has such.

    Raises
    ------
    errors.DriverFaultError
        It gave none of the pool, or failed.
    """
    assert isinstance(ipam, ByMAC)
    given: object = ask(ipam.request_by_mac, pool.id, mac)
    if isinstance(given, Address) and _is_of(pool, given):
        return given
    return _refuse(ipam, pool, "request_by_mac", given, f"an address of {pool.prefix}")


def _is_of(pool: Pool, given: object) -> bool:
    return isinstance(given, Address) and given.ip in pool.prefix


def _refuse(ipam: IPAM, pool: Pool, method: str, given: object, wanted: str) -> NoReturn:
    fault = _fault(ipam, method, given, wanted)
    if isinstance(given, Address) and _is_of(pool, given):
        _give_back(fault, ipam, pool, [given.ip])
    raise fault


def _give_back(fault: Exception, ipam: IPAM, pool: Pool, addresses: Sequence[bytes]) -> None:
    if addresses:
        _undo(fault, ipam.release_addresses, pool.id, addresses)


def _undo(fault: Exception, method: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
    try:
        ask(method, *args, **kwargs)
    except errors.DriverAPIError as more:
        fault.add_note(f"while undoing: {more}")


def _fault(ipam: IPAM, method: str, given: object, wanted: str) -> errors.DriverFaultError:
    return errors.DriverFaultError(f"IPAM: {type(ipam).__qualname__}.{method} gave {given!r}, which is not {wanted}")

"""What is asked of a driver, and what comes of its faults: always an error of this package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from driverapi import errors
from driverapi.addresses import Address, format_ip
from driverapi.api import Driver, JoinInfo, Origin, RemembersNetwork
from driverapi.control.joining import wishes_of
from driverapi.dataplane.contract import Netns, Ownership
from driverapi.lifecycle.records import EndpointRecord, Outcome
from driverapi.lifecycle.watching import undo_failed
from driverapi.plan import EndpointPlan, InterfacePlan, Link, Route, VethLink
from driverapi.ports.spec import LinksEndpoints
from driverapi.store.contract import State

__all__ = ["ask", "check_next_hops", "may_join", "outcome_of", "plan_of", "recall", "undo"]

T = TypeVar("T")

_ANY_IPV4 = Address(bytes(4), 0)
_ANY_IPV6 = Address(bytes(16), 0)
_LINK_LOCAL = Address(b"\xfe\x80" + bytes(14), 10)


def may_join(record: EndpointRecord, netns: Netns) -> Outcome:
    """Return why an endpoint may not join a sandbox, or None."""
    if record.state is State.JOINED and record.netns is not None:
        return errors.JoinedError(f"{record.what} has joined sandbox {record.netns.key}; let it leave first")
    if record.info.origin is Origin.NOTICED:
        return errors.ConflictError(
            f"{record.what} lives on another host: it was only noticed here and joins no sandbox"
        )
    if record.network.driver.host_sandbox != (netns.ownership is Ownership.HOST):
        name = record.network.driver.type()
        which = (
            "only sandboxes made with host=True (sandbox create --host)"
            if record.network.driver.host_sandbox
            else "no sandbox made with host=True"
        )
        return errors.ConflictError(f"{record.what}: endpoints of driver {name!r} join {which}")
    return None


def plan_of(record: EndpointRecord, join: JoinInfo) -> EndpointPlan:
    """Make the plan of what the driver declared, and of what its user wants besides."""
    wishes = wishes_of(record.options, record.join_options)
    driver = record.network.driver
    pairs = (
        driver.pairs(record.network.id, record.id, record.join_options) if isinstance(driver, LinksEndpoints) else ()
    )
    interfaces = tuple(
        InterfacePlan(
            info.id, name._link, name._name, name._exact, info.packed_mac, _inside(name._link, info.packed_addresses)
        )
        for info, name in zip(record.info.interfaces, join._names, strict=True)
        if name._link is not None
    )
    routes = [*join._routes, *wishes.routes]
    if join._gateway is not None:
        routes.append(Route(_ANY_IPV4, join._gateway))
    if join._gateway_ipv6 is not None:
        routes.append(Route(_ANY_IPV6, join._gateway_ipv6))
    return EndpointPlan(
        record.id,
        record.network.id,
        interfaces,
        tuple(routes),
        tuple(join._neighbours),
        record.name,
        record.info._announce,
        wishes.priority,
        wishes.sysctls,
        tuple(pairs),
    )


def check_next_hops(plan: EndpointPlan, what: str) -> None:
    """Refuse routes that would be black holes, which the kernel takes as we write them (``RTNH_F_ONLINK``).

    A next hop is reached if a prefix of an interface or a route without a next hop has it, or the driver: as a gateway
    or as a neighbour, where an interface has its address alone. IPv6 link-local addresses are on every link.

    Raises
    ------
    errors.InvalidError
        One is reached by none of these, or is the endpoint itself.
    """
    via = [(one, one.gateway) for one in plan.routes if one.gateway is not None and one.destination.prefix]
    if not via or not plan.interfaces:
        return
    own = [address for interface in plan.interfaces for address in interface.addresses]
    near = [one.network for one in own if one.prefix < one.bits]
    near += [one.destination for one in plan.routes if one.gateway is None]
    single = dict.fromkeys(one.gateway for one in plan.routes if one.gateway is not None and not one.destination.prefix)
    single |= dict.fromkeys(one.ip for one in plan.neighbours)
    for route, hop in via:
        said = f"{what}: next hop {format_ip(hop)} of the route to {route.destination}"
        if any(hop == one.ip for one in own):
            raise errors.InvalidError(f"{said} is the endpoint's own address; name another, or none")
        if hop not in single and not any(hop in one for one in (*near, _LINK_LOCAL)):
            alike = [str(one) for one in near if len(one.ip) == len(hop)]
            alike += [format_ip(one) for one in single if len(one) == len(hop) and not any(one in two for two in near)]
            raise errors.InvalidError(f"{said} is on none of its links; name one of {', '.join(alike) or 'those'}")


def _inside(link: Link, addresses: tuple[Address, ...]) -> tuple[Address, ...]:
    """Return the addresses as the sandbox shall have them: alone where only the host is on the link."""
    if isinstance(link, VethLink) and link.gateway is not None:
        return tuple(Address(address.ip, address.bits) for address in addresses)
    return addresses


def ask(driver: Driver, call: Callable[[], T], what: str = "") -> T:
    """Call a driver; what it raises that is not ours comes as the cause of a ``DriverFaultError``.

    Either error says what it is about: a driver knows ids, and not names.
    """
    try:
        return call()
    except errors.DriverAPIError as error:
        if what and what not in str(error):
            error.add_note(f"driver {driver.type()!r} said so of {what}")
        raise
    except Exception as fault:
        said = f"driver {driver.type()!r} failed: {type(fault).__name__}: {fault}"
        raise errors.DriverFaultError(f"{what}: {said}" if what else said) from fault


def outcome_of(record: EndpointRecord, call: Callable[[], object]) -> Outcome:
    """Call a driver for an endpoint; return its fault, or None."""
    try:
        ask(record.network.driver, call, record.what)
    except Exception as error:
        return error
    return None


def recall(driver: Driver, network: str) -> dict[str, Any]:
    """Ask a driver what it wants to be told when the network is created again, after a restart."""
    if not isinstance(driver, RemembersNetwork):
        return {}
    return dict(ask(driver, lambda: driver.network_memory(network)))


def undo(steps: Sequence[Callable[[], object]], error: BaseException) -> None:
    """Run undo steps in reverse; one that fails is told in the error's notes, and the rest go on.

    So do they after an interrupt, which is raised at the end unless ``error`` is one itself.
    """
    interrupt: BaseException | None = None
    for step in reversed(steps):
        try:
            step()
        except BaseException as fault:
            error.add_note(f"while undoing: {type(fault).__name__}: {fault}")
            undo_failed(fault)
            if not isinstance(fault, Exception):
                interrupt = fault
    if interrupt is not None and isinstance(error, Exception):
        raise interrupt

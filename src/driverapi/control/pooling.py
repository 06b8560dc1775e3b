"""The address pools of a network: taken when it is created, given back when it is gone."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from driverapi import errors, labels
from driverapi.addresses import Address
from driverapi.api import Driver, IPAMData, Options
from driverapi.ipam.asking import ask, ask_address, ask_addresses, check_pool
from driverapi.ipam.contract import IPAM, Avoid, GivesGateways
from driverapi.ipam.default import DefaultIPAM
from driverapi.ipam.wishes import SPACE, Wish, in_use
from driverapi.lifecycle.asking import ask as ask_driver

if TYPE_CHECKING:
    from driverapi.controller import Controller
    from driverapi.network import Network

__all__ = ["ChecksGateways", "SaysGateway", "give_pools_back", "ipam_wishes", "take_pools"]


@runtime_checkable
class SaysGateway(Protocol):
    """A driver that has networks without a gateway: no address is kept for one, unless the user names it."""

    def has_gateway(self, options: Options) -> bool:
        """Tell whether a network of these options has one; wrong options are for ``create_network`` to refuse."""


@runtime_checkable
class ChecksGateways(Protocol):
    """A driver that is asked, with what else a network is to be, whether addresses are kept for its gateways.

    libnetwork: ``driverapi.GwAllocChecker``.
    """

    def get_skip_gw_alloc(self, options: Options) -> tuple[bool, bool]:
        """Tell of IPv4 and of IPv6 whether none is, unless the user names it."""


def ipam_wishes(options: Mapping[str, Any] | None, *, serial: bool) -> tuple[bool, str, dict[str, Any]]:
    """Read ``ipam_options``: whether addresses are serial, the address space, and the rest, which is the IPAM's own.

    Raises
    ------
    errors.InvalidError
        They are no mapping of text, or one has a value that it cannot have.
    """
    rest = labels.normalise(options)
    if labels.IPAM_SERIAL in rest:
        serial = labels.as_bool(labels.IPAM_SERIAL, rest.pop(labels.IPAM_SERIAL))
    space = rest.pop(labels.IPAM_SPACE, SPACE)
    if not isinstance(space, str):
        raise errors.InvalidError(f"option {labels.IPAM_SPACE!r}: {space!r} is not text")
    return serial, space, rest


def take_pools(
    controller: Controller,
    network: Network,
    driver: Driver,
    wishes: Sequence[Wish],
    options: Mapping[str, Any],
    *,
    allow_overlap: bool,
) -> tuple[IPAMData, ...]:
    """Take the pools that are wished for, or a default one where the driver wants addresses, and the gateways.

    Parameters
    ----------
    options : mapping
        The network's: what the host has on the bridge that it names is the network's own.
    """
    ipam = network._addressing.ipam
    gives = network._addressing.gives = driver.requires_ipam and getattr(ipam, "gives_addresses", True)
    none_given = all(wish.prefix is None and wish.size is None for wish in wishes)
    of_host: list[Avoid] | None = None
    skipped: Collection[int] | None = None
    data = []
    for wish in wishes:
        unsaid = wish.prefix is None and wish.size is None
        if unsaid and not (gives and none_given and wish.version == 4):
            wish.check_unused(network.name)
            continue
        avoid: list[Avoid] = []
        if wish.prefix is None or not allow_overlap:  # it is allowed to what its user names, not to what is chosen
            avoid = _of_others(controller, network, ipam)
            if wish.prefix is None or not driver.shares_prefixes:
                if of_host is None:
                    of_host = in_use(controller._dataplane, str(options.get(labels.BRIDGE_NAME) or ""))
                avoid = of_host + avoid
        given = wish.request(ipam, f"network {network.name!r}", avoid, allow_overlap=allow_overlap)
        pool = check_pool(ipam, given, wish.version)
        network._pools[wish.version] = pool
        if not isinstance(ipam, DefaultIPAM):
            _check_apart(controller, network, pool.prefix.network, avoid, allow_overlap=allow_overlap)
        chosen = None
        if skipped is None:
            skipped = _skipped(driver, options, wishes) if gives else ()
        wanted = gives and wish.version not in skipped
        if isinstance(ipam, GivesGateways) and (wish.gateway is not None or wanted):
            chosen = ask(ipam.request_gateway, pool.id, wish.gateway)
        elif wish.gateway is not None:
            chosen = ask_address(ipam, pool, wish.gateway)
        elif wanted:
            [chosen] = ask_addresses(ipam, pool, 1)
        if chosen is not None:
            network._gateways[wish.version] = chosen
        aux = zip(wish.names, wish.exclude, strict=True)
        data.append(IPAMData(pool.prefix, chosen, tuple((name, Address(ip, pool.prefix.prefix)) for name, ip in aux)))
    return tuple(data)


def _skipped(driver: Driver, options: Mapping[str, Any], wishes: Sequence[Wish]) -> Collection[int]:
    """Return the IP versions of which a network has no gateway, unless the user names it."""
    if isinstance(driver, SaysGateway) and not driver.has_gateway(options):
        return (4, 6)
    if not isinstance(driver, ChecksGateways):
        return ()
    ipv6 = any(wish.version == 6 and (wish.prefix or wish.size) for wish in wishes)
    skips = ask_driver(driver, lambda: driver.get_skip_gw_alloc({**options, labels.ENABLE_IPV6: ipv6}), "GwAllocCheck")
    return [version for version, skip in zip((4, 6), skips, strict=True) if skip]


def _of_others(controller: Controller, network: Network, ipam: IPAM) -> list[Avoid]:
    """Return the prefixes of networks whose IPAM is another: that one does not know of them."""
    with controller._lock:
        others = [one for one in controller._networks.values() if one is not network]
    return [
        Avoid(pool.prefix, f"network {one.name!r}")
        for one in others
        if one._addressing.ipam is not ipam
        for pool in list(one._pools.values())
    ]


def _check_apart(
    controller: Controller, network: Network, prefix: Any, avoid: Sequence[Avoid], *, allow_overlap: bool
) -> None:
    """Refuse what an IPAM of others gave though it is in use."""
    if allow_overlap:
        return
    with controller._lock:
        others = [one for one in controller._networks.values() if one is not network]
    known = [Avoid(pool.prefix, f"network {one.name!r}") for one in others for pool in list(one._pools.values())]
    for one in [*known, *avoid]:
        if one.prefix.version == prefix.version and one.prefix.overlaps(prefix):
            raise errors.ConflictError(
                f"{prefix} overlaps {one.what} {one.prefix}; choose another prefix, or allow the overlap"
            )


def give_pools_back(network: Network) -> None:
    """Give back what a network has; what was given back already is passed over."""
    for version, pool in list(network._pools.items()):
        with contextlib.suppress(errors.NotFoundError):  # an earlier call came this far
            ask(network._addressing.ipam.release_pool, pool.id)
        del network._pools[version]

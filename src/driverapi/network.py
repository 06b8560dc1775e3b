"""A network: endpoints by name, one by one or a thousand at once."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, final

from driverapi import errors, labels
from driverapi.addresses import Address, parse_ip, parse_mac
from driverapi.api import Driver, EndpointInfo, Origin
from driverapi.dataplane.contract import Progress
from driverapi.endpoint import Endpoint
from driverapi.ipam.contract import Pool
from driverapi.lifecycle import CreateRequest, JoinRequest, Outcome
from driverapi.sandbox import Sandbox

if TYPE_CHECKING:
    import netaddr

    from driverapi.addresses import IPLike, MACLike
    from driverapi.controller import Controller

__all__ = ["Network", "check_name"]

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is asked for one endpoint; addresses and MAC packed."""

    name: str
    ipv4: bytes | None = None
    ipv6: bytes | None = None
    mac: bytes | None = None
    origin: Origin | None = None
    options: Mapping[str, Any] | None = None


@final
class Network:
    """A network of one driver; made by ``Controller.create_network``.

    Attributes
    ----------
    id : str
        64 hexadecimal digits, unique for ever.
    name : str
        Unique within the controller.
    type : str
        Its driver's network type.

    Notes
    -----
    Thread safety: all methods.
    """

    def __init__(self, controller: Controller, id: str, name: str, type: str) -> None:
        self.id = id
        self.name = name
        self.type = type
        self._controller = controller
        self._driver: Driver | None = None  # set when it is ready
        self._pools: dict[int, Pool] = {}
        self._gateways: dict[int, Address] = {}
        self._lock = threading.Lock()
        self._endpoints: dict[str, Endpoint | None] = {}  # None: the name is claimed
        self._deleting = False

    # --- what it is -----------------------------------------------------------------------------

    @property
    def gateway(self) -> netaddr.IPAddress | None:
        """The IPv4 gateway."""
        return self._gateway(4)

    @property
    def gateway_ipv6(self) -> netaddr.IPAddress | None:
        """The IPv6 gateway."""
        return self._gateway(6)

    def _gateway(self, version: int) -> netaddr.IPAddress | None:
        gateway = self._gateways.get(version)
        return None if gateway is None else gateway.to_netaddr().ip

    @property
    def ipv4(self) -> netaddr.IPNetwork | None:
        """The IPv4 prefix."""
        pool = self._pools.get(4)
        return None if pool is None else pool.prefix.to_netaddr()

    @property
    def ipv6(self) -> netaddr.IPNetwork | None:
        """The IPv6 prefix."""
        pool = self._pools.get(6)
        return None if pool is None else pool.prefix.to_netaddr()

    @property
    def endpoints(self) -> list[Endpoint]:
        """Its endpoints."""
        with self._lock:
            return [endpoint for endpoint in self._endpoints.values() if endpoint is not None]

    def endpoint(self, name: str) -> Endpoint:
        """Return the endpoint of a name.

        Raises
        ------
        errors.NoEndpointError
            There is none.
        """
        found = self._endpoints.get(name)
        if found is None:
            raise errors.NoEndpointError(f"network {self.name!r} has no endpoint {name!r}")
        return found

    # --- one endpoint ---------------------------------------------------------------------------

    def create_endpoint(
        self,
        name: str,
        ipv4: IPLike | None = None,
        ipv6: IPLike | None = None,
        mac: MACLike | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Endpoint:
        """Create an endpoint, with the addresses given or with the next that are free.

        Raises
        ------
        errors.EndpointExistsError
            The network has one of that name.
        errors.InvalidError
            An address is none, or lies outside of the network.
        errors.AddressTakenError, errors.AddressesExhaustedError
            The address is in use; no address is left.
        """
        return self._create_one(name, ipv4, ipv6, mac, options, None)

    def notice_endpoint(
        self,
        name: str,
        ipv4: IPLike | None = None,
        ipv6: IPLike | None = None,
        mac: MACLike | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Endpoint:
        """Take note of an endpoint that the same driver has allocated on another host.

        Its addresses are kept from being given here, the driver is notified
        (``Origin.NOTICED``), and no link is made: it cannot join a sandbox here.
        """
        if ipv4 is None and ipv6 is None and mac is None:
            raise errors.InvalidError(f"endpoint {name!r}: a notice says at least one address of the endpoint")
        return self._create_one(name, ipv4, ipv6, mac, options, Origin.NOTICED)

    def _create_one(
        self,
        name: str,
        ipv4: IPLike | None,
        ipv6: IPLike | None,
        mac: MACLike | None,
        options: Mapping[str, Any] | None,
        origin: Origin | None,
    ) -> Endpoint:
        self._controller._check()
        check_name(name, "endpoint name")
        parsed = labels.normalise(options)
        if mac is None and labels.ENDPOINT_MAC in parsed:
            mac = parsed[labels.ENDPOINT_MAC]
        wanted = _Wanted(
            name,
            None if ipv4 is None else self._parse(ipv4, 4),
            None if ipv6 is None else self._parse(ipv6, 6),
            None if mac is None else parse_mac(mac),
            origin,
            parsed,
        )
        endpoint = self._create_many([wanted])[0]
        if endpoint.error is not None:
            raise endpoint.error
        return endpoint

    @staticmethod
    def _parse(value: IPLike, version: int) -> bytes:
        ip = parse_ip(value, f"ipv{version}")
        if len(ip) != (4 if version == 4 else 16):
            raise errors.InvalidError(f"ipv{version} {value!r} is not an IPv{version} address")
        return ip

    # --- many endpoints -------------------------------------------------------------------------

    def attach(
        self, what: int | Sequence[Sandbox], *, strict: bool = False, progress: Progress | None = None
    ) -> list[Endpoint]:
        """Bring up endpoints in bulk: make endpoints, join them to sandboxes.

        Parameters
        ----------
        what : int or sequence of Sandbox
            How many new sandboxes to make, each with an endpoint; or the sandboxes to join.
        strict : bool
            Raise if any failed.
        progress : callable, optional
            Called with the number of endpoints that are finished, now and then.

        Returns
        -------
        list of Endpoint
            One for each, in order. One that failed has ``error`` set and has been undone.

        Raises
        ------
        errors.BulkError
            With ``strict``: the failures; its ``results`` is the list. What succeeded is up.
        """
        controller = self._controller
        controller._check()
        made = not isinstance(what, Sequence)
        sandboxes = controller._make_sandboxes(_count(what)) if made else list(what)  # type: ignore[arg-type]
        endpoints: list[Endpoint] = []
        try:
            for sandbox in sandboxes:
                controller._check_sandbox(sandbox)
            endpoints = self._create_many([_Wanted("") for _ in sandboxes])
            self._join_many(endpoints, sandboxes, progress)
        except BaseException:
            self._take_away(endpoints, progress=None)
            if made:
                controller._drop_sandboxes(sandboxes)
            raise
        failed = [position for position, endpoint in enumerate(endpoints) if endpoint.error is not None]
        if made:
            controller._drop_sandboxes([sandboxes[position] for position in failed])
            for endpoint, sandbox in zip(endpoints, sandboxes, strict=True):
                endpoint._made_sandbox = None if endpoint.error is not None else sandbox
        if strict and failed:
            faults = [fault for position in failed if (fault := endpoints[position].error) is not None]
            raise errors.BulkError(
                f"attach to {self.name!r}: {len(failed)} of {len(endpoints)} endpoints failed",
                faults,
                endpoints,
            )
        return endpoints

    def detach(self, endpoints: Sequence[Endpoint], *, progress: Progress | None = None) -> None:
        """Take endpoints away in bulk: leave, delete, and the sandboxes that ``attach`` made.

        Endpoints that failed to attach are passed over. It goes on after an error.

        Raises
        ------
        errors.BulkError
            Some could not be taken away; each has ``error`` set.
        """
        self._controller._check()
        for endpoint in endpoints:
            if not isinstance(endpoint, Endpoint) or endpoint.network is not self:
                raise errors.InvalidError(f"{endpoint!r} is no endpoint of network {self.name!r}")
        due = [endpoint for endpoint in endpoints if endpoint.error is None]
        faults = self._take_away(due, progress)
        if faults:
            raise errors.BulkError(f"detach from {self.name!r}: {len(faults)} faults", faults, endpoints)

    @contextmanager
    def attached(self, what: int | Sequence[Sandbox], *, strict: bool = False) -> Iterator[list[Endpoint]]:
        """Attach for the time of a ``with`` block."""
        endpoints = self.attach(what, strict=strict)
        try:
            yield endpoints
        finally:
            self.detach([endpoint for endpoint in endpoints if endpoint.name in self._endpoints])

    def delete(self) -> None:
        """Delete the network.

        Raises
        ------
        errors.BusyError
            It has endpoints.
        """
        self._controller._check()
        with self._lock:
            if self._deleting:
                raise errors.NoNetworkError(f"network {self.name!r} is deleted, or is being deleted")
            if self._endpoints:
                names = ", ".join(sorted(self._endpoints)[:5])
                raise errors.BusyError(
                    f"network {self.name!r} has {len(self._endpoints)} endpoints ({names}, …); delete them first"
                )
            self._deleting = True
        try:
            self._controller._delete_network(self)
        except BaseException:
            self._deleting = False
            raise

    # --- steps ----------------------------------------------------------------------------------

    def _create_many(self, wanted: Sequence[_Wanted]) -> list[Endpoint]:
        """Create endpoints: names, addresses, the driver. Failures are in ``error``, undone."""
        endpoints = [self._claim(one) for one in wanted]
        alive = [position for position, endpoint in enumerate(endpoints) if endpoint.error is None]
        try:
            self._address(endpoints, wanted, alive)
            alive = [position for position in alive if endpoints[position].error is None]
            requests = [
                CreateRequest(
                    self.id, endpoints[position].id, endpoints[position]._info, wanted[position].options or {}
                )
                for position in alive
            ]
            for position, outcome in zip(alive, self._controller._lifecycle.create(requests), strict=True):
                endpoints[position].error = outcome
            self._check_chosen([endpoints[position] for position in alive])
        except BaseException:
            self._unclaim(endpoints)
            raise
        self._unclaim([endpoint for endpoint in endpoints if endpoint.error is not None])
        with self._lock:
            self._endpoints.update((endpoint.name, endpoint) for endpoint in endpoints if endpoint.error is None)
        return endpoints

    def _claim(self, wanted: _Wanted) -> Endpoint:
        id = secrets.token_hex(32)
        origin = wanted.origin
        if origin is None:
            given = (
                wanted.ipv4 or wanted.ipv6 or wanted.mac or (self._driver is not None and self._driver.requires_ipam)
            )
            origin = Origin.GIVEN if given else Origin.EMPTY
        endpoint = Endpoint(self, id, wanted.name or id[:12], EndpointInfo(origin))
        with self._lock:
            if self._deleting or self._driver is None:
                endpoint.error = errors.NoNetworkError(f"network {self.name!r} is deleted, or is not ready")
            elif endpoint.name in self._endpoints:
                endpoint.error = errors.EndpointExistsError(
                    f"network {self.name!r} has an endpoint {endpoint.name!r} already; choose another name"
                )
            else:
                self._endpoints[endpoint.name] = None
        return endpoint

    def _unclaim(self, endpoints: Sequence[Endpoint]) -> None:
        """Give addresses and names back; a name that is another's, back to nobody."""
        self._release(endpoints)
        with self._lock:
            for endpoint in endpoints:
                if self._endpoints.get(endpoint.name, endpoint) is None and not isinstance(
                    endpoint.error, errors.EndpointExistsError
                ):
                    del self._endpoints[endpoint.name]

    def _address(self, endpoints: Sequence[Endpoint], wanted: Sequence[_Wanted], alive: Sequence[int]) -> None:
        """Put the given interface into each list: wanted addresses, or the next that are free."""
        due = [position for position in alive if endpoints[position].origin is not Origin.EMPTY]
        chosen: dict[int, dict[int, Address]] = {position: {} for position in due}
        for version in (4, 6):
            by_choice = [position for position in due if _pick(wanted[position], version) is not None]
            for position in by_choice:
                endpoint = endpoints[position]
                _catch(endpoint, self._take_wanted, endpoint, wanted[position], version, chosen[position])
            if version in self._pools:
                rest = [
                    position
                    for position in due
                    if position not in set(by_choice)
                    and endpoints[position].error is None
                    and self._gives(endpoints[position])
                ]
                self._take_free(
                    [endpoints[position] for position in rest],
                    version,
                    [chosen[position] for position in rest],
                )
        for position in due:
            if endpoints[position].error is None:
                ipv4, ipv6 = chosen[position].get(4), chosen[position].get(6)
                endpoints[position]._info._append(0, wanted[position].mac, ipv4, ipv6)

    def _gives(self, endpoint: Endpoint) -> bool:
        return self._driver is not None and self._driver.requires_ipam and endpoint.origin is Origin.GIVEN

    def _take_wanted(self, endpoint: Endpoint, wanted: _Wanted, version: int, chosen: dict[int, Address]) -> None:
        ip = _pick(wanted, version)
        assert ip is not None
        pool = self._pools.get(version)
        if pool is None:
            if self._driver is not None and self._driver.requires_ipam:
                raise errors.InvalidError(f"network {self.name!r} has no IPv{version} prefix; leave ipv{version} out")
            chosen[version] = Address(ip, len(ip) * 8)
            return
        chosen[version] = self._controller._ipam.request_address(pool.id, ip)
        endpoint._taken.append((pool.id, ip))

    def _take_free(self, endpoints: Sequence[Endpoint], version: int, chosen: Sequence[dict[int, Address]]) -> None:
        """Take the next free addresses; where the pool has too few, the last endpoints fail."""
        ipam, pool = self._controller._ipam, self._pools[version]
        addresses: list[Address] = []
        while endpoints and not addresses:
            try:
                addresses = ipam.request_addresses(pool.id, len(endpoints))
            except errors.AddressesExhaustedError as error:
                free = min(ipam.free(pool.id), len(endpoints) - 1)
                for endpoint in endpoints[free:]:
                    endpoint.error = errors.AddressesExhaustedError(str(error))
                endpoints = endpoints[:free]
        for endpoint, address, slot in zip(endpoints, addresses, chosen, strict=False):
            endpoint._taken.append((pool.id, address.ip))
            slot[version] = address

    def _check_chosen(self, endpoints: Sequence[Endpoint]) -> None:
        """Record the addresses that the driver chose itself; a conflict undoes the endpoint."""
        refused: list[Endpoint] = []
        for endpoint in endpoints:
            if endpoint.error is None and endpoint.origin is Origin.EMPTY and self._pools:
                _catch(endpoint, self._take_chosen, endpoint)
                if endpoint.error is not None:
                    refused.append(endpoint)
        for endpoint, outcome in zip(
            refused, self._controller._lifecycle.delete([endpoint.id for endpoint in refused]), strict=True
        ):
            if outcome is not None and endpoint.error is not None:
                endpoint.error.add_note(f"while undoing: {outcome}")

    def _take_chosen(self, endpoint: Endpoint) -> None:
        for interface in endpoint._info.interfaces:
            for address in interface.packed_addresses:
                pool = self._pools.get(address.version)
                if pool is not None:
                    self._controller._ipam.request_address(pool.id, address.ip)
                    endpoint._taken.append((pool.id, address.ip))

    def _release(self, endpoints: Sequence[Endpoint]) -> None:
        by_pool: dict[str, list[bytes]] = {}
        for endpoint in endpoints:
            taken, endpoint._taken = endpoint._taken, []
            for pool, ip in taken:
                by_pool.setdefault(pool, []).append(ip)
        for pool, addresses in by_pool.items():
            self._controller._ipam.release_addresses(pool, addresses)

    def _join_many(
        self, endpoints: Sequence[Endpoint], sandboxes: Sequence[Sandbox], progress: Progress | None
    ) -> None:
        """Join endpoints to sandboxes; those that fail are deleted again, with their error."""
        pairs = []
        for endpoint, sandbox in zip(endpoints, sandboxes, strict=True):
            if endpoint.error is None:
                _catch(endpoint, sandbox._enter, endpoint)
            if endpoint.error is None:
                pairs.append((endpoint, sandbox))
        try:
            requests = [JoinRequest(endpoint.id, sandbox._place()) for endpoint, sandbox in pairs]
            for (endpoint, sandbox), outcome in zip(
                pairs, self._controller._lifecycle.join(requests, progress), strict=True
            ):
                if outcome is None:
                    endpoint.sandbox = sandbox
                else:
                    endpoint.error = outcome
        finally:
            for endpoint, sandbox in pairs:
                sandbox._exit(endpoint)
        failed = [endpoint for endpoint in endpoints if endpoint.error is not None and endpoint.name in self._endpoints]
        self._undo_created(failed)

    def _undo_created(self, failed: Sequence[Endpoint]) -> None:
        for endpoint, outcome in zip(failed, self._delete_many(failed), strict=True):
            if outcome is not None and endpoint.error is not None:
                endpoint.error.add_note(f"while undoing: {outcome}")

    def _delete_many(self, endpoints: Sequence[Endpoint]) -> list[Outcome]:
        outcomes = self._controller._lifecycle.delete([endpoint.id for endpoint in endpoints])
        gone = [endpoint for endpoint, outcome in zip(endpoints, outcomes, strict=True) if outcome is None]
        self._release(gone)
        with self._lock:
            for endpoint in gone:
                self._endpoints.pop(endpoint.name, None)
        return outcomes

    def _take_away(self, endpoints: Sequence[Endpoint], progress: Progress | None) -> list[Exception]:
        """Leave, delete, and drop the sandboxes that attach made; return what went wrong."""
        faults: list[Exception] = []

        def note(endpoint: Endpoint, outcome: Outcome) -> None:
            if outcome is not None:
                endpoint.error = outcome
                faults.append(outcome)

        lifecycle = self._controller._lifecycle
        joined = [(endpoint, sandbox) for endpoint in endpoints if (sandbox := endpoint.sandbox) is not None]
        requests = [JoinRequest(endpoint.id, sandbox._place()) for endpoint, sandbox in joined]
        for (endpoint, sandbox), outcome in zip(joined, lifecycle.leave(requests, progress), strict=True):
            endpoint._left(sandbox)
            note(endpoint, outcome)
        due = [endpoint for endpoint in endpoints if endpoint.sandbox is None and endpoint.name in self._endpoints]
        for endpoint, outcome in zip(due, self._delete_many(due), strict=True):
            note(endpoint, outcome)
        made = [endpoint for endpoint in endpoints if endpoint._made_sandbox is not None and endpoint.sandbox is None]
        sandboxes = [endpoint._made_sandbox for endpoint in made if endpoint._made_sandbox is not None]
        for endpoint, outcome in zip(made, self._controller._drop_sandboxes(sandboxes), strict=True):
            endpoint._made_sandbox = None
            note(endpoint, outcome)
        return faults

    def __repr__(self) -> str:
        return f"<Network {self.name!r}, {self.type}, {len(self._endpoints)} endpoints>"


def check_name(name: str, what: str) -> str:
    """Return a name that a thing of the controller may have, else raise ``InvalidError``."""
    if not isinstance(name, str) or not name or len(name) > 255 or not name.isprintable():
        raise errors.InvalidError(f"{what} {name!r} must be printable text of 1 to 255 characters")
    return name


def _count(what: object) -> int:
    if isinstance(what, bool) or not isinstance(what, int) or what < 0:
        raise errors.InvalidError(f"attach takes a number of sandboxes or a sequence of them, not {what!r}")
    return what


def _pick(wanted: _Wanted, version: int) -> bytes | None:
    return wanted.ipv4 if version == 4 else wanted.ipv6


def _catch(endpoint: Endpoint, step: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
    """Run one endpoint's step; its failure is its own."""
    try:
        step(*args, **kwargs)
    except errors.DriverAPIError as error:
        endpoint.error = error

"""The verbs of ``NetworkDriver``: networks and endpoints by the engine's ids, over the lifecycle.

The engine gives ids and addresses, moves the links into its sandbox, names them and sets them up; the driver
declares as it does for a controller. Verbs may come twice, in any order, or not at all: what is asked for again is
answered again, and what the engine has forgotten is taken away with its network at the latest.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, final

from driverapi import errors, labels
from driverapi.addresses import Address, format_ip
from driverapi.api import Driver, JoinInfo
from driverapi.events import emit, of_fault
from driverapi.lifecycle.asking import ask
from driverapi.lifecycle.records import CreateRequest, EndpointRecord, JoinRequest, Outcome
from driverapi.plan import GatewayLink, IpvlanLink, MacvlanLink
from driverapi.plugin.addresses import SPACE
from driverapi.plugin.claims import Claims, check_inside
from driverapi.plugin.external import External, take_ports_out
from driverapi.plugin.forms import copied, data_of, endpoint_options, filled_of, info_of, joined_of, network_options
from driverapi.plugin.turns import Made, Recent, Turns
from driverapi.plugin.wire import (
    EMPTY,
    DiscoveryRequest,
    EndpointRequest,
    NetworkRequest,
    check_id,
    check_key,
    encode,
    read,
)
from driverapi.store import data
from driverapi.store.contract import State
from driverapi.store.data import NetworkData
from driverapi.streams.discovery import Discovers, of_engine

if TYPE_CHECKING:
    from driverapi.dataplane.contract import Dataplane
    from driverapi.lifecycle.lifecycle import Lifecycle
    from driverapi.plugin.addresses import AddressVerbs
    from driverapi.plugin.firewall import Firewall, Passing
    from driverapi.plugin.reconcile import Reconciler

__all__ = ["NetworkVerbs"]

_CANNOT: Final = (errors.KernelUnsupportedError, errors.NoPermissionError, errors.KernelConflictError)
_ENDPOINT_ONLY: Final = (labels.ENDPOINT_EXPOSED_PORTS, labels.ENDPOINT_MAC, labels.PORT_MAP)


@final
class NetworkVerbs:
    """Answers the verbs; each takes the body of a request and returns the document of the answer.

    Thread safety: all methods.
    """

    def __init__(
        self,
        driver: Driver,
        lifecycle: Lifecycle,
        dataplane: Dataplane,
        firewall: Firewall | None = None,
        *,
        keeps: bool = False,
    ) -> None:
        self._firewall = firewall
        self._driver = driver
        self._lifecycle = lifecycle
        self._dataplane = dataplane
        self._external = External(lifecycle)
        self._turns = Turns()
        self._gone = Recent()
        self.reconciler: Reconciler | None = None  # told of what the engine begins with, and of what it may not know
        self.addresses: AddressVerbs | None = None  # told which of its addresses endpoints have
        self._claims = Claims()
        self._since: dict[str, float] = {}  # endpoint: time.monotonic() when this process created it
        self._keeps = keeps
        self._usual = labels.normalise(driver.engine_options)
        self._asked: dict[str, NetworkData] = {}  # network: how it was asked for, with what is usual if it has that
        self._forms: dict[str, bool] = {}  # endpoint: whether it was asked for in the seed's form, with a list
        self._answers: dict[str, tuple[bytes, dict[str, Any]]] = {}  # endpoint: how it was asked for, and answered

    @property
    def verbs(self) -> Mapping[str, Callable[[bytes], Any]]:
        """The verbs by name."""
        return {
            "GetCapabilities": self._capabilities,
            "GwAllocCheck": self._gateway_check,
            "CreateNetwork": self._create_network,
            "AllocateNetwork": self._allocate_network,
            "FreeNetwork": self._free_network,
            "DeleteNetwork": self._delete_network,
            "CreateEndpoint": self._create_endpoint,
            "DeleteEndpoint": self._delete_endpoint,
            "EndpointOperInfo": self._oper_info,
            "Join": self._join,
            "Leave": self._leave,
            "DiscoverNew": partial(self._discover, "discover_new"),
            "DiscoverDelete": partial(self._discover, "discover_delete"),
            "ProgramExternalConnectivity": self._program,
            "RevokeExternalConnectivity": self._revoke,
        }

    @staticmethod
    def _capabilities(body: bytes) -> dict[str, Any]:
        return {"Scope": "local", "ConnectivityScope": "local", "GwAllocChecker": True}

    @staticmethod
    def _gateway_check(body: bytes) -> dict[str, Any]:
        """Say that a network's gateway needs an address, which the engine's IPAM shall give."""
        read(body, NetworkRequest)
        return {"SkipIPv4": False, "SkipIPv6": False}

    def _discover(self, verb: str, body: bytes) -> dict[str, Any]:
        """Tell the driver of a node of the cluster, if it wants to know."""
        request = read(body, DiscoveryRequest)
        kind, data = of_engine(request.discovery_type, request.discovery_data)
        if isinstance(self._driver, Discovers):
            ask(self._driver, partial(getattr(self._driver, verb), kind, data), verb)
        return EMPTY

    # --- networks ---------------------------------------------------------------------------------

    def _create_network(self, body: bytes) -> dict[str, Any] | Made:
        request = read(body, NetworkRequest)
        id = check_id(request.network_id, "NetworkID")
        options = network_options(request)
        wishes = [data_of(request, id, self._driver.type(), some) for some in ({**self._usual, **options}, options)]
        with self._turns.hold(id):
            if self._lifecycle.has_network(id):
                same = [wish for wish in wishes if wish == self._asked.get(id)]
                if not same:
                    raise errors.NetworkExistsError(
                        f"network {id[:12]} exists already, and is another; delete it first"
                    )
                self._asked[id] = same[0]
                if self.reconciler is not None:
                    self.reconciler.owe_no_more(id)
                return EMPTY
            asked = self._asked[id] = self._create(id, options[labels.IPAM_DATA], *wishes)
            try:
                self._check(id, asked)
                self._admit(id)
            except BaseException:
                self._delete(id)
                raise
            self._gone.discard(id)
        return Made(EMPTY, lambda: self._undo_network(id, asked))

    def _create(self, id: str, prefixes: Any, usual: NetworkData, plain: NetworkData) -> NetworkData:
        """Create a network with what is usual; without that, where this host cannot have it. Return which it was."""

        def create(wish: NetworkData) -> NetworkData:
            options = {**wish.options, labels.IPAM_DATA: prefixes}
            self._lifecycle.create_network(id, self._driver, options, data.encode(wish) if self._keeps else None)
            return wish

        try:
            return create(usual)
        except _CANNOT as error:
            if usual == plain:
                raise
            try:
                made = create(plain)
            except errors.DriverAPIError:
                raise error from None  # of both it says more: what is asked for may need what is usual
            lacking = ", ".join(name for name in usual.options if name not in plain.options)
            emit("plugin.no_default", network=id, option=lacking, **of_fault(error))
            return made

    def _check(self, network: str, asked: NetworkData) -> None:
        """Refuse what cannot work: who wants an address alone on its link, where others give it with a prefix."""
        plan = self._lifecycle.plan_of(network)
        wanted = f"driver {self._driver.type()!r} wants an address alone on each link, and "
        if self._driver.lone_addresses:
            if any(one.space != SPACE for one in asked.prefixes):
                raise errors.NotImplementedYetError(
                    f"{wanted}another IPAM gives it the whole prefix: use this plugin's, --ipam-driver NAME as -d NAME"
                )
        elif plan is not None and any(isinstance(link, GatewayLink) for link in plan.links):
            raise errors.NotImplementedYetError(f"{wanted}its class does not say so: lone_addresses = True")

    def _undo_network(self, id: str, asked: NetworkData) -> None:
        with self._turns.hold(id):
            if self._asked.get(id) is asked and not self._lifecycle.endpoints_of(id):
                self._delete(id)

    def know_again(self, network: str, asked: NetworkData) -> None:
        """Take note of a network that was there before a restart."""
        self._asked[network] = asked
        self._admit(network)

    def know_endpoint_again(self, record: EndpointRecord) -> None:
        """Take note of an endpoint that was there before a restart."""
        self._claims.keep(record.network.id, record.id, _ips(record))

    def _admit(self, network: str) -> None:
        """Let packets of a network pass."""
        if self._firewall is not None:
            self._firewall.admit(self._passing(network))

    def _passing(self, network: str) -> Passing:
        assert self._firewall is not None
        asked = self._asked.get(network)
        internal = asked is None or labels.as_bool(labels.INTERNAL, asked.options.get(labels.INTERNAL, False))
        return self._firewall.passing(self._lifecycle.plan_of(network), internal=internal)

    @staticmethod
    def _allocate_network(body: bytes) -> dict[str, Any]:
        """Answer a cluster's manager: no host-independent resource is needed."""
        check_id(read(body, NetworkRequest).network_id, "NetworkID")
        return {"Options": {}}

    @staticmethod
    def _free_network(body: bytes) -> dict[str, Any]:
        check_id(read(body, NetworkRequest).network_id, "NetworkID")
        return EMPTY

    def _delete_network(self, body: bytes) -> dict[str, Any]:
        """Delete a network, and the endpoints that the engine has forgotten: it deletes none that has some."""
        id = check_id(read(body, NetworkRequest).network_id, "NetworkID")
        if not self._lifecycle.has_network(id):
            if id in self._gone:
                return EMPTY
            raise errors.NoNetworkError(f"no network {id[:12]}")
        try:
            self.end_network(id)
        except errors.DriverAPIError:  # the engine passes over it
            if self.reconciler is not None:
                self.reconciler.owe(id)
            raise
        return EMPTY

    def end_network(self, id: str, is_owed: Callable[[], bool] = lambda: True) -> None:
        """Delete a network and its endpoints, if it is there yet, and is to go still when its turn comes."""
        with self._turns.hold(id):
            if not is_owed():
                return
            for endpoint in self._lifecycle.endpoints_of(id):
                with self._turns.hold((id, endpoint)):
                    if endpoint in self._lifecycle:
                        self.take_away(endpoint)
            if self._lifecycle.has_network(id):
                self._delete(id)

    def _delete(self, id: str) -> None:
        passed = None if self._firewall is None else self._passing(id)
        self._lifecycle.delete_network(id)
        self._asked.pop(id, None)
        self._gone.add(id)
        if self._firewall is not None and passed is not None:
            self._firewall.withdraw(passed)

    # --- endpoints --------------------------------------------------------------------------------

    def _create_endpoint(self, body: bytes) -> dict[str, Any] | Made:
        request, network, endpoint = self._endpoint_request(body)
        asked = encode(request)
        options = endpoint_options(request.options)
        take_ports_out(self._driver, options)
        info, given = info_of(request, options)
        addresses = [address for one in info.interfaces for address in one.packed_addresses]
        if network in self._asked:
            plan = self._lifecycle.plan_of(network)
            check_inside(self._asked[network], plan, addresses, alone=self._driver.lone_addresses)
        ips = [one.ip for one in addresses]
        self._make_way(network, endpoint, ips)
        old: CreateRequest | None = None
        told: tuple[Any, bool | None] = None, None
        with self._turns.hold((network, endpoint)):
            if endpoint in self._lifecycle:
                record = self._record(network, endpoint)
                before = self._answers.get(endpoint)
                if before is not None and before[0] == asked and record.state is State.CREATED:
                    self._trust(endpoint)
                    self._answers[endpoint] = asked, dict(before[1])
                    return before[1]
                if self.used([endpoint])[endpoint]:
                    raise errors.JoinedError(f"{record.what} is in sandbox {record.key}; let it leave first")
                old = CreateRequest(network, endpoint, copied(record.info), record.options)
                told = before, self._forms.get(endpoint)
            self._claims.take(network, endpoint, ips)
            try:
                if old is not None:
                    self._end(endpoint)  # the engine begins anew with it
                answer = self._created(request, CreateRequest(network, endpoint, info, options), given)
            except BaseException:
                if old is not None and endpoint not in self._lifecycle:  # what is refused changes nothing
                    _done(self._lifecycle.create([old]))
                    self._know_endpoint(endpoint, *told)
                raise
            finally:  # what it was asked for with, where it is there, or what it had before
                self._claims.keep(
                    network, endpoint, _ips(self._lifecycle.endpoint(endpoint)) if endpoint in self._lifecycle else ()
                )
            self._know_endpoint(endpoint, (asked, answer), request.interfaces is not None)
            self._since[endpoint] = time.monotonic()
            if self.addresses is not None:
                for prefix, ip in self.ours_of(endpoint):
                    self.addresses.taken_up(prefix, ip)
            self._trust(endpoint)
            self._gone.discard((network, endpoint))
        return Made(answer, lambda: self._undo_endpoint(network, endpoint, answer))

    def _make_way(self, network: str, endpoint: str, ips: Sequence[bytes]) -> None:
        """Have endpoints go that have these addresses and that the engine has forgotten; the others stay.

        No turn is held: two who are in each other's way would wait for ever.
        """
        for other in self._claims.in_the_way(network, endpoint, ips):
            if self.reconciler is not None:
                self.reconciler.make_way(other)

    def _created(self, request: EndpointRequest, wanted: CreateRequest, given: Any) -> dict[str, Any]:
        """Create an endpoint; return the answer. One that the engine could not be told of is undone."""
        _done(self._lifecycle.create([wanted]))
        try:
            return filled_of(request, wanted.info.interfaces, given)
        except errors.DriverAPIError:
            self._end(wanted.endpoint)
            raise

    def _know_endpoint(self, endpoint: str, answer: tuple[bytes, dict[str, Any]] | None, form: bool | None) -> None:
        if answer is not None:
            self._answers[endpoint] = answer
        if form is not None:
            self._forms[endpoint] = form

    def _undo_endpoint(self, network: str, endpoint: str, answer: dict[str, Any]) -> None:
        with self._turns.hold((network, endpoint)):
            if endpoint in self._lifecycle and self._answers[endpoint][1] is answer:
                self.take_away(endpoint)

    def _delete_endpoint(self, body: bytes) -> dict[str, Any]:
        _, network, endpoint = self._endpoint_request(body)
        with self._turns.hold((network, endpoint)):
            if endpoint not in self._lifecycle and (network, endpoint) in self._gone:
                return EMPTY
            self._record(network, endpoint)
            ours, since = self.ours_of(endpoint), self.since(endpoint)
            with self._doubting(endpoint):
                self.take_away(endpoint)
        if ours and self.addresses is not None and self.reconciler is not None:
            for prefix, ip in ours:
                self.addresses.ended(prefix, ip, since)
            self.reconciler.reap()
        return EMPTY

    @contextlib.contextmanager
    def _doubting(self, endpoint: str) -> Iterator[None]:
        """Doubt an endpoint that could not be taken out: the engine passes over that error, and never asks again."""
        try:
            yield
        except errors.DriverAPIError:
            if self.reconciler is not None:
                self.reconciler.doubt([endpoint])
            raise

    def _trust(self, endpoint: str) -> None:
        if self.reconciler is not None:
            self.reconciler.trust(endpoint)

    def take_away(self, endpoint: str) -> None:
        """Have an endpoint leave if it has joined, and delete it; the caller has its turn."""
        network = self.network_of(endpoint)
        self._end(endpoint)
        self._claims.forget(network, endpoint)

    def _end(self, endpoint: str) -> None:
        """Take an endpoint away; its addresses stay its own."""
        record = self._lifecycle.endpoint(endpoint)
        self._part(record)
        _done(self._lifecycle.delete([endpoint]))
        self._external.forget(endpoint)
        self._since.pop(endpoint, None)
        self._forms.pop(endpoint, None)
        self._answers.pop(endpoint, None)
        self._gone.add((record.network.id, endpoint))

    @contextlib.contextmanager
    def turn(self, endpoint: str) -> Iterator[bool]:
        """Have the turn of an endpoint; tells whether there still is one."""
        network = self.network_of(endpoint)
        with self._turns.hold((network, endpoint)):
            yield endpoint in self._lifecycle

    def listed(self) -> list[dict[str, Any]]:
        """Return the networks: id, prefixes, and how many endpoints each has."""
        return [
            {
                "NetworkID": id,
                "Prefixes": [str(Address(one.ip, one.length)) for one in asked.prefixes],
                "Endpoints": len(self._lifecycle.endpoints_of(id)),
            }
            for id, asked in list(self._asked.items())
        ]

    def network_of(self, endpoint: str) -> str:
        """Return the id of the network of an endpoint, or nothing."""
        try:
            return self._lifecycle.endpoint(endpoint).network.id
        except errors.NoEndpointError:
            return ""

    def used(self, endpoints: Iterable[str]) -> dict[str, bool | None]:
        """Tell of endpoints whether a live sandbox uses each; None of one that is no more."""
        found: dict[str, bool | None] = {}
        joined = []
        for endpoint in endpoints:
            try:
                record = self._lifecycle.endpoint(endpoint)
            except errors.NoEndpointError:
                found[endpoint] = None
                continue
            found[endpoint] = False
            realised = record.realised
            if record.busy:
                found[endpoint] = True
            elif record.state is State.JOINED and realised is not None:
                joined.append((endpoint, realised))
        held = self._dataplane.held([realised for _, realised in joined]) if joined else []
        found.update((endpoint, is_held) for (endpoint, _), is_held in zip(joined, held, strict=True))
        return found

    def addresses_of(self, endpoint: str) -> list[str]:
        """Return the addresses of an endpoint, as text."""
        interfaces = self._lifecycle.endpoint(endpoint).info.interfaces
        return [format_ip(address.ip) for one in interfaces for address in one.packed_addresses]

    def since(self, endpoint: str) -> float:
        """Return when an endpoint was created, of ``time.monotonic()``; 0 where an earlier process has."""
        return self._since.get(endpoint, 0.0)

    def ours_of(self, endpoint: str) -> list[tuple[Address, bytes]]:
        """Return the addresses of an endpoint that are of our own pools, each with its pool's prefix."""
        record = self._lifecycle.endpoint(endpoint)
        asked = self._asked.get(record.network.id)
        prefixes = [Address(one.ip, one.length) for one in (asked.prefixes if asked else ()) if one.space == SPACE]
        addresses = [address for one in record.info.interfaces for address in one.packed_addresses]
        return [(prefix, address.ip) for prefix in prefixes for address in addresses if address.ip in prefix]

    def _part(self, record: EndpointRecord) -> None:
        if record.state is State.JOINED and record.netns is not None:
            _done(self._lifecycle.leave([JoinRequest(record.id, record.netns, sandbox=record.place)]))

    def _oper_info(self, body: bytes) -> dict[str, Any]:
        _, network, endpoint = self._endpoint_request(body)
        self._record(network, endpoint)
        return {"Value": {**self._lifecycle.oper_info(endpoint), **self._external.told(endpoint)}}

    def _join(self, body: bytes) -> dict[str, Any] | Made:
        request, network, endpoint = self._endpoint_request(body)
        key = check_key(request.sandbox_key)
        options = endpoint_options(request.options)
        for name in _ENDPOINT_ONLY:
            options.pop(name, None)
        with self._turns.hold((network, endpoint)):
            record = self._record(network, endpoint)
            self._trust(endpoint)
            self._part(record)  # the engine, which knows better, says that it is in none
            place = self._dataplane.foreign_sandbox(key)
            _done(self._lifecycle.join([JoinRequest(endpoint, place, options, sandbox=key)]))
            if self._firewall is not None:
                self._firewall.settle()
            try:
                answer = joined_of(record, self._forms.get(endpoint))
            except errors.DriverAPIError:
                self._part(record)
                raise
            join = record.join
        return Made(answer, lambda: self._undo_join(record, join))

    def _undo_join(self, record: EndpointRecord, join: JoinInfo | None) -> None:
        with self._turns.hold((record.network.id, record.id)):
            if record.join is join:
                self._part(record)

    def _leave(self, body: bytes) -> dict[str, Any]:
        _, network, endpoint = self._endpoint_request(body)
        with self._turns.hold((network, endpoint)):
            if endpoint not in self._lifecycle and (network, endpoint) in self._gone:
                return EMPTY
            record = self._record(network, endpoint)
            if not _comes_back(record):
                with self._doubting(endpoint):
                    self._part(record)
        return EMPTY

    def _program(self, body: bytes) -> dict[str, Any] | Made:
        request, network, endpoint = self._endpoint_request(body)
        with self._turns.hold((network, endpoint)):
            self._record(network, endpoint)
            self._external.program(endpoint, request)
        if self._firewall is not None:
            self._firewall.settle()
        return Made(EMPTY, lambda: self._undo_program(network, endpoint))

    def _undo_program(self, network: str, endpoint: str) -> None:
        with self._turns.hold((network, endpoint)):
            self._external.revoke(endpoint)

    def _revoke(self, body: bytes) -> dict[str, Any]:
        _, network, endpoint = self._endpoint_request(body)
        with self._turns.hold((network, endpoint)):
            if endpoint in self._lifecycle:
                self._record(network, endpoint)
                self._external.revoke(endpoint)
        return EMPTY

    def _record(self, network: str, endpoint: str) -> EndpointRecord:
        record = self._lifecycle.endpoint(endpoint)
        if record.network.id != network:
            raise errors.NoEndpointError(f"no endpoint {endpoint[:12]} on network {network[:12]}")
        return record

    @staticmethod
    def _endpoint_request(body: bytes) -> tuple[EndpointRequest, str, str]:
        request = read(body, EndpointRequest)
        network = check_id(request.network_id, "NetworkID")
        return request, network, check_id(request.endpoint_id, "EndpointID")


def _comes_back(record: EndpointRecord) -> bool:
    """Tell whether an engine moves links back to the host after ``Leave``: those go with the endpoint."""
    names = () if record.join is None else record.join._names
    return any(isinstance(one._link, MacvlanLink | IpvlanLink) for one in names)


def _ips(of: EndpointRecord | CreateRequest) -> list[bytes]:
    """Return the addresses of an endpoint, packed."""
    return [address.ip for one in of.info.interfaces for address in one.packed_addresses]


def _done(outcomes: Sequence[Outcome]) -> None:
    """Raise what became of the one request of a call, unless it is done."""
    if outcomes[0] is not None:
        raise outcomes[0]

"""A Docker network plugin as a driver: what is asked of it goes over its socket, what it answers is declared.

An answer is taken whole or not at all: where one field of it is not what it should be, or is one that the plugin was
not asked for, what it has made is undone at the plugin, and the endpoint fails.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, final

import msgspec

from driverapi import errors, labels
from driverapi.addresses import parse_ip, parse_mac, parse_prefix
from driverapi.api import Driver, EndpointInfo, InterfaceInfo, JoinInfo, Options, Origin
from driverapi.errors import Kind
from driverapi.events import emit, of_fault
from driverapi.places import TlsFiles
from driverapi.plan import MoveLink, PortMap
from driverapi.plugin.wire import EndpointInterface
from driverapi.remote import documents
from driverapi.remote.answers import (
    Capabilities,
    EndpointAnswer,
    GatewayAnswer,
    InterfaceName,
    JoinAnswer,
    Nothing,
    OperInfo,
)
from driverapi.remote.client import PATIENCE, TIMEOUT, RefusedError, client_of, unheard
from driverapi.remote.debts import Debts
from driverapi.streams.discovery import NODE, Node

__all__ = ["RemoteDriver"]

_SCOPES: Final = ("local", "global")
_FORMS: Final = ("auto", "interface", "list")
_ON_LINK: Final = 1  # libnetwork's types.CONNECTED
_DISCOVERED: Final = 1  # discoverapi.NodeDiscovery
_OWED: Final = 4096  # undone later, when the plugin is there again


@final
class RemoteDriver(Driver):
    """A Docker network plugin.

    Parameters
    ----------
    name : str
        The plugin's, and the network type. By it the plugin is found (:mod:`driverapi.places`) when it is
        first asked.
    address : str, optional
        Where it is, if it is not to be found: ``unix:///PATH``, ``tcp://HOST:PORT``, ``https://HOST:PORT``.
    tls : TlsFiles, optional
        With an address.
    timeout : float
        Seconds for one call.
    patience : float
        Seconds for which a plugin that did answer and is away is waited for, once: it may be starting anew.
    form : str
        ``"interface"``: today's protocol, in which an endpoint has one interface; ``"list"``: that of the seed's
        generation, with a list; ``"auto"``: the latter where the plugin has no ``GetCapabilities``, as that had none.
        Answers are understood in both.
    requires_ipam : bool
        False: endpoints that are given no addresses are left to the plugin altogether.

    Notes
    -----
    It is blocking (:class:`driverapi.lifecycle.blocking.Blocking`): creations of one network go one by one, as from
    an engine, and 16 joins at once.

    Thread safety: all methods.
    """

    create_in_flight = 1
    join_in_flight = 16
    leaves_first = True

    def __init__(
        self,
        name: str,
        address: str | None = None,
        tls: TlsFiles | None = None,
        *,
        timeout: float = TIMEOUT,
        patience: float = PATIENCE,
        form: str = "auto",
        requires_ipam: bool = True,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise errors.InvalidError(f"name of a plugin {name!r} must be text that is not empty")
        if form not in _FORMS:
            raise errors.InvalidError(f"form {form!r} is not one of {', '.join(_FORMS)}")
        self.requires_ipam = bool(requires_ipam)
        self._name = name
        self._client = client_of(name, address, tls, timeout=timeout, patience=patience)
        self._form = form
        self._lock = threading.Lock()
        self._checked: Capabilities | None = None
        self._in_list = form == "list"
        self._asked: dict[str, dict[str, Any]] = {}  # endpoint: how it is asked for, with what the plugin has filled
        self._joined: dict[str, bytes] = {}  # endpoint: what the plugin declared
        self._programs = True  # until it says that it has no such verb
        self._programmed: set[str] = set()  # endpoints whose ports it has published
        self._debts = Debts(_OWED)  # undo that the plugin did not hear

    def type(self) -> str:
        """Return the plugin's name."""
        return self._name

    @property
    def scope(self) -> str:
        """What the plugin says of its networks: ``local`` to this machine, or ``global``.

        Raises
        ------
        errors.PluginError, errors.NoDriverError
            It could not be asked; it is no network plugin.
        """
        return (self._capabilities().scope or "local").lower()

    def get_skip_gw_alloc(self, options: Options) -> tuple[bool, bool]:
        """Ask whether a network of these options needs no addresses for gateways, if the plugin wants to be asked."""
        self._begin()
        if not self._capabilities().gw_alloc_checker:
            return False, False
        told = self._call("GwAllocCheck", {"Options": documents.network_options(options)}, GatewayAnswer)
        return bool(told.skip_ipv4), bool(told.skip_ipv6)

    # --- networks ---------------------------------------------------------------------------------

    def create_network(self, network_id: str, options: Options) -> None:
        """Create a network; after a restart take note of it: the plugin has it."""
        if labels.MEMORY in options:
            return
        self._begin()
        document = documents.network(network_id, options)
        undo = ("DeleteNetwork", network_id, "")
        self._make("CreateNetwork", document, Nothing, undo)

    def network_memory(self, network_id: str) -> Mapping[str, Any]:
        """Return nothing: what there is to know is the plugin's."""
        del network_id
        return {}

    def delete_network(self, network_id: str) -> None:
        """Delete a network."""
        self._begin(quietly=True)
        self._remove("DeleteNetwork", network_id, "")

    # --- endpoints --------------------------------------------------------------------------------

    def create_endpoint(self, network_id: str, endpoint_id: str, info: EndpointInfo, options: Options) -> None:
        """Create an endpoint; the plugin may fill what is empty."""
        if info.origin is Origin.NOTICED:
            raise errors.NotImplementedYetError(
                f"plugin {self._name!r}: the protocol has no notice of an endpoint that lives elsewhere"
            )
        self._begin()
        document = self._document(network_id, endpoint_id, info, options)
        undo = ("DeleteEndpoint", network_id, endpoint_id)
        self._make("CreateEndpoint", document, EndpointAnswer, undo, lambda answer: _fill(info, answer))
        self.know_endpoint(network_id, endpoint_id, info, options)

    def _document(self, network_id: str, endpoint_id: str, info: EndpointInfo, options: Options) -> dict[str, Any]:
        told: dict[str, Any] = {"Options": documents.endpoint_options(options)}
        if self._in_list:
            told = {"Interfaces": documents.interfaces(info), **told}
        else:
            told = {"Interface": documents.interface(info), **told}
        return {**_ids(network_id, endpoint_id), **told}

    def know_endpoint(self, network_id: str, endpoint_id: str, info: EndpointInfo, options: Options) -> None:
        """Take note of an endpoint that the plugin has."""
        self._asked[endpoint_id] = self._document(network_id, endpoint_id, info, options)

    def delete_endpoint(self, network_id: str, endpoint_id: str) -> None:
        """Delete an endpoint."""
        self._begin(quietly=True)
        try:
            self._remove("DeleteEndpoint", network_id, endpoint_id)
        except errors.NoEndpointError:
            self._forget(endpoint_id)
            raise
        self._forget(endpoint_id)

    def _forget(self, endpoint_id: str) -> None:
        for table in (self._asked, self._joined):
            table.pop(endpoint_id, None)
        self._programmed.discard(endpoint_id)

    def endpoint_oper_info(self, network_id: str, endpoint_id: str) -> Mapping[str, Any]:
        """Return what the plugin tells."""
        self._begin()
        return self._call("EndpointOperInfo", _ids(network_id, endpoint_id), OperInfo).value or {}

    def join(self, network_id: str, endpoint_id: str, sandbox_key: str, info: JoinInfo, options: Options) -> None:
        """Have the plugin make a link on the host, which is then moved into the sandbox."""
        self._begin()
        created = self._asked.get(endpoint_id, {}).get("Options", {})
        ports = {name: created[name] for name in documents.PORTS if name in created}
        told = {"SandboxKey": sandbox_key, "Options": ports | documents.endpoint_options(options)}
        document = {**_ids(network_id, endpoint_id), **told}
        undo = ("Leave", network_id, endpoint_id)
        for again in (False, True):
            try:
                answer = self._make("Join", document, JoinAnswer, undo, lambda answer: _declare(info, answer))
                break
            except errors.NoEndpointError as error:
                if again or endpoint_id not in self._asked:
                    raise
                self._remind(network_id, endpoint_id, error)
        self._joined[endpoint_id] = msgspec.msgpack.encode(answer)

    def _remind(self, network_id: str, endpoint_id: str, error: errors.DriverAPIError) -> None:
        """Have a plugin create again an endpoint that it has forgotten: one that was in no sandbox when it restarted.

        What it had filled is given to it now: it may fill nothing.
        """
        emit("remote.forgotten", driver=self._name, network=network_id, endpoint=endpoint_id, **of_fault(error))
        undo = ("DeleteEndpoint", network_id, endpoint_id)
        self._make("CreateEndpoint", self._asked[endpoint_id], EndpointAnswer, undo, _check_empty)

    def join_memory(self, network_id: str, endpoint_id: str) -> Mapping[str, Any]:
        """Return what the plugin declared."""
        del network_id
        kept = self._joined.get(endpoint_id)
        programmed = {"programmed": True} if endpoint_id in self._programmed else {}
        return {} if kept is None else {"join": kept, **programmed}

    def know_join(
        self, network_id: str, endpoint_id: str, sandbox_key: str, info: JoinInfo, memory: Mapping[str, Any]
    ) -> None:
        """Declare again what the plugin had declared."""
        del network_id, sandbox_key
        if "join" in memory:
            self._joined[endpoint_id] = memory["join"]
            _declare(info, msgspec.msgpack.decode(memory["join"], type=JoinAnswer))
        if memory.get("programmed"):
            self._programmed.add(endpoint_id)

    def leave(self, network_id: str, endpoint_id: str) -> None:
        """Have the plugin part an endpoint from its sandbox; what was programmed for it is revoked before."""
        self._begin(quietly=True)
        self.revoke_external_connectivity(network_id, endpoint_id)
        with contextlib.suppress(errors.NoEndpointError):  # then it is in no sandbox either
            self._remove("Leave", network_id, endpoint_id)
        self._joined.pop(endpoint_id, None)

    # --- published ports --------------------------------------------------------------------------

    def program_external_connectivity(
        self, network_id: str, endpoint_id: str, options: Options
    ) -> Sequence[PortMap] | None:
        """Have the plugin publish the ports of an endpoint, and let it be reached where it has a gateway.

        As an engine does, it asks for endpoints without ports too, but no plugin that has no such verb.
        """
        told = documents.port_options(options)
        wanted = labels.PORT_MAP in told
        if not wanted and not (self._programs and not self._in_list and self._has_gateway(endpoint_id)):
            return ()
        self._begin()
        document = {**_ids(network_id, endpoint_id), "Options": told}
        undo = ("RevokeExternalConnectivity", network_id, endpoint_id)
        try:
            self._make("ProgramExternalConnectivity", document, Nothing, undo, optional=True)
        except _NoVerbError as error:
            self._programs = False
            if not wanted:
                return ()
            raise errors.NotImplementedYetError(
                f"plugin {self._name!r} publishes no ports: {error}; leave them out"
            ) from None
        self._programmed.add(endpoint_id)
        return self._published(network_id, endpoint_id) if wanted else ()

    def _has_gateway(self, endpoint_id: str) -> bool:
        declared = self._joined.get(endpoint_id)
        answer = JoinAnswer() if declared is None else msgspec.msgpack.decode(declared, type=JoinAnswer)
        return bool(answer.gateway or answer.gateway_ipv6)

    def _published(self, network_id: str, endpoint_id: str) -> Sequence[PortMap] | None:
        """Ask what is published: which port of the host it is may have been left to the plugin."""
        try:
            told = self.endpoint_oper_info(network_id, endpoint_id)
            return documents.published(told[labels.PORT_MAP]) if labels.PORT_MAP in told else None
        except errors.DriverAPIError as error:  # it is published, and that is what was asked for
            emit("remote.ignored", driver=self._name, verb="EndpointOperInfo", network=network_id, **of_fault(error))
            return None

    def revoke_external_connectivity(self, network_id: str, endpoint_id: str) -> None:
        """Have the plugin take back what it programmed for an endpoint; a no is passed over, as by an engine."""
        if endpoint_id not in self._programmed:
            return
        self._begin(quietly=True)
        try:
            self._remove("RevokeExternalConnectivity", network_id, endpoint_id)
        except errors.DriverAPIError as error:
            if unheard(error):
                raise
        self._programmed.discard(endpoint_id)

    # --- other machines ---------------------------------------------------------------------------

    def discover_new(self, kind: str, data: Any) -> None:
        """Tell the plugin of another machine; of other things the protocol knows none that we could tell."""
        self._discover("DiscoverNew", kind, data)

    def discover_delete(self, kind: str, data: Any) -> None:
        """Tell the plugin that another machine is gone."""
        self._discover("DiscoverDelete", kind, data)

    def _discover(self, verb: str, kind: str, data: Any) -> None:
        if kind == NODE and isinstance(data, Node):
            self._begin()
            told = {"Address": data.address, "BindAddress": data.bind_address or data.address, "Self": data.is_self}
            self._call(verb, {"DiscoveryType": _DISCOVERED, "DiscoveryData": told}, Nothing)

    # --- the plugin -------------------------------------------------------------------------------

    def _begin(self, *, quietly: bool = False) -> None:
        """Shake hands if that was not done; tell the plugin what it did not hear.

        Parameters
        ----------
        quietly : bool
            Something is to be taken away: what the plugin is does not matter.
        """
        if self._debts:
            self._debts.pay(lambda debt: self._remove(*debt))
        if not quietly:
            self._capabilities()

    def _capabilities(self) -> Capabilities:
        if self._checked is None:
            with self._lock:
                if self._checked is None:
                    try:
                        self._client.check_implements("NetworkDriver")
                    except errors.PluginError:
                        raise
                    except errors.NotFoundError as error:
                        raise errors.NoDriverError(str(error)) from None
                    except RefusedError as refused:
                        raise refused.error from None
                    self._checked = self._ask_capabilities()
        return self._checked

    def _ask_capabilities(self) -> Capabilities:
        try:
            told = self._client.call("NetworkDriver.GetCapabilities", None, Capabilities)
        except RefusedError as refused:
            if refused.refusal.status != 404:
                raise refused.error from None
            self._in_list = self._form != "interface"
            return Capabilities()
        for name, scope in (("Scope", told.scope), ("ConnectivityScope", told.connectivity_scope)):
            if scope and scope.lower() not in _SCOPES:
                raise errors.PluginError(
                    f"plugin {self._name!r}: GetCapabilities: {name} {scope!r:.80} is neither 'local' nor 'global'",
                    "answered",
                )
        return told

    def _call(self, verb: str, document: Mapping[str, Any], kind: Any) -> Any:
        try:
            return self._client.call(f"NetworkDriver.{verb}", document, kind)
        except RefusedError as refused:
            raise refused.error from None

    def _make(
        self,
        verb: str,
        document: Mapping[str, Any],
        kind: Any,
        undo: tuple[str, str, str],
        take: Callable[[Any], object] = lambda answer: None,
        *,
        optional: bool = False,
    ) -> Any:
        """Have the plugin make something, and take its answer; if that cannot be, what it made is undone there."""
        try:
            answer = self._client.call(f"NetworkDriver.{verb}", document, kind)
            try:
                take(answer)
            except errors.PluginError as error:
                raise errors.PluginError(f"plugin {self._name!r}: {verb}: {error}", "answered") from None
            except errors.DriverAPIError as error:  # what the plugin said is none of the caller's mistakes
                raise errors.PluginError(f"plugin {self._name!r}: {verb}: {error}", "answered") from error
        except RefusedError as refused:
            if optional and refused.refusal.missing:
                raise _NoVerbError(str(refused.error)) from None
            raise refused.error from None
        except errors.InvalidError:
            raise  # it could not be asked: of what a plugin answers, this is not raised
        except errors.PluginError as error:
            if error.outcome != "nothing":
                self._undo(undo, error)
            raise
        except BaseException as error:
            self._undo(undo, error)
            raise
        return answer

    def _undo(self, undo: tuple[str, str, str], error: BaseException) -> None:
        """Take away what the plugin may have made, now or when it is there again."""
        try:
            self._remove(*undo)
        except errors.NotFoundError:
            pass  # it had made nothing
        except errors.DriverAPIError as fault:
            error.add_note(f"while undoing: {fault}")
            if unheard(fault):
                self._debts.owe(undo)

    def _remove(self, verb: str, network: str, endpoint: str) -> None:
        """Have the plugin take something away.

        A no of it that has no kind, or an answer that cannot be read, is logged and passed over, as an engine passes
        over all of them: most plugins say 500 of what they do not know, and it could never be taken away here.
        """
        document = _ids(network, endpoint) if endpoint else {"NetworkID": network}
        try:
            self._client.call(f"NetworkDriver.{verb}", document, Nothing)
        except RefusedError as refused:
            if refused.refusal.told and refused.refusal.kind is not Kind.INTERNAL:
                raise refused.error from None
            emit("remote.ignored", driver=self._name, verb=verb, network=network, **of_fault(refused.error))
        except errors.PluginError as error:
            if error.outcome != "answered":
                raise
            emit("remote.ignored", driver=self._name, verb=verb, network=network, **of_fault(error))

    def __repr__(self) -> str:
        return f"<RemoteDriver {self._name!r}>"


class _NoVerbError(errors.NotFoundError):
    """The plugin does not know the verb."""


def _ids(network: str, endpoint: str) -> dict[str, Any]:
    return {"NetworkID": network, "EndpointID": endpoint}


def _fill(info: EndpointInfo, answer: EndpointAnswer) -> None:
    """Fill what is empty with what a plugin answered.

    Raises
    ------
    errors.DriverAPIError
        It answered what it was not asked for, even if it is the same, or what is no address.
    """
    told = list(answer.interfaces or ())
    if answer.interface is not None and answer.interface != EndpointInterface():
        told.append(answer.interface)
    if info.origin is Origin.EMPTY:
        for number, one in enumerate(told):
            made = info.add_interface(number if one.id is None else one.id)
            _fill_one(made, one)
        return
    there = info.interfaces
    if len(told) > len(there):
        raise errors.PluginError(f"it answered {len(told)} interfaces; the endpoint has {len(there)}")
    by_id = {one.id: one for one in there}
    for number, one in enumerate(told):
        found = there[number] if one.id is None else by_id.get(one.id)
        if found is None:
            raise errors.PluginError(f"it answered an interface {one.id}, which the endpoint has not")
        _fill_one(found, one)


def _check_empty(answer: EndpointAnswer) -> None:
    """Refuse what a plugin fills of an endpoint that is created again: somebody may go by what it had filled before."""
    for one in (answer.interface, *(answer.interfaces or ())):
        if one is not None and (one.mac_address or one.address or one.address_ipv6):
            raise errors.PluginError("it answered an address for an endpoint that has all of its own")


def _fill_one(interface: InterfaceInfo, told: EndpointInterface) -> None:
    fields = (
        ("MacAddress", told.mac_address, interface.packed_mac),
        ("Address", told.address, interface.packed_address),
        ("AddressIPv6", told.address_ipv6, interface.packed_address_ipv6),
    )
    given = [name for name, value, there in fields if value and there is not None]
    if given:
        raise errors.PluginError(f"it answered {', '.join(given)}, for which it was not asked: that was given")
    if told.mac_address:
        interface.set_mac_address(parse_mac(told.mac_address, "MacAddress"))
    for name, value, version in (("Address", told.address, 4), ("AddressIPv6", told.address_ipv6, 6)):
        if value:
            address = parse_prefix(value, name)
            if address.version != version or "/" not in value:
                raise errors.InvalidError(f"{name} {value!r} is not an IPv{version} address with its prefix")
            interface.set_address(address)


def _declare(info: JoinInfo, answer: JoinAnswer) -> None:
    """Declare what a plugin answered.

    Raises
    ------
    errors.DriverAPIError
        A part of it cannot be.
    """
    told = list(answer.interface_names or ())
    if answer.interface_name is not None and answer.interface_name.src_name:
        told = [answer.interface_name]
    names = info.interface_names
    if len(told) > len(names):
        raise errors.PluginError(f"it named {len(told)} interfaces; the endpoint has {len(names)}")
    for name, one in zip(names, told, strict=False):
        _name(name, one)
    if answer.gateway:
        info.set_gateway(parse_ip(answer.gateway, "Gateway"))
    if answer.gateway_ipv6:
        info.set_gateway_ipv6(parse_ip(answer.gateway_ipv6, "GatewayIPv6"))
    for route in answer.static_routes or ():
        hop = None if route.route_type == _ON_LINK or not route.next_hop else parse_ip(route.next_hop, "NextHop")
        if hop is None and route.route_type != _ON_LINK:
            raise errors.PluginError(f"it answered a route to {route.destination} that has no NextHop")
        info.add_static_route(parse_prefix(route.destination, "Destination").network, hop)
    if answer.hosts_path:
        info.set_hosts_path(answer.hosts_path)
    if answer.resolv_conf_path:
        info.set_resolv_conf_path(answer.resolv_conf_path)


def _name(name: Any, told: InterfaceName) -> None:
    if not told.src_name:
        raise errors.PluginError("it named an interface without SrcName")
    if told.dst_name:
        name.set_names(told.src_name, told.dst_name)
    else:
        name.set_link(MoveLink(told.src_name), prefix=told.dst_prefix or "eth")

"""An endpoint: the place of one sandbox on one network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, final

from driverapi import errors, labels
from driverapi.addresses import format_mac
from driverapi.api import EndpointInfo, InterfaceInfo, Origin
from driverapi.control.gate import changes, reads
from driverapi.control.joining import wishes_of, with_arguments
from driverapi.counters import InterfaceStatistics, statistics_of
from driverapi.lifecycle.records import JoinRequest
from driverapi.ports import publishing

if TYPE_CHECKING:
    from driverapi.controller import Controller
    from driverapi.network import Network
    from driverapi.plan import PortMap
    from driverapi.ports.spec import PortLike
    from driverapi.sandbox import Sandbox

__all__ = ["Endpoint"]


@final
class Endpoint:
    """An endpoint; made by ``Network.create_endpoint`` or ``Network.attach``.

    Attributes
    ----------
    id : str
        64 hexadecimal digits, unique for ever.
    name : str
        Unique within the network.
    network : Network
        The network that it is on.
    sandbox : Sandbox or None
        The sandbox that it has joined.
    error : Exception or None
        Why a bulk call could not bring it up (or take it away); it has been undone.

    Notes
    -----
    Thread safety: all methods; calls for one endpoint queue.
    """

    def __init__(self, network: Network, id: str, name: str, info: EndpointInfo) -> None:
        self.network = network
        self._gate = network._gate
        self.id = id
        self.name = name
        self.sandbox: Sandbox | None = None
        self.error: Exception | None = None
        self._info = info
        self._claimed = False  # its name is claimed, and it is not in the network's table yet
        self._taken: list[tuple[str, bytes]] = []  # (pool, address): what goes back when it is deleted
        self._made_sandbox: Sandbox | None = None  # by attach, so detach deletes it
        self._warm = False  # a warm pool has it: nobody knows of it

    @property
    @reads
    def interfaces(self) -> list[InterfaceInfo]:
        """Its interfaces, in the order of their ids' addition."""
        return list(self._info.interfaces)

    @property
    def origin(self) -> Origin:
        """Where its interfaces come from."""
        return self._info.origin

    @property
    def _mac(self) -> bytes | None:
        """The MAC of its first interface."""
        rows = self._info._rows
        return rows.mac(0) if len(rows) else None

    @changes
    def join(
        self,
        sandbox: Sandbox,
        options: Mapping[str, Any] | None = None,
        *,
        priority: int | None = None,
        routes: Sequence[str] = (),
        sysctls: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        """Join a sandbox: afterwards its interfaces are there, up, with addresses and routes.

        Parameters
        ----------
        priority : int, optional
            Of its gateways, where several networks meet in the sandbox: the highest has the default route, of equals
            the one that came first; when it leaves, the next has it. 0 by default; each family by itself.
        routes : sequence of str
            Further routes of the sandbox: ``"10.9.0.0/16 via 10.77.0.3"``; without ``via``, to what is on the link.
        sysctls : mapping
            Settings of its interfaces: ``{"net.ipv4.conf.IFNAME.log_martians": 1}``.

        Raises
        ------
        errors.JoinedError
            It has joined one already.
        errors.ConflictError
            The driver's endpoints do not go to such a sandbox, or a name in it is taken.
        errors.InvalidError
            An option is wrong; a sysctl is none of an interface, or the kernel has no such one.
        errors.KernelError
            The kernel refused; what was made is undone.
        """
        controller = self._check()
        controller._check_sandbox(sandbox)
        parsed = with_arguments(labels.normalise(options), priority, routes, sysctls)
        wishes_of(parsed)
        controller._check_kept(parsed, f"endpoint {self.name!r}")
        sandbox._enter()
        try:
            outcome = controller._lifecycle.join([self._request(sandbox, parsed)])[0]
        finally:
            sandbox._exit()
        if outcome is not None:
            raise outcome

    @changes
    def leave(self, sandbox: Sandbox | None = None) -> None:
        """Leave its sandbox (which must be the one given).

        Raises
        ------
        errors.NotJoinedError
            It has not joined that sandbox, or none.
        """
        controller = self._check()
        joined = self.sandbox if sandbox is None else sandbox
        if joined is None:
            raise errors.NotJoinedError(f"endpoint {self.name!r} has not joined a sandbox")
        controller._check_sandbox(joined, deleted_too=True)
        controller._keep_sandbox(self)
        outcome = controller._lifecycle.leave([self._request(joined)])[0]
        if outcome is not None:
            raise outcome

    @property
    @reads
    def ports(self) -> list[PortMap]:
        """Its published ports, in the order in which they were published; none of one that is deleted, or failed."""
        return list(self.network._controller._lifecycle.ports.of(self.id))

    @changes
    def publish(self, *what: PortLike) -> list[PortMap]:
        """Publish ports of it on the host, all or none; they stay until they are taken away, or it is deleted.

        Parameters
        ----------
        what : str, int, PortSpec or mapping
            ``"8080:80"``, ``"127.0.0.1:53:53/udp"``, ``"80"`` (a port of the host is chosen): see
            :mod:`driverapi.ports.spec`.

        Returns
        -------
        list of PortMap
            What is published now by this call; ``host_port`` says which port of the host it got.

        Raises
        ------
        errors.InvalidError
            One is no port, or the endpoint has no address that it could lead to.
        errors.PortTakenError, errors.PortsExhaustedError
            A port of the host is in use, or all of a range are.
        errors.KernelError
            The kernel refused, or has no packet filter.
        """
        return publishing.publish([(self, what)])

    @changes
    def unpublish(self, *what: PortLike) -> None:
        """Take published ports away; all of them where none is named. Connections through them end.

        Raises
        ------
        errors.NotFoundError
            One is not published; all are as before.
        """
        publishing.unpublish([(self, what)])

    @changes
    def delete(self) -> None:
        """Delete it: its addresses and its name are free again.

        Raises
        ------
        errors.JoinedError
            It is in a sandbox.
        errors.NoEndpointError
            It is deleted already.
        """
        self._check()._keep_sandbox(self)
        outcome = self.network._delete_many([self])[0]
        if outcome is not None:
            raise outcome

    def _check(self) -> Controller:
        """Return the controller if it and this endpoint can be used."""
        controller = self.network._controller
        self._known()
        return controller

    def _known(self) -> None:
        if not self.network._has(self):
            raise errors.NoEndpointError(
                f"endpoint {self.name!r} is not on network {self.network.name!r}: it is deleted, or failed"
            )

    def _request(
        self, sandbox: Sandbox, options: Mapping[str, Any] | None = None, *, ends: bool = False
    ) -> JoinRequest:
        note = partial(sandbox._note, self)
        return JoinRequest(self.id, sandbox._place(), options or {}, note, sandbox.name, self._warm, ends)

    @reads
    def info(self) -> dict[str, Any]:
        """Return all that is known of it, as plain data."""
        self._known()
        record = self.network._controller._lifecycle.endpoint(self.id)
        names = {} if record.realised is None else record.realised.names
        join = record.join
        return {
            "id": self.id,
            "name": self.name,
            "network": self.network.name,
            "network_id": self.network.id,
            "origin": self.origin.value,
            "sandbox": None if self.sandbox is None else self.sandbox.name,
            "sandbox_key": None if record.netns is None else record.netns.key,
            "interfaces": [_interface(one, names.get(one.id)) for one in self._info.interfaces],
            "ports": [str(one) for one in record.ports],
            "gateway": None if join is None else join.gateway,
            "gateway_ipv6": None if join is None else join.gateway_ipv6,
            "hosts_path": None if join is None else join.hosts_path,
            "resolv_conf_path": None if join is None else join.resolv_conf_path,
        }

    @changes
    def statistics(self) -> dict[str, InterfaceStatistics]:
        """Return what went through its interfaces, by their names (libnetwork: ``Statistics``).

        Raises
        ------
        errors.NotJoinedError
            It has not joined a sandbox.
        errors.KernelError, errors.NotFoundError
            The kernel refused; an interface is gone.
        """
        return statistics_of(self._check(), self)

    @changes
    def driver_info(self) -> Mapping[str, Any]:
        """Return the driver's operational data (seed: ``EndpointOperInfo``)."""
        return self._check()._lifecycle.oper_info(self.id)

    def __repr__(self) -> str:
        where = "failed" if self.error is not None else f"in {self.sandbox.name!r}" if self.sandbox else "not joined"
        return f"<Endpoint {self.name!r} on {self.network.name!r}, {where}>"


def _interface(interface: InterfaceInfo, name: str | None) -> dict[str, Any]:
    mac, ipv4, ipv6 = interface.packed_mac, interface.packed_address, interface.packed_address_ipv6
    return {
        "id": interface.id,
        "name": name,
        "mac_address": None if mac is None else format_mac(mac),
        "address": None if ipv4 is None else str(ipv4),
        "address_ipv6": None if ipv6 is None else str(ipv6),
    }

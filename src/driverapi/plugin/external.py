"""Published ports as an engine asks for them: with the endpoint they are only seen to be possible, then programmed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from driverapi import errors, labels
from driverapi.addresses import format_ip
from driverapi.api import Driver
from driverapi.plan import PROTOCOLS
from driverapi.ports.ports import PortRequest
from driverapi.ports.spec import PortSpec, PublishesPorts, parse_ports

if TYPE_CHECKING:
    from driverapi.lifecycle.lifecycle import Lifecycle
    from driverapi.plugin.wire import EndpointRequest

__all__ = ["External", "take_ports_out"]


def take_ports_out(driver: Driver, options: dict[str, Any]) -> None:
    """Take the ports that are to be published later out of an endpoint's options.

    Raises
    ------
    errors.InvalidError
        They cannot be understood.
    errors.NotImplementedYetError
        The driver publishes none.
    """
    if parse_ports(options.pop(labels.PORT_MAP, None)) and not isinstance(driver, PublishesPorts):
        raise errors.NotImplementedYetError(
            f"driver {driver.type()!r} publishes no ports ({labels.PORT_MAP}); leave -p and -P out"
        )


@final
class External:
    """Programs and revokes; the caller has the endpoint's turn.

    Thread safety: for different endpoints.
    """

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle
        self._asked: dict[str, list[PortSpec]] = {}  # endpoint: what it was programmed with by this process

    def program(self, endpoint: str, request: EndpointRequest) -> None:
        """Have an endpoint publish what a request says, and nothing else."""
        options = labels.normalise(request.options)
        specs = parse_ports(options.get(labels.PORT_MAP))
        if self._asked.get(endpoint) == specs and self._lifecycle.ports.of(endpoint):
            return
        self.revoke(endpoint)
        if specs:
            outcome = self._lifecycle.ports.publish([PortRequest(endpoint, specs)])[0]
            if outcome is not None:
                raise outcome
            self._asked[endpoint] = specs

    def revoke(self, endpoint: str) -> None:
        """Have an endpoint publish nothing."""
        self._asked.pop(endpoint, None)
        if self._lifecycle.ports.of(endpoint):
            outcome = self._lifecycle.ports.unpublish([PortRequest(endpoint)])[0]
            if outcome is not None:
                raise outcome

    def forget(self, endpoint: str) -> None:
        """Forget an endpoint that is deleted."""
        self._asked.pop(endpoint, None)

    def told(self, endpoint: str) -> Mapping[str, Any]:
        """Return what is published, as operational data."""
        ports = self._lifecycle.ports.of(endpoint)
        if not ports:
            return {}
        bindings = [
            {
                "Proto": PROTOCOLS[one.protocol],
                "IP": format_ip(one.ip),
                "Port": one.port,
                "HostIP": format_ip(one.host),
                "HostPort": one.host_port,
                "HostPortEnd": one.host_port,
            }
            for one in ports
        ]
        return {labels.PORT_MAP: bindings}

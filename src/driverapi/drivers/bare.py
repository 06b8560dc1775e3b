"""What drivers ``host`` and ``null`` have in common: endpoints without interfaces, so nothing to declare or undo."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final

from driverapi import errors, labels
from driverapi.api import Driver, EndpointInfo, JoinInfo, Options
from driverapi.drivers.options import Rules

__all__ = ["BareDriver", "bare_rules"]

_NO_LINK: Final = "its endpoints have no interfaces"
_IDENTITY: Final = (labels.ENDPOINT_MAC, labels.ENDPOINT_EXPOSED_PORTS)  # told for information


class BareDriver(Driver):
    """Networks and endpoints by id, and what is said to options.

    Thread safety: all methods.
    """

    rules: Rules
    most: int | None = None
    """Networks that there can be at once; None: any number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._networks: dict[str, set[str]] = {}  # endpoints by network

    def create_network(self, network_id: str, options: Options) -> None:
        """Note the network; nothing is made."""
        self.rules.check(options, versions={one.pool.version for one in options.get(labels.IPAM_DATA, ())})
        with self._lock:
            if network_id in self._networks:
                raise errors.NetworkExistsError(f"network {network_id} exists already")
            if self.most is not None and len(self._networks) >= self.most:
                raise errors.ConflictError(
                    f"there is a {self.type()} network already, and one is all that there can be: use that"
                )
            self._networks[network_id] = set()

    def delete_network(self, network_id: str) -> None:
        """Forget the network."""
        with self._lock:
            if self._of(network_id):
                raise errors.BusyError(
                    f"network {network_id} has {len(self._of(network_id))} endpoints; delete them first"
                )
            del self._networks[network_id]

    def create_endpoint(self, network_id: str, endpoint_id: str, info: EndpointInfo, options: Options) -> None:
        """Note the endpoint, and add no interface to the list."""
        self.rules.check(options, _IDENTITY)
        with self._lock:
            endpoints = self._of(network_id)
            if endpoint_id in endpoints:
                raise errors.EndpointExistsError(f"endpoint {endpoint_id} exists already")
            endpoints.add(endpoint_id)

    def delete_endpoint(self, network_id: str, endpoint_id: str) -> None:
        """Forget the endpoint."""
        with self._lock:
            self._known(network_id, endpoint_id).remove(endpoint_id)

    def join(self, network_id: str, endpoint_id: str, sandbox_key: str, info: JoinInfo, options: Options) -> None:
        """Declare nothing."""
        self.rules.check(options)
        self._known(network_id, endpoint_id)

    def leave(self, network_id: str, endpoint_id: str) -> None:
        """Undo nothing."""
        self._known(network_id, endpoint_id)

    def _of(self, network_id: str) -> set[str]:
        try:
            return self._networks[network_id]
        except KeyError:
            raise errors.NoNetworkError(f"the {self.type()} driver has no network {network_id}") from None

    def _known(self, network_id: str, endpoint_id: str) -> set[str]:
        endpoints = self._of(network_id)
        if endpoint_id not in endpoints:
            raise errors.NoEndpointError(f"the network has no endpoint {endpoint_id}")
        return endpoints


def bare_rules(driver: str, ports: str, more: Mapping[str, str] | None = None) -> Rules:
    """Make what such a driver says to options.

    Parameters
    ----------
    ports : str
        Why no port can be published.
    """
    return Rules(
        driver=driver,
        known=frozenset(_IDENTITY),
        only={},
        configuration={},
        refused={
            labels.MTU: _NO_LINK,
            labels.IFACE_PREFIX: _NO_LINK,
            labels.ENDPOINT_IFNAME: _NO_LINK,
            labels.BRIDGE_NAME: f"the {driver} driver makes no bridge",
            labels.PARENT: _NO_LINK,
            labels.PORT_MAP: ports,
            labels.BRIDGE_HOST_BINDING_IPV4: ports,
            **(more or {}),
        },
    )

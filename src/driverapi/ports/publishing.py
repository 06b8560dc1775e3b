"""Publishing as users ask for it, of one endpoint or of many at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from driverapi import errors, labels
from driverapi.plan import PortMap
from driverapi.ports.ports import PortRequest
from driverapi.ports.spec import PortLike, PortSpec, parse_plain, parse_ports

if TYPE_CHECKING:
    from driverapi.endpoint import Endpoint

__all__ = ["Wanted", "publish", "publish_each", "specs_of", "unpublish"]

Wanted = Sequence["tuple[Endpoint, PortLike | Iterable[PortLike]]"]


def specs_of(options: Mapping[str, Any], given: PortLike | Iterable[PortLike] | None) -> list[PortSpec]:
    """Return what an endpoint's options and arguments want published together."""
    return [*parse_ports(options.get(labels.PORT_MAP)), *parse_ports(given)]


def publish(wanted: Wanted) -> list[PortMap]:
    """Publish ports of endpoints of one controller, all or none, in one transaction; return what is published."""
    requests = _requests(wanted)
    if not requests:
        return []
    ports = wanted[0][0]._check()._lifecycle.ports
    for outcome in ports.publish(requests, whole=True):
        if outcome is not None:
            raise outcome
    return [one for request in requests for one in request.got]


def publish_each(endpoints: Sequence[Endpoint], specs: Sequence[Sequence[PortSpec]]) -> None:
    """Publish ports of endpoints, in one transaction; who cannot have them has its ``error`` set."""
    due = [(endpoint, some) for endpoint, some in zip(endpoints, specs, strict=True) if endpoint.error is None and some]
    if not due:
        return
    ports = due[0][0].network._controller._lifecycle.ports
    outcomes = ports.publish([PortRequest(endpoint.id, some) for endpoint, some in due])
    for (endpoint, _), outcome in zip(due, outcomes, strict=True):
        endpoint.error = outcome


def unpublish(wanted: Wanted) -> None:
    """Take published ports of endpoints of one controller away, in one transaction."""
    requests = _requests(wanted)
    if not requests:
        return
    for outcome in wanted[0][0]._check()._lifecycle.ports.unpublish(requests):
        if outcome is not None:
            raise outcome


def _requests(wanted: Wanted) -> list[PortRequest]:
    """Return what is wanted, one request for each endpoint."""
    found: dict[Endpoint, list[PortSpec]] = {}
    for endpoint, what in wanted:
        specs = found.get(endpoint)
        if specs is None:
            endpoint._known()
            specs = found[endpoint] = []
        plain = parse_plain(what)
        if plain is not None:
            specs.append(plain)
        else:
            specs += parse_ports(what)
    if len({id(endpoint.network._controller) for endpoint in found}) > 1:
        raise errors.InvalidError("the endpoints belong to several controllers; one call is for one")
    return [PortRequest(endpoint.id, specs) for endpoint, specs in found.items()]

"""What a state says against what the kernel has; both only read."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from driverapi._native import LinkRecord
from driverapi.dataplane.contract import Ownership
from driverapi.dataplane.firewall.contents import port_elements
from driverapi.plan import PortMap
from driverapi.store.contract import Kind, Record, State
from driverapi.store.data import EndpointData, EndpointMade, NetworkData, NetworkMade, SandboxData, decode

__all__ = ["differences"]

_ON_THEIR_WAY: Final = frozenset({State.WARM, State.LEAVING, State.DELETING})


def differences(
    records: Sequence[Record],
    links: Mapping[int, LinkRecord],
    names: Mapping[int, str],
    mounts: Collection[str],
    elements: Mapping[str, Collection[bytes]] | None = None,
) -> list[str]:
    """Return a line for each thing that is in one and not in the other.

    Parameters
    ----------
    links : mapping
        Those that carry the instance's mark, by index.
    names : mapping
        Names of all links, by index: a network may be on one that is somebody else's.
    mounts : collection of str
        Paths under the instance's directory that a namespace is bound to.
    elements : mapping, optional
        Keys of the published ports that the packet filter has, by their sets; None where nobody could look.

    Raises
    ------
    errors.StateDamagedError
        A record cannot be understood.
    """
    found: list[str] = []
    known: set[int] = set()

    def look_for(index: int, name: str, whose: str) -> None:
        known.add(index)
        if names.get(index) != name:
            found.append(f"{whose}: link {name} ({index}) is not there")

    paths = set()
    for record in records:
        if record.kind is Kind.NETWORK and record.state is State.CREATED:
            made = decode(record.made, NetworkMade)
            kept: dict[str, Any] = made.realised if isinstance(made.realised, dict) else {}
            for index, name, star, *_ in kept.values():
                look_for(index, name, f"network {decode(record.data, NetworkData).name!r}")
                known.update(star[0] if star is not None else ())
        elif record.kind is Kind.ENDPOINT and record.state is State.JOINED:
            joined = decode(record.made, EndpointMade)
            for _, index, host_name, host_index, *_ in joined.realised[2]:
                known.add(index)  # on the host only where somebody else moves it into the sandbox
                if host_index:
                    look_for(host_index, host_name, f"endpoint {decode(record.data, EndpointData).name!r}")
        elif record.kind is Kind.ENDPOINT and record.state in _ON_THEIR_WAY and record.made:
            for _, _, _, host_index, *_ in decode(record.made, EndpointMade).realised[2]:
                known.add(host_index)  # there or not: the record says that it is half-done
        elif record.kind is Kind.SANDBOX:
            sandbox = decode(record.data, SandboxData)
            if sandbox.ownership == Ownership.OWNED.value:
                paths.add(sandbox.key)
                if sandbox.key not in mounts and record.state is State.CREATED:  # else it was being deleted
                    found.append(f"sandbox {sandbox.name!r}: namespace {sandbox.key} is not there")
            elif sandbox.ownership == Ownership.EXISTING.value and not os.path.exists(sandbox.key):
                found.append(f"sandbox {sandbox.name!r}: {sandbox.key} is not there")
    for index, link in links.items():
        if index not in known and link.link not in known:  # the latter: the other end of a pair
            found.append(f"link {link.name} ({index}) is in no record")
    found += [f"namespace {path} is in no record" for path in mounts if path not in paths]
    return found if elements is None else found + _ports(records, elements)


def _ports(records: Sequence[Record], elements: Mapping[str, Collection[bytes]]) -> list[str]:
    """Return a line for each published port that the packet filter lacks, and one for those that it alone has."""
    found = []
    known: set[tuple[str, bytes]] = set()
    for record in records:
        if record.kind is not Kind.ENDPOINT or not record.data or record.state is State.RESTING:
            continue
        data = decode(record.data, EndpointData)
        for one in data.ports:
            port = PortMap(one.protocol, one.host, one.host_port, one.ip, one.port)
            [(name, key)] = [(name, key) for name, keys in port_elements([port]).items() for key in keys]
            known.add((name, key))
            if key not in elements.get(name, ()) and record.state not in _ON_THEIR_WAY:
                found.append(f"endpoint {data.name!r}: port {port} is not published")
    more = sum((name, key) not in known for name, keys in elements.items() for key in keys)
    return [*found, f"{more} published ports are in no record"] if more else found

"""What a controller writes into a state of its networks and sandboxes; the lifecycle writes the rest.

All is imported late: who keeps no state needs neither a database nor an encoder.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from driverapi import errors
from driverapi.api import IPAMData
from driverapi.machine import boot_id, namespace_id
from driverapi.store.contract import Kind, Record, State

if TYPE_CHECKING:
    from driverapi.ipam.wishes import Wish
    from driverapi.network import Network
    from driverapi.sandbox import Sandbox
    from driverapi.store.sqlite import SqliteStore

__all__ = [
    "begin",
    "check_options",
    "end",
    "given_up",
    "note_given_up",
    "note_of_network",
    "open_state",
    "sandbox_id",
    "sandbox_record",
    "surroundings",
]


_TOLD: Final = 100


def open_state(path: str | os.PathLike[str], durability: str, *, plugin: str = "") -> SqliteStore:
    """Open the state of a controller, or of a plugin, to write it.

    Raises
    ------
    errors.StateError
        It is a plugin's and not a controller's, or the other way round; see :class:`SqliteStore` for what else.
    """
    from driverapi.store import data
    from driverapi.store.sqlite import SqliteStore

    store = SqliteStore(path, durability=durability, check=data.check_records)
    try:
        whose = store.fact("plugin") or ""
        if bool(whose) != bool(plugin) and store.fact("instance") is not None:
            owner = f"plugin {whose!r}: 'driverapi serve' it" if whose else "a controller: give another"
            raise errors.StateError(f"state {store.path} is that of {owner}")
        if plugin:
            store.put_fact("plugin", plugin)
    except BaseException:
        store.close()
        raise
    return store


def note_given_up(state: SqliteStore, network: str, endpoint: str, addresses: Sequence[str]) -> None:
    """Write what a plugin took away because its engine had forgotten it; the last hundred are kept."""
    told = given_up(state)
    told.append({"at": round(time.time()), "network": network, "endpoint": endpoint, "addresses": list(addresses)})
    state.put_fact("given_up", json.dumps(told[-_TOLD:]))


def given_up(state: SqliteStore) -> list[dict[str, Any]]:
    """Return what :func:`note_given_up` wrote, oldest first."""
    try:
        told: list[dict[str, Any]] = json.loads(state.fact("given_up") or "[]")
    except ValueError:
        return []
    return told


def surroundings() -> str:
    """Return which boot of which machine this is, and which network namespace the calling thread is in."""
    try:
        return f"{boot_id()} {namespace_id()}"
    except OSError:
        return "unknown"


def begin(state: SqliteStore) -> None:
    """Write that a controller is at work on a state, where, and which; :func:`end` says that it is not."""
    state.put_fact("opened", f"{surroundings()} {secrets.token_hex(8)}")


def end(state: SqliteStore) -> None:
    """Write that the controller which is at work has ended as it should."""
    state.put_fact("closed", state.fact("opened") or "")


def check_options(options: Mapping[str, Any], what: str) -> None:
    """Raise ``InvalidError`` for options that cannot be kept."""
    from driverapi.store import data

    data.check_options(options, what)


def note_of_network(
    network: Network, prefixes: Sequence[IPAMData], options: Mapping[str, Any], wishes: Sequence[Wish]
) -> bytes:
    """Return what a network is, for its record."""
    from driverapi.store.data import NetworkData, PrefixData, encode

    of = {wish.version: wish for wish in wishes}
    given = []
    for one in prefixes:
        wish = of[one.pool.version]
        gateway = None if one.gateway is None else one.gateway.ip
        within = None if wish.within is None else (wish.within.ip, wish.within.prefix)
        id = network._pools[one.pool.version].id
        given.append(PrefixData(one.pool.ip, one.pool.prefix, gateway, within, list(wish.exclude), wish.serial, "", id))
    space, more = wishes[0].space, dict(wishes[0].options)
    controller = network._controller
    found = [
        ("driver", controller.registry.is_plugin(network.type)),
        ("ipam", controller.ipams.is_plugin(network.ipam)),
    ]
    plugins = [what for what, is_plugin in found if is_plugin]
    return encode(NetworkData(network.name, network.type, given, dict(options), network.ipam, space, more, plugins))


def sandbox_id(sandbox: Sandbox) -> str:
    """Return the id of a sandbox's record."""
    return f"sandbox {sandbox.name}"


def sandbox_record(sandbox: Sandbox, state: State = State.CREATED) -> Record:
    """Return the record of a sandbox."""
    from driverapi.store.data import SandboxData, encode

    netns = sandbox._place()
    files = None if sandbox._files is None else (sandbox._files.id, sandbox._files.services.kept())
    data = encode(SandboxData(sandbox.name, netns.key, netns.ownership.value, sandbox._made, files))
    return Record(sandbox_id(sandbox), "", state, kind=Kind.SANDBOX, data=data)

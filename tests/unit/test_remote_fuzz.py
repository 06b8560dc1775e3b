"""Plugins that answer anything: errors that are typed, and nothing left behind. The seeds are fixed."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from driverapi import errors
from driverapi.remote import RemoteIPAM
from tests.scripted import World

ROUNDS = 40

VERBS = (
    "NetworkDriver.GetCapabilities", "GwAllocCheck", "CreateNetwork", "CreateEndpoint", "Join",
    "ProgramExternalConnectivity", "EndpointOperInfo", "RevokeExternalConnectivity", "Leave", "DeleteEndpoint",
    "IpamDriver.GetCapabilities", "GetDefaultAddressSpaces", "RequestPool", "RequestAddress", "ReleaseAddress",
    "ReleasePool",
)  # fmt: skip

NAMES = (
    "Err", "err", "Error", "Kind", "Scope", "GwAllocChecker", "SkipIPv4", "Interface", "Interfaces", "ID", "Address",
    "AddressIPv6", "MacAddress", "InterfaceName", "InterfaceNames", "SrcName", "DstPrefix", "DstName", "Gateway",
    "GatewayIPv6", "StaticRoutes", "Destination", "RouteType", "NextHop", "HostsPath", "ResolvConfPath", "Value",
    "com.docker.network.portmap", "Proto", "IP", "Port", "HostIP", "HostPort", "Pool", "PoolID", "Data",
    "com.docker.network.gateway",
)  # fmt: skip

VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 80, 2**63, 1.5, "", "a", "eth0", "lo", "../x", "\0", "x" * 300, "10.60.0.2/16", "10.60.0.3",
    "fd60::9/64", "fd60::1", "0.0.0.0/0", "::/0", "02:00:00:00:00:07", "conflict", [], {}, [[[]]],
)  # fmt: skip


def document(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.random()
    if depth > 3 or kind < 0.3:
        return chance.choice(VALUES)
    if kind < 0.85:
        return {chance.choice(NAMES): document(chance, depth + 1) for _ in range(chance.randint(0, 4))}
    return [document(chance, depth + 1) for _ in range(chance.randint(0, 3))]


def answer(chance: random.Random) -> Any:
    kind = chance.random()
    told = document(chance)
    if kind < 0.75:
        return {} if told is None else told
    body = json.dumps(told).encode()
    if kind < 0.85:
        return chance.choice([200, 201, 204, 301, 400, 404, 409, 500, 507, 599]), body
    return 200, body[: chance.randint(0, len(body))] if kind < 0.95 else chance.randbytes(30)


def life(world: World, chance: random.Random) -> None:
    """Have a network and endpoints do all that they can; the plugin is as it should be at their end."""
    gives = "tiny" if chance.random() < 0.5 and world.driver.requires_ipam else "default"
    net = world.ctl.create_network("tiny", "net", ipv4="10.60.0.0/16", ipam=gives)
    try:
        eps = net.attach(chance.randint(1, 3), publish=chance.choice([None, "80", "8080-8090:80"]))
        for ep in eps:
            assert ep.error is None or typed(ep.error)
        one = net.create_endpoint("one")
        one.join(world.ctl.create_sandbox("box"))
        one.publish("90")
        one.unpublish()
        one.driver_info()
        one.leave()
        one.delete()
    finally:
        world.tiny.script.clear()
        net.detach(net.endpoints)
        net.delete()


def fault_of(world: World, chance: random.Random) -> Exception | None:
    try:
        life(world, chance)
    except Exception as fault:
        return fault
    return None


def typed(error: BaseException) -> bool:
    return isinstance(error, errors.DriverAPIError) and not isinstance(error, errors.DriverFaultError)


@pytest.mark.parametrize("form", ["interface", "list", "auto"])
def test_answers_of_any_kind(tmp_path: Path, form: str) -> None:
    chance = random.Random(f"remote {form}")
    world = World(tmp_path, form=form, requires_ipam=form != "list")
    world.ctl.ipams.register("tiny", RemoteIPAM("tiny", f"unix://{world.tiny.path}", timeout=5.0, patience=0.0))
    addresses = list(world.tiny.free)
    for _ in range(ROUNDS):
        world.driver._checked = None  # it is asked for its capabilities again
        world.tiny.free[:] = addresses
        script = {verb: [answer(chance) for _ in range(2)] for verb in chance.sample(VERBS, 2)}
        world.tiny.script.update(script)
        fault = fault_of(world, chance)
        assert fault is None or typed(fault), script
        world.tiny.script.clear()
        assert world.ctl.networks == [], script
        assert world.dataplane.endpoints == {}, script
        for box in world.ctl.sandboxes:
            box.delete()
    world.close()

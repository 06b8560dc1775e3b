"""Bad input: each a typed error that names the thing, and the state as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from driverapi import Controller, errors, labels
from driverapi.errors import (
    AddressTakenError,
    BusyError,
    ConflictError,
    EndpointExistsError,
    InvalidError,
    JoinedError,
    KernelConflictError,
    NetworkExistsError,
    NoDriverError,
    NoEndpointError,
    NoNetworkError,
    NoSandboxError,
    NotImplementedYetError,
    NotJoinedError,
    SandboxExistsError,
)
from driverapi.network import Network
from driverapi.testing import FakeDataplane
from tests.support import World, unchanged

# fmt: off
BAD: list[tuple[str, type[Exception], str, Callable[[Any], Any]]] = [
    # networks
    ("unknown driver", NoDriverError, "'overlay'", lambda f: f.ctl.create_network("overlay", "n")),
    ("driver that is no name", InvalidError, "None", lambda f: f.ctl.create_network(None, "n")),
    ("duplicate network", NetworkExistsError, "'web'", lambda f: f.ctl.create_network("bridge", "web")),
    ("unknown network", NoNetworkError, "'nope'", lambda f: f.ctl.network("nope")),
    ("empty name", InvalidError, "network name ''", lambda f: f.ctl.create_network("bridge", "")),
    ("long name", InvalidError, "network name", lambda f: f.ctl.create_network("bridge", "n" * 256)),
    ("name of bytes", InvalidError, "b'n'", lambda f: f.ctl.create_network("bridge", b"n")),
    ("name with a newline", InvalidError, r"'a\\nb'", lambda f: f.ctl.create_network("bridge", "a\nb")),
    ("prefix that is none", InvalidError, "10.0.0.0/33", lambda f: f.net("n", ipv4="10.0.0.0/33")),
    ("prefix with host bits", InvalidError, "10.0.0.1/8", lambda f: f.net("n", ipv4="10.0.0.1/8")),
    ("prefix of the other family", InvalidError, "fd0a::/64", lambda f: f.net("n", ipv4="fd0a::/64")),
    ("prefix that is a number", InvalidError, "7", lambda f: f.net("n", ipv6=7)),
    ("overlapping prefix", ConflictError, "10.77.3.0/24", lambda f: f.net("n", ipv4="10.77.3.0/24")),
    ("overlap in the second", ConflictError, "fd77::/80", lambda f: f.net("n", ipv4="10.1.0.0/24", ipv6="fd77::/80")),
    ("gateway outside", InvalidError, "10.2.0.1", lambda f: f.net("n", ipv4="10.1.0.0/24", gateway="10.2.0.1")),
    ("gateway that is none", InvalidError, "'gw'", lambda f: f.net("n", ipv4="10.1.0.0/24", gateway="gw")),
    ("gateway of all", InvalidError, "10.1.0.255", lambda f: f.net("n", ipv4="10.1.0.0/24", gateway="10.1.0.255")),
    ("gateway without prefix", InvalidError, "'n'", lambda f: f.net("n", ipv4="10.1.0.0/24", gateway_ipv6="fd01::1")),
    ("loopback prefix", InvalidError, "127.1.0.0/16", lambda f: f.net("n", ipv4="127.1.0.0/16")),
    ("prefix of one address", InvalidError, "10.1.0.1/32.*/31", lambda f: f.net("n", ipv4="10.1.0.1/32")),
    ("IPv6 prefix of one address", InvalidError, "fd01::1/128.*/127", lambda f: f.net("n", ipv6="fd01::1/128")),
    ("option of the seed", NotImplementedYetError, "EnableIPTables",
     lambda f: f.net("n", options={"EnableIPTables": "true"})),
    ("options that are none", InvalidError, "options", lambda f: f.net("n", options="mtu=9")),
    ("ipam data as an option", InvalidError, "ipam_data", lambda f: f.net("n", options={"driverapi.ipam_data": 1})),
    ("small MTU", InvalidError, "67", lambda f: f.net("n", ipv4="10.1.0.0/24", options={"Mtu": 67})),
    ("MTU too small for IPv6", InvalidError, "1279", lambda f: f.net("n", ipv6="fd01::/64", options={"Mtu": "1279"})),
    ("large MTU", InvalidError, "65536", lambda f: f.net("n", options={labels.MTU: 65536})),
    ("MTU that is none", InvalidError, "'big'", lambda f: f.net("n", options={"Mtu": "big"})),
    ("long bridge name", InvalidError, "b{16}", lambda f: f.net("n", options={"BridgeName": "b" * 16})),
    ("taken bridge name", KernelConflictError, "lo", lambda f: f.net("n", options={"BridgeName": "lo"})),
    ("long interface prefix", InvalidError, "p{13}", lambda f: f.net("n", options={labels.IFACE_PREFIX: "p" * 13})),
    ("gateway mode that is none", InvalidError, "'bridged' is not one of nat, ",
     lambda f: f.net("n", options={labels.BRIDGE_GATEWAY_MODE_IPV4: "bridged"})),
    ("gateway mode without the family", InvalidError, "no IPv6 prefix",
     lambda f: f.net("n", options={labels.BRIDGE_GATEWAY_MODE_IPV6: "nat"})),
    ("isolated and not internal", InvalidError, "com.docker.network.internal",
     lambda f: f.net("n", options={labels.BRIDGE_GATEWAY_MODE_IPV4: "isolated"})),
    ("source without NAT", InvalidError, "host_ipv4.*mode 'nat'",
     lambda f: f.net("n", options={labels.HOST_IPV4: "192.0.2.1"})),
    ("source that is none", InvalidError, "'fd00::1' is not an IPv4",
     lambda f: f.net("n", options={labels.HOST_IPV4: "fd00::1", labels.BRIDGE_MASQUERADE: True})),
    ("source of loopback", InvalidError, "host_ipv4.*no answer comes back to 127.0.0.2",
     lambda f: f.net("n", options={labels.HOST_IPV4: "127.0.0.2", labels.BRIDGE_MASQUERADE: True})),
    ("source that is not one", InvalidError, "host_ipv4.*no answer comes back to 0.0.0.0",
     lambda f: f.net("n", options={labels.HOST_IPV4: "0.0.0.0", labels.BRIDGE_MASQUERADE: True})),
    ("network with endpoints", BusyError, "'web' has 2 endpoints [(]idle, inside[)];", lambda f: f.web.delete()),
    ("deleted network", NoNetworkError, "'gone'", lambda f: f.gone.delete()),
    ("endpoint on a deleted network", NoNetworkError, "'gone'", lambda f: f.gone.create_endpoint("ep")),
    # endpoints
    ("duplicate endpoint", EndpointExistsError, "'web'.*'idle'", lambda f: f.web.create_endpoint("idle")),
    ("unknown endpoint", NoEndpointError, "'web'.*'nope'", lambda f: f.web.endpoint("nope")),
    ("endpoint name that is none", InvalidError, "endpoint name 5", lambda f: f.web.create_endpoint(5)),
    ("empty endpoint name", InvalidError, "endpoint name ''", lambda f: f.web.create_endpoint("")),
    ("address outside", InvalidError, r"10.78.0.1.*10.77.0.0/16", lambda f: f.web.create_endpoint("n", "10.78.0.1")),
    ("address of the network", InvalidError, "10.77.0.0", lambda f: f.web.create_endpoint("n", "10.77.0.0")),
    ("address taken", AddressTakenError, "10.77.0.2", lambda f: f.web.create_endpoint("n", "10.77.0.2")),
    ("address of the gateway", AddressTakenError, "10.77.0.1 ", lambda f: f.web.create_endpoint("n", "10.77.0.1")),
    ("second address taken", AddressTakenError, "fd77::2",
     lambda f: f.web.create_endpoint("n", "10.77.9.9", "fd77::2")),
    ("address that is none", InvalidError, "'10.77.0.x'", lambda f: f.web.create_endpoint("n", "10.77.0.x")),
    ("address with a prefix", InvalidError, "10.77.0.9/16", lambda f: f.web.create_endpoint("n", "10.77.0.9/16")),
    ("address of the other family", InvalidError, "fd77::9", lambda f: f.web.create_endpoint("n", "fd77::9")),
    ("family that is not there", InvalidError, "'four' has no IPv6",
     lambda f: f.four.create_endpoint("n", ipv6="fd77::9")),
    ("MAC that is none", InvalidError, "'no mac'", lambda f: f.web.create_endpoint("n", mac="no mac")),
    ("MAC of a group", InvalidError, "01:00:5e:00:00:01",
     lambda f: f.web.create_endpoint("n", mac="01:00:5e:00:00:01")),
    ("MAC taken", AddressTakenError, "02:42:0a:4d:00:02",
     lambda f: f.web.create_endpoint("n", mac="02:42:0a:4d:00:02")),
    ("MAC in a label", InvalidError, "'no mac'",
     lambda f: f.web.create_endpoint("n", options={"MacAddress": "no mac"})),
    ("long interface name", InvalidError, "i{16}",
     lambda f: f.web.create_endpoint("n", options={labels.ENDPOINT_IFNAME: "i" * 16})),
    ("deleted endpoint", NoEndpointError, "'deleted'", lambda f: f.deleted.delete()),
    ("info of a deleted endpoint", NoEndpointError, "deleted", lambda f: f.deleted.info()),
    ("driver info of a deleted one", NoEndpointError, "'deleted'", lambda f: f.deleted.driver_info()),
    ("delete while joined", JoinedError, "'inside'", lambda f: f.inside.delete()),
    # joining
    ("join twice", JoinedError, "'inside' has joined", lambda f: f.inside.join(f.box)),
    ("join another", JoinedError, "'inside' has joined", lambda f: f.inside.join(f.spare)),
    ("join after deletion", NoEndpointError, "'deleted'", lambda f: f.deleted.join(f.box)),
    ("join a deleted sandbox", NoSandboxError, "'dropped'", lambda f: f.idle.join(f.dropped)),
    ("join a name", InvalidError, "'box'", lambda f: f.idle.join("box")),
    ("join nothing", InvalidError, "None", lambda f: f.idle.join(None)),
    ("join another controller's", InvalidError, "'foreign'", lambda f: f.idle.join(f.foreign)),
    ("join the host", ConflictError, "'idle'.*'bridge' join no sandbox", lambda f: f.idle.join(f.host)),
    ("join with bad options", InvalidError, "options", lambda f: f.idle.join(f.box, "x")),
    ("taken interface name", ConflictError, "'wan'.*{box}", lambda f: f.wan.join(f.box)),
    ("leave what was not joined", NotJoinedError, "'idle'", lambda f: f.idle.leave()),
    ("leave another", NotJoinedError, "'inside' has not joined sandbox 'spare'", lambda f: f.inside.leave(f.spare)),
    ("leave a name", InvalidError, "'box'", lambda f: f.inside.leave("box")),
    ("leave after deletion", NoEndpointError, "'deleted'", lambda f: f.deleted.leave()),
    # sandboxes
    ("duplicate sandbox", SandboxExistsError, "'box'", lambda f: f.ctl.create_sandbox("box")),
    ("unknown sandbox", NoSandboxError, "'nope'", lambda f: f.ctl.sandbox("nope")),
    ("sandbox name that is none", InvalidError, "sandbox name", lambda f: f.ctl.create_sandbox("")),
    ("no such namespace", NoSandboxError, "/no/such", lambda f: f.ctl.create_sandbox("n", netns="/no/such")),
    ("both the host's and another", InvalidError, "not both",
     lambda f: f.ctl.create_sandbox("n", netns="/x", host=True)),
    ("namespace that is no path", InvalidError, "netns 5", lambda f: f.ctl.create_sandbox("n", netns=5)),
    ("namespace with a NUL", InvalidError, "netns", lambda f: f.ctl.create_sandbox("n", netns="/a\0b")),
    ("sandbox in use", BusyError, "'box'.*inside", lambda f: f.box.delete()),
    ("deleted sandbox", NoSandboxError, "'dropped'", lambda f: f.dropped.delete()),
    # bulk
    ("attach nothing", InvalidError, "None", lambda f: f.web.attach(None)),
    ("attach less than nothing", InvalidError, "0 to 1000000, or.*-1", lambda f: f.web.attach(-1)),
    ("attach a truth value", InvalidError, "True", lambda f: f.web.attach(True)),
    ("attach a fraction", InvalidError, "1.5", lambda f: f.web.attach(1.5)),
    ("attach text", InvalidError, "'box'", lambda f: f.web.attach("box")),
    ("attach to what is none", InvalidError, "None", lambda f: f.web.attach([f.box, None])),
    ("attach to a deleted sandbox", NoSandboxError, "'dropped'", lambda f: f.web.attach([f.box, f.dropped])),
    ("attach to another controller's", InvalidError, "'foreign'", lambda f: f.web.attach([f.foreign])),
]
# fmt: on


class Full:
    """A world with one of each thing that a bad call may meet."""

    def __init__(self, world: World) -> None:
        self.ctl = ctl = world.ctl
        self.other = World()
        self.foreign = self.other.ctl.create_sandbox("foreign")
        self.web = ctl.create_network("bridge", "web", ipv4="10.77.0.0/16", ipv6="fd77::/64")
        self.four = ctl.create_network("bridge", "four", ipv4="10.4.0.0/24")
        self.gone = ctl.create_network("bridge", "gone", ipv4="10.3.0.0/24")
        self.gone.delete()
        self.box, self.spare, self.dropped = map(ctl.create_sandbox, ("box", "spare", "dropped"))
        self.host = ctl.create_sandbox("host", host=True)
        self.dropped.delete()
        self.inside = self.web.create_endpoint("inside")
        self.inside.join(self.box)
        self.idle = self.web.create_endpoint("idle")
        name = {"com.docker.network.endpoint.ifname": "wan"}
        self.four.create_endpoint("first", options=name).join(self.box)
        self.wan = self.four.create_endpoint("wan", options=name)
        self.deleted = self.four.create_endpoint("deleted")
        self.deleted.delete()
        world.dataplane.faults["/no/such"] = errors.NoSandboxError("'/no/such' is no network namespace")

    def net(self, name: str, **arguments: Any) -> Network:
        return self.ctl.create_network("bridge", name, **arguments)


@pytest.mark.parametrize(("kind", "names", "call"), [one[1:] for one in BAD], ids=[one[0] for one in BAD])
def test_bad_input(world: World, kind: type[Exception], names: str, call: Callable[[Any], Any]) -> None:
    full = Full(world)
    pattern = names.replace(".", r"\.").replace(r"\.*", ".*")
    pattern = pattern.replace("{box}", full.box.key)
    calls = len(world.bridge.calls)
    with unchanged(world), pytest.raises(kind, match=pattern) as caught:
        call(full)
    assert isinstance(caught.value, errors.DriverAPIError)
    assert type(caught.value) is kind
    undone = [method for method, _ in world.bridge.calls[calls:]]
    assert undone in (
        [],
        ["create_network"],
        ["create_network", "delete_network"],
        ["create_endpoint"],
        ["join", "leave"],
    )
    full.other.ctl.close()


@pytest.mark.parametrize(
    "given",
    [{"lost": "maybe"}, {"durability": "some"}, {"state": "a\0b"}, {"state": 3}],
)
def test_state_that_is_none(tmp_path: Path, given: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidError, match=next(iter(given))):
        Controller(dataplane=FakeDataplane(), **{"state": tmp_path / "state.db", **given})

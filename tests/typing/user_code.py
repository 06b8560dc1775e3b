"""What a user with ``mypy --strict`` writes; it is checked, never run."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any, assert_type

from _fastnet import Batch, Bitmap, InterfaceList, IPPool, MACPool, NetlinkSocket
from driverapi import (
    Controller,
    Driver,
    DriverCallback,
    DriverRegistry,
    Endpoint,
    EndpointInfo,
    InterfaceInfo,
    JoinInfo,
    Network,
    Sandbox,
    VethLink,
    errors,
)


def networks(ctl: Controller) -> None:
    net = ctl.create_network("bridge", "web", ipv4="10.77.0.0/16", ipv6="fd77::/64", options={})
    assert_type(net, Network)
    ctl.create_network("bridge", "mail", ipv4=ipaddress.IPv4Network("10.78.0.0/16"))
    assert_type(net.name, str)
    assert_type(ctl.networks, list[Network])
    assert_type(ctl.sandboxes, list[Sandbox])
    net.delete()


def endpoints(ctl: Controller, net: Network) -> None:
    box = ctl.create_sandbox("container-1")
    assert_type(box, Sandbox)
    assert_type(box.key, str)
    ctl.create_sandbox("container-2", netns="/run/netns/x")
    ep = net.create_endpoint("ep1", ipv4="10.77.0.9", ipv6=ipaddress.ip_address("fd77::9"), mac=None, options={})
    assert_type(ep, Endpoint)
    ep.join(box)
    assert_type(ep.sandbox, Sandbox | None)
    assert_type(ep.interfaces, list[InterfaceInfo])
    assert_type(ep.interfaces[0].id, int)
    assert_type(ep.info(), dict[str, Any])
    assert_type(ep.driver_info(), Mapping[str, Any])
    ep.leave(box)
    ep.delete()


def bulk(ctl: Controller, net: Network) -> None:
    assert_type(net.attach(1000), list[Endpoint])
    eps = net.attach([ctl.create_sandbox("a"), ctl.create_sandbox("b")], strict=True)
    failed = [ep for ep in eps if ep.error is not None]
    for ep in failed:
        raise errors.DriverAPIError(str(ep.error))
    net.detach(eps)
    with net.attached(50) as some:
        assert_type(some, list[Endpoint])


class Cable(Driver):
    """A driver with all methods, as the contract has them."""

    def create_network(self, network_id: str, options: Mapping[str, Any]) -> None:
        pass

    def delete_network(self, network_id: str) -> None:
        pass

    def create_endpoint(
        self, network_id: str, endpoint_id: str, info: EndpointInfo, options: Mapping[str, Any]
    ) -> None:
        one = info.add_interface(0, mac="02:42:0a:00:00:01", ipv4="10.0.0.1/24", ipv6="fd00::1/64")
        assert_type(one, InterfaceInfo)

    def delete_endpoint(self, network_id: str, endpoint_id: str) -> None:
        pass

    def join(
        self, network_id: str, endpoint_id: str, sandbox_key: str, info: JoinInfo, options: Mapping[str, Any]
    ) -> None:
        for name in info.interface_names:
            name.set_link(VethLink(mtu=1400))
        info.set_gateway("10.0.0.254")
        info.set_gateway_ipv6(ipaddress.IPv6Address("fe80::1"))
        info.add_static_route("10.9.0.0/16", "10.0.0.253")

    def leave(self, network_id: str, endpoint_id: str) -> None:
        pass

    def type(self) -> str:
        return "cable"


def registering() -> None:
    registry = DriverRegistry()
    callback: DriverCallback = registry
    callback.register_driver("cable", Cable())
    assert_type(registry.get("cable"), Driver)
    Controller(registry=registry).close()


def core() -> bytes:
    numbers = memoryview(Bitmap(1024).allocate_many(10))
    pool = IPPool("fd00::/64")
    packed = pool.allocate_packed()
    assert_type(pool.free, int)
    pool.release(packed)
    rows = InterfaceList()
    rows.append(0, MACPool().allocate_packed(), ipv6=packed, ipv6_prefix=64)
    batch = Batch()
    assert_type(batch.add_veth("a", "b", mtu=1400, up=True), int)
    with NetlinkSocket() as socket:
        answers = socket.execute(batch)
        assert_type(answers.ok, bool)
        assert_type(answers.failed, list[int])
    return bytes(batch) + bytes(numbers)

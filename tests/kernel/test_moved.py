"""A seed-style driver that makes its own device: it is moved in, configured, and moved back."""

from __future__ import annotations

from pyroute2 import IPRoute, NetNS

from driverapi import Controller, Driver, DriverRegistry, EndpointInfo, JoinInfo, errors
from driverapi.api import Options


class OwnDevices(Driver):
    """Makes a veth pair per endpoint, and names one end of it to the package."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.make = True

    def type(self) -> str:
        return "own"

    def create_network(self, network_id: str, options: Options) -> None:
        pass

    def delete_network(self, network_id: str) -> None:
        pass

    def create_endpoint(self, network_id: str, endpoint_id: str, info: EndpointInfo, options: Options) -> None:
        name = f"own{len(self.names)}"
        if self.make:
            with IPRoute() as ip:
                ip.link("add", ifname=name, kind="veth", peer=f"far-{name}")
        self.names[endpoint_id] = name
        info.add_interface(3, None, "10.3.0.2/24", "fd03::2/64")

    def delete_endpoint(self, network_id: str, endpoint_id: str) -> None:
        if self.make:
            with IPRoute() as ip:
                ip.link("del", index=ip.link_lookup(ifname=self.names[endpoint_id])[0])

    def join(self, network_id: str, endpoint_id: str, sandbox_key: str, info: JoinInfo, options: Options) -> None:
        info.interface_names[0].set_names(self.names[endpoint_id], "eth0")
        info.set_gateway("10.3.0.1")

    def leave(self, network_id: str, endpoint_id: str) -> None:
        pass


def names() -> set[str]:
    with IPRoute() as ip:
        return {link.get("ifname") for link in ip.get_links()}


def test_a_driver_with_its_own_device() -> None:
    driver = OwnDevices()
    registry = DriverRegistry()
    registry.register("own", driver)
    before = names()
    with Controller(registry=registry) as controller:
        network = controller.create_network("own", "net")
        box = controller.create_sandbox("box")
        endpoint = network.create_endpoint("ep")
        assert names() - before == {"own0", "far-own0"}
        endpoint.join(box)
        assert names() - before == {"far-own0"}
        with NetNS(box.key, flags=0) as ns:
            links = {link.get("ifname"): link for link in ns.get_links()}
            assert set(links) == {"lo", "eth0"}
            assert links["eth0"]["flags"] & 1  # IFF_UP
            have = {one.get("address") for one in ns.get_addr(index=links["eth0"]["index"])}
            assert {"10.3.0.2", "fd03::2"} <= have
            assert [one.get("gateway") for one in ns.get_default_routes()] == ["10.3.0.1"]
        endpoint.leave()
        assert names() - before == {"own0", "far-own0"}  # under its own name again
        endpoint.join(box)  # and in again
        endpoint.leave()
        endpoint.delete()
        assert names() == before


def test_a_device_that_is_not_there() -> None:
    driver = OwnDevices()
    driver.make = False
    registry = DriverRegistry()
    registry.register("own", driver)
    with Controller(registry=registry) as controller:
        [failed] = controller.create_network("own", "net").attach(1)
        assert isinstance(failed.error, errors.NotFoundError)
        assert "own0" in str(failed.error)
        assert controller.sandboxes == []

"""Drivers host and null: no interfaces, one host, and no option passed over in silence."""

from __future__ import annotations

from typing import Any

import pytest

from driverapi import Controller, errors, labels
from driverapi.dataplane.contract import Ownership
from driverapi.drivers.host import HostDriver
from driverapi.drivers.null import NullDriver
from driverapi.testing import FakeDataplane


@pytest.fixture
def ctl() -> Any:
    with Controller(dataplane=FakeDataplane()) as made:
        yield made


def test_there_is_one_host(ctl: Controller) -> None:
    first = ctl.create_network("host", "host")
    with pytest.raises(errors.ConflictError, match=r"a host network already.*one is all"):
        ctl.create_network("host", "other")
    assert ctl.networks == [first]
    [endpoint] = first.attach(1, strict=True)
    with pytest.raises(errors.BusyError):
        first.delete()
    first.detach([endpoint])
    first.delete()
    ctl.create_network("host", "other").attach(1, strict=True)


def test_there_are_many_of_nothing(ctl: Controller) -> None:
    for number in range(3):
        [endpoint] = ctl.create_network("null", f"null{number}").attach(1, strict=True)
        assert endpoint.interfaces == []
        assert endpoint.sandbox is not None
        assert endpoint.sandbox.ownership is Ownership.OWNED


@pytest.mark.parametrize("driver", ["host", "null"])
@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("Mtu", 1400, errors.NotImplementedYetError),
        (labels.BRIDGE_NAME, "br0", errors.NotImplementedYetError),
        ("parent", "eth0", errors.NotImplementedYetError),
        ("DefaultBindingIP", "127.0.0.1", errors.NotImplementedYetError),
        ("colour", "red", errors.InvalidError),
        ("driverapi.forwarding", "none", errors.InvalidError),
    ],
)
def test_options_that_are_refused(ctl: Controller, driver: str, name: str, value: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=labels.canonical(name)):
        ctl.create_network(driver, "net", options={name: value})
    assert ctl.networks == []


def test_options_of_endpoints(ctl: Controller) -> None:
    host = ctl.create_network("host", "host")
    with pytest.raises(errors.NotImplementedYetError, match="the host's own ports"):
        host.create_endpoint("ep", options={"PortBindings": {"80/tcp": []}})
    endpoint = host.create_endpoint("ep", options={"ExposedPorts": ["80/tcp"], "PortBindings": {}})
    with pytest.raises(errors.ConflictError, match="only sandboxes made with host=True"):
        endpoint.join(ctl.create_sandbox("own"))
    with pytest.raises(errors.NotImplementedYetError, match="ifname"):
        endpoint.join(ctl.create_sandbox("host", host=True), {labels.ENDPOINT_IFNAME: "eth0"})
    endpoint.join(ctl.sandbox("host"))


@pytest.mark.parametrize("make", [HostDriver, NullDriver])
def test_what_is_not_known(make: type[HostDriver | NullDriver]) -> None:
    driver = make()
    driver.create_network("net", {})
    for call in (
        lambda: driver.delete_network("other"),
        lambda: driver.delete_endpoint("net", "ep"),
        lambda: driver.leave("net", "ep"),
        lambda: driver.config({"EnableIPForwarding": False}),
        lambda: driver.create_network("net", {}),
    ):
        with pytest.raises(errors.DriverAPIError):
            call()
    driver.delete_network("net")

"""Warm pools on the kernel: what is taken from one is an endpoint like any other, and nothing is left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pyroute2 import IPRoute, NetNS

from driverapi import Controller


def links_of_ours() -> int:
    with IPRoute() as ip:
        return sum(1 for link in ip.get_links() if link.get("ifname").startswith("dv"))


@pytest.mark.parametrize("ipv6", [None, "fd77::/64"])
def test_taking_does_no_kernel_work(tmp_path: Path, ipv6: str | None) -> None:
    with Controller(run_dir=tmp_path) as ctl:
        net = ctl.create_network("bridge", "web", ipv4="10.77.0.0/24", ipv6=ipv6)
        pool = ctl.warm(net, 8)
        assert pool.ready == 8
        assert links_of_ours() == 9
        [instance] = tmp_path.iterdir()
        before = {str(path) for path in (instance / "ns").iterdir()}
        [endpoint] = net.attach(1)
        assert endpoint.sandbox is not None
        assert endpoint.sandbox.key in before
        address = endpoint.interfaces[0].address
        assert address is not None
        with NetNS(endpoint.sandbox.key, flags=0) as ns:
            assert str(address.ip) in {one.get("address") for one in ns.get_addr(family=2)}
            assert [route.get("gateway") for route in ns.get_default_routes(family=2)] == ["10.77.0.1"]
        net.detach([endpoint])
    assert links_of_ours() == 0
    assert os.listdir(tmp_path) == []


def test_a_pool_goes_with_its_network(tmp_path: Path) -> None:
    with Controller(run_dir=tmp_path) as ctl:
        net = ctl.create_network("bridge", "web", ipv4="10.77.0.0/24")
        ctl.warm(net, 5)
        net.delete()
        assert links_of_ours() == 0
        [instance] = tmp_path.iterdir()
        assert list((instance / "ns").iterdir()) == []

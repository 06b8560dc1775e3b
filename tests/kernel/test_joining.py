"""Routes, priorities of default routes, sysctls and names of interfaces, as the kernel has them afterwards."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from _fastnet.netns import create, drop
from driverapi import Controller, Endpoint, Network, Sandbox, errors, labels
from driverapi.dataplane.sandboxes import LinuxNetns
from driverapi.leftovers import take_inventory, wait_until_drained

DUAL = {"ipv4": "10.77.0.0/20", "ipv6": "fd77::/64"}


@pytest.fixture
def ctl(tmp_path: Path) -> Iterator[Controller]:
    before = take_inventory(str(tmp_path))
    with Controller(run_dir=tmp_path / "run") as ctl:
        yield ctl
    assert not wait_until_drained(before, str(tmp_path), 20)


def inside(box: Sandbox, *command: str) -> str:
    arguments = ["nsenter", f"--net={box.key}", *command]
    return subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=20).stdout


def defaults(box: Sandbox, version: int = 4) -> list[str]:
    """The interfaces that default routes go by."""
    return [line.split()[4] for line in inside(box, "ip", f"-{version}", "route", "show", "default").splitlines()]


def sysctl(box: Sandbox, name: str) -> str:
    return inside(box, "cat", f"/proc/sys/net/{name}").strip()


def reaches(box: Sandbox, address: str) -> bool:
    arguments = ["nsenter", f"--net={box.key}", "ping", "-c", "1", "-W", "2", address]
    return subprocess.run(arguments, check=False, capture_output=True, timeout=20).returncode == 0


def joined(net: Network, name: str, box: Sandbox, **arguments: str) -> Endpoint:
    endpoint = net.create_endpoint(name, **arguments)
    endpoint.join(box)
    return endpoint


def test_a_static_route_is_gone_by(ctl: Controller) -> None:
    """A sandbox that is a router between two networks; the other's route goes by it."""
    web = ctl.create_network("bridge", "web", options={labels.INTERNAL: True}, **DUAL)
    back = ctl.create_network("bridge", "back", ipv4="10.88.0.0/24", ipv6="fd88::/64")
    router, box, far = (ctl.create_sandbox(name) for name in ("router", "box", "far"))
    for net, four, six in ((web, "10.77.0.3", "fd77::3"), (back, "10.88.0.3", "fd88::3")):
        endpoint = net.create_endpoint("router", ipv4=four, ipv6=six)
        endpoint.join(router, sysctls={"net.ipv4.conf.IFNAME.forwarding": 1, "net.ipv6.conf.IFNAME.forwarding": 1})
    # Who forwards IPv6 asks for its neighbours with a link-local address, and no sandbox has one by itself.
    for name in ("eth0", "eth1"):
        inside(router, "ip", "addr", "add", "fe80::3/64", "dev", name, "nodad")
    inside(router, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
    distant = back.create_endpoint("far", ipv4="10.88.0.9", ipv6="fd88::9")
    distant.join(far, routes=["10.77.0.0/20 via 10.88.0.3", "fd77::/64 via fd88::3"])
    endpoint = web.create_endpoint("box", options={labels.ENDPOINT_ROUTES: "10.88.0.0/24 via 10.77.0.3"})
    endpoint.join(box, routes=["fd88::/64 via fd77::3", "10.66.0.0/16"])
    assert reaches(box, "10.88.0.9")
    assert reaches(box, "fd88::9")
    assert "10.66.0.0/16 dev eth0 proto static scope link" in inside(box, "ip", "route")
    endpoint.leave()
    assert inside(box, "ip", "route") == ""
    with pytest.raises(errors.KernelConflictError, match=r"endpoint 'box'.*exists already"):
        endpoint.join(box, routes=["10.77.0.0/20"])
    assert inside(box, "ip", "-o", "link").count("\n") == 1, "undone"


def test_the_highest_priority_has_the_default_route_in_each_family(ctl: Controller) -> None:
    box = ctl.create_sandbox("box")
    nets = {
        name: ctl.create_network("bridge", name, ipv4=f"10.{70 + at}.0.0/24", ipv6=f"fd0{at}::/64" if at else None)
        for at, name in enumerate("abcd")
    }
    endpoints = {name: net.create_endpoint("one") for name, net in nets.items()}
    for name, priority, four, six in (("a", 0, 0, None), ("b", -1, 0, 1), ("c", 7, 2, 2), ("d", 7, 2, 2)):
        endpoints[name].join(box, priority=priority)
        assert defaults(box) == [f"eth{four}"]
        assert defaults(box, 6) == ([] if six is None else [f"eth{six}"])
    assert reaches(box, "10.72.0.1")
    for name, four, six in (("c", "eth3", "eth3"), ("d", "eth0", "eth1"), ("a", "eth1", "eth1")):
        endpoints[name].leave()
        assert defaults(box) == [four]
        assert defaults(box, 6) == [six]
    assert isinstance(box._netns, LinuxNetns)
    assert len(box._netns.gateways) == 2


def test_one_that_fails_leaves_the_default_route_where_it_was(ctl: Controller) -> None:
    box = ctl.create_sandbox("box")
    one, two = (ctl.create_network("bridge", name, ipv4=f"10.7{at}.0.0/24") for at, name in enumerate(("one", "two")))
    joined(one, "one", box)
    refused = two.create_endpoint("two")
    with pytest.raises(errors.InvalidError, match=r"sysctl net\.ipv4\.conf\.eth1\.none: this kernel has no such"):
        refused.join(box, priority=9, sysctls={"net.ipv4.conf.IFNAME.none": 1})
    assert defaults(box) == ["eth0"]
    with pytest.raises(errors.KernelConflictError):
        refused.join(box, priority=9, routes=["10.71.0.0/24"])
    assert defaults(box) == ["eth0"]
    refused.join(box, priority=9)
    assert defaults(box) == ["eth1"]


def test_a_default_route_that_somebody_took_away_does_not_stop_the_next(ctl: Controller) -> None:
    box = ctl.create_sandbox("box")
    one, two = (ctl.create_network("bridge", name, ipv4=f"10.7{at}.0.0/24") for at, name in enumerate(("one", "two")))
    joined(one, "one", box)
    inside(box, "ip", "route", "del", "default")
    two.create_endpoint("two").join(box, priority=9)
    assert defaults(box) == ["eth1"]


def test_a_default_route_of_its_owner_stays(ctl: Controller, tmp_path: Path) -> None:
    path = str(tmp_path / "theirs")
    [made] = create([path])
    assert not isinstance(made, OSError)
    made.close()
    try:
        box = ctl.create_sandbox("theirs", netns=path)
        inside(box, "sh", "-c", "ip link set lo up && ip route add default dev lo")
        one, two = (ctl.create_network("bridge", name, ipv4=f"10.7{at}.0.0/24") for at, name in enumerate("ab"))
        first = joined(one, "one", box)
        second = two.create_endpoint("two")
        second.join(box, priority=9)
        assert inside(box, "ip", "route", "show", "default") == "default dev lo scope link \n"
        inside(box, "ip", "route", "del", "default")
        first.leave()
        second.leave()
        second.join(box)
        assert defaults(box) == ["eth0"]
        second.leave()
        box.delete()
    finally:
        drop([path])


def test_after_a_restart_the_order_is_the_same(tmp_path: Path) -> None:
    def start() -> Controller:
        return Controller(state=tmp_path / "state.db", run_dir=tmp_path / "run")

    with start() as ctl:
        box = ctl.create_sandbox("box")
        for at, (name, priority) in enumerate((("a", 1), ("b", 3), ("c", 2))):
            net = ctl.create_network("bridge", name, ipv4=f"10.7{at}.0.0/24")
            net.create_endpoint("one").join(box, priority=priority)
        assert defaults(box) == ["eth1"]
    with start() as ctl:
        box = ctl.sandbox("box")
        for name, expected in (("b", "eth2"), ("c", "eth0")):
            ctl.network(name).endpoint("one").leave()
            assert defaults(box) == [expected]
        ctl.network("b").endpoint("one").join(box, priority=3)
        assert defaults(box) == ["eth1"]
        for net in ctl.networks:
            net.detach(net.endpoints)
            net.delete()
        box.delete()


def test_sysctls_are_set_inside_and_before_the_interface_comes_up(ctl: Controller) -> None:
    before = Path("/proc/sys/net/ipv4/conf/default/log_martians").read_text()
    net = ctl.create_network("bridge", "web", **DUAL)
    box = ctl.create_sandbox("box")
    endpoint = net.create_endpoint("one", options={labels.ENDPOINT_SYSCTLS: "net.ipv4.conf.IFNAME.log_martians=1"})
    endpoint.join(
        box,
        sysctls={"net.ipv6.conf.IFNAME.accept_ra": 0, "net.ipv4.neigh.IFNAME.mcast_solicit": "7"},
    )
    assert sysctl(box, "ipv4/conf/eth0/log_martians") == "1"
    assert sysctl(box, "ipv6/conf/eth0/accept_ra") == "0"
    assert sysctl(box, "ipv4/neigh/eth0/mcast_solicit") == "7"
    assert sysctl(box, "ipv4/conf/default/log_martians") == "0"
    assert Path("/proc/sys/net/ipv4/conf/default/log_martians").read_text() == before
    endpoint.leave()
    endpoint.join(box)
    assert sysctl(box, "ipv6/conf/eth0/accept_ra") == "1", "it went with the interface"
    assert sysctl(box, "ipv4/conf/eth0/log_martians") == "1", "it is the endpoint's"


def test_a_link_local_address_for_who_asks_for_one(ctl: Controller) -> None:
    net = ctl.create_network("bridge", "web", **DUAL)
    for at, sysctls in enumerate(({}, {"net.ipv6.conf.IFNAME.addr_gen_mode": 0})):
        box = ctl.create_sandbox(f"box{at}")
        net.create_endpoint(f"one{at}").join(box, sysctls=sysctls)
        assert sysctl(box, "ipv6/conf/eth0/addr_gen_mode") == ("0" if at else "1")
        assert ("scope link" in inside(box, "ip", "-6", "addr", "show", "eth0")) is bool(at)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("net.ipv4.conf.IFNAME.none", "1", r"net\.ipv4\.conf\.eth0\.none: this kernel has no such setting"),
        ("net.ipv4.conf.IFNAME.log_martians", "many", r"log_martians: the kernel refuses the value 'many'"),
        ("net.ipv6.conf.IFNAME.stable_secret", "fd77", "refuses the value"),
    ],
)
def test_a_sysctl_that_the_kernel_refuses_undoes_its_endpoint(
    ctl: Controller, name: str, value: str, says: str
) -> None:
    net = ctl.create_network("bridge", "web", **DUAL)
    box = ctl.create_sandbox("box")
    endpoint = net.create_endpoint("one")
    with pytest.raises(errors.InvalidError, match=f"endpoint 'one'.*{says}"):
        endpoint.join(box, sysctls={name: value})
    assert inside(box, "ip", "-o", "link").count("\n") == 1
    endpoint.join(box)
    assert endpoint.info()["interfaces"][0]["name"] == "eth0"


def test_names_by_prefix_and_exact(ctl: Controller) -> None:
    net = ctl.create_network("bridge", "web", options={labels.IFACE_PREFIX: "web"}, **DUAL)
    other = ctl.create_network(
        "bridge", "other", ipv4="10.88.0.0/24", options={"io.docker.network.container_iface_prefix": "w"}
    )
    box = ctl.create_sandbox("box")
    joined(net, "one", box)
    exact = net.create_endpoint("exact", options={labels.ENDPOINT_IFNAME: "web1"})
    exact.join(box)
    joined(net, "two", box)
    joined(other, "three", box)
    assert [line.split(":")[1].split("@")[0].strip() for line in inside(box, "ip", "-o", "link").splitlines()] == [
        "lo",
        "web0",
        "web1",
        "web2",
        "w0",
    ]
    for taken in ("web0", "lo"):
        again = other.create_endpoint(f"again-{taken}", options={labels.ENDPOINT_IFNAME: taken})
        with pytest.raises(
            errors.ConflictError, match=f"interface name '{taken}' is taken in sandbox .*; choose another"
        ):
            again.join(box)
    for wrong in ("a/b", "a" * 16, "", "a b"):
        with pytest.raises(errors.InvalidError, match=r"endpoint\.ifname"):
            net.create_endpoint("wrong", options={labels.ENDPOINT_IFNAME: wrong})
    assert len(net.endpoints) == 3


def test_a_name_that_its_owner_has_taken_is_a_conflict(ctl: Controller, tmp_path: Path) -> None:
    path = str(tmp_path / "theirs")
    [made] = create([path])
    assert not isinstance(made, OSError)
    made.close()
    try:
        box = ctl.create_sandbox("theirs", netns=path)
        inside(box, "ip", "link", "add", "mine", "type", "veth", "peer", "name", "eth0")
        net = ctl.create_network("bridge", "web", **DUAL)
        exact = net.create_endpoint("exact", options={labels.ENDPOINT_IFNAME: "mine"})
        with pytest.raises(errors.ConflictError, match="'mine' is taken"):
            exact.join(box)
        one = joined(net, "one", box)
        assert one.info()["interfaces"][0]["name"] == "eth1"
        inside(box, "ip", "link", "del", "mine")
        exact.join(box)
        assert exact.info()["interfaces"][0]["name"] == "mine"
        net.detach(net.endpoints)
        box.delete()
    finally:
        drop([path])

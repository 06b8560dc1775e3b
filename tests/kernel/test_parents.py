"""Macvlan networks on the real kernel: who reaches whom, and what is undone; ipvlan and VLANs where it has them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyroute2 import IPRoute, NetNS

from _fastnet.batch import Batch
from _fastnet.netns import Namespace, create, drop
from _fastnet.netns import open as open_namespace
from _fastnet.socket import NetlinkSocket
from driverapi import Controller, Endpoint, Network, errors
from driverapi.addresses import parse_prefix
from driverapi.dataplane import bringup, parents
from driverapi.dataplane.contract import Work
from driverapi.doctor import examine, mend
from driverapi.leftovers import take_inventory, wait_until_drained
from driverapi.pinger import Ping, ping
from driverapi.plan import EndpointPlan, InterfacePlan, MacvlanLink
from tests.kernel.test_state import Place

HOST = f"/proc/{os.getpid()}/ns/net"
DUAL = {"ipv4": "10.5.0.0/24", "ipv6": "fd05::/64"}
ROUTER = [bytes([10, 5, 0, 254]), b"\xfd\5" + bytes(13) + b"\xfe"]
PARENT = 70


@pytest.fixture
def wire(tmp_path: Path, same_descriptors: None) -> Iterator[Namespace]:
    """``eth7``, whose other end is a machine elsewhere: it has the addresses of a router, and a namespace."""
    path = str(tmp_path / "elsewhere")
    [far] = create([path])
    assert isinstance(far, Namespace), far
    with far, NetlinkSocket() as near:
        batch = Batch()
        batch.add_veth("eth7", "far0", index=PARENT, peer_index=7, namespace=far.fileno())
        batch.set_link(PARENT, up=True, addr_gen_mode=1)
        assert near.execute(batch).ok
        batch.clear()
        batch.set_link(7, up=True)
        for ip, prefix in zip(ROUTER, (24, 64), strict=True):
            batch.add_address(7, ip, prefix)
        assert far.socket.execute(batch).ok
        before = near.dump_links()
        try:
            yield far
            assert [link.name for link in near.dump_links()] == [link.name for link in before]
        finally:
            batch.clear()
            batch.delete_link(PARENT)
            near.execute(batch)
            drop([path])


@pytest.fixture
def place(tmp_path: Path, wire: Namespace) -> Iterator[Place]:
    run = str(tmp_path / "run")
    before = take_inventory(run)
    yield Place(tmp_path)
    assert not wait_until_drained(before, run, 20)


@pytest.fixture
def ctl(tmp_path: Path, wire: Namespace) -> Iterator[Controller]:
    run = str(tmp_path / "run")
    before = take_inventory(run)
    with Controller(run_dir=run) as made:
        yield made
    assert not wait_until_drained(before, run, 20)


def on(ctl: Controller, name: str = "net", **options: Any) -> Network:
    return ctl.create_network("macvlan", name, **DUAL, options={"parent": "eth7", **options})


def key(endpoint: Endpoint) -> str:
    assert endpoint.sandbox is not None
    return endpoint.sandbox.key


def reached(source: str, targets: list[bytes], timeout: float = 4.0) -> list[bool]:
    return [one.answered for one in ping([Ping(source, target) for target in targets], timeout=timeout)]


def addresses(endpoint: Endpoint) -> list[bytes]:
    return [one.ip for one in endpoint.interfaces[0].packed_addresses]


def links_of(path: str) -> dict[str, Any]:
    with NetNS(path, flags=0) as inside:
        return {link.get("ifname"): link for link in inside.get_links()}


# --- traffic ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "each_other"), [("bridge", True), ("private", False), ("vepa", False)])
def test_who_reaches_whom(ctl: Controller, wire: Namespace, mode: str, each_other: bool) -> None:
    """All reach what is beyond the parent; each other, unless by a mode that leaves that to a switch beyond it."""
    net = on(ctl, macvlan_mode=mode)
    one, two = net.attach(2, strict=True)
    assert reached(key(one), ROUTER) == [True, True]
    assert reached(key(two), ROUTER) == [True, True]
    assert reached(key(one), addresses(two), 4.0 if each_other else 0.7) == [each_other] * 2
    assert reached(HOST, addresses(one), 0.7) == [False, False]  # the kernel passes nothing between host and macvlan


def test_what_the_sandbox_has(ctl: Controller, wire: Namespace) -> None:
    net = ctl.create_network("macvlan", "net", **DUAL, gateway="10.5.0.254", options={"parent": "eth7", "Mtu": 1400})
    endpoint = net.create_endpoint(
        "ep", mac="02:42:00:00:00:09", options={"com.docker.network.endpoint.ifname": "wan0"}
    )
    box = ctl.create_sandbox("box")
    endpoint.join(box)
    found = links_of(box.key)
    assert set(found) == {"lo", "wan0"}
    link = found["wan0"]
    assert (link.get("address"), link.get("mtu"), link.get("link")) == ("02:42:00:00:00:09", 1400, PARENT)
    assert link.get(("linkinfo", "kind")) == "macvlan"
    assert link.get("carrier") == 1
    with NetNS(box.key, flags=0) as inside:
        assert {route.get("gateway") for route in inside.get_default_routes()} == {"10.5.0.254", "fd05::1"}
    assert endpoint.driver_info()["com.docker.network.endpoint.macaddress"] == "02:42:00:00:00:09"
    endpoint.leave()
    assert set(links_of(box.key)) == {"lo"}


def test_the_mtu_is_that_of_packets(ctl: Controller, wire: Namespace) -> None:
    """28 bytes of headers and 1372 of data fit into 1400, one more does not."""
    net = on(ctl, Mtu="1400")
    one, two = net.attach(2, strict=True)
    for size, fits in ((1372, True), (1373, False)):
        command = ["nsenter", f"--net={key(one)}", "ping", "-c1", "-W2", "-Mdo", f"-s{size}", "10.5.0.3"]
        done = subprocess.run(command, check=False, capture_output=True)
        assert (done.returncode == 0) is fits, done
    assert addresses(two)[0] == bytes([10, 5, 0, 3])


def test_an_address_with_another_mac(ctl: Controller, wire: Namespace) -> None:
    """The router, which remembers the old one, is told."""
    net = on(ctl)
    box = ctl.create_sandbox("box")
    for mac in ("02:00:00:00:00:0a", "02:00:00:00:00:0b"):
        endpoint = net.create_endpoint("ep", ipv4="10.5.0.50", ipv6="fd05::50", mac=mac)
        endpoint.join(box)
        assert reached(str(wire.path), addresses(endpoint), 0.8) == [True, True]
        endpoint.leave()
        endpoint.delete()


def test_passthru(ctl: Controller, wire: Namespace) -> None:
    net = on(ctl, macvlan_mode="passthru")
    first, second = net.attach(2)
    assert first.error is None
    assert isinstance(second.error, errors.BusyError)
    with IPRoute() as ip:
        [parent] = ip.get_links(PARENT)
    assert links_of(key(first))["eth0"].get("address") == parent.get("address")
    assert reached(key(first), ROUTER) == [True, True]
    net.detach([first])
    [again] = net.attach(1, strict=True)
    assert reached(key(again), ROUTER) == [True, True]


def test_without_a_parent(ctl: Controller, wire: Namespace) -> None:
    """Sandboxes reach each other and nothing else, the host not even."""
    net = ctl.create_network("macvlan", "net", **DUAL)
    other = ctl.create_network("macvlan", "other", ipv4="10.6.0.0/24")
    one, two = net.attach(2, strict=True)
    [stranger] = other.attach(1, strict=True)
    assert reached(key(one), addresses(two)) == [True, True]
    assert reached(key(one), [*ROUTER, *addresses(stranger)], 0.7) == [False] * 3
    with IPRoute() as ip:
        ip.addr("add", index=PARENT, address="10.5.0.99", prefixlen=24)  # on a link of the host
        assert reached(key(one), [bytes([10, 5, 0, 99])], 0.7) == [False]
        ip.addr("del", index=PARENT, address="10.5.0.99", prefixlen=24)
    with NetNS(key(one), flags=0) as inside:
        assert not inside.get_default_routes()


def test_many_at_once_and_again(ctl: Controller, wire: Namespace) -> None:
    net = on(ctl)
    for _ in range(2):
        endpoints = net.attach(60, strict=True)
        assert all(reached(key(endpoints[-1]), [ip for one in endpoints[:8] for ip in addresses(one)]))
        assert reached(key(endpoints[0]), ROUTER) == [True, True]
        with NetlinkSocket() as near:
            assert {link.name for link in near.dump_links()} == {"lo", "eth7"}  # the host has no end of any
        net.detach(endpoints)
    pool = ctl.warm(net, 4)
    [taken] = net.attach(1, strict=True)
    assert reached(key(taken), ROUTER) == [True, True]
    assert pool.fault is None


def test_several_networks_of_a_sandbox(ctl: Controller, wire: Namespace) -> None:
    """The first has the default route; when it leaves, the second has."""
    one, two = on(ctl, "one"), ctl.create_network("bridge", "two", ipv4="10.9.0.0/24")
    box = ctl.create_sandbox("box")
    first, second = one.create_endpoint("ep"), two.create_endpoint("ep")
    for endpoint in (first, second):
        endpoint.join(box)
    assert set(links_of(box.key)) == {"lo", "eth0", "eth1"}

    def default() -> set[Any]:
        with NetNS(box.key, flags=0) as inside:
            return {route.get("gateway") for route in inside.get_default_routes(2)}

    assert default() == {"10.5.0.1"}
    first.leave()
    assert default() == {"10.9.0.1"}
    first.join(box)
    assert set(links_of(box.key)) == {"lo", "eth0", "eth1"}


def test_a_namespace_that_is_somebody_elses(ctl: Controller, wire: Namespace, tmp_path: Path) -> None:
    """A name and an index there are taken: others are chosen; on leaving, what is not ours stays."""
    path = str(tmp_path / "theirs")
    [theirs] = create([path])
    assert isinstance(theirs, Namespace)
    with theirs:
        batch = Batch()
        batch.add_bridge("eth0", index=64)
        assert theirs.socket.execute(batch).ok
        box = ctl.create_sandbox("theirs", netns=path)
        endpoint = on(ctl).create_endpoint("ep")
        endpoint.join(box)
        assert set(links_of(path)) == {"lo", "eth0", "eth1"}
        assert reached(path, ROUTER) == [True, True]
        endpoint.leave()
        assert set(links_of(path)) == {"lo", "eth0"}
    drop([path])


def test_a_sandbox_that_others_move_links_to(ctl: Controller, wire: Namespace, tmp_path: Path) -> None:
    """As a Docker engine does: the link is born on the host; it is moved, and back before the endpoint leaves."""
    net = on(ctl)
    dataplane = ctl._dataplane
    interface = InterfacePlan(0, MacvlanLink("parent"), mac=b"\2\0\0\0\0\7", addresses=(parse_prefix("10.5.0.7/24"),))
    work = Work(EndpointPlan("owner", net.id, (interface,)), dataplane.foreign_sandbox("/run/docker/netns/x"))
    for moves in (False, True):
        [made] = dataplane.realise([work])
        assert not isinstance(made, Exception), made
        name = made.names[0]
        with IPRoute() as ip:
            [link] = ip.get_links(ifname=name)
            assert (link.get("address"), link.get(("linkinfo", "kind"))) == ("02:00:00:00:00:07", "macvlan")
            if moves:
                ip.link("set", index=link["index"], net_ns_fd=str(tmp_path / "elsewhere"), ifname="eth3")
                with NetNS(str(tmp_path / "elsewhere"), flags=0) as theirs:
                    [index] = theirs.link_lookup(ifname="eth3")
                    theirs.link("set", index=index, net_ns_fd=HOST, ifname=name)
        assert dataplane.remove([made]) == [None]
        assert there() == {"lo", "eth7"}


# --- refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({"parent": "eth8"}, errors.NotFoundError, "^network 'net': there is no link 'eth8' to be the parent"),
        ({"parent": "eth8.10"}, errors.NotFoundError, "and no 'eth8' that it could be a VLAN of"),
        ({"parent": "eth7.4095"}, errors.InvalidError, "1 to 4094"),
        ({"parent": "eth7.0"}, errors.InvalidError, "1 to 4094"),
        ({"parent": "lo"}, errors.InvalidError, "loopback"),
        ({"parent": "eth7", "Mtu": 1501}, errors.InvalidError, "1501 is greater than that of the parent 'eth7', 1500"),
        ({"parent": "eth7.9", "Mtu": 1501}, errors.InvalidError, "1501 is greater than that of 'eth7', which is below"),
        ({"parent": "eth7", "macvlan_mode": "nat"}, errors.InvalidError, "'nat' is not one of"),
    ],
)
def test_what_cannot_be(
    ctl: Controller, wire: Namespace, options: dict[str, Any], kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind, match=says):
        ctl.create_network("macvlan", "net", **DUAL, options=options)
    assert ctl.networks == []
    on(ctl).attach(1, strict=True)


def test_a_port_of_a_bridge_is_no_parent(ctl: Controller, wire: Namespace) -> None:
    with IPRoute() as ip:
        ip.link("add", ifname="br9", kind="bridge", index=90)
        ip.link("set", index=PARENT, master=90)
        try:
            with pytest.raises(errors.ConflictError, match=r"port of a bridge.*name the bridge"):
                on(ctl)
        finally:
            ip.link("del", index=90)
    net = on(ctl)
    with IPRoute() as ip:  # it becomes one only afterwards: then the endpoint is refused
        ip.link("add", ifname="br9", kind="bridge", index=90)
        ip.link("set", index=PARENT, master=90)
        try:
            [refused] = net.attach(1)
        finally:
            ip.link("del", index=90)
    assert isinstance(refused.error, errors.KernelConflictError)
    assert "use another parent" in str(refused.error)
    net.attach(1, strict=True)


def test_passthru_of_another_controller(ctl: Controller, wire: Namespace, tmp_path: Path) -> None:
    net = on(ctl)
    net.attach(1, strict=True)
    with Controller(run_dir=tmp_path / "other") as other:
        [refused] = on(other, macvlan_mode="passthru").attach(1)
        assert isinstance(refused.error, errors.DriverAPIError)
        assert "eth0" in str(refused.error)
    assert len(net.attach(1, strict=True)) == 1


# --- after a restart --------------------------------------------------------------------------------------


@pytest.mark.parametrize("parent", ["eth7", None])
def test_what_lives_is_adopted(place: Place, wire: Namespace, parent: str | None) -> None:
    ctl = place.start()
    net = ctl.create_network("macvlan", "net", **DUAL, options={} if parent is None else {"parent": parent})
    endpoints = net.attach(30, strict=True)
    before = {one.name: (key(one), addresses(one), links_of(key(one))["eth0"]["index"]) for one in endpoints}
    place.kill()
    assert examine(place.directory / "run").instances[0].owner == "state"
    assert {one.kind for one in examine(place.directory / "run").findings} <= {"unclean"}
    ctl = place.start()
    assert ctl.restored is not None
    assert not ctl.restored.mended, ctl.restored
    net = ctl.network("net")
    after = {one.name: (key(one), addresses(one), links_of(key(one))["eth0"]["index"]) for one in net.endpoints}
    assert after == before
    [more] = net.attach(1, strict=True)
    assert all(reached(key(more), addresses(net.endpoint(endpoints[0].name))))
    net.detach(net.endpoints)
    place.clear()


def test_what_is_lost_is_known(place: Place, wire: Namespace, tmp_path: Path) -> None:
    """One link deleted, one sandbox gone, one link of ours that no record has."""
    path = str(tmp_path / "theirs")
    [theirs] = create([path])
    assert isinstance(theirs, Namespace)
    ctl = place.start()
    net = on(ctl)
    first, second, third = net.attach(3, strict=True)
    names = [one.name for one in (first, second, third)]
    boxed = net.create_endpoint("boxed")
    boxed.join(ctl.create_sandbox("theirs", netns=path))
    group = ctl._instance.group(0)  # type: ignore[union-attr]
    second_key = key(second)
    index = links_of(key(first))["eth0"]["index"]
    with open_namespace(key(first)) as inside:
        batch = Batch()
        batch.delete_link(index)
        assert inside.socket.execute(batch).ok
    place.kill()
    assert drop([second_key]) == [None]
    with theirs, NetlinkSocket() as near:
        batch = Batch()
        batch.add_macvlan("left0", PARENT, group=group, namespace=theirs.fileno())
        assert near.execute(batch).ok
        assert set(links_of(path)) == {"lo", "eth0", "left0"}
        ctl = place.start()
        found = ctl.restored
        assert found is not None
        assert {name for _, name in found.down} == set(names[:2])
        assert found.swept.links == 1
        assert set(links_of(path)) == {"lo", "eth0"}
        net = ctl.network("net")
        assert reached(key(net.endpoint(names[2])), [*ROUTER, *addresses(net.endpoint("boxed"))]) == [True] * 4
        net.endpoint(names[0]).join(ctl.create_sandbox("again"))
        assert reached(key(net.endpoint(names[0])), ROUTER) == [True, True]
        place.clear()
    drop([path])


def test_a_parent_that_is_lost(place: Place, wire: Namespace, caplog: pytest.LogCaptureFixture) -> None:
    """The controller starts all the same; the network can be deleted, and has its parent again when that is back."""
    ctl = place.start()
    on(ctl).attach(2, strict=True)
    ctl.create_network("bridge", "other", ipv4="10.9.0.0/24").attach(1, strict=True)
    place.kill()
    with IPRoute() as ip:
        ip.link("set", index=PARENT, ifname="eth8")
        [found] = [one for one in examine(place.directory / "run").findings if one.kind == "differs"]
        assert "eth7" in found.what
        ctl = place.start()
        assert ctl.restored is not None
        assert ctl.restored.rebuilt == ("net",)
        assert len(ctl.restored.down) == 2
        assert len(ctl.network("other").endpoints) == 1
        assert [one.event for one in caplog.records if one.name == "driverapi.network"] == ["network.parent_lost"]  # type: ignore[attr-defined]
        [refused] = ctl.network("net").attach(1)
        assert refused.error is not None
        assert "lost" in str(refused.error)
        place.kill()
        ip.link("set", index=PARENT, ifname="eth7")
    ctl = place.start()
    net = ctl.network("net")
    [endpoint] = net.attach(1, strict=True)
    assert reached(key(endpoint), ROUTER) == [True, True]
    place.clear()


# --- what this kernel may lack ----------------------------------------------------------------------------


def has(kind: str) -> bool:
    batch = Batch()
    with NetlinkSocket() as near:
        if kind == "vlan":
            batch.add_vlan("probe0", PARENT, 9)
        else:
            batch.add_ipvlan("probe0", PARENT)
        if not near.execute(batch).ok:
            return False
    with IPRoute() as ip:
        ip.link("del", index=ip.link_lookup(ifname="probe0")[0])
    return True


@pytest.mark.parametrize("parent", ["eth7", None])
def test_ipvlan(ctl: Controller, wire: Namespace, parent: str | None) -> None:
    options = {} if parent is None else {"parent": parent}
    if not has("ipvlan"):
        with pytest.raises(errors.KernelUnsupportedError, match=r"^network 'net': this kernel has no link kind ipvlan"):
            ctl.create_network("ipvlan", "net", **DUAL, options=options)
        assert ctl.networks == []
        return
    for mode in ("l2", "l3", "l3s"):
        net = ctl.create_network("ipvlan", "net", **DUAL, options={**options, "ipvlan_mode": mode})
        one, two = net.attach(2, strict=True)
        assert reached(key(one), addresses(two)) == [True, True]
        net.detach([one, two])
        net.delete()


def test_a_vlan(ctl: Controller, wire: Namespace) -> None:
    if not has("vlan"):
        with pytest.raises(errors.KernelUnsupportedError, match="this kernel has no link kind vlan"):
            on(ctl, parent="eth7.10")
        assert ctl.networks == []
        return
    net = on(ctl, parent="eth7.10")
    one, two = net.attach(2, strict=True)
    assert reached(key(one), addresses(two)) == [True, True]


def test_routes_of_layer_3(ctl: Controller, wire: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default route is the link itself. A macvlan stands in for the ipvlan, so that every kernel has it."""

    def add_macvlan(batch: Batch, job: Any, interface: Any, group: int) -> None:
        assert interface.plan.mac is None
        batch.add_macvlan(
            interface.name, interface.master, index=interface.index, group=group, namespace=job.use().fileno()
        )

    monkeypatch.setattr(parents.Parents, "check_kind", lambda *_: None)
    monkeypatch.setattr(bringup, "put_inside", add_macvlan)
    options = {"parent": "eth7", "ipvlan_mode": "l3"}
    net = ctl.create_network("ipvlan", "net", **DUAL, options=options)
    one, two = net.attach(2, strict=True)
    with NetNS(key(one), flags=0) as inside:
        defaults = [route for family in (2, 10) for route in inside.get_default_routes(family)]
        assert [(route.get("gateway"), route.get("oif")) for route in defaults] == [(None, 64)] * 2
    assert reached(key(one), [*addresses(two), *ROUTER]) == [True] * 4
    net.detach([one, two])
    net.attach(1, strict=True)


@pytest.fixture
def _vlans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel has no VLANs, links of another kind stand in: what is counted are parents."""
    if not has("vlan"):

        def add_bridge(batch: Batch, name: str, below: int, number: int, index: int, group: int) -> None:
            assert (below, number) == (PARENT, 10)
            batch.add_bridge(name, index=index, group=group)

        monkeypatch.setattr(parents, "put_vlan", add_bridge)


def there() -> set[str]:
    with NetlinkSocket() as near:
        return {link.name for link in near.dump_links()}


@pytest.mark.usefixtures("_vlans")
def test_a_vlan_goes_with_its_last_network(ctl: Controller) -> None:
    def make(name: str, number: int) -> Network:
        return ctl.create_network("macvlan", name, ipv4=f"10.{number}.0.0/24", options={"parent": "eth7.10"})

    one, two = make("one", 1), make("two", 2)
    assert there() == {"lo", "eth7", "eth7.10"}
    [endpoint] = one.attach(1, strict=True)
    one.detach([endpoint])
    one.delete()
    assert there() == {"lo", "eth7", "eth7.10"}
    two.attach(1, strict=True)
    two.detach(two.endpoints)
    two.delete()
    assert there() == {"lo", "eth7"}
    make("three", 3)  # and goes with the controller


@pytest.mark.usefixtures("_vlans")
def test_a_vlan_that_was_there_stays(ctl: Controller) -> None:
    batch = Batch()
    with NetlinkSocket() as near:
        batch.add_bridge("eth7.10", index=90)
        assert near.execute(batch).ok
        on(ctl, parent="eth7.10").delete()
        assert there() == {"lo", "eth7", "eth7.10"}
        batch.clear()
        batch.delete_link(90)
        assert near.execute(batch).ok


@pytest.mark.usefixtures("_vlans")
def test_a_vlan_of_another_controller(ctl: Controller, tmp_path: Path) -> None:
    on(ctl, parent="eth7.10")
    with Controller(run_dir=tmp_path / "other") as other:
        with pytest.raises(errors.ConflictError, match=r"'eth7\.10' was made by another controller"):
            on(other, parent="eth7.10")
        assert other.networks == []


@pytest.mark.usefixtures("_vlans")
def test_a_vlan_after_a_restart(place: Place) -> None:
    ctl = place.start()
    on(ctl, parent="eth7.10").attach(1, strict=True)
    place.kill()
    ctl = place.start()
    assert ctl.restored is not None
    assert not ctl.restored.mended, ctl.restored
    ctl.create_network("macvlan", "two", ipv4="10.8.0.0/24", options={"parent": "eth7.10"})
    net = ctl.network("net")
    net.detach(net.endpoints)
    net.delete()
    assert "eth7.10" in there()
    place.kill()
    with NetlinkSocket() as near:  # somebody deletes it: it is made again
        [index] = [link.index for link in near.dump_links() if link.name == "eth7.10"]
        batch = Batch()
        batch.delete_link(index)
        assert near.execute(batch).ok
    ctl = place.start()
    assert ctl.restored is not None
    assert ctl.restored.rebuilt == ("two",)
    ctl.network("two").delete()
    assert there() == {"lo", "eth7"}
    place.clear()


@pytest.mark.usefixtures("_vlans")
@pytest.mark.parametrize("parent", ["eth7.10", None])
def test_doctor_takes_away_what_nobody_owns(place: Place, parent: str | None) -> None:
    """A controller without state died: its VLAN, or what it had for a parent, goes, and so do its sandboxes."""
    run = place.directory / "run"
    ctl = Controller(run_dir=run)
    ctl.create_network("macvlan", "net", **DUAL, options={} if parent is None else {"parent": parent}).attach(2)
    place.open = ctl
    place.kill()
    [orphan] = examine(run).findings
    assert orphan.kind == "orphan"
    assert "1 links, 2 namespaces" in orphan.what
    mend(examine(run))
    assert examine(run).healthy
    assert there() == {"lo", "eth7"}


@pytest.mark.usefixtures("_vlans")
def test_a_network_that_was_half_made(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after the VLAN was made and before that was written: it goes at the next start."""
    ctl = place.start()
    on(ctl, parent="eth7.10", name="kept").delete()
    with monkeypatch.context() as patch:
        patch.setattr(ctl._lifecycle.notes, "network", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        patch.setattr(ctl._dataplane, "remove_network", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            on(ctl, parent="eth7.10")
    assert "eth7.10" in there()
    place.kill()
    ctl = place.start()
    assert there() == {"lo", "eth7"}
    place.clear()

"""Drivers macvlan and ipvlan, without a kernel: what they declare, what they refuse, and what the kernel is asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from _fastnet.batch import Batch
from driverapi import Controller, errors, labels
from driverapi.dataplane.contract import Ownership
from driverapi.dataplane.kernel import Interface, LinuxRealised
from driverapi.dataplane.parents import put_inside, put_vlan
from driverapi.plan import (
    EndpointPlan,
    InterfacePlan,
    IpvlanLink,
    Link,
    MacvlanLink,
    NetworkPlan,
    ParentLink,
    check_link,
    check_network_plan,
)
from driverapi.testing import FakeDataplane

MAC = b"\x02\0\0\0\0\1"
BOTH = {"ipv4": "10.1.0.0/16", "ipv6": "fd01::/64"}


@pytest.fixture
def dataplane() -> FakeDataplane:
    made = FakeDataplane()
    made.links |= {"eth7", "eth8"}
    return made


@pytest.fixture
def ctl(dataplane: FakeDataplane) -> Iterator[Controller]:
    with Controller(dataplane=dataplane) as made:
        yield made
    assert dataplane.links == {"lo", "eth7", "eth8"}


def declared(ctl: Controller, dataplane: FakeDataplane, driver: str, **options: Any) -> tuple[ParentLink, EndpointPlan]:
    network = ctl.create_network(driver, "net", **BOTH, options=options)
    [link] = dataplane.networks[network.id].links
    assert isinstance(link, ParentLink)
    [endpoint] = network.attach(1, strict=True)
    return link, dataplane.endpoints[endpoint.id].plan


def routes(plan: EndpointPlan) -> list[tuple[str, bytes | None]]:
    return [(str(one.destination), one.gateway) for one in plan.routes]


# --- what they declare ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["bridge", "private", "vepa"])
def test_a_macvlan_network(ctl: Controller, dataplane: FakeDataplane, mode: str) -> None:
    link, plan = declared(ctl, dataplane, "macvlan", parent="eth7", macvlan_mode=mode, Mtu="1400")
    assert (link.source, link.kind, link.mtu) == ("eth7", "macvlan", 1400)
    [interface] = plan.interfaces
    assert interface.link == MacvlanLink(link.name, mode, 1400)
    assert interface.mac == b"\x02\x42\x0a\x01\0\2"
    assert [str(one) for one in interface.addresses] == ["10.1.0.2/16", "fd01::2/64"]
    assert routes(plan) == [("0.0.0.0/0", b"\x0a\1\0\1"), ("::/0", b"\xfd\1" + bytes(13) + b"\1")]
    assert plan.neighbours == ()  # the gateway is a machine beyond the parent


def test_a_macvlan_network_without_a_parent_is_internal(ctl: Controller, dataplane: FakeDataplane) -> None:
    link, plan = declared(ctl, dataplane, "macvlan")
    assert link.source is None
    assert plan.interfaces[0].link == MacvlanLink(link.name)
    assert plan.routes == ()


def test_internal_on_a_parent(ctl: Controller, dataplane: FakeDataplane) -> None:
    link, plan = declared(ctl, dataplane, "ipvlan", parent="eth7", **{labels.INTERNAL: "true", "ipvlan_mode": "l3"})
    assert link.source == "eth7"
    assert plan.routes == ()


@pytest.mark.parametrize(
    ("options", "link"),
    [
        ({}, IpvlanLink("parent")),
        ({"ipvlan_flag": "private"}, IpvlanLink("parent", "l2", "private")),
        ({"ipvlan_mode": "l3"}, IpvlanLink("parent", "l3")),
        ({"ipvlan_mode": "l3s", "ipvlan_flag": "vepa", "Mtu": 1300}, IpvlanLink("parent", "l3s", "vepa", 1300)),
    ],
)
def test_an_ipvlan_network(
    ctl: Controller, dataplane: FakeDataplane, options: dict[str, Any], link: IpvlanLink
) -> None:
    parent, plan = declared(ctl, dataplane, "ipvlan", parent="eth8", **options)
    assert (parent.source, parent.kind, parent.mtu) == ("eth8", "ipvlan", link.mtu)
    [interface] = plan.interfaces
    assert (interface.link, interface.mac) == (link, None)  # its MAC address is the parent's
    hops = [hop for _, hop in routes(plan)]
    assert [destination for destination, _ in routes(plan)] == ["0.0.0.0/0", "::/0"]
    assert hops == ([None, None] if link.mode != "l2" else [b"\x0a\1\0\1", b"\xfd\1" + bytes(13) + b"\1"])


@pytest.mark.parametrize("prefix", ["com.docker.network.", "io.docker.network."])
def test_names_with_a_prefix_are_read_too(ctl: Controller, dataplane: FakeDataplane, prefix: str) -> None:
    options = {f"{prefix}parent": "eth7", f"{prefix}macvlan_mode": "vepa"}
    link, plan = declared(ctl, dataplane, "macvlan", **{"com.docker.network.generic": options})
    assert link.source == "eth7"
    assert plan.interfaces[0].link == MacvlanLink("parent", "vepa")


def test_prefixes_of_the_parents_own_network(ctl: Controller, dataplane: FakeDataplane) -> None:
    """The host is on the network that its link is on: its route is no conflict, but for prefixes that we choose."""
    here = [one.prefix for one in ctl.create_network("bridge", "probe")._pools.values()]
    dataplane.host_prefixes = lambda but="": here  # type: ignore[method-assign]
    ctl.network("probe").delete()
    network = ctl.create_network("macvlan", "same", ipv4=str(here[0]), options={"parent": "eth7"})
    assert network.ipv4 == here[0].to_netaddr()
    with pytest.raises(errors.ConflictError):
        ctl.create_network("bridge", "other", ipv4=str(here[0]))
    assert ctl.create_network("macvlan", "chosen", options={"parent": "eth7"}).ipv4 != here[0].to_netaddr()


@pytest.mark.parametrize(
    ("driver", "options", "gateway"),
    [
        ("macvlan", {"parent": "eth7"}, "10.1.0.1"),
        ("macvlan", {"parent": "eth7", labels.INTERNAL: "true"}, "None"),
        ("macvlan", {}, "None"),
        ("ipvlan", {"parent": "eth7"}, "10.1.0.1"),
        ("ipvlan", {"parent": "eth7", "ipvlan_mode": "l3"}, "None"),
        ("ipvlan", {"parent": "eth7", "ipvlan_mode": "l3s"}, "None"),
    ],
)
def test_no_address_is_kept_for_a_gateway_that_is_not(
    ctl: Controller, driver: str, options: dict[str, Any], gateway: str
) -> None:
    net = ctl.create_network(driver, "net", **BOTH, options=options)
    assert str(net.gateway) == gateway
    [endpoint] = net.attach(1, strict=True)
    assert str(endpoint.interfaces[0].address.ip) == ("10.1.0.2" if net.gateway else "10.1.0.1")
    net.detach([endpoint])
    net.delete()
    named = ctl.create_network(driver, "named", ipv4="10.1.0.0/16", gateway="10.1.0.1", options=options)
    [endpoint] = named.attach(1, strict=True)
    assert str(endpoint.interfaces[0].address.ip) == "10.1.0.2"  # it is somebody's


# --- parents by reference count ---------------------------------------------------------------------------


def test_a_vlan_goes_with_its_last_network(ctl: Controller, dataplane: FakeDataplane) -> None:
    one, two = (
        ctl.create_network("macvlan", name, ipv4=f"10.{number}.0.0/16", options={"parent": "eth7.10"})
        for number, name in enumerate(("one", "two"), 1)
    )
    assert "eth7.10" in dataplane.links
    one.delete()
    assert "eth7.10" in dataplane.links
    two.delete()
    assert "eth7.10" not in dataplane.links


@pytest.mark.parametrize(
    ("parent", "says"), [("eth9", "no link 'eth9'"), ("eth9.7", "'eth9.7'"), ("eth7.x", "'eth7.x'")]
)
@pytest.mark.parametrize("driver", ["macvlan", "ipvlan"])
def test_a_parent_that_is_not_there(
    ctl: Controller, dataplane: FakeDataplane, driver: str, parent: str, says: str
) -> None:
    with pytest.raises(errors.NotFoundError, match=f"^network 'net': .*{says}"):
        ctl.create_network(driver, "net", options={"parent": parent})
    assert (ctl.networks, dataplane.networks) == ([], {})
    ctl.create_network(driver, "net", options={"parent": "eth7"})  # nothing stayed behind


# --- what cannot be ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("driver", "options", "kind", "says"),
    [
        ("macvlan", {"macvlan_mode": "source"}, errors.InvalidError, "'source' is not one of bridge, private, vepa"),
        ("macvlan", {"macvlan_mode": 4}, errors.InvalidError, "4 is not one of"),
        ("ipvlan", {"ipvlan_mode": "l4"}, errors.InvalidError, "'l4' is not one of l2, l3, l3s"),
        ("ipvlan", {"ipvlan_flag": "both"}, errors.InvalidError, "'both' is not one of bridge, private, vepa"),
        ("macvlan", {"ipvlan_mode": "l2"}, errors.InvalidError, "no option 'ipvlan_mode'; did you mean 'macvlan_mode'"),
        ("ipvlan", {"Parent": "eth7"}, errors.InvalidError, "no option 'Parent'; did you mean 'parent'"),
        ("macvlan", {"parent": "an/eth"}, errors.InvalidError, "option 'parent' 'an/eth'"),
        ("macvlan", {"parent": 7}, errors.InvalidError, "option 'parent' 7"),
        ("macvlan", {labels.BRIDGE_NAME: "br0"}, errors.NotImplementedYetError, "name the host's link with 'parent'"),
        ("ipvlan", {"PortBindings": {"80/tcp": []}}, errors.NotImplementedYetError, "addresses of their own"),
    ],
)
def test_options_that_are_refused(
    ctl: Controller, driver: str, options: dict[str, Any], kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind, match=says):
        ctl.create_network(driver, "net", **BOTH, options=options)
    assert ctl.networks == []


def test_an_unknown_label_is_told_with_the_nearest(ctl: Controller, caplog: pytest.LogCaptureFixture) -> None:
    options = {"parent": "eth7", "com.docker.network.driver.mtuu": "9000"}
    ctl.create_network("macvlan", "net", options=options)
    [record] = caplog.records
    assert record.getMessage().endswith("did you mean 'com.docker.network.driver.mtu'?")


def test_passthru_is_alone_on_its_parent(ctl: Controller) -> None:
    first = ctl.create_network("macvlan", "one", ipv4="10.1.0.0/16", options={"parent": "eth7"})
    passthru = {"parent": "eth7", "macvlan_mode": "passthru"}
    with pytest.raises(errors.ConflictError, match=r"'eth7'.*shares its parent with none"):
        ctl.create_network("macvlan", "two", ipv4="10.2.0.0/16", options=passthru)
    first.delete()
    ctl.create_network("macvlan", "two", ipv4="10.2.0.0/16", options=passthru)
    with pytest.raises(errors.ConflictError, match=r"'eth7'.*shares its parent with none"):
        ctl.create_network("macvlan", "one", ipv4="10.1.0.0/16", options={"parent": "eth7"})
    ctl.create_network("macvlan", "other", ipv4="10.3.0.0/16", options={"parent": "eth8"})
    assert {network.name for network in ctl.networks} == {"two", "other"}


def test_passthru_has_one_endpoint(ctl: Controller) -> None:
    net = ctl.create_network("macvlan", "net", **BOTH, options={"parent": "eth7", "macvlan_mode": "passthru"})
    with pytest.raises(errors.InvalidError, match=r"02:42:00:00:00:09 cannot be had.*the parent's"):
        net.create_endpoint("first", mac="02:42:00:00:00:09")
    one, two = net.attach(2)
    assert one.error is None
    assert isinstance(two.error, errors.BusyError)
    assert labels.ENDPOINT_MAC not in one.driver_info()
    net.notice_endpoint("elsewhere", mac="02:42:00:00:00:09")  # of another host, on another parent
    net.detach([one])
    [again] = net.attach(1, strict=True)
    assert again.interfaces[0].packed_addresses[0].version == 4


def test_ipvlan_networks_of_a_parent_agree(ctl: Controller) -> None:
    def make(name: str, number: int, **options: str) -> None:
        ctl.create_network("ipvlan", name, ipv4=f"10.{number}.0.0/16", options={"parent": "eth7", **options})

    make("one", 1, ipvlan_mode="l3")
    make("two", 2, ipvlan_mode="l3")
    for other in ({}, {"ipvlan_mode": "l3", "ipvlan_flag": "private"}):
        with pytest.raises(errors.ConflictError, match="'eth7' has an ipvlan network with mode l3 and flag bridge"):
            make("three", 3, **other)
    assert {network.name for network in ctl.networks} == {"one", "two"}


def test_a_parent_has_links_of_one_kind(ctl: Controller) -> None:
    ctl.create_network("macvlan", "one", ipv4="10.1.0.0/16", options={"parent": "eth7"})
    with pytest.raises(errors.ConflictError, match="'eth7' has macvlan networks already"):
        ctl.create_network("ipvlan", "two", ipv4="10.2.0.0/16", options={"parent": "eth7"})
    assert [network.name for network in ctl.networks] == ["one"]


@pytest.mark.parametrize(
    ("link", "says"),
    [
        (MacvlanLink("p", "source"), "macvlan mode 'source'"),
        (IpvlanLink("p", "bridge"), "ipvlan mode 'bridge'"),
        (IpvlanLink("p", flag="l2"), "ipvlan flag 'l2'"),
        (MacvlanLink("p", mtu=70000), "MTU 70000"),
        (IpvlanLink(""), "parent ''"),
    ],
)
def test_links_are_checked(link: Link, says: str) -> None:
    with pytest.raises(errors.InvalidError, match=says):
        check_link(link, "it")


@pytest.mark.parametrize(
    ("link", "says"),
    [
        (ParentLink("p", MAC, "eth7", "vxlan"), "'vxlan' is not one of macvlan, ipvlan"),
        (ParentLink("p", MAC, "eth 7"), "parent 'eth 7'"),
        (ParentLink("p", MAC, mtu=-1), "MTU -1"),
        (ParentLink("p", b"", "eth7"), "MAC address of 'p'"),
    ],
)
def test_parents_are_checked(link: ParentLink, says: str) -> None:
    with pytest.raises(errors.InvalidError, match=says):
        check_network_plan(NetworkPlan((link,)), "it")


# --- what the kernel is asked -----------------------------------------------------------------------------


class Place:
    """A sandbox whose namespace is descriptor 77."""

    ownership = Ownership.OWNED

    def use(self) -> Place:
        return self

    def fileno(self) -> int:
        return 77


def asked(link: Link, mac: bytes | None = None) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Return attributes of the message and of its link data, as pyroute2 reads them, and the message."""
    interface = Interface(InterfacePlan(0, link, mac=mac), "eth3", index=31, master=12)
    job = LinuxRealised(EndpointPlan("owner", "net"), Place())  # type: ignore[arg-type]
    batch = Batch()
    put_inside(batch, job, interface, group=0x41230001)
    data = bytes(batch.message(0))
    message = ifinfmsg(data)
    message.decode()
    assert message["index"] == 31
    own = dict(message["attrs"])
    info = dict(own.pop("IFLA_LINKINFO")["attrs"])
    return own, {"kind": info["IFLA_INFO_KIND"], **dict(info["IFLA_INFO_DATA"]["attrs"])}, data


@pytest.mark.parametrize("mode", ["bridge", "private", "vepa", "passthru"])
def test_a_macvlan_is_asked_for(mode: str) -> None:
    own, info, _ = asked(MacvlanLink("parent", mode, 1400), MAC)
    assert own == {
        "IFLA_IFNAME": "eth3",
        "IFLA_ADDRESS": "02:00:00:00:00:01",
        "IFLA_MTU": 1400,
        "IFLA_GROUP": 0x41230001,
        "IFLA_NET_NS_FD": 77,
        "IFLA_LINK": 12,
    } | {name: own[name] for name in own if name.startswith("IFLA_NUM_")}
    assert info["kind"] == "macvlan"
    assert info["IFLA_MACVLAN_MODE"] == mode


@pytest.mark.parametrize(("flag", "flags"), [("bridge", 0), ("private", 1), ("vepa", 2)])
@pytest.mark.parametrize(("mode", "number"), [("l2", 0), ("l3", 1), ("l3s", 2)])
def test_an_ipvlan_is_asked_for(mode: str, number: int, flag: str, flags: int) -> None:
    own, info, data = asked(IpvlanLink("parent", mode, flag))
    assert (own["IFLA_IFNAME"], own["IFLA_LINK"], own["IFLA_NET_NS_FD"]) == ("eth3", 12, 77)
    assert own["IFLA_GROUP"] == 0x41230001
    assert {"IFLA_ADDRESS", "IFLA_MTU"}.isdisjoint(own)
    assert (info["kind"], info["IFLA_IPVLAN_MODE"]) == ("ipvlan", number)
    # IFLA_IPVLAN_FLAGS (2, linux/if_link.h), which pyroute2 does not know: a u16, the last of all
    assert data.endswith(b"\x06\0\x02\0" + flags.to_bytes(2, "little") + bytes(2))


def test_a_vlan_is_asked_for() -> None:
    batch = Batch()
    put_vlan(batch, "eth7.10", 12, 10, 1 << 30, 0x41230000)
    message = ifinfmsg(bytes(batch.message(0)))
    message.decode()
    own = dict(message["attrs"])
    assert message["index"] == 1 << 30
    assert (own["IFLA_IFNAME"], own["IFLA_LINK"], own["IFLA_GROUP"]) == ("eth7.10", 12, 0x41230000)
    info = dict(own["IFLA_LINKINFO"]["attrs"])
    assert info["IFLA_INFO_KIND"] == "vlan"
    assert dict(info["IFLA_INFO_DATA"]["attrs"]) == {"IFLA_VLAN_ID": 10, "IFLA_VLAN_PROTOCOL": 0x8100}

"""The info objects: the three rules of the interface list, and what a driver may say when."""

from __future__ import annotations

import ipaddress
from typing import Any

import netaddr
import pytest
from hypothesis import given
from hypothesis import strategies as st

import driverapi
from driverapi import Driver, DriverRegistry, EndpointInfo, InterfaceInfo, JoinInfo, Origin, VethLink, errors
from driverapi.addresses import Address, parse_prefix
from driverapi.drivers.null import NullDriver
from driverapi.plan import MoveLink, Neighbour, Route

SEED_METHODS = [
    "config",
    "create_endpoint",
    "create_network",
    "delete_endpoint",
    "delete_network",
    "endpoint_oper_info",
    "join",
    "leave",
    "type",
]


def given_info(**fields: Any) -> EndpointInfo:
    info = EndpointInfo(Origin.GIVEN)
    info._append(0, fields.get("mac"), fields.get("ipv4"), fields.get("ipv6"))
    return info


# --- the surface -------------------------------------------------------------------------------------


def test_the_seed_has_nine_methods() -> None:
    methods = [name for name in vars(Driver) if not name.startswith("_") and callable(getattr(Driver, name))]
    assert sorted(methods) == SEED_METHODS
    for name in SEED_METHODS:
        assert "seed: ``" in (getattr(Driver, name).__doc__ or ""), name
    assert driverapi.NETWORK_PLUGIN_ENDPOINT_TYPE == "NetworkDriver"
    assert callable(DriverRegistry().register_driver)


def test_all_names_are_there() -> None:
    for name in driverapi.__all__:
        assert getattr(driverapi, name) is not None
    assert dir(driverapi) == sorted(driverapi.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        driverapi.nonsense  # noqa: B018


def test_defaults_of_a_driver() -> None:
    driver = NullDriver()
    driver.config({})
    with pytest.raises(errors.InvalidError, match=r"'null'.*'colour'"):
        driver.config({"colour": "red"})
    assert driver.endpoint_oper_info("n", "e") == {}
    assert (driver.requires_ipam, driver.host_sandbox) == (False, False)


# --- the three rules of the interface list --------------------------------------------------------------


@pytest.mark.parametrize("origin", [Origin.GIVEN, Origin.NOTICED])
def test_what_was_given_is_not_added_to(origin: Origin) -> None:
    info = EndpointInfo(origin)
    info._append(0, None, "10.0.0.2/24", None)
    with pytest.raises(errors.InterfacesGivenError, match=origin.value):
        info.add_interface(1)
    assert len(info.interfaces) == 1


def test_an_empty_list_takes_any_number() -> None:
    info = EndpointInfo()
    assert (info.origin, info.interfaces) == (Origin.EMPTY, ())
    for number in range(20):
        added = info.add_interface(number, mac=f"02:00:00:00:00:{number:02x}", ipv4=f"10.0.0.{number + 1}/24")
        assert added.id == number
    assert [one.id for one in info.interfaces] == list(range(20))


def test_an_id_comes_once() -> None:
    info = EndpointInfo()
    info.add_interface(3, ipv4="10.0.0.2/24")
    with pytest.raises(errors.ConflictError, match="interface 3 already"):
        info.add_interface(3)
    assert [repr(one) for one in info.interfaces] == ["<InterfaceInfo 3: 10.0.0.2/24>"]


@pytest.mark.parametrize("id", [-1, 2**31, 2**70, "0", None, 1.0])
def test_ids_that_are_none(id: Any) -> None:
    info = EndpointInfo()
    with pytest.raises(errors.InvalidError, match="interface id"):
        info.add_interface(id)
    assert info.interfaces == ()


@pytest.mark.parametrize(
    "fields",
    [
        {"mac": "nonsense"},
        {"mac": "01:00:00:00:00:00"},
        {"ipv4": "10.0.0.300"},
        {"ipv4": "fd00::2/64"},
        {"ipv6": "10.0.0.2/24"},
        {"ipv6": "fd00::2/129"},
        {"ipv4": "10.0.0.2/24", "ipv6": "no"},
    ],
)
def test_a_bad_field_adds_nothing(fields: dict[str, str]) -> None:
    info = EndpointInfo()
    with pytest.raises(errors.InvalidError):
        info.add_interface(0, **fields)
    assert info.interfaces == ()
    info.add_interface(0)


def test_after_the_call_the_list_is_sealed() -> None:
    info = EndpointInfo()
    interface = info.add_interface(0)
    info._seal()
    for late in (
        lambda: info.add_interface(1),
        lambda: interface.set_mac_address("02:00:00:00:00:01"),
        lambda: interface.set_address("10.0.0.2/24"),
        lambda: interface.set_address("fd00::2/64"),
    ):
        with pytest.raises(errors.SealedError):
            late()
    assert [repr(one) for one in info.interfaces] == ["<InterfaceInfo 0: empty>"]


# --- fields: empty ones may be filled, once ----------------------------------------------------------------


def test_empty_fields_are_filled_once() -> None:
    interface = EndpointInfo().add_interface(0)
    assert (interface.mac_address, interface.address, interface.address_ipv6) == (None, None, None)
    interface.set_mac_address("02:42:0a:00:00:02")
    interface.set_address("10.0.0.2/24")
    interface.set_address("fd00::2/64")
    before = repr(interface)
    for again, field in (
        (lambda: interface.set_mac_address("02:42:0a:00:00:03"), "MAC address"),
        (lambda: interface.set_address("10.0.0.3/24"), "IPv4 address"),
        (lambda: interface.set_address("fd00::3/64"), "IPv6 address"),
    ):
        with pytest.raises(errors.InterfacesGivenError, match=f"interface 0 has a {field} already"):
            again()
    assert repr(interface) == before == "<InterfaceInfo 0: 02:42:0a:00:00:02 10.0.0.2/24 fd00::2/64>"


def test_given_fields_stay_and_given_gaps_are_filled() -> None:
    interface = given_info(ipv4="10.0.0.2/24").interfaces[0]
    with pytest.raises(errors.InterfacesGivenError):
        interface.set_address("10.0.0.9/24")
    interface.set_mac_address("02:42:0a:00:00:02")
    assert interface.packed_addresses == (parse_prefix("10.0.0.2/24"),)


@pytest.mark.parametrize("bad", ["", "10.0.0.2/33", None, 5, "fd00::g"])
def test_a_bad_value_fills_nothing(bad: Any) -> None:
    interface = EndpointInfo().add_interface(0)
    with pytest.raises(errors.InvalidError):
        interface.set_address(bad)
    with pytest.raises(errors.InvalidError):
        interface.set_mac_address(bad)
    assert repr(interface) == "<InterfaceInfo 0: empty>"


def test_what_it_gives_is_netaddr() -> None:
    interface = EndpointInfo().add_interface(
        0, netaddr.EUI("02:42:0a:00:00:02"), ipaddress.ip_interface("10.0.0.2/24"), netaddr.IPNetwork("fd00::2/64")
    )
    assert interface.mac_address == netaddr.EUI("02:42:0a:00:00:02")
    assert str(interface.mac_address) == "02:42:0a:00:00:02"
    assert interface.address == netaddr.IPNetwork("10.0.0.2/24")
    assert interface.address_ipv6 == netaddr.IPNetwork("fd00::2/64")


class Row:
    """What an interface should hold, kept slowly."""

    def __init__(self, id: int) -> None:
        self.id = id
        self.mac: bytes | None = None
        self.ipv4: Address | None = None
        self.ipv6: Address | None = None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["add", "mac", "ipv4", "ipv6"]),
            st.integers(0, 5),
            st.binary(min_size=16, max_size=16),
            st.integers(0, 32),
        ),
        max_size=40,
    )
)
def test_the_list_against_a_slow_twin(steps: list[tuple[str, int, bytes, int]]) -> None:
    info, rows = EndpointInfo(), {}
    for verb, id, data, prefix in steps:
        found: InterfaceInfo | None = next((one for one in info.interfaces if one.id == id), None)
        assert (found is None) == (id not in rows)
        try:
            if verb == "add":
                info.add_interface(id)
                assert id not in rows
                rows[id] = Row(id)
            elif found is not None and verb == "mac":
                found.set_mac_address(b"\x02" + data[:5])
                assert rows[id].mac is None
                rows[id].mac = b"\x02" + data[:5]
            elif found is not None:
                address = Address(data[:4] if verb == "ipv4" else data, prefix)
                found.set_address(address)
                assert getattr(rows[id], verb) is None
                setattr(rows[id], verb, address)
        except errors.ConflictError:
            assert verb == "add" or getattr(rows[id], verb) is not None
        have = [(one.id, one.packed_mac, one.packed_address, one.packed_address_ipv6) for one in info.interfaces]
        assert have == [(row.id, row.mac, row.ipv4, row.ipv6) for row in rows.values()]


# --- join -------------------------------------------------------------------------------------------


def join_info(interfaces: int = 1) -> JoinInfo:
    info = EndpointInfo()
    for number in range(interfaces):
        info.add_interface(number)
    return JoinInfo(info)


def test_one_name_for_each_interface() -> None:
    join = join_info(3)
    assert [name.id for name in join.interface_names] == [0, 1, 2]
    assert join_info(0).interface_names == ()


def test_set_names_and_set_link() -> None:
    join = join_info(3)
    first, second, third = join.interface_names
    first.set_names("v1", "eth7")
    second.set_link(VethLink(mtu=1400), prefix="lab")
    third.set_link(VethLink(), name="wan")
    assert [(one._link, one._name, one._exact) for one in join.interface_names] == [
        (MoveLink("v1"), "eth7", True),
        (VethLink(mtu=1400), "lab", False),
        (VethLink(), "wan", True),
    ]


LONG = "x" * 16
BAD_NAMES = ["", LONG, "é" * 8, "a/b", "a:b", "a b", "a\tb", "eth%d", ".", "..", "a\0", "\ud800", None, 5, b"eth0"]


@pytest.mark.parametrize("bad", BAD_NAMES)
def test_names_that_the_kernel_refuses(bad: Any) -> None:
    join = join_info()
    (name,) = join.interface_names
    for call in (
        lambda: name.set_names(bad, "eth0"),
        lambda: name.set_names("v1", bad),
        lambda: name.set_link(VethLink(), prefix=bad),
        lambda: name.set_link(VethLink(master=bad if bad is not None else ""), name="eth0"),
        lambda: name.set_link(VethLink(), name=bad if bad is not None else ""),
        lambda: name.set_link(MoveLink(bad)),
    ):
        with pytest.raises(errors.InvalidError):
            call()
    assert name._link is None


def test_a_long_name_is_named() -> None:
    with pytest.raises(errors.InvalidError, match=f"'{LONG}' is longer than the kernel allows: 15 bytes"):
        join_info().interface_names[0].set_names("v1", LONG)
    join_info().interface_names[0].set_names("v1", LONG[:15])
    with pytest.raises(errors.InvalidError, match="12 bytes"):  # room for the number
        join_info().interface_names[0].set_link(VethLink(), prefix=LONG[:13])


@pytest.mark.parametrize(
    "link",
    [
        None,
        "veth",
        {},
        VethLink,
        VethLink(mtu=-1),
        VethLink(mtu=65536),
        VethLink(mtu="1400"),
        VethLink(mtu=True),
        VethLink(mtu=1.5),
    ],
)
def test_links_that_are_none(link: Any) -> None:
    (name,) = join_info().interface_names
    with pytest.raises(errors.InvalidError, match="interface 0"):
        name.set_link(link)
    assert name._link is None


def test_gateways_paths_routes_neighbours() -> None:
    join = join_info()
    assert (join.gateway, join.gateway_ipv6, join.hosts_path, join.resolv_conf_path) == (None,) * 4
    join.set_gateway("10.0.0.1")
    join.set_gateway_ipv6(netaddr.IPAddress("fd00::1"))
    join.set_hosts_path("/var/hosts")
    join.set_resolv_conf_path("/var/resolv.conf")
    join.add_static_route("10.9.0.0/16", "10.0.0.3")
    join.add_static_route(ipaddress.ip_network("fd09::/64"))
    join.add_neighbour("10.0.0.1", "02:00:00:00:00:01")
    assert (join.gateway, join.gateway_ipv6) == ("10.0.0.1", "fd00::1")
    assert (join.hosts_path, join.resolv_conf_path) == ("/var/hosts", "/var/resolv.conf")
    assert join._routes == [
        Route(parse_prefix("10.9.0.0/16"), bytes([10, 0, 0, 3])),
        Route(parse_prefix("fd09::/64")),
    ]
    assert join._neighbours == [Neighbour(bytes([10, 0, 0, 1]), bytes([2, 0, 0, 0, 0, 1]))]


BAD_CALLS = [
    ("set_gateway", ("fd00::1",)),
    ("set_gateway", ("10.0.0.1/24",)),
    ("set_gateway", (None,)),
    ("set_gateway_ipv6", ("10.0.0.1",)),
    ("set_hosts_path", ("hosts",)),
    ("set_hosts_path", ("/a\0b",)),
    ("set_hosts_path", (None,)),
    ("set_resolv_conf_path", ("",)),
    ("add_static_route", ("10.9.0.1/16", "10.0.0.1")),
    ("add_static_route", ("10.9.0.0/16", "fd00::1")),
    ("add_static_route", ("10.9.0.0",)),
    ("add_neighbour", ("10.0.0.1", "no")),
    ("add_neighbour", ("no", "02:00:00:00:00:01")),
]


def said(join: JoinInfo) -> list[Any]:
    return [getattr(join, slot) for slot in JoinInfo.__slots__ if slot != "_names"] + [
        (name._link, name._name, name._exact) for name in join.interface_names
    ]


@pytest.mark.parametrize(("method", "arguments"), BAD_CALLS)
def test_bad_values_say_nothing(method: str, arguments: tuple[Any, ...]) -> None:
    join = join_info()
    before = [list(one) if isinstance(one, list) else one for one in said(join)]
    with pytest.raises(errors.InvalidError):
        getattr(join, method)(*arguments)
    assert said(join) == before


GOOD_CALLS = [
    ("set_gateway", ("10.0.0.1",)),
    ("set_gateway_ipv6", ("fd00::1",)),
    ("set_hosts_path", ("/hosts",)),
    ("set_resolv_conf_path", ("/resolv.conf",)),
    ("add_static_route", ("10.9.0.0/16", "10.0.0.1")),
    ("add_neighbour", ("10.0.0.1", "02:00:00:00:00:01")),
]


@pytest.mark.parametrize(("method", "arguments"), GOOD_CALLS)
def test_after_join_nothing_can_be_said(method: str, arguments: tuple[Any, ...]) -> None:
    join = join_info()
    join._seal()
    with pytest.raises(errors.SealedError, match="only during join"):
        getattr(join, method)(*arguments)
    for late in (lambda name: name.set_names("v1", "eth0"), lambda name: name.set_link(VethLink())):
        with pytest.raises(errors.SealedError, match="interface 0"):
            late(join.interface_names[0])
    fresh = join_info()
    fresh._seal()
    assert [repr(one) for one in said(join)] == [repr(one) for one in said(fresh)]

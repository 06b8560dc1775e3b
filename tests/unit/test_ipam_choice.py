"""Which IPAM a network has: by name, with options of its own; none at all; one that is installed, or broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from driverapi import Controller, byname, errors
from driverapi.addresses import Address, parse_network
from driverapi.ipam import registry as module
from driverapi.ipam.contract import Pool
from driverapi.ipam.default import DefaultIPAM
from driverapi.ipam.null import NullIPAM
from driverapi.ipam.registry import IPAMRegistry
from driverapi.testing import FakeDataplane
from tests.support import OwnDriver, at_once, exactly_one


class Rack:
    """An IPAM of others: it knows one prefix, an option, and neither leases nor MAC addresses."""

    def __init__(self, prefix: str = "10.200.0.0/24") -> None:
        self._inner = DefaultIPAM()
        self._prefix = parse_network(prefix)
        self.asked: list[dict[str, Any]] = []

    def request_pool(self, prefix: Address | None = None, **wishes: Any) -> Pool:
        self.asked.append(wishes)
        return self._inner.request_pool(prefix or self._prefix, allow_overlap=True)

    def release_pool(self, pool: str) -> None:
        self._inner.release_pool(pool)

    def request_addresses(self, pool: str, count: int) -> list[Address]:
        return self._inner.request_addresses(pool, count)

    def request_address(self, pool: str, wanted: bytes) -> Address:
        return self._inner.request_address(pool, wanted)

    def release_addresses(self, pool: str, addresses: Any) -> None:
        self._inner.release_addresses(pool, addresses)

    def free(self, pool: str) -> int:
        return self._inner.free(pool)


@pytest.fixture
def rack() -> Rack:
    return Rack()


def controller(rack: Rack, **options: Any) -> Controller:
    ipams = IPAMRegistry()
    ipams.register("rack", rack)
    return Controller(dataplane=FakeDataplane(), ipams=ipams, **options)


def test_a_network_by_the_name_of_its_ipam(rack: Rack) -> None:
    with controller(rack) as ctl:
        net = ctl.create_network("bridge", "web", ipam="rack", ipam_options={"row": "7"})
        assert net.ipam == "rack"
        assert str(net.ipv4) == "10.200.0.0/24"
        (asked,) = rack.asked
        assert {one.what for one in asked.pop("avoid")} <= {"the host's name server"}
        assert asked == {"version": 4, "owner": "network 'web'", "options": {"row": "7"}}
        endpoint = net.create_endpoint("ep", mac="02:42:00:00:00:01")
        assert str(endpoint.interfaces[0].packed_address) == "10.200.0.2/24"
        with pytest.raises(errors.NotImplementedYetError, match="'rack' of network 'web' keeps no leases"):
            net.leases.take("vm")
        assert list(net.leases) == []
        assert ctl.gc([]) == []


def test_its_prefixes_are_checked_against_those_of_other_ipams(rack: Rack) -> None:
    with controller(rack) as ctl:
        ctl.create_network("bridge", "web", ipv4="10.200.0.128/25")
        with pytest.raises(errors.ConflictError, match=r"10\.200\.0\.0/24 overlaps network 'web' 10\.200\.0\.128/25"):
            ctl.create_network("bridge", "rack", ipam="rack")
        assert rack._inner.pools() == []
        ctl.create_network("bridge", "rack", ipam="rack", allow_overlap=True)
        with pytest.raises(errors.ConflictError, match=r"10\.200\.0\.0/25 overlaps network 'rack' 10\.200\.0\.0/24"):
            ctl.create_network("bridge", "other", ipv4="10.200.0.0/25")
        ctl.network("web").delete()
        with pytest.raises(errors.ConflictError, match="overlaps network 'rack'"):  # which its IPAM does not check
            ctl.create_network("bridge", "rack2", ipam="rack")
        assert [network.name for network in ctl.networks] == ["rack"]


def addresses(*last: int) -> list[Address]:
    return [Address(bytes([10, 200, 0, one]), 24) for one in last]


WRONG: list[tuple[str, Any, str]] = [  # of an IPAM: a method, what it answers or raises, what is said
    ("request_pool", ValueError("boom"), r"Rack\.request_pool failed: ValueError: boom"),
    ("request_pool", None, "is not a pool"),
    ("request_pool", Pool("id", Address(b"\xfd" + bytes(15), 64)), "is not a pool with a prefix of IPv4"),
    ("request_pool", Pool("id", Address(bytes([10, 200, 0, 1]), 24)), "is not a pool with a prefix of IPv4"),
    ("request_addresses", KeyError("boom"), r"Rack\.request_addresses failed: KeyError"),
    ("request_addresses", [], r"gave \[\], which is not 1 addresses of 10\.200\.0\.0/24"),
    ("request_addresses", None, "gave None, which is not 1 addresses"),
    ("request_addresses", ["10.200.0.9"], "which is not 1 addresses"),
    ("request_addresses", [Address(bytes([10, 99, 0, 1]), 24)], "which is not 1 addresses"),
    ("request_addresses", addresses(8, 9), "which is not 1 addresses"),
    ("request_address", RuntimeError("boom"), r"Rack\.request_address failed: RuntimeError"),
    ("request_address", addresses(8)[0], r"which is not address 10\.200\.0\.77"),
    ("request_address", None, r"gave None, which is not address 10\.200\.0\.77"),
]


@pytest.mark.parametrize(("method", "answer", "says"), WRONG)
def test_one_that_answers_what_cannot_be(
    rack: Rack, monkeypatch: pytest.MonkeyPatch, method: str, answer: Any, says: str
) -> None:
    """It is an error of ours that names the IPAM, what was asked for is undone, and others are not hurt."""
    given_back: list[int] = []

    def answered(self: Rack, *arguments: object, **wishes: object) -> object:
        if isinstance(answer, Exception):
            raise answer
        return answer

    def released(self: Rack, pool: str, addresses: list[bytes]) -> None:
        given_back.extend(one[3] for one in addresses)

    answered.__qualname__ = f"Rack.{method}"
    with controller(rack) as ctl:
        if method == "request_pool":
            with monkeypatch.context() as patched:
                patched.setattr(Rack, method, answered)
                patched.setattr(Rack, "release_pool", lambda self, pool: given_back.append(0))
                with pytest.raises(errors.DriverFaultError, match=says):
                    ctl.create_network("bridge", "web", ipam="rack")
            assert given_back == [0] * isinstance(answer, Pool)
            assert ctl.networks == []
        net = ctl.create_network("bridge", "web", ipam="rack")
        if method == "request_pool":
            return
        with monkeypatch.context() as patched:
            patched.setattr(Rack, method, answered)
            patched.setattr(Rack, "release_addresses", released)
            with pytest.raises(errors.DriverFaultError, match=says):
                net.create_endpoint("one", ipv4="10.200.0.77" if method == "request_address" else None)
        listed = answer if isinstance(answer, list) else [answer]
        due = [one.ip[3] for one in listed if isinstance(one, Address) and one.ip in net._pools[4].prefix]
        assert sorted(given_back) == due
        assert net.endpoints == []
        [endpoint] = net.attach(1, strict=True)
        assert str(endpoint.interfaces[0].packed_address) == "10.200.0.2/24"


def test_one_that_fails_in_bulk_fails_endpoints_and_not_the_call(rack: Rack, monkeypatch: pytest.MonkeyPatch) -> None:
    with controller(rack) as ctl:
        net = ctl.create_network("bridge", "web", ipam="rack")
        with monkeypatch.context() as patched:
            patched.setattr(rack._inner, "request_addresses", None)
            failed = net.attach(2)
            assert [type(one.error) for one in failed] == [errors.DriverFaultError] * 2
        assert net.endpoints == []


def test_one_that_takes_nothing_back_does_not_keep_endpoints(
    rack: Rack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with controller(rack) as ctl:
        net = ctl.create_network("bridge", "web", ipam="rack")
        some = net.attach(2, strict=True)
        with monkeypatch.context() as patched:
            patched.setattr(Rack, "release_addresses", None)
            net.detach(some)
        assert net.endpoints == []
        said = "network web: its IPAM did not take 2 addresses back: IPAM: None failed: TypeError"
        assert [one.message[: len(said)] for one in caplog.records if one.levelname == "WARNING"] == [said]


def test_names_that_there_are_not(rack: Rack) -> None:
    with controller(rack) as ctl:
        with pytest.raises(errors.NotFoundError, match="no IPAM 'dhcp'; there are: default, null, rack"):
            ctl.create_network("bridge", "web", ipam="dhcp")
        for bad in ("", 7, None):
            with pytest.raises(errors.InvalidError, match="name of an IPAM"):
                ctl.create_network("bridge", "web", ipam=bad)  # type: ignore[arg-type]
        with pytest.raises(errors.InvalidError, match="built-in IPAM knows no option 'row'"):
            ctl.create_network("bridge", "web", ipam_options={"row": "7"})
        with pytest.raises(errors.InvalidError, match="no address space 'mine'; there are local and global"):
            ctl.create_network("bridge", "web", ipam_options={"driverapi.ipam.space": "mine"})
        with pytest.raises(errors.InvalidError, match="is not text"):
            ctl.create_network("bridge", "web", ipam_options={"driverapi.ipam.space": 7})
        assert ctl.networks == []
        assert ctl._ipam.pools() == []  # type: ignore[attr-defined]


def test_options_of_the_built_in_one() -> None:
    with Controller(dataplane=FakeDataplane()) as ctl:
        options = {"driverapi.ipam.space": "global", "com.docker.network.ipam.serial": "true"}
        net = ctl.create_network("bridge", "web", ipam_options=options)
        assert str(net.ipv4) == "10.0.0.0/24"
        net.create_endpoint("one").delete()
        assert str(net.create_endpoint("two").interfaces[0].packed_address) == "10.0.0.3/24"


def test_null_has_no_addresses() -> None:
    with Controller(dataplane=FakeDataplane()) as ctl:
        own = OwnDriver()
        ctl.registry.register("own", own)
        net = ctl.create_network("own", "net", ipam="null")
        assert (net.ipv4, net.ipv6) == (None, None)
        assert len(net.create_endpoint("ep", ipv4="10.1.2.3").interfaces) == 1
        with pytest.raises(errors.InvalidError, match=r"IPAM 'null' has no pools; leave the prefix 10\.1\.0\.0/16 out"):
            ctl.create_network("own", "other", ipv4="10.1.0.0/16", ipam="null")
        with pytest.raises(errors.InvalidError, match="no IPv4 prefix to lease"):
            net.leases.take("vm")
    null = NullIPAM()
    for call in (
        lambda: null.request_addresses("x", 1),
        lambda: null.request_address("x", bytes(4)),
        lambda: null.release_addresses("x", []),
        lambda: null.release_pool("x"),
        lambda: null.free("x"),
    ):
        with pytest.raises(errors.NotFoundError, match="no address pool 'x'"):
            call()


def test_check_and_set_is_one_step() -> None:
    registry = IPAMRegistry()
    ipams = [NullIPAM() for _ in range(64)]

    def register(number: int) -> int:
        registry.register("mine", ipams[number])
        return number

    winner = exactly_one(at_once(register), errors.ConflictError)
    assert registry.get("mine") is ipams[winner]
    with pytest.raises(errors.InvalidError, match="no method request_pool"):
        registry.register("bad", object())  # type: ignore[arg-type]


def test_installed_and_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        def __init__(self, name: str, made: Any) -> None:
            self.name, self.value, self._made = name, f"mine:{name}", made

        def load(self) -> Any:
            if isinstance(self._made, Exception):
                raise self._made
            return self._made

    def broken() -> None:
        raise RuntimeError("no lease file")

    points = [Point("rack", Rack), Point("gone", ImportError("mine")), Point("broken", broken), Point("odd", dict)]
    monkeypatch.setattr(byname, "_entry_points", lambda group: points if group == module.ENTRY_POINTS else [])
    registry = IPAMRegistry()
    assert registry.names() == ["broken", "default", "gone", "null", "odd", "rack"]
    assert registry.get("rack") is registry.get("rack")
    assert isinstance(registry.get("null"), NullIPAM)
    for name, said in (("gone", "mine:gone"), ("broken", "no lease file"), ("odd", "no request_pool")):
        with pytest.raises(errors.DriverFaultError, match=said):
            registry.get(name)


def test_it_is_the_same_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataplane, state = FakeDataplane(), tmp_path / "state.db"

    def start() -> Controller:
        ipams = IPAMRegistry()
        ipams.register("rack", Rack())
        return Controller(dataplane=dataplane, state=state, ipams=ipams)

    with start() as ctl:
        ctl.create_network("bridge", "web", ipam="rack", ipam_options={"row": 7}).create_endpoint("ep")
        wide = {"driverapi.ipam.space": "global"}
        ctl.create_network("bridge", "wide", ipam_options=wide)
    with start() as ctl:
        assert (ctl.network("web").ipam, str(ctl.network("web").ipv4)) == ("rack", "10.200.0.0/24")
        rack = ctl.ipams.get("rack")
        assert isinstance(rack, Rack)
        assert rack.asked[0]["options"] == {"row": 7}
        assert ctl.network("wide")._pools[4].id == "global/10.0.0.0/24"
    for method in ("request_pool", "request_address"):
        with monkeypatch.context() as patched:
            patched.setattr(Rack, method, lambda self: None)  # takes no arguments
            with pytest.raises(errors.DriverFaultError, match=r"IPAM: .*TypeError"):
                start()
    with pytest.raises(errors.NotFoundError, match="no IPAM 'rack'") as caught:
        Controller(dataplane=dataplane, state=state)
    assert any("'web'" in note for note in caught.value.__notes__)

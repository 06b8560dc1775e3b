"""Docker IPAM plugins as IPAMs: pools and addresses out of a plugin, back into it, and over a restart."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest

from driverapi import Controller, errors, places
from driverapi.addresses import parse_network
from driverapi.ipam.contract import Avoid, ByMAC
from driverapi.ipam.default import DefaultIPAM
from driverapi.plugin import Plugin
from driverapi.remote import RemoteIPAM
from driverapi.remote.debts import Debts
from driverapi.store.contract import Kind, Record, State
from driverapi.testing import FakeDataplane, IPAMConformance
from tests.scripted import Tiny, held


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Tiny]:
    tiny = Tiny(tmp_path / "tiny.sock")
    yield tiny
    tiny.stop()


def made(tiny: Tiny, **more: Any) -> RemoteIPAM:
    return RemoteIPAM("tiny", f"unix://{tiny.path}", **{"timeout": 5.0, "patience": 0.0, **more})


@pytest.fixture
def ipam(tiny: Tiny) -> Iterator[RemoteIPAM]:
    made_one = made(tiny)
    yield made_one
    made_one._client.close()


@pytest.fixture
def ctl(ipam: RemoteIPAM) -> Iterator[Controller]:
    with Controller(dataplane=FakeDataplane()) as ctl:
        ctl.ipams.register("tiny", ipam)
        yield ctl


def asked(tiny: Tiny, verb: str) -> list[tuple[str, str]]:
    return [(one["PoolID"], one["Address"]) for one in tiny.documents(verb)]


def test_a_network_of_a_plugin_and_back(tiny: Tiny, ctl: Controller) -> None:
    net = ctl.create_network(
        "bridge", "net", ipv4="10.60.0.0/16", ip_range="10.60.8.0/24", aux_addresses={"router": "10.60.0.5"},
        serial=True, ipam="tiny", ipam_options={"colour": "red", "number": 7, "driverapi.ipam.space": "global"},
    )  # fmt: skip
    assert tiny.documents("RequestPool") == [
        {
            "AddressSpace": "tiny-global", "Pool": "10.60.0.0/16", "SubPool": "10.60.8.0/24",
            "Options": {"colour": "red", "number": "7"}, "V6": False,
        }
    ]  # fmt: skip
    pool = "tiny/10.60.0.0/16"
    serial = {"com.docker.network.ipam.serial": "true"}
    assert tiny.documents("RequestAddress") == [
        {"PoolID": pool, "Address": "10.60.0.5", "Options": serial},
        {"PoolID": pool, "Address": "", "Options": {**serial, "RequestAddressType": "com.docker.network.gateway"}},
    ]
    assert str(net.gateway) == "10.60.0.1"
    eps = net.attach(2)
    assert [str(ep.interfaces[0].address) for ep in eps] == ["10.60.0.2/16", "10.60.0.3/16"]
    net.detach(eps)
    assert asked(tiny, "ReleaseAddress") == [(pool, "10.60.0.2"), (pool, "10.60.0.3")]
    net.delete()
    assert asked(tiny, "ReleaseAddress")[2:] == [(pool, "10.60.0.1"), (pool, "10.60.0.5")]
    assert tiny.documents("ReleasePool") == [{"PoolID": pool}]
    assert [verb for verb, _ in tiny.asked][:3] == [
        "Plugin.Activate", "IpamDriver.GetCapabilities", "IpamDriver.GetDefaultAddressSpaces"
    ]  # fmt: skip
    assert tiny.verbs()[-1] == "ReleasePool"


def test_addresses_that_are_asked_for(tiny: Tiny, ctl: Controller, ipam: RemoteIPAM) -> None:
    assert isinstance(ipam, ByMAC)
    net = ctl.create_network("bridge", "net", ipv4="10.60.0.0/16", ipam="tiny")
    net.create_endpoint("one", ipv4="10.60.0.77")
    net.create_endpoint("two", mac="02:00:00:00:00:09")
    assert tiny.documents("RequestAddress")[1:] == [
        {"PoolID": "tiny/10.60.0.0/16", "Address": "10.60.0.77", "Options": {}},
        {
            "PoolID": "tiny/10.60.0.0/16",
            "Address": "",
            "Options": {"com.docker.network.endpoint.macaddress": "02:00:00:00:00:09"},
        },
    ]
    tiny.script["RequestAddress"] = [(409, b'{"Error": "is in use"}')]
    with pytest.raises(errors.AddressTakenError, match="in use"):
        net.create_endpoint("three", ipv4="10.60.0.78")


def test_the_gateway_may_come_with_the_pool(tiny: Tiny, ctl: Controller) -> None:
    gateway = {"com.docker.network.gateway": "10.60.255.254/16"}
    tiny.script["RequestPool"] = {"PoolID": "p", "Pool": "10.60.0.0/16", "Data": gateway}
    net = ctl.create_network("bridge", "net", ipv4="10.60.0.0/16", ipam="tiny")
    assert str(net.gateway) == "10.60.255.254"
    assert tiny.documents("RequestAddress") == []
    net.delete()
    assert tiny.documents("ReleaseAddress") == []


def test_too_few_addresses(tiny: Tiny, ctl: Controller) -> None:
    net = ctl.create_network("bridge", "net", ipv4="10.60.0.0/16", ipam="tiny")
    eps = net.attach(20)
    up = [ep for ep in eps if ep.error is None]
    failed = [ep for ep in eps if ep.error is not None]
    assert all(isinstance(ep.error, errors.AddressesExhaustedError) for ep in failed)
    assert "no address is left" in str(failed[0].error)
    assert len(tiny.documents("RequestAddress")) < 60  # not one round for each that is missing
    taken = [str(ep.interfaces[0].address) for ep in up]
    assert len(set(taken)) == len(taken)


def test_a_default_pool_that_is_in_use_here_is_held_until_there_is_another(tiny: Tiny, ipam: RemoteIPAM) -> None:
    avoid = [Avoid(parse_network("10.60.0.0/15"), "the host's route to")]
    tiny.script["RequestPool"] = [
        {"PoolID": "a", "Pool": "10.60.0.0/16"},
        {"PoolID": "b", "Pool": "10.61.0.0/16"},
        {"PoolID": "c", "Pool": "10.62.0.0/16"},
    ]
    assert ipam.request_pool(avoid=avoid).id == "c"
    assert [verb for verb in tiny.verbs() if verb != "RequestAddress"] == ["RequestPool"] * 3 + ["ReleasePool"] * 2
    assert [one["PoolID"] for one in tiny.documents("ReleasePool")] == ["a", "b"]


def test_a_plugin_that_repeats_its_answer_does_not_loop(tiny: Tiny, ipam: RemoteIPAM) -> None:
    avoid = [Avoid(parse_network("10.60.0.0/15"), "the host's route to")]
    with pytest.raises(errors.ConflictError, match=r"overlaps the host's route to 10\.60\.0\.0/15, and no other"):
        ipam.request_pool(avoid=avoid)
    assert tiny.verbs() == ["RequestPool", "RequestPool", "ReleasePool"]


def test_a_plugin_without_end_of_pools(tiny: Tiny, ipam: RemoteIPAM) -> None:
    avoid = [Avoid(parse_network("10.0.0.0/8"), "the host's route to")]
    tiny.script["RequestPool"] = [{"PoolID": f"p{at}", "Pool": f"10.{at}.0.0/16"} for at in range(100)]
    with pytest.raises(errors.ConflictError, match="and no other"):
        ipam.request_pool(avoid=avoid)
    assert len(tiny.documents("RequestPool")) == len(tiny.documents("ReleasePool")) == 32


@pytest.mark.parametrize(
    "answer",
    [
        {"PoolID": "", "Pool": "10.60.0.0/16"},
        {"PoolID": "p", "Pool": "10.61.0.0/16"},
        {"PoolID": "p", "Pool": "fd00::/64"},
        {"PoolID": "p", "Pool": "10.60.0.5/16"},
        {"PoolID": "p", "Pool": "10.60.0.0/16", "Data": {"com.docker.network.gateway": "10.9.0.1/16"}},
        {"PoolID": "p", "Pool": "10.60.0.0/16", "Data": {"com.docker.network.gateway": "x"}},
        {"PoolID": "p", "Pool": "10.60.0.0/16", "Data": 7},
        {"PoolID": 7, "Pool": "10.60.0.0/16"},
        {"Pool": "10.60.0.0/16"},
        {},
    ],
)
def test_a_pool_that_is_wrong_is_given_back(tiny: Tiny, ipam: RemoteIPAM, answer: Any) -> None:
    tiny.script["RequestPool"] = [answer]
    with pytest.raises(errors.PluginError, match="RequestPool"):
        ipam.request_pool(parse_network("10.60.0.0/16"))
    named = isinstance(answer.get("PoolID"), str) and answer["PoolID"] and answer.get("Data") != 7
    assert len(tiny.documents("ReleasePool")) == bool(named)
    assert ipam.request_pool(parse_network("10.60.0.0/16")).id == "tiny/10.60.0.0/16"


@pytest.mark.parametrize("address", ["10.61.0.1/16", "fd00::1/64", "x", "10.60.0.78/16"])
def test_an_address_that_is_wrong_is_given_back(tiny: Tiny, ipam: RemoteIPAM, address: str) -> None:
    pool = ipam.request_pool(parse_network("10.60.0.0/16")).id
    tiny.script["RequestAddress"] = [{"Address": address}]
    with pytest.raises(errors.PluginError, match="RequestAddress: it answered"):
        ipam.request_address(pool, bytes([10, 60, 0, 77]))
    assert asked(tiny, "ReleaseAddress") == [(pool, address.partition("/")[0])]


def test_an_address_that_is_somebodys_is_not_given_back_when_it_is_answered_wrongly(
    tiny: Tiny, ipam: RemoteIPAM
) -> None:
    pool = ipam.request_pool(parse_network("10.60.0.0/16")).id
    ipam.request_address(pool, bytes([10, 60, 0, 78]))
    tiny.script["RequestAddress"] = [{"Address": "10.60.0.78/16"}]
    with pytest.raises(errors.PluginError, match="it answered"):
        ipam.request_address(pool, bytes([10, 60, 0, 77]))
    assert asked(tiny, "ReleaseAddress") == []


def test_an_address_that_the_plugin_gives_twice_stays_with_who_has_it(tiny: Tiny, ipam: RemoteIPAM) -> None:
    pool = ipam.request_pool(parse_network("10.60.0.0/16")).id
    [first] = ipam.request_addresses(pool, 1)
    tiny.script["RequestAddress"] = [{"Address": "10.60.0.2/16"}]
    assert ipam.request_addresses(pool, 1)[0].ip != first.ip
    tiny.script["RequestAddress"] = {"Address": "10.60.0.2/16"}
    with pytest.raises(errors.PluginError, match=r"10\.60\.0\.2 again and again"):
        ipam.request_addresses(pool, 1)
    before = len(tiny.documents("RequestAddress"))
    with pytest.raises(errors.AddressTakenError, match=r"10\.60\.0\.2"):
        ipam.request_address(pool, first.ip)
    assert len(tiny.documents("RequestAddress")) == before  # whose it is is known here
    assert asked(tiny, "ReleaseAddress") == []


@pytest.mark.parametrize("verb", ["ReleaseAddress", "ReleasePool"])
@pytest.mark.parametrize("answer", [(500, b'{"Error": "unknown"}'), {"Error": "unknown"}, (404, b"no"), (200, b"gone")])
def test_what_a_plugin_does_not_know_any_more_can_be_given_back(
    tiny: Tiny, ctl: Controller, verb: str, answer: Any
) -> None:
    net = ctl.create_network("bridge", "net", ipv4="10.60.0.0/16", ipam="tiny")
    net.detach(net.attach(1))
    tiny.script[verb] = answer
    net.delete()
    assert tiny.verbs()[-1] == "ReleasePool"
    tiny.script.clear()
    ctl.create_network("bridge", "net", ipv4="10.60.0.0/16", ipam="tiny").delete()


def test_what_a_plugin_will_not_take_back_is_told(tiny: Tiny, ipam: RemoteIPAM) -> None:
    pool = ipam.request_pool(parse_network("10.60.0.0/16")).id
    tiny.script["ReleasePool"] = [(409, b'{"Error": "in use"}')]
    with pytest.raises(errors.ConflictError, match="in use"):
        ipam.release_pool(pool)
    ipam.release_pool(pool)


def test_aux_addresses_that_cannot_be_had(tiny: Tiny, ipam: RemoteIPAM) -> None:
    tiny.script["RequestAddress"] = [{"Address": "10.60.0.5/16"}, {"Error": "taken"}]
    with pytest.raises(errors.PluginRefusedError, match="taken"):
        ipam.request_pool(parse_network("10.60.0.0/16"), exclude=[bytes([10, 60, 0, 5]), bytes([10, 60, 0, 6])])
    pool = "tiny/10.60.0.0/16"
    assert asked(tiny, "ReleaseAddress") == [(pool, "10.60.0.5")]
    assert tiny.documents("ReleasePool") == [{"PoolID": pool}]
    assert ipam.request_pool(parse_network("10.60.0.0/16")).id == pool


def test_the_same_pool_twice_is_not_given_back_under_its_user(tiny: Tiny, ipam: RemoteIPAM) -> None:
    pool = ipam.request_pool(parse_network("10.60.0.0/16")).id
    with pytest.raises(errors.ConflictError, match="in use already"):
        ipam.request_pool(parse_network("10.60.0.0/16"), allow_overlap=True)
    assert tiny.documents("ReleasePool") == []
    ipam.release_pool(pool)
    with pytest.raises(errors.NotFoundError, match="no address pool"):
        ipam.release_pool(pool)


def test_what_could_be_lost_is_not_asked_again(tiny: Tiny, ipam: RemoteIPAM) -> None:
    pool = ipam.request_pool(parse_network("10.60.0.0/16")).id
    tiny.script["RequestAddress"] = lambda connection: False
    with pytest.raises(errors.PluginError, match="not known"):
        ipam.request_addresses(pool, 1)
    assert len(tiny.documents("RequestAddress")) == 1


def test_what_is_given_back_while_the_plugin_is_away_is_given_back_later(tiny: Tiny, ipam: RemoteIPAM) -> None:
    pool = ipam.request_pool(parse_network("10.60.0.0/16")).id
    [one] = ipam.request_addresses(pool, 1)
    tiny.stop()
    ipam.release_addresses(pool, [one.ip])
    with pytest.raises(errors.PluginDownError):
        ipam.request_addresses(pool, 1)
    tiny.start()
    ipam.request_addresses(pool, 1)
    assert asked(tiny, "ReleaseAddress") == [(pool, "10.60.0.2")]
    assert ipam.free(pool) == 65533


def test_what_is_given_back_and_always_cut_is_given_back_later(tiny: Tiny, ipam: RemoteIPAM) -> None:
    pool = ipam.request_pool(parse_network("10.60.0.0/16")).id
    [one] = ipam.request_addresses(pool, 1)
    tiny.script["ReleaseAddress"] = lambda connection: False
    ipam.release_addresses(pool, [one.ip])
    before = len(tiny.documents("ReleaseAddress"))
    tiny.script.clear()
    ipam.request_addresses(pool, 1)
    assert len(tiny.documents("ReleaseAddress")) == before + 1


def test_what_was_given_back_unheard_and_is_given_again_is_not_given_back_under_its_user(
    tiny: Tiny, ipam: RemoteIPAM
) -> None:
    pool = ipam.request_pool(parse_network("10.60.0.0/16")).id
    [one] = ipam.request_addresses(pool, 1)
    tiny.script["ReleaseAddress"] = lambda connection: False
    ipam.release_addresses(pool, [one.ip])
    debts, ipam._debts = ipam._debts, Debts(1)  # as if the call after that had begun before
    ipam.request_address(pool, one.ip)
    ipam._debts = debts
    tiny.script.clear()
    before = len(tiny.documents("ReleaseAddress"))
    ipam.request_addresses(pool, 1)
    assert len(tiny.documents("ReleaseAddress")) == before


@pytest.mark.parametrize(
    ("wishes", "error", "said"),
    [
        ({"size": 24}, errors.NotImplementedYetError, "size"),
        ({"space": "mars"}, errors.InvalidError, "mars"),
        ({"within": parse_network("10.0.0.0/24")}, errors.InvalidError, "ip_range"),
    ],
)
def test_wishes_that_the_protocol_cannot_say(
    ipam: RemoteIPAM, tiny: Tiny, wishes: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        ipam.request_pool(**wishes)
    assert tiny.asked == []


def test_what_is_no_ipam_plugin(tiny: Tiny, ipam: RemoteIPAM) -> None:
    tiny.implements = ("NetworkDriver",)
    with pytest.raises(errors.NotFoundError, match="is no IpamDriver"):
        ipam.request_pool()


def test_capabilities_that_cannot_be_had_are_none(tiny: Tiny, ipam: RemoteIPAM) -> None:
    tiny.script["IpamDriver.GetCapabilities"] = (404, b"no")
    assert ipam.request_pool().id == "tiny/10.60.0.0/16"


# --- restarts -------------------------------------------------------------------------------------------


def restarted(directory: Path, tiny: Tiny, *, replay: bool) -> list[tuple[str, Any]]:
    """Have a network with all there is, start again on its state with the plugin away; return what it is asked then."""
    tiny.script["IpamDriver.GetCapabilities"] = {"RequiresRequestReplay": replay}
    dataplane = FakeDataplane()
    tiny.links = dataplane.links

    def controller() -> Controller:
        return Controller(state=directory / "state.db", dataplane=dataplane)

    ctl = controller()
    net = ctl.create_network(
        "tiny", "net", ipv4="10.60.0.0/16", aux_addresses={"router": "10.60.0.5"}, ipam="tiny",
        ipam_options={"colour": "red"},
    )  # fmt: skip
    eps = net.attach(2)
    assert [ep.error for ep in eps] == [None, None]
    ctl.close()
    tiny.stop()
    tiny.asked.clear()
    ctl = controller()
    assert ctl.restored is not None
    assert (ctl.restored.endpoints, ctl.restored.joined) == (2, 2)
    net = ctl.network("net")
    assert str(net.gateway) == "10.60.0.1"
    tiny.start()
    net.detach(net.endpoints)
    net.delete()
    told = list(tiny.asked)
    ctl.close()
    return [(verb.partition(".")[2], document) for verb, document in told]


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: Tiny) -> Tiny:
    monkeypatch.setattr(places, "SOCKETS", (tmp_path,))
    return tiny


def test_a_plugin_that_wants_it_is_told_again_what_it_gave(tmp_path: Path, found: Tiny) -> None:
    told = restarted(tmp_path, found, replay=True)
    verbs = [verb for verb, _ in told]
    assert "CreateNetwork" not in verbs
    assert "CreateEndpoint" not in verbs
    assert "Join" not in verbs
    assert [document for verb, document in told if verb == "RequestPool"] == [
        {"AddressSpace": "tiny", "Pool": "10.60.0.0/16", "SubPool": "", "Options": {"colour": "red"}, "V6": False}
    ]
    addresses = [document for verb, document in told if verb == "RequestAddress"]
    assert [one["Address"] for one in addresses] == ["10.60.0.5", "10.60.0.1", "10.60.0.2", "10.60.0.3"]
    assert addresses[1]["Options"] == {"RequestAddressType": "com.docker.network.gateway"}
    given_back = {document["Address"] for verb, document in told if verb == "ReleaseAddress"}
    assert given_back == {one["Address"] for one in addresses}
    assert verbs.index("RequestPool") < verbs.index("ReleaseAddress")
    assert verbs[-1] == "ReleasePool"


def test_a_plugin_that_keeps_its_pools_is_told_nothing(tmp_path: Path, found: Tiny) -> None:
    verbs = [verb for verb, _ in restarted(tmp_path, found, replay=False)]
    assert not {"RequestPool", "RequestAddress", "CreateNetwork", "CreateEndpoint", "Join"} & set(verbs)
    assert verbs.count("ReleaseAddress") == 4
    assert verbs.count("Leave") == verbs.count("DeleteEndpoint") == 2
    assert verbs[-1] == "ReleasePool"


def test_a_start_does_not_wait_for_a_plugin_that_is_away(tmp_path: Path, found: Tiny) -> None:
    def controller() -> Controller:
        return Controller(state=tmp_path / "state.db", dataplane=dataplane)

    dataplane = FakeDataplane()
    ctl = controller()
    net = ctl.create_network("tiny", "net", ipv4="10.60.0.0/16")
    half = ctl.create_network("tiny", "half", ipv4="10.61.0.0/16")
    ep = net.create_endpoint("ep")
    ctl._store.put([Record(half.id, half.id, State.DELETING, kind=Kind.NETWORK)])  # as if killed while they went
    ctl._store.put([Record(ep.id, net.id, State.DELETING)])
    ctl.close()
    found.stop()
    found.asked.clear()
    ctl = controller()
    assert [one.name for one in ctl.networks] == ["net"]
    assert [one.name for one in ctl.network("net").endpoints] == ["ep"]
    ctl.close()
    found.start()
    ctl = controller()
    assert "DeleteNetwork" in found.verbs()
    for one in ctl.network("net").endpoints:
        one.delete()
    assert "DeleteEndpoint" in found.verbs()
    ctl.network("net").delete()
    assert [document["NetworkID"] for document in found.documents("DeleteNetwork")] == [half.id, net.id]
    ctl.close()


# --- our own plugin is one --------------------------------------------------------------------------------


class TestConformance(IPAMConformance):
    """An IPAM that is asked over a socket is one."""

    @pytest.fixture(autouse=True)
    def _closed(self, tmp_path: Path) -> Iterator[None]:
        self.directory = tmp_path
        with contextlib.ExitStack() as self.opened:
            yield

    def make_ipam(self) -> RemoteIPAM:
        plugin = self.opened.enter_context(Plugin("bridge", dataplane=FakeDataplane(), ipam=DefaultIPAM()))
        made_one = RemoteIPAM("own", f"unix://{plugin.listen(self.directory / 'own.sock')}")
        self.opened.callback(made_one._client.close)
        return made_one


def test_what_is_owed_is_told_before_anything_that_is_asked_meanwhile(tiny: Tiny, ipam: RemoteIPAM) -> None:
    """An address that is given back again, and late, may be somebody's by then."""
    pool = ipam.request_pool(parse_network("10.60.0.0/16")).id
    came, go = threading.Event(), threading.Event()

    tiny.script["ReleaseAddress"] = held(came, go)
    ipam._debts.owe(("ReleaseAddress", pool, "10.60.0.9"))
    with ThreadPoolExecutor(2) as threads:
        one = threads.submit(ipam.request_addresses, pool, 1)
        assert came.wait(10)
        other = threads.submit(ipam.request_address, pool, bytes([10, 60, 0, 9]))
        early = wait([other], 0.1).done
        go.set()
        one.result(10)
        other.result(10)
    assert not early
    assert not ipam._debts

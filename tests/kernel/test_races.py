"""What comes between: two endpoints of one sandbox, a close beside an attach, an interrupt in a move."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from pyroute2 import IPRoute, NetNS

from driverapi import Controller, DriverRegistry, Sandbox, errors
from driverapi.dataplane import bringup, configure
from driverapi.network import Network
from tests.kernel.test_moved import OwnDevices


def ours() -> set[str]:
    with IPRoute() as ip:
        return {name for link in ip.get_links() if (name := link.get("ifname")).startswith("dv")}


def gateways(box: Sandbox) -> list[str]:
    with NetNS(box.key, flags=0) as ns:
        return [route.get("gateway") for route in ns.get_default_routes()]


def test_the_holder_of_the_gateway_leaves_while_another_joins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever is first, the one that stays has the default route."""
    with Controller() as ctl:
        one = ctl.create_network("bridge", "one", ipv4="10.1.0.0/24")
        two = ctl.create_network("bridge", "two", ipv4="10.2.0.0/24")
        box = ctl.create_sandbox("box")
        first, second = one.create_endpoint("first"), two.create_endpoint("second")
        first.join(box)
        claim, claimed = configure.claim_gateway, threading.Event()
        leaver = threading.Thread(target=first.leave)

        def slow(*args: object) -> bool:
            result = claim(*args)  # type: ignore[arg-type]
            leaver.start()
            leaver.join(0.5)  # it deletes its link, and then must wait to pass its route on
            claimed.set()
            return result

        monkeypatch.setattr(configure, "claim_gateway", slow)
        second.join(box)
        leaver.join(30)
        assert claimed.is_set()
        assert gateways(box) == ["10.2.0.1"]


def test_many_networks_in_one_sandbox() -> None:
    """Threads join and leave one sandbox through several networks; in the end one gateway is there."""
    faults: list[BaseException] = []
    with Controller() as ctl:
        networks = [ctl.create_network("bridge", f"n{n}", ipv4=f"10.{n}.0.0/24") for n in range(4)]
        box = ctl.create_sandbox("box")

        def churn(network: Network) -> None:
            try:
                for _ in range(10):
                    network.detach(network.attach([box, box], strict=True))
            except BaseException as fault:
                faults.append(fault)

        threads = [threading.Thread(target=churn, args=(network,)) for network in networks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert faults == []
        assert gateways(box) == []
        networks[2].attach([box], strict=True)
        assert gateways(box) == ["10.2.0.1"]


def test_close_beside_attach() -> None:
    """close() waits for the attach, and then takes all of it away."""
    before = ours()
    results: list[object] = []
    ctl = Controller()
    network = ctl.create_network("bridge", "net", ipv4="10.1.0.0/16")
    begun = threading.Event()

    def attach() -> None:
        try:
            results.append(network.attach(300, strict=True, progress=lambda _: begun.set()))
        except errors.ClosedError as error:
            results.append(error)

    caller = threading.Thread(target=attach)
    caller.start()
    assert begun.wait(60)
    assert ctl._instance is not None
    directory = ctl._instance.directory
    ctl.close()
    caller.join(60)
    assert len(results) == 1
    assert isinstance(results[0], list)
    assert ours() == before
    assert not directory.exists()


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interrupt_in_a_move(monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """Wherever the device is when the interrupt comes, it is on the host afterwards, under its own name."""
    registry = DriverRegistry()
    registry.register("own", OwnDevices())
    with Controller(registry=registry) as ctl:
        network = ctl.create_network("own", "net")
        box = ctl.create_sandbox("box")
        endpoint = network.create_endpoint("ep")
        look_up = bringup.link
        calls = []

        def interrupted(*args: object, **kwargs: object) -> object:
            calls.append(kwargs)
            if len(calls) == (1 if when == "before" else 2):  # the second look-up is in the sandbox
                raise KeyboardInterrupt
            return look_up(*args, **kwargs)  # type: ignore[arg-type]

        monkeypatch.setattr(bringup, "link", interrupted)
        with pytest.raises(KeyboardInterrupt):
            endpoint.join(box)
        with IPRoute() as ip:
            assert ip.link_lookup(ifname="own0")
        monkeypatch.setattr(bringup, "link", look_up)
        endpoint.join(box)
        endpoint.leave()
        endpoint.delete()


def test_instances_with_directories_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids are unique in the network namespace, whatever the directories."""
    drawn = iter([7, 7, 7, 8, 8])
    monkeypatch.setattr("driverapi.instance.secrets.randbelow", lambda limit: next(drawn) if limit == 1 << 16 else 5)
    with Controller(run_dir=tmp_path / "one") as one, Controller(run_dir=tmp_path / "two") as two:
        assert one._instance is not None
        assert two._instance is not None
        assert (one._instance.id, two._instance.id) == ("0007", "0008")


def test_an_id_that_links_of_the_dead_carry_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([0xABCD, 0xABCE])
    monkeypatch.setattr("driverapi.instance.secrets.randbelow", lambda limit: next(drawn) if limit == 1 << 16 else 5)
    with IPRoute() as ip:
        ip.link("add", ifname="dvabcde1", kind="bridge")
        try:
            with Controller() as ctl:
                assert ctl._instance is not None
                assert ctl._instance.id == "abce"
        finally:
            ip.link("del", index=ip.link_lookup(ifname="dvabcde1")[0])


def test_a_foreign_name_that_became_free() -> None:
    """Names of somebody's links are looked at again before one is refused."""
    with Controller() as ctl:
        theirs = ctl.create_sandbox("theirs")
        with NetNS(theirs.key, flags=0) as ns:
            ns.link("add", ifname="eth7", kind="bridge")
            box = ctl.create_sandbox("box", netns=theirs.key)
            endpoint = ctl.create_network("bridge", "net", ipv4="10.1.0.0/24").create_endpoint(
                "ep", options={"com.docker.network.endpoint.ifname": "eth7"}
            )
            with pytest.raises(errors.ConflictError, match="eth7"):
                endpoint.join(box)
            ns.link("del", index=ns.link_lookup(ifname="eth7")[0])
            endpoint.join(box)
            assert endpoint.info()["interfaces"][0]["name"] == "eth7"
        endpoint.leave()


def test_names_and_numbers_of_the_host_that_somebody_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that carry our id should be ours alone; where they are not, others are chosen."""
    with Controller() as ctl, IPRoute() as ip:
        assert ctl._instance is not None
        id = ctl._instance.id
        taken = [f"dv{id}b1", f"dv{id}e2", f"dv{id}e4"]
        for name in taken:
            ip.link("add", ifname=name, kind="bridge")
        try:
            network = ctl.create_network("bridge", "net", ipv4="10.1.0.0/24")  # b1 is taken: b2
            network.attach(3, strict=True)
        finally:
            for name in taken:
                ip.link("del", index=ip.link_lookup(ifname=name)[0])


def test_a_default_route_that_is_not_ours_stays() -> None:
    """An existing namespace may have its own default route: the endpoint joins, and the route is as it was."""
    with Controller() as ctl:
        theirs = ctl.create_sandbox("theirs")
        with NetNS(theirs.key, flags=0) as ns:
            ns.link("add", ifname="own0", kind="veth", peer="own1")
            index = ns.link_lookup(ifname="own0")[0]
            ns.link("set", index=index, state="up")
            ns.link("set", index=ns.link_lookup(ifname="own1")[0], state="up")
            ns.addr("add", index=index, address="192.0.2.1", prefixlen=24)
            ns.route("add", dst="default", gateway="192.0.2.254")
            box = ctl.create_sandbox("box", netns=theirs.key)
            network = ctl.create_network("bridge", "net", ipv4="10.1.0.0/24")
            network.attach([box], strict=True)
            assert gateways(theirs) == ["192.0.2.254"]
            network.detach(network.endpoints)
            assert gateways(theirs) == ["192.0.2.254"]


def test_one_sandbox_takes_the_last_room() -> None:
    """A single one needs room for itself alone: it does not wait for that of a whole chunk."""
    with Controller() as ctl:
        sandboxes = ctl._dataplane._sandboxes  # type: ignore[attr-defined]
        sandboxes.kept += sandboxes.keep - 1  # as if a bulk call held all but one
        try:
            [netns] = sandboxes.make(["single"])
            assert netns.namespace is not None
            assert sandboxes.drop([netns]) == [None]
        finally:
            sandboxes.kept -= sandboxes.keep - 1

"""The dataplane in memory: it refuses what a kernel would refuse, and fails where it is told to."""

from __future__ import annotations

import pytest

from driverapi import VethLink, errors
from driverapi.addresses import parse_prefix
from driverapi.dataplane.contract import Ownership, Work
from driverapi.plan import BridgeLink, EndpointPlan, InterfacePlan, MoveLink, NetworkPlan, Route
from driverapi.testing import FakeDataplane, FakeNetns, FakeRealised

BRIDGE = NetworkPlan((BridgeLink("br", bytes(6)),))


@pytest.fixture
def fake() -> FakeDataplane:
    return FakeDataplane()


def plan(owner: str, *links: VethLink | MoveLink, name: str = "eth", exact: bool = False) -> EndpointPlan:
    interfaces = [InterfacePlan(number, link, name, exact) for number, link in enumerate(links)]
    return EndpointPlan(owner, "net", tuple(interfaces))


def box(fake: FakeDataplane, id: str = "box") -> FakeNetns:
    return fake.make_sandboxes([id])[0]


def realise(fake: FakeDataplane, *works: Work) -> list[FakeRealised]:
    answers = fake.realise(works)
    assert not [answer for answer in answers if isinstance(answer, Exception)]
    return answers  # type: ignore[return-value]


def refusal(fake: FakeDataplane, work: Work) -> Exception:
    (answer,) = fake.realise([work])
    assert isinstance(answer, Exception)
    return answer


def test_names_count_up_and_come_back(fake: FakeDataplane) -> None:
    netns = box(fake)
    first, second = realise(fake, Work(plan("a", VethLink(), VethLink()), netns), Work(plan("b", VethLink()), netns))
    assert (first.names, second.names) == ({0: "eth0", 1: "eth1"}, {0: "eth2"})
    assert fake.remove([first]) == [None]
    assert netns.names == {"lo", "eth2"}
    (third,) = realise(fake, Work(plan("c", VethLink()), netns))
    assert third.names == {0: "eth0"}
    assert set(fake.endpoints) == {"b", "c"}


def test_an_exact_name_that_is_taken(fake: FakeDataplane) -> None:
    netns = box(fake)
    realise(fake, Work(plan("a", VethLink(), name="wan", exact=True), netns))
    with pytest.raises(errors.ConflictError, match="'wan' is taken in sandbox /fake/ns/box"):
        raise refusal(fake, Work(plan("b", VethLink(), name="wan", exact=True), netns))
    assert netns.names == {"lo", "wan"}
    assert set(fake.endpoints) == {"a"}


def test_a_moved_link_goes_and_comes_back(fake: FakeDataplane) -> None:
    fake.links.add("v1")
    netns = box(fake)
    (made,) = realise(fake, Work(plan("a", MoveLink("v1"), name="wan", exact=True), netns))
    assert (fake.links, netns.names) == ({"lo"}, {"lo", "wan"})
    with pytest.raises(errors.NotFoundError, match="'v1'"):
        raise refusal(fake, Work(plan("b", MoveLink("v1")), netns))
    fake.remove([made])
    fake.remove([made])  # what is gone already is passed over
    assert (fake.links, netns.names, fake.endpoints) == ({"lo", "v1"}, {"lo"}, {})


def test_half_an_endpoint_is_undone(fake: FakeDataplane) -> None:
    fake.links.add("v1")
    netns = box(fake)
    refused = refusal(fake, Work(plan("a", VethLink(), MoveLink("v1"), MoveLink("gone")), netns))
    assert isinstance(refused, errors.NotFoundError)
    assert (fake.links, netns.names, fake.endpoints) == ({"lo", "v1"}, {"lo"}, {})


def test_a_master_must_be_of_the_network(fake: FakeDataplane) -> None:
    netns = box(fake)
    with pytest.raises(errors.InvalidError, match="'br'"):
        raise refusal(fake, Work(plan("a", VethLink("br")), netns))
    fake.realise_network("net", BRIDGE)
    realise(fake, Work(plan("a", VethLink("br")), netns))


def test_a_route_needs_an_interface(fake: FakeDataplane) -> None:
    routed = EndpointPlan("a", "net", routes=(Route(parse_prefix("0.0.0.0/0"), bytes(4)),))
    with pytest.raises(errors.InvalidError, match="interface"):
        raise refusal(fake, Work(routed, box(fake)))


def test_exact_names_on_the_host(fake: FakeDataplane) -> None:
    exact = NetworkPlan((BridgeLink("br9", bytes(6), exact=True),))
    fake.realise_network("one", exact)
    with pytest.raises(errors.KernelError, match="br9"):
        fake.realise_network("two", exact)
    assert set(fake.networks) == {"one"}
    fake.remove_network("one")
    fake.remove_network("one")
    assert (fake.links, fake.networks) == ({"lo"}, {})


def test_nothing_is_made_in_the_host(fake: FakeDataplane) -> None:
    with pytest.raises(errors.ConflictError, match="host"):
        raise refusal(fake, Work(plan("a", VethLink()), fake.host_sandbox()))
    realise(fake, Work(plan("b"), fake.host_sandbox()))


def test_sandboxes(fake: FakeDataplane) -> None:
    owned, existing, host = box(fake), fake.open_sandbox("/run/netns/x"), fake.host_sandbox()
    foreign = fake.foreign_sandbox("/run/docker/netns/x")
    assert [one.ownership for one in (owned, existing, host, foreign)] == list(Ownership)
    assert fake.wait_sandboxes([owned]) == [None]
    assert fake.drop_sandboxes([owned, existing, host]) == [None] * 3
    assert fake.drop_sandboxes([foreign]) == [None]
    assert [owned.dropped, existing.dropped, host.dropped, fake.sandboxes] == [True, False, False, {}]
    with pytest.raises(errors.NoSandboxError, match="/fake/ns/box"):
        raise refusal(fake, Work(plan("a", VethLink()), owned))


@pytest.mark.parametrize("fault", [errors.KernelError("full", 28), RuntimeError("any error is an answer")])
def test_faults_are_answers(fake: FakeDataplane, fault: Exception) -> None:
    fake.faults.update({"a": fault, "net": fault, "bad": fault, "/run/x": fault})
    netns = fake.make_sandboxes(["good", "bad"])
    progress: list[int] = []
    answers = fake.realise([Work(plan(owner, VethLink()), netns[0]) for owner in "abc"], progress.append)
    assert answers[0] is fault
    assert [type(answer) for answer in answers[1:]] == [FakeRealised] * 2
    assert progress[-1] == 3
    assert fake.wait_sandboxes(netns) == [None, fault]
    with pytest.raises(type(fault)):
        fake.realise_network("net", NetworkPlan())
    with pytest.raises(type(fault)):
        fake.open_sandbox("/run/x")
    assert not fake.networks


def test_an_interrupt_leaves_nothing_of_its_call(fake: FakeDataplane) -> None:
    netns = box(fake)
    (before,) = realise(fake, Work(plan("before", VethLink()), netns))
    fake.faults["b"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        fake.realise([Work(plan(owner, VethLink()), netns) for owner in "abc"])
    assert fake.endpoints == {"before": before}
    assert netns.names == {"lo", "eth0"}


def test_what_is_stuck_stays(fake: FakeDataplane) -> None:
    fault = errors.KernelError("stuck", 16)
    netns = box(fake)
    made = realise(fake, Work(plan("a", VethLink()), netns), Work(plan("b", VethLink()), netns))
    fake.realise_network("net", BRIDGE)
    fake.stuck.update({"a": fault, "net": fault, "box": fault})
    progress: list[int] = []
    assert fake.remove(made, progress.append) == [fault, None]
    assert fake.drop_sandboxes([netns]) == [fault]
    with pytest.raises(errors.KernelError, match="stuck"):
        fake.remove_network("net")
    assert (set(fake.endpoints), set(fake.networks), set(fake.sandboxes)) == ({"a"}, {"net"}, {"box"})
    assert (netns.names, progress) == ({"lo", "eth0"}, [2])
    fake.stuck.clear()
    assert fake.remove(made) == [None, None]


def test_foreign_sandboxes(fake: FakeDataplane) -> None:
    """Whoever has them names what goes there: the names that are told are those on the host."""
    fake.links.add("v1")
    made = [
        realise(fake, Work(plan(owner, link), fake.foreign_sandbox("/run/docker/netns/x")))[0]
        for owner, link in (("a", VethLink()), ("b", VethLink()), ("c", MoveLink("v1")))
    ]
    names = [name for one in made for name in one.names.values()]
    assert len(set(names)) == 3
    assert names[2] == "v1"
    assert "v1" in fake.links
    assert fake.remove(made) == [None] * 3
    assert fake.endpoints == {}

"""The plugin's rules in ``DOCKER-USER``: which programs are run for what; what they do is in ``tests/docker``."""

from __future__ import annotations

import pytest

from driverapi import iptables
from driverapi.addresses import parse_network
from driverapi.events import problems
from driverapi.plan import BridgeLink, GatewayLink, NetworkPlan, NetworkRules
from driverapi.plugin import firewall
from driverapi.plugin.firewall import Firewall, Passing

MAC = b"\2\0\0\0\0\1"


class Chain:
    """What stands in for the two programs: the rules of each."""

    def __init__(self) -> None:
        self.there = True
        self.ran: list[tuple[str, ...]] = []
        self.rules: dict[str, list[tuple[str, ...]]] = {"iptables": [], "ip6tables": []}

    def run(self, program: str, *arguments: str) -> str:
        self.ran.append((program, *arguments))
        rules, (what, *_) = self.rules[program], arguments
        if not self.there:
            return "no chain"
        if what == "-I":
            rules.insert(0, arguments[2:])
        elif what == "-D" and arguments[2:] in rules:
            rules.remove(arguments[2:])
        elif what == "-C":
            return "" if arguments[2:] in rules else "no such rule"
        return ""


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch) -> Chain:
    made = Chain()
    monkeypatch.setattr(firewall, "run", made.run)
    monkeypatch.setattr(firewall, "programs", lambda: ["iptables", "ip6tables"])
    return made


def network(wall: Firewall, number: int, *, internal: bool = False) -> Passing:
    """Return what passes for a bridge network that may begin to speak to elsewhere."""
    prefix = parse_network(f"10.{number}.0.0/16")
    rules = NetworkRules(prefixes=(prefix,), begins=(4,))
    return wall.passing(NetworkPlan((BridgeLink("bridge", MAC),), rules), internal=internal)


def test_a_network_costs_the_same_however_many_there_are(chain: Chain) -> None:
    wall, costs = Firewall("12ab"), []
    wall.settle()
    for number in range(20):
        chain.ran.clear()
        wall.admit(network(wall, number))
        costs.append(len(chain.ran))
    assert set(costs[1:]) == {costs[1]}
    assert costs[1] == 3 * (len(chain.rules["iptables"]) - 3) / 20  # looked at, the chain too, put there
    chain.ran.clear()
    wall.settle()
    wall.admit(network(wall, 3))
    assert chain.ran == []
    wall.begin_again()  # the engine may have made its chain anew
    for rules in chain.rules.values():
        rules.clear()
    wall.settle()
    assert len(chain.rules["iptables"]) == 20 * 4 + 3


def test_what_goes_with_a_network_and_what_stays(chain: Chain) -> None:
    wall = Firewall("12ab")
    one, two = network(wall, 1), network(wall, 2)
    wall.admit(one)
    before = {program: list(rules) for program, rules in chain.rules.items()}
    wall.admit(two)
    wall.withdraw(two)
    assert chain.rules == before
    wall.withdraw(one)  # by the links other networks may yet have packets
    assert len(chain.rules["iptables"]) == len(chain.rules["ip6tables"]) == 3


def test_what_passes(chain: Chain) -> None:
    wall = Firewall("12ab")
    assert not network(wall, 1, internal=True).out
    assert network(wall, 1).links == {"dv12abb+"}
    named = wall.passing(NetworkPlan((BridgeLink("mine", MAC, exact=True),)), internal=False)
    assert named == Passing(frozenset({"mine"}))
    prefix = parse_network("10.9.0.0/16")
    routed = NetworkPlan((GatewayLink("gateway", MAC, (prefix,)),))
    via = frozenset({("dv12abe+", prefix)})
    assert wall.passing(routed, internal=False) == Passing(frozenset({"dv12abe+"}), via, via)
    assert wall.passing(routed, internal=True) == Passing(frozenset({"dv12abe+"}), via)
    assert not wall.passing(None, internal=False)


def test_without_the_chain(chain: Chain) -> None:
    """Nothing is put anywhere, and nobody is told: there is no engine yet."""
    chain.there = False
    wall, before = Firewall("12ab"), problems().get("plugin.no_rule", 0)
    wall.admit(network(wall, 1))
    assert not [one for one in chain.ran if one[1] == "-I"]
    assert problems().get("plugin.no_rule", 0) == before


def test_what_drops_comes_before_what_it_makes_exceptions_of(chain: Chain) -> None:
    """Though the latter was refused for a moment, say because somebody else had the lock of iptables."""
    wall = Firewall("ab12")
    wall.admit(network(wall, 1))
    good = list(chain.rules["iptables"])
    accepts = next(rule for rule in good if rule[:2] == ("-s", "10.1.0.0/16") and rule[-1] == "ACCEPT")
    chain.rules["iptables"].remove(accepts)
    wall.begin_again()
    wall.settle()
    rules = chain.rules["iptables"]
    assert sorted(rules) == sorted(good)
    drops = [number for number, rule in enumerate(rules) if rule[-1] == "DROP"]
    assert drops
    assert max(drops) < rules.index(accepts)


def test_rules_of_others_are_passed_over_whatever_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """iptables prints a comment's line feed as it is."""
    text = """-N DOCKER-USER
-A DOCKER-USER -m comment --comment "two
lines" -j RETURN
-A DOCKER-USER -m comment --comment "driverapi ab12" -j ACCEPT
"""
    monkeypatch.setattr(iptables, "_run", lambda program, arguments: (text, ""))
    monkeypatch.setattr(iptables, "programs", lambda: ["iptables"])
    rule = ["-m", "comment", "--comment", "driverapi ab12", "-j", "ACCEPT"]
    assert iptables.find_rules() == {"ab12": [("iptables", rule)]}

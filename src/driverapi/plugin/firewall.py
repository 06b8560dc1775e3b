"""What lets packets pass on a host with a Docker engine: some rules in the chain that is its users'.

The engine has the kernel show bridged packets to iptables (``br_netfilter``) and drops what no rule of its own
accepts; so two sandboxes on one of our bridges would not hear of each other. A table of our own cannot help: what
one table accepts, another may yet drop. The engine leaves ``DOCKER-USER`` as it finds it, also when it starts again.
Of routed packets those of published ports pass, what belongs to connections, what stays within a routed network, and
what it, or a bridge network that was told how, begins to say to elsewhere; between networks nothing passes, as
between the engine's own.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, final

from driverapi.addresses import Address
from driverapi.events import emit, of_fault
from driverapi.instance import LINK_MARK
from driverapi.iptables import CHAIN, comment, find_rules, programs, remove_rules, run
from driverapi.plan import BridgeLink, GatewayLink, NetworkPlan

__all__ = ["Firewall", "Passing"]

_KNOWN: Final = "DNAT,RELATED,ESTABLISHED"
_NETWORKS: Final = ("docker0", "br-+", f"{LINK_MARK}+")
"""Bridges of other networks, the engine's and ours."""

_Via = tuple[str, Address]
"""A name of links, and a prefix that is behind them. A name that ends in ``+`` is that of all that begin so."""


@dataclass(frozen=True, slots=True)
class Passing:
    """What may pass for one network.

    Attributes
    ----------
    links : frozenset of str
        By these, what belongs to connections; and what stays on a bridge.
    within : frozenset of (str, Address)
        What goes from one address of the prefix to another by different links.
    out : frozenset of (str, Address)
        What may begin to speak to elsewhere, but for other networks of this host.
    """

    links: frozenset[str] = frozenset()
    within: frozenset[_Via] = frozenset()
    out: frozenset[_Via] = frozenset()

    def __or__(self, other: Passing) -> Passing:
        return Passing(self.links | other.links, self.within | other.within, self.out | other.out)

    def __sub__(self, other: Passing) -> Passing:
        return Passing(self.links - other.links, self.within - other.within, self.out - other.out)

    def __bool__(self) -> bool:
        return bool(self.links or self.within or self.out)


@final
class Firewall:
    """The rules of one plugin; where there is no such program or no such chain, there is nothing to do.

    Parameters
    ----------
    instance : str
        Id of the instance: it stands in the comment of each rule.

    Notes
    -----
    Thread safety: all methods.
    """

    def __init__(self, instance: str) -> None:
        self._id = instance
        self._bridges = f"{LINK_MARK}{instance}b+"
        self._ends = f"{LINK_MARK}{instance}e+"
        self._comment = comment(instance)
        self._lock = threading.Lock()
        self._passing = Passing()
        self._fresh = False

    def passing(self, plan: NetworkPlan | None, *, internal: bool) -> Passing:
        """Return what may pass for a network: a bridge whose name we chose is known by how all of ours begin."""
        links = () if plan is None else plan.links
        rules = None if plan is None else plan.rules
        bridges = {one.name if one.exact else self._bridges for one in links if isinstance(one, BridgeLink)}
        routed = {
            (self._ends, address.network) for one in links if isinstance(one, GatewayLink) for address in one.addresses
        }
        begin = () if rules is None else [one for one in rules.prefixes if one.version in rules.begins]
        out = {(bridge, prefix) for bridge in bridges for prefix in begin}
        ends = {self._ends} if routed else set()
        return Passing(frozenset(bridges | ends), frozenset(routed), frozenset(set() if internal else out | routed))

    def admit(self, passing: Passing) -> None:
        """Let this pass."""
        if not passing:
            return
        with self._lock:
            new = passing - self._passing
            self._passing |= passing
            if self._fresh:  # the rules of all others are there: a program is run for each that is looked at
                self._put(new)
        self.settle()

    def begin_again(self) -> None:
        """Take note that an engine has started: what it was asked for may be gone."""
        with self._lock:
            self._fresh = False

    def settle(self) -> None:
        """See that the rules are there, if there was reason to doubt; a failure is logged."""
        with self._lock:
            if self._fresh:
                return
            self._fresh = True
            self._put(self._passing)

    def _put(self, passing: Passing) -> None:
        """Put those rules that are not there before all others; called with the lock held."""
        for program in programs():
            before = False  # whether the last that accepts was there
            for rule in self._rules(program, passing):
                there = not run(program, "-C", CHAIN, *rule)
                if rule[-1] != "DROP":
                    before = there
                elif there and not before:  # it would come after what it makes exceptions of
                    there = bool(run(program, "-D", CHAIN, *rule))
                if not there and not run(program, "-n", "-L", CHAIN):
                    refused = run(program, "-I", CHAIN, *rule)
                    if refused:
                        emit("plugin.no_rule", **of_fault(RuntimeError(f"{program} -I {CHAIN}: {refused}")))

    def withdraw(self, passing: Passing) -> None:
        """Let this pass no more, but for what goes by links that other networks may have too."""
        ours = Passing(frozenset({self._bridges, self._ends}))
        with self._lock:
            gone = passing - ours
            self._passing -= gone
            for program in programs():
                for rule in self._rules(program, gone):
                    run(program, "-D", CHAIN, *rule)

    def withdraw_all(self) -> None:
        """Take all away that has our comment."""
        with self._lock:
            self._passing = Passing()
            remove_rules(self._id)

    def tidy(self) -> None:
        """Take away what an earlier process of ours has left for networks that are no more."""
        with self._lock:
            sources = {str(prefix) for _, prefix in self._passing.out | self._passing.within}
            for program, rule in find_rules().get(self._id, ()):
                values = dict(pairwise(rule))
                known = {values.get("-i"), values.get("-o")} & self._passing.links
                if not known or values.get("-s", "") not in {"", *sources}:
                    run(program, "-D", CHAIN, *rule)

    def _rules(self, program: str, passing: Passing) -> list[tuple[str, ...]]:
        """Return the rules, in the order in which they are put one before the other."""
        accept, drop = (*self._comment, "-j", "ACCEPT"), (*self._comment, "-j", "DROP")
        tracked = ("-m", "conntrack", "--ctstate")
        version = 6 if program.endswith("ip6tables") else 4
        rules: list[tuple[str, ...]] = []
        for link, prefix in sorted(passing.out, key=str):
            if prefix.version == version:
                begins = ("-s", str(prefix), "-i", link)
                rules.append((*begins, *accept))
                new = ("-m", "physdev", "!", "--physdev-is-bridged", *tracked[:2], "!", *tracked[2:], _KNOWN)
                rules += [(*begins, "-o", other, *new, *drop) for other in _NETWORKS]
        for link, prefix in sorted(passing.within, key=str):
            if prefix.version == version:
                rules.append(("-s", str(prefix), "-d", str(prefix), "-i", link, "-o", link, *accept))
        for link in sorted(passing.links):
            # What comes in by a published port, and the answers of both ways.
            rules += [("-o", link, *tracked, _KNOWN, *accept), ("-i", link, *tracked, _KNOWN, *accept)]
            rules.append(("-i", link, "-m", "physdev", "--physdev-is-bridged", *accept))
        return rules

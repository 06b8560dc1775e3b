"""What lets packets pass on a host with a Docker engine: some rules in the chain that is its users'.

The engine has the kernel show bridged packets to iptables (``br_netfilter``) and drops what no rule of its own
accepts; so two sandboxes on one of our bridges would not hear of each other. A table of our own cannot help: what
one table accepts, another may yet drop. The engine leaves ``DOCKER-USER`` as it finds it, also when it starts again.
Of routed packets those of published ports pass, what belongs to connections, and what a masquerading network begins
to say to elsewhere; between networks nothing passes, as between the engine's own.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from itertools import pairwise
from typing import Final, final

from driverapi.addresses import Address
from driverapi.events import emit, of_fault
from driverapi.instance import LINK_MARK
from driverapi.iptables import CHAIN, comment, find_rules, programs, remove_rules, run

__all__ = ["Firewall"]

_KNOWN: Final = "DNAT,RELATED,ESTABLISHED"
_NETWORKS: Final = ("docker0", "br-+", f"{LINK_MARK}+")
"""Bridges of other networks, the engine's and ours."""
_Out = tuple[str, Address]


@final
class Firewall:
    """The rules of one plugin; where there is no such program or no such chain, there is nothing to do.

    Parameters
    ----------
    instance : str
        Id of the instance: it stands in the comment of each rule.

    Attributes
    ----------
    ours : str
        The bridges of this instance whose names it chose itself.

    Notes
    -----
    Thread safety: all methods.
    """

    def __init__(self, instance: str) -> None:
        self.ours = f"{LINK_MARK}{instance}b+"
        self._id = instance
        self._comment = comment(instance)
        self._lock = threading.Lock()
        self._bridges: set[str] = set()
        self._out: set[_Out] = set()
        self._fresh = False

    def admit(self, bridges: Collection[str], out: Collection[_Out] = ()) -> None:
        """Let packets pass that stay on a bridge; a name that ends in ``+`` is that of all that begin so.

        Parameters
        ----------
        out : collection of (str, Address)
            Bridge and prefix of what may begin to speak to elsewhere, but for other networks of this host.
        """
        with self._lock:
            new = (set(bridges) - self._bridges) or (set(out) - self._out)
            self._bridges |= set(bridges)
            self._out |= set(out)
            self._fresh = self._fresh and not new
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
            for program in programs():
                for rule in self._rules(program, self._bridges, self._out):
                    if run(program, "-C", CHAIN, *rule) and not run(program, "-n", "-L", CHAIN):
                        refused = run(program, "-I", CHAIN, *rule)
                        if refused:
                            emit("plugin.no_rule", **of_fault(RuntimeError(f"{program} -I {CHAIN}: {refused}")))

    def withdraw(self, bridges: Collection[str], out: Collection[_Out] = ()) -> None:
        """Take the rules of these bridges and prefixes away."""
        with self._lock:
            self._bridges -= set(bridges)
            self._out -= set(out)
            for program in programs():
                for rule in self._rules(program, bridges, out):
                    run(program, "-D", CHAIN, *rule)

    def withdraw_all(self) -> None:
        """Take all away that has our comment."""
        with self._lock:
            self._bridges.clear()
            self._out.clear()
            remove_rules(self._id)

    def tidy(self) -> None:
        """Take away what an earlier process of ours has left for networks that are no more."""
        with self._lock:
            sources = {str(prefix) for _, prefix in self._out}
            for program, rule in find_rules().get(self._id, ()):
                values = dict(pairwise(rule))
                known = {values.get("-i"), values.get("-o")} & self._bridges
                if not known or values.get("-s", "") not in {"", *sources}:
                    run(program, "-D", CHAIN, *rule)

    def _rules(self, program: str, bridges: Collection[str], out: Collection[_Out]) -> list[tuple[str, ...]]:
        """Return the rules, in the order in which they are put one before the other."""
        accept, drop = (*self._comment, "-j", "ACCEPT"), (*self._comment, "-j", "DROP")
        tracked = ("-m", "conntrack", "--ctstate")
        rules: list[tuple[str, ...]] = []
        for bridge, prefix in sorted(out, key=str):
            if (prefix.version == 6) == program.endswith("ip6tables"):
                begins = ("-s", str(prefix), "-i", bridge)
                rules.append((*begins, *accept))
                new = ("-m", "physdev", "!", "--physdev-is-bridged", *tracked[:2], "!", *tracked[2:], _KNOWN)
                rules += [(*begins, "-o", other, *new, *drop) for other in _NETWORKS]
        for bridge in sorted(bridges):
            # What comes in by a published port, and the answers of both ways.
            rules += [("-o", bridge, *tracked, _KNOWN, *accept), ("-i", bridge, *tracked, _KNOWN, *accept)]
            rules.append(("-i", bridge, "-m", "physdev", "--physdev-is-bridged", *accept))
        return rules

"""What lets packets pass on a host with a Docker engine: some rules in the chain that is its users'.

The engine has the kernel show bridged packets to iptables (``br_netfilter``) and drops what no rule of its own
accepts; so two sandboxes on one of our bridges would not hear of each other. A table of our own cannot help: what
one table accepts, another may yet drop. The engine leaves ``DOCKER-USER`` as it finds it, also when it starts again.
Of routed packets those of published ports pass, and what belongs to connections; the engine drops the rest as it does
between networks of its own.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Collection, Sequence
from typing import Final, final

from driverapi.events import emit, of_fault
from driverapi.instance import LINK_MARK

__all__ = ["Firewall"]

CHAIN: Final = "DOCKER-USER"

_PROGRAMS: Final = ("iptables", "ip6tables")
_TIMEOUT: Final = 10.0  # seconds; -w lets it wait for its lock for half of that


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
        self._comment = ("-m", "comment", "--comment", f"driverapi {instance}")
        self._lock = threading.Lock()
        self._bridges: set[str] = set()
        self._fresh = False

    def admit(self, bridges: Collection[str]) -> None:
        """Let packets pass that stay on a bridge; a name that ends in ``+`` is that of all that begin so."""
        with self._lock:
            new = set(bridges) - self._bridges
            self._bridges |= new
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
            for program in _programs():
                for rule in [rule for bridge in sorted(self._bridges) for rule in self._rules(bridge)]:
                    if _run([program, "-C", CHAIN, *rule]) and not _run([program, "-n", "-L", CHAIN]):
                        refused = _run([program, "-I", CHAIN, *rule])
                        if refused:
                            emit("plugin.no_rule", **of_fault(RuntimeError(f"{program} -I {CHAIN}: {refused}")))

    def withdraw(self, bridges: Collection[str] | None = None) -> None:
        """Take the rules of these bridges away, or all."""
        with self._lock:
            gone = set(self._bridges if bridges is None else bridges)
            self._bridges -= gone
            for program in _programs():
                for rule in [rule for bridge in sorted(gone) for rule in self._rules(bridge)]:
                    _run([program, "-D", CHAIN, *rule])

    def _rules(self, bridge: str) -> list[tuple[str, ...]]:
        end = (*self._comment, "-j", "ACCEPT")
        tracked = ("-m", "conntrack", "--ctstate")
        return [
            ("-i", bridge, "-m", "physdev", "--physdev-is-bridged", *end),
            # What comes in by a published port, and the answers of both ways.
            ("-o", bridge, *tracked, "DNAT,RELATED,ESTABLISHED", *end),
            ("-i", bridge, *tracked, "RELATED,ESTABLISHED", *end),
        ]


def _programs() -> list[str]:
    return [found for name in _PROGRAMS if (found := shutil.which(name)) is not None]


def _run(command: Sequence[str]) -> str:
    """Run a program; return what went wrong, or nothing."""
    try:
        done = subprocess.run(  # noqa: S603
            [command[0], "-w", "5", *command[1:]], capture_output=True, timeout=_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    return done.stderr.decode(errors="replace").strip() or f"status {done.returncode}"

"""Rules of ours in ``DOCKER-USER``, the chain that a Docker engine leaves to its users: made, found and taken away.

Each has a comment with the id of its instance. A table of our own cannot say what they say: what one table accepts,
another may yet drop. Where there is no such program, or no such chain, there are none.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from typing import Final

__all__ = ["CHAIN", "comment", "find_rules", "programs", "remove_rules", "run"]

CHAIN: Final = "DOCKER-USER"

_PROGRAMS: Final = ("iptables", "ip6tables")
_OURS: Final = re.compile(r"driverapi ([0-9a-f]{4})")
_TIMEOUT: Final = 10.0  # seconds; -w lets it wait for its lock for half of that


def programs() -> list[str]:
    """Return the paths of the programs, one for each IP version, that are installed."""
    return [found for name in _PROGRAMS if (found := shutil.which(name)) is not None]


def comment(instance: str) -> tuple[str, ...]:
    """Return the part of a rule that says whose it is."""
    return ("-m", "comment", "--comment", f"driverapi {instance}")


def run(program: str, *arguments: str) -> str:
    """Run a program; return what went wrong, or nothing."""
    return _run(program, arguments)[1]


def find_rules() -> dict[str, list[tuple[str, list[str]]]]:
    """Return the rules of this network namespace with our comment, by the id of the instance: program and rule."""
    found: dict[str, list[tuple[str, list[str]]]] = {}
    for program in programs():
        for line in _run(program, ("-S", CHAIN))[0].splitlines():
            words = _words(line)
            if words[:2] == ["-A", CHAIN] and "--comment" in words[:-1]:
                ours = _OURS.fullmatch(words[words.index("--comment") + 1])
                if ours is not None:
                    found.setdefault(ours[1], []).append((program, words[2:]))
    return found


def remove_rules(instance: str) -> tuple[int, str]:
    """Take the rules of an instance away; return how many, and what the first that stayed was refused with."""
    gone, refused = 0, ""
    for program, rule in find_rules().get(instance, []):
        said = run(program, "-D", CHAIN, *rule)
        gone += not said
        refused = refused or said
    return gone, refused


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:  # somebody's comment has two lines: no rule of ours
        return []


def _run(program: str, arguments: Sequence[str]) -> tuple[str, str]:
    command = [program, "-w", "5", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    if done.returncode == 0:
        return done.stdout.decode(errors="replace"), ""
    return "", done.stderr.decode(errors="replace").strip() or f"status {done.returncode}"

"""What a benchmark is made of: workloads, contenders, and the task a contender does.

Plain data only. A contender names its task as text and it is imported in the worker
process alone, so that listing workloads imports neither a peer nor the native core.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

__all__ = ["OURS", "Contender", "Task", "Workload", "WrongResultError"]

OURS = "driverapi"
"""Name of the contender that all others are set against."""

Parameters = Mapping[str, Any]


class WrongResultError(Exception):
    """A contender was fast and wrong: what it made is not what the workload asks for."""


class Task:
    """One contender's way of doing one workload.

    A round is ``setup``, ``run`` (timed), ``check``, ``teardown`` (timed on its own) and
    ``settle``. ``setup`` must leave the same state each time.

    Attributes
    ----------
    units : int
        How many units (addresses, messages, endpoints) one ``run`` does. A task whose cost
        does not depend on history may do more of them than its peers, to be measured well.

    Thread safety: none; a worker process has one task and one thread.
    """

    def __init__(self, parameters: Parameters, seed: int) -> None:
        self.parameters = parameters
        self.seed = seed
        self.units: int = parameters["count"]

    def setup(self) -> None:
        """Bring about the state that ``run`` starts from. Not timed."""

    def run(self) -> None:
        """Do the work. Timed."""
        raise NotImplementedError

    def check(self) -> None:
        """Raise ``WrongResultError`` unless the work was done. Not timed."""

    def teardown(self) -> None:
        """Take back what ``run`` made. Timed, apart from ``run``."""

    def settle(self) -> None:
        """Wait until nothing of this round goes on in the background. Not timed."""


@dataclass(frozen=True, slots=True)
class Contender:
    """Who takes part in a workload.

    Attributes
    ----------
    name : str
        ``OURS`` or the peer's name.
    task : str
        ``"module:class"`` of its :class:`Task`, the module relative to ``driverapi.bench``.
    needs : str
        The module that must be there, empty for the standard library; without it the
        contender is named and skipped.
    about : str
        How it does the work, in a line.
    """

    name: str
    task: str
    needs: str = ""
    about: str = ""

    def load(self) -> type[Task]:
        """Import the task: in a worker process only."""
        module, name = self.task.split(":")
        task: type[Task] = getattr(import_module(f"driverapi.bench.{module}"), name)
        return task


@dataclass(frozen=True, slots=True)
class Workload:
    """One row of the results: the same work for each contender.

    Attributes
    ----------
    family, name : str
        The two together are unique.
    unit : str
        What is counted, singular: ``"address"``.
    contenders : tuple of Contender
        Ours first.
    parameters, quick : mapping
        Handed to each task; ``quick`` is laid over ``parameters`` where time is short.
        ``count`` is always there.
    rounds, quick_rounds : int
        How often each contender does it, warm-up not counted.
    warm_up : int
        Rounds before those, thrown away.
    private : bool
        The worker enters a network and a mount namespace of its own first.
    teardown : str
        Where the teardown is a result too: the name of its row.
    """

    family: str
    name: str
    unit: str
    contenders: tuple[Contender, ...]
    parameters: Parameters
    quick: Parameters = field(default_factory=dict)
    rounds: int = 5
    quick_rounds: int = 2
    warm_up: int = 1
    private: bool = False
    teardown: str = ""
    about: str = ""

    def given(self, quick: bool) -> dict[str, Any]:
        """Return the parameters of a full or a quick run."""
        return {**self.parameters, **(self.quick if quick else {})}

    def contender(self, name: str) -> Contender:
        """Return a contender by name; ``KeyError`` where there is none."""
        for one in self.contenders:
            if one.name == name:
                return one
        raise KeyError(f"workload {self.family}/{self.name} has no contender {name!r}")

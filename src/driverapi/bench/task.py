"""What a benchmark is made of: workloads, contenders, and the task a contender does.

Plain data only. A contender names its task as text and it is imported in the worker
process alone, so that listing workloads imports neither a peer nor the native core.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

__all__ = ["OURS", "CannotTakePartError", "Contender", "Parameters", "Target", "Task", "Workload", "WrongResultError"]

OURS = "driverapi"
"""Name of the contender that all others are set against."""

Parameters = Mapping[str, Any]


class WrongResultError(Exception):
    """A contender was fast and wrong: what it made is not what the workload asks for."""


class CannotTakePartError(Exception):
    """What a contender needs is not here; the text says what. It is named and skipped."""


class Task:
    """One contender's way of doing one workload.

    A round is ``setup``, ``run`` (timed), ``check``, ``teardown`` (timed on its own) and
    ``settle``. ``setup`` must leave the same state each time.

    Attributes
    ----------
    units : int
        How many units (addresses, messages, endpoints) one ``run`` does. A task whose cost
        does not depend on history may do more of them than its peers, to be measured well.
    marks : list of float
        Where the cost of the first and of the last unit may differ: seconds per unit of each part of
        the last ``run``, in order. Empty otherwise.
    samples : list of float
        Where the slowest units matter: seconds of each unit of the last ``run``. Empty otherwise.

    Thread safety: none; a worker process has one task and one thread.
    """

    def __init__(self, parameters: Parameters, seed: int) -> None:
        self.parameters = parameters
        self.seed = seed
        self.units: int = parameters["count"]
        self.marks: list[float] = []
        self.samples: list[float] = []

    def setup(self) -> None:
        """Bring about the state that ``run`` starts from. Not timed."""

    def run(self) -> float | None:
        """Do the work. Timed; where another program holds the clock, return its seconds."""
        raise NotImplementedError

    def check(self) -> None:
        """Raise ``WrongResultError`` unless the work was done. Not timed."""

    def teardown(self) -> float | None:
        """Take back what ``run`` made. Timed, apart from ``run``, and in the same way."""

    def settle(self) -> None:
        """Wait until nothing of this round goes on in the background. Not timed."""

    def hold(self) -> None:
        """Make what the memory figure is about, and keep it; ``setup`` was done before. Not timed."""
        self.run()


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
    reference : bool
        Not something one would use instead, but what ours is held against: a floor, or another
        way of ours.
    command : str
        The program that must be there (``"ip"``); without it the contender is named and skipped.
    """

    name: str
    task: str
    needs: str = ""
    about: str = ""
    reference: bool = False
    command: str = ""

    def load(self) -> type[Task]:
        """Import the task: in a worker process only."""
        module, name = self.task.split(":")
        task: type[Task] = getattr(import_module(f"driverapi.bench.{module}"), name)
        return task


@dataclass(frozen=True, slots=True)
class Target:
    """What a row must reach. Part of the row's data; whether it is met is said, and fails nothing.

    Attributes
    ----------
    text : str
        The target in words.
    of : str
        What is looked at: ``"times slower"`` and ``"times faster"`` than ``against``, ``"seconds"``
        per unit, ``"p50"`` and ``"p99"`` of single units, ``"growth"`` of the cost from the second part to
        the last, ``"bytes"`` held, or ``"bytes each"`` held beyond ``against``, divided by ``each``.
    limit : float
        The least for ``"times faster"``, the most for all others.
    against : str
        The contender that ours is compared with.
    each : int
        How many things the bytes are of.
    """

    text: str
    of: str
    limit: float
    against: str = ""
    each: int = 1


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
    rest : float
        Seconds before each round of a full run, off the clock: what a contender's teardown leaves the kernel to do
        would slow the next one down.
    thorough : bool
        Left out of quick runs.
    teardown : str
        Where the teardown is a result too: the name of its row.
    memory : bool
        The bytes of each contender are measured too, in a round of their own.
    targets, teardown_targets : tuple of Target
        What the row must reach, and that of its teardown.
    series, teardown_series, at : str
        Rows of one series make a line in the report; ``at`` is the row's place on it.
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
    rest: float = 0.0
    thorough: bool = False
    teardown: str = ""
    about: str = ""
    memory: bool = False
    targets: tuple[Target, ...] = ()
    teardown_targets: tuple[Target, ...] = ()
    series: str = ""
    teardown_series: str = ""
    at: str = ""

    def given(self, quick: bool) -> dict[str, Any]:
        """Return the parameters of a full or a quick run."""
        return {**self.parameters, **(self.quick if quick else {})}

    def contender(self, name: str) -> Contender:
        """Return a contender by name; ``KeyError`` where there is none."""
        for one in self.contenders:
            if one.name == name:
                return one
        raise KeyError(f"workload {self.family}/{self.name} has no contender {name!r}")

"""From seconds to figures. Every figure is per unit, every ratio says how many times faster we are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median, quantiles
from typing import Any, NotRequired, TypedDict

from driverapi.bench.task import Target

__all__ = ["Figure", "Ratio", "Verdict", "details", "ratio", "summarise", "verdict"]


class Figure(TypedDict):
    """Seconds per unit over all rounds, and the rate that the median makes."""

    median: float
    min: float
    max: float
    rounds: list[float]
    per_second: float
    units: int


class Ratio(TypedDict):
    """How many times faster than the peer we are: above 1 we are."""

    ratio: float
    ratio_min: float
    ratio_max: float


def summarise(seconds: Sequence[float], units: int) -> Figure:
    """Return the figures of one contender.

    Parameters
    ----------
    seconds : sequence of float
        Of each round, not empty.
    units : int
        Done in one round, at least 1.
    """
    if not seconds:
        raise ValueError("no round was run")
    if units < 1:
        raise ValueError(f"a round of {units} units cannot be measured")
    each = [one / units for one in seconds]
    middle = median(each)
    return {
        "median": middle,
        "min": min(each),
        "max": max(each),
        "rounds": each,
        "per_second": 1 / middle if middle else float("inf"),
        "units": units,
    }


def ratio(ours: Figure, peer: Figure) -> Ratio:
    """Compare round with round: those two ran one after the other, on the same machine's mood.

    Rounds of one that have no partner are left out.
    """
    pairs = [theirs / us for us, theirs in zip(ours["rounds"], peer["rounds"], strict=False)]
    return {"ratio": median(pairs), "ratio_min": min(pairs), "ratio_max": max(pairs)}


def details(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what rounds tell beyond their seconds: ``marks``, each the median of its place, ``p50`` and ``p99``."""
    told: dict[str, Any] = {}
    marks = [one["marks"] for one in rounds if one.get("marks")]
    if marks:
        told["marks"] = [median(place) for place in zip(*marks, strict=True)]
    samples = [one for each in rounds for one in each.get("samples", ())]
    if len(samples) > 1:
        cuts = quantiles(samples, n=100, method="inclusive")
        told |= {"p50": cuts[49], "p99": cuts[98], "samples": len(samples)}
    return told


class Verdict(TypedDict):
    """A target, what was measured, and whether it is met; ``None`` where nothing was measured."""

    target: str
    of: str
    against: str
    limit: float
    measured: float | None
    met: bool | None
    # Measured on less work than the target is about, in a quick run.
    reduced: NotRequired[bool]


def _measured(target: Target, ours: Mapping[str, Any], other: Mapping[str, Any]) -> float | None:
    if target.of == "seconds":
        return ours.get("median")
    if target.of in {"p50", "p99"}:
        return ours.get(target.of)
    if target.of == "growth":
        marks = ours.get("marks", ())
        return marks[-1] / marks[1] if len(marks) > 1 else None
    if target.of in {"times faster", "times slower"}:
        faster = other.get("ratio")
        return 1 / faster if faster and target.of == "times slower" else faster
    mine = ours.get("memory")
    if mine is None or target.of == "bytes":
        return None if mine is None else mine["held"]
    theirs = other.get("memory")
    return None if theirs is None else (mine["held"] - theirs["held"]) / target.each


def verdict(target: Target, ours: Mapping[str, Any], peers: Mapping[str, Mapping[str, Any]]) -> Verdict:
    """Hold the figures of a row against one of its targets."""
    if target.of not in {"times faster", "times slower", "seconds", "p50", "p99", "growth", "bytes", "bytes each"}:
        raise ValueError(f"a target cannot be of {target.of!r}")
    measured = _measured(target, ours, peers.get(target.against, {}))
    met = None
    if measured is not None:
        met = measured >= target.limit if target.of == "times faster" else measured <= target.limit
    return {
        "target": target.text,
        "of": target.of,
        "against": target.against,
        "limit": target.limit,
        "measured": measured,
        "met": met,
    }

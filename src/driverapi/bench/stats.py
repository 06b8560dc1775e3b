"""From seconds to figures. Every figure is per unit, every ratio says how many times faster we are."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TypedDict

__all__ = ["Figure", "Ratio", "ratio", "summarise"]


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

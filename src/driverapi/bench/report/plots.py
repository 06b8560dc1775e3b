"""Plots as SVG: bars and lines, both on a logarithmic scale.

Colours are classes that the page's style fills in, so that one drawing serves light and dark.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, log10

from driverapi.bench.report.markup import Markup, element

__all__ = ["Bar", "Line", "bars", "lines"]

WIDTH = 520
_NAMES = 148  # what the names of bars may take
_FIGURES = 142  # and what stands behind them
_ROW, _BAR = 26, 16
_AXIS = 26
_LETTER = 6.7  # of the font that is used, at its size: about
_LINE_HEIGHT = 188
_LEFT, _RIGHT, _TOP = 58, 132, 14
_LABEL = 15  # between labels of lines, at the least


@dataclass(frozen=True, slots=True)
class Bar:
    """One contender in a row: ``tone`` is its class of colour."""

    name: str
    value: float
    label: str
    tone: str


@dataclass(frozen=True, slots=True)
class Line:
    """One contender over the points of a series; ``None`` where it was not measured."""

    name: str
    values: Sequence[float | None]
    tone: str


def _decades(values: Sequence[float]) -> range:
    """Return the powers of ten that hold all values, two at the least."""
    low, high = floor(log10(min(values)) - 0.02), ceil(log10(max(values)))
    return range(low, max(high, low + 1) + 1)


def _marked(decades: range) -> range:
    """Return those that get a number: not more than six, which is what stands side by side."""
    return decades[:: 1 + (len(decades) - 1) // 6]


def _fitting(name: str, room: float) -> str:
    letters = int(room / _LETTER)
    return name if len(name) <= letters else name[: letters - 1] + "…"


def bars(title: str, rows: Sequence[Bar], unit: Callable[[float], str]) -> Markup:
    """Return horizontal bars, the first row ours.

    ``unit`` says a value of the axis in words. A bar begins at the axis's first power of ten:
    on such a scale it is the place of its end that tells, not its length.
    """
    values = [one.value for one in rows if one.value > 0]
    height = _ROW * len(rows) + _AXIS
    decades = _decades(values)
    right = WIDTH - _FIGURES

    def place(value: float) -> float:
        share = (log10(value) - decades[0]) / (decades[-1] - decades[0])
        return _NAMES + max(2.0, share * (right - _NAMES))

    inside: list[Markup] = [element("title", title)]
    for power in decades:
        at = _NAMES + (power - decades[0]) / (decades[-1] - decades[0]) * (right - _NAMES)
        inside.append(element("line", x1=at, x2=at, y1=0, y2=height - _AXIS, class_="grid"))
        if power in _marked(decades):
            inside.append(element("text", unit(10.0**power), x=at, y=height - 9, class_="tick middle"))
    for number, one in enumerate(rows):
        top = number * _ROW + (_ROW - _BAR) / 2
        base = top + _BAR - 3.5
        own = " own" * (number == 0)
        name = _fitting(one.name, _NAMES - 8)
        inside.append(element("text", name, x=_NAMES - 8, y=base, class_="name end" + own))
        if one.value > 0:
            end = place(one.value)
            inside.append(
                element("rect", x=_NAMES, y=top, width=end - _NAMES, height=_BAR, rx=2, class_=f"bar {one.tone}")
            )
        else:
            end = float(_NAMES)
        inside.append(element("text", one.label, x=end + 6, y=base, class_="figure" + own))
    return _drawing(height, inside)


def _spread(wanted: list[float], top: float, bottom: float) -> list[float]:
    """Move labels apart, in their order, so that none covers another."""
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    placed = list(wanted)
    for before, after in pairwise(order):
        placed[after] = max(placed[after], placed[before] + _LABEL)
    if order and placed[order[-1]] > bottom:
        placed[order[-1]] = bottom
        for after, before in pairwise(reversed(order)):
            placed[before] = min(placed[before], placed[after] - _LABEL)
    if order and placed[order[0]] < top:
        placed[order[0]] = top
        for before, after in pairwise(order):
            placed[after] = max(placed[after], placed[before] + _LABEL)
    return placed


def lines(title: str, points: Sequence[str], rows: Sequence[Line], unit: Callable[[float], str]) -> Markup:
    """Return a line for each contender over the points of a series; its name stands at its end."""
    decades = _decades([value for one in rows for value in one.values if value])
    bottom = max(_LINE_HEIGHT, _TOP + _LABEL * len(rows))
    right = WIDTH - _RIGHT
    height = bottom + _AXIS

    def across(number: int) -> float:
        return _LEFT + 16 + (right - _LEFT - 32) * (number / (len(points) - 1) if len(points) > 1 else 0.5)

    def down(value: float) -> float:
        return bottom - (log10(value) - decades[0]) / (decades[-1] - decades[0]) * (bottom - _TOP)

    inside: list[Markup] = [element("title", title)]
    for power in decades:
        inside.append(element("line", x1=_LEFT, x2=right, y1=down(10.0**power), y2=down(10.0**power), class_="grid"))
        if power in _marked(decades):
            inside.append(element("text", unit(10.0**power), x=_LEFT - 8, y=down(10.0**power) + 4, class_="tick end"))
    for number, point in enumerate(points):
        inside.append(element("text", point, x=across(number), y=height - 7, class_="tick middle"))
    ends: list[tuple[Line, float, float]] = []
    for one in reversed(rows):  # ours is drawn over the others
        known = [(across(number), down(value)) for number, value in enumerate(one.values) if value]
        if not known:
            continue
        path = "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in known)
        inside.append(element("path", d=path, class_=f"line {one.tone}"))
        inside += [element("circle", cx=x, cy=y, r=3.2, class_=f"dot {one.tone}") for x, y in known]
        ends.append((one, *known[-1]))
    for (one, x, y), at in zip(ends, _spread([y for _, _, y in ends], _TOP, bottom), strict=True):
        leader = f"M{x + 5:.1f},{y:.1f}L{right + 2:.1f},{at:.1f}"
        inside.append(element("path", d=leader, class_=f"leader {one.tone}"))
        inside.append(
            element(
                "text",
                _fitting(one.name, _RIGHT - 8),
                x=right + 7,
                y=at + 4,
                class_=f"name {one.tone}" + " own" * (one is rows[0]),
            )
        )
    return _drawing(height, inside)


def _drawing(height: float, inside: Sequence[Markup]) -> Markup:
    return element(
        "svg",
        *inside,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {height:g}",
        role="img",
    )

"""The page: targets, then each family with its plots and its table; the raw document beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from driverapi.bench.report.markup import Markup, element
from driverapi.bench.report.plots import Bar, Line, bars, lines
from driverapi.bench.report.style import STYLE
from driverapi.bench.task import OURS
from driverapi.bench.words import amount, duration, measured, rate, times, verdict_word

__all__ = ["PAGE", "RAW", "merged", "page", "write"]

PAGE, RAW = "index.html", "results.json"
_TONES = 7

_FAMILIES = {
    "alloc": "Addresses out of a prefix, and ordinals out of a bitmap.",
    "iflist": "Records of interfaces: id, MAC, IPv4 and IPv6 address.",
    "encode": "rtnetlink messages, from Python values to bytes; some rows go on until the kernel has answered.",
    "decode": "What the kernel tells of its links and addresses, read into Python.",
    "bringup": "Sandboxes with links, addresses and routes, brought up on a real kernel and taken down.",
    "churn": "Bringing up and tearing down on a real kernel, by the number of endpoints.",
}

_HOW = """
A figure is the median time of one unit: an address, a message, a link. Bars and lines stand on a logarithmic
scale, on which each gridline is ten times the one before: look where a bar ends, not how long it is. Shorter and
lower is better.

A ratio says how many times longer the other takes than driverapi, in rounds that ran one after the other; below 1
the other is faster. Bars with a dashed edge are yardsticks, not alternatives: a floor, or another way of our own.

Memory is counted by tracemalloc in a round of its own: the bytes that are held when the work is done, out of
Python's allocators, of which the native core and bitarray take theirs, too. It is exact to the byte, and does not
see the interpreter, the modules, or what a child process uses.

Each contender ran in a process of its own, and they took turns. Compare ratios, not microseconds of two machines.
""".strip().split("\n\n")


def merged(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one document of several runs; where two have the same row, the later one's counts.

    Machine, date and seed are those of the last.
    """
    if not documents:
        raise ValueError("no document was given")
    rows = {(row["family"], row["workload"]): row for one in documents for row in one["rows"]}
    return {**documents[-1], "quick": any(one["quick"] for one in documents), "rows": list(rows.values())}


def _tones(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return a class of colour for each contender of a family: the same in all of its plots."""
    tones, used = {OURS: "t0"}, 0
    for row in rows:
        for name, figure in row["peers"].items():
            if figure.get("reference"):
                tones[name] = "ref"
            elif name not in tones:
                tones[name] = f"t{1 + used % (_TONES - 1)}"
                used += 1
    return tones


def _figures(row: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {OURS: row["ours"], **row["peers"]}


def _axis_time(seconds: float) -> str:
    return duration(seconds).replace(".00", "").replace(".0 ", " ")


def _axis_bytes(count: float) -> str:
    return amount(count).replace(".00", "").replace(".0 ", " ")


def _held(figure: Mapping[str, Any]) -> float | None:
    memory = figure.get("memory")
    return None if memory is None else memory["held"]


def _card(title: str, about: str, drawing: Markup) -> Markup:
    return element("figure", element("h4", title), element("figcaption", about), drawing)


def _time_bars(row: Mapping[str, Any], tones: Mapping[str, str]) -> Markup | None:
    them = []
    for name, figure in _figures(row).items():
        if "median" in figure:
            ratio = figure.get("ratio")
            label = duration(figure["median"]) + (f"  ·  {times(ratio)}" if ratio else "")
            them.append(Bar(name, figure["median"], label, tones[name]))
    if not them:
        return None
    title = row["workload"]
    about = row.get("about") or f"time per {row['unit']}"
    return _card(title, about, bars(f"{title}: time per {row['unit']}", them, _axis_time))


def _memory_bars(row: Mapping[str, Any], tones: Mapping[str, str]) -> Markup | None:
    them = [
        Bar(name, held, amount(held), tones[name])
        for name, figure in _figures(row).items()
        if (held := _held(figure)) is not None and held > 0
    ]
    if len(them) < 2:
        return None
    return _card(row["workload"], "bytes held", bars(f"{row['workload']}: bytes held", them, _axis_bytes))


def _series(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row.get("series"):
            found.setdefault(row["series"], []).append(row)
    return {name: them for name, them in found.items() if len(them) > 1}


def _chart(name: str, rows: Sequence[Mapping[str, Any]], tones: Mapping[str, str], *, memory: bool) -> Markup | None:
    who = dict.fromkeys(one for row in rows for one in _figures(row))
    them = []
    for one in who:
        figures = [_figures(row).get(one, {}) for row in rows]
        values = [_held(figure) if memory else figure.get("median") for figure in figures]
        if any(values):
            them.append(Line(one, values, tones[one]))
    if not them:
        return None
    what = "bytes held" if memory else f"time per {rows[0]['unit']}"
    points = [row["at"] for row in rows]
    drawing = lines(f"{name}: {what}", points, them, _axis_bytes if memory else _axis_time)
    return _card(name, what, drawing)


def _total(series: str, rows: Sequence[Mapping[str, Any]], tones: Mapping[str, str]) -> Markup | None:
    """Return what all of them take together, where the places of a series are numbers of units."""
    if not all(row["at"].isdecimal() for row in rows):
        return None
    who = dict.fromkeys(one for row in rows for one in _figures(row))
    them = []
    for one in who:
        each = [(_figures(row).get(one, {}).get("median"), int(row["at"])) for row in rows]
        if any(seconds for seconds, _ in each):
            them.append(Line(one, [seconds and seconds * number for seconds, number in each], tones[one]))
    if not them:
        return None
    what = f"time for so many {rows[0]['unit']}s; who did fewer is scaled up"
    return _card(series, what, lines(f"{series}: {what}", [row["at"] for row in rows], them, _axis_time))


def _kth(row: Mapping[str, Any], tones: Mapping[str, str]) -> Markup | None:
    """Return the cost of the k-th unit, where it was measured by parts."""
    marks = {name: figure["marks"] for name, figure in _figures(row).items() if figure.get("marks")}
    most = max(map(len, marks.values()), default=0)
    if most < 2:
        return None
    part = row["parameters"]["burst"]
    step = 1 + (most - 1) // 10
    points = [str((number + 1) * part) if (most - 1 - number) % step == 0 else "" for number in range(most)]
    them = [Line(name, [*values, *[None] * (most - len(values))], tones[name]) for name, values in marks.items()]
    what = f"time of one more {row['unit']}, by how many there are"
    return _card(row["workload"], what, lines(f"{row['workload']}: {what}", points, them, _axis_time))


def _target_table(rows: Iterable[Mapping[str, Any]]) -> Markup | None:
    lines_ = [
        element(
            "tr",
            element("td", row["workload"]),
            element("td", one["target"]),
            element("td", measured(one), class_="n"),
            element("td", verdict_word(one), class_=verdict_word(one).partition(" ")[0]),
        )
        for row in rows
        for one in row.get("targets", ())
    ]
    if not lines_:
        return None
    head = element(
        "tr",
        element("th", "work"),
        element("th", "target"),
        element("th", "measured", class_="n"),
        element("th", "verdict"),
    )
    table = element("table", element("thead", head), element("tbody", *lines_))
    return element("div", table, class_="scroll")


def _cells(name: str, figure: Mapping[str, Any]) -> list[Markup]:
    held = _held(figure)
    if "median" in figure:
        spread = f"{duration(figure['min'])} – {duration(figure['max'])}"
        ratio = figure.get("ratio")
        said = [duration(figure["median"]), spread, rate(figure["per_second"]), "" if ratio is None else times(ratio)]
    else:
        said = ["skipped" if "skipped" in figure else "failed", "", "", ""]
    said.append("" if held is None else amount(held))
    about = figure.get("error") or figure.get("skipped") or figure.get("about", "")
    version = figure.get("version", "")
    who = f"{name} {version}".strip() if version else name
    return [
        element("td", who),
        *(element("td", one, class_="n") for one in said),
        element("td", about, class_="about"),
    ]


def _table(rows: Sequence[Mapping[str, Any]]) -> Markup:
    head = element(
        "tr",
        element("th", "workload"),
        element("th", "contender"),
        *(element("th", one, class_="n") for one in ("per unit", "min – max", "rate", "driverapi is faster", "held")),
        element("th", "how"),
    )
    body: list[Markup] = []
    for row in rows:
        for number, (name, figure) in enumerate(_figures(row).items()):
            first = element("td", row["workload"] if number == 0 else "")
            body.append(element("tr", first, *_cells(name, figure), class_="first" if number == 0 else None))
    return element("div", element("table", element("thead", head), element("tbody", *body)), class_="scroll")


def _family(family: str, rows: Sequence[Mapping[str, Any]]) -> Markup:
    tones = _tones(rows)
    series = _series(rows)
    alone = [row for row in rows if row.get("series") not in series]
    inside: list[Markup] = [element("h2", family, id=family), element("p", _FAMILIES.get(family, ""), class_="soft")]

    def add(title: str, cards: Iterable[Markup | None]) -> None:
        there = [one for one in cards if one is not None]
        if there:
            inside.extend((element("h3", title), element("div", *there, class_="cards")))

    add("Time", [_time_bars(row, tones) for row in alone])
    add("Time, by size", [_chart(name, them, tones, memory=False) for name, them in series.items()])
    if family == "churn":
        add("Time for all, by number", [_total(name, them, tones) for name, them in series.items()])
    add("The k-th", [_kth(row, tones) for row in rows])
    add("Memory", [_memory_bars(row, tones) for row in alone])
    add("Memory, by size", [_chart(name, them, tones, memory=True) for name, them in series.items()])
    table = element("details", element("summary", f"All figures of {family}"), _table(rows), open="open")
    return element("section", *inside, table)


def page(document: Mapping[str, Any]) -> str:
    """Return the page as HTML that is well-formed XML too, with nothing to fetch."""
    machine, rows = document["machine"], document["rows"]
    families = list(dict.fromkeys(row["family"] for row in rows))
    about = ", ".join(
        (
            f"driverapi {machine['driverapi']}",
            f"{machine['implementation']} {machine['python']}",
            f"Linux {machine['kernel']} on {machine['architecture']}",
            machine.get("cpu", "an unknown processor"),
            f"{machine['cpus']} CPUs",
            f"{document.get('date', 'date unknown')}, seed {document['seed']}",
        )
    )
    inside: list[Markup] = [element("h1", "driverapi: benchmarks"), element("p", about, class_="soft")]
    if document["quick"]:
        inside.append(element("p", "A quick run, for a smoke test: its ratios are rough.", class_="note"))
    links = [element("a", family, href=f"#{family}") for family in families]
    inside.append(element("nav", *links, element("a", "raw figures (JSON)", href=RAW)))
    inside.append(element("h3", "How to read this"))
    inside += [element("p", one) for one in _HOW]
    targets = _target_table(rows)
    if targets is not None:
        inside += [element("h2", "What was aimed at", id="targets"), targets]
    inside += [_family(family, [row for row in rows if row["family"] == family]) for family in families]
    head = element(
        "head",
        Markup('<meta charset="utf-8"/><meta name="viewport" content="width=device-width, initial-scale=1"/>'),
        element("title", "driverapi: benchmarks"),
        element("style", Markup(STYLE)),
    )
    return "<!DOCTYPE html>\n" + element("html", head, element("body", *inside), lang="en") + "\n"


def write(document: Mapping[str, Any], directory: Path) -> Path:
    """Write the page and the raw document into a directory, which is made; return the page's path."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / RAW).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    target = directory / PAGE
    target.write_text(page(document), encoding="utf-8")
    return target

"""The report of the benchmarks: made of a recorded document, well-formed, nothing missing, no label over another."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from driverapi.bench import OURS, workloads
from driverapi.bench.report import merged, page, plots, write
from driverapi.bench.report.markup import Markup, element
from driverapi.bench.report.plots import Bar, Line, bars, lines
from driverapi.bench.stats import ratio, summarise, verdict
from driverapi.bench.words import amount, duration, measured, rate, times

SVG = "{http://www.w3.org/2000/svg}"


def recorded(**more: Any) -> dict[str, Any]:
    """Return a document with a row for every workload that there is, its figures made up."""
    rows = []
    for place, workload in enumerate(workloads()):
        figures: dict[str, dict[str, Any]] = {}
        ours = summarise([1e-7 * (place + 1)], 1)
        for number, contender in enumerate(workload.contenders):
            them = summarise([1e-7 * 3.7**number * (place + 1)], 1)
            figure: dict[str, Any] = {**them, **ratio(ours, them), "about": contender.about, "version": "1.0"}
            if workload.memory:
                figure["memory"] = {"held": 700 * 5**number, "peak": 700 * 5**number}
            if workload.parameters.get("curve"):
                figure["marks"] = [1e-3, 1.2e-3, 1.1e-3, 1.6e-3][: 4 - number % 2]
            figures[contender.name] = figure | ({"reference": True} if contender.reference else {})
        mine = figures.pop(OURS) | {"p50": 5e-5, "p99": 2e-3}
        said = [verdict(one, mine, figures) for one in workload.targets]
        keep = {"family": workload.family, "workload": workload.name, "unit": workload.unit, "about": workload.about}
        at = {"parameters": workload.given(False), "series": workload.series, "at": workload.at}
        rows.append({**keep, **at, "ours": mine, "peers": figures, "targets": said})
    machine = {"driverapi": "0.1.0", "python": "3.11.7", "implementation": "CPython", "kernel": "6.18"}
    machine |= {"architecture": "x86_64", "cpu": "Some <fast> & good CPU"}
    document = {"machine": machine | {"cpus": 2}, "date": "2026-01-01T00:00:00+00:00", "quick": False, "seed": 1}
    return json.loads(json.dumps({**document, "rows": rows} | more))  # type: ignore[no-any-return]


def parsed(text: str) -> ElementTree.Element:
    """Parse the page as XML: it is that, too."""
    return ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>\n"))


class TestPage:
    def test_every_row_is_in_the_page(self) -> None:
        document = recorded()
        tree = parsed(page(document))
        cells = ["".join(one.itertext()) for one in tree.iter("td")]
        titles = {"".join(one.itertext()) for one in tree.iter("h4")}
        for row in document["rows"]:
            assert row["workload"] in cells
            assert row["workload"] in titles or row["series"] in titles
            for name, figure in {OURS: row["ours"], **row["peers"]}.items():
                assert f"{name} 1.0" in cells
                assert duration(figure["median"]) in cells

    def test_cost_of_the_kth(self) -> None:
        """A line for each contender that tells it, as long as it goes; and nothing where nobody does."""
        document = recorded()
        tree = parsed(page(document))
        what = re.compile("time of one more (endpoint|pool|port), by how many there are")
        cards = [one for one in tree.iter("figure") if what.fullmatch(one.find("figcaption").text)]  # type: ignore[union-attr,arg-type]
        rows = [row for row in document["rows"] if row["ours"].get("marks")]
        assert [one.find("h4").text for one in cards] == [row["workload"] for row in rows]  # type: ignore[union-attr]
        assert len(cards) == 4
        for card, row in zip(cards, rows, strict=True):
            paths = [one.get("d", "") for one in card.iter(SVG + "path") if "line" in one.get("class", "").split()]
            marks = [row["ours"]["marks"], *(one["marks"] for one in row["peers"].values())]
            assert sorted(one.count(",") for one in paths) == sorted(len(one) for one in marks)
            said = [one.text for one in card.iter(SVG + "text")]
            assert {str(row["parameters"]["burst"] * number) for number in (1, 2, 3, 4)} <= set(said)

    def test_time_for_all_of_them(self) -> None:
        tree = parsed(page(recorded()))
        heads = [one.text for one in tree.iter("h3")]
        assert heads.count("Time for all, by number") == 1
        captions = [one.text for one in tree.iter("figcaption")]
        assert captions.count("time for so many endpoints; who did fewer is scaled up") == 3

    def test_every_target_has_its_verdict_in_words(self) -> None:
        document = recorded()
        tree = parsed(page(document))
        body = next(one for one in tree.iter("tbody"))
        said = [["".join(cell.itertext()) for cell in row] for row in body]
        wanted = [(row["workload"], one) for row in document["rows"] for one in row["targets"]]
        assert len(wanted) > 10
        assert [(one[0], one[1], one[3]) for one in said] == [
            (name, one["target"], "met" if one["met"] else "missed") for name, one in wanted
        ]

    def test_every_drawing_is_well_formed_and_within_its_frame(self) -> None:
        drawings = re.findall(r"<svg.*?</svg>", page(recorded()), re.DOTALL)
        assert len(drawings) > 20
        for text in drawings:
            tree = ElementTree.fromstring(text)
            _, _, width, height = map(float, tree.attrib["viewBox"].split())
            for one in tree.iter():
                for key, bound in (("x", width), ("y", height), ("cx", width), ("cy", height)):
                    assert 0 <= float(one.attrib.get(key, 0)) <= bound
                assert float(one.attrib.get("width", 1)) > 0

    def test_who_did_not_take_part_is_named(self) -> None:
        document = recorded()
        row = document["rows"][0]
        row["peers"]["ipaddress+set"] = {"skipped": "it is <not> here", "ratio": None}
        row["ours"] = {"error": "it broke"}
        text = page(document)
        assert "it is &lt;not&gt; here" in text
        assert "it broke" in text
        parsed(text)

    def test_a_row_without_any_figure(self) -> None:
        document = recorded()
        row = document["rows"][0]
        row["ours"] = {"error": "it broke"}
        row["peers"] = {}
        assert "it broke" in page(document | {"rows": [row]})

    def test_what_is_fetched_is_nothing_but_the_document_beside_it(self) -> None:
        tree = parsed(page(recorded()))
        assert {one.attrib["href"] for one in tree.iter("a") if one.attrib["href"][0] != "#"} == {"results.json"}
        assert not [one for one in tree.iter() if "src" in one.attrib or one.tag in {"script", "link"}]

    def test_a_quick_run_says_so(self) -> None:
        assert "its ratios are rough" in page(recorded(quick=True))
        assert "its ratios are rough" not in page(recorded())

    def test_files(self, tmp_path: Path) -> None:
        document = recorded()
        where = write(document, tmp_path / "a" / "b")
        assert where.read_text(encoding="utf-8") == page(document)
        assert json.loads((where.parent / "results.json").read_text(encoding="utf-8")) == document


class TestMerged:
    def test_the_later_row_counts(self) -> None:
        first, second = recorded(), recorded(quick=True)
        second["rows"] = second["rows"][:1]
        second["rows"][0]["unit"] = "later"
        both = merged([first, second])
        assert both["rows"][0]["unit"] == "later"
        assert len(both["rows"]) == len(first["rows"])
        assert both["quick"] is True

    def test_of_nothing(self) -> None:
        with pytest.raises(ValueError, match="no document"):
            merged([])


class TestPlots:
    def test_longer_bar_for_more_time(self) -> None:
        text = bars("t", [Bar("a", 1e-9, "1", "t0"), Bar("b", 1e-8, "2", "t1"), Bar("c", 1e-6, "3", "ref")], duration)
        widths = [float(one.attrib["width"]) for one in ElementTree.fromstring(text).iter(f"{SVG}rect")]
        assert len(widths) == 3
        assert widths[2] - widths[1] == pytest.approx(2 * (widths[1] - widths[0]), abs=4)

    @pytest.mark.parametrize("spread", [1.0, 1.01, 10.0])
    def test_labels_of_lines_do_not_cover_one_another(self, spread: float) -> None:
        rows = [Line(f"name {n}", [1e-7, 1e-7 * spread**n], f"t{n}") for n in range(7)]
        tree = ElementTree.fromstring(lines("t", ["/24", "/8"], rows, duration))
        names = [one for one in tree.iter(f"{SVG}text") if "name" in one.attrib["class"].split()]
        assert len(names) == 7
        places = sorted(float(one.attrib["y"]) for one in names)
        assert all(after - before >= plots._LABEL - 0.2 for before, after in pairwise(places))

    def test_a_point_that_was_not_measured_is_left_out(self) -> None:
        text = lines("t", ["1", "2", "3"], [Line("a", [1.0, None, 2.0], "t0"), Line("b", [None] * 3, "t1")], duration)
        assert len(list(ElementTree.fromstring(text).iter(f"{SVG}circle"))) == 2

    def test_a_long_name_is_cut(self) -> None:
        text = bars("t", [Bar("n" * 80, 1.0, "1", "t0")], duration)
        assert "n…" in text
        assert "n" * 40 not in text


class TestWords:
    @pytest.mark.parametrize(
        ("said", "wanted"),
        [
            (duration(1.2345e-9), "1.23 ns"),
            (duration(12.345e-9), "12.3 ns"),
            (duration(99.99e-6), "100 µs"),
            (duration(0.9999e-6), "1.00 µs"),
            (duration(3e-12), "0.00 ns"),
            (rate(1e5), "100 k/s"),
            (rate(0.5), "0.5 /s"),
            (times(21345.6), "21,346x"),
            (times(0.5), "0.50x"),
            (amount(999), "999 B"),
            (amount(2_131_076), "2.13 MB"),
        ],
    )
    def test_words(self, said: str, wanted: str) -> None:
        assert said == wanted

    def test_measured(self) -> None:
        assert measured({"measured": None, "of": "seconds"}) == "—"
        assert measured({"measured": 16.04, "of": "bytes each"}) == "16.0 bytes each"
        assert measured({"measured": 1.5, "of": "times slower"}) == "1.50 ×"


def test_markup_escapes() -> None:
    assert element("b", "<&>", class_='"') == '<b class="&quot;">&lt;&amp;&gt;</b>'
    assert element("b", Markup("<i/>"), x=1.0, y=None) == '<b x="1"><i/></b>'

"""``driverapi bench``: what this package does, side by side with what one would use instead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from driverapi.bench.words import amount, duration, measured, rate, times, verdict_word
from driverapi.bench.workloads import DEFAULT_FAMILIES, FAMILIES

__all__ = ["bench"]


def _families(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    del context, parameter
    if value is None:
        return DEFAULT_FAMILIES
    chosen = tuple(filter(None, (one.strip() for one in value.split(","))))
    unknown = [one for one in chosen if one not in FAMILIES]
    if unknown or not chosen:
        raise click.BadParameter(
            f"there is no family {', '.join(unknown or [repr(value)])}; there are {', '.join(FAMILIES)}"
        )
    return chosen


def _cells(figure: dict[str, Any]) -> tuple[str, str, str, str]:
    """Rate, time per unit, how many times faster than it we are, and bytes held."""
    if "median" not in figure:
        return "", "", "skipped" if "skipped" in figure else "failed", ""
    ratio, memory = figure.get("ratio"), figure.get("memory")
    faster = "" if ratio is None else times(ratio)
    return rate(figure["per_second"]), duration(figure["median"]), faster, amount(memory["held"]) if memory else ""


def _print_tables(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False)
    about = result["machine"]
    console.print(
        f"driverapi {about['driverapi']}, Python {about['python']}, Linux {about['kernel']}, "
        f"{about['cpus']} CPUs" + (", quick: the ratios are rough" if result["quick"] else "")
    )
    for family in dict.fromkeys(row["family"] for row in result["rows"]):
        rows = [row for row in result["rows"] if row["family"] == family]
        unit = rows[0]["unit"]
        table = Table(title=family, title_justify="left")
        table.add_column("workload")
        table.add_column("contender", no_wrap=True)
        for title in (f"{unit} rate", f"per {unit}", "driverapi is faster", "held"):
            table.add_column(title, justify="right")
        missing: dict[str, None] = {}
        for row in rows:
            table.add_row(row["workload"], "driverapi", *_cells(row["ours"]), style="bold")
            for name, figure in row["peers"].items():
                table.add_row("", name, *_cells(figure))
            table.add_section()
            for name, figure in (("driverapi", row["ours"]), *row["peers"].items()):
                for kind in ("skipped", "error"):
                    if kind in figure:
                        missing[f"{name}: {kind}: {figure[kind]}"] = None
        console.print(table)
        for line in missing:
            console.print(line)
    _print_targets(console, result["rows"])


def _print_targets(console: Any, rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(title="what was aimed at", title_justify="left")
    for title in ("workload", "target", "measured", "verdict"):
        table.add_column(title, justify="right" if title == "measured" else "left")
    for row in rows:
        for one in row["targets"]:
            table.add_row(row["workload"], one["target"], measured(one), verdict_word(one))
    if table.row_count:
        console.print(table)


def _read(files: tuple[Path, ...]) -> dict[str, Any]:
    from driverapi.bench.report import merged

    documents = []
    for file in files:
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
            documents.append({key: document[key] for key in ("machine", "date", "quick", "seed", "rows")})
        except (ValueError, KeyError, TypeError) as error:
            raise click.BadParameter(f"{file} is no document of driverapi bench: {error!r}") from error
    return merged(documents)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--quick", is_flag=True, help="Small workloads and few rounds: seconds, and rough ratios.")
@click.option(
    "--only",
    "families",
    callback=_families,
    metavar="FAMILY[,FAMILY]",
    help=f"Families to run, of {', '.join(FAMILIES)} (default: {','.join(DEFAULT_FAMILIES)}).",
)
@click.option("--peers/--no-peers", default=True, help="With or without the peers (default: with).")
@click.option("--seed", default=1, show_default=True, help="Of every random choice.")
@click.option(
    "--report",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write a page with tables and plots (index.html) and the JSON document (results.json) there.",
)
@click.option(
    "--from",
    "recorded",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Measure nothing; take the JSON document of an earlier run. Several times: their rows are put together.",
)
def bench(
    as_json: bool,
    quick: bool,
    families: tuple[str, ...],
    peers: bool,
    seed: int,
    report: Path | None,
    recorded: tuple[Path, ...],
) -> None:
    """Measure this package beside what one would use instead.

    The peers are what a Python program would take for the same work: ipaddress of the standard
    library, netaddr, and pyroute2 (bringup: as well as it allows, and as tutorials have it);
    churn adds ip -batch, CNI plugins, netavark, docker, and a kernel floor in C. Each contender
    runs in a process of its own, and they take turns. A peer that is not installed is named
    and skipped. The families bringup and churn run in private network and mount namespaces
    (without root in a user namespace; docker needs root) and take minutes.
    """
    from rich.console import Console

    from driverapi.bench.runner import run

    if recorded:
        result = _read(recorded)
    else:
        # Progress goes to standard error: standard output is the document, or the tables.
        console = Console(stderr=True)
        with console.status("starting") as status:
            result = run(families, quick=quick, peers=peers, seed=seed, progress=lambda text: status.update(text))
    if report is not None:
        from driverapi.bench.report import write

        click.echo(f"driverapi bench: the report is {write(result, report)}", err=True)
    if as_json:
        click.echo(json.dumps(result, indent=2))
    else:
        _print_tables(result)
    figures = [figure for row in result["rows"] for figure in (row["ours"], *row["peers"].values())]
    if any("error" in figure for figure in figures) or any("median" not in row["ours"] for row in result["rows"]):
        click.echo("driverapi bench: not every figure could be taken", err=True)
        raise SystemExit(1)

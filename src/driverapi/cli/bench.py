"""``driverapi bench``: what this package does, side by side with what one would use instead."""

from __future__ import annotations

import json
from typing import Any

import click

from driverapi.bench.workloads import DEFAULT_FAMILIES, FAMILIES

__all__ = ["bench"]

_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


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


def _rate(per_second: float) -> str:
    for size, letter in _PREFIXES:
        if per_second >= 0.9995 * size:
            figure = per_second / size
            return f"{figure:.{0 if figure >= 100 else 1 if figure >= 10 else 2}f} {letter}/s"
    return f"{per_second:.2g} /s"


def _times(ratio: float) -> str:
    return f"{ratio:.0f}x" if ratio >= 100 else f"{ratio:.1f}x" if ratio >= 10 else f"{ratio:.2f}x"


def _duration(seconds: float) -> str:
    size, unit = next((one for one in _UNITS if seconds >= one[0]), _UNITS[-1])
    return f"{seconds / size:.3g} {unit}"


def _cells(figure: dict[str, Any]) -> tuple[str, str, str]:
    """Rate, time per unit and how many times faster than it we are."""
    if "median" not in figure:
        return "", "", "skipped" if "skipped" in figure else "failed"
    ratio = figure.get("ratio")
    return _rate(figure["per_second"]), _duration(figure["median"]), "" if ratio is None else _times(ratio)


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
        for title in (f"{unit} rate", f"per {unit}", "driverapi is faster"):
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
def bench(as_json: bool, quick: bool, families: tuple[str, ...], peers: bool, seed: int) -> None:
    """Measure this package beside what one would use instead.

    The peers are what a Python program would take for the same work: ipaddress of the standard
    library, netaddr, and pyroute2 (bringup: as well as it allows, and as tutorials have it).
    Each contender runs in a process of its own, and they take turns. A peer that is not
    installed is named and skipped. The family bringup runs in private network and mount
    namespaces (without root in a user namespace) and takes minutes.
    """
    from rich.console import Console

    from driverapi.bench.runner import run

    # Progress goes to standard error: standard output is the document, or the tables.
    console = Console(stderr=True)
    with console.status("starting") as status:
        result = run(families, quick=quick, peers=peers, seed=seed, progress=lambda text: status.update(text))
    if as_json:
        click.echo(json.dumps(result, indent=2))
    else:
        _print_tables(result)
    figures = [figure for row in result["rows"] for figure in (row["ours"], *row["peers"].values())]
    if any("error" in figure for figure in figures) or any("median" not in row["ours"] for row in result["rows"]):
        click.echo("driverapi bench: not every figure could be taken", err=True)
        raise SystemExit(1)

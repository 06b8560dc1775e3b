"""``driverapi doctor``: whose is what, what is wrong, and mending it."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from typing import Any

import click

from driverapi import errors
from driverapi.doctor import Finding, InstanceFound, Limit, Probe, Report, examine, limits, mend, probe
from driverapi.store.place import default_state

__all__ = ["doctor"]


@click.command()
@click.option("--fix", is_flag=True, help="Take away what nobody owns; restore and close states whose process died.")
@click.option("--forget", multiple=True, metavar="ID", help="With --fix: this unknown instance is nobody's.")
@click.option("--run-dir", metavar="DIR", help="Where instances keep their namespaces (default: as Controller's).")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False),
    metavar="PATH",
    help="A state to look at, too (default: that of driverapi network, if it is there).",
)
@click.option("--probe/--no-probe", "probing", default=True, help="With or without what this kernel can do.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def doctor(
    context: click.Context,
    fix: bool,
    forget: tuple[str, ...],
    run_dir: str | None,
    states: tuple[str, ...],
    probing: bool,
    as_json: bool,
) -> None:
    """Look at what controllers of this package have on this machine.

    Instances with a living process are left alone, always; so is what does not carry our mark.
    Exit status: 0 nothing is wrong (any more), 1 something is, 2 it could not look.
    """
    if forget and not fix:
        raise click.UsageError("--forget goes with --fix")
    try:
        paths = states or _default_states()
        report = examine(run_dir, paths)
        found = probe() if probing else []
        near = limits()
    except (errors.DriverAPIError, OSError) as error:
        click.echo(f"driverapi doctor: it could not look: {' '.join(str(error).split())}", err=True)
        context.exit(2)
    before = report.findings
    done: list[str] = []
    failed: list[str] = []
    if fix:
        try:
            done = mend(report, forget)
        except errors.BulkError as fault:
            failed = [" ".join(str(one).split()) for one in fault.exceptions]
        report = examine(run_dir, paths)
    report.findings += [
        Finding("limit", "", f"{one.name}: {one.used} of {one.most} are used; beyond: {one.meaning}", "raise it", False)
        for one in near
        if one.near
    ]
    if as_json:
        click.echo(
            json.dumps(_document(report, before if fix else report.findings, done, failed, found, near), indent=2)
        )
    else:
        _print(report, done, failed, found, near)
    context.exit(0 if report.healthy and not failed else 1)


def _document(
    report: Report, before: list[Finding], done: list[str], failed: list[str], found: list[Probe], near: list[Limit]
) -> dict[str, Any]:
    return {
        "run_dir": report.run_dir,
        "instances": [_plain(one) for one in report.instances],
        "packet_filter": report.unread or "read",
        "found": [asdict(one) for one in before],
        "fixed": done,
        "failed": failed,
        "findings": [asdict(one) for one in report.findings],
        "ok": report.healthy and not failed,
        "kernel": {"release": os.uname().release, "probes": [asdict(one) for one in found]},
        "limits": [{**asdict(one), "near": one.near} for one in near],
    }


def _plain(one: InstanceFound) -> dict[str, Any]:
    return {name: value for name, value in asdict(one).items() if not name.startswith("_")}


def _default_states() -> tuple[str, ...]:
    """Return the default state where there is one: the only one that no directory may name."""
    try:
        place = default_state()
        return (str(place),) if place.exists() else ()
    except (errors.InvalidError, OSError):
        return ()


def _row(one: InstanceFound) -> dict[str, str | int]:
    return {
        "id": one.id,
        "owner": one.owner,
        "process": str(one.pid or "") if one.owner == "process" else "",
        "state": one.state,
        "links": one.links,
        "namespaces": one.namespaces,
        "routes": one.routes,
        "ports": one.ports,
        "networks with rules": one.ruled,
        "rules in DOCKER-USER": one.user_rules,
        "tables": ", ".join(one.tables),
    }


def _print(report: Report, done: list[str], failed: list[str], found: list[Probe], near: list[Limit]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False)
    if report.instances:
        title = f"instances in {report.run_dir}, and in this network namespace"
        table = Table(title=title, title_justify="left")
        rows = [_row(one) for one in report.instances]
        for name in (name for name in rows[0] if any(row[name] for row in rows)):  # eleven are many for a terminal
            table.add_column(name, justify="right" if isinstance(rows[0][name], int) else "left", overflow="fold")
        for row in rows:
            table.add_row(*(str(row[str(column.header)]) for column in table.columns))
        console.print(table)
    if report.unread:
        console.print(f"the packet filter was not looked at: {report.unread}")
    if found:
        table = Table(title=f"this kernel: Linux {os.uname().release}", title_justify="left")
        for title in ("", "there", "needed by", ""):
            table.add_column(title)
        for thing in found:
            table.add_row(thing.name, "yes" if thing.there else "no", thing.needed_by, thing.said)
        console.print(table)
    table = Table(title="limits", title_justify="left")
    table.add_column("")
    for title in ("used", "most"):
        table.add_column(title, justify="right")
    table.add_column("beyond it")
    for limit in near:
        table.add_row(limit.name, str(limit.used), str(limit.most), limit.meaning)
    console.print(table)
    for one in report.instances:
        for gone in one.given_up:
            at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(gone["at"]))
            whose = f"endpoint {gone['endpoint'][:12]} of network {gone['network'][:12]}"
            had = ", ".join(gone["addresses"])
            console.print(f"instance {one.id}: {at}: {whose} ({had}) was forgotten by its engine: taken away")
    for line in done:
        console.print(f"mended: {line}")
    for line in failed:
        console.print(f"could not be mended: {line}")
    for finding in report.findings:
        console.print(f"{finding.kind}: {finding.what}\n    {finding.advice}")
    if report.healthy and not failed:
        console.print("nothing is wrong")

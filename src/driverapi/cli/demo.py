"""``driverapi demo``: the package at work on this machine's kernel, in namespaces of its own."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import click

from driverapi import errors
from driverapi.demo import IPV4, IPV6, MAX_ENDPOINTS, Observer, Report, run

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

__all__ = ["demo"]

_REFRESH: Final = 0.1  # seconds from one drawing to the next: drawing is time that the work does not get
_ERRORS_SHOWN: Final = 5

_DOES: Final = {
    "network": ("networks", "create the network"),
    "attach": ("endpoints", "namespaces, links, addresses, routes"),
    "ping": ("sandboxes", "gateway and neighbour, IPv4 and IPv6"),
    "detach": ("endpoints", "links and namespaces away"),
    "drain": ("endpoints", "network deleted, kernel done with all"),
}


@click.command()
@click.option(
    "--endpoints",
    type=click.IntRange(1, MAX_ENDPOINTS),
    default=1000,
    show_default=True,  # the range, too
    metavar="N",
    help="Sandboxes to bring up.",
)
@click.option("--driver", default="bridge", show_default=True, help="Network type; one whose endpoints get addresses.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
@click.option(
    "--trace",
    metavar="PATH",
    help="Write every netlink message and its answer: text ('-': standard output), or a capture for Wireshark "
    "where PATH ends in .pcap or .pcapng. It takes time.",
)
@click.pass_context
def demo(ctx: click.Context, endpoints: int, driver: str, as_json: bool, trace: str | None) -> None:
    """Bring up sandboxes, have them ping, and take all away again.

    All of it happens in network and mount namespaces of its own: the machine's network stays
    as it is, and root is not needed where user namespaces are allowed. Each sandbox pings the
    gateway and a neighbour, in IPv4 and IPv6. The exit status is 0 only if all four pings of
    all sandboxes were answered and nothing is left at the end.
    """
    if trace == "-" and as_json:
        raise click.UsageError("--trace - and --json both write to standard output: give --trace a file")
    with _tracing(trace):  # a path of this mount namespace
        _enter_private_namespaces()  # before anything could start a thread
        from rich.console import Console

        with _Bars(Console(stderr=True)) as bars:
            report = run(endpoints, driver, observer=bars)
    if as_json:
        click.echo(json.dumps(report.document(), indent=2))
    else:
        _print(report, Console(highlight=False))
    ctx.exit(0 if report.ok else 1)


@contextmanager
def _tracing(target: str | None) -> Iterator[None]:
    """Trace where that is wanted."""
    if target is None:
        yield
        return
    from driverapi.trace import to

    try:
        going = to(sys.stdout if target == "-" else target)
    except OSError as error:
        raise click.BadParameter(f"{target}: {error.strerror or error}", param_hint="'--trace'") from error
    try:
        yield
    finally:
        try:
            going.close()
        except OSError as error:
            click.echo(f"driverapi: the trace is not whole: {target}: {error.strerror or error}", err=True)


def _enter_private_namespaces() -> None:
    from driverapi._private import enter_private_namespaces

    for place in map(os.path.realpath, (sys.prefix, sys.base_prefix, __file__)):
        if place.startswith("/run/"):  # as what is on a medium under /run/media
            raise errors.InvalidError(
                f"the demo covers /run with a file system of its own, and {place} is there: what it has yet to import "
                "would be gone; make the virtual environment elsewhere"
            )
    try:
        enter_private_namespaces()
    except OSError as error:
        raise errors.NoPermissionError(
            f"the demo needs network and mount namespaces of its own: {error.strerror or error}", error.errno or 0
        ) from error


def _allow_forwarding() -> None:
    """Do what driver routed asks of its user before Linux 6.17: in the demo's own namespace, not the machine's."""
    conf = Path("/proc/sys/net/ipv6/conf/all")
    if conf.is_dir() and not (conf / "force_forwarding").exists():
        with contextlib.suppress(OSError):  # then the driver says what is missing
            (conf / "forwarding").write_text("1")


class _Bars(Observer):
    """Progress bars, where somebody can see them. No thread: they are drawn between two steps."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            TextColumn("{task.description:<8}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            auto_refresh=False,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._total = 0
        self._drawn = 0.0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def begin(self, phase: str, total: int) -> None:
        """Add a bar."""
        self._total = total
        self._task = self._progress.add_task(phase, total=total or None)
        self._progress.refresh()

    def advance(self, done: int) -> None:
        """Move the bar, if the last drawing is some time ago."""
        now = time.monotonic()
        if self._task is not None and now - self._drawn >= _REFRESH:
            self._drawn = now
            self._progress.update(self._task, completed=done, refresh=True)

    def end(self) -> None:
        """Fill the bar."""
        if self._task is not None:
            total = self._total or 1
            self._progress.update(self._task, completed=total, total=total, refresh=True)


def _print(report: Report, console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    up, wanted = report.up, report.endpoints
    console.print(
        f"{up} of {wanted} sandboxes on one {report.driver} network, {IPV4} and {IPV6}: "
        f"{report.made.namespaces} namespaces, {report.made.links} links on the host's side, "
        f"{report.made.addresses} addresses"
    )
    phases = Table()
    for title in ("phase", "what"):
        phases.add_column(title)
    for title in ("seconds", "per second"):
        phases.add_column(title, justify="right")
    for name, phase in report.phases.items():
        unit, does = _DOES[name]
        rate = "" if unit == "networks" else f"{phase.per_second:,.0f} {unit}"
        phases.add_row(name, does, f"{phase.seconds:.3f}", rate, style="bold" if name == "attach" else None)
    console.print(phases)

    pings = report.document()["pings"]
    times = ""
    if pings["answered"]:
        times = f", median {pings['median_seconds'] * 1e3:.2f} ms, longest {pings['max_seconds'] * 1e3:.2f} ms"
    left = report.left
    check = Table(show_header=False)
    check.add_column()
    check.add_column()
    good, bad = "green", "bold red"
    check.add_row(
        "reachable",
        Text(
            f"{report.reachable} of {wanted} sandboxes ({pings['answered']} of {pings['sent']} pings{times})",
            good if report.reachable == wanted else bad,
        ),
    )
    check.add_row(
        "left",
        Text(
            f"{left.links} links, {left.namespaces} namespaces, {left.addresses} addresses",
            bad if left else good,
        ),
    )
    if report.error_count:
        shown = report.errors[:_ERRORS_SHOWN]
        more = report.error_count - len(shown)
        lines = shown + ([f"and {more} more"] if more else [])
        check.add_row(f"{report.error_count} errors", Text("\n".join(lines), bad))
    console.print(check)

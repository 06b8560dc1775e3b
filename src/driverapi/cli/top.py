"""``driverapi top``: networks, endpoints, rates and pool use of a state, live; nobody is disturbed by it."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from driverapi.cli import onstate

if TYPE_CHECKING:
    from rich.console import Group

    from driverapi.topping import EndpointRow, Top

__all__ = ["top"]

_SORTS = ("rate", "bytes", "name")


@click.command()
@click.option("--once", is_flag=True, help="Look twice, an interval apart, print, and end.")
@click.option("--interval", "-i", type=click.FloatRange(0.1, 3600), default=1.0, show_default=True, help="Seconds.")
@click.option("--sort", type=click.Choice(_SORTS), default="rate", show_default=True, help="Order of endpoints.")
@click.option("--limit", "-n", type=click.IntRange(0), default=20, show_default=True, help="Endpoints; 0 for all.")
@click.option("--network", help="Of one network alone.", shell_complete=onstate.complete_networks)
@onstate.as_json
@onstate.state
def top(
    once: bool, interval: float, sort: str, limit: int, network: str | None, as_json: bool, state: Path | None
) -> None:
    """Show networks, endpoints, their rates, and how full pools are; until Ctrl-C, or SIGTERM.

    Counters are of the links of the network namespace that it runs in, as sandboxes see them: rx is what they receive.
    With --json each look is one document, a line unless it is the only one.
    """
    from driverapi.topping import compare, sample

    def read() -> Any:
        seen = onstate.reading(state)
        if network is not None:
            seen.network(network)
        return seen

    before = sample(read)
    if once:
        time.sleep(interval)
        found = _chosen(compare(before, sample(read)), network, sort, limit)
        if as_json:
            onstate.print_json(found.document())
        else:
            _console().print(_tables(found))
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # else the terminal is left without its cursor
    try:
        if as_json:
            while True:
                time.sleep(interval)
                now = sample(read)
                click.echo(json.dumps(_chosen(compare(before, now), network, sort, limit).document()))
                before = now
        else:
            from rich.live import Live

            with Live(_tables(_chosen(compare(None, before), network, sort, limit)), auto_refresh=False) as live:
                while True:
                    time.sleep(interval)
                    now = sample(read)
                    live.update(_tables(_chosen(compare(before, now), network, sort, limit)), refresh=True)
                    before = now
    except KeyboardInterrupt:
        return  # this is how it ends


def _chosen(found: Top, network: str | None, sort: str, limit: int) -> Top:
    from dataclasses import replace

    networks = tuple(one for one in found.networks if network in (None, one.name))
    names = {one.name for one in networks}
    rows = sorted((one for one in found.endpoints if one.network in names), key=_KEYS[sort])
    return replace(found, networks=networks, endpoints=tuple(rows[:limit] if limit else rows))


def _by_rate(one: EndpointRow) -> tuple[Any, ...]:
    return -((one.rx_rate or 0.0) + (one.tx_rate or 0.0)), *_by_bytes(one)


def _by_bytes(one: EndpointRow) -> tuple[Any, ...]:
    total = 0 if one.counters is None else one.counters.rx_bytes + one.counters.tx_bytes
    return -total, *_by_name(one)


def _by_name(one: EndpointRow) -> tuple[Any, ...]:
    return one.network, one.name


_KEYS = {"rate": _by_rate, "bytes": _by_bytes, "name": _by_name}


def _console() -> Any:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200
    return console


def _tables(found: Top) -> Group:
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    networks = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in ("network", "driver", "endpoints", "joined", "rx", "tx", "pools"):
        networks.add_column(title, justify="right" if title in ("endpoints", "joined", "rx", "tx") else "left")
    for one in found.networks:
        pools = ", ".join(f"{id.partition('/')[2]} {part:.0%}" for id, _, _, part in one.pools)
        cells = (one.name, one.driver, str(one.endpoints), str(one.joined), _rate(one.rx_rate), _rate(one.tx_rate))
        networks.add_row(*(Text(cell) for cell in (*cells, pools or "-")))
    endpoints = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=0)  # nine columns, of 80
    titles = ("endpoint", "address", "state", "rx", "tx", "received", "sent", "dropped", "sandbox")
    for title in titles:
        named = title in ("endpoint", "sandbox")
        endpoints.add_column(
            title,
            justify="right" if title in titles[3:8] else "left",
            overflow="fold" if named else "ellipsis",
            no_wrap=not named,
        )
    for row in found.endpoints:
        counters = row.counters
        amounts = (
            ("-",) * 3
            if counters is None
            else (
                _amount(counters.rx_bytes),
                _amount(counters.tx_bytes),
                str(counters.rx_dropped + counters.tx_dropped),
            )
        )
        name = f"{row.network}/{row.name}"
        what = (name, row.address or "-", row.state, _rate(row.rx_rate), _rate(row.tx_rate))
        endpoints.add_row(*(Text(cell) for cell in (*what, *amounts, row.sandbox or "-")))
    return Group(networks, Text(), endpoints)


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{_amount(value)}/s"


def _amount(value: float) -> str:
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= size:
            return f"{value / size:.1f} {unit}"
    return f"{value:.0f} B"

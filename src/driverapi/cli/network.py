"""``driverapi network``: networks of a state, each command a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from driverapi.cli import onstate
from driverapi.cli.meant import Group
from driverapi.labels import INTERNAL

if TYPE_CHECKING:
    from driverapi.store.view import NetworkView

__all__ = ["network"]


@click.group(cls=Group)
def network() -> None:
    """Networks: create, list, inspect and remove them."""


def _aux(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    return onstate.options_of(context, parameter, values)


@network.command()
@click.argument("name")
@click.option("--driver", "-d", default="bridge", show_default=True, help="Network type.")
@click.option("--ipv4", metavar="PREFIX", help="As 10.77.0.0/16; 0.0.0.0/24 takes any free /24.")
@click.option("--ipv6", metavar="PREFIX", help="As fd77::/64; ::/64 takes any free /64.")
@click.option("--gateway", metavar="ADDRESS", help="Default: the first address of the prefix.")
@click.option("--gateway-ipv6", metavar="ADDRESS")
@click.option("--ip-range", multiple=True, metavar="PREFIX", help="Part of a prefix to give addresses from.")
@click.option(
    "--aux-address",
    "aux",
    multiple=True,
    metavar="NAME=ADDRESS",
    callback=_aux,
    help="An address that no endpoint may have.",
)
@click.option("--serial", is_flag=True, help="Give the address after the last one, not the lowest free one.")
@click.option("--allow-overlap", is_flag=True, help="The prefixes may overlap what is in use.")
@click.option("--ipam", default="default", show_default=True, metavar="NAME", help="Who gives addresses.")
@click.option("--ipam-opt", "ipam_options", multiple=True, metavar="KEY=VALUE", callback=onstate.options_of)
@click.option("--internal", is_flag=True, help="No way out: sandboxes get no default route.")
@onstate.options
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="KEY=VALUE",
    callback=onstate.labels_of,
    help="A label of yours, as com.example.team=red.",
)
@onstate.as_json
@onstate.state
@onstate.run_dir
def create(
    name: str,
    driver: str,
    ipv4: str | None,
    ipv6: str | None,
    gateway: str | None,
    gateway_ipv6: str | None,
    ip_range: tuple[str, ...],
    aux: dict[str, str],
    serial: bool,
    allow_overlap: bool,
    ipam: str,
    ipam_options: dict[str, str],
    internal: bool,
    options: dict[str, str],
    labels: dict[str, str],
    as_json: bool,
    state: Path | None,
    run_dir: Path | None,
) -> None:
    """Create a network, and print its id."""
    with onstate.writing(state, run_dir) as ctl:
        made = ctl.create_network(
            driver,
            name,
            ipv4=ipv4,
            ipv6=ipv6,
            gateway=gateway,
            gateway_ipv6=gateway_ipv6,
            ip_range=ip_range,
            aux_addresses=aux or None,
            serial=serial,
            allow_overlap=allow_overlap,
            ipam=ipam,
            ipam_options=ipam_options,
            options={**options, **labels, **({INTERNAL: True} if internal else {})},
        )
    if as_json:
        onstate.print_json(onstate.reading(state).network(made.id).document())
    else:
        click.echo(made.id)


@network.command()
@onstate.as_json
@onstate.state
def ls(as_json: bool, state: Path | None) -> None:
    """List networks."""
    found = onstate.reading(state).networks
    if as_json:
        onstate.print_json([one.document() for one in found])
    else:
        onstate.print_table(
            ("name", "id", "driver", "IPv4", "IPv6", "endpoints", "state"), [_row(one) for one in found]
        )


def _row(one: NetworkView) -> tuple[str | None, ...]:
    return one.name, one.id[:12], one.driver, one.ipv4, one.ipv6, str(len(one.endpoints)), one.state


@network.command()
@onstate.network_argument()
@onstate.as_json
@onstate.state
def inspect(names: tuple[str, ...], as_json: bool, state: Path | None) -> None:
    """Print all that the state has of networks, as JSON (with --json or without)."""
    del as_json
    seen = onstate.reading(state)
    found = []
    for name in names:
        one = seen.network(name)
        found.append({**one.document(), "endpoints": [endpoint.document() for endpoint in one.endpoints]})
    onstate.print_json(found)


@network.command()
@onstate.network_argument()
@click.option("--force", "-f", is_flag=True, help="With its endpoints; sandboxes that were made for them go, too.")
@onstate.state
@onstate.run_dir
def rm(names: tuple[str, ...], force: bool, state: Path | None, run_dir: Path | None) -> None:
    """Remove networks; one that has endpoints only with --force."""
    with onstate.writing(state, run_dir) as ctl:
        for name in names:
            found = ctl.network(name)
            if force:
                places = {one.sandbox for one in found.endpoints}
                found.detach(found.endpoints)
                for place in places:
                    onstate.forget(place)
            found.delete()
            click.echo(name)

"""``driverapi pool``: the address pools of a state."""

from __future__ import annotations

from pathlib import Path

import click

from driverapi.cli import onstate
from driverapi.cli.meant import Group

__all__ = ["pool"]


@click.group(cls=Group)
def pool() -> None:
    """Address pools: how much of each is in use, and who has which address."""


@pool.command()
@click.argument("network", required=False, shell_complete=onstate.complete_networks)
@click.option("--addresses", "-a", is_flag=True, help="Each address that is not free, and whose it is.")
@onstate.as_json
@onstate.state
def ls(network: str | None, addresses: bool, as_json: bool, state: Path | None) -> None:
    """List pools, of one network or of all."""
    seen = onstate.reading(state)
    found = seen.pools
    if network is not None:
        name = seen.network(network).name
        found = tuple(one for one in found if one.network == name)
    if as_json:
        onstate.print_json([one.document(addresses=addresses) for one in found])
    elif addresses:
        taken = [
            (one.network, each.address, each.what, each.owner, each.mac_address)
            for one in found
            for each in one.addresses
        ]
        onstate.print_table(("network", "address", "what", "owner", "MAC"), taken)
    else:
        rows = [
            (one.id, one.network, one.ipam, str(one.size), str(one.taken), str(one.resting), f"{one.utilisation:.1%}")
            for one in found
        ]
        onstate.print_table(("pool", "network", "IPAM", "addresses", "taken", "resting", "used"), rows)

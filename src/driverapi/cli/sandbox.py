"""``driverapi sandbox``: sandboxes of a state, each command a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from driverapi.cli import onstate
from driverapi.cli.meant import Group

__all__ = ["sandbox"]


@click.group(cls=Group)
def sandbox() -> None:
    """Sandboxes, the namespaces that endpoints join: create, list, inspect and remove them."""


@sandbox.command()
@click.argument("name")
@click.option("--netns", type=click.Path(path_type=Path), metavar="PATH", help="A namespace that there is; it stays.")
@click.option("--host", is_flag=True, help="The host's own, for driver host.")
@click.option("--files", is_flag=True, help="Keep an /etc/hosts and an /etc/resolv.conf for it; what follows does too.")
@click.option("--hostname", metavar="NAME", default="", help="Default: its name.")
@click.option("--domain", "--domainname", metavar="NAME", default="")
@click.option("--add-host", "extra_hosts", multiple=True, metavar="NAME:ADDRESS")
@click.option("--dns", multiple=True, metavar="ADDRESS", help="Default: those of the host that it can reach.")
@click.option("--dns-search", multiple=True, metavar="DOMAIN", help="Default: the host's; '.' for none.")
@click.option("--dns-option", "dns_options", multiple=True, metavar="OPTION")
@onstate.as_json
@onstate.state
@onstate.run_dir
def create(
    name: str,
    netns: Path | None,
    host: bool,
    files: bool,
    as_json: bool,
    state: Path | None,
    run_dir: Path | None,
    **served: Any,
) -> None:
    """Create a sandbox, and print the path of its namespace (what nsenter --net= takes)."""
    from driverapi import Services

    with onstate.writing(state, run_dir) as ctl:
        services = Services(**served) if files or any(served.values()) else None
        key = ctl.create_sandbox(name, netns=netns, host=host, services=services).key
    if as_json:
        onstate.print_json(onstate.reading(state).sandbox(name).document())
    else:
        click.echo(key)


@sandbox.command()
@onstate.as_json
@onstate.state
def ls(as_json: bool, state: Path | None) -> None:
    """List sandboxes."""
    found = onstate.reading(state).sandboxes
    if as_json:
        onstate.print_json([one.document() for one in found])
    else:
        rows = [(one.name, one.key, one.ownership, ", ".join(one.endpoints)) for one in found]
        onstate.print_table(("name", "namespace", "ownership", "endpoints"), rows)


@sandbox.command()
@onstate.sandbox_argument()
@onstate.as_json
@onstate.state
def inspect(names: tuple[str, ...], as_json: bool, state: Path | None) -> None:
    """Print all that the state has of sandboxes, as JSON (with --json or without)."""
    del as_json
    seen = onstate.reading(state)
    onstate.print_json([seen.sandbox(name).document() for name in names])


@sandbox.command()
@onstate.sandbox_argument()
@click.option("--force", "-f", is_flag=True, help="Its endpoints leave it first.")
@onstate.state
@onstate.run_dir
def rm(names: tuple[str, ...], force: bool, state: Path | None, run_dir: Path | None) -> None:
    """Remove sandboxes; one that endpoints have joined only with --force."""
    with onstate.writing(state, run_dir) as ctl:
        for name in names:
            found = ctl.sandbox(name)
            for one in found.endpoints if force else ():
                one.leave()
            found.delete()
            click.echo(name)

"""``driverapi endpoint``: endpoints of a state, each command a process of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from driverapi import errors
from driverapi.cli import onstate
from driverapi.cli.meant import Group
from driverapi.labels import ENDPOINT_IFNAME, ENDPOINT_SYSCTLS

if TYPE_CHECKING:
    from driverapi import Controller, Sandbox
    from driverapi.store.view import EndpointView

__all__ = ["endpoint"]


@click.group(cls=Group)
def endpoint() -> None:
    """Endpoints, named NETWORK/ENDPOINT: create, list, inspect, remove; have them join and leave sandboxes."""


@endpoint.command()
@onstate.endpoint_argument(new=True)
@click.option("--ipv4", "--ip", metavar="ADDRESS", help="Default: any free one.")
@click.option("--ipv6", "--ip6", metavar="ADDRESS")
@click.option("--mac", metavar="MAC", help="It gets the addresses again that it had last, if they are free.")
@click.option("--ifname", metavar="NAME", help="Of its interface in the sandbox.")
@click.option(
    "--publish", "-p", "publish", multiple=True, metavar="[HOST:][HOSTPORT:]PORT[/PROTOCOL]", help="On the host."
)
@onstate.options
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", callback=onstate.labels_of)
@onstate.as_json
@onstate.state
@onstate.run_dir
def create(
    name: str,
    ipv4: str | None,
    ipv6: str | None,
    mac: str | None,
    ifname: str | None,
    publish: tuple[str, ...],
    options: dict[str, str],
    labels: dict[str, str],
    as_json: bool,
    state: Path | None,
    run_dir: Path | None,
) -> None:
    """Create an endpoint, and print its id."""
    with onstate.writing(state, run_dir) as ctl:
        network, new = onstate.find_network(ctl, name)
        options = {**options, **labels, **({} if ifname is None else {ENDPOINT_IFNAME: ifname})}
        made = network.create_endpoint(new, ipv4=ipv4, ipv6=ipv6, mac=mac, options=options, publish=publish)
    if as_json:
        _print_one(state, f"{network.id}/{made.id}")
    else:
        click.echo(made.id)


def _print_one(state: Path | None, name: str) -> None:
    onstate.print_json(onstate.find_view(onstate.reading(state), name).document())


@endpoint.command()
@click.argument("network", required=False, shell_complete=onstate.complete_networks)
@onstate.as_json
@onstate.state
def ls(network: str | None, as_json: bool, state: Path | None) -> None:
    """List endpoints, of one network or of all."""
    seen = onstate.reading(state)
    networks = seen.networks if network is None else (seen.network(network),)
    found = [one for network_ in networks for one in network_.endpoints]
    if as_json:
        onstate.print_json([one.document() for one in found])
    else:
        titles = ("network", "name", "IPv4", "IPv6", "MAC", "sandbox", "state")
        onstate.print_table(titles, [_row(one) for one in found])


def _row(one: EndpointView) -> tuple[str | None, ...]:
    first = one.interfaces[0] if one.interfaces else None
    addresses = (None, None, None) if first is None else (first.address, first.address_ipv6, first.mac_address)
    return one.network, one.name, *addresses, one.sandbox, one.state


@endpoint.command()
@onstate.endpoint_argument(many=True)
@onstate.as_json
@onstate.state
def inspect(names: tuple[str, ...], as_json: bool, state: Path | None) -> None:
    """Print all that the state has of endpoints, as JSON (with --json or without)."""
    del as_json
    seen = onstate.reading(state)
    onstate.print_json([onstate.find_view(seen, name).document() for name in names])


@endpoint.command()
@onstate.endpoint_argument(many=True)
@click.option("--force", "-f", is_flag=True, help="It leaves its sandbox first.")
@onstate.state
@onstate.run_dir
def rm(names: tuple[str, ...], force: bool, state: Path | None, run_dir: Path | None) -> None:
    """Remove endpoints; one that has joined a sandbox only with --force."""
    with onstate.writing(state, run_dir) as ctl:
        for name in names:
            found = onstate.find_endpoint(ctl, name)
            place = found.sandbox
            if force and place is not None:
                found.leave(place)
            found.delete()
            onstate.forget(place)
            click.echo(name)


@endpoint.command()
@onstate.endpoint_argument()
@click.option("--sandbox", metavar="NAME", help="One that there is.", shell_complete=onstate.complete_sandboxes)
@click.option("--netns", type=click.Path(path_type=Path), metavar="PATH", help="A namespace that there is.")
@click.option("--gw-priority", type=int, metavar="NUMBER", help="The highest of a sandbox has its default route.")
@click.option(
    "--route", "routes", multiple=True, metavar="'PREFIX via ADDRESS'", help="A further route of the sandbox."
)
@click.option("--sysctl", "sysctls", multiple=True, metavar="net.ipv4.conf.IFNAME.KEY=VALUE")
@onstate.options
@onstate.as_json
@onstate.state
@onstate.run_dir
def join(
    name: str,
    sandbox: str | None,
    netns: Path | None,
    gw_priority: int | None,
    routes: tuple[str, ...],
    sysctls: tuple[str, ...],
    options: dict[str, str],
    as_json: bool,
    state: Path | None,
    run_dir: Path | None,
) -> None:
    """Have an endpoint join a sandbox, or a namespace by its path; print the path of the namespace."""
    if (sandbox is None) == (netns is None):
        raise click.UsageError("say which sandbox: one of --sandbox and --netns")
    with onstate.writing(state, run_dir) as ctl:
        found = onstate.find_endpoint(ctl, name)
        place = ctl.sandbox(sandbox) if sandbox is not None else _of_path(ctl, str(netns))
        try:
            wanted = {**options, **({ENDPOINT_SYSCTLS: list(sysctls)} if sysctls else {})}
            found.join(place, wanted, priority=gw_priority, routes=routes)
        except BaseException:
            onstate.forget(place)
            raise
        key = place.key
    if as_json:
        _print_one(state, f"{found.network.id}/{found.id}")
    else:
        click.echo(key)


@endpoint.command()
@onstate.endpoint_argument()
@onstate.as_json
@onstate.state
@onstate.run_dir
def leave(name: str, as_json: bool, state: Path | None, run_dir: Path | None) -> None:
    """Have an endpoint leave its sandbox; it keeps its addresses."""
    with onstate.writing(state, run_dir) as ctl:
        found = onstate.find_endpoint(ctl, name)
        place = found.sandbox
        found.leave()
        onstate.forget(place)
    if as_json:
        _print_one(state, f"{found.network.id}/{found.id}")
    else:
        click.echo(name)


def _of_path(ctl: Controller, path: str) -> Sandbox:
    """Return the sandbox of a namespace: one that has its path for a name, unless there is one already."""
    path = os.path.abspath(path)
    for one in ctl.sandboxes:
        if one.key == path:
            return one
    try:
        return ctl.create_sandbox(path, netns=path)
    except errors.SandboxExistsError:
        raise errors.ConflictError(f"a sandbox is called {path!r}, but is another namespace; use --sandbox") from None

"""``driverapi serve``: a driver as a Docker network plugin."""

from __future__ import annotations

import signal
from importlib.util import find_spec

import click

__all__ = ["serve"]


@click.command()
@click.option("--driver", default="bridge", show_default=True, help="Network type.")
@click.option("--name", help="What the engine calls it, as in 'docker network create -d NAME'. [driverapi-DRIVER]")
@click.option("--socket", metavar="PATH", help="Unix socket to listen on. [/run/docker/plugins/NAME.sock]")
def serve(driver: str, name: str | None, socket: str | None) -> None:
    """Serve a driver, and addresses, to a Docker engine of this host.

    With it, 'docker network create -d NAME --ipam-driver NAME net' makes a network of that driver. It ends on
    SIGTERM and SIGINT: what is under way is finished, then all that it made is taken away.
    """
    if find_spec("httptools") is None:
        raise click.ClickException("it needs httptools: pip install 'driverapi[cli,plugin]'")
    from driverapi.plugin import Plugin

    stop = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)  # before there is any thread: all inherit it
    with Plugin(driver, name=name) as plugin:
        path = plugin.listen(socket)
        click.echo(f"{plugin.name}: driver {driver} on {path}")
        signal.sigwait(stop)
        click.echo(f"{plugin.name}: ending")

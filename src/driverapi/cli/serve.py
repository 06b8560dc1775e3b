"""``driverapi serve``: a driver as a Docker network plugin."""

from __future__ import annotations

import logging
import signal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from driverapi.cli.onstate import options_of
from driverapi.events import logger_of
from driverapi.store.place import default_state

__all__ = ["serve"]

_PATH = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--driver", default="bridge", show_default=True, help="Network type.")
@click.option("--ipam", help="Who gives addresses: default, or an installed one. [default]")
@click.option("--name", help="What the engine calls it, as in 'docker network create -d NAME'. [driverapi-DRIVER]")
@click.option("--socket", type=_PATH, metavar="PATH", help="Unix socket. [/run/docker/plugins/NAME.sock]")
@click.option(
    "--tcp", metavar="HOST:PORT", help="Listen there and not on a socket; with the three files, or --insecure."
)
@click.option("--tlscert", type=_PATH, metavar="FILE", help="Our certificate, PEM.")
@click.option("--tlskey", type=_PATH, metavar="FILE", help="Its key.")
@click.option("--tlscacert", type=_PATH, metavar="FILE", help="Who must have signed the engine's certificate.")
@click.option("--insecure", is_flag=True, help="With --tcp: no TLS. Whoever can connect is root over this network.")
@click.option("--spec", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
              help="Write NAME.spec (NAME.json with TLS) there for the engine: /etc/docker/plugins, say.")  # fmt: skip
@click.option("--state", type=_PATH, metavar="FILE", help="Where networks outlive us. [/var/lib/driverapi/NAME.db]")
@click.option("--no-state", is_flag=True, help="Keep none: all is taken away at the end. For tests.")
@click.option("--durability", default="normal", show_default=True, help="Of the state: full, normal or none.")
@click.option("--option", "-o", "options", multiple=True, metavar="KEY=VALUE", callback=options_of,
              help="Configuration of the driver.")  # fmt: skip
@click.option("--run-dir", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
              help="Where the instance keeps its lock. [as for a controller]")  # fmt: skip
@click.option("--grace", default=60.0, show_default=True, metavar="SECONDS",
              help="After it, what the engine has forgotten is taken away.")  # fmt: skip
@click.option("--pack", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
              help="Serve nothing: write there what 'docker plugin create' takes.")  # fmt: skip
@click.option("--log", "level", default="info", show_default=True, help="What is logged: debug, info, warning, error.")
def serve(
    driver: str,
    name: str | None,
    socket: Path | None,
    tcp: str | None,
    tlscert: Path | None,
    tlskey: Path | None,
    tlscacert: Path | None,
    insecure: bool,
    spec: Path | None,
    state: Path | None,
    no_state: bool,
    level: str,
    options: dict[str, str],
    pack: Path | None,
    **more: Any,
) -> None:
    """Serve a driver, and addresses, to a Docker engine of this host.

    With it, 'docker network create -d NAME --ipam-driver NAME net' makes a network of that driver. It ends on
    SIGTERM and SIGINT: what is under way is finished; networks and endpoints stay, and are there again for the next.
    """
    if find_spec("httptools") is None:
        raise click.ClickException("it needs httptools: pip install 'driverapi[cli,plugin]'")
    files = [one for one in (tlscert, tlskey, tlscacert) if one is not None]
    if tcp is None and (files or insecure):
        raise click.UsageError("--tlscert, --tlskey, --tlscacert and --insecure go with --tcp")
    if tcp is not None and socket is not None:
        raise click.UsageError("--tcp and --socket: one of them")
    if tcp is not None and len(files) != (0 if insecure else 3):
        raise click.UsageError("--tcp wants --tlscert, --tlskey and --tlscacert, or --insecure")
    if no_state and state is not None:
        raise click.UsageError("--state and --no-state: one of them")
    called = name or f"driverapi-{driver}"
    if pack is not None:
        _pack(pack, called, driver, options, level)
        return
    _log(level)
    from driverapi.plugin import Plugin, Tls, write_spec

    if not no_state and state is None:
        state = default_state().with_name(f"{called}.db")
        state.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    stop = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)  # before there is any thread: all inherit it
    with Plugin(driver, name=called, options=options, state=state, **more) as plugin:
        if tcp is None:
            path = plugin.listen(socket)
            where, address, tls = str(path), f"unix://{path}", None
        else:
            tls = Tls(str(tlscert), str(tlskey), str(tlscacert)) if files else None
            host, port = plugin.listen_tcp(tcp, tls)
            where = address = f"tcp://{f'[{host}]' if ':' in host else host}:{port}"
        written = None if spec is None else write_spec(spec, plugin.name, address, tls)
        try:
            click.echo(f"{plugin.name}: driver {driver} on {where}")
            signal.sigwait(stop)
            click.echo(f"{plugin.name}: ending")
        finally:
            if written is not None:
                written.unlink(missing_ok=True)


def _pack(directory: Path, name: str, driver: str, options: dict[str, str], level: str) -> None:
    """Write a managed plugin."""
    from driverapi.plugin.pack import pack

    arguments = ["--driver", driver, "--log", level]
    for key, value in options.items():
        arguments += ["--option", f"{key}={value}"]
    pack(directory, name, arguments)
    click.echo(f"docker plugin create {name} {directory} && docker plugin enable {name}")


def _log(level: str) -> None:
    """Log to standard error."""
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise click.UsageError(f"--log {level!r} is none of debug, info, warning, error")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    ours = logger_of("plugin.activated").parent
    assert ours is not None
    ours.setLevel(number)

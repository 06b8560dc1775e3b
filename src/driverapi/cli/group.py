"""The click group ``driverapi``: subcommands loaded when they are used, errors in one line."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

import click

from driverapi import __version__
from driverapi.cli.meant import Group
from driverapi.errors import DriverAPIError

__all__ = ["INTERRUPTED", "group"]

INTERRUPTED: Final = 130
"""Exit status after Ctrl-C: 128 and the number of SIGINT, as shells have it."""

# Each is a module of this package with a command of the same name. Their one-line help stands
# here too, so that ``driverapi --help`` imports none of them.
_COMMANDS: Final = {
    "bench": "Measure this package beside what one would use instead.",
    "doctor": "Say whose is what on this machine, what is wrong, and mend it.",
    "demo": "Bring up sandboxes, have them ping, and take all away again.",
    "endpoint": "Endpoints: create, list, inspect, remove, join, leave.",
    "network": "Networks: create, list, inspect and remove them.",
    "pool": "Address pools: list them, and how much is in use.",
    "sandbox": "Sandboxes: create, list, inspect and remove them.",
    "serve": "Serve a driver to a Docker engine, as its network plugin.",
    "top": "Show networks, endpoints, rates and pool use, live.",
}


class _Group(Group):
    """A group that imports a subcommand when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, sorted."""
        del ctx
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one subcommand; None where there is none of that name."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(import_module(f"driverapi.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of subcommands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name]) for name in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> Any:
        """Run; an error of the package is one line and status 1, Ctrl-C is status 130."""
        try:
            return super().invoke(ctx)
        except DriverAPIError as error:
            click.echo(f"driverapi: error: {_one_line(error)}", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            click.echo("driverapi: interrupted", err=True)
            ctx.exit(INTERRUPTED)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


@click.group("driverapi", cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="driverapi")
def group() -> None:
    """Container networking: networks, endpoints and sandboxes on a Linux kernel."""

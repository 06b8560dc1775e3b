"""What the commands on a state share: its options, who reads it and who writes, how errors and tables look."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from driverapi import errors
from driverapi.events import told_to
from driverapi.paths import private_directory
from driverapi.store.place import default_state

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from driverapi import Controller, Endpoint, Network, Sandbox
    from driverapi.store.view import EndpointView, StateView

__all__ = [
    "as_json",
    "complete_networks",
    "complete_sandboxes",
    "endpoint_argument",
    "find_endpoint",
    "find_network",
    "find_view",
    "forget",
    "labels_of",
    "network_argument",
    "options",
    "options_of",
    "print_json",
    "print_table",
    "reading",
    "run_dir",
    "sandbox_argument",
    "split",
    "state",
    "writing",
]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

state = click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PATH",
    help="The state to work on (default: DRIVERAPI_STATE, else /var/lib/driverapi/state.db for root, "
    "else driverapi/state.db in XDG_STATE_HOME or ~/.local/state).",
)
run_dir = click.option(
    "--run-dir",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Directory for namespaces (default: that of the state, else DRIVERAPI_RUN_DIR, else /run/driverapi).",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def reading(path: Path | None) -> StateView:
    """Read a state, whoever is at work on it; the default one may not be there yet.

    Raises
    ------
    errors.StateError
        It cannot be read, or one that was named is not there.
    """
    from driverapi.store.view import StateView, view

    place = default_state() if path is None else path
    if path is None and not place.exists():
        return StateView(place)
    return view(place)


class _Warnings(logging.Handler):
    """Says on standard error what is logged as a warning, but for what is the error of the command as well."""

    _ERRORS: Final = ("network.failed", "endpoint.failed", "endpoints.failed", "endpoints.interrupted", "remote.failed")

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.opening = True
        self.unforwarded: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Say it, but not with each command what was told when the option was given, or the network made."""
        event = getattr(record, "event", "")
        if event in self._ERRORS or (self.opening and event == "driver.option_ignored"):
            return
        text = f"driverapi: warning: {record.getMessage()}"
        if self.opening and event == "network.not_forwarded":
            self.unforwarded.append((getattr(record, "network_name", ""), text))
        else:
            click.echo(text, err=True)

    def opened(self, rebuilt: Sequence[str]) -> None:
        """Tell of networks that were made anew what is told when one is made; from now on everything is told."""
        self.opening = False
        for name, text in self.unforwarded:
            if name in rebuilt:
                click.echo(text, err=True)


@contextlib.contextmanager
def writing(path: Path | None, run_dir: Path | None) -> Iterator[Controller]:
    """Be the controller of a state for one thing; what it had to mend, and warnings, are said on standard error."""
    from driverapi import Controller

    if path is None:
        path = default_state()
        try:
            private_directory(path.parent, "the directory of the state,")
        except OSError as error:
            raise errors.StateError(f"state {path} cannot be made: {error.strerror or error}") from error
    warnings = _Warnings()
    with told_to(warnings), Controller(state=path, run_dir=run_dir) as ctl:
        found = ctl.restored
        warnings.opened(() if found is None else found.rebuilt)
        if found is not None and found.mended:
            parts = (
                (len(found.rebuilt), "networks made anew"),
                (len(found.down), "endpoints down"),
                (len(found.gone), "sandboxes gone"),
                (len(found.lost_ports), "published ports lost"),
                (found.undone, "half made and undone"),
                (found.finished, "half gone and finished"),
                (sum((found.swept.links, found.swept.namespaces, found.swept.routes)), "left over and taken away"),
            )
            said = ", ".join(f"{count} {what}" for count, what in parts if count)
            click.echo(f"driverapi: the state was mended: {said or 'neighbour entries'}", err=True)
        yield ctl


def print_json(document: object) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(document, indent=2, default=repr))


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str | None]]) -> None:
    """Print a table for people; whole words where it goes to a file or a pipe."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell or "-") for cell in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 1000
    console.print(table)


def options_of(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Read ``KEY=VALUE`` options; a callback."""
    del context, parameter
    found = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{value!r} is not KEY=VALUE")
        found[key] = text
    return found


def labels_of(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Read ``KEY=VALUE`` labels; a callback. A name without a dot would be a driver's option."""
    found = options_of(context, parameter, values)
    for key in found:
        if "." not in key:
            raise click.BadParameter(f"the name of a label has a dot, as com.example.{key}; for the driver use -o")
    return found


options = click.option(
    "--driver-opt",
    "--option",
    "-o",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    callback=options_of,
    help="An option of the driver.",
)


def forget(place: Sandbox | None) -> None:
    """Delete a sandbox that only ``join --netns`` asked for, when its last endpoint is gone; the namespace stays."""
    if place is not None and place.name == place.key and not place.endpoints:
        place.delete()


# --- names ----------------------------------------------------------------------------------------


def split(name: str) -> list[tuple[str, str]]:
    """Return the ways to read ``NETWORK/ENDPOINT``: either name may have slashes in it."""
    parts = [(name[:at], name[at + 1 :]) for at, char in enumerate(name) if char == "/"]
    ways = [(network, endpoint) for network, endpoint in parts if network and endpoint]
    if not ways:
        raise click.UsageError(f"{name!r} is not NETWORK/ENDPOINT")
    return ways


def _only(name: str, ways: list[tuple[str, str]], find: Callable[[str, str], T], absent: type[Exception]) -> T:
    """Return what one of the ways to read a name stands for; what is said of one way is best said by who looks."""
    found = []
    for way in ways:
        with contextlib.suppress(absent):
            found.append(find(*way))
    if len(found) > 1:
        raise errors.ConflictError(f"{name!r} can be read as several endpoints; name its network by its id")
    return found[0] if found else find(*ways[0])


def find_endpoint(ctl: Controller, name: str) -> Endpoint:
    """Return an endpoint of a controller by ``NETWORK/ENDPOINT``."""

    def find(network: str, endpoint: str) -> Endpoint:
        return ctl.network(network).endpoint(endpoint)

    return _only(name, split(name), find, errors.NotFoundError)


def find_network(ctl: Controller, name: str) -> tuple[Network, str]:
    """Return the network of ``NETWORK/ENDPOINT``, and the name that a new endpoint is to have."""

    def find(network: str, endpoint: str) -> tuple[Network, str]:
        return ctl.network(network), endpoint

    return _only(name, split(name), find, errors.NoNetworkError)


def find_view(seen: StateView, name: str) -> EndpointView:
    """Return an endpoint of a state by ``NETWORK/ENDPOINT``."""

    def find(network: str, endpoint: str) -> EndpointView:
        return seen.network(network).endpoint(endpoint)

    return _only(name, split(name), find, errors.NotFoundError)


def _complete(names: Callable[[StateView], list[str]]) -> Callable[..., list[CompletionItem]]:
    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        del parameter
        try:
            found = names(reading(context.params.get("state")))
        except errors.DriverAPIError:
            return []  # a shell that completes says nothing
        return [CompletionItem(name) for name in found if name.startswith(incomplete)]

    return complete


def _networks(seen: StateView) -> list[str]:
    return [one.name for one in seen.networks]


def _endpoints(seen: StateView) -> list[str]:
    return [f"{network.name}/{one.name}" for network in seen.networks for one in network.endpoints]


def _sandboxes(seen: StateView) -> list[str]:
    return [one.name for one in seen.sandboxes]


def network_argument(*, many: bool = True) -> Callable[[F], F]:
    """Return the argument for networks that are there, completed from the state."""
    return click.argument(
        "names" if many else "name", nargs=-1 if many else 1, required=True, shell_complete=_complete(_networks)
    )


def endpoint_argument(*, many: bool = False, new: bool = False) -> Callable[[F], F]:
    """Return the argument for endpoints, completed from the state; for a new one its network is."""
    complete = _complete(lambda seen: [f"{one}/" for one in _networks(seen)] if new else _endpoints(seen))
    return click.argument(
        "names" if many else "name",
        nargs=-1 if many else 1,
        required=True,
        metavar="NETWORK/ENDPOINT..." if many else "NETWORK/ENDPOINT",
        shell_complete=complete,
    )


def sandbox_argument() -> Callable[[F], F]:
    """Return the argument for sandboxes that are there, completed from the state."""
    return click.argument("names", nargs=-1, required=True, shell_complete=_complete(_sandboxes))


complete_networks = _complete(_networks)
complete_sandboxes = _complete(_sandboxes)

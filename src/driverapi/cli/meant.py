"""The click group that answers an unknown subcommand with the one that was probably meant."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

import click

__all__ = ["Group"]

_ELSEWHERE: Final[Mapping[str, str]] = {
    "add": "create",
    "del": "rm",
    "delete": "rm",
    "list": "ls",
    "new": "create",
    "remove": "rm",
    "show": "inspect",
}
"""What other commands, and this package's classes, call the same."""


class Group(click.Group):
    """A group of which an unknown subcommand is an error that names the nearest."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand, as click does."""
        name, names = args[0], self.list_commands(ctx)
        if name not in names and not name.startswith("-") and not ctx.resilient_parsing:
            meant = _ELSEWHERE.get(name, "")
            found = [meant] if meant in names else get_close_matches(name, names, 1)
            if found:
                ctx.fail(f"No such command {name!r}; did you mean {found[0]!r}?")
        return super().resolve_command(ctx, args)

"""The command ``driverapi``; it needs the extra ``[cli]`` (click and rich)."""

from __future__ import annotations

import sys
from importlib.util import find_spec

__all__ = ["main"]


def main() -> None:
    """Run the command line; the entry point of the console script. Does not return."""
    if any(find_spec(name) is None for name in ("click", "rich")):
        print("driverapi: the command needs click and rich: pip install 'driverapi[cli]'", file=sys.stderr)
        raise SystemExit(2)
    from driverapi.cli.group import group

    group(prog_name="driverapi")

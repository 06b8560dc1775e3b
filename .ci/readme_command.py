"""Prints a shell block of the README: ``python .ci/readme_command.py 2`` for the second.

CI takes the commands from there, so what a reader pastes is what CI runs.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"


def shell_blocks(markdown: str) -> list[str]:
    """Return the text of each fenced block marked ``sh``, in order."""
    return re.findall(r"^```sh\n(.*?)^```$", markdown, re.MULTILINE | re.DOTALL)


if __name__ == "__main__":
    print(shell_blocks(README.read_text())[int(sys.argv[1]) - 1], end="")

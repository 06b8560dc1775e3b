"""Peers of family ``services``: a hosts file that is written for each peer, as it is often done."""

from __future__ import annotations

import os

from driverapi.bench.services import HostsTask

__all__ = ["AppendEach", "RewriteEach"]


class RewriteEach(HostsTask):
    """The file is read, the name's old lines are left out, the new one is added, and it takes the old one's place."""

    def setup(self) -> None:
        """Begin with one line."""
        super().setup()
        self.path.write_text("127.0.0.1\tlocalhost\n")

    def run(self) -> None:
        """Do so for each."""
        path, new = str(self.path), str(self.directory / "new")
        for name, address in self.names:
            with open(path) as file:
                kept = [line for line in file if line.split()[1] != name]
            with open(new, "w") as file:
                file.writelines(kept)
                file.write(f"{address}\t{name} {name}.web\n")
            os.rename(new, path)


class AppendEach(RewriteEach):
    """A line is appended: nobody who reads meanwhile is thought of, and whose name comes twice is there twice."""

    def run(self) -> None:
        """Do so for each."""
        path = str(self.path)
        for name, address in self.names:
            with open(path, "a") as file:
                file.write(f"{address}\t{name} {name}.web\n")

"""Family ``services``: the hosts file of a sandbox whose peers come in a burst. Ours, and what all contenders share."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from driverapi.bench.task import Parameters, Task, WrongResultError

__all__ = ["HostsTask", "OursBurst"]


class HostsTask(Task):
    """A hosts file has the names of some peers, and is to have those of as many more, each of which has just come."""

    def __init__(self, parameters: Parameters, seed: int) -> None:
        super().__init__(parameters, seed)
        self.names: list[tuple[str, str]] = []  # of those who come: name, address
        self.writes = 0

    def setup(self) -> None:
        """Make a directory."""
        self.directory = Path(tempfile.mkdtemp())
        self.names = [(f"peer{at:06d}", f"10.77.{at >> 8}.{at & 255}") for at in range(2, self.units + 2)]
        self.writes = 0

    @property
    def path(self) -> Path:
        """The file."""
        return self.directory / "hosts"

    def check(self) -> None:
        """Raise unless the file has all of them."""
        from driverapi.services.hosts import parse

        found = {name for entry in parse(self.path.read_text()) for name in entry.names}
        missing = [name for name, _ in self.names if name not in found]
        if missing:
            raise WrongResultError(f"the file has not {len(missing)} of {self.units} names")

    def settle(self) -> None:
        """Take the directory away."""
        shutil.rmtree(self.directory, ignore_errors=True)


class OursBurst(HostsTask):
    """``Controller``, over a dataplane in memory: from the last endpoint's coming to the file."""

    def setup(self) -> None:
        """Have all come, and the room wait until it is told to write."""
        from driverapi.controller import Controller
        from driverapi.dataplane.fake import FakeDataplane

        super().setup()
        self.ctl = Controller(dataplane=FakeDataplane())
        net = self.ctl.create_network("bridge", "web", ipv4="10.77.0.0/16")
        self.box = self.ctl.create_sandbox("box", services=True)
        net.create_endpoint("box").join(self.box)
        self.ctl._files.stop()
        self.names = [(endpoint.name, "") for endpoint in net.attach(self.units)]
        assert self.box._files is not None
        self.files, self.before = self.box._files, self.box._files.writes

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.files.directory) / "hosts"

    def run(self) -> None:
        """Write."""
        self.ctl._files._write_dirty()

    def check(self) -> None:
        """Raise unless it was one write."""
        super().check()
        self.writes = self.files.writes - self.before
        if self.writes != 1:
            raise WrongResultError(f"{self.writes} writes, not one")

    def settle(self) -> None:
        """Take all away."""
        super().settle()
        self.ctl.close()

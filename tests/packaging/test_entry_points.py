"""A third-party driver, installed the way its users install it, is found by its name.

Installing needs a network and a build backend, so it is done here as an installer would
leave it: the modules, and a ``.dist-info`` with the entry points of its ``pyproject.toml``.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
GROUP = "driverapi.drivers"


def projects() -> list[Path]:
    return sorted(file.parent for file in EXAMPLES.glob("*/pyproject.toml"))


def install(project: Path, target: Path) -> dict[str, str]:
    """Put a project into a directory for ``PYTHONPATH``; return its drivers."""
    table = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    modules = project / "src" if (project / "src").is_dir() else project
    shutil.copytree(
        modules, target, ignore=shutil.ignore_patterns("*.toml", "*.md", "__pycache__", "build", "*.egg-info")
    )
    drivers: dict[str, str] = table["entry-points"][GROUP]
    info = target / f"{table['name'].replace('-', '_')}-{table['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {table['name']}\nVersion: {table['version']}\n")
    lines = [f"{name} = {value}" for name, value in drivers.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]))
    return drivers


def python(code: str, target: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # -I and an explicit path: neither the checkout nor the environment helps.
    start = "import sys; sys.path.insert(0, sys.argv[1])\n"
    paths = f"sys.path.extend({[path for path in sys.path if path]!r})\n"
    return subprocess.run(
        [sys.executable, "-I", "-c", start + paths + code, str(target), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_ipam_is_found_by_its_name(tmp_path: Path) -> None:
    target = tmp_path / "site"
    info = target / "rack-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rack\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[driverapi.ipams]\nrack = rack_ipam:make\n")
    (target / "rack_ipam.py").write_text("from driverapi.ipam.default import DefaultIPAM as make\n")
    done = python(
        "from driverapi import Controller\n"
        "from driverapi.testing import FakeDataplane\n"
        "with Controller(dataplane=FakeDataplane()) as ctl:\n"
        "    assert ctl.ipams.names() == ['default', 'null', 'rack'], ctl.ipams.names()\n"
        "    net = ctl.create_network('bridge', 'web', ipam='rack')\n"
        "    print(net.ipam, net.ipv4)\n",
        target,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["rack", "172.17.0.0/16"]


FIND = """
from driverapi import Driver, DriverRegistry
name = sys.argv[2]
registry = DriverRegistry()
assert name in registry.names(), registry.names()
driver = registry.get(name)
assert isinstance(driver, Driver)
assert registry.get(name) is driver
print(driver.type())
"""


def test_there_is_an_example() -> None:
    assert projects()


@pytest.mark.parametrize("project", projects(), ids=lambda project: project.name)
def test_found_through_its_entry_point(project: Path, tmp_path: Path) -> None:
    for name in install(project, tmp_path / "site"):
        done = python(FIND, tmp_path / "site", name)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == name


@pytest.mark.parametrize("project", projects(), ids=lambda project: project.name)
def test_short_enough_to_be_read(project: Path) -> None:
    files = [file for file in project.rglob("*.py") if "build" not in file.parts]
    assert sum(len(file.read_text().splitlines()) for file in files) <= 60


def test_a_broken_entry_point_is_an_error_that_names_it(tmp_path: Path) -> None:
    site = tmp_path / "site"
    info = site / "broken-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nbroken = no_such_module:Driver\n")
    code = """
from driverapi import DriverRegistry, errors
try:
    DriverRegistry().get("broken")
except errors.DriverFaultError as fault:
    print(fault)
"""
    done = python(code, site)
    assert done.returncode == 0, done.stderr
    assert "broken" in done.stdout
    assert "no_such_module" in done.stdout

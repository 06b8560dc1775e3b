"""What ``import driverapi`` may load, and who may import the native core."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
HEAVY = {"aiohttp", "click", "msgspec", "netaddr", "prometheus_client", "pyroute2", "rich"}


def modules_after(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after ``code``."""
    report = f"{code}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_loads_nothing_heavy() -> None:
    loaded = modules_after("import driverapi")
    assert "driverapi" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_a_controller_loads_no_metrics() -> None:
    loaded = modules_after("from driverapi.controller import Controller; import driverapi.control.warm, driverapi.aio")
    assert "prometheus_client" not in loaded


def test_the_check_would_see_a_heavy_module() -> None:
    assert "netaddr" in modules_after("import driverapi, netaddr")


def test_every_public_name_can_be_imported() -> None:
    import driverapi

    for name in driverapi.__all__:
        assert getattr(driverapi, name) is not None, name


def imported(file: Path) -> set[str]:
    """Return the top-level modules that a file imports anywhere, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in {
            "import_module",
            "__import__",
        }:
            texts = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            names |= {text.partition(".")[0] for text in texts}
    return names


CROSSES = {"driverapi/_native.py"}


def test_one_seam() -> None:
    crossing = {
        file.relative_to(SOURCE).as_posix()
        for file in (SOURCE / "driverapi").rglob("*.py")
        if "_fastnet" in imported(file)
    }
    assert crossing == CROSSES


def test_the_core_never_imports_the_package() -> None:
    files = [file for pattern in ("*.py", "*.pyi") for file in (SOURCE / "_fastnet").glob(pattern)]
    assert files
    for file in files:
        assert "driverapi" not in imported(file), file
    for file in (SOURCE / "_fastnet").glob("*.p[yx][xd]"):
        for line in file.read_text().splitlines():
            assert not line.lstrip().startswith(("import driverapi", "from driverapi", "cimport driverapi")), file


@pytest.mark.parametrize(
    "code",
    [
        "import _fastnet",
        "from _fastnet import bitmap as b",
        "def f():\n    import _fastnet.batch",
        "import_module('_fastnet.x')",
    ],
)
def test_the_seam_check_sees_each_way_of_importing(tmp_path: Path, code: str) -> None:
    file = tmp_path / "module.py"
    file.write_text(code)
    assert "_fastnet" in imported(file)

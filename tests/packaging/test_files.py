"""The shape of the tree: files that go together, and files that do not grow without end."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
CORE = ROOT / "src" / "_fastnet"
MAX_LINES = 650


def sources() -> list[Path]:
    kinds = {".py", ".pyi", ".pyx", ".pxd"}
    rooms = ("src", "tests", "benchmarks", "examples", ".ci")
    files = [file for room in rooms for file in (ROOT / room).rglob("*") if file.suffix in kinds]
    return [*files, ROOT / "setup.py", ROOT / ".ci" / "run"]


def test_every_native_module_has_its_three_files() -> None:
    modules = {file.stem for file in CORE.glob("*.pyx")}
    assert modules
    lacking = [
        f"{module}{suffix}"
        for module in sorted(modules)
        for suffix in (".pxd", ".pyi")
        if not (CORE / f"{module}{suffix}").exists()
    ]
    assert not lacking


def test_no_stub_without_a_module() -> None:
    assert {file.stem for file in CORE.glob("*.pyi")} <= {file.stem for file in CORE.glob("*.pyx")}


def test_files_stay_small() -> None:
    long = {str(file.relative_to(ROOT)): lines for file in sources() if (lines := count(file)) > MAX_LINES}
    assert not long


def count(file: Path) -> int:
    return len(file.read_text().splitlines())

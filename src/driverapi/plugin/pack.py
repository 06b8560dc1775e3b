"""A plugin as ``docker plugin`` manages one: a root file system with Python in it, and ``config.json``.

All is copied from what runs: nothing is downloaded. See Docker's ``plugin config``: the plugin is in the host's
network, and its socket is where the engine mounts ``/run/docker/plugins``.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from driverapi import errors
from driverapi.plugin.sockets import PLUGINS

__all__ = ["pack"]

PACKAGES: Final = ("driverapi", "_fastnet", "msgspec", "netaddr", "pyroute2", "httptools", "click", "rich", "pygments")
"""What ``driverapi serve`` needs; the command looks for rich."""

_HOME: Final = "/opt/driverapi"
_LEFT_OUT: Final = ("__pycache__", "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3")
_CAPABILITIES: Final = ("CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SYS_ADMIN")
_TIMEOUT: Final = 30.0


def pack(directory: str | os.PathLike[str], name: str, serve: Sequence[str], packages: Iterable[str] = ()) -> Path:
    """Write ``config.json`` and ``rootfs`` for ``docker plugin create``; return the directory.

    Parameters
    ----------
    directory : path
        Made; it must not be there, or be empty.
    serve : sequence of str
        Arguments of ``driverapi serve``, besides the name, the socket and the state.
    packages : iterable of str
        Further ones to copy, by import name: those of drivers.

    Raises
    ------
    errors.ConflictError
        There is something in the directory.
    errors.NotFoundError
        A package is not installed.
    errors.KernelError
        It could not be written; what was is left there.
    """
    place = Path(directory)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise errors.ConflictError(f"{place} is not empty; give another directory")
    found = [_package(one) for one in (*PACKAGES, *packages)]
    root = place / "rootfs"
    try:
        root.mkdir(parents=True, mode=0o755)
        for path in ("run/docker/plugins", "var/lib/driverapi", "tmp", "proc", "sys", "dev", "etc"):
            (root / path).mkdir(parents=True, exist_ok=True)
        python = Path(os.path.realpath(sys.executable))
        inside = f"{sys.base_prefix}/bin/python3"
        binaries = [_copy(python, root, inside)]
        library = sysconfig.get_path("stdlib")
        _copy_tree(Path(library), root / library.lstrip("/"))
        for package in found:
            _copy_tree(package, root / _HOME.lstrip("/") / package.name)
        binaries += _copy_filters(root)
        binaries += [path for path in root.rglob("*.so*") if path.is_file()]
        for library in _libraries(binaries):
            _copy(Path(library), root, library)
        (place / "config.json").write_text(json.dumps(_config(name, inside, serve), indent=2) + "\n")
    except (OSError, shutil.Error, subprocess.SubprocessError) as error:
        raise errors.KernelError(f"pack into {place}: {error}", getattr(error, "errno", 0) or 0) from error
    return place


def _package(name: str) -> Path:
    found = find_spec(name)
    if found is None or found.origin is None:
        raise errors.NotFoundError(f"package {name!r} is not installed here; install it, and pack again")
    origin = Path(found.origin)
    return origin.parent if origin.name == "__init__.py" or found.submodule_search_locations else origin


def _copy(source: Path, root: Path, inside: str) -> Path:
    target = root / inside.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        shutil.copy(source, target)
    return target


def _copy_tree(source: Path, target: Path) -> None:
    if source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
        return
    left_out = shutil.ignore_patterns(*_LEFT_OUT, "config-*", "*-packages", "*.a", "*.c", "*.pyx", "*.o")
    shutil.copytree(source, target, ignore=left_out, dirs_exist_ok=True)


def _copy_filters(root: Path) -> list[Path]:
    """Copy what the plugin makes rules with: its own, and those by which packets pass; nothing that is not here."""
    found = []
    for name in ("nft", "iptables", "ip6tables"):
        program = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        if program is not None:  # one program under several names
            found.append(_copy(Path(os.path.realpath(program)), root, f"/usr/sbin/{name}"))
    for directory in Path("/usr/lib").glob("*/xtables"):
        if found:
            _copy_tree(directory, root / str(directory).lstrip("/"))
    return found


def _libraries(binaries: Iterable[Path]) -> set[str]:
    """Return the paths of all shared libraries that these need, the loader's too."""
    found: set[str] = set()
    for at in range(0, len(some := list(binaries)), 50):
        command = ["ldd", *map(str, some[at : at + 50])]
        told = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)  # noqa: S603
        for line in told.stdout.splitlines():
            words = line.split()
            path = words[2] if "=>" in words and len(words) > 2 else words[0] if words else ""
            if path.startswith("/") and not path.endswith(":"):
                found.add(path)
    return found


def _config(name: str, python: str, serve: Sequence[str]) -> dict[str, Any]:
    command = [python, "-m", "driverapi", "serve", "--name", name, "--socket", str(PLUGINS / f"{name}.sock")]
    return {
        "description": "Container networking: a driver of driverapi",
        "documentation": "docs/plugin.md",
        "entrypoint": [*command, "--state", f"/var/lib/driverapi/{name}.db", *serve],
        "args": {"name": "args", "description": "more of driverapi serve", "settable": ["value"], "value": []},
        "workdir": "/",
        "interface": {"types": ["docker.networkdriver/1.0", "docker.ipamdriver/1.0"], "socket": f"{name}.sock"},
        "network": {"type": "host"},
        "linux": {"capabilities": list(_CAPABILITIES)},
        "env": [
            {"name": "PYTHONPATH", "value": _HOME},
            {"name": "PATH", "value": "/usr/sbin:/usr/bin:/sbin:/bin"},
            {"name": "LANG", "value": "C.UTF-8"},
        ],
        "platform": platform.machine(),
    }

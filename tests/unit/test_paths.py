"""Directories and files that somebody else could change are refused, and names never become paths."""

from __future__ import annotations

import ast
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from driverapi import errors, trace
from driverapi.dataplane.sandboxes import Sandboxes
from driverapi.instance import Instance
from driverapi.paths import check_id, check_private_file, private_directory
from driverapi.plan import check_link_name
from driverapi.store.sqlite import SqliteStore
from tests.support import World

SOURCE = Path(__file__).parents[2] / "src"
SOMEBODY = 12_345


def give(path: Path, user: int, group: int) -> None:
    """Give a file to another user, which only root can, and in the first user namespace only."""
    try:
        os.chown(path, user, group)
    except OSError as error:
        pytest.skip(f"no file can be given to another user here: {error}")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


# --- directories ------------------------------------------------------------------------------------------


def test_what_is_missing_is_made_for_us_alone(tmp_path: Path, open_umask: None) -> None:
    made = private_directory(tmp_path / "a" / "b" / "c", "run_dir")
    assert made == tmp_path / "a" / "b" / "c"
    assert [mode(tmp_path / part) for part in ("a", "a/b", "a/b/c")] == [0o755, 0o755, 0o700]
    assert private_directory(made, "run_dir") == made


def test_links_above_are_resolved_once(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert private_directory(tmp_path / "link" / "x", "run_dir") == tmp_path / "real" / "x"


@pytest.mark.parametrize("text", ["x/..", "x/../y", "./y", "x/./y"])
def test_dots(tmp_path: Path, text: str) -> None:
    (tmp_path / "x").mkdir()
    assert private_directory(f"{tmp_path}/{text}", "run_dir") == Path(os.path.realpath(f"{tmp_path}/{text}"))


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(errors.UnsafePathError, match=r"run_dir .*/link is a symbolic link"):
        private_directory(tmp_path / "link", "run_dir")


def test_a_link_to_nothing_is_refused_and_nothing_made(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(errors.UnsafePathError):
        private_directory(tmp_path / "link", "run_dir")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("bits", [0o777, 0o1777, 0o702])
def test_one_that_all_can_write_is_refused(tmp_path: Path, bits: int) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d").chmod(bits)
    with pytest.raises(errors.UnsafePathError, match=r"can be changed by others \(mode") as refused:
        private_directory(tmp_path / "d", "run_dir")
    assert ("chmod" in str(refused.value)) == (bits != 0o1777), "nobody is told to take away what /tmp is for"


def test_one_above_that_all_can_write_is_refused_unless_it_is_sticky(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d").chmod(0o777)
    with pytest.raises(errors.UnsafePathError, match="/d can be changed"):
        private_directory(tmp_path / "d" / "e" / "f", "run_dir")
    assert not (tmp_path / "d" / "e").exists()
    (tmp_path / "d").chmod(0o1777)
    private_directory(tmp_path / "d" / "e" / "f", "run_dir")


@pytest.mark.parametrize("place", ["d", "d/e", "d/e/f"])
def test_one_of_another_user_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "d" / "e" / "f").mkdir(parents=True)
    give(tmp_path / place, SOMEBODY, 0)
    with pytest.raises(errors.UnsafePathError, match=f"{place} belongs to user {SOMEBODY}, not to {os.geteuid()}"):
        private_directory(tmp_path / "d" / "e" / "f", "run_dir")


def test_one_of_another_user_that_is_sticky_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d").chmod(0o1777)
    give(tmp_path / "d", SOMEBODY, 0)
    with pytest.raises(errors.UnsafePathError, match="belongs to"):
        private_directory(tmp_path / "d" / "e", "run_dir")


def test_one_that_another_group_can_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    give(tmp_path / "d", 0, SOMEBODY)
    (tmp_path / "d").chmod(0o770)
    with pytest.raises(errors.UnsafePathError, match="can be changed"):
        private_directory(tmp_path / "d", "run_dir")


def test_a_file_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "d"):
        with pytest.raises(NotADirectoryError):
            private_directory(path, "run_dir")


def test_files(tmp_path: Path) -> None:
    file = tmp_path / "state"
    check_private_file(file, "state")  # not there yet
    file.touch(0o600)
    check_private_file(file, "state")
    file.chmod(0o622)
    with pytest.raises(errors.UnsafePathError, match="can be changed"):
        check_private_file(file, "state")
    (tmp_path / "link").symlink_to("state")
    with pytest.raises(errors.UnsafePathError, match="symbolic link"):
        check_private_file(tmp_path / "link", "state")
    with pytest.raises(errors.UnsafePathError, match="no ordinary file"):
        check_private_file(tmp_path, "state")


# --- run_dir ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", ["", "a\0b", b"bytes", 7, None.__class__])
def test_a_run_directory_that_is_no_path(bad: Any) -> None:
    with pytest.raises(errors.InvalidError, match="is not the path of a directory"):
        Instance(bad)


def test_a_run_directory_that_is_unsafe(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(errors.UnsafePathError):
        Instance(tmp_path / "link")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(errors.UnsafePathError):
        Instance(tmp_path / "open")
    assert not list((tmp_path / "open").iterdir())


def test_a_run_directory_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    give(tmp_path / "theirs", SOMEBODY, SOMEBODY)
    with pytest.raises(errors.UnsafePathError, match=f"run_dir .* belongs to user {SOMEBODY}"):
        Instance(tmp_path / "theirs")


def test_a_run_directory_that_is_too_long(tmp_path: Path) -> None:
    for path in (tmp_path / ("x" * 300), tmp_path.joinpath(*["y" * 200] * 30)):
        with pytest.raises(errors.KernelError, match="File name too long"):
            Instance(path)
    assert not list(tmp_path.iterdir())


def test_the_environment_is_checked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.setenv("DRIVERAPI_RUN_DIR", str(tmp_path / "link"))
    with pytest.raises(errors.UnsafePathError):
        Instance()


def test_modes_of_what_an_instance_makes(tmp_path: Path, open_umask: None) -> None:
    instance = Instance(tmp_path / "run")
    assert mode(tmp_path / "run") == 0o700
    assert mode(instance.directory) == 0o700
    assert mode(instance.namespaces) == 0o700
    assert mode(instance.directory / "lock") == 0o600
    instance.close()


def test_mode_of_a_trace(tmp_path: Path, open_umask: None) -> None:
    for name in ("t.txt", "t.pcap", "t.pcapng"):
        trace.Trace(tmp_path / name).close()
        assert mode(tmp_path / name) == 0o600


# --- state ------------------------------------------------------------------------------------------------


def test_a_state_that_others_could_change(tmp_path: Path) -> None:
    (tmp_path / "target").touch()
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o1777)  # somebody could put a link in the place of its -wal there
    (tmp_path / "file").touch()
    (tmp_path / "file").chmod(0o666)
    for path in ("link", "open/state", "file"):
        for reading in (False, True):
            with pytest.raises(errors.UnsafePathError):
                SqliteStore(tmp_path / path, reading=reading)
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["file", "link", "open", "target"]
    assert not (tmp_path / "target").stat().st_size


def test_modes_of_a_state(tmp_path: Path, open_umask: None) -> None:
    store = SqliteStore(tmp_path / "state.db")
    store.put_fact("a", "b")
    made = {one.name: mode(one) for one in tmp_path.iterdir()}
    assert {"state.db", "state.db.lock", "state.db.good", "state.db-wal"} <= set(made)
    assert set(made.values()) == {0o600}
    store.close()


def test_a_lock_that_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("whole")
    (tmp_path / "state.db.lock").symlink_to("victim")
    with pytest.raises(errors.StateError):
        SqliteStore(tmp_path / "state.db")
    assert (tmp_path / "victim").read_text() == "whole"


@pytest.mark.parametrize("path", ["", "a\0b", 7, "x" * 300])
def test_a_state_that_is_no_path(tmp_path: Path, path: Any) -> None:
    with pytest.raises(errors.InvalidError if path != "x" * 300 else errors.StateError):
        SqliteStore(path if path != "x" * 300 else tmp_path / path)


# --- names and ids ----------------------------------------------------------------------------------------

BAD_NAMES = ["", "a\0b", "a\nb", "\x1b[31m", "x" * 256, "a\u202eb"]
PATHS = ["../x", "/etc/passwd", "..", ".", "a/b", "x" * 255]


@pytest.mark.parametrize("bad", [*BAD_NAMES, 7, None, b"bytes"])
def test_names_that_are_refused(world: World, bad: Any) -> None:
    net = world.ctl.create_network("bridge", "net", ipv4="10.7.0.0/24")
    for attempt in (
        lambda: world.ctl.create_sandbox(bad),
        lambda: world.ctl.create_network("bridge", bad),
        lambda: net.create_endpoint(bad),
    ):
        with pytest.raises(errors.InvalidError):
            attempt()


@pytest.mark.parametrize("name", PATHS)
def test_names_that_look_like_paths_are_names(world: World, name: str) -> None:
    """What stands on disk, and in the kernel, is made of ids of our own."""
    box = world.ctl.create_sandbox(name)
    assert box.key.startswith("/fake/ns/")
    assert set(box.key.removeprefix("/fake/ns/")) <= set("0123456789abcdef")
    net = world.ctl.create_network("bridge", name, ipv4="10.7.0.0/24")
    endpoint = net.create_endpoint(name)
    endpoint.join(box)
    assert world.ctl.sandbox(name) is box
    assert world.ctl.network(name) is net
    assert net.endpoint(name) is endpoint
    assert name not in repr(sorted(world.dataplane.links))


@pytest.mark.parametrize("id", ["", "../x", "/x", "..", ".", "a/b", "a\0b", "a\nb", "x" * 256, "é", "a b"])
def test_ids_that_would_lead_elsewhere(tmp_path: Path, id: str) -> None:
    instance = Instance(tmp_path)
    sandboxes = Sandboxes(instance)
    with pytest.raises(errors.InvalidError, match="sandbox id"):
        sandboxes.make([id])
    assert not list(instance.namespaces.iterdir())
    sandboxes.discard([id])  # unknown: passed over
    instance.close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a", "A-b_9", "x" * 255])
def test_ids_that_are_taken(name: str) -> None:
    assert check_id(name, "id") == name


@pytest.mark.parametrize("name", ["", ".", "..", "a/", "a\n", "-\0", "\u0661", "x" * 256, b"a", None])
def test_ids_that_are_not(name: Any) -> None:
    with pytest.raises(errors.InvalidError, match=r"id .* must be letters"):
        check_id(name, "id")


@pytest.mark.parametrize("bad", ["", "a\0b", "\ud800\udfff" + "x", 7, None.__class__])
def test_namespaces_that_are_no_paths(world: World, bad: Any) -> None:
    with pytest.raises(errors.InvalidError, match="netns"):
        world.ctl.create_sandbox("box", netns=bad)
    assert not world.ctl.sandboxes


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a\0", "a b", "x" * 16, ".", "..", "a:b", "a\n", "%d"])
def test_interface_names_that_are_refused(name: str) -> None:
    """They would be paths below /sys and /proc/sys."""
    with pytest.raises(errors.InvalidError):
        check_link_name(name)


# --- no shell ---------------------------------------------------------------------------------------------


def shells(source: str) -> list[str]:
    """Return what in a file would start a shell."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            found += [f"shell={ast.unparse(one.value)}" for one in node.keywords if one.arg == "shell"]
        name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
        if name in {"system", "popen", "getoutput", "getstatusoutput", "create_subprocess_shell", "eval", "exec"}:
            found.append(name)
        if isinstance(node, ast.ImportFrom):
            found += [one.name for one in node.names if one.name in {"system", "popen", "getoutput"}]
        if isinstance(node, ast.Constant) and node.value in ("/bin/sh", "/bin/bash", "sh", "bash"):
            found.append(str(node.value))
    return found


def test_no_shell_anywhere() -> None:
    files = list(SOURCE.rglob("*.py"))
    assert len(files) > 50
    found = {str(file.relative_to(SOURCE)): some for file in files if (some := shells(file.read_text()))}
    # A benchmark's Docker engine is set up by a script that is a constant, in namespaces of its own.
    assert found == {"driverapi/bench/dockerd.py": ["/bin/sh", "sh"]}


def test_the_library_starts_no_programs() -> None:
    starting = {
        file.relative_to(SOURCE / "driverapi").parts[0]
        for file in (SOURCE / "driverapi").rglob("*.py")
        if re.search(r"\b(subprocess|posix_spawn|exec[lv]p?e?)\b", file.read_text())
    }
    # What is compared with; what is tried in a process of its own; the engine's chain, which only iptables may write.
    assert starting <= {"bench", "dataplane", "doctor", "iptables.py", "plugin"}
    here = [file.name for file in (SOURCE / "driverapi/dataplane").rglob("*.py") if "subprocess" in file.read_text()]
    assert here == ["ruleset.py"]  # nft, which makes the table of packet filter rules, once


def test_no_shell_in_the_native_core() -> None:
    for file in (SOURCE / "_fastnet").glob("*.p[yx][xd]"):
        assert not re.search(r"\b(c_)?(system|popen|execl|execlp|execvp|execve)\(", file.read_text()), file


@pytest.mark.parametrize(
    "code",
    [
        "subprocess.run('x', shell=True)",
        "os.system('x')",
        "from os import popen",
        "subprocess.getoutput('x')",
        "run(['/bin/sh', '-c', x])",
        "eval(x)",
    ],
)
def test_the_check_sees_each_way(code: str) -> None:
    assert shells(code)

"""The identity of a controller: an id, a directory, a lock; and names and numbers that carry the id."""

from __future__ import annotations

import fcntl
import os
import warnings
from pathlib import Path

import pytest

from driverapi import errors
from driverapi.instance import GROUP_MARK, GROUPS, Instance, default_run_dir


def locked(instance_directory: Path) -> bool:
    """Tell whether somebody holds the lock of an instance."""
    with open(instance_directory / "lock", "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def in_child(call: object) -> bytes:
    """Run something in a forked child, and return what it says."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads: ours is careful
        pid = os.fork()
    if pid == 0:
        try:
            os.write(write, call())  # type: ignore[operator]
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as answer:
        said = answer.read()
    os.waitpid(pid, 0)
    return said


def test_it_holds_its_lock_and_goes_without_a_trace(tmp_path: Path) -> None:
    instance = Instance(tmp_path)
    assert instance.directory == tmp_path / instance.id
    assert instance.namespaces.is_dir()
    assert instance.directory.stat().st_mode & 0o777 == 0o700
    assert locked(instance.directory)
    assert (instance.directory / "lock").read_text() == f"{os.getpid()}\n"
    instance.close()
    assert list(tmp_path.iterdir()) == []
    instance.close()


def test_what_still_stands_keeps_the_directory_but_not_the_lock(tmp_path: Path) -> None:
    instance = Instance(tmp_path)
    (instance.namespaces / "left").touch()
    instance.close()
    assert (instance.namespaces / "left").exists()
    assert not locked(instance.directory)


def test_two_instances_share_nothing(tmp_path: Path) -> None:
    one, two = Instance(tmp_path), Instance(tmp_path)
    assert one.id != two.id
    assert locked(one.directory)
    assert locked(two.directory)
    assert {one.link_name("e") for _ in range(100)}.isdisjoint(two.link_name("e") for _ in range(100))
    assert one.group(GROUPS - 1) != two.group(GROUPS - 1)
    one.close()
    assert locked(two.directory)
    two.close()


def test_a_taken_id_is_not_taken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (0, 1):
        (tmp_path / f"{number:04x}").mkdir()
    numbers = iter([0, 1, 2, 77])
    monkeypatch.setattr("driverapi.instance.secrets.randbelow", lambda _: next(numbers))
    instance = Instance(tmp_path)
    assert instance.id == "0002"
    instance.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0000", "0001"]


def test_when_all_ids_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "0000").mkdir()
    monkeypatch.setattr("driverapi.instance.secrets.randbelow", lambda _: 0)
    with pytest.raises(errors.KernelError, match=str(tmp_path)):
        Instance(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["0000"]


def test_names_and_numbers_carry_the_id(tmp_path: Path) -> None:
    instance = Instance(tmp_path)
    names = [instance.link_name(kind) for kind in "ebeb" * 100]
    assert len(set(names)) == len(names)
    assert all(name.startswith(f"dv{instance.id}") and len(name) <= 15 for name in names)
    groups = {instance.group(number) for number in range(GROUPS)}
    assert len(groups) == GROUPS
    assert {group >> 14 & 0xFFFF for group in groups} == {int(instance.id, 16)}
    assert all(group & GROUP_MARK and group < 1 << 31 for group in groups)
    indexes = [instance.link_index() for _ in range(1000)]
    assert len(set(indexes)) == 1000
    assert all(1 << 30 <= index < 1 << 31 for index in indexes)
    instance.close()


def test_a_name_fits_however_many_came_before(tmp_path: Path) -> None:
    import itertools

    instance = Instance(tmp_path)
    instance._names = itertools.count((1 << 40) - 1)
    assert len(instance.link_name("e")) == 15
    instance.close()


def test_a_fork_does_not_keep_the_lock(tmp_path: Path) -> None:
    instance = Instance(tmp_path)
    other = os.pipe(), os.pipe()
    (ready, say_ready), (go, say_go) = other
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        os.write(say_ready, b"x")
        os.read(go, 1)
        os._exit(0)
    try:
        os.read(ready, 1)
        assert locked(instance.directory)
        instance._let_go()  # as if this process had died
        assert not locked(instance.directory), "the child holds the lock of its parent"
    finally:
        os.write(say_go, b"x")
        os.waitpid(pid, 0)
        for one in (ready, say_ready, go, say_go):
            os.close(one)


def test_closing_in_a_child_leaves_the_parents_alone(tmp_path: Path) -> None:
    instance = Instance(tmp_path)

    def close() -> bytes:
        instance.close()
        return b"closed"

    assert in_child(close) == b"closed"
    assert instance.directory.is_dir()
    assert locked(instance.directory)
    instance.close()


def test_where_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIVERAPI_RUN_DIR", "/somewhere")
    assert default_run_dir() == Path("/somewhere")
    monkeypatch.delenv("DRIVERAPI_RUN_DIR")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_run_dir() == Path("/run/driverapi")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    assert default_run_dir() == Path("/run/user/1000/driverapi")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    with pytest.raises(errors.InvalidError, match="DRIVERAPI_RUN_DIR"):
        default_run_dir()


def test_a_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(errors.KernelError, match="file"):
        Instance(tmp_path / "file" / "below")


def test_no_permission_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(errors.NoPermissionError, match=f"no permission for {tmp_path}.*run_dir") as caught:
        Instance(tmp_path)
    assert caught.value.errno == 13


@pytest.mark.parametrize("step", ["open", "flock"])
def test_a_lock_that_cannot_be_had_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    descriptors = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch:
        patch.setattr(*((os, "open") if step == "open" else (fcntl, "flock")), refuse)
        with pytest.raises(errors.KernelError, match="Too many open files"):
            Instance(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) == descriptors

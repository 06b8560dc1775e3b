"""Links and files that somebody planted where ours shall stand: nothing goes through them, nothing of his is lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from _fastnet import netns
from driverapi import Controller, errors
from driverapi.dataplane.sandboxes import Sandboxes
from driverapi.instance import Instance

pytestmark = pytest.mark.usefixtures("same_descriptors")


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    victim = tmp_path / "victim"
    victim.write_text("whole")
    return victim


@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_where_a_sandbox_shall_stand(tmp_path: Path, victim: Path, dangling: bool) -> None:
    target = tmp_path / "nothing" if dangling else victim
    instance = Instance(tmp_path / "run")
    sandboxes = Sandboxes(instance)
    planted = instance.namespaces / "box"
    planted.symlink_to(target)
    made = sandboxes.make(["box"])
    (refused,) = sandboxes.wait(made)
    assert isinstance(refused, errors.KernelError)
    assert planted.is_symlink()
    assert victim.read_text() == "whole"
    assert not (tmp_path / "nothing").exists()
    (refused,) = sandboxes.drop(made)
    assert isinstance(refused, errors.KernelError)  # it is not ours to remove
    assert planted.is_symlink()
    planted.unlink()
    assert sandboxes.drop(made) == [None]
    instance.close()
    assert not list((tmp_path / "run").iterdir())


def test_a_link_to_a_namespace_is_not_unmounted(tmp_path: Path) -> None:
    with Controller(run_dir=tmp_path / "run") as ctl:
        box = ctl.create_sandbox("box")
        link = tmp_path / "link"
        link.symlink_to(box.key)
        (refused,) = netns.drop([str(link)])
        assert isinstance(refused, OSError)
        assert netns.identity(box.key) == netns.identity(str(link))  # still bound


def test_a_file_in_the_place_of_a_mount_point_stays(tmp_path: Path, victim: Path) -> None:
    (refused,) = netns.drop([str(victim)])
    assert isinstance(refused, OSError)
    assert victim.read_text() == "whole"


def test_a_link_left_in_the_directory_is_not_followed_when_it_is_removed(tmp_path: Path, victim: Path) -> None:
    instance = Instance(tmp_path / "run")
    (instance.directory / "link").symlink_to(victim.parent)
    instance.close()
    assert victim.read_text() == "whole"
    assert not list((tmp_path / "run").iterdir())


def test_a_link_where_an_instance_shall_stand(tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    (run / "0007").symlink_to(tmp_path / "elsewhere")
    numbers = iter([7, 8, 1])
    monkeypatch.setattr("driverapi.instance.secrets.randbelow", lambda _: next(numbers))
    instance = Instance(run)
    assert instance.id == "0008"
    instance.close()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("what", ["file", "directory", "dev", "fifo", "loop", "uts"])
def test_what_is_no_network_namespace(tmp_path: Path, what: str) -> None:
    path = tmp_path / "x"
    if what == "file":
        path.write_text("")
    elif what == "directory":
        path.mkdir()
    elif what == "dev":
        path = Path("/dev/null")
    elif what == "fifo":
        os.mkfifo(path)
    elif what == "loop":
        path.symlink_to(path)
    else:
        path = Path("/proc/self/ns/uts")
    with Controller(run_dir=tmp_path / "run") as ctl:
        with pytest.raises(errors.NoSandboxError, match="no network namespace"):
            ctl.create_sandbox("box", netns=path)
        assert not ctl.sandboxes

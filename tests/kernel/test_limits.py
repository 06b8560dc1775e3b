"""Where the kernel says no: each case in a process of its own, limited and then asked to bring endpoints up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PRELUDE = """
import ctypes, json, os, resource, sys
from driverapi import Controller, errors
from driverapi._private import enter_private_namespaces

def report(**what):
    print(json.dumps(what))
"""


def run(script: str, *prefix: str) -> dict[str, Any]:
    environment = {key: value for key, value in os.environ.items() if key != "XDG_RUNTIME_DIR"}
    done = subprocess.run(
        [*prefix, sys.executable, "-c", PRELUDE + script],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_few_descriptors() -> None:
    """A bulk call stays under the process's limit of descriptors: it keeps few namespaces open."""
    said = run("""
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
enter_private_namespaces()
with Controller() as ctl:
    net = ctl.create_network("bridge", "net", ipv4="10.1.0.0/16")
    before = len(os.listdir("/proc/self/fd"))
    eps = net.attach(300)
    report(failed=[str(e.error) for e in eps if e.error], fds=len(os.listdir("/proc/self/fd")) - before)
    net.detach(eps)
""")
    assert said == {"failed": [], "fds": 0}


def test_no_descriptors_left() -> None:
    """Out of descriptors: every endpoint says so, and nothing is left."""
    said = run("""
enter_private_namespaces()
with Controller() as ctl:
    net = ctl.create_network("bridge", "net", ipv4="10.1.0.0/16")
    used = max(map(int, os.listdir("/proc/self/fd")))
    hogs = [os.open("/dev/null", os.O_RDONLY) for _ in range(20)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hogs[-1] + 3, hogs[-1] + 3))
    eps = net.attach(40)
    for hog in hogs: os.close(hog)
    kinds = sorted({type(e.error).__name__ for e in eps if e.error})
    up = [e for e in eps if not e.error]
    sandboxes, endpoints = len(ctl.sandboxes), len(net.endpoints)
    binds = len(list(ctl._instance.namespaces.iterdir()))
    net.detach(eps)
    again = net.attach(3, strict=True)
    report(kinds=kinds, up=len(up), sandboxes=sandboxes, endpoints=endpoints, binds=binds,
           words=[str(e.error) for e in eps if e.error][:1])
""")
    assert said["kinds"] in ([], ["KernelError"])
    assert said["up"] < 40
    assert said["sandboxes"] == said["endpoints"] == said["binds"] == said["up"]
    assert "Too many open files" in said["words"][0]


def test_namespace_limit() -> None:
    """user.max_net_namespaces of a user namespace of our own: as many as it allows come up, the rest say why."""
    said = run("""
from _fastnet.netns import unshare, CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWNS
if os.geteuid() == 0:
    uid, gid = os.geteuid(), os.getegid()
    unshare(CLONE_NEWUSER)
    open("/proc/self/setgroups", "w").write("deny")
    open("/proc/self/uid_map", "w").write(f"0 {uid} 1")
    open("/proc/self/gid_map", "w").write(f"0 {gid} 1")
enter_private_namespaces()
open("/proc/sys/user/max_net_namespaces", "w").write("11")
with Controller() as ctl:
    net = ctl.create_network("bridge", "net", ipv4="10.1.0.0/16")
    eps = net.attach(20)
    failed = [e for e in eps if e.error]
    report(failed=len(failed), kinds=sorted({type(e.error).__name__ for e in failed}), sandboxes=len(ctl.sandboxes),
           endpoints=len(net.endpoints), words=str(failed[0].error))
    net.detach(eps)
""")
    assert said["failed"] == 10  # one of the eleven is the private one
    assert said["kinds"] == ["KernelError"]
    assert said["sandboxes"] == said["endpoints"] == 10
    assert "namespace" in said["words"]


@pytest.mark.skipif(os.geteuid() != 0, reason="takes capabilities away, which only root has")
def test_no_permission(tmp_path: Path) -> None:
    """Without capabilities every call that needs one is refused by name, and nothing is left behind."""
    said = run(
        f"""
words = []
with Controller(run_dir={str(tmp_path)!r}) as ctl:
    for attempt in (
        lambda: ctl.create_network("bridge", "net", ipv4="10.1.0.0/16"),
        lambda: ctl.create_sandbox("box"),
    ):
        try:
            attempt()
        except errors.NoPermissionError as error:
            words.append(str(error))
    kinds = [type(e.error).__name__ for e in ctl.create_network("null", "none").attach(2)]
    report(words=words, kinds=kinds, networks=[n.name for n in ctl.networks], sandboxes=len(ctl.sandboxes))
""",
        "setpriv",
        "--bounding-set=-all",
        "--inh-caps=-all",
    )
    assert len(said["words"]) == 2
    assert all("Operation not permitted" in words for words in said["words"])
    assert said["kinds"] == ["NoPermissionError"] * 2
    assert said["networks"] == ["none"]
    assert said["sandboxes"] == 0
    assert list(tmp_path.iterdir()) == []

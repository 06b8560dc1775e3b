"""``driverapi network``, ``endpoint`` and ``sandbox``: each command a process of its own, on one state."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from _fastnet.netns import create, drop
from _fastnet.socket import NetlinkSocket
from driverapi import Controller

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path, host: NetlinkSocket) -> Iterator[Run]:
    environment = {**os.environ, "DRIVERAPI_STATE": str(tmp_path / "state.db"), "DRIVERAPI_RUN_DIR": str(tmp_path)}

    def call(*words: str, status: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "driverapi", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**environment, **more})
        assert done.returncode == status, done.stderr
        return done

    yield call
    for path in tmp_path.glob("state.db*"):  # a state keeps its networks; without one nobody owns them
        path.unlink()
    call("doctor", "--fix", "--no-probe")


def loaded(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def test_a_sandbox_is_served_and_an_endpoint_says_what_it_wants(run: Run) -> None:
    run("network", "create", "web", "--ipv4", "10.77.0.0/16")
    run("network", "create", "back", "--ipv4", "10.78.0.0/16")
    words = ["--hostname", "me", "--dns", "192.0.2.1", "--dns-search", "example", "--add-host", "db:10.9.9.9"]
    [box] = [loaded(run("sandbox", "create", "box", *words, "--json"))]
    assert loaded(run("sandbox", "create", "bare", "--json"))["hosts_path"] is None
    run("endpoint", "create", "web/one")
    run("endpoint", "create", "back/two")
    run("endpoint", "join", "web/one", "--sandbox", "box")
    more = ["--route", "10.66.0.0/16 via 10.78.0.9", "--sysctl", "net.ipv4.conf.IFNAME.log_martians=1"]
    run("endpoint", "join", "back/two", "--sandbox", "box", "--gw-priority", "5", *more)
    assert "\n10.77.0.2\tme one one.web\n" in Path(box["hosts_path"]).read_text()
    assert "\n10.9.9.9\tdb\n" in Path(box["hosts_path"]).read_text()
    assert Path(box["resolv_conf_path"]).read_text().startswith("nameserver 192.0.2.1\nsearch example\n")
    inside = ["nsenter", f"--net={box['key']}", "sh", "-c", "ip route; cat /proc/sys/net/ipv4/conf/eth1/log_martians"]
    said = subprocess.run(inside, check=True, capture_output=True, text=True).stdout.splitlines()
    assert said[0].startswith("default via 10.78.0.1 dev eth1")
    assert any(line.startswith("10.66.0.0/16 via 10.78.0.9 dev eth1") for line in said)
    assert said[-1] == "1"
    refused = run("endpoint", "join", "web/one", "--sandbox", "bare", "--sysctl", "net.ipv4.ip_forward=1", status=1)
    assert "IFNAME" in refused.stderr
    assert "no host name" in run("sandbox", "create", "x", "--hostname", "a b", status=1).stderr
    for name in ("web/one", "back/two"):
        run("endpoint", "rm", "--force", name)
    run("sandbox", "rm", "box")
    run("sandbox", "rm", "bare")
    assert not Path(box["hosts_path"]).exists()
    run("network", "rm", "web")
    run("network", "rm", "back")


def test_a_network_through_its_life(run: Run, tmp_path: Path) -> None:
    assert loaded(run("network", "ls", "--json")) == []
    id = run("network", "create", "web", "--ipv4", "10.77.0.0/16", "--ipv6", "fd77::/64").stdout.strip()
    [web] = loaded(run("network", "ls", "--json"))
    assert web == {
        "name": "web",
        "id": id,
        "driver": "bridge",
        "state": "created",
        "ipv4": "10.77.0.0/16",
        "ipv6": "fd77::/64",
        "gateway": "10.77.0.1",
        "gateway_ipv6": "fd77::1",
        "options": {},
        "ipam": "default",
        "ipam_options": {},
        "space": "local",
        "ip_range": [],
        "aux_addresses": [],
        "serial": False,
        "endpoints": [],
    }
    key = run("sandbox", "create", "box").stdout.strip()
    assert Path(key).parent.name == "ns"
    run("endpoint", "create", "web/one", "--mac", "02:00:00:00:00:01")
    assert run("endpoint", "join", "web/one", "--sandbox", "box").stdout.strip() == key
    theirs = tmp_path / "theirs"
    [made] = create([str(theirs)])
    made.close()  # type: ignore[union-attr]
    run("endpoint", "create", "web/two", "--ipv4", "10.77.0.9")
    two = loaded(run("endpoint", "join", "web/two", "--netns", str(theirs), "--json"))
    assert (two["state"], two["sandbox"], two["interfaces"][0]["address"]) == ("joined", str(theirs), "10.77.0.9/16")
    ping = ["nsenter", f"--net={theirs}", "ping", "-c1", "-W2", "-q", "10.77.0.2"]
    assert not subprocess.run(ping, check=False, capture_output=True).returncode
    assert "02:00:00:00:00:01" in run("endpoint", "ls", "web").stdout
    assert [one["name"] for one in loaded(run("sandbox", "ls", "--json"))] == [str(theirs), "box"]
    left = loaded(run("endpoint", "leave", "web/two", "--json"))
    assert (left["name"], left["sandbox"], left["state"]) == ("two", None, "created")
    assert [one["endpoints"] for one in loaded(run("sandbox", "ls", "--json"))] == [["web/one"]]
    assert loaded(run("network", "inspect", "web"))[0]["endpoints"][1]["state"] == "created"
    said = run("network", "rm", "web", status=1).stderr
    assert (said.count("\n"), "delete them first" in said) == (1, True)
    run("sandbox", "rm", "box", status=1)
    run("network", "rm", "--force", "web")
    run("sandbox", "rm", "box")
    assert drop([str(theirs)]) == [None]
    assert not any(path.is_dir() for path in tmp_path.iterdir())


def test_reading_while_another_process_writes(run: Run, tmp_path: Path) -> None:
    with Controller(state=tmp_path / "state.db", run_dir=tmp_path) as ctl:
        web = ctl.create_network("bridge", "web")
        eps = web.attach(3, strict=True)
        assert [one["state"] for one in loaded(run("endpoint", "ls", "--json"))] == ["joined"] * 3
        said = run("network", "create", "other", status=1).stderr
        assert f"process {os.getpid()}" in said
        web.detach(eps)
        web.delete()


def test_names_with_slashes(run: Run, tmp_path: Path) -> None:
    with Controller(state=tmp_path / "state.db", run_dir=tmp_path) as ctl:
        ids = {}
        for network, names in (("a", ("b/c", "b/d")), ("a/b", ("c",))):
            made = ctl.create_network("null", network)
            ids[network] = made.id
            for name in names:
                made.create_endpoint(name)
    several = run("endpoint", "rm", "a/b/c", status=1).stderr
    assert "'a/b/c' can be read as several endpoints; name its network by its id" in several
    assert (
        "network 'a' has no endpoint 'b/e'; there are: 'b/c', 'b/d'" in run("endpoint", "rm", "a/b/e", status=1).stderr
    )
    for name in ("a/b/d", f"{ids['a']}/b/c", f"{ids['a/b']}/c"):
        assert loaded(run("endpoint", "inspect", name))[0]["name"] == name.partition("/")[2]
    run("endpoint", "rm", "a/b/d", f"{ids['a']}/b/c", "a/b/c")
    run("network", "rm", "a", "a/b")


def test_what_was_mended_is_said(run: Run, host: NetlinkSocket) -> None:
    run("network", "create", "web")
    [bridge] = [link for link in host.dump_links() if link.kind == "bridge"]
    from _fastnet.batch import Batch

    batch = Batch()
    batch.delete_link(bridge.index)
    assert host.execute(batch).ok
    assert "1 networks made anew" in run("sandbox", "create", "box").stderr
    run("sandbox", "rm", "box")
    run("network", "rm", "web")


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["endpoint", "join", "web/one"], 2, "one of --sandbox and --netns"),
        (["endpoint", "create", "web"], 2, "NETWORK/ENDPOINT"),
        (["endpoint", "create", "none/one"], 1, "no network 'none'; there is none"),
        (["endpoint", "inspect", "none/one"], 1, "no network 'none'"),
        (["network", "ls", "--state", "/nonexistent/state.db"], 1, "nonexistent"),
        (["network", "create", "web", "-o", "nonsense"], 2, "KEY=VALUE"),
        (["sandbox", "create", "../../etc/passwd\n"], 1, "printable"),
        (["sandbox", "create", "x", "--netns", "/etc/passwd"], 1, "/etc/passwd"),
    ],
)
def test_errors(run: Run, words: list[str], status: int, text: str) -> None:
    done = run(*words, status=status)
    assert text in done.stderr
    assert done.stdout == ""
    if status == 1:
        assert done.stderr.count("\n") == 1


def test_a_label_that_does_nothing_is_a_warning_when_it_is_given(run: Run) -> None:
    label = "com.docker.network.endpoint.ifnam"
    said = "driverapi: warning: bridge: option {!r} is ignored here; did you mean {!r}?\n"
    made = run("network", "create", "web", "--driver-opt", "com.docker.netwrok.driver.mtu=1400")
    assert made.stderr == said.format("com.docker.netwrok.driver.mtu", "com.docker.network.driver.mtu")
    made = run("endpoint", "create", "web/one", "-o", f"{label}=x", "--label", "com.example.team=red")
    assert made.stderr == said.format(label, f"{label}e")
    for name in ("web/one", "web"):
        assert run("endpoint" if "/" in name else "network", "rm", name).stderr == "", "not each time again"


def test_a_host_that_forwards_nothing_is_told_when_the_network_is_made(run: Run) -> None:
    option = "com.docker.network.bridge.gateway_mode_ipv4=nat"
    made = run("network", "create", "web", "-o", option, "--ipv4", "10.77.0.0/24", "-o", "BridgeName=br-web")
    assert "net.ipv4.ip_forward is 0" in made.stderr
    assert run("sandbox", "create", "one").stderr == "", "not each time again"
    subprocess.run(["ip", "link", "delete", "br-web"], check=True)
    made_anew = run("sandbox", "create", "two").stderr
    assert "1 networks made anew" in made_anew
    assert "net.ipv4.ip_forward is 0" in made_anew
    for words in (("network", "web"), ("sandbox", "one"), ("sandbox", "two")):
        run(words[0], "rm", words[1])


def test_a_name_never_becomes_a_path(run: Run, tmp_path: Path) -> None:
    key = run("sandbox", "create", "../../up").stdout.strip()
    assert Path(key).resolve().parent.parent.parent == tmp_path.resolve()
    run("sandbox", "rm", "../../up")


def test_what_the_readme_shows(run: Run) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    section = readme.partition("## State and the command line\n")[2].partition("\n## ")[0]
    [block] = re.findall(r"^```console\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    lines = [line.removeprefix("# driverapi ").split() for line in block.splitlines()]
    assert len(lines) > 5
    for words in lines:
        run(*words)
    [one] = loaded(run("endpoint", "ls", "--json"))
    assert one["sandbox"] == "box"
    for shell in re.findall(r"_DRIVERAPI_COMPLETE=(\w+)_source", section):
        assert "_DRIVERAPI_COMPLETE" in run(_DRIVERAPI_COMPLETE=f"{shell}_source").stdout
    run("network", "rm", "-f", "web")
    run("sandbox", "rm", "box")


def test_completion(run: Run) -> None:
    run("network", "create", "web")
    run("endpoint", "create", "web/one")
    for words, wanted in (("network rm w", "web"), ("endpoint rm we", "web/one"), ("endpoint create w", "web/")):
        asked = {"_DRIVERAPI_COMPLETE": "bash_complete", "COMP_WORDS": f"driverapi {words}", "COMP_CWORD": "3"}
        assert f"plain,{wanted}" in run(**asked).stdout.split()
    run("network", "rm", "-f", "web")

"""``driverapi network create`` with all that is about addresses, ``endpoint create``, and ``driverapi pool ls``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from driverapi import Controller
from tests.kernel.test_cli_state import Run, loaded, run

__all__ = ["run"]


def run_line(run: Run, line: str, **more: Any) -> Any:
    return run(*line.split(), **more)


def test_pools_of_a_state(run: Run, tmp_path: Path) -> None:
    assert loaded(run("pool", "ls", "--json")) == []
    run_line(run, "network create web --ipv4 10.77.0.0/24 --ip-range 10.77.0.64/28 --gateway 10.77.0.1")
    run_line(run, "network create lab --ipv4 10.78.0.0/29 --aux-address router=10.78.0.6 --internal")
    run_line(run, "network create any --ipam-opt driverapi.ipam.space=global --label com.example.team=red")
    run_line(run, "endpoint create web/one --ip 10.77.0.200 --mac 02:00:00:00:00:01 --ifname lan0")
    run_line(run, "endpoint create lab/two -o com.docker.network.endpoint.ifname=lan1")
    with Controller(state=tmp_path / "state.db", run_dir=tmp_path) as ctl:
        ctl.network("web").leases.take("vm-1", mac="02:00:00:00:00:02")
    found = {one["network"]: one for one in loaded(run("pool", "ls", "--json"))}
    assert found["web"] == {
        "id": "local/10.77.0.0/24/10.77.0.64/28",
        "network": "web",
        "ipam": "default",
        "size": 16,
        "taken": 3,
        "resting": 0,
        "utilisation": 1 / 16,
    }
    assert (found["lab"]["size"], found["lab"]["taken"], found["lab"]["utilisation"]) == (5, 2, 0.4)
    assert found["any"]["id"].startswith("global/10.")
    [web] = loaded(run("pool", "ls", "web", "--addresses", "--json"))
    assert web["addresses"] == [
        {"address": "10.77.0.1", "what": "gateway", "owner": None, "mac_address": None},
        {"address": "10.77.0.64", "what": "lease", "owner": "vm-1", "mac_address": "02:00:00:00:00:02"},
        {"address": "10.77.0.200", "what": "endpoint", "owner": "one", "mac_address": "02:00:00:00:00:01"},
    ]
    table = run("pool", "ls").stdout
    assert "local/10.78.0.0/29" in table
    assert "40.0%" in table
    assert "10.78.0.6" in run("pool", "ls", "lab", "--addresses").stdout
    [lab], [web] = (loaded(run("network", "inspect", name)) for name in ("lab", "web"))
    assert (lab["aux_addresses"], lab["ip_range"], web["ip_range"]) == (["10.78.0.6"], [], ["10.77.0.64/28"])
    networks = {one["name"]: one["options"] for one in loaded(run("network", "ls", "--json"))}
    assert networks["lab"] == {"com.docker.network.internal": True}
    assert networks["any"] == {"com.example.team": "red"}


def test_what_cannot_be(run: Run) -> None:
    assert "no network 'web'" in run("pool", "ls", "web", status=1).stderr
    assert "has a dot" in run("network", "create", "web", "--label", "team=red", status=2).stderr
    assert "no IPAM 'dhcp'" in run("network", "create", "web", "--ipam", "dhcp", status=1).stderr
    said = run_line(run, "network create web --ipv4 10.0.0.0/24 --ip-range 10.1.0.0/28", status=1).stderr
    assert "ip_range 10.1.0.0/28 is no part of 10.0.0.0/24" in said
    said = run_line(run, "network create web --ipv4 10.0.0.0/24 --gateway 10.1.0.1", status=1).stderr
    assert "10.1.0.1 is outside" in said
    assert loaded(run("network", "ls", "--json")) == []

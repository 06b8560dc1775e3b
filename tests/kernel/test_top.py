"""``driverapi top``: rates of real traffic, pool use, and what it does beside a controller at work."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from driverapi import Controller, Endpoint
from driverapi.store.view import view
from driverapi.topping import compare, sample
from tests.kernel.test_cli_state import Run, loaded, run

__all__ = ["run"]


def ping(endpoint: Endpoint, address: str, count: int = 20) -> None:
    assert endpoint.sandbox is not None
    command = ["nsenter", f"--net={endpoint.sandbox.key}", "ping", "-q", "-c", str(count), "-i", "0.002", "-s", "1000"]
    subprocess.run([*command, address], check=True, capture_output=True)


def test_rates_of_real_traffic(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with Controller(state=path, run_dir=tmp_path) as ctl:
        net = ctl.create_network("bridge", "web", ipv4="10.6.0.0/28")
        one, two = net.attach(2, strict=True)
        net.create_endpoint("idle")
        before = sample(lambda: view(path))
        time.sleep(0.2)
        ping(one, "10.6.0.3")
        now = sample(lambda: view(path))
        found = compare(before, now)
        rows = {row.name: row for row in found.endpoints}
        for row in (rows[one.name], rows[two.name]):
            assert row.counters is not None
            assert row.counters.rx_bytes >= 20 * 1000
            assert row.counters.tx_bytes >= 20 * 1000
            assert row.rx_rate is not None
            assert found.seconds is not None
            assert row.rx_rate * found.seconds >= 20 * 1000
        assert (rows["idle"].counters, rows["idle"].rx_rate, rows["idle"].state) == (None, None, "created")
        (network,) = found.networks
        assert (network.endpoints, network.joined) == (3, 2)
        assert network.pools == (("local/10.6.0.0/28", 4, 14, 4 / 14),)
        assert network.counters.rx_bytes == sum(
            row.counters.rx_bytes for row in rows.values() if row.counters is not None
        )
        one_second = loaded(run("top", "--once", "--interval", "0.1", "--json", "--sort", "name"))
        assert [row["name"] for row in one_second["endpoints"]] == sorted(rows)
        assert one_second["networks"][0]["pools"] == [
            {"id": "local/10.6.0.0/28", "taken": 4, "size": 14, "utilisation": 4 / 14}
        ]
        assert one_second["seconds"] >= 0.1
        table = run("top", "--once", "-i", "0.1", "--limit", "1").stdout
        assert "10.6.0.0/28 29%" in table
        assert table.count("web/") == 1
        assert compare(None, now).endpoints[0].rx_rate is None


def test_what_cannot_be(run: Run, tmp_path: Path) -> None:
    assert loaded(run("top", "--once", "--interval", "0.1", "--json"))["networks"] == []
    assert "no network 'web'" in run("top", "--once", "--network", "web", status=1).stderr
    assert run("top", "--once", "--state", str(tmp_path / "none.db"), status=1).stderr
    assert "0.1" in run("top", "--interval", "0", status=2).stderr


def test_live_until_it_is_interrupted(run: Run, tmp_path: Path) -> None:
    run("network", "create", "web", "--ipv4", "10.6.0.0/28")
    environment = {**os.environ, "DRIVERAPI_STATE": str(tmp_path / "state.db")}
    for more in ([], ["--json"]):
        command = [sys.executable, "-m", "driverapi", "top", "-i", "0.1", *more]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            line = process.stdout.readline() if more else ""
            if not more:
                time.sleep(1.5)
            process.send_signal(signal.SIGINT)
            rest = process.communicate(timeout=30)[0]
            assert process.returncode == 0
        if more:
            assert json.loads(line)["networks"][0]["name"] == "web"
        else:
            assert "web" in rest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_terminal_has_its_cursor_again(run: Run, tmp_path: Path, number: signal.Signals) -> None:
    run("network", "create", "web", "--ipv4", "10.6.0.0/28")
    environment = {**os.environ, "DRIVERAPI_STATE": str(tmp_path / "state.db"), "TERM": "xterm"}
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "driverapi", "top", "-i", "0.1"]
    try:
        with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
            os.close(theirs)
            seen = b""
            while seen.count(b"web") < 2:  # the first table, and one more in its place
                seen += os.read(ours, 65536)
            process.send_signal(number)
            with contextlib.suppress(OSError):  # EIO: who had the other end is gone
                while more := os.read(ours, 65536):
                    seen += more
            assert process.wait(30) == 0
    finally:
        os.close(ours)
    hidden, shown = b"\x1b[?25l", b"\x1b[?25h"
    assert seen.count(hidden) == seen.count(shown) == 1
    assert seen.rstrip().endswith(shown)
